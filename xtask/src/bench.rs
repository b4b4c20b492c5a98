//! `cargo xtask bench engine`: what measuring costs, as ratios to native time, all taken in one run.
//!
//! A benchmark and no test: nothing fails, however slow. `benches/python/ratios.py` and `fixed_costs.py` take the times.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::prepare;

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
        let both = serde_json::json!({ "workloads": rows, "fixed": fixed });
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
    println!(
        "\nRatios to native CPU time, warm; the least of several repetitions. One run of `cargo xtask bench engine`."
    );
    Ok(())
}

/// Python with address-space randomisation off and fixed hashes.
pub fn fixed_layout(python: &std::path::Path) -> Command {
    let mut command = Command::new("setarch");
    command.arg("--addr-no-randomize").arg(python).env("PYTHONHASHSEED", "0");
    command.env(
        "GLIBC_TUNABLES",
        "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ,-ERMS,-FSRM",
    );
    command
}
