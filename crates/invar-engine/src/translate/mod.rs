//! Guest instructions in, host code out. Pure: bytes and numbers in, bytes and numbers out; nothing here touches the
//! guest, the cache or the kernel, so all of it can be fuzzed.
//!
//! A *superblock* ([`block`]) is a path of up to so many instructions as its [`block::Reach`] says, entered at
//! its head only; conditional branches leave it sideways, direct jumps are followed. [`emit`] copies its instructions, lets every
//! way out write a record of the path taken, and says what each record means: an [`Exit`] with its [`Op`]s.
//!
//! # The trace
//!
//! `r11` is taken from the guest and points to the next record. A record is
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | number of the [`Exit`] |
//! | 4 | zero |
//! | 8 each | *slots*: values of registers that addresses are made of |
//!
//! The trace holds register values rather than addresses: one store for each distinct value that the path's addresses
//! are made of, and none for stack accesses after the first. The drain computes `constant + slot + (slot << shift)`.

pub mod assemble;
pub mod block;
pub mod emit;
mod registers;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

use alloc::vec::Vec;

use iced_x86::{Decoder, DecoderOptions, Encoder};
pub use invar_core::wire::raw::Mode;

/// Builds the tables by which instructions are decoded and encoded. Otherwise the first of them does, in each process anew: of those
/// that are forked from one where nothing was translated yet, each.
pub fn build_tables() {
    const NOP: [u8; 1] = [0x90];
    let instruction = Decoder::with_ip(64, &NOP, 0, DecoderOptions::NONE).decode();
    // It can be encoded, and what becomes of it is of no interest.
    let _ = Encoder::new(64).encode(&instruction, 0);
}

/// What translation depends on besides the guest's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// With caches or without.
    pub mode: Mode,
    /// The host has `rorx` (BMI2): a better hash of indirect targets that keeps the flags.
    pub rorx: bool,
    /// There is more than one thread, or the time is told: counts-only code leaves for the runtime when its budget is used up.
    /// Without, code is what it would be if there were neither.
    pub scheduled: bool,
}

/// Numbers that the next superblock's parts get.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    /// Of the block itself.
    pub block: u32,
    /// Of its first [`Exit`].
    pub exit: u32,
    /// Of its first [`Link`].
    pub link: u32,
    /// Of its first [`Site`].
    pub site: u32,
}

/// What is done to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Read.
    Read,
    /// Written.
    Write,
    /// Read, then written.
    ReadWrite,
}

/// No register takes part.
pub const NO_SLOT: u8 = 0xff;

/// A memory operand: `constant + slots[base] + (slots[index] << shift)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Displacement, absolute address, and what value numbering has folded.
    pub constant: u64,
    /// Slot of the base register, or [`NO_SLOT`].
    pub base: u8,
    /// Slot of the index register, or [`NO_SLOT`].
    pub index: u8,
    /// Logarithm of the scale.
    pub shift: u8,
    /// Add the `fs` base.
    pub fs: bool,
    /// Keep the low 32 bits only (address-size override).
    pub short: bool,
    /// Read, write or both.
    pub touch: Touch,
    /// Bytes.
    pub bytes: u16,
}

/// A repeated string instruction: slots hold `rcx`, `rsi` and `rdi` before it and `rcx` and `rdi` or `rsi` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// Slot of `rcx` before. After it come, one slot each: `rsi` before, `rdi` before, `rcx` after, `rsi` after,
    /// `rdi` after.
    pub slot: u8,
    /// Logarithm of the element size.
    pub element: u8,
    /// Only the low 32 bits of the registers count (address-size override).
    pub short: bool,
    /// Add the `fs` base to `rsi`.
    pub fs: bool,
    /// What is done at `rsi`, if anything.
    pub source: Option<Touch>,
    /// What is done at `rdi`, if anything.
    pub target: Option<Touch>,
}

/// Slots of a [`Repeat`].
pub const REPEAT_SLOTS: u8 = 6;

/// What the drain does, in program order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// An instruction is fetched whose line is not the one fetched last on this path.
    Fetch {
        /// Where.
        address: u64,
        /// Length in bytes.
        bytes: u8,
    },
    /// Memory is touched.
    Touch(Reference),
    /// A repeated string instruction.
    Repeat(Repeat),
}

/// A way out of a superblock, and what was done on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its operations are the superblock's first so many.
    pub ops: u32,
    /// Slots of its record.
    pub slots: u8,
    /// Instructions on the path.
    pub instructions: u8,
    /// Reads on the path, not counting repeats' further iterations.
    pub reads: u16,
    /// Writes on the path.
    pub writes: u16,
    /// Branches taken on the path, the last one included.
    pub branches: u8,
    /// System calls: one if that is the way out.
    pub system_calls: u8,
    /// Some address on the path is not exact.
    pub approximate: bool,
}

/// The conditional branch at which an exit leaves its superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Address of the branch.
    pub at: u64,
    /// Whether it is taken there.
    pub taken: bool,
}

/// A direct way out that can be linked to the block at its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Guest address.
    pub target: u64,
    /// Offset in the code of the four bytes of the jump's displacement.
    pub patch: u32,
}

/// What the runtime does at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A system call.
    SystemCall,
    /// `cpuid`, answered by the Machine.
    Cpuid,
    /// `xgetbv`, answered by the Machine.
    Xgetbv,
    /// `rdtsc`, or `rdtscp`, which says as well which processor it is: the time by the region's clock.
    TimeStamp {
        /// Is it `rdtscp`?
        processor: bool,
    },
    /// `rdrand` or `rdseed`: the region's random numbers.
    Random {
        /// Where the number goes to.
        register: u8,
        /// How many bytes it has: 2, 4 or 8.
        bytes: u8,
    },
    /// The `fs` base has changed.
    FsBaseChanged,
    /// A function of the vdso that tells the time is about to be executed.
    Clock,
    /// Go on natively: an instruction that the engine does not know.
    Unknown,
}

/// An instruction that the runtime answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// What it is.
    pub special: Special,
    /// Its address.
    pub at: u64,
    /// Address of the next instruction.
    pub next: u64,
}

/// Which of the guest's registers generated code has lent itself when an instruction faults. `r11` always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lent {
    /// No other.
    Nothing,
    /// This one stands in for `r11`; its own value is in the spill's home.
    StandIn(u8),
    /// This one is the base of an address; its own value is in the spill's home.
    Base(u8),
    /// `rax` and `rcx`, which are in the homes of an indirect branch.
    Branch,
    /// No other; but counts-only mode has noted `rcx` before a repeated string instruction of this element size, and not
    /// yet after it.
    Repeat(u8),
}

/// Where an instruction of the guest starts in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// Offset in the code.
    pub offset: u32,
    /// Its address.
    pub at: u64,
    /// What is lent while it is executed.
    pub lent: Lent,
    /// The path up to it, as if it were left here.
    pub before: Exit,
}

/// A translated superblock.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Translation {
    /// Host code, position-dependent; its entry is its first byte.
    pub code: Vec<u8>,
    /// Operations of the whole path.
    pub ops: Vec<Op>,
    /// Ways out, in the order in which the path comes by them.
    pub exits: Vec<Exit>,
    /// For each of them the branch that it leaves by, if it is one.
    pub turns: Vec<Option<Turn>>,
    /// Of those the direct ones.
    pub links: Vec<Link>,
    /// Of those the special ones.
    pub sites: Vec<Site>,
    /// The guest's bytes that it was made of: start and length.
    pub sources: Vec<(u64, u32)>,
    /// Where its instructions start, in order.
    pub boundaries: Vec<Boundary>,
    /// The exits, by their places in the list, whose last instruction has stored a Python frame, and the slot of that; the next is
    /// what it executes.
    pub watched: Vec<(u32, u8)>,
    /// What its last instruction has stored, if that may be a frame's position.
    pub placed: Option<Placed>,
}

/// A value that a record tells: a constant away from what a slot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// The slot.
    pub slot: u8,
    /// The constant.
    pub constant: u64,
}

impl Told {
    /// The value, by a record's slots.
    pub fn of(self, slots: &[u64]) -> u64 {
        slots[usize::from(self.slot)].wrapping_add(self.constant)
    }
}

/// What may be a frame and its position, of which the low 32 bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Address of the frame.
    pub frame: Told,
    /// Where it is.
    pub position: Told,
}
