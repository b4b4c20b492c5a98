//! Following the measuring processes through their progress files, and what became of each.
//!
//! Invariant: every line is read once, when it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use invar_core::run::Exit;

use crate::event::{self, Event, Process};
use crate::signals;

/// All measuring processes of a run, by the names of their files.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    files: BTreeMap<String, Told>,
    /// Benchmarks that failed, each with why.
    pub failed: BTreeMap<String, String>,
    /// Warnings, each once, in the order of their coming.
    pub warnings: Vec<String>,
}

/// What one process has told.
#[derive(Debug, Default)]
struct Told {
    read_bytes: u64,
    process: Option<Process>,
    placed_by: Option<String>,
    collected: usize,
    /// Started, and neither measured nor failed.
    running: Option<String>,
    /// Measured or failed.
    done: BTreeSet<String>,
    measures: bool,
    finished: bool,
}

impl Progress {
    /// Reads what was written since the last time.
    pub fn follow(&mut self, run_directory: &Path, on_event: &mut dyn FnMut(Event)) {
        for name in files(run_directory, "progress-", ".jsonl") {
            let path = run_directory.join(&name);
            let read_bytes = self.files.entry(name.clone()).or_default().read_bytes;
            // What cannot be read now is read the next time; what never can costs progress, not results.
            let lines = whole_lines(&path, read_bytes).unwrap_or_default();
            self.read(&name, &lines, on_event);
        }
    }

    fn read(&mut self, name: &str, lines: &[u8], on_event: &mut dyn FnMut(Event)) {
        let told = self.files.entry(name.to_string()).or_default();
        told.read_bytes += lines.len() as u64;
        for line in lines.split(|&byte| byte == b'\n').filter_map(event::parse) {
            if line.placed_by.is_some() {
                told.placed_by = line.placed_by;
            }
            let Some(event) = line.event else { continue };
            match &event {
                Event::Process { .. } => told.process = line.process,
                Event::Collected { benchmarks } => {
                    told.measures = true;
                    told.collected += benchmarks;
                }
                Event::Started { benchmark } => {
                    told.measures = true;
                    told.running = Some(benchmark.clone());
                }
                Event::Measured { benchmark, .. } => told.end(benchmark),
                Event::Failed { benchmark, message } => {
                    told.end(benchmark);
                    self.failed.insert(benchmark.clone(), message.clone());
                }
                Event::Finished { .. } => told.finished = true,
                Event::Warning { message } if self.warnings.contains(message) => continue,
                Event::Warning { message } => self.warnings.push(message.clone()),
                // No process says this of itself.
                Event::Output { .. } | Event::Layout { .. } => continue,
            }
            on_event(event);
        }
    }

    /// What the measuring processes consist of, in the order of their files.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.files.values().filter_map(|told| told.process.as_ref())
    }

    /// Who has placed the memory of the measuring processes, in the order of their files.
    pub fn placements(&self) -> impl Iterator<Item = &str> {
        self.files.values().filter_map(|told| told.placed_by.as_deref())
    }

    /// Why benchmarks may be missing, after the command has ended; `None` if none is.
    pub fn incomplete(&self, exit: Exit, interrupted_by: Option<i32>) -> Option<String> {
        let cut_off = self.files.values().any(|told| told.measures && !told.finished);
        let (done, collected) = (self.done(), self.collected());
        let who = match self.files.values().filter(|told| told.measures).count() {
            1 => "the measuring process",
            _ => "a measuring process",
        };
        let how = match (interrupted_by, exit) {
            (Some(signal), _) => format!("interrupted by {}", signals::name(signal)),
            (None, Exit::Signal(signal)) => format!("the command was killed by {}", signals::name(signal)),
            (None, Exit::Status(status)) if cut_off => match signals::of_shell_status(status) {
                Some(signal) => format!("{who} was killed by {}", signals::name(signal)),
                None if status == 0 => format!("{who} ended early"),
                None => format!("{who} ended early (the command's status is {status})"),
            },
            (None, Exit::Status(status)) if status != 0 && done < collected => {
                format!("the suite ended early, with status {status}")
            }
            (None, Exit::Status(_)) => return None,
        };
        let running: Vec<String> =
            self.files.values().filter_map(|told| Some(format!("`{}`", told.running.as_ref()?))).collect();
        let during = match &running[..] {
            [] => String::new(),
            names => format!(" while it measured {}", names.join(" and ")),
        };
        let count = match collected {
            0 => String::new(),
            _ => format!("; {done} of {collected} benchmarks were reached"),
        };
        Some(format!("{how}{during}{count}"))
    }

    /// How many benchmarks of a suite that ended well have neither a result nor a failure.
    pub fn passed_over(&self) -> usize {
        self.collected().saturating_sub(self.done())
    }

    fn collected(&self) -> usize {
        self.files.values().map(|told| told.collected).sum()
    }

    fn done(&self) -> usize {
        self.files.values().map(|told| told.done.len()).sum()
    }
}

impl Told {
    fn end(&mut self, benchmark: &str) {
        self.measures = true;
        self.done.insert(benchmark.to_string());
        if self.running.as_deref() == Some(benchmark) {
            self.running = None;
        }
    }
}

/// The files of a run directory whose names start and end so, sorted.
pub(crate) fn files(run_directory: &Path, start: &str, end: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(run_directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with(start) && name.ends_with(end)).collect();
    names.sort();
    names
}

/// From `start` to behind the last line break.
fn whole_lines(path: &Path, start: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTED: &str = r#"{"event":"collected","benchmarks":2}"#;
    const STARTED: &str = r#"{"event":"started","benchmark":"a"}"#;
    const MEASURED: &str = r#"{"event":"measured","benchmark":"a","instructions":7}"#;
    const FAILED: &str = r#"{"event":"failed","benchmark":"a","message":"no"}"#;
    const FINISHED: &str = r#"{"event":"finished","exit":0}"#;

    fn after(files: &[&[&str]]) -> Progress {
        let mut progress = Progress::default();
        for (index, lines) in files.iter().enumerate() {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            progress.read(&index.to_string(), text.as_bytes(), &mut |_| {});
        }
        progress
    }

    #[track_caller]
    fn check(lines: &[&str], exit: Exit, expected: Option<&str>) {
        assert_eq!(after(&[lines]).incomplete(exit, None).as_deref(), expected);
    }

    #[test]
    fn a_suite_that_said_it_finished_is_complete() {
        check(&[COLLECTED, STARTED, MEASURED, FINISHED], Exit::Status(0), None);
    }

    #[test]
    fn a_failed_benchmark_does_not_make_a_run_incomplete() {
        let one = r#"{"event":"collected","benchmarks":1}"#;
        let progress = after(&[&[one, STARTED, MEASURED, FAILED, FINISHED]]);
        assert_eq!(progress.incomplete(Exit::Status(1), None), None);
        assert_eq!(progress.failed["a"], "no");
    }

    #[test]
    fn a_suite_that_stopped_at_a_failure_is_incomplete() {
        let expected = "the suite ended early, with status 1; 1 of 2 benchmarks were reached";
        check(&[COLLECTED, STARTED, FAILED, FINISHED], Exit::Status(1), Some(expected));
    }

    #[test]
    fn a_killed_command_names_the_signal_and_the_benchmark() {
        let expected =
            "the command was killed by SIGKILL while it measured `a`; 0 of 2 benchmarks were reached";
        check(&[COLLECTED, STARTED], Exit::Signal(9), Some(expected));
    }

    #[test]
    fn an_interrupted_suite_names_what_it_measured_even_if_it_finished_in_order() {
        let progress = after(&[&[COLLECTED, STARTED, FINISHED]]);
        let expected = "interrupted by SIGINT while it measured `a`; 0 of 2 benchmarks were reached";
        assert_eq!(progress.incomplete(Exit::Status(2), Some(2)).as_deref(), Some(expected));
    }

    #[test]
    fn a_crash_under_a_shell_is_named_by_its_signal() {
        let expected = "the measuring process was killed by SIGSEGV while it measured `a`; 0 of 2 benchmarks were reached";
        check(&[COLLECTED, STARTED], Exit::Status(139), Some(expected));
    }

    #[test]
    fn a_crash_that_the_command_hides_is_seen_all_the_same() {
        let expected = "the measuring process ended early; 1 of 2 benchmarks were reached";
        check(&[COLLECTED, STARTED, MEASURED], Exit::Status(0), Some(expected));
    }

    #[test]
    fn a_worker_that_crashed_is_one_of_several() {
        let progress = after(&[&[COLLECTED, STARTED], &[MEASURED, FINISHED]]);
        let expected = "a measuring process ended early (the command's status is 1) while it measured `a`; \
                        1 of 2 benchmarks were reached";
        assert_eq!(progress.incomplete(Exit::Status(1), None).as_deref(), Some(expected));
    }

    #[test]
    fn a_process_that_only_started_again_need_not_finish() {
        let process = r#"{"event":"process","runtime":"CPython 3.11.7"}"#;
        let progress = after(&[&[process], &[COLLECTED, STARTED, MEASURED, FINISHED]]);
        assert_eq!(progress.incomplete(Exit::Status(0), None), None);
        assert_eq!(progress.processes().count(), 1);
        assert_eq!(progress.passed_over(), 1);
    }

    #[test]
    fn one_benchmark_of_two_processes_counts_twice() {
        let one = r#"{"event":"collected","benchmarks":1}"#;
        let suite: &[&str] = &[one, STARTED, MEASURED, FINISHED];
        assert_eq!(after(&[suite, suite]).incomplete(Exit::Status(1), None), None);
    }

    #[test]
    fn a_line_is_read_once_and_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("progress-1.jsonl");
        let (mut progress, mut seen) = (Progress::default(), Vec::new());
        let mut follow = |text: &str| {
            std::fs::write(&path, text).unwrap();
            progress.follow(directory.path(), &mut |event| seen.push(event));
        };
        follow(&STARTED[..9]);
        follow(&format!("{STARTED}\n{}", &MEASURED[..4]));
        follow(&format!("{STARTED}\n{MEASURED}\n"));
        let benchmark = || "a".to_string();
        let measured = Event::Measured { benchmark: benchmark(), instructions: 7 };
        assert_eq!(seen, [Event::Started { benchmark: benchmark() }, measured]);
    }

    #[test]
    fn a_warning_is_given_once() {
        let warning = r#"{"event":"warning","message":"hm"}"#;
        assert_eq!(after(&[&[warning, warning], &[warning]]).warnings, ["hm"]);
    }
}
