//! The noise floor of a benchmark by everything that is known of it.
//!
//! A quick verification does not take back what a longer one found: circumstance by circumstance the newest result counts.
//!
//! Invariant: of one verification alone the floor is the spread that its [`Noise`](super::Noise) says.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verification, Verified};
use crate::config::Metric;
use crate::cost::Cost;
use crate::event::{Event, Events};
use crate::machine::Machine;
use crate::naming::Names;
use crate::run::Timestamp;

/// More than a ratio can be off by the arithmetic.
const ROUNDING: f64 = 1e-12;

/// The smallest changes of a benchmark that cannot be noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Floor {
    /// As ratios, by what they are of. What is not there never moved.
    ratios: BTreeMap<Metric, f64>,
    /// When it was measured last.
    pub measured: Timestamp,
    /// The likely cause of the noise, where something is known.
    pub cause: Option<String>,
}

impl Floor {
    /// Of a metric, as a ratio: zero if it never moved, infinite if there was something once and nothing another time.
    pub fn of(&self, metric: Metric) -> f64 {
        self.ratios.get(&metric).copied().unwrap_or(0.0)
    }

    /// Of the cost.
    pub fn cycles(&self) -> f64 {
        self.of(Metric::Cycles)
    }
}

/// The noise floors that are known, by full name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Floors(BTreeMap<String, Floor>);

impl Floors {
    /// What verifications say that were made in one way; the order does not matter, but for those of one time.
    pub fn of(verifications: &[Verification]) -> Floors {
        let mut newest: Vec<&Verification> = verifications.iter().collect();
        newest.sort_by_key(|verification| std::cmp::Reverse(verification.started));
        let mut found = BTreeMap::<&str, Found<'_>>::new();
        for verification in newest {
            for verified in &verification.benchmarks {
                found.entry(&verified.benchmark).or_default().add(verification, verified);
            }
        }
        let floor = |(name, found): (&str, Found<'_>)| Some((name.to_string(), found.floor()?));
        Floors(found.into_iter().filter_map(floor).collect())
    }

    /// What is known of a benchmark.
    pub fn get(&self, benchmark: &str) -> Option<&Floor> {
        self.0.get(benchmark)
    }

    /// The same by the names of today. Of two that become one, the one stays that was called so already.
    #[must_use]
    pub fn by(self, names: &Names) -> Floors {
        if names.is_empty() {
            return self;
        }
        let (own, renamed): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(name, _)| names.today(name) == name);
        let mut floors: BTreeMap<String, Floor> = own.into_iter().collect();
        for (name, floor) in renamed {
            floors.entry(names.today(&name).to_string()).or_insert(floor);
        }
        Floors(floors)
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Floor)> {
        self.0.iter().map(|(name, floor)| (name.as_str(), floor))
    }

    /// Is nothing known of any benchmark?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is gathered of a benchmark, the newest first.
#[derive(Default)]
struct Found<'a> {
    /// Circumstances that are known already.
    known: BTreeSet<&'a str>,
    /// How far each metric was below and above the usual, as ratios to it.
    reach: BTreeMap<Metric, (f64, f64)>,
    measured: Option<Timestamp>,
    cause: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn add(&mut self, verification: &'a Verification, verified: &'a Verified) {
        let mut results = verification.circumstances.iter().zip(&verified.counted);
        let mut results = results.by_ref().filter_map(|(says, counted)| Some((says, (*counted).counts()?)));
        let Some((_, usual)) = results.next() else { return };
        let mut newly = false;
        for (says, events) in results {
            if self.known.insert(says) {
                newly = true;
                self.reach(&usual, &events, &verification.machine);
            }
        }
        if newly {
            self.measured = self.measured.max(Some(verification.started));
            self.cause = self.cause.or(verified.cause.as_deref());
        }
    }

    fn reach(&mut self, usual: &Events, events: &Events, machine: &Machine) {
        let cost = |events: &Events| Cost::of(events, machine).total().0;
        let counts =
            Event::ALL.into_iter().map(|event| (Metric::Event(event), usual.get(event), events.get(event)));
        for (metric, usual, now) in counts.chain([(Metric::Cycles, cost(usual), cost(events))]) {
            if usual == now {
                continue;
            }
            let factor = if usual == 0 { f64::INFINITY } else { now as f64 / usual as f64 };
            let (least, most) = self.reach.entry(metric).or_insert((1.0, 1.0));
            (*least, *most) = (least.min(factor), most.max(factor));
        }
    }

    fn floor(self) -> Option<Floor> {
        // Rounded up, so that the very change that was seen is not more than the floor.
        let ratio = |(least, most): (f64, f64)| most / least - 1.0 + ROUNDING;
        Some(Floor {
            ratios: self.reach.into_iter().map(|(metric, reach)| (metric, ratio(reach))).collect(),
            measured: self.measured?,
            cause: self.cause.map(str::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, verification};

    const INSTRUCTIONS: Metric = Metric::Event(Event::Instructions);

    /// Verifications, the oldest first: each a result a circumstance, in instructions.
    #[track_caller]
    fn check(verifications: &[&[(&str, u64)]], percent: f64) {
        let made = verifications.iter().enumerate().map(|(number, results)| {
            let mut made = verification(&[]);
            made.started = Timestamp(number as i64);
            for (says, instructions) in *results {
                made.add(says, &run("main", &[("a", *instructions, 0)]), None);
            }
            made
        });
        let floors = Floors::of(&made.collect::<Vec<_>>());
        let found = floors.get("a").unwrap().of(INSTRUCTIONS);
        assert!((found - percent / 100.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn a_floor_is_the_spread() {
        check(&[&[("usual", 1000), ("again", 1000)]], 0.0);
        check(&[&[("usual", 1000), ("again", 1020), ("load", 1010)]], 2.0);
        check(&[&[("usual", 1020), ("again", 1000), ("load", 1040)]], 4.0);
    }

    #[test]
    fn the_newest_result_under_a_circumstance_counts() {
        check(&[&[("usual", 1000), ("load", 1020)], &[("usual", 1000), ("load", 1000)]], 0.0);
        check(&[&[("usual", 1000), ("load", 1020)], &[("usual", 2000), ("again", 2000)]], 2.0);
    }

    #[test]
    fn one_result_alone_says_nothing() {
        let floors = Floors::of(&[verification(&[run("main", &[("a", 1000, 0)])])]);
        assert!(floors.is_empty());
    }

    #[test]
    fn what_was_not_there_once_has_no_floor_below_infinity() {
        let floors =
            Floors::of(&[verification(&[run("main", &[("a", 1000, 0)]), run("main", &[("a", 1000, 1)])])]);
        assert_eq!(floors.get("a").unwrap().of(Metric::Event(Event::L3Misses)), f64::INFINITY);
    }
}
