//! Every run there is, newest first, page by page.

use askama::Template;
use invar_core::run::{Summary, Timestamp};
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::{Cursor, Listing};

use super::frame::Frame;
use crate::address::Links;
use crate::answer::{Answer, csv_text, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::problem::Problem;
use crate::words::{moment, rfc3339};

/// How many are on a page.
const ON_A_PAGE: u32 = 50;
/// How many branches can be chosen from.
pub const BRANCHES: u32 = 100;

#[derive(Template)]
#[template(path = "runs.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    branches: Vec<String>,
    branch: String,
    next: Option<String>,
    paged: bool,
}

/// A run in a list.
pub struct Row {
    /// The run.
    pub run: Summary,
    /// Where it is shown.
    pub href: String,
    /// When it started, for people.
    pub moment: String,
    /// The same for machines.
    pub datetime: String,
}

impl Row {
    /// The row of a run.
    pub fn of(run: Summary, links: &Links) -> Row {
        let (moment, datetime) = (moment(run.started), rfc3339(run.started));
        Row { href: links.run(&run.id), moment, datetime, run }
    }
}

/// The list.
pub async fn runs(app: App, asked: Asked) -> Answer {
    let after = asked.value("after").map(cursor).transpose()?;
    let branch = asked.value("branch").map(str::to_string);
    let listing =
        Listing { branch: branch.clone(), after: after.clone(), limit: ON_A_PAGE + 1, ..Listing::default() };
    let mut runs = app.store().runs(&listing).await?;
    let more = runs.len() > ON_A_PAGE as usize;
    runs.truncate(ON_A_PAGE as usize);
    match asked.form {
        Form::Json => return json_text(wire::list::write(&runs)),
        Form::Csv => return csv_text(csv::runs(&runs)),
        Form::Html => {}
    }
    let next = runs.last().filter(|_| more).map(|last| asked.with("after", &cursor_text(last)));
    page(&Page {
        frame: Frame::new(&app, &asked, "Runs", "/runs"),
        rows: runs.into_iter().map(|run| Row::of(run, app.links())).collect(),
        branches: app.store().branches(BRANCHES).await?,
        branch: branch.unwrap_or_default(),
        next,
        paged: after.is_some(),
    })
}

/// The place behind a run, as it stands in an address.
pub fn cursor_text(run: &Summary) -> String {
    format!("{}-{}", run.started.0, run.id)
}

/// Reads [`cursor_text`].
pub fn cursor(text: &str) -> Result<Cursor, Problem> {
    let parts = text.split_once('-').and_then(|(started, id)| Some((started.parse().ok()?, id)));
    let unusable = || Problem::Unusable(format!("`{text}` is no place in a list of runs."));
    let (started, id) = parts.ok_or_else(unusable)?;
    Ok(Cursor { started: Timestamp(started), id: id.to_string() })
}
