//! Memory of the engine: the arena's mappings, and the few ways to touch memory by address.
//!
//! Generated code is writable and executable at once: it is patched at every link, by the thread that runs it, in a
//! process that measures its own code. It is private, so that a forked child has its own.
//!
//! Code is written by plain stores and never by a string instruction, which is what `memcpy` is made of: what is executed at once
//! after `rep movsb` was, on a busy machine, now and then what had been there before ([decision 14]).
//!
//! [decision 14]: ../../../../docs/decisions/0014-code-is-written-by-plain-stores.md
#![expect(unsafe_code, reason = "memory by address has no safe interface")]

use super::following;
use super::layout::{self, ARENA};
use super::syscall::{number, syscall};

/// Read and write.
pub const READ_WRITE: u64 = 3;
/// Read, write and execute.
pub const ALL: u64 = 7;

/// Maps `bytes` at exactly `address`. `Err` is the kernel's `errno`; 17 says that something is there already.
pub fn map_fixed(address: u64, bytes: u64, protection: u64) -> Result<(), i32> {
    const PRIVATE: u64 = 0x02;
    const ANONYMOUS: u64 = 0x20;
    const NORESERVE: u64 = 0x4000;
    const FIXED_NOREPLACE: u64 = 0x10_0000;
    let flags = PRIVATE | ANONYMOUS | NORESERVE | FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces none.
    let result = unsafe { syscall(number::MMAP, [address, bytes, protection, flags, u64::MAX, 0]) };
    if result < 0 {
        return Err(-result as i32);
    }
    // A kernel before 4.17 takes the address as a hint.
    if result as u64 != address { Err(17) } else { Ok(()) }
}

/// Maps the arena but for its heap. Once a process.
pub fn map_arena() -> Result<(), i32> {
    map_fixed(ARENA, u64::from(layout::CODE), READ_WRITE)?;
    map_fixed(
        ARENA + u64::from(layout::CODE),
        u64::from(layout::CODE_BYTES) + u64::from(layout::THUNKS_BYTES),
        ALL,
    )?;
    // The page below each stack stays unmapped: an overflow faults.
    map_fixed(ARENA + layout::HOST_STACK, layout::HOST_STACK_BYTES, READ_WRITE)?;
    map_fixed(ARENA + layout::REGION_STACK, layout::REGION_STACK_BYTES, READ_WRITE)?;
    following::map()
}

/// Gives the pages of a range of the arena back; they read as zero afterwards.
pub fn discard(offset: u32, bytes: u64) {
    const DONTNEED: u64 = 4;
    assert!(u64::from(offset) + bytes <= u64::from(layout::CODE) + u64::from(layout::CODE_BYTES));
    // SAFETY: the range lies within the arena, where no Rust reference points but during a call of this module.
    unsafe { syscall(number::MADVISE, [ARENA + u64::from(offset), bytes, DONTNEED, 0, 0, 0]) };
}

/// The code cache, to write into.
pub struct CodeMemory(());

impl CodeMemory {
    /// Writes `bytes` at `address`, which must lie in the code cache.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        write_code(address, bytes, layout::CODE, layout::CODE_BYTES);
    }

    /// Writes `bytes` at `address`, which must lie in the code of thunks.
    pub fn write_thunk(&mut self, address: u64, bytes: &[u8]) {
        write_code(address, bytes, layout::THUNKS, layout::THUNKS_BYTES);
    }
}

fn write_code(address: u64, bytes: &[u8], offset: u32, size: u32) {
    let start = ARENA + u64::from(offset);
    let end = start + u64::from(size);
    assert!(address >= start && address + bytes.len() as u64 <= end, "code outside of its place");
    let (words, rest) = bytes.as_chunks::<8>();
    let mut target = address as *mut [u8; 8];
    for word in words {
        // SAFETY: the range is within the mapped code, and no reference to it exists.
        unsafe { target.write_volatile(*word) };
        target = target.wrapping_add(1);
    }
    for (byte, place) in rest.iter().zip(0..) {
        let target = target.cast::<u8>().wrapping_add(place);
        // SAFETY: as above.
        unsafe { target.write_volatile(*byte) };
    }
}

/// The code cache of this process, whose arena is mapped. One engine has it at a time; two would overwrite each
/// other's code, which is why [`crate::region`] keeps one.
pub fn code_memory() -> CodeMemory {
    CodeMemory(())
}

/// The context of this process, whose arena is mapped.
pub fn context() -> &'static mut super::context::Context {
    // SAFETY: mapped by `map_arena` before an engine can exist, and asked for once a region by the one that runs it.
    unsafe { super::context::context() }
}

/// The indirect-branch table.
pub fn set_table_entry(index: usize, host: u64) {
    assert!(index < layout::TABLE_ENTRIES);
    let entry = (ARENA + u64::from(layout::TABLE)) as *mut u64;
    // SAFETY: within the mapped table, which only generated code reads, on this thread.
    let entry = unsafe { entry.add(index) };
    // SAFETY: as above.
    unsafe { entry.write(host) };
}

/// An entry of the indirect-branch table.
pub fn table_entry(index: usize) -> u64 {
    assert!(index < layout::TABLE_ENTRIES);
    let entry = (ARENA + u64::from(layout::TABLE)) as *const u64;
    // SAFETY: within the mapped table.
    let entry = unsafe { entry.add(index) };
    // SAFETY: as above.
    unsafe { entry.read() }
}

/// The trace written so far, up to `end`, as 8-byte words.
///
/// The slice must be gone before the guest runs on; the runtime drains and forgets it.
pub fn trace(end: u64) -> &'static [u64] {
    let start = ARENA + u64::from(layout::TRACE);
    assert!(end >= start && end <= start + u64::from(layout::TRACE_BYTES), "trace pointer out of bounds");
    // SAFETY: mapped, initialised up to `end` by generated code, aligned, not written while the runtime runs.
    unsafe { core::slice::from_raw_parts(start as *const u64, ((end - start) / 8) as usize) }
}

/// The first `count` path counters.
pub fn counters(count: usize) -> &'static [u64] {
    assert!(count <= layout::COUNTERS_MAX);
    // SAFETY: mapped and zero at first; not written while the runtime runs.
    unsafe { core::slice::from_raw_parts((ARENA + u64::from(layout::COUNTERS)) as *const u64, count) }
}

/// Adds to a path counter.
pub fn count_paths(number: usize, times: u64) {
    assert!(number < layout::COUNTERS_MAX);
    let counter = (ARENA + u64::from(layout::COUNTERS)) as *mut u64;
    // SAFETY: within the mapped counters.
    let counter = unsafe { counter.add(number) };
    // SAFETY: as above; generated code does not write while the runtime runs.
    unsafe { *counter += times };
}

/// Clears the first `count` path counters.
pub fn clear_counters(count: usize) {
    assert!(count <= layout::COUNTERS_MAX);
    // SAFETY: mapped; no other reference exists while the runtime runs.
    let counters =
        unsafe { core::slice::from_raw_parts_mut((ARENA + u64::from(layout::COUNTERS)) as *mut u64, count) };
    counters.fill(0);
}

/// A word of the guest's memory, where the kernel has just read it.
pub fn guest_word(address: u64) -> u64 {
    // SAFETY: the kernel has read it at the guest's request, so it is mapped; any alignment will do.
    unsafe { (address as *const u64).read_unaligned() }
}

/// Sets the address of the thunk of an exit.
pub fn set_thunk(exit: usize, host: u64) {
    assert!(exit < layout::COUNTERS_MAX);
    let entry = (ARENA + u64::from(layout::THUNK_TABLE)) as *mut u64;
    // SAFETY: within the mapped table.
    let entry = unsafe { entry.add(exit) };
    // SAFETY: as above; thunks read it, on this thread.
    unsafe { entry.write(host) };
}

/// Writes the head of a record at `end`, behind the last of the trace.
pub fn end_trace(end: u64, exit: u32) {
    let start = ARENA + u64::from(layout::TRACE);
    assert!(end >= start && end + 8 <= start + u64::from(layout::TRACE_BYTES), "trace pointer out of bounds");
    // SAFETY: within the mapped trace, where no reference exists.
    unsafe { (end as *mut u64).write(u64::from(exit)) };
}

/// The arena, mapped and with nothing counted, for one test at a time.
#[cfg(test)]
pub fn arena() -> std::sync::MutexGuard<'static, ()> {
    static ARENA: std::sync::Mutex<()> = std::sync::Mutex::new(());
    static MAPPED: std::sync::Once = std::sync::Once::new();
    let guard = ARENA.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    MAPPED.call_once(|| map_arena().expect("the tests' arena is free"));
    discard(layout::COUNTERS, 8 * layout::COUNTERS_MAX as u64);
    guard
}

/// Puts a trace where generated code would; returns its end.
#[cfg(test)]
pub fn write_trace(words: &[u64]) -> u64 {
    let start = ARENA + u64::from(layout::TRACE);
    assert!(words.len() * 8 + 8 <= layout::TRACE_BYTES as usize);
    // SAFETY: within the mapped trace, where no reference exists.
    unsafe { core::ptr::copy_nonoverlapping(words.as_ptr(), start as *mut u64, words.len()) };
    start + 8 * words.len() as u64
}

/// Which lines of data are settled, at their places. The slice must be gone before thunks run on.
pub fn data_lines() -> &'static mut [u64] {
    let start = (ARENA + u64::from(layout::DATA_LINES)) as *mut u64;
    // SAFETY: mapped; thunks, which read it, do not run while a callback of theirs does.
    unsafe { core::slice::from_raw_parts_mut(start, crate::drain::thunk::DATA_PLACES) }
}

/// Which lines of code are not known to be settled, a bit each. The slice must be gone before thunks run on.
pub fn code_lines() -> &'static mut [u32] {
    let start = (ARENA + u64::from(layout::CODE_LINES)) as *mut u32;
    // SAFETY: as in `data_lines`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::CODE_LINES_MAX) }
}

/// Bytes of the guest's code.
///
/// # Safety
///
/// The range is mapped and readable, and stays so while the slice lives.
pub unsafe fn guest_bytes<'a>(address: u64, bytes: usize) -> &'a [u8] {
    // SAFETY: the caller knows the range from the kernel's list of mappings.
    unsafe { core::slice::from_raw_parts(address as *const u8, bytes) }
}
