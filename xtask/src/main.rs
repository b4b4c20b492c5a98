//! The project's own commands. `cargo xtask --help` lists them.
//!
//! Each command is a module; what several need is in [`prepare`]. Nothing of the product is decided here: a command
//! builds, runs real programs, and says what they printed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

mod bench;
mod bench_paths;
mod bench_pyperformance;
mod bench_server;
mod demo;
mod demo_server;
mod exactness;
mod fuzz;
mod gate;
mod hosts;
mod model;
mod musl;
mod noise;
mod prepare;
mod profiles;
mod python;
mod repeat;
mod sensitivity;
mod server;
mod soak;
mod suites;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything that a user installs: the command, the engine's library, pytest-invar in an environment of its own.
    Build,
    /// Everything that CI runs.
    Test,
    /// The main job on real input: measure twice, compare, measure an improvement, report.
    Demo {
        /// A measured history of 300 commits instead, shown in a browser until Ctrl-C.
        #[arg(long)]
        serve: bool,
    },
    /// Measure the examples again and again under other circumstances: every event must be the same.
    Repeat {
        /// How often each.
        #[arg(long, default_value_t = 10)]
        times: usize,
        /// Which Python; the default is `python3`.
        #[arg(long)]
        python: Option<std::path::PathBuf>,
    },
    /// Are profiles right? Sums, calls beside cProfile's, costs beside callgrind's, and that recording them changes no count.
    Profiles {
        /// Which Python; the default is `python3`.
        #[arg(long)]
        python: Option<std::path::PathBuf>,
    },
    /// Measure a little more work: it must be reported as just that much.
    Sensitivity,
    /// Run whole test suites inside regions: CPython's own, or those of packages with C extensions. Each test must end as it does natively.
    Soak {
        /// Whose tests.
        #[arg(long, default_value = "cpython", value_parser = soak::names())]
        suite: String,
        /// Count only, without caches: some ten times faster.
        #[arg(long)]
        counts: bool,
        /// Which Python; the default is `python3`.
        #[arg(long)]
        python: Option<std::path::PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Go on where the last run of this suite was interrupted: what it has run already is not run again.
        #[arg(long)]
        resume: bool,
        /// Which modules, such as test_json, or test files of a package; the default is all of them.
        modules: Vec<String>,
    },
    /// Compare the engine's counts with callgrind's, side by side.
    Exactness,
    /// Run the engine's guests as programs of musl, the C library of Alpine Linux.
    Musl,
    /// Measure what measuring costs (`engine`), what profiles cost beside that (`paths`), what measuring costs over pyperformance's benchmarks (`pyperformance`), how far numbers move that should not, beside pytest-codspeed's (`noise`),
    /// whether counts are equal on other hosts (`hosts`), what the gate sees of small changes and how often it cries though there is none (`gate`), whether simulated time orders programs as
    /// the clock does (`model`), or how fast a server answers that keeps millions of measurements (`server`).
    Bench {
        /// What to measure.
        #[arg(value_parser = ["engine", "paths", "pyperformance", "noise", "hosts", "gate", "model", "server"])]
        what: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Of `gate`: how many runs are compared with each other.
        #[arg(long, default_value_t = 21)]
        runs: usize,
        /// Of `gate`: false alarms alone, in one layout of memory each, which takes minutes.
        #[arg(long)]
        quick: bool,
        /// Of `server`: how many measurements it keeps. More than once: what grows with them is shown, too.
        #[arg(long, default_values_t = [1_000_000])]
        measurements: Vec<u64>,
        /// Of `server`: another program than the one of this checkout, such as that of another commit.
        #[arg(long)]
        invar: Option<std::path::PathBuf>,
    },
    /// Kill one of two replicas of a server again and again (`soak`), or ask it whatever its OpenAPI document permits (`api`).
    Server {
        /// What to do.
        #[arg(value_parser = ["soak", "api"])]
        what: String,
        /// How often a replica is killed.
        #[arg(long, default_value_t = 100)]
        rounds: usize,
        /// How many examples of each request are tried.
        #[arg(long, default_value_t = 100)]
        examples: usize,
    },
    /// Run programs of chance natively and translated, and compare everything they leave behind.
    Fuzz {
        /// What to fuzz.
        #[arg(value_parser = ["translate"])]
        what: String,
        /// For how long.
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// The same seed makes the same programs.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The first program.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Break the engine in this way first, to see that it is found.
        #[arg(long, value_name = "NAME")]
        plant_defect: Option<String>,
    },
    /// Lint the project's Python, and test pytest-invar on every Python that is here.
    Python {
        /// The quicker selection on each, the default one too.
        #[arg(long)]
        quick: bool,
    },
    /// Build the scripts of the server's pages, from `web/` into `web/dist`.
    Web,
    /// Look at every page of the demo's site: pictures in target/screens, axe's opinion, and clicks through it.
    Screens,
    /// Check the rules of the house that no compiler checks.
    Tidy,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test => test::test()?,
        Command::Demo { serve: true } => demo_server::serve()?,
        Command::Demo { serve: false } => demo::demo()?,
        Command::Repeat { times, python } => repeat::repeat(times, python.as_deref())?,
        Command::Profiles { python } => profiles::profiles(python.as_deref())?,
        Command::Sensitivity => sensitivity::sensitivity()?,
        Command::Soak { suite, counts, python, json, resume, modules } => {
            soak::soak(&soak::Options { suite, counts, python, json, resume, modules })?;
        }
        Command::Exactness => exactness::exactness()?,
        Command::Musl => musl::musl()?,
        Command::Bench { what, json, runs, quick, measurements, invar } => match what.as_str() {
            "paths" => bench_paths::paths(json)?,
            "pyperformance" => bench_pyperformance::pyperformance(json)?,
            "noise" => noise::noise(json)?,
            "hosts" => hosts::hosts(json)?,
            "gate" => gate::gate(runs, quick, json)?,
            "model" => model::model(json)?,
            "server" => bench_server::server(&measurements, invar.as_deref(), json)?,
            _ => bench::engine(json)?,
        },
        Command::Fuzz { what: _, minutes, seed, from, plant_defect } => {
            fuzz::translate(minutes, seed, from, plant_defect.as_deref())?;
        }
        Command::Python { quick } => python::check(&python::others()?, quick)?,
        Command::Server { what, rounds, .. } if what == "soak" => server::soak(rounds)?,
        Command::Server { what: _, examples, .. } => server::api(examples)?,
        Command::Web => web::build()?,
        Command::Screens => web::screens()?,
        Command::Tidy => tidy::tidy()?,
        Command::Build => {
            println!("{}", prepare::invar()?.display());
            println!("{}", prepare::engine()?.display());
            println!("{}", prepare::python(&prepare::default_python()?, &[])?.display());
        }
    }
    Ok(())
}
