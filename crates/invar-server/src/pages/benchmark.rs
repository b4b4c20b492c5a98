//! One benchmark over the commits: a chart, and the same as a table.

use askama::Template;
use invar_core::benchmark::Benchmark;
use invar_core::compare::{Change, Verdict};
use invar_core::config::{Metric, Policy};
use invar_core::cost::{Cycles, Hertz};
use invar_core::event::Event;
use invar_core::history::{Point, Series};
use invar_core::number;
use invar_core::number::plural;
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::{Comparable, Trees};

use super::frame::Frame;
use super::runs::BRANCHES;
use crate::address::Links;
use axum::http::StatusCode;

use super::overlay::{self, Overlay, Overlays};
use crate::answer::{Answer, CSV, JSON, elsewhere, page};
use crate::answers::Kept;
use crate::app::App;
use crate::asked::{Asked, Form, OVER};
use crate::chart::{Chart, ChartPoint, Floor, Overlaid, overlaid};
use crate::problem::Problem;
use crate::words::{self, Shown, day, moment, rfc3339, short};

/// How many points a history shows, if nothing else is asked for; and how many at most.
const POINTS: u32 = 200;
const POINTS_MOST: u32 = 2000;

#[derive(Template)]
#[template(path = "benchmark.html")]
struct Page {
    frame: Frame,
    full_name: String,
    file: String,
    name: String,
    source: Option<String>,
    chart: Option<Chart>,
    chart_words: String,
    metric: &'static str,
    metrics: Vec<&'static str>,
    branch: String,
    branches: Vec<String>,
    zero: bool,
    elsewhere: bool,
    /// What runs called it before.
    before: Vec<String>,
    archived: bool,
    /// Who says that it decides nothing, and why.
    ignored: Option<String>,
    /// What follows the address of the settings of benchmarks, for this one.
    named_in: String,
    all_trees: bool,
    machine: String,
    instrument: &'static str,
    ways: Vec<(String, String, bool)>,
    rows: Vec<Row>,
    overlays: Vec<Overlay>,
    /// What else may be laid over, by kind.
    more_overlays: Vec<(&'static str, Vec<(String, String)>)>,
    /// What is laid over, as it was asked for.
    over: Vec<String>,
    newest: Option<Newest>,
    standing: Option<String>,
    more: Option<String>,
    flame: Option<String>,
    flame_change: Option<String>,
    /// An address of a comparison, with `BASE` and `HEAD` for the runs.
    between: String,
}

/// The newest result in a few numbers.
struct Newest {
    time: String,
    cycles: String,
    instructions: String,
    shares: Vec<(&'static str, String)>,
    step: Option<Shown>,
}

/// A point in the table.
pub struct Row {
    run: String,
    raw: u64,
    seconds: i64,
    title: String,
    message: String,
    href: String,
    moment: String,
    datetime: String,
    value: String,
    change: Option<Shown>,
    compare: Option<String>,
    diagnostics: Vec<&'static str>,
}

/// The page.
pub async fn benchmark(app: App, asked: Asked) -> Answer {
    let full_name = asked.after("/b/");
    // What is kept of data is of a revision that was read before anything that it was made of.
    let (revision, address) = (app.store().revision().await?, asked.twin(asked.form));
    if let Some(kept) = app.answers().find(&address, revision).filter(|_| asked.form != Form::Html) {
        return Ok(kept.to(asked.has.as_deref()));
    }
    let names = app.names().await?;
    let today = names.today(&full_name);
    if today != full_name {
        // Where its history goes on.
        let address = app.links().benchmark(today);
        let query = asked.here().split_once('?').map_or_else(String::new, |(_, query)| format!("?{query}"));
        return elsewhere(StatusCode::SEE_OTHER, &format!("{address}{}{query}", asked.form.ending()));
    }
    let before: Vec<String> = names.before(&full_name).map(str::to_string).collect();
    let ways = app.ways(&full_name).await?;
    let number = asked.value("way").and_then(|way| way.parse::<usize>().ok()).unwrap_or(0);
    let Some(way) = ways.get(number) else {
        return Err(Problem::NotFound(format!("No benchmark `{full_name}` has been measured in this way.")));
    };
    let branch = match asked.value("branch") {
        Some("*") => None,
        Some(branch) => Some(branch.to_string()),
        None => app.branch().await?,
    };
    let limit =
        asked.value("points").and_then(|points| points.parse().ok()).unwrap_or(POINTS).clamp(1, POINTS_MOST);
    let asked_for_all = asked.value("trees") == Some("all");
    let history =
        async |branch: Option<&str>, trees| app.history(&full_name, way, branch, trees, limit).await;
    let trees = if asked_for_all { Trees::All } else { Trees::Clean };
    let mut series = history(branch.as_deref(), trees).await?;
    let mut from_elsewhere = false;
    if series.points.is_empty() && asked.query.is_empty() {
        // Rather what is there, and said to be from elsewhere, than an empty page.
        series = history(None, Trees::All).await?;
        from_elsewhere = true;
    }
    let policy = app.policy_by(way).await?;
    let asking = Overlays { benchmark: &full_name, way, branch: branch.as_deref(), trees, limit };
    let over = asking.found(&app, &asked).await?;
    if asked.form != Form::Html {
        let mut all = vec![series];
        all.extend(over.into_iter().map(|(_, series)| series));
        let kept = match asked.form {
            Form::Csv => Kept::new(CSV, csv::series(&all)),
            _ => Kept::new(JSON, wire::history::series(&all, &policy)),
        };
        let answer = kept.to(asked.has.as_deref());
        app.answers().keep(address, revision, kept);
        return Ok(answer);
    }
    let metric = asked.value("metric").and_then(Event::from_name).map_or(Metric::Cycles, Metric::Event);
    let zero = asked.value("y") == Some("zero");
    let benchmark = described(&app, &series, &full_name).await?;
    let (flame, flame_change) = pictures(&app, &series, &policy).await?;
    let steps = steps(&series, metric, &policy);
    let points = chart_points(&series, metric, &steps, app.links());
    let places = overlay::places(std::iter::once(&series).chain(over.iter().map(|(_, series)| series)));
    let place_of = |point: &Point| places.get(&overlay::key(point)).copied().unwrap_or(0);
    let line = |series: &Series| -> Vec<(usize, f64)> {
        series.points.iter().map(|point| (place_of(point), raised(point, metric))).collect()
    };
    let shown = overlay::shown(&asked, &over);
    let looks = shown.iter().map(|name| name.look).zip(&over);
    let lines: Vec<(usize, Vec<(usize, f64)>)> =
        looks.map(|(look, (_, series))| (look, line(series))).collect();
    let own: Vec<usize> = series.points.iter().map(place_of).collect();
    let laid = Overlaid { points: &points, places: &own, of: places.len(), others: &lines };
    let overlays = shown.into_iter().zip(&over).map(|(name, (_, series))| Overlay {
        rows: rows(series, metric, self::steps(series, metric, &policy), app.links()),
        ..name
    });
    let overlays: Vec<Overlay> = overlays.collect();
    let more_overlays = asking.offered(&app).await?;
    let floor = if zero { Floor::Zero } else { Floor::Values };
    let links = app.links();
    page(&Page {
        frame: Frame::new(&app, &asked, benchmark.0.short_name(), "/benchmarks"),
        file: benchmark.0.file.clone().unwrap_or_default(),
        name: benchmark.0.short_name().to_string(),
        source: benchmark.1,
        chart: overlaid(laid, floor, |value| height(value, metric)),
        chart_words: chart_words(&series, metric),
        metric: metric.name(),
        metrics: std::iter::once("cycles").chain(Event::ALL.map(Event::name)).collect(),
        branches: app.store().branches(BRANCHES).await?,
        branch: branch.unwrap_or_else(|| "*".to_string()),
        zero,
        elsewhere: from_elsewhere,
        before,
        archived: names.is_archived(&full_name),
        ignored: policy
            .ignored
            .0
            .get(&full_name)
            .map(|said| format!("{}, since {}", said.shown(), moment(said.at))),
        named_in: form_urlencoded::Serializer::new(String::new())
            .append_pair("benchmark", &full_name)
            .finish(),
        all_trees: asked_for_all,
        machine: series.machine.name.clone(),
        instrument: series.instrument.name(),
        ways: ways
            .iter()
            .enumerate()
            .map(|(index, way)| (way_name(way), way_link(&asked, index), index == number))
            .collect(),
        rows: rows(&series, metric, steps, links),
        overlays,
        more_overlays,
        over: asked.values(OVER).map(str::to_string).collect(),
        newest: newest(&series, &policy),
        standing: standing(&series, &policy),
        flame,
        flame_change,
        between: links.compare("BASE", "HEAD"),
        more: (series.points.len() as u32 == limit && limit < POINTS_MOST)
            .then(|| asked.with("points", &(limit * 4).min(POINTS_MOST).to_string())),
        full_name,
    })
}

/// The benchmark as its newest run describes it, and where its source is.
async fn described(
    app: &App,
    series: &Series,
    full_name: &str,
) -> Result<(Benchmark, Option<String>), Problem> {
    let plain = (Benchmark::named(full_name), None);
    let Some(newest) = series.newest() else { return Ok(plain) };
    let Some(run) = app.run_if_readable(&newest.run.id).await? else { return Ok(plain) };
    let Some(measurement) = run.measurement(full_name) else { return Ok(plain) };
    let benchmark = measurement.benchmark.clone();
    let link = run.source.as_ref().zip(benchmark.file.as_ref());
    let link = link.and_then(|(source, file)| source.web_link(file, benchmark.line));
    Ok((benchmark, link))
}

/// Who pays in the newest result, and for the last change: where that is, as far as there are profiles.
async fn pictures(
    app: &App,
    series: &Series,
    policy: &Policy,
) -> Result<(Option<String>, Option<String>), Problem> {
    let links = app.links();
    let benchmark = &series.benchmark;
    let Some(newest) = series.newest() else { return Ok((None, None)) };
    let has = async |run: &str| -> Result<bool, Problem> { Ok(app.profiled(run).await?.contains(benchmark)) };
    let flame = has(&newest.run.id).await?.then(|| links.flame(&newest.run.id, benchmark));
    let moved = series
        .verdicts(policy)
        .iter()
        .rposition(|verdict| verdict.is_some_and(|verdict| verdict != Verdict::Unchanged));
    let Some(at) = moved else { return Ok((flame, None)) };
    let [before, after] = [at - 1, at].map(|at| series.points[at].run.id.as_str());
    let both = has(before).await? && has(after).await?;
    Ok((flame, both.then(|| links.difference(before, after, benchmark))))
}

/// Where a point leads: to what its commit did, or to its run where there is none.
fn place(point: &Point, links: &Links) -> String {
    match &point.run.commit {
        Some(commit) if !point.run.dirty => links.commit(commit),
        _ => links.run(&point.run.id),
    }
}

fn count(point: &Point, metric: Metric) -> u64 {
    match metric {
        Metric::Cycles => point.reading.cost.total().0,
        Metric::Event(event) => point.reading.events.get(event),
    }
}

fn value(point: &Point, metric: Metric) -> String {
    match metric {
        Metric::Cycles => number::time(point.reading.time),
        Metric::Event(event) => number::count(point.reading.events.get(event)),
    }
}

/// What a height of the chart is called: of time it is nanoseconds.
fn height(value: f64, metric: Metric) -> String {
    // Heights are never below nothing, and what a float cannot hold exactly is rounded anyway.
    let whole = value.round() as u64;
    match metric {
        Metric::Cycles => number::time(Cycles(whole).at(Hertz(1_000_000_000))),
        Metric::Event(_) => number::count(whole),
    }
}

/// Of each point the change of the metric from the one before, and the verdict on the benchmark.
fn steps(series: &Series, metric: Metric, policy: &Policy) -> Vec<Option<Shown>> {
    let step = |(at, verdict): (usize, Option<Verdict>)| {
        let [before, now] = [at.checked_sub(1)?, at].map(|at| count(&series.points[at], metric));
        words::change(Some(Change { base: before, head: now }), verdict)
    };
    series.verdicts(policy).into_iter().enumerate().map(step).collect()
}

fn chart_points(series: &Series, metric: Metric, steps: &[Option<Shown>], links: &Links) -> Vec<ChartPoint> {
    let points = series.points.iter().zip(steps);
    let point = points.map(|(point, step)| {
        let moved = step.as_ref().filter(|step| !step.text.is_empty());
        let moved = moved.map_or_else(String::new, |step| format!(", {}", step.text));
        let message = point.run.message.as_deref().unwrap_or_default();
        ChartPoint {
            value: raised(point, metric),
            title: format!("{} {message}: {}{moved}", point.run.title, value(point, metric)),
            href: place(point, links),
            label: match &point.run.commit {
                Some(commit) => format!("{} · {}", short(commit), day(point.run.started)),
                None => day(point.run.started),
            },
            mark: step.as_ref().map_or("", |step| step.class),
        }
    });
    point.collect()
}

/// How high a point stands.
fn raised(point: &Point, metric: Metric) -> f64 {
    match metric {
        Metric::Cycles => point.reading.time.as_nanos() as f64,
        Metric::Event(_) => count(point, metric) as f64,
    }
}

fn chart_words(series: &Series, metric: Metric) -> String {
    let (first, last) = (series.points.first(), series.points.last());
    let value = |point: Option<&Point>| point.map_or_else(String::new, |point| value(point, metric));
    format!("{}, from {} to {}", plural(series.points.len(), "result"), value(first), value(last))
}

fn rows(series: &Series, metric: Metric, steps: Vec<Option<Shown>>, links: &Links) -> Vec<Row> {
    let points = series.points.iter().zip(steps).enumerate().rev();
    let row = points.map(|(at, (point, step))| Row {
        run: point.run.id.clone(),
        raw: match metric {
            Metric::Cycles => u64::try_from(point.reading.time.as_nanos()).unwrap_or(u64::MAX),
            Metric::Event(_) => count(point, metric),
        },
        seconds: point.run.started.0 / 1_000_000,
        title: point.run.title.clone(),
        message: point.run.message.clone().unwrap_or_default(),
        href: place(point, links),
        moment: moment(point.run.started),
        datetime: rfc3339(point.run.started),
        value: value(point, metric),
        change: step,
        compare: at.checked_sub(1).map(|before| links.compare(&series.points[before].run.id, &point.run.id)),
        diagnostics: point
            .reading
            .diagnostics
            .to_vec()
            .into_iter()
            .map(|diagnostic| diagnostic.sentence())
            .collect(),
    });
    row.collect()
}

fn newest(series: &Series, policy: &Policy) -> Option<Newest> {
    let last = series.points.len().checked_sub(1)?;
    let reading = &series.points[last].reading;
    let cost = reading.cost;
    let parts = [
        ("instructions", cost.instructions),
        ("data in L1", cost.data),
        ("other caches", cost.cache),
        ("memory", cost.memory),
    ];
    Some(Newest {
        time: number::time(reading.time),
        cycles: number::count(cost.total().0),
        instructions: number::count(reading.events.get(Event::Instructions)),
        shares: parts.into_iter().map(|(name, part)| (name, number::share(cost.share(part)))).collect(),
        step: words::change(series.change(last), series.verdict(last, policy)),
    })
}

fn standing(series: &Series, policy: &Policy) -> Option<String> {
    let standing = series.standing(policy)?;
    let since = &series.points[standing.since].run;
    Some(format!("{} since {}", number::change(standing.change.ratio()), since.title))
}

fn way_name(way: &Comparable) -> String {
    let machine = way.machine.split(';').next().unwrap_or_default();
    format!("{}, {machine}", way.instrument.name())
}

fn way_link(asked: &Asked, index: usize) -> String {
    asked.with("way", &if index == 0 { String::new() } else { index.to_string() })
}
