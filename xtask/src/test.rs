//! `cargo xtask test`: everything that CI runs, one step after the other; the first that fails ends it.
//!
//! Installs what the steps need and says what. What takes long (fuzzing for hours, the soak) has commands of its own.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{exactness, fuzz, prepare, python, repeat, sensitivity, tidy, web};

/// Manifests of the packages beside the house's workspace.
const BESIDE: [&str; 3] = ["integrations/c/Cargo.toml", "integrations/python/Cargo.toml", "fuzz/Cargo.toml"];
/// Minutes of fuzzing: enough to see that it works and that nothing is grossly wrong.
const FUZZ_MINUTES: f64 = 0.5;
/// How often the examples are measured; `cargo xtask repeat` does it ten times.
const REPETITIONS: usize = 3;

/// Runs everything.
pub fn test() -> Result<()> {
    let started = Instant::now();
    step("what the tests need", || {
        prepare::system_packages(&[
            ("callgrind, the oracle of counts", "valgrind"),
            ("the source of runs", "git"),
            ("the guests in C and C++", "g++"),
            ("headers for the guests", "libc6-dev"),
        ])?;
        prepare::engines_of_the_store()
    })?;
    step("formatting", || {
        prepare::run(prepare::cargo().args(["fmt", "--all", "--check"]))?;
        each_beside(&["fmt", "--check"], &[])
    })?;
    step("the rules of the house", tidy::tidy)?;
    step("lints", || {
        let strict = ["--", "--deny", "warnings"];
        let house = ["clippy", "--workspace", "--all-targets", "--quiet"];
        prepare::run(prepare::cargo().args(house).args(strict))?;
        each_beside(&["clippy", "--quiet"], &strict)
    })?;
    step("tests of the house: units, guests, the command", || {
        prepare::engine()?;
        prepare::run(prepare::cargo().args(["test", "--workspace", "--quiet"]))?;
        prepare::run(prepare::cargo().args(["test", "--quiet", "--manifest-path", "fuzz/Cargo.toml"]))
    })?;
    step("counts beside callgrind's", exactness::exactness)?;
    step("programs of chance, natively and translated", || fuzz::translate(FUZZ_MINUTES, 1, 0, None))?;
    step("pytest-invar", || python::check(&[], true))?;
    step("the pages in a browser", web::screens)?;
    step("more work is reported as just that much", sensitivity::sensitivity)?;
    step("the examples, again and again", || repeat::repeat(REPETITIONS, None))?;
    println!("\nall steps passed in {} minutes", started.elapsed().as_secs().div_ceil(60));
    Ok(())
}

fn step(name: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let started = Instant::now();
    act().with_context(|| format!("this step failed: {name}"))?;
    println!("== {name}: passed, {} s", started.elapsed().as_secs());
    Ok(())
}

fn each_beside(before: &[&str], after: &[&str]) -> Result<()> {
    for manifest in BESIDE {
        prepare::run(prepare::cargo().args(before).args(["--manifest-path", manifest]).args(after))?;
    }
    Ok(())
}
