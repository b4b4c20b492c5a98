//! What whoever watches a server asks, on a port of its own: `/metrics`, `/readyz`, `/healthz`.
//!
//! Apart from the site, since what a server does is not for everybody who may see what it shows.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use invar_store::Store;

use super::Edge;
use super::metrics::number;
use crate::answer::typed;
use crate::pages::health;
use crate::team::Team;

/// What is watched.
#[derive(Clone)]
pub struct Watched {
    /// The edge of the site.
    pub edge: Edge,
    /// What the site shows.
    pub store: Store,
    /// Where the site takes runs: what takes them.
    pub team: Option<Team>,
}

/// The site of whoever watches.
pub fn router(watched: Watched) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(ready))
        .with_state(watched)
}

async fn metrics(State(watched): State<Watched>) -> Response {
    let mut text = watched.edge.metrics().text();
    let connections = watched.store.connections();
    let name = |what| format!("invar_database_connections_{what}");
    number(&mut text, &name("open"), "gauge", "Connections to the database.", connections.open);
    number(&mut text, &name("idle"), "gauge", "Those that are not in use.", connections.idle);
    number(&mut text, &name("max"), "gauge", "The most that there can be.", connections.most);
    if let Some(team) = &watched.team {
        let memory = team.memory();
        let help = "Memory that uploads hold which are under way.";
        number(&mut text, "invar_uploads_memory_bytes", "gauge", help, memory.taken());
        number(
            &mut text,
            "invar_uploads_memory_max_bytes",
            "gauge",
            "The most that they may hold.",
            memory.most(),
        );
        let removed = team.removed();
        let (blobs, bytes) = (removed.blobs.load(Ordering::Relaxed), removed.bytes.load(Ordering::Relaxed));
        number(
            &mut text,
            "invar_collected_blobs_total",
            "counter",
            "Blobs that no row named, removed.",
            blobs,
        );
        number(&mut text, "invar_collected_bytes_total", "counter", "Bytes of these.", bytes);
    }
    if let Some(bytes) = resident() {
        number(&mut text, "process_resident_memory_bytes", "gauge", "Memory of the process.", bytes);
    }
    typed("text/plain; version=0.0.4; charset=utf-8", text)
}

async fn ready(State(watched): State<Watched>) -> Response {
    let ready = match watched.team {
        Some(_) => watched.store.ready_to_take().await,
        None => watched.store.ready().await,
    };
    match ready {
        Ok(()) => typed("text/plain; charset=utf-8", "ready\n".to_string()),
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            watched.edge.log(&format!("/readyz: {error}{cause}"));
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: why is in the server's log\n").into_response()
        }
    }
}

/// Memory of this process that is not swapped out, in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
