//! What a server has done, as numbers that Prometheus reads.
//!
//! Routes are told apart, not addresses: no name of a project, a run or a benchmark is in them. Numbers are of this
//! process and start at nothing with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};

/// Where latencies are told apart, in seconds.
const BOUNDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0];

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    routes: Mutex<BTreeMap<(String, String), Route>>,
    connections: AtomicI64,
    panics: AtomicU64,
}

#[derive(Debug, Default)]
struct Route {
    statuses: BTreeMap<u16, u64>,
    /// How many took at most as long as each bound.
    within: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// A request was answered. Without a route it was for nothing that there is.
    pub fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        // Anybody can make a method up.
        let is_known = matches!(
            *method,
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE
        );
        let method = if is_known { method.as_str() } else { "other" };
        let key = (route.unwrap_or("none").to_string(), method.to_string());
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(key).or_default();
        *route.statuses.entry(status.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        for (bound, count) in BOUNDS.iter().zip(&mut route.within) {
            *count += u64::from(seconds <= *bound);
        }
        route.count += 1;
        route.seconds += seconds;
    }

    /// A handler panicked.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more are connected.
    pub fn connected(&self, more: i64) {
        self.connections.fetch_add(more, Ordering::Relaxed);
    }

    /// All of it, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        family(&mut text, "invar_http_requests_total", "counter", "Requests that were answered.");
        for ((route, method), counted) in routes.iter() {
            for (status, count) in &counted.statuses {
                let _ = writeln!(
                    text,
                    "invar_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}"
                );
            }
        }
        let name = "invar_http_request_duration_seconds";
        family(&mut text, name, "histogram", "From the head of a request until its answer was there.");
        for ((route, method), counted) in routes.iter() {
            let labels = format!("route=\"{route}\",method=\"{method}\"");
            for (bound, count) in BOUNDS.iter().zip(counted.within) {
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", counted.count);
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", counted.seconds);
            let _ = writeln!(text, "{name}_count{{{labels}}} {}", counted.count);
        }
        drop(routes);
        number(
            &mut text,
            "invar_connections",
            "gauge",
            "Connections of clients.",
            self.connections.load(Ordering::Relaxed),
        );
        let panics = self.panics.load(Ordering::Relaxed);
        number(&mut text, "invar_panics_total", "counter", "Handlers that panicked.", panics);
        text
    }
}

/// Says what follows.
pub fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A number that stands alone.
pub fn number(text: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    family(text, name, kind, help);
    let _ = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let metrics = Metrics::default();
        let answered = |method: &Method, route, status, millis| {
            metrics.answered(method, route, status, Duration::from_millis(millis));
        };
        answered(&Method::GET, Some("/runs/{*id}"), StatusCode::OK, 4);
        answered(&Method::GET, Some("/runs/{*id}"), StatusCode::NOT_FOUND, 40);
        answered(&"BREW".parse().unwrap(), None, StatusCode::NOT_FOUND, 1);
        let text = metrics.text();
        for line in [
            "invar_http_requests_total{route=\"/runs/{*id}\",method=\"GET\",status=\"404\"} 1",
            "invar_http_requests_total{route=\"none\",method=\"other\",status=\"404\"} 1",
            "invar_http_request_duration_seconds_bucket{route=\"/runs/{*id}\",method=\"GET\",le=\"0.025\"} 1",
            "invar_http_request_duration_seconds_bucket{route=\"/runs/{*id}\",method=\"GET\",le=\"+Inf\"} 2",
            "invar_http_request_duration_seconds_sum{route=\"/runs/{*id}\",method=\"GET\"} 0.044",
            "invar_panics_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
