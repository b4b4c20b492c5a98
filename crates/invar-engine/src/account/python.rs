//! Python frames that are not over, and what was called by whom: found without a search where it is usual.
//!
//! Where thunks can push and pop them, too: in the arena, for the present stack of the guest. Nothing of what a frame means to calls; the
//! ledger knows that.

use alloc::vec::Vec;

use invar_core::wire::raw::call_paths::Call;

use super::rows::{name, named};
use crate::host::following;
use crate::host::layout::PYTHON_FRAMES_MAX;

/// A Python frame that was the interpreter's current one.
#[derive(Debug, Clone, Copy)]
pub(super) struct PythonFrame {
    /// Its address.
    pub frame: u64,
    /// What it executes.
    pub code: u64,
    /// The call of its function.
    pub call: u32,
    /// The call that was at work before.
    pub below: u32,
    /// How many native calls were open: those of the interpreter that executes it included.
    pub depth: usize,
    /// Its function, if the lines of that are known.
    pub lines: Option<u32>,
}

impl PythonFrame {
    fn of(stored: &following::PythonFrame) -> PythonFrame {
        let &following::PythonFrame { frame, code, top, call, below, lines } = stored;
        let (call, below, depth) = (named(call), named(below), following::depth(top));
        PythonFrame { frame, code, call, below, depth, lines: lines.checked_sub(1) }
    }

    fn stored(self) -> following::PythonFrame {
        let PythonFrame { frame, code, call, below, depth, lines } = self;
        let lines = lines.map_or(0, |function| function + 1);
        let top = following::top(depth);
        following::PythonFrame { frame, code, top, call: name(call), below: name(below), lines }
    }
}

/// Those of the present stack of the guest, the outermost first.
///
/// Invariant: the counts of the arena hold for each place how many of the frames have it.
#[derive(Debug, Default)]
pub(super) struct PythonFrames {
    length: usize,
}

impl PythonFrames {
    fn stored(&self) -> &'static [following::PythonFrame] {
        &following::python_frames()[..self.length]
    }

    /// One more; where there is no room it is not there, and what it does is its caller's.
    pub fn push(&mut self, frame: PythonFrame) {
        if self.length < PYTHON_FRAMES_MAX {
            following::python_frames()[self.length] = frame.stored();
            following::python_counts()[following::place(frame.frame)] += 1;
            self.length += 1;
        }
    }

    pub fn pop(&mut self) -> Option<PythonFrame> {
        let frame = self.last()?;
        following::python_counts()[following::place(frame.frame)] -= 1;
        self.length -= 1;
        Some(frame)
    }

    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }

    pub fn last(&self) -> Option<PythonFrame> {
        self.stored().last().map(PythonFrame::of)
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// The present stack is another one: they are kept with the one that they are of.
    pub fn put_away(&mut self) -> Vec<PythonFrame> {
        let frames = self.stored().iter().map(PythonFrame::of).collect();
        self.clear();
        frames
    }

    /// The frames of the stack that is the present one now.
    pub fn take_out(&mut self, frames: Vec<PythonFrame>) {
        frames.into_iter().for_each(|frame| self.push(frame));
    }

    /// Address behind the innermost.
    pub fn top(&self) -> u64 {
        following::python_top(self.length)
    }

    /// Thunks have pushed and popped until the address behind the innermost was this.
    pub fn resume(&mut self, top: u64) {
        self.length = following::python_length(top);
    }

    /// The number of the innermost frame at an address, and which it is, if `is_right`. A frame that is none of these is hardly ever looked
    /// for: most often it is the one before the innermost, which goes on, or a new one.
    #[inline]
    pub fn find(&self, frame: u64, is_right: impl Fn(&PythonFrame) -> bool) -> Option<(usize, PythonFrame)> {
        let stored = self.stored();
        if let [.., before, last] = stored
            && before.frame == frame
            && last.frame != frame
            && let before = PythonFrame::of(before)
            && is_right(&before)
        {
            return Some((stored.len() - 2, before));
        }
        if following::python_counts()[following::place(frame)] == 0 {
            return None;
        }
        let known =
            |index: &usize| stored[*index].frame == frame && is_right(&PythonFrame::of(&stored[*index]));
        let index = (0..stored.len()).rev().find(known)?;
        Some((index, PythonFrame::of(&stored[index])))
    }
}

/// A Python function that was called.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Called {
    /// The call that was at work before.
    pub below: u32,
    /// The call of the function; the one before, if its code is no function's.
    pub call: u32,
    /// The code, which is never at address zero.
    pub code: u64,
    /// Its function, if the lines of that are known.
    pub lines: Option<u32>,
    /// It makes a generator, a coroutine or an asynchronous generator.
    pub makes_generator: bool,
}

/// Some of those that were called, each at its place.
#[derive(Debug, Default)]
pub(super) struct Calls;

impl Calls {
    /// None. What was counted is lost.
    pub fn clear(&mut self) {
        following::python_calls().fill(following::PythonCall::default());
    }

    /// The call of `code` by `below`, if it was the last one that was put at its place.
    pub fn get(&self, below: u32, code: u64) -> Option<Called> {
        let known = following::python_calls()[following::python_place(name(below), code)];
        (known.below == name(below) && known.code == code).then(|| Called {
            below,
            call: named(known.call),
            code,
            lines: known.lines.checked_sub(1),
            makes_generator: known.makes_generator != 0,
        })
    }

    /// At its place from now on; what thunks have counted of another one there goes to `calls`.
    pub fn put(&mut self, called: Called, calls: &mut [Call]) {
        let Called { below, call, code, lines, makes_generator } = called;
        let known = &mut following::python_calls()[following::python_place(name(below), code)];
        count(known, calls);
        *known = following::PythonCall {
            code,
            below: name(below),
            call: name(call),
            times: 0,
            is_plain: u32::from(call != below && lines.is_none() && !makes_generator),
            lines: lines.map_or(0, |function| function + 1),
            makes_generator: u32::from(makes_generator),
        };
    }

    /// What thunks have counted goes to `calls`.
    pub fn count(&self, calls: &mut [Call]) {
        following::python_calls().iter_mut().for_each(|known| count(known, calls));
    }
}

fn count(known: &mut following::PythonCall, calls: &mut [Call]) {
    let times = core::mem::take(&mut known.times);
    if times > 0
        && let Some(called) = calls.get_mut(named(known.call) as usize)
    {
        called.calls += u64::from(times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::memory::arena;

    fn frame(frame: u64, code: u64) -> PythonFrame {
        PythonFrame { frame, code, call: 0, below: 0, depth: 0, lines: None }
    }

    #[test]
    fn a_frame_is_found_while_it_is_not_over_and_the_innermost_of_two() {
        let _arena = arena();
        let mut frames = PythonFrames::default();
        assert!(frames.find(0x10, |_| true).is_none());
        for number in 0..5000 {
            frames.push(frame(0x1000 + number % 2500 * 0x58, number));
        }
        let found = |frames: &PythonFrames, at| frames.find(at, |_| true).map(|(index, _)| index);
        assert_eq!(found(&frames, 0x1000), Some(2500));
        assert_eq!(frames.find(0x1000, |known| known.code == 0).map(|(index, _)| index), Some(0));
        assert_eq!(found(&frames, 0x1008), None);
        for _ in 0..2500 {
            frames.pop();
        }
        assert_eq!(found(&frames, 0x1000), Some(0));
        let away = frames.put_away();
        assert_eq!((found(&frames, 0x1000), away.len()), (None, 2500));
        frames.take_out(away);
        assert_eq!(found(&frames, 0x1000), Some(0));
        frames.clear();
        assert_eq!(found(&frames, 0x1000), None);
    }

    #[test]
    fn a_call_is_known_by_both_of_its_keys() {
        let _arena = arena();
        let mut calls = Calls;
        calls.clear();
        assert!(calls.get(0, 8).is_none());
        calls.put(Called { below: 1, call: 2, code: 8, ..Called::default() }, &mut []);
        assert_eq!(calls.get(1, 8).map(|called| called.call), Some(2));
        assert!(calls.get(2, 8).is_none() && calls.get(1, 16).is_none());
        calls.clear();
        assert!(calls.get(1, 8).is_none());
    }
}
