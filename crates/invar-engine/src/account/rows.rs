//! How often each exit was taken within each call, what each call has called, and a number for each pair of keys.
//!
//! Counted where thunks can count, too: in places of the arena that a call and an exit share with other pairs. A pair that
//! finds another one at its place puts it aside, into a table that holds any number.
//!
//! Invariant: a pair is counted at its place, or aside, or in parts of which the sum is right.

use alloc::vec;
use alloc::vec::Vec;

use invar_core::wire::raw::call_paths::Call;

use super::counts::{Count, Counts};
use crate::host::following::{self, Child};
use crate::host::layout::{CHILDREN_MAX, EXIT_END, ROWS_MAX};

/// How often an exit was taken within a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub call: u32,
    /// Its number among all of the region.
    pub exit: u32,
    pub times: u64,
}

/// The rows of calls that follow each other start so many places apart: by the golden ratio, so that they are far from each
/// other, while a call's exits, whose numbers are near each other, are side by side.
const CALL_STRIDE: u32 = 324_027;
/// What takes the stride back.
const CALL_INVERSE: u32 = 238_496_627;
/// The same of children, whose places start from names.
pub const CHILD_STRIDE: u32 = 20_405;

/// What thunks know a call by: where its rows start, in more bits than places have. Zero is no name.
pub const fn name(call: u32) -> u32 {
    (call + 1).wrapping_mul(CALL_STRIDE)
}

/// The call of a name.
pub const fn named(name: u32) -> u32 {
    name.wrapping_mul(CALL_INVERSE).wrapping_sub(1)
}

/// The end of a trace is in no superblock.
const NO_BLOCK: u32 = u32::MAX;

/// A page of places that may be taken is looked through at once.
const PAGE: usize = 512;

/// Rows, and who was called.
pub(super) struct Rows {
    aside: Counts,
    /// Pages of rows, and of children, whose places may be taken.
    taken: Vec<bool>,
    children_taken: Vec<bool>,
}

impl Rows {
    /// None. Whatever is in the places is forgotten.
    pub fn new() -> Rows {
        following::discard();
        following::blocks()[EXIT_END as usize] = NO_BLOCK;
        let (pages, children) = (ROWS_MAX / PAGE, CHILDREN_MAX / PAGE);
        Rows { aside: Counts::default(), taken: vec![false; pages], children_taken: vec![false; children] }
    }

    /// Counts an exit once within `call`, at its place if it can have one.
    pub fn count(&mut self, call: u32, exit: u32, base: usize) {
        if exit as usize >= ROWS_MAX {
            self.aside.add(key(call, base + exit as usize), 0, 1);
            return;
        }
        let place = place(call, exit);
        let row = &mut following::rows()[place];
        if row.call != name(call) {
            put_aside(row, place, base, &mut self.aside);
            row.call = name(call);
        }
        row.times += 1;
        self.taken[place / PAGE] = true;
    }

    /// The exit's row leads into `callee`, as its direct call of this number.
    pub fn lead(&mut self, call: u32, exit: u32, number: usize, callee: u32) {
        if (exit as usize) < ROWS_MAX
            && let Some(lead) = following::leads()[place(call, exit)].get_mut(number)
        {
            *lead = name(callee);
        }
    }

    /// What `call` calls where it comes to a superblock by an indirect call, or to a line by a position ([`following::PLACE`]):
    /// thunks find it from now on.
    pub fn adopt(&mut self, call: u32, block: u32, child: u32, calls: &mut [Call]) {
        let place = name(call).wrapping_mul(CHILD_STRIDE).wrapping_add(block) as usize % CHILDREN_MAX;
        let known = &mut following::children()[place];
        count_calls(known, calls);
        *known = Child { call: name(call), block, child: name(child), times: 0 };
        self.children_taken[place / PAGE] = true;
    }

    /// What is in places is counted elsewhere, and they are empty.
    pub fn empty_places(&mut self, base: usize, calls: &mut [Call]) {
        for page in taken_pages(&mut self.taken) {
            let first = page * PAGE;
            for (place, row) in following::rows()[first..][..PAGE].iter_mut().enumerate() {
                put_aside(row, first + place, base, &mut self.aside);
            }
        }
        for page in taken_pages(&mut self.children_taken) {
            for child in &mut following::children()[page * PAGE..][..PAGE] {
                count_calls(child, calls);
            }
        }
    }

    /// All rows, sorted by call and exit; none stay.
    pub fn take(&mut self, base: usize, calls: &mut [Call]) -> Vec<Row> {
        self.empty_places(base, calls);
        let row = |Count { key, count, .. }| Row { call: (key >> 32) as u32, exit: key as u32, times: count };
        self.aside.take().into_iter().map(row).collect()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        for page in taken_pages(&mut self.taken) {
            following::rows()[page * PAGE..][..PAGE].fill(following::Row::default());
        }
        for page in taken_pages(&mut self.children_taken) {
            following::children()[page * PAGE..][..PAGE].fill(Child::default());
        }
        self.aside.clear();
    }
}

/// Pages that may be taken, which they are not any more.
fn taken_pages(pages: &mut [bool]) -> impl Iterator<Item = usize> {
    pages.iter_mut().map(core::mem::take).enumerate().filter_map(|(page, taken)| taken.then_some(page))
}

fn key(call: u32, exit: usize) -> u64 {
    u64::from(call) << 32 | exit as u64
}

/// Where a call and an exit are counted. A place and a call have one exit between them.
fn place(call: u32, exit: u32) -> usize {
    name(call).wrapping_add(exit) as usize % ROWS_MAX
}

fn put_aside(row: &mut following::Row, place: usize, base: usize, aside: &mut Counts) {
    let following::Row { call, times } = core::mem::take(row);
    if times > 0 {
        let exit = (place as u32).wrapping_sub(call) as usize % ROWS_MAX;
        aside.add(key(named(call), base + exit), 0, u64::from(times));
    }
}

fn count_calls(child: &mut Child, calls: &mut [Call]) {
    let Child { call, child, times, .. } = core::mem::take(child);
    // Where there were too many calls, callers pay for what they call.
    if child != call
        && times > 0
        && let Some(called) = calls.get_mut(named(child) as usize)
    {
        called.calls += u64::from(times);
    }
}

const _: () = assert!(CALL_STRIDE.wrapping_mul(CALL_INVERSE) == 1);
const _: () = assert!(ROWS_MAX.is_power_of_two() && ROWS_MAX.is_multiple_of(PAGE));
const _: () = assert!(CHILDREN_MAX.is_power_of_two() && CHILDREN_MAX.is_multiple_of(PAGE));

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
    /// Forgets all of them.
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
