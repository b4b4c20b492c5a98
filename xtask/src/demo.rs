//! `cargo xtask demo`: the main job on real input. The Fibonacci suite is measured twice, the numbers are compared, a pull
//! request that makes something faster is measured, and its report is printed.
//!
//! Works on a copy with a git history of its own, below `target/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::prepare;
use crate::suites::Tools;

/// Shows it.
pub fn demo() -> Result<()> {
    prepare::system_packages(&[("the history that results belong to", "git")])?;
    let tools = Tools::prepare(None, &[])?;
    let checkout = prepare::scratch()?.join("demo");
    let _ = fs::remove_dir_all(&checkout);
    fs::create_dir_all(&checkout)?;
    let example = prepare::root().join("examples/fibonacci");
    for file in ["fibo.py", "test_fibo.py", "pytest.ini", "invar.toml"] {
        fs::copy(example.join(file), checkout.join(file))?;
    }
    git(&checkout, &["init", "--quiet", "--initial-branch=main"])?;
    commit(&checkout, "Fibonacci numbers, recursive and iterative")?;

    say("The suite, measured once");
    invar(&tools, &checkout, &["run", "--", "pytest", "-q"])?;
    say("and once more, in a fresh process");
    invar(&tools, &checkout, &["run", "--", "pytest", "-q"])?;
    let runs = runs(&tools, &checkout)?;
    ensure!(runs.len() == 2, "two runs were kept, not {}", runs.len());
    let measurements = |id: &str| -> Result<Value> {
        let text = prepare::output(tools.shell(&checkout).args(["export", id]))?;
        Ok(serde_json::from_str::<Value>(&text)?["measurements"].clone())
    };
    let (one, two) = (measurements(&runs[0])?, measurements(&runs[1])?);
    ensure!(one == two, "the numbers of the two runs differ");
    let events: usize = one.as_array().into_iter().flatten().map(events).sum();
    say(&format!("{events} counts in the two runs, and every one is the same"));

    say("A pull request: the iterative way becomes cheaper");
    git(&checkout, &["checkout", "--quiet", "-b", "improve-iterative-fibo-speed"])?;
    git(&checkout, &["apply", &example.join("improve.patch").display().to_string()])?;
    commit(&checkout, "Improve iterative fibonacci")?;
    invar(&tools, &checkout, &["run", "--", "pytest", "-q"])?;
    say("Its report, as the terminal shows it");
    invar(&tools, &checkout, &["report"])?;
    say("and as a comment on the pull request");
    invar(&tools, &checkout, &["report", "--format", "markdown"])?;
    say("May it be merged? The exit status of `invar compare` says so");
    invar(&tools, &checkout, &["compare"])?;
    println!("\n$ echo $?\n0");
    Ok(())
}

fn say(sentence: &str) {
    println!("\n\x1b[1m── {sentence} ──\x1b[0m\n");
}

fn invar(tools: &Tools, checkout: &Path, arguments: &[&str]) -> Result<()> {
    println!("$ invar {}", arguments.join(" "));
    prepare::run(tools.shell(checkout).args(arguments))
}

/// Ids of the stored runs.
fn runs(tools: &Tools, checkout: &Path) -> Result<Vec<String>> {
    let text = prepare::output(tools.shell(checkout).args(["list", "--json"]))?;
    let list: Value = serde_json::from_str(&text)?;
    let runs = list["runs"].as_array().into_iter().flatten();
    Ok(runs.filter_map(|run| Some(run["id"].as_str()?.to_string())).collect())
}

/// How many counts a measurement has.
fn events(measurement: &Value) -> usize {
    ["cold", "warm"].iter().map(|pass| measurement[pass].as_object().map_or(0, |events| events.len())).sum()
}

fn git(checkout: &Path, arguments: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Invar", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"]);
    prepare::run(git.args(arguments).current_dir(checkout))
}

fn commit(checkout: &Path, message: &str) -> Result<()> {
    git(checkout, &["add", "."])?;
    git(checkout, &["commit", "--quiet", "--message", message])
}
