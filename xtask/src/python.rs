//! `cargo xtask python`: the project's Python is linted, and pytest-invar tested on every Python that this machine has.
//!
//! One wheel serves all of them (the stable ABI). The default `python3` takes every test, with the tools that people start
//! pytest with and the plugins that meet pytest-invar in one suite; the others take a selection that says whether it works there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::prepare;

/// What lints, pinned: another version finds other faults.
const LINTERS: [&str; 4] = [
    "ruff==0.17.6",
    "mypy==2.4.1",
    "pytest-asyncio==1.5.0",
    "--requirement=examples/pydantic/requirements.txt",
];
/// The oldest Python on which that mypy runs.
const LINTERS_NEED: Version = (3, 10, 0);
/// The oldest Python that pytest-invar serves.
const OLDEST: Version = (3, 9, 0);

/// Folders with Python in them: the programs, which are typed strictly, and the tests, which need not say their types.
const SOURCES: [(&str, &[&str], &[&str]); 7] = [
    ("integrations/python", &["pytest_invar", "tests/runs.py"], &["tests"]),
    ("examples/fibonacci", &["fibo.py"], &["test_fibo.py"]),
    ("examples/pydantic", &["models.py"], &["test_pydantic.py"]),
    ("benches/python", &["workloads.py", "ratios.py"], &["test_workloads.py", "small/test_small.py"]),
    ("benches/model", &["calls.py", "model.py"], &[]),
    ("benches/peers", &["codespeed.py"], &[]),
    ("fixtures/soak", &["in_region.py"], &[]),
];

/// What the tests need on every Python.
const NEEDED: [&str; 3] = ["pytest>=7", "pytest-asyncio", "pytest-xdist"];
/// What some tests are about.
const TOOLS: [&str; 6] = ["nox", "numpy", "pytest-cov", "pytest-randomly", "tox", "uv"];
/// Plugins that have a fixture of the same name: each in an environment of its own, since they displace each other.
const RIVALS: [&str; 2] = ["pytest-benchmark", "pytest-codspeed"];

/// The selection: every way to use the fixture, natively and simulated, and two runs that are equal.
const QUICK: [&str; 3] = [
    "integrations/python/tests/test_fixture.py",
    "integrations/python/tests/test_environment.py",
    "integrations/python/tests/test_simulation.py::test_the_first_run_equals_the_second_though_it_had_no_byte_code",
];
const ALL: [&str; 1] = ["integrations/python/tests"];

type Version = (u32, u32, u32);

/// Lints, and tests on the default Python and on `others`; the default one takes the selection too if that is all that is
/// asked for.
pub fn check(others: &[PathBuf], quick: bool) -> Result<()> {
    let default = prepare::default_python()?;
    lint(&default, others)?;
    let wheel = prepare::wheel(&default)?;
    prepare::invar()?;
    if quick {
        test(&default, &wheel, &[], &QUICK)?;
    } else {
        test(&default, &wheel, &TOOLS, &ALL)?;
        for rival in RIVALS {
            let about = ["-k", "another_plugin", ALL[0]];
            test(&default, &wheel, &[rival], &about)?;
        }
    }
    for python in others {
        test(python, &wheel, &[], &QUICK)?;
    }
    Ok(())
}

/// Every Python of this machine that pytest-invar serves, besides the default one: pyenv's, and those on `PATH`.
pub fn others() -> Result<Vec<PathBuf>> {
    let mut candidates = Vec::new();
    let pyenv = Command::new("pyenv").arg("root").stderr(Stdio::null()).output();
    if let Ok(root) = pyenv {
        let versions = Path::new(String::from_utf8_lossy(&root.stdout).trim()).join("versions");
        let entries = std::fs::read_dir(versions).into_iter().flatten().flatten();
        candidates.extend(entries.map(|entry| entry.path().join("bin/python")));
    }
    for directory in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        candidates.extend((OLDEST.1..30).map(|minor| directory.join(format!("python3.{minor}"))));
    }
    candidates.sort();
    let default = version(&prepare::default_python()?);
    let mut found = BTreeMap::new();
    for python in candidates {
        // A shim of pyenv may stand for a version that is not there.
        let Some(version) = version(&python).filter(|&version| version >= OLDEST) else { continue };
        if Some(version) != default {
            found.entry(version).or_insert(python);
        }
    }
    Ok(found.into_values().collect())
}

fn version(python: &Path) -> Option<Version> {
    let mut ask = Command::new(python);
    ask.args(["-c", "import sys; print(*sys.version_info[:3])"]).stderr(Stdio::null());
    let said = ask.output().ok().filter(|said| said.status.success())?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut numbers = said.split_whitespace().map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

fn lint(default: &Path, others: &[PathBuf]) -> Result<()> {
    let python = std::iter::once(default)
        .chain(others.iter().map(PathBuf::as_path))
        .find(|python| version(python).is_some_and(|version| version >= LINTERS_NEED))
        .context("mypy needs a Python of 3.10 or later")?;
    let own = prepare::environment(python, "lint", &LINTERS)?;
    let root = prepare::root();
    let settings = root.join("integrations/python/pyproject.toml");
    let module = |folder: &str, words: &[&str], option: &str, what: &[&str]| {
        let mut command = Command::new(&own);
        command.arg("-m").args(words).arg(option).arg(&settings).args(what);
        prepare::run(command.current_dir(root.join(folder)))
    };
    let ruff =
        |folder: &str, words: &[&str]| module(folder, &[&["ruff"], words].concat(), "--config", &["."]);
    let mypy =
        |folder: &str, what: &[&str]| module(folder, &["mypy", "--no-error-summary"], "--config-file", what);
    // Every test is checked inside, typed or not.
    let tests =
        ["--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls", "--allow-any-generics"];
    for (folder, programs, suites) in SOURCES {
        ruff(folder, &["check", "--quiet"])?;
        ruff(folder, &["format", "--quiet", "--check"])?;
        mypy(folder, programs)?;
        if !suites.is_empty() {
            mypy(folder, &[&tests[..], suites].concat())?;
        }
    }
    Ok(())
}

fn test(python: &Path, wheel: &Path, packages: &[&str], what: &[&str]) -> Result<()> {
    let packages = [&NEEDED[..], packages].concat();
    let own = prepare::environment(python, "plugin", &packages)?;
    let mut pip = Command::new(&own);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--force-reinstall",
    ]);
    prepare::run(pip.arg(wheel))?;
    println!("Python {}, {}", own.display(), packages.join(" "));
    let mut pytest = Command::new(&own);
    // Two at once: most of a test is the start of a process.
    pytest
        .args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:randomly", "-n", "2"])
        .args(what);
    let path = std::env::var("PATH").unwrap_or_default();
    let command = prepare::root().join("target/debug");
    pytest.env("PATH", format!("{}:{path}", command.display()));
    prepare::run(pytest.current_dir(prepare::root()))
}
