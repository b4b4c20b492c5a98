//! The profiles of a run, from its raw files.
//!
//! Names addresses and nothing else. Invariant: of a benchmark that was measured twice the last counts, as for its measurement.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use invar_core::profile::Profile;
use invar_core::wire::raw::Record;
use invar_core::wire::raw::call_paths::CallPaths;

use crate::symbols::{Cache, JitMap, Named, named};

/// Profiles by the full names of benchmarks, and what is to be said about them. `since` is when the command was started, and
/// `root` the directory of its sources.
pub(crate) fn profiles(
    files: &[Vec<Record>],
    since: SystemTime,
    root: PathBuf,
) -> (BTreeMap<String, Profile>, Vec<String>) {
    let mut last = BTreeMap::<&str, (usize, &CallPaths)>::new();
    for (file, records) in files.iter().enumerate() {
        for record in records {
            if let Record::CallPaths { benchmark, paths } = record {
                last.insert(benchmark, (file, paths));
            }
        }
    }
    let mut made_code = BTreeMap::new();
    let (mut cache, mut profiles, mut warnings) =
        (Cache::default().with_root(root), BTreeMap::new(), Vec::new());
    for (benchmark, (file, paths)) in last {
        let jit = made_code.entry(file).or_insert_with(|| jit(&files[file], since));
        let Named { profile, warnings: said } = named(benchmark, paths, Some(jit), &mut cache);
        profiles.insert(benchmark.to_string(), profile);
        warnings.extend(said);
    }
    (profiles, warnings)
}

/// What the process that wrote a file has said about code that it made. Of its mappings the last know most.
fn jit(records: &[Record], since: SystemTime) -> JitMap {
    let pid = records.iter().find_map(|record| match record {
        Record::Process { pid, .. } => Some(*pid),
        _ => None,
    });
    let maps = records.iter().rev().find_map(|record| match record {
        Record::CallPaths { paths, .. } => Some(paths.maps.as_str()),
        _ => None,
    });
    pid.map_or_else(JitMap::default, |pid| JitMap::of_process(pid, maps.unwrap_or_default(), since))
}

#[cfg(test)]
mod tests {
    use invar_core::event::Event;
    use invar_core::wire::raw::call_paths::{Call, Callee, Instruction, Stretch};

    use super::*;

    fn record(benchmark: &str, times: u64) -> Record {
        let paths = CallPaths {
            maps: "1000-2000 r-xp 00000000 08:01 17 /nowhere/libgone.so\n".to_string(),
            instructions: vec![Instruction { address: 0x1010, reads: 0, writes: 0, system_call: false }],
            python: Vec::new(),
            calls: [0, 0x1010]
                .map(|address| Call { parent: 0, callee: Callee::Address(address), calls: times })
                .into(),
            stretches: vec![Stretch { call: 1, first: 0, instructions: 1, times }],
            extras: Vec::new(),
        };
        Record::CallPaths { benchmark: benchmark.to_string(), paths }
    }

    #[test]
    fn the_last_call_paths_of_a_benchmark_count() {
        let files = [vec![record("a", 1), record("b", 2)], vec![record("a", 3)]];
        let (profiles, warnings) = profiles(&files, SystemTime::UNIX_EPOCH, PathBuf::new());
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
        let files = [vec![process, record("a", 1)]];
        let of = |since| {
            let (profiles, _) = profiles(&files, since, PathBuf::new());
            let profile = &profiles["a"];
            profile.function_of(&profile.nodes[1]).name.clone()
        };
        let long_ago = of(SystemTime::UNIX_EPOCH);
        let later = of(SystemTime::now() + std::time::Duration::from_secs(3600));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(long_ago, "made");
        assert_eq!(later, "0x1010", "a map that is older than the run is another process's");
    }
}
