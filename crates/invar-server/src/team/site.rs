//! The pages of all projects: each project's below its own address, and the list of them.
//!
//! A project's pages are those of [`crate::router`], which know nothing of accounts. What was read for them is kept as long
//! as the project's settings are as they were, for a few projects at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use invar_core::wire::config;
use invar_store::{Project, Store, Visibility};
use tower::ServiceExt;

use super::Team;
use super::problem::ApiProblem;
use super::visit::{NOWHERE, Right, Visit};
use crate::address::Links;
use crate::answer::{Answer, elsewhere, page};
use crate::app::{App, Site};
use crate::asked::Asked;
use crate::pages::frame::Frame;
use crate::pages::overview::{self, Newest};
use crate::pages::theme;
use crate::problem::Problem;
use crate::router::pages_router;

/// For how many projects it is kept what was read.
const KEPT: usize = 32;
/// Of how many projects the list says how they do.
const JUDGED: usize = 50;

/// A project that is shown.
#[derive(Clone)]
pub struct Shown {
    about: Project,
    /// What its pages ask.
    pub app: App,
    router: Router,
}

impl Shown {
    /// Asks for something below the project's own address.
    pub async fn ask(self, request: Request) -> Response {
        let Ok(response) = self.router.oneshot(request).await;
        response
    }
}

/// The projects that were shown last.
#[derive(Default)]
pub struct Apps(Mutex<BTreeMap<String, Shown>>);

impl Team {
    /// A project, to be shown.
    pub(super) fn shown(&self, store: &Store, about: &Project) -> Shown {
        let mut kept = self.apps().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = kept.get(&about.name).filter(|shown| shown.about == *about) {
            return shown.clone();
        }
        let config = config::read(&about.settings).unwrap_or_else(|error| {
            self.log(&format!("{}: the settings cannot be used: {error}", about.name));
            Default::default()
        });
        let app = App::new(Site {
            store: store.clone(),
            project: about.name.clone(),
            root: format!("/{}", about.name),
            policy: config.policy,
            default_branch: config.default_branch,
            log: self.logs_to(),
        });
        let router = pages_router().with_state(app.clone());
        let shown = Shown { about: about.clone(), app, router };
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(about.name.clone(), shown.clone());
        shown
    }
}

/// `owner/name` of an address, and what follows.
pub fn project_of(path: &str) -> (String, &str) {
    let mut ends = path.match_indices('/').map(|(at, _)| at).skip(2);
    let end = ends.next().unwrap_or(path.len());
    (path[..end].trim_start_matches('/').to_string(), &path[end..])
}

/// A page of a project.
pub async fn project(team: Team, mut visit: Visit, mut request: Request) -> Answer {
    let sent = request.uri().path().to_string();
    if sent.starts_with("/api/") {
        return Ok(ApiProblem::NotFound(NOWHERE.to_string()).into_response());
    }
    let (name, rest) = project_of(&sent);
    let entered = visit.enter(&name, Right::Read, &team).await?;
    let shown = team.shown(&entered.store, &entered.about);
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    if rest == "/" || entered.about.name != name {
        // One address for each page.
        let rest = if rest == "/" { "" } else { rest };
        return elsewhere(StatusCode::PERMANENT_REDIRECT, &format!("/{}{rest}{query}", entered.about.name));
    }
    let below = if rest.is_empty() { "/" } else { rest };
    *request.uri_mut() = format!("{below}{query}")
        .parse::<Uri>()
        .map_err(|_| Problem::Unusable("This address cannot be read.".to_string()))?;
    if let Some(visitor) = visit.asked.visitor {
        request.extensions_mut().insert(visitor);
    }
    Ok(shown.ask(request).await)
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    rows: Vec<Row>,
    is_signed_in: bool,
    is_admin: bool,
    more: usize,
}

/// A project in the list.
struct Row {
    name: String,
    href: String,
    private: bool,
    newest: Option<Newest>,
}

/// The projects that may be seen, with how they do.
pub async fn projects(team: Team, visit: Visit, _request: Request) -> Answer {
    let projects = visit.projects(&team).await?;
    let mut rows = Vec::new();
    for about in projects.iter().take(JUDGED) {
        let Some(store) = team.store().project(&about.name).await? else { continue };
        let app = team.shown(&store, about).app;
        rows.push(Row {
            name: about.name.clone(),
            href: Links::below(&format!("/{}", about.name)).overview(),
            private: about.visibility == Visibility::Private,
            newest: overview::newest(&app).await?,
        });
    }
    page(&ProjectsPage {
        frame: Frame::of_server(&visit.asked, "Projects", "/"),
        more: projects.len() - rows.len(),
        rows,
        is_signed_in: visit.account().is_some(),
        is_admin: visit.account().is_some_and(|account| account.admin),
    })
}

/// Remembers a theme. It changes nothing but how this browser sees the site, so its form shows nothing secret.
pub async fn theme(asked: Asked, body: String) -> Response {
    theme::choose(asked, body).await
}

#[cfg(test)]
mod tests {
    use super::project_of;

    #[test]
    fn an_address_begins_with_its_project() {
        assert_eq!(project_of("/acme/demo"), ("acme/demo".to_string(), ""));
        assert_eq!(project_of("/acme/demo/"), ("acme/demo".to_string(), "/"));
        assert_eq!(project_of("/acme/demo/b/a/b.json"), ("acme/demo".to_string(), "/b/a/b.json"));
        assert_eq!(project_of("/acme"), ("acme".to_string(), ""));
    }
}
