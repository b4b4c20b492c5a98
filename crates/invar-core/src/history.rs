//! What benchmarks cost over time: series of points, where they stepped, and what all of them did together.
//!
//! A series is of one benchmark on one Machine by one instrument, so its points are comparable. Which runs are in it,
//! and in which order they come, is decided by who asks the store.

use std::collections::BTreeMap;

use crate::compare::{Change, Reading, Verdict, verdict};
use crate::config::Policy;
use crate::instrument::Instrument;
use crate::machine::Machine;
use crate::run::Summary;

/// A benchmark's result in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The run.
    pub run: Summary,
    /// The result.
    pub reading: Reading,
}

/// A benchmark's results, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The full name of the benchmark.
    pub benchmark: String,
    /// The Machine of every point.
    pub machine: Machine,
    /// The instrument of every point.
    pub instrument: Instrument,
    /// The points.
    pub points: Vec<Point>,
}

/// A regression that has not been made good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The point that brought it.
    pub since: usize,
    /// From the point before it to the newest one.
    pub change: Change,
}

/// The cost of a whole suite at one run, relative to the first: `0.9` is a tenth less.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// The run.
    pub run: Summary,
    /// Geometric mean over the benchmarks.
    pub ratio: f64,
    /// What it did from the level before: `-0.1` is a tenth less.
    pub step: f64,
}

impl Series {
    /// The newest point.
    pub fn newest(&self) -> Option<&Point> {
        self.points.last()
    }

    /// What the cost did from the point before.
    pub fn change(&self, at: usize) -> Option<Change> {
        Some(self.between(at.checked_sub(1)?, at))
    }

    /// What became of the benchmark from the point before; `None` for the first.
    pub fn verdict(&self, at: usize, policy: &Policy) -> Option<Verdict> {
        let before = &self.points.get(at.checked_sub(1)?)?.reading;
        let after = &self.points.get(at)?.reading;
        verdict(&self.benchmark, Some(before), Some(after), policy).map(|(verdict, _)| verdict)
    }

    /// From the oldest point to the newest.
    pub fn over_all(&self) -> Option<Change> {
        (self.points.len() > 1).then(|| self.between(0, self.points.len() - 1))
    }

    /// What became of the benchmark from the oldest point to the newest.
    pub fn over_all_verdict(&self, policy: &Policy) -> Option<Verdict> {
        let [first, .., last] = &self.points[..] else { return None };
        verdict(&self.benchmark, Some(&first.reading), Some(&last.reading), policy)
            .map(|(verdict, _)| verdict)
    }

    /// The latest regression that the newest point still shows, by the same policy.
    pub fn standing(&self, policy: &Policy) -> Option<Standing> {
        let newest = self.points.len().checked_sub(1)?;
        let since = (1..=newest).rev().find(|&at| {
            let still = || {
                let (before, now) = (&self.points[at - 1].reading, &self.points[newest].reading);
                verdict(&self.benchmark, Some(before), Some(now), policy).map(|(verdict, _)| verdict)
            };
            self.verdict(at, policy) == Some(Verdict::Regressed) && still() == Some(Verdict::Regressed)
        })?;
        Some(Standing { since, change: self.between(since - 1, newest) })
    }

    fn between(&self, base: usize, head: usize) -> Change {
        let cycles = |at: usize| self.points[at].reading.cost.total().0;
        Change { base: cycles(base), head: cycles(head) }
    }
}

/// What all benchmarks did together, run by run in the order of `runs`.
///
/// From one run to the next only benchmarks count that have a cost in both, so that a new one moves nothing.
pub fn levels(series: &[Series], runs: &[Summary]) -> Vec<Level> {
    let mut costs = BTreeMap::<&str, BTreeMap<&str, u64>>::new();
    for series in series {
        for point in &series.points {
            let of_run = costs.entry(&point.run.id).or_default();
            of_run.insert(&series.benchmark, point.reading.cost.total().0);
        }
    }
    let nothing = BTreeMap::new();
    let mut before: Option<&BTreeMap<&str, u64>> = None;
    let mut ratio = 1.0_f64;
    let mut levels = Vec::new();
    for run in runs {
        let now = costs.get(run.id.as_str()).unwrap_or(&nothing);
        let pairs = now.iter().filter_map(|(name, &head)| {
            let base = *before?.get(name)?;
            (base > 0 && head > 0).then(|| (head as f64 / base as f64).ln())
        });
        let logarithms: Vec<f64> = pairs.collect();
        let factor = if logarithms.is_empty() {
            1.0
        } else {
            (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
        };
        ratio *= factor;
        if !now.is_empty() {
            before = Some(now);
            levels.push(Level { run: run.clone(), ratio, step: factor - 1.0 });
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    /// Costs of a benchmark in thousands of cycles, a run each.
    fn series(benchmark: &str, costs: &[u64]) -> Series {
        let point = |(index, &cost): (usize, &u64)| {
            // A thousand reads that hit come with every measurement of these tests; an access costs two cycles.
            let run = run("main", &[(benchmark, cost * 500 - 1000, 0)]);
            let summary = Summary { id: format!("{index}"), ..Summary::of(&run) };
            Point { run: summary, reading: Reading::of(&run.measurements[0]) }
        };
        Series {
            benchmark: benchmark.to_string(),
            machine: Machine::reference_1(),
            instrument: Instrument::Simulation,
            points: costs.iter().enumerate().map(point).collect(),
        }
    }

    #[track_caller]
    fn check_standing(costs: &[u64], expected: Option<(usize, f64)>) {
        let standing = series("a", costs).standing(&Policy::default());
        let found = standing.map(|standing| (standing.since, standing.change.ratio()));
        assert_eq!(found, expected, "{costs:?}");
    }

    #[test]
    fn a_regression_stands_until_it_is_made_good() {
        check_standing(&[100, 100, 120, 120], Some((2, 0.2)));
        check_standing(&[100, 100, 120, 110], Some((2, 0.1)));
        check_standing(&[100, 120, 101], None);
        check_standing(&[100, 104, 108], None);
        check_standing(&[100, 150, 300], Some((2, 1.0)));
        check_standing(&[], None);
    }

    #[test]
    fn a_point_is_judged_by_the_one_before() {
        let series = series("a", &[100, 120, 119, 60]);
        let verdicts: Vec<_> = (0..5).map(|at| series.verdict(at, &Policy::default())).collect();
        let expected =
            [None, Some(Verdict::Regressed), Some(Verdict::Unchanged), Some(Verdict::Improved), None];
        assert_eq!(verdicts, expected);
        assert_eq!(series.change(0), None);
        assert_eq!(series.change(1).map(Change::ratio), Some(0.2));
        assert_eq!(series.over_all().map(Change::ratio), Some(-0.4));
        assert_eq!(series.over_all_verdict(&Policy::default()), Some(Verdict::Improved));
    }

    #[test]
    fn a_level_is_the_mean_of_what_the_benchmarks_did() {
        let both = [series("a", &[100, 200, 200]), series("b", &[100, 50, 200])];
        let runs: Vec<Summary> = both[0].points.iter().map(|point| point.run.clone()).collect();
        let ratios: Vec<f64> = levels(&both, &runs).iter().map(|level| level.ratio).collect();
        for (found, expected) in ratios.iter().zip([1.0, 1.0, 2.0]) {
            assert!((found - expected).abs() < 1e-9, "{ratios:?}");
        }
        assert_eq!(ratios.len(), 3);
    }

    #[test]
    fn a_new_benchmark_moves_no_level() {
        let mut new = series("b", &[7, 500, 250]);
        new.points.remove(0);
        let both = [series("a", &[100, 100, 100]), new];
        let runs: Vec<Summary> = both[0].points.iter().map(|point| point.run.clone()).collect();
        let ratios: Vec<f64> = levels(&both, &runs).iter().map(|level| level.ratio).collect();
        assert_eq!(ratios[..2], [1.0, 1.0]);
        assert!((ratios[2] - 0.5_f64.sqrt()).abs() < 1e-9, "{ratios:?}");
    }
}
