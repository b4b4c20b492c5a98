//! `cargo xtask bench pyperformance`: what measuring costs over all benchmarks of pyperformance, as ratios to native time.
//!
//! `benches/python/pyperformance_one.py` runs each benchmark's own script, with a runner that calls once what the script would have
//! timed: natively, in regions that count, and in regions with caches. Every benchmark of pyperformance's list has a row; of those that cannot
//! run here the row says why. A benchmark and no test: nothing fails, however slow.

use std::process::Command;

use anyhow::{Context, Result};
use invar_core::diagnostic::Diagnostic;
use serde_json::{Value, json};

use crate::bench::with_fixed_layout;
use crate::prepare;

/// Those that the benchmarks ask for, at the versions at which they ask for them (`requirements.txt` of each). Without Mercurial, which
/// does not build with newer compilers and whose benchmark pyperformance leaves out itself.
const PACKAGES: [&str; 33] = [
    "pyperf",
    "pyperformance==1.14.0",
    "asgiref==3.3.4",
    "certifi==2021.5.30",
    "chameleon==4.6.0",
    "coverage==7.3.2",
    "dask[distributed]==2024.10.0",
    "django==3.2.4",
    "docutils==0.18.1",
    "dulwich==0.20.23",
    "fastapi==0.121.0",
    "genshi==0.7.7",
    "greenlet==3.2.4",
    "html5lib==1.1",
    "httpx==0.28.1",
    "mako==1.1.4",
    "markupsafe==2.0.1",
    "mpmath==1.2.1",
    "networkx==3.4.2",
    "pyaes==1.6.1",
    "python-docs-theme==2024.6",
    "pyyaml==6.0.1",
    "setuptools<81",
    "sphinx==7.3.7",
    "sqlalchemy==1.4.19",
    "sqlglot==4.6.0",
    "sympy==1.8",
    "tomli==2.0.1",
    "tornado==6.5.2",
    "urllib3==1.26.5",
    "uvicorn==0.38.0",
    "websockets==11.0.3",
    "xdsl==0.54.3",
];

/// No benchmark is waited for longer, in seconds.
const PATIENCE: &str = "600";

/// Prints a row for each, and the geometric means; or the same as JSON.
pub fn pyperformance(as_json: bool) -> Result<()> {
    let engine = prepare::engine()?;
    let python = prepare::environment(&prepare::default_python()?, "pyperformance", &PACKAGES)?;
    let directory = prepare::root().join("benches/python");
    let list = ["pyperformance_one.py", "--list"];
    let names = prepare::output(Command::new(&python).args(list).current_dir(&directory))?;
    let scratch = prepare::scratch()?.join("pyperformance");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch)?;
    let mut rows: Vec<Value> = Vec::new();
    for (number, name) in names.lines().enumerate() {
        eprintln!("{name} ({} of {}) ...", number + 1, names.lines().count());
        let file = scratch.join(name);
        let mut command = Command::new("timeout");
        with_fixed_layout(command.args(["--kill-after=9", PATIENCE]), &python);
        command.arg(directory.join("pyperformance_one.py")).arg(&engine).arg(name).arg(&file);
        // Whatever it prints is not for this command's output, and whatever it writes goes away with the directory.
        command.current_dir(&scratch).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let ended = command.env("PYTHONPATH", &directory).status()?;
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        for line in lines.lines() {
            let mut row: Value = serde_json::from_str(line).context("a row is no JSON")?;
            row["benchmark"] = json!(name);
            rows.push(row);
        }
        if !ended.success() || lines.is_empty() {
            rows.push(json!({ "benchmark": name, "name": name, "error": format!("ended with {ended}") }));
        }
    }
    let means = ["counts", "simulated"].map(|way| geometric_mean(&rows, way));
    if as_json {
        let all =
            json!({ "functions": rows, "geometric_means": { "counts": means[0], "simulated": means[1] } });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!("{:<44}{:>12}{:>16}{:>10}{:>11}", "benchmark", "native", "instructions", "counts", "simulated");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_string();
    for row in &rows {
        let (benchmark, name) = (text(row, "benchmark"), text(row, "name"));
        let shown = if benchmark == name { name } else { format!("{benchmark}: {name}") };
        match (ratio(row, "counts"), ratio(row, "simulated")) {
            (Some(counts), Some(simulated)) => {
                let native = row["native"].as_f64().unwrap_or(f64::NAN) * 1000.0;
                let said = diagnostics(row["diagnostics"].as_u64().unwrap_or(0));
                let instructions = row["instructions"].to_string();
                println!(
                    "{shown:<44}{native:>9.1} ms{instructions:>16}{counts:>9.2}x{simulated:>10.1}x{said}"
                );
            }
            _ => println!("{shown:<44}   {}", text(row, "error")),
        }
    }
    let measured = rows.iter().filter(|row| ratio(row, "simulated").is_some()).count();
    println!("\ngeometric means of {measured}: counts {:.2}x, simulated {:.1}x", means[0], means[1]);
    println!(
        "\nRatios to native CPU time, warm; the least of some calls. One run of `cargo xtask bench pyperformance`."
    );
    Ok(())
}

fn ratio(row: &Value, way: &str) -> Option<f64> {
    Some(row[way].as_f64()? / row["native"].as_f64()?)
}

fn geometric_mean(rows: &[Value], way: &str) -> f64 {
    let logarithms: Vec<f64> = rows.iter().filter_map(|row| Some(ratio(row, way)?.ln())).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}

/// What is to be said of a region, if anything.
fn diagnostics(bits: u64) -> String {
    let said = Diagnostic::ALL.into_iter().filter(|&one| bits & 1 << one as u64 != 0);
    said.map(|one| format!("  {}", one.name())).collect()
}
