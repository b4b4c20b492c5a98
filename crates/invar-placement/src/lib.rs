//! Where a program and its memory lie, whatever the kernel, the file system, the environment and the caller.
//!
//! Where a program, its libraries, its heap and its stack lie decides what hashes by address find, and which lines share a
//! set of a cache. With randomisation off a kernel places them the same way each time, but another kernel otherwise: the
//! auxiliary vector has other entries, the clock's pages are more, large mappings are aligned on one file system and not on
//! another. So the placement is ours ([`begin`]):
//!
//! 1. The program is started by the kernel as ever, with this library preloaded. Before anything of it runs, it is loaded a
//!    second time, at addresses of ours, with a stack and an auxiliary vector of ours; what the kernel had loaded is
//!    unmapped, and the program's interpreter begins anew ([`process`]).
//! 2. From then on the system calls that place memory come to a handler, which decides the address ([`trap`], [`places`]).
//!    So do those that list a directory, whose order is the file system's otherwise ([`listing`]), and those that
//!    say what is known of a file ([`facts`]).
//!
//! It is no sandbox and translates nothing: the program runs natively. docs/decisions/0015-placement.md has the reasons and the
//! limits.
//!
//! What always holds: `no_std`, no allocation, and nothing of libc is called once the program has begun, since the libc
//! that was there is unmapped; children that execute another program are placed by the kernel.
#![cfg_attr(not(test), no_std)]

pub mod elf;
pub mod facts;
pub mod listing;
pub mod maps;
pub mod places;
pub mod process;
mod system;
mod trap;

pub use process::begin;

/// The variable that asks for it, with any value. The program does not see it.
pub const ASK: &[u8] = b"INVAR_PLACEMENT=";

/// Addresses whose uppermost four of 48 bits are these are ours.
pub const AREA: u64 = 0x6;
/// Where the program is loaded; its `brk` heap follows.
pub const PROGRAM: u64 = 0x6100_0000_0000;
/// How large the `brk` heap may become.
pub const HEAP_BYTES: u64 = 1 << 40;
/// Mappings without an address lie between these, the first ones highest.
pub const MAPPINGS: core::ops::Range<u64> = 0x6300_0000_0000..0x6fff_0000_0000;
/// The end of the main thread's stack.
pub const STACK_END: u64 = 0x6fff_ffff_f000;
/// How large the main thread's stack is: the usual limit.
pub const STACK_BYTES: u64 = 8 << 20;
/// A page.
pub const PAGE: u64 = 4096;

/// Is `address` one of this placement's?
pub const fn is_ours(address: u64) -> bool {
    address >> 44 == AREA
}

/// Is the caller's code placed by this?
pub fn is_placed() -> bool {
    is_ours(is_placed as *const () as u64)
}

/// `address`, up to the next page.
pub(crate) const fn page_up(address: u64) -> u64 {
    address.saturating_add(PAGE - 1) & !(PAGE - 1)
}

/// `address`, down to its page.
pub(crate) const fn page_down(address: u64) -> u64 {
    address & !(PAGE - 1)
}
