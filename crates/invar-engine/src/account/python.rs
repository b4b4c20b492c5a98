//! Python frames that are not over, and what was called by whom: found without a search where it is usual.
//!
//! Nothing of what a frame means to calls; the ledger knows that.

use alloc::vec::Vec;

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

/// Those of one stack of the guest, the outermost first.
///
/// Invariant: `counts` holds for each place how many of the frames have it, if there was ever one.
#[derive(Debug, Clone, Default)]
pub(super) struct PythonFrames {
    frames: Vec<PythonFrame>,
    counts: Vec<u32>,
}

const PLACES_LOG: u32 = 10;

/// By a multiplication, since frames of a recursion are equally far from each other.
fn place(frame: u64) -> usize {
    (frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACES_LOG)) as usize
}

impl PythonFrames {
    pub fn push(&mut self, frame: PythonFrame) {
        if self.counts.is_empty() {
            self.counts.resize(1 << PLACES_LOG, 0);
        }
        self.counts[place(frame.frame)] += 1;
        self.frames.push(frame);
    }

    pub fn pop(&mut self) -> Option<PythonFrame> {
        let frame = self.frames.pop()?;
        self.counts[place(frame.frame)] -= 1;
        Some(frame)
    }

    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }

    pub fn last(&self) -> Option<&PythonFrame> {
        self.frames.last()
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The number of the innermost frame at an address, and which it is, if `is_right`. A frame that is none of these is hardly ever looked
    /// for: most often it is the one before the innermost, which goes on, or a new one.
    #[inline]
    pub fn find(&self, frame: u64, is_right: impl Fn(&PythonFrame) -> bool) -> Option<(usize, PythonFrame)> {
        if let [.., before, last] = self.frames.as_slice()
            && before.frame == frame
            && last.frame != frame
            && is_right(before)
        {
            return Some((self.frames.len() - 2, *before));
        }
        if *self.counts.get(place(frame))? == 0 {
            return None;
        }
        let index = self.frames.iter().rposition(|known| known.frame == frame && is_right(known))?;
        Some((index, self.frames[index]))
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
pub(super) struct Calls {
    places: Vec<Called>,
}

impl Calls {
    pub fn clear(&mut self) {
        self.places.fill(Called::default());
    }

    /// The call of `code` by `below`, if it was the last one that was put at its place.
    pub fn get(&self, below: u32, code: u64) -> Option<Called> {
        let called = *self.places.get(Calls::place(below, code))?;
        (called.below == below && called.code == code).then_some(called)
    }

    pub fn put(&mut self, called: Called) {
        if self.places.is_empty() {
            self.places.resize(1 << PLACES_LOG, Called::default());
        }
        self.places[Calls::place(called.below, called.code)] = called;
    }

    fn place(below: u32, code: u64) -> usize {
        place(code ^ u64::from(below).rotate_left(40))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(frame: u64, code: u64) -> PythonFrame {
        PythonFrame { frame, code, call: 0, below: 0, depth: 0, lines: None }
    }

    #[test]
    fn a_frame_is_found_while_it_is_not_over_and_the_innermost_of_two() {
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
        frames.clear();
        assert_eq!(found(&frames, 0x1000), None);
    }

    #[test]
    fn a_call_is_known_by_both_of_its_keys() {
        let mut calls = Calls::default();
        assert!(calls.get(0, 8).is_none());
        calls.put(Called { below: 1, call: 2, code: 8, ..Called::default() });
        assert_eq!(calls.get(1, 8).map(|called| called.call), Some(2));
        assert!(calls.get(2, 8).is_none() && calls.get(1, 16).is_none());
        calls.clear();
        assert!(calls.get(1, 8).is_none());
    }
}
