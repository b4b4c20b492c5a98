//! What records that store a Python frame, or the position of one, mean to calls.
//!
//! Nothing of native calls, which the ledger opens and leaves, nor of where frames are kept (`account/python`). Thunks do the same for what is
//! usual (`host/thunks`, `frame`).
//!
//! Invariant: the call of the innermost frame, or a line of it, is at work where its interpreter is the innermost native call.

#[cfg(test)]
use invar_core::wire::raw::call_paths::PythonCode;
use invar_core::wire::raw::call_paths::{Call, Callee};

use super::{Code, Ledger, Lines};
use crate::account::exits::Follow;
use crate::account::python::{Called, PythonFrame};
#[cfg(test)]
use crate::guest::lines::LineTable;
use crate::host::following::PLACE;
use crate::host::python;
use crate::translate::Placed;

#[cfg(test)]
impl Ledger {
    /// There is code of a function at this address.
    pub fn know_function(&mut self, code: u64, is_generator: bool) {
        let (name, file) = Default::default();
        self.functions.push(PythonCode { name, file, line: code as u32 });
        self.lines.push(None);
        let function = Some(self.functions.len() as u32 - 1);
        self.by_code.insert(code, Code { function, is_generator, is_certain: true });
    }

    /// The interpreter is at work, and this frame of a function with these lines is its current one.
    pub fn enter_function(&mut self, frame: u64, start: u64, table: LineTable) {
        let (name, file) = Default::default();
        self.functions.push(PythonCode { name, file, line: 1 });
        self.lines.push(Some(Lines { start, unit: 1, table }));
        self.tells_lines = true;
        let function = self.functions.len() as u32 - 1;
        let (below, depth) = (self.stack.call, self.depth);
        let call = self.child(below, Callee::Python(function));
        self.calls[call as usize].calls += 1;
        let lines = Some(function);
        self.frames.push(PythonFrame { frame, code: 0, call, below, depth, lines });
        self.stack.call = call;
    }
}

impl Ledger {
    /// A record has stored a Python frame, or perhaps the position of one.
    pub fn look(&mut self, exit: u32, slots: &[u64]) {
        let &Follow { watched, placed, .. } = &self.exits.follows[self.exits.base + exit as usize];
        if let Some(slot) = watched {
            self.look_at_frame(usize::from(slot), slots);
        }
        if let Some(placed) = placed {
            self.look_at_position(placed, slots);
        }
    }

    /// A frame's position may have been stored. If it is the current one's, and its interpreter is at work, its line is now.
    fn look_at_position(&mut self, placed: Placed, slots: &[u64]) {
        let (frame, position) = (placed.frame.of(slots), placed.position.of(slots));
        let current = self.frames.last().filter(|python| python.frame == frame);
        let Some(PythonFrame { call, lines: Some(function), .. }) =
            current.filter(|python| python.depth == self.depth)
        else {
            return;
        };
        let Some(lines) = &self.lines[function as usize] else { return };
        let farther = position.wrapping_sub(lines.start) as u32;
        let line = lines.table.line(farther.wrapping_mul(lines.unit));
        let callee = self.child(call, Callee::Line(line));
        self.rows.adopt(call, PLACE | farther, callee, &mut self.calls);
        if callee != self.stack.call {
            self.calls[callee as usize].calls += 1;
            self.stack.call = callee;
        }
    }

    fn look_at_frame(&mut self, slot: usize, record: &[u64]) {
        let (frame, code) = (record[slot], record[slot + 1]);
        if frame != 0 && code == 0 {
            self.frame_pointed_to(frame);
        } else {
            let owned = self.python.as_ref().is_some_and(|python| python.owner.is_some());
            self.frame_stored(record[slot], record[slot + 1], owned.then(|| record[slot + 2]));
        }
    }

    /// The thread state points to a place where this address is. It is a frame if it is a known one, or looks like one.
    fn frame_pointed_to(&mut self, frame: u64) {
        let code = match self.frames.find(frame, |_| true) {
            Some((_, known)) => Some(known.code),
            None => self.python.as_ref().and_then(|python| python::executed(python, frame)),
        };
        if let Some(code) = code {
            self.frame_stored(frame, code, None);
        }
    }

    /// The interpreter's current frame is this one now.
    fn frame_stored(&mut self, frame: u64, code: u64, owner: Option<u64>) {
        let depth = self.depth;
        if let Some((index, known)) = self.frames.find(frame, |known| known.code == code) {
            while self.frames.len() > index + 1 {
                self.leave_python(depth);
            }
            // The line that it has come to goes on.
            if known.depth == depth && !(self.tells_lines && self.is_line_of(self.stack.call, known.call)) {
                self.stack.call = known.call;
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
        let Called { call, lines, makes_generator, .. } = match self.python_calls.get(below, code) {
            Some(called) => called,
            None => self.python_called(below, code),
        };
        // A generator function runs in a frame of the thread's only to make its generator, which nobody calls a call.
        if call != below && !(makes_generator && owner == Some(0)) {
            self.calls[call as usize].calls += 1;
        }
        self.frames.push(PythonFrame { frame, code, call, below, depth, lines });
        self.stack.call = call;
    }

    /// `below` calls Python code that it has not called before, or not lately.
    #[cold]
    fn python_called(&mut self, below: u32, code: u64) -> Called {
        let Code { function, is_generator, .. } = self.code(code);
        let call = match function {
            Some(function) => self.child(below, Callee::Python(function)),
            None => below,
        };
        let lines = function.filter(|&function| call != below && self.lines[function as usize].is_some());
        let called = Called { below, call, code, lines, makes_generator: is_generator };
        self.python_calls.put(called, &mut self.calls);
        called
    }

    /// Is a call a line of a Python function's call?
    fn is_line_of(&self, call: u32, function: u32) -> bool {
        let Call { parent, callee, .. } = self.calls[call as usize];
        parent == function && matches!(callee, Callee::Line(_))
    }

    /// A Python frame is over. The interpreter that has executed it goes on if it is the innermost native call.
    fn leave_python(&mut self, depth: usize) {
        if let Some(python) = self.frames.pop()
            && python.depth == depth
        {
            self.stack.call = python.below;
        }
    }

    fn code(&mut self, code: u64) -> Code {
        let before = self.by_code.get(&code).copied();
        if let Some(known) = before.filter(|known| known.is_certain) {
            return known;
        }
        let is_generator = self.python.as_ref().is_some_and(|python| python::is_generator(python, code));
        let named = self.python.as_ref().and_then(|python| python::named(python, code));
        let function = named.map(|named| {
            let lines = self.python.as_ref().and_then(|python| python::lines(python, code, named.line));
            let lines = lines.map(|(start, unit, table)| Lines { start, unit, table });
            // What is at the address may be other code than in the region before.
            let is_the_same =
                |&known: &u32| self.functions[known as usize] == named && self.lines[known as usize] == lines;
            let known = before.and_then(|before| before.function).filter(is_the_same);
            known.unwrap_or_else(|| {
                self.tells_lines |= lines.is_some();
                self.lines.push(lines);
                self.functions.push(named);
                self.functions.len() as u32 - 1
            })
        });
        let known = Code { function, is_generator, is_certain: true };
        self.by_code.insert(code, known);
        known
    }
}
