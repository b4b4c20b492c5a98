//! Puts what `cargo xtask web` has made into the binary, if it was made. It is not in the repository: a build without it
//! serves every page, without what needs scripts of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let dist = variable("CARGO_MANIFEST_DIR").join("../../web/dist");
    let [script, css] = ["islands.js", "islands.css"].map(|name| dist.join(name));
    let include = |path: &Path| format!("include_str!({:?})", path.display().to_string());
    let made = if script.exists() && css.exists() {
        format!("Some(({}, {}))", include(&script), include(&css))
    } else {
        "None".to_string()
    };
    fs::write(
        variable("OUT_DIR").join("islands.rs"),
        format!("const ISLANDS: Option<(&str, &str)> = {made};\n"),
    )?;
    // The folder is always there, so this is not run at every build.
    writeln!(io::stdout(), "cargo::rerun-if-changed={}", dist.display())?;
    writeln!(io::stdout(), "cargo::rerun-if-changed=build.rs")
}
