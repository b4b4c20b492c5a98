//! From raw records to measurements.
//!
//! A benchmark becomes a [`Measurement`] when its warm pass is there; what is missing or there twice becomes a
//! warning, never an error: a killed process must not take its neighbours' results along.

use std::collections::BTreeMap;

use crate::benchmark::Benchmark;
use crate::diagnostic::Diagnostics;
use crate::event::Events;
use crate::instrument::Instrument;
use crate::machine::{Machine, ParseMachineError};
use crate::measurement::Measurement;
use crate::wire::raw::{Mode, Pass, Record};

/// What the raw files of a run hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Sorted by the full name of their benchmark.
    pub measurements: Vec<Measurement>,
    /// Versions of the engine that wrote them, sorted.
    pub engines: Vec<String>,
    /// What is missing or odd, a sentence each.
    pub warnings: Vec<String>,
}

/// Why records are not measurements.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollectError {
    /// A pass before the record that says on which Machine it was made.
    #[error("a raw file does not say on which machine `{benchmark}` was measured")]
    NoProcess {
        /// The benchmark.
        benchmark: String,
    },
    /// The Machine is not one.
    #[error("a raw file names a machine that cannot be read: {0}")]
    Machine(#[from] ParseMachineError),
}

struct Found {
    machine: Machine,
    mode: Mode,
    cold: Option<Events>,
    warm: Option<Events>,
    diagnostics: Diagnostics,
}

/// Merges the records of all raw files of a run, each file a list.
pub fn collect(files: &[Vec<Record>]) -> Result<Collected, CollectError> {
    let mut collected = Collected::default();
    let mut found = BTreeMap::<&str, Found>::new();
    let mut described = BTreeMap::<&str, &str>::new();
    for file in files {
        let mut machine = None;
        for record in file {
            match record {
                Record::Process { engine, machine: text, .. } => {
                    machine = Some(Machine::parse(text)?);
                    collected.engines.push(engine.clone());
                }
                Record::TakenExits { .. } => {}
                Record::Describe { benchmark, json } => {
                    described.insert(benchmark, json);
                }
                Record::Pass { benchmark, pass, mode, events, diagnostics } => {
                    let no_process = || CollectError::NoProcess { benchmark: benchmark.clone() };
                    let machine = machine.clone().ok_or_else(no_process)?;
                    let known = found.remove(benchmark.as_str());
                    // A cold pass starts a benchmark anew, and so does whatever follows a warm one.
                    let again = known.as_ref().is_some_and(|known| {
                        *pass == Pass::Cold || known.warm.is_some() || known.mode != *mode
                    });
                    if again {
                        let sentence = format!("`{benchmark}` was measured more than once; the last counts");
                        if !collected.warnings.contains(&sentence) {
                            collected.warnings.push(sentence);
                        }
                    }
                    let blank = Found {
                        machine,
                        mode: *mode,
                        cold: None,
                        warm: None,
                        diagnostics: Diagnostics::default(),
                    };
                    let mut now = known.filter(|_| !again).unwrap_or(blank);
                    now.diagnostics.0 |= diagnostics.0;
                    match pass {
                        Pass::Cold => now.cold = Some(*events),
                        Pass::Warm => now.warm = Some(*events),
                    }
                    found.insert(benchmark, now);
                }
            }
        }
    }
    collected.engines.sort();
    collected.engines.dedup();
    for (name, found) in found {
        let Some(warm) = found.warm else {
            collected.warnings.push(format!("`{name}` ended before its second pass and has no result"));
            continue;
        };
        let benchmark = match described.get(name) {
            None => Benchmark::named(name),
            Some(json) => describe(name, json).unwrap_or_else(|why| {
                collected.warnings.push(format!("the description of `{name}` cannot be read: {why}"));
                Benchmark::named(name)
            }),
        };
        let instrument = match found.mode {
            Mode::Counts => Instrument::Counts,
            Mode::Simulation => Instrument::Simulation,
        };
        collected.measurements.push(Measurement {
            benchmark,
            instrument,
            machine: found.machine,
            cold: found.cold,
            warm,
            diagnostics: found.diagnostics,
        });
    }
    Ok(collected)
}

/// The twin of a `Describe` record's JSON; `docs/protocol.md` lists its members.
#[derive(serde::Deserialize)]
struct Description {
    name: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    group: Option<String>,
    params: Option<BTreeMap<String, serde_json::Value>>,
    extra_info: Option<BTreeMap<String, serde_json::Value>>,
    language: Option<String>,
    runtime: Option<String>,
    integration: Option<String>,
}

fn describe(id: &str, json: &str) -> Result<Benchmark, serde_json::Error> {
    let said: Description = serde_json::from_str(json)?;
    let known = Benchmark::named(id);
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let params = said.params.unwrap_or_default().into_iter();
    let extra_info = said.extra_info.unwrap_or_default().into_iter();
    Ok(Benchmark {
        id: known.id,
        name: said.name.unwrap_or(known.name),
        file: said.file.or(known.file),
        line: said.line,
        group: said.group,
        params: params.map(|(name, value)| (name, text(value))).collect(),
        extra_info: extra_info.map(|(name, value)| (name, value.to_string())).collect(),
        language: said.language,
        runtime: said.runtime,
        integration: said.integration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn process() -> Record {
        Record::Process { pid: 1, engine: "0.1.0".into(), machine: "reference-1".into() }
    }

    fn pass(benchmark: &str, pass: Pass, instructions: u64) -> Record {
        let mut events = Events::default();
        events.add(Event::Instructions, instructions);
        let diagnostics = Diagnostics(1 << (pass as u8));
        Record::Pass { benchmark: benchmark.into(), pass, mode: Mode::Simulation, events, diagnostics }
    }

    #[test]
    fn two_passes_and_a_description_are_a_measurement() {
        let json = r#"{"name": "test_a", "line": 7, "params": {"n": 5, "s": "x"}, "extra_info": {"k": [1]}}"#;
        let describe = Record::Describe { benchmark: "t.py::test_a".into(), json: json.into() };
        let records = vec![
            process(),
            describe,
            pass("t.py::test_a", Pass::Cold, 9),
            pass("t.py::test_a", Pass::Warm, 5),
        ];
        let collected = collect(&[records]).unwrap();
        let [measurement] = &collected.measurements[..] else { panic!("{collected:?}") };
        assert_eq!(measurement.warm.get(Event::Instructions), 5);
        assert_eq!(measurement.cold.unwrap().get(Event::Instructions), 9);
        assert_eq!(measurement.diagnostics, Diagnostics(3));
        assert_eq!(measurement.benchmark.file.as_deref(), Some("t.py"));
        assert_eq!(measurement.benchmark.line, Some(7));
        assert_eq!(measurement.benchmark.params["n"], "5");
        assert_eq!(measurement.benchmark.params["s"], "x");
        assert_eq!(measurement.benchmark.extra_info["k"], "[1]");
        assert_eq!((collected.engines, collected.warnings), (vec!["0.1.0".to_string()], vec![]));
    }

    #[test]
    fn a_benchmark_killed_between_its_passes_is_named() {
        let collected = collect(&[vec![process(), pass("a", Pass::Cold, 9)]]).unwrap();
        assert_eq!(collected.measurements, []);
        assert_eq!(collected.warnings, ["`a` ended before its second pass and has no result"]);
    }

    #[test]
    fn the_last_of_a_benchmark_counts() {
        let first = vec![process(), pass("a", Pass::Cold, 9), pass("a", Pass::Warm, 5)];
        let second = vec![process(), pass("a", Pass::Cold, 8), pass("a", Pass::Warm, 4)];
        let collected = collect(&[first, second]).unwrap();
        assert_eq!(collected.measurements[0].warm.get(Event::Instructions), 4);
        assert_eq!(collected.warnings, ["`a` was measured more than once; the last counts"]);
    }

    #[test]
    fn a_pass_without_a_machine_is_refused() {
        let error = collect(&[vec![pass("a", Pass::Warm, 1)]]).unwrap_err();
        assert_eq!(error.to_string(), "a raw file does not say on which machine `a` was measured");
    }

    #[test]
    fn a_broken_description_costs_the_description_only() {
        let describe = Record::Describe { benchmark: "a".into(), json: "{".into() };
        let collected = collect(&[vec![process(), describe, pass("a", Pass::Warm, 1)]]).unwrap();
        assert_eq!(collected.measurements[0].benchmark, Benchmark::named("a"));
        assert!(collected.warnings[0].starts_with("the description of `a` cannot be read: "));
    }
}
