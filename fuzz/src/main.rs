//! Differential fuzzing of the translator: programs of chance run natively and by the engine, and everything they leave
//! behind is compared.
//!
//! ```text
//! invar-fuzz translate [--minutes N] [--programs N] [--seed S] [--from I] [--plant-defect NAME]
//! invar-fuzz check --seed S --from I [--keep 0,1,...] [--plant-defect NAME]
//! ```
//!
//! `translate` supervises workers, processes of this same program, so that a crash of the engine is a finding like any
//! other; it makes each finding small and prints it. `check` runs one program. Both exit with 1 where something differs.
//! The same seed makes the same programs on hosts with the same instructions.

mod defect;
mod host;
mod layout;
mod oracle;
mod program;
mod random;
mod state;
mod subject;
mod supervise;
mod work;

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use defect::Defect;

/// The runtime is entered while the guest may be anywhere, and it must not touch the guest's vector registers.
#[global_allocator]
static ALLOCATOR: invar_engine::host::Allocator = invar_engine::host::Allocator::new();

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of all programs.
    pub seed: u64,
    /// Number of the first program.
    pub from: u64,
    /// How many programs at most.
    pub programs: u64,
    /// How many minutes at most.
    pub minutes: Option<f64>,
    /// The items to keep of a program.
    pub keep: Option<Vec<usize>>,
    /// A defect to plant.
    pub defect: Option<Defect>,
}

impl Options {
    /// As arguments of another process of this program.
    pub fn to_arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        add("seed", self.seed.to_string());
        add("from", self.from.to_string());
        add("programs", self.programs.to_string());
        if let Some(minutes) = self.minutes {
            add("minutes", minutes.to_string());
        }
        if let Some(keep) = &self.keep {
            add("keep", keep.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
        }
        if let Some(defect) = self.defect {
            let name = Defect::ALL.into_iter().find(|(_, other)| *other == defect).map(|(name, _)| name);
            add("plant-defect", name.unwrap_or_default().to_string());
        }
        arguments
    }

    fn parse(arguments: &[String]) -> Result<Options> {
        let mut options =
            Options { seed: 1, from: 0, programs: u64::MAX, minutes: None, keep: None, defect: None };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().with_context(|| format!("{name} wants a value"))?;
            match name.as_str() {
                "--seed" => options.seed = value.parse().context("--seed wants a number")?,
                "--from" => options.from = value.parse().context("--from wants a number")?,
                "--programs" => options.programs = value.parse().context("--programs wants a number")?,
                "--minutes" => options.minutes = Some(value.parse().context("--minutes wants a number")?),
                "--keep" => {
                    let numbers = value.split(',').filter(|number| !number.is_empty()).map(str::parse);
                    options.keep = Some(numbers.collect::<Result<_, _>>().context("--keep wants numbers")?);
                }
                "--plant-defect" => options.defect = Some(Defect::parse(value)?),
                _ => bail!("there is no option {name}"),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments.split_first().context("say `translate` or `check`")?;
    ensure!(std::arch::is_x86_feature_detected!("avx"), "the fuzzer needs a host with AVX");
    let options = Options::parse(rest)?;
    let same = match command.as_str() {
        "translate" => supervise::translate(&options)?,
        "check" => work::check(&options)?,
        "work" => work::work(&options)?,
        other => bail!("there is no command {other}; say `translate` or `check`"),
    };
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
