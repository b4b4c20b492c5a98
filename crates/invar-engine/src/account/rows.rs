//! How often each exit was taken within each call, what each call has called, and a number for each pair of keys.
//!
//! Counted where thunks can count, too: in places of the arena that a call and an exit share with other pairs. A pair that
//! finds another one at its place puts it aside, into a table that holds any number. Nobody else counts exits, where there is
//! a ledger.
//!
//! Invariant: a pair is counted at its place, or aside, or in parts of which the sum is right.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use invar_core::wire::raw::call_paths::Call;
use invar_core::wire::raw::taken_exits::Row;

use super::counts::{Count, Counts};
use crate::host::following::{self, Child, LEADS_PER_ROW};
use crate::host::layout::{CHILDREN_MAX, EXIT_END, ROWS_MAX};

/// Rows that share a line of the host's cache. A call's rows start at a line.
const ROWS_PER_LINE: u32 = 1 << ROWS_PER_LINE_LOG;
const ROWS_PER_LINE_LOG: u32 = 6 - size_of::<following::Row>().trailing_zeros();
/// The rows of calls that follow each other start so many lines apart: by the golden ratio, so that they are far from each
/// other, while a call's exits, whose numbers are near each other, are side by side.
const CALL_STRIDE: u32 = 40_503;
/// What takes the stride back, in the bits that names have.
const CALL_INVERSE: u32 = 40_335_239;
/// The same of children, whose places start from names.
pub const CHILD_STRIDE: u32 = 3_825;

/// What thunks know a call by: where its rows start, in more bits than places have. Zero is no name.
pub const fn name(call: u32) -> u32 {
    (call + 1).wrapping_mul(CALL_STRIDE) << ROWS_PER_LINE_LOG
}

/// The call of a name.
pub const fn named(name: u32) -> u32 {
    let lines = name >> ROWS_PER_LINE_LOG;
    (lines.wrapping_mul(CALL_INVERSE) & u32::MAX >> ROWS_PER_LINE_LOG).wrapping_sub(1)
}

/// The end of a trace is in no superblock.
const NO_BLOCK: u32 = u32::MAX;
/// A number that is no exit's yet.
const NO_EXIT: u32 = u32::MAX;

/// Rows, and who was called.
///
/// Places are kept from region to region, for as long as the calls that they name are: what is known already need not be found out again.
pub(super) struct Rows {
    /// Rows that were driven from their places, by call and exit.
    aside: Counts,
    /// Places of rows, and of children, that have a call. The first so many of rows are sorted: whoever goes through them all finds what
    /// is near in memory one after the other.
    taken: Vec<u32>,
    sorted: usize,
    children_taken: Vec<u32>,
    /// By exits, one more than the numbers that places know them by; 0 where an exit was never taken.
    numbers: Vec<u32>,
    /// The exits of these numbers.
    exits: Vec<u32>,
    /// By function, the next number of an exit within it, at a line's start if it has none left.
    next: BTreeMap<u64, u32>,
}

impl Rows {
    /// None. Whatever is in the places is forgotten.
    pub fn new() -> Rows {
        following::discard();
        following::blocks()[EXIT_END as usize] = NO_BLOCK;
        Rows {
            aside: Counts::default(),
            taken: Vec::new(),
            sorted: 0,
            children_taken: Vec::new(),
            numbers: Vec::new(),
            exits: Vec::new(),
            next: BTreeMap::new(),
        }
    }

    /// The number that places know an exit by, if it has one yet.
    #[inline]
    pub fn number(&self, exit: u32) -> Option<u32> {
        self.numbers.get(exit as usize)?.checked_sub(1)
    }

    /// Gives an exit its number, as it is first taken: none is kept for those that never are. Exits of one function get lines of rows
    /// to themselves, in the order in which they are taken, so that a call of it has the rows of few lines, and most of each of them.
    #[cold]
    pub fn new_number(&mut self, exit: u32, function: u64) -> u32 {
        if self.numbers.len() <= exit as usize {
            self.numbers.resize((exit as usize + 1).next_power_of_two(), 0);
        }
        let next = self.next.entry(function).or_default();
        if next.is_multiple_of(ROWS_PER_LINE) {
            *next = self.exits.len() as u32;
            self.exits.resize(self.exits.len() + ROWS_PER_LINE as usize, NO_EXIT);
        }
        let number = *next;
        *next += 1;
        self.exits[number as usize] = exit;
        self.numbers[exit as usize] = number + 1;
        number
    }

    /// Counts an exit of a number once within `call`, at its place if it can have one.
    pub fn count(&mut self, call: u32, exit: u32, number: u32, base: usize) {
        if number as usize >= ROWS_MAX {
            self.aside.add(key(call, base + exit as usize), 0, 1);
            return;
        }
        let place = place(call, number);
        let row = &mut following::rows()[place];
        if row.call != name(call) {
            if row.call == 0 {
                self.taken.push(place as u32);
            }
            put_aside(row, place, base, &self.exits, &mut self.aside);
            row.call = name(call);
        }
        row.times += 1;
    }

    /// The row of the exit of this number leads into `callee`, as its direct call of this index.
    pub fn lead(&mut self, call: u32, number: u32, index: usize, callee: u32) {
        if (number as usize) < ROWS_MAX && index < LEADS_PER_ROW {
            following::leads(index)[place(call, number)] = name(callee);
        }
    }

    /// What `call` calls where it comes to a superblock by an indirect call, or to a line by a position ([`following::PLACE`]):
    /// thunks find it from now on.
    pub fn adopt(&mut self, call: u32, block: u32, child: u32, calls: &mut [Call]) {
        let place = name(call).wrapping_mul(CHILD_STRIDE).wrapping_add(block) as usize % CHILDREN_MAX;
        let known = &mut following::children()[place];
        if known.call == 0 {
            self.children_taken.push(place as u32);
        }
        count_calls(known, calls);
        *known = Child { call: name(call), block, child: name(child), times: 0 };
    }

    /// Each exit from `base` on that was taken, and how often since rows were last taken. An exit is told once for each call.
    pub fn times(&self, base: usize) -> impl Iterator<Item = (u32, u64)> {
        let rows = following::rows();
        let in_places = self.taken.iter().map(move |&place| {
            let following::Row { call, times } = rows[place as usize];
            (exit_at(place, call, &self.exits), u64::from(times))
        });
        let aside = self.aside.iter().filter_map(move |Count { key, count, .. }| {
            (key as u32).checked_sub(base as u32).map(|exit| (exit, count))
        });
        in_places.filter(|&(_, times)| times > 0).chain(aside)
    }

    /// What is in places is counted elsewhere. Who has which place stays.
    pub fn put_all_aside(&mut self, base: usize, calls: &mut [Call]) {
        for &place in &self.taken {
            put_aside(
                &mut following::rows()[place as usize],
                place as usize,
                base,
                &self.exits,
                &mut self.aside,
            );
        }
        self.count_children(calls);
    }

    fn count_children(&self, calls: &mut [Call]) {
        for &place in &self.children_taken {
            count_calls(&mut following::children()[place as usize], calls);
        }
    }

    /// All rows, by the numbers of exits among all of the region; none stay, but their places do. What was counted partly at its place
    /// and partly aside has several.
    pub fn take(&mut self, base: usize, calls: &mut [Call]) -> Vec<Row> {
        self.count_children(calls);
        let mut rows: Vec<Row> = Vec::with_capacity(self.taken.len());
        for &place in &self.taken {
            let row = &mut following::rows()[place as usize];
            let times = core::mem::take(&mut row.times);
            if times > 0 {
                let exit = base as u32 + exit_at(place, row.call, &self.exits);
                rows.push(Row { call: named(row.call), exit, times: u64::from(times) });
            }
        }
        let row = |Count { key, count, .. }| Row { call: (key >> 32) as u32, exit: key as u32, times: count };
        rows.extend(self.aside.take().into_iter().map(row));
        rows
    }

    /// Whoever goes through all places finds what is near in memory one after the other.
    pub fn sort_places(&mut self) {
        if self.sorted < self.taken.len() {
            // By runs: most of it is in order, and what is new stands behind that.
            self.taken.sort();
            self.sorted = self.taken.len();
        }
    }

    /// Forgets what was counted, and neither places nor calls.
    pub fn forget_counts(&mut self) {
        for &place in &self.taken {
            following::rows()[place as usize].times = 0;
        }
        for &place in &self.children_taken {
            following::children()[place as usize].times = 0;
        }
        self.aside.clear();
    }

    /// Forgets all places. What is counted there is lost.
    pub fn clear_places(&mut self) {
        self.sorted = 0;
        for place in self.taken.drain(..) {
            following::rows()[place as usize] = following::Row::default();
        }
        for place in self.children_taken.drain(..) {
            following::children()[place as usize] = Child::default();
        }
    }

    /// Exits have no numbers any more: they are gone. Places were cleared before.
    pub fn forget_numbers(&mut self) {
        self.numbers.clear();
        self.exits.clear();
        self.next.clear();
    }
}

fn key(call: u32, exit: usize) -> u64 {
    u64::from(call) << 32 | exit as u64
}

/// Where a call and the exit of a number are counted. A place and a call have one number between them.
fn place(call: u32, number: u32) -> usize {
    name(call).wrapping_add(number) as usize % ROWS_MAX
}

/// The exit that the call of this name counts at a place.
fn exit_at(place: u32, name: u32, exits: &[u32]) -> u32 {
    exits[place.wrapping_sub(name) as usize % ROWS_MAX]
}

fn put_aside(row: &mut following::Row, place: usize, base: usize, exits: &[u32], aside: &mut Counts) {
    let times = core::mem::take(&mut row.times);
    if times > 0 {
        let exit = exit_at(place as u32, row.call, exits);
        aside.add(key(named(row.call), base + exit as usize), 0, u64::from(times));
    }
}

fn count_calls(child: &mut Child, calls: &mut [Call]) {
    let times = core::mem::take(&mut child.times);
    // Where there were too many calls, callers pay for what they call.
    if child.child != child.call
        && times > 0
        && let Some(called) = calls.get_mut(named(child.child) as usize)
    {
        called.calls += u64::from(times);
    }
}

const _: () = assert!(named(name(0)) == 0 && named(name((1 << 20) - 1)) == (1 << 20) - 1);
const _: () = assert!(ROWS_MAX.is_power_of_two() && CHILDREN_MAX.is_power_of_two());

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
        if self.taken > 0 {
            self.places.fill(FREE);
        }
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
