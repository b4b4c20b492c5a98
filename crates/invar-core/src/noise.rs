//! How far a benchmark's numbers move though its code does not: the noise floor, from runs of one suite under unlike
//! circumstances.
//!
//! A [`Verification`] is what was counted under each circumstance; what follows from it are pure sums: the [`Noise`] of a
//! benchmark in one verification, and its [`Floor`] by all that are known. Who disturbs runs, and how, is the runner's business.
//! Runs on unlike machines are not mixed: the caller measures all of them with the same options.

mod cause;
mod floor;

pub use cause::cause;
pub use floor::{Floor, Floors};

use std::collections::{BTreeMap, BTreeSet};

use crate::cost::Cost;
use crate::diagnostic::Diagnostics;
use crate::event::{Event, Events};
use crate::instrument::Instrument;
use crate::machine::Machine;
use crate::run::{Run, Timestamp};

/// A suite under several circumstances, the first of which is the usual one.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// A UUIDv7.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// What was run.
    pub command: Vec<String>,
    /// The Machine of every count.
    pub machine: Machine,
    /// The instrument of every count.
    pub instrument: Instrument,
    /// What was unlike, in a few words each: a circumstance keeps its words, so that verifications can be put together.
    pub circumstances: Vec<String>,
    /// Every benchmark that any of the runs has a result for, sorted by name.
    pub benchmarks: Vec<Verified>,
}

/// What was counted of a benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Its full name.
    pub benchmark: String,
    /// Under each circumstance.
    pub counted: Vec<Counted>,
    /// What the runs' diagnostics say, all of them.
    pub diagnostics: Diagnostics,
    /// The likely cause, where its numbers moved and something is known: a few words.
    pub cause: Option<String>,
}

/// What was counted under one circumstance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// This, in the warm pass.
    Counts(Events),
    /// It was to be measured, and has no result.
    Missing,
    /// It was not tried with this benchmark.
    Untried,
}

impl Counted {
    /// What was counted, where something was.
    pub fn counts(self) -> Option<Events> {
        match self {
            Counted::Counts(events) => Some(events),
            Counted::Missing | Counted::Untried => None,
        }
    }
}

/// What a benchmark did over several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Its full name.
    pub benchmark: String,
    /// In how many of the runs it has a result.
    pub results: usize,
    /// In how many it should have one.
    pub tried: usize,
    /// Its cost in cycles.
    pub cycles: Spread,
    /// Its instructions.
    pub instructions: Spread,
    /// The events that were not the same in all runs, in stored order.
    pub moved: Vec<Event>,
    /// The first circumstance, by its place, under which something differs from the first result.
    pub first_unlike: Option<usize>,
    /// The circumstance under which the cost is farthest from the first result; none if it never moved.
    pub worst: Option<usize>,
    /// What the runs' diagnostics say, all of them.
    pub diagnostics: Diagnostics,
    /// The likely cause, where something is known.
    pub cause: Option<String>,
}

/// The least and the most that was seen of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl Spread {
    fn of(values: impl Iterator<Item = u64> + Clone) -> Spread {
        Spread { least: values.clone().min().unwrap_or(0), most: values.max().unwrap_or(0) }
    }

    /// The width relative to the least: `0.01` is one percent; nothing to something is infinite.
    pub fn ratio(self) -> f64 {
        match (self.least, self.most) {
            (least, most) if least == most => 0.0,
            (0, _) => f64::INFINITY,
            (least, most) => (most - least) as f64 / least as f64,
        }
    }
}

impl Noise {
    /// Every count is the same in every run that should have it, and they all have it.
    pub fn is_zero(&self) -> bool {
        self.moved.is_empty() && self.results == self.tried
    }

    /// The smallest change of the cost that cannot be noise, as a ratio: anything above zero where there is none.
    pub fn floor(&self) -> f64 {
        self.cycles.ratio()
    }
}

impl Verification {
    /// Nothing yet.
    pub fn begin(
        id: &str,
        started: Timestamp,
        command: Vec<String>,
        machine: Machine,
        instrument: Instrument,
    ) -> Self {
        Verification {
            id: id.to_string(),
            started,
            command,
            machine,
            instrument,
            circumstances: Vec::new(),
            benchmarks: Vec::new(),
        }
    }

    /// Adds a run under a circumstance. `only` names the benchmarks that were tried, where these are not all.
    pub fn add(&mut self, says: &str, run: &Run, only: Option<&BTreeSet<String>>) {
        let before = self.circumstances.len();
        let mut all: BTreeMap<String, Verified> =
            self.benchmarks.drain(..).map(|verified| (verified.benchmark.clone(), verified)).collect();
        for measurement in &run.measurements {
            let verified = all.entry(measurement.benchmark.id.clone()).or_insert_with(|| Verified {
                benchmark: measurement.benchmark.id.clone(),
                counted: vec![Counted::Missing; before],
                diagnostics: Diagnostics::default(),
                cause: None,
            });
            // A name that is there twice was measured twice: the first counts.
            if verified.counted.len() == before {
                verified.counted.push(Counted::Counts(measurement.warm));
            }
            verified.diagnostics.0 |= measurement.diagnostics.0;
        }
        for verified in all.values_mut() {
            let tried = only.is_none_or(|only| only.contains(&verified.benchmark));
            verified.counted.resize(before + 1, if tried { Counted::Missing } else { Counted::Untried });
        }
        self.circumstances.push(says.to_string());
        self.benchmarks = all.into_values().collect();
    }

    /// Says the likely cause of a benchmark's noise.
    pub fn explain(&mut self, benchmark: &str, cause: Option<String>) {
        if let Some(verified) = self.benchmarks.iter_mut().find(|verified| verified.benchmark == benchmark) {
            verified.cause = cause;
        }
    }

    /// The noise of every benchmark, sorted by name.
    pub fn noise(&self) -> Vec<Noise> {
        self.benchmarks.iter().map(|verified| self.noise_of(verified)).collect()
    }

    fn noise_of(&self, verified: &Verified) -> Noise {
        let counted = &verified.counted;
        let results =
            || counted.iter().enumerate().filter_map(|(place, counted)| Some((place, (*counted).counts()?)));
        let cost = |events: &Events| Cost::of(events, &self.machine).total().0;
        let first = results().next().map(|(_, events)| events).unwrap_or_default();
        let moved = Event::ALL
            .into_iter()
            .filter(|&event| results().any(|(_, events)| events.get(event) != first.get(event)));
        let away = |events: &Events| cost(events).abs_diff(cost(&first));
        let unlike = || results().filter(|(_, events)| *events != first);
        Noise {
            benchmark: verified.benchmark.clone(),
            results: results().count(),
            tried: counted.iter().filter(|counted| **counted != Counted::Untried).count(),
            cycles: Spread::of(results().map(|(_, events)| cost(&events))),
            instructions: Spread::of(results().map(|(_, events)| events.get(Event::Instructions))),
            moved: moved.collect(),
            first_unlike: unlike().next().map(|(place, _)| place),
            // Of equals the first: `max_by` would take the last.
            worst: unlike()
                .max_by(|(a, one), (b, two)| away(one).cmp(&away(two)).then(b.cmp(a)))
                .map(|(place, _)| place),
            diagnostics: verified.diagnostics,
            cause: verified.cause.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, verification};

    #[test]
    fn equal_runs_have_no_noise() {
        let runs = [run("main", &[("a", 1000, 3)]), run("main", &[("a", 1000, 3)])];
        let [noise] = &verification(&runs).noise()[..] else { panic!("one benchmark") };
        assert!(noise.is_zero());
        assert_eq!((noise.floor(), noise.first_unlike, noise.worst), (0.0, None, None));
    }

    #[test]
    fn a_count_that_moves_is_named_with_the_run_that_moved_it() {
        let runs = [
            run("main", &[("a", 1000, 0), ("b", 5, 0)]),
            run("main", &[("a", 1000, 0), ("b", 5, 0)]),
            run("main", &[("a", 1010, 0), ("b", 5, 0)]),
            run("main", &[("a", 1020, 0), ("b", 5, 0)]),
        ];
        let noise = verification(&runs).noise();
        assert_eq!(noise[0].instructions, Spread { least: 1000, most: 1020 });
        assert!((noise[0].instructions.ratio() - 0.02).abs() < 1e-12);
        assert!(noise[0].moved.contains(&Event::Instructions) && !noise[0].is_zero());
        assert_eq!((noise[0].first_unlike, noise[0].worst), (Some(2), Some(3)));
        assert!(noise[1].is_zero());
    }

    #[test]
    fn a_benchmark_that_a_run_lacks_is_not_proved() {
        let runs = [run("main", &[("a", 1000, 0)]), run("main", &[]), run("main", &[("a", 1000, 0)])];
        let noise = verification(&runs).noise();
        assert!(noise[0].moved.is_empty() && !noise[0].is_zero());
        assert_eq!((noise[0].results, noise[0].tried), (2, 3));
    }

    #[test]
    fn a_benchmark_that_was_not_tried_lacks_nothing() {
        let mut verification = verification(&[run("main", &[("a", 1000, 0), ("b", 5, 0)])]);
        let only = BTreeSet::from(["a".to_string()]);
        verification.add("alone", &run("main", &[("a", 1000, 0)]), Some(&only));
        assert!(verification.noise().iter().all(Noise::is_zero));
        assert_eq!(verification.benchmarks[1].counted[1], Counted::Untried);
    }

    #[test]
    fn something_out_of_nothing_is_infinitely_much() {
        assert_eq!(Spread { least: 0, most: 1 }.ratio(), f64::INFINITY);
        assert_eq!(Spread { least: 0, most: 0 }.ratio(), 0.0);
    }
}
