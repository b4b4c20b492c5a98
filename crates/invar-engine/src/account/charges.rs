//! What operations did besides being executed: misses, and what repeats moved.
//!
//! Misses are many, so all that one access misses is charged at once, at a place that operations of a record which are neighbours
//! share a line of the host's cache with.

use alloc::vec;
use alloc::vec::Vec;

use invar_core::event::Event;
use invar_sim::Paid;

use super::counts::{Count, Counts};

/// Who has caused an event: an operation, within a call.
///
/// Numbers of payers, which a [`invar_sim::Hierarchy`] carries along, are in the order of payers, and that of a superblock's next
/// operation is the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payer {
    /// The call that was at work when the superblock was entered: fewer than 2^20.
    pub call: u32,
    /// The operation among all of the region: fewer than 2^40.
    pub op: u64,
}

const OP_BITS: u32 = 40;
const CALL_BITS: u32 = 20;

impl Payer {
    /// As one number.
    #[inline]
    pub fn number(self) -> u64 {
        u64::from(self.call) << OP_BITS | self.op
    }
}

/// What an operation did besides: as a [`Place`] has it, or with a count of two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    key: u64,
    counts: [u32; 2],
}

impl Charge {
    /// The call of the [`Payer`].
    pub fn call(&self) -> u32 {
        (self.key >> OP_BITS) as u32 & ((1 << CALL_BITS) - 1)
    }

    /// The operation among all of the region.
    pub fn op(&self) -> u64 {
        self.key & ((1 << OP_BITS) - 1)
    }

    /// What was counted, and how often: twice, and perhaps not at all.
    pub fn events(&self) -> [(Event, u64); 2] {
        let kind = (self.key >> KIND_SHIFT) as usize;
        let [first, second] = self.counts.map(u64::from);
        match kind.checked_sub(WHOLE) {
            None => [(KINDS[kind][0], first), (KINDS[kind][1], second)],
            Some(whole) => [(Event::ALL[whole + 1], second << u32::BITS | first), (Event::ALL[whole + 1], 0)],
        }
    }
}

/// Charges by payer and event.
#[derive(Debug, Default)]
pub(super) struct Charges {
    /// Misses, with open addressing: as many places as a power of two, and never more than half of them taken.
    places: Vec<Place>,
    taken: usize,
    /// Whatever is no miss, or too much for a place.
    others: Counts,
}

/// Two counts of a payer, free if both are zero. What they count is in the payer's highest bits: misses of the first level and of the
/// second, or of the last level and lines from memory.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    key: u64,
    counts: [u32; 2],
}

const FREE: Place = Place { key: 0, counts: [0; 2] };
const KIND_SHIFT: u32 = OP_BITS + CALL_BITS;
/// By the kind of a place, what it counts.
const KINDS: [[Event; 2]; 4] = [
    [Event::L1iMisses, Event::L2Misses],
    [Event::L1dReadMisses, Event::L2Misses],
    [Event::L1dWriteMisses, Event::L2Misses],
    [Event::L3Misses, Event::MemoryAccesses],
];
const LAST_LEVEL: u64 = 3;
/// A kind from here on is that of one event with a count of two words: of the event behind [`Event::Instructions`], which nobody is
/// charged, and so on.
const WHOLE: usize = KINDS.len();
const _: () = assert!(WHOLE + Event::COUNT - 1 <= 1 << (u64::BITS - KIND_SHIFT), "a kind is a part of a key");
const PLACES_MIN: usize = 1 << 12;
/// Neighbouring places that are in one line of the host's cache.
const NEIGHBOURS: u64 = 4;

impl Charges {
    /// Charges the payer of this number.
    pub fn add(&mut self, payer: u64, event: Event, count: u64) {
        self.others.add(payer, event as u8, count);
    }

    /// Charges whoever has missed.
    #[inline]
    pub fn miss(&mut self, paid: Paid) {
        let kind = match paid.event {
            Event::L1iMisses => 0,
            Event::L1dReadMisses => 1,
            _ => 2,
        };
        self.count(kind, paid.payer, [1, u32::from(paid.l2)]);
        if paid.l3 > 0 {
            self.count(LAST_LEVEL, paid.payer, [u32::from(paid.l3), paid.memory]);
        }
    }

    #[inline]
    fn count(&mut self, kind: u64, payer: u64, counts: [u32; 2]) {
        if 2 * self.taken >= self.places.len() {
            self.grow();
        }
        let key = kind << KIND_SHIFT | payer;
        let mask = self.places.len() - 1;
        let mut at = place(key) & mask;
        loop {
            let place = &mut self.places[at];
            let is_free = place.counts == [0; 2];
            if is_free || place.key == key {
                self.taken += usize::from(is_free);
                place.key = key;
                place.counts[0] += counts[0];
                place.counts[1] += counts[1];
                if place.counts[0].max(place.counts[1]) >= 1 << 31 {
                    // Nearly more than it can count. The place stays taken.
                    let [first, second] = core::mem::replace(&mut place.counts, [1, 0]);
                    let [of_first, of_second] = KINDS[kind as usize];
                    self.add(payer, of_first, u64::from(first - 1));
                    self.add(payer, of_second, u64::from(second));
                }
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// All of them; none stay.
    pub fn take(&mut self) -> Vec<Charge> {
        let others = self.others.take();
        let mut charges = Vec::with_capacity(self.taken + others.len());
        charges.extend(others.into_iter().map(|Count { key, kind, count }| {
            let kind = WHOLE as u64 + u64::from(kind) - 1;
            Charge { key: kind << KIND_SHIFT | key, counts: [count as u32, (count >> u32::BITS) as u32] }
        }));
        if self.taken > 0 {
            for place in &mut self.places {
                let Place { key, counts } = *place;
                if counts != [0; 2] {
                    *place = FREE;
                    charges.push(Charge { key, counts });
                }
            }
        }
        self.taken = 0;
        charges
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        if self.taken > 0 {
            self.places.fill(FREE);
        }
        self.taken = 0;
        self.others.clear();
    }

    #[cold]
    fn grow(&mut self) {
        let places = (4 * self.taken).next_power_of_two().max(PLACES_MIN);
        let before = core::mem::replace(&mut self.places, vec![FREE; places]);
        let mask = places - 1;
        for taken in before.into_iter().filter(|place| place.counts != [0; 2]) {
            let mut at = place(taken.key) & mask;
            while self.places[at].counts != [0; 2] {
                at = (at + 1) & mask;
            }
            self.places[at] = taken;
        }
    }
}

/// Where a key is looked for first: neighbours by Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4), and among them by
/// the number of the operation.
#[inline]
fn place(key: u64) -> usize {
    let hash = (key / NEIGHBOURS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30;
    (hash - hash % NEIGHBOURS + key % NEIGHBOURS) as usize
}

const _: () = assert!(Event::COUNT <= 16, "an event is a kind of count");

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(charges: &[Charge], event: Event) -> u64 {
        let counts = charges.iter().flat_map(Charge::events).filter(|(counted, _)| *counted == event);
        counts.map(|(_, count)| count).sum()
    }

    #[test]
    fn every_payer_is_charged_for_each_level_however_many_there_are() {
        let mut charges = Charges::default();
        for round in 0..3 {
            for op in (0..20_000).rev() {
                let payer = Payer { call: op as u32 % 7, op }.number();
                let event = [Event::L1iMisses, Event::L1dReadMisses, Event::L1dWriteMisses][op as usize % 3];
                let far = u8::from(op % 5 == 0 && round == 0);
                charges.miss(Paid { payer, event, l2: far, l3: far, memory: 2 * u32::from(far) });
            }
        }
        charges.add(Payer { call: 0, op: 7 }.number(), Event::RepBytes, 1 << 40);
        let taken = charges.take();
        assert_eq!(taken.len(), 20_000 + 4_000 + 1);
        let sum = |event| sum(&taken, event);
        let l1 = [Event::L1iMisses, Event::L1dReadMisses, Event::L1dWriteMisses].map(sum);
        assert_eq!((l1.iter().sum::<u64>(), sum(Event::L2Misses)), (60_000, 4_000));
        assert_eq!((sum(Event::L3Misses), sum(Event::MemoryAccesses)), (4_000, 8_000));
        assert_eq!(sum(Event::RepBytes), 1 << 40);
        assert!(charges.take().is_empty());
    }

    #[test]
    fn a_payer_may_miss_more_often_than_a_place_can_count() {
        let mut charges = Charges::default();
        let paid = Paid { payer: 3, event: Event::L1iMisses, l2: 1, l3: 1, memory: 1 << 30 };
        (0..6).for_each(|_| charges.miss(paid));
        let taken = charges.take();
        assert_eq!((sum(&taken, Event::L3Misses), sum(&taken, Event::MemoryAccesses)), (6, 6 << 30));
    }
}
