//! Reading `request.json`, and the environment that it asks for.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use invar_core::machine::Machine;
use invar_engine::region::Mode;
use serde_json::Value;

use crate::arrangement::Arrangement;
use crate::run_directory::MARK;

/// Variables that are part of what the user asked to be run, so they keep their value.
const COMMAND: [&str; 6] = [
    "PYTEST_ADDOPTS",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    "PYTEST_PLUGINS",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSAFEPATH",
];

/// Keeps its value, too, and means the same empty as unset.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// What `invar run` asks for.
pub struct Request {
    /// Count, or simulate caches too.
    pub mode: Mode,
    /// The simulated CPU.
    pub machine: Machine,
    /// Tell warm passes by call path.
    pub call_paths: bool,
    /// With the lines of Python functions.
    pub python_lines: bool,
    /// Which benchmarks, and in which order.
    pub arrangement: Arrangement,
    environment: BTreeMap<String, String>,
    pass: Vec<String>,
}

impl Request {
    /// Reads the request of a run directory.
    pub fn read(directory: &Path) -> io::Result<Request> {
        let text = std::fs::read(directory.join("request.json"))?;
        let value: Value = serde_json::from_slice(&text)?;
        let bad = |what: &str| io::Error::other(format!("request.json: {what}"));
        match value["version"].as_u64() {
            Some(1) => {}
            _ => {
                return Err(bad(
                    "this pytest-invar reads version 1; install the one that belongs to `invar`",
                ));
            }
        }
        let mode = match value["mode"].as_str() {
            Some("simulation") => Mode::Simulation,
            Some("counts") => Mode::Counts,
            _ => return Err(bad("`mode` is neither `simulation` nor `counts`")),
        };
        let machine = value["machine"].as_str().ok_or_else(|| bad("`machine` is missing"))?;
        let machine = Machine::parse(machine).map_err(|error| bad(&error.to_string()))?;
        let entries = value["environment"].as_object().ok_or_else(|| bad("`environment` is missing"))?;
        let text_of = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_string()));
        let environment = entries
            .iter()
            .map(|entry| text_of(entry).ok_or_else(|| bad("`environment` holds other things than texts")))
            .collect::<io::Result<_>>()?;
        let names = value["pass"].as_array().map(Vec::as_slice).unwrap_or_default();
        let pass = names.iter().filter_map(|name| Some(name.as_str()?.to_string())).collect();
        let asks = |name: &str| value[name].as_bool().unwrap_or(false);
        let (call_paths, python_lines) = (asks("call_paths"), asks("python_lines"));
        let arrangement = Arrangement::read(&value).ok_or_else(|| {
            bad("`order`, `only`, `isolated`, `layout` or `jobs` is nothing that this pytest-invar knows")
        })?;
        Ok(Request { mode, machine, call_paths, python_lines, arrangement, environment, pass })
    }

    /// The whole environment of a measured process, sorted by name.
    pub fn environment(&self) -> BTreeMap<OsString, OsString> {
        let mut all = BTreeMap::new();
        for (name, value) in [("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONHASHSEED", "0")] {
            all.insert(OsString::from(name), OsString::from(value));
        }
        for (name, value) in &self.environment {
            all.insert(name.into(), value.into());
        }
        for name in self.kept() {
            if let Some(value) = std::env::var_os(&name) {
                all.insert(name.into(), value);
            }
        }
        all.insert(MARK.into(), "1".into());
        all
    }

    /// The names of variables that are set here and keep their value.
    ///
    /// What a shell left empty (`export PYTHONPATH=$NOTHING`) is as good as unset, and would only move the stack; but a
    /// variable that the user named may mean something by being empty.
    pub fn kept(&self) -> Vec<String> {
        let means_unset = |name: &str| COMMAND.contains(&name) || name == LIBRARIES;
        let names = self.pass.iter().map(String::as_str).chain(COMMAND);
        names
            .filter(|name| {
                std::env::var_os(name).is_some_and(|value| !(value.is_empty() && means_unset(name)))
            })
            .map(str::to_string)
            .collect()
    }
}

/// `NAME=VALUE`, as `execve` wants it.
pub fn entry(name: &OsString, value: &OsString) -> io::Result<CString> {
    let mut entry = name.clone();
    entry.push("=");
    entry.push(value);
    Ok(CString::new(entry.into_vec())?)
}
