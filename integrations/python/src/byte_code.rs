//! Byte code is written by a copy of the process that is to measure, before that goes on.
//!
//! The copy has everything that a run of pytest imports before it comes to the suite, so it costs the suite's collection and no start
//! of an interpreter; and it is the very process that will measure, so what it compiles is what that would have. No Python object of the
//! process itself tells whether there was a copy, what it has found, or which number it had.
//!
//! Invariant: a process that measures has begun when all byte code was there. Where the copy has written some, it begins again.
#![expect(unsafe_code, reason = "the interpreter is to be told of a fork")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::host::{self, OnExecute, Side};
use crate::run_directory;

/// Says, in the copy, that it has written something; unset in every other process.
static MARK: OnceLock<PathBuf> = OnceLock::new();

/// Makes a copy of this process that is to collect the suite, and waits for its end. Returns `copy` there; here `ready`, or `again` if
/// this process is to begin again, as the copy has written byte code: once, for where it can be written it then is.
#[pyfunction]
pub fn copy_process(_python: Python<'_>) -> PyResult<&'static str> {
    let mark = run_directory::own_file("byte-code", "written");
    let began_again = mark.exists();
    // SAFETY: the interpreter's lock is held, and a fork follows, in whose both processes the other half is called.
    unsafe { ffi::PyOS_BeforeFork() };
    let forked = host::fork();
    if let Ok(Side::Child) = forked {
        // SAFETY: as above, in the new process.
        unsafe { ffi::PyOS_AfterFork_Child() };
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        for descriptor in 0..3 {
            host::duplicate_to(nothing.as_raw_fd(), descriptor, OnExecute::Keep)?;
        }
        // The scratch directory is for who measures, and not for what the suite's import may leave running.
        host::close(run_directory::SCRATCH_LOCK);
        let _ = MARK.set(mark);
        return Ok("copy");
    }
    // SAFETY: as above, in the process that was there.
    unsafe { ffi::PyOS_AfterFork_Parent() };
    if let Side::Parent { child } = forked? {
        host::wait_for(child);
    }
    Ok(if mark.exists() && !began_again { "again" } else { "ready" })
}

/// In the copy: byte code is written now. Elsewhere it makes no difference.
#[pyfunction]
pub fn note_byte_code() {
    if let Some(mark) = MARK.get() {
        // Where it cannot be said, neither could the run's results be.
        let _ = File::create(mark);
    }
}
