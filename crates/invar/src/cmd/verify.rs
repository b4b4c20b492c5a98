//! `invar verify`: the same suite under circumstances that must not matter.
//!
//! Runs and counts; how far numbers moved, and why, is `core`'s to say. No run is stored, as these are about the numbers and not of
//! the source; the verification is, and comparisons are judged by it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::PathBuf;

use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::noise::{Verification, cause};
use invar_core::profile::{Both, Profile};
use invar_core::run::Run;
use invar_core::wire;
use invar_runner::disturbance::{Disturbance, Place as Where, disturbances};
use invar_runner::{Event, Options, Outcome, Output, RunError, run_disturbed};

use crate::args::{Common, Verify};
use crate::cmd::run::{machine, not_run};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render;
use crate::terminal::{print, say, stderr, stdout};

/// Of larger suites so many benchmarks are measured alone, a start of the command each.
const ALONE: usize = 8;

/// Measures the suite under every circumstance, shows what moved and keeps it.
pub async fn verify(arguments: Verify, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let machine = machine(arguments.machine.as_deref(), &place)?;
    let said = stderr(common.color);
    let chosen = chosen(&arguments)?;
    // Before the suite runs, which takes long.
    let store = if arguments.no_store { None } else { Some(place.store().await?) };
    let suite = Suite { arguments: &arguments, place: &place, machine: &machine };
    let mut seen: Option<Seen> = None;
    let mut untried = Vec::new();
    for (number, circumstance) in chosen.iter().enumerate() {
        if !arguments.quiet {
            say(&render::verify::begins(number + 1, chosen.len(), circumstance.says, said));
        }
        let Some(seen) = &mut seen else {
            let outcome = suite.measure(circumstance, None)?;
            seen = Some(Seen::first(&suite, circumstance, outcome));
            continue;
        };
        match suite.disturbed(circumstance, &seen.usual) {
            Ok((outcome, only)) => seen.add(circumstance, outcome, only.as_ref()),
            // The suite went well as usual, so that it does not here is for this circumstance.
            Err(failure) => untried.push(format!("{}: {}", circumstance.says, failure.sentence())),
        }
    }
    let Seen { verification, .. } = seen.expect("the usual circumstance is always chosen");
    if arguments.json {
        // The JSON is of what was tried.
        untried.iter().for_each(|line| say(&render::verify::not_tried(line, said)));
    }
    print(&if arguments.json {
        wire::noise::write_pretty(&verification)
    } else {
        render::verify::noise(&verification, &untried, stdout(common.color))
    })?;
    if let Some(store) = &store {
        let kept = store.put_verification(&verification).await;
        kept.map_err(|error| Failure::of(Code::Storage, &error))?;
    }
    Ok(Code::Well)
}

/// The circumstances that were asked for; as usual is always the first.
fn chosen(arguments: &Verify) -> Result<Vec<Disturbance>, Failure> {
    let all = disturbances();
    let names: Vec<&str> = all.iter().map(|one| one.name).collect();
    if let Some(unknown) = arguments.only.iter().find(|name| !names.contains(&name.as_str())) {
        let error = format!("`{}` is no circumstance", render::one_line(unknown));
        return Err(Failure::new(Code::Usage, error).help(format!("circumstances: {}", names.join(", "))));
    }
    let is_chosen = |one: &Disturbance| match &arguments.only[..] {
        [] => one.usual || arguments.all,
        only => only.iter().any(|name| name == one.name),
    };
    Ok(all
        .into_iter()
        .enumerate()
        .filter(|(place, one)| *place == 0 || is_chosen(one))
        .map(|(_, one)| one)
        .collect())
}

/// What is measured, and how.
struct Suite<'a> {
    arguments: &'a Verify,
    place: &'a Place,
    machine: &'a Machine,
}

impl Suite<'_> {
    /// Measures it once, or some of its benchmarks.
    fn measure(&self, circumstance: &Disturbance, only: Option<Vec<String>>) -> Result<Outcome, Failure> {
        let options = Options {
            directory: self.place.directory.clone(),
            machine: self.machine.clone(),
            instrument: Instrument::Simulation,
            // As `invar run` measures, whose numbers are to be proven.
            profile: true,
            python_lines: false,
            pass_env: self.place.config.run.pass_env.clone(),
            layout: 0,
            only,
            shared_process: self.place.config.run.shared_process,
            jobs: NonZero::<u16>::MIN,
            default_branch: self.place.config.default_branch.clone(),
            id: None,
            output: Output::Told,
        };
        // The suite's own words would be there many times; they are said where it fails.
        let mut last_words = Vec::new();
        let outcome = run_disturbed(&self.arguments.command, &options, circumstance, &mut |event| {
            if let Event::Output { line } = event {
                last_words.push(line);
            }
        });
        let outcome = outcome.map_err(|error| match &error {
            RunError::Disturbance { .. } => Failure::of(Code::Benchmarks, &error),
            error => not_run(error),
        })?;
        if outcome.run.measurements.is_empty() {
            let from = last_words.len().saturating_sub(10);
            let failure = Failure::new(Code::Benchmarks, "no benchmark was measured");
            let failure =
                last_words[from..].iter().fold(failure, |failure, line| failure.since(line.trim_end()));
            return Err(failure.help("see that this works first: invar run -- ..."));
        }
        if let Some(why) = &outcome.run.incomplete {
            return Err(Failure::new(Code::Benchmarks, why.clone()).since(circumstance.says));
        }
        Ok(outcome)
    }

    /// Measures it under a circumstance, which may take several runs; and says which benchmarks, if not all.
    fn disturbed(
        &self,
        circumstance: &Disturbance,
        usual: &Run,
    ) -> Result<(Outcome, Option<BTreeSet<String>>), Failure> {
        if circumstance.alone {
            return self.alone(circumstance, usual);
        }
        let mut circumstance = circumstance.clone();
        if circumstance.place == Where::Edited {
            let files =
                usual.measurements.iter().filter_map(|measurement| measurement.benchmark.file.as_ref());
            let files: BTreeSet<PathBuf> = files.map(PathBuf::from).collect();
            circumstance.edits = files.into_iter().collect();
        }
        self.measure(&circumstance, None).map(|outcome| (outcome, None))
    }

    fn alone(
        &self,
        circumstance: &Disturbance,
        usual: &Run,
    ) -> Result<(Outcome, Option<BTreeSet<String>>), Failure> {
        let names: BTreeSet<&String> =
            usual.measurements.iter().map(|measurement| &measurement.benchmark.id).collect();
        let names: Vec<&String> = names.into_iter().collect();
        let sample = sample(&names);
        let mut all: Option<Outcome> = None;
        for name in &sample {
            let only = Some(vec![name.to_string()]);
            let outcome = self.measure(circumstance, only)?;
            match &mut all {
                None => all = Some(outcome),
                Some(all) => {
                    all.run.measurements.extend(outcome.run.measurements);
                    all.profiles.extend(outcome.profiles);
                }
            }
        }
        let all = all.ok_or_else(|| Failure::new(Code::Benchmarks, "no benchmark was measured"))?;
        let only = (sample.len() < names.len()).then(|| sample.into_iter().cloned().collect());
        Ok((all, only))
    }
}

/// At most [`ALONE`] of them, evenly spread.
fn sample<'a>(names: &[&'a String]) -> Vec<&'a String> {
    let most = names.len().min(ALONE);
    (0..most).map(|number| names[number * names.len() / most]).collect()
}

/// What was seen up to now.
struct Seen {
    verification: Verification,
    usual: Run,
    profiles: BTreeMap<String, Profile>,
    /// How far each benchmark was away from the usual at most, in cycles.
    away: BTreeMap<String, u64>,
}

impl Seen {
    fn first(suite: &Suite<'_>, circumstance: &Disturbance, outcome: Outcome) -> Seen {
        let Outcome { run, profiles } = outcome;
        let machine = suite.machine.clone();
        let mut verification =
            Verification::begin(&run.id, run.started, run.command.clone(), machine, run.instrument);
        verification.add(circumstance.says, &run, None);
        Seen { verification, usual: run, profiles, away: BTreeMap::new() }
    }

    /// Adds a run, and explains what moved farther than before.
    fn add(&mut self, circumstance: &Disturbance, outcome: Outcome, only: Option<&BTreeSet<String>>) {
        let Outcome { run, profiles } = outcome;
        self.verification.add(circumstance.says, &run, only);
        for measurement in &run.measurements {
            let name = &measurement.benchmark.id;
            let Some(usual) = self.usual.measurement(name) else { continue };
            if usual.warm == measurement.warm {
                continue;
            }
            let away = usual.cycles().0.abs_diff(measurement.cycles().0);
            if self.away.get(name).is_some_and(|&before| before >= away) {
                continue;
            }
            self.away.insert(name.clone(), away);
            if let (Some(base), Some(head)) = (self.profiles.get(name), profiles.get(name)) {
                let both = Both { base, head };
                let cause = cause(both, &measurement.machine, measurement.diagnostics);
                self.verification.explain(name, cause);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_suite() {
        let names: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
        let names: Vec<&String> = names.iter().collect();
        assert_eq!(sample(&names), ["00", "02", "05", "07", "10", "12", "15", "17"]);
        assert_eq!(sample(&names[..2]), ["00", "01"]);
        assert!(sample(&[]).is_empty());
    }
}
