//! Into a program and out of it, natively and by the engine.
//!
//! [`program`] is a function like any other: to the engine it is a region's callback, and the program of chance is
//! what it jumps to.
#![expect(unsafe_code, reason = "a naked function that exchanges every register")]

use core::arch::naked_asm;

use invar_core::diagnostic::Diagnostics;
use invar_core::event::Events;
use invar_core::machine::Machine;
use invar_engine::drain::reference::Meanings;
use invar_engine::host::context::Context;
use invar_engine::host::{gate, memory};
use invar_engine::region::{DrainKind, Mode, Setup, Stack};
use invar_engine::runtime::Engine;

use super::signals::{self, Fault, Step};
use crate::layout;

/// Loads the state, jumps to the program, and saves the state when it comes to [`exit`].
#[unsafe(naked)]
extern "C" fn program(_argument: *mut core::ffi::c_void) {
    naked_asm!(
        "push rbp", "push rbx", "push r12", "push r13", "push r14", "push r15",
        "mov [{state} + 0x200], rsp",
        "mov eax, [{state} + 0x220]",
        "xor edx, edx",
        "xrstor64 [{state} + 0x1000]",
        "mov rax, [{state} + 0x00]", "mov rcx, [{state} + 0x08]", "mov rdx, [{state} + 0x10]",
        "mov rbx, [{state} + 0x18]", "mov rbp, [{state} + 0x28]", "mov rsi, [{state} + 0x30]",
        "mov rdi, [{state} + 0x38]", "mov r8, [{state} + 0x40]", "mov r9, [{state} + 0x48]",
        "mov r10, [{state} + 0x50]", "mov r11, [{state} + 0x58]", "mov r12, [{state} + 0x60]",
        "mov r13, [{state} + 0x68]", "mov r14, [{state} + 0x70]", "mov r15, [{state} + 0x78]",
        "mov rsp, {state} + 0x80",
        "popfq",
        "mov rsp, [{state} + 0x20]",
        "jmp [{state} + 0x210]",
        state = const layout::STATE,
    )
}

/// Where a program goes at its end, or where a fault of the native run is sent.
#[unsafe(naked)]
extern "C" fn exit() {
    naked_asm!(
        "mov [{state} + 0x100], rax", "mov [{state} + 0x108], rcx", "mov [{state} + 0x110], rdx",
        "mov [{state} + 0x118], rbx", "mov [{state} + 0x120], rsp", "mov [{state} + 0x128], rbp",
        "mov [{state} + 0x130], rsi", "mov [{state} + 0x138], rdi", "mov [{state} + 0x140], r8",
        "mov [{state} + 0x148], r9", "mov [{state} + 0x150], r10", "mov [{state} + 0x158], r11",
        "mov [{state} + 0x160], r12", "mov [{state} + 0x168], r13", "mov [{state} + 0x170], r14",
        "mov [{state} + 0x178], r15",
        "mov rsp, {state} + 0x188",
        "pushfq",
        "mov eax, [{state} + 0x220]",
        "xor edx, edx",
        "xsave64 [{state} + 0x2000]",
        "fninit",
        "ldmxcsr [{state} + 0x224]",
        "vzeroupper",
        "mov rsp, [{state} + 0x200]",
        // No direction flag, no alignment check.
        "push 2",
        "popfq",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp",
        "ret",
        state = const layout::STATE,
    )
}

/// Address of the way out.
pub fn exit_address() -> u64 {
    exit as *const () as u64
}

/// The state components that are compared: x87, SSE, AVX, and AVX-512 where the host has it.
pub fn state_components() -> u32 {
    // SAFETY: xgetbv of register zero, on a host with AVX, which `main` has checked.
    let (enabled, _high): (u32, u32) = unsafe {
        let (low, high);
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
        (low, high)
    };
    enabled & 0xe7
}

/// Which `fs` base a program runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thread {
    /// The fuzzer's own: the program does not look, and a panic of the engine can be said.
    Own,
    /// [`layout::THREAD`].
    Scratch,
}

/// Sets the `fs` base while `act` runs; nothing in it may use thread-local storage. What a program that has gone astray may
/// have left the two bases like is put right.
fn with_thread_base<R>(thread: Thread, act: impl FnOnce() -> R) -> R {
    use invar_engine::host::syscall;
    let before = syscall::fs_base();
    if thread == Thread::Scratch {
        set_fs(layout::THREAD);
    }
    let result = act();
    set_fs(before);
    syscall::set_gs_base(0);
    result
}

fn set_fs(base: u64) {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_SET_FS: u64 = 0x1002;
    // SAFETY: between the two calls of `with_thread_base` no thread-local storage is used.
    unsafe { invar_engine::host::syscall::syscall(ARCH_PRCTL, [ARCH_SET_FS, base, 0, 0, 0, 0]) };
}

/// Runs the program natively; with `steps`, one instruction at a time, noting the registers before each.
pub fn natively(thread: Thread, steps: Option<&mut Vec<Step>>) -> Option<Fault> {
    signals::begin_native(exit_address(), steps.is_some());
    with_thread_base(thread, || program(core::ptr::null_mut()));
    signals::end(steps)
}

/// How far the engine goes from one visit of the runtime to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As always.
    Usual,
    /// None: every record fills the trace buffer.
    None,
}

/// The Machine that is simulated: small, so that lines are driven out by a program, and soon emptied.
pub fn machine() -> Machine {
    let text =
        "tiny;l1i=1024/2/bit-plru;l1d=512/8/bit-plru;l2=4096/4/lru;l3=8192/2/lru;latency=1/2/3/4;mhz=1";
    Machine::parse(text).expect("a machine's text")
}

fn setup(mode: Mode) -> Setup {
    Setup { machine: machine(), mode, drain: DrainKind::Generated, call_paths: false, python: None }
}

/// An engine that can be run program after program.
pub struct Translator {
    engine: Engine,
}

/// What one run by the engine yielded.
pub struct Translated {
    /// The fault it ended by.
    pub fault: Option<Fault>,
    /// The trace as it was at the end.
    pub trace: Vec<u64>,
    /// What was counted.
    pub events: Events,
    /// What the engine says of it.
    pub diagnostics: Diagnostics,
}

impl Translator {
    /// The first engine of the process. Call once.
    pub fn new() -> Result<Translator, i32> {
        memory::map_arena()?;
        let code = memory::code_memory();
        Ok(Translator { engine: Engine::new(setup(Mode::Simulation), code) })
    }

    /// Forgets every translation, and goes on in `mode`.
    pub fn renewed(self, mode: Mode) -> Translator {
        Translator { engine: self.engine.replaced_by(setup(mode)) }
    }

    /// Forms superblocks again that were entered so often.
    pub fn form_again_after(&mut self, entered: u64) {
        self.engine.form_again_after(entered);
    }

    /// With a trace or with counts.
    pub fn mode(&self) -> Mode {
        self.engine.setup().mode
    }

    /// What the trace's records mean.
    pub fn meanings(&self) -> &Meanings {
        self.engine.meanings()
    }

    /// Runs the program as a region.
    pub fn run(&mut self, thread: Thread, room: Room) -> Translated {
        let engine = &mut self.engine;
        let mut trace = Vec::new();
        signals::begin_translated(exit_address(), gate::region_end_address());
        let (events, diagnostics) = with_thread_base(thread, || {
            let context: &mut Context = memory::context();
            let entry = engine.begin(context, program as *const () as u64, true);
            if room == Room::None {
                context.trace_limit = context.trace_pointer;
            }
            gate::run(context, engine, entry, 0, Stack::Own);
            if engine.setup().mode == Mode::Simulation && context.ended_natively == 0 {
                trace.extend_from_slice(memory::trace(context.trace_pointer));
            }
            engine.end(context)
        });
        Translated { fault: signals::end(None), trace, events, diagnostics }
    }
}
