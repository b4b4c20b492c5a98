//! `invar run`.
//!
//! What was measured is kept and shown whatever happens after it: the command may fail, the baseline may be missing, the
//! disk may be full. The exit status says the worst of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use invar_core::compare::Comparison;
use invar_core::config::Policy;
use invar_core::instrument::Instrument;
use invar_core::layouts::Spend;
use invar_core::machine::Machine;
use invar_core::naming::Names;
use invar_core::run::{Exit, Run, Timestamp};
use invar_core::wire::{explain, v1};
use invar_runner::{Event, Options, Outcome, Output, RunError, run_in_layouts};
use invar_store::{Comparable, Profiles};

use crate::args::{self, Common};
use crate::baseline::{Choice, choose};
use crate::cmd::compare::{today, unlike};
use crate::cmd::import::keep;
use crate::cmd::push::sentence;
use crate::exit::{Code, Failure};
use crate::interpreter;
use crate::pick::pick;
use crate::place::Place;
use crate::progress::Progress;
use crate::remote::Remote;
use crate::render;
use crate::render::run::{Kept, footer};
use crate::render::table::Paint;
use crate::shard;
use crate::terminal::{print, say, stderr, stdout};

/// Says on the command line that there is to be no baseline.
const NONE: &str = "none";

/// Whether a measuring process was there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Integration {
    Spoke,
    Silent,
}

/// Runs a suite, shows its results and keeps them.
pub async fn run(arguments: args::Run, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let machine = machine(arguments.machine.as_deref(), &place)?;
    if arguments.explain_environment {
        return explain_environment(&arguments, &machine, &place, common);
    }
    let mut options = Options {
        directory: place.directory.clone(),
        machine,
        instrument: if arguments.counts { Instrument::Counts } else { Instrument::Simulation },
        profile: !arguments.no_profile,
        python_lines: arguments.python_lines,
        pass_env: place.config.run.pass_env.clone(),
        layout: 0,
        only: None,
        shared_process: place.config.run.shared_process,
        jobs: arguments.jobs,
        default_branch: place.config.default_branch.clone(),
        id: None,
        output: Output::default(),
    };
    let shard = arguments.shard.as_deref().map(|shard| shard::shard(shard, arguments.shard_key.as_deref()));
    let shard = shard.transpose()?;
    let remote = (arguments.upload || arguments.upload_required).then(|| Remote::find(&place));
    let remote = match remote {
        Some(Err(failure)) if arguments.upload_required => return Err(failure),
        remote => remote,
    };
    // Before the suite runs: nobody wants to wait for a misspelt word.
    let asked = match arguments.baseline.as_deref() {
        None | Some(NONE) => None,
        Some(name) => Some(named_baseline(name, &options, &place).await?),
    };
    let store = if arguments.no_store {
        // What is stored is only looked at, so a store that cannot be used is no reason not to measure.
        place.existing_store().await
    } else {
        place.store().await.map(Some).map_err(|failure| failure.help("or keep nothing: invar run --no-store"))
    };
    let (store, no_store) = match store {
        Ok(store) => (store, None),
        Err(failure) if arguments.no_store => (None, Some(failure)),
        Err(failure) => return Err(failure),
    };

    let said = stderr(common.color);
    if !arguments.quiet {
        say(&said.paint(&heading(&options), Paint::Dim));
    }
    let mut progress = if arguments.quiet { Progress::quiet(said) } else { Progress::new(said) };
    options.output = progress.output();
    let mut integration = Integration::Silent;
    let spend = arguments.layouts.or(place.config.run.layouts).unwrap_or(Spend::Count(1));
    let outcome = run_in_layouts(&arguments.command, &options, spend, &place.config.policy, &mut |event| {
        if let Event::Process { .. } = event {
            integration = Integration::Spoke;
        }
        progress.on(event);
    });
    progress.end();
    let Outcome { mut run, profiles } = outcome.map_err(|error| not_run(&error))?;
    run.shard = shard;

    let kept = match &store {
        Some(store) if !arguments.no_store => {
            keep(&run, &profiles, &place, store).await.map(|_| Some(place.store.clone()))
        }
        _ => Ok(None),
    };
    let compares = arguments.baseline.is_none() && !run.measurements.is_empty();
    let choice = match (asked, &store, no_store) {
        (Some(choice), ..) => choice,
        _ if !compares => Choice::None(String::new()),
        (None, Some(store), _) => choose(&run, &place, store).await.unwrap_or_else(|failure| none(&failure)),
        (None, None, Some(failure)) => none(&failure),
        (None, None, None) => Choice::None("No baseline: no runs are stored yet.".to_string()),
    };
    // What is not known of noise is no reason to lose the run.
    let policy = place.policy(&run, store.as_ref()).await.unwrap_or_else(|_| place.config.policy.clone());
    let names = place.names(store.as_ref()).await.unwrap_or_default();
    let choice = choice.today(&names);
    show(&run, &names, &choice, &policy, kept.as_ref().ok().and_then(Option::as_deref), &arguments, common)?;
    if let Err(failure) = kept {
        return Err(elsewhere(&run, failure));
    }
    if let Some(remote) = remote {
        upload(&run, &profiles, remote, &arguments).await?;
    }
    ended(&run, &arguments.command, integration)
}

/// Sends what was measured. Unless it was required, a failure is said and is none of the run's.
async fn upload(
    run: &Run,
    profiles: &Profiles,
    remote: Result<Remote, Failure>,
    arguments: &args::Run,
) -> Result<(), Failure> {
    // Nobody wants to share that nothing was measured.
    if run.measurements.is_empty() {
        return Ok(());
    }
    let sent = match &remote {
        Ok(remote) => remote.push(run, profiles).await.map(|sent| sentence(run, &sent, remote)),
        Err(failure) => Err(Failure::new(failure.code, failure.sentence())),
    };
    match sent {
        Ok(sentence) => {
            if !arguments.quiet {
                say(&format!("  {sentence}\n"));
            }
            Ok(())
        }
        Err(failure) if arguments.upload_required => {
            Err(failure.help(format!("send it later: invar push {}", run.short_id())))
        }
        Err(failure) => {
            let later = if arguments.no_store {
                String::new()
            } else {
                format!("; send it later: invar push {}", run.short_id())
            };
            say(&format!("warning: the run was not uploaded: {}{later}\n", failure.sentence()));
            Ok(())
        }
    }
}

/// No baseline, because of a failure that is no reason to lose the run.
fn none(failure: &Failure) -> Choice {
    Choice::None(format!("No baseline: {}.", failure.sentence()))
}

/// What is about to happen.
fn heading(options: &Options) -> String {
    let how = match options.instrument {
        Instrument::Counts => "counts without caches",
        _ => "simulation",
    };
    format!("  invar {}: {how}, machine {}\n", env!("CARGO_PKG_VERSION"), options.machine.name)
}

/// The machine of the command line, else of `invar.toml`, else the default.
pub fn machine(asked: Option<&str>, place: &Place) -> Result<Machine, Failure> {
    let asked = asked.or(place.config.run.machine.as_deref());
    let Some(name) = asked else { return Ok(Machine::reference_1()) };
    place.config.machine(name).map_err(|error| {
        let failure = Failure::of(Code::Usage, &error);
        match place.config.machines.is_empty() {
            true => failure,
            false => {
                let names: Vec<&str> = place.config.machines.keys().map(String::as_str).collect();
                failure.help(format!("machines of invar.toml: {}", names.join(", ")))
            }
        }
    })
}

fn explain_environment(
    arguments: &args::Run,
    machine: &Machine,
    place: &Place,
    common: &Common,
) -> Result<Code, Failure> {
    let pinned = invar_runner::environment::canonical(machine);
    let other = invar_runner::environment::OTHER;
    let variables: Vec<explain::Variable<'_>> = pinned
        .iter()
        .map(|pinned| explain::Variable { name: &pinned.name, value: &pinned.value, why: pinned.why })
        .collect();
    print(&if arguments.json {
        explain::environment(&variables, &other)
    } else {
        render::doctor::environment(&pinned, &other, &place.config.run.pass_env, stdout(common.color))
    })?;
    Ok(Code::Well)
}

/// The baseline that was asked for, if a run with these options can be compared with it.
async fn named_baseline(name: &str, options: &Options, place: &Place) -> Result<Choice, Failure> {
    let store = place.existing_store().await?;
    let mut to_be = Run::started("", Timestamp(0), options.machine.clone());
    to_be.instrument = options.instrument;
    let base = pick(name, place, store.as_ref(), Some(&Comparable::with(&to_be))).await?;
    Comparison::of(&base, &to_be, &place.config.policy).map_err(|error| unlike(&error))?;
    Ok(Choice::asked(base))
}

fn show(
    run: &Run,
    names: &Names,
    choice: &Choice,
    policy: &Policy,
    kept: Option<&Path>,
    arguments: &args::Run,
    common: &Common,
) -> Result<(), Failure> {
    if arguments.json {
        return print(v1::write_pretty(run));
    }
    let run = &today(names, run);
    let view = stdout(common.color);
    let mut comparison = None;
    let below = match choice {
        Choice::Baseline(baseline) if !run.measurements.is_empty() => {
            let made = Comparison::of(&baseline.run, run, policy);
            let made = comparison.insert(made.map_err(|error| unlike(&error))?);
            render::run::baseline(made, &baseline.reason.to_string(), view)
        }
        Choice::Baseline(_) => String::new(),
        Choice::None(why) if why.is_empty() => String::new(),
        Choice::None(why) => render::run::note(why, view),
    };
    let kept = kept.map_or(Kept::Nowhere, Kept::In);
    let table = render::run::run(run, comparison.as_ref(), view);
    print(format!("{table}{below}{}", footer(run, kept, view)))
}

/// Why there is no Run, and what to do.
pub fn not_run(error: &RunError) -> Failure {
    let code = match error {
        RunError::EmptyCommand => Code::Usage,
        RunError::RunDirectory { .. } => Code::Storage,
        _ => Code::Benchmarks,
    };
    let failure = Failure::of(code, error);
    match error {
        RunError::NotFound { .. } => failure.help(
            "is its virtual environment active? A command in one can also be called by its path: .venv/bin/pytest",
        ),
        RunError::Processor { .. } => failure
            .help("measure on a CPU of 2013 or later (Intel Haswell, AMD Zen), or let the virtual machine show all of its host's features")
            .help("whatever else may be missing: invar doctor"),
        RunError::RunDirectory { .. } => failure.help("another place: TMPDIR=/var/tmp invar run ..."),
        _ => failure,
    }
}

/// Saves a run that the store could not take.
fn elsewhere(run: &Run, failure: Failure) -> Failure {
    let name = format!("invar-run-{}.json", run.short_id());
    let json = v1::write_pretty(run);
    let folders = [PathBuf::from("."), std::env::temp_dir()];
    for path in folders.map(|folder| folder.join(&name)) {
        match std::fs::write(&path, &json) {
            Ok(()) => {
                let path = path.display();
                return failure
                    .help(format!("the run was saved instead as {path}; keep it: invar import {path}"));
            }
            // A torn file is worse than none.
            Err(_) => drop(std::fs::remove_file(&path)),
        }
    }
    failure.help("the run could not be saved elsewhere either: the numbers above are all there is of it")
}

/// How to end after a run that is shown and kept.
fn ended(run: &Run, command: &[OsString], integration: Integration) -> Result<Code, Failure> {
    let how = match run.exit {
        Some(Exit::Status(0)) | None => None,
        Some(Exit::Status(status)) => Some(format!("the command ended with status {status}")),
        Some(Exit::Signal(signal)) => Some(format!("the command was ended by signal {signal}")),
    };
    if run.measurements.is_empty() {
        let failure = Failure::new(Code::Benchmarks, "no benchmark was measured");
        let failure = how.into_iter().fold(failure, Failure::since);
        return Err(match integration {
            Integration::Spoke => no_benchmark(failure),
            Integration::Silent => no_integration(failure, &interpreter::of(command)),
        });
    }
    // Why it is incomplete says more: which signal it was, and during which benchmark.
    match run.incomplete.clone().or(how) {
        Some(why) => Err(Failure::new(Code::Benchmarks, why)),
        None => Ok(Code::Well),
    }
}

/// A measuring process was there, and had nothing to measure.
fn no_benchmark(failure: Failure) -> Failure {
    failure
        .help("a test is a benchmark if it uses the fixture: def test_sum(benchmark): benchmark(sum, [1, 2])")
}

/// No measuring process was there.
fn no_integration(failure: Failure, python: &str) -> Failure {
    failure
        .help("nothing in the command spoke to Invar: is pytest-invar installed in the Python that runs the tests?")
        .help(format!("{python} -m pip show pytest-invar"))
        .help(format!("in a checkout of Invar: {python} -m pip install ./integrations/python"))
        .help("what else may be missing: invar doctor")
}
