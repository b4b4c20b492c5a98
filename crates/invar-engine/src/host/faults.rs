//! Handlers of the guest see the guest: the instruction that faulted and its registers, not the code cache.
//!
//! While a region runs, [`first_handler`] stands before every handler that the guest has for the signals of faults. It
//! lets the runtime put the guest's state in place of the host's (`runtime::fault`), calls the guest's handler on whatever
//! stack the kernel has chosen, and lets the runtime translate back what the handler has left. A fault outside of
//! generated code goes to the guest's handler untouched, on any thread.
#![expect(
    unsafe_code,
    reason = "signal actions have no safe interface; a frame of the kernel's is memory by address"
)]

use core::arch::naked_asm;

use super::context::{Context, at};
use super::layout::{self, ARENA};
use super::syscall::{number, syscall};
use crate::runtime::Engine;

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Action {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// The general registers of a frame, as `asm/sigcontext.h` orders them.
pub type Frame = [u64; 17];

/// Where a frame has its instruction pointer.
pub const FRAME_RIP: usize = 16;
/// Where a frame has each general register, by hardware number.
pub const FRAME_REGISTERS: [usize; 16] = [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];

/// Offset of the registers in `struct ucontext`.
pub(super) const UCONTEXT_REGISTERS: usize = 40;
/// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV.
const FAULTS: [u64; 5] = [4, 5, 7, 8, 11];
pub(super) const SA_SIGINFO: u64 = 4;

pub(super) fn action(signal: u64) -> Action {
    let mut action = Action::default();
    // SAFETY: the kernel writes a struct of this layout.
    unsafe { syscall(number::RT_SIGACTION, [signal, 0, &raw mut action as u64, 8, 0, 0]) };
    action
}

pub(super) fn set_action(signal: u64, action: &Action) {
    // SAFETY: the handler is the guest's own, or ours, which calls the guest's.
    unsafe { syscall(number::RT_SIGACTION, [signal, action as *const Action as u64, 0, 8, 0, 0]) };
}

fn first_handler_address() -> u64 {
    first_handler as *const () as u64
}

/// Before a region: stands before the handlers that are there.
pub fn stand_before_handlers(context: &mut Context) {
    for signal in FAULTS {
        stand_before(context, signal);
    }
}

fn stand_before(context: &mut Context, signal: u64) {
    const IGNORE: u64 = 1;
    let action = action(signal);
    if action.handler > IGNORE && action.handler != first_handler_address() {
        context.handlers[signal as usize] = [action.handler, action.flags];
        let flags = action.flags | SA_SIGINFO;
        set_action(signal, &Action { handler: first_handler_address(), flags, ..action });
    }
}

/// After a region: gives the guest its handlers back.
pub fn step_aside(context: &Context) {
    for signal in FAULTS {
        let action = action(signal);
        if action.handler == first_handler_address() {
            let [handler, flags] = context.handlers[signal as usize];
            set_action(signal, &Action { handler, flags, ..action });
        }
    }
}

/// The guest has set or asked for an action; `old` is where the kernel has written the one from before, or zero.
pub fn action_changed(context: &mut Context, signal: u64, old: u64) {
    if !FAULTS.contains(&signal) {
        return;
    }
    if old != 0 {
        let old = old as *mut [u64; 2];
        // SAFETY: the kernel has just written there.
        let [handler, _] = unsafe { old.read_unaligned() };
        if handler == first_handler_address() {
            // SAFETY: as above.
            unsafe { old.write_unaligned(context.handlers[signal as usize]) };
        }
    }
    stand_before(context, signal);
}

/// What the kernel calls. Its arguments: the signal, its information, the frame.
#[unsafe(naked)]
extern "C" fn first_handler() {
    naked_asm!(
        "mov rax, {arena}",
        "mov ecx, edi",
        "shl ecx, 4",
        "mov r8, [rax + rcx + {handlers}]",
        "mov r9, [rdx + {registers} + 8 * {rip}]",
        "sub r9, rax",
        "sub r9, {code}",
        "cmp r9, {code_bytes}",
        "jae 4f",
        "cmp qword ptr [rax + {left}], 0",
        "je 2f",
        "4:",
        "jmp r8", // the frame is no business of ours
        "2:",
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push -1", // every signal
        "push 0",  // the mask from before
        "mov rbp, rsp",
        "mov ebx, edi",
        "mov r12, rsi",
        "mov r13, rdx",
        "mov r14, r8",
        "lea r9, [rip + {show}]",
        "call 3f",
        "mov edi, ebx",
        "mov rsi, r12",
        "mov rdx, r13",
        "call r14", // seven words and a return address: the stack is aligned
        "lea r9, [rip + {take_back}]",
        "call 3f",
        "mov rsp, rbp",
        "add rsp, 16",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        // Calls r9 with the frame's registers on the runtime's stack. No signal may come meanwhile: the kernel would find
        // the stack pointer outside of the guest's alternate stack, and start that from its top, over this frame.
        "3:",
        "mov eax, {sigprocmask}",
        "xor edi, edi", // block
        "lea rsi, [rbp + 8]",
        "mov rdx, rbp",
        "mov r10d, 8",
        "syscall",
        "mov rax, {arena}",
        "xchg rsp, [rax + {host_stack}]",
        "lea rdi, [r13 + {registers}]",
        "call r9",
        "mov rax, {arena}",
        "xchg rsp, [rax + {host_stack}]",
        "mov eax, {sigprocmask}",
        "mov edi, 2", // set
        "mov rsi, rbp",
        "xor edx, edx",
        "mov r10d, 8",
        "syscall",
        "ret",
        arena = const ARENA,
        sigprocmask = const number::RT_SIGPROCMASK,
        handlers = const at::HANDLERS,
        registers = const UCONTEXT_REGISTERS,
        rip = const FRAME_RIP,
        code = const layout::CODE,
        // Where threads start there are no faults.
        code_bytes = const layout::CODE_BYTES - layout::BIRTHS_BYTES,
        host_stack = const at::HOST_STACK,
        left = const at::LEFT,
        show = sym show,
        take_back = sym take_back,
    )
}

/// The context and its engine, on the thread that runs the region.
///
/// # Safety
///
/// Generated code was interrupted, so nobody else refers to either.
unsafe fn interrupted() -> (&'static mut Context, &'static mut Engine) {
    // SAFETY: mapped, or no generated code could run; by this function's contract there is no other reference.
    let context = unsafe { super::context::context() };
    // SAFETY: lent by the caller of `gate::run` for the time of the region.
    let engine = unsafe { &mut *(context.engine as *mut Engine) };
    (context, engine)
}

extern "C" fn show(frame: *mut Frame) {
    // SAFETY: `first_handler` calls this for frames of generated code only.
    let (context, engine) = unsafe { interrupted() };
    // SAFETY: the kernel's frame, which belongs to the handler.
    engine.show_guest(context, unsafe { &mut *frame });
}

extern "C" fn take_back(frame: *mut Frame) {
    // SAFETY: as in `show`; the handler has returned.
    let (context, engine) = unsafe { interrupted() };
    // SAFETY: as in `show`.
    engine.take_back(context, unsafe { &mut *frame });
}
