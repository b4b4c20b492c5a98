//! Finding the run directory that `invar run` has prepared. The contract is docs/protocol.md.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;

use crate::host::{self, OnExecute};

/// Where a measuring process holds the run directory open.
pub const DESCRIPTOR: RawFd = 198;
/// What the run directory is called in the environment of processes that do not measure.
pub const VARIABLE: &str = "INVAR_RUN_DIR";
/// Says in the environment that a process is repeatable already (`1`), or only warms byte code (`warm`).
pub const MARK: &str = "INVAR";

/// How this process stands to Invar.
enum State {
    /// Invar is not at work, or this process is none of its business.
    Absent,
    /// There is a run directory, and this process is not repeatable yet.
    Fresh,
    /// This process only collects, so that byte code is written.
    Warming,
    /// This process is repeatable and holds the run directory open.
    Ready,
}

/// How this process stands to Invar: `absent`, `fresh`, `warming` or `ready`. After `ready` the run directory is open.
#[pyfunction]
pub fn state() -> &'static str {
    match find_state() {
        State::Absent => "absent",
        State::Fresh => "fresh",
        State::Warming => "warming",
        State::Ready => "ready",
    }
}

fn find_state() -> State {
    let own = own();
    match std::env::var(MARK).as_deref() {
        Ok("warm") => State::Warming,
        Ok(_) => {
            let found = own.is_dir_of_a_run().then_some(own).or_else(|| {
                // A worker of pytest-xdist: started by a repeatable process, with its descriptors closed. Any other
                // child is part of some benchmark, and is left alone.
                std::env::var_os("PYTEST_XDIST_WORKER")?;
                of_ancestors()
            });
            match found.map(|directory| hold(&directory.0, OnExecute::Close)) {
                Some(Ok(())) => State::Ready,
                _ => State::Absent,
            }
        }
        Err(_) if find().is_some() => State::Fresh,
        Err(_) => State::Absent,
    }
}

/// The run directory, as a path that is good for as long as nobody else ends.
pub fn find() -> Option<PathBuf> {
    let own = own();
    if own.is_dir_of_a_run() {
        return Some(own.0);
    }
    let variable = std::env::var_os(VARIABLE).map(|path| Candidate(path.into()));
    variable.filter(Candidate::is_dir_of_a_run).or_else(of_ancestors).map(|found| found.0)
}

/// Holds a directory open as [`DESCRIPTOR`].
pub fn hold(directory: &Path, on_execute: OnExecute) -> io::Result<()> {
    let opened = File::open(directory)?;
    if opened.as_raw_fd() == DESCRIPTOR {
        std::mem::forget(opened);
        return host::duplicate_to(DESCRIPTOR, DESCRIPTOR, on_execute);
    }
    host::duplicate_to(opened.as_raw_fd(), DESCRIPTOR, on_execute)
}

/// A file of the run directory that is held open.
pub fn file(name: &str) -> PathBuf {
    own().0.join(name)
}

/// The file `STEM-PID.EXTENSION` of this process in the run directory that is held open.
pub fn own_file(stem: &str, extension: &str) -> PathBuf {
    file(&format!("{stem}-{}.{extension}", std::process::id()))
}

struct Candidate(PathBuf);

impl Candidate {
    fn is_dir_of_a_run(&self) -> bool {
        self.0.join("request.json").is_file()
    }
}

fn own() -> Candidate {
    Candidate(format!("/proc/self/fd/{DESCRIPTOR}").into())
}

fn of_ancestors() -> Option<Candidate> {
    let mut pid = parent("self")?;
    while pid > 1 {
        let held = Candidate(format!("/proc/{pid}/fd/{DESCRIPTOR}").into());
        if held.is_dir_of_a_run() {
            return Some(held);
        }
        let named = variable_of(pid).map(|path| Candidate(path.into()));
        if let Some(named) = named.filter(Candidate::is_dir_of_a_run) {
            return Some(named);
        }
        pid = parent(&pid.to_string())?;
    }
    None
}

fn variable_of(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|&byte| byte == 0).find_map(|entry| {
        let entry = std::str::from_utf8(entry).ok()?;
        Some(entry.strip_prefix(VARIABLE)?.strip_prefix('=')?.to_string())
    })
}

fn parent(pid: &str) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in brackets may hold anything, brackets too.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The lock of the scratch directory's slot, held open for as long as a measuring process lives.
pub const SCRATCH_LOCK: RawFd = DESCRIPTOR + 1;

/// Makes ready a directory for files that tests make, whose path and (empty) content are the same in every run: the first
/// slot that is free. Pytest's own are numbered, their names' lengths would move the heap, and what an earlier run left
/// in them would be met by this one.
///
/// Called before re-execution, so that clearing it is no part of the measured process's history.
pub fn prepare_scratch() -> io::Result<()> {
    let user = host::user();
    let base = PathBuf::from(format!("/tmp/pytest-invar-{user:010}"));
    match fs::DirBuilder::new().mode(0o700).create(&base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(&base)?;
    if !metadata.is_dir() || metadata.uid() != user {
        return Err(io::Error::other(format!("{} belongs to somebody else", base.display())));
    }
    // A process that begins again takes the slot that it had.
    host::close(SCRATCH_LOCK);
    for slot in 0..10 {
        let path = base.join(format!("{slot}.lock"));
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if host::try_lock(lock.as_raw_fd()) {
            host::duplicate_to(lock.as_raw_fd(), SCRATCH_LOCK, OnExecute::Keep)?;
            return match fs::remove_dir_all(base.join(slot.to_string())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
    }
    Err(io::Error::other(format!("ten runs use {} at once", base.display())))
}

/// The scratch directory of this process, not yet made; `None` where it could not be prepared.
#[pyfunction]
pub fn scratch_directory() -> Option<String> {
    let lock = fs::read_link(format!("/proc/self/fd/{SCRATCH_LOCK}")).ok()?;
    host::duplicate_to(SCRATCH_LOCK, SCRATCH_LOCK, OnExecute::Close).ok()?;
    Some(lock.to_str()?.strip_suffix(".lock")?.to_string())
}
