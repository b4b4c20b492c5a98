//! Raw system calls: no libc, no errno.
#![expect(unsafe_code, reason = "the syscall instruction has no safe interface")]

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;

/// Numbers of the system calls that the engine makes or looks at (`asm/unistd_64.h`).
pub mod number {
    #![expect(missing_docs, reason = "the kernel's names")]
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const OPEN: u64 = 2;
    pub const CLOSE: u64 = 3;
    pub const STAT: u64 = 4;
    pub const POLL: u64 = 7;
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const RT_SIGACTION: u64 = 13;
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const RT_SIGRETURN: u64 = 15;
    pub const IOCTL: u64 = 16;
    pub const SELECT: u64 = 23;
    pub const SCHED_YIELD: u64 = 24;
    pub const MREMAP: u64 = 25;
    pub const MADVISE: u64 = 28;
    pub const SHMAT: u64 = 30;
    pub const NANOSLEEP: u64 = 35;
    pub const GETPID: u64 = 39;
    pub const CLONE: u64 = 56;
    pub const FORK: u64 = 57;
    pub const VFORK: u64 = 58;
    pub const EXECVE: u64 = 59;
    pub const EXIT: u64 = 60;
    pub const SHMDT: u64 = 67;
    pub const GETTIMEOFDAY: u64 = 96;
    pub const RT_SIGTIMEDWAIT: u64 = 128;
    pub const ARCH_PRCTL: u64 = 158;
    pub const TIME: u64 = 201;
    pub const FUTEX: u64 = 202;
    pub const SET_TID_ADDRESS: u64 = 218;
    pub const CLOCK_GETTIME: u64 = 228;
    pub const CLOCK_NANOSLEEP: u64 = 230;
    pub const EPOLL_WAIT: u64 = 232;
    pub const PSELECT6: u64 = 270;
    pub const PPOLL: u64 = 271;
    pub const EPOLL_PWAIT: u64 = 281;
    pub const GETRANDOM: u64 = 318;
    pub const EXECVEAT: u64 = 322;
    pub const PKEY_MPROTECT: u64 = 329;
    pub const CLONE3: u64 = 435;
    pub const EPOLL_PWAIT2: u64 = 441;
    pub const FUTEX_WAITV: u64 = 449;
}

/// Makes a system call. Returns what the kernel returns: a value, or `-errno`.
///
/// # Safety
///
/// The call must not break memory that Rust knows of: pointers valid for what the kernel does with them, no
/// unmapping of live memory.
pub unsafe fn syscall(number: u64, arguments: [u64; 6]) -> i64 {
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
            options(nostack),
        );
    }
    result
}

/// This process.
pub fn process_id() -> u32 {
    // SAFETY: getpid takes nothing and cannot fail.
    let id = unsafe { syscall(number::GETPID, [0; 6]) };
    id as u32
}

/// A file of this process that closes when it goes.
pub struct File {
    descriptor: u64,
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read what is there.
    Read,
    /// To append, creating the file where missing.
    Append,
}

impl File {
    /// Opens the file at `path`, which must end in a NUL byte. The error is the kernel's `errno`.
    pub fn open(path: &[u8], access: Access) -> Result<File, i32> {
        assert_eq!(path.last(), Some(&0), "a path for the kernel ends in a NUL byte");
        const CLOEXEC: u64 = 0o2000000;
        let flags = CLOEXEC
            | match access {
                Access::Read => 0,
                Access::Append => 0o1 | 0o100 | 0o2000,
            };
        // SAFETY: the path is readable up to its NUL byte, which the assertion has found.
        let result = unsafe { syscall(number::OPEN, [path.as_ptr() as u64, flags, 0o644, 0, 0, 0]) };
        if result < 0 { Err(-result as i32) } else { Ok(File { descriptor: result as u64 }) }
    }

    /// Reads up to `buffer.len()` bytes; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, i32> {
        let arguments = [self.descriptor, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0, 0, 0];
        // SAFETY: the kernel writes within `buffer`.
        let result = unsafe { syscall(number::READ, arguments) };
        if result < 0 { Err(-result as i32) } else { Ok(result as usize) }
    }

    /// Asks the driver behind the file. `argument` is what `request` says, numbers and addresses that the kernel may use.
    ///
    /// # Safety
    ///
    /// The kernel may write to `argument` and to what its addresses say.
    pub unsafe fn control<T>(&mut self, request: u64, argument: &mut T) -> Result<(), i32> {
        let arguments = [self.descriptor, request, &raw mut *argument as u64, 0, 0, 0];
        // SAFETY: the caller answers for the argument.
        let result = unsafe { syscall(number::IOCTL, arguments) };
        if result < 0 { Err(-result as i32) } else { Ok(()) }
    }

    /// How long the file is.
    pub fn size(&mut self) -> Result<u64, i32> {
        const LSEEK: u64 = 8;
        const END: u64 = 2;
        // SAFETY: the descriptor is ours; writes go to the end in any case.
        let result = unsafe { syscall(LSEEK, [self.descriptor, 0, END, 0, 0, 0]) };
        if result < 0 { Err(-result as i32) } else { Ok(result as u64) }
    }

    /// Writes all of `bytes`.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), i32> {
        const EINTR: i64 = -4;
        while !bytes.is_empty() {
            let arguments = [self.descriptor, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0, 0];
            // SAFETY: the kernel reads within `bytes`.
            let result = unsafe { syscall(number::WRITE, arguments) };
            match result {
                EINTR => {}
                0 => return Err(5),
                error if error < 0 => return Err(-error as i32),
                count => bytes = &bytes[count as usize..],
            }
        }
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and not used again.
        unsafe { syscall(number::CLOSE, [self.descriptor, 0, 0, 0, 0, 0]) };
    }
}

/// How many threads this process has, by the number of entries of `/proc/self/task`; 1 where that cannot be read.
pub fn thread_count() -> u64 {
    let mut status = [0u64; 18]; // struct stat is 144 bytes
    let path = b"/proc/self/task\0";
    let arguments = [path.as_ptr() as u64, status.as_mut_ptr() as u64, 0, 0, 0, 0];
    // SAFETY: the path ends in a NUL byte and `status` is as large as `struct stat`.
    let result = unsafe { syscall(number::STAT, arguments) };
    const LINKS: usize = 2; // st_nlink, at byte 16: two for `.` and `..`
    if result == 0 { status[LINKS].saturating_sub(2).max(1) } else { 1 }
}

/// The numbers of this process's threads, as `/proc/self/task` lists them; none where that cannot be read.
pub fn threads() -> Vec<u32> {
    const GETDENTS64: u64 = 217;
    let mut threads = Vec::new();
    let Ok(file) = File::open(b"/proc/self/task\0", Access::Read) else { return threads };
    let mut entries = vec![0u8; 4096];
    loop {
        let arguments = [file.descriptor, entries.as_mut_ptr() as u64, entries.len() as u64, 0, 0, 0];
        // SAFETY: the kernel writes within `entries`.
        let bytes = unsafe { syscall(GETDENTS64, arguments) };
        let Some(mut rest) = usize::try_from(bytes).ok().and_then(|bytes| entries.get(..bytes)) else {
            break;
        };
        if rest.is_empty() {
            break;
        }
        // `struct linux_dirent64`: its length is at byte 16, its name from byte 19 on ends in a NUL byte.
        while let [.., _] = rest {
            let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let (entry, others) = rest.split_at(length);
            let digits = entry[19..].iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits
                .fold(0, |number: u32, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
            threads.extend((number != 0).then_some(number));
            rest = others;
        }
    }
    threads
}

/// What a file of the kernel's about a thread of this process says, up to so many bytes; `None` if the thread is gone.
pub fn about_thread(thread: u32, file: &str) -> Option<String> {
    let mut file = File::open(format!("/proc/self/task/{thread}/{file}\0").as_bytes(), Access::Read).ok()?;
    let mut text = vec![0; 4096];
    let mut length = 0;
    while let count @ 1.. = file.read(&mut text[length..]).ok()? {
        length += count;
    }
    text.truncate(length);
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// This thread.
pub fn thread_id() -> u32 {
    const GETTID: u64 = 186;
    // SAFETY: takes nothing and cannot fail.
    let id = unsafe { syscall(GETTID, [0; 6]) };
    id as u32
}

/// Does a thread of this process have this number?
pub fn thread_exists(thread: u32) -> bool {
    const TGKILL: u64 = 234;
    // SAFETY: signal 0 is sent to nobody; the kernel looks whether it could be.
    unsafe { syscall(TGKILL, [u64::from(process_id()), u64::from(thread), 0, 0, 0, 0]) == 0 }
}

/// Wakes who waits in the kernel on a word: the arguments are those of the guest's `futex` that wakes.
pub fn wake(arguments: [u64; 6]) -> i64 {
    // SAFETY: a call that wakes reads and writes nothing.
    unsafe { syscall(number::FUTEX, arguments) }
}

/// Lets other threads run.
pub fn yield_processor() {
    // SAFETY: takes nothing.
    unsafe { syscall(number::SCHED_YIELD, [0; 6]) };
}

/// What a clock of the kernel's shows, in nanoseconds; `None` if there is none of this number.
pub fn clock(number: u64) -> Option<u64> {
    let mut time = [0u64; 2];
    // SAFETY: the kernel writes the two words of `time`.
    let result = unsafe { syscall(number::CLOCK_GETTIME, [number, &raw mut time as u64, 0, 0, 0, 0]) };
    (result == 0).then(|| time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1]))
}

/// Reads the vector of numbers that the kernel gave this process, and looks `wanted` up.
pub fn auxiliary(wanted: u64) -> Option<u64> {
    let mut file = File::open(b"/proc/self/auxv\0", Access::Read).ok()?;
    let mut entry = [0u8; 16];
    while file.read(&mut entry).ok()? == entry.len() {
        let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
        if number(0) == wanted {
            return Some(number(8));
        }
    }
    None
}

/// Whether a file is one that never lets wait (a file on a disk, a directory), by its descriptor.
pub fn is_on_disk(descriptor: u64) -> bool {
    const FSTAT: u64 = 5;
    let mut status = [0u64; 18]; // struct stat is 144 bytes
    // SAFETY: `status` is as large as `struct stat`.
    let result = unsafe { syscall(FSTAT, [descriptor, status.as_mut_ptr() as u64, 0, 0, 0, 0]) };
    // A bad descriptor is refused at once.
    result != 0 || matches!(file_type(&status), 0o100000 | 0o040000 | 0o060000)
}

/// Whether the path (of a directory's descriptor and the guest's address) is that of a pipe.
pub fn is_pipe(directory: u64, path: u64) -> bool {
    const NEWFSTATAT: u64 = 262;
    let mut status = [0u64; 18];
    // SAFETY: `status` is as large as `struct stat`; the kernel answers for the path.
    let result = unsafe { syscall(NEWFSTATAT, [directory, path, status.as_mut_ptr() as u64, 0, 0, 0]) };
    result == 0 && file_type(&status) == 0o010000
}

/// Of a `struct stat`: the mode is at byte 24.
fn file_type(status: &[u64; 18]) -> u64 {
    status[3] & 0o170000
}

/// Whether a file can be read, or written to, at once.
pub fn is_ready(descriptor: u64, writes: bool) -> bool {
    const POLL: u64 = 7;
    const READABLE: u64 = 1;
    const WRITABLE: u64 = 4;
    let asked = if writes { WRITABLE } else { READABLE };
    // struct pollfd: the descriptor in four bytes, what is asked for and what is so in two each.
    let mut poll = (descriptor & 0xffff_ffff) | asked << 32;
    // SAFETY: one structure, which the kernel reads and writes.
    let result = unsafe { syscall(POLL, [&raw mut poll as u64, 1, 0, 0, 0, 0]) };
    result == 1 && poll >> 48 & asked != 0
}

/// The `fs` base of this thread.
pub fn fs_base() -> u64 {
    const ARCH_GET_FS: u64 = 0x1003;
    let mut base = 0u64;
    // SAFETY: the kernel writes the eight bytes of `base`.
    unsafe { syscall(number::ARCH_PRCTL, [ARCH_GET_FS, &raw mut base as u64, 0, 0, 0, 0]) };
    base
}

/// The `gs` base of this thread.
pub fn gs_base() -> u64 {
    const ARCH_GET_GS: u64 = 0x1004;
    let mut base = 0u64;
    // SAFETY: the kernel writes the eight bytes of `base`.
    unsafe { syscall(number::ARCH_PRCTL, [ARCH_GET_GS, &raw mut base as u64, 0, 0, 0, 0]) };
    base
}

/// The code of `arch_prctl` that sets the `gs` base.
pub const ARCH_SET_GS: u64 = 0x1001;

/// Sets the `gs` base of this thread. By system call rather than `wrgsbase`: twice a region is nothing, and it works
/// where the kernel has not enabled FSGSBASE.
pub fn set_gs_base(base: u64) {
    // SAFETY: no Rust code uses the gs segment.
    unsafe { syscall(number::ARCH_PRCTL, [ARCH_SET_GS, base, 0, 0, 0, 0]) };
}

/// Writes `message` to stderr and ends the process by SIGABRT.
pub fn abort_with(message: &str) -> ! {
    const TGKILL: u64 = 234;
    const GETTID: u64 = 186;
    const EXIT_GROUP: u64 = 231;
    const SIGABRT: u64 = 6;
    // SAFETY: the kernel reads within `message`.
    unsafe { syscall(number::WRITE, [2, message.as_ptr() as u64, message.len() as u64, 0, 0, 0]) };
    // SAFETY: takes nothing.
    let thread = unsafe { syscall(GETTID, [0; 6]) };
    // SAFETY: a signal to ourselves.
    unsafe { syscall(TGKILL, [u64::from(process_id()), thread as u64, SIGABRT, 0, 0, 0]) };
    loop {
        // SAFETY: where the signal is ignored the process ends all the same.
        unsafe { syscall(EXIT_GROUP, [134, 0, 0, 0, 0, 0]) };
    }
}
