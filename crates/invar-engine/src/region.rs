//! The interface of the engine: attach, run a region, keep and flush what was counted.

use alloc::string::String;
use core::ffi::c_void;

use invar_core::diagnostic::Diagnostics;
use invar_core::event::Events;
use invar_core::machine::Machine;
use invar_core::wire::raw::{Mode, Pass};

/// On which stack the callback runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// One at a fixed address.
    Own,
    /// The caller's, its top rounded down to 4 KiB.
    Caller,
}

/// What one pass over a region yielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What was counted.
    pub events: Events,
    /// What went wrong.
    pub diagnostics: Diagnostics,
}

/// Why the engine did not do as asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// This host cannot be used.
    #[error("this host cannot run the engine: {why}")]
    Unsupported {
        /// What it lacks.
        why: &'static str,
    },
    /// [`attach`] comes first.
    #[error("the engine is not attached")]
    NotAttached,
    /// A region inside a region.
    #[error("a region is running already; the inner one was called natively and not counted")]
    Nested,
    /// A file could not be written.
    #[error("cannot write {path}: system error {errno}")]
    Io {
        /// Which.
        path: String,
        /// The kernel's answer.
        errno: i32,
    },
}

/// Makes the engine ready in this process; again, to change machine or mode.
pub fn attach(_machine: &Machine, _mode: Mode) -> Result<(), EngineError> {
    Err(EngineError::Unsupported { why: "the engine is not built yet" })
}

/// Calls `function(argument)` as one measured region named `benchmark`, and keeps the counts for [`flush`].
pub fn run(
    _benchmark: &str,
    _pass: Pass,
    _stack: Stack,
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<Outcome, EngineError> {
    function(argument);
    Err(EngineError::NotAttached)
}

/// Keeps a JSON object beside the benchmark of that name.
pub fn describe(_benchmark: &str, _json: &str) {}

/// Appends what was kept since the last flush to the file at `path`.
pub fn flush(_path: &str) -> Result<(), EngineError> {
    Ok(())
}
