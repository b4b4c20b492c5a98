//! `cargo xtask repeat`: the examples again and again, in fresh processes, under other circumstances each time. Every event of every
//! benchmark must be the same.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::prepare;
use crate::suites::{Tools, name};

/// What is unlike in one run.
struct Circumstance {
    says: &'static str,
    environment: Vec<(&'static str, String)>,
    /// The caller's working directory.
    directory: Option<&'static str>,
    /// Programs that keep both CPUs busy meanwhile.
    loaded: bool,
    /// Another user, where we may become one.
    user: bool,
    /// Why some events are known to differ, if they are.
    known: Option<&'static str>,
}

fn circumstances() -> Vec<Circumstance> {
    let plain = || Circumstance {
        says: "plain",
        environment: Vec::new(),
        directory: None,
        loaded: false,
        user: false,
        known: None,
    };
    let with = |says, environment: &[(&'static str, &str)]| Circumstance {
        says,
        environment: environment.iter().map(|&(name, value)| (name, value.to_string())).collect(),
        ..plain()
    };
    vec![
        plain(),
        with("another HOME", &[("HOME", "/var/tmp"), ("USER", "somebody"), ("LOGNAME", "somebody")]),
        with("3 KB more environment", &[("INVAR_REPEAT_PADDING", &"x".repeat(3000))]),
        Circumstance { says: "another working directory", directory: Some("/"), ..plain() },
        Circumstance { says: "both CPUs loaded", loaded: true, ..plain() },
        with("another language and time zone", &[("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo")]),
        with("random hashes asked for", &[("PYTHONHASHSEED", "random")]),
        Circumstance {
            says: "another user",
            user: true,
            known: Some(
                "root's number is a small integer that Python keeps ready, others' are objects in the heap",
            ),
            ..plain()
        },
        with("100 KB more environment", &[("INVAR_REPEAT_PADDING", &"y".repeat(100_000))]),
        Circumstance { says: "loaded, from /usr", directory: Some("/usr"), loaded: true, ..plain() },
    ]
}

/// Two programs that do nothing, as fast as they can; they end with this value.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Result<Load> {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Ok(Load((0..2).map(|_| busy()).collect::<std::io::Result<_>>()?))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs each example `times` times; an error if any event of any benchmark differs.
pub fn repeat(times: usize, python: Option<&Path>) -> Result<()> {
    let mut differences = 0;
    differences += suite("examples/fibonacci", &[], times, python)?;
    differences += suite("examples/pydantic", &["-r", "examples/pydantic/requirements.txt"], times, python)?;
    if differences > 0 {
        bail!("{differences} benchmarks were not the same in every run");
    }
    println!("every event of every benchmark is the same in every run");
    Ok(())
}

fn suite(path: &str, packages: &[&str], times: usize, python: Option<&Path>) -> Result<usize> {
    let tools = Tools::prepare(python, packages)?;
    let suite = prepare::root().join(path);
    let mut first: Option<Value> = None;
    let mut unlike = std::collections::BTreeSet::new();
    println!("{path}:");
    for circumstance in circumstances().iter().cycle().take(times) {
        if circumstance.user && !others_can_run(&tools) {
            println!(
                "  skipped: {} (its Python or this checkout belongs to one user alone)",
                circumstance.says
            );
            continue;
        }
        // What one user has written another may not write.
        let store = store(if circumstance.user { "repeat-store-2" } else { "repeat-store-1" })?;
        let load = circumstance.loaded.then(Load::start).transpose()?;
        let found = tools.measure(&suite, &store, |command| change(command, circumstance))?;
        drop(load);
        let first = first.get_or_insert_with(|| found.clone());
        let differences = differences(first, &found);
        for (benchmark, difference) in &differences {
            println!("    {benchmark}: {difference}");
            if circumstance.known.is_none() {
                unlike.insert(benchmark.clone());
            }
        }
        let benchmarks = found.as_array().map_or(0, Vec::len);
        let verdict = match (differences.len(), circumstance.known) {
            (0, _) => "identical".to_string(),
            (events, None) => format!("{events} events differ"),
            (events, Some(why)) => format!("{events} events differ, as is known: {why}"),
        };
        println!("  {benchmarks} benchmarks, {:<32} {verdict}", circumstance.says);
    }
    Ok(unlike.len())
}

/// An empty store that everybody may write.
fn store(name: &str) -> Result<PathBuf> {
    let store = prepare::scratch()?.join(name);
    let _ = std::fs::remove_dir_all(&store);
    std::fs::create_dir_all(&store)?;
    prepare::run(Command::new("chmod").arg("0777").arg(&store))?;
    Ok(store)
}

fn change(command: &mut Command, circumstance: &Circumstance) {
    for (name, value) in &circumstance.environment {
        command.env(name, value);
    }
    if let Some(directory) = circumstance.directory {
        command.current_dir(directory);
    }
    if circumstance.user {
        become_nobody(command);
    }
}

fn become_nobody(command: &mut Command) {
    command.uid(65534).gid(65534);
}

/// Can another user run the environment's Python? Only root can try.
fn others_can_run(tools: &Tools) -> bool {
    let mut python = Command::new(tools.bin.join("python"));
    python.args(["-c", "import pytest_invar"]).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    become_nobody(&mut python);
    python.status().is_ok_and(|status| status.success())
}

/// Every event that is not the same: its benchmark, and what became of it.
pub fn differences(first: &Value, other: &Value) -> Vec<(String, String)> {
    let (Some(first), Some(other)) = (first.as_array(), other.as_array()) else {
        return vec![("the run".to_string(), "it has no measurements".to_string())];
    };
    if first.len() != other.len() {
        return vec![(
            "the run".to_string(),
            format!("{} benchmarks instead of {}", other.len(), first.len()),
        )];
    }
    let mut found = Vec::new();
    for (one, two) in first.iter().zip(other) {
        let mut add = |difference| found.push((name(one).to_string(), difference));
        for pass in ["cold", "warm"] {
            let Some(events) = one[pass].as_object() else { continue };
            for (event, count) in events {
                if two[pass][event] != *count {
                    add(format!("{pass} {event} {count} became {}", two[pass][event]));
                }
            }
        }
        if one["diagnostics"] != two["diagnostics"] {
            add("diagnostics differ".to_string());
        }
    }
    found
}
