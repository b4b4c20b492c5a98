//! Running the generated drain: from Rust into its code, and back by callbacks.
//!
//! Runs on the runtime's own stack, with the guest stopped and its registers saved. Thunks use no vector registers.
#![expect(unsafe_code, reason = "naked functions, and callbacks from generated code")]

use core::arch::naked_asm;
use core::mem::offset_of;

use super::context::at;
use super::following::{self, PythonCall, PythonFrame};
use super::layout::{self, ARENA};
use super::memory;
use crate::account::rows;
use crate::drain::generated::Draining;
use crate::drain::thunk;

/// Drains the trace from its start to `end` with the thunks of its records.
pub fn run(draining: &mut Draining<'_>, fs_base: u64, end: u64) {
    let context = memory::context();
    context.drain_record = record as *const () as u64;
    context.drain_fetch = fetch as *const () as u64;
    context.drain_access = access as *const () as u64;
    context.drain_hit = hit as *const () as u64;
    context.drain_step = step as *const () as u64;
    context.drain_enter = enter as *const () as u64;
    context.drain_look = look as *const () as u64;
    context.drain_frame = frame as *const () as u64;
    context.drain_fs_base = fs_base;
    draining.write_position(&mut context.position);
    memory::set_thunk(layout::EXIT_END as usize, end_of_trace as *const () as u64);
    memory::end_trace(end, layout::EXIT_END);
    context.drain_draining = &raw mut *draining as u64;
    drain(ARENA + u64::from(layout::TRACE));
    draining.resume(&memory::context().position);
}

/// Address of [`generate`]: what the thunk table holds for an exit without a thunk.
pub fn generate_address() -> u64 {
    generate as *const () as u64
}

/// Saves what the caller wants back and goes to the first record's thunk.
#[unsafe(naked)]
extern "C" fn drain(record: u64) {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "sub rsp, 8", // aligned for calls
        "mov r12, rdi",
        "mov r14, {arena}",
        "lea r15, [r14 + {data_lines}]",
        "mov ebp, {place_bits}",
        "mov ebx, [r14 + {call}]",
        "mov r13, [r14 + {top}]",
        "mov eax, [r12]",
        "jmp [r14 + rax * 8 + {table}]",
        arena = const ARENA,
        data_lines = const layout::DATA_LINES,
        place_bits = const thunk::PLACE_BITS,
        call = const thunk::CALL,
        top = const thunk::TOP,
        table = const layout::THUNK_TABLE,
    )
}

/// The thunk of the record behind the last.
#[unsafe(naked)]
extern "C" fn end_of_trace() {
    naked_asm!(
        "mov [r14 + {call}], rbx",
        "mov [r14 + {top}], r13",
        "add rsp, 8", "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "ret",
        call = const thunk::CALL,
        top = const thunk::TOP,
    )
}

/// The thunk of an exit that has none yet: makes it and goes there.
#[unsafe(naked)]
extern "C" fn generate() {
    naked_asm!(
        "mov rdi, [r14 + {draining}]",
        "mov esi, eax",
        "mov edx, ebx",
        "call {make}",
        "jmp rax",
        draining = const at::DRAIN_DRAINING,
        make = sym make,
    )
}

extern "C" fn make(draining: *mut Draining<'_>, exit: u32, call: u32) -> u64 {
    // SAFETY: `run` has passed an exclusive reference, which nobody uses while thunks run.
    let draining = unsafe { &mut *draining };
    draining.generate(exit, call, &mut memory::code_memory())
}

extern "C" fn record(draining: *mut Draining<'_>, record: *const u64, _: u32, call: u32) {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    // SAFETY: thunks are given records.
    let record = unsafe { read(draining, record) };
    draining.record(record, rows::named(call));
}

extern "C" fn access(draining: *mut Draining<'_>, record: *const u64, start: u32, call: u32, end: u32) {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    // SAFETY: thunks are given records.
    let record = unsafe { read(draining, record) };
    draining.access(record, start, end, rows::named(call));
}

extern "C" fn fetch(draining: *mut Draining<'_>, end: u32, start: u32, call: u32) {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    draining.fetch(start, end, rows::named(call));
}

extern "C" fn hit(draining: *mut Draining<'_>, word: u32, bits: u32) -> u32 {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    u32::from(draining.hit(word, bits))
}

/// A record whose call is not usual. Returns its length in bytes, as [`enter`] and [`look`] do.
extern "C" fn step(draining: *mut Draining<'_>, record: *const u64) -> u64 {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    // SAFETY: thunks are given records.
    let record = unsafe { read(draining, record) };
    follow(draining, |draining| draining.step(record));
    size_of_val(record) as u64
}

/// A record of an indirect call that is not usual.
extern "C" fn enter(draining: *mut Draining<'_>, record: *const u64) -> u64 {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    // SAFETY: thunks are given records.
    let record = unsafe { read(draining, record) };
    let next = record.as_ptr_range().end;
    // SAFETY: behind a record is another one, or the trace's end, which has a number, too.
    let exit = unsafe { next.read() } as u32;
    follow(draining, |draining| draining.enter(exit));
    size_of_val(record) as u64
}

/// A record that has stored a Python frame.
extern "C" fn look(draining: *mut Draining<'_>, record: *const u64) -> u64 {
    // SAFETY: as in `make`.
    let draining = unsafe { &mut *draining };
    // SAFETY: thunks are given records.
    let record = unsafe { read(draining, record) };
    follow(draining, |draining| draining.look(record));
    size_of_val(record) as u64
}

/// The end of a record of `rsi` bytes that has stored the Python frame in `rax`, which executes the code in `rdi`: what the ledger would do
/// where a frame is over and the one before it goes on, in the native call where it was, and where a plain function is called that was
/// called from here before. Lines of Python functions, generators and the rest are looked at by the ledger itself.
#[unsafe(naked)]
extern "C" fn frame() {
    naked_asm!(
        "test rax, rax",
        "jz 3f",
        "mov rdx, [r14 + {python_top}]",
        "cmp [rdx - {one} + {frame}], rax",
        "je 3f",
        "mov r8, {spread}",
        "cmp [rdx - {two} + {frame}], rax",
        "jne 2f",
        // The innermost is over, if the one before it is this one.
        "cmp [rdx - {two} + {code}], rdi",
        "jne 3f",
        "cmp [rdx - {two} + {its_top}], r13",
        "jne 3f",
        "mov ecx, [rdx - {one} + {lines}]",
        "or ecx, [rdx - {two} + {lines}]",
        "jnz 3f",
        "imul r8, [rdx - {one} + {frame}]",
        "shr r8, {shift}",
        "dec dword ptr [r14 + r8 * 4 + {counts}]",
        "mov ebx, [rdx - {two} + {call}]",
        "sub rdx, {one}",
        "mov [r14 + {python_top}], rdx",
        "mov [r14 + {floor}], r13",
        "add r12, rsi",
        "mov eax, [r12]",
        "jmp [r14 + rax * 8 + {table}]",
        // A new one, if there is none at its address.
        "2:",
        "mov rcx, rax",
        "imul rcx, r8",
        "shr rcx, {shift}",
        "cmp dword ptr [r14 + rcx * 4 + {counts}], 0",
        "jne 3f",
        "cmp dword ptr [rdx - {one} + {lines}], 0",
        "jne 3f",
        "mov r9d, ebx",
        "rol r9, {rotated}",
        "xor r9, rdi",
        "imul r9, r8",
        "shr r9, {shift}",
        "shl r9, {call_log}",
        "cmp [r14 + r9 + {calls} + {called_below}], ebx",
        "jne 3f",
        "cmp [r14 + r9 + {calls} + {called_code}], rdi",
        "jne 3f",
        "cmp dword ptr [r14 + r9 + {calls} + {is_plain}], 0",
        "je 3f",
        "lea r8, [r14 + {last}]",
        "cmp rdx, r8",
        "jae 3f",
        "inc dword ptr [r14 + r9 + {calls} + {times}]",
        "inc dword ptr [r14 + rcx * 4 + {counts}]",
        "mov ecx, [r14 + r9 + {calls} + {called}]",
        "mov [rdx + {frame}], rax",
        "mov [rdx + {code}], rdi",
        "mov [rdx + {its_top}], r13",
        "mov [rdx + {call}], ecx",
        "mov [rdx + {below}], ebx",
        "mov dword ptr [rdx + {lines}], 0",
        "mov ebx, ecx",
        "add rdx, {one}",
        "mov [r14 + {python_top}], rdx",
        "mov [r14 + {floor}], r13",
        "add r12, rsi",
        "mov eax, [r12]",
        "jmp [r14 + rax * 8 + {table}]",
        "3:",
        "lea rax, [r14 + {look}]",
        "jmp rax",
        python_top = const thunk::PYTHON_TOP,
        floor = const thunk::FLOOR,
        one = const size_of::<PythonFrame>(),
        two = const 2 * size_of::<PythonFrame>(),
        frame = const offset_of!(PythonFrame, frame),
        code = const offset_of!(PythonFrame, code),
        its_top = const offset_of!(PythonFrame, top),
        call = const offset_of!(PythonFrame, call),
        below = const offset_of!(PythonFrame, below),
        lines = const offset_of!(PythonFrame, lines),
        spread = const following::SPREAD,
        shift = const following::SPREAD_SHIFT,
        rotated = const following::SPREAD_NAME,
        counts = const layout::PYTHON_COUNTS,
        calls = const layout::PYTHON_CALLS,
        call_log = const size_of::<PythonCall>().trailing_zeros(),
        called_below = const offset_of!(PythonCall, below),
        called_code = const offset_of!(PythonCall, code),
        called = const offset_of!(PythonCall, call),
        is_plain = const offset_of!(PythonCall, is_plain),
        times = const offset_of!(PythonCall, times),
        last = const following::PYTHON_LAST,
        look = const thunk::LOOK_OFFSET,
        table = const layout::THUNK_TABLE,
    )
}

/// From where thunks have come to, to where they go on.
fn follow<'a>(draining: &mut Draining<'a>, act: impl FnOnce(&mut Draining<'a>)) {
    draining.resume(&memory::context().position);
    act(draining);
    draining.write_position(&mut memory::context().position);
}

/// A record: the number of its exit, and its slots.
///
/// # Safety
///
/// Generated code has written a record there.
unsafe fn read<'a>(draining: &Draining<'_>, record: *const u64) -> &'a [u64] {
    // SAFETY: a record starts with the number of its exit.
    let exit = unsafe { record.read() } as u32;
    // SAFETY: generated code has written as many slots behind it as the exit says, within the trace.
    unsafe { core::slice::from_raw_parts(record, 1 + draining.slots(exit)) }
}

const _: () = assert!(size_of::<PythonCall>().is_power_of_two());
const _: () = assert!(at::DRAIN_RECORD < layout::TABLE, "the context lies before everything else");
