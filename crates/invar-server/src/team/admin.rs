//! What administrators of a server do with it: accounts and projects. To everybody else it is not there.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use invar_store::{Account, CreateAccountError, CreateProjectError, NewAccount, Visibility};

use super::people::{password_link, sentence, unkept};
use super::settings::LogRow;
use super::visit::{Fields, Visit, field};
use super::{Team, is_reserved};
use crate::answer::{Answer, elsewhere, page};
use crate::pages::frame::Frame;
use crate::problem::Problem;
use crate::words::moment;

/// How much of what was done is shown.
const ENTRIES: u32 = 100;

#[derive(Template)]
#[template(path = "admin.html")]
struct Page {
    frame: Frame,
    accounts: Vec<Row>,
    projects: Vec<(String, &'static str)>,
    log: Vec<LogRow>,
    wrong: String,
    /// Whose password a link chooses, and the link.
    link: Option<(String, String)>,
}

/// An account.
struct Row {
    name: String,
    admin: bool,
    created: String,
    own: bool,
}

/// The page.
pub async fn admin(team: Team, visit: Visit, _request: Request) -> Answer {
    visit.administrator()?;
    shown(&team, &visit, String::new(), None).await
}

async fn shown(team: &Team, visit: &Visit, wrong: String, link: Option<(String, String)>) -> Answer {
    let own = visit.account().map(|account| account.number);
    let row = |account: Account| Row {
        own: Some(account.number) == own,
        admin: account.admin,
        created: moment(account.created),
        name: account.name,
    };
    let projects = team.store().projects().await?.into_iter().filter(|project| !project.name.is_empty());
    let (is_wrong, is_secret) = (!wrong.is_empty(), link.is_some());
    let mut response = page(&Page {
        frame: Frame::of_server(&visit.asked, "Admin", "/admin"),
        accounts: team.store().accounts().await?.into_iter().map(row).collect(),
        projects: projects.map(|project| (project.name, project.visibility.name())).collect(),
        log: team.store().audit_of_all(ENTRIES).await?.into_iter().map(LogRow::of).collect(),
        wrong,
        link,
    })?;
    if is_wrong {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(if is_secret { unkept(response) } else { response })
}

/// Changes something: `act` says what.
pub async fn acts(team: Team, visit: Visit, fields: Fields) -> Answer {
    visit.administrator()?;
    let name = field(&fields, "name");
    match field(&fields, "act") {
        "make-project" => make_project(&team, &visit, name, field(&fields, "visibility")).await,
        "make-account" => {
            let new = NewAccount { name, password: "", admin: fields.contains_key("admin") };
            match team.store().create_account(new, visit.by()).await {
                Ok(_) => link(&team, &visit, name).await,
                Err(CreateAccountError::Database(error)) => Err(error.into()),
                Err(error) => shown(&team, &visit, sentence(&error), None).await,
            }
        }
        "link" => link(&team, &visit, name).await,
        act @ ("admin" | "no-admin" | "remove") => {
            let Some((account, _)) = team.store().account(name).await? else {
                return shown(&team, &visit, format!("There is no account “{name}”."), None).await;
            };
            let done = match act {
                "remove" => team.store().remove_account(&account, visit.by()).await?,
                _ => team.store().set_admin(&account, act == "admin", visit.by()).await?,
            };
            if done {
                return elsewhere(StatusCode::SEE_OTHER, "/admin");
            }
            let why = format!("{name} is the only administrator, and stays one.");
            shown(&team, &visit, why, None).await
        }
        _ => Err(Problem::Unusable("The form does not say what to do.".to_string())),
    }
}

/// A link by which somebody chooses a password, shown this once.
async fn link(team: &Team, visit: &Visit, name: &str) -> Answer {
    let Some((account, _)) = team.store().account(name).await? else {
        return shown(team, visit, format!("There is no account “{name}”."), None).await;
    };
    let path = password_link(team, &account, visit.by()).await?;
    let server = visit.asked.visitor.as_ref().map(|visitor| visitor.server.clone()).unwrap_or_default();
    shown(team, visit, String::new(), Some((account.name, format!("{server}{path}")))).await
}

async fn make_project(team: &Team, visit: &Visit, name: &str, visibility: &str) -> Answer {
    if is_reserved(name) {
        let why = format!("“{name}” cannot be a project: its address is the server's own.");
        return shown(team, visit, why, None).await;
    }
    let visibility = if visibility == "public" { Visibility::Public } else { Visibility::Private };
    match team.store().create_project(name, visibility, visit.by()).await {
        Ok(_) => elsewhere(StatusCode::SEE_OTHER, &format!("/{name}")),
        Err(CreateProjectError::Database(error)) => Err(error.into()),
        Err(error) => shown(team, visit, sentence(&error), None).await,
    }
}
