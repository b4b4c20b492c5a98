//! The tree of calls of a region, and how often each exit was taken within each call.
//!
//! Reads the trace that the drain reads, and changes nothing: what is counted is the same with a ledger and without. An exit
//! does the same whenever it is taken within the same call; only the guest's stack pointer, which the trace has at every call
//! and return, can say otherwise. [`Ledger::step`] follows any record. Thunks (`drain/thunk`) follow those that are usual, by
//! the tables that it has filled in, and leave the others to it.
//!
//! A call is left by the return that reads the address which it has pushed. Whatever else happens to the stack (exceptions,
//! `longjmp`, a return used as a jump) shows at the next call or return: calls whose return address lies below the stack
//! pointer are over. A stack pointer far from the last belongs to another stack (`swapcontext`), which has calls of its own.
//!
//! Invariant: every record up to the [`Position`] is in `rows`.

mod interpreter;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use invar_core::event::Event;
use invar_core::wire::raw::call_paths::{Call, Callee, PythonCode};
use invar_core::wire::raw::taken_exits::Row;
use invar_sim::Hierarchy;

use super::charges::{Charge, Charges, Payer};
use super::exits::{Exits, Follow, Move, MoveKind, Way};
use super::python::{Calls, PythonFrame, PythonFrames};
use super::rows::{Numbers, Rows, name, named};
use crate::drain::reference;
use crate::guest::lines::LineTable;
use crate::host::following::{self, CALLED, FRAMES, Frame, Position};
use crate::host::layout::EXIT_END;
use crate::host::python::{self, Python};
use crate::translate::block::Path;
use crate::translate::{Exit, Translation};

/// Stack pointers farther apart belong to unlike stacks.
pub const ONE_STACK: u32 = 1 << 20;

/// Calls that are met when there are so many are charged to their callers.
const CALLS_MAX: usize = 1 << 20;
const _: () = assert!(named(CALLED as u32) as usize > CALLS_MAX, "that is no call's name");

/// After so many words of trace no place of a row is near to counting more than it can.
const WORDS_MAX: usize = 1 << 31;

/// The calls of one stack of the guest.
#[derive(Debug, Clone, Default)]
struct Stack {
    /// The calls that are open, while it is not the present stack.
    frames: Vec<Frame>,
    /// The stack pointer at the last call or return.
    pointer: u64,
    /// The call that was at work there last.
    call: u32,
    /// Python frames that are not over, while it is not the present stack.
    python: Vec<PythonFrame>,
}

/// The calls of a thread that is not the present one.
#[derive(Debug, Default)]
struct Suspended {
    stack: Stack,
    others: Vec<Stack>,
    called: bool,
    /// From before the region, and not met since: where it comes back to.
    waits_at: Option<u64>,
}

/// See the module.
pub struct Ledger {
    pub(super) exits: Exits,
    pub(super) calls: Vec<Call>,
    by_callee: Numbers,
    pub(super) rows: Rows,
    stack: Stack,
    /// How many calls are open.
    depth: usize,
    /// Python frames that are not over.
    frames: PythonFrames,
    others: Vec<Stack>,
    /// The next superblock is what was called.
    called: bool,
    /// How many words of trace were followed since places were emptied.
    words: usize,
    /// Whose these are, and those of the region's other threads.
    thread: usize,
    threads: BTreeMap<usize, Suspended>,
    /// Something is charged at all.
    active: bool,
    /// What the region did, after its end: nothing is counted in places any more.
    gathered: Option<Gathered>,
    charges: Charges,
    python: Option<Python>,
    /// What is known of Python code, by its address: asking for it reads the guest's memory through the kernel.
    by_code: BTreeMap<u64, Code>,
    python_calls: Calls,
    pub(super) functions: Vec<PythonCode>,
    /// The lines of each of them, where they are asked for and known.
    lines: Vec<Option<Lines>>,
    /// Some function has lines.
    tells_lines: bool,
}

/// What a region did.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Exits that were taken, by their numbers among all of the region, and how often.
    pub exits: Vec<(u32, u64)>,
    /// The rows, by the indices of exits in that list.
    pub rows: Vec<Row>,
    /// What operations did besides.
    pub charges: Vec<Charge>,
}

/// Python code that was executed.
#[derive(Debug, Clone, Copy)]
struct Code {
    /// Its function, if it is one's.
    function: Option<u32>,
    /// It makes a generator, a coroutine or an asynchronous generator.
    is_generator: bool,
    /// It was looked at in this region.
    is_certain: bool,
}

/// Where the lines of a function are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lines {
    /// What is stored as a position is farther than this by so many units.
    start: u64,
    /// Bytes of a unit.
    unit: u32,
    table: LineTable,
}

impl Ledger {
    /// Nothing translated, nothing charged.
    pub fn new(python: Option<Python>) -> Ledger {
        Ledger {
            exits: Exits::default(),
            calls: Vec::new(),
            by_callee: Numbers::default(),
            rows: Rows::new(),
            stack: Stack::default(),
            depth: 0,
            frames: PythonFrames::default(),
            others: Vec::new(),
            called: false,
            words: 0,
            thread: 0,
            threads: BTreeMap::new(),
            active: false,
            gathered: None,
            charges: Charges::default(),
            python,
            by_code: BTreeMap::new(),
            python_calls: Calls,
            functions: Vec::new(),
            lines: Vec::new(),
            tells_lines: false,
        }
    }

    /// A region begins at `entry`. It is followed in any case, so that thunks do not depend on it, and charged if it is
    /// `active`.
    ///
    /// What is known of calls is kept from the region before, which most often was the cold pass of the same benchmark, where the
    /// region is `active`: then little is new. Calls that it does not make are not told.
    pub fn begin(&mut self, entry: u64, active: bool) {
        if self.gathered.take().is_none() {
            self.rows.forget_counts();
        }
        let is_known = self.calls.first().is_some_and(|call| call.callee == Callee::Address(entry));
        if active && is_known && self.calls.len() < CALLS_MAX / 2 {
            self.calls.iter_mut().for_each(|call| call.calls = 0);
            self.calls[0].calls = 1;
            self.rows.sort_places();
        } else {
            self.calls.clear();
            self.calls.push(Call { parent: 0, callee: Callee::Address(entry), calls: 1 });
            self.by_callee.clear();
            self.rows.clear_places();
            self.by_code.clear();
            self.functions.clear();
            self.lines.clear();
            self.tells_lines = false;
        }
        self.frames.clear();
        self.stack.frames.clear();
        (self.stack.pointer, self.stack.call) = (0, 0);
        self.depth = 0;
        self.others.clear();
        self.called = false;
        self.words = 0;
        self.thread = 0;
        self.threads.clear();
        self.active = active;
        self.charges.clear();
        self.by_code.values_mut().for_each(|code| code.is_certain = false);
        self.python_calls.clear();
        if active && let Some((frame, code)) = self.python.as_ref().and_then(python::current) {
            // Whoever has called the region: its function is not part of it.
            self.frames.push(PythonFrame { frame, code, call: 0, below: 0, depth: 0, lines: None });
        }
    }

    /// A region was told.
    pub fn end(&mut self) {
        self.active = false;
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
        self.rows.put_all_aside(self.exits.base, &mut self.calls);
        if !self.active {
            self.rows.forget_counts();
        }
        self.rows.clear_places();
        self.rows.forget_numbers();
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

    /// What thunks must know of an exit.
    pub fn follow(&self, exit: u32) -> Follow {
        self.exits.follows[self.exits.base + exit as usize]
    }

    /// The number that places of rows know an exit by, which is taken within the call of a name, or within one that is not known yet.
    pub fn number(&mut self, exit: u32, name: u32) -> u32 {
        self.number_within(exit, named(name))
    }

    fn number_within(&mut self, exit: u32, call: u32) -> u32 {
        self.rows.number(exit).unwrap_or_else(|| {
            let function = self.function_of(exit, call);
            self.rows.new_number(exit, function)
        })
    }

    /// Whose an exit is, that is first taken within a call.
    fn function_of(&self, exit: u32, call: u32) -> u64 {
        match self.calls.get(call as usize) {
            Some(&Call { callee: Callee::Line(_), parent, .. }) => self.function_of(exit, parent),
            Some(&Call { callee: Callee::Python(function), .. }) => u64::MAX - u64::from(function),
            Some(&Call { callee: Callee::Address(address), .. }) => address,
            None => {
                let block = self.exits.ways[self.exits.base + exit as usize].block;
                self.exits.blocks[block as usize].head
            }
        }
    }

    /// The region has ended, and its trace was followed to the end. Whoever asks for what was counted is answered from a list from
    /// now on, instead of from places all over a table.
    pub fn gather(&mut self) {
        const ABSENT: u32 = u32::MAX;
        let mut rows = self.rows.take(self.exits.base, &mut self.calls);
        self.python_calls.count(&mut self.calls);
        let mut indices = vec![ABSENT; self.exits.ways.len()];
        let mut exits = Vec::new();
        for row in &mut rows {
            let index = &mut indices[row.exit as usize];
            if *index == ABSENT {
                *index = exits.len() as u32;
                exits.push((row.exit, 0));
            }
            row.exit = *index;
            exits[*index as usize].1 += row.times;
        }
        self.gathered = Some(Gathered { exits, rows, charges: Vec::new() });
    }

    /// Exits that were taken in this region and are still there, and how often. An exit may be told several times.
    pub fn times(&self, mut each: impl FnMut(u32, u64)) {
        let Some(Gathered { exits, .. }) = &self.gathered else {
            self.rows.times(self.exits.base).for_each(|(exit, times)| each(exit, times));
            return;
        };
        for &(exit, times) in exits {
            if let Some(exit) = exit.checked_sub(self.exits.base as u32) {
                each(exit, times);
            }
        }
    }

    /// The present thread starts another, which is below the call that does so. The trace was followed to its end.
    pub fn start_thread(&mut self, thread: usize) {
        let stack = Stack { call: self.stack.call, ..Stack::default() };
        self.threads.insert(thread, Suspended { stack, ..Suspended::default() });
    }

    /// There is a thread from before the region, which waits for what comes back to `place`: what it does is called by the
    /// region, and named by that.
    pub fn meet_thread(&mut self, thread: usize, place: u64) {
        self.threads.insert(thread, Suspended { waits_at: Some(place), ..Suspended::default() });
    }

    /// What comes next is done by another thread. The trace was followed to its end.
    pub fn switch_to(&mut self, thread: usize) {
        if thread == self.thread {
            return;
        }
        self.put_frames_away();
        let mut next = self.threads.remove(&thread).unwrap_or_default();
        if let Some(place) = next.waits_at {
            next.stack.call = self.child(0, Callee::Address(place));
            self.calls[next.stack.call as usize].calls += 1;
        }
        let present = Suspended {
            stack: core::mem::replace(&mut self.stack, next.stack),
            others: core::mem::replace(&mut self.others, next.others),
            called: core::mem::replace(&mut self.called, next.called),
            waits_at: None,
        };
        self.take_frames_out();
        self.threads.insert(self.thread, present);
        self.thread = thread;
    }

    /// The open calls of the present stack are kept with it, as another one comes.
    fn put_frames_away(&mut self) {
        self.stack.frames.extend_from_slice(&following::frames()[1..=self.depth]);
        self.depth = 0;
        self.stack.python = self.frames.put_away();
    }

    /// The open calls of the present stack are where thunks find them.
    fn take_frames_out(&mut self) {
        self.depth = self.stack.frames.len();
        following::frames()[1..=self.depth].copy_from_slice(&self.stack.frames);
        self.stack.frames.clear();
        self.frames.take_out(core::mem::take(&mut self.stack.python));
    }

    /// Where the trace was followed to, for thunks to go on. Word by word: who returned it would have it copied by loads that are wider
    /// than the stores, for which processors wait.
    #[inline]
    pub fn write_position(&self, position: &mut Position) {
        position.python_top = self.frames.top();
        let python = self.frames.last();
        let inner = python.map_or(0, |python| python.depth);
        position.call = if self.called { CALLED } else { u64::from(name(self.stack.call)) };
        position.top = following::top(self.depth);
        position.floor = following::top(inner);
        position.pointer = self.stack.pointer;
        let with_lines =
            python.and_then(|python| Some((python, self.lines[python.lines? as usize].as_ref()?)));
        (position.frame, position.function, position.code) = with_lines
            .map_or((0, 0, 0), |(python, lines)| (python.frame, u64::from(name(python.call)), lines.start));
    }

    /// Goes on where thunks have come to.
    pub fn resume(&mut self, position: &Position) {
        self.called = position.call == CALLED;
        if !self.called {
            self.stack.call = named(position.call as u32);
        }
        self.depth = following::depth(position.top);
        self.stack.pointer = position.pointer;
        self.frames.resume(position.python_top);
    }

    /// So many words of trace were followed, all that there were.
    pub fn followed(&mut self, words: usize) {
        self.words += words;
        if self.words > WORDS_MAX {
            self.rows.put_all_aside(self.exits.base, &mut self.calls);
            self.python_calls.count(&mut self.calls);
            self.words = 0;
        }
    }

    /// Who pays for what an operation does, if `call` is at work.
    #[inline]
    pub fn payer(&self, call: u32, op: u32) -> Payer {
        Payer { call, op: self.exits.base_op + u64::from(op) }
    }

    /// Follows a record; says which call its operations are charged to.
    pub fn step(&mut self, exit: u32, slots: &[u64], fs_base: u64) -> u32 {
        let Way { block, first_shift, shifts, .. } = self.exits.ways[self.exits.base + exit as usize];
        if core::mem::take(&mut self.called) {
            self.stack.call = self.entered(block);
        }
        let first_shift = first_shift as usize;
        let call = match self.exits.shifts.get(first_shift).filter(|_| shifts > 0).copied() {
            None => self.count(exit),
            Some(Move { kind: MoveKind::Return, pointer, .. }) => {
                let pointer = reference::address(&pointer, slots, fs_base);
                self.look_at(pointer);
                // Calls below the one that returns were left otherwise, before this record.
                self.leave_while(|frame| frame.pointer < pointer);
                let call = self.count(exit);
                if self.innermost().is_some_and(|frame| frame.pointer == pointer) {
                    self.leave();
                }
                call
            }
            Some(Move { pointer, .. }) => {
                let first = reference::address(&pointer, slots, fs_base);
                self.look_at(first);
                self.leave_while(|frame| frame.pointer <= first);
                let call = self.count(exit);
                for number in 0..usize::from(shifts) {
                    let Move { kind, pointer, .. } = self.exits.shifts[first_shift + number];
                    let pointer = reference::address(&pointer, slots, fs_base);
                    let target = match kind {
                        MoveKind::Call(target) => {
                            let callee = self.child(self.stack.call, Callee::Address(target));
                            let row = self.number_within(exit, call);
                            self.rows.lead(call, row, number, callee);
                            Some(callee)
                        }
                        _ => None,
                    };
                    self.open(target, pointer);
                }
                call
            }
        };
        self.look(exit, slots);
        call
    }

    /// The call at work has called a superblock indirectly: which call is that?
    fn entered(&mut self, block: u32) -> u32 {
        let head = self.exits.blocks[block as usize].head;
        let caller = self.stack.call;
        let callee = self.child(caller, Callee::Address(head));
        if callee != caller {
            self.calls[callee as usize].calls += 1;
        }
        callee
    }

    /// An indirect call is followed by a record of this exit, or by the end of the trace.
    pub fn enter(&mut self, exit: u32) {
        if exit == EXIT_END {
            self.called = true;
            return;
        }
        let block = self.exits.ways[self.exits.base + exit as usize].block;
        let (caller, callee) = (self.stack.call, self.entered(block));
        self.rows.adopt(caller, block, callee, &mut self.calls);
        self.stack.call = callee;
    }

    /// Counts an exit within the present call.
    fn count(&mut self, exit: u32) -> u32 {
        let call = self.stack.call;
        let number = self.number_within(exit, call);
        self.rows.count(call, exit, number, self.exits.base);
        call
    }

    /// A call is open: of `callee`, or of whatever comes next.
    fn open(&mut self, callee: Option<u32>, pointer: u64) {
        if self.depth + 1 == FRAMES {
            // The caller pays: nobody would find the way back.
            return;
        }
        self.depth += 1;
        let caller = u64::from(name(self.stack.call));
        following::frames()[self.depth] = Frame { pointer, caller };
        match callee {
            Some(callee) => self.stack.call = callee,
            None => self.called = true,
        }
    }

    /// The innermost call that is open.
    fn innermost(&self) -> Option<Frame> {
        (self.depth > 0).then(|| following::frames()[self.depth])
    }

    fn leave_while(&mut self, is_over: impl Fn(&Frame) -> bool) {
        while self.innermost().is_some_and(|frame| is_over(&frame)) {
            self.leave();
        }
    }

    /// The innermost call is over, and Python frames whose interpreter it was.
    fn leave(&mut self) {
        if let Some(Frame { caller, .. }) = self.innermost() {
            self.depth -= 1;
            self.stack.call = named(caller as u32);
            while self.frames.last().is_some_and(|python| python.depth > self.depth) {
                self.frames.pop();
            }
        }
    }

    /// The stack pointer is here: perhaps on another stack.
    fn look_at(&mut self, pointer: u64) {
        let is_near = |stack: &Stack| stack.pointer.abs_diff(pointer) < u64::from(ONE_STACK);
        if self.stack.pointer != 0 && !is_near(&self.stack) {
            let call = self.stack.call;
            self.put_frames_away();
            match self.others.iter().position(is_near) {
                Some(index) => core::mem::swap(&mut self.stack, &mut self.others[index]),
                None => {
                    let new = Stack { pointer, call, ..Stack::default() };
                    self.others.push(core::mem::replace(&mut self.stack, new));
                }
            }
            self.take_frames_out();
        }
        self.stack.pointer = pointer;
    }

    /// The call of `callee` by the call `caller`.
    fn child(&mut self, caller: u32, callee: Callee) -> u32 {
        let key = match callee {
            Callee::Address(address) => address,
            // No code is there.
            Callee::Python(function) => u64::MAX - u64::from(function),
            Callee::Line(line) => 1 << 62 | u64::from(line),
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

    /// The operation whose payer has this number did something besides.
    pub fn charge(&mut self, payer: u64, event: Event, count: u64) {
        if self.active && count > 0 {
            self.charges.add(payer, event, count);
        }
    }

    /// Charges misses by their payers' numbers.
    pub fn charge_misses(&mut self, caches: &mut Hierarchy) {
        for paid in caches.take_paid() {
            self.charges.miss(paid);
        }
    }

    /// Everything that was gathered and charged. Neither stays.
    pub(super) fn take(&mut self) -> Gathered {
        let gathered = core::mem::take(self.gathered.get_or_insert_default());
        Gathered { charges: self.charges.take(), ..gathered }
    }
}
