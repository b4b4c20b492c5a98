//! Memory that thunks follow calls in: which call is at work, the calls that are open, and tables of what is usual.
//!
//! Words at fixed places of the arena, and nothing of what they mean: `account` decides what is in the tables, `drain/thunk`
//! makes the code that reads them and counts there.
#![expect(unsafe_code, reason = "tables at fixed addresses, which generated code writes as well")]

use super::layout::{self, ARENA};
use super::memory::{self, READ_WRITE};
use super::syscall::{number, syscall};

/// Where the trace has been followed to. Calls go by names here, which are not zero: an empty place of a table is nobody's.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The call at work, or [`CALLED`].
    pub call: u64,
    /// Address behind the innermost open call.
    pub top: u64,
    /// A return to below this address is not usual.
    pub floor: u64,
    /// The guest's stack pointer at the last call or return.
    pub pointer: u64,
    /// The interpreter's current frame, if the lines of what it executes are known.
    pub frame: u64,
    /// The call of its function.
    pub function: u64,
    /// Where its code starts; what is stored as its position is farther by so much.
    pub code: u64,
}

/// Whatever the next superblock is has been called. No place of a table has it, so the next record is not usual.
pub const CALLED: u64 = u32::MAX as u64;

/// A call that is open.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// Where its return address is.
    pub pointer: u64,
    /// Who has called.
    pub caller: u64,
}

/// How often an exit was taken within a call; which exit, its place says.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// The call.
    pub call: u32,
    /// How often, since the last time that rows were taken.
    pub times: u32,
}

/// Who was called by an indirect call, or which line a function came to.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Child {
    /// Who has called.
    pub call: u32,
    /// Number of the superblock that was entered, or [`PLACE`] and how far a position is from the code's start.
    pub block: u32,
    /// The call of it.
    pub child: u32,
    /// How often, since the last time that children were taken.
    pub times: u32,
}

/// No number of a superblock has this bit.
pub const PLACE: u32 = 1 << 31;

/// Direct calls that a row can lead into.
pub const LEADS_PER_ROW: usize = 4;

/// Open calls that there is room for, and one more in front of them that is none.
pub const FRAMES: usize = layout::FRAMES_BYTES as usize / size_of::<Frame>();

/// Maps all of it. Once a process.
pub fn map() -> Result<(), i32> {
    memory::map_fixed(ARENA + u64::from(layout::ROWS), u64::from(layout::FOLLOWING_BYTES), READ_WRITE)
}

/// Gives the pages of all tables back; they read as zero afterwards.
pub fn discard() {
    const DONTNEED: u64 = 4;
    let range = [ARENA + u64::from(layout::ROWS), u64::from(layout::FOLLOWING_BYTES)];
    // SAFETY: the range is a mapping of the engine's own, where no Rust reference points but during a use of this module.
    unsafe { syscall(number::MADVISE, [range[0], range[1], DONTNEED, 0, 0, 0]) };
}

/// Rows, at their places. The slice must be gone before thunks run on.
pub fn rows() -> &'static mut [Row] {
    // SAFETY: mapped, valid whatever it holds; thunks, which write it, do not run while a callback of theirs does.
    unsafe {
        core::slice::from_raw_parts_mut((ARENA + u64::from(layout::ROWS)) as *mut Row, layout::ROWS_MAX)
    }
}

/// The calls that the rows of direct calls lead into, at the rows' places: by their outermost calls, or those of a greater index,
/// which is less than [`LEADS_PER_ROW`]. Rows that open one call, as most do, need the first table alone.
pub fn leads(index: usize) -> &'static mut [u32] {
    assert!(index < LEADS_PER_ROW);
    let start = (ARENA + u64::from(layout::LEADS)) as *mut u32;
    let start = start.wrapping_add(index * layout::ROWS_MAX);
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::ROWS_MAX) }
}

/// Children, at their places.
pub fn children() -> &'static mut [Child] {
    let start = (ARENA + u64::from(layout::CHILDREN)) as *mut Child;
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::CHILDREN_MAX) }
}

/// Open calls. The first place is none: whoever looks at the innermost of none finds it.
pub fn frames() -> &'static mut [Frame] {
    let start = (ARENA + u64::from(layout::FRAMES)) as *mut Frame;
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, FRAMES) }
}

/// Numbers of the superblocks that exits leave, by the exits' numbers.
pub fn blocks() -> &'static mut [u32] {
    let start = (ARENA + u64::from(layout::BLOCKS)) as *mut u32;
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::COUNTERS_MAX) }
}

/// Address behind so many open calls.
pub fn top(depth: usize) -> u64 {
    ARENA + u64::from(layout::FRAMES) + ((depth + 1) * size_of::<Frame>()) as u64
}

/// How many calls are open where this is the address behind them.
pub fn depth(top: u64) -> usize {
    (top - ARENA - u64::from(layout::FRAMES)) as usize / size_of::<Frame>() - 1
}
