//! Becoming repeatable: the same command once more, with the same memory layout and environment in every run.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::host::{self, OnExecute, Side};
use crate::placement;
use crate::progress;
use crate::request::{Request, entry};
use crate::run_directory;

/// The usual limit. With another the kernel places libraries elsewhere.
const STACK_BYTES: u64 = 8 << 20;

/// The canonical environment, as far as `invar run` knows it.
#[pyfunction]
pub fn environment() -> PyResult<BTreeMap<OsString, OsString>> {
    Ok(request()?.environment())
}

/// The names of those variables of it that keep the value which they have here.
#[pyfunction]
pub fn kept() -> PyResult<Vec<String>> {
    Ok(request()?.kept())
}

/// Is the memory layout of this process the same in every run?
#[pyfunction]
pub fn is_repeatable() -> bool {
    host::layout_is_fixed()
}

/// Executes `program` with `arguments` and `environment` in the place of this process, repeatably. Returns only by an exception.
///
/// Standard input becomes empty. An output that is a terminal becomes a pipe whose other end this process writes to the
/// terminal: Python treats terminals differently (buffers, colours, width).
#[pyfunction]
pub fn replace_process(
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
) -> PyResult<()> {
    let text = |text: OsString| CString::new(std::os::unix::ffi::OsStringExt::into_vec(text));
    let program = text(program.into_os_string())?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let mut environment =
        environment.iter().map(|(name, value)| entry(name, value)).collect::<io::Result<Vec<_>>>()?;

    run_directory::hold(&directory()?, OnExecute::Keep)?;
    // Says who measures; that it cannot be written is no reason not to.
    let _ = File::create(run_directory::file("claimed"));
    if host::fix_layout().is_err() {
        progress::write_warning(
            "address-space randomisation cannot be switched off here (a container that forbids \
             personality(2)?), so counts may vary between runs",
        );
    }
    environment.extend(placement::variables(&environment).into_iter().flatten());
    let _ = host::limit_stack(STACK_BYTES);
    if let Err(error) = run_directory::prepare_scratch() {
        progress::write_warning(&format!("tests get temporary directories whose names vary: {error}"));
    }
    relay_terminals()?;
    host::duplicate_to(File::open("/dev/null")?.as_raw_fd(), 0, OnExecute::Keep)?;
    host::close_on_execute(3, run_directory::DESCRIPTOR as u32 - 1);
    host::close_on_execute(run_directory::SCRATCH_LOCK as u32 + 1, u32::MAX);
    Err(host::execute(&program, &arguments, &environment).into())
}

/// Where an output is a terminal, forks: the child goes on with pipes, the parent relays and ends as the child does.
fn relay_terminals() -> io::Result<()> {
    let terminals: Vec<RawFd> = [1, 2].into_iter().filter(|&output| host::is_terminal(output)).collect();
    if terminals.is_empty() {
        return Ok(());
    }
    let pipes = terminals.iter().map(|_| host::pipe()).collect::<io::Result<Vec<_>>>()?;
    match host::fork()? {
        Side::Child => {
            for (&output, (_, write)) in terminals.iter().zip(&pipes) {
                host::duplicate_to(write.as_raw_fd(), output, OnExecute::Keep)?;
            }
            Ok(())
        }
        Side::Parent { child } => {
            host::ignore_interrupts();
            // The parent's ends to write are dropped here: otherwise no pipe would ever end.
            let pairs: Vec<(OwnedFd, RawFd)> =
                pipes.into_iter().map(|(read, _write)| read).zip(terminals).collect();
            host::relay(&pairs);
            host::end_as(child)
        }
    }
}

fn directory() -> io::Result<PathBuf> {
    run_directory::find().ok_or_else(|| io::Error::other("the run directory is gone"))
}

fn request() -> io::Result<Request> {
    Request::read(&directory()?)
}
