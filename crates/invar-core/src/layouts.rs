//! One run out of several that differ in the layout of memory only: the mean, and how sure it is.
//!
//! What depends on where objects lie differs from layout to layout by chance; the mean of several differs less. The layouts are made
//! from seeds, which are part of the method, so the mean repeats as exactly as a single layout does.

use std::collections::BTreeMap;

use crate::cost::Cost;
use crate::event::{Event, Events};
use crate::measurement::Measurement;
use crate::run::Run;

/// How a run was averaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layouts {
    /// Over how many layouts, from seed 0 on.
    pub count: u32,
    /// Standard errors of the means, in cycles, rounded up, by the full names of the benchmarks.
    pub standard_errors: BTreeMap<String, u64>,
}

/// The mean of runs with the seeds 0, 1, 2 and so on: the first run with the mean counts of all, rounded to the nearest.
///
/// A benchmark that a run lacks is averaged over the others, and it is said. `None` if there is no run.
pub fn mean(runs: Vec<Run>) -> Option<Run> {
    let count = runs.len();
    let mut found = BTreeMap::<String, Vec<Measurement>>::new();
    for measurement in runs.iter().flat_map(|run| &run.measurements) {
        found.entry(measurement.benchmark.id.clone()).or_default().push(measurement.clone());
    }
    let mut runs = runs.into_iter();
    let mut whole = runs.next()?;
    for run in runs {
        whole.took_micros =
            whole.took_micros.zip(run.took_micros).map(|(one, other)| one.saturating_add(other));
        whole.incomplete = whole.incomplete.or(run.incomplete);
        if run.exit != Some(crate::run::Exit::Status(0)) {
            whole.exit = run.exit;
        }
        for (name, why) in run.failed {
            whole.failed.entry(name).or_insert(why);
        }
        let new: Vec<String> =
            run.warnings.into_iter().filter(|line| !whole.warnings.contains(line)).collect();
        whole.warnings.extend(new);
    }
    let mut standard_errors = BTreeMap::new();
    whole.measurements = Vec::with_capacity(found.len());
    for (name, measurements) in found {
        if measurements.len() < count {
            whole.warnings.push(format!("{name} has a result in {} of {count} layouts", measurements.len()));
        }
        standard_errors.insert(name, standard_error(&measurements));
        whole.measurements.extend(averaged(measurements));
    }
    whole.environment.set("settings", "layouts", count.to_string());
    whole.layouts = Some(Layouts { count: u32::try_from(count).unwrap_or(u32::MAX), standard_errors });
    whole.sort();
    Some(whole)
}

fn averaged(measurements: Vec<Measurement>) -> Option<Measurement> {
    let warm = mean_events(measurements.iter().map(|measurement| measurement.warm).collect())?;
    let cold = mean_events(measurements.iter().filter_map(|measurement| measurement.cold).collect());
    let diagnostics = measurements.iter().fold(0, |all, one| all | one.diagnostics.0);
    let mut first = measurements.into_iter().next()?;
    (first.warm, first.cold, first.diagnostics.0) = (warm, cold, diagnostics);
    Some(first)
}

fn mean_events(all: Vec<Events>) -> Option<Events> {
    let count = u128::try_from(all.len()).ok().filter(|&count| count > 0)?;
    let mut mean = Events::default();
    for event in Event::ALL {
        let sum: u128 = all.iter().map(|events| u128::from(events.get(event))).sum();
        mean.add(event, u64::try_from((sum + count / 2) / count).unwrap_or(u64::MAX));
    }
    Some(mean)
}

fn standard_error(measurements: &[Measurement]) -> u64 {
    let cycles: Vec<f64> = measurements
        .iter()
        .map(|measurement| Cost::of(&measurement.warm, &measurement.machine).total().0 as f64)
        .collect();
    let count = cycles.len() as f64;
    if cycles.len() < 2 {
        return 0;
    }
    let mean = cycles.iter().sum::<f64>() / count;
    let squares: f64 = cycles.iter().map(|cycles| (cycles - mean).powi(2)).sum();
    (squares / (count * (count - 1.0))).sqrt().ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    #[test]
    fn a_mean_is_of_every_count_and_says_how_sure_it_is() {
        let runs = [1000, 1003, 1004].map(|instructions| run("main", &[("a", instructions, 0), ("b", 5, 0)]));
        let mean = mean(runs.into()).unwrap();
        assert_eq!(mean.measurement("a").unwrap().warm.get(Event::Instructions), 1002);
        assert_eq!(mean.measurement("b").unwrap().warm.get(Event::Instructions), 5);
        let layouts = mean.layouts.unwrap();
        // In cycles 4000, 4006 and 4008: 2 each; sqrt((22 + 2 + 11) / 6) or so.
        assert_eq!((layouts.count, layouts.standard_errors["a"], layouts.standard_errors["b"]), (3, 3, 0));
        assert_eq!(mean.environment.get("settings", "layouts"), Some("3"));
    }

    #[test]
    fn what_a_layout_lacks_is_said() {
        let runs = vec![run("main", &[("a", 1000, 0)]), run("main", &[])];
        let mean = mean(runs).unwrap();
        assert_eq!(mean.warnings, ["a has a result in 1 of 2 layouts"]);
        assert!(super::mean(Vec::new()).is_none());
    }
}
