//! Which system calls of the guest need care.

use crate::host::syscall::{ARCH_SET_GS, number};
use invar_core::diagnostic::Diagnostic;

/// How a system call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// As it is.
    None,
    /// It returns twice: the child goes on natively.
    Child,
    /// It does not come back behind the instruction: natively, and the engine lets go.
    Leave,
    /// It would take the engine's segment register away: refused with `EPERM`.
    Refuse,
}

/// What to do about a call before it is made.
pub fn care(call: u64, arguments: [u64; 6]) -> Care {
    match call {
        number::CLONE | number::CLONE3 | number::FORK | number::VFORK => Care::Child,
        number::RT_SIGRETURN => Care::Leave,
        number::ARCH_PRCTL if arguments[0] == ARCH_SET_GS => Care::Refuse,
        _ => Care::None,
    }
}

/// What a call that has started something says about the benchmark. `flags` are those of clone and clone3.
pub fn child_diagnostic(call: u64, flags: u64) -> Diagnostic {
    const CLONE_THREAD: u64 = 0x10000;
    match call {
        number::CLONE | number::CLONE3 if flags & CLONE_THREAD != 0 => Diagnostic::OtherThreadsRan,
        _ => Diagnostic::StartedProcess,
    }
}

/// What a call says about the benchmark.
pub fn diagnostic(call: u64) -> Option<Diagnostic> {
    match call {
        number::CLOCK_GETTIME | number::GETTIMEOFDAY | number::TIME => Some(Diagnostic::ReadClock),
        number::GETRANDOM => Some(Diagnostic::ReadRandom),
        _ => None,
    }
}

/// How a call that returned `result` may have changed what is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// Within these ranges (start and length); `executable` says that something may be executed there now.
    Ranges {
        /// The ranges; an unused one has length zero.
        ranges: [(u64, u64); 2],
        /// New code may be there.
        executable: bool,
    },
    /// Anywhere.
    Everything,
}

/// What to forget after a call.
pub fn change(call: u64, arguments: [u64; 6], result: i64) -> Change {
    const PROT_EXEC: u64 = 4;
    if (-4095..0).contains(&result) {
        return Change::None;
    }
    match call {
        number::MMAP => Change::Ranges {
            ranges: [(result as u64, arguments[1]), (0, 0)],
            executable: arguments[2] & PROT_EXEC != 0,
        },
        number::MPROTECT | number::PKEY_MPROTECT => Change::Ranges {
            ranges: [(arguments[0], arguments[1]), (0, 0)],
            executable: arguments[2] & PROT_EXEC != 0,
        },
        number::MUNMAP | number::MADVISE => {
            Change::Ranges { ranges: [(arguments[0], arguments[1]), (0, 0)], executable: false }
        }
        number::MREMAP => Change::Ranges {
            ranges: [(arguments[0], arguments[1]), (result as u64, arguments[2])],
            executable: false,
        },
        number::SHMAT | number::SHMDT => Change::Everything,
        _ => Change::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_unmapping_changes_nothing() {
        assert_eq!(change(number::MUNMAP, [0x1000, 0x1000, 0, 0, 0, 0], -22), Change::None);
    }

    #[test]
    fn a_thread_is_no_process() {
        assert_eq!(child_diagnostic(number::CLONE3, 0x10000), Diagnostic::OtherThreadsRan);
        assert_eq!(child_diagnostic(number::CLONE, 17), Diagnostic::StartedProcess);
        assert_eq!(child_diagnostic(number::VFORK, 0x10000), Diagnostic::StartedProcess);
    }
}
