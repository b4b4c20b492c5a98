//! Who asks, and what they may do.
//!
//! Who may not read a private project is answered as if it were not there. A token that is worth nothing is refused before
//! anybody looks for the project, so that it tells nothing about projects either.

use axum::http::{HeaderMap, header};
use invar_core::run::Timestamp;
use invar_store::{Account, Store, Visibility};

use super::problem::ApiProblem;
use super::token::{Scope, Secret};

/// Who asks.
pub enum Asker {
    /// Somebody.
    Anonymous,
    /// Who holds a token.
    Holder(Holder),
    /// Who has signed in. Programs never are: their interface asks for no cookie.
    Person(Account),
}

/// Who holds a token.
pub struct Holder {
    /// The name of the project that it is for.
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

/// Who holds this token, if it is worth something.
async fn holder(token: &str, store: &Store) -> Result<Option<Holder>, ApiProblem> {
    let Some(secret) = Secret::read(token) else { return Ok(None) };
    let Some((within, token)) = store.use_token(&secret.digest(), now()).await? else { return Ok(None) };
    Ok(Some(Holder {
        project: within.about().await?.name,
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
            Asker::Holder(_) | Asker::Person(_) => Err(ApiProblem::Foreign),
        }
    }

    /// What they are called where it is written down what they did.
    pub fn who(&self) -> String {
        match self {
            Asker::Anonymous => "somebody".to_string(),
            Asker::Holder(holder) => format!("the token {}", holder.name),
            Asker::Person(account) => account.name.clone(),
        }
    }

    /// May they see that this project is there?
    pub fn sees(&self, name: &str, visibility: Visibility) -> bool {
        visibility == Visibility::Public || matches!(self, Asker::Holder(holder) if holder.project == name)
    }
}
