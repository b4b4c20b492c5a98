//! What changed between two runs, why, and whether it may be merged.
//!
//! Everything here is a pure function of two Runs and a [`Policy`]. A [`Comparison`] cannot be made of runs on
//! unlike Machines or by unlike instruments: their costs are not comparable.
//!
//! Two ways to say a change, both relative: [`Change::ratio`] is what the cost did (`-0.101`: it costs 10.1 % less;
//! thresholds are about this), [`Change::factor`] how many times faster or slower it is (`1.112`). Headlines speak of
//! the factor, tables of the ratio, and both sides' costs stand beside either.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::acknowledge::Acknowledgement;
use crate::benchmark::Benchmark;
use crate::config::{Metric, Policy, Threshold};
use crate::cost::{Cost, Cycles, Hertz};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::Difference;
use crate::event::{Event, Events};
use crate::ignore::Ignoring;
use crate::instrument::Instrument;
use crate::machine::Machine;
use crate::measurement::Measurement;
use crate::noise::Floor;
use crate::run::{Run, Timestamp};
use crate::source::Source;

/// What became of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It costs more, by more than its threshold.
    Regressed,
    /// It costs less, by more than its threshold.
    Improved,
    /// The candidate has it, the baseline does not.
    New,
    /// The baseline has it, the candidate does not.
    Dropped,
    /// None of these.
    Unchanged,
}

impl Verdict {
    /// Every verdict, the pressing ones first.
    pub const ALL: [Verdict; 5] =
        [Verdict::Regressed, Verdict::Improved, Verdict::New, Verdict::Dropped, Verdict::Unchanged];

    /// The stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Regressed => "regressed",
            Verdict::Improved => "improved",
            Verdict::New => "new",
            Verdict::Dropped => "dropped",
            Verdict::Unchanged => "unchanged",
        }
    }
}

/// Why a cost changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The program does other work.
    Code,
    /// The same work at other addresses: instructions and accesses are equal, only misses moved.
    Layout,
    /// Something around the program differs, such as the Python; the program may be the same.
    Environment,
    /// A side cannot be relied on: its diagnostics say that it may differ from run to run, or was not counted whole.
    Unstable,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 4] = [Cause::Code, Cause::Layout, Cause::Environment, Cause::Unstable];

    /// The stable name, as in JSON and `invar.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Code => "code",
            Cause::Layout => "layout",
            Cause::Environment => "environment",
            Cause::Unstable => "unstable",
        }
    }

    /// The cause called `name`.
    pub fn from_name(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// A count or a cost before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// In the baseline.
    pub base: u64,
    /// In the candidate.
    pub head: u64,
}

impl Change {
    /// How far it moved.
    pub fn moved(self) -> i128 {
        i128::from(self.head) - i128::from(self.base)
    }

    /// The change relative to the baseline: doubling is `+1.0`, halving `-0.5`, something out of nothing infinite.
    pub fn ratio(self) -> f64 {
        match (self.base, self.head) {
            (base, head) if base == head => 0.0,
            (0, _) => f64::INFINITY,
            (base, head) if head > base => (head - base) as f64 / base as f64,
            (base, head) => -((base - head) as f64 / base as f64),
        }
    }

    /// How many times the smaller side the larger one is, from 1: `1.112` is 11.2 % faster, or slower.
    pub fn factor(self) -> f64 {
        let (smaller, larger) = (self.base.min(self.head), self.base.max(self.head));
        if smaller == larger { 1.0 } else { larger as f64 / smaller as f64 }
    }
}

/// One side of a comparison, by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The run's id.
    pub run: String,
    /// What people call it; see [`Run::title`].
    pub title: String,
    /// What was checked out.
    pub source: Option<Source>,
    /// When it started.
    pub started: Timestamp,
    /// Why benchmarks may be missing from it.
    pub incomplete: Option<String>,
}

impl Side {
    /// The names of a run.
    pub fn of(run: &Run) -> Side {
        Side {
            run: run.id.clone(),
            title: run.title(),
            source: run.source.clone(),
            started: run.started,
            incomplete: run.incomplete.clone(),
        }
    }

    /// The branch, or what else it is called.
    pub fn branch(&self) -> &str {
        self.source.as_ref().and_then(|source| source.branch.as_deref()).unwrap_or(&self.title)
    }
}

/// What one side says about a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What it cost.
    pub cost: Cost,
    /// The same as simulated time.
    pub time: Duration,
    /// What was counted.
    pub events: Events,
    /// What could not be done exactly.
    pub diagnostics: Diagnostics,
}

impl Reading {
    /// What a measurement says: its warm pass.
    pub fn of(measurement: &Measurement) -> Reading {
        Reading::new(measurement.warm, &measurement.machine, measurement.diagnostics)
    }

    /// What events say of a benchmark on a machine.
    pub fn new(events: Events, machine: &Machine, diagnostics: Diagnostics) -> Reading {
        let cost = Cost::of(&events, machine);
        Reading { cost, time: cost.total().at(Hertz::of(machine)), events, diagnostics }
    }

    /// Was the whole benchmark measured? One that ended in an exception was not.
    pub fn is_whole(&self) -> bool {
        !self.diagnostics.contains(Diagnostic::Failed)
    }
}

/// A threshold of a benchmark, of what it is, and what the project asked for where it was raised.
pub type Judging = (Metric, Threshold, Option<Threshold>);

/// A threshold, and what it was applied to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Applied {
    /// What the threshold is about.
    pub metric: Metric,
    /// The threshold.
    pub threshold: Threshold,
    /// What the project asked for, if that is below the noise floor: the threshold was raised to it.
    pub raised_from: Option<Threshold>,
}

/// A benchmark and what became of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Judged {
    /// The benchmark; as the candidate describes it, where it has it.
    pub benchmark: Benchmark,
    /// Before.
    pub base: Option<Reading>,
    /// After.
    pub head: Option<Reading>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, if its cost changed at all.
    pub cause: Option<Cause>,
    /// The threshold that decided: the one passed, or that of the cost.
    pub applied: Applied,
    /// Does this alone fail the comparison?
    pub blocking: bool,
    /// Who lets it pass, and why, where it would block otherwise.
    pub acknowledged: Option<Acknowledgement>,
    /// Who says that it decides nothing, and why.
    pub ignored: Option<Ignoring>,
    /// How far its cost moves by itself, where it was verified: a ratio.
    pub noise: Option<f64>,
}

impl Judged {
    /// What the cost did, where both sides have it.
    pub fn change(&self) -> Option<Change> {
        let (base, head) = (self.base?, self.head?);
        Some(Change { base: base.cost.total().0, head: head.cost.total().0 })
    }

    /// What the count of an event did, where both sides have it.
    pub fn event_change(&self, event: Event) -> Option<Change> {
        let (base, head) = (self.base?, self.head?);
        Some(Change { base: base.events.get(event), head: head.events.get(event) })
    }

    /// What the decided metric did: the cost, or the event whose threshold was passed.
    pub fn decided_change(&self) -> Option<Change> {
        match self.applied.metric {
            Metric::Cycles => self.change(),
            Metric::Event(event) => self.event_change(event),
        }
    }
}

/// How many benchmarks there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Improved.
    pub improved: usize,
    /// Regressed, blocking or not.
    pub regressed: usize,
    /// Unchanged.
    pub unchanged: usize,
    /// New.
    pub new: usize,
    /// Dropped.
    pub dropped: usize,
    /// Failed in the candidate.
    pub failed: usize,
    /// Of all these, those that block.
    pub blocking: usize,
}

impl Counts {
    /// How many of one verdict.
    pub const fn of(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Regressed => self.regressed,
            Verdict::Improved => self.improved,
            Verdict::New => self.new,
            Verdict::Dropped => self.dropped,
            Verdict::Unchanged => self.unchanged,
        }
    }

    /// The same without one of this verdict.
    #[must_use]
    pub const fn without(mut self, verdict: Verdict) -> Counts {
        let count = match verdict {
            Verdict::Regressed => &mut self.regressed,
            Verdict::Improved => &mut self.improved,
            Verdict::New => &mut self.new,
            Verdict::Dropped => &mut self.dropped,
            Verdict::Unchanged => &mut self.unchanged,
        };
        *count = count.saturating_sub(1);
        self
    }
}

/// Two runs, benchmark by benchmark. Made by [`Comparison::of`] only.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// The baseline.
    pub base: Side,
    /// The candidate.
    pub head: Side,
    /// The Machine of both.
    pub machine: Machine,
    /// The instrument of both.
    pub instrument: Instrument,
    /// What differs around the program.
    pub environment: Vec<Difference>,
    /// Every benchmark of either side, sorted by full name.
    pub benchmarks: Vec<Judged>,
    /// Benchmarks that failed in the candidate, each with why in one line.
    pub failed: BTreeMap<String, String>,
}

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompareError {
    /// Unlike Machines.
    #[error(
        "the baseline was simulated on machine `{base}` and the candidate on `{head}`{}; costs on unlike machines are \
         not comparable",
        namesakes(.base, .head)
    )]
    Machines {
        /// The baseline's, by name.
        base: String,
        /// The candidate's, by name.
        head: String,
    },
    /// Unlike instruments.
    #[error(
        "the baseline was measured by {} and the candidate by {}; results of unlike instruments are not comparable",
        .base.name(), .head.name()
    )]
    Instruments {
        /// The baseline's.
        base: Instrument,
        /// The candidate's.
        head: Instrument,
    },
}

fn namesakes(base: &str, head: &str) -> &'static str {
    if base == head { ", which has other caches, latencies or clock under the same name" } else { "" }
}

/// Judges a benchmark by its cost before and after.
///
/// The change is relative to the baseline, and counts when it is more than the threshold, not when it is as much.
pub fn judge(
    baseline: Option<Cycles>,
    candidate: Option<Cycles>,
    Threshold(threshold): Threshold,
) -> Option<Verdict> {
    match (baseline, candidate) {
        (None, None) => None,
        (None, Some(_)) => Some(Verdict::New),
        (Some(_), None) => Some(Verdict::Dropped),
        (Some(base), Some(head)) => match (Change { base: base.0, head: head.0 }).ratio() {
            ratio if ratio > threshold => Some(Verdict::Regressed),
            ratio if ratio < -threshold => Some(Verdict::Improved),
            _ => Some(Verdict::Unchanged),
        },
    }
}

/// Judges a benchmark by everything that has a threshold: its cost, and the events that the policy names for it.
///
/// A regression of anything that has a threshold is one of the benchmark; an improvement must be of the cost. A threshold
/// below the benchmark's noise floor is raised to it.
pub fn verdict(
    benchmark: &str,
    base: Option<&Reading>,
    head: Option<&Reading>,
    policy: &Policy,
) -> Option<(Verdict, Applied)> {
    verdict_by(&policy.judging(benchmark), base, head)
}

/// The same by the thresholds of a benchmark, [`Policy::judging`], for who judges it more than once.
pub fn verdict_by(
    judging: &[Judging],
    base: Option<&Reading>,
    head: Option<&Reading>,
) -> Option<(Verdict, Applied)> {
    let count = |reading: &Reading, metric| match metric {
        Metric::Cycles => reading.cost.total(),
        Metric::Event(event) => Cycles(reading.events.get(event)),
    };
    let mut first = None;
    for &(metric, threshold, raised_from) in judging {
        let [base, head] = [base, head].map(|side| side.map(|reading| count(reading, metric)));
        let Some(verdict) = judge(base, head, threshold) else { continue };
        let found = (verdict, Applied { metric, threshold, raised_from });
        if verdict == Verdict::Regressed {
            return Some(found);
        }
        first = first.or(Some(found));
    }
    first
}

/// Why a cost changed from `base` to `head`; `None` if no count did.
///
/// Layout goes before environment: where the program did the same work, whatever moved it moved its misses only.
pub fn cause(base: &Reading, head: &Reading, environment: &[Difference]) -> Option<Cause> {
    let equal = |event: &Event| base.events.get(*event) == head.events.get(*event);
    if Event::ALL.iter().all(equal) {
        return None;
    }
    let unreliable =
        |reading: &Reading| UNRELIABLE.iter().any(|&diagnostic| reading.diagnostics.contains(diagnostic));
    Some(if same_work(&base.events, &head.events) {
        Cause::Layout
    } else if unreliable(base) || unreliable(head) {
        Cause::Unstable
    } else if environment.iter().any(Difference::matters) {
        Cause::Environment
    } else {
        Cause::Code
    })
}

/// Did a program do the same, wherever its data and code were?
pub(crate) fn same_work(base: &Events, head: &Events) -> bool {
    WORK.iter().all(|&event| base.get(event) == head.get(event))
}

/// Events that say what a program did; the others say where its data and code were.
const WORK: [Event; 7] = [
    Event::Instructions,
    Event::Reads,
    Event::Writes,
    Event::RepBytes,
    Event::RepIterations,
    Event::BranchesTaken,
    Event::SystemCalls,
];

/// Diagnostics after which a count is not the count of the whole benchmark, or of another run.
///
/// Neither threads that merely existed (a pytest-xdist worker always has some) nor reading the clock are among them:
/// most benchmarks that meet them repeat exactly.
const UNRELIABLE: [Diagnostic; 3] =
    [Diagnostic::LeftTranslation, Diagnostic::UnsupportedInstruction, Diagnostic::ReadRandom];

impl Comparison {
    /// Compares a candidate with its baseline.
    pub fn of(base: &Run, head: &Run, policy: &Policy) -> Result<Comparison, CompareError> {
        comparable((&base.machine, base.instrument), (&head.machine, head.instrument))?;
        let environment = base.environment.diff(&head.environment);
        let mut failed = head.failed.clone();
        let mut pairs = BTreeMap::<&str, (Option<&Measurement>, Option<&Measurement>)>::new();
        for measurement in base.measurements.iter().filter(|measurement| whole(measurement)) {
            pairs.entry(&measurement.benchmark.id).or_default().0 = Some(measurement);
        }
        for measurement in &head.measurements {
            if whole(measurement) {
                pairs.entry(&measurement.benchmark.id).or_default().1 = Some(measurement);
            } else {
                let why = Diagnostic::Failed.sentence().to_string();
                failed.entry(measurement.benchmark.id.clone()).or_insert(why);
            }
        }
        // What a shard has not measured is another one's, and neither new nor dropped.
        let [of_shard, in_shard] = [base, head].map(|run| run.shard.is_some());
        let mut benchmarks = Vec::with_capacity(pairs.len());
        for (name, (base, head)) in pairs {
            if (base.is_none() && of_shard) || (head.is_none() && in_shard) {
                continue;
            }
            if let (Some(base), Some(head)) = (base, head) {
                comparable((&base.machine, base.instrument), (&head.machine, head.instrument))?;
            }
            // What failed is missing for that reason, and not because somebody removed it.
            if head.is_none() && failed.contains_key(name) {
                continue;
            }
            benchmarks.extend(judge_benchmark(base, head, &environment, policy));
        }
        Ok(Comparison {
            base: Side::of(base),
            head: Side::of(head),
            machine: head.machine.clone(),
            instrument: head.instrument,
            environment,
            benchmarks,
            failed,
        })
    }

    /// How many there are of each verdict.
    pub fn counts(&self) -> Counts {
        let of = |verdict| self.benchmarks.iter().filter(|judged| judged.verdict == verdict).count();
        Counts {
            improved: of(Verdict::Improved),
            regressed: of(Verdict::Regressed),
            unchanged: of(Verdict::Unchanged),
            new: of(Verdict::New),
            dropped: of(Verdict::Dropped),
            failed: self.failed.len(),
            blocking: self.benchmarks.iter().filter(|judged| judged.blocking).count(),
        }
    }

    /// Does anything block the merge?
    pub fn blocks(&self) -> bool {
        self.benchmarks.iter().any(|judged| judged.blocking)
    }

    /// The benchmark that the headline is about: the worst regression that blocks, else the best improvement,
    /// else the worst regression that does not block. Never one that is ignored.
    pub fn headline(&self) -> Option<&Judged> {
        let worst = |verdict, blocking: Option<bool>| {
            let candidates = self.benchmarks.iter().filter(move |judged| {
                let is_wanted = blocking.is_none_or(|blocking| judged.blocking == blocking);
                judged.verdict == verdict && is_wanted && judged.ignored.is_none()
            });
            // Of equals the first by name: `max_by` would take the last.
            candidates.rev().max_by(|a, b| size(a).total_cmp(&size(b)))
        };
        worst(Verdict::Regressed, Some(true))
            .or_else(|| worst(Verdict::Improved, None))
            .or_else(|| worst(Verdict::Regressed, Some(false)))
    }

    /// Whatever is not unchanged, the pressing first: regressions from the worst, those that block before those that
    /// do not, improvements from the best, then new and dropped ones by name.
    pub fn changed(&self) -> Vec<&Judged> {
        let mut changed: Vec<&Judged> =
            self.benchmarks.iter().filter(|judged| judged.verdict != Verdict::Unchanged).collect();
        changed.sort_by(|a, b| {
            let rank = |judged: &Judged| (judged.verdict, !judged.blocking);
            rank(a).cmp(&rank(b)).then_with(|| size(b).total_cmp(&size(a)))
        });
        changed
    }
}

/// How far the decided metric moved; 0 where there is only one side.
fn size(judged: &Judged) -> f64 {
    judged.decided_change().map_or(0.0, Change::factor)
}

/// A benchmark that ended in an exception was not measured whole.
fn whole(measurement: &Measurement) -> bool {
    !measurement.diagnostics.contains(Diagnostic::Failed)
}

fn comparable(base: (&Machine, Instrument), head: (&Machine, Instrument)) -> Result<(), CompareError> {
    if base.1 != head.1 {
        return Err(CompareError::Instruments { base: base.1, head: head.1 });
    }
    if base.0 != head.0 {
        return Err(CompareError::Machines { base: base.0.name.clone(), head: head.0.name.clone() });
    }
    Ok(())
}

fn judge_benchmark(
    base: Option<&Measurement>,
    head: Option<&Measurement>,
    environment: &[Difference],
    policy: &Policy,
) -> Option<Judged> {
    let benchmark = head.or(base)?.benchmark.clone();
    let [base, head] = [base, head].map(|side| side.map(Reading::of));
    let (verdict, applied) = verdict(&benchmark.id, base.as_ref(), head.as_ref(), policy)?;
    let cause = base.zip(head).and_then(|(base, head)| cause(&base, &head, environment));
    let blocking = match verdict {
        Verdict::Regressed => cause.is_some_and(|cause| policy.gate.causes.contains(&cause)),
        Verdict::Dropped => policy.gate.dropped,
        Verdict::Improved | Verdict::New | Verdict::Unchanged => false,
    };
    let ignored = policy.ignored.0.get(&benchmark.id).cloned();
    let blocking = blocking && ignored.is_none();
    let noise = policy.floors.get(&benchmark.id).map(Floor::cycles);
    let cost = head.filter(|_| blocking && verdict == Verdict::Regressed).map(|head| head.cost.total());
    let acknowledged = policy.acknowledged.0.get(&benchmark.id).zip(cost);
    let acknowledged =
        acknowledged.filter(|(said, cost)| said.covers(*cost, policy.cost_threshold(&benchmark.id)));
    let acknowledged = acknowledged.map(|(said, _)| said.clone());
    let blocking = blocking && acknowledged.is_none();
    Some(Judged { benchmark, base, head, verdict, cause, applied, blocking, acknowledged, ignored, noise })
}

#[cfg(test)]
mod tests;
