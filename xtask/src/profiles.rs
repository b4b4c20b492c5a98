//! `cargo xtask profiles`: are profiles right, and do they cost nothing but time?
//!
//! The oracles are others: a run without profiles for the counts, the measurement for the sums, a function for its lines, cProfile for
//! the calls of Python functions, callgrind for what each function of a C program executes ([`native`]).

mod native;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::prepare;
use crate::repeat::differences;
use crate::suites::{Tools, name};

/// What the profiles of a run of 100 benchmarks may take in the store.
const BYTES_OF_100: u64 = 2_000_000;

/// A function of Python: its file, its first line, its name.
type Function = (String, u64, String);

/// Prints a line for each thing that was checked; an error if one is not as it should be.
pub fn profiles(python: Option<&Path>) -> Result<()> {
    let tools = Tools::prepare(python, &["-r", "examples/pydantic/requirements.txt"])?;
    let mut faults = 0;
    let (mut sizes, mut sizes_with_lines) = (Vec::new(), Vec::new());
    for suite in ["examples/fibonacci", "examples/pydantic"] {
        let measured = Measured::new(&tools, suite, "with", &[])?;
        faults += same_counts(&tools, suite, &measured)?;
        faults += sums(&tools, &measured)?;
        sizes.extend(size(&measured)?);
        let with_lines = Measured::new(&tools, suite, "lines", &["--python-lines"])?;
        faults += lines(&tools, &measured, &with_lines)?;
        sizes_with_lines.extend(size(&with_lines)?);
    }
    weigh("both", &sizes);
    weigh("both, with lines", &sizes_with_lines);
    faults += calls(&tools)?;
    faults += native::costs(&tools)?;
    if faults > 0 {
        bail!("{faults} profiles or counts are not as they should be");
    }
    println!("profiles are right, and recording them changes no count");
    Ok(())
}

/// A suite that was measured into a store of its own.
struct Measured {
    directory: PathBuf,
    store: PathBuf,
    run: Value,
}

impl Measured {
    fn new(tools: &Tools, suite: &str, how: &str, options: &[&str]) -> Result<Measured> {
        let store = prepare::scratch()?.join(format!("profiles-store-{how}"));
        let _ = std::fs::remove_dir_all(&store);
        std::fs::create_dir_all(&store)?;
        let directory = prepare::root().join(suite);
        let run = tools.run(&directory, &store, options, |_| {})?;
        let measured = Measured { directory, store, run };
        ensure!(measured.measurements().next().is_some(), "nothing of {suite} was measured");
        Ok(measured)
    }

    fn measurements(&self) -> impl Iterator<Item = &Value> {
        self.run["measurements"].as_array().into_iter().flatten()
    }

    /// The functions of a benchmark's profile, as `invar show --json` has them.
    fn functions(&self, tools: &Tools, benchmark: &str) -> Result<Vec<Value>> {
        let mut show = tools.shell(&self.directory);
        let id = self.run["id"].as_str().context("the run has no id")?;
        show.arg("--store").arg(&self.store).args(["show", id, benchmark, "--json"]);
        let shown: Value = serde_json::from_str(&prepare::output(&mut show)?)?;
        Ok(shown["functions"].as_array().context("`invar show --json` lists no functions")?.clone())
    }

    /// The sizes of the files with profiles.
    fn profiles(&self) -> Result<Vec<u64>> {
        let mut sizes = Vec::new();
        let mut folders = vec![self.store.join("profiles")];
        while let Some(folder) = folders.pop().filter(|folder| folder.exists()) {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.path()),
                    false => sizes.push(entry.metadata()?.len()),
                }
            }
        }
        Ok(sizes)
    }
}

/// Every event of every benchmark with and without profiles.
fn same_counts(tools: &Tools, suite: &str, with: &Measured) -> Result<usize> {
    let without = Measured::new(tools, suite, "without", &["--no-profile"])?;
    ensure!(without.profiles()?.is_empty(), "--no-profile has left profiles");
    let differences = differences(&without.run["measurements"], &with.run["measurements"]);
    for (benchmark, difference) in &differences {
        println!("    {benchmark}: {difference} with profiles");
    }
    let benchmarks = with.measurements().count();
    say(suite, &format!("{benchmarks} benchmarks with and without profiles"), "identical", differences.len());
    Ok(differences.len())
}

/// The own costs of all functions, summed, beside the measurement.
fn sums(tools: &Tools, measured: &Measured) -> Result<usize> {
    let (mut faults, mut functions) = (0, 0);
    for measurement in measured.measurements() {
        let found = measured.functions(tools, name(measurement))?;
        functions += found.len();
        let warm = measurement["warm"].as_object().context("a measurement has no warm pass")?;
        for (event, count) in warm {
            let own = |function: &Value| function["own"]["events"][event].as_u64().unwrap_or(0);
            let sum: u64 = found.iter().map(own).sum();
            if count.as_u64() != Some(sum) {
                println!("    {}: {event} {count}, but the profile sums up to {sum}", name(measurement));
                faults += 1;
            }
        }
    }
    say("", &format!("costs of {functions} functions, summed"), "the measurements", faults);
    Ok(faults)
}

/// Every event of the lines of each Python function, with what they call, beside the function's, and counts beside those without lines.
fn lines(tools: &Tools, without: &Measured, with: &Measured) -> Result<usize> {
    let moved = differences(&without.run["measurements"], &with.run["measurements"]);
    for (benchmark, difference) in &moved {
        println!("    {benchmark}: {difference} with lines");
    }
    let (mut functions, mut lines, mut shared, mut faults) = (0, 0, 0, 0);
    for measurement in with.measurements() {
        for function in with.functions(tools, name(measurement))? {
            let of_function = function["lines"].as_array().map_or(&[][..], Vec::as_slice);
            if function["kind"] != "python" || of_function.is_empty() {
                continue;
            }
            functions += 1;
            lines += of_function.len();
            let (all, whole) = (sum(of_function), costs(&function["inclusive"]));
            let exceeds = |lines: &BTreeMap<String, u64>| {
                lines.iter().any(|(event, count)| whole.get(event).is_none_or(|whole| count > whole))
            };
            let is_short = whole.iter().any(|(event, count)| all.get(event).is_none_or(|all| all < count));
            if is_short || of_function.iter().any(|line| exceeds(&costs(&line["inclusive"]))) {
                println!("    {}: the lines of {} do not sum up to it", name(measurement), function["name"]);
                faults += 1;
            }
            // Lines of a function that calls itself share what is below the call.
            shared += usize::from(exceeds(&all));
        }
    }
    ensure!(functions > 0, "no Python function has lines");
    say("", &format!("counts, with lines of {functions} functions"), "identical", moved.len());
    say("", &format!("events of {lines} lines with what they call"), "the functions'", faults);
    println!("    {shared} of the functions call themselves: their lines sum up to more");
    Ok(moved.len() + faults)
}

/// Every event that happened. Cycles are not compared: what a node adds to those before it depends on the view.
fn costs(of: &Value) -> BTreeMap<String, u64> {
    let events = of["events"].as_object().into_iter().flatten();
    events.map(|(event, count)| (event.clone(), count.as_u64().unwrap_or(0))).collect()
}

/// What lines cost with what they call.
fn sum(lines: &[Value]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (event, count) in lines.iter().flat_map(|line| costs(&line["inclusive"])) {
        *sum.entry(event).or_default() += count;
    }
    sum
}

/// What the profile of each benchmark takes of the disk.
fn size(measured: &Measured) -> Result<Vec<u64>> {
    let (sizes, benchmarks) = (measured.profiles()?, measured.measurements().count());
    ensure!(sizes.len() == benchmarks, "{} profiles of {benchmarks} benchmarks are stored", sizes.len());
    weigh("", &sizes);
    Ok(sizes)
}

/// Says what 100 benchmarks would take that are like these: a number to look at, as suites are unlike.
fn weigh(of: &str, sizes: &[u64]) {
    let of_100 = 100 * sizes.iter().sum::<u64>() / sizes.len() as u64;
    let most = sizes.iter().max().copied().unwrap_or(0);
    println!(
        "{of:<20}{} bytes a profile, {most} at most; {of_100} of 100 such, of a goal of {BYTES_OF_100}",
        of_100 / 100
    );
}

/// The calls of every Python function beside cProfile's.
fn calls(tools: &Tools) -> Result<usize> {
    let suite = "fixtures/profiles_calls";
    let measured = Measured::new(tools, suite, "calls", &[])?;
    let mut profiled = Command::new(tools.bin.join("python"));
    profiled.arg("test_calls.py").current_dir(&measured.directory).env("PYTHONDONTWRITEBYTECODE", "1");
    let expected: Value = serde_json::from_str(&prepare::output(&mut profiled)?)?;
    let expected = expected.as_object().context("cProfile's calls are no object")?;
    ensure!(expected.len() == measured.measurements().count(), "not every work was measured");
    let mut all = 0;
    for (work, expected) in expected {
        let expected = by_cprofile(expected).with_context(|| format!("cProfile's calls of {work}"))?;
        let found = by_invar(&measured.functions(tools, &format!("test_calls.py::test_calls[{work}]"))?)?;
        let faults = unlike(&expected, &found);
        for fault in &faults {
            println!("    {fault}");
        }
        let calls: u64 = expected.values().sum();
        say(
            work,
            &format!("{calls} calls of {} Python functions", expected.len()),
            "as cProfile",
            faults.len(),
        );
        all += faults.len();
    }
    Ok(all)
}

/// What is not the same, a sentence each.
fn unlike(expected: &BTreeMap<Function, u64>, found: &BTreeMap<Function, u64>) -> Vec<String> {
    let all: std::collections::BTreeSet<&Function> = expected.keys().chain(found.keys()).collect();
    let calls = |of: &BTreeMap<Function, u64>, function| of.get(function).copied().unwrap_or(0);
    all.into_iter()
        .map(|function| (function, calls(expected, function), calls(found, function)))
        .filter(|(_, expected, found)| expected != found)
        .map(|((file, line, name), expected, found)| {
            format!("{name} ({file}:{line}) has {found} calls, cProfile counts {expected}")
        })
        .collect()
}

fn by_cprofile(rows: &Value) -> Result<BTreeMap<Function, u64>> {
    let root = prepare::root();
    let mut calls = BTreeMap::new();
    for row in rows.as_array().context("no list")? {
        let (file, line, name, count) = (row[0].as_str(), row[1].as_u64(), row[2].as_str(), row[3].as_u64());
        // Profiles name files as from the checkout.
        let file = Path::new(file.context("no file")?);
        let file = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        let key = (file, line.context("no line")?, name.context("no name")?.into());
        *calls.entry(key).or_default() += count.context("no calls")?;
    }
    Ok(calls)
}

/// cProfile knows the last part of a qualified name.
fn by_invar(functions: &[Value]) -> Result<BTreeMap<Function, u64>> {
    let mut calls = BTreeMap::new();
    for function in functions.iter().filter(|function| function["kind"] == "python") {
        let text = |member: &str| function[member].as_str().with_context(|| format!("no {member}"));
        let name = text("name")?.rsplit('.').next().unwrap_or_default().to_string();
        let line = function["line"].as_u64().context("no line")?;
        *calls.entry((text("file")?.to_string(), line, name)).or_default() +=
            function["calls"].as_u64().context("no calls")?;
    }
    Ok(calls)
}

/// A line: of what, what was looked at, and what it is where there are no faults.
fn say(of: &str, what: &str, well: &str, faults: usize) {
    match faults {
        0 => println!("{of:<20}{what:<46}{well}"),
        _ => println!("{of:<20}{what:<46}{faults} NOT {well}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn python(name: &str, calls: u64) -> Value {
        json!({"kind": "python", "name": name, "file": "/a.py", "line": 3, "calls": calls})
    }

    #[test]
    fn calls_are_compared_by_the_last_part_of_a_name() {
        let expected = by_cprofile(&json!([["/a.py", 3, "<lambda>", 5]])).unwrap();
        let found = by_invar(&[python("work.<locals>.<lambda>", 5)]).unwrap();
        assert_eq!(unlike(&expected, &found), [""; 0]);
    }

    #[test]
    fn a_function_that_only_one_of_the_two_knows_is_a_fault() {
        let expected = by_cprofile(&json!([["/a.py", 3, "one", 5]])).unwrap();
        let found = by_invar(&[python("other", 2)]).unwrap();
        assert_eq!(
            unlike(&expected, &found),
            [
                "one (/a.py:3) has 0 calls, cProfile counts 5",
                "other (/a.py:3) has 2 calls, cProfile counts 0",
            ]
        );
    }
}
