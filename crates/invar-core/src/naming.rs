//! What benchmarks are called today, and which of them nobody wants to see any more.
//!
//! Runs say what they said when they were measured, for ever. A naming says that a name is another one now, so that a history
//! goes on when a test was renamed or moved; to a name that is there already, the two become one. An archived benchmark is in
//! no list and no comparison: it is neither missing nor dropped. Whoever reads a run, a series or a profile does so through
//! [`Names`]; with none, everything is as it was said.

use std::collections::{BTreeMap, BTreeSet};

use crate::benchmark::Benchmark;
use crate::history::{Point, Series};
use crate::run::Run;

/// What has been decided about the names of benchmarks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    becomes: BTreeMap<String, String>,
    archived: BTreeSet<String>,
}

/// Why a name cannot be another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenameError {
    /// It is that name already, by way of others or not.
    #[error("that is what it is called already")]
    Circle,
    /// It is another one already.
    #[error("it is called {0} already: take that back first")]
    Taken(String),
}

impl Names {
    /// From names to other names, and what is archived. Of a circle one link is left out: the last by name.
    pub fn new(becomes: impl IntoIterator<Item = (String, String)>, archived: BTreeSet<String>) -> Names {
        let mut names = Names { becomes: BTreeMap::new(), archived };
        for (from, to) in becomes {
            if names.may_become(&from, &to).is_ok() {
                names.becomes.insert(from, to);
            }
        }
        names
    }

    /// Nothing has been decided.
    pub fn is_empty(&self) -> bool {
        self.becomes.is_empty() && self.archived.is_empty()
    }

    /// What a benchmark is called today that runs call so.
    pub fn today<'a>(&'a self, name: &'a str) -> &'a str {
        let mut name = name;
        // There is no circle.
        while let Some(next) = self.becomes.get(name) {
            name = next;
        }
        name
    }

    /// What runs may call the benchmark that is called so today, besides that.
    pub fn before<'a>(&'a self, today: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.becomes.keys().map(String::as_str);
        others.filter(move |name| *name != today && self.today(name) == today)
    }

    /// Is the benchmark archived that is, or was, called so?
    pub fn is_archived(&self, name: &str) -> bool {
        self.archived.contains(name) || self.archived.contains(self.today(name))
    }

    /// May `from` be called `to` from now on?
    pub fn may_become(&self, from: &str, to: &str) -> Result<(), RenameError> {
        if let Some(other) = self.becomes.get(from) {
            return Err(RenameError::Taken(other.clone()));
        }
        if self.today(to) == from { Err(RenameError::Circle) } else { Ok(()) }
    }

    /// The run as it would be said today, without what is archived. Of two results that become one the one stays that was
    /// called so from the beginning.
    pub fn run(&self, run: &Run) -> Run {
        let mut run = run.clone();
        let own: BTreeSet<(String, &str)> =
            run.measurements.iter().map(|one| (one.benchmark.id.clone(), one.instrument.name())).collect();
        let mut seen = BTreeSet::new();
        run.measurements.retain_mut(|one| {
            let today = self.today(&one.benchmark.id).to_string();
            let instrument = one.instrument.name();
            let is_second = today != one.benchmark.id && own.contains(&(today.clone(), instrument));
            if self.is_archived(&today) || is_second || !seen.insert((today.clone(), instrument)) {
                return false;
            }
            if today != one.benchmark.id {
                one.benchmark = called(&one.benchmark, &today);
            }
            true
        });
        run.failed = std::mem::take(&mut run.failed)
            .into_iter()
            .filter(|(name, _)| !self.is_archived(name))
            .map(|(name, why)| (self.today(&name).to_string(), why))
            .collect();
        run.sort();
        run
    }

    /// The same of series, which are sorted by name again.
    pub fn series(&self, series: Vec<Series>) -> Vec<Series> {
        if self.is_empty() {
            return series;
        }
        let mut found = BTreeMap::<String, Series>::new();
        // Those first that were called so from the beginning: of two points of a run theirs stays.
        let (own, renamed): (Vec<Series>, Vec<Series>) =
            series.into_iter().partition(|one| self.today(&one.benchmark) == one.benchmark);
        for mut one in own.into_iter().chain(renamed) {
            let today = self.today(&one.benchmark).to_string();
            if self.is_archived(&today) {
                continue;
            }
            match found.get_mut(&today) {
                Some(there) => join(&mut there.points, one.points),
                None => {
                    one.benchmark.clone_from(&today);
                    found.insert(today, one);
                }
            }
        }
        found.into_values().collect()
    }
}

/// A benchmark by another name. Where it stands is where that name says, and no line is known there.
fn called(benchmark: &Benchmark, today: &str) -> Benchmark {
    let Benchmark { id, name, file, .. } = Benchmark::named(today);
    let line = benchmark.line.filter(|_| file == benchmark.file);
    Benchmark { id, name, file, line, ..benchmark.clone() }
}

/// Puts points among others, the oldest first, unless those are of the same run.
pub fn join(points: &mut Vec<Point>, others: Vec<Point>) {
    let there: BTreeSet<String> = points.iter().map(|point| point.run.id.clone()).collect();
    points.extend(others.into_iter().filter(|point| !there.contains(&point.run.id)));
    points.sort_by(|a, b| (a.run.started, &a.run.id).cmp(&(b.run.started, &b.run.id)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::machine::Machine;
    use crate::run::{Summary, Timestamp};
    use crate::testing::measurement;

    fn names(becomes: &[(&str, &str)], archived: &[&str]) -> Names {
        let becomes = becomes.iter().map(|(from, to)| (from.to_string(), to.to_string()));
        Names::new(becomes, archived.iter().map(|name| name.to_string()).collect())
    }

    fn run(number: u32, costs: &[(&str, u64)]) -> Run {
        let mut run =
            Run::started(&format!("r{number}"), Timestamp(i64::from(number)), Machine::reference_1());
        for (name, instructions) in costs {
            run.measurements.push(measurement(name, *instructions, 0));
        }
        run
    }

    fn said(run: &Run) -> Vec<(&str, u64)> {
        let one = |it: &'_ crate::measurement::Measurement| it.warm.get(Event::Instructions);
        run.measurements.iter().map(|it| (it.benchmark.id.as_str(), one(it))).collect()
    }

    #[test]
    fn a_name_leads_to_what_it_is_today_and_back() {
        let names = names(&[("a", "b"), ("b", "c"), ("x", "c")], &[]);
        assert_eq!(["a", "b", "c", "x", "y"].map(|name| names.today(name)), ["c", "c", "c", "c", "y"]);
        assert_eq!(names.before("c").collect::<Vec<_>>(), ["a", "b", "x"]);
        assert_eq!(names.before("b").count(), 0);
    }

    #[test]
    fn no_name_becomes_itself() {
        let found = names(&[("a", "b"), ("b", "c")], &[]);
        assert_eq!(found.may_become("c", "a"), Err(RenameError::Circle));
        assert_eq!(found.may_become("c", "c"), Err(RenameError::Circle));
        assert_eq!(found.may_become("a", "d"), Err(RenameError::Taken("b".to_string())));
        assert_eq!(found.may_become("c", "d"), Ok(()));
        // However it got there.
        assert_eq!(names(&[("a", "b"), ("b", "a")], &[]).today("a"), "b");
    }

    #[test]
    fn a_run_is_said_by_the_names_of_today_and_keeps_what_was_called_so_already() {
        let mut before = run(1, &[("t.py::a", 1), ("t.py::b", 2), ("t.py::c", 3)]);
        before.failed.insert("t.py::a".to_string(), "why".to_string());
        before.failed.insert("t.py::c".to_string(), "why".to_string());
        let renamed = names(&[("t.py::a", "u.py::z")], &["t.py::c"]).run(&before);
        assert_eq!(said(&renamed), [("t.py::b", 2), ("u.py::z", 1)]);
        assert_eq!(renamed.failed.keys().collect::<Vec<_>>(), ["u.py::z"]);
        let benchmark = &renamed.measurements[1].benchmark;
        assert_eq!((benchmark.name.as_str(), benchmark.file.as_deref()), ("z", Some("u.py")));
        let merged = names(&[("t.py::a", "t.py::b")], &[]).run(&before);
        assert_eq!(said(&merged), [("t.py::b", 2), ("t.py::c", 3)]);
        assert_eq!(Names::default().run(&before), before);
    }

    #[test]
    fn an_archived_benchmark_is_archived_by_any_of_its_names() {
        let becomes = [("a", "b"), ("b", "c")];
        let found = names(&becomes, &["b"]);
        assert!(found.is_archived("b") && !found.is_archived("c"));
        let found = names(&becomes, &["c"]);
        assert!(["a", "b", "c"].iter().all(|name| found.is_archived(name)));
    }

    #[test]
    fn series_that_become_one_are_one_history() {
        let series = |name: &str, runs: &[u32], cost: u64| Series {
            benchmark: name.to_string(),
            machine: Machine::reference_1(),
            instrument: crate::instrument::Instrument::Simulation,
            points: runs
                .iter()
                .map(|number| {
                    let run = run(*number, &[(name, cost)]);
                    let reading = crate::compare::Reading::of(&run.measurements[0]);
                    Point { run: Summary::of(&run).into(), reading }
                })
                .collect(),
        };
        let all = || vec![series("a", &[1, 2, 3], 10), series("b", &[3, 4], 20), series("c", &[1], 30)];
        let joined = names(&[("a", "b")], &["c"]).series(all());
        assert_eq!(joined.len(), 1);
        let points: Vec<(&str, u64)> = joined[0]
            .points
            .iter()
            .map(|point| (point.run.id.as_str(), point.reading.events.get(Event::Instructions)))
            .collect();
        assert_eq!(points, [("r1", 10), ("r2", 10), ("r3", 20), ("r4", 20)]);
        assert_eq!(Names::default().series(all()), all());
    }
}
