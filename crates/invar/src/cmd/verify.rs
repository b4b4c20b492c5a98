//! `invar verify`: the same suite under circumstances that must not matter.
//!
//! Runs and counts; how far numbers moved is `core`'s to say. Stores nothing: these runs are about the numbers, not of the
//! source.

use invar_core::instrument::Instrument;
use invar_core::noise::noise;
use invar_core::run::Run;
use invar_core::wire;
use invar_runner::disturbance::disturbances;
use invar_runner::{Event, Options, Output, run_disturbed};

use crate::args::{Common, Verify};
use crate::cmd::run::{machine, not_run};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render;
use crate::terminal::{print, say, stderr, stdout};

/// Measures the suite under every circumstance and shows what moved.
pub fn verify(arguments: Verify, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let machine = machine(arguments.machine.as_deref(), &place)?;
    let said = stderr(common.color);
    let circumstances = disturbances();
    let mut runs: Vec<Run> = Vec::new();
    for (number, circumstance) in circumstances.iter().enumerate() {
        if !arguments.quiet {
            say(&render::verify::begins(number + 1, circumstances.len(), circumstance.says, said));
        }
        let options = Options {
            directory: place.directory.clone(),
            machine: machine.clone(),
            instrument: Instrument::Simulation,
            // As `invar run` measures, whose numbers are to be proven.
            profile: true,
            pass_env: place.config.run.pass_env.clone(),
            default_branch: place.config.default_branch.clone(),
            id: None,
            output: Output::Told,
        };
        // The suite's own words would be there eight times; they are said where it fails.
        let mut last_words = Vec::new();
        let run = run_disturbed(&arguments.command, &options, circumstance, &mut |event| {
            if let Event::Output { line } = event {
                last_words.push(line);
            }
        });
        let run = run.map_err(|error| not_run(&error))?.run;
        if run.measurements.is_empty() {
            let from = last_words.len().saturating_sub(10);
            let failure = Failure::new(Code::Benchmarks, "no benchmark was measured");
            let failure =
                last_words[from..].iter().fold(failure, |failure, line| failure.since(line.trim_end()));
            return Err(failure.help("see that this works first: invar run -- ..."));
        }
        if let Some(why) = &run.incomplete {
            return Err(Failure::new(Code::Benchmarks, why.clone()).since(circumstance.says));
        }
        runs.push(run);
    }
    let noise = noise(&runs);
    let says: Vec<&str> = circumstances.iter().map(|circumstance| circumstance.says).collect();
    print(&if arguments.json {
        wire::noise::write(&noise, &says)
    } else {
        render::verify::noise(&noise, &says, stdout(common.color))
    })?;
    Ok(Code::Well)
}
