//! A command becomes a [`Run`], and a profile of each of its benchmarks.
//!
//! Prepares what a measuring process looks for, starts the command, says what happens as [`Event`]s, and gathers what was
//! measured. Prints nothing, stores nothing, judges nothing, and never links the engine: that works inside the processes that the
//! command starts.
//!
//! Invariant: what was measured before something went wrong is in the Run.
#![forbid(unsafe_code)]

mod child;
pub mod disturbance;
pub mod doctor;
pub mod elsewhere;
pub mod environment;
mod event;
mod facts;
mod host;
mod layouts;
mod profiles;
mod progress;
mod relay;
mod run_directory;
mod signals;
pub mod source;
pub mod symbols;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::profile::Profile;
use invar_core::run::{Run, Timestamp};
use invar_core::wire::collect::{self, CollectError};
use invar_core::wire::raw::{self, ReadRawError};

use crate::disturbance::{Disturbance, Load, OneCpu};
use crate::elsewhere::Elsewhere;
pub use crate::event::Event;
pub use crate::layouts::{in_layout, run_in_layouts};
use crate::profiles::Ahead;
use crate::progress::Progress;
use crate::run_directory::RunDirectory;

/// How to run a command.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to start the command.
    pub directory: PathBuf,
    /// The CPU to simulate.
    pub machine: Machine,
    /// [`Instrument::Simulation`] or [`Instrument::Counts`].
    pub instrument: Instrument,
    /// Whether to tell who pays; counts have no profiles anyway.
    pub profile: bool,
    /// Whether profiles tell the lines of Python functions, too.
    pub python_lines: bool,
    /// Variables that measured processes keep.
    pub pass_env: Vec<String>,
    /// Which layout of memory; 0 is the one that is as it comes.
    pub layout: u8,
    /// Measured are these alone, by full name; `None`: all.
    pub only: Option<Vec<String>>,
    /// Benchmarks share one process, and are not isolated from each other.
    pub shared_process: bool,
    /// How many benchmarks may be measured at the same time, where each has a process of its own. Moves no count.
    pub jobs: NonZero<u16>,
    /// The branch that changes are merged into, where git does not know it.
    pub default_branch: Option<String>,
    /// The run's id; without one it gets a new UUIDv7.
    pub id: Option<String>,
    /// Where the command's output goes.
    pub output: Output,
}

/// Where the output and the error output of a command go. Never to our own output, which is for results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// To our error output, as it is.
    #[default]
    ErrorOutput,
    /// Nowhere: each line is told as [`Event::Output`].
    Told,
}

/// Why there is no Run. A command that measures nothing is no such reason: that is a Run without measurements.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No word.
    #[error("there is no command to run")]
    EmptyCommand,
    /// The instrument does not work by running a command under the engine.
    #[error("the instrument `{instrument}` does not measure commands; `simulation` and `counts` do")]
    Instrument {
        /// Its name.
        instrument: &'static str,
    },
    /// Libraries take other ways on such a processor, and counts would be like no other host's.
    #[error("this CPU lacks {} of x86-64-v3, so libraries do other work here than on other hosts", .lacking.join(", "))]
    Processor {
        /// What it lacks, by the kernel's names.
        lacking: Vec<&'static str>,
    },
    /// No such program.
    #[error("there is no command `{command}`{}", did_you_mean(.nearest))]
    NotFound {
        /// Its first word.
        command: String,
        /// A program that may be meant.
        nearest: Option<String>,
    },
    /// A file that is no program.
    #[error("`{}` is not executable", .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// A script whose interpreter is not there, as in a virtual environment that was moved.
    #[error("`{}` cannot be started: the interpreter that its first line names does not exist", .path.display())]
    NoInterpreter {
        /// The script.
        path: PathBuf,
    },
    /// The directory to start it in is not there.
    #[error("there is no directory `{}` to start the command in", .path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The system could not start the command, or lost sight of it.
    #[error("cannot run `{command}`: {source}")]
    Start {
        /// Its first word.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The command cannot be run under the circumstances that were asked for.
    #[error("it cannot be tried here: {why}")]
    Disturbance {
        /// Why.
        why: String,
    },
    /// The run directory cannot be used.
    #[error("cannot use `{}` for the run's files: {source}", .path.display())]
    RunDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What was measured is not for this build.
    #[error("cannot read what was measured: {0}; install the integration that belongs to this Invar")]
    ReadRaw(#[from] ReadRawError),
    /// What was measured makes no sense.
    #[error("cannot read what was measured: {0}")]
    Collect(#[from] CollectError),
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was measured.
    pub run: Run,
    /// Who pays, by the full name of the benchmark. Those whose integration does not record call paths have none.
    pub profiles: BTreeMap<String, Profile>,
}

/// Runs a command and gathers what it measures.
///
/// Signals that ask the caller's process to end are passed on to
/// the command, and the Run says so. One command runs at a time: others wait for it.
pub fn run(
    command: &[OsString],
    options: &Options,
    on_event: &mut dyn FnMut(Event),
) -> Result<Outcome, RunError> {
    run_disturbed(command, options, &Disturbance::default(), on_event)
}

/// Are counts on such a processor those of other hosts? One that nothing is known of is taken for one that is fit.
fn fit(cpu: &host::Cpu) -> Result<(), RunError> {
    let lacking = cpu.lacks_of_v3();
    if cpu.is_known() && !lacking.is_empty() { Err(RunError::Processor { lacking }) } else { Ok(()) }
}

/// As [`run`], under circumstances that must not matter.
pub fn run_disturbed(
    command: &[OsString],
    options: &Options,
    disturbance: &Disturbance,
    on_event: &mut dyn FnMut(Event),
) -> Result<Outcome, RunError> {
    // The run directory's descriptor has one number, and signals go to one command.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);

    if !matches!(options.instrument, Instrument::Simulation | Instrument::Counts) {
        return Err(RunError::Instrument { instrument: options.instrument.name() });
    }
    fit(&host::Cpu::read())?;
    let asked = environment::Asked { options, disturbance };
    let request = environment::request(&asked, user_base(|name| std::env::var(name).ok()).as_deref());
    let unusable = |source| RunError::RunDirectory { path: std::env::temp_dir(), source };
    let directory = RunDirectory::create(&request).map_err(unusable)?;
    // Before the command runs, which may commit.
    let source = source::read(&options.directory, options.default_branch.as_deref());
    let place = Elsewhere::prepare(command, &options.directory, disturbance);
    let place = place.map_err(|why| RunError::Disturbance { why })?;
    let root = place.root.clone().or_else(|| source::toplevel(&options.directory));
    let root = root.unwrap_or_else(|| options.directory.clone());

    let id = options.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let (started, since, clock) = (now(), SystemTime::now(), Instant::now());
    let mut progress = Progress::default();
    let watch = signals::Watch::begin();
    let load = disturbance.load.then(Load::start);
    let refused = |error: std::io::Error| RunError::Disturbance { why: error.to_string() };
    let one_cpu = disturbance.one_cpu.then(OneCpu::take).transpose().map_err(refused)?;
    let (mut child, mut relay) = child::start(
        &place.command,
        &place.directory,
        directory.path(),
        options.output,
        &disturbance.variables,
    )?;
    drop(one_cpu);
    let ahead = Ahead::start(directory.path(), root);
    let ended = child::wait(&mut child, &watch, || {
        if let Some(relay) = &mut relay {
            relay.follow(&mut |line| on_event(Event::Output { line }));
        }
        progress.follow(directory.path(), on_event);
    });
    if let Some(relay) = relay {
        relay.end(&mut |line| on_event(Event::Output { line }));
    }
    drop(load);
    let lost = |source| RunError::Start { command: command[0].to_string_lossy().into_owned(), source };
    let ended = ended.map_err(lost)?;
    progress.follow(directory.path(), on_event);

    let (files, mut warnings) = raw_files(directory.path())?;
    let collected = collect::collect(&files.records)?;
    let processes: Vec<_> = progress.processes().collect();
    warnings.extend(progress.warnings.iter().cloned());
    warnings.extend(collected.warnings);
    let took = clock.elapsed();
    let (profiles, unnamed) = ahead.end().profiles(&files, since);
    warnings.extend(unnamed);
    warnings.extend(facts::mixture(&processes));
    if source.is_none() {
        warnings.extend(source::refusal(&options.directory));
    }
    let incomplete = progress.incomplete(ended.exit, ended.interrupted_by);
    if incomplete.is_none() && progress.passed_over() > 0 {
        warnings.push(format!("{} collected, not measured (skipped?)", counted(progress.passed_over())));
    }

    let mut run = Run::started(&id, started, options.machine.clone());
    run.took_micros = u64::try_from(took.as_micros()).ok();
    run.command = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    run.source = source;
    run.environment = facts::environment(&facts::Known {
        machine: &options.machine,
        pass_env: &options.pass_env,
        shared_process: options.shared_process,
        engines: &collected.engines,
        processes,
        placements: progress.placements().collect(),
    });
    run.instrument = options.instrument;
    run.measurements = collected.measurements;
    run.failed = progress.failed;
    run.exit = Some(ended.exit);
    run.incomplete = incomplete;
    run.warnings = warnings;
    run.sort();
    Ok(Outcome { run, profiles })
}

fn counted(benchmarks: usize) -> String {
    match benchmarks {
        1 => "1 benchmark was".to_string(),
        more => format!("{more} benchmarks were"),
    }
}

/// The records of all raw files, and what is to be said about them.
fn raw_files(directory: &Path) -> Result<(profiles::Files, Vec<String>), RunError> {
    let (mut files, mut warnings) = (profiles::Files::default(), Vec::new());
    for name in progress::files(directory, "raw-", ".invar") {
        let path = directory.join(&name);
        let bytes =
            std::fs::read(&path).map_err(|source| RunError::RunDirectory { path: path.clone(), source })?;
        // A process that was killed before it had written anything.
        if bytes.len() < raw::header().len() {
            continue;
        }
        let raw::Prefix { records, damage } = raw::read_prefix(&bytes)?;
        warnings.extend(damage.map(|damage| {
            format!("some results were not written whole (is the disk full?) and are lost: {name}, {damage}")
        }));
        files.names.push(name);
        files.records.push(records);
    }
    Ok((files, warnings))
}

/// Where Python finds packages that the user installed with `pip install --user`, if there are any: with a home
/// directory that is nobody's it would not.
fn user_base(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let home = || variable("HOME").map(|home| format!("{home}/.local"));
    let base = variable("PYTHONUSERBASE").or_else(home)?;
    let libraries = std::fs::read_dir(Path::new(&base).join("lib")).ok()?;
    let mut packages = libraries.filter_map(|entry| Some(entry.ok()?.path().join("site-packages")));
    packages.any(|packages| packages.is_dir()).then_some(base)
}

fn now() -> Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros());
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_avx2_is_refused_and_an_unknown_one_is_not() {
        let old = host::Cpu::parse("flags : cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3\n");
        let says = fit(&old).unwrap_err().to_string();
        assert!(says.starts_with("this CPU lacks avx, avx2,"), "{says}");
        assert!(fit(&host::Cpu::default()).is_ok());
    }

    #[test]
    fn packages_in_the_home_directory_are_found_again() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().join(".local");
        let ask = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
        assert_eq!(user_base(ask), None);
        std::fs::create_dir_all(base.join("lib/python3.11/site-packages")).unwrap();
        assert_eq!(user_base(ask), Some(base.display().to_string()));
    }

    #[test]
    fn a_command_that_is_not_there_is_named_with_the_one_that_is_meant() {
        let error = RunError::NotFound { command: "pytset".to_string(), nearest: Some("pytest".to_string()) };
        assert_eq!(error.to_string(), "there is no command `pytset`; did you mean `pytest`?");
    }
}
