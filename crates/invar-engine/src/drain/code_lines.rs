//! Which lines of code are settled, as bits that thunks test: a word for every 32 lines that lie side by side.
//!
//! A bit is set while its line is *not* known to be settled, so that one test answers for several lines. The words lie in the
//! arena; here is which word a line has, which bit the line at each place of the cache, so that nobody looks one up twice, and at
//! which place the line of each bit, so that nobody searches the cache for it.
//!
//! Invariant: a line whose bit is clear is settled in the cache. A line whose bit has a place is there.

use alloc::vec;
use alloc::vec::Vec;

use invar_sim::Settling;

use super::thunk::CodeLines;
use crate::host::memory;

/// Lines that share a word.
const WORD_LINES: u64 = 32;
/// The place of a line that is not in the cache, or nobody knows where.
const NOWHERE: u16 = u16::MAX;
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
    /// Bits of the lines that the cache was asked for, by their places there.
    held: Vec<Bit>,
    /// The places of lines that are in the cache, by their bits.
    places: Vec<u16>,
    /// Sets of the cache, less one.
    set_mask: u64,
}

impl CodeWords {
    /// No words yet, for a cache of so many places in so many sets.
    pub fn new(places: usize, sets: usize) -> CodeWords {
        CodeWords {
            table: vec![(FREE, 0); 1024],
            words: 1,
            held: vec![Bit::NONE; places],
            places: vec![NOWHERE; WORD_LINES as usize],
            set_mask: sets as u64 - 1,
        }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words as usize
    }

    /// No line is settled, and none is in the cache.
    pub fn unsettle_all(&mut self) {
        memory::code_lines()[..self.len()].fill(u32::MAX);
        self.held.fill(Bit::NONE);
        self.places.fill(NOWHERE);
    }

    /// Forgets which line has which word. No bit that was told before is one any more.
    pub fn clear(&mut self) {
        self.table.fill((FREE, 0));
        self.held.fill(Bit::NONE);
        self.places.truncate(WORD_LINES as usize);
        self.words = 1;
        memory::code_lines()[0] = u32::MAX;
    }

    /// The bits among these of a word whose lines are not known to be settled.
    #[inline]
    pub fn doubted(&self, word: u32, bits: u32) -> impl Iterator<Item = Bit> + use<> {
        let mut doubted = memory::code_lines()[word as usize] & bits;
        core::iter::from_fn(move || {
            let number = doubted.trailing_zeros();
            doubted &= doubted.wrapping_sub(1);
            (number < u32::BITS).then_some(Bit(word * 32 + number))
        })
    }

    /// Where in the cache the line of this bit is, if it is there.
    #[inline]
    pub fn held_at(&self, bit: Bit) -> Option<usize> {
        let place = self.places[bit.0 as usize];
        (place != NOWHERE).then_some(usize::from(place))
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
        let before = core::mem::replace(&mut self.words.held[place], bit);
        self.words.places[before.0 as usize] = NOWHERE;
        self.words.places[bit.0 as usize] = u16::try_from(place).unwrap_or(NOWHERE);
        let words = memory::code_lines();
        words[bit.word()] &= !bit.mask();
        words[0] = u32::MAX;
    }

    #[inline]
    fn unsettled(&mut self, _line: u64, place: usize) {
        let bit = self.words.held[place];
        memory::code_lines()[bit.word()] |= bit.mask();
    }
}

/// The words while the cache is asked for lines at places that they know.
pub struct Hitting<'a>(pub &'a mut CodeWords);

impl Settling for Hitting<'_> {
    #[inline]
    fn settled(&mut self, _line: u64, place: usize) {
        let bit = self.0.held[place];
        memory::code_lines()[bit.word()] &= !bit.mask();
    }

    #[inline]
    fn unsettled(&mut self, _line: u64, place: usize) {
        let bit = self.0.held[place];
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
            self.places.resize(self.len() * WORD_LINES as usize, NOWHERE);
        }
        (self.table[place].1, 1 << number)
    }

    fn set(&self, line: u64) -> u64 {
        line & self.set_mask
    }
}
