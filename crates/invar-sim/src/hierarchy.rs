//! The levels of a Machine together: which is asked when, and what is counted.
//!
//! Every level allocates on a miss, for reads and writes alike; nothing is written back and no level knows what another
//! holds. This is what callgrind simulates, with one level more. Addresses are guest virtual, so two runs agree only if
//! the guest is laid out the same way.
//!
//! An access is one read, write or fetch and counts at most one miss a level, whatever lines it straddles. A level that
//! is asked is asked for all of the access's lines (callgrind, `sim.c`: `cachesim_ref`).
//!
//! What misses the first level waits in a queue, in order, and is answered by the levels behind it later: these know nothing
//! of the first, and a loop over many misses waits for the host's memory for several at once.
//!
//! `told` learns about settled lines of the first level, of instructions or of data, whichever is asked.

use alloc::boxed::Box;
use alloc::vec::Vec;

use invar_core::event::{Event, Events};
use invar_core::machine::{LINE_BYTES, Machine};

use crate::cache::{Level, Settling};

/// The caches of a Machine and what they have counted.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    l1i: Level,
    l1d: Level,
    l2: Option<Level>,
    l3: Level,
    events: Events,
    /// What has missed the first level and was not asked for behind it yet, so many of them. What is behind these says nothing.
    missed: Box<[Missed; MISSED_MAX]>,
    missed_count: usize,
    /// Who asks, as a number of the caller's.
    payer: u64,
    /// Misses are noted with who pays for them.
    notes_payers: bool,
    /// Who pays, and for what.
    paid: Vec<Paid>,
}

/// An access that has missed the first level.
#[derive(Debug, Clone, Copy)]
struct Missed {
    lines: Lines,
    /// Who has asked.
    payer: u64,
    /// The miss of the first level.
    event: Event,
}

/// An access that has missed, at how many levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// Who pays.
    pub payer: u64,
    /// The miss of the first level.
    pub event: Event,
    /// Misses of the second level.
    pub l2: u8,
    /// Misses of the last level.
    pub l3: u8,
    /// Lines that memory has answered.
    pub memory: u32,
}

/// So many misses are answered together: few enough for what they need of the last level to be in the host's first one at once.
const MISSED_MAX: usize = 64;

impl Hierarchy {
    /// Empty caches, nothing counted.
    pub fn new(machine: &Machine) -> Hierarchy {
        Hierarchy {
            l1i: Level::new(&machine.l1i),
            l1d: Level::new(&machine.l1d),
            l2: machine.l2.as_ref().map(Level::new),
            l3: Level::new(&machine.l3),
            events: Events::default(),
            missed: Box::new(
                [Missed { lines: Lines { first: 0, last: 0 }, payer: 0, event: Event::L1iMisses };
                    MISSED_MAX],
            ),
            missed_count: 0,
            payer: 0,
            notes_payers: false,
            paid: Vec::new(),
        }
    }

    /// From now on every miss is noted with who pays for it, or none.
    pub fn note_payers(&mut self, noted: bool) {
        self.answer_misses();
        self.paid.clear();
        self.notes_payers = noted;
    }

    /// Whoever asks from now on is `payer`.
    #[inline]
    pub fn set_payer(&mut self, payer: u64) {
        self.payer = payer;
    }

    /// The accesses that have missed since the last call and whose payers are known.
    pub fn take_paid(&mut self) -> impl Iterator<Item = Paid> {
        self.answer_misses();
        self.paid.drain(..)
    }

    /// An instruction in `line`, and in the next if it `straddles`, is fetched. Counts misses only: instructions are the caller's.
    #[inline]
    pub fn fetch(&mut self, line: u64, straddles: bool, told: &mut impl Settling) {
        let lines = Lines { first: line, last: line + u64::from(straddles) };
        let hit = lines.touch(&mut self.l1i, told);
        self.note(lines, Event::L1iMisses, hit);
    }

    /// How many lines of instructions the first level has room for: [`Settling`]'s places of them.
    pub fn instruction_places(&self) -> usize {
        self.l1i.places()
    }

    /// How many sets these are in.
    pub fn instruction_sets(&self) -> usize {
        self.l1i.sets()
    }

    /// An instruction in the line at this place of the first level is fetched: as [`Hierarchy::fetch`], where somebody knows that it is
    /// there.
    #[inline]
    pub fn fetch_held(&mut self, place: usize, told: &mut impl Settling) {
        self.l1i.touch_held(place, told);
    }

    /// Data at `address` is read. One access, whatever lines it straddles.
    #[inline]
    pub fn read(&mut self, address: u64, bytes: u32, told: &mut impl Settling) {
        self.events.add(Event::Reads, 1);
        self.data(Lines::of(address, u64::from(bytes)), Event::L1dReadMisses, told);
    }

    /// Data at `address` is written.
    #[inline]
    pub fn write(&mut self, address: u64, bytes: u32, told: &mut impl Settling) {
        self.events.add(Event::Writes, 1);
        self.data(Lines::of(address, u64::from(bytes)), Event::L1dWriteMisses, told);
    }

    /// A repeated string instruction reads `bytes` bytes from `address` upwards: one read, its misses line by line.
    pub fn range_read(&mut self, address: u64, bytes: u64, told: &mut impl Settling) {
        self.events.add(Event::Reads, 1);
        self.range(address, bytes, Event::L1dReadMisses, told);
    }

    /// A repeated string instruction writes `bytes` bytes from `address` upwards: one write, its misses line by line.
    pub fn range_write(&mut self, address: u64, bytes: u64, told: &mut impl Settling) {
        self.events.add(Event::Writes, 1);
        self.range(address, bytes, Event::L1dWriteMisses, told);
    }

    /// What was counted since [`Hierarchy::take_events`] was last called.
    pub fn take_events(&mut self) -> Events {
        self.answer_misses();
        core::mem::take(&mut self.events)
    }

    /// Empties the caches.
    pub fn clear(&mut self) {
        self.answer_misses();
        self.l1i.clear();
        self.l1d.clear();
        if let Some(l2) = &mut self.l2 {
            l2.clear();
        }
        self.l3.clear();
    }

    fn range(&mut self, address: u64, bytes: u64, miss: Event, told: &mut impl Settling) {
        if bytes == 0 {
            return;
        }
        let Lines { first, last } = Lines::of(address, bytes);
        for line in first..=last {
            self.data(Lines { first: line, last: line }, miss, told);
        }
    }

    #[inline]
    fn data(&mut self, lines: Lines, miss: Event, told: &mut impl Settling) {
        let hit = lines.touch(&mut self.l1d, told);
        self.note(lines, miss, hit);
    }

    /// Unless the first level had them, the levels behind it will be asked for these lines. Written in any case, and counted or not: a
    /// branch on that would be mispredicted.
    #[inline]
    fn note(&mut self, lines: Lines, event: Event, hit: bool) {
        self.events.add(event, u64::from(!hit));
        self.missed[self.missed_count] = Missed { lines, payer: self.payer, event };
        self.missed_count += usize::from(!hit);
        if self.missed_count == MISSED_MAX {
            self.answer_misses();
        }
    }

    /// Asks the levels behind the first.
    #[inline(never)]
    fn answer_misses(&mut self) {
        let Hierarchy { l2, l3, events, missed, missed_count, notes_payers, paid, .. } = self;
        let has_l2 = u8::from(l2.is_some());
        let mut count = core::mem::take(missed_count);
        if let Some(l2) = l2 {
            let asked = count;
            count = 0;
            for index in 0..asked {
                let one = missed[index];
                let hit = one.lines.touch(l2, &mut ());
                if hit && *notes_payers {
                    paid.push(Paid { payer: one.payer, event: one.event, l2: 0, l3: 0, memory: 0 });
                }
                missed[count] = one;
                count += usize::from(!hit);
            }
            events.add(Event::L2Misses, count as u64);
        }
        // The host is slow with the last level's sets, which are many. So it is asked for all of them before one is waited for.
        core::hint::black_box(missed[..count].iter().fold(0, |sum, one| sum ^ l3.peek(one.lines.first)));
        for &Missed { lines, payer, event } in &missed[..count] {
            let memory = (lines.first..=lines.last).filter(|&line| !l3.touch(line, &mut ())).count() as u32;
            let l3 = u8::from(memory > 0);
            events.add(Event::L3Misses, u64::from(l3));
            events.add(Event::MemoryAccesses, u64::from(memory));
            if *notes_payers {
                paid.push(Paid { payer, event, l2: has_l2, l3, memory });
            }
        }
    }
}

/// The lines of an access, by number.
#[derive(Debug, Clone, Copy)]
struct Lines {
    first: u64,
    last: u64,
}

impl Lines {
    /// Of `bytes` bytes at `address`; of one where there are none.
    #[inline]
    fn of(address: u64, bytes: u64) -> Lines {
        let last = address.saturating_add(bytes.max(1) - 1);
        Lines { first: address / LINE_BYTES, last: last / LINE_BYTES }
    }

    /// Touches them all: were they all there?
    #[inline]
    fn touch(self, level: &mut Level, told: &mut impl Settling) -> bool {
        let mut hit = level.touch(self.first, told);
        for line in self.first + 1..=self.last {
            hit &= level.touch(line, told);
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference() -> Hierarchy {
        Hierarchy::new(&Machine::reference_1())
    }

    #[track_caller]
    fn check(caches: &mut Hierarchy, expected: &[(Event, u64)]) {
        let mut events = Events::default();
        for &(event, count) in expected {
            events.add(event, count);
        }
        assert_eq!(caches.take_events(), events);
    }

    #[test]
    fn whoever_asks_pays_for_what_is_missed() {
        let mut caches = reference();
        caches.note_payers(true);
        caches.set_payer(7);
        caches.read(0x1000, 8, &mut ());
        caches.set_payer(8);
        caches.write(0x1000, 8, &mut ());
        caches.fetch(0x1000 / LINE_BYTES, false, &mut ());
        let paid: Vec<Paid> = caches.take_paid().collect();
        let of_code = Paid { payer: 8, event: Event::L1iMisses, l2: 0, l3: 0, memory: 0 };
        let of_data = Paid { payer: 7, event: Event::L1dReadMisses, l2: 1, l3: 1, memory: 1 };
        assert_eq!(paid, [of_code, of_data]);
        assert_eq!(caches.take_paid().count(), 0);
    }

    #[test]
    fn a_first_read_misses_every_level_and_a_second_none() {
        let mut caches = reference();
        caches.read(0x1000, 8, &mut ());
        let once = [
            (Event::Reads, 1),
            (Event::L1dReadMisses, 1),
            (Event::L2Misses, 1),
            (Event::L3Misses, 1),
            (Event::MemoryAccesses, 1),
        ];
        check(&mut caches, &once);
        caches.read(0x1038, 8, &mut ());
        check(&mut caches, &[(Event::Reads, 1)]);
    }

    #[test]
    fn an_access_across_a_border_is_one_miss_and_two_lines_of_memory() {
        let mut caches = reference();
        caches.write(0x103c, 8, &mut ());
        let once = [
            (Event::Writes, 1),
            (Event::L1dWriteMisses, 1),
            (Event::L2Misses, 1),
            (Event::L3Misses, 1),
            (Event::MemoryAccesses, 2),
        ];
        check(&mut caches, &once);
    }

    #[test]
    fn instructions_and_data_meet_in_the_second_level() {
        let mut caches = reference();
        caches.fetch(0x2000 / LINE_BYTES, false, &mut ());
        caches.take_events();
        caches.read(0x2000, 4, &mut ());
        check(&mut caches, &[(Event::Reads, 1), (Event::L1dReadMisses, 1)]);
    }

    #[test]
    fn a_machine_of_two_levels_asks_the_last_after_the_first() {
        let mut caches = Hierarchy::new(&Machine::callgrind());
        caches.fetch(0x2000 / LINE_BYTES, false, &mut ());
        let once = [(Event::L1iMisses, 1), (Event::L3Misses, 1), (Event::MemoryAccesses, 1)];
        check(&mut caches, &once);
    }

    #[test]
    fn a_repeat_is_one_access_and_misses_line_by_line() {
        let mut caches = reference();
        caches.range_write(0x3020, 3 * LINE_BYTES, &mut ());
        let lines = 4;
        let expected = [
            (Event::Writes, 1),
            (Event::L1dWriteMisses, lines),
            (Event::L2Misses, lines),
            (Event::L3Misses, lines),
            (Event::MemoryAccesses, lines),
        ];
        check(&mut caches, &expected);
        caches.range_read(0x9000, 0, &mut ());
        check(&mut caches, &[(Event::Reads, 1)]);
    }

    #[test]
    fn a_working_set_larger_than_the_first_level_is_answered_by_the_second() {
        let mut caches = reference();
        let lines = (128 << 10) / LINE_BYTES;
        let pass = |caches: &mut Hierarchy| {
            (0..lines).for_each(|line| caches.read(line * LINE_BYTES, 8, &mut ()));
            caches.take_events()
        };
        pass(&mut caches);
        let warm = pass(&mut caches);
        assert!(warm.get(Event::L1dReadMisses) > lines / 2);
        assert_eq!(warm.get(Event::L2Misses), 0);
    }

    #[test]
    fn the_end_of_the_address_space_is_no_error() {
        let mut caches = reference();
        caches.read(u64::MAX, 64, &mut ());
        caches.range_write(u64::MAX - 3, 1 << 20, &mut ());
        assert_eq!(caches.take_events().get(Event::Reads), 1);
    }

    /// What a cache does, told by the times of touches instead of by order or bits: LRU's definition.
    struct TimedLru {
        sets: u64,
        ways: usize,
        clock: u64,
        held: Vec<(u64, u64)>,
    }

    impl TimedLru {
        fn touch(&mut self, line: u64) -> bool {
            self.clock += 1;
            if let Some(held) = self.held.iter_mut().find(|held| held.0 == line) {
                held.1 = self.clock;
                return true;
            }
            let sets = self.sets;
            let of_set = self.held.iter().filter(|held| held.0 % sets == line % sets);
            if of_set.clone().count() == self.ways {
                let oldest = *of_set.min_by_key(|held| held.1).expect("a full set has lines");
                self.held.retain(|held| *held != oldest);
            }
            self.held.push((line, self.clock));
            false
        }
    }

    proptest! {
        #[test]
        fn lru_agrees_with_its_definition_by_times(
            lines in proptest::collection::vec(0u64..150, 0..1000),
            ways in proptest::sample::select(&[1usize, 3, 8, 15, 16, 17, 32])
        ) {
            let cache = invar_core::machine::Cache {
                bytes: 4 * ways as u64 * LINE_BYTES,
                ways: ways as u32,
                policy: invar_core::machine::Policy::Lru,
            };
            let mut level = Level::new(&cache);
            let mut timed = TimedLru { sets: 4, ways, clock: 0, held: Vec::new() };
            for line in lines {
                prop_assert_eq!(level.touch(line, &mut ()), timed.touch(line));
            }
        }

        #[test]
        fn deeper_levels_never_miss_more_often(
            accesses in proptest::collection::vec((0u64..1 << 14, 1u32..70, 0..3), 0..300)
        ) {
            let mut caches = reference();
            for (address, bytes, kind) in accesses {
                match kind {
                    0 => caches.fetch(address / LINE_BYTES, bytes > 64, &mut ()),
                    1 => caches.read(address, bytes, &mut ()),
                    _ => caches.write(address, bytes, &mut ()),
                }
            }
            let events = caches.take_events();
            let l1 = events.get(Event::L1iMisses) + events.l1d_misses();
            prop_assert!(events.get(Event::L2Misses) <= l1);
            prop_assert!(events.get(Event::L3Misses) <= events.get(Event::L2Misses));
            prop_assert!(events.get(Event::L1dReadMisses) <= events.get(Event::Reads));
        }
    }
}
