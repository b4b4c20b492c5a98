//! What pages show, at addresses of the interface for programs: the same data as the pages' twins, by the same handlers.

use axum::extract::{RawQuery, Request, State};
use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

use super::Team;
use super::api::{ApiAnswer, Parts, entered, query_of};
use super::problem::ApiProblem;
use super::token::Scope;
use crate::address;
use crate::address::Links;

/// Asks for the twin at this path below the project, with what is behind the question mark but for these names.
async fn twin(
    team: Team,
    parts: Parts,
    query: Option<String>,
    headers: HeaderMap,
    path: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Result<String, ApiProblem>,
    taken: &[&str],
) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    let named = query_of(query.clone());
    let path = path(&|name| named.get(name).cloned())?;
    let query = query.unwrap_or_default();
    let rest = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !taken.contains(&name.as_ref()));
    let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    let uri = format!("{path}?{rest}").parse::<Uri>();
    let uri = uri.map_err(|_| ApiProblem::Unusable("This address cannot be read.".to_string()))?;
    let mut request = Request::default();
    *request.uri_mut() = uri;
    if let Some(has) = headers.get(IF_NONE_MATCH) {
        request.headers_mut().insert(IF_NONE_MATCH, has.clone());
    }
    let response: Response = team.shown(&store, &store.about().await?).ask(request).await;
    Ok(response.into_response())
}

/// The newest run and how it did, and what needs attention.
pub async fn overview(
    State(team): State<Team>,
    parts: Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    twin(team, parts, query, headers, |_| Ok("/overview.json".to_string()), &[]).await
}

/// Measured commits of a branch, each against the one before it.
pub async fn commits(
    State(team): State<Team>,
    parts: Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    twin(team, parts, query, headers, |_| Ok("/commits.json".to_string()), &[]).await
}

/// Benchmarks with what they did in the newest commits.
pub async fn benchmarks(
    State(team): State<Team>,
    parts: Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    twin(team, parts, query, headers, |_| Ok("/benchmarks.json".to_string()), &[]).await
}

/// The series of a benchmark, `?benchmark=FULL-NAME`.
pub async fn series(
    State(team): State<Team>,
    parts: Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    let path = |value: &dyn Fn(&str) -> Option<String>| match value("benchmark") {
        Some(benchmark) => Ok(format!("{}.json", Links::below("").benchmark(&benchmark))),
        None => Err(ApiProblem::Unusable("Say which: ?benchmark=FULL-NAME".to_string())),
    };
    twin(team, parts, query, headers, path, &["benchmark"]).await
}

/// Two runs, commits or branches side by side, `?base=...&head=...`.
pub async fn comparison(
    State(team): State<Team>,
    parts: Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    let path = |value: &dyn Fn(&str) -> Option<String>| match (value("base"), value("head")) {
        (Some(base), Some(head)) => {
            Ok(format!("/compare/{}...{}.json", address::rest(&base), address::rest(&head)))
        }
        _ => Err(ApiProblem::Unusable("Say which two: ?base=RUN&head=RUN".to_string())),
    };
    twin(team, parts, query, headers, path, &["base", "head"]).await
}
