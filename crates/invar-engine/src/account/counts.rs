//! How much of what, by key: a hash table that only grows.
//!
//! Knows nothing of what is counted. Order shows nowhere: who takes the counts gets them sorted.

use alloc::vec::Vec;

/// A key's count of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Count {
    pub key: u64,
    /// Below 16.
    pub kind: u8,
    pub count: u64,
}

/// Counts by key and kind, with open addressing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// As many as a power of two, and never more than half of them taken.
    places: Vec<Place>,
    taken: usize,
}

/// The count and, in the lowest bits, its kind: so a place is a quarter of a line. Free if all of it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    key: u64,
    tally: u64,
}

const FREE: Place = Place { key: 0, tally: 0 };
const KIND_BITS: u32 = 4;
const KIND: u64 = (1 << KIND_BITS) - 1;
const PLACES_MIN: usize = 1 << 12;

impl Counts {
    /// Adds `count`, which is not zero, to what is counted of `kind` by `key`.
    #[inline]
    pub fn add(&mut self, key: u64, kind: u8, count: u64) {
        if self.places.is_empty() {
            self.grow();
        }
        let mask = self.places.len() - 1;
        let mut at = hash(key) & mask;
        loop {
            let place = &mut self.places[at];
            if place.key == key && place.tally & KIND == u64::from(kind) && place.tally != 0 {
                place.tally += count << KIND_BITS;
                return;
            }
            if place.tally == 0 {
                *place = Place { key, tally: count << KIND_BITS | u64::from(kind) };
                self.taken += 1;
                if 2 * self.taken > self.places.len() {
                    self.grow();
                }
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Count> {
        let taken = self.places.iter().filter(|place| place.tally != 0);
        taken.map(|&Place { key, tally }| Count {
            key,
            kind: (tally & KIND) as u8,
            count: tally >> KIND_BITS,
        })
    }

    /// All of them, sorted by key and kind; none stay.
    pub fn take(&mut self) -> Vec<Count> {
        let mut counts: Vec<Count> = if self.taken > 0 { self.iter().collect() } else { Vec::new() };
        counts.sort_unstable_by_key(|one| u128::from(one.key) << 8 | u128::from(one.kind));
        self.clear();
        counts
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.places.clear();
        self.taken = 0;
    }

    #[cold]
    fn grow(&mut self) {
        let places = (4 * self.taken).next_power_of_two().max(PLACES_MIN);
        let before = core::mem::replace(&mut self.places, alloc::vec![FREE; places]);
        let mask = places - 1;
        for place in before.into_iter().filter(|place| place.tally != 0) {
            let mut at = hash(place.key) & mask;
            while self.places[at].tally != 0 {
                at = (at + 1) & mask;
            }
            self.places[at] = place;
        }
    }
}

/// Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
#[inline]
fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_kind_is_counted_apart_however_many_there_are() {
        let mut counts = Counts::default();
        for round in 1..=3 {
            for key in (0..10_000).rev() {
                counts.add(key << 20, (key % 16) as u8, round);
                counts.add(key << 20, ((key + 1) % 16) as u8, 1);
            }
        }
        let taken = counts.take();
        assert_eq!(taken.len(), 20_000);
        assert!(taken.is_sorted());
        let of_last: Vec<(u8, u64)> =
            taken.iter().filter(|one| one.key == 9_999 << 20).map(|one| (one.kind, one.count)).collect();
        assert_eq!(of_last, [(0, 3), (15, 6)]);
        assert!(counts.take().is_empty());
    }
}
