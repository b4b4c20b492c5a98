//! `cargo xtask sensitivity`: a little more work in a benchmark must be reported as just that much.
//!
//! The oracle is arithmetic: a loop of 20,000 turns takes 1 % more with 20,200.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, bail};

use crate::prepare;
use crate::suites::{Tools, name, warm};

/// Turns of every loop in the baseline; with more work it has as many digits, so that nothing else of the file moves.
pub const TURNS: u64 = 20_000;
/// More work, in thousandths.
const MORE: [u64; 3] = [5, 10, 50];
/// How far a reported percentage may be off, in points of instructions.
const TOLERANCE: f64 = 0.1;

/// The suite with loops of so many turns.
pub fn suite(turns: u64) -> String {
    format!(
        r#""""Loops whose work is known: each takes TURNS turns that are all alike."""

import copy
import json
import pickle
import re
from itertools import repeat

TURNS = {turns}
ROW = {{"id": 12345, "name": "row", "tags": ["a", "b"]}}


def test_arithmetic(benchmark):
    @benchmark
    def _():
        a = 1.5
        for _ in repeat(None, TURNS):
            a = a * 0.5 + 2.0


def test_calls(benchmark):
    def callee(value):
        return value

    @benchmark
    def _():
        for _ in repeat(None, TURNS):
            callee(None)


def test_allocation(benchmark):
    @benchmark
    def _():
        for _ in repeat(None, TURNS):
            [1.5, 2.5, {{"key": "value"}}]


def test_json(benchmark):
    @benchmark
    def _():
        for _ in repeat(None, TURNS // 20):
            json.dumps(ROW)


def test_pickle(benchmark):
    @benchmark
    def _():
        for _ in repeat(None, TURNS // 20):
            pickle.loads(pickle.dumps(ROW))


def test_deepcopy(benchmark):
    @benchmark
    def _():
        for _ in repeat(None, TURNS // 20):
            copy.deepcopy(ROW)


def test_regex(benchmark):
    words = re.compile(r"(\w+) (\d+)")

    @benchmark
    def _():
        for _ in repeat(None, TURNS // 20):
            words.findall("row 12345, row 54321")


def test_objects_as_keys(benchmark):
    class Thing:
        pass

    things = [Thing() for _ in range(20)]

    @benchmark
    def _():
        for _ in repeat(None, TURNS // 20):
            set(things)
"#
    )
}

/// Prints a table; an error if a percentage is off by more than [`TOLERANCE`].
pub fn sensitivity() -> Result<()> {
    let tools = Tools::prepare(None, &[])?;
    let directory = prepare::scratch()?.join("sensitivity");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("pytest.ini"), "[pytest]\n")?;
    // Not within the suite: pytest walks through that, and what it finds on its way is in the heap.
    let store = prepare::scratch()?.join("sensitivity-store");
    let _ = fs::remove_dir_all(&store);
    fs::create_dir_all(&store)?;
    let measure = |turns: u64| -> Result<BTreeMap<String, [f64; 2]>> {
        fs::write(directory.join("test_work.py"), suite(turns))?;
        let found = tools.measure(&directory, &store, |_| {})?;
        let rows = found.as_array().into_iter().flatten();
        Ok(rows.map(|row| (name(row).to_string(), [warm(row, "instructions"), cycles(row)])).collect())
    };
    let base = measure(TURNS)?;
    println!("{:<28}{:>8}{:>16}{:>12}", "benchmark", "more", "instructions", "cycles");
    let mut off = 0;
    for more in MORE {
        let found = measure(TURNS + TURNS * more / 1000)?;
        for (benchmark, [instructions, cycles]) in &found {
            let Some([base_instructions, base_cycles]) = base.get(benchmark) else { continue };
            let percent = |now: f64, before: f64| 100.0 * (now / before - 1.0);
            let seen = percent(*instructions, *base_instructions);
            let wanted = more as f64 / 10.0;
            let verdict = if (seen - wanted).abs() > TOLERANCE || seen.is_nan() { "  OFF" } else { "" };
            off += usize::from(!verdict.is_empty());
            println!(
                "{benchmark:<28}{wanted:>6.1} %{seen:>14.3} %{:>10.3} %{verdict}",
                percent(*cycles, *base_cycles)
            );
        }
    }
    if base.len() < 8 || off > 0 {
        bail!(
            "{off} changes were reported by more than {TOLERANCE} points off, of {} benchmarks",
            base.len()
        );
    }
    Ok(())
}

/// The cost on the machine `reference-1`, as METHODOLOGY.md says; repeats are rare here and left out.
fn cycles(measurement: &serde_json::Value) -> f64 {
    let of = |event| warm(measurement, event);
    let l1_misses = of("l1i_misses") + of("l1d_read_misses") + of("l1d_write_misses");
    let accesses = of("instructions") + of("reads") + of("writes");
    let [l1, l2, l3, memory] = [2.0, 5.0, 22.0, 90.0];
    (accesses - l1_misses) * l1
        + (l1_misses - of("l2_misses")) * l2
        + (of("l2_misses") - of("l3_misses")) * l3
        + of("l3_misses") * memory
}
