//! One commit: what it did to every benchmark, against the commit before it.

use askama::Template;
use axum::http::StatusCode;
use invar_core::report::{Report, ReportOptions};
use invar_core::run::{Run, Summary};
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::{Comparable, Wanted};

use super::comparison::Body;
use super::frame::Frame;
use crate::address::Links;
use crate::answer::{Answer, csv_text, elsewhere, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::baseline::{self, Reason};
use crate::problem::Problem;
use crate::words::{self, moment, rfc3339, short};

#[derive(Template)]
#[template(path = "commit.html")]
struct Page {
    frame: Frame,
    commit: String,
    message: String,
    author: String,
    moment: String,
    datetime: String,
    branch: Option<(String, String)>,
    tags: Vec<String>,
    run: (String, String),
    /// The commit that it is judged by: its first digits, and where it is.
    before: Option<(String, String)>,
    reason: String,
    compare: String,
    body: Option<Body>,
    headline: String,
    measured: usize,
}

/// The page.
pub async fn commit(app: App, asked: Asked) -> Answer {
    let links = app.links();
    let name = asked.after("/commits/");
    let commits = app.store().commits_starting(&name).await?;
    let commit = match &commits[..] {
        [commit] if *commit == name => commit.clone(),
        [commit] => {
            let address = format!("{}{}", links.commit(commit), asked.form.ending());
            return elsewhere(StatusCode::SEE_OTHER, &address);
        }
        [] => return Err(Problem::NotFound(format!("`{name}` is no measured commit."))),
        _ => {
            return Err(Problem::Unusable(format!(
                "`{name}` could be any of several commits: write more of it."
            )));
        }
    };
    let summary = app.store().latest(&Wanted { commit: Some(commit.clone()), ..Wanted::default() }).await?;
    let Some(summary) = summary else {
        return Err(Problem::NotFound(format!("`{name}` is a commit of which nothing was measured.")));
    };
    let run = app.run(&summary.id).await?;
    let base = before(&app, &run).await?;
    let base_run = match &base {
        Some((base, _)) => app.run_if_readable(&base.id).await?,
        None => None,
    };
    let Some(((base, reason), base_run)) = base.zip(base_run) else {
        return alone(&app, &asked, &run, &summary, &commit);
    };
    let body = Body::of(&app, &asked, (&base_run, &run), ReportOptions::default()).await?;
    if let Some(twin) = body.twin(asked.form) {
        return twin;
    }
    let title = format!("Commit {}", short(&commit));
    page(&Page {
        before: base.commit.as_ref().map(|commit| (short(commit).to_string(), links.commit(commit))),
        reason: words::plain(&reason.to_string()),
        compare: links.compare(&base.id, &run.id),
        headline: body.headline.clone(),
        body: Some(body),
        ..Page::of((Frame::new(&app, &asked, &title, "/commits"), links), &run, &summary, commit)
    })
}

/// The page of a commit that nothing comes before.
fn alone(app: &App, asked: &Asked, run: &Run, summary: &Summary, commit: &str) -> Answer {
    let report = Report::without_baseline(run, app.policy(), ReportOptions::default());
    match asked.form {
        Form::Json => return json_text(wire::report::write(&report)),
        Form::Csv => return csv_text(csv::run(run)),
        Form::Html => {}
    }
    let frame = Frame::new(app, asked, &format!("Commit {}", short(commit)), "/commits");
    page(&Page {
        headline: words::plain(&report.headline),
        ..Page::of((frame, app.links()), run, summary, commit.to_string())
    })
}

impl Page {
    fn of((frame, links): (Frame, &Links), run: &Run, summary: &Summary, commit: String) -> Page {
        let source = run.source.clone().unwrap_or_default();
        let at = source.committed.unwrap_or(run.started);
        Page {
            frame,
            commit,
            message: source.message.unwrap_or_default(),
            author: source.author.unwrap_or_default(),
            moment: moment(at),
            datetime: rfc3339(at),
            branch: source
                .branch
                .filter(|branch| source.default_branch.as_ref() != Some(branch))
                .map(|branch| (links.pull(&branch), branch)),
            tags: source.tags,
            run: (summary.title.clone(), links.run(&run.id)),
            before: None,
            reason: String::new(),
            compare: String::new(),
            body: None,
            headline: String::new(),
            measured: summary.measured,
        }
    }
}

/// What a commit is judged by on its own page: the commit before it, and where that was not measured what its run is.
async fn before(app: &App, run: &Run) -> Result<Option<(Summary, Reason)>, Problem> {
    let source = run.source.as_ref();
    if let Some(parent) = source.and_then(|source| source.parents.first()) {
        let wanted = Wanted {
            commit: Some(parent.clone()),
            dirty: Some(false),
            comparable: Some(Comparable::with(run)),
            ..Wanted::default()
        };
        if let Some(found) = app.store().latest(&wanted).await? {
            return Ok(Some((found, Reason::Parent)));
        }
    }
    Ok(baseline::choose(app.store(), run).await?)
}
