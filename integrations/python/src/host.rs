//! The system calls that Python has no function for, or that must not allocate in Python's heap.
#![expect(unsafe_code, reason = "system calls have no safe interface")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const KEEP: libc::c_ulong = 0xffff_ffff;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Is address-space randomisation off in this process?
pub fn layout_is_fixed() -> bool {
    // SAFETY: this value asks, and changes nothing.
    let persona = unsafe { libc::personality(KEEP) };
    persona >= 0 && persona & libc::ADDR_NO_RANDOMIZE != 0
}

/// Switches address-space randomisation off for the next program that this process executes.
pub fn fix_layout() -> io::Result<()> {
    // SAFETY: this value asks, and changes nothing.
    let persona = check(unsafe { libc::personality(KEEP) })?;
    // SAFETY: changes a flag of this process alone.
    check(unsafe { libc::personality((persona | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong) })?;
    Ok(())
}

/// Sets the stack's soft limit: the kernel places libraries below the room that it leaves for the stack.
pub fn limit_stack(bytes: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    check(unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) })?;
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: `limit` is initialised.
    check(unsafe { libc::setrlimit(libc::RLIMIT_STACK, &limit) })?;
    Ok(())
}

/// A duplicate at exactly `target`, closed or kept when another program is executed.
pub fn duplicate_to(descriptor: RawFd, target: RawFd, on_execute: OnExecute) -> io::Result<()> {
    if descriptor != target {
        // SAFETY: both are numbers; what `target` was is this crate's own.
        check(unsafe { libc::dup2(descriptor, target) })?;
    }
    let flags = match on_execute {
        OnExecute::Close => libc::FD_CLOEXEC,
        OnExecute::Keep => 0,
    };
    // SAFETY: sets a flag of a descriptor.
    check(unsafe { libc::fcntl(target, libc::F_SETFD, flags) })?;
    Ok(())
}

/// What becomes of a descriptor when another program is executed.
#[derive(Clone, Copy)]
pub enum OnExecute {
    /// It is closed.
    Close,
    /// It is kept.
    Keep,
}

/// Marks every descriptor from `first` to `last` to be closed when another program is executed.
pub fn close_on_execute(first: u32, last: u32) {
    // SAFETY: sets flags of descriptors. An old kernel refuses; then they stay open, which is no harm.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Is it a terminal?
pub fn is_terminal(descriptor: RawFd) -> bool {
    // SAFETY: asks, and changes nothing.
    unsafe { libc::isatty(descriptor) == 1 }
}

/// Executes another program in this process. Returns only when that failed.
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: C strings in arrays that end in null, all alive during the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Which side of a fork this is.
pub enum Side {
    /// The new process.
    Child,
    /// The one that was there.
    Parent {
        /// The new one.
        child: libc::pid_t,
    },
}

/// Forks.
pub fn fork() -> io::Result<Side> {
    // SAFETY: the child only makes system calls before it executes another program, or has its interpreter told.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Side::Child),
        child => Ok(Side::Parent { child }),
    }
}

/// A pipe: the end to read, the end to write. Both are closed when another program is executed.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Ok((read, write))
}

/// Copies what arrives at each `from` to its `to` until every `from` has ended.
pub fn relay(pairs: &[(OwnedFd, RawFd)]) {
    let mut open: Vec<bool> = pairs.iter().map(|_| true).collect();
    let mut buffer = [0u8; 4096];
    while open.contains(&true) {
        let mut polled: Vec<libc::pollfd> = pairs
            .iter()
            .zip(&open)
            .map(|((from, _), &open)| libc::pollfd {
                fd: if open { from.as_raw_fd() } else { -1 },
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        // SAFETY: the array has as many entries as is said.
        if unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) } < 0 {
            continue;
        }
        for (index, (from, to)) in pairs.iter().enumerate() {
            if polled[index].revents == 0 {
                continue;
            }
            // SAFETY: the buffer has as many bytes as is said.
            let count = unsafe { libc::read(from.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            if count <= 0 {
                open[index] = false;
                continue;
            }
            let mut rest = &buffer[..count as usize];
            while !rest.is_empty() {
                // SAFETY: the slice has as many bytes as is said.
                let written = unsafe { libc::write(*to, rest.as_ptr().cast(), rest.len()) };
                if written <= 0 {
                    break;
                }
                rest = &rest[written as usize..];
            }
        }
    }
}

/// Waits for the end of a child; says how it has ended, as `waitpid` does.
pub fn wait_for(child: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for the answer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        // Who ignores the ends of children is told of none.
        if waited >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return status;
        }
    }
}

/// Waits for a child and ends as it did: with its exit status, or by its signal.
pub fn end_as(child: libc::pid_t) -> ! {
    let status = wait_for(child);
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // SAFETY: restores what a signal does by default, in a process that is about to end.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: sends a signal to this very process.
        unsafe { libc::raise(signal) };
    }
    // SAFETY: ends the process; nothing of Python's is to be run a second time.
    unsafe { libc::_exit(libc::WEXITSTATUS(status)) }
}

/// Leaves keys such as Ctrl-C to the child, which shares the terminal.
pub fn ignore_interrupts() {
    // SAFETY: a process that only relays has no handlers to lose.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}

/// Closes a descriptor, if it is open.
pub fn close(descriptor: RawFd) {
    // SAFETY: a number of this crate's own.
    unsafe { libc::close(descriptor) };
}

/// Locks a file for this process, or says that another has it.
pub fn try_lock(descriptor: RawFd) -> bool {
    // SAFETY: locks a file that is open.
    unsafe { libc::flock(descriptor, libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// The user on whose behalf this process acts.
pub fn user() -> u32 {
    // SAFETY: asks, and changes nothing.
    unsafe { libc::geteuid() }
}
