//! What each function of a C program executes itself and how often it is called, beside callgrind's words on the same work.
//!
//! Compared are the functions of the program's own file, which nothing inlines, and the sum of everything. Functions of the C
//! library are in the sum only: a profile has the inlined ones apart, callgrind has not, and of several names of a
//! function the two choose unlike ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::say;
use crate::exactness::{TUNABLES, compile};
use crate::prepare;
use crate::suites::Tools;

/// Regions of `fixtures/exactness/regions.c`.
const REGIONS: [&str; 4] = ["functions", "libm_and_qsort", "allocation", "repeated_strings"];
/// The program does its work three times, and callgrind counts calls each time, costs only the last.
const TIMES: u64 = 3;
/// A function that is called from outside of what is measured, which callgrind sees from its inside only.
const ENTRY: &str = "measured";
/// It is gone back to by a jump of a function that it has jumped to itself. That is no call here, and one for callgrind.
const JUMPED_TO: &str = "is_even";

/// Instructions that a function has executed itself, and its calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Function {
    instructions: u64,
    calls: u64,
}

/// By object and name.
type Functions = BTreeMap<(String, String), Function>;

/// Prints a line for each function; returns how many are not as callgrind says.
pub fn costs(tools: &Tools) -> Result<usize> {
    prepare::system_packages(&[("callgrind, to compare with", "valgrind"), ("a C compiler", "gcc")])?;
    let engine = prepare::engine()?;
    // A stub's jump is charged to the function that it leads to, and by callgrind to the caller; so without stubs.
    let program = compile("functions", &["-fno-plt"])?;
    let mut all = 0;
    for region in REGIONS {
        let ours = by_invar(tools, &program, region, &engine)?;
        let theirs = by_callgrind(&program, region, &engine)?;
        let sum = |functions: &Functions| functions.values().map(|one| one.instructions).sum::<u64>();
        let (our_sum, their_sum) = (sum(&ours), sum(&theirs));
        let what = format!("{our_sum} instructions, callgrind {their_sum}");
        all += usize::from(our_sum != their_sum);
        say(region, &what, "equal", usize::from(our_sum != their_sum));
        let object = name_of(&program);
        let own = |functions: &Functions| -> BTreeMap<String, Function> {
            let of_program = functions.iter().filter(|((at, _), one)| *at == object && one.instructions > 0);
            of_program.map(|((_, name), one)| (name.clone(), *one)).collect()
        };
        let (ours, theirs) = (own(&ours), own(&theirs));
        ensure!(theirs.contains_key(ENTRY), "callgrind has seen nothing of the program");
        let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            let of =
                |functions: &BTreeMap<String, Function>| functions.get(name).copied().unwrap_or_default();
            let (ours, theirs) = (of(&ours), of(&theirs));
            // The region's function is called from where callgrind does not look yet.
            let is_ours = name == ENTRY || name == region || name == JUMPED_TO;
            let calls = if is_ours { ours.calls } else { theirs.calls / TIMES };
            let well = ours == Function { calls, ..theirs };
            let what = format!("{} in {} calls", ours.instructions, ours.calls);
            let theirs = format!("callgrind {} in {calls}", theirs.instructions);
            say(&format!("  {name}"), &what, &theirs, usize::from(!well));
            all += usize::from(!well);
        }
    }
    Ok(all)
}

/// The program, with the same addresses and environment each time: words for a shell that `$way` follows.
fn words(program: &Path, region: &str, engine: &Path) -> Result<Vec<String>> {
    let events = prepare::scratch()?.join("functions.events");
    let tunables = format!("GLIBC_TUNABLES={TUNABLES}");
    let shown = |path: &Path| path.display().to_string();
    let mut words = ["env", "-i", "PATH=/usr/bin:/bin", "LD_BIND_NOW=1", &tunables, "setarch", "-R"]
        .map(str::to_string)
        .to_vec();
    words.extend([shown(program), region.to_string(), shown(engine), shown(&events)]);
    Ok(words)
}

fn by_invar(tools: &Tools, program: &Path, region: &str, engine: &Path) -> Result<Functions> {
    let folder = prepare::scratch()?;
    let store = folder.join("profiles-store-native");
    let _ = std::fs::remove_dir_all(&store);
    let invar = || {
        let mut command = tools.shell(&folder);
        command.arg("--store").arg(&store);
        command
    };
    let mut run = invar();
    run.args(["run", "--quiet", "--baseline", "none", "--json", "--machine", "callgrind", "--", "sh", "-c"]);
    run.arg("exec \"$@\" p \"$INVAR_RUN_DIR\"").arg("sh").args(words(program, region, engine)?);
    let run: Value = serde_json::from_str(&prepare::output(&mut run)?)?;
    let id = run["id"].as_str().context("the run has no id")?;
    let shown = prepare::output(invar().args(["show", id, ENTRY, "--json"]))?;
    let shown: Value = serde_json::from_str(&shown)?;
    let mut functions = Functions::new();
    for one in shown["functions"].as_array().into_iter().flatten() {
        let text = |member: &str| one[member].as_str().unwrap_or_default();
        let events = &one["own"]["events"];
        let count = |event: &str| events[event].as_u64().unwrap_or(0);
        let at = functions.entry((name_of(Path::new(text("object"))), text("name").to_string())).or_default();
        // callgrind counts each iteration of a repeated string instruction as an instruction.
        at.instructions += count("instructions") + count("rep_iterations");
        at.calls += one["calls"].as_u64().unwrap_or(0);
    }
    Ok(functions)
}

fn by_callgrind(program: &Path, region: &str, engine: &Path) -> Result<Functions> {
    let file = prepare::scratch()?.join("functions.callgrind");
    let mut words = words(program, region, engine)?;
    let toggle = format!("--toggle-collect={ENTRY}");
    let output = format!("--callgrind-out-file={}", file.display());
    let runner = ["valgrind", "--tool=callgrind", "--quiet", "--collect-atstart=no", &toggle, &output];
    let plain = ["--compress-strings=no", "--compress-pos=no"];
    let at = words.iter().position(|word| word == "-R").context("setarch has no option")? + 1;
    words.splice(at..at, runner.iter().chain(&plain).map(ToString::to_string));
    let mut command = Command::new(&words[0]);
    let done = command.args(&words[1..]).arg("c").output().context("cannot start env")?;
    ensure!(done.status.success(), "callgrind failed:\n{}", String::from_utf8_lossy(&done.stderr));
    Ok(parse(&std::fs::read_to_string(file)?))
}

/// The functions of a profile without compression: instructions are the first event. Depths of recursion (`'2`) are one function.
fn parse(text: &str) -> Functions {
    let mut functions = Functions::new();
    let (mut object, mut callee_object) = (String::new(), String::new());
    let (mut function, mut callee) = (String::new(), String::new());
    let mut is_inclusive = false;
    let plain = |name: &str| name.split('\'').next().unwrap_or_default().to_string();
    for line in text.lines() {
        let first = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
        match line.split_once('=') {
            Some(("ob", path)) => object = name_of(Path::new(path)),
            Some(("cob", path)) => callee_object = name_of(Path::new(path)),
            Some(("fn", name)) => {
                function = plain(name);
                callee_object.clone_from(&object);
            }
            Some(("cfn", name)) => callee = plain(name),
            Some(("calls", rest)) => {
                let calls = rest.split_whitespace().next().and_then(|word| word.parse().ok());
                functions.entry((callee_object.clone(), callee.clone())).or_default().calls +=
                    calls.unwrap_or(0);
                callee_object.clone_from(&object);
                is_inclusive = true;
            }
            Some(_) => {}
            None if std::mem::take(&mut is_inclusive) || function.is_empty() => {}
            None if line.starts_with(|one: char| one.is_ascii_digit()) => {
                functions.entry((object.clone(), function.clone())).or_default().instructions +=
                    first.unwrap_or(0);
            }
            None => {}
        }
    }
    functions
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_costs_are_told_from_those_of_callees_and_depths_of_recursion_are_one() {
        let text = "events: Ir\n\nob=/bin/regions\nfl=a.c\nfn=fib\n3 10\ncfn=fib'2\ncalls=2 3\n3 90\n4 5\n\n\
                    fn=fib'2\n3 50\ncob=/lib/libc.so\ncfi=m.c\ncfn=malloc\ncalls=7 1\n4 40\n\ntotals: 65\n";
        let at = |object: &str, name: &str| (object.to_string(), name.to_string());
        let expected = [
            (at("libc.so", "malloc"), Function { instructions: 0, calls: 7 }),
            (at("regions", "fib"), Function { instructions: 65, calls: 2 }),
        ];
        assert_eq!(parse(text), BTreeMap::from(expected));
    }
}
