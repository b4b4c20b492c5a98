//! How the command ends: its exit status, and an error as people read it.
//!
//! The numbers are documented in docs/command.md and in the help, and do not change.

use std::error::Error;
use std::process::ExitCode;

use crate::render::View;
use crate::render::failure::{Said, failure};

/// An exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All is well.
    Well = 0,
    /// Something regressed past its threshold.
    Blocked = 1,
    /// The command line, `invar.toml` or a name in it cannot be used.
    Usage = 2,
    /// The benchmark command failed or measured nothing, or this machine cannot measure.
    Benchmarks = 3,
    /// A file or the store cannot be read or written.
    Storage = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// What went wrong: a sentence, its causes, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// How to end.
    pub code: Code,
    error: String,
    causes: Vec<String>,
    help: Vec<String>,
}

impl Failure {
    /// A failure that nothing else has caused.
    pub fn new(code: Code, error: impl Into<String>) -> Failure {
        Failure { code, error: error.into(), causes: Vec::new(), help: Vec::new() }
    }

    /// A failure that an error says, with what caused it.
    pub fn of(code: Code, error: &dyn Error) -> Failure {
        let mut failure = Failure::new(code, error.to_string());
        failure.add_causes(error.source());
        failure
    }

    /// Adds a cause in words.
    pub fn since(mut self, cause: impl Into<String>) -> Failure {
        self.causes.push(cause.into());
        self
    }

    /// Adds an error that caused this.
    pub fn because(mut self, error: &dyn Error) -> Failure {
        self.add_causes(Some(error));
        self
    }

    /// Adds what to do, a sentence or a command.
    pub fn help(mut self, help: impl Into<String>) -> Failure {
        self.help.push(help.into());
        self
    }

    /// The failure in one line, for where it is only in passing.
    pub fn sentence(&self) -> String {
        std::iter::once(&self.error).chain(&self.causes).cloned().collect::<Vec<_>>().join(": ")
    }

    /// The failure as text.
    pub fn text(&self, view: View) -> String {
        failure(&Said { error: &self.error, causes: &self.causes, help: &self.help }, view)
    }

    fn add_causes(&mut self, mut error: Option<&dyn Error>) {
        while let Some(cause) = error {
            let text = cause.to_string();
            // An error that only passes on another one would say it twice.
            if self.causes.last().unwrap_or(&self.error) != &text {
                self.causes.push(text);
            }
            error = cause.source();
        }
    }
}
