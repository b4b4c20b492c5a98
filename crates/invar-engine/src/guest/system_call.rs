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

/// A call starts a thread of this process, if it succeeds.
pub fn starts_thread(call: u64, flags: u64) -> bool {
    matches!(call, number::CLONE | number::CLONE3)
        && child_diagnostic(call, flags) == Diagnostic::OtherThreadsRan
}

/// On what a call may wait for a thing outside of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// It does not.
    Never,
    /// On the file behind a descriptor: until it can be read or written, so many bytes.
    File {
        /// The descriptor.
        descriptor: u64,
        /// It is written.
        writes: bool,
        /// Bytes.
        bytes: u64,
    },
    /// On whoever opens the other end, if the path (of a directory's descriptor and an address) is that of a pipe.
    Path(u64, u64),
    /// Perhaps for ever.
    Perhaps,
}

/// What a call of one of several threads may wait on. Those which are not known may wait.
pub fn outside(call: u64, arguments: [u64; 6]) -> Outside {
    const AT_FDCWD: u64 = -100i64 as u64;
    const SET_LOCK_AND_WAIT: [u64; 2] = [7, 38];
    let [first, second, third, fourth, ..] = arguments;
    match call {
        // read, pread64, readv; write, pwrite64, writev: vectors are as long as they are.
        0 | 17 => Outside::File { descriptor: first, writes: false, bytes: third },
        19 => Outside::File { descriptor: first, writes: false, bytes: u64::MAX },
        1 | 18 => Outside::File { descriptor: first, writes: true, bytes: third },
        20 => Outside::File { descriptor: first, writes: true, bytes: u64::MAX },
        // open, creat, openat, openat2
        2 | 85 => Outside::Path(AT_FDCWD, first),
        257 | 437 => Outside::Path(first, second),
        // poll, select, epoll_wait, epoll_pwait: whether they wait is in an argument.
        7 if third == 0 => Outside::Never,
        232 | 281 if fourth == 0 => Outside::Never,
        // ioctl: what a terminal or a file is and has.
        16 if matches!(second, 0x5401 | 0x5413 | 0x541b | 0x5421 | 0x5450 | 0x5451) => Outside::Never,
        // fcntl
        72 if SET_LOCK_AND_WAIT.contains(&second) => Outside::Perhaps,
        _ if never_waits(call) => Outside::Never,
        _ => Outside::Perhaps,
    }
}

/// Calls that end by themselves: about memory, signals, processes, names and properties of files, and what is asked for at once.
fn never_waits(call: u64) -> bool {
    matches!(
        call,
        // close, stat, fstat, lstat; lseek, mmap, mprotect, munmap, brk; rt_sigaction, rt_sigprocmask, rt_sigreturn
        3..=6 | 8..=15
        // access, pipe; mremap, msync, mincore, madvise, shmget, shmat, shmctl, dup, dup2
        | 21 | 22 | 25..=33
        // getitimer, alarm, setitimer, getpid; socket; shutdown, bind, listen, getsockname, getpeername, socketpair, sockopts
        | 36..=39 | 41 | 48..=55
        // clone, fork, vfork, execve, exit; kill, uname, semget, shmdt; fcntl
        | 56..=60 | 62..=64 | 67 | 72
        // fsync ... getcwd, chdir ... link, symlink, readlink, chmod, chown, umask; times of day; limits, ids, signals that wait
        | 74..=84 | 86..=127
        // sigaltstack, utime, personality, statfs, priorities and schedulers, memory locks, prctl, arch_prctl, limits
        | 131 | 132 | 135 | 137 | 138 | 140..=152 | 157..=160 | 162
        // gettid, extended attributes, tkill, time, affinity, set_tid_address, fadvise, timers, clocks, exit_group, epoll_ctl, tgkill
        | 186 | 188..=201 | 203 | 204 | 213 | 217 | 218 | 221..=229 | 231 | 233 | 234
        // mbind and its kin, inotify; mkdirat ... faccessat; robust lists; epoll_create1 and other descriptors that are made
        | 237..=239 | 253..=255 | 258..=269 | 273 | 274 | 280 | 282..=287 | 289..=294
        // prlimit64, getcpu, sched_setattr, renameat2, seccomp, getrandom, memfd_create, execveat, membarrier, mlock2, pkeys, statx, rseq
        | 302 | 309 | 314..=316 | 317..=319 | 322 | 324 | 325 | 329..=332 | 334
        // pidfd_send_signal, pidfd_open, clone3, close_range, faccessat2
        | 424 | 434 | 435 | 436 | 439
    )
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
    fn who_polls_with_a_time_may_wait() {
        assert_eq!(outside(7, [0, 1, 0, 0, 0, 0]), Outside::Never);
        assert_eq!(outside(7, [0, 1, 1000, 0, 0, 0]), Outside::Perhaps);
        assert_eq!(outside(number::MMAP, [0; 6]), Outside::Never);
        assert_eq!(outside(u64::MAX, [0; 6]), Outside::Perhaps);
    }

    #[test]
    fn a_thread_is_no_process() {
        assert_eq!(child_diagnostic(number::CLONE3, 0x10000), Diagnostic::OtherThreadsRan);
        assert_eq!(child_diagnostic(number::CLONE, 17), Diagnostic::StartedProcess);
        assert_eq!(child_diagnostic(number::VFORK, 0x10000), Diagnostic::StartedProcess);
    }
}
