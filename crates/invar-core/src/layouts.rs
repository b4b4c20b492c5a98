//! One run out of several that differ in the layout of memory only: the mean, how sure it is, and how many it takes.
//!
//! What depends on where objects lie differs from layout to layout by chance; the mean of several differs less. The layouts are made
//! from the seeds 0, 1, 2 and so on. Seeds are part of the method, and so is the rule by which they are spent, so a mean repeats as exactly as a
//! single layout does. Who measures in a layout is the runner's business.
//!
//! Invariant: a benchmark's mean is over the seeds from 0 on, without a gap but where it had no result.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::{Metric, Policy, Threshold};
use crate::cost::Cost;
use crate::event::{Event, Events};
use crate::measurement::Measurement;
use crate::run::{Exit, Run};

/// Layouts that every benchmark gets where the rule decides. Of two or three a standard error says little: they may be alike by chance.
pub const AUTO_FEWEST: u32 = 4;
/// Layouts that no benchmark gets more of where the rule decides.
pub const AUTO_MOST: u32 = 16;
/// The standard error has to be so small a part of the threshold.
const SURE: f64 = 0.1;

/// How many layouts a run is the mean over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spend {
    /// So many for every benchmark.
    Count(u32),
    /// From [`AUTO_FEWEST`] to [`AUTO_MOST`], until the standard error of everything that has a threshold is at most a tenth of that.
    Auto,
}

impl Spend {
    /// Reads `8` or `auto`; the error is a sentence.
    pub fn parse(text: &str) -> Result<Spend, String> {
        match text.parse() {
            Ok(count @ 1..=64) => Ok(Spend::Count(count)),
            _ if text == "auto" => Ok(Spend::Auto),
            _ => Err("is neither `auto` nor a number from 1 to 64".to_string()),
        }
    }
}

impl fmt::Display for Spend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spend::Count(count) => write!(f, "{count}"),
            Spend::Auto => f.write_str("auto"),
        }
    }
}

/// How a run was averaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layouts {
    /// What was asked for.
    pub asked: Spend,
    /// By the full names of the benchmarks.
    pub means: BTreeMap<String, Mean>,
}

/// What is known of a benchmark's mean, beside its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mean {
    /// Over how many layouts.
    pub layouts: u32,
    /// Its standard error in cycles, rounded up.
    pub standard_error: u64,
}

/// Which benchmarks are to be measured in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// The whole suite.
    All,
    /// These, by full name.
    Only(BTreeSet<String>),
}

impl Needed {
    fn has(&self, benchmark: &str) -> bool {
        match self {
            Needed::All => true,
            Needed::Only(names) => names.contains(benchmark),
        }
    }
}

/// Gathers runs, layout by layout.
#[derive(Debug, Clone)]
pub struct Gathering {
    spend: Spend,
    policy: Policy,
    /// The run of each seed, and what was needed of it.
    runs: Vec<(Needed, Run)>,
    stopped: Option<String>,
}

impl Gathering {
    /// Begins with the whole suite in the layout of seed 0. What is sure enough is said by the policy's thresholds, as they were asked for:
    /// noise floors do not make a mean less sure.
    pub fn begin(spend: Spend, policy: &Policy, first: Run) -> Gathering {
        Gathering { spend, policy: policy.clone(), runs: vec![(Needed::All, first)], stopped: None }
    }

    /// The seed of the next layout.
    pub fn seed(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// What is to be measured in the next layout; `None`: nothing more. After a run that benchmarks may be missing from there is none.
    pub fn next(&self) -> Option<Needed> {
        let (_, last) = self.runs.last()?;
        if last.incomplete.is_some() || self.stopped.is_some() {
            return None;
        }
        let (fewest, most) = match self.spend {
            Spend::Count(count) => (count, count),
            Spend::Auto => (AUTO_FEWEST, AUTO_MOST),
        };
        if self.seed() < fewest {
            return Some(Needed::All);
        }
        // What had no result in the last layout will have none in the next one.
        let unsure = last.measurements.iter().map(|measurement| &measurement.benchmark.id);
        let unsure: BTreeSet<String> =
            unsure.filter(|name| self.unsure_of(name).is_some()).cloned().collect();
        (self.seed() < most && !unsure.is_empty()).then_some(Needed::Only(unsure))
    }

    /// Adds the run of the next layout. Of benchmarks that are not needed, which an integration may have measured all the same, nothing is taken.
    pub fn add(&mut self, needed: Needed, mut run: Run) {
        run.measurements.retain(|measurement| needed.has(&measurement.benchmark.id));
        run.failed.retain(|name, _| needed.has(name));
        self.runs.push((needed, run));
    }

    /// Ends it, for a reason that the run will tell.
    pub fn stop(&mut self, why: String) {
        self.stopped = Some(why);
    }

    /// The first run with the mean counts of all, rounded to the nearest. A benchmark that a run lacks is averaged over the others, and it is said.
    pub fn mean(self) -> Run {
        let mut warnings = Vec::new();
        let mut means = BTreeMap::new();
        let mut measurements = Vec::new();
        for name in self.benchmarks() {
            let found = self.of(&name);
            let asked = self.runs.iter().filter(|(needed, _)| needed.has(&name)).count();
            if found.len() < asked {
                warnings.push(format!("{name} has a result in {} of {asked} layouts", found.len()));
            }
            if self.spend == Spend::Auto
                && let Some((metric, Threshold(threshold))) = self.unsure_of(&name)
            {
                warnings.push(format!(
                    "{name} is not sure after {} layouts: the standard error of its {} is more than a tenth of their threshold, {:.1} %",
                    found.len(),
                    metric.name(),
                    100.0 * threshold,
                ));
            }
            let layouts = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let cycles = found.iter().map(|measurement| count(measurement, Metric::Cycles));
            let standard_error = standard_error(&cycles.collect::<Vec<_>>()).ceil() as u64;
            means.insert(name, Mean { layouts, standard_error });
            measurements.extend(averaged(&found));
        }
        warnings.extend(self.stopped);
        let mut runs = self.runs.into_iter().map(|(_, run)| run);
        let mut whole = runs.next().expect("a gathering begins with a run");
        for run in runs {
            whole.took_micros =
                whole.took_micros.zip(run.took_micros).map(|(one, other)| one.saturating_add(other));
            whole.incomplete = whole.incomplete.or(run.incomplete);
            if run.exit != Some(Exit::Status(0)) {
                whole.exit = run.exit;
            }
            for (name, why) in run.failed {
                whole.failed.entry(name).or_insert(why);
            }
            warnings.extend(run.warnings);
        }
        for warning in warnings {
            if !whole.warnings.contains(&warning) {
                whole.warnings.push(warning);
            }
        }
        whole.measurements = measurements;
        whole.environment.set("settings", "layouts", self.spend.to_string());
        whole.layouts = Some(Layouts { asked: self.spend, means });
        whole.sort();
        whole
    }

    fn benchmarks(&self) -> BTreeSet<String> {
        let all = self.runs.iter().flat_map(|(_, run)| &run.measurements);
        all.map(|measurement| measurement.benchmark.id.clone()).collect()
    }

    /// A benchmark in each layout that it has a result in.
    fn of(&self, benchmark: &str) -> Vec<&Measurement> {
        self.runs.iter().filter_map(|(_, run)| run.measurement(benchmark)).collect()
    }

    /// The first metric whose mean is not sure enough, with its threshold.
    fn unsure_of(&self, benchmark: &str) -> Option<(Metric, Threshold)> {
        let found = self.of(benchmark);
        self.policy.thresholds(benchmark).into_iter().find(|&(metric, Threshold(threshold))| {
            let counts: Vec<f64> = found.iter().map(|measurement| count(measurement, metric)).collect();
            let mean = counts.iter().sum::<f64>() / counts.len() as f64;
            standard_error(&counts) > SURE * threshold * mean
        })
    }
}

fn count(measurement: &Measurement, metric: Metric) -> f64 {
    match metric {
        Metric::Cycles => Cost::of(&measurement.warm, &measurement.machine).total().0 as f64,
        Metric::Event(event) => measurement.warm.get(event) as f64,
    }
}

fn averaged(measurements: &[&Measurement]) -> Option<Measurement> {
    let warm = mean_events(measurements.iter().map(|measurement| measurement.warm).collect())?;
    let cold = mean_events(measurements.iter().filter_map(|measurement| measurement.cold).collect());
    let diagnostics = measurements.iter().fold(0, |all, one| all | one.diagnostics.0);
    let mut first = (*measurements.first()?).clone();
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

/// Of the mean of these; zero where they are too few to tell.
fn standard_error(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count * (count - 1.0))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    /// Instructions of `noisy` by seed; `quiet` has always the same.
    fn layout(instructions: u64) -> Run {
        run("main", &[("noisy", instructions, 0), ("quiet", 5, 0)])
    }

    fn gathered(spend: Spend, policy: &Policy, layout: impl Fn(u32) -> Run) -> (Run, Vec<Needed>) {
        let mut gathering = Gathering::begin(spend, policy, layout(0));
        let mut asked = Vec::new();
        while let Some(needed) = gathering.next() {
            let run = layout(gathering.seed());
            asked.push(needed.clone());
            gathering.add(needed, run);
        }
        (gathering.mean(), asked)
    }

    fn cycles(percent: f64) -> Policy {
        let mut policy = Policy::default();
        policy.thresholds.cycles = Some(Threshold(percent / 100.0));
        policy
    }

    #[test]
    fn a_mean_is_of_every_count_and_says_how_sure_it_is() {
        let instructions = [1000, 1003, 1004];
        let layout = |seed: u32| layout(instructions[seed as usize]);
        let (mean, asked) = gathered(Spend::Count(3), &Policy::default(), layout);
        assert_eq!(asked, [Needed::All, Needed::All]);
        assert_eq!(mean.measurement("noisy").unwrap().warm.get(Event::Instructions), 1002);
        assert_eq!(mean.measurement("quiet").unwrap().warm.get(Event::Instructions), 5);
        let layouts = mean.layouts.unwrap();
        // In cycles 4000, 4006 and 4008: 2 each; sqrt((22 + 2 + 11) / 6) or so.
        assert_eq!(layouts.means["noisy"], Mean { layouts: 3, standard_error: 3 });
        assert_eq!(layouts.means["quiet"], Mean { layouts: 3, standard_error: 0 });
        assert_eq!(mean.environment.get("settings", "layouts"), Some("3"));
    }

    #[test]
    fn the_rule_spends_on_what_is_not_sure_and_on_nothing_else() {
        // 1000 cycles up and down of some 101,000: 0.57 % after four layouts, 0.374 % after eight, 0.35 % after nine.
        let layout = |seed: u32| layout(49_000 + 1000 * u64::from(seed % 2));
        let (mean, asked) = gathered(Spend::Auto, &cycles(3.7), layout);
        let only = Needed::Only(BTreeSet::from(["noisy".to_string()]));
        assert_eq!(asked[..3], [Needed::All, Needed::All, Needed::All]);
        assert!(asked[3..].iter().all(|needed| *needed == only), "{asked:?}");
        let layouts = mean.layouts.unwrap();
        assert_eq!(layouts.means["quiet"].layouts, AUTO_FEWEST);
        assert_eq!(layouts.means["noisy"].layouts, 9);
        assert_eq!(mean.environment.get("settings", "layouts"), Some("auto"));
        assert!(mean.warnings.is_empty(), "{:?}", mean.warnings);
    }

    #[test]
    fn every_metric_with_a_threshold_has_to_be_sure() {
        let mut policy = cycles(50.0);
        policy.thresholds.events.insert(Event::Instructions, Threshold(0.055));
        let (mean, _) = gathered(Spend::Auto, &policy, |seed| layout(49_000 + 1000 * u64::from(seed % 2)));
        assert_eq!(mean.layouts.unwrap().means["noisy"].layouts, 5);
    }

    #[test]
    fn what_is_not_sure_after_the_most_is_said() {
        let (mean, _) =
            gathered(Spend::Auto, &cycles(1.0), |seed| layout(49_000 + 1000 * u64::from(seed % 2)));
        assert_eq!(mean.layouts.unwrap().means["noisy"].layouts, AUTO_MOST);
        let expected = "noisy is not sure after 16 layouts: the standard error of its cycles is more than a tenth of their threshold, 1.0 %";
        assert_eq!(mean.warnings, [expected]);
    }

    #[test]
    fn what_a_layout_lacks_is_said() {
        let layout = |seed: u32| run("main", if seed == 0 { &[("a", 1000, 0)] } else { &[] });
        let (mean, _) = gathered(Spend::Count(2), &Policy::default(), layout);
        assert_eq!(mean.warnings, ["a has a result in 1 of 2 layouts"]);
    }

    #[test]
    fn nothing_is_measured_again_after_a_run_that_ended_early() {
        let layout = |seed: u32| Run { incomplete: (seed == 1).then(|| "why".to_string()), ..layout(7) };
        let (mean, asked) = gathered(Spend::Count(8), &Policy::default(), layout);
        assert_eq!((asked.len(), mean.incomplete.as_deref()), (1, Some("why")));
    }

    #[test]
    fn what_is_measured_though_it_was_not_needed_is_left_out() {
        let mut gathering = Gathering::begin(Spend::Count(2), &Policy::default(), layout(1000));
        gathering.add(Needed::Only(BTreeSet::from(["noisy".to_string()])), layout(1002));
        let means = gathering.mean().layouts.unwrap().means;
        assert_eq!((means["noisy"].layouts, means["quiet"].layouts), (2, 1));
    }

    #[test]
    fn a_count_or_auto_can_be_asked_for() {
        assert_eq!(Spend::parse("8"), Ok(Spend::Count(8)));
        assert_eq!(Spend::parse("auto"), Ok(Spend::Auto));
        for bad in ["", "0", "65", "-1", "Auto", "auto:3"] {
            assert!(Spend::parse(bad).is_err(), "{bad}");
        }
    }
}
