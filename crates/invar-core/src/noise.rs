//! How far a benchmark's numbers move though its code does not: the noise floor, from runs of one suite under unlike
//! circumstances.
//!
//! Pure sums over Runs; who disturbs them, and how, is the runner's business. Runs on unlike machines are not mixed: the
//! caller measures all of them with the same options.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::event::Event;
use crate::run::Run;

/// What a benchmark did over several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Its full name.
    pub benchmark: String,
    /// In how many of the runs it has a result.
    pub results: usize,
    /// Its cost in cycles.
    pub cycles: Spread,
    /// Its instructions.
    pub instructions: Spread,
    /// Names of the events that were not the same in all runs, in stored order.
    pub moved: Vec<Event>,
    /// The first run, by its place, in which something differs from run 0.
    pub first_unlike: Option<usize>,
    /// What the runs' diagnostics say, all of them.
    pub diagnostics: Diagnostics,
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
    /// Every count is the same in every run that has it, and every run has it.
    pub fn is_zero(&self, runs: usize) -> bool {
        self.moved.is_empty() && self.results == runs
    }

    /// The smallest change of the cost that cannot be noise, as a ratio: anything above zero where there is none.
    pub fn floor(&self) -> f64 {
        self.cycles.ratio()
    }
}

/// The noise of every benchmark that any of the runs has a result for, sorted by name. Compares warm passes, which are
/// the results.
pub fn noise(runs: &[Run]) -> Vec<Noise> {
    let mut found = BTreeMap::<&str, Vec<(usize, &crate::measurement::Measurement)>>::new();
    for (place, run) in runs.iter().enumerate() {
        for measurement in &run.measurements {
            found.entry(&measurement.benchmark.id).or_default().push((place, measurement));
        }
    }
    let of = |(benchmark, results): (&str, Vec<(usize, &crate::measurement::Measurement)>)| {
        let measurements = || results.iter().map(|&(_, measurement)| measurement);
        let moved = Event::ALL.into_iter().filter(|&event| {
            let mut counts = measurements().map(|measurement| measurement.warm.get(event));
            let first = counts.next();
            !counts.all(|count| Some(count) == first)
        });
        let first = results[0].1.warm;
        let unlike = results.iter().find(|(_, measurement)| measurement.warm != first);
        Noise {
            benchmark: benchmark.to_string(),
            results: results.len(),
            cycles: Spread::of(measurements().map(|measurement| measurement.cycles().0)),
            instructions: Spread::of(
                measurements().map(|measurement| measurement.warm.get(Event::Instructions)),
            ),
            moved: moved.collect(),
            first_unlike: unlike.map(|&(place, _)| place),
            diagnostics: Diagnostics(measurements().fold(0, |all, one| all | one.diagnostics.0)),
        }
    };
    found.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    #[test]
    fn equal_runs_have_no_noise() {
        let runs = [run("main", &[("a", 1000, 3)]), run("main", &[("a", 1000, 3)])];
        let [noise] = &noise(&runs)[..] else { panic!("one benchmark") };
        assert!(noise.is_zero(2));
        assert_eq!((noise.floor(), noise.first_unlike), (0.0, None));
    }

    #[test]
    fn a_count_that_moves_is_named_with_the_run_that_moved_it() {
        let runs = [
            run("main", &[("a", 1000, 0), ("b", 5, 0)]),
            run("main", &[("a", 1000, 0), ("b", 5, 0)]),
            run("main", &[("a", 1010, 0), ("b", 5, 0)]),
        ];
        let noise = noise(&runs);
        assert_eq!(noise[0].instructions, Spread { least: 1000, most: 1010 });
        assert!((noise[0].instructions.ratio() - 0.01).abs() < 1e-12);
        assert!(noise[0].moved.contains(&Event::Instructions) && !noise[0].is_zero(3));
        assert_eq!(noise[0].first_unlike, Some(2));
        assert!(noise[1].is_zero(3));
    }

    #[test]
    fn a_benchmark_that_a_run_lacks_is_not_proved() {
        let runs = [run("main", &[("a", 1000, 0)]), run("main", &[])];
        let noise = noise(&runs);
        assert!(noise[0].moved.is_empty() && !noise[0].is_zero(2));
    }

    #[test]
    fn something_out_of_nothing_is_infinitely_much() {
        assert_eq!(Spread { least: 0, most: 1 }.ratio(), f64::INFINITY);
        assert_eq!(Spread { least: 0, most: 0 }.ratio(), 0.0);
    }
}
