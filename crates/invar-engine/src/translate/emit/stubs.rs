//! Pieces of host code that belong to no superblock: checks of indirect targets, the way into the runtime, system calls that
//! return twice.

use super::*;
use crate::host::syscall::{ARCH_SET_GS, number};
use crate::host::threads::field;

/// Code that checks whether `rcx` is the guest address `target` and restores the guest's registers; the block's own code
/// follows, or a jump to it. On a mismatch it goes to `next`, the chain's next check or the gate's own stub.
pub fn indirect_check(origin: u64, target: u64, next: u64, mode: Mode) -> Vec<u8> {
    let scratch = branch_scratch(mode);
    let mut code = Assembler::new(origin);
    code.load_immediate(scratch, target.wrapping_neg());
    code.add_to_rcx(scratch);
    let mut miss = Assembler::new(0);
    miss.load_immediate(scratch, target);
    miss.add_to_rcx(scratch);
    code.skip_if_rcx_zero(miss.here() as u8 + 5);
    code.raw(&miss.bytes);
    code.jump_to(next);
    if scratch == RAX {
        code.load_gs(RAX, at::BRANCH_RAX);
    }
    code.load_gs(RCX, at::BRANCH_RCX);
    code.bytes
}

/// A jump to a host address.
pub fn jump(origin: u64, host: u64) -> Vec<u8> {
    let mut code = Assembler::new(origin);
    code.jump_to(host);
    code.bytes
}

/// The register that indirect branches compute with, besides `rcx`: in counts-only mode `r11` is free.
pub fn branch_scratch(mode: Mode) -> u8 {
    if mode == Mode::Simulation { RAX } else { R11 }
}

/// Code at the end of every chain of checks: into the runtime, which finds the guest's `rax` in its home.
pub fn indirect_miss(mode: Mode) -> Vec<u8> {
    let mut code = Assembler::new(0);
    if branch_scratch(mode) != RAX {
        code.store_gs(at::BRANCH_RAX, RAX);
    }
    code.jump_gs(Gate::Indirect.offset());
    code.bytes
}

/// Code that goes on natively at [`at::TARGET`]: the guest gets its `gs` base and its `r11` back, and the engine has let go.
/// Reached from the runtime, so the guest's registers are in the context, too.
pub fn native_exit(origin: u64) -> Vec<u8> {
    let mut code = Assembler::new(origin);
    code.load_immediate(RAX, u64::from(number::ARCH_PRCTL as u32));
    code.load_immediate(RDI, ARCH_SET_GS);
    code.load_context(RSI, at::GUEST_GS_BASE);
    code.raw(&[0x0f, 0x05]); // syscall: the flags are kept
    for register in [RAX, RCX, RSI, RDI, R11] {
        code.load_context(register, at::REGISTERS + 8 * u32::from(register));
    }
    code.jump_context(at::TARGET);
    code.bytes
}

/// Code that makes a system call which starts a process or a thread: the child goes on natively at `next`, the parent
/// comes back to the runtime. The child may share all memory with the parent, so it writes none of the engine's.
pub fn system_call_with_child(origin: u64, next: u64) -> Vec<u8> {
    let mut code = Assembler::new(origin);
    code.raw(&[0x0f, 0x05]); // syscall
    code.copy_rax_to_rcx();
    let mut parent = Assembler::new(0);
    parent.store_gs(at::R11, R11);
    parent.load_gs(R11, at::TRACE_POINTER);
    parent.load_immediate(RCX, next);
    parent.jump_gs(Gate::SystemCallDone.offset());
    code.skip_if_rcx_zero(parent.here() as u8);
    code.raw(&parent.bytes);
    code.load_immediate(RCX, next);
    let literal = code.jump_literal();
    code.bind(literal);
    code.raw(&next.to_le_bytes());
    code.bytes
}

/// Code by which a thread goes on natively, as its block at an offset in the arena says; reached while it waits.
///
/// The flags are restored below the guest's red zone, which whoever interrupts the thread leaves alone, too.
pub fn thread_exit(origin: u64, block: u32) -> Vec<u8> {
    let mut code = Assembler::new(origin);
    code.load_immediate(RAX, u64::from(number::ARCH_PRCTL as u32));
    code.load_immediate(RDI, ARCH_SET_GS);
    code.load_context(RSI, block + field::GS_BASE);
    code.raw(&[0x0f, 0x05]); // syscall
    code.load_context(RSP, block + field::REGISTERS + 8 * u32::from(RSP));
    code.raw(&[0x48, 0x8d, 0x64, 0x24, 0x80]); // lea rsp, [rsp - 128]
    code.load_context(RAX, block + field::FLAGS);
    code.raw(&[0x50, 0x9d]); // push rax; popfq
    code.raw(&[0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0]); // lea rsp, [rsp + 128]
    for register in (0..16).filter(|&register| register != RSP) {
        code.load_context(register, block + field::REGISTERS + 8 * u32::from(register));
    }
    code.jump_context(block + field::TARGET);
    assert!(code.here() <= layout::EXIT_BYTES);
    code.bytes
}
