//! A server of many projects: who may do what, uploads, and the interface for programs.
//!
//! Programs show a token. A run is visible whole or not at all: what is uploaded is verified before any of it is kept, and
//! the store keeps it in one transaction. What is answered with 2xx is durable.

pub(crate) mod access;
mod acknowledge;
mod admin;
mod api;
pub mod collector;
pub mod forges;
mod ignore;
mod instance;
mod looks;
mod manage;
pub(crate) mod memory;
mod outside;
mod parts;
pub mod password;
mod people;
mod problem;
pub mod publish;
pub mod retention;
mod session;
mod settings;
mod site;
pub mod token;
pub mod upload;
mod visit;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, head, patch, post, put};
use invar_store::Store;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::asked::Asked;
use crate::pages::health;
use crate::problem::Problem;
use crate::router::with_assets;
use crate::router::with_headers;
use collector::Removed;
use forges::Forges;
use memory::Memory;
use problem::ApiProblem;
use publish::issuers::Issuers;
use site::Apps;
use upload::Limits;
use visit::{looking, sending};

pub use instance::BACKUP;
pub use people::first_link;
pub use session::Cookies;

/// Owners that no project can have: their addresses are the server's own.
const RESERVED: [&str; 12] = [
    "account", "admin", "api", "assets", "healthz", "metrics", "projects", "readyz", "setup", "sign-in",
    "sign-out", "theme",
];

/// Where a request comes from, as far as the server's edge knows. Stands in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub Option<IpAddr>);

/// What the interface for programs is described by.
pub const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// A server of many projects, as its handlers have it.
#[derive(Clone)]
pub struct Team(Arc<Inner>);

struct Inner {
    store: Store,
    limits: Limits,
    cookies: Cookies,
    issuers: Issuers,
    forges: Forges,
    apps: Apps,
    memory: Memory,
    removed: Removed,
    /// What this process is called where it says who did something.
    who: String,
    /// Somebody wants a duty to be done now.
    hastened: Notify,
    /// How many uploads are unpacked and read at the same time: each keeps a processor busy.
    readers: Arc<Semaphore>,
    log: fn(&str),
}

impl Team {
    /// A server of the projects of this store. `log` is told, in a line, what went wrong on this side.
    pub fn new(store: Store, limits: Limits, log: fn(&str)) -> Team {
        let memory = Memory::of(limits.memory_bytes);
        let readers = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        Team(Arc::new(Inner {
            store,
            limits,
            cookies: Cookies::Secure,
            issuers: Issuers::default(),
            forges: Forges::default(),
            apps: Apps::default(),
            memory,
            removed: Removed::default(),
            who: "a server".to_string(),
            hastened: Notify::new(),
            readers: Arc::new(Semaphore::new(readers)),
            log,
        }))
    }

    /// The same, whose browsers keep cookies in this way.
    #[must_use]
    pub fn with(mut self, cookies: Cookies) -> Team {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.cookies = cookies;
        }
        self
    }

    /// The same, which believes these issuers what they say of jobs.
    #[must_use]
    pub fn trusting(mut self, issuers: Issuers) -> Team {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.issuers = issuers;
        }
        self
    }

    /// The same, to which people may sign in by these forges.
    #[must_use]
    pub fn known_by(mut self, forges: Forges) -> Team {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.forges = forges;
        }
        self
    }

    /// The same, which is called so where it says who did something.
    #[must_use]
    pub fn called(mut self, who: String) -> Team {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.who = who;
        }
        self
    }

    fn issuers(&self) -> &Issuers {
        &self.0.issuers
    }

    fn forges(&self) -> &Forges {
        &self.0.forges
    }

    fn cookies(&self) -> Cookies {
        self.0.cookies
    }

    fn apps(&self) -> &Apps {
        &self.0.apps
    }

    fn logs_to(&self) -> fn(&str) {
        self.0.log
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn removed(&self) -> &Removed {
        &self.0.removed
    }

    pub(crate) fn who(&self) -> &str {
        &self.0.who
    }

    pub(crate) fn hastened(&self) -> &Notify {
        &self.0.hastened
    }

    pub(crate) fn log(&self, line: &str) {
        (self.0.log)(line);
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// Waits until another upload may be read.
    pub(crate) async fn reader(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0.readers).acquire_owned().await.expect("nobody closes it")
    }
}

/// Can a project be called so, beside the addresses of the server?
pub fn is_reserved(project: &str) -> bool {
    project.split('/').next().is_some_and(|owner| RESERVED.contains(&owner.to_ascii_lowercase().as_str()))
}

/// Method, address and handler of everything that programs may ask.
fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Team>)> {
    vec![
        ("GET", "/api/v1/openapi.json", get(openapi)),
        ("GET", "/api/v1/token", get(api::whoami)),
        ("GET", "/api/v1/projects", get(api::projects)),
        ("GET", "/api/v1/projects/{owner}/{name}", get(api::project)),
        ("GET", "/api/v1/projects/{owner}/{name}/runs", get(api::runs)),
        ("POST", "/api/v1/projects/{owner}/{name}/runs", post(api::put_run)),
        ("POST", "/api/v1/projects/{owner}/{name}/uploads", post(parts::begin)),
        ("HEAD", "/api/v1/projects/{owner}/{name}/uploads/{upload}", head(parts::look)),
        ("PATCH", "/api/v1/projects/{owner}/{name}/uploads/{upload}", patch(parts::go_on)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/uploads/{upload}", delete(parts::give_up)),
        ("GET", "/api/v1/projects/{owner}/{name}/runs/{run}", get(api::run)),
        ("GET", "/api/v1/projects/{owner}/{name}/runs/{run}/parcel", get(api::parcel)),
        ("GET", "/api/v1/projects/{owner}/{name}/runs/{run}/profile", get(api::run_profile)),
        ("GET", "/api/v1/projects/{owner}/{name}/overview", get(looks::overview)),
        ("GET", "/api/v1/projects/{owner}/{name}/commits", get(looks::commits)),
        ("GET", "/api/v1/projects/{owner}/{name}/benchmarks", get(looks::benchmarks)),
        ("GET", "/api/v1/projects/{owner}/{name}/series", get(looks::series)),
        ("GET", "/api/v1/projects/{owner}/{name}/comparison", get(looks::comparison)),
        ("GET", "/api/v1/projects/{owner}/{name}/settings", get(manage::settings)),
        ("PUT", "/api/v1/projects/{owner}/{name}/settings", put(manage::set_settings)),
        ("GET", "/api/v1/projects/{owner}/{name}/retention", get(manage::retention)),
        ("PUT", "/api/v1/projects/{owner}/{name}/retention", put(manage::set_retention)),
        ("GET", "/api/v1/projects/{owner}/{name}/members", get(manage::members)),
        ("PUT", "/api/v1/projects/{owner}/{name}/members/{account}", put(manage::set_member)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/members/{account}", delete(manage::remove_member)),
        ("GET", "/api/v1/projects/{owner}/{name}/tokens", get(api::tokens)),
        ("POST", "/api/v1/projects/{owner}/{name}/tokens", post(api::make_token)),
        ("POST", "/api/v1/projects/{owner}/{name}/tokens/exchange", post(publish::exchange)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/tokens/{number}", delete(api::revoke_token)),
        ("GET", "/api/v1/projects/{owner}/{name}/names", get(api::names)),
        ("POST", "/api/v1/projects/{owner}/{name}/names", post(api::decide_name)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/names/{number}", delete(api::undo_name)),
        ("GET", "/api/v1/projects/{owner}/{name}/ignored", get(ignore::ignored)),
        ("POST", "/api/v1/projects/{owner}/{name}/ignored", post(ignore::ignore)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/ignored/{number}", delete(ignore::regard)),
        ("GET", "/api/v1/projects/{owner}/{name}/publishers", get(api::publishers)),
        ("POST", "/api/v1/projects/{owner}/{name}/publishers", post(api::make_publisher)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/publishers/{number}", delete(api::remove_publisher)),
    ]
}

/// Method and address of everything that programs may ask.
pub fn addresses() -> Vec<(&'static str, &'static str)> {
    routes().into_iter().map(|(method, address, _)| (method, address)).collect()
}

/// Method, address and handler of everything that people may ask. What is sent, a form of this site has to send.
fn site_routes() -> Vec<(&'static str, &'static str, MethodRouter<Team>)> {
    vec![
        ("GET", "/", looking(site::projects)),
        ("GET", "/sign-in", looking(people::sign_in)),
        ("POST", "/sign-in", sending(people::signs_in)),
        ("POST", "/sign-in/{forge}", sending(forges::begins)),
        ("GET", "/sign-in/{forge}/callback", looking(forges::comes_back)),
        ("POST", "/sign-out", sending(people::signs_out)),
        ("GET", "/setup", looking(people::setup)),
        ("POST", "/setup", sending(people::sets_up)),
        ("GET", "/account", looking(people::account)),
        ("POST", "/account", sending(people::changes_password)),
        ("POST", "/account/forges", sending(forges::changes)),
        ("GET", "/admin", looking(admin::admin)),
        ("GET", "/admin/server", looking(instance::server)),
        ("GET", "/admin/server.json", looking(instance::server)),
        ("POST", "/admin/server", sending(instance::hastens)),
        ("POST", "/admin", sending(admin::acts)),
        ("GET", "/{owner}/{name}/settings", looking(settings::settings)),
        ("GET", "/{owner}/{name}/settings/{section}", looking(settings::settings)),
        ("POST", "/{owner}/{name}/settings/{section}", sending(settings::changes)),
        ("POST", "/{owner}/{name}/acknowledge", sending(acknowledge::acknowledge)),
        ("GET", "/{owner}/{name}", looking(site::project)),
        ("GET", "/{owner}/{name}/{*rest}", looking(site::project)),
    ]
}

/// Method and address of everything that people may ask.
pub fn site_addresses() -> Vec<(&'static str, &'static str)> {
    site_routes().into_iter().map(|(method, address, _)| (method, address)).collect()
}

/// The site of many projects.
pub fn router(team: Team) -> Router {
    let mut router = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(ready));
    for (_, address, handler) in routes().into_iter().chain(site_routes()) {
        router = router.route(address, handler);
    }
    with_assets(router)
        .route("/theme", post(site::theme))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        // Handlers read bodies up to limits of their own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(team.clone(), told))
        .layer(map_response(with_headers))
        .with_state(team)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn ready(State(team): State<Team>) -> Result<Response, ApiProblem> {
    team.store().ready_to_take().await?;
    Ok("ready\n".into_response())
}

async fn nowhere(State(team): State<Team>, asked: Asked) -> Response {
    if asked.path.starts_with("/api/") {
        return ApiProblem::NotFound(visit::NOWHERE.to_string()).into_response();
    }
    visit::problem(&team, &asked, &Problem::NotFound(visit::NOWHERE.to_string()))
}

async fn wrong_method(State(team): State<Team>, asked: Asked) -> Response {
    if asked.path.starts_with("/api/") {
        return ApiProblem::Method.into_response();
    }
    visit::problem(&team, &asked, &Problem::Method)
}

/// What is wrong on this side, between a handler and the log.
#[derive(Clone)]
pub(crate) struct ForTheLog(pub(crate) String);

/// Tells the log what went wrong on this side.
async fn told(
    State(team): State<Team>,
    address: Uri,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(ForTheLog(what)) = response.extensions().get() {
        (team.0.log)(&format!("{}: {what}", address.path()));
    }
    response
}
