//! What branches would do if they were merged: a list of them, and the report of each.
//!
//! Runs say of which branch they are and where it left the default branch; of numbers and states of a forge they know
//! nothing. So a branch counts as open until its newest commit has been measured on the default branch, too.

use askama::Template;
use invar_core::number;
use invar_core::report::{Brief, Judgement, Outcome, ReportOptions};
use invar_core::run::{Run, Summary};
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::{Comparable, Listing, Wanted};

use super::compare::SideShown;
use super::comparison::{Body, mood};
use super::frame::Frame;
use super::runs::BRANCHES;
use crate::address::Links;
use crate::answer::{Answer, csv_text, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::baseline;
use crate::problem::Problem;
use crate::words::{self, moment, rfc3339, short, sign};

/// How many commits of a branch are in its strip.
const STRIP: u32 = 40;

#[derive(Template)]
#[template(path = "pulls.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    merged: usize,
    all: Option<String>,
    is_empty: bool,
    default_branch: String,
}

struct Row {
    branch: String,
    href: String,
    message: String,
    headline: String,
    blocks: bool,
    merged: bool,
    brief: Option<Brief>,
    measured: usize,
    moment: String,
    datetime: String,
}

#[derive(Template)]
#[template(path = "pull.html")]
struct Page {
    frame: Frame,
    branch: String,
    into: String,
    message: String,
    reason: String,
    strip: Vec<Step>,
    sides: Vec<SideShown>,
    compare: String,
    run: (String, String),
    headline: String,
    measured: usize,
    body: Option<Body>,
}

/// A commit of the branch, and what merging it would do.
struct Step {
    short: String,
    href: String,
    message: String,
    class: &'static str,
    sign: &'static str,
    change: String,
    current: bool,
}

/// The list.
pub async fn pulls(app: App, asked: Asked) -> Answer {
    let default_branch = app.branch().await?;
    let everything = asked.value("show") == Some("all");
    let mut judgements = Vec::new();
    let mut merged = 0;
    let mut rows = Vec::new();
    for branch in app.store().branches(BRANCHES).await? {
        if Some(&branch) == default_branch.as_ref() {
            continue;
        }
        let wanted = Wanted { branch: Some(branch.clone()), ..Wanted::default() };
        let Some(run) = app.store().latest(&wanted).await? else { continue };
        let is_merged = is_merged(&app, &run, default_branch.as_deref()).await?;
        merged += usize::from(is_merged);
        if is_merged && !everything {
            continue;
        }
        let judgement = judged(&app, run).await?;
        rows.push(Row::of(&judgement, branch, is_merged, app.links()));
        judgements.push(judgement);
    }
    match asked.form {
        Form::Json => return json_text(wire::history::commits(None, &judgements)),
        Form::Csv => return csv_text(csv::judgements(&judgements)),
        Form::Html => {}
    }
    page(&ListPage {
        frame: Frame::new(&app, &asked, "Pull requests", "/pulls"),
        rows,
        merged,
        all: (merged > 0 && !everything).then(|| asked.with("show", "all")),
        is_empty: default_branch.is_none(),
        default_branch: default_branch.unwrap_or_default(),
    })
}

/// Has the newest commit of a branch come into the default branch?
async fn is_merged(app: &App, run: &Summary, default_branch: Option<&str>) -> Result<bool, Problem> {
    let (Some(commit), Some(branch)) = (&run.commit, default_branch) else { return Ok(false) };
    let wanted =
        Wanted { commit: Some(commit.clone()), branch: Some(branch.to_string()), ..Wanted::default() };
    Ok(app.store().latest(&wanted).await?.is_some())
}

/// A run against its baseline.
async fn judged(app: &App, run: Summary) -> Result<Judgement, Problem> {
    let base = match app.run_if_readable(&run.id).await? {
        Some(whole) => baseline::choose(app.store(), &whole).await?.map(|(base, _)| base),
        None => None,
    };
    let brief = match &base {
        Some(base) => app.judge(base, &run).await?,
        None => None,
    };
    Ok(Judgement { run, base, brief })
}

impl Row {
    fn of(judgement: &Judgement, branch: String, merged: bool, links: &Links) -> Row {
        let run = &judgement.run;
        let brief = judgement.brief.clone();
        Row {
            href: links.pull(&branch),
            message: run.message.clone().unwrap_or_default(),
            headline: brief.as_ref().map_or_else(String::new, |brief| words::plain(&brief.headline)),
            blocks: brief.as_ref().is_some_and(|brief| brief.blocks),
            measured: run.measured,
            moment: moment(run.started),
            datetime: rfc3339(run.started),
            branch,
            brief,
            merged,
        }
    }
}

/// The report of a branch, at its newest commit or at the one that `head` names.
pub async fn pull(app: App, asked: Asked) -> Answer {
    let branch = asked.after("/pulls/");
    let newest = app.store().latest(&Wanted { branch: Some(branch.clone()), ..Wanted::default() }).await?;
    let Some(newest) = newest else {
        return Err(Problem::NotFound(format!("Nothing of a branch `{branch}` has been measured.")));
    };
    let head = match asked.value("head") {
        None => newest,
        Some(commit) => {
            let wanted = Wanted {
                commit: Some(commit.to_string()),
                branch: Some(branch.clone()),
                ..Wanted::default()
            };
            app.store().latest(&wanted).await?.ok_or_else(|| {
                Problem::NotFound(format!("`{commit}` is no measured commit of `{branch}`."))
            })?
        }
    };
    let run = app.run(&head.id).await?;
    let base = baseline::choose(app.store(), &run).await?;
    let base_run = match &base {
        Some((base, _)) => app.run_if_readable(&base.id).await?,
        None => None,
    };
    let body = match &base_run {
        Some(base) => Some(Body::of(&app, &asked, (base, &run), ReportOptions::default()).await?),
        None => None,
    };
    if let Some(body) = &body
        && let Some(twin) = body.twin(asked.form)
    {
        return twin;
    }
    let without = invar_core::report::Report::without_baseline(&run, app.policy(), ReportOptions::default());
    match asked.form {
        Form::Json => return json_text(wire::report::write(&without)),
        Form::Csv => return csv_text(csv::run(&run)),
        Form::Html => {}
    }
    let links = app.links();
    let source = run.source.clone().unwrap_or_default();
    page(&Page {
        frame: Frame::new(&app, &asked, &format!("Pull request {branch}"), "/pulls"),
        into: source.default_branch.unwrap_or_default(),
        message: source.message.unwrap_or_default(),
        reason: base.as_ref().map_or_else(String::new, |(_, reason)| words::plain(&reason.to_string())),
        strip: strip(&app, &asked, &run, base.as_ref().map(|(base, _)| base), &branch).await?,
        sides: base.iter().flat_map(|(base, _)| SideShown::both(base, &head, links)).collect(),
        compare: base.as_ref().map_or_else(String::new, |(base, _)| links.compare(&base.id, &head.id)),
        run: (head.title.clone(), links.run(&head.id)),
        headline: body.as_ref().map_or(words::plain(&without.headline), |body| body.headline.clone()),
        measured: head.measured,
        body,
        branch,
    })
}

/// The commits of a branch, the oldest first, each against the same baseline.
async fn strip(
    app: &App,
    asked: &Asked,
    run: &Run,
    base: Option<&Summary>,
    branch: &str,
) -> Result<Vec<Step>, Problem> {
    let listing = Listing {
        branch: Some(branch.to_string()),
        comparable: Some(Comparable::with(run)),
        limit: STRIP,
        ..Listing::default()
    };
    let commits = app.store().commits(&listing).await?;
    let current = run.source.as_ref().and_then(|source| source.commit.as_deref());
    let mut steps = Vec::new();
    for commit in commits.iter().rev() {
        let Some(id) = &commit.commit else { continue };
        let brief = match base {
            Some(base) => app.judge(base, commit).await?,
            None => None,
        };
        let outcome = brief.map(|brief| brief.outcome);
        let (verdict, change) = match outcome {
            Some(Outcome::Improves(factor)) => ("improved", number::percent(factor - 1.0)),
            Some(Outcome::Degrades(factor)) => ("regressed", number::percent(factor - 1.0)),
            Some(Outcome::Unchanged) => ("unchanged", "0 %".to_string()),
            Some(Outcome::NoBaseline | Outcome::NothingMeasured) | None => ("", String::new()),
        };
        steps.push(Step {
            short: short(id).to_string(),
            href: asked.without("verdict").with("head", id),
            message: commit.message.clone().unwrap_or_default(),
            class: outcome.map_or("none", mood),
            sign: invar_core::compare::Verdict::ALL
                .into_iter()
                .find(|known| known.name() == verdict)
                .map_or("", sign),
            change,
            current: Some(id.as_str()) == current,
        });
    }
    Ok(steps)
}
