//! Loading the program a second time, where it is to lie, and going over to it.
#![expect(unsafe_code, reason = "maps memory at addresses, builds a stack, jumps to a program")]

use core::arch::naked_asm;
use core::ffi::CStr;
use core::ops::Range;

use crate::elf::{HEADER_BYTES, Program};
use crate::system::{call, number};
use crate::{ASK, MAPPINGS, PAGE, PROGRAM, STACK_BYTES, STACK_END, is_ours, maps, page_down, page_up, trap};

const PRELOAD: &[u8] = b"LD_PRELOAD=";
const READ_WRITE: u64 = 3;
const PRIVATE: u64 = 0x02;
const FIXED: u64 = 0x10;
const ANONYMOUS: u64 = 0x20;
const NORESERVE: u64 = 0x4000;
const FIXED_NOREPLACE: u64 = 0x10_0000;

/// Room for the list of mappings, and for what of it is to be unmapped.
const SCRATCH_BYTES: u64 = 4 << 20;

/// Places the program if [`ASK`] is in the environment, and then does not return. Where that cannot be, the program goes on
/// as the kernel has loaded it; in either case neither `ASK` nor `LD_PRELOAD` is left in its environment.
///
/// # Safety
///
/// For the constructor of a preloaded library, on the first thread, before the program has begun: `arguments` and `environment` are
/// the kernel's own, on its stack, with the auxiliary vector behind them.
pub unsafe fn begin(arguments: *const *const u8, environment: *mut *const u8) {
    // SAFETY: the caller says that these are the kernel's.
    let Some(mut given) = (unsafe { Given::read(arguments, environment) }) else { return };
    given.forget_the_asking();
    if let Some(start) = given.load() {
        start.go();
    }
}

/// What the kernel has put on the stack.
struct Given {
    arguments: *const *const u8,
    environment: *mut *const u8,
    auxiliary: *const [u64; 2],
}

impl Given {
    /// `None` if that is not asked for.
    ///
    /// # Safety
    ///
    /// As for [`begin`].
    unsafe fn read(arguments: *const *const u8, environment: *mut *const u8) -> Option<Given> {
        let mut at = environment;
        // Without the second it would be a library like others, in a program that has begun.
        let (mut is_asked, mut is_preloaded) = (false, false);
        loop {
            // SAFETY: the environment ends in a null.
            let entry = unsafe { at.read() };
            // SAFETY: as above: the null is the last.
            at = unsafe { at.add(1) };
            if entry.is_null() {
                break;
            }
            is_asked |= starts_with(entry, ASK);
            is_preloaded |= starts_with(entry, PRELOAD);
        }
        (is_asked && is_preloaded).then_some(Given {
            arguments,
            environment,
            auxiliary: at as *const [u64; 2],
        })
    }

    /// Takes the asking out of the environment.
    fn forget_the_asking(&mut self) {
        let (mut from, mut to) = (self.environment, self.environment);
        loop {
            // SAFETY: up to its null the environment is readable.
            let entry = unsafe { from.read() };
            if entry.is_null() || !(starts_with(entry, ASK) || starts_with(entry, PRELOAD)) {
                // SAFETY: not behind `from`.
                unsafe { to.write(entry) };
                // SAFETY: as above.
                to = unsafe { to.add(1) };
            }
            if entry.is_null() {
                return;
            }
            // SAFETY: the null has not been met yet.
            from = unsafe { from.add(1) };
        }
    }

    /// An entry of the auxiliary vector.
    fn auxiliary(&self, kind: u64) -> Option<u64> {
        let mut at = self.auxiliary;
        loop {
            // SAFETY: the vector ends in an entry of kind 0.
            let [found, value] = unsafe { at.read() };
            if found == kind {
                return Some(value);
            }
            if found == 0 {
                return None;
            }
            // SAFETY: as above.
            at = unsafe { at.add(1) };
        }
    }

    /// Loads everything, and has the kernel send calls. `None`: nothing is left of the try.
    fn load(&self) -> Option<Start> {
        let file = File::open(c"/proc/self/exe")?;
        let mut head = [0; PAGE as usize];
        let program = Program::read(file.read_at(&mut head, 0)?)?;
        let (offset, bytes) = program.interpreter?;
        let mut path = [0; 256];
        let path = file.read_at(path.get_mut(..usize::try_from(bytes).ok()?)?, offset)?;
        let interpreter_file = File::open(CStr::from_bytes_with_nul(path).ok()?)?;
        let mut head = [0; PAGE as usize];
        let interpreter = Program::read(interpreter_file.read_at(&mut head, 0)?)?;
        if interpreter.is_fixed || interpreter.interpreter.is_some() {
            return None;
        }
        // A program that can lie nowhere else is loaded over itself, last: then there is no way back.
        let stays = if program.is_fixed { program.pages() } else { 0..0 };
        let unloaded = Old::list(&stays)?;
        let place = MAPPINGS.end - interpreter.pages().end;
        let interpreter_memory = load(&interpreter_file, &interpreter, place, FIXED_NOREPLACE)?;
        let stack = Memory::map(STACK_END - STACK_BYTES, STACK_BYTES, READ_WRITE, FIXED_NOREPLACE)?;
        let base = if program.is_fixed { 0 } else { PROGRAM };
        let pointer = self.stack(&program, base, place)?;
        let taken = [[place, MAPPINGS.end]];
        let program_memory = if program.is_fixed {
            trap::install(&taken, PROGRAM)?;
            load(&file, &program, base, FIXED).unwrap_or_else(|| end())
        } else {
            let memory = load(&file, &program, base, FIXED_NOREPLACE)?;
            trap::install(&taken, memory.0.end)?;
            memory
        };
        for memory in [program_memory, interpreter_memory, stack] {
            core::mem::forget(memory);
        }
        Some(Start { old: unloaded, stack: pointer, entry: place + interpreter.entry })
    }

    /// Writes the stack that the program finds; returns where it points.
    ///
    /// From above: the strings, sixteen bytes that are no longer random, the vectors.
    fn stack(&self, program: &Program, base: u64, interpreter: u64) -> Option<u64> {
        let mut stack = Stack { pointer: STACK_END - 8 };
        let name = stack.text(self.auxiliary(kind::EXECFN)? as *const u8)?;
        let arguments = Vector { at: self.arguments };
        let environment = Vector { at: self.environment.cast_const() };
        for entry in arguments.chain(environment) {
            stack.text(entry)?;
        }
        let platform = stack.text(c"x86_64".as_ptr().cast())?;
        let random = stack.bytes(b"no longer random")?;
        let auxiliary = [
            [kind::PHDR, base + program.headers],
            [kind::PHENT, HEADER_BYTES],
            [kind::PHNUM, program.header_count],
            [kind::PAGESZ, PAGE],
            [kind::BASE, interpreter],
            [kind::FLAGS, 0],
            [kind::ENTRY, base + program.entry],
            [kind::UID, self.auxiliary(kind::UID)?],
            [kind::EUID, self.auxiliary(kind::EUID)?],
            [kind::GID, self.auxiliary(kind::GID)?],
            [kind::EGID, self.auxiliary(kind::EGID)?],
            [kind::SECURE, self.auxiliary(kind::SECURE)?],
            [kind::CLKTCK, self.auxiliary(kind::CLKTCK)?],
            [kind::HWCAP, BASELINE],
            [kind::HWCAP2, self.auxiliary(kind::HWCAP2).unwrap_or(0)],
            [kind::MINSIGSTKSZ, self.auxiliary(kind::MINSIGSTKSZ).unwrap_or(0).max(FRAME_BYTES)],
            [kind::PLATFORM, platform],
            [kind::RANDOM, random],
            [kind::EXECFN, name],
            [0, 0],
        ];
        let (argument_count, variable_count) = (arguments.count() as u64, environment.count() as u64);
        let words = 1 + argument_count + 1 + variable_count + 1 + 2 * auxiliary.len() as u64;
        let pointer = (stack.pointer - 8 * words) & !15;
        let mut out = pointer;
        let mut word = |value: u64| {
            // SAFETY: within the stack that was just mapped, below its strings.
            unsafe { (out as *mut u64).write(value) };
            out += 8;
        };
        word(argument_count);
        let mut strings = Stack { pointer: name };
        for entry in arguments {
            word(strings.passed(entry)?);
        }
        word(0);
        for entry in environment {
            word(strings.passed(entry)?);
        }
        word(0);
        for [kind, value] in auxiliary {
            word(kind);
            word(value);
        }
        Some(pointer)
    }
}

/// Kinds of entries of the auxiliary vector (`elf.h`).
mod kind {
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// What every processor of x86-64 has, as leaf 1 of `cpuid` says it.
const BASELINE: u64 = 0x078b_fbfd;
/// A signal's frame, whatever the processor keeps in it: enough for AVX-512 and tiles.
const FRAME_BYTES: u64 = 16 << 10;

/// Pointers up to a null.
#[derive(Clone, Copy)]
struct Vector {
    at: *const *const u8,
}

impl Iterator for Vector {
    type Item = *const u8;

    fn next(&mut self) -> Option<*const u8> {
        // SAFETY: the kernel's vectors end in a null, behind which this does not go.
        let entry = unsafe { self.at.read() };
        if entry.is_null() {
            return None;
        }
        // SAFETY: the null has not been met yet.
        self.at = unsafe { self.at.add(1) };
        Some(entry)
    }
}

/// The program's stack, written from above.
struct Stack {
    pointer: u64,
}

impl Stack {
    /// A string with its end; returns where it lies.
    fn text(&mut self, text: *const u8) -> Option<u64> {
        // SAFETY: strings of the kernel's, and constants: they end in a NUL byte.
        let text = unsafe { CStr::from_ptr(text.cast()) };
        self.bytes(text.to_bytes_with_nul())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<u64> {
        self.room(bytes.len() as u64)?;
        // SAFETY: `room` has said that it lies within the stack that was just mapped.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pointer as *mut u8, bytes.len()) };
        Some(self.pointer)
    }

    /// Where a string that is written already lies.
    fn passed(&mut self, text: *const u8) -> Option<u64> {
        // SAFETY: as for `text`.
        let text = unsafe { CStr::from_ptr(text.cast()) };
        self.room(text.count_bytes() as u64 + 1)?;
        Some(self.pointer)
    }

    /// Half of the stack is the program's in any case.
    fn room(&mut self, bytes: u64) -> Option<()> {
        self.pointer = self.pointer.checked_sub(bytes)?;
        (self.pointer > STACK_END - STACK_BYTES / 2).then_some(())
    }
}

fn starts_with(text: *const u8, start: &[u8]) -> bool {
    // SAFETY: strings of the environment end in a NUL byte.
    unsafe { CStr::from_ptr(text.cast()) }.to_bytes().starts_with(start)
}

/// A file to load, closed when it goes.
struct File(u64);

impl File {
    fn open(path: &CStr) -> Option<File> {
        const CLOEXEC: u64 = 0o2000000;
        // SAFETY: the kernel reads the path.
        let result = unsafe { call(number::OPEN, [path.as_ptr() as u64, CLOEXEC, 0, 0, 0, 0]) };
        u64::try_from(result).ok().map(File)
    }

    /// As much as there is and fits.
    fn read_at<'a>(&self, buffer: &'a mut [u8], offset: u64) -> Option<&'a [u8]> {
        let arguments = [self.0, buffer.as_mut_ptr() as u64, buffer.len() as u64, offset, 0, 0];
        // SAFETY: the kernel writes within the buffer.
        let result = unsafe { call(number::PREAD64, arguments) };
        buffer.get(..usize::try_from(result).ok()?)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours, and not used again.
        unsafe { call(number::CLOSE, [self.0, 0, 0, 0, 0, 0]) };
    }
}

/// Mapped memory, unmapped when it goes.
struct Memory(Range<u64>);

impl Memory {
    /// Maps memory that reads as zero, if it may be read, at exactly `address`. `how` says whether it may replace what is there.
    fn map(address: u64, bytes: u64, protection: u64, how: u64) -> Option<Memory> {
        let flags = PRIVATE | ANONYMOUS | NORESERVE | how;
        // SAFETY: a new mapping that replaces none, or the program's own that has not begun.
        let result = unsafe { call(number::MMAP, [address, bytes, protection, flags, u64::MAX, 0]) };
        (result == address as i64).then(|| Memory(address..address + bytes))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody knows of it yet.
        unsafe { call(number::MUNMAP, [self.0.start, self.0.end - self.0.start, 0, 0, 0, 0]) };
    }
}

/// A program is half loaded over itself.
fn end() -> ! {
    const SENTENCE: &[u8] =
        b"pytest-invar: the program could not be loaded a second time (is memory short?)\n";
    const INTERNAL: u64 = 70;
    loop {
        // SAFETY: the kernel reads the sentence.
        unsafe { call(number::WRITE, [2, SENTENCE.as_ptr() as u64, SENTENCE.len() as u64, 0, 0, 0]) };
        // SAFETY: ends the process.
        unsafe { call(number::EXIT_GROUP, [INTERNAL, 0, 0, 0, 0, 0]) };
    }
}

/// Loads a file at `base`, as the kernel and the dynamic linker do.
fn load(file: &File, program: &Program, base: u64, how: u64) -> Option<Memory> {
    // What no segment fills stays out of reach; what the file does not have is zero.
    let pages = program.pages();
    let memory = Memory::map(base + pages.start, pages.end - pages.start, 0, how)?;
    for segment in program.segments() {
        let start = base + page_down(segment.address);
        let in_file = base + segment.address + segment.file_bytes;
        let end = page_up(base + segment.address + segment.bytes);
        if segment.file_bytes > 0 {
            let arguments = [
                start,
                in_file - start,
                segment.protection,
                PRIVATE | FIXED,
                file.0,
                page_down(segment.offset),
            ];
            // SAFETY: replaces a part of the memory that was just mapped.
            if unsafe { call(number::MMAP, arguments) } != start as i64 {
                return None;
            }
            let rest = page_up(in_file) - in_file;
            if segment.bytes > segment.file_bytes && rest > 0 {
                // SAFETY: the rest of the last page of a segment that is written to.
                unsafe { core::ptr::write_bytes(in_file as *mut u8, 0, rest as usize) };
            }
        }
        let zeros = if segment.file_bytes > 0 { page_up(in_file) } else { start };
        if end > zeros {
            const MPROTECT: u64 = 10;
            // SAFETY: within the memory that was just mapped.
            unsafe { call(MPROTECT, [zeros, end - zeros, segment.protection, 0, 0, 0]) };
        }
    }
    Some(memory)
}

/// What the kernel had loaded: ranges to unmap, in memory that is unmapped last.
struct Old {
    scratch: Memory,
    ranges: *const [u64; 2],
    count: usize,
}

impl Old {
    /// Everything but this library, the first thread's own memory, the first stack (where the kernel looks for the command
    /// line), the kernel's own pages, and what `stays`.
    fn list(stays: &Range<u64>) -> Option<Old> {
        let flags = PRIVATE | ANONYMOUS | NORESERVE;
        // SAFETY: a new mapping.
        let start = unsafe { call(number::MMAP, [0, SCRATCH_BYTES, READ_WRITE, flags, u64::MAX, 0]) };
        let start = u64::try_from(start).ok()?;
        let scratch = Memory(start..start + SCRATCH_BYTES);
        let half = (SCRATCH_BYTES / 2) as usize;
        // SAFETY: the first half of the memory that was just mapped.
        let buffer = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, half) };
        let file = File::open(c"/proc/self/maps")?;
        let mut length = 0;
        loop {
            let rest = buffer.get_mut(length..)?;
            // SAFETY: the kernel writes within the rest of the buffer.
            let read =
                unsafe { call(number::READ, [file.0, rest.as_mut_ptr() as u64, rest.len() as u64, 0, 0, 0]) };
            match usize::try_from(read).ok()? {
                0 if rest.is_empty() => return None,
                0 => break,
                read => length += read,
            }
        }
        drop(file);
        let text = buffer.get(..length)?;
        let lines = || text.split(|&byte| byte == b'\n').filter_map(maps::read);
        let here = begin as *const () as u64;
        let own = lines().find(|mapping| (mapping.start..mapping.end).contains(&here))?;
        const ARCH_GET_FS: u64 = 0x1003;
        let mut thread = 0u64;
        // SAFETY: the kernel writes the eight bytes of `thread`.
        unsafe { call(number::ARCH_PRCTL, [ARCH_GET_FS, &raw mut thread as u64, 0, 0, 0, 0]) };
        let ranges = (start + half as u64) as *mut [u64; 2];
        let mut count = 0;
        let mut kept_end = 0;
        for mapping in lines() {
            let of_the_kernel = [&b"[stack"[..], b"[vdso", b"[vvar", b"[vsyscall"]
                .iter()
                .any(|name| mapping.name.starts_with(name));
            // Behind the last part of a library's file is memory of its that the file does not hold.
            let own = mapping.file == own.file || mapping.name.is_empty() && mapping.start == kept_end;
            if own {
                kept_end = mapping.end;
            }
            // The kernel may still write to what the first thread has told it of (`rseq`, in the thread's own memory).
            let of_the_thread = (mapping.start..mapping.end).contains(&thread);
            let of_the_program = mapping.start < stays.end && stays.start < mapping.end;
            let is_kept = own || of_the_kernel || of_the_thread || of_the_program || mapping.start == start;
            if is_kept || is_ours(mapping.start) {
                continue;
            }
            if count == half / 16 {
                return None;
            }
            // SAFETY: within the second half of the memory that was just mapped.
            let place = unsafe { ranges.add(count) };
            // SAFETY: as above.
            unsafe { place.write([mapping.start, mapping.end]) };
            count += 1;
        }
        Some(Old { scratch, ranges, count })
    }
}

/// Everything is ready.
struct Start {
    old: Old,
    stack: u64,
    entry: u64,
}

impl Start {
    fn go(self) -> ! {
        let Start { old, stack, entry } = self;
        let (scratch, bytes) = (old.scratch.0.start, old.scratch.0.end - old.scratch.0.start);
        go(old.ranges, old.count, stack, entry, scratch, bytes)
    }
}

/// Unmaps the ranges and the scratch memory, and begins the program. Calls nothing: what it could call may be gone.
#[unsafe(naked)]
extern "C" fn go(
    ranges: *const [u64; 2],
    count: usize,
    stack: u64,
    entry: u64,
    scratch: u64,
    scratch_bytes: u64,
) -> ! {
    naked_asm!(
        "mov rbx, rdi",
        "mov rbp, rsi",
        "mov r12, rdx",
        "mov r13, rcx",
        "mov r14, r8",
        "mov r15, r9",
        "2:",
        "test rbp, rbp",
        "jz 3f",
        "mov rdi, [rbx]",
        "mov rsi, [rbx + 8]",
        "sub rsi, rdi",
        "mov eax, {munmap}",
        "syscall",
        "add rbx, 16",
        "dec rbp",
        "jmp 2b",
        "3:",
        "mov rdi, r14",
        "mov rsi, r15",
        "mov eax, {munmap}",
        "syscall",
        "mov rsp, r12",
        "mov [rsp - 8], r13",
        "xor eax, eax", "xor ebx, ebx", "xor ecx, ecx", "xor edx, edx",
        "xor esi, esi", "xor edi, edi", "xor ebp, ebp",
        "xor r8d, r8d", "xor r9d, r9d", "xor r10d, r10d", "xor r11d, r11d",
        "xor r12d, r12d", "xor r13d, r13d", "xor r14d, r14d", "xor r15d, r15d",
        "jmp qword ptr [rsp - 8]",
        munmap = const number::MUNMAP,
    )
}
