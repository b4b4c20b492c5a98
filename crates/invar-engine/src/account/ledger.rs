//! The tree of calls of a region, and how often each exit was taken within each call.
//!
//! Reads the trace that the drain reads, and changes nothing: what is counted, and the code that counts it, are the same
//! with a ledger and without. An exit does the same whenever it is taken within the same call, so a record costs a look at
//! the row that is expected, or into a table; only the guest's stack pointer, which the trace has at every call and return,
//! can say otherwise.
//!
//! A call is left by the return that reads the address which it has pushed. Whatever else happens to the stack (exceptions,
//! `longjmp`, a return used as a jump) shows at the next call or return: calls whose return address lies below the stack
//! pointer are over. A stack pointer far from the last belongs to another stack (`swapcontext`), which has calls of its own.
//!
//! Invariant: `cursor` is at a record's start, and every record before it is in `rows`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use invar_core::event::Event;
use invar_core::wire::raw::call_paths::{Call, Callee, PythonCode};
use invar_sim::Hierarchy;

use super::charges::{Charge, Charges, Payer};
use super::exits::{Exits, Move, MoveKind, Way};
use super::rows::{NOBODY, Numbers, Row, Rows, Shift};
use crate::drain::reference;
use crate::host::python::{self, Python};
use crate::translate::block::Path;
use crate::translate::emit::NO_FRAME;
use crate::translate::{Exit, NO_SLOT, Translation};

/// Stack pointers farther apart belong to unlike stacks.
const ONE_STACK: u64 = 1 << 20;

/// Calls that are met when there are so many are charged to their callers.
const CALLS_MAX: usize = 1 << 20;

/// A call that is not over.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Where its return address is.
    pointer: u64,
    /// Who has called.
    caller: u32,
}

/// The calls of one stack of the guest.
#[derive(Debug, Clone, Default)]
struct Stack {
    frames: Vec<Frame>,
    /// The stack pointer at the last call or return.
    pointer: u64,
    /// The call that was at work there last.
    call: u32,
    /// Python frames that are not over, the outermost first.
    python: Vec<PythonFrame>,
}

/// A Python frame that was the interpreter's current one.
#[derive(Debug, Clone, Copy)]
struct PythonFrame {
    /// Its address.
    frame: u64,
    /// What it executes.
    code: u64,
    /// The call of its function.
    call: u32,
    /// The call that was at work before.
    below: u32,
    /// How many native calls were open: those of the interpreter that executes it included.
    depth: usize,
}

impl Stack {
    /// Nothing is open; the room stays.
    fn clear(&mut self) {
        self.frames.clear();
        self.python.clear();
        (self.pointer, self.call) = (0, 0);
    }

    /// Python frames whose interpreter has been left are over.
    #[inline]
    fn end_python(&mut self) {
        let depth = self.frames.len();
        while self.python.last().is_some_and(|python| python.depth > depth) {
            self.python.pop();
        }
    }
}

/// See the module.
pub struct Ledger {
    pub(super) exits: Exits,
    pub(super) calls: Vec<Call>,
    by_callee: Numbers,
    pub(super) rows: Rows,
    stack: Stack,
    others: Vec<Stack>,
    /// The next superblock is what was called.
    called: bool,
    /// Whose these are, and those of the region's other threads.
    thread: usize,
    threads: BTreeMap<usize, (Stack, Vec<Stack>, bool)>,
    cursor: usize,
    /// The row of the last record.
    last: u32,
    /// Something is charged at all.
    active: bool,
    charges: Charges,
    python: Option<Python>,
    /// Python functions by the address of their code; `None` where that is no function's.
    by_code: BTreeMap<u64, Option<u32>>,
    pub(super) functions: Vec<PythonCode>,
}

impl Ledger {
    /// Nothing translated, nothing charged.
    pub fn new(python: Option<Python>) -> Ledger {
        Ledger {
            exits: Exits::default(),
            calls: Vec::new(),
            by_callee: Numbers::default(),
            rows: Rows::default(),
            stack: Stack::default(),
            others: Vec::new(),
            called: false,
            thread: 0,
            threads: BTreeMap::new(),
            cursor: 0,
            last: 0,
            active: false,
            charges: Charges::default(),
            python,
            by_code: BTreeMap::new(),
            functions: Vec::new(),
        }
    }

    /// A region begins at `entry`. It is charged if it is `active`.
    pub fn begin(&mut self, entry: u64, active: bool) {
        self.calls.clear();
        self.calls.push(Call { parent: 0, callee: Callee::Address(entry), calls: 1 });
        self.by_callee.clear();
        self.rows.clear();
        self.stack.clear();
        self.others.clear();
        self.called = false;
        self.thread = 0;
        self.threads.clear();
        self.cursor = 0;
        self.last = 0;
        self.active = active;
        self.charges.clear();
        self.by_code.clear();
        self.functions.clear();
        if active && let Some((frame, code)) = self.python.as_ref().and_then(python::current) {
            // Whoever has called the region: its function is not part of it.
            self.stack.python.push(PythonFrame { frame, code, call: 0, below: 0, depth: 0 });
        }
    }

    /// A region is being charged.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Has it dropped exits, whose memory a clear would give back?
    pub fn has_dropped(&self) -> bool {
        self.exits.base != 0
    }

    /// All translations were dropped, and their trace was followed before.
    pub fn drop_exits(&mut self) {
        // The rows of this region still name them.
        self.exits.forget(self.active);
    }

    /// A superblock was translated.
    pub fn add_block(&mut self, head: u64, path: &Path, translation: &Translation) {
        self.exits.add_block(head, path, translation);
    }

    /// One more way out of the superblock that exit `like` is one of: where it has faulted.
    pub fn add_exit_of(&mut self, like: usize, exit: &Exit) {
        self.exits.add_exit_of(like, exit);
    }

    /// The present thread starts another, which is below the call that does so. The trace was followed to its end.
    pub fn start_thread(&mut self, thread: usize) {
        let stack = Stack { call: self.stack.call, ..Stack::default() };
        self.threads.insert(thread, (stack, Vec::new(), false));
    }

    /// What comes next is done by another thread. The trace was followed to its end.
    pub fn switch_to(&mut self, thread: usize) {
        if thread == self.thread {
            return;
        }
        let next = self.threads.remove(&thread).unwrap_or_default();
        let stack = core::mem::replace(&mut self.stack, next.0);
        let others = core::mem::replace(&mut self.others, next.1);
        let called = core::mem::replace(&mut self.called, next.2);
        self.threads.insert(self.thread, (stack, others, called));
        self.thread = thread;
    }

    /// The trace is read from its start again.
    pub fn rewind(&mut self) {
        self.cursor = 0;
    }

    /// Follows the trace until `end`; says which row its last record is in.
    ///
    /// Programs repeat themselves: the rows that came next the last times are tried first.
    pub fn follow(&mut self, trace: &[u64], end: usize, fs_base: u64) -> u32 {
        let trace = &trace[..end];
        while self.cursor < end {
            if self.follow_what_is_usual(trace) {
                continue;
            }
            let exit = (self.exits.base + trace[self.cursor] as usize) as u32;
            let slots = usize::from(self.exits.ways[exit as usize].slots);
            let row = self.find(exit, &trace[self.cursor + 1..self.cursor + 1 + slots], fs_base);
            if let Some(last) = self.rows.get_mut(self.last) {
                last.after = [row, last.after[0]];
            }
            self.last = row;
            self.cursor += 1 + slots;
        }
        self.last
    }

    /// Counts records for as long as they are in the rows where they are expected, and nothing is unusual; says whether it is
    /// worth while to go on.
    fn follow_what_is_usual(&mut self, trace: &[u64]) -> bool {
        let base = self.exits.base;
        let Ledger { rows, stack, called, cursor, last, .. } = self;
        let rows = rows.all_mut();
        if rows.is_empty() {
            return false;
        }
        while let Some(&head) = trace.get(*cursor) {
            let exit = (base + head as usize) as u32;
            let [first, second] = rows[*last as usize].after;
            let is_it =
                |row: &Row| row.exit == exit && (if *called { row.enters } else { row.call }) == stack.call;
            let number = if is_it(&rows[first as usize]) {
                first
            } else if is_it(&rows[second as usize]) {
                rows[*last as usize].after = [second, first];
                second
            } else {
                return false;
            };
            let row = &mut rows[number as usize];
            let next = *cursor + 1 + usize::from(row.slots);
            let pointer =
                || trace[*cursor + 1 + usize::from(row.pointer_slot)].wrapping_add(row.pointer_constant);
            let mut leads_to = row.call;
            match row.shift {
                Shift::Nothing => {}
                Shift::Return => {
                    let pointer = pointer();
                    let Some(&Frame { pointer: top, caller }) = stack.frames.last() else { return false };
                    if top != pointer {
                        return false;
                    }
                    stack.frames.pop();
                    stack.pointer = pointer;
                    leads_to = caller;
                    stack.end_python();
                }
                Shift::Call | Shift::IndirectCall => {
                    let pointer = pointer();
                    let Some(top) = stack.frames.last() else { return false };
                    let is_known = row.shift == Shift::IndirectCall || row.next != 0;
                    if !is_known || top.pointer.wrapping_sub(pointer).wrapping_sub(1) >= ONE_STACK - 1 {
                        return false;
                    }
                    stack.frames.push(Frame { pointer, caller: row.call });
                    stack.pointer = pointer;
                    if row.shift == Shift::Call {
                        leads_to = row.next;
                    }
                }
                Shift::Other => return false,
            }
            row.times += 1;
            row.entered += u64::from(*called);
            *called = row.shift == Shift::IndirectCall;
            stack.call = leads_to;
            let watched = row.watched;
            let record = *cursor + 1;
            *last = number;
            *cursor = next;
            if watched != NO_SLOT {
                self.look_at_frame(usize::from(watched), &trace[record..next]);
                return true;
            }
        }
        true
    }

    /// Counts a record in the row that it belongs to, whatever is unusual.
    #[cold]
    fn find(&mut self, exit: u32, slots: &[u64], fs_base: u64) -> u32 {
        let Way { block, shift, first_shift, shifts, watched, .. } = self.exits.ways[exit as usize];
        let first_shift = first_shift as usize;
        let mut enters = NOBODY;
        if core::mem::take(&mut self.called) {
            let head = self.exits.blocks[block as usize].head;
            let callee = self.child(self.stack.call, Callee::Address(head));
            if callee != self.stack.call {
                enters = self.stack.call;
            }
            self.stack.call = callee;
        }
        let row = match self.exits.shifts.get(first_shift).filter(|_| shifts > 0).copied() {
            None => self.count(exit, enters),
            Some(Move { kind: MoveKind::Return, pointer, .. }) => {
                let pointer = reference::address(&pointer, slots, fs_base);
                self.look_at(pointer);
                // Calls below the one that returns were left otherwise, before this record.
                while self.stack.frames.last().is_some_and(|frame| frame.pointer < pointer) {
                    self.leave();
                }
                let row = self.count(exit, enters);
                if self.stack.frames.last().is_some_and(|frame| frame.pointer == pointer) {
                    self.leave();
                }
                row
            }
            Some(Move { pointer, .. }) => {
                let first = reference::address(&pointer, slots, fs_base);
                self.look_at(first);
                while self.stack.frames.last().is_some_and(|frame| frame.pointer <= first) {
                    self.leave();
                }
                let row = self.count(exit, enters);
                for index in first_shift..first_shift + usize::from(shifts) {
                    let Move { kind, pointer, .. } = self.exits.shifts[index];
                    let pointer = reference::address(&pointer, slots, fs_base);
                    let caller = self.stack.call;
                    self.stack.frames.push(Frame { pointer, caller });
                    match kind {
                        MoveKind::Call(target) => {
                            self.stack.call = self.child(caller, Callee::Address(target));
                        }
                        _ => self.called = true,
                    }
                }
                if shift == Shift::Call
                    && let Some(row) = self.rows.get_mut(row)
                {
                    row.next = self.stack.call;
                }
                row
            }
        };
        if let Some(slot) = watched {
            self.look_at_frame(usize::from(slot), slots);
        }
        row
    }

    /// Counts an exit within the present call.
    fn count(&mut self, exit: u32, enters: u32) -> u32 {
        let Way { slots, shift, watched, pointer_slot, pointer_constant, .. } =
            self.exits.ways[exit as usize];
        let number = self.rows.number(Row {
            times: 0,
            entered: 0,
            call: self.stack.call,
            exit,
            enters: NOBODY,
            next: 0,
            after: [0; 2],
            slots,
            shift,
            watched: watched.unwrap_or(NO_SLOT),
            pointer_slot,
            pointer_constant,
        });
        if let Some(row) = self.rows.get_mut(number) {
            row.times += 1;
            if enters != NOBODY {
                row.entered += 1;
                row.enters = enters;
            }
        }
        number
    }

    fn look_at_frame(&mut self, slot: usize, record: &[u64]) {
        let (frame, code) = (record[slot], record[slot + 1]);
        if frame != NO_FRAME && frame != 0 && code == 0 {
            self.frame_pointed_to(frame);
        } else if frame != NO_FRAME {
            let owned = self.python.as_ref().is_some_and(|python| python.owner.is_some());
            self.frame_stored(record[slot], record[slot + 1], owned.then(|| record[slot + 2]));
        }
    }

    fn leave(&mut self) {
        if let Some(Frame { caller, .. }) = self.stack.frames.pop() {
            self.stack.call = caller;
            self.stack.end_python();
        }
    }

    /// The thread state points to a place where this address is. It is a frame if it is a known one, or looks like one.
    fn frame_pointed_to(&mut self, frame: u64) {
        let known = self.stack.python.iter().rev().find(|python| python.frame == frame);
        let code = match known {
            Some(known) => Some(known.code),
            None => self.python.as_ref().and_then(|python| python::executed(python, frame)),
        };
        if let Some(code) = code {
            self.frame_stored(frame, code, None);
        }
    }

    /// The interpreter's current frame is this one now.
    fn frame_stored(&mut self, frame: u64, code: u64, owner: Option<u64>) {
        let depth = self.stack.frames.len();
        let known = |python: &PythonFrame| (python.frame, python.code) == (frame, code);
        if let Some(index) = self.stack.python.iter().rposition(known) {
            while self.stack.python.len() > index + 1 {
                self.leave_python(depth);
            }
            let PythonFrame { call, depth: at, .. } = self.stack.python[index];
            if at == depth {
                self.stack.call = call;
            }
            return;
        }
        // The place of a frame is used again, for another function.
        while self
            .stack
            .python
            .last()
            .is_some_and(|python| frame == 0 && python.depth == depth || python.frame == frame)
        {
            self.leave_python(depth);
        }
        if frame == 0 {
            return;
        }
        let below = self.stack.call;
        let call = match self.function(code) {
            Some(function) => self.child(below, Callee::Python(function)),
            None => below,
        };
        // A generator function runs in a frame of the thread's only to make its generator, which nobody calls a call.
        let makes_generator =
            owner == Some(0) && self.python.as_ref().is_some_and(|python| python::is_generator(python, code));
        if call != below && !makes_generator {
            self.calls[call as usize].calls += 1;
        }
        self.stack.python.push(PythonFrame { frame, code, call, below, depth });
        self.stack.call = call;
    }

    /// A Python frame is over. The interpreter that has executed it goes on if it is the innermost native call.
    fn leave_python(&mut self, depth: usize) {
        if let Some(python) = self.stack.python.pop()
            && python.depth == depth
        {
            self.stack.call = python.below;
        }
    }

    fn function(&mut self, code: u64) -> Option<u32> {
        if let Some(&known) = self.by_code.get(&code) {
            return known;
        }
        let named = self.python.as_ref().and_then(|python| python::named(python, code));
        let function = named.map(|named| {
            self.functions.push(named);
            self.functions.len() as u32 - 1
        });
        self.by_code.insert(code, function);
        function
    }

    /// The stack pointer is here: perhaps on another stack.
    fn look_at(&mut self, pointer: u64) {
        let is_near = |stack: &Stack| stack.pointer.abs_diff(pointer) < ONE_STACK;
        if self.stack.pointer != 0 && !is_near(&self.stack) {
            let call = self.stack.call;
            match self.others.iter().position(is_near) {
                Some(index) => core::mem::swap(&mut self.stack, &mut self.others[index]),
                None => {
                    let new = Stack { pointer, call, ..Stack::default() };
                    self.others.push(core::mem::replace(&mut self.stack, new));
                }
            }
        }
        self.stack.pointer = pointer;
    }

    /// The call of `callee` by the call `caller`.
    pub(super) fn child(&mut self, caller: u32, callee: Callee) -> u32 {
        let key = match callee {
            Callee::Address(address) => address,
            // No code is there.
            Callee::Python(function) => u64::MAX - u64::from(function),
        };
        if self.calls.len() >= CALLS_MAX {
            return self.by_callee.get(caller, key).unwrap_or(caller);
        }
        let new = self.calls.len() as u32;
        let call = self.by_callee.number(caller, key, new);
        if call == new {
            self.calls.push(Call { parent: caller, callee, calls: 0 });
        }
        call
    }

    /// An operation of a row's superblock did something besides.
    pub fn charge(&mut self, payer: Payer, event: Event, count: u64) {
        if count > 0 {
            self.charges.push(Charge { payer, event, count });
        }
    }

    /// Charges misses by their payers' numbers.
    pub fn charge_misses(&mut self, caches: &mut Hierarchy) {
        for (payer, event) in caches.take_paid() {
            self.charge(Payer::from_number(payer), event, 1);
        }
    }

    /// Everything that was charged, sorted by payer and event, each once.
    pub(super) fn charged(&mut self) -> Vec<Charge> {
        self.charges.take()
    }
}
