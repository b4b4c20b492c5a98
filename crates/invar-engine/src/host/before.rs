//! Threads that were there before a region come over: each is asked by a signal, and waits for its turn from then on.
//!
//! The handler puts the registers of its frame into the thread's block, and changes the frame so that the thread, when the
//! handler has returned, waits in the gate of [`super::threads`], on its own stack. It does so only if the signal has found the
//! thread in the very call that it was seen in; otherwise the thread goes on as if nothing had been.
//!
//! The signal is the C libraries' own second one (`SIGSETXID`), which they keep out of the masks that programs set. It comes with
//! a value that nobody else sends; whatever else comes goes to the handler that was there before.
//!
//! What always holds: the handler stays once it was installed, since a signal that was sent may come late, and would end the
//! process.
#![expect(unsafe_code, reason = "a handler of signals: frames by address")]

use core::arch::naked_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering::*};

use super::faults::{Action, FRAME_REGISTERS, FRAME_RIP, SA_SIGINFO, UCONTEXT_REGISTERS, action, set_action};
use super::layout::{self, ARENA};
use super::syscall::{self, ARCH_SET_GS, number, syscall};
use super::threads::{self as gates, Block};
use super::words;
use crate::host::context::register::*;

/// Its number among the signals.
pub const SIGNAL: u64 = 33;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
/// The code of a signal that was sent with a value.
const QUEUED: i32 = -1;
/// Bytes of a `syscall` instruction.
pub const CALL_BYTES: u64 = 2;
const EINTR: u64 = -4i64 as u64;

/// In [`Block::asked`]: nobody has asked, or waits for an answer any more.
const NOT_ASKED: u32 = 0;
const ASKED: u32 = 1;
/// The handler looks.
const LOOKING: u32 = 2;
const COMES: u32 = 3;
const STAYS: u32 = 4;

/// The handler from before this one.
static BEFORE: AtomicU64 = AtomicU64::new(0);

/// The general registers of a frame, and its flags.
type Frame = [u64; 18];

/// What the kernel tells of a signal that was sent with a value (`siginfo_t`).
#[repr(C)]
struct Information {
    signal: i32,
    error: i32,
    code: i32,
    _pad: i32,
    process: u32,
    user: u32,
    value: u64,
    rest: [u64; 12],
}

/// Before threads are asked: stands before the handler that is there.
pub fn listen() {
    let ours = on_signal as *const () as u64;
    let before = action(SIGNAL);
    if before.handler == ours {
        return;
    }
    const IGNORE: u64 = 1;
    BEFORE.store(if before.handler > IGNORE { before.handler } else { 0 }, SeqCst);
    let flags = SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_RESTART;
    let restorer = restore as *const () as u64;
    set_action(SIGNAL, &Action { handler: ours, flags, restorer, mask: u64::MAX });
}

/// Asks the thread of a block to come over, if it is still in the system call that [`Block::call`] says: it would come back to
/// [`Block::target`], with the stack pointer that is in the block's registers. Says whether it has come.
pub fn ask(index: usize) -> bool {
    const RT_TGSIGQUEUEINFO: u64 = 297;
    const LOOKS: u32 = 2000;
    let block = gates::block(index);
    let thread = u64::from(block.thread.load(Relaxed));
    let process = syscall::process_id();
    let information = Information {
        signal: SIGNAL as i32,
        error: 0,
        code: QUEUED,
        _pad: 0,
        process,
        user: 0,
        value: gates::address(index),
        rest: [0; 12],
    };
    block.asked.store(ASKED, SeqCst);
    let arguments = [u64::from(process), thread, SIGNAL, &raw const information as u64, 0, 0];
    // SAFETY: the handler for it is installed; the kernel reads the structure, which is as large as its own.
    if unsafe { syscall(RT_TGSIGQUEUEINFO, arguments) } != 0 {
        block.asked.store(NOT_ASKED, SeqCst);
        return false;
    }
    for _ in 0..LOOKS {
        gates::wait_while(&block.asked, ASKED);
        if block.asked.load(SeqCst) != ASKED {
            break;
        }
    }
    if block.asked.compare_exchange(ASKED, NOT_ASKED, SeqCst, SeqCst).is_ok() {
        return false;
    }
    loop {
        match block.asked.load(SeqCst) {
            COMES => return true,
            STAYS => return false,
            now => gates::wait_while(&block.asked, now),
        }
    }
}

/// Whose signal is it?
#[unsafe(naked)]
extern "C" fn on_signal() {
    naked_asm!(
        "cmp dword ptr [rsi + {code}], {queued}",
        "jne 2f",
        "mov rax, [rsi + {value}]",
        "mov rcx, {blocks}",
        "sub rax, rcx",
        "cmp rax, {bytes}",
        "jb {asked}",
        "2:",
        "mov rax, [rip + {before}]",
        "test rax, rax",
        "jz 3f",
        "jmp rax",
        "3:",
        "ret",
        code = const offset_of!(Information, code),
        queued = const QUEUED,
        value = const offset_of!(Information, value),
        blocks = const gates::address(0),
        bytes = const layout::THREADS_MAX as u32 * layout::THREAD_BYTES,
        before = sym BEFORE,
        asked = sym asked,
    )
}

/// What the kernel returns to when the handler has ended.
#[unsafe(naked)]
extern "C" fn restore() {
    naked_asm!("mov eax, {rt_sigreturn}", "syscall", rt_sigreturn = const number::RT_SIGRETURN)
}

/// The handler, for a signal of ours. Every signal is blocked meanwhile.
extern "C" fn asked(_signal: u64, information: *const Information, context: u64) {
    // SAFETY: the kernel's structure.
    let address = unsafe { (*information).value };
    let index = (address - gates::address(0)) / u64::from(layout::THREAD_BYTES);
    let block = gates::block(index as usize);
    if block.thread.load(SeqCst) != syscall::thread_id()
        || block.asked.compare_exchange(ASKED, LOOKING, SeqCst, SeqCst).is_err()
    {
        return;
    }
    // SAFETY: the registers of the kernel's frame, which belongs to the handler.
    let frame = unsafe { &mut *((context + UCONTEXT_REGISTERS as u64) as *mut Frame) };
    let answer = if come_over(block, address, frame) { COMES } else { STAYS };
    block.asked.store(answer, SeqCst);
    gates::wake(&raw const block.asked as u64);
}

fn come_over(block: &Block, address: u64, frame: &mut Frame) -> bool {
    const FLAGS: usize = 17;
    const PR_GET_TID_ADDRESS: u64 = 40;
    const PRCTL: u64 = 157;
    let register = |frame: &Frame, number: u8| frame[FRAME_REGISTERS[usize::from(number)]];
    let next = block.target.load(Relaxed);
    let at = next.wrapping_sub(CALL_BYTES);
    // The kernel starts a call without a time again, and lets one with a time fail.
    let starts_again = frame[FRAME_RIP] == at && register(frame, RAX) == block.call[0].load(Relaxed);
    let has_failed = frame[FRAME_RIP] == next && register(frame, RAX) == EINTR;
    let is_it = [RDI, RSI, RDX, R10, R8, R9]
        .iter()
        .zip(&block.call[1..])
        .all(|(&number, argument)| register(frame, number) == argument.load(Relaxed));
    let stack = block.registers[usize::from(RSP)].load(Relaxed);
    let is_there = register(frame, RSP) == stack && is_system_call(at);
    if !(starts_again || has_failed) || !is_it || !is_there {
        return false;
    }
    for (home, &place) in block.registers.iter().zip(&FRAME_REGISTERS) {
        home.store(frame[place], Relaxed);
    }
    // Natively it asks once more.
    block.registers[usize::from(RAX)].store(block.call[0].load(Relaxed), Relaxed);
    block.flags.store(frame[FLAGS], Relaxed);
    block.target.store(at, Relaxed);
    block.gs_base.store(syscall::gs_base(), Relaxed);
    let mut cleared = 0u64;
    // SAFETY: the kernel writes the eight bytes of `cleared`, or refuses.
    unsafe { syscall(PRCTL, [PR_GET_TID_ADDRESS, &raw mut cleared as u64, 0, 0, 0, 0]) };
    block.cleared.store(cleared, Relaxed);
    // SAFETY: the thread executes nothing of its own before it gets its own base back.
    unsafe { syscall(number::ARCH_PRCTL, [ARCH_SET_GS, ARENA, 0, 0, 0, 0]) };
    frame[FRAME_RIP] = gates::wait_address();
    frame[FRAME_REGISTERS[usize::from(R14)]] = address;
    true
}

fn is_system_call(at: u64) -> bool {
    let mut bytes = [0; CALL_BYTES as usize];
    words::read(at, &mut bytes) && bytes == [0x0f, 0x05]
}
