//! What a project asks for: thresholds, what blocks a merge, machines, what the measured process may see.
//!
//! Written as `invar.toml`, read by [`crate::wire::config`]. The defaults are those of [`Config::default`].

use std::collections::{BTreeMap, BTreeSet};

use crate::acknowledge::Acknowledgements;
use crate::compare::{Cause, Judging};
use crate::event::Event;
use crate::ignore::Ignored;
use crate::layouts::Spend;
use crate::machine::{Machine, ParseMachineError};
use crate::noise::Floors;

/// How much a cost may grow before it is called a regression, where nothing else is said: five percent.
pub const DEFAULT_THRESHOLD: Threshold = Threshold(0.05);

/// A project's wishes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The branch that changes are merged into; `None`: ask git.
    pub default_branch: Option<String>,
    /// When a change counts, and which changes block.
    pub policy: Policy,
    /// Machines beside the presets, by name.
    pub machines: BTreeMap<String, Machine>,
    /// How the suite is run.
    pub run: RunConfig,
    /// Where runs are shared.
    pub server: ServerConfig,
}

/// Where runs are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerConfig {
    /// The server's address, without a slash at its end.
    pub url: Option<String>,
    /// The project there: `owner/name`.
    pub project: Option<String>,
}

/// How the suite is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// Environment variables that the measured process keeps.
    pub pass_env: Vec<String>,
    /// Benchmarks share one process, for the sake of fixtures that take long; else each has one of its own.
    pub shared_process: bool,
    /// The Machine to simulate, by name; `None`: the default.
    pub machine: Option<String>,
    /// In how many layouts of memory; `None`: one.
    pub layouts: Option<Spend>,
}

/// When a change counts, and which changes block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What holds for every benchmark.
    pub thresholds: Thresholds,
    /// What holds for some; where several speak, the last one counts.
    pub benchmarks: Vec<BenchmarkRule>,
    /// What blocks.
    pub gate: Gate,
    /// How far benchmarks move by themselves, as far as it is known: no threshold is below that.
    pub floors: Floors,
    /// Regressions that may pass.
    pub acknowledged: Acknowledgements,
    /// Benchmarks that decide nothing.
    pub ignored: Ignored,
}

/// A ratio that a change must pass to count: `0.05` is five percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Threshold(pub f64);

/// Thresholds by what they are about. Cycles always have one, events only if they are named.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds {
    /// Of the cost.
    pub cycles: Option<Threshold>,
    /// Of single events.
    pub events: BTreeMap<Event, Threshold>,
}

/// Thresholds of the benchmarks whose full names match.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkRule {
    /// Which benchmarks.
    pub matches: Pattern,
    /// What holds for them.
    pub thresholds: Thresholds,
}

/// Which regressions fail the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Those with one of these causes.
    pub causes: BTreeSet<Cause>,
    /// Does a dropped benchmark, too?
    pub dropped: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { causes: BTreeSet::from([Cause::Code, Cause::Environment]), dropped: false }
    }
}

/// What a threshold is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// The cost.
    Cycles,
    /// The count of one event.
    Event(Event),
}

impl Metric {
    /// The stable name, as in `invar.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Cycles => "cycles",
            Metric::Event(event) => event.name(),
        }
    }
}

/// A glob over full names: `*` is any text, `?` any character, `[ab]` one of some, `{a,b}` one of some texts.
///
/// A full name written out matches itself, brackets and all: `tests/test_fibo.py::test_fibo[5]`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: globset::GlobMatcher,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Reads a glob; the error is a sentence.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let glob = globset::Glob::new(text).map_err(|error| error.kind().to_string())?;
        Ok(Pattern { text: text.to_string(), matcher: glob.compile_matcher() })
    }

    /// Does it match this full name?
    pub fn matches(&self, benchmark: &str) -> bool {
        self.text == benchmark || self.matcher.is_match(benchmark)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Config {
    /// The Machine of that name: the project's own, a preset, or a canonical text.
    pub fn machine(&self, name: &str) -> Result<Machine, ParseMachineError> {
        self.machines.get(name).map_or_else(|| Machine::parse(name), |machine| Ok(machine.clone()))
    }
}

impl Policy {
    /// The same with other noise floors.
    #[must_use]
    pub fn with_floors(&self, floors: Floors) -> Policy {
        Policy { floors, ..self.clone() }
    }

    /// The same where these regressions may pass.
    #[must_use]
    pub fn with_acknowledged(self, acknowledged: Acknowledgements) -> Policy {
        Policy { acknowledged, ..self }
    }

    /// The same where these benchmarks decide nothing.
    #[must_use]
    pub fn with_ignored(self, ignored: Ignored) -> Policy {
        Policy { ignored, ..self }
    }

    /// The thresholds that a benchmark is judged by, none below its noise floor, each with what it was raised from.
    /// Cycles come first and are always there.
    pub fn judging(&self, benchmark: &str) -> Vec<Judging> {
        let floor = self.floors.get(benchmark);
        let raise = |(metric, threshold): (Metric, Threshold)| {
            let floor = Threshold(floor.map_or(0.0, |floor| floor.of(metric)));
            if floor > threshold { (metric, floor, Some(threshold)) } else { (metric, threshold, None) }
        };
        self.thresholds(benchmark).into_iter().map(raise).collect()
    }

    /// The threshold of the cost of a benchmark, not below its noise floor.
    pub fn cost_threshold(&self, benchmark: &str) -> Threshold {
        let cost = self.judging(benchmark).into_iter().find(|(metric, ..)| *metric == Metric::Cycles);
        cost.map_or(DEFAULT_THRESHOLD, |(_, threshold, _)| threshold)
    }

    /// The thresholds that the project asks for; cycles come first and are always there.
    pub fn thresholds(&self, benchmark: &str) -> Vec<(Metric, Threshold)> {
        let mut all = BTreeMap::from([(Metric::Cycles, DEFAULT_THRESHOLD)]);
        let rules = self.benchmarks.iter().filter(|rule| rule.matches.matches(benchmark));
        for thresholds in std::iter::once(&self.thresholds).chain(rules.map(|rule| &rule.thresholds)) {
            all.extend(thresholds.cycles.map(|threshold| (Metric::Cycles, threshold)));
            all.extend(
                thresholds.events.iter().map(|(&event, &threshold)| (Metric::Event(event), threshold)),
            );
        }
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, verification};

    #[track_caller]
    fn check(pattern: &str, benchmark: &str, expected: bool) {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(benchmark), expected);
    }

    #[test]
    fn a_pattern_matches_full_names() {
        check("tests/*::test_io*", "tests/deep/test_a.py::test_io[5]", true);
        check("tests/*::test_io*", "tests/test_a.py::test_fibo", false);
        check("*", "fib", true);
    }

    #[test]
    fn a_name_with_brackets_matches_itself() {
        check("t.py::test_fibo[5]", "t.py::test_fibo[5]", true);
        check("t.py::test_fibo[5]", "t.py::test_fibo[6]", false);
    }

    #[test]
    fn the_last_rule_that_speaks_counts() {
        let rule = |matches: &str, cycles: f64| BenchmarkRule {
            matches: Pattern::parse(matches).unwrap(),
            thresholds: Thresholds { cycles: Some(Threshold(cycles)), ..Thresholds::default() },
        };
        let mut policy = Policy::default();
        assert_eq!(policy.thresholds("a"), [(Metric::Cycles, DEFAULT_THRESHOLD)]);
        policy.thresholds.events.insert(Event::Instructions, Threshold(0.02));
        policy.benchmarks = vec![rule("a*", 0.1), rule("ab*", 0.2), rule("b*", 0.3)];
        let expected =
            [(Metric::Cycles, Threshold(0.2)), (Metric::Event(Event::Instructions), Threshold(0.02))];
        assert_eq!(policy.thresholds("abc"), expected);
    }

    #[test]
    fn no_threshold_is_below_a_noise_floor() {
        let runs = [("a", 1000, 0), ("a", 1100, 0)].map(|one| run("main", &[one, ("b", 5, 0)]));
        let mut policy = Policy::default().with_floors(Floors::of(&[verification(&runs)]));
        policy.thresholds.cycles = Some(Threshold(0.01));
        policy.thresholds.events.insert(Event::Instructions, Threshold(0.2));
        let instructions = (Metric::Event(Event::Instructions), Threshold(0.2), None);
        let [(Metric::Cycles, Threshold(raised), Some(Threshold(0.01))), second] = policy.judging("a")[..]
        else {
            panic!("{:?}", policy.judging("a"));
        };
        // 2000 accesses before and 2100 after.
        assert!((raised - 0.05).abs() < 1e-9, "{raised}");
        assert_eq!(second, instructions);
        for quiet in ["b", "unknown"] {
            assert_eq!(policy.judging(quiet), [(Metric::Cycles, Threshold(0.01), None), instructions]);
        }
    }
}
