//! Which lines of code are settled, as bits that thunks test: a word for every 32 lines that lie side by side.
//!
//! A bit is set while its line is *not* known to be settled, so that one test answers for several lines. The words lie in the
//! arena; here is which word a line has, and which bit the line at each place of the cache, so that nobody looks one up twice.
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

/// The bit of a line: number of its word times 32, plus its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bit(u32);

impl Bit {
    /// Of a line that no thunk asks about. It lies in a word of nobody's, and is always set.
    pub const NONE: Bit = Bit(0);

    fn word(self) -> usize {
        (self.0 / 32) as usize
    }

    fn mask(self) -> u32 {
        1 << (self.0 % 32)
    }
}

/// The words of the lines that thunks ask about.
pub struct CodeWords {
    /// Key and number of a word, at the place that the key's hash says or behind it: an open-addressing table. A power of two of them.
    table: Vec<(u64, u32)>,
    /// The first is nobody's.
    words: u32,
    /// Bits of the lines that have been settled, by their places in the cache.
    settled: Vec<Bit>,
}

impl CodeWords {
    /// No words yet, for a cache of so many places.
    pub fn new(places: usize) -> CodeWords {
        CodeWords { table: vec![(FREE, 0); 1024], words: 1, settled: vec![Bit::NONE; places] }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words as usize
    }

    /// No line is settled.
    pub fn unsettle_all(&mut self) {
        memory::code_lines()[..self.len()].fill(u32::MAX);
        self.settled.fill(Bit::NONE);
    }

    /// Forgets which line has which word. No bit that was told before is one any more.
    pub fn clear(&mut self) {
        self.table.fill((FREE, 0));
        self.settled.fill(Bit::NONE);
        self.words = 1;
        memory::code_lines()[0] = u32::MAX;
    }

    /// Is the line of this bit known to be settled?
    pub fn is_settled(&self, bit: Bit) -> bool {
        memory::code_lines()[bit.word()] & bit.mask() == 0
    }

    /// The bit that a line has, if it has one.
    pub fn find(&self, line: u64) -> Bit {
        let (key, number) = split(line);
        match self.table[self.place(key)] {
            (FREE, _) => Bit::NONE,
            (_, word) => Bit(word * 32 + number),
        }
    }

    /// The place that has the key, or that it would get.
    fn place(&self, key: u64) -> usize {
        let mask = self.table.len() - 1;
        let mut place = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        while self.table[place].0 != key && self.table[place].0 != FREE {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let larger = vec![(FREE, 0); self.table.len() * 2];
        for taken in core::mem::replace(&mut self.table, larger) {
            if taken.0 != FREE {
                let place = self.place(taken.0);
                self.table[place] = taken;
            }
        }
    }
}

fn split(line: u64) -> (u64, u32) {
    (line / WORD_LINES, (line % WORD_LINES) as u32)
}

/// The words while the cache is asked for a line and the one behind it.
pub struct Fetching<'a> {
    pub words: &'a mut CodeWords,
    /// The first line.
    pub first: u64,
    /// The bits of both.
    pub bits: [Bit; 2],
}

impl Settling for Fetching<'_> {
    #[inline]
    fn settled(&mut self, line: u64, place: usize) {
        let bit = self.bits[(line - self.first) as usize % 2];
        self.words.settled[place] = bit;
        let words = memory::code_lines();
        words[bit.word()] &= !bit.mask();
        words[0] = u32::MAX;
    }

    #[inline]
    fn unsettled(&mut self, _line: u64, place: usize) {
        let bit = self.words.settled[place];
        memory::code_lines()[bit.word()] |= bit.mask();
    }
}

impl CodeLines for CodeWords {
    fn bit(&mut self, line: u64) -> (u32, u32) {
        let (key, number) = split(line);
        let mut place = self.place(key);
        if self.table[place].0 == FREE {
            if self.len() * 2 >= self.table.len() {
                self.grow();
                place = self.place(key);
            }
            // Settled or not, the first touch asks the cache.
            memory::code_lines()[self.len()] = u32::MAX;
            self.table[place] = (key, self.words);
            self.words += 1;
        }
        (self.table[place].1, 1 << number)
    }
}
