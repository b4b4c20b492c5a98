//! Randomness and clocks that take the same course in every run.
//!
//! Two things differ between processes that are otherwise equal. *Random bytes* from the kernel seed hash tables (Rust's
//! `RandomState`, `ahash`), so probes and orders differ: a parser in a native extension counts some instructions more or
//! fewer. *Clocks* are read by code of the kernel's that is mapped into every process (the vDSO), which divides by repeated
//! subtraction: its length depends on the time; CPython from 3.11 on reads a clock at every lock.
//!
//! So the measured process gets its random bytes from a fixed stream, and asks the kernel itself for the time. Both are
//! done by overwriting the first bytes of two functions of the C library, in this process's private copy, before any module
//! of the suite is imported. The vDSO itself cannot be overwritten (Linux seals it from 6.16 on), so `time` and
//! `gettimeofday`, which lead there directly, stay as they are; so does everything where the kernel forbids the change. The
//! engine's diagnostics say what was read.
#![expect(unsafe_code, reason = "overwrites machine code of the process that it runs in")]

use std::ffi::{CStr, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes this process steady. Once.
pub fn make() {
    replace(c"getrandom", fixed_random as *const () as u64);
    replace(c"clock_gettime", kernel_clock as *const () as u64);
}

fn replace(name: &CStr, function: u64) {
    let Some(target) = function_of_libc(name) else { return };
    // mov rax, function; jmp rax
    let mut jump = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
    jump[2..10].copy_from_slice(&function.to_le_bytes());
    // SAFETY: a function of the C library, longer than a jump. Nobody runs it: this thread is here, and there is no other
    // so early in a session.
    unsafe { overwrite(target, &jump) };
}

static STREAM: AtomicU64 = AtomicU64::new(0);

/// What `getrandom` is replaced by: the same bytes in the same order in every process (splitmix64).
extern "C" fn fixed_random(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    for at in (0..length).step_by(8) {
        let mut word = STREAM.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (word ^ (word >> 31)).to_le_bytes();
        let count = (length - at).min(8);
        // SAFETY: `getrandom`'s caller answers for `length` bytes at `buffer`, and `at + count` is at most that.
        let target = unsafe { buffer.cast::<u8>().add(at) };
        // SAFETY: as above; `bytes` is ours.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), count) };
    }
    length as isize
}

static CLOCK_READS: AtomicU64 = AtomicU64::new(0);

/// How many system calls were made instead of reading the clock in the vDSO.
pub fn clock_reads() -> u64 {
    CLOCK_READS.load(Ordering::Relaxed)
}

/// What `clock_gettime` is replaced by: the system call, without the vDSO.
extern "C" fn kernel_clock(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    CLOCK_READS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: `clock_gettime`'s caller answers for the pointer; the kernel checks it as well.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int }
}

fn function_of_libc(name: &CStr) -> Option<*mut u8> {
    // SAFETY: asks for a library that is loaded already, and loads none.
    let library = unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return None;
    }
    // SAFETY: a handle of `dlopen`, which is never closed.
    let function = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!function.is_null()).then_some(function.cast())
}

/// Replaces machine code. Where the kernel does not allow it, nothing happens.
///
/// # Safety
///
/// `target` is the start of a function at least as long as `code`, which nobody runs meanwhile.
unsafe fn overwrite(target: *mut u8, code: &[u8]) {
    const PAGE: usize = 4096;
    let start = target as usize & !(PAGE - 1);
    let length = (target as usize + code.len()).next_multiple_of(PAGE) - start;
    let pages: *mut c_void = start as *mut c_void;
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // SAFETY: whole pages that hold the function, which stay readable and executable.
    if unsafe { libc::mprotect(pages, length, all) } != 0 {
        return;
    }
    // SAFETY: the pages are writable now, a private copy is made, and the caller answers for the function.
    unsafe { target.copy_from_nonoverlapping(code.as_ptr(), code.len()) };
    // SAFETY: as they were.
    unsafe { libc::mprotect(pages, length, libc::PROT_READ | libc::PROT_EXEC) };
}
