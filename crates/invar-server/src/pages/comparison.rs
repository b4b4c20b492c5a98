//! The part that every page about two runs has: counters that filter, and a table of benchmarks with who pays.
//!
//! It is the report of `invar-core`, narrowed to what was asked for. Who is compared with whom is each page's own business:
//! [`compare`](super::compare), [`commit`](super::commit), [`pulls`](super::pulls).

use std::collections::BTreeSet;

use invar_core::compare::{Change, Reading, Verdict};
use invar_core::event::Event;
use invar_core::number;
use invar_core::profile::Payer;
use invar_core::report::{Outcome, Paid, Report, ReportOptions, Row as ReportRow, noise_floor};
use invar_core::run::Run;
use invar_core::wire;
use invar_core::wire::csv;

use invar_store::Role;

use crate::address::Links;
use crate::answer::{Answer, csv_text, json_text};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::problem::Problem;
use crate::words::{self, Shown, sign};

/// How many rows are on a page; what each benchmark did in detail makes them long.
const ON_A_PAGE: usize = 200;
/// Of how many benchmarks it is said who pays: two profiles are read for each.
const EXPLAINED_MOST: usize = 12;

/// The part.
pub struct Body {
    /// The report, with the rows that were asked for.
    pub report: Report,
    /// What came out, as a sentence.
    pub headline: String,
    /// The class of that for the style sheet.
    pub mood: &'static str,
    /// The counters.
    pub chips: Vec<Chip>,
    /// The rows of this page.
    pub rows: Vec<Row>,
    /// The verdict that was asked for.
    pub verdict: String,
    /// What names were asked to contain.
    pub query: String,
    /// How many rows there are on all pages.
    pub found: usize,
    /// Which page this is, from one.
    pub page_number: usize,
    /// The page before.
    pub before: Option<String>,
    /// The page behind.
    pub next: Option<String>,
    /// How many differences of the environment can change a number.
    pub matter: usize,
    /// Where the filters lead.
    pub action: String,
    /// Both runs, for what is sent about them.
    pub runs: [String; 2],
}

/// A counter, which is a filter.
pub struct Chip {
    pub class: &'static str,
    pub sign: &'static str,
    pub count: usize,
    pub word: &'static str,
    pub href: String,
    pub pressed: bool,
}

/// A benchmark.
pub struct Row {
    pub full_name: String,
    pub name: String,
    pub file: String,
    pub href: String,
    pub source: Option<String>,
    pub class: &'static str,
    pub base: String,
    pub head: String,
    pub change: Shown,
    pub factor: String,
    pub why: String,
    pub events: Vec<EventRow>,
    pub payers: Vec<PayerRow>,
    /// Why nobody is named who pays, if that was looked for.
    pub unpaid: String,
    pub picture: Option<(&'static str, String)>,
    pub diagnostics: Vec<(&'static str, &'static str)>,
    /// How far it was seen to move by itself.
    pub noise: Option<String>,
    /// May who looks acknowledge it?
    pub may_acknowledge: bool,
    /// Who acknowledged or ignores it, when and why.
    pub acknowledged: Option<Said>,
}

/// An acknowledgement.
pub struct Said {
    pub sentence: String,
    pub reason: String,
    /// Names it for who may take it back.
    pub number: Option<i64>,
}

/// A function that pays for a change.
pub struct PayerRow {
    pub class: &'static str,
    pub name: String,
    pub place: String,
    pub moved: String,
    pub sentence: String,
}

/// An event of a benchmark.
pub struct EventRow {
    pub name: String,
    pub base: String,
    pub head: String,
    pub change: String,
}

impl Body {
    /// The part about these two runs.
    pub async fn of(
        app: &App,
        asked: &Asked,
        (base, head): (&Run, &Run),
        options: ReportOptions,
    ) -> Result<Body, Problem> {
        let whole = app.report(base, head, options).await?;
        let verdict = asked
            .value("verdict")
            .and_then(|name| Verdict::ALL.into_iter().find(|verdict| verdict.name() == name));
        let query = asked.value("q").unwrap_or_default().to_string();
        let everything = asked.value("verdict") == Some("all") || whole.changed().is_empty();
        let lower = query.to_lowercase();
        let mut report = whole.with(|row| {
            let shown = match verdict {
                Some(verdict) => row.judged.verdict == verdict,
                // Data is whole unless something was asked for; people want to see what changed.
                None => asked.form != Form::Html || everything || row.judged.verdict != Verdict::Unchanged,
            };
            shown && row.judged.benchmark.id.to_lowercase().contains(&lower)
        });
        let found = report.rows.len();
        let page_number = asked.value("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).max(1);
        let first = (page_number - 1).saturating_mul(ON_A_PAGE).min(found);
        let last = (first + ON_A_PAGE).min(found);
        let explain = match asked.form {
            Form::Html => &report.rows[first..last],
            Form::Json => &report.rows[..],
            Form::Csv => &[],
        };
        let explicable = report.explicable();
        let explain: Vec<String> = explain
            .iter()
            .map(|row| &row.judged.benchmark.id)
            .filter(|id| explicable.contains(id))
            .take(EXPLAINED_MOST)
            .cloned()
            .collect();
        // Without who pays, which stands beside it in a list.
        let whys: Vec<String> = report.rows[first..last].iter().map(|row| row.why.clone()).collect();
        for benchmark in explain {
            let paid = app.paid(base, head, &benchmark).await?;
            report.explain(&benchmark, paid);
        }
        let mut rows = Vec::new();
        if asked.form == Form::Html {
            let profiled = [app.profiled(&base.id).await?, app.profiled(&head.id).await?];
            let shown = report.rows[first..last].iter().zip(&whys);
            rows = shown.map(|(row, why)| Row::of(row, (base, head), why, &profiled, app.links())).collect();
            acknowledge(app, asked, head, &report.rows[first..last], &mut rows).await?;
        }
        Ok(Body {
            headline: words::plain(&report.headline),
            mood: mood(report.outcome),
            chips: chips(&report, asked, verdict),
            rows,
            verdict: asked.value("verdict").unwrap_or_default().to_string(),
            query,
            found,
            page_number,
            before: (page_number > 1).then(|| asked.with("page", &(page_number - 1).to_string())),
            next: (last < found).then(|| asked.with("page", &(page_number + 1).to_string())),
            matter: report.environment_that_matters().len(),
            action: asked.address(),
            runs: [base.id.clone(), head.id.clone()],
            report,
        })
    }

    /// The same as data, if that was asked for.
    pub fn twin(&self, form: Form) -> Option<Answer> {
        match form {
            Form::Json => Some(json_text(wire::report::write(&self.report))),
            Form::Csv => Some(csv_text(csv::comparison(self.report.rows.iter().map(|row| &row.judged)))),
            Form::Html => None,
        }
    }
}

/// Says of rows what whoever looks may do about them.
async fn acknowledge(
    app: &App,
    asked: &Asked,
    head: &Run,
    shown: &[ReportRow],
    rows: &mut [Row],
) -> Result<(), Problem> {
    let role = asked.visitor.as_ref().and_then(|visitor| visitor.role);
    if role < Some(Role::Writer) || app.acknowledgeable(head).await?.is_none() {
        return Ok(());
    }
    let held = app.acknowledged(head).await?;
    for (row, shown) in rows.iter_mut().zip(shown) {
        row.may_acknowledge = shown.judged.verdict == Verdict::Regressed && shown.judged.blocking;
        if let (Some(said), Some(_)) = (&mut row.acknowledged, &shown.judged.acknowledged) {
            let found = held.iter().find(|held| held.benchmark == row.full_name);
            said.number = found.map(|found| found.number);
        }
    }
    Ok(())
}

/// The class of what came out.
pub fn mood(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Improves(_) => "improved",
        Outcome::Degrades(_) => "regressed",
        Outcome::Unchanged | Outcome::NoBaseline | Outcome::NothingMeasured => "unchanged",
    }
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

impl Row {
    fn of(
        row: &ReportRow,
        (base, head): (&Run, &Run),
        why: &str,
        profiled: &[BTreeSet<String>; 2],
        links: &Links,
    ) -> Row {
        let judged = &row.judged;
        let has = |side: &BTreeSet<String>| side.contains(&judged.benchmark.id);
        let picture = match [has(&profiled[0]), has(&profiled[1])] {
            [true, true] => Some((
                "Flame graph of the difference",
                links.difference(&base.id, &head.id, &judged.benchmark.id),
            )),
            [false, true] => Some(("Flame graph", links.flame(&head.id, &judged.benchmark.id))),
            [true, false] => {
                Some(("Flame graph of the baseline", links.flame(&base.id, &judged.benchmark.id)))
            }
            [false, false] => None,
        };
        let (payers, unpaid) = match &row.paid {
            Paid::Unasked => (Vec::new(), String::new()),
            Paid::Unknown(reason) => (Vec::new(), reason.clone()),
            // Each of the two lists explains the whole change.
            Paid::By(why) => {
                let payers = if why.python.is_empty() { &why.native } else { &why.python };
                (payers.iter().map(PayerRow::of).collect(), String::new())
            }
        };
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
            href: links.benchmark(&judged.benchmark.id),
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
            // Who lets it pass stands below, with the moment and the way back.
            why: words::plain(&match (&judged.ignored, &judged.acknowledged) {
                (Some(said), _) => why.replacen(&format!(" ({})", said.shown()), "", 1),
                (None, Some(said)) => why.replacen(&format!(" ({})", said.shown()), "", 1),
                (None, None) => why.to_string(),
            }),
            payers,
            unpaid,
            picture,
            events: events(row),
            diagnostics: diagnostics.collect(),
            noise: judged.noise.map(noise_floor),
            may_acknowledge: false,
            acknowledged: match (&judged.ignored, &judged.acknowledged) {
                (Some(said), _) => Some(Said {
                    sentence: format!("Ignored by {}, {}", said.who, words::moment(said.at)),
                    reason: said.reason.clone(),
                    number: None,
                }),
                (None, Some(said)) => Some(Said {
                    sentence: format!("Acknowledged by {}, {}", said.who, words::moment(said.at)),
                    reason: said.reason.clone(),
                    number: None,
                }),
                (None, None) => None,
            },
        }
    }
}

impl PayerRow {
    fn of(payer: &Payer) -> PayerRow {
        let moved = payer.cycles().moved();
        PayerRow {
            class: if moved > 0 { "regressed" } else { "improved" },
            name: payer.function.name.clone(),
            place: payer.function.place(),
            moved: number::moved(moved),
            sentence: words::plain(&payer.sentence()),
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
