//! The measured commits of a branch, each against the one that was measured before it.

use askama::Template;
use invar_core::report::{Brief, Judgement};
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::Listing;

use super::frame::Frame;
use super::runs::{BRANCHES, cursor, cursor_text};
use crate::address::Links;
use crate::answer::{Answer, csv_text, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::words::{moment, rfc3339, short};

/// How many are on a page.
const ON_A_PAGE: u32 = 30;

#[derive(Template)]
#[template(path = "commits.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    branches: Vec<String>,
    branch: String,
    next: Option<String>,
    paged: bool,
    only_changes: bool,
    first: String,
    all: String,
    changed: String,
}

/// A commit in a list.
pub struct Row {
    /// The commit's first digits.
    pub short: String,
    /// The first line of its message.
    pub message: String,
    /// When it was measured, for people.
    pub moment: String,
    /// The same for machines.
    pub datetime: String,
    /// Where it is shown.
    pub href: String,
    /// Where it is compared with the one before.
    pub compare: Option<String>,
    /// The one before, by its first digits.
    pub base: String,
    /// How it did.
    pub brief: Option<Brief>,
    /// How many benchmarks it has.
    pub measured: usize,
    /// How many failed.
    pub failed: usize,
    /// Was it measured whole?
    pub complete: bool,
}

impl Row {
    /// The row of a commit.
    pub fn of(judgement: &Judgement, links: &Links) -> Row {
        let run = &judgement.run;
        let name = |run: &invar_core::run::Summary| match &run.commit {
            Some(commit) => short(commit).to_string(),
            None => run.title.clone(),
        };
        Row {
            short: name(run),
            message: run.message.clone().unwrap_or_default(),
            moment: moment(run.started),
            datetime: rfc3339(run.started),
            href: match &run.commit {
                Some(commit) if !run.dirty => links.commit(commit),
                _ => links.run(&run.id),
            },
            compare: judgement.base.as_ref().map(|base| links.compare(&base.id, &run.id)),
            base: judgement.base.as_ref().map(name).unwrap_or_default(),
            brief: judgement.brief.clone(),
            measured: run.measured,
            failed: run.failed,
            complete: run.incomplete.is_none(),
        }
    }
}

/// The list.
pub async fn commits(app: App, asked: Asked) -> Answer {
    let after = asked.value("after").map(cursor).transpose()?;
    let branch = match asked.value("branch") {
        Some(branch) => Some(branch.to_string()),
        None => app.branch().await?,
    };
    let listing =
        Listing { branch: branch.clone(), after: after.clone(), limit: ON_A_PAGE + 1, ..Listing::default() };
    let mut commits = app.store().commits(&listing).await?;
    // One more than is shown: the last one shown is judged by it.
    let before = if commits.len() > ON_A_PAGE as usize { commits.pop() } else { None };
    let next =
        commits.last().filter(|_| before.is_some()).map(|last| asked.with("after", &cursor_text(last)));
    let mut judgements = app.judgements(&commits, before.as_ref()).await?;
    let only_changes = asked.value("show") == Some("changes");
    if only_changes {
        judgements.retain(|judgement| judgement.brief.as_ref().is_some_and(changed));
    }
    match asked.form {
        Form::Json => return json_text(wire::history::commits(branch.as_deref(), &judgements)),
        Form::Csv => return csv_text(csv::judgements(&judgements)),
        Form::Html => {}
    }
    page(&Page {
        frame: Frame::new(&app, &asked, "Commits", "/commits"),
        rows: judgements.iter().map(|judgement| Row::of(judgement, app.links())).collect(),
        branches: app.store().branches(BRANCHES).await?,
        branch: branch.unwrap_or_default(),
        next,
        paged: after.is_some(),
        only_changes,
        first: asked.with("after", ""),
        all: asked.with("show", ""),
        changed: asked.with("show", "changes"),
    })
}

fn changed(brief: &Brief) -> bool {
    let counts = brief.counts;
    counts.improved + counts.regressed + counts.new + counts.dropped + counts.failed > 0
}
