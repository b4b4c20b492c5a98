//! The run directory: where a measuring process finds what is asked for and leaves what it found. The contract is
//! docs/protocol.md.
//!
//! The runner holds it open as descriptor [`DESCRIPTOR`] and names it in [`VARIABLE`] of the command. A measuring process
//! asks itself and then its ancestors, of which the runner is one: so it is found also where tox, nox or `env -i` have scrubbed the
//! environment, and no descriptor need be inherited. Nothing is inherited either: a runner that is started by
//! a command under another runner gets a descriptor of its own, and the nearest one counts.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

/// The descriptor by which a run directory is found.
const DESCRIPTOR: i32 = 198;
/// The variable by which it is found.
pub(crate) const VARIABLE: &str = "INVAR_RUN_DIR";
/// Marks the environment of a measured process, which a command must not seem to be.
pub(crate) const MARK: &str = "INVAR";

/// A run directory, private to its user, gone when this is dropped.
pub(crate) struct RunDirectory {
    directory: TempDir,
    _held: Option<OwnedFd>,
}

impl RunDirectory {
    /// Makes one that asks for `request`.
    pub fn create(request: &str) -> io::Result<RunDirectory> {
        let private = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("invar-run-").permissions(private).tempdir()?;
        std::fs::write(directory.path().join("request.json"), request)?;
        let held = rustix::io::fcntl_dupfd_cloexec(File::open(directory.path())?, DESCRIPTOR)?;
        // Where the number is taken the variable has to do.
        let held = (held.as_raw_fd() == DESCRIPTOR).then_some(held);
        Ok(RunDirectory { directory, _held: held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_read_it_and_it_leaves_nothing() {
        let directory = RunDirectory::create("{}").unwrap();
        let path = directory.path().to_path_buf();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_to_string(path.join("request.json")).unwrap(), "{}");
        drop(directory);
        assert!(!path.exists());
    }
}
