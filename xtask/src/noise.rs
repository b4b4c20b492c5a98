//! `cargo xtask bench noise`: how far numbers move that should not, circumstance by circumstance, beside those that pytest-codspeed
//! has under callgrind.
//!
//! Ours are `invar verify --all`'s. Theirs are taken in the same run under the same disturbances, which the runner's own code
//! prepares: Debian's valgrind stands in for CodSpeed's fork, and pytest-codspeed drives it by the same client requests.
//! A benchmark and no test: nothing fails, however far a number moves.

mod callgrind;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use invar_core::cost::Cost;
use invar_core::event::Event;
use invar_core::noise::{Counted, Verification};
use invar_core::wire;
use invar_runner::disturbance::{Disturbance, disturbances};
use serde_json::json;

use crate::prepare;
use crate::suites::Tools;
use callgrind::Callgrind;

/// The suite's files, as pytest is told.
pub const FILES: [&str; 2] = ["test_library.py", "test_packages.py"];
/// What the suite needs.
pub const PACKAGES: [&str; 2] = ["numpy", "pydantic>=2,<3"];

/// Instructions and cycles of each benchmark, by its own name.
type Counts = BTreeMap<String, [u64; 2]>;

/// How far benchmarks were away from the usual under one circumstance, in percent.
struct Row {
    says: String,
    ours: Option<Away>,
    theirs: Option<Away>,
}

/// Of instructions and of cycles: the median and the worst benchmark.
struct Away {
    benchmarks: usize,
    median: [f64; 2],
    worst: [(f64, String); 2],
}

/// Prints the table, or the same as JSON.
pub fn noise(as_json: bool) -> Result<()> {
    prepare::system_packages(&[("callgrind, to compare with", "valgrind")])?;
    let tools = Tools::prepare(None, &PACKAGES)?;
    let suite = prepare::root().join("benches/python/noise");
    let verification = verify(&tools, &suite)?;
    let ours = ours(&verification);
    let usual = ours.first().map(|(_, counts)| counts.clone()).unwrap_or_default();
    let theirs = theirs(&verification, &suite)?;
    let usual_of_theirs = theirs.get("as usual").cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for disturbance in disturbances().iter().skip(1) {
        let counts = ours.iter().find(|(says, _)| says == disturbance.says).map(|(_, counts)| counts);
        rows.push(Row {
            says: disturbance.says.to_string(),
            ours: counts.and_then(|counts| away(&usual, counts)),
            theirs: theirs.get(disturbance.says).and_then(|counts| away(&usual_of_theirs, counts)),
        });
    }
    if as_json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "rows": rows.iter().map(row_json).collect::<Vec<_>>() }))?
        );
        return Ok(());
    }
    println!("| circumstance | instructions, ours | cycles, ours | instructions, theirs | cycles, theirs |");
    println!("| --- | --- | --- | --- | --- |");
    for row in &rows {
        let cells = |away: &Option<Away>| match away {
            None => "- | -".to_string(),
            Some(away) => [0, 1].map(|at| cell(away, at)).join(" | "),
        };
        println!("| {} | {} | {} |", row.says, cells(&row.ours), cells(&row.theirs));
    }
    println!(
        "\nPercent of the usual count: the median benchmark, and the worst. One run of `cargo xtask bench noise`."
    );
    Ok(())
}

fn cell(away: &Away, at: usize) -> String {
    let (worst, name) = &away.worst[at];
    if *worst == 0.0 {
        return "0.0000".to_string();
    }
    format!("{:.4}, {worst:.4} ({})", away.median[at], name.trim_start_matches("test_"))
}

fn row_json(row: &Row) -> serde_json::Value {
    let away = |away: &Option<Away>| {
        away.as_ref().map(|away| {
            let of = |at: usize| {
                json!({ "median": away.median[at], "worst": away.worst[at].0, "worst_benchmark": away.worst[at].1 })
            };
            json!({ "benchmarks": away.benchmarks, "instructions": of(0), "cycles": of(1) })
        })
    };
    json!({ "circumstance": row.says, "invar": away(&row.ours), "pytest_codspeed": away(&row.theirs) })
}

fn away(usual: &Counts, counts: &Counts) -> Option<Away> {
    let percent = |at: usize| -> Vec<(f64, String)> {
        let both = counts.iter().filter_map(|(name, now)| Some((name, usual.get(name)?[at], now[at])));
        let mut all: Vec<(f64, String)> = both
            .map(|(name, usual, now)| (100.0 * (now as f64 / usual as f64 - 1.0).abs(), name.clone()))
            .collect();
        all.sort_by(|(a, one), (b, two)| a.total_cmp(b).then_with(|| one.cmp(two)));
        all
    };
    let [instructions, cycles] = [percent(0), percent(1)];
    let median = |all: &[(f64, String)]| {
        let upper = all.len() / 2;
        let lower = (all.len() - 1) / 2;
        (all[lower].0 + all[upper].0) / 2.0
    };
    let (last, other) = (instructions.last()?.clone(), cycles.last()?.clone());
    Some(Away {
        benchmarks: instructions.len(),
        median: [median(&instructions), median(&cycles)],
        worst: [last, other],
    })
}

fn verify(tools: &Tools, suite: &std::path::Path) -> Result<Verification> {
    eprintln!("measuring with invar verify --all ...");
    let mut command = tools.shell(suite);
    command.args(["verify", "--all", "--quiet", "--json", "--no-store", "--", "pytest", "-q"]).args(FILES);
    let said = prepare::output(&mut command)?;
    wire::noise::read(said.as_bytes()).context("`invar verify --json` printed something else")
}

/// The counts under each circumstance that was tried.
fn ours(verification: &Verification) -> Vec<(String, Counts)> {
    let counts = |place: usize| -> Counts {
        let of = |verified: &invar_core::noise::Verified| match verified.counted[place] {
            Counted::Counts(events) => {
                let cycles = Cost::of(&events, &verification.machine).total().0;
                Some((own_name(&verified.benchmark).to_string(), [events.get(Event::Instructions), cycles]))
            }
            Counted::Missing | Counted::Untried => None,
        };
        verification.benchmarks.iter().filter_map(of).collect()
    };
    let circumstances = verification.circumstances.iter().enumerate();
    circumstances.map(|(place, says)| (says.clone(), counts(place))).collect()
}

/// What pytest-codspeed has under each circumstance, by its words.
fn theirs(verification: &Verification, suite: &std::path::Path) -> Result<BTreeMap<String, Counts>> {
    let packages = [&PACKAGES[..], &["pytest>=7", "pytest-codspeed>=5,<6"]].concat();
    let python = prepare::environment(&prepare::default_python()?, "codspeed", &packages)?;
    let callgrind = Callgrind { python, suite: suite.to_path_buf() };
    let names = callgrind.names()?;
    let alone: Vec<&str> = verification
        .benchmarks
        .iter()
        .filter(|verified| {
            let place = verification.circumstances.iter().position(|says| says == "each benchmark alone");
            place.is_some_and(|place| verified.counted[place].counts().is_some())
        })
        .map(|verified| own_name(&verified.benchmark))
        .collect();
    let mut found = BTreeMap::new();
    for disturbance in disturbances() {
        eprintln!("measuring with pytest-codspeed under callgrind: {} ...", disturbance.says);
        let disturbance = Disturbance { edits: FILES.map(PathBuf::from).into(), ..disturbance };
        let counts = if disturbance.alone {
            let mut all = Counts::new();
            for name in names.iter().filter(|name| alone.contains(&own_name(name))) {
                all.extend(callgrind.measure(&disturbance, std::slice::from_ref(name))?);
            }
            all
        } else {
            match callgrind.measure(&disturbance, &names) {
                Ok(counts) => counts,
                Err(error) => {
                    eprintln!("not measured: {error:#}");
                    continue;
                }
            }
        };
        found.insert(disturbance.says.to_string(), counts);
    }
    Ok(found)
}

/// The part of a full name behind its file.
fn own_name(full: &str) -> &str {
    full.rsplit("::").next().unwrap_or(full)
}

/// A command whose words are known, with nothing on its input.
fn quiet(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    command
}
