//! Raw system calls. Not the engine's: that library does not know this one, nor this one that.
#![expect(unsafe_code, reason = "the syscall instruction has no safe interface")]

use core::arch::asm;

/// Numbers of system calls (`asm/unistd_64.h`).
pub mod number {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const OPEN: u64 = 2;
    pub const STAT: u64 = 4;
    pub const FSTAT: u64 = 5;
    pub const LSTAT: u64 = 6;
    pub const CLOSE: u64 = 3;
    pub const MMAP: u64 = 9;
    pub const MUNMAP: u64 = 11;
    pub const BRK: u64 = 12;
    pub const RT_SIGACTION: u64 = 13;
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const PREAD64: u64 = 17;
    pub const SCHED_YIELD: u64 = 24;
    pub const MREMAP: u64 = 25;
    pub const CLONE: u64 = 56;
    pub const FORK: u64 = 57;
    pub const PRCTL: u64 = 157;
    pub const ARCH_PRCTL: u64 = 158;
    pub const GETTID: u64 = 186;
    pub const TGKILL: u64 = 234;
    pub const GETPID: u64 = 39;
    pub const EXIT_GROUP: u64 = 231;
    pub const GETDENTS64: u64 = 217;
    pub const NEWFSTATAT: u64 = 262;
    pub const STATX: u64 = 332;
    pub const SECCOMP: u64 = 317;
}

/// Makes a system call. Returns what the kernel returns: a value, or `-errno`.
///
/// # Safety
///
/// The caller answers for what the call does to memory.
#[inline(always)]
pub unsafe fn call(number: u64, arguments: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the kernel clobbers rax, rcx and r11 alone; the caller answers for the call itself.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}
