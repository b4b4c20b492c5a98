//! `cargo xtask bench gate`: what the gate sees of a small change, and how often it cries though there is none.
//!
//! Two questions, each answered by one layout of memory and by `--layouts auto`. The *curve*: loops are given a known part more work, and
//! the change that is reported is held against it. *False alarms*: a suite is measured after each of some edits that have nothing to do with its
//! benchmarks, and every two of these runs are compared: 21 runs make 21 · 20 / 2 = 210 comparisons. They are not independent of each other,
//! but each is one that a pull request could have met. A benchmark and no test: nothing fails, however it comes out.

mod edits;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use invar_core::compare::{Comparison, Verdict};
use invar_core::config::{Policy, Threshold};
use invar_core::event::Event;
use invar_core::instrument::Instrument;
use invar_core::layouts::{Gathering, Needed, Spend};
use invar_core::machine::Machine;
use invar_core::run::Run;
use invar_runner::{Options, Output, in_layout};
use serde_json::{Value, json};

use crate::noise::PACKAGES;
use crate::prepare;
use crate::sensitivity;
use crate::suites::Tools;
use edits::edited;

/// Thresholds of the gate, in thousandths. Layouts are spent for the tightest; what a wider one would have spent is part of that.
const THRESHOLDS: [u32; 3] = [5, 10, 20];
/// More work, in thousandths.
const MORE: [u64; 6] = [1, 2, 5, 10, 20, 50];

/// Prints the tables, or the same as JSON. `runs` are made for the false alarms; `quick`: these alone, in one layout each.
pub fn gate(runs: usize, quick: bool, as_json: bool) -> Result<()> {
    ensure!(runs >= 2, "two runs at least are to be compared");
    let tools = Tools::prepare(None, &PACKAGES)?;
    let curve = if quick { Vec::new() } else { curve(&tools)? };
    let alarms = alarms(&tools, runs, quick)?;
    if as_json {
        let both = json!({
            "curve": curve.iter().map(Point::json).collect::<Vec<_>>(),
            "false_alarms": alarms.iter().map(Alarms::json).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&both)?);
        return Ok(());
    }
    if !quick {
        println!("| more work | way | instructions, least to most | cycles, least to most |");
        println!("| --- | --- | --- | --- |");
        for point in &curve {
            let [instructions, cycles] = [0, 1].map(|at| point.reach(at));
            println!("| {:.1} % | {} | {instructions} | {cycles} |", point.more, point.way);
        }
        println!(
            "\nPercent that are reported, over {} workloads.\n",
            curve.first().map_or(0, |point| point.seen.len())
        );
    }
    println!(
        "| threshold | layouts | comparisons | with a false alarm | blocked | benchmarks past it | farthest |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for alarms in &alarms {
        println!("{}", alarms.row());
    }
    println!("\nOne run of `cargo xtask bench gate`.");
    Ok(())
}

/// Runs of one suite by seed, each with what was needed of it.
type ByLayout = Vec<Run>;

/// A suite in as many layouts as are asked for; a rule spends them for the tightest threshold.
fn measure(tools: &Tools, suite: &Path, files: &[&str], spend: Spend) -> Result<ByLayout> {
    // Its own directory, so that `pytest` is what a user would call there.
    let mut command = vec![tools.bin.join("pytest").into_os_string(), "-q".into()];
    command.extend(files.iter().map(OsString::from));
    let options = Options {
        directory: suite.to_path_buf(),
        machine: Machine::reference_1(),
        instrument: Instrument::Simulation,
        profile: false,
        python_lines: false,
        pass_env: Vec::new(),
        layout: 0,
        only: None,
        shared_process: false,
        jobs: NonZero::<u16>::MIN,
        default_branch: None,
        id: None,
        output: Output::Told,
    };
    let run = |needed: &Needed, seed: u32| -> Result<Run> {
        let options = in_layout(&options, seed, needed);
        let run = invar_runner::run(&command, &options, &mut |_| {})?.run;
        ensure!(run.incomplete.is_none() && run.failed.is_empty(), "{}: {:?}", suite.display(), run.failed);
        Ok(run)
    };
    let first = run(&Needed::All, 0)?;
    ensure!(!first.measurements.is_empty(), "nothing was measured in {}", suite.display());
    let mut gathering = Gathering::begin(spend, &policy(THRESHOLDS[0]), first.clone());
    let mut runs = vec![first];
    while let Some(needed) = gathering.next() {
        let run = run(&needed, gathering.seed())?;
        runs.push(run.clone());
        gathering.add(needed, run);
    }
    Ok(runs)
}

fn policy(thousandths: u32) -> Policy {
    let mut policy = Policy::default();
    policy.thresholds.cycles = Some(Threshold(f64::from(thousandths) / 1000.0));
    policy
}

/// What `--layouts auto` makes of runs with that threshold.
fn auto(runs: &ByLayout, policy: &Policy) -> Run {
    let mut gathering = Gathering::begin(Spend::Auto, policy, runs[0].clone());
    while let Some(needed) = gathering.next() {
        let run = runs.get(gathering.seed() as usize).cloned().unwrap_or_else(|| runs[0].clone());
        gathering.add(needed, run);
    }
    gathering.mean()
}

/// How many layouts a benchmark has got, in the mean over the suite.
fn spent(run: &Run) -> f64 {
    let means = run.layouts.as_ref().map(|layouts| &layouts.means);
    let spent = means.into_iter().flatten().map(|(_, mean)| f64::from(mean.layouts));
    let (sum, count) = spent.fold((0.0, 0), |(sum, count), one| (sum + one, count + 1));
    sum / f64::from(count.max(1))
}

// The curve.

/// What is reported of a known part more work, by workload.
struct Point {
    more: f64,
    way: &'static str,
    seen: BTreeMap<String, [f64; 2]>,
}

impl Point {
    fn of(more: u64, way: &'static str, base: &Run, head: &Run) -> Point {
        let percent = |now: u64, before: u64| 100.0 * (now as f64 / before as f64 - 1.0);
        let seen = head.measurements.iter().filter_map(|now| {
            let before = base.measurement(&now.benchmark.id)?;
            let count = |event| percent(now.warm.get(event), before.warm.get(event));
            let seen = [count(Event::Instructions), percent(now.cycles().0, before.cycles().0)];
            Some((now.benchmark.short_name().to_string(), seen))
        });
        Point { more: more as f64 / 10.0, way, seen: seen.collect() }
    }

    fn reach(&self, at: usize) -> String {
        let values = self.seen.values().map(|seen| seen[at]);
        let (least, most) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), one| (least.min(one), most.max(one)));
        format!("{least:.3} to {most:.3}")
    }

    fn json(&self) -> Value {
        let seen = self.seen.iter();
        let seen = seen.map(|(name, [instructions, cycles])| {
            (name.clone(), json!({ "instructions": instructions, "cycles": cycles }))
        });
        json!({ "more_percent": self.more, "way": self.way, "seen_percent": seen.collect::<serde_json::Map<_, _>>() })
    }
}

fn curve(tools: &Tools) -> Result<Vec<Point>> {
    let directory = emptied("gate-curve")?;
    fs::write(directory.join("pytest.ini"), "[pytest]\n")?;
    let measure = |turns: u64, edit: usize| -> Result<[Run; 2]> {
        fs::write(directory.join("test_work.py"), edited(&sensitivity::suite(turns), edit))?;
        let runs = measure(tools, &directory, &["test_work.py"], Spend::Auto)?;
        Ok([runs[0].clone(), auto(&runs, &policy(10))])
    };
    let turns = |more: u64| sensitivity::TURNS + sensitivity::TURNS * more / 1000;
    eprintln!("measuring loops ...");
    let [one, mean] = measure(turns(0), 0)?;
    let mut points = Vec::new();
    for (number, more) in MORE.into_iter().enumerate() {
        eprintln!(
            "measuring loops with {:.1} % more work, and with an edit beside it ...",
            more as f64 / 10.0
        );
        let [one_more, mean_more] = measure(turns(more), 0)?;
        let [one_edited, mean_edited] = measure(turns(more), number + 1)?;
        points.push(Point::of(more, "one layout", &one, &one_more));
        points.push(Point::of(more, "auto", &mean, &mean_more));
        points.push(Point::of(more, "one layout, and an edit", &one, &one_edited));
        points.push(Point::of(more, "auto, and an edit", &mean, &mean_edited));
    }
    Ok(points)
}

// False alarms.

/// What the gate says of runs that are alike but for edits that do not matter.
#[derive(Default)]
struct Alarms {
    thousandths: u32,
    layouts: String,
    comparisons: usize,
    /// Comparisons in which a benchmark moved past its threshold, up or down.
    alarmed: usize,
    /// Comparisons that would have blocked a merge, one way round or the other.
    blocked: usize,
    /// Benchmarks past their thresholds, of so many that were compared.
    past: usize,
    benchmarks: usize,
    /// The farthest change in percent, and whose it is.
    farthest: (f64, String),
}

impl Alarms {
    fn of(thousandths: u32, layouts: String, runs: &[Run]) -> Result<Alarms> {
        let policy = policy(thousandths);
        let mut alarms = Alarms { thousandths, layouts, ..Alarms::default() };
        for (number, head) in runs.iter().enumerate() {
            for base in &runs[..number] {
                alarms.add(&Comparison::of(base, head, &policy)?, &Comparison::of(head, base, &policy)?);
            }
        }
        Ok(alarms)
    }

    fn add(&mut self, comparison: &Comparison, other_way_round: &Comparison) {
        let past = comparison.benchmarks.iter().filter(|judged| judged.verdict != Verdict::Unchanged).count();
        self.comparisons += 1;
        self.alarmed += usize::from(past > 0);
        let blocks = |comparison: &Comparison| comparison.counts().blocking > 0;
        self.blocked += usize::from(blocks(comparison) || blocks(other_way_round));
        self.past += past;
        self.benchmarks += comparison.benchmarks.len();
        for judged in &comparison.benchmarks {
            let percent = judged.change().map_or(0.0, |change| 100.0 * (change.factor() - 1.0));
            if percent > self.farthest.0 {
                self.farthest = (percent, judged.benchmark.short_name().to_string());
            }
        }
    }

    fn row(&self) -> String {
        format!(
            "| {:.1} % | {} | {} | {} | {} | {} of {} | {:.3} % ({}) |",
            f64::from(self.thousandths) / 10.0,
            self.layouts,
            self.comparisons,
            self.alarmed,
            self.blocked,
            self.past,
            self.benchmarks,
            self.farthest.0,
            self.farthest.1.trim_start_matches("test_"),
        )
    }

    fn json(&self) -> Value {
        json!({
            "threshold": f64::from(self.thousandths) / 1000.0,
            "layouts": self.layouts,
            "comparisons": self.comparisons,
            "with_a_false_alarm": self.alarmed,
            "blocked": self.blocked,
            "benchmarks_past_it": self.past,
            "benchmarks": self.benchmarks,
            "farthest_percent": self.farthest.0,
            "farthest_benchmark": self.farthest.1,
        })
    }
}

fn alarms(tools: &Tools, runs: usize, quick: bool) -> Result<Vec<Alarms>> {
    let directory = emptied(if quick { "gate-alarms-quick" } else { "gate-alarms" })?;
    let spend = if quick { Spend::Count(1) } else { Spend::Auto };
    let suite = prepare::root().join("benches/python/noise");
    let files = crate::noise::FILES;
    fs::write(directory.join("pytest.ini"), "[pytest]\n")?;
    let mut by_edit = Vec::new();
    for edit in 0..runs {
        eprintln!("measuring the suite after edit {edit} of {} ...", runs - 1);
        for file in files {
            fs::write(directory.join(file), edited(&fs::read_to_string(suite.join(file))?, edit))?;
        }
        by_edit.push(measure(tools, &directory, &files, spend)?);
    }
    let first: Vec<Run> = by_edit.iter().map(|runs| runs[0].clone()).collect();
    let mut alarms = Vec::new();
    for thousandths in THRESHOLDS {
        alarms.push(Alarms::of(thousandths, "1".to_string(), &first)?);
        if quick {
            continue;
        }
        let means: Vec<Run> = by_edit.iter().map(|runs| auto(runs, &policy(thousandths))).collect();
        let mean = means.iter().map(spent).sum::<f64>() / means.len() as f64;
        alarms.push(Alarms::of(thousandths, format!("auto: {mean:.1} in the mean"), &means)?);
    }
    Ok(alarms)
}

/// A directory of ours, with nothing in it.
fn emptied(name: &str) -> Result<PathBuf> {
    let directory = prepare::scratch()?.join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use invar_core::benchmark::Benchmark;
    use invar_core::diagnostic::Diagnostics;
    use invar_core::event::Events;
    use invar_core::measurement::Measurement;
    use invar_core::run::Timestamp;

    fn run(instructions: u64) -> Run {
        let mut run = Run::started("id", Timestamp(0), Machine::reference_1());
        let mut warm = Events::default();
        warm.add(Event::Instructions, instructions);
        run.measurements.push(Measurement {
            benchmark: Benchmark::named("test_a.py::test_a"),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm,
            diagnostics: Diagnostics::default(),
        });
        run
    }

    #[test]
    fn every_two_runs_are_compared_once_and_both_ways() {
        let runs = [run(1000), run(1000), run(1008), run(1015)];
        let alarms = Alarms::of(10, "1".to_string(), &runs).unwrap();
        assert_eq!((alarms.comparisons, alarms.alarmed, alarms.blocked), (6, 2, 2));
        assert!((alarms.farthest.0 - 1.5).abs() < 1e-9);
    }
}
