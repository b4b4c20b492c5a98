//! `cargo xtask fuzz`: builds the fuzzer, which is a workspace of its own, and hands over to it.

use anyhow::{Result, bail};

use crate::prepare;

/// Runs the differential fuzzer of the translator; fails if it finds something.
pub fn translate(minutes: f64, seed: u64, from: u64, defect: Option<&str>) -> Result<()> {
    let manifest = prepare::root().join("fuzz/Cargo.toml");
    prepare::run(prepare::cargo().args(["build", "--release", "--quiet", "--manifest-path"]).arg(&manifest))?;
    let mut fuzzer = std::process::Command::new(prepare::root().join("fuzz/target/release/invar-fuzz"));
    fuzzer.args(["translate", "--minutes", &minutes.to_string(), "--seed", &seed.to_string()]);
    fuzzer.args(["--from", &from.to_string()]);
    if let Some(defect) = defect {
        fuzzer.args(["--plant-defect", defect]);
    }
    if !fuzzer.status()?.success() {
        bail!("native and translated code differ, see above");
    }
    Ok(())
}
