//! `cargo xtask bench model`: does the simulated time order and scale programs as this machine's clock does?
//!
//! `benches/model` times kernels in C and calls of Python, the least of many, and simulates the same calls. Three estimates are held against
//! the times: the cost on `reference-1`; `instructions + 10 × L1 misses + 100 × LL misses`, as cachegrind's users sum it up, by the counts
//! of the machine `callgrind`; and instructions alone. Then pairs before and after known optimisations: is the change that is simulated the one that
//! the clock sees? A benchmark and no test: nothing fails, however it comes out. Times on a machine that others use are what they are.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use invar_core::cost::{Cost, Hertz};
use invar_core::event::{Event, Events};
use invar_core::machine::Machine;
use serde_json::{Value, json};

use crate::bench::fixed_layout;
use crate::prepare;

const PACKAGES: [&str; 4] = ["numpy", "pydantic>=2,<3", "pyperf", "pyperformance==1.14.0"];
/// How far a simulated change may be from the one that the clock sees, in points.
const CLOSE: f64 = 5.0;
/// What is compared with the clock.
const ESTIMATES: [&str; 3] = ["reference-1", "Ir + 10 L1m + 100 LLm", "instructions"];

/// A workload: what the clock says and what the estimates are, in seconds and in their own units.
struct Row {
    name: String,
    seconds: f64,
    estimates: [f64; 3],
}

/// A workload before and after an optimisation: changes of the clock and of the estimates in percent.
struct Pair {
    name: String,
    clock: f64,
    estimates: [f64; 3],
}

impl Pair {
    fn is_close(&self, at: usize) -> bool {
        (self.clock - self.estimates[at]).abs() <= CLOSE
    }
}

/// Prints every row and what follows of them, or the same as JSON.
pub fn model(as_json: bool) -> Result<()> {
    let engine = prepare::engine()?;
    let python = prepare::environment(&prepare::default_python()?, "model", &PACKAGES)?;
    let kernels = kernels()?;
    let directory = prepare::root().join("benches/model");
    let mut command = fixed_layout(&python);
    command.arg("model.py").arg(engine).arg(kernels).current_dir(directory).env("OPENBLAS_NUM_THREADS", "1");
    let found: BTreeMap<String, Value> = serde_json::from_str(&prepare::output(&mut command)?)?;
    let rows = found.iter().map(|(name, found)| row(name, found)).collect::<Result<Vec<_>>>()?;
    let pairs = pairs(&rows);
    if as_json {
        println!("{}", serde_json::to_string_pretty(&as_value(&rows, &pairs))?);
    } else {
        show(&rows, &pairs);
    }
    Ok(())
}

/// Builds the kernels: optimised, but neither vectorised nor turned into calls of the C library, which would make pairs alike.
fn kernels() -> Result<PathBuf> {
    let library = prepare::scratch()?.join("kernels.so");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-fno-tree-vectorize", "-fno-tree-loop-distribute-patterns", "-shared", "-fPIC", "-o"]);
    gcc.arg(&library).arg(prepare::root().join("benches/model/kernels.c")).arg("-lm");
    prepare::run(&mut gcc)?;
    Ok(library)
}

fn row(name: &str, found: &Value) -> Result<Row> {
    let events = |machine: &str| -> Result<Events> {
        let counts =
            found[machine].as_array().with_context(|| format!("{name} has no counts of {machine}"))?;
        let mut events = Events::default();
        for (event, count) in Event::ALL.into_iter().zip(counts) {
            events.add(event, count.as_u64().unwrap_or(0));
        }
        Ok(events)
    };
    let machine = Machine::reference_1();
    let ours = events("reference-1")?;
    let theirs = events("callgrind")?;
    let of = |event| theirs.get(event) as f64;
    let l1_misses = of(Event::L1iMisses) + of(Event::L1dReadMisses) + of(Event::L1dWriteMisses);
    let formula = of(Event::Instructions) + 10.0 * l1_misses + 100.0 * of(Event::L3Misses);
    let time = Cost::of(&ours, &machine).total().at(Hertz::of(&machine)).as_secs_f64();
    let seconds = found["seconds"].as_f64().unwrap_or(f64::NAN);
    ensure!(seconds > 0.0, "{name} took no time");
    Ok(Row {
        name: name.to_string(),
        seconds,
        estimates: [time, formula, ours.get(Event::Instructions) as f64],
    })
}

fn pairs(rows: &[Row]) -> Vec<Pair> {
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    let befores = rows.iter().filter_map(|row| Some((row.name.strip_suffix("__before")?, row)));
    let pair = |(name, before): (&str, &Row)| {
        let after = find(&format!("{name}__after"))?;
        let percent = |now: f64, before: f64| 100.0 * (now / before - 1.0);
        Some(Pair {
            name: name.to_string(),
            clock: percent(after.seconds, before.seconds),
            estimates: [0, 1, 2].map(|at| percent(after.estimates[at], before.estimates[at])),
        })
    };
    befores.filter_map(pair).collect()
}

/// The correlation of two orders, by Spearman; of equals each has the mean of their ranks.
fn rank_correlation(one: &[f64], other: &[f64]) -> f64 {
    let (one, other) = (ranks(one), ranks(other));
    let mean = (one.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    product(&one, &other) / (product(&one, &one) * product(&other, &other)).sqrt()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let of = |order| values.iter().filter(|other| other.total_cmp(value) == order).count() as f64;
        of(Ordering::Less) + (of(Ordering::Equal) + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// The standard deviation of the logarithm of the ratio: 0.1 is about ten percent up or down.
fn log_spread(one: &[f64], other: &[f64]) -> f64 {
    let logarithms: Vec<f64> = one.iter().zip(other).map(|(one, other)| (one / other).ln()).collect();
    let count = logarithms.len() as f64;
    let mean = logarithms.iter().sum::<f64>() / count;
    (logarithms.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt()
}

/// What is said of some of the rows by each estimate: rank correlation, and spread of the logarithm of the ratio.
fn summary(rows: &[&Row]) -> [[f64; 2]; 3] {
    let clock: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    [0, 1, 2].map(|at| {
        let estimates: Vec<f64> = rows.iter().map(|row| row.estimates[at]).collect();
        [rank_correlation(&estimates, &clock), log_spread(&estimates, &clock)]
    })
}

/// All rows, those in C, and those of Python.
fn kinds(rows: &[Row]) -> [(&'static str, Vec<&Row>); 3] {
    let of = |start: &str| rows.iter().filter(|row| row.name.starts_with(start)).collect();
    [("all", of("")), ("C", of("c_")), ("Python", of("py_"))]
}

fn show(rows: &[Row], pairs: &[Pair]) {
    println!("| workload | clock | simulated | simulated / clock | ns an instruction |");
    println!("| --- | --- | --- | --- | --- |");
    for row in rows {
        let [simulated, _, instructions] = row.estimates;
        println!(
            "| {} | {:.3} ms | {:.3} ms | {:.2} | {:.3} |",
            row.name,
            1e3 * row.seconds,
            1e3 * simulated,
            simulated / row.seconds,
            1e9 * row.seconds / instructions
        );
    }
    println!("\n| workloads | estimate | rank correlation | spread of the log ratio |");
    println!("| --- | --- | --- | --- |");
    for (kind, rows) in kinds(rows) {
        for (estimate, [correlation, spread]) in ESTIMATES.iter().zip(summary(&rows)) {
            println!("| {kind}: {} | {estimate} | {correlation:.4} | {spread:.3} |", rows.len());
        }
    }
    println!("\n| pair | clock | {} |", ESTIMATES.join(" | "));
    println!("| --- | --- | --- | --- | --- |");
    for pair in pairs {
        let [one, two, three] = [0, 1, 2].map(|at| {
            let mark = if pair.is_close(at) { "" } else { " *" };
            format!("{:+.1} %{mark}", pair.estimates[at])
        });
        println!("| {} | {:+.1} % | {one} | {two} | {three} |", pair.name, pair.clock);
    }
    let close = [0, 1, 2].map(|at| pairs.iter().filter(|pair| pair.is_close(at)).count());
    println!(
        "\nWithin {CLOSE} points of the clock, of {} pairs: {}, {}, {}.",
        pairs.len(),
        close[0],
        close[1],
        close[2]
    );
    println!("The least of many calls each; one run of `cargo xtask bench model`.");
}

fn as_value(rows: &[Row], pairs: &[Pair]) -> Value {
    let named = |values: [f64; 3]| json!({ "reference-1": values[0], "formula": values[1], "instructions": values[2] });
    let rows_json: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "name": row.name, "seconds": row.seconds, "estimates": named(row.estimates) }))
        .collect();
    let pairs_json: Vec<Value> = pairs
        .iter()
        .map(|pair| json!({ "name": pair.name, "clock_percent": pair.clock, "percent": named(pair.estimates) }))
        .collect();
    let summaries: serde_json::Map<String, Value> = kinds(rows)
        .iter()
        .map(|(kind, rows)| {
            let found = summary(rows);
            let [correlation, spread] = [0, 1].map(|which| named([0, 1, 2].map(|at| found[at][which])));
            (
                kind.to_string(),
                json!({ "rows": rows.len(), "rank_correlation": correlation, "log_spread": spread }),
            )
        })
        .collect();
    json!({ "rows": rows_json, "pairs": pairs_json, "summary": summaries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_compared_and_not_values() {
        let (one, other) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 1000.0]);
        assert!((rank_correlation(&one, &other) - 1.0).abs() < 1e-12);
        let backwards = [4.0, 3.0, 2.0, 1.0];
        assert!((rank_correlation(&one, &backwards) + 1.0).abs() < 1e-12);
        assert_eq!(ranks(&[5.0, 7.0, 7.0, 9.0]), [1.0, 2.5, 2.5, 4.0]);
    }

    #[test]
    fn a_constant_ratio_has_no_spread() {
        assert!(log_spread(&[1.0, 2.0, 30.0], &[2.0, 4.0, 60.0]) < 1e-12);
        // Logarithms 0 and 1: the mean is a half, the squares are a quarter each.
        let spread = log_spread(&[1.0, std::f64::consts::E], &[1.0, 1.0]);
        assert!((spread - 0.5_f64.sqrt()).abs() < 1e-12, "{spread}");
    }
}
