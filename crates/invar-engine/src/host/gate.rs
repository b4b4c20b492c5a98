//! The gates: where control passes between the caller, the guest and the runtime.
//!
//! ```text
//! caller ──enter──▶ guest (code cache) ──link, indirect, full, special──▶ runtime ──resume──▶ guest
//!    ▲                                                                       │
//!    └──────────────────────────────── leave ◀──────────────────────────────┘
//! ```
//!
//! Every way into the runtime saves the guest's general registers, flags and the low vector halves (the runtime is
//! compiled without AVX and without floating point, so the rest stays as it is), and switches to the runtime's own
//! stack. Nothing is ever written below the guest's stack pointer.
#![expect(unsafe_code, reason = "naked functions and calls between stacks")]

use core::arch::naked_asm;

use super::context::{Context, at, register};
use super::layout::{self, ARENA};
use super::syscall::{ARCH_SET_GS, number};

/// Why the runtime is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Reason {
    /// A direct branch whose target is not linked yet; `exit_number` is the link.
    Link = 0,
    /// An indirect branch that the table does not know; `target` is the guest address.
    Indirect = 1,
    /// The trace buffer is full; `exit_number` is the block.
    Full = 2,
    /// An instruction that the runtime answers; `exit_number` is the site.
    Special = 3,
    /// A system call has returned; `exit_number` is its site.
    SystemCallDone = 4,
    /// A handler of the guest has changed where it goes on: at `target`.
    Resume = 5,
    /// A thread has been given the baton: the one whose number is `exit_number`.
    Turn = 6,
    /// The baton could not be put down, as a thread has come back from the outside.
    Rescan = 7,
    /// As `Turn`, of a thread that has taken the baton from one that did not.
    Revoked = 8,
    /// The call that was to start a thread has returned.
    Started = 9,
}

/// A gate's index in [`Context::gates`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// See [`Reason::Link`].
    Link = 0,
    /// See [`Reason::Indirect`].
    Indirect = 1,
    /// See [`Reason::Full`].
    Full = 2,
    /// See [`Reason::Special`].
    Special = 3,
    /// See [`Reason::SystemCallDone`].
    SystemCallDone = 4,
}

/// How many gates there are.
pub const GATES: usize = 5;

impl Gate {
    /// Where its address is, relative to `gs`.
    pub const fn offset(self) -> u32 {
        at::GATES + 8 * self as u32
    }
}

/// Puts the gates' addresses into the context.
pub fn install(context: &mut Context) {
    context.gates = [
        gate_link as *const () as u64,
        gate_indirect as *const () as u64,
        gate_full as *const () as u64,
        gate_special as *const () as u64,
        gate_system_call_done as *const () as u64,
    ];
}

const RAX: u32 = at::REGISTERS;
const RCX: u32 = at::REGISTERS + 8;
const RDX: u32 = at::REGISTERS + 8 * 2;
const RBX: u32 = at::REGISTERS + 8 * 3;
const RSP: u32 = at::REGISTERS + 8 * 4;
const RBP: u32 = at::REGISTERS + 8 * 5;
const RSI: u32 = at::REGISTERS + 8 * 6;
const RDI: u32 = at::REGISTERS + 8 * 7;
const R8: u32 = at::REGISTERS + 8 * 8;
const R9: u32 = at::REGISTERS + 8 * 9;
const R10: u32 = at::REGISTERS + 8 * 10;
const R12: u32 = at::REGISTERS + 8 * 12;
const R13: u32 = at::REGISTERS + 8 * 13;
const R14: u32 = at::REGISTERS + 8 * 14;
const R15: u32 = at::REGISTERS + 8 * 15;

macro_rules! gate {
    ($name:ident, $reason:expr) => {
        #[unsafe(naked)]
        extern "C" fn $name() {
            naked_asm!(
                "mov qword ptr gs:[{reason}], {value}",
                "jmp {into}",
                reason = const at::REASON,
                value = const $reason as u64,
                into = sym into_runtime,
            )
        }
    };
}

gate!(gate_link, Reason::Link);
gate!(gate_full, Reason::Full);
gate!(gate_special, Reason::Special);
gate!(gate_system_call_done, Reason::SystemCallDone);
gate!(gate_resume, Reason::Resume);

/// Comes with the target in `rcx`, and the guest's `rax` and `rcx` in their homes.
#[unsafe(naked)]
extern "C" fn gate_indirect() {
    naked_asm!(
        "mov gs:[{target}], rcx",
        "mov rax, gs:[{branch_rax}]",
        "mov rcx, gs:[{branch_rcx}]",
        "mov qword ptr gs:[{reason}], {value}",
        "jmp {into}",
        target = const at::TARGET,
        branch_rax = const at::BRANCH_RAX,
        branch_rcx = const at::BRANCH_RCX,
        reason = const at::REASON,
        value = const Reason::Indirect as u64,
        into = sym into_runtime,
    )
}

/// Saves the guest and calls the runtime; then restores the guest and goes to `resume`.
#[unsafe(naked)]
pub(super) extern "C" fn into_runtime() {
    naked_asm!(
        "mov gs:[{rax}], rax", "mov gs:[{rcx}], rcx", "mov gs:[{rdx}], rdx", "mov gs:[{rbx}], rbx",
        "mov gs:[{rsp}], rsp", "mov gs:[{rbp}], rbp", "mov gs:[{rsi}], rsi", "mov gs:[{rdi}], rdi",
        "mov gs:[{r8}], r8", "mov gs:[{r9}], r9", "mov gs:[{r10}], r10",
        "mov gs:[{r12}], r12", "mov gs:[{r13}], r13", "mov gs:[{r14}], r14", "mov gs:[{r15}], r15",
        "mov gs:[{trace_pointer}], r11",
        "mov rsp, gs:[{host_stack}]",
        "pushfq",
        "pop qword ptr gs:[{flags}]",
        // No direction flag, no alignment check: what Rust code expects.
        "push 2",
        "popfq",
        "movups gs:[{vectors} + 0], xmm0", "movups gs:[{vectors} + 16], xmm1",
        "movups gs:[{vectors} + 32], xmm2", "movups gs:[{vectors} + 48], xmm3",
        "movups gs:[{vectors} + 64], xmm4", "movups gs:[{vectors} + 80], xmm5",
        "movups gs:[{vectors} + 96], xmm6", "movups gs:[{vectors} + 112], xmm7",
        "movups gs:[{vectors} + 128], xmm8", "movups gs:[{vectors} + 144], xmm9",
        "movups gs:[{vectors} + 160], xmm10", "movups gs:[{vectors} + 176], xmm11",
        "movups gs:[{vectors} + 192], xmm12", "movups gs:[{vectors} + 208], xmm13",
        "movups gs:[{vectors} + 224], xmm14", "movups gs:[{vectors} + 240], xmm15",
        "mov qword ptr gs:[{in_runtime}], 1",
        "mov rdi, {context}",
        "call {answer}",
        "mov qword ptr gs:[{in_runtime}], 0",
        "mov gs:[{resume}], rax",
        "jmp {out_of}",
        rax = const RAX, rcx = const RCX, rdx = const RDX, rbx = const RBX,
        rsp = const RSP, rbp = const RBP, rsi = const RSI, rdi = const RDI,
        r8 = const R8, r9 = const R9, r10 = const R10,
        r12 = const R12, r13 = const R13, r14 = const R14, r15 = const R15,
        trace_pointer = const at::TRACE_POINTER,
        host_stack = const at::HOST_STACK,
        flags = const at::FLAGS,
        vectors = const at::VECTORS,
        context = const ARENA,
        in_runtime = const at::IN_RUNTIME,
        answer = sym answer,
        resume = const at::RESUME,
        out_of = sym out_of_runtime,
    )
}

/// Restores the guest from the context and goes to `resume`.
#[unsafe(naked)]
extern "C" fn out_of_runtime() {
    naked_asm!(
        "movups xmm0, gs:[{vectors} + 0]", "movups xmm1, gs:[{vectors} + 16]",
        "movups xmm2, gs:[{vectors} + 32]", "movups xmm3, gs:[{vectors} + 48]",
        "movups xmm4, gs:[{vectors} + 64]", "movups xmm5, gs:[{vectors} + 80]",
        "movups xmm6, gs:[{vectors} + 96]", "movups xmm7, gs:[{vectors} + 112]",
        "movups xmm8, gs:[{vectors} + 128]", "movups xmm9, gs:[{vectors} + 144]",
        "movups xmm10, gs:[{vectors} + 160]", "movups xmm11, gs:[{vectors} + 176]",
        "movups xmm12, gs:[{vectors} + 192]", "movups xmm13, gs:[{vectors} + 208]",
        "movups xmm14, gs:[{vectors} + 224]", "movups xmm15, gs:[{vectors} + 240]",
        "mov rsp, gs:[{host_stack}]",
        "push qword ptr gs:[{flags}]",
        "popfq",
        "mov rax, gs:[{rax}]", "mov rcx, gs:[{rcx}]", "mov rdx, gs:[{rdx}]", "mov rbx, gs:[{rbx}]",
        "mov rsp, gs:[{rsp}]", "mov rbp, gs:[{rbp}]", "mov rsi, gs:[{rsi}]", "mov rdi, gs:[{rdi}]",
        "mov r8, gs:[{r8}]", "mov r9, gs:[{r9}]", "mov r10, gs:[{r10}]",
        "mov r12, gs:[{r12}]", "mov r13, gs:[{r13}]", "mov r14, gs:[{r14}]", "mov r15, gs:[{r15}]",
        "mov r11, gs:[{trace_pointer}]",
        "jmp qword ptr gs:[{resume}]",
        rax = const RAX, rcx = const RCX, rdx = const RDX, rbx = const RBX,
        rsp = const RSP, rbp = const RBP, rsi = const RSI, rdi = const RDI,
        r8 = const R8, r9 = const R9, r10 = const R10,
        r12 = const R12, r13 = const R13, r14 = const R14, r15 = const R15,
        trace_pointer = const at::TRACE_POINTER,
        host_stack = const at::HOST_STACK,
        flags = const at::FLAGS,
        vectors = const at::VECTORS,
        resume = const at::RESUME,
    )
}

/// Makes the system call that the guest asked for, with the guest's own registers and stack, then enters the runtime.
/// A restarted call (the kernel moves back to the `syscall` instruction) finds every register as it was.
#[unsafe(naked)]
extern "C" fn make_system_call() {
    naked_asm!(
        "syscall",
        // The kernel leaves the flags in r11 and its return address, which is ours, in rcx.
        "mov gs:[{r11}], r11",
        "mov r11, gs:[{trace_pointer}]",
        "mov rcx, gs:[{target}]",
        "mov qword ptr gs:[{reason}], {value}",
        "jmp {into}",
        r11 = const at::R11,
        trace_pointer = const at::TRACE_POINTER,
        target = const at::TARGET,
        reason = const at::REASON,
        value = const Reason::SystemCallDone as u64,
        into = sym into_runtime,
    )
}

/// Saves the caller and starts the guest that the context describes.
#[unsafe(naked)]
extern "C" fn enter_guest() {
    naked_asm!(
        "push rbp", "push rbx", "push r12", "push r13", "push r14", "push r15",
        "mov gs:[{native_stack}], rsp",
        "jmp {out_of}",
        native_stack = const at::NATIVE_STACK,
        out_of = sym out_of_runtime,
    )
}

/// Back to the caller of [`enter`].
#[unsafe(naked)]
extern "C" fn leave_guest() {
    naked_asm!(
        "mov rsp, gs:[{native_stack}]",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp",
        "cld",
        "ret",
        native_stack = const at::NATIVE_STACK,
    )
}

/// The return address of a region's callback is its second instruction. Known to the runtime, which leaves; reached natively
/// where the guest got out of translation, with its own `gs` base.
///
/// Unwinders look for the instruction before a return address, and so does this begin with one: else they would find whatever
/// function the linker has put before this one, and go on by its rules beyond the end of the stack. A caller that is not
/// defined ends the chain of frames (DWARF 5, 6.4.4).
#[unsafe(naked)]
extern "C" fn region_end() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "nop",
        "mov eax, {arch_prctl}",
        "mov edi, {set_gs}",
        "mov rsi, {arena}",
        "syscall",
        "mov qword ptr gs:[{ended_natively}], 1",
        "jmp {leave}",
        ".cfi_endproc",
        arch_prctl = const number::ARCH_PRCTL,
        set_gs = const ARCH_SET_GS,
        arena = const ARENA,
        ended_natively = const at::ENDED_NATIVELY,
        leave = sym leave_guest,
    )
}

/// What the runtime answers: where the guest goes on.
extern "C" fn answer(context: *mut Context) -> u64 {
    // SAFETY: the gates pass the one context, and no other reference lives while the guest runs.
    let context = unsafe { &mut *context };
    // SAFETY: set by `enter` to the engine that `enter`'s caller has lent for the time of the region.
    let engine = unsafe { &mut *(context.engine as *mut crate::runtime::Engine) };
    engine.answer(context)
}

/// Runs the guest from `entry`, an address in the code cache or a gate, until the region's end. It finds `argument` as
/// its first argument and [`region_end_address`] as its return address.
pub fn run(
    context: &mut Context,
    engine: &mut crate::runtime::Engine,
    entry: u64,
    argument: u64,
    stack: crate::region::Stack,
) {
    let top = match stack {
        crate::region::Stack::Own => ARENA + layout::REGION_STACK + layout::REGION_STACK_BYTES,
        crate::region::Stack::Caller => {
            let here = 0u8;
            // Room for what this function and the gate still push.
            (&raw const here as u64 - 4096) & !4095
        }
    };
    // The ABI wants the stack aligned before the call pushed the return address. Zeros above it end the chain
    // of frames for unwinders.
    let stack_pointer = top - 64 - 8;
    let frame = [region_end_address(), 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the nine words below `top`: within the regions' stack, or in the caller's stack below everything in use.
    unsafe { (stack_pointer as *mut [u64; 9]).write(frame) };
    context.registers = [0; 16];
    context.registers[usize::from(register::RSP)] = stack_pointer;
    context.registers[usize::from(register::RDI)] = argument;
    context.flags = 2;
    context.vectors = [[0; 2]; 16];
    context.resume = entry;
    context.host_stack = ARENA + layout::HOST_STACK + layout::HOST_STACK_BYTES;
    context.engine = &raw mut *engine as u64;
    context.in_runtime = 0;
    let before = super::syscall::gs_base();
    context.guest_gs_base = before;
    super::syscall::set_gs_base(ARENA);
    enter_guest();
    super::syscall::set_gs_base(before);
}

/// Address of [`make_system_call`].
pub fn system_call_address() -> u64 {
    make_system_call as *const () as u64
}

/// Address of the gate for [`Reason::Resume`].
pub fn resume_address() -> u64 {
    gate_resume as *const () as u64
}

/// Address of [`leave_guest`].
pub fn leave_address() -> u64 {
    leave_guest as *const () as u64
}

/// The return address that a region's callback finds on its stack: behind the one byte of [`region_end`]'s first instruction.
pub fn region_end_address() -> u64 {
    region_end as *const () as u64 + 1
}

/// Asks the host's time-stamp counter.
pub fn time_stamp() -> u64 {
    // SAFETY: the instruction reads a counter. A process that has forbidden it to itself gets its signal here, as it would there.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Asks the host's `cpuid`.
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let result = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    [result.eax, result.ebx, result.ecx, result.edx]
}
