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
    // The theme is in a cookie, and who asks in a cookie or a token.
    (header::VARY, "Cookie, Authorization"),
];

/// Address and handler of every page of a project. All of them only read.
fn pages() -> Vec<(String, MethodRouter<App>)> {
    let mut pages = vec![("/".to_string(), page(overview::overview))];
    for form in ["", ".json", ".csv"] {
        let at = |path: &str| format!("{path}{form}");
        pages.push((at("/overview"), page(overview::overview)));
        pages.push((at("/commits"), page(commits::commits)));
        pages.push((at("/runs"), page(runs::runs)));
        pages.push((at("/pulls"), page(pulls::pulls)));
        pages.push((at("/benchmarks"), page(benchmarks::benchmarks)));
    }
    let others: [(&str, MethodRouter<App>); 11] = [
        // What is found is no table.
        ("/search", page(search::search)),
        ("/search.json", page(search::search)),
        ("/commits/{*commit}", page(commit::commit)),
        ("/pulls/{*branch}", page(pulls::pull)),
        ("/runs/{*id}", page(run::run)),
        ("/compare", page(compare::choose)),
        ("/compare/{*sides}", page(compare::compare)),
        ("/b/{*name}", page(benchmark::benchmark)),
        ("/badge.svg", page(badge::svg)),
        ("/badge.json", page(badge::json)),
        ("/changes.atom", page(feed::atom)),
    ];
    pages.extend(others.map(|(path, handler)| (path.to_string(), handler)));
    pages
}

/// The address of every page of a project, below the project's own.
pub fn page_addresses() -> Vec<String> {
    pages().into_iter().map(|(path, _)| path).collect()
}

/// The pages of a project, and what is said of what is no page.
pub(crate) fn pages_router() -> Router<App> {
    let router = pages().into_iter().fold(Router::new(), |router, (path, page)| router.route(&path, page));
    router.fallback(nowhere).method_not_allowed_fallback(wrong_method)
}

/// What pages name.
pub(crate) fn with_assets<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    assets::all().into_iter().fold(router, |router, asset| {
        router.route(&asset.address(), get(move || async move { asset.answer() }))
    })
}

/// The site.
pub fn router(site: Site) -> Router {
    with_assets(pages_router())
        .route("/theme", post(theme::choose))
        .route("/healthz", get(health::alive))
        .route("/readyz", page(health::ready))
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
        let asked = asked.of(app.links());
        let answer = handler(app.clone(), asked.clone()).await;
        answer.unwrap_or_else(|problem| answer::problem(&app, &asked, &problem))
    })
}

async fn nowhere(State(app): State<App>, asked: Asked) -> Response {
    let asked = asked.of(app.links());
    answer::problem(&app, &asked, &Problem::NotFound("There is no page at this address.".to_string()))
}

async fn wrong_method(State(app): State<App>, asked: Asked) -> Response {
    let asked = asked.of(app.links());
    answer::problem(&app, &asked, &Problem::Method)
}

pub(crate) async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        // A page whose forms lead elsewhere has said so.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Lets the forms of a page lead to these servers, too: browsers ask the policy where a form leads in the end.
pub(crate) fn with_forms_to(mut response: Response, servers: &[&str]) -> Response {
    let own = "form-action 'self'";
    let policy = CONTENT_SECURITY_POLICY.replace(own, &format!("{own} {}", servers.join(" ")));
    if let (false, Ok(policy)) = (servers.is_empty(), HeaderValue::from_str(&policy)) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
