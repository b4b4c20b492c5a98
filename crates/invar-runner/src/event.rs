//! What a measuring process says while it measures, and how its lines are read.
//!
//! Progress is for people: numbers come from the raw files. docs/protocol.md lists the lines; a line that cannot be read, or
//! whose event is not known, is passed over.

use std::collections::BTreeMap;

use serde_json::Value;

/// Something that happened while a command ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A process that will measure has been found.
    Process {
        /// The language's runtime: `CPython 3.11.7`.
        runtime: String,
        /// The integration: `pytest-invar 0.1.0`.
        integration: String,
    },
    /// The suite was collected.
    Collected {
        /// How many benchmarks will be measured.
        benchmarks: usize,
    },
    /// A benchmark begins.
    Started {
        /// Its full name.
        benchmark: String,
    },
    /// A benchmark has its result.
    Measured {
        /// Its full name.
        benchmark: String,
        /// Instructions of the warm pass.
        instructions: u64,
    },
    /// A benchmark failed. It may have been measured before.
    Failed {
        /// Its full name.
        benchmark: String,
        /// Why, in one line.
        message: String,
    },
    /// A measuring process has ended.
    Finished {
        /// Its exit status, as far as it knows.
        exit: i32,
    },
    /// The suite, or part of it, is measured once more in another layout of memory. No process says this: the runner does.
    Layout {
        /// The seed of the layout.
        seed: u32,
        /// How many benchmarks are measured in it.
        benchmarks: usize,
    },
    /// The command has written a line, where that is told.
    Output {
        /// The line without its end, as it was written.
        line: String,
    },
    /// Something that whoever reads the results should know.
    Warning {
        /// One line.
        message: String,
    },
}

/// A progress line: an event, and what only a `process` line says; or who has placed the memory of the process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub event: Option<Event>,
    pub process: Option<Process>,
    pub placed_by: Option<String>,
}

/// What a process consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub language: String,
    pub runtime: String,
    pub packages: BTreeMap<String, String>,
}

/// Reads one line.
pub(crate) fn parse(line: &[u8]) -> Option<Line> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_string);
    let mut process = None;
    let event = match value["event"].as_str()? {
        "process" => {
            let runtime = text("runtime").unwrap_or_default();
            let language = text("language").unwrap_or_else(|| "program".to_string());
            let packages = value["packages"].as_object().into_iter().flatten();
            let packages = packages
                .filter_map(|(name, version)| Some((name.clone(), version.as_str()?.to_string())))
                .collect();
            process = Some(Process { language, runtime: runtime.clone(), packages });
            Event::Process { runtime, integration: text("integration").unwrap_or_default() }
        }
        "collected" => Event::Collected { benchmarks: usize::try_from(value["benchmarks"].as_u64()?).ok()? },
        "started" => Event::Started { benchmark: text("benchmark")? },
        "measured" => {
            Event::Measured { benchmark: text("benchmark")?, instructions: value["instructions"].as_u64()? }
        }
        "failed" => {
            Event::Failed { benchmark: text("benchmark")?, message: text("message").unwrap_or_default() }
        }
        "finished" => Event::Finished { exit: i32::try_from(value["exit"].as_i64()?).ok()? },
        "warning" => Event::Warning { message: text("message")? },
        "placed" => return Some(Line { event: None, process, placed_by: Some(text("by")?) }),
        _ => return None,
    };
    Some(Line { event: Some(event), process, placed_by: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Event>) {
        assert_eq!(parse(line.as_bytes()).and_then(|line| line.event), expected);
    }

    #[test]
    fn who_has_placed_the_memory_is_read() {
        let line = parse(br#"{"event":"placed","by":"invar"}"#).unwrap();
        assert_eq!((line.event, line.placed_by.as_deref()), (None, Some("invar")));
    }

    #[test]
    fn every_event_of_the_protocol_is_read() {
        let benchmark = || "a.py::b".to_string();
        check(r#"{"event": "collected", "benchmarks": 8}"#, Some(Event::Collected { benchmarks: 8 }));
        check(
            r#"{"event":"started","benchmark":"a.py::b"}"#,
            Some(Event::Started { benchmark: benchmark() }),
        );
        let measured = Event::Measured { benchmark: benchmark(), instructions: 7 };
        check(r#"{"event":"measured","benchmark":"a.py::b","instructions":7}"#, Some(measured));
        let failed = Event::Failed { benchmark: benchmark(), message: "no".to_string() };
        check(r#"{"event":"failed","benchmark":"a.py::b","message":"no"}"#, Some(failed));
        check(r#"{"event":"finished","exit":-1}"#, Some(Event::Finished { exit: -1 }));
        let warning = Event::Warning { message: "hm".to_string() };
        check(r#"{"event":"warning","message":"hm"}"#, Some(warning));
    }

    #[test]
    fn a_process_says_what_it_consists_of() {
        let line = r#"{"event":"process","language":"python","runtime":"CPython 3.11.7",
            "integration":"pytest-invar 0.1.0","packages":{"numpy":"2.1"},"member of a later build":1}"#;
        let process = parse(line.as_bytes()).unwrap().process.unwrap();
        let packages = BTreeMap::from([("numpy".to_string(), "2.1".to_string())]);
        let runtime = "CPython 3.11.7".to_string();
        assert_eq!(process, Process { language: "python".to_string(), runtime, packages });
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        check(r#"{"event":"danced"}"#, None);
        check(r#"{"event":"started"}"#, None);
        check(r#"{"event":"star"#, None);
        check("", None);
    }
}
