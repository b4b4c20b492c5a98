//! Which lines of code are settled, as bits that thunks test: a word for every 32 lines that lie side by side.
//!
//! A bit is set while its line is *not* known to be settled, so that one test answers for several lines. The words lie in the
//! arena; here is which word a line has.
//!
//! Invariant: a line whose bit is clear is settled in the cache.

use alloc::vec;
use alloc::vec::Vec;

use invar_sim::Settling;

use super::thunk::CodeLines;
use crate::host::memory;

/// Lines that share a word.
const WORD_LINES: u64 = 32;
/// The key of a free place in the table.
const FREE: u64 = u64::MAX;

/// The words of the lines that thunks ask about.
///
/// An open-addressing table: it is asked for every line that the cache of instructions settles or gives up.
pub struct CodeWords {
    /// Key and number of a word, at the place that the key's hash says or behind it. A power of two of them.
    places: Vec<(u64, u32)>,
    words: u32,
}

impl CodeWords {
    /// No words yet.
    pub fn new() -> CodeWords {
        CodeWords { places: vec![(FREE, 0); 1024], words: 0 }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words as usize
    }

    /// No line is settled.
    pub fn unsettle_all(&mut self) {
        memory::code_lines()[..self.len()].fill(u32::MAX);
    }

    /// Forgets which line has which word.
    pub fn clear(&mut self) {
        self.places.fill((FREE, 0));
        self.words = 0;
    }

    /// Is the line known to be settled?
    pub fn is_settled(&self, line: u64) -> bool {
        let (key, bit) = split(line);
        match self.places[self.place(key)] {
            (FREE, _) => false,
            (_, word) => memory::code_lines()[word as usize] & bit == 0,
        }
    }

    /// The place that has the key, or that it would get.
    fn place(&self, key: u64) -> usize {
        let mask = self.places.len() - 1;
        let mut place = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        while self.places[place].0 != key && self.places[place].0 != FREE {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let larger = vec![(FREE, 0); self.places.len() * 2];
        for taken in core::mem::replace(&mut self.places, larger) {
            if taken.0 != FREE {
                let place = self.place(taken.0);
                self.places[place] = taken;
            }
        }
    }
}

fn split(line: u64) -> (u64, u32) {
    (line / WORD_LINES, 1 << (line % WORD_LINES))
}

impl Settling for CodeWords {
    fn settled(&mut self, line: u64) {
        let (key, bit) = split(line);
        let (found, word) = self.places[self.place(key)];
        if found == key {
            memory::code_lines()[word as usize] &= !bit;
        }
    }

    fn unsettled(&mut self, line: u64) {
        let (key, bit) = split(line);
        let (found, word) = self.places[self.place(key)];
        if found == key {
            memory::code_lines()[word as usize] |= bit;
        }
    }
}

impl CodeLines for CodeWords {
    fn bit(&mut self, line: u64) -> (u32, u32) {
        let (key, bit) = split(line);
        let mut place = self.place(key);
        if self.places[place].0 == FREE {
            if self.len() * 2 >= self.places.len() {
                self.grow();
                place = self.place(key);
            }
            // Settled or not, the first touch asks the cache.
            memory::code_lines()[self.len()] = u32::MAX;
            self.places[place] = (key, self.words);
            self.words += 1;
        }
        (self.places[place].1, bit)
    }
}
