//! Signals: faults of programs become results, and single steps become a log.
//!
//! The handler runs on a stack of its own, touches no thread-local storage (a program may have moved it), and sends the
//! program to a way out that needs none of its registers.
#![expect(unsafe_code, reason = "signal handlers")]

use core::arch::naked_asm;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use invar_engine::host::layout as engine;

use crate::layout;

/// How a program ended that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The signal's number.
    pub signal: i32,
    /// The state that the handler was shown, if that was the program's and not the engine's.
    /// Flags are left out: dead ones may be the engine's by then.
    pub state: Option<Step>,
}

/// The state before an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its address.
    pub at: u64,
    /// General registers, by hardware number.
    pub registers: [u64; 16],
}

/// The signal of a program that came to no end: of a timer that counts the processor's time.
pub const NO_END: i32 = libc::SIGVTALRM;

/// Short, so that ticks come at every place of the engine, too: in generated code, in the runtime, in another handler.
const TICK_MICROSECONDS: i64 = 3_000;
/// A native run that lasts so many ticks has no end.
const NATIVE_TICKS: u64 = 60;
/// Under translation it gets more, since it is slower.
const TRANSLATED_TICKS: u64 = 900;
const STEPS_MAX: usize = 8192;

/// Where a fault goes whose handler sees the program.
static PROGRAMS_WAY_OUT: AtomicU64 = AtomicU64::new(0);
/// Where a fault goes whose handler sees generated code.
static WAY_OUT: AtomicU64 = AtomicU64::new(0);
/// Registers and address of the fault, if its handler has seen the program.
static FAULT: [AtomicU64; 17] = [const { AtomicU64::new(0) }; 17];
static FAULT_IS_SEEN: AtomicBool = AtomicBool::new(false);
static NATIVE: AtomicBool = AtomicBool::new(false);
static STEPPING: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicU64 = AtomicU64::new(0);
static STEPS: AtomicUsize = AtomicUsize::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
static LOG: [[AtomicU64; 17]; STEPS_MAX] = [const { [const { AtomicU64::new(0) }; 17] }; STEPS_MAX];

/// The flag that makes the processor stop after every instruction.
pub const TRAP_FLAG: u64 = 0x100;

/// Catches the signals that programs of chance raise.
pub fn install() -> Result<()> {
    const BYTES: usize = 1 << 16;
    let stack = Box::leak(vec![0u8; BYTES].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: BYTES };
    // SAFETY: the stack is leaked, so it stays.
    let status = unsafe { libc::sigaltstack(&stack, core::ptr::null_mut()) };
    ensure!(status == 0, "cannot set a stack for signals");
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];
    for signal in faults.into_iter().chain([NO_END]) {
        // SAFETY: all zero is a valid action.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
        // SAFETY: the handler has the signature that SA_SIGINFO asks for.
        let status = unsafe { libc::sigaction(signal, &action, core::ptr::null_mut()) };
        ensure!(status == 0, "cannot handle signal {signal}");
    }
    let tick = libc::timeval { tv_sec: 0, tv_usec: TICK_MICROSECONDS };
    let timer = libc::itimerval { it_interval: tick, it_value: tick };
    // SAFETY: the handler is there.
    let status = unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &timer, core::ptr::null_mut()) };
    ensure!(status == 0, "cannot set a timer");
    Ok(())
}

/// A native run begins; faults go to `way_out`.
pub fn begin_native(way_out: u64, stepping: bool) {
    begin([way_out, way_out], true, stepping);
}

/// A run by the engine begins. Faults whose handler sees the program go to `programs_way_out`, others to `way_out`.
pub fn begin_translated(programs_way_out: u64, way_out: u64) {
    begin([programs_way_out, way_out], false, false);
}

fn begin([programs_way_out, way_out]: [u64; 2], native: bool, stepping: bool) {
    FAULT_IS_SEEN.store(false, Ordering::SeqCst);
    PROGRAMS_WAY_OUT.store(programs_way_out, Ordering::SeqCst);
    SIGNAL.store(0, Ordering::SeqCst);
    TICKS.store(0, Ordering::SeqCst);
    STEPS.store(0, Ordering::SeqCst);
    NATIVE.store(native, Ordering::SeqCst);
    STEPPING.store(stepping, Ordering::SeqCst);
    WAY_OUT.store(way_out, Ordering::SeqCst);
}

/// The run has ended: how, and by which steps.
pub fn end(steps: Option<&mut Vec<Step>>) -> Option<Fault> {
    WAY_OUT.store(0, Ordering::SeqCst);
    if let Some(steps) = steps {
        steps.clear();
        for entry in &LOG[..STEPS.load(Ordering::SeqCst)] {
            let word = |index: usize| entry[index].load(Ordering::Relaxed);
            steps.push(Step { at: word(16), registers: core::array::from_fn(word) });
        }
    }
    let signal = SIGNAL.load(Ordering::SeqCst);
    let word = |index: usize| FAULT[index].load(Ordering::Relaxed);
    let seen = FAULT_IS_SEEN.load(Ordering::SeqCst);
    let state = seen.then(|| Step { at: word(16), registers: core::array::from_fn(word) });
    (signal != 0).then_some(Fault { signal: signal as i32, state })
}

/// The kernel's order of general registers in a context, by hardware number.
const ORDER: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// What the kernel calls: [`answer`], without the alignment checks that a program may have switched on.
#[unsafe(naked)]
extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    naked_asm!(
        "pushfq",
        "and qword ptr [rsp], {no_checks}",
        "popfq",
        "jmp {answer}",
        no_checks = const !(1 << 18),
        answer = sym answer,
    )
}

extern "C" fn answer(signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a context that is the handler's to change.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let at = registers[libc::REG_RIP as usize] as u64;
    let way_out = WAY_OUT.load(Ordering::SeqCst);
    let native = NATIVE.load(Ordering::SeqCst);
    if signal == libc::SIGTRAP && STEPPING.load(Ordering::SeqCst) {
        let count = STEPS.load(Ordering::SeqCst);
        if is_of_program(at) && count < STEPS_MAX {
            for (index, register) in ORDER.into_iter().enumerate() {
                LOG[count][index].store(registers[register as usize] as u64, Ordering::Relaxed);
            }
            LOG[count][16].store(at, Ordering::Relaxed);
            STEPS.store(count + 1, Ordering::SeqCst);
        }
        if at == way_out {
            registers[libc::REG_EFL as usize] &= !(TRAP_FLAG as i64);
        }
        return;
    }
    if signal == NO_END {
        let ticks = TICKS.fetch_add(1, Ordering::SeqCst) + 1;
        let limit = if native { NATIVE_TICKS } else { TRANSLATED_TICKS };
        // Only from within a program: elsewhere the way out might not work, and the next tick may find it.
        if way_out == 0 || ticks < limit || in_own_text(at) {
            return;
        }
    }
    let cache = engine::ARENA + u64::from(engine::CODE);
    let of_guest = native || (cache..cache + u64::from(engine::CODE_BYTES)).contains(&at) || !in_own_text(at);
    if way_out == 0 || !of_guest {
        give_up(signal, at);
    }
    SIGNAL.store(signal as u64, Ordering::SeqCst);
    let seen = is_of_program(at);
    if seen {
        for (index, register) in ORDER.into_iter().chain([libc::REG_RIP]).enumerate() {
            FAULT[index].store(registers[register as usize] as u64, Ordering::Relaxed);
        }
        FAULT_IS_SEEN.store(true, Ordering::SeqCst);
    }
    let way_out = if seen { PROGRAMS_WAY_OUT.load(Ordering::SeqCst) } else { way_out };
    registers[libc::REG_RIP as usize] = way_out as i64;
    registers[libc::REG_EFL as usize] = 2;
}

fn is_of_program(at: u64) -> bool {
    (layout::CODE..layout::CODE + 0x1000_0000).contains(&at)
}

/// The fuzzer's and the engine's own code: a fault there is a defect.
fn in_own_text(at: u64) -> bool {
    let here = handle as *const () as u64;
    at.abs_diff(here) < 64 << 20
}

fn give_up(signal: i32, at: u64) -> ! {
    let here = handle as *const () as u64;
    let line =
        format!("fault of the engine or the fuzzer: signal {signal} at {at:#x}, handler at {here:#x}\n");
    invar_engine::host::syscall::abort_with(&line)
}

/// The signal by which a process that came to no end is ended.
pub const ENDED: i32 = libc::SIGPROF;
/// Who has had so much more time than processor's time waits for something that does not come, however busy the machine is.
const WAITING: u32 = 30;

/// Ends this process by [`ENDED`] unless it is called again before so many seconds of the processor's time are over, and by SIGALRM
/// where it waits for ever.
pub fn end_process_after(seconds: u32) {
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval {
        it_interval: never,
        it_value: libc::timeval { tv_sec: i64::from(seconds), tv_usec: 0 },
    };
    // SAFETY: reads the timer, and writes no old one.
    unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) };
    // SAFETY: takes a number.
    unsafe { libc::alarm(seconds * WAITING) };
}
