//! Code that drains the records of one exit: what the reference drain would do for them, where that is nothing.
//!
//! Pure: an exit and its operations in, host code out. A thunk counts its exit, then asks whether every line that the record
//! touches is *settled* (`invar_sim::cache`). If so the whole record changes nothing, in whatever order its lines are
//! asked about: neighbouring operands are asked about at once, and each line once. Lines of code that are there without being settled are
//! touched by a callback that needs not know the record, where their order makes no difference. What is in doubt then is handed to
//! callbacks that go through it in program order.
//!
//! Where calls are followed ([`follow`]) it counts the exit within the call at work instead, and changes that call.
//!
//! What holds at every thunk's entry: `r12` is the record, `r13` the address behind the innermost open call, `r14` the arena's start,
//! `r15` the places of data lines, `ebp` [`PLACE_BITS`], `ebx` the call at work, the stack is aligned. A thunk uses `rax`, `rdx`,
//! `rsi`, `rdi`, `r8`, and ends by a jump to the next record's thunk. What all of them would have to the same end is there once
//! ([`stubs`]): thunks are code that is executed once for much data, and compete with that for the host's caches.

mod follow;

pub use follow::{CALL, FLOOR, PYTHON_TOP, TOP};

use alloc::vec::Vec;
use core::ops::Range;

use invar_core::machine::LINE_BYTES;

use crate::account::exits::Follow;
use crate::host::context::at;
use crate::host::layout::{self, ARENA};
use crate::translate::assemble::Assembler;
use crate::translate::{Exit, NO_SLOT, Op, Reference};

/// Lines of data that can be known to be settled at once; each has one place.
pub const DATA_PLACES: usize = 1 << DATA_PLACES_LOG;
const DATA_PLACES_LOG: u32 = 14;
const LINE_LOG: u32 = LINE_BYTES.trailing_zeros();
/// Which bits of an address say which place its line has, as `bextr` wants to be told.
pub const PLACE_BITS: u32 = DATA_PLACES_LOG << 8 | LINE_LOG;

/// Says where a line of code has its bit.
pub trait CodeLines {
    /// The number of the line's word, and its bit there: set unless the line is known to be settled.
    fn bit(&mut self, line: u64) -> (u32, u32);
    /// The number of the set that the line is in, in the cache of instructions.
    fn set(&self, line: u64) -> u64;
}

/// Where an exit's operations are among those of all, as callbacks know them.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Its fetches.
    pub fetches: Range<u32>,
    /// Its accesses.
    pub accesses: Range<u32>,
}

/// What addresses have in common that differ by a constant only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    base: u8,
    index: u8,
    shift: u8,
    fs: bool,
    /// Cut to 32 bits behind this constant: nothing is known about its neighbours.
    short: Option<u64>,
}

/// Bytes that are touched, relative to an origin.
#[derive(Debug, Clone, Copy)]
struct Span {
    origin: Origin,
    first: i64,
    last: i64,
    /// The first operation that touches some of them.
    op: usize,
    /// The first operation with this origin.
    origin_op: usize,
}

/// Bits of one word of code lines.
#[derive(Debug, Clone, Copy)]
struct Bits {
    word: u32,
    bits: u32,
    op: usize,
}

/// The farthest that a span's last byte may be from its first: all in between is in the lines of these two.
const REACH: i64 = LINE_BYTES as i64;
/// Up to so far a span is rather in one line than in two.
const NEAR: i64 = 16;

/// A check that has failed: bound to the jump at `from`.
struct Aside {
    from: u32,
    doubt: Doubt,
}

/// What a check was about, and the first fetch or access that is in doubt: none before it needs to be gone through again.
#[derive(Debug, Clone, Copy)]
enum Doubt {
    /// Data; nothing is known of code.
    Data {
        access: u32,
        /// Not hopeless yet: ask about both lines and go back.
        again: Option<(i32, i32, u32)>,
    },
    /// Code, where data is settled: there is nothing to do but fetches.
    Code { fetch: u32, bits: Bits, back: u32 },
}

/// The thunk of exit `number`, to stand at `origin`. `ops` are the exit's operations. `follow` is how calls are followed, if they are, and
/// the number that rows know the exit by.
#[expect(clippy::too_many_arguments, reason = "everything that is known of an exit, once")]
pub fn thunk(
    origin: u64,
    number: u32,
    exit: &Exit,
    ops: &[Op],
    follow: Option<(Follow, u32)>,
    numbers: &Numbers,
    lines: &mut impl CodeLines,
    bmi1: bool,
) -> Vec<u8> {
    let mut thunk = Thunk { code: Assembler::new(origin), asides: Vec::new(), bmi1 };
    let bytes = 8 + 8 * u32::from(exit.slots);
    let changes = match follow {
        None => {
            thunk.code.raw(&[0x49, 0xff, 0x86]); // inc qword ptr [r14 + ...]
            thunk.code.raw(&(layout::COUNTERS + 8 * number).to_le_bytes());
            false
        }
        Some((follow, row)) if follow::is_usual(&follow, row) => thunk.code.follow_call(&follow, row),
        Some(_) => {
            thunk.code.jump_to(STEP);
            return thunk.code.bytes;
        }
    };
    let mut always = None;
    let bits = match spans(ops) {
        Some(spans) => {
            let bits = bits(ops, lines);
            // Data first: where it is settled and code is not, which is what large programs do, only fetches are left.
            thunk.check_spans(&spans, |op| {
                let ahead = ops[..op].iter().filter(|op| !matches!(op, Op::Fetch { .. })).count();
                numbers.accesses.start + ahead as u32
            });
            // They are in the order of their first operations.
            for &bits in &bits {
                let ahead = ops[..bits.op].iter().filter(|op| matches!(op, Op::Fetch { .. })).count();
                thunk.check_bits(&bits);
                let from = thunk.code.jump_if(NOT_EQUAL);
                let back = thunk.code.here();
                let fetch = numbers.fetches.start + ahead as u32;
                thunk.asides.push(Aside { from, doubt: Doubt::Code { fetch, bits, back } });
            }
            bits
        }
        None => {
            always = Some(thunk.code.jump());
            Vec::new()
        }
    };
    let end = thunk.code.here();
    match follow {
        Some((follow, _)) => thunk.code.follow_on(&follow, bytes),
        None => thunk.code.next_record(bytes),
    }
    thunk.finish(always, end, &bits, are_apart(ops, lines), changes, numbers);
    thunk.code.bytes
}

const STUBS: u64 = ARENA + layout::THUNKS as u64;
/// Calls back for a record that may change anything; the call is in `ecx`.
const RECORD: u64 = STUBS;
/// Leaves all that there is to do for a record to the ledger, and goes on with the next.
const STEP: u64 = STUBS + STUB_BYTES;
/// The same for a record of an indirect call, whose callee the ledger is to find.
const ENTER: u64 = STUBS + 2 * STUB_BYTES;
/// The same for a record that has stored a Python frame, or a position whose line is not known.
const LOOK: u64 = ARENA + LOOK_OFFSET as u64;
/// How far that is from the arena's start.
pub const LOOK_OFFSET: u32 = layout::THUNKS + 3 * STUB_BYTES as u32;
/// Calls back for fetches that may change something, from number `edx` to `esi`; the call is in `ecx`.
const FETCH: u64 = STUBS + 4 * STUB_BYTES;
/// Calls back for accesses of a record that may change something, from number `edx` to `r9d`; the call is in `ecx`.
const ACCESS: u64 = STUBS + 5 * STUB_BYTES;
/// Calls back for those lines of bits `edx` in word `esi` that are not settled, to be touched if they are there. Are all settled then?
/// `eax` says. `r8` stays what it is.
const HIT: u64 = STUBS + 6 * STUB_BYTES;
/// Are the lines of the bytes at `rdx` and `rax` both settled? The flags say whether that is equal.
const BOTH: u64 = STUBS + 7 * STUB_BYTES;
const STUB_BYTES: u64 = 64;
/// Where the first thunk may stand, behind [`stubs`].
pub const STUBS_BYTES: u64 = 8 * STUB_BYTES;

/// What thunks have in common, to stand in front of them all.
pub fn stubs() -> Vec<u8> {
    let mut code = Assembler::new(STUBS);
    code.raw(&[0x48, 0x83, 0xec, 8]); // sub rsp, 8
    code.call_back(at::DRAIN_RECORD);
    code.raw(&[0x48, 0x83, 0xc4, 8, 0xc3]); // add rsp, 8; ret
    let pad = |code: &mut Assembler, stub| {
        while code.address() < stub {
            code.raw(&[0xcc]); // int3
        }
    };
    for (stub, callback) in [(STEP, at::DRAIN_STEP), (ENTER, at::DRAIN_ENTER), (LOOK, at::DRAIN_LOOK)] {
        pad(&mut code, stub);
        code.leave_to_ledger(callback);
        code.raw(&[0x49, 0x01, 0xc4]); // add r12, rax
        code.raw(&next());
    }
    pad(&mut code, FETCH);
    code.raw(&[0x48, 0x83, 0xec, 8]); // sub rsp, 8
    code.call_back_for(at::DRAIN_FETCH);
    code.raw(&[0x48, 0x83, 0xc4, 8, 0xc3]); // add rsp, 8; ret
    pad(&mut code, ACCESS);
    code.raw(&[0x48, 0x83, 0xec, 8]); // sub rsp, 8
    code.raw(&[0x45, 0x89, 0xc8]); // mov r8d, r9d
    code.call_back(at::DRAIN_ACCESS);
    code.raw(&[0x48, 0x83, 0xc4, 8, 0xc3]); // add rsp, 8; ret
    pad(&mut code, HIT);
    code.raw(&[0x41, 0x50]); // push r8
    code.call_back_for(at::DRAIN_HIT);
    code.raw(&[0x41, 0x58, 0xc3]); // pop r8; ret
    pad(&mut code, BOTH);
    code.raw(&[0x48, 0xc1, 0xea, LINE_LOG as u8]); // shr rdx, 6
    code.raw(&[0x89, 0xd7, 0x81, 0xe7]); // mov edi, edx; and edi, DATA_PLACES - 1
    code.raw(&(DATA_PLACES as u32 - 1).to_le_bytes());
    code.raw(&[0x49, 0x39, 0x14, 0xff]); // cmp [r15 + rdi * 8], rdx
    let other = code.jump_if(NOT_EQUAL);
    code.raw(&[0x48, 0xc1, 0xe8, LINE_LOG as u8]); // shr rax, 6
    code.raw(&[0x89, 0xc7, 0x81, 0xe7]); // mov edi, eax; and edi, DATA_PLACES - 1
    code.raw(&(DATA_PLACES as u32 - 1).to_le_bytes());
    code.raw(&[0x49, 0x39, 0x04, 0xff]); // cmp [r15 + rdi * 8], rax
    code.bind(other);
    code.raw(&[0xc3]); // ret
    assert!(code.bytes.len() as u64 <= STUBS_BYTES);
    code.bytes
}

/// To the thunk of the record at `r12`.
pub fn next() -> [u8; 12] {
    let mut code = [0x41, 0x8b, 0x04, 0x24, 0x41, 0xff, 0xa4, 0xc6, 0, 0, 0, 0]; // mov eax, [r12]; jmp [r14 + rax * 8 + ...]
    code[8..].copy_from_slice(&layout::THUNK_TABLE.to_le_bytes());
    code
}

/// The bits of all lines of code, one entry a word.
fn bits(ops: &[Op], lines: &mut impl CodeLines) -> Vec<Bits> {
    let mut words: Vec<Bits> = Vec::new();
    for (op, operation) in ops.iter().enumerate() {
        let &Op::Fetch { address, bytes } = operation else { continue };
        let last = address.saturating_add(u64::from(bytes) - 1);
        for line in address / LINE_BYTES..=last / LINE_BYTES {
            let (word, bits) = lines.bit(line);
            match words.iter_mut().find(|other| other.word == word) {
                Some(known) => known.bits |= bits,
                None => words.push(Bits { word, bits, op }),
            }
        }
    }
    words
}

/// Are no two lines of code in one set? Then what is done to one makes no difference to the others.
fn are_apart(ops: &[Op], lines: &impl CodeLines) -> bool {
    let mut touched: Vec<u64> = Vec::new();
    for operation in ops {
        let &Op::Fetch { address, bytes } = operation else { continue };
        let last = address.saturating_add(u64::from(bytes) - 1);
        touched.extend(address / LINE_BYTES..=last / LINE_BYTES);
    }
    touched.sort_unstable();
    touched.dedup();
    let mut sets: Vec<u64> = touched.iter().map(|&line| lines.set(line)).collect();
    sets.sort_unstable();
    sets.dedup();
    sets.len() == touched.len()
}

/// What is touched of data, neighbours as one; those of one origin are side by side. `None` if the record cannot be
/// without effect: repeats count as they go, and save areas lie in many lines.
fn spans(ops: &[Op]) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    for (op, operation) in ops.iter().enumerate() {
        match operation {
            Op::Fetch { .. } => {}
            Op::Repeat(_) => return None,
            Op::Touch(reference) => {
                let span = span(reference, op);
                if span.last - span.first > REACH {
                    return None;
                }
                spans.push(span);
            }
        }
    }
    spans.sort_unstable_by_key(|span| (span.origin, span.first, span.op));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(before)
                if before.origin == span.origin
                    && span.last.checked_sub(before.first).is_some_and(|reach| reach <= REACH) =>
            {
                before.last = before.last.max(span.last);
                before.op = before.op.min(span.op);
            }
            _ => merged.push(span),
        }
    }
    let mut rest = &mut merged[..];
    while let Some(first) = rest.first() {
        let origin = first.origin;
        let alike = rest.iter().take_while(|span| span.origin == origin).count();
        let (these, others) = rest.split_at_mut(alike);
        let op = these.iter().map(|span| span.op).min().unwrap_or(0);
        these.iter_mut().for_each(|span| span.origin_op = op);
        rest = others;
    }
    merged.sort_by_key(|span| span.origin_op);
    Some(merged)
}

fn span(reference: &Reference, op: usize) -> Span {
    let last = i64::from(reference.bytes.max(1)) - 1;
    let &Reference { constant, base, index, fs, .. } = reference;
    let shift = if index == NO_SLOT { 0 } else { reference.shift };
    let (short, first) = if reference.short { (Some(constant), 0) } else { (None, constant as i64) };
    let origin = Origin { base, index, shift, fs, short };
    Span { origin, first, last: first.saturating_add(last), op, origin_op: op }
}

struct Thunk {
    code: Assembler,
    asides: Vec<Aside>,
    bmi1: bool,
}

impl Thunk {
    /// Finds out whether lines of code are settled.
    fn check_bits(&mut self, bits: &Bits) {
        let place = layout::CODE_LINES + 4 * bits.word;
        let byte = bits.bits.trailing_zeros() / 8;
        // Most of what a record executes lies close together.
        if let Ok(bits) = u8::try_from(bits.bits >> (8 * byte)) {
            self.code.raw(&[0x41, 0xf6, 0x86]); // test byte ptr [r14 + ...], bits
            self.code.raw(&(place + byte).to_le_bytes());
            self.code.raw(&[bits]);
        } else {
            self.code.raw(&[0x41, 0xf7, 0x86]); // test dword ptr [r14 + ...], bits
            self.code.raw(&place.to_le_bytes());
            self.code.raw(&bits.bits.to_le_bytes());
        }
    }

    fn unless_settled(&mut self, access: u32) {
        let from = self.code.jump_if(NOT_EQUAL);
        self.asides.push(Aside { from, doubt: Doubt::Data { access, again: None } });
    }

    /// Finds out whether data is settled; `access` says which access an operation is.
    fn check_spans(&mut self, spans: &[Span], access: impl Fn(usize) -> u32) {
        // What `rsi` holds: this origin, plus this constant.
        let mut held: Option<(Origin, i64)> = None;
        for (index, span) in spans.iter().enumerate() {
            let op = spans[index..].iter().map(|span| span.op).min().unwrap_or(span.op);
            let told = access(op);
            let absolute = Origin { base: NO_SLOT, index: NO_SLOT, shift: 0, fs: false, short: None };
            if span.origin == absolute {
                let (first, last) = (span.first as u64 / LINE_BYTES, span.last as u64 / LINE_BYTES);
                self.check_line(first, told);
                if last != first {
                    self.check_line(last, told);
                }
                continue;
            }
            let reached = held.filter(|(origin, _)| *origin == span.origin).and_then(|(_, constant)| {
                let first = i32::try_from(span.first.checked_sub(constant)?).ok()?;
                let last = i32::try_from(span.last.checked_sub(constant)?).ok()?;
                Some((first, last))
            });
            let (first, last) = match reached {
                Some(reached) => reached,
                None => {
                    let near = i32::try_from(span.first).is_ok() && i32::try_from(span.last).is_ok();
                    let constant = if near { 0 } else { span.first };
                    self.load_origin(&span.origin, constant);
                    held = Some((span.origin, constant));
                    ((span.first - constant) as i32, (span.last - constant) as i32)
                }
            };
            self.check_span(first, last, told);
        }
    }

    /// `rsi` = an origin plus a constant.
    fn load_origin(&mut self, origin: &Origin, constant: i64) {
        let code = &mut self.code;
        match (origin.base, origin.index) {
            (NO_SLOT, NO_SLOT) => code.raw(&[0x31, 0xf6]), // xor esi, esi
            (NO_SLOT, index) => {
                code.load_slot(RSI, index);
                code.raw(&[0x48, 0xc1, 0xe6, origin.shift]); // shl rsi, shift
            }
            (base, index) => {
                code.load_slot(RSI, base);
                if index != NO_SLOT {
                    code.load_slot(RAX, index);
                    code.raw(&[0x48, 0x8d, 0x34, 0x06 | origin.shift << 6]); // lea rsi, [rsi + (rax << shift)]
                }
            }
        }
        let constant = origin.short.unwrap_or(constant as u64);
        if constant != 0 {
            code.load_immediate(RAX, constant);
            code.raw(&[0x48, 0x01, 0xc6]); // add rsi, rax
        }
        if origin.short.is_some() {
            code.raw(&[0x89, 0xf6]); // mov esi, esi
        }
        if origin.fs {
            code.raw(&[0x49, 0x03, 0xb6]); // add rsi, [r14 + ...]
            code.raw(&at::DRAIN_FS_BASE.to_le_bytes());
        }
    }

    fn check_span(&mut self, first: i32, last: i32, told: u32) {
        let reach = i64::from(last) - i64::from(first);
        if reach > NEAR {
            self.check_point(first);
            self.unless_settled(told);
            self.check_point(last);
            self.unless_settled(told);
        } else if reach == 0 {
            self.check_point(first);
            self.unless_settled(told);
        } else {
            // The place is that of the first byte's line, the comparison is with the last byte's: neighbours have unlike
            // places, so a match says that both are in one line, too.
            self.code.address_from_rsi(RDX, last);
            self.line_of_rdx();
            if first == 0 {
                self.place(RSI);
            } else {
                self.code.address_from_rsi(RAX, first);
                self.place(RAX);
            }
            self.compare();
            let from = self.code.jump_if(NOT_EQUAL);
            // Natural alignment keeps up to eight bytes in one line.
            let again = (reach >= 8).then_some((first, last, self.code.here()));
            self.asides.push(Aside { from, doubt: Doubt::Data { access: told, again } });
        }
    }

    /// Compares the line of the byte at `rsi + offset` with what is at its place.
    fn check_point(&mut self, offset: i32) {
        self.code.address_from_rsi(RDX, offset);
        self.place(RDX);
        self.line_of_rdx();
        self.compare();
    }

    fn check_line(&mut self, line: u64, told: u32) {
        self.code.load_immediate(RDX, line);
        self.code.raw(&[0x49, 0x39, 0x97]); // cmp [r15 + ...], rdx
        self.code.raw(&(8 * (line as u32 % DATA_PLACES as u32)).to_le_bytes());
        self.unless_settled(told);
    }

    fn line_of_rdx(&mut self) {
        self.code.raw(&[0x48, 0xc1, 0xea, LINE_LOG as u8]); // shr rdx, 6
    }

    /// `eax` = the place of the line that the address in `register` is in.
    fn place(&mut self, register: u8) {
        if self.bmi1 {
            self.code.raw(&[0xc4, 0xe2, 0x50, 0xf7, 0xc0 | register]); // bextr eax, register, ebp
        } else {
            if register != RAX {
                self.code.raw(&[0x89, 0xc0 | register << 3]); // mov eax, register
            }
            self.code.raw(&[0xc1, 0xe8, LINE_LOG as u8, 0x25]); // shr eax, 6; and eax, DATA_PLACES - 1
            self.code.raw(&(DATA_PLACES as u32 - 1).to_le_bytes());
        }
    }

    fn compare(&mut self) {
        self.code.raw(&[0x49, 0x39, 0x14, 0xc7]); // cmp [r15 + rax * 8], rdx
    }

    /// What stands behind the straight line, whose end goes on to the next record. `apart` says that no two lines of code are in one
    /// set. Where the call was changed, the one that was at work is in `r8d`.
    fn finish(
        &mut self,
        always: Option<u32>,
        end: u32,
        bits: &[Bits],
        apart: bool,
        changes: bool,
        numbers: &Numbers,
    ) {
        let (mut data, mut code): (Vec<u32>, Vec<u32>) = Default::default();
        let mut all = Vec::from_iter(always);
        let origin = self.code.origin;
        for Aside { from, doubt } in core::mem::take(&mut self.asides) {
            self.code.bind(from);
            match doubt {
                Doubt::Data { access, again } => {
                    if let Some((first, last, back)) = again {
                        self.code.address_from_rsi(RDX, first);
                        self.code.address_from_rsi(RAX, last);
                        self.code.call(BOTH);
                        self.code.jump_to_if(EQUAL, origin + u64::from(back));
                    }
                    self.code.load_immediate(RDX, u64::from(access));
                    data.push(self.code.jump());
                }
                Doubt::Code { fetch, bits, back } => {
                    if apart {
                        self.code.load_immediate(RDX, u64::from(bits.bits));
                        self.code.load_immediate(RSI, u64::from(bits.word));
                        self.code.call(HIT);
                        self.code.raw(&[0x85, 0xc0]); // test eax, eax
                        self.code.jump_to_if(NOT_EQUAL, origin + u64::from(back));
                    }
                    self.code.load_immediate(RDX, u64::from(fetch));
                    code.push(self.code.jump());
                }
            }
        }
        let end = origin + u64::from(end);
        if !code.is_empty() {
            code.into_iter().for_each(|from| self.code.bind(from));
            self.code.load_immediate(RSI, u64::from(numbers.fetches.end));
            self.call_within(FETCH, changes, end);
        }
        if !data.is_empty() {
            data.into_iter().for_each(|from| self.code.bind(from));
            for bits in bits {
                self.check_bits(bits);
                // A fetch in front of the data that is in doubt may be it.
                all.push(self.code.jump_if(NOT_EQUAL));
            }
            self.code.load_immediate(R9, u64::from(numbers.accesses.end));
            self.call_within(ACCESS, changes, end);
        }
        if !all.is_empty() {
            all.into_iter().for_each(|from| self.code.bind(from));
            self.call_within(RECORD, changes, end);
        }
    }

    /// Calls a stub for what was done within the call at work, and goes on at `end`.
    fn call_within(&mut self, stub: u64, changes: bool, end: u64) {
        if changes {
            self.code.raw(&[0x44, 0x89, 0xc1]); // mov ecx, r8d
        } else {
            self.code.raw(&[0x89, 0xd9]); // mov ecx, ebx
        }
        self.code.call(stub);
        self.code.jump_to(end);
    }
}

const RAX: u8 = 0;
const RDX: u8 = 2;
const RSI: u8 = 6;
const R9: u8 = 9;
/// A condition, as the hardware numbers it.
const EQUAL: u8 = 4;
const NOT_EQUAL: u8 = 5;

/// What only thunks need.
impl Assembler {
    /// `mov register, [r12 + ...]`: a slot of the record.
    fn load_slot(&mut self, register: u8, slot: u8) {
        let offset = 8 + 8 * u32::from(slot);
        if offset < 0x80 {
            self.raw(&[0x49, 0x8b, 0x44 | register << 3, 0x24, offset as u8]);
        } else {
            self.raw(&[0x49, 0x8b, 0x84 | register << 3, 0x24]);
            self.raw(&offset.to_le_bytes());
        }
    }

    /// `lea register, [rsi + offset]`
    fn address_from_rsi(&mut self, register: u8, offset: i32) {
        if offset == 0 {
            self.raw(&[0x48, 0x89, 0xf0 | register]); // mov register, rsi
        } else if let Ok(offset) = i8::try_from(offset) {
            self.raw(&[0x48, 0x8d, 0x46 | register << 3, offset as u8]);
        } else {
            self.raw(&[0x48, 0x8d, 0x86 | register << 3]);
            self.raw(&offset.to_le_bytes());
        }
    }

    /// Calls back for the record.
    fn call_back(&mut self, callback: u32) {
        self.raw(&[0x4c, 0x89, 0xe6]); // mov rsi, r12
        self.call_back_for(callback);
    }

    /// Calls back for what `rsi` says.
    fn call_back_for(&mut self, callback: u32) {
        self.raw(&[0x49, 0x8b, 0xbe]); // mov rdi, [r14 + ...]
        self.raw(&at::DRAIN_DRAINING.to_le_bytes());
        self.raw(&[0x41, 0xff, 0x96]); // call [r14 + ...]
        self.raw(&callback.to_le_bytes());
    }

    /// Goes on with the record behind one of so many bytes.
    fn next_record(&mut self, bytes: u32) {
        self.advance_record(bytes);
        self.raw(&next());
    }

    /// `add r12, bytes`
    fn advance_record(&mut self, bytes: u32) {
        if bytes < 0x80 {
            self.raw(&[0x49, 0x83, 0xc4, bytes as u8]);
        } else {
            self.raw(&[0x49, 0x81, 0xc4]);
            self.raw(&bytes.to_le_bytes());
        }
    }
}
