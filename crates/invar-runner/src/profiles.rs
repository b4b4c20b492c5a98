//! The profiles of a run, from its raw files.
//!
//! Names addresses and nothing else. Most of that is done while the command still runs ([`Ahead`]): reading the debug information of an
//! interpreter takes longer than a small benchmark.
//!
//! Invariants: of a benchmark that was measured twice the last counts, as for its measurement; what was named ahead is as it would be
//! if it were named at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use invar_core::profile::Profile;
use invar_core::wire::raw::call_paths::CallPaths;
use invar_core::wire::raw::taken_exits::TakenExits;
use invar_core::wire::raw::{self, Record};

use crate::progress;
use crate::symbols::{Cache, JitMap, Named, named};

/// All raw files of a run, by their names in the run directory, with what was read of them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub names: Vec<String>,
    pub records: Vec<Vec<Record>>,
}

/// What was named, and what it was named by.
pub(crate) struct Names {
    cache: Cache,
    /// By the file and the place of the record in it. Of code that a process has made itself nothing was known.
    profiles: BTreeMap<(String, usize), Profile>,
    /// How long each file was when it was read.
    lengths: BTreeMap<String, u64>,
    warnings: Vec<String>,
}

impl Names {
    /// No names yet. `root` is the directory of the command's sources.
    pub(crate) fn new(root: PathBuf) -> Names {
        let (profiles, lengths, warnings) = Default::default();
        Names { cache: Cache::default().with_root(root), profiles, lengths, warnings }
    }

    /// Profiles by the full names of benchmarks, and what is to be said about them. `since` is when the command was started.
    pub(crate) fn profiles(
        mut self,
        files: &Files,
        since: SystemTime,
    ) -> (BTreeMap<String, Profile>, Vec<String>) {
        let mut last = BTreeMap::<&str, (usize, usize, &TakenExits)>::new();
        for (file, records) in files.records.iter().enumerate() {
            for (place, benchmark, taken) in taken_exits(records) {
                last.insert(benchmark, (file, place, taken));
            }
        }
        let (mut made_code, mut profiles) = (BTreeMap::new(), BTreeMap::new());
        for (benchmark, (file, place, taken)) in last {
            let jit: &JitMap = made_code.entry(file).or_insert_with(|| jit(&files.records[file], since));
            let ahead = self
                .profiles
                .remove(&(files.names[file].clone(), place))
                .filter(|_| *jit == JitMap::default());
            let profile = ahead.unwrap_or_else(|| self.name(benchmark, taken, jit));
            profiles.insert(benchmark.to_string(), profile);
        }
        // In an order that does not tell what was named first.
        self.warnings.sort();
        (profiles, self.warnings)
    }

    /// Names what is new in a run directory, until it is to stop.
    fn look(&mut self, directory: &Path, stops: impl Fn() -> bool) {
        for name in progress::files(directory, "raw-", ".invar") {
            let path = directory.join(&name);
            let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            // A file that many benchmarks write to is not read for each of them: what is left over is named at the end.
            let known = self.lengths.entry(name.clone()).or_default();
            if length == 0 || length < 2 * *known {
                continue;
            }
            *known = length;
            // What cannot be read is said at the end, when all of it is read.
            let read = std::fs::read(&path).ok().and_then(|bytes| raw::read_prefix(&bytes).ok());
            for (place, benchmark, taken) in taken_exits(&read.map(|read| read.records).unwrap_or_default()) {
                if stops() {
                    return;
                }
                let key = (name.clone(), place);
                if !self.profiles.contains_key(&key) {
                    let profile = self.name(benchmark, taken, &JitMap::default());
                    self.profiles.insert(key, profile);
                }
            }
        }
    }

    fn name(&mut self, benchmark: &str, taken: &TakenExits, jit: &JitMap) -> Profile {
        let paths = CallPaths::of(taken);
        let Named { profile, warnings } = named(benchmark, &paths, Some(jit), &mut self.cache);
        self.warnings.extend(warnings);
        profile
    }
}

/// The records that become profiles, with their places.
fn taken_exits(records: &[Record]) -> impl Iterator<Item = (usize, &str, &TakenExits)> {
    records.iter().enumerate().filter_map(|(place, record)| match record {
        Record::TakenExits { benchmark, taken } => Some((place, benchmark.as_str(), taken)),
        _ => None,
    })
}

/// A thread that names what measuring processes have written, while others are measured.
///
/// It moves no count: what is measured is executed by itself, and sees nothing of the processor that this takes.
pub(crate) struct Ahead {
    stop: Sender<()>,
    /// `None` where it would be of no use, or could not be started.
    thread: Option<JoinHandle<Names>>,
    root: PathBuf,
}

impl Ahead {
    /// Starts it, for what is written into a run directory.
    pub(crate) fn start(directory: &Path, root: PathBuf) -> Ahead {
        let (stop, stopped) = channel();
        let (directory, names) = (directory.to_path_buf(), Names::new(root.clone()));
        // With one processor nothing is won, and every file is read twice.
        let several = std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
        let thread = std::thread::Builder::new().name("names".to_string());
        let thread =
            several.then(|| thread.spawn(move || follow(names, &directory, &stopped)).ok()).flatten();
        Ahead { stop, thread, root }
    }

    /// What it has named. It does not begin another profile.
    pub(crate) fn end(self) -> Names {
        drop(self.stop);
        let named = self.thread.and_then(|thread| thread.join().ok());
        named.unwrap_or_else(|| Names::new(self.root))
    }
}

/// Names what is written until it is told to stop.
fn follow(mut names: Names, directory: &Path, stopped: &Receiver<()>) -> Names {
    const PAUSE: Duration = Duration::from_millis(20);
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PAUSE) {
        names.look(directory, || matches!(stopped.try_recv(), Err(TryRecvError::Disconnected)));
    }
    names
}

/// What the process that wrote a file has said about code that it made. Of its mappings the last know most.
fn jit(records: &[Record], since: SystemTime) -> JitMap {
    let pid = records.iter().find_map(|record| match record {
        Record::Process { pid, .. } => Some(*pid),
        _ => None,
    });
    let maps = records.iter().rev().find_map(|record| match record {
        Record::TakenExits { taken, .. } => Some(taken.maps.as_str()),
        _ => None,
    });
    pid.map_or_else(JitMap::default, |pid| JitMap::of_process(pid, maps.unwrap_or_default(), since))
}

#[cfg(test)]
mod tests {
    use invar_core::event::Event;
    use invar_core::wire::raw::call_paths::{Call, Callee};
    use invar_core::wire::raw::taken_exits::{Exit, Flow, Row, Step, Superblock};

    use super::*;

    fn files<const N: usize>(records: [Vec<Record>; N]) -> Files {
        let names = (0..N).map(|number| format!("raw-{number}.invar")).collect();
        Files { names, records: records.into() }
    }

    /// What is named of these files when they are found in a run directory.
    fn ahead(files: &Files) -> Names {
        let directory = tempfile::tempdir().unwrap();
        for (name, records) in files.names.iter().zip(&files.records) {
            let mut bytes = raw::header().to_vec();
            records.iter().for_each(|record| record.write(&mut bytes));
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let mut names = Names::new(PathBuf::new());
        names.look(directory.path(), || false);
        names
    }

    fn record(benchmark: &str, times: u64) -> Record {
        let step = Step {
            address: 0x1010,
            ops: 0,
            reads: 0,
            writes: 0,
            system_call: false,
            branches: 0,
            flow: Flow::On,
        };
        let taken = TakenExits {
            maps: "1000-2000 r-xp 00000000 08:01 17 /nowhere/libgone.so\n".to_string(),
            calls: [0, 0x1010]
                .map(|address| Call { parent: 0, callee: Callee::Address(address), calls: times })
                .into(),
            steps: vec![step],
            superblocks: vec![Superblock { first_op: 0, ops: 0, first_step: 0, steps: 1, first_target: 0 }],
            exits: vec![Exit { superblock: 0, instructions: 1, branches: 0 }],
            rows: vec![Row { call: 1, exit: 0, times }],
            ..TakenExits::default()
        };
        Record::TakenExits { benchmark: benchmark.to_string(), taken }
    }

    #[test]
    fn the_last_call_paths_of_a_benchmark_count() {
        let files = files([vec![record("a", 1), record("b", 2)], vec![record("a", 3)]]);
        let (profiles, warnings) = Names::new(PathBuf::new()).profiles(&files, SystemTime::UNIX_EPOCH);
        let instructions =
            profiles.iter().map(|(name, profile)| (name.as_str(), profile.total().get(Event::Instructions)));
        assert_eq!(instructions.collect::<Vec<_>>(), [("a", 3), ("b", 2)]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn code_that_was_made_has_the_names_that_its_process_says() {
        // No process has this id: the largest is 4194304.
        let pid = u32::MAX - std::process::id();
        let path = format!("/tmp/perf-{pid}.map");
        std::fs::write(&path, "1010 10 made\n").unwrap();
        let process = Record::Process { pid, engine: String::new(), machine: String::new() };
        let files = files([vec![process, record("a", 1)]]);
        let of = |names: Names, since| {
            let (profiles, _) = names.profiles(&files, since);
            let profile = &profiles["a"];
            profile.function_of(&profile.nodes[1]).name.clone()
        };
        let none = || Names::new(PathBuf::new());
        let long_ago = of(none(), SystemTime::UNIX_EPOCH);
        let later = of(none(), SystemTime::now() + Duration::from_secs(3600));
        let known_later = of(ahead(&files), SystemTime::UNIX_EPOCH);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(long_ago, "made");
        assert_eq!(known_later, "made", "what was named ahead did not know of it");
        assert_eq!(later, "0x1010", "a map that is older than the run is another process's");
    }

    #[test]
    fn what_was_named_ahead_is_what_is_named_at_the_end() {
        let files = files([vec![record("a", 1), record("b", 2)], vec![record("a", 3)]]);
        let ahead = ahead(&files);
        assert_eq!(ahead.profiles.len(), 3);
        let at_the_end = Names::new(PathBuf::new()).profiles(&files, SystemTime::UNIX_EPOCH);
        assert_eq!(ahead.profiles(&files, SystemTime::UNIX_EPOCH), at_the_end);
    }
}
