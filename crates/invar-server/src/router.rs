//! What is where, and what every answer says to a browser about itself.

use std::future::Future;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use crate::answer::{self, Answer};
use crate::app::{App, Site};
use crate::asked::Asked;
use crate::assets;
use crate::pages::{
    badge, benchmark, benchmarks, commit, commits, compare, feed, health, overview, pulls, run, runs, search,
    theme,
};
use crate::problem::Problem;

/// The largest body: nothing but the choice of a theme is ever sent here.
const BODY_BYTES_MOST: usize = 4096;

/// Nothing is loaded from elsewhere, and nothing runs but the site's own files.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                                       img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                                       frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // The theme is in a cookie.
    (header::VARY, "Cookie"),
];

/// The site.
pub fn router(site: Site) -> Router {
    let mut router = Router::new().route("/", page(overview::overview));
    for form in ["", ".json", ".csv"] {
        let at = |path: &str| format!("{path}{form}");
        router = router
            .route(&at("/overview"), page(overview::overview))
            .route(&at("/commits"), page(commits::commits))
            .route(&at("/runs"), page(runs::runs))
            .route(&at("/pulls"), page(pulls::pulls))
            .route(&at("/search"), page(search::search))
            .route(&at("/benchmarks"), page(benchmarks::benchmarks));
    }
    for asset in assets::all() {
        router = router.route(&asset.address(), get(move || async move { asset.answer() }));
    }
    router
        .route("/commits/{*commit}", page(commit::commit))
        .route("/pulls/{*branch}", page(pulls::pull))
        .route("/runs/{*id}", page(run::run))
        .route("/compare", page(compare::choose))
        .route("/compare/{*sides}", page(compare::compare))
        .route("/b/{*name}", page(benchmark::benchmark))
        .route("/badge.svg", page(badge::svg))
        .route("/badge.json", page(badge::json))
        .route("/changes.atom", page(feed::atom))
        .route("/theme", post(theme::choose))
        .route("/healthz", get(health::alive))
        .route("/readyz", page(health::ready))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MOST))
        .layer(map_response(with_headers))
        .with_state(App::new(site))
}

/// A page whose problems are said in the form that was asked for.
fn page<F, Fut>(handler: F) -> MethodRouter<App>
where
    F: Fn(App, Asked) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    get(move |State(app): State<App>, asked: Asked| async move {
        let answer = handler(app.clone(), asked.clone()).await;
        answer.unwrap_or_else(|problem| answer::problem(&app, &asked, &problem))
    })
}

async fn nowhere(State(app): State<App>, asked: Asked) -> Response {
    answer::problem(&app, &asked, &Problem::NotFound("There is no page at this address.".to_string()))
}

async fn wrong_method(State(app): State<App>, asked: Asked) -> Response {
    answer::problem(&app, &asked, &Problem::Method)
}

pub(crate) async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
