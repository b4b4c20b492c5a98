//! Badges for a readme: how the newest run of the default branch did.

use askama::Template;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use invar_core::report::Brief;
use invar_store::Wanted;
use serde_json::json;

use crate::answer::{Answer, json_text, typed};
use crate::app::App;
use crate::asked::Asked;
use crate::baseline;
use crate::problem::Problem;

const LABEL: &str = "performance";

/// What a badge says, and its colour as hexadecimal digits.
struct Said {
    message: String,
    color: &'static str,
}

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge {
    label: &'static str,
    message: String,
    color: &'static str,
    label_width: usize,
    message_width: usize,
}

/// The badge as an image.
pub async fn svg(app: App, _asked: Asked) -> Answer {
    let Said { message, color } = said(&app).await?;
    let width = |text: &str| text.chars().count() * 7 + 12;
    let badge =
        Badge { label: LABEL, label_width: width(LABEL), message_width: width(&message), message, color };
    let mut answer = typed("image/svg+xml", badge.render()?);
    // Proxies of forges keep images as long as they are told to.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    Ok(answer)
}

/// The badge as shields.io wants to be told.
pub async fn json(app: App, _asked: Asked) -> Answer {
    let Said { message, color } = said(&app).await?;
    json_text(format!(
        "{}\n",
        json!({"schemaVersion": 1, "label": LABEL, "message": message, "color": color})
    ))
}

async fn said(app: &App) -> Result<Said, Problem> {
    let wanted = Wanted { branch: app.branch().await?, dirty: Some(false), ..Wanted::default() };
    let Some(newest) = app.store().latest(&wanted).await? else { return Ok(sentence(None)) };
    let Some(run) = app.run_if_readable(&newest.id).await? else { return Ok(sentence(None)) };
    let brief = match baseline::choose(app.store(), &run).await? {
        Some((base, _)) => app.judge(&base, &newest).await?,
        None => None,
    };
    Ok(sentence(brief.as_ref()))
}

fn sentence(brief: Option<&Brief>) -> Said {
    let said = |message: String, color| Said { message, color };
    match brief.map(|brief| brief.counts) {
        None => said("not judged yet".to_string(), "5c6670"),
        Some(counts) if counts.regressed > 0 => said(format!("{} regressed", counts.regressed), "b34700"),
        Some(counts) if counts.improved > 0 => said(format!("{} improved", counts.improved), "006b8f"),
        Some(_) => said("no change".to_string(), "2f6f4f"),
    }
}
