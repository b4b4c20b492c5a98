//! Where the engine lives: one arena at a fixed address, far from everything a Linux process maps by itself.
//!
//! Fixed, so that no address of the engine depends on the guest nor the guest's on the engine. The `gs` base points
//! at the arena's start while the guest is ours, so generated code reaches all of its first 2 GiB by
//! `gs:[disp32]`, without a register.

/// Start of the arena: 16 TiB, above `brk` heaps and below position-independent programs, with or without
/// randomisation.
pub const ARENA: u64 = 0x1000_0000_0000;

/// Offset of the blocks of measured threads.
pub const THREADS: u32 = 0x0001_0000;
/// Size of a block.
pub const THREAD_BYTES: u32 = 4 << 10;
/// How many threads have a block.
pub const THREADS_MAX: usize = 192;

/// Offset of the indirect-branch table: [`TABLE_ENTRIES`] host addresses.
pub const TABLE: u32 = 0x0010_0000;
/// Entries of the indirect-branch table.
pub const TABLE_ENTRIES: usize = 1 << 16;

/// Offset of the trace buffer.
pub const TRACE: u32 = 0x0100_0000;
/// Size of the trace buffer. Large enough that the change to the runtime is rare, small enough for L2.
pub const TRACE_BYTES: u32 = 256 << 10;
/// The longest record; the check at a block's head leaves this much room.
pub const RECORD_BYTES_MAX: u32 = 4 << 10;

/// Offset of the path counters, 8 bytes each.
pub const COUNTERS: u32 = 0x0200_0000;
/// How many path counters there can be.
pub const COUNTERS_MAX: usize = 0x0e00_0000 / 8;

/// Offset of the addresses of thunks, by the number of the exit that they drain.
pub const THUNK_TABLE: u32 = 0x1000_0000;
/// The number of no exit: its record stands behind the last of a trace.
pub const EXIT_END: u32 = COUNTERS_MAX as u32 - 1;

/// Offset of the places that say which lines of data are settled.
pub const DATA_LINES: u32 = 0x1f00_0000;
/// Offset of the words whose bits say which lines of code are not known to be settled.
pub const CODE_LINES: u32 = 0x1f10_0000;
/// How many of these there can be.
pub const CODE_LINES_MAX: usize = 0x00f0_0000 / 4;

/// Offset of the code cache.
pub const CODE: u32 = 0x2000_0000;
/// Size of the code cache; when it is full all translations are dropped.
pub const CODE_BYTES: u32 = 0x1800_0000;

/// Offset of the code of thunks.
pub const THUNKS: u32 = 0x3800_0000;
/// Size of the code of thunks; when it is full all of them are dropped.
pub const THUNKS_BYTES: u32 = 0x0800_0000;

/// How much of the code cache's end is kept for the code that starts processes and threads, and that by which threads go on
/// natively.
pub const BIRTHS_BYTES: u32 = 0x3_0000;
/// Offset of the code by which each measured thread goes on natively.
pub const EXITS: u32 = CODE + CODE_BYTES - THREADS_MAX as u32 * EXIT_BYTES;
/// Size of that code of one thread.
pub const EXIT_BYTES: u32 = 0x100;

/// Offset of the runtime's own stack, in bytes from [`ARENA`]; it grows down from its end.
pub const HOST_STACK: u64 = 0x5000_0000;
/// Size of the runtime's stack. Signal handlers of the guest may run on it.
pub const HOST_STACK_BYTES: u64 = 4 << 20;

/// Offset of the rows that thunks count in: a mapping of its own, with all tables by which calls are followed.
pub const ROWS: u32 = 0x6000_0000;
/// How many rows it has places for; a power of two.
pub const ROWS_MAX: usize = 1 << 19;
/// Offset of the calls that rows lead into.
pub const LEADS: u32 = 0x6040_0000;
/// Offset of the places that say who was called indirectly.
pub const CHILDREN: u32 = 0x60c0_0000;
/// How many of these there are; a power of two.
pub const CHILDREN_MAX: usize = 1 << 16;
/// Offset of the numbers of superblocks, by exits.
pub const BLOCKS: u32 = 0x6100_0000;
/// Offset of the calls that are open.
pub const FRAMES: u32 = 0x6800_0000;
/// Size of these: the regions' stack has room for half as many return addresses.
pub const FRAMES_BYTES: u32 = 256 << 20;
/// Offset of the Python frames that are not over.
pub const PYTHON_FRAMES: u32 = FRAMES + FRAMES_BYTES;
/// How many of these there can be: as deep as recursion goes that anybody permits.
pub const PYTHON_FRAMES_MAX: usize = 1 << 20;
/// Offset of the counts that say where Python frames may be.
pub const PYTHON_COUNTS: u32 = 0x7b00_0000;
/// How many of these there are, and of the places of [`PYTHON_CALLS`].
pub const PYTHON_PLACES: usize = 1 << 10;
/// Offset of the places that say which Python function was called.
pub const PYTHON_CALLS: u32 = 0x7b00_1000;
/// Size of all tables by which calls are followed.
pub const FOLLOWING_BYTES: u32 = 0x7b01_0000 - ROWS;

/// Offset of the stack that regions run on.
pub const REGION_STACK: u64 = 0x1_0000_0000;
/// Size of the regions' stack; pages are used as they are touched.
pub const REGION_STACK_BYTES: u64 = 64 << 20;

/// Offset of the engine's heap.
pub const HEAP: u64 = 0x10_0000_0000;
/// Size of the engine's heap, reserved, not committed.
pub const HEAP_BYTES: u64 = 0x10_0000_0000;
