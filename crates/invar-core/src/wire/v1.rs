//! A Run as JSON, version 1: what stores keep, files hold and servers receive.
//!
//! `{"invar": 1, "id": ...}`. Members, events and diagnostics that this build does not know are passed over, so that
//! additions need no new version; a change of meaning does. `fixtures/run-v1.json` must read for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::benchmark::Benchmark;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::Environment;
use crate::event::{Event, Events};
use crate::instrument::Instrument;
use crate::layouts::{Layouts, Mean, Spend};
use crate::machine::{Machine, ParseMachineError};
use crate::measurement::Measurement;
use crate::run::{Exit, Run, Timestamp};
use crate::shard::Shard;
use crate::source::Source;

/// The version this build writes, and the newest it reads.
pub const NEWEST: u32 = 1;

/// Why bytes are not a run this build can read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadRunError {
    /// Nothing at all.
    #[error("not a run file: it is empty")]
    Empty,
    /// Some other file.
    #[error("not a run file: starts with {found:02x?}")]
    NotARun {
        /// The first four bytes, or fewer if there are fewer.
        found: Vec<u8>,
    },
    /// JSON of something else.
    #[error("not a run file: JSON without a member `invar`")]
    OtherJson,
    /// Written by a newer Invar.
    #[error("run format {found} is newer than {NEWEST}, the newest this build reads")]
    TooNew {
        /// The file's format version.
        found: u32,
    },
    /// A run file, but cut short or changed.
    #[error("the run file is damaged: {why}")]
    Damaged {
        /// What the parser says, with line and column.
        why: String,
    },
    /// A Machine that cannot be read.
    #[error("the run names a machine that cannot be read: {0}")]
    Machine(#[from] ParseMachineError),
    /// An instrument of a newer Invar.
    #[error("the run was made with the instrument `{found}`, which this build does not know")]
    Instrument {
        /// Its name.
        found: String,
    },
}

/// Writes a run as one line of JSON with a line feed at its end.
pub fn write(run: &Run) -> String {
    let mut text = serde_json::to_string(&RunTwin::from(run)).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

/// Writes a run as indented JSON, for people.
pub fn write_pretty(run: &Run) -> String {
    let mut text =
        serde_json::to_string_pretty(&RunTwin::from(run)).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

/// Reads a run.
pub fn read(bytes: &[u8]) -> Result<Run, ReadRunError> {
    #[derive(Deserialize)]
    struct Head {
        invar: Option<u32>,
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(ReadRunError::Empty),
        Some(b'{') => {}
        Some(_) => return Err(ReadRunError::NotARun { found: bytes[..bytes.len().min(4)].to_vec() }),
    }
    let damaged = |error: serde_json::Error| ReadRunError::Damaged { why: error.to_string() };
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    match head.invar {
        None => return Err(ReadRunError::OtherJson),
        Some(found) if found > NEWEST => return Err(ReadRunError::TooNew { found }),
        Some(_) => {}
    }
    serde_json::from_slice::<RunTwin>(bytes).map_err(damaged)?.try_into()
}

#[derive(Serialize, Deserialize)]
struct RunTwin {
    invar: u32,
    id: String,
    started_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    took_us: Option<u64>,
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<SourceTwin>,
    #[serde(default)]
    environment: BTreeMap<String, BTreeMap<String, String>>,
    machine: String,
    instrument: String,
    measurements: Vec<MeasurementTwin>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit: Option<ExitTwin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incomplete: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layouts: Option<LayoutsTwin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<ShardTwin>,
}

#[derive(Serialize, Deserialize)]
struct ShardTwin {
    key: String,
    number: u32,
    of: u32,
}

#[derive(Serialize, Deserialize)]
struct LayoutsTwin {
    /// What was asked for; where a rule decided, the most that a benchmark got.
    count: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    auto: bool,
    /// How many a benchmark got, where these are not `count`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    spent: BTreeMap<String, u32>,
    /// In cycles, by the full names of the benchmarks.
    standard_errors: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExitTwin {
    Status(i32),
    Signal(i32),
}

#[derive(Serialize, Deserialize, Default)]
struct SourceTwin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    #[serde(default)]
    dirty: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merge_base: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committed_us: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct MeasurementTwin {
    benchmark: BenchmarkTwin,
    /// Absent if it is the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instrument: Option<String>,
    /// Absent if it is the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cold: Option<EventsTwin>,
    warm: EventsTwin,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct BenchmarkTwin {
    id: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extra_info: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runtime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    integration: Option<String>,
}

/// Counts by the names of their events, in stored order; a map sorted by name would read badly.
pub(super) struct EventsTwin(pub(super) Events);

impl Serialize for EventsTwin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Event::ALL.into_iter().map(|event| (event.name(), self.0.get(event))))
    }
}

impl<'de> Deserialize<'de> for EventsTwin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<EventsTwin, D::Error> {
        let counts = BTreeMap::<String, u64>::deserialize(deserializer)?;
        let mut events = Events::default();
        for (name, count) in counts {
            if let Some(event) = Event::from_name(&name) {
                events.add(event, count);
            }
        }
        Ok(EventsTwin(events))
    }
}

impl From<&Run> for RunTwin {
    fn from(run: &Run) -> RunTwin {
        let twin = |measurement: &Measurement| MeasurementTwin {
            benchmark: BenchmarkTwin::from(&measurement.benchmark),
            instrument: (measurement.instrument != run.instrument)
                .then(|| measurement.instrument.name().to_string()),
            machine: (measurement.machine != run.machine).then(|| measurement.machine.text()),
            cold: measurement.cold.map(EventsTwin),
            warm: EventsTwin(measurement.warm),
            diagnostics: measurement
                .diagnostics
                .to_vec()
                .into_iter()
                .map(|diagnostic| diagnostic.name().to_string())
                .collect(),
        };
        RunTwin {
            invar: NEWEST,
            id: run.id.clone(),
            started_us: run.started.0,
            took_us: run.took_micros,
            command: run.command.clone(),
            source: run.source.as_ref().map(SourceTwin::from),
            environment: run.environment.0.clone(),
            machine: run.machine.text(),
            instrument: run.instrument.name().to_string(),
            measurements: run.measurements.iter().map(twin).collect(),
            failed: run.failed.clone(),
            exit: run.exit.map(|exit| match exit {
                Exit::Status(status) => ExitTwin::Status(status),
                Exit::Signal(signal) => ExitTwin::Signal(signal),
            }),
            incomplete: run.incomplete.clone(),
            warnings: run.warnings.clone(),
            layouts: run.layouts.as_ref().map(LayoutsTwin::from),
            shard: run.shard.clone().map(|Shard { key, number, of }| ShardTwin { key, number, of }),
        }
    }
}

impl TryFrom<RunTwin> for Run {
    type Error = ReadRunError;

    fn try_from(twin: RunTwin) -> Result<Run, ReadRunError> {
        let machine = Machine::parse(&twin.machine)?;
        let instrument = instrument(twin.instrument)?;
        let mut measurements = Vec::with_capacity(twin.measurements.len());
        for measurement in twin.measurements {
            let mut diagnostics = Diagnostics::default();
            for diagnostic in Diagnostic::ALL {
                if measurement.diagnostics.iter().any(|name| name == diagnostic.name()) {
                    diagnostics.insert(diagnostic);
                }
            }
            measurements.push(Measurement {
                benchmark: measurement.benchmark.into(),
                instrument: measurement.instrument.map_or(Ok(instrument), self::instrument)?,
                machine: measurement
                    .machine
                    .map_or_else(|| Ok(machine.clone()), |text| Machine::parse(&text))?,
                cold: measurement.cold.map(|events| events.0),
                warm: measurement.warm.0,
                diagnostics,
            });
        }
        let mut run = Run {
            id: twin.id,
            started: Timestamp(twin.started_us),
            took_micros: twin.took_us,
            command: twin.command,
            source: twin.source.map(Source::from),
            environment: Environment(twin.environment),
            machine,
            instrument,
            measurements,
            failed: twin.failed,
            exit: twin.exit.map(|exit| match exit {
                ExitTwin::Status(status) => Exit::Status(status),
                ExitTwin::Signal(signal) => Exit::Signal(signal),
            }),
            incomplete: twin.incomplete,
            warnings: twin.warnings,
            layouts: twin.layouts.map(Layouts::from),
            shard: twin.shard.map(|ShardTwin { key, number, of }| Shard { key, number, of }),
        };
        run.sort();
        Ok(run)
    }
}

impl From<&Layouts> for LayoutsTwin {
    fn from(layouts: &Layouts) -> LayoutsTwin {
        let most = layouts.means.values().map(|mean| mean.layouts).max();
        let (count, auto) = match layouts.asked {
            Spend::Count(count) => (count, false),
            Spend::Auto => (most.unwrap_or(0), true),
        };
        let spent = layouts.means.iter().map(|(name, mean)| (name.clone(), mean.layouts));
        let spent = spent.filter(|(_, layouts)| *layouts != count);
        let errors = layouts.means.iter().map(|(name, mean)| (name.clone(), mean.standard_error));
        LayoutsTwin { count, auto, spent: spent.collect(), standard_errors: errors.collect() }
    }
}

impl From<LayoutsTwin> for Layouts {
    fn from(twin: LayoutsTwin) -> Layouts {
        let mean = |(name, standard_error): (String, u64)| {
            let layouts = twin.spent.get(&name).copied().unwrap_or(twin.count);
            (name, Mean { layouts, standard_error })
        };
        let means = twin.standard_errors.into_iter().map(mean).collect();
        Layouts { asked: if twin.auto { Spend::Auto } else { Spend::Count(twin.count) }, means }
    }
}

fn instrument(name: String) -> Result<Instrument, ReadRunError> {
    Instrument::from_name(&name).ok_or(ReadRunError::Instrument { found: name })
}

impl From<&Benchmark> for BenchmarkTwin {
    fn from(benchmark: &Benchmark) -> BenchmarkTwin {
        let value =
            |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        BenchmarkTwin {
            id: benchmark.id.clone(),
            name: benchmark.name.clone(),
            file: benchmark.file.clone(),
            line: benchmark.line,
            group: benchmark.group.clone(),
            params: benchmark.params.clone(),
            extra_info: benchmark.extra_info.iter().map(|(name, text)| (name.clone(), value(text))).collect(),
            language: benchmark.language.clone(),
            runtime: benchmark.runtime.clone(),
            integration: benchmark.integration.clone(),
        }
    }
}

impl From<BenchmarkTwin> for Benchmark {
    fn from(twin: BenchmarkTwin) -> Benchmark {
        let extra_info = twin.extra_info.into_iter();
        Benchmark {
            id: twin.id,
            name: twin.name,
            file: twin.file,
            line: twin.line,
            group: twin.group,
            params: twin.params,
            extra_info: extra_info.map(|(name, value)| (name, value.to_string())).collect(),
            language: twin.language,
            runtime: twin.runtime,
            integration: twin.integration,
        }
    }
}

impl From<&Source> for SourceTwin {
    fn from(source: &Source) -> SourceTwin {
        SourceTwin {
            commit: source.commit.clone(),
            parents: source.parents.clone(),
            branch: source.branch.clone(),
            dirty: source.dirty,
            tags: source.tags.clone(),
            default_branch: source.default_branch.clone(),
            merge_base: source.merge_base.clone(),
            remote: source.remote.clone(),
            message: source.message.clone(),
            author: source.author.clone(),
            committed_us: source.committed.map(|time| time.0),
        }
    }
}

impl From<SourceTwin> for Source {
    fn from(twin: SourceTwin) -> Source {
        Source {
            commit: twin.commit,
            parents: twin.parents,
            branch: twin.branch,
            dirty: twin.dirty,
            tags: twin.tags,
            default_branch: twin.default_branch,
            merge_base: twin.merge_base,
            remote: twin.remote,
            message: twin.message,
            author: twin.author,
            committed: twin.committed_us.map(Timestamp),
        }
    }
}

#[cfg(test)]
mod tests;
