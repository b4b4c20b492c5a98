//! Any two runs, benchmark by benchmark.

use askama::Template;
use axum::http::StatusCode;
use invar_core::report::ReportOptions;
use invar_core::run::Summary;
use invar_store::{Comparable, Listing};

use super::comparison::Body;
use super::flame;
use super::frame::Frame;
use crate::address;
use crate::address::Links;
use crate::answer::{Answer, elsewhere, page};
use crate::app::App;
use crate::asked::Asked;
use crate::baseline;
use crate::problem::Problem;
use crate::words::moment;

/// How many runs can be chosen from.
const CHOICE: u32 = 60;

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    frame: Frame,
    body: Body,
    sides: [SideShown; 2],
    permalink: Option<String>,
    swapped: String,
}

/// A side, as it is introduced above the table.
pub struct SideShown {
    /// What it is compared as.
    pub role: &'static str,
    /// Its run.
    pub title: String,
    /// Where that is.
    pub href: String,
    /// The first line of its commit's message.
    pub message: String,
    /// When it was measured.
    pub moment: String,
}

impl SideShown {
    /// Both sides.
    pub fn both(base: &Summary, head: &Summary, links: &Links) -> [SideShown; 2] {
        [SideShown::of("Baseline", base, links), SideShown::of("Candidate", head, links)]
    }

    /// One.
    pub fn of(role: &'static str, run: &Summary, links: &Links) -> SideShown {
        SideShown {
            role,
            title: run.title.clone(),
            href: links.run(&run.id),
            message: run.message.clone().unwrap_or_default(),
            moment: moment(run.started),
        }
    }
}

#[derive(Template)]
#[template(path = "choose.html")]
struct ChoosePage {
    frame: Frame,
    choices: Vec<(String, String)>,
    base: String,
    head: String,
}

/// Lets two runs be chosen, or goes to those that were.
pub async fn choose(app: App, asked: Asked) -> Answer {
    if let (Some(base), Some(head)) = (asked.value("base"), asked.value("head")) {
        return elsewhere(StatusCode::SEE_OTHER, &app.links().compare(base, head));
    }
    let runs = app.store().runs(&Listing { limit: CHOICE, ..Listing::default() }).await?;
    let choice = |run: &invar_core::run::Summary| {
        let message = run.message.as_deref().unwrap_or_default();
        (run.id.clone(), format!("{} {message} ({})", run.title, moment(run.started)))
    };
    // Of what would be asked most often: the newest run, and its own baseline.
    let head = runs.first().map(|run| run.id.clone()).unwrap_or_default();
    let base = match app.run(&head).await {
        Ok(run) => baseline::choose(app.store(), &run).await?.map(|(base, _)| base.id),
        Err(_) => None,
    };
    page(&ChoosePage {
        frame: Frame::new(&app, &asked, "Compare", "/compare").without_twins(),
        base: asked.value("base").map(str::to_string).or(base).unwrap_or_default(),
        head: asked.value("head").map(str::to_string).unwrap_or(head),
        choices: runs.iter().map(choice).collect(),
    })
}

/// The page.
pub async fn compare(app: App, asked: Asked) -> Answer {
    let sent = asked.after_as_sent("/compare/");
    let Some((base_name, rest)) = sent.split_once("...") else {
        return Err(Problem::Unusable("Two runs are compared as `/compare/BASE...HEAD`.".to_string()));
    };
    let (head_name, benchmark) = match rest.split_once("/b/") {
        Some((head, benchmark)) => (head, Some(address::name(benchmark))),
        None => (rest, None),
    };
    let head = app.pick(&address::name(head_name), None).await?;
    let head_run = app.run(&head.id).await?;
    let base = app.pick(&address::name(base_name), Some(&Comparable::with(&head_run))).await?;
    let base_run = app.run(&base.id).await?;
    if let Some(benchmark) = benchmark {
        return flame::difference(app, asked, (&base_run, &head_run), &benchmark).await;
    }
    let body = Body::of(&app, &asked, (&base_run, &head_run), ReportOptions::default()).await?;
    if let Some(twin) = body.twin(asked.form) {
        return twin;
    }
    let links = app.links();
    let permalink = links.compare(&base.id, &head.id);
    let is_permalink = asked.address() == permalink;
    let title = format!("{} compared with {}", body.report.head_name, body.report.base_name);
    page(&Page {
        frame: Frame::new(&app, &asked, &title, "/compare"),
        sides: SideShown::both(&base, &head, links),
        permalink: (!is_permalink).then_some(permalink),
        swapped: links.compare(&head.id, &base.id),
        body,
    })
}
