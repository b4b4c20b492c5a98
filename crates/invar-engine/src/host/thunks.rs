//! Running the generated drain: from Rust into its code, and back by callbacks.
//!
//! Runs on the runtime's own stack, with the guest stopped and its registers saved. Thunks use no vector registers.
#![expect(unsafe_code, reason = "naked functions, and callbacks from generated code")]

use core::arch::naked_asm;

use super::context::at;
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

const _: () = assert!(at::DRAIN_RECORD < layout::TABLE, "the context lies before everything else");
