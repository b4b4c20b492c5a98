//! A server of many projects: who may do what, uploads, and the interface for programs.
//!
//! Programs show a token. A run is visible whole or not at all: what is uploaded is verified before any of it is kept, and
//! the store keeps it in one transaction. What is answered with 2xx is durable.

pub(crate) mod access;
mod api;
pub mod collector;
pub(crate) mod memory;
mod problem;
pub mod token;
pub mod upload;

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use invar_store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pages::health;
use crate::router::with_headers;
use collector::Removed;
use memory::Memory;
use problem::ApiProblem;
use upload::Limits;

/// Owners that no project can have: their addresses are the server's own.
const RESERVED: [&str; 8] =
    ["api", "assets", "healthz", "readyz", "sign-in", "sign-out", "theme", "projects"];

/// What the interface for programs is described by.
pub const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// A server of many projects, as its handlers have it.
#[derive(Clone)]
pub struct Team(Arc<Inner>);

struct Inner {
    store: Store,
    limits: Limits,
    memory: Memory,
    removed: Removed,
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
            memory,
            removed: Removed::default(),
            readers: Arc::new(Semaphore::new(readers)),
            log,
        }))
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
        ("GET", "/api/v1/projects/{owner}/{name}/runs/{run}", get(api::run)),
        ("GET", "/api/v1/projects/{owner}/{name}/runs/{run}/parcel", get(api::parcel)),
        ("GET", "/api/v1/projects/{owner}/{name}/runs/{run}/profile", get(api::run_profile)),
        ("GET", "/api/v1/projects/{owner}/{name}/tokens", get(api::tokens)),
        ("POST", "/api/v1/projects/{owner}/{name}/tokens", post(api::make_token)),
        ("DELETE", "/api/v1/projects/{owner}/{name}/tokens/{number}", delete(api::revoke_token)),
    ]
}

/// Method and address of everything that programs may ask.
pub fn addresses() -> Vec<(&'static str, &'static str)> {
    routes().into_iter().map(|(method, address, _)| (method, address)).collect()
}

/// The site of many projects.
pub fn router(team: Team) -> Router {
    let mut router = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(ready));
    for (_, address, handler) in routes() {
        router = router.route(address, handler);
    }
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(async || ApiProblem::Method)
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

async fn nowhere() -> ApiProblem {
    ApiProblem::NotFound("There is nothing at this address.".to_string())
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
