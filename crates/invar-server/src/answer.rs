//! Answers: pages, JSON, CSV, and problems in the form that was asked for.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::asked::{Asked, Form};
use crate::pages::frame::Frame;
use crate::problem::Problem;

/// What a page becomes.
pub type Answer = Result<Response, Problem>;

/// The types of data.
pub const JSON: &str = "application/json";
/// The same of tables.
pub const CSV: &str = "text/csv; charset=utf-8; header=present";

/// A page.
pub fn page(template: &impl Template) -> Answer {
    Ok(typed("text/html; charset=utf-8", template.render()?))
}

/// JSON.
pub fn json_text(text: String) -> Answer {
    Ok(typed(JSON, text))
}

/// CSV.
pub fn csv_text(text: String) -> Answer {
    Ok(typed(CSV, text))
}

/// Something that is not kept by who asked: it may be another the next time.
pub fn typed(content_type: &'static str, text: String) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

/// Another address, which a browser is to ask for.
pub fn elsewhere(status: StatusCode, address: &str) -> Answer {
    let location = HeaderValue::from_str(address)
        .map_err(|_| Problem::Unusable("The address to go on to cannot be written.".to_string()))?;
    Ok((status, [(LOCATION, location)]).into_response())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    title: &'a str,
    detail: String,
}

/// A problem, as people or as scripts want it.
pub fn problem(app: &App, asked: &Asked, problem: &Problem) -> Response {
    if let Some(text) = problem.for_the_log() {
        app.log(&format!("{}: {text}", asked.address()));
    }
    problem_in(Frame::new(app, asked, problem.title(), ""), asked, problem)
}

/// The same within this frame. Tells no log.
pub fn problem_in(frame: Frame, asked: &Asked, problem: &Problem) -> Response {
    let status = problem.status();
    let detail = problem.to_string();
    if asked.form == Form::Html {
        let page =
            ProblemPage { frame: frame.without_twins(), title: problem.title(), detail: sentence(&detail) };
        let text = page.render().unwrap_or_else(|_| detail.clone());
        return (status, typed("text/html; charset=utf-8", text)).into_response();
    }
    let details = json!({"type": "about:blank", "title": problem.title(), "status": status.as_u16(), "detail": sentence(&detail)});
    (status, typed("application/problem+json", format!("{details}\n"))).into_response()
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}
