//! `libinvar_engine.so`: the functions of `invar.h`, and what a library without `std` must bring itself.
//!
//! No logic: every function checks its pointers and hands over to `invar-engine`. Pointers are the caller's to answer
//! for, as `invar.h` says.
#![no_std]
#![expect(unsafe_code, reason = "a C interface: pointers from outside, symbols without mangling")]

extern crate alloc;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};

use invar_core::event::Event;
use invar_core::machine::Machine;
use invar_engine::region::{self, DrainKind, EngineError, Mode, Pass, Setup, Stack};

#[global_allocator]
static ALLOCATOR: invar_engine::host::Allocator = invar_engine::host::Allocator::new();

/// `enum invar_status`.
const OK: c_int = 0;
const BAD_ARGUMENT: c_int = 1;
const UNSUPPORTED: c_int = 2;
const NOT_ATTACHED: c_int = 3;
const NESTED: c_int = 4;
const IO: c_int = 5;

const ABI: u32 = 2;

/// `INVAR_CALL_PATHS`.
const CALL_PATHS: c_int = 0x100;

/// `struct invar_result`.
#[repr(C)]
pub struct InvarResult {
    size: u32,
    event_count: u32,
    diagnostics: u64,
    events: [u64; 32],
}

/// The sentence for the last failure, ending in a NUL byte.
struct LastError(UnsafeCell<Vec<u8>>);

// SAFETY: invar.h forbids calls from two threads at once.
unsafe impl Sync for LastError {}

static LAST_ERROR: LastError = LastError(UnsafeCell::new(Vec::new()));

fn fail(status: c_int, sentence: &str) -> c_int {
    // SAFETY: calls come from one thread at a time, and a sentence is valid until the next call only.
    let last = unsafe { &mut *LAST_ERROR.0.get() };
    last.clear();
    last.extend_from_slice(sentence.as_bytes());
    last.push(0);
    status
}

fn status_of(error: &EngineError) -> c_int {
    let status = match error {
        EngineError::Unsupported { .. } => UNSUPPORTED,
        EngineError::NotAttached => NOT_ATTACHED,
        EngineError::Nested => NESTED,
        EngineError::Io { .. } => IO,
        _ => UNSUPPORTED,
    };
    fail(status, &error.to_string())
}

/// The text at `pointer`, if it is one.
fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller passes C strings.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok()
}

/// See `invar.h`.
#[unsafe(no_mangle)]
pub extern "C" fn invar_abi() -> u32 {
    ABI
}

/// See `invar.h`.
#[unsafe(no_mangle)]
pub extern "C" fn invar_attach(machine: *const c_char, mode: c_int) -> c_int {
    let machine = if machine.is_null() { Some("reference-1") } else { text(machine) };
    let Some(machine) = machine else { return fail(BAD_ARGUMENT, "the machine is not UTF-8") };
    let machine = match Machine::parse(machine) {
        Ok(machine) => machine,
        Err(error) => return fail(BAD_ARGUMENT, &error.to_string()),
    };
    let call_paths = mode & CALL_PATHS != 0;
    let (mode, drain) = match mode & !CALL_PATHS {
        0 => (Mode::Counts, DrainKind::Generated),
        1 => (Mode::Simulation, DrainKind::Generated),
        2 => (Mode::Simulation, DrainKind::Reference),
        _ => return fail(BAD_ARGUMENT, "the mode is none of enum invar_mode"),
    };
    match region::attach(&Setup { machine, mode, drain, call_paths, python: None }) {
        Ok(()) => OK,
        Err(error) => status_of(&error),
    }
}

/// See `invar.h`.
///
/// # Safety
///
/// `function` may be called with `argument`; `result` is null or points to a `struct invar_result` whose `size` is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn invar_region(
    benchmark: *const c_char,
    pass: c_int,
    flags: c_int,
    function: Option<extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
    result: *mut InvarResult,
) -> c_int {
    let Some(function) = function else { return fail(BAD_ARGUMENT, "there is no function to call") };
    let Some(benchmark) = text(benchmark) else {
        return fail(BAD_ARGUMENT, "the benchmark's name is missing or not UTF-8");
    };
    let pass = match pass {
        0 => Pass::Cold,
        1 => Pass::Warm,
        _ => return fail(BAD_ARGUMENT, "the pass is neither INVAR_COLD nor INVAR_WARM"),
    };
    let stack = if flags & 1 != 0 { Stack::Caller } else { Stack::Own };
    let outcome = match region::run(benchmark, pass, stack, function, argument) {
        Ok(outcome) => outcome,
        Err(error) => return status_of(&error),
    };
    // SAFETY: null, or the caller's struct.
    if let Some(result) = unsafe { result.as_mut() } {
        if (result.size as usize) < size_of::<InvarResult>() {
            return fail(BAD_ARGUMENT, "the result's size is smaller than struct invar_result");
        }
        result.event_count = Event::COUNT as u32;
        result.diagnostics = outcome.diagnostics.0;
        result.events = [0; 32];
        result.events[..Event::COUNT].copy_from_slice(&outcome.events.0);
    }
    OK
}

/// See `invar.h`.
#[unsafe(no_mangle)]
pub extern "C" fn invar_describe(benchmark: *const c_char, json: *const c_char) -> c_int {
    let (Some(benchmark), Some(json)) = (text(benchmark), text(json)) else {
        return fail(BAD_ARGUMENT, "the name or the description is missing or not UTF-8");
    };
    region::describe(benchmark, json);
    OK
}

/// See `invar.h`.
#[unsafe(no_mangle)]
pub extern "C" fn invar_flush(path: *const c_char) -> c_int {
    let Some(path) = text(path) else { return fail(BAD_ARGUMENT, "the path is missing or not UTF-8") };
    match region::flush(path) {
        Ok(()) => OK,
        Err(error) => status_of(&error),
    }
}

/// See `invar.h`.
#[unsafe(no_mangle)]
pub extern "C" fn invar_error() -> *const c_char {
    // SAFETY: calls come from one thread at a time.
    let last = unsafe { &*LAST_ERROR.0.get() };
    if last.is_empty() { c"".as_ptr() } else { last.as_ptr().cast() }
}

/// A defect of the engine: said on stderr with raw system calls, then the process ends, since the guest's state is gone.
#[cfg(not(test))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    invar_engine::host::syscall::abort_with(&alloc::format!("invar: defect in the engine: {info}\n"))
}

// The compiled parts of `core` and `alloc` name these two in their unwind tables and landing pads; nothing unwinds, so nothing
// calls them. Hidden, so that they never answer for those of a C++ or Rust runtime in the same process.
#[cfg(not(test))]
core::arch::global_asm!(
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    ".globl _Unwind_Resume",
    ".hidden _Unwind_Resume",
    "_Unwind_Resume:",
    "ud2",
);
