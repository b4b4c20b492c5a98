//! The server's edge: what every request passes before a handler sees it, whoever asks for whatever.
//!
//! A name that is not the server's, a client that asks too often, takes too long or never comes to its end, a handler that
//! panics: each is answered here, or cut off, and costs the server nothing else. What went by is counted ([`metrics`]) and
//! handed to whoever keeps a log; nothing is printed. Who may see which project is not decided here.

mod connections;
pub mod host;
pub mod metrics;
mod patient;
mod rate;
pub mod watch;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::json;

use crate::router::with_headers;
use crate::team::Client;
use crate::team::token::Secret;
use host::Hosts;
use metrics::Metrics;
use rate::{Key, Rates};

/// How long an answer may take to be made, and one to a request that sends something, which may be slow.
const ANSWERED: Duration = Duration::from_secs(60);
const TAKEN: Duration = Duration::from_secs(420);
/// How long the head of a request may take, where nobody says.
const HEAD: Duration = Duration::from_secs(30);
/// How many requests one with a token that is worth nothing counts as.
const GUESS: f64 = 20.0;
/// Asked by whoever watches the server, by whatever name.
const WATCHED: [&str; 2] = ["/healthz", "/readyz"];

/// How a server meets the network.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is called.
    pub hosts: Hosts,
    /// How often an address may ask, and a token may be used; `None`: as often as it likes.
    pub requests_per_minute: Option<u32>,
    /// Proxies that say on whose behalf they ask.
    pub proxies: Vec<IpAddr>,
    /// Connections at once. Whoever comes then waits.
    pub connections: usize,
    /// How long the head of a request may take, from when the one before was answered.
    pub head: Duration,
    /// Who is told of every request.
    pub access: Option<fn(&Access)>,
    /// Who is told, in a line, what went wrong on this side.
    pub log: fn(&str),
}

impl Settings {
    /// Nothing is asked of a client but the server's name.
    pub fn new(hosts: Hosts, log: fn(&str)) -> Settings {
        Settings {
            hosts,
            requests_per_minute: None,
            proxies: Vec::new(),
            connections: 500,
            head: HEAD,
            access: None,
            log,
        }
    }
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who asked.
    pub address: Option<IpAddr>,
    /// How.
    pub method: Method,
    /// For what; without what stands behind the question mark.
    pub path: String,
    /// What was answered.
    pub status: StatusCode,
    /// How long it took until the answer was there.
    pub took: Duration,
}

/// The edge of a server.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    settings: Settings,
    rates: Option<Rates>,
    metrics: Metrics,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

impl Edge {
    /// An edge of these settings.
    pub fn new(settings: Settings) -> Edge {
        let rates = settings.requests_per_minute.map(Rates::new);
        Edge(Arc::new(Inner { settings, rates, metrics: Metrics::default() }))
    }

    /// What has gone by.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The site behind this edge.
    pub fn around(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), pass))
    }

    fn log(&self, line: &str) {
        (self.0.settings.log)(line);
    }

    /// Who asks: whoever a proxy that is trusted names last, else whoever is connected.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<Peer>()?.0.ip().to_canonical();
        let is_proxy = |address: &IpAddr| self.0.settings.proxies.contains(address);
        if !is_proxy(&peer) {
            return Some(peer);
        }
        let named = request.headers().get_all("x-forwarded-for").iter();
        let named: Vec<&str> =
            named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
        let mut named = named.into_iter().rev().map_while(|name| name.trim().parse::<IpAddr>().ok());
        Some(named.find(|address| !is_proxy(&address.to_canonical())).unwrap_or(peer))
    }

    /// Why this request gets no further.
    fn refuse(&self, request: &Request, keys: &[Key]) -> Option<Response> {
        let path = request.uri().path();
        if !WATCHED.contains(&path) {
            let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
            if !self.0.settings.hosts.has(host.unwrap_or_default()) {
                let what = "This server is not called so. Who runs it says its name by --public-url.";
                return Some(problem(path, StatusCode::MISDIRECTED_REQUEST, what));
            }
        }
        let rates = self.0.rates.as_ref()?;
        let wait = keys.iter().filter_map(|key| rates.take(key, 1.0, Instant::now()).err()).max()?;
        let mut response =
            problem(path, StatusCode::TOO_MANY_REQUESTS, "That is asked too often. Try again later.");
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        Some(response)
    }
}

/// Passes a request on, and its answer back.
async fn pass(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_string();
    let address = edge.address(&request);
    request.extensions_mut().insert(Client(address));
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_string());
    let keys = if edge.0.rates.is_some() { keys(&request, address) } else { Vec::new() };
    let response = match edge.refuse(&request, &keys) {
        Some(response) => with_headers(response).await,
        None => answered(&edge, request, next, &path).await,
    };
    if let (Some(rates), StatusCode::UNAUTHORIZED, [Key::Address(_), ..]) =
        (&edge.0.rates, response.status(), &keys[..])
    {
        // Already answered; the next one will have to wait.
        let _ = rates.take(&keys[0], GUESS, Instant::now());
    }
    let took = started.elapsed();
    edge.0.metrics.answered(&method, route.as_deref(), response.status(), took);
    if let Some(access) = edge.0.settings.access {
        access(&Access { address, method, path, status: response.status(), took });
    }
    response
}

/// What a handler answers, within its time, or that it panicked.
async fn answered(edge: &Edge, request: Request, next: Next, path: &str) -> Response {
    let patience = if request.method().is_safe() { ANSWERED } else { TAKEN };
    // A handler that panicked leaves nothing behind that others see half done: what they share are maps of what can be
    // read again, and transactions, which did not happen.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            edge.0.metrics.panicked();
            edge.log(&format!("{path}: a handler panicked"));
            let what = "Something is wrong on this side. What it is, is in the server's log.";
            with_headers(problem(path, StatusCode::INTERNAL_SERVER_ERROR, what)).await
        }
        Err(_) => {
            edge.log(&format!("{path}: not answered within {} seconds", patience.as_secs()));
            let what = "This took too long, and was given up.";
            with_headers(problem(path, StatusCode::SERVICE_UNAVAILABLE, what)).await
        }
    }
}

/// Whom a request is counted for: the address that it comes from, and the token that it shows.
fn keys(request: &Request, address: Option<IpAddr>) -> Vec<Key> {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| Secret::read(value.split_once(' ')?.1.trim()));
    let token = token.map(|token| Key::Token(token.digest()));
    address.map(Key::address).into_iter().chain(token).collect()
}

fn problem(path: &str, status: StatusCode, detail: &str) -> Response {
    let is_data = path.starts_with("/api/") || path.ends_with(".json") || path.ends_with(".csv");
    if !is_data {
        return (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{detail}\n"))
            .into_response();
    }
    let title = status.canonical_reason().unwrap_or("Problem");
    let details = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], format!("{details}\n")).into_response()
}
