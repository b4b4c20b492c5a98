//! How the project does: its newest run, what needs attention, the latest commits.

use std::collections::BTreeMap;

use askama::Template;
use invar_core::benchmark::Benchmark;
use invar_core::config::Policy;
use invar_core::history::{Level, Series, levels};
use invar_core::number;
use invar_core::number::plural;
use invar_core::report::{Brief, Judgement};
use invar_core::run::Summary;
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::Listing;

use super::benchmarks::{self, COMMITS, moved};
use super::commits;
use super::frame::Frame;
use crate::address::Links;
use crate::answer::{Answer, csv_text, json_text, page};
use crate::app::{App, Recent};
use crate::asked::{Asked, Form};
use crate::baseline;
use crate::chart::{Chart, ChartPoint, Floor, chart};
use crate::words::{self, day, moment, rfc3339, short};

/// How many of the latest commits, and of the benchmarks that changed most, are shown.
const LATEST: usize = 8;
const MOST_CHANGED: usize = 6;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    branch: String,
    newest: Option<Newest>,
    chart: Option<Chart>,
    chart_words: String,
    attention: Vec<Attention>,
    commits: Vec<commits::Row>,
    most_changed: Vec<benchmarks::Row>,
    benchmarks: usize,
    window: String,
}

/// The newest run of all.
pub struct Newest {
    /// The run.
    pub run: Summary,
    /// Where it is shown.
    pub href: String,
    /// When it started, for people.
    pub moment: String,
    /// The same for machines.
    pub datetime: String,
    /// How it did.
    pub brief: Option<Brief>,
    /// The same as a sentence.
    pub headline: String,
    mood: &'static str,
    base: Option<(Summary, String)>,
    compare: Option<String>,
}

/// Something that somebody should look at.
struct Attention {
    class: &'static str,
    sign: &'static str,
    what: String,
    name: String,
    href: String,
    since: String,
    since_href: String,
}

/// The page.
pub async fn overview(app: App, asked: Asked) -> Answer {
    let branch = app.branch().await?;
    let recent = app.recent(branch.as_deref(), COMMITS).await?;
    let series = match &recent {
        Some(recent) => app.histories(recent).await?,
        None => Default::default(),
    };
    let levels = recent.as_ref().map(|recent| levels(&series, &recent.runs)).unwrap_or_default();
    let policy = app.policy_of(recent.as_ref()).await?;
    let newest = newest(&app).await?;
    match asked.form {
        Form::Json => {
            let newest = newest.map(|newest| Judgement {
                run: newest.run,
                base: newest.base.map(|base| base.0),
                brief: newest.brief,
            });
            let text = wire::history::overview(branch.as_deref(), newest.as_ref(), &levels, &series, &policy);
            return json_text(text);
        }
        Form::Csv => return csv_text(csv::levels(&levels)),
        Form::Html => {}
    }
    let mut runs: Vec<Summary> = recent.as_ref().map(|recent| recent.runs.clone()).unwrap_or_default();
    runs.reverse();
    let before = runs.get(LATEST).cloned();
    runs.truncate(LATEST);
    let judgements = app.judgements(&runs, before.as_ref()).await?;
    let newest_id = recent.as_ref().and_then(|recent| recent.runs.last()).map(|run| run.id.clone());
    let mut most: Vec<&Series> = series.iter().filter(|series| moved(series) > 1.0).collect();
    most.sort_by(|a, b| moved(b).total_cmp(&moved(a)));
    page(&Page {
        frame: Frame::new(&app, &asked, "Overview", "/"),
        branch: branch.unwrap_or_default(),
        attention: attention(&app, recent.as_ref(), &series, &policy).await?,
        chart: chart(&chart_points(&levels, app.links()), Floor::Values, |value| {
            number::change(((value - 1.0) * 1000.0).round() / 1000.0)
        }),
        chart_words: chart_words(&levels),
        commits: judgements.iter().map(|judgement| commits::Row::of(judgement, app.links())).collect(),
        most_changed: most
            .into_iter()
            .take(MOST_CHANGED)
            .map(|series| benchmarks::Row::of(series, newest_id.as_deref(), &policy, app.links()))
            .collect(),
        benchmarks: series.len(),
        window: plural(levels.len(), "commit"),
        newest,
    })
}

/// The newest run of any branch, judged by its own baseline.
pub async fn newest(app: &App) -> Result<Option<Newest>, crate::problem::Problem> {
    let newest = app.store().runs(&Listing { limit: 1, ..Listing::default() }).await?;
    let Some(run) = newest.into_iter().next() else { return Ok(None) };
    let whole = app.run_if_readable(&run.id).await?;
    let base = match &whole {
        Some(whole) => baseline::choose(app.store(), whole).await?,
        None => None,
    };
    let brief = match &base {
        Some((base, _)) => app.judge(base, &run).await?,
        None => None,
    };
    let headline = match (&brief, run.measured) {
        (Some(brief), _) => words::plain(&brief.headline),
        (None, 0) => "Nothing was measured".to_string(),
        (None, measured) => {
            format!("{} measured, nothing to compare with yet", plural(measured, "benchmark"))
        }
    };
    let mood = match brief.as_ref().map(|brief| brief.counts) {
        Some(counts) if counts.regressed > 0 => "regressed",
        Some(counts) if counts.improved > 0 => "improved",
        _ => "unchanged",
    };
    let links = app.links();
    Ok(Some(Newest {
        href: links.run(&run.id),
        moment: moment(run.started),
        datetime: rfc3339(run.started),
        brief,
        headline,
        mood,
        compare: base.as_ref().map(|(base, _)| links.compare(&base.id, &run.id)),
        base: base.map(|(base, reason)| (base, words::plain(&reason.to_string()))),
        run,
    }))
}

/// Regressions that stand, the worst first; then what failed or went missing in the newest run.
async fn attention(
    app: &App,
    recent: Option<&Recent>,
    series: &[Series],
    policy: &Policy,
) -> Result<Vec<Attention>, crate::problem::Problem> {
    let Some(newest) = recent.and_then(|recent| recent.runs.last()) else { return Ok(Vec::new()) };
    let links = app.links();
    let mut standing: Vec<_> =
        series.iter().filter_map(|series| Some((series, series.standing(policy)?))).collect();
    standing.sort_by(|a, b| b.1.change.factor().total_cmp(&a.1.change.factor()));
    let mut all: Vec<Attention> = standing
        .into_iter()
        .map(|(series, standing)| {
            let since = &series.points[standing.since].run;
            let before = &series.points[standing.since - 1].run;
            Attention {
                class: "regressed",
                sign: "▼",
                what: number::change(standing.change.ratio()),
                name: Benchmark::named(&series.benchmark).short_name().to_string(),
                href: links.benchmark(&series.benchmark),
                since: format!(
                    "slower since {}",
                    since.commit.as_deref().map_or(since.title.as_str(), short)
                ),
                since_href: links.compare(&before.id, &since.id),
            }
        })
        .collect();
    let failed = match app.run_if_readable(&newest.id).await? {
        Some(run) => run.failed.clone(),
        None => BTreeMap::new(),
    };
    let of_newest = |sign, what: &str, benchmark: &str, since: String| Attention {
        class: "dropped",
        sign,
        what: what.to_string(),
        name: Benchmark::named(benchmark).short_name().to_string(),
        href: links.benchmark(benchmark),
        since,
        since_href: links.run(&newest.id),
    };
    all.extend(failed.keys().map(|name| of_newest("✗", "failed", name, format!("in {}", newest.title))));
    let missing = series.iter().filter(|series| {
        series.newest().is_some_and(|point| point.run.id != newest.id)
            && !failed.contains_key(&series.benchmark)
    });
    all.extend(
        missing.map(|series| of_newest("−", "missing", &series.benchmark, format!("from {}", newest.title))),
    );
    Ok(all)
}

fn chart_points(levels: &[Level], links: &Links) -> Vec<ChartPoint> {
    let point = |level: &Level| {
        let message = level.run.message.as_deref().unwrap_or_default();
        ChartPoint {
            value: level.ratio,
            title: format!(
                "{} {message}: {} on the commit before",
                level.run.title,
                number::change(level.step)
            ),
            href: match &level.run.commit {
                Some(commit) if !level.run.dirty => links.commit(commit),
                _ => links.run(&level.run.id),
            },
            label: match &level.run.commit {
                Some(commit) => format!("{} · {}", short(commit), day(level.run.started)),
                None => day(level.run.started),
            },
            mark: "",
        }
    };
    levels.iter().map(point).collect()
}

fn chart_words(levels: &[Level]) -> String {
    let last = levels.last().map_or(1.0, |level| level.ratio);
    format!("{}, {} from the first to the last", plural(levels.len(), "commit"), number::change(last - 1.0))
}
