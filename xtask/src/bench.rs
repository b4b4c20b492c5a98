//! `cargo xtask bench engine`: what measuring costs, as ratios to native time, all taken in one run.
//!
//! A benchmark and no test: nothing fails, however slow. `benches/python/ratios.py` and `fixed_costs.py` take the times of the
//! engine; a whole suite of small benchmarks (`benches/python/small`) is timed with and without Invar.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::prepare;

/// How often the suite is run each way.
const SUITE_ROUNDS: usize = 3;
/// The ways in which the suite is run under `invar run`, and what they are called.
const SUITE_WAYS: [(&str, &[&str]); 3] = [
    ("as usual", &[]),
    ("without profiles", &["--no-profile"]),
    ("as many at once as CPUs", &["--jobs=auto"]),
];

/// Prints the table, or the same as JSON.
pub fn engine(json: bool) -> Result<()> {
    prepare::system_packages(&[("callgrind, to compare with", "valgrind")])?;
    let library = prepare::engine()?;
    let python = prepare::python(&prepare::default_python()?, &[])?;
    let directory = prepare::root().join("benches/python");
    eprintln!("timing natively, counts only, and with the reference simulation ...");
    let mut ours = fixed_layout(&python);
    let ours = prepare::output(ours.arg("ratios.py").arg(&library).current_dir(&directory))?;
    let ours: BTreeMap<String, Value> = serde_json::from_str(&ours).context("ratios.py printed no JSON")?;
    let mut fixed = fixed_layout(&python);
    let fixed = prepare::output(fixed.arg("fixed_costs.py").arg(&library).current_dir(&directory))?;
    let fixed: BTreeMap<String, f64> =
        serde_json::from_str(&fixed).context("fixed_costs.py printed no JSON")?;
    eprintln!("timing under callgrind --cache-sim=yes ...");
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--cache-sim=yes", "--callgrind-out-file=/dev/null", "--quiet"]);
    let callgrind = callgrind.arg(&python).args(["ratios.py", "-"]).current_dir(&directory);
    let callgrind = prepare::output(callgrind.env("PYTHONHASHSEED", "0"))?;
    let callgrind: BTreeMap<String, Value> = serde_json::from_str(&callgrind)?;

    let suite = suite(&python)?;

    let mut rows = serde_json::Map::new();
    for (name, times) in &ours {
        let seconds = |key: &str| times[key].as_f64().unwrap_or(f64::NAN);
        let native = seconds("native");
        let callgrind = callgrind[name]["native"].as_f64().unwrap_or(f64::NAN);
        let row = serde_json::json!({
            "native_ms": native * 1000.0,
            "instructions": times["instructions"],
            "counts": seconds("counts") / native,
            "counts_cold": seconds("counts_cold") / native,
            "simulated": seconds("simulated") / native,
            "simulated_cold": seconds("simulated_cold") / native,
            "call_paths": seconds("call_paths") / native,
            "call_paths_by_simulated": seconds("call_paths") / seconds("simulated"),
            "callgrind": callgrind / native,
            "callgrind_by_simulated": callgrind / seconds("simulated"),
        });
        rows.insert(name.clone(), row);
    }
    if json {
        let both = serde_json::json!({ "workloads": rows, "fixed": fixed, "suite": suite });
        println!("{}", serde_json::to_string_pretty(&both)?);
        return Ok(());
    }
    println!(
        "{:<14}{:>12}{:>14}{:>10}{:>10}{:>12}{:>12}{:>12}",
        "workload", "native", "instructions", "counts", "simulated", "call paths", "callgrind", "cg / ours"
    );
    for (name, row) in &rows {
        let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "{name:<14}{:>9.2} ms{:>14}{:>9.2}x{:>9.1}x{:>11.1}x{:>11.0}x{:>11.1}x",
            number("native_ms"),
            row["instructions"].to_string(),
            number("counts"),
            number("simulated"),
            number("call_paths"),
            number("callgrind"),
            number("callgrind_by_simulated"),
        );
    }
    let fixed = |key: &str| fixed.get(key).copied().unwrap_or(f64::NAN);
    println!(
        "\nattaching {:.1} ms, an empty warm region {:.0} us, an instruction that is new {:.2} us",
        fixed("attach_ms"),
        fixed("empty_us"),
        fixed("translation_us"),
    );
    let seconds = |way: &str| suite.get(way).copied().unwrap_or(f64::NAN);
    print!("50 small benchmarks in pytest {:.2} s, measured", seconds("pytest"));
    for (name, _) in SUITE_WAYS {
        print!(" {:.1}x ({name})", seconds(name) / seconds("pytest"));
    }
    println!();
    println!(
        "\nRatios to native CPU time, warm; the least of several repetitions. One run of `cargo xtask bench engine`."
    );
    Ok(())
}

/// Seconds of wall time that the suite of small benchmarks takes, with pytest alone and each way with Invar: the least of
/// some rounds, by turns.
fn suite(python: &Path) -> Result<BTreeMap<String, f64>> {
    eprintln!("building `invar` for release ...");
    prepare::run(prepare::cargo().args(["build", "--release", "--quiet", "--package", "invar"]))?;
    let store = prepare::scratch()?.join("suite-store");
    let _ = std::fs::remove_dir_all(&store);
    let pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "benches/python/small"];
    let mut ways: Vec<(&str, Command)> = Vec::new();
    let mut alone = Command::new(python);
    alone.args(pytest).arg("--benchmark-disable");
    ways.push(("pytest", alone));
    for (name, options) in SUITE_WAYS {
        let mut invar = Command::new(prepare::root().join("target/release/invar"));
        invar.arg("--store").arg(&store).args(["run", "--quiet", "--baseline=none"]).args(options);
        invar.arg("--").arg(python).args(pytest);
        ways.push((name, invar));
    }
    eprintln!("timing a suite of small benchmarks ...");
    let mut least: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..SUITE_ROUNDS {
        for (name, command) in &mut ways {
            command.current_dir(prepare::root()).stdin(Stdio::null()).stdout(Stdio::null());
            let start = Instant::now();
            let ended = command.stderr(Stdio::null()).status()?;
            let seconds = start.elapsed().as_secs_f64();
            ensure!(ended.success(), "{} has ended with {ended}", prepare::shown(command));
            let known = least.entry(name.to_string()).or_insert(seconds);
            *known = known.min(seconds);
        }
    }
    Ok(least)
}

/// Python with address-space randomisation off and fixed hashes.
pub fn fixed_layout(python: &std::path::Path) -> Command {
    let mut command = Command::new("env");
    with_fixed_layout(&mut command, python);
    command
}

/// The same, to be started by a command.
pub fn with_fixed_layout(command: &mut Command, python: &std::path::Path) {
    command.args(["setarch", "--addr-no-randomize"]).arg(python).env("PYTHONHASHSEED", "0");
    command.env(
        "GLIBC_TUNABLES",
        "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ,-ERMS,-FSRM",
    );
}
