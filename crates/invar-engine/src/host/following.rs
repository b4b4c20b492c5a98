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
    /// Address behind the innermost Python frame.
    pub python_top: u64,
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

/// A Python frame that was the interpreter's current one, and is not over.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PythonFrame {
    /// Its address.
    pub frame: u64,
    /// What it executes.
    pub code: u64,
    /// Address behind the innermost native call that was open: those of the interpreter that executes it included.
    pub top: u64,
    /// The call of its function.
    pub call: u32,
    /// The call that was at work before.
    pub below: u32,
    /// One more than its function's number, if the lines of that are known; otherwise zero.
    pub lines: u32,
}

/// A Python function that was called.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PythonCall {
    /// Its code, which is never at address zero.
    pub code: u64,
    /// The call that was at work before.
    pub below: u32,
    /// The call of the function; the one before, if its code is no function's.
    pub call: u32,
    /// How often thunks have met it, since the last time that it was asked for.
    pub times: u32,
    /// It is one whose frames are pushed, and that is counted, and nothing else: no generator's, with no lines, a function's.
    pub is_plain: u32,
    /// One more than its function's number, if the lines of that are known; otherwise zero.
    pub lines: u32,
    /// It makes a generator, a coroutine or an asynchronous generator.
    pub makes_generator: u32,
}

const _: () = assert!(PYTHON_LAST <= layout::PYTHON_COUNTS);

/// Places in front of the Python frames that are none: who looks at the innermost two of fewer finds them.
const PYTHON_BASE: usize = 2;
/// Behind the innermost Python frame there is no room where it is this far from the arena's start, or farther.
pub const PYTHON_LAST: u32 =
    layout::PYTHON_FRAMES + ((layout::PYTHON_FRAMES_MAX + PYTHON_BASE) * size_of::<PythonFrame>()) as u32;
/// What spreads addresses over places.
pub const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// How far the highest bits of such a product are to be shifted.
pub const SPREAD_SHIFT: u32 = u64::BITS - layout::PYTHON_PLACES.trailing_zeros();
/// How far names of calls are rotated before they are brought together with an address of code.
pub const SPREAD_NAME: u32 = 40;

/// The place of an address: by a multiplication, since frames of a recursion are equally far from each other.
pub fn place(address: u64) -> usize {
    (address.wrapping_mul(SPREAD) >> SPREAD_SHIFT) as usize
}

/// The place of a call of `code` by the call of this name.
pub fn python_place(below: u32, code: u64) -> usize {
    place(code ^ u64::from(below).rotate_left(SPREAD_NAME))
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

/// Python frames that are not over, the outermost first. The slice must be gone before thunks run on.
pub fn python_frames() -> &'static mut [PythonFrame] {
    let start = (ARENA + u64::from(layout::PYTHON_FRAMES)) as *mut PythonFrame;
    let start = start.wrapping_add(PYTHON_BASE);
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::PYTHON_FRAMES_MAX) }
}

/// How many Python frames have each place.
pub fn python_counts() -> &'static mut [u32] {
    let start = (ARENA + u64::from(layout::PYTHON_COUNTS)) as *mut u32;
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::PYTHON_PLACES) }
}

/// Python functions that were called, at their places.
pub fn python_calls() -> &'static mut [PythonCall] {
    let start = (ARENA + u64::from(layout::PYTHON_CALLS)) as *mut PythonCall;
    // SAFETY: as in `rows`.
    unsafe { core::slice::from_raw_parts_mut(start, layout::PYTHON_PLACES) }
}

/// Address behind so many Python frames.
pub fn python_top(length: usize) -> u64 {
    ARENA + u64::from(layout::PYTHON_FRAMES) + ((length + PYTHON_BASE) * size_of::<PythonFrame>()) as u64
}

/// How many Python frames there are where this is the address behind them.
pub fn python_length(top: u64) -> usize {
    (top - ARENA - u64::from(layout::PYTHON_FRAMES)) as usize / size_of::<PythonFrame>() - PYTHON_BASE
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
