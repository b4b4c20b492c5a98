//! `cargo xtask soak`: CPython's own test modules inside one region each, compared with their native run.
//!
//! The oracle is CPython: what passes, fails and is skipped must be the same. Takes long, so it is no part of `test`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::prepare;

/// What is run if nothing is named.
const MODULES: [&str; 25] = [
    "test_json",
    "test_re",
    "test_dict",
    "test_list",
    "test_set",
    "test_float",
    "test_math",
    "test_struct",
    "test_bytes",
    "test_generators",
    "test_exceptions",
    "test_zlib",
    "test_hashlib",
    "test_heapq",
    "test_collections",
    "test_itertools",
    "test_functools",
    "test_pickle",
    "test_datetime",
    "test_decimal",
    "test_sqlite3",
    "test_asyncio",
    "test_threading",
    "test_long",
    "test_statistics",
];

/// A module that takes longer than this in a region has hung: it is stopped and named.
const LONGEST: Duration = Duration::from_secs(3600);

/// Runs the modules and prints a line each; an error if any differs.
pub fn soak(python: Option<PathBuf>, counts: bool, modules: &[String]) -> Result<()> {
    let library = prepare::engine()?;
    let python = match python {
        Some(python) => python,
        None => prepare::default_python()?,
    };
    let modules: Vec<&str> =
        if modules.is_empty() { MODULES.to_vec() } else { modules.iter().map(String::as_str).collect() };
    let mode = if counts { "0" } else { "1" };
    println!(
        "{:<20}{:>7}{:>9}{:>8}{:>16}{:>9}",
        "module", "tests", "skipped", "failed", "instructions", "time"
    );
    let (mut differences, mut tests, mut instructions) = (0, 0, 0.0);
    for module in modules {
        let native = tests_of(&python, "-", mode, module)?;
        let started = Instant::now();
        let region = match tests_of(&python, &library.display().to_string(), mode, module) {
            Ok(region) => region,
            Err(error) => {
                println!("{module:<20} DIFFERS: in a region it did not come to its end: {error:#}");
                differences += 1;
                continue;
            }
        };
        let count = |value: &Value, key: &str| value[key].as_array().map_or(0, Vec::len);
        let equal = ["run", "failed", "skipped"].iter().all(|key| native[*key] == region[*key]);
        println!(
            "{module:<20}{:>7}{:>9}{:>8}{:>16}{:>7.0} s  {}",
            region["run"].to_string(),
            count(&region, "skipped"),
            count(&region, "failed"),
            region["instructions"].to_string(),
            started.elapsed().as_secs_f64(),
            if equal { "as natively" } else { "DIFFERS" },
        );
        tests += region["run"].as_u64().unwrap_or(0);
        instructions += region["instructions"].as_f64().unwrap_or(0.0);
        if !equal {
            differences += 1;
            println!("    native: {native}\n    region: {region}");
        }
    }
    println!("\n{tests} tests, {:.1} G instructions, {differences} modules differ", instructions / 1e9);
    if differences > 0 {
        bail!("{differences} modules behave differently inside a region");
    }
    Ok(())
}

fn tests_of(python: &PathBuf, library: &str, mode: &str, module: &str) -> Result<Value> {
    let script = prepare::root().join("fixtures/soak/in_region.py");
    // A directory of its own: tests leave files where they run.
    let directory = prepare::scratch()?.join("soak");
    std::fs::create_dir_all(&directory)?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", &LONGEST.as_secs().to_string()]).arg(python).arg(script);
    command.args([library, mode, module]).current_dir(&directory);
    command.env("PYTHONHASHSEED", "0").stdin(Stdio::null()).stderr(Stdio::piped());
    let done = command.output().context("cannot start Python")?;
    let last = String::from_utf8_lossy(&done.stdout).lines().last().unwrap_or_default().to_string();
    let errors = String::from_utf8_lossy(&done.stderr).lines().last().unwrap_or_default().to_string();
    serde_json::from_str(&last).with_context(|| format!("{}; its last words: {errors}", done.status))
}
