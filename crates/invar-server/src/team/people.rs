//! Signing in and out, and choosing passwords.

use askama::Template;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use invar_core::run::Timestamp;
use invar_store::{
    Account, By, CreateAccountError, DatabaseError, Identity, Link, NewAccount, NewSecret, Role, Store,
};

use super::Team;
use super::access::now;
use super::password::{self, FEWEST, WINDOW};
use super::session::Secret;
use super::visit::{Fields, Visit, field, no_randomness};
use crate::answer::{Answer, elsewhere, page};
use crate::pages::frame::Frame;
use crate::pages::theme::is_here;
use crate::problem::Problem;
use crate::router::with_forms_to;

/// How long a session is worth something, in seconds.
const SESSION_S: i64 = 14 * 24 * 3600;
/// How long a link works, in seconds.
const LINK_S: i64 = 24 * 3600;

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage {
    frame: Frame,
    name: String,
    back: String,
    said: String,
    /// Forges that say who somebody is: how they are called in addresses, and by people.
    forges: Vec<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    frame: Frame,
    secret: String,
    /// Whose password is chosen; `None`: the first account is made.
    of: Option<String>,
    name: String,
    said: String,
    fewest: usize,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    admin: bool,
    roles: Vec<(String, Role)>,
    said: String,
    fewest: usize,
    /// How the account is known at forges.
    identities: Vec<Identity>,
    forges: Vec<(&'static str, &'static str)>,
}

/// A secret that is worth something for so many seconds.
fn lasting(digest: &str, seconds: i64) -> NewSecret<'_> {
    let created = now();
    NewSecret { digest, created, expires: Timestamp(created.0 + seconds * 1_000_000) }
}

/// With another status than that it is well.
pub(super) fn unwell(answer: Answer) -> Answer {
    answer.map(|mut response| {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        response
    })
}

/// Where to make the first account, below the server's address; `None`: there is one.
pub async fn first_link(store: &Store) -> Result<Option<String>, DatabaseError> {
    if !store.accounts().await?.is_empty() {
        return Ok(None);
    }
    let Some(secret) = Secret::draw() else { return Ok(None) };
    let by = By { who: "invar serve", at: now() };
    store.create_link(None, lasting(&secret.digest(), LINK_S), by).await?;
    Ok(Some(format!("/setup?secret={}", secret.text())))
}

/// Makes a link by which somebody chooses the password of an account.
pub async fn password_link(team: &Team, of: &Account, by: By<'_>) -> Result<String, Problem> {
    let secret = Secret::draw().ok_or_else(no_randomness)?;
    team.store().create_link(Some(of), lasting(&secret.digest(), LINK_S), by).await?;
    Ok(format!("/setup?secret={}", secret.text()))
}

/// Lets somebody in: with another secret than they had before.
pub(super) async fn let_in(team: &Team, visit: &Visit, account: &Account, back: &str) -> Answer {
    team.store().end_session(&visit.secret.digest()).await?;
    let secret = Secret::draw().ok_or_else(no_randomness)?;
    team.store().create_session(account, lasting(&secret.digest(), SESSION_S)).await?;
    let mut response = elsewhere(StatusCode::SEE_OTHER, if is_here(back) { back } else { "/" })?;
    response.headers_mut().insert(SET_COOKIE, team.cookies().keep(&secret, Some(SESSION_S)));
    Ok(response)
}

fn sign_in_with(team: &Team, visit: &Visit, name: &str, back: &str, said: &str) -> Answer {
    let shown = page(&SignInPage {
        frame: Frame::of_server(&visit.asked, "Sign in", "/sign-in"),
        name: name.to_string(),
        back: back.to_string(),
        said: said.to_string(),
        forges: team.forges().names(),
    })?;
    Ok(visit.with_form(team, with_forms_to(unkept(shown), &team.forges().servers())))
}

/// A page that shows a secret, or a form for one: kept by nobody.
pub fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The form.
pub async fn sign_in(team: Team, visit: Visit, _request: Request) -> Answer {
    let back = visit.asked.value("back").unwrap_or("/").to_string();
    match visit.account() {
        Some(_) => elsewhere(StatusCode::SEE_OTHER, if is_here(&back) { &back } else { "/" }),
        None => sign_in_with(&team, &visit, "", &back, ""),
    }
}

/// Signs in.
pub async fn signs_in(team: Team, visit: Visit, fields: Fields) -> Answer {
    let (name, back) = (field(&fields, "name"), field(&fields, "back"));
    let password = fields.get("password").cloned().unwrap_or_default();
    let counted = password::counted(name, &visit.address);
    if !team.store().may_try(&counted, now(), WINDOW).await? {
        return Err(Problem::TooOften);
    }
    let found = team.store().account(name).await?;
    let kept = found.as_ref().map(|(_, kept)| kept.clone());
    let is_right = password::is_right(password, kept).await;
    match found {
        Some((account, _)) if is_right => {
            team.store().forget_attempt(&counted).await?;
            let_in(&team, &visit, &account, back).await
        }
        // Nothing tells whether there is such an account.
        _ => unwell(sign_in_with(&team, &visit, name, back, "Name and password do not belong together.")),
    }
}

/// Signs out.
pub async fn signs_out(team: Team, visit: Visit, _fields: Fields) -> Answer {
    team.store().end_session(&visit.secret.digest()).await?;
    let mut response = elsewhere(StatusCode::SEE_OTHER, "/")?;
    response.headers_mut().insert(SET_COOKIE, team.cookies().forget());
    Ok(response)
}

/// What the secret of an address is for.
async fn link(team: &Team, secret: &str) -> Result<(Secret, Link), Problem> {
    let gone = || {
        let text = "This link does not work: it was used, is older than a day, or there is a newer one.";
        Problem::NotFound(text.to_string())
    };
    let secret = Secret::read(secret).ok_or_else(gone)?;
    let link = team.store().link(&secret.digest(), now()).await?;
    link.map(|link| (secret, link)).ok_or_else(gone)
}

fn setup_with(
    team: &Team,
    visit: &Visit,
    (secret, link): (&Secret, &Link),
    name: &str,
    said: &str,
) -> Answer {
    let of = match link {
        Link::First => None,
        Link::Password(account) => Some(account.name.clone()),
    };
    let title = if of.is_some() { "Choose a password" } else { "Set up" };
    let shown = page(&SetupPage {
        frame: Frame::of_server(&visit.asked, title, "/sign-in"),
        secret: secret.text().to_string(),
        of,
        name: name.to_string(),
        said: said.to_string(),
        fewest: FEWEST,
    })?;
    Ok(visit.with_form(team, unkept(shown)))
}

/// The form of a link that works once.
pub async fn setup(team: Team, visit: Visit, _request: Request) -> Answer {
    let (secret, link) = link(&team, visit.asked.value("secret").unwrap_or_default()).await?;
    setup_with(&team, &visit, (&secret, &link), "", "")
}

/// Makes the first account, or chooses a password.
pub async fn sets_up(team: Team, visit: Visit, fields: Fields) -> Answer {
    let (secret, link) = link(&team, field(&fields, "secret")).await?;
    let password = fields.get("password").cloned().unwrap_or_default();
    let name = match &link {
        Link::First => field(&fields, "name").to_string(),
        Link::Password(account) => account.name.clone(),
    };
    let again = |said: &str| unwell(setup_with(&team, &visit, (&secret, &link), &name, said));
    if let Some(refusal) = password::refusal(&password, &name) {
        return again(&refusal);
    }
    let hash = hashed(password).await?;
    let account = match &link {
        Link::First => {
            let new = NewAccount { name: &name, password: &hash, admin: true };
            let by = By { who: &name, at: now() };
            match team.store().create_first_account(&secret.digest(), new, by).await {
                Ok(_) => team.store().account(&name).await?.map(|(account, _)| account),
                Err(CreateAccountError::Database(error)) => return Err(error.into()),
                Err(error) => return again(&sentence(&error)),
            }
        }
        Link::Password(_) => team.store().use_link(&secret.digest(), &hash, now()).await?,
    };
    match account {
        Some(account) => let_in(&team, &visit, &account, "/").await,
        None => Err(Problem::NotFound("This link does not work any more.".to_string())),
    }
}

/// What a password is checked by.
pub async fn hashed(password: String) -> Result<String, Problem> {
    let hash = password::hash_apart(password).await;
    hash.ok_or_else(|| Problem::Inside("a password could not be hashed".to_string()))
}

/// An error as a sentence of its own.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

pub(super) async fn account_with(team: &Team, visit: &Visit, said: &str) -> Answer {
    let account = visit.person()?;
    let shown = page(&AccountPage {
        frame: Frame::of_server(&visit.asked, "Account", "/account"),
        name: account.name.clone(),
        admin: account.admin,
        roles: team.store().roles_of(account).await?.into_iter().collect(),
        said: said.to_string(),
        fewest: FEWEST,
        identities: team.store().identities(account).await?,
        forges: team.forges().names(),
    })?;
    Ok(with_forms_to(shown, &team.forges().servers()))
}

/// One's own account.
pub async fn account(team: Team, visit: Visit, _request: Request) -> Answer {
    if visit.account().is_none() {
        return visit.sign_in();
    }
    account_with(&team, &visit, "").await
}

/// Chooses one's own password anew.
pub async fn changes_password(team: Team, visit: Visit, fields: Fields) -> Answer {
    let account = visit.person()?;
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let counted = password::counted(&account.name, &visit.address);
    if !team.store().may_try(&counted, now(), WINDOW).await? {
        return Err(Problem::TooOften);
    }
    let kept = team.store().account(&account.name).await?.map(|(_, kept)| kept);
    if !password::is_right(text("current"), kept).await {
        return unwell(account_with(&team, &visit, "That is not your password.").await);
    }
    team.store().forget_attempt(&counted).await?;
    if let Some(refusal) = password::refusal(&text("password"), &account.name) {
        return unwell(account_with(&team, &visit, &refusal).await);
    }
    let hash = hashed(text("password")).await?;
    team.store().set_password(account, &hash, visit.by()).await?;
    let_in(&team, &visit, account, "/account").await
}
