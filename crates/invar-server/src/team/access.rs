//! Who asks, and what they may do.
//!
//! Who may not read a private project is answered as if it were not there. A token that is worth nothing is refused before
//! anybody looks for the project, so that it tells nothing about projects either.

use axum::http::{HeaderMap, header};
use invar_core::run::Timestamp;
use invar_store::{Store, Visibility};

use super::problem::ApiProblem;
use super::token::{Scope, Secret};

/// The cookie of a browser that was let in.
pub const COOKIE: &str = "invar_token";
/// The same over TLS, where a browser keeps other hosts and paths from setting it.
pub const HOST_COOKIE: &str = "__Host-invar_token";

/// Who asks.
pub enum Asker {
    /// Somebody.
    Anonymous,
    /// Who holds a token.
    Holder(Holder),
}

/// Who holds a token.
pub struct Holder {
    /// The project that it is for, entered.
    pub store: Store,
    /// The project's name.
    pub project: String,
    /// What the token is for.
    pub name: String,
    /// What it permits.
    pub scopes: Vec<Scope>,
    /// From when on it is worth nothing.
    pub expires: Option<Timestamp>,
}

/// Now.
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// Who asks by `Authorization: Bearer`.
pub async fn by_header(headers: &HeaderMap, store: &Store) -> Result<Asker, ApiProblem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Asker::Anonymous) };
    let text = value.to_str().ok().and_then(|value| value.split_once(' '));
    let token =
        text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    match token {
        Some(token) => holder(token, store).await?.map(Asker::Holder).ok_or(ApiProblem::Token),
        None => Err(ApiProblem::Token),
    }
}

/// Who asks by the cookie of a browser. One that is worth nothing any more is as none.
pub async fn by_cookie(headers: &HeaderMap, store: &Store) -> Result<Asker, ApiProblem> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    match cookies.find(|(name, _)| [COOKIE, HOST_COOKIE].contains(name)) {
        Some((_, token)) => Ok(holder(token, store).await?.map_or(Asker::Anonymous, Asker::Holder)),
        None => Ok(Asker::Anonymous),
    }
}

/// Who holds this token, if it is worth something.
pub async fn holder(token: &str, store: &Store) -> Result<Option<Holder>, ApiProblem> {
    let Some(secret) = Secret::read(token) else { return Ok(None) };
    let Some((store, token)) = store.use_token(&secret.digest(), now()).await? else { return Ok(None) };
    let project = store.about().await?.name;
    Ok(Some(Holder {
        store,
        project,
        name: token.name,
        // A scope of a newer Invar permits nothing here.
        scopes: token.scopes.split_whitespace().filter_map(|scope| Scope::read(scope)?.pop()).collect(),
        expires: token.expires,
    }))
}

impl Asker {
    /// Enters a project to do what this scope permits.
    pub async fn enter(&self, name: &str, scope: Scope, store: &Store) -> Result<Store, ApiProblem> {
        let Some(project) = store.project(name).await? else { return Err(ApiProblem::NoProject) };
        let about = project.about().await?;
        let is_public = about.visibility == Visibility::Public;
        match self {
            Asker::Holder(holder) if holder.project == about.name => {
                if holder.scopes.contains(&scope) || (scope == Scope::Read && is_public) {
                    Ok(project)
                } else {
                    Err(ApiProblem::Scope(scope))
                }
            }
            _ if !is_public => Err(ApiProblem::NoProject),
            _ if scope == Scope::Read => Ok(project),
            Asker::Anonymous => Err(ApiProblem::Token),
            Asker::Holder(_) => Err(ApiProblem::Foreign),
        }
    }

    /// May they see that this project is there?
    pub fn sees(&self, name: &str, visibility: Visibility) -> bool {
        visibility == Visibility::Public || matches!(self, Asker::Holder(holder) if holder.project == name)
    }
}
