//! Who looks at the site, and what they may do there.
//!
//! People have a session, programs that read pages' twins a token. Whoever may not read a project is answered as if it were
//! not there. Nothing is changed but by a form that this site has made, for the browser that sends it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use invar_store::{Account, By, Project, Role, Store, Visibility};

use super::access::{Asker, by_header, now};
use super::problem::ApiProblem;
use super::session::Secret;
use super::token::Scope;
use super::{Client, Team};
use crate::answer::{self, Answer, elsewhere};
use crate::asked::{Asked, Visitor};
use crate::pages::frame::Frame;
use crate::problem::Problem;

/// The largest form. Settings are the longest of what is written into one.
const FORM_BYTES: usize = 64 << 10;

/// What whoever may not see something is told, and whoever asks for what is not there.
pub const NOWHERE: &str = "There is nothing at this address, or it is not for you to see.";

/// A request of somebody who looks at the site.
pub struct Visit {
    /// Who they are.
    pub asker: Asker,
    /// What their browser has in its cookie, or is to have.
    pub secret: Secret,
    /// Is it to have it from now on?
    is_new: bool,
    /// What they ask for.
    pub asked: Asked,
    /// Where they are.
    pub address: String,
}

/// What somebody wants to do in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Read it.
    Read,
    /// Acknowledge regressions.
    Acknowledge,
    /// Change settings, members and tokens.
    Administer,
}

/// A project that somebody may do something in.
pub struct Entered {
    /// The store within it.
    pub store: Store,
    /// What the store says of it.
    pub about: Project,
}

/// What a form sends; of two fields with one name the last.
pub type Fields = BTreeMap<String, String>;

impl Visit {
    async fn of(parts: &mut Parts, team: &Team) -> Result<Visit, Problem> {
        let Ok(mut asked) = Asked::from_request_parts(parts, &()).await;
        let cookies = team.cookies();
        let kept = cookies.secret(&parts.headers);
        let is_new = kept.is_none();
        let secret = kept.or_else(Secret::draw).ok_or_else(no_randomness)?;
        let asker = asker(&parts.headers, &secret, is_new, team).await?;
        let account = match &asker {
            Asker::Person(account) => Some(account),
            _ => None,
        };
        let host = asked.host.clone().unwrap_or_default();
        asked.visitor = Some(Visitor {
            name: account.map(|account| account.name.clone()),
            admin: account.is_some_and(|account| account.admin),
            role: None,
            csrf: secret.csrf(),
            server: format!("{}://{host}", cookies.scheme()),
        });
        let client = parts.extensions.get::<Client>().and_then(|Client(address)| *address);
        let address = client.map_or_else(String::new, |address: IpAddr| address.to_string());
        Ok(Visit { asker, secret, is_new, asked, address })
    }

    /// The account of whoever asks.
    pub fn account(&self) -> Option<&Account> {
        match &self.asker {
            Asker::Person(account) => Some(account),
            Asker::Anonymous | Asker::Holder(_) => None,
        }
    }

    /// The account of whoever asks, who must have signed in.
    pub fn person(&self) -> Result<&Account, Problem> {
        self.account().ok_or_else(|| Problem::Forbidden("Sign in to do this.".to_string()))
    }

    /// The account of an administrator of the server, who must ask. Others are told as much as of any other address.
    pub fn administrator(&self) -> Result<&Account, Problem> {
        let account = self.account().filter(|account| account.admin);
        account.ok_or_else(|| Problem::NotFound(NOWHERE.to_string()))
    }

    /// Who does something now.
    pub fn by(&self) -> By<'_> {
        By { who: self.account().map_or("somebody", |account| &account.name), at: now() }
    }

    /// Where they sign in, and then come back.
    pub fn sign_in(&self) -> Answer {
        let frame = Frame::of_server(&self.asked, "", "");
        elsewhere(StatusCode::SEE_OTHER, &frame.sign_in())
    }

    /// A page with a form, which their browser must have a secret for.
    pub fn with_form(&self, team: &Team, mut response: Response) -> Response {
        if self.is_new {
            response.headers_mut().append(SET_COOKIE, team.cookies().keep(&self.secret, None));
        }
        response
    }

    /// Enters the project of this name to do something; what they may do there is known to pages from then on.
    pub async fn enter(&mut self, name: &str, right: Right, team: &Team) -> Result<Entered, Problem> {
        let nowhere = || Problem::NotFound(NOWHERE.to_string());
        // The project without a name is a checkout's.
        let store = if name.contains('/') { team.store().project(name).await? } else { None };
        let store = store.ok_or_else(nowhere)?;
        let about = store.about().await?;
        let role = match &self.asker {
            Asker::Anonymous => None,
            Asker::Person(account) if account.admin => Some(Role::Admin),
            Asker::Person(account) => store.role_of(account).await?,
            Asker::Holder(holder) => {
                let reads = holder.project == about.name && holder.scopes.contains(&Scope::Read);
                reads.then_some(Role::Reader)
            }
        };
        if role.is_none() && about.visibility == Visibility::Private {
            return Err(nowhere());
        }
        let needed = match right {
            Right::Read => None,
            Right::Acknowledge => Some(Role::Writer),
            Right::Administer => Some(Role::Admin),
        };
        if role < needed {
            let name = needed.map_or("", Role::name);
            let sentence =
                format!("In this project that is for those with the role {name}, and you have not.");
            return Err(Problem::Forbidden(sentence));
        }
        if let Some(visitor) = &mut self.asked.visitor {
            visitor.role = role;
        }
        Ok(Entered { store, about })
    }

    /// The projects that they may see.
    pub async fn projects(&self, team: &Team) -> Result<Vec<Project>, Problem> {
        let mut projects = team.store().projects().await?;
        let roles = match self.account() {
            Some(account) => team.store().roles_of(account).await?,
            None => BTreeMap::new(),
        };
        let sees_all = self.account().is_some_and(|account| account.admin);
        projects.retain(|project| {
            let is_seen = self.asker.sees(&project.name, project.visibility);
            !project.name.is_empty() && (is_seen || sees_all || roles.contains_key(&project.name))
        });
        Ok(projects)
    }
}

/// No secret can be drawn.
pub fn no_randomness() -> Problem {
    Problem::Inside("the system has no randomness to give".to_string())
}

/// Who asks: by a token, if one is shown, else by a session.
async fn asker(headers: &HeaderMap, secret: &Secret, is_new: bool, team: &Team) -> Result<Asker, Problem> {
    if headers.contains_key(AUTHORIZATION) {
        return by_header(headers, team.store()).await.map_err(|problem| match problem {
            ApiProblem::Token => Problem::Token,
            other => Problem::Inside(other.to_string()),
        });
    }
    if is_new {
        return Ok(Asker::Anonymous);
    }
    let account = team.store().session(&secret.digest(), now()).await?;
    Ok(account.map_or(Asker::Anonymous, Asker::Person))
}

/// A problem, within the frame of the server.
pub fn problem(team: &Team, asked: &Asked, problem: &Problem) -> Response {
    if let Some(text) = problem.for_the_log() {
        team.log(&format!("{}: {text}", asked.path));
    }
    answer::problem_in(Frame::of_server(asked, problem.title(), ""), asked, problem)
}

/// Whoever asks, or why nobody can be found out.
async fn visit(parts: &mut Parts, team: &Team) -> Result<Visit, Box<Response>> {
    match Visit::of(parts, team).await {
        Ok(visit) => Ok(visit),
        Err(error) => {
            let Ok(asked) = Asked::from_request_parts(parts, &()).await;
            Err(Box::new(problem(team, &asked, &error)))
        }
    }
}

/// A page that is looked at.
pub fn looking<F, Fut>(handler: F) -> MethodRouter<Team>
where
    F: Fn(Team, Visit, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    get(async move |State(team): State<Team>, request: Request| {
        let (mut parts, body) = request.into_parts();
        let visit = match visit(&mut parts, &team).await {
            Ok(visit) => visit,
            Err(response) => return *response,
        };
        let asked = visit.asked.clone();
        let answer = handler(team.clone(), visit, Request::from_parts(parts, body)).await;
        answer.unwrap_or_else(|error| problem(&team, &asked, &error))
    })
}

/// What a form is sent to. What no form of this site, in the same browser, has sent gets no further.
pub fn sending<F, Fut>(handler: F) -> MethodRouter<Team>
where
    F: Fn(Team, Visit, Fields) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    post(async move |State(team): State<Team>, request: Request| {
        let (mut parts, body) = request.into_parts();
        let visit = match visit(&mut parts, &team).await {
            Ok(visit) => visit,
            Err(response) => return *response,
        };
        let asked = visit.asked.clone();
        let answer = async {
            let fields = fields(&parts.headers, &visit, body).await?;
            handler(team.clone(), visit, fields).await
        };
        answer.await.unwrap_or_else(|error| problem(&team, &asked, &error))
    })
}

async fn fields(headers: &HeaderMap, visit: &Visit, body: Body) -> Result<Fields, Problem> {
    let forged = || {
        Problem::Forbidden(
            "This form was not made here, or is too old. Go back, reload the page, and send it again."
                .to_string(),
        )
    };
    // Browsers say where a form was; what says nothing is no browser, or an old one.
    let from = headers.get("sec-fetch-site").map(|from| from.as_bytes());
    if !matches!(from, None | Some(b"same-origin" | b"none")) {
        return Err(forged());
    }
    let body = to_bytes(body, FORM_BYTES).await;
    let body = body.map_err(|_| Problem::Unusable(format!("A form has {FORM_BYTES} bytes at most.")))?;
    let fields: Fields = form_urlencoded::parse(&body).into_owned().collect();
    let shown = fields.get("csrf").map(String::as_str).unwrap_or_default();
    if visit.secret.is_csrf(shown) { Ok(fields) } else { Err(forged()) }
}

/// What a field says, without spaces around it.
pub fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(|value| value.trim()).unwrap_or_default()
}
