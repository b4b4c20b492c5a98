//! Running suites under `invar run`, and reading what came of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::prepare;

/// What it takes to run a suite: the command, and a Python with pytest-invar.
pub struct Tools {
    /// The command `invar`.
    pub invar: PathBuf,
    /// The environment's `bin` directory.
    pub bin: PathBuf,
}

impl Tools {
    /// Builds and installs what suites need. `python` is the default one if none is named; `packages` are words for
    /// `pip install`.
    pub fn prepare(python: Option<&Path>, packages: &[&str]) -> Result<Tools> {
        let invar = prepare::invar()?;
        let python = match python {
            Some(python) => prepare::python(python, packages)?,
            None => prepare::python(&prepare::default_python()?, packages)?,
        };
        Ok(Tools { invar, bin: python.parent().context("an interpreter lies in a directory")?.to_path_buf() })
    }

    /// A command line as a user would type it, with `invar` and the environment's programs found first.
    pub fn shell(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.invar);
        let path = std::env::var("PATH").unwrap_or_default();
        let home = self.invar.parent().unwrap_or(Path::new("."));
        command.current_dir(directory);
        command.env("PATH", format!("{}:{}:{path}", home.display(), self.bin.display()));
        command
    }

    /// Measures the suite at `suite` into `store`; returns the measurements as the run file has them.
    ///
    /// `change` says what is unlike a plain run: environment, directory, user.
    pub fn measure(&self, suite: &Path, store: &Path, change: impl FnOnce(&mut Command)) -> Result<Value> {
        Ok(self.run(suite, store, &[], change)?["measurements"].clone())
    }

    /// As [`Tools::measure`], with more `options` of `invar run`; returns the whole run file.
    pub fn run(
        &self,
        suite: &Path,
        store: &Path,
        options: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Result<Value> {
        let mut run = self.shell(suite);
        run.arg("--store").arg(store).args(["run", "--quiet", "--baseline", "none"]).args(options).arg("--");
        // As a Makefile would: the suite's own directory, whatever the caller's is.
        run.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(suite).arg(self.bin.join("pytest"));
        run.stdout(Stdio::null()).stderr(Stdio::piped());
        change(&mut run);
        let done = run.output().with_context(|| format!("cannot start `{}`", prepare::shown(&run)))?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "`{}` ended with {}:\n{said}", prepare::shown(&run), done.status);
        let mut export = self.shell(suite);
        let exported = prepare::output(export.arg("--store").arg(store).args(["export", "--json"]))?;
        serde_json::from_str(&exported).context("`invar export --json` printed no JSON")
    }
}

/// The count of an event in a measurement's warm pass.
pub fn warm(measurement: &Value, event: &str) -> f64 {
    measurement["warm"][event].as_f64().unwrap_or(f64::NAN)
}

/// The full name of a measurement's benchmark.
pub fn name(measurement: &Value) -> &str {
    measurement["benchmark"]["id"].as_str().unwrap_or("?")
}
