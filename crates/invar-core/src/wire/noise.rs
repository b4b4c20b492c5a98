//! A Verification as JSON, version 2: what `invar verify --json` writes and stores keep.
//!
//! `{"invar_noise": 2, "circumstances": [...], "benchmarks": [...]}`. Of a benchmark `counts` is what was counted under each
//! circumstance; all that is said beside it follows from that and is for scripts: it is written and not read. Ratios are raw, and
//! one out of nothing is `null`. `fixtures/noise-v2.json` must read for ever. Version 1 had no counts, and was never kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::event::{Event, Events};
use crate::instrument::Instrument;
use crate::machine::{Machine, ParseMachineError};
use crate::noise::{Counted, Noise, Verification, Verified};
use crate::run::Timestamp;

/// The version this build writes, and the only one it reads.
pub const VERSION: u32 = 2;

/// Why bytes are not a verification this build can read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadVerificationError {
    /// Something else, or cut short.
    #[error("the verification is damaged: {why}")]
    Damaged {
        /// What the parser says.
        why: String,
    },
    /// Of another version.
    #[error("verification format {found} is not {VERSION}, the one this build reads")]
    Version {
        /// Its version.
        found: u32,
    },
    /// A Machine that cannot be read.
    #[error("the verification names a machine that cannot be read: {0}")]
    Machine(#[from] ParseMachineError),
    /// An instrument of a newer Invar.
    #[error("the verification was made with the instrument `{found}`, which this build does not know")]
    Instrument {
        /// Its name.
        found: String,
    },
}

/// Writes a verification as one line of JSON.
pub fn write(verification: &Verification) -> String {
    let text = serde_json::to_string(&twin(verification)).expect("twins hold nothing that JSON cannot");
    format!("{text}\n")
}

/// Writes a verification as indented JSON.
pub fn write_pretty(verification: &Verification) -> String {
    let text =
        serde_json::to_string_pretty(&twin(verification)).expect("twins hold nothing that JSON cannot");
    format!("{text}\n")
}

/// Reads a verification. Events and diagnostics that this build does not know are passed over.
pub fn read(bytes: &[u8]) -> Result<Verification, ReadVerificationError> {
    #[derive(Deserialize)]
    struct Head {
        invar_noise: u32,
    }
    let damaged = |error: serde_json::Error| ReadVerificationError::Damaged { why: error.to_string() };
    match serde_json::from_slice::<Head>(bytes).map_err(damaged)?.invar_noise {
        VERSION => {}
        found => return Err(ReadVerificationError::Version { found }),
    }
    let twin: VerificationTwin = serde_json::from_slice(bytes).map_err(damaged)?;
    let instrument = Instrument::from_name(&twin.instrument)
        .ok_or(ReadVerificationError::Instrument { found: twin.instrument })?;
    let circumstances = twin.circumstances.len();
    Ok(Verification {
        id: twin.id,
        started: Timestamp(twin.started_us),
        command: twin.command,
        machine: Machine::parse(&twin.machine)?,
        instrument,
        benchmarks: twin.benchmarks.into_iter().map(|twin| twin.verified(circumstances)).collect(),
        circumstances: twin.circumstances,
    })
}

fn twin(verification: &Verification) -> VerificationTwin {
    let noise = verification.noise();
    VerificationTwin {
        invar_noise: VERSION,
        id: verification.id.clone(),
        started_us: verification.started.0,
        command: verification.command.clone(),
        machine: verification.machine.text(),
        instrument: verification.instrument.name().to_string(),
        circumstances: verification.circumstances.clone(),
        benchmarks: verification
            .benchmarks
            .iter()
            .zip(&noise)
            .map(|(verified, noise)| BenchmarkTwin::of(verified, noise, &verification.circumstances))
            .collect(),
    }
}

fn finite(ratio: f64) -> Option<f64> {
    ratio.is_finite().then_some(ratio)
}

#[derive(Serialize, Deserialize)]
struct VerificationTwin {
    invar_noise: u32,
    id: String,
    started_us: i64,
    command: Vec<String>,
    machine: String,
    instrument: String,
    circumstances: Vec<String>,
    benchmarks: Vec<BenchmarkTwin>,
}

#[derive(Serialize, Deserialize)]
struct BenchmarkTwin {
    benchmark: String,
    #[serde(skip_deserializing)]
    results: usize,
    #[serde(skip_deserializing)]
    cycles: [u64; 2],
    #[serde(skip_deserializing)]
    cycles_ratio: Option<f64>,
    #[serde(skip_deserializing)]
    instructions: [u64; 2],
    #[serde(skip_deserializing)]
    instructions_ratio: Option<f64>,
    #[serde(skip_deserializing)]
    moved: Vec<String>,
    #[serde(skip_deserializing)]
    first_unlike: Option<String>,
    #[serde(skip_deserializing)]
    worst: Option<String>,
    cause: Option<String>,
    diagnostics: Vec<String>,
    /// Under each circumstance; `null` where there is no result.
    counts: Vec<Option<BTreeMap<String, u64>>>,
    /// Places of the circumstances that were not tried with this benchmark.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    untried: BTreeSet<usize>,
}

impl BenchmarkTwin {
    fn of(verified: &Verified, noise: &Noise, circumstances: &[String]) -> BenchmarkTwin {
        let says = |place: Option<usize>| place.and_then(|place| circumstances.get(place).cloned());
        let counts = |events: Events| {
            Event::ALL.into_iter().map(|event| (event.name().to_string(), events.get(event))).collect()
        };
        let untried =
            verified.counted.iter().enumerate().filter(|(_, counted)| **counted == Counted::Untried);
        BenchmarkTwin {
            benchmark: verified.benchmark.clone(),
            results: noise.results,
            cycles: [noise.cycles.least, noise.cycles.most],
            cycles_ratio: finite(noise.cycles.ratio()),
            instructions: [noise.instructions.least, noise.instructions.most],
            instructions_ratio: finite(noise.instructions.ratio()),
            moved: noise.moved.iter().map(|event| event.name().to_string()).collect(),
            first_unlike: says(noise.first_unlike),
            worst: says(noise.worst),
            cause: verified.cause.clone(),
            diagnostics: verified
                .diagnostics
                .to_vec()
                .into_iter()
                .map(|diagnostic| diagnostic.name().to_string())
                .collect(),
            counts: verified.counted.iter().map(|counted| counted.counts().map(counts)).collect(),
            untried: untried.map(|(place, _)| place).collect(),
        }
    }

    fn verified(self, circumstances: usize) -> Verified {
        let mut counts = self.counts.into_iter();
        let counted = |place: usize| match counts.next().flatten() {
            Some(counts) => Counted::Counts(events(&counts)),
            None if self.untried.contains(&place) => Counted::Untried,
            None => Counted::Missing,
        };
        let mut diagnostics = Diagnostics::default();
        for name in &self.diagnostics {
            let known = Diagnostic::ALL.into_iter().find(|diagnostic| diagnostic.name() == name);
            known.into_iter().for_each(|diagnostic| diagnostics.insert(diagnostic));
        }
        Verified {
            benchmark: self.benchmark,
            counted: (0..circumstances).map(counted).collect(),
            diagnostics,
            cause: self.cause,
        }
    }
}

fn events(counts: &BTreeMap<String, u64>) -> Events {
    let mut events = Events::default();
    for (name, count) in counts {
        Event::from_name(name).into_iter().for_each(|event| events.add(event, *count));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, verification};

    fn example() -> Verification {
        let runs = [run("main", &[("a", 1000, 0), ("b", 5, 0)]), run("main", &[("a", 1001, 0)])];
        let mut example = verification(&runs);
        example.add("alone", &run("main", &[]), Some(&BTreeSet::from(["b".to_string()])));
        example.explain("a", Some("`PyObject_Hash` via `set_add`: addresses as hash keys".to_string()));
        example.benchmarks[0].diagnostics.insert(Diagnostic::ReadClock);
        example
    }

    #[test]
    fn a_benchmark_that_moves_is_written_with_what_moved_it() {
        let json: serde_json::Value = serde_json::from_str(&write_pretty(&example())).unwrap();
        let benchmark = &json["benchmarks"][0];
        assert_eq!(benchmark["instructions"], serde_json::json!([1000, 1001]));
        assert_eq!(benchmark["first_unlike"], "circumstance 1");
        assert_eq!(benchmark["moved"][0], "instructions");
        assert_eq!(benchmark["cause"], "`PyObject_Hash` via `set_add`: addresses as hash keys");
    }

    #[test]
    fn a_verification_comes_back_as_it_was() {
        assert_eq!(read(write(&example()).as_bytes()), Ok(example()));
        assert_eq!(read(write_pretty(&example()).as_bytes()), Ok(example()));
    }

    #[test]
    fn what_was_written_once_reads_for_ever() {
        let text = include_bytes!("../../fixtures/noise-v2.json");
        assert_eq!(read(text), Ok(example()));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"invar_noise": 3}"#),
            "verification format 3 is not 2, the one this build reads"
        );
        assert!(error("{").starts_with("the verification is damaged: "));
    }
}
