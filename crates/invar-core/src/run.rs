//! One execution of a benchmark suite, and everything it said.
//!
//! Invariant: `measurements` are sorted by the full name of their benchmark, and no name is there twice for one
//! instrument; [`Run::sort`] makes it so.

use std::collections::BTreeMap;

use crate::environment::Environment;
use crate::instrument::Instrument;
use crate::layouts::Layouts;
use crate::machine::Machine;
use crate::measurement::Measurement;
use crate::shard::Shard;
use crate::source::Source;

/// A moment: microseconds since the epoch, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// How the measured command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id: a UUIDv7 as text, given by who starts it.
    pub id: String,
    /// When it started.
    pub started: Timestamp,
    /// How long it took, in microseconds on the wall.
    pub took_micros: Option<u64>,
    /// The command that was run, word by word.
    pub command: Vec<String>,
    /// What was checked out; `None` outside a repository.
    pub source: Option<Source>,
    /// Under which circumstances.
    pub environment: Environment,
    /// The simulated CPU that was asked for.
    pub machine: Machine,
    /// The instrument that was asked for.
    pub instrument: Instrument,
    /// The results.
    pub measurements: Vec<Measurement>,
    /// Benchmarks that failed, by full name, each with why in one line. One that failed after it was measured has a
    /// result as well.
    pub failed: BTreeMap<String, String>,
    /// How the command ended; `None` if it was never seen to.
    pub exit: Option<Exit>,
    /// Why there may be benchmarks missing; `None` if the run is complete.
    pub incomplete: Option<String>,
    /// What else its reader must know, a sentence each.
    pub warnings: Vec<String>,
    /// Over which layouts of memory its counts are means; `None` if they are of one layout.
    pub layouts: Option<Layouts>,
    /// Which part of its suite it is; `None` if it is the whole.
    pub shard: Option<Shard>,
}

impl Run {
    /// A run of which nothing but its beginning is known.
    pub fn started(id: &str, started: Timestamp, machine: Machine) -> Run {
        Run {
            id: id.to_string(),
            started,
            took_micros: None,
            command: Vec::new(),
            source: None,
            environment: Environment::default(),
            machine,
            instrument: Instrument::Simulation,
            measurements: Vec::new(),
            failed: BTreeMap::new(),
            exit: None,
            incomplete: None,
            warnings: Vec::new(),
            layouts: None,
            shard: None,
        }
    }

    /// Sorts the measurements by name; of two with one name and instrument the later stays.
    pub fn sort(&mut self) {
        self.measurements.reverse();
        self.measurements.sort_by(|a, b| key(a).cmp(&key(b)));
        self.measurements.dedup_by(|later, earlier| key(later) == key(earlier));
    }

    /// The measurement of the benchmark with this full name.
    pub fn measurement(&self, benchmark: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.benchmark.id == benchmark)
    }

    /// The last six digits of the id: enough to tell runs apart on a screen.
    ///
    /// The first digits of a UUIDv7 are its time, the same for runs of one day.
    pub fn short_id(&self) -> &str {
        short_id(&self.id)
    }

    /// What people call it: branch and commit where there are any, else the id's short form.
    pub fn title(&self) -> String {
        match &self.source {
            Some(source) if source.commit.is_some() => match &source.branch {
                Some(branch) => format!("{branch}@{}", source.short()),
                None => source.short(),
            },
            _ => format!("run {}", self.short_id()),
        }
    }
}

/// The last six digits of a run's id.
pub fn short_id(id: &str) -> &str {
    id.len().checked_sub(6).and_then(|start| id.get(start..)).unwrap_or(id)
}

/// A run, as far as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// When it started.
    pub started: Timestamp,
    /// See [`Run::title`].
    pub title: String,
    /// The commit that was checked out, in full.
    pub commit: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// Was anything changed and not committed? False outside a repository.
    pub dirty: bool,
    /// The first line of the commit's message.
    pub message: Option<String>,
    /// The Machine, by name.
    pub machine: String,
    /// The instrument.
    pub instrument: Instrument,
    /// How many benchmarks have a result.
    pub measured: usize,
    /// How many failed.
    pub failed: usize,
    /// Why there may be benchmarks missing.
    pub incomplete: Option<String>,
}

impl Summary {
    /// What a list shows of a run.
    pub fn of(run: &Run) -> Summary {
        let source = run.source.as_ref();
        Summary {
            id: run.id.clone(),
            started: run.started,
            title: run.title(),
            commit: source.and_then(|source| source.commit.clone()),
            branch: source.and_then(|source| source.branch.clone()),
            dirty: source.is_some_and(|source| source.dirty),
            message: source.and_then(|source| source.message.clone()),
            machine: run.machine.name.clone(),
            instrument: run.instrument,
            measured: run.measurements.len(),
            failed: run.failed.len(),
            incomplete: run.incomplete.clone(),
        }
    }
}

fn key(measurement: &Measurement) -> (&str, Instrument) {
    (&measurement.benchmark.id, measurement.instrument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Benchmark;
    use crate::diagnostic::Diagnostics;
    use crate::event::{Event, Events};

    fn measurement(name: &str, instructions: u64) -> Measurement {
        let mut warm = Events::default();
        warm.add(Event::Instructions, instructions);
        Measurement {
            benchmark: Benchmark::named(name),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm,
            diagnostics: Diagnostics::default(),
        }
    }

    #[test]
    fn measurements_are_sorted_and_the_later_of_a_name_stays() {
        let mut run = Run::started("id", Timestamp(0), Machine::reference_1());
        run.measurements = vec![measurement("b", 1), measurement("a", 2), measurement("b", 3)];
        run.sort();
        assert_eq!(run.measurements, [measurement("a", 2), measurement("b", 3)]);
        assert_eq!(run.measurement("b"), Some(&measurement("b", 3)));
    }

    #[test]
    fn a_run_outside_a_repository_is_called_by_its_id() {
        let run = Run::started("0190f3c2-1111-7000-8000-00000000abcd", Timestamp(0), Machine::reference_1());
        assert_eq!(run.title(), "run 00abcd");
    }
}
