//! Progress lines for `invar run`: one JSON object a line, each appended by one `write`.
//!
//! Progress is for people. That a line cannot be written never fails a measurement.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::run_directory;

/// Appends a line, with one `write`.
pub fn write(line: &Value) {
    let path = run_directory::own_file("progress", "jsonl");
    if let Ok(mut file) = File::options().create(true).append(true).open(path) {
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// How many benchmarks this process will measure.
#[pyfunction]
pub fn collected(benchmarks: usize) {
    write(&json!({"event": "collected", "benchmarks": benchmarks}));
}

/// A benchmark begins.
#[pyfunction]
pub fn started(benchmark: String) {
    write(&json!({"event": "started", "benchmark": benchmark}));
}

/// A benchmark has its result.
pub fn measured(benchmark: &str, instructions: u64) {
    write(&json!({"event": "measured", "benchmark": benchmark, "instructions": instructions}));
}

/// A benchmark has none.
#[pyfunction]
pub fn failed(benchmark: String, message: String) {
    write(&json!({"event": "failed", "benchmark": benchmark, "message": message}));
}

/// Something that whoever reads the results should know.
#[pyfunction]
pub fn warning(message: String) {
    write_warning(&message);
}

/// As [`warning`], from this side.
pub fn write_warning(message: &str) {
    write(&json!({"event": "warning", "message": message}));
}

/// What this process consists of: its runtime, and the packages installed with their versions.
#[pyfunction]
pub fn process(runtime: String, integration: String, packages: BTreeMap<String, String>) {
    let event = json!({
        "event": "process", "language": "python", "runtime": runtime, "integration": integration, "packages": packages
    });
    if run_directory::find()
        .is_some_and(|directory| run_directory::hold(&directory, crate::host::OnExecute::Close).is_ok())
    {
        write(&event);
    }
}

/// The session has ended.
#[pyfunction]
pub fn finished(exit: i32) {
    write(&json!({"event": "finished", "exit": exit}));
}
