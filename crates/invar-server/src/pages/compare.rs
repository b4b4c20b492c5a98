//! Two runs, benchmark by benchmark: the report, as on a pull request.

use askama::Template;
use axum::http::StatusCode;
use invar_core::compare::{Change, Reading, Verdict};
use invar_core::event::Event;
use invar_core::number;
use invar_core::report::{Report, ReportOptions, Row as ReportRow, noise_floor};
use invar_core::wire;
use invar_core::wire::csv;
use invar_store::{Comparable, Listing};

use super::frame::Frame;
use crate::address;
use crate::answer::{Answer, csv_text, elsewhere, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::baseline;
use crate::problem::Problem;
use crate::words::{self, Shown, moment, sign};

/// How many rows are on a page; what each benchmark did in detail makes them long.
const ON_A_PAGE: usize = 200;
/// How many runs can be chosen from.
const CHOICE: u32 = 60;

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    frame: Frame,
    report: Report,
    headline: String,
    mood: &'static str,
    chips: Vec<Chip>,
    sides: Vec<SideShown>,
    rows: Vec<Row>,
    verdict: String,
    query: String,
    found: usize,
    page_number: usize,
    before: Option<String>,
    next: Option<String>,
    permalink: Option<String>,
    swapped: String,
    matter: usize,
}

/// A counter, which is a filter.
struct Chip {
    class: &'static str,
    sign: &'static str,
    count: usize,
    word: &'static str,
    href: String,
    pressed: bool,
}

struct SideShown {
    role: &'static str,
    title: String,
    href: String,
    message: String,
    moment: String,
}

struct Row {
    full_name: String,
    name: String,
    file: String,
    href: String,
    source: Option<String>,
    class: &'static str,
    base: String,
    head: String,
    change: Shown,
    factor: String,
    why: String,
    events: Vec<EventRow>,
    diagnostics: Vec<(&'static str, &'static str)>,
    noise: Option<String>,
}

struct EventRow {
    name: String,
    base: String,
    head: String,
    change: String,
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
        return elsewhere(StatusCode::SEE_OTHER, &address::compare(base, head));
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
    let sides = asked.after("/compare/");
    let Some((base_name, head_name)) = sides.split_once("...") else {
        return Err(Problem::Unusable("Two runs are compared as `/compare/BASE...HEAD`.".to_string()));
    };
    let head = app.pick(head_name, None).await?;
    let head_run = app.run(&head.id).await?;
    let base = app.pick(base_name, Some(&Comparable::with(&head_run))).await?;
    let base_run = app.run(&base.id).await?;
    let mut report = app.report(&base_run, &head_run, ReportOptions::default()).await?;
    let verdict = asked
        .value("verdict")
        .and_then(|name| Verdict::ALL.into_iter().find(|verdict| verdict.name() == name));
    let query = asked.value("q").unwrap_or_default().to_string();
    let everything = asked.value("verdict") == Some("all") || report.changed().is_empty();
    let lower = query.to_lowercase();
    report.rows.retain(|row| {
        let shown = match verdict {
            Some(verdict) => row.judged.verdict == verdict,
            // Data is whole unless something was asked for; people want to see what changed.
            None => asked.form != Form::Html || everything || row.judged.verdict != Verdict::Unchanged,
        };
        shown && row.judged.benchmark.id.to_lowercase().contains(&lower)
    });
    match asked.form {
        Form::Json => return json_text(wire::report::write(&report)),
        Form::Csv => return csv_text(csv::comparison(report.rows.iter().map(|row| &row.judged))),
        Form::Html => {}
    }
    let found = report.rows.len();
    let page_number = asked.value("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).max(1);
    let first = (page_number - 1).saturating_mul(ON_A_PAGE).min(found);
    let last = (first + ON_A_PAGE).min(found);
    let rows = report.rows[first..last].iter().map(Row::of).collect();
    let permalink = address::compare(&base.id, &head.id);
    let is_permalink = asked.path == permalink;
    page(&Page {
        frame: Frame::new(
            &app,
            &asked,
            &format!("{} compared with {}", report.head_name, report.base_name),
            "/compare",
        ),
        headline: words::plain(&report.headline),
        mood: mood(&report),
        chips: chips(&report, &asked, verdict),
        sides: [("Baseline", &base), ("Candidate", &head)]
            .map(|(role, run)| SideShown {
                role,
                title: run.title.clone(),
                href: address::run(&run.id),
                message: run.message.clone().unwrap_or_default(),
                moment: moment(run.started),
            })
            .into(),
        rows,
        verdict: asked.value("verdict").unwrap_or_default().to_string(),
        query,
        found,
        page_number,
        before: (page_number > 1).then(|| asked.with("page", &(page_number - 1).to_string())),
        next: (last < found).then(|| asked.with("page", &(page_number + 1).to_string())),
        permalink: (!is_permalink).then_some(permalink),
        swapped: address::compare(&head.id, &base.id),
        matter: report.environment_that_matters().len(),
        report,
    })
}

/// Five counters; the one that is pressed lets go.
fn chips(report: &Report, asked: &Asked, pressed: Option<Verdict>) -> Vec<Chip> {
    let order = [Verdict::Improved, Verdict::Regressed, Verdict::Unchanged, Verdict::New, Verdict::Dropped];
    let first_page = asked.without("page");
    let chip = |verdict: Verdict| {
        let is_pressed = pressed == Some(verdict);
        Chip {
            class: verdict.name(),
            sign: sign(verdict),
            count: report.counts.of(verdict),
            word: verdict.name(),
            href: first_page.with("verdict", if is_pressed { "" } else { verdict.name() }),
            pressed: is_pressed,
        }
    };
    order.into_iter().map(chip).collect()
}

fn mood(report: &Report) -> &'static str {
    use invar_core::report::Outcome;
    match report.outcome {
        Outcome::Improves(_) => "improved",
        Outcome::Degrades(_) => "regressed",
        Outcome::Unchanged | Outcome::NoBaseline | Outcome::NothingMeasured => "unchanged",
    }
}

impl Row {
    fn of(row: &ReportRow) -> Row {
        let judged = &row.judged;
        let time = |reading: Option<&Reading>| {
            reading.map_or_else(|| "–".to_string(), |reading| number::time(reading.time))
        };
        let verdict = judged.verdict;
        let factor = judged.change().map(Change::factor).filter(|&factor| factor > 1.0);
        let faster =
            if judged.change().is_some_and(|change| change.head < change.base) { "faster" } else { "slower" };
        let diagnostics = [("baseline", judged.base), ("candidate", judged.head)].into_iter().flat_map(
            |(role, reading)| {
                let all = reading.map(|reading| reading.diagnostics.to_vec()).unwrap_or_default();
                all.into_iter().map(move |diagnostic| (role, diagnostic.sentence()))
            },
        );
        let name = judged.benchmark.short_name().to_string();
        Row {
            file: judged.benchmark.file.clone().filter(|_| name != judged.benchmark.id).unwrap_or_default(),
            name,
            full_name: judged.benchmark.id.clone(),
            href: address::benchmark(&judged.benchmark.id),
            source: row.link.clone(),
            class: verdict.name(),
            base: time(judged.base.as_ref()),
            head: time(judged.head.as_ref()),
            change: words::change(judged.change(), Some(verdict)).unwrap_or(Shown {
                class: verdict.name(),
                sign: sign(verdict),
                text: String::new(),
            }),
            factor: factor.map_or_else(String::new, |factor| format!("{} {faster}", words::times(factor))),
            why: row.why.clone(),
            events: events(row),
            diagnostics: diagnostics.collect(),
            noise: judged.noise.map(noise_floor),
        }
    }
}

/// The cost and every event that either side has.
fn events(row: &ReportRow) -> Vec<EventRow> {
    let judged = &row.judged;
    let text = |count: Option<u64>| count.map_or_else(|| "–".to_string(), number::count);
    let ratio = |change: Option<Change>| match change {
        Some(change) if change.base == change.head => "=".to_string(),
        Some(change) => number::change(change.ratio()),
        None => String::new(),
    };
    let cycles = EventRow {
        name: "cycles".to_string(),
        base: text(judged.base.map(|reading| reading.cost.total().0)),
        head: text(judged.head.map(|reading| reading.cost.total().0)),
        change: ratio(judged.change()),
    };
    let events = Event::ALL.into_iter().filter_map(|event| {
        let [base, head] =
            [judged.base, judged.head].map(|side| side.map(|reading| reading.events.get(event)));
        (base.unwrap_or(0) > 0 || head.unwrap_or(0) > 0).then(|| EventRow {
            name: event.name().replace('_', " "),
            base: text(base),
            head: text(head),
            change: ratio(judged.event_change(event)),
        })
    });
    std::iter::once(cycles).chain(events).collect()
}
