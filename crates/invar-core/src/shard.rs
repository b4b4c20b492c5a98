//! Shards: parts of a suite that several jobs measure, and the one run that is made of them.
//!
//! Every job tells its part's number, how many there are, and a key that all of them have in common and no other run has.
//! Nothing is known of the others where a shard is measured; who has several makes one run of them, here.
//!
//! Invariant: what is made of shards depends on which they are, and never on the order in which they came.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::Difference;
use crate::layouts::Layouts;
use crate::number::plural;
use crate::run::{Exit, Run};

/// More shards than anybody has jobs.
pub const MOST: u32 = 1000;

/// Which part of which suite a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// What the shards of one run have in common, and those of no other.
    pub key: String,
    /// Which of them it is, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

/// Why shards cannot be one run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "shard {number} has the {what} `{found}`, and shard {other} of the same key `{expected}`; a key is one run's alone"
)]
pub struct UnlikeShards {
    /// What is not the same.
    pub what: &'static str,
    /// Which shard.
    pub number: u32,
    /// What it has.
    pub found: String,
    /// The one that it was held against.
    pub other: u32,
    /// What that one has.
    pub expected: String,
}

/// One run, made of shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// The run. It is incomplete as long as shards are missing.
    pub run: Run,
    /// Of each benchmark with a result the shard whose result it is.
    pub shards: BTreeMap<String, u32>,
}

impl Shard {
    /// Reads the second of four, `2/4`; the error is a sentence.
    pub fn parse(text: &str) -> Result<(u32, u32), String> {
        let numbers =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if 1 <= number && number <= of && of <= MOST => Ok((number, of)),
            Some(_) => Err(format!("is no shard of at most {MOST}: the first of four is 1/4, the last 4/4")),
            None => Err("is not NUMBER/COUNT, such as 2/4".to_string()),
        }
    }

    /// For people: `shard 2 of 4`.
    pub fn shown(&self) -> String {
        format!("shard {} of {}", self.number, self.of)
    }
}

impl Gathered {
    /// Makes one run, called `id`, of shards of one key, of which there are `of`. `None` if there are none.
    ///
    /// A benchmark that several shards have measured counts as the last of them says, and the run says so.
    pub fn of(id: &str, of: u32, shards: &BTreeMap<u32, Run>) -> Result<Option<Gathered>, UnlikeShards> {
        let Some((&first_number, first)) = shards.first_key_value() else { return Ok(None) };
        for (&number, shard) in shards {
            alike((first_number, first), (number, shard))?;
        }
        let mut run = Run { id: id.to_string(), shard: None, ..first.clone() };
        run.measurements.clear();
        run.failed.clear();
        run.warnings.clear();
        let (mut measured, mut twice, mut warnings) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for (&number, shard) in shards {
            for measurement in &shard.measurements {
                let name = &measurement.benchmark.id;
                if measured.insert(name.clone(), number).is_some_and(|before| before != number) {
                    twice.insert(name.clone());
                }
                run.measurements.push(measurement.clone());
            }
            run.failed.extend(shard.failed.clone());
            warnings.extend(shard.warnings.iter().cloned());
            let unlike = first.environment.diff(&shard.environment);
            let unlike: Vec<String> =
                unlike.iter().filter(|fact| fact.matters()).map(Difference::to_string).collect();
            if !unlike.is_empty() {
                let unlike = unlike.join(", ");
                warnings.push(format!(
                    "shard {number} was measured under other circumstances than shard {first_number}: {unlike}"
                ));
            }
            for (group, facts) in &shard.environment.0 {
                let known = run.environment.0.entry(group.clone()).or_default();
                for (name, value) in facts {
                    known.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        if !twice.is_empty() {
            let names = twice.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let many = plural(twice.len(), "benchmark");
            warnings.push(format!(
                "{many} measured by several shards, of which the last one's result counts: {names}"
            ));
        }
        for warning in warnings {
            if !run.warnings.contains(&warning) {
                run.warnings.push(warning);
            }
        }
        run.started = shards.values().map(|shard| shard.started).min().unwrap_or(first.started);
        let end = |shard: &Run| Some(shard.started.0.saturating_add_unsigned(shard.took_micros?));
        let end =
            shards.values().map(end).collect::<Option<Vec<i64>>>().and_then(|ends| ends.into_iter().max());
        run.took_micros = end.and_then(|end| u64::try_from(end.saturating_sub(run.started.0)).ok());
        if let Some(source) = &mut run.source {
            source.dirty = shards.values().any(|one| one.source.as_ref().is_some_and(|source| source.dirty));
        }
        run.exit = exit(shards);
        run.incomplete = incomplete(of, shards);
        run.layouts = layouts(&measured, shards);
        run.sort();
        Ok(Some(Gathered { run, shards: measured }))
    }
}

/// Are these of one run?
fn alike((other, first): (u32, &Run), (number, shard): (u32, &Run)) -> Result<(), UnlikeShards> {
    let commit = |run: &Run| run.source.as_ref().and_then(|source| source.commit.clone());
    let branch = |run: &Run| run.source.as_ref().and_then(|source| source.branch.clone());
    let asked = |run: &Run| run.layouts.as_ref().map(|layouts| layouts.asked.to_string());
    let none = |text: Option<String>| text.unwrap_or_else(|| "none".to_string());
    for (what, expected, found) in [
        ("commit", none(commit(first)), none(commit(shard))),
        ("branch", none(branch(first)), none(branch(shard))),
        ("machine", first.machine.text(), shard.machine.text()),
        ("instrument", first.instrument.name().to_string(), shard.instrument.name().to_string()),
        ("number of layouts", none(asked(first)), none(asked(shard))),
    ] {
        if expected != found {
            return Err(UnlikeShards { what, number, found, other, expected });
        }
    }
    Ok(())
}

/// How the commands ended: the first that did not end well, else well.
fn exit(shards: &BTreeMap<u32, Run>) -> Option<Exit> {
    let bad = shards.values().find(|shard| shard.exit.is_some_and(|exit| exit != Exit::Status(0)));
    bad.or(shards.values().find(|shard| shard.exit.is_none())).or(shards.values().next())?.exit
}

/// Why benchmarks may be missing.
fn incomplete(of: u32, shards: &BTreeMap<u32, Run>) -> Option<String> {
    let own = shards
        .iter()
        .filter_map(|(number, shard)| Some(format!("shard {number}: {}", shard.incomplete.as_ref()?)));
    let missing: Vec<String> =
        (1..=of).filter(|number| !shards.contains_key(number)).map(|it| it.to_string()).collect();
    let missing = match &missing[..] {
        [] => None,
        [one] => Some(format!("shard {one} of {of} has not come")),
        [several @ .., last] => {
            Some(format!("shards {} and {last} of {of} have not come", several.join(", ")))
        }
    };
    let all: Vec<String> = missing.into_iter().chain(own).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Over how many layouts of memory the results are means.
fn layouts(measured: &BTreeMap<String, u32>, shards: &BTreeMap<u32, Run>) -> Option<Layouts> {
    let mut all = shards.values().next()?.layouts.clone()?;
    all.means.clear();
    for (number, shard) in shards {
        let own = shard.layouts.iter().flat_map(|layouts| &layouts.means);
        let own = own.filter(|(name, _)| measured.get(*name) == Some(number));
        all.means.extend(own.map(|(name, mean)| (name.clone(), *mean)));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::{Mean, Spend};
    use crate::run::Timestamp;
    use crate::testing::run;

    /// A shard of three with these benchmarks and their instructions.
    fn shard(number: u32, benchmarks: &[(&str, u64, u64)]) -> Run {
        let mut run = run("main", benchmarks);
        run.id = format!("id-{number}");
        run.started = Timestamp(1000 - i64::from(number));
        run.took_micros = Some(10 * u64::from(number));
        run.exit = Some(Exit::Status(0));
        run.shard = Some(Shard { key: "k".to_string(), number, of: 3 });
        run
    }

    fn gathered(shards: &[Run]) -> Result<Gathered, UnlikeShards> {
        let number = |run: &Run| run.shard.as_ref().map_or(0, |shard| shard.number);
        let shards = shards.iter().map(|run| (number(run), run.clone())).collect();
        Ok(Gathered::of("whole", 3, &shards)?.unwrap())
    }

    #[test]
    fn a_run_of_all_shards_has_what_each_has() {
        let shards = [shard(1, &[("a", 1, 0)]), shard(2, &[("b", 2, 0)]), shard(3, &[("c", 3, 0)])];
        let Gathered { run, shards } = gathered(&shards).unwrap();
        let names: Vec<&str> = run.measurements.iter().map(|one| one.benchmark.id.as_str()).collect();
        assert_eq!((run.id.as_str(), names), ("whole", vec!["a", "b", "c"]));
        assert_eq!((run.incomplete.clone(), run.shard.clone()), (None, None));
        // From the earliest beginning, 997, to the latest end, 1027.
        assert_eq!((run.started, run.took_micros), (Timestamp(997), Some(30)));
        assert_eq!(shards["c"], 3);
    }

    #[test]
    fn a_run_without_some_shards_says_which() {
        let said = |shards: &[Run]| gathered(shards).unwrap().run.incomplete.unwrap();
        assert_eq!(said(&[shard(3, &[]), shard(1, &[])]), "shard 2 of 3 has not come");
        assert_eq!(said(&[shard(3, &[])]), "shards 1 and 2 of 3 have not come");
        let mut killed = shard(2, &[]);
        killed.incomplete = Some("it was killed".to_string());
        assert_eq!(said(&[shard(1, &[]), killed.clone(), shard(3, &[])]), "shard 2: it was killed");
        killed.exit = Some(Exit::Signal(9));
        assert_eq!(gathered(&[shard(1, &[]), killed]).unwrap().run.exit, Some(Exit::Signal(9)));
    }

    #[test]
    fn of_a_benchmark_in_several_shards_the_last_one_counts_and_it_is_said() {
        let Gathered { run, shards } =
            gathered(&[shard(2, &[("a", 7, 0)]), shard(1, &[("a", 5, 0), ("b", 1, 0)])]).unwrap();
        assert_eq!(run.measurement("a"), shard(2, &[("a", 7, 0)]).measurement("a"));
        assert_eq!(shards["a"], 2);
        let said = "1 benchmark measured by several shards, of which the last one's result counts: `a`";
        assert_eq!(run.warnings, [said]);
    }

    #[test]
    fn shards_that_are_unlike_are_no_run() {
        let mut other = shard(2, &[]);
        other.source.as_mut().unwrap().commit = Some("f".repeat(40));
        let said = gathered(&[shard(1, &[]), other]).unwrap_err();
        assert_eq!((said.what, said.number, said.other), ("commit", 2, 1));
        let mut other = shard(2, &[]);
        other.machine = crate::machine::Machine::callgrind();
        assert_eq!(gathered(&[shard(1, &[]), other]).unwrap_err().what, "machine");
    }

    #[test]
    fn shards_under_other_circumstances_are_one_run_that_says_so() {
        let (mut one, mut other) = (shard(1, &[]), shard(2, &[]));
        for (run, python) in [(&mut one, "3.11.7"), (&mut other, "3.12.1")] {
            run.environment.set("runtime", "python", python);
            run.environment.set("host", "cpu", format!("that of {python}"));
        }
        let run = gathered(&[one, other]).unwrap().run;
        let said = "shard 2 was measured under other circumstances than shard 1: python 3.11.7 → 3.12.1";
        assert_eq!(run.warnings, [said]);
        assert_eq!(run.environment.get("runtime", "python"), Some("3.11.7"));
    }

    #[test]
    fn means_over_layouts_are_those_of_the_results_that_count() {
        let mean = |standard_error| Mean { layouts: 4, standard_error };
        let (mut one, mut other) = (shard(1, &[("a", 1, 0)]), shard(2, &[("a", 1, 0)]));
        let of =
            |error| Some(Layouts { asked: Spend::Count(4), means: [("a".to_string(), mean(error))].into() });
        (one.layouts, other.layouts) = (of(1), of(2));
        assert_eq!(gathered(&[one.clone(), other.clone()]).unwrap().run.layouts, of(2));
        other.layouts = None;
        assert_eq!(gathered(&[one, other]).unwrap_err().what, "number of layouts");
    }

    #[test]
    fn a_shard_is_written_as_its_number_and_how_many_there_are() {
        assert_eq!(Shard::parse("2/4"), Ok((2, 4)));
        for wrong in ["0/4", "5/4", "1/1001"] {
            assert!(Shard::parse(wrong).unwrap_err().starts_with("is no shard"), "{wrong}");
        }
        for wrong in ["", "2", "2/", "two/four", "2/4/6"] {
            assert!(Shard::parse(wrong).unwrap_err().starts_with("is not NUMBER"), "{wrong}");
        }
    }
}
