//! How often each exit was taken within each call, and what each call has called: tables by two numbers.

use alloc::vec::Vec;

/// An exit within a call, with all that is needed of it record by record in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// How often.
    pub times: u64,
    /// How often it was the first that the call did.
    pub entered: u64,
    /// The call.
    pub call: u32,
    /// The exit.
    pub exit: u32,
    /// Who has called, where the exit's superblock is what was called; [`NOBODY`] otherwise.
    pub enters: u32,
    /// The call that it leads into, once known; 0 before.
    pub next: u32,
    /// The rows that came next the last times, the latest first.
    pub after: [u32; 2],
    /// Slots of its records.
    pub slots: u8,
    /// See [`Shift`].
    pub shift: Shift,
    /// Slot of the Python frame that its last instruction may have stored; or [`NO_SLOT`](crate::translate::NO_SLOT).
    pub watched: u8,
    /// Slot of what the stack pointer is a constant away from.
    pub pointer_slot: u8,
    /// That constant.
    pub pointer_constant: u64,
}

/// What an exit leaves the stack of calls like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// As it was.
    Nothing,
    /// With one call more, of known code.
    Call,
    /// With one call more, of whatever comes next.
    IndirectCall,
    /// With one call less.
    Return,
    /// With some calls more, or by a stack pointer that is not a slot and a constant.
    Other,
}

/// No call.
pub const NOBODY: u32 = u32::MAX;

/// All rows, in the order in which they were first met.
#[derive(Default)]
pub struct Rows {
    rows: Vec<Row>,
    numbers: Numbers,
}

impl Rows {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.numbers.clear();
    }

    pub fn all(&self) -> &[Row] {
        &self.rows
    }

    #[inline]
    pub fn all_mut(&mut self) -> &mut [Row] {
        &mut self.rows
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Row> {
        self.rows.get_mut(number as usize)
    }

    /// The number of the row of `new`'s call and exit, which is `new` if there was none.
    pub fn number(&mut self, new: Row) -> u32 {
        let number = self.numbers.number(new.call, u64::from(new.exit), self.rows.len() as u32);
        if number as usize == self.rows.len() {
            self.rows.push(new);
        }
        number
    }
}

/// A number for each pair of keys: a hash table that only grows, with open addressing.
#[derive(Default)]
pub struct Numbers {
    /// As many as a power of two, and never more than half of them taken.
    places: Vec<Place>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    second: u64,
    first: u32,
    /// One more than the number; 0 where the place is free.
    number: u32,
}

const FREE: Place = Place { second: 0, first: 0, number: 0 };
const PLACES_MIN: usize = 1 << 12;

impl Numbers {
    pub fn clear(&mut self) {
        self.places.clear();
        self.taken = 0;
    }

    /// The number of a pair; `new` if it has none yet, which it has from now on.
    #[inline]
    pub fn number(&mut self, first: u32, second: u64, new: u32) -> u32 {
        if let Some(number) = self.get(first, second) {
            return number;
        }
        self.insert(Place { second, first, number: new + 1 });
        new
    }

    /// The number of a pair, if it has one.
    #[inline]
    pub fn get(&self, first: u32, second: u64) -> Option<u32> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = hash(first, second) & mask;
        loop {
            let place = &self.places[at];
            let number = place.number.checked_sub(1)?;
            if place.first == first && place.second == second {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn insert(&mut self, place: Place) {
        self.taken += 1;
        if 2 * self.taken > self.places.len() {
            let places = (4 * self.taken).next_power_of_two().max(PLACES_MIN);
            let before = core::mem::replace(&mut self.places, alloc::vec![FREE; places]);
            before.into_iter().filter(|place| place.number != 0).for_each(|place| self.enter(place));
        }
        self.enter(place);
    }

    fn enter(&mut self, place: Place) {
        let mask = self.places.len() - 1;
        let mut at = hash(place.first, place.second) & mask;
        while self.places[at].number != 0 {
            at = (at + 1) & mask;
        }
        self.places[at] = place;
    }
}

/// Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
#[inline]
fn hash(first: u32, second: u64) -> usize {
    let key = second ^ u64::from(first).rotate_left(40);
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_one_number_however_many_there_are() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.get(0, 0), None);
        for _ in 0..3 {
            for first in 0..100 {
                for second in 0..100 {
                    let number = first * 100 + second;
                    assert_eq!(numbers.number(first, u64::from(second), number), number);
                }
            }
        }
        assert_eq!((numbers.get(99, 99), numbers.get(99, 100)), (Some(9999), None));
    }
}
