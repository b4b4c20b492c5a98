//! What a change does to performance, ready to be shown: one value for terminal, Markdown, page and JSON.
//!
//! Everything that is decided is decided here or in [`compare`](crate::compare); who renders a report chooses signs,
//! colours and how many rows fit, and computes nothing.

use std::collections::BTreeMap;

use crate::acknowledge::Acknowledgement;
use crate::compare::{Applied, Cause, Change, Comparison, Counts, Judged, Side, Verdict};
use crate::config::{DEFAULT_THRESHOLD, Metric, Policy};
use crate::diagnostic::Diagnostic;
use crate::environment::Difference;
use crate::event::Event;
use crate::ignore::Ignoring;
use crate::instrument::Instrument;
use crate::number::{change, moved, percent, plural};
use crate::profile::Why;
use crate::run::{Run, Summary};

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What came out.
    pub outcome: Outcome,
    /// The same as a sentence without a full stop; names stand in backticks.
    pub headline: String,
    /// How many benchmarks there are of each verdict.
    pub counts: Counts,
    /// Does anything block the merge?
    pub blocks: bool,
    /// The baseline; `None` if there is none.
    pub base: Option<Side>,
    /// The candidate.
    pub head: Side,
    /// What the baseline is called above its column.
    pub base_name: String,
    /// What the candidate is called above its column.
    pub head_name: String,
    /// Every benchmark that was compared: changed ones first, the pressing before the others, then unchanged ones.
    pub rows: Vec<Row>,
    /// Benchmarks that failed in the candidate, each with why in one line.
    pub failed: BTreeMap<String, String>,
    /// What differs around the program.
    pub environment: Vec<Difference>,
    /// What else its reader must know, a sentence each.
    pub notes: Vec<String>,
    /// The Machine, by name.
    pub machine: String,
    /// The instrument.
    pub instrument: Instrument,
    /// The policy as a sentence without a full stop.
    pub policy: String,
    /// Where to read on.
    pub links: Links,
}

/// What came out. The numbers are factors from 1: `1.112` is 11.2 % faster, or slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Better, and nothing that blocks is worse.
    Improves(f64),
    /// Something is worse.
    Degrades(f64),
    /// Nothing past its threshold.
    Unchanged,
    /// There is nothing to compare with.
    NoBaseline,
    /// The candidate has no result at all.
    NothingMeasured,
}

impl Outcome {
    /// The stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Improves(_) => "improves",
            Outcome::Degrades(_) => "degrades",
            Outcome::Unchanged => "unchanged",
            Outcome::NoBaseline => "no_baseline",
            Outcome::NothingMeasured => "nothing_measured",
        }
    }
}

/// A benchmark in a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What became of it.
    pub judged: Judged,
    /// Why, in a few words: `code: instructions −10.0 %`.
    pub why: String,
    /// Where to read on about it.
    pub link: Option<String>,
    /// Who pays for its change.
    pub paid: Paid,
}

/// Who pays for the change of a benchmark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Paid {
    /// Nobody has asked, or nothing has changed.
    #[default]
    Unasked,
    /// It cannot be said, for a reason: a few words.
    Unknown(String),
    /// These functions.
    By(Box<Why>),
}

/// Where to read on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The whole report.
    pub report: Option<String>,
    /// The history of the project.
    pub history: Option<String>,
    /// Single benchmarks, by full name. Others link to their source, where that is known.
    pub benchmarks: BTreeMap<String, String>,
}

/// What a report is told beside the comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportOptions {
    /// What is merged, such as `#4`; `None`: the candidate's branch.
    pub subject: Option<String>,
    /// Why there is no baseline, a sentence; used where there is none.
    pub no_baseline: Option<String>,
    /// Where to read on.
    pub links: Links,
}

/// What a report says in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Brief {
    /// What came out.
    pub outcome: Outcome,
    /// The same as a sentence without a full stop.
    pub headline: String,
    /// How many benchmarks there are of each verdict, without those that are ignored.
    pub counts: Counts,
    /// Does anything block the merge?
    pub blocks: bool,
    /// Differences around the program that can change a number.
    pub environment: Vec<Difference>,
}

/// A run in a list of runs, and how it did against another.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The run.
    pub run: Summary,
    /// What it was judged by.
    pub base: Option<Summary>,
    /// What came out; `None` if there is nothing to judge it by, or nothing that it can be compared with.
    pub brief: Option<Brief>,
}

impl Brief {
    /// The short form of a report.
    pub fn of(report: &Report) -> Brief {
        let ignored = report.rows.iter().filter(|row| row.judged.ignored.is_some());
        Brief {
            outcome: report.outcome,
            headline: report.headline.clone(),
            counts: ignored.fold(report.counts, |counts, row| counts.without(row.judged.verdict)),
            blocks: report.blocks,
            environment: report.environment_that_matters().into_iter().cloned().collect(),
        }
    }
}

impl Report {
    /// The report of a comparison.
    pub fn of(comparison: &Comparison, policy: &Policy, options: ReportOptions) -> Report {
        let counts = comparison.counts();
        let outcome = match comparison.headline() {
            Some(judged) if judged.verdict == Verdict::Improved => Outcome::Improves(factor(judged)),
            Some(judged) => Outcome::Degrades(factor(judged)),
            None if comparison.benchmarks.iter().all(|judged| judged.head.is_none()) => {
                Outcome::NothingMeasured
            }
            None => Outcome::Unchanged,
        };
        let (base_name, head_name) = names(&comparison.base, &comparison.head, options.subject.as_deref());
        let merges = options.subject.is_some()
            || comparison.base.branch() != comparison.head.branch() && named(&comparison.head);
        let unchanged = comparison.benchmarks.iter().filter(|judged| judged.verdict == Verdict::Unchanged);
        let row = |judged: &Judged| Row {
            why: why(judged, &comparison.environment),
            link: link(judged, &comparison.head, &options.links),
            paid: Paid::Unasked,
            judged: judged.clone(),
        };
        let rows: Vec<Row> = comparison.changed().into_iter().chain(unchanged).map(row).collect();
        let mut notes = notes(&comparison.head);
        notes.extend(
            comparison.base.incomplete.as_ref().map(|why| format!("The baseline is incomplete: {why}.")),
        );
        notes.extend(acknowledged(&rows));
        notes.extend(set_aside(&rows));
        notes.extend(ignored(&rows));
        notes.extend(raised(comparison));
        Report {
            outcome,
            headline: headline(outcome, &head_name, merges),
            blocks: comparison.blocks(),
            counts,
            base: Some(comparison.base.clone()),
            head: comparison.head.clone(),
            base_name,
            head_name,
            rows,
            failed: comparison.failed.clone(),
            environment: comparison.environment.clone(),
            notes,
            machine: comparison.machine.name.clone(),
            instrument: comparison.instrument,
            policy: sentence(policy),
            links: options.links,
        }
    }

    /// The report of a run that has no baseline.
    pub fn without_baseline(run: &Run, policy: &Policy, options: ReportOptions) -> Report {
        let head = Side::of(run);
        let head_name = options.subject.clone().unwrap_or_else(|| head.branch().to_string());
        let measured = run.measurements.len();
        let (outcome, headline) = if measured == 0 {
            (Outcome::NothingMeasured, headline(Outcome::NothingMeasured, &head_name, false))
        } else {
            let recorded = format!("{} recorded", plural(measured, "benchmark"));
            (Outcome::NoBaseline, format!("No baseline for `{head_name}` yet: {recorded}"))
        };
        let mut notes = notes(&head);
        notes.extend(options.no_baseline);
        Report {
            outcome,
            headline,
            counts: Counts { new: measured, failed: run.failed.len(), ..Counts::default() },
            blocks: false,
            base: None,
            head,
            base_name: String::new(),
            head_name,
            rows: Vec::new(),
            failed: run.failed.clone(),
            environment: Vec::new(),
            notes,
            machine: run.machine.name.clone(),
            instrument: run.instrument,
            policy: sentence(policy),
            links: options.links,
        }
    }

    /// The benchmarks for whose change somebody pays: those that changed and are on both sides.
    pub fn explicable(&self) -> Vec<String> {
        let changed = self.changed().iter().map(|row| &row.judged);
        let both = changed.filter(|judged| judged.base.is_some() && judged.head.is_some());
        both.map(|judged| judged.benchmark.id.clone()).collect()
    }

    /// Says who pays for the change of a benchmark; the dearest function is named beside it, too.
    pub fn explain(&mut self, benchmark: &str, paid: Paid) {
        let Some(row) = self.rows.iter_mut().find(|row| row.judged.benchmark.id == benchmark) else { return };
        if let Paid::By(why) = &paid
            && let Some(payer) = why.python.first().or(why.native.first())
        {
            let name = payer.function.name.replace('`', "'");
            let by = moved(payer.cycles().moved());
            let gap = if row.why.is_empty() { "" } else { "; " };
            row.why.push_str(&format!("{gap}`{name}` {by} cycles"));
        }
        row.paid = paid;
    }

    /// The rows that are not unchanged; they come first.
    pub fn changed(&self) -> &[Row] {
        let end = self.rows.iter().position(|row| row.judged.verdict == Verdict::Unchanged);
        &self.rows[..end.unwrap_or(self.rows.len())]
    }

    /// The same with these rows only.
    #[must_use]
    pub fn with(&self, mut is_wanted: impl FnMut(&Row) -> bool) -> Report {
        Report {
            outcome: self.outcome,
            headline: self.headline.clone(),
            counts: self.counts,
            blocks: self.blocks,
            base: self.base.clone(),
            head: self.head.clone(),
            base_name: self.base_name.clone(),
            head_name: self.head_name.clone(),
            rows: self.rows.iter().filter(|row| is_wanted(row)).cloned().collect(),
            failed: self.failed.clone(),
            environment: self.environment.clone(),
            notes: self.notes.clone(),
            machine: self.machine.clone(),
            instrument: self.instrument,
            policy: self.policy.clone(),
            links: self.links.clone(),
        }
    }

    /// Differences that can change a number.
    pub fn environment_that_matters(&self) -> Vec<&Difference> {
        self.environment.iter().filter(|difference| difference.matters()).collect()
    }
}

/// Why a benchmark changed, in a few words; empty where no count did, and where there is only one side.
pub fn why(judged: &Judged, environment: &[Difference]) -> String {
    let moved = |event| judged.event_change(event).map_or(0.0, Change::ratio);
    let instructions = format!("instructions {}", change(moved(Event::Instructions)));
    let mut why = match judged.cause {
        None => return String::new(),
        Some(Cause::Code) => format!("code: {instructions}"),
        Some(Cause::Layout) => "layout only: instructions equal, misses moved".to_string(),
        Some(Cause::Environment) => format!("environment: {}", differences(environment)),
        Some(Cause::Unstable) => format!("unstable: {}", unstable(judged)),
    };
    if let (Verdict::Regressed, Metric::Event(event)) = (judged.verdict, judged.applied.metric) {
        let limit = percent(judged.applied.threshold.0);
        why.push_str(&format!("; {} {} past its threshold of {limit}", event.name(), change(moved(event))));
    }
    let said = judged.ignored.as_ref().map(Ignoring::shown);
    match said.or_else(|| judged.acknowledged.as_ref().map(Acknowledgement::shown)) {
        Some(said) => why.push_str(&format!(" ({said})")),
        None if judged.verdict == Verdict::Regressed && !judged.blocking => why.push_str(" (not blocking)"),
        None => {}
    }
    why.extend(raised_threshold(judged).map(|raised| format!("; {raised}")));
    why
}

/// `threshold raised from 1.0 % to 2.3 %: its noise floor`, where it was.
fn raised_threshold(judged: &Judged) -> Option<String> {
    let Applied { metric, threshold, raised_from } = judged.applied;
    let of = match metric {
        Metric::Cycles => String::new(),
        Metric::Event(event) => format!("{} ", event.name()),
    };
    let (from, to) = (percent(raised_from?.0), noise_floor(threshold.0));
    Some(format!("{of}threshold raised from {from} to {to}: its noise floor"))
}

/// A noise floor in words: `none`, `2.3 %`, or that there is no bound.
pub fn noise_floor(ratio: f64) -> String {
    match ratio {
        0.0 => "none".to_string(),
        ratio if ratio.is_finite() => percent(ratio),
        _ => "no bound".to_string(),
    }
}

/// The benchmarks whose thresholds are not as the policy says, those raised the most first.
pub fn raised(comparison: &Comparison) -> Option<String> {
    const NAMED: usize = 3;
    let both = comparison.benchmarks.iter().filter(|judged| judged.base.is_some() && judged.head.is_some());
    let mut raised: Vec<&Judged> = both.filter(|judged| judged.applied.raised_from.is_some()).collect();
    raised.sort_by(|a, b| b.applied.threshold.0.total_cmp(&a.applied.threshold.0));
    let named: Vec<String> = raised
        .iter()
        .take(NAMED)
        .map(|judged| {
            let from = judged.applied.raised_from.map_or(0.0, |threshold| threshold.0);
            let to = noise_floor(judged.applied.threshold.0);
            format!("{} from {} to {to}", judged.benchmark.id, percent(from))
        })
        .collect();
    let more = match raised.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = match raised.len() {
        0 => return None,
        1 => "The threshold of 1 benchmark is raised to its noise floor",
        _ => "Thresholds are raised to noise floors",
    };
    Some(format!("{noun}: {}{more}.", named.join(", ")))
}

/// The first differences that matter, and how many more there are: `python 3.11.7 → 3.13.2 and 3 more`.
fn differences(environment: &[Difference]) -> String {
    const SHOWN: usize = 2;
    let matter: Vec<String> =
        environment.iter().filter(|difference| difference.matters()).map(Difference::to_string).collect();
    let shown = matter[..matter.len().min(SHOWN)].join(", ");
    if matter.len() > SHOWN { format!("{shown} and {} more", matter.len() - SHOWN) } else { shown }
}

fn unstable(judged: &Judged) -> &'static str {
    let readings = [judged.head, judged.base].into_iter().flatten();
    let diagnostics = readings.flat_map(|reading| reading.diagnostics.to_vec());
    let told = diagnostics.filter(|diagnostic| {
        matches!(
            diagnostic,
            Diagnostic::LeftTranslation | Diagnostic::UnsupportedInstruction | Diagnostic::ReadRandom
        )
    });
    told.map(Diagnostic::sentence).next().unwrap_or("it differs from run to run")
}

fn factor(judged: &Judged) -> f64 {
    judged.decided_change().map_or(1.0, Change::factor)
}

fn headline(outcome: Outcome, subject: &str, merges: bool) -> String {
    // A branch may have a backtick in its name, and would end the span that it stands in.
    let subject = subject.replace('`', "'");
    let by = |factor: f64| percent(factor - 1.0);
    let (will, verb) = if merges {
        ("Merging ", ["will improve", "will degrade", "will not change"])
    } else {
        ("", ["improves", "degrades", "does not change"])
    };
    match outcome {
        Outcome::Improves(factor) => format!("{will}`{subject}` {} performance by {}", verb[0], by(factor)),
        Outcome::Degrades(factor) => format!("{will}`{subject}` {} performance by {}", verb[1], by(factor)),
        Outcome::Unchanged => format!("{will}`{subject}` {} performance", verb[2]),
        Outcome::NoBaseline => format!("No baseline for `{subject}` yet"),
        Outcome::NothingMeasured => format!("`{subject}` has no results: no benchmark was measured"),
    }
}

/// Names of the columns: what tells the two sides apart at the least length.
fn names(base: &Side, head: &Side, subject: Option<&str>) -> (String, String) {
    let short = |side: &Side| {
        side.source.as_ref().filter(|source| source.commit.is_some()).map(|source| source.short())
    };
    let run = |side: &Side| format!("run {}", crate::run::short_id(&side.run));
    let (base_name, head_name) = if base.branch() != head.branch() {
        (base.branch().to_string(), head.branch().to_string())
    } else if short(base) != short(head) {
        (short(base).unwrap_or_else(|| run(base)), short(head).unwrap_or_else(|| run(head)))
    } else {
        (run(base), run(head))
    };
    (base_name, subject.map_or(head_name, str::to_string))
}

fn named(side: &Side) -> bool {
    side.source.as_ref().is_some_and(|source| source.branch.is_some())
}

fn notes(head: &Side) -> Vec<String> {
    head.incomplete.iter().map(|why| format!("The candidate is incomplete: {why}.")).collect()
}

/// How many regressions do not block, since somebody lets them pass.
fn acknowledged(rows: &[Row]) -> Option<String> {
    let count = rows.iter().filter(|row| row.judged.acknowledged.is_some()).count();
    let verb = if count == 1 { "does" } else { "do" };
    (count > 0).then(|| format!("{} {verb} not block: acknowledged.", plural(count, "regression")))
}

/// How many benchmarks moved that are ignored.
fn set_aside(rows: &[Row]) -> Option<String> {
    let moved = |row: &&Row| row.judged.ignored.is_some() && row.judged.verdict != Verdict::Unchanged;
    let count = rows.iter().filter(moved).count();
    let verb = if count == 1 { "is" } else { "are" };
    (count > 0).then(|| format!("{} that changed {verb} ignored.", plural(count, "benchmark")))
}

/// Which regressions do not block, by cause.
fn ignored(rows: &[Row]) -> Option<String> {
    let mut causes = BTreeMap::<Cause, usize>::new();
    for row in rows {
        let passes = row.judged.acknowledged.is_some() || row.judged.ignored.is_some();
        if row.judged.verdict == Verdict::Regressed && !row.judged.blocking && !passes {
            *causes.entry(row.judged.cause?).or_default() += 1;
        }
    }
    let total: usize = causes.values().sum();
    let names: Vec<&str> = causes.keys().map(|cause| cause.name()).collect();
    let verb = if total == 1 { "does" } else { "do" };
    (total > 0).then(|| {
        format!("{} {verb} not block, by policy: {}.", plural(total, "regression"), names.join(", "))
    })
}

fn link(judged: &Judged, head: &Side, links: &Links) -> Option<String> {
    links.benchmarks.get(&judged.benchmark.id).cloned().or_else(|| {
        let file = judged.benchmark.file.as_deref()?;
        head.source.as_ref()?.web_link(file, judged.benchmark.line)
    })
}

fn sentence(policy: &Policy) -> String {
    let limit = policy.thresholds.cycles.unwrap_or(DEFAULT_THRESHOLD);
    let mut text = format!("a benchmark regresses when its cost grows by more than {}", percent(limit.0));
    for (event, threshold) in &policy.thresholds.events {
        text.push_str(&format!(", or its {} by more than {}", event.name(), percent(threshold.0)));
    }
    if !policy.benchmarks.is_empty() {
        text.push_str(&format!(", but for {} of its own", plural(policy.benchmarks.len(), "rule")));
    }
    let mut blocking: Vec<&str> = policy.gate.causes.iter().map(|cause| cause.name()).collect();
    if policy.gate.dropped {
        blocking.push("dropped");
    }
    match blocking[..] {
        [] => text.push_str("; nothing blocks"),
        _ => text.push_str(&format!("; what blocks: {}", blocking.join(", "))),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    fn report(base: &Run, head: &Run) -> Report {
        let policy = Policy::default();
        let comparison = Comparison::of(base, head, &policy).unwrap();
        Report::of(&comparison, &policy, ReportOptions::default())
    }

    #[track_caller]
    fn check(head: &[(&str, u64, u64)], headline: &str, blocks: bool) {
        let base = run("main", &[("a", 100_000, 0), ("b", 100_000, 0)]);
        let report = report(&base, &run("faster", head));
        assert_eq!((report.headline.as_str(), report.blocks), (headline, blocks));
    }

    #[test]
    fn a_headline_is_a_sentence_about_the_merge() {
        // 101,000 accesses before, 90,826 after: 1.112 times as fast.
        check(&[("a", 89_826, 0)], "Merging `faster` will improve performance by 11.2 %", false);
        check(&[("a", 107_060, 0)], "Merging `faster` will degrade performance by 7.0 %", true);
        check(&[("a", 100_000, 0)], "Merging `faster` will not change performance", false);
        check(&[], "`faster` has no results: no benchmark was measured", false);
    }

    #[test]
    fn two_commits_of_a_branch_are_not_a_merge() {
        let base = run("main", &[("a", 100_000, 0)]);
        let mut head = run("main", &[("a", 50_000, 0)]);
        head.source.as_mut().unwrap().commit = Some("487a918f".to_string());
        let report = report(&base, &head);
        assert_eq!(report.headline, "`487a918` improves performance by 98.0 %");
        assert_eq!((report.base_name.as_str(), report.head_name.as_str()), ("8607178", "487a918"));
    }

    #[test]
    fn without_a_baseline_the_results_are_recorded() {
        let run = run("faster", &[("a", 1, 0), ("b", 1, 0)]);
        let report = Report::without_baseline(&run, &Policy::default(), ReportOptions::default());
        assert_eq!(report.headline, "No baseline for `faster` yet: 2 benchmarks recorded");
        assert!(!report.blocks);
    }

    #[track_caller]
    fn check_why(head: (u64, u64), python: &str, expected: &str) {
        let mut base = run("main", &[("a", 100_000, 0)]);
        base.environment.set("runtime", "python", "3.11.7");
        let mut head = run("faster", &[("a", head.0, head.1)]);
        head.environment.set("runtime", "python", python);
        assert_eq!(report(&base, &head).rows[0].why, expected);
    }

    #[test]
    fn why_says_what_the_change_is_made_of() {
        check_why((90_000, 0), "3.11.7", "code: instructions −10.0 %");
        check_why((100_000, 900), "3.11.7", "layout only: instructions equal, misses moved (not blocking)");
        check_why((200_000, 0), "3.13.2", "environment: python 3.11.7 → 3.13.2");
        check_why((100_000, 0), "3.13.2", "");
    }

    #[test]
    fn an_ignored_regression_is_noted() {
        let report = report(&run("main", &[("a", 100_000, 0)]), &run("faster", &[("a", 100_000, 900)]));
        assert_eq!(report.notes, ["1 regression does not block, by policy: layout."]);
    }

    #[test]
    fn an_acknowledged_regression_is_one_and_does_not_block() {
        let said = crate::acknowledge::Acknowledgement {
            cost: crate::cost::Cycles(0),
            reason: "it checks more".to_string(),
            who: "ada".to_string(),
            at: crate::run::Timestamp(0),
        };
        let base = run("main", &[("a", 100_000, 0), ("b", 100_000, 0)]);
        let head = run("slower", &[("a", 120_000, 0), ("b", 100_000, 0)]);
        let cost = Comparison::of(&base, &head, &Policy::default()).unwrap().benchmarks[0]
            .head
            .unwrap()
            .cost
            .total();
        let report = |instructions| {
            let said = crate::acknowledge::Acknowledgement { cost, ..said.clone() };
            let said = crate::acknowledge::Acknowledgements(BTreeMap::from([("a".to_string(), said)]));
            let policy = Policy::default().with_acknowledged(said);
            let head = run("slower", &[("a", instructions, 0), ("b", 100_000, 0)]);
            Report::of(&Comparison::of(&base, &head, &policy).unwrap(), &policy, ReportOptions::default())
        };
        let passes = report(120_000);
        assert_eq!((passes.blocks, passes.counts.regressed, passes.counts.blocking), (false, 1, 0));
        assert_eq!(passes.rows[0].why, "code: instructions +20.0 % (acknowledged by ada: it checks more)");
        assert_eq!(passes.notes, ["1 regression does not block: acknowledged."]);
        // It got worse since.
        let worse = report(130_000);
        assert_eq!((worse.blocks, worse.rows[0].judged.acknowledged.clone()), (true, None));
    }

    #[test]
    fn an_ignored_benchmark_is_shown_and_decides_nothing() {
        let said = crate::ignore::Ignoring {
            reason: "it waits for a disk".to_string(),
            who: "ada".to_string(),
            at: crate::run::Timestamp(0),
        };
        let policy =
            Policy::default().with_ignored(crate::ignore::Ignored(BTreeMap::from([("a".to_string(), said)])));
        let base = run("main", &[("a", 100_000, 0), ("b", 100_000, 0)]);
        let report = |a, b| {
            let head = run("slower", &[("a", a, 0), ("b", b, 0)]);
            Report::of(&Comparison::of(&base, &head, &policy).unwrap(), &policy, ReportOptions::default())
        };
        let alone = report(150_000, 100_000);
        assert_eq!((alone.blocks, alone.outcome, alone.counts.regressed), (false, Outcome::Unchanged, 1));
        assert_eq!(alone.rows[0].why, "code: instructions +50.0 % (ignored by ada: it waits for a disk)");
        assert_eq!(alone.notes, ["1 benchmark that changed is ignored."]);
        // What it does neither hides nor outdoes what others do.
        let beside = report(150_000, 120_000);
        assert_eq!((beside.blocks, beside.counts.blocking), (true, 1));
        assert!(matches!(beside.outcome, Outcome::Degrades(factor) if factor < 1.3), "{:?}", beside.outcome);
        assert_eq!((Brief::of(&beside).counts.regressed, beside.counts.regressed), (1, 2));
        let faster = report(50_000, 100_000);
        assert_eq!((faster.outcome, faster.counts.improved), (Outcome::Unchanged, 1));
    }

    #[test]
    fn a_threshold_that_is_raised_is_said_to_be() {
        let runs = [("a", 100_000, 0), ("a", 110_000, 0)].map(|one| run("main", &[one]));
        let floors = crate::noise::Floors::of(&[crate::testing::verification(&runs)]);
        let policy = Policy::default().with_floors(floors);
        let said = |instructions| {
            let head = run("slower", &[("a", instructions, 0)]);
            let comparison = Comparison::of(&runs[0], &head, &policy).unwrap();
            let report = Report::of(&comparison, &policy, ReportOptions::default());
            assert_eq!(
                report.notes,
                ["The threshold of 1 benchmark is raised to its noise floor: a from 5.0 % to 9.9 %."]
            );
            (report.blocks, report.rows[0].why.clone())
        };
        let raised = "threshold raised from 5.0 % to 9.9 %: its noise floor";
        assert_eq!(said(108_000), (false, format!("code: instructions +8.0 %; {raised}")));
        assert_eq!(said(120_000), (true, format!("code: instructions +20.0 %; {raised}")));
    }

    #[test]
    fn the_policy_is_a_sentence() {
        let policy =
            crate::wire::config::read("[threshold]\ninstructions = \"2%\"\n[gate]\nblock = [\"code\"]")
                .unwrap()
                .policy;
        assert_eq!(
            sentence(&policy),
            "a benchmark regresses when its cost grows by more than 5.0 %, or its instructions by more than 2.0 %; \
             what blocks: code"
        );
    }

    #[test]
    fn a_benchmark_links_to_its_source_where_nothing_better_is_known() {
        let base = run("main", &[("t.py::a", 1, 0)]);
        let mut head = run("faster", &[("t.py::a", 1, 0)]);
        head.source.as_mut().unwrap().remote = Some("git@github.com:acme/demo.git".to_string());
        let link = report(&base, &head).rows[0].link.clone().unwrap();
        assert!(link.starts_with("https://github.com/acme/demo/blob/487a918"), "{link}");
        assert!(link.ends_with("/t.py"), "{link}");
    }
}
