//! Benchmarks that decide nothing, as programs say so: with a reason, until it is taken back.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use invar_store::By;
use serde_json::{Value, json};

use super::Team;
use super::access::now;
use super::api::{ApiAnswer, Parts, administered, entered, gone, json_answer, small};
use super::people::sentence;
use super::problem::ApiProblem;
use super::token::Scope;
use super::upload;

/// The longest reason, in bytes.
const REASON_BYTES: usize = 2000;

/// Why that is no reason; `None`: it is one.
pub fn refusal(reason: &str) -> Option<String> {
    let is_one = !reason.is_empty() && reason.len() <= REASON_BYTES && !reason.chars().any(char::is_control);
    (!is_one).then(|| format!("A benchmark is ignored with a reason, of {REASON_BYTES} bytes at most."))
}

/// What is ignored.
pub async fn ignored(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Read).await?;
    let ignored = store.ignored().await?.into_iter().map(|one| {
        json!({
            "number": one.number, "benchmark": one.benchmark, "reason": one.reason, "who": one.who,
            "at_us": one.at.0,
        })
    });
    Ok(json_answer(&json!({"ignored": ignored.collect::<Vec<Value>>()})))
}

/// Ignores a benchmark: `{"benchmark": "t.py::a", "reason": "it waits for a disk"}`.
pub async fn ignore(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let wanted = small(&team, &headers, body).await?;
    let [benchmark, reason] =
        ["benchmark", "reason"].map(|name| wanted[name].as_str().unwrap_or_default().trim());
    if let Err(refused) = upload::name("the name of a benchmark", benchmark) {
        return Err(ApiProblem::Unusable(sentence(&refused)));
    }
    if let Some(why) = refusal(reason) {
        return Err(ApiProblem::Unusable(why));
    }
    let number = store.ignore_benchmark(benchmark, reason, By { who: &asker.who(), at: now() }).await?;
    Ok((StatusCode::CREATED, json_answer(&json!({"number": number}))).into_response())
}

/// A benchmark decides again.
pub async fn regard(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let undone = match parts["number"].parse::<i64>() {
        Ok(number) => store.undo_ignoring(number, By { who: &asker.who(), at: now() }).await?,
        Err(_) => false,
    };
    gone(undone, "Nothing that is ignored has this number.")
}
