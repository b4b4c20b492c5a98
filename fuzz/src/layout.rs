//! Where everything lies that a program of chance may see: fixed addresses below 2 GiB, so that 32 bits name them.

/// Registers before and after, and what the trampoline needs.
pub const STATE: u64 = 0x3000_0000;
/// Bytes there.
pub const STATE_BYTES: u64 = 0x4000;
/// General registers to start with, by hardware number.
pub const REGISTERS_IN: u64 = STATE;
/// Flags to start with.
pub const FLAGS_IN: u64 = STATE + 0x80;
/// General registers at the end.
pub const REGISTERS_OUT: u64 = STATE + 0x100;
/// Flags at the end.
pub const FLAGS_OUT: u64 = STATE + 0x180;
/// Where the program starts.
pub const ENTRY: u64 = STATE + 0x210;
/// Where it goes at its end.
pub const EXIT: u64 = STATE + 0x218;
/// Four-byte counters of its loops.
pub const LOOPS: u64 = STATE + 0x240;
/// How many loops a program may have.
pub const LOOPS_MAX: usize = 8;
/// The `xsave` area to start with.
pub const VECTORS_IN: u64 = STATE + 0x1000;
/// The `xsave` area at the end.
pub const VECTORS_OUT: u64 = STATE + 0x2000;
/// Bytes of an `xsave` area, at most.
pub const VECTORS_BYTES: usize = 0x1000;

/// Memory that programs read and write.
pub const SCRATCH: u64 = 0x3010_0000;
/// Bytes there. Pointers into it keep clear of its ends by [`CLEAR`].
pub const SCRATCH_BYTES: u64 = 0x4000;
/// What the `fs` base is.
pub const THREAD: u64 = SCRATCH + 0x1800;
/// The programs' stack.
pub const STACK: u64 = 0x3020_0000;
/// Bytes there.
pub const STACK_BYTES: u64 = 0x4000;
/// How far displacements and indices reach.
pub const CLEAR: u64 = 0x1000;

/// Programs in memory that cannot be written.
pub const CODE: u64 = 0x3100_0000;
/// Programs in memory that can.
pub const OPEN_CODE: u64 = 0x3200_0000;
/// Room for each program.
pub const PROGRAM_BYTES: u64 = 2048;
/// How many programs have a place at once.
pub const PROGRAMS: u64 = 256;
