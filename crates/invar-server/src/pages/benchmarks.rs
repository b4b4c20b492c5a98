//! Every benchmark of the newest commits, with what it did lately.

use std::time::Duration;

use askama::Template;
use invar_core::benchmark::Benchmark;
use invar_core::config::Policy;
use invar_core::history::Series;
use invar_core::number;
use invar_core::number::plural;
use invar_core::wire;
use invar_core::wire::csv;

use super::frame::Frame;
use super::runs::BRANCHES;
use crate::address::Links;
use crate::answer::{Answer, csv_text, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::chart::{Sparkline, sparkline};
use crate::words::{Shown, change};

/// How many commits a small line goes back.
pub const COMMITS: u32 = 30;
/// How many benchmarks are on a page: each is a line of its own.
const ON_A_PAGE: usize = 500;

#[derive(Template)]
#[template(path = "benchmarks.html")]
struct Page {
    frame: Frame,
    files: Vec<File>,
    found: usize,
    branches: Vec<String>,
    branch: String,
    query: String,
    commits: String,
    machine: String,
    instrument: &'static str,
    sort: Sort,
    sorts: Vec<(Sort, String)>,
    is_empty: bool,
    before: Option<String>,
    next: Option<String>,
}

/// Benchmarks of a file.
struct File {
    name: String,
    rows: Vec<Row>,
}

/// A benchmark in a list.
pub struct Row {
    /// Its full name.
    pub full_name: String,
    /// The name below that of its file.
    pub name: String,
    /// Where its history is.
    pub href: String,
    /// Simulated time of its newest result.
    pub time: String,
    /// What it did from the result before.
    pub step: Option<Shown>,
    /// What it did from the oldest result of the small line.
    pub over_all: Option<Shown>,
    /// The small line.
    pub sparkline: Option<Sparkline>,
    /// The small line in words.
    pub words: String,
    /// Is it missing from the newest commit?
    pub missing: bool,
}

/// What the list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Change,
    Time,
}

impl Sort {
    const ALL: [Sort; 3] = [Sort::Name, Sort::Change, Sort::Time];

    const fn name(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Change => "change",
            Sort::Time => "time",
        }
    }
}

impl Row {
    /// The row of a series; `newest` is the newest run of the list.
    pub fn of(series: &Series, newest: Option<&str>, policy: &Policy, links: &Links) -> Row {
        let benchmark = Benchmark::named(&series.benchmark);
        let last = series.points.len().saturating_sub(1);
        let times: Vec<Duration> = series.points.iter().map(|point| point.reading.time).collect();
        let time = |time: Option<&Duration>| time.map_or_else(String::new, |&time| number::time(time));
        let values: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        Row {
            name: benchmark.short_name().to_string(),
            full_name: series.benchmark.clone(),
            href: links.benchmark(&series.benchmark),
            time: time(times.last()),
            step: change(series.change(last), series.verdict(last, policy)),
            over_all: change(series.over_all(), series.over_all_verdict(policy)),
            sparkline: sparkline(&values),
            words: format!(
                "{}, from {} to {}",
                plural(times.len(), "result"),
                time(times.first()),
                time(times.last())
            ),
            missing: series.newest().map(|point| point.run.id.as_str()) != newest,
        }
    }
}

/// The list.
pub async fn benchmarks(app: App, asked: Asked) -> Answer {
    let branch = match asked.value("branch") {
        Some(branch) => Some(branch.to_string()),
        None => app.branch().await?,
    };
    let recent = app.recent(branch.as_deref(), COMMITS).await?;
    let all = match &recent {
        Some(recent) => app.histories(recent).await?,
        None => Default::default(),
    };
    let policy = app.policy_of(recent.as_ref()).await?;
    let query = asked.value("q").unwrap_or_default().to_string();
    let lower = query.to_lowercase();
    let mut series: Vec<&Series> =
        all.iter().filter(|series| series.benchmark.to_lowercase().contains(&lower)).collect();
    let sort =
        Sort::ALL.into_iter().find(|sort| asked.value("sort") == Some(sort.name())).unwrap_or(Sort::Name);
    match sort {
        Sort::Name => {}
        Sort::Change => series.sort_by(|a, b| moved(b).total_cmp(&moved(a))),
        Sort::Time => series
            .sort_by_key(|series| std::cmp::Reverse(series.newest().map(|point| point.reading.cost.total()))),
    }
    match asked.form {
        Form::Json => return json_text(wire::history::series(series, &policy)),
        Form::Csv => return csv_text(csv::series(series)),
        Form::Html => {}
    }
    let found = series.len();
    let page_number = asked.value("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).max(1);
    let first = (page_number - 1).saturating_mul(ON_A_PAGE).min(found);
    let last = (first + ON_A_PAGE).min(found);
    let newest = recent.as_ref().and_then(|recent| recent.runs.last());
    let newest_id = newest.map(|run| run.id.as_str());
    let mut files: Vec<File> = Vec::new();
    for series in &series[first..last] {
        let row = Row::of(series, newest_id, &policy, app.links());
        let file = Benchmark::named(&series.benchmark).file.unwrap_or_default();
        match files.last_mut().filter(|last| sort != Sort::Name || last.name == file) {
            Some(last) => last.rows.push(row),
            None => files
                .push(File { name: if sort == Sort::Name { file } else { String::new() }, rows: vec![row] }),
        }
    }
    // Where several files are mixed, a name needs its file.
    if sort != Sort::Name {
        for row in files.iter_mut().flat_map(|file| &mut file.rows) {
            row.name.clone_from(&row.full_name);
        }
    }
    let first_page = asked.without("page");
    page(&Page {
        frame: Frame::new(&app, &asked, "Benchmarks", "/benchmarks"),
        found,
        before: (page_number > 1).then(|| asked.with("page", &(page_number - 1).to_string())),
        next: (last < found).then(|| asked.with("page", &(page_number + 1).to_string())),
        files,
        branches: app.store().branches(BRANCHES).await?,
        branch: branch.unwrap_or_default(),
        query,
        commits: plural(recent.as_ref().map_or(0, |recent| recent.runs.len()), "commit"),
        machine: newest.map(|run| run.machine.clone()).unwrap_or_default(),
        instrument: newest.map_or("", |run| run.instrument.name()),
        sort,
        sorts: Sort::ALL.into_iter().map(|sort| (sort, first_page.with("sort", sort.name()))).collect(),
        is_empty: recent.is_none(),
    })
}

/// How far the cost moved over all, in either direction.
pub fn moved(series: &Series) -> f64 {
    series.over_all().map_or(0.0, |change| change.factor())
}
