//! What benchmarks cost over time: series of points, where they stepped, and what all of them did together.
//!
//! A series is of one benchmark on one Machine by one instrument, so its points are comparable. Which runs are in it,
//! and in which order they come, is decided by who asks the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compare::{Change, Judging, Reading, Verdict, verdict_by};
use crate::config::Policy;
use crate::instrument::Instrument;
use crate::machine::Machine;
use crate::run::Summary;

/// A benchmark's result in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The run, which the points of other series share.
    pub run: Arc<Summary>,
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
        self.judged(at.checked_sub(1)?, at, &policy.judging(&self.benchmark))
    }

    /// The same for each point, in their order.
    pub fn verdicts(&self, policy: &Policy) -> Vec<Option<Verdict>> {
        let judging = policy.judging(&self.benchmark);
        (0..self.points.len()).map(|at| self.judged(at.checked_sub(1)?, at, &judging)).collect()
    }

    fn judged(&self, base: usize, head: usize, judging: &[Judging]) -> Option<Verdict> {
        let (base, head) = (self.points.get(base)?, self.points.get(head)?);
        verdict_by(judging, Some(&base.reading), Some(&head.reading)).map(|(verdict, _)| verdict)
    }

    /// From the oldest point to the newest.
    pub fn over_all(&self) -> Option<Change> {
        (self.points.len() > 1).then(|| self.between(0, self.points.len() - 1))
    }

    /// What became of the benchmark from the oldest point to the newest.
    pub fn over_all_verdict(&self, policy: &Policy) -> Option<Verdict> {
        let last = self.points.len().checked_sub(1).filter(|last| *last > 0)?;
        self.judged(0, last, &policy.judging(&self.benchmark))
    }

    /// The latest regression that the newest point still shows, by the same policy. A benchmark that is ignored has none.
    pub fn standing(&self, policy: &Policy) -> Option<Standing> {
        if policy.ignored.0.contains_key(&self.benchmark) {
            return None;
        }
        let newest = self.points.len().checked_sub(1)?;
        let judging = policy.judging(&self.benchmark);
        let regressed = |base, head| self.judged(base, head, &judging) == Some(Verdict::Regressed);
        let since = (1..=newest).rev().find(|&at| regressed(at - 1, at) && regressed(at - 1, newest))?;
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
    let places: BTreeMap<&str, usize> =
        runs.iter().enumerate().map(|(place, run)| (run.id.as_str(), place)).collect();
    // What each benchmark cost at each run, in the order of the series.
    let mut costs = vec![vec![None; series.len()]; runs.len()];
    for (index, series) in series.iter().enumerate() {
        for point in &series.points {
            if let Some(&place) = places.get(point.run.id.as_str()) {
                costs[place][index] = Some(point.reading.cost.total().0);
            }
        }
    }
    let mut before: Option<&[Option<u64>]> = None;
    let mut ratio = 1.0_f64;
    let mut levels = Vec::new();
    for (run, now) in runs.iter().zip(&costs) {
        let pairs = before.into_iter().flatten().zip(now).filter_map(|(base, head)| {
            let (base, head) = ((*base)?, (*head)?);
            (base > 0 && head > 0).then(|| (head as f64 / base as f64).ln())
        });
        let logarithms: Vec<f64> = pairs.collect();
        let factor = if logarithms.is_empty() {
            1.0
        } else {
            (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
        };
        ratio *= factor;
        if now.iter().any(Option::is_some) {
            before = Some(now);
            levels.push(Level { run: run.clone(), ratio, step: factor - 1.0 });
        }
    }
    levels
}

/// What benchmarks did in `runs`, in their order, out of what they did in some of them and in the others: as if all had
/// been read at once. Points of runs that are not among them are left out. Series are sorted by full name, here as there.
pub fn joined(some: &[Series], others: Vec<Series>, runs: &[Summary]) -> Vec<Series> {
    let places: BTreeMap<&str, usize> =
        runs.iter().enumerate().map(|(place, run)| (run.id.as_str(), place)).collect();
    let place = |point: &Point| places.get(point.run.id.as_str()).copied();
    let mut all: BTreeMap<String, Series> =
        others.into_iter().map(|series| (series.benchmark.clone(), series)).collect();
    for series in some {
        let points = series.points.iter().filter(|point| place(point).is_some()).cloned();
        match all.get_mut(&series.benchmark) {
            Some(there) => there.points.extend(points),
            None => {
                let (machine, instrument) = (series.machine.clone(), series.instrument);
                let benchmark = series.benchmark.clone();
                let series = Series { benchmark, machine, instrument, points: points.collect() };
                all.insert(series.benchmark.clone(), series);
            }
        }
    }
    let mut all: Vec<Series> = all.into_values().filter(|series| !series.points.is_empty()).collect();
    all.iter_mut().for_each(|series| series.points.sort_by_key(place));
    all
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
            Point { run: Arc::new(summary), reading: Reading::of(&run.measurements[0]) }
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
        let runs: Vec<Summary> = both[0].points.iter().map(|point| Summary::clone(&point.run)).collect();
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
        let runs: Vec<Summary> = both[0].points.iter().map(|point| Summary::clone(&point.run)).collect();
        let ratios: Vec<f64> = levels(&both, &runs).iter().map(|level| level.ratio).collect();
        assert_eq!(ratios[..2], [1.0, 1.0]);
        assert!((ratios[2] - 0.5_f64.sqrt()).abs() < 1e-9, "{ratios:?}");
    }

    #[test]
    fn series_that_are_joined_are_as_if_they_had_been_read_at_once() {
        // Three benchmarks, of which one starts late and one ends early.
        let whole =
            [series("a", &[11, 12, 13, 14, 15]), series("b", &[15, 14, 13, 12, 11]), series("c", &[17; 5])];
        let runs: Vec<Summary> = whole[0].points.iter().map(|point| Summary::clone(&point.run)).collect();
        let read = |wanted: &[usize]| -> Vec<Series> {
            let there = |name: &str, at: usize| match name {
                "b" => at >= 2,
                "c" => at <= 1,
                _ => true,
            };
            let some = whole.iter().map(|series| Series {
                points: wanted
                    .iter()
                    .filter(|at| there(&series.benchmark, **at))
                    .map(|&at| series.points[at].clone())
                    .collect(),
                ..series.clone()
            });
            some.filter(|series| !series.points.is_empty()).collect()
        };
        for split in 0_usize..32 {
            let (some, others): (Vec<usize>, Vec<usize>) = (0..5).partition(|at| split >> at & 1 == 1);
            assert_eq!(joined(&read(&some), read(&others), &runs), read(&[0, 1, 2, 3, 4]), "{some:?}");
            // A window that has moved on: what is behind it is gone.
            let newer: Vec<usize> = others.into_iter().filter(|at| *at >= 2).collect();
            let wanted: Vec<usize> = (2..5).filter(|at| some.contains(at) || newer.contains(at)).collect();
            assert_eq!(joined(&read(&some), read(&newer), &runs[2..]), read(&wanted), "{some:?}");
        }
    }
}
