//! `cargo xtask bench paths`: what profiles cost beside measuring without, on a Python interpreter whose functions are looked at.
//!
//! A benchmark and no test: nothing fails, however slow. `benches/python/paths.py` takes the times, in one process for each kind of
//! pass. Kinds take turns, so that a busy machine disturbs all of them alike.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::bench::fixed_layout;
use crate::prepare;

/// How often each kind has a process. The least of all its passes counts.
const TURNS: usize = 3;
/// Without profiles, with call paths, with Python's lines as well.
const KINDS: [&str; 3] = ["none", "calls", "lines"];
/// In the order of the documents.
const WORKLOADS: [&str; 6] = ["fib", "mix", "allocations", "pickle", "asyncio", "sqlite3"];

/// Prints the table, or the same as JSON.
pub fn paths(json: bool) -> Result<()> {
    let python = prepare::python(&prepare::default_python()?, &[])?;
    let directory = prepare::root().join("benches/python");
    eprintln!("timing warm passes without profiles, with call paths, and with lines ...");
    let mut least: BTreeMap<(String, &str), f64> = BTreeMap::new();
    for _ in 0..TURNS {
        for kind in KINDS {
            let mut command = fixed_layout(&python);
            command.arg("paths.py").arg(kind).args(WORKLOADS).current_dir(&directory);
            let times: BTreeMap<String, f64> =
                serde_json::from_str(&prepare::output(&mut command)?).context("paths.py printed no JSON")?;
            for (workload, seconds) in times {
                let known = least.entry((workload, kind)).or_insert(seconds);
                *known = known.min(seconds);
            }
        }
    }
    let seconds =
        |workload: &str, kind| least.get(&(workload.to_string(), kind)).copied().unwrap_or(f64::NAN);
    if json {
        let row = |&workload: &&str| {
            let [none, calls, lines] = KINDS.map(|kind| seconds(workload, kind));
            let row = serde_json::json!({
                "without_ms": none * 1000.0,
                "call_paths_ms": calls * 1000.0,
                "lines_ms": lines * 1000.0,
                "call_paths": calls / none,
                "lines": lines / none,
            });
            (workload.to_string(), row)
        };
        let rows: serde_json::Map<_, _> = WORKLOADS.iter().map(row).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{:<14}{:>12}{:>22}{:>22}", "workload", "without", "with call paths", "with lines");
    for workload in WORKLOADS {
        let none = seconds(workload, "none");
        print!("{workload:<14}{:>9.1} ms", none * 1000.0);
        for kind in ["calls", "lines"] {
            let time = seconds(workload, kind);
            print!("{:>11.1} ms{:>7.2}x", time * 1000.0, time / none);
        }
        println!();
    }
    println!(
        "\nCPU time of a warm pass, the least of {TURNS} processes of each kind. One run of `cargo xtask bench paths`."
    );
    Ok(())
}
