//! The generated drain: the reference drain's counts, from code made for the paths that were taken.
//!
//! Holds the caches and what is known about settled lines; [`super::thunk`] makes the code, `host::thunks` runs it. Counts of
//! paths are kept by the thunks, or within each call by the ledger, and turned into events by [`Generated::take_events`].
//!
//! Invariant: a line that a place or byte in the arena calls settled is settled in `caches`.

use core::ops::Range;

use invar_core::event::{Event, Events};
use invar_core::machine::Machine;
use invar_sim::{Hierarchy, Settling};

use super::code_lines::{Bit, CodeWords, Fetching, Hitting};
use super::operations::{Fetch, Kind, Operations};
use super::reference::{self, Exactness, Meanings, Path};
use super::thunk::{self, DATA_PLACES, Numbers};
use crate::account::ledger::Ledger;
use crate::host::following::Position;
use crate::host::layout::{self, ARENA};
use crate::host::memory::{self, CodeMemory};
use crate::host::thunks;
use crate::translate::Op;

const THUNKS_START: u64 = ARENA + layout::THUNKS as u64;
const THUNKS_END: u64 = THUNKS_START + layout::THUNKS_BYTES as u64;
/// No thunk is longer: some 320 operations of some 100 bytes each.
const THUNK_BYTES_MAX: u64 = 64 << 10;

/// Words of a trace that thunks are not worth while for.
const SHORT_TRACE: usize = 2048;

/// The caches, and the code that feeds them.
pub struct Generated {
    caches: Hierarchy,
    data: DataLines,
    code: CodeWords,
    operations: Operations,
    /// Bytes and iterations of repeats.
    events: Events,
    thunk_next: u64,
    /// What thunks have in common stands in front of them.
    has_stubs: bool,
    /// Some path's counter may not be zero.
    counted: bool,
    bmi1: bool,
}

/// Settled lines of data, each at its place.
struct DataLines;

impl Settling for DataLines {
    #[inline]
    fn settled(&mut self, line: u64, _place: usize) {
        memory::data_lines()[line as usize % DATA_PLACES] = line;
    }

    #[inline]
    fn unsettled(&mut self, line: u64, _place: usize) {
        let place = &mut memory::data_lines()[line as usize % DATA_PLACES];
        // Written in any case: whether it is this line's is as good as random.
        *place |= u64::from(*place == line).wrapping_neg();
    }
}

impl Generated {
    /// Empty caches, no thunks.
    pub fn new(machine: &Machine, bmi1: bool) -> Generated {
        let caches = Hierarchy::new(machine);
        let mut drain = Generated {
            data: DataLines,
            code: CodeWords::new(caches.instruction_places(), caches.instruction_sets()),
            operations: Operations::default(),
            caches,
            events: Events::default(),
            thunk_next: THUNKS_START,
            has_stubs: false,
            counted: true,
            bmi1,
        };
        drain.clear();
        drain
    }

    /// The caches, for whoever asks who pays.
    pub fn caches(&mut self) -> &mut Hierarchy {
        &mut self.caches
    }

    /// Empties the caches.
    pub fn clear(&mut self) {
        self.caches.clear();
        memory::data_lines().fill(u64::MAX);
        self.code.unsettle_all();
    }

    /// Forgets every exit.
    pub fn drop_exits(&mut self) {
        self.operations.clear();
        self.drop_thunks();
    }

    fn drop_thunks(&mut self) {
        self.thunk_next = THUNKS_START;
        self.has_stubs = false;
        self.code.clear();
        self.operations.forget_bits();
        (0..self.operations.exits.len())
            .for_each(|number| memory::set_thunk(number, thunks::generate_address()));
    }

    /// Exits have come that it does not know yet.
    pub fn add_exits(&mut self, meanings: &Meanings) {
        let known = self.operations.exits.len();
        self.operations.add(meanings);
        for number in known..meanings.paths.len() {
            memory::set_thunk(number, thunks::generate_address());
        }
    }

    /// Drains the trace up to `end`, and tells `ledger` who pays for what changes the caches. Either always with a ledger, or
    /// never: thunks are made for one of them.
    pub fn drain(
        &mut self,
        meanings: &Meanings,
        fs_base: u64,
        end: u64,
        ledger: Option<&mut Ledger>,
    ) -> Exactness {
        let trace = memory::trace(end);
        let mut draining = Draining { drain: self, meanings, fs_base, trace, ledger };
        if trace.len() <= SHORT_TRACE {
            return draining.short();
        }
        draining.drain.counted = true;
        thunks::run(&mut draining, fs_base, end);
        // The paths tell when their counts are taken.
        Exactness::Exact
    }

    /// May a path's counter be other than zero?
    pub fn has_counted(&self) -> bool {
        self.counted
    }

    /// What was counted since the last call. The paths' counters are cleared. Where there is a `ledger` it has counted paths in their
    /// place: this is to be called once for what it has counted.
    pub fn take_events(&mut self, meanings: &Meanings, ledger: Option<&Ledger>) -> (Events, Exactness) {
        let mut exactness = Exactness::Exact;
        let mut events = core::mem::take(&mut self.events);
        if core::mem::take(&mut self.counted) {
            let mut count = |path: &Path, times: u64| {
                reference::count_only(&path.exit, times, &mut events);
                if path.exit.approximate {
                    exactness = Exactness::Approximate;
                }
            };
            if let Some(ledger) = ledger {
                ledger.times(|exit, times| count(&meanings.paths[exit as usize], times));
            } else {
                let counters = memory::counters(meanings.paths.len());
                let counted = meanings.paths.iter().zip(counters).filter(|(_, times)| **times != 0);
                counted.for_each(|(path, &times)| count(path, times));
                memory::clear_counters(meanings.paths.len());
            }
        }
        let mut misses = self.caches.take_events();
        // The caches have seen but the accesses that were not settled; the paths know them all.
        misses.0[Event::Reads as usize] = 0;
        misses.0[Event::Writes as usize] = 0;
        events += misses;
        (events, exactness)
    }
}

/// A drain at work: what the callbacks of thunks are given.
pub struct Draining<'a> {
    drain: &'a mut Generated,
    meanings: &'a Meanings,
    fs_base: u64,
    trace: &'a [u64],
    ledger: Option<&'a mut Ledger>,
}

impl Draining<'_> {
    /// Without thunks: so a small region makes none, and does not have all paths' counters looked through.
    fn short(&mut self) -> Exactness {
        let mut exactness = Exactness::Exact;
        let mut rest = self.trace;
        while let Some(&head) = rest.first() {
            let exit = &self.meanings.paths[head as usize].exit;
            let (record, next) = rest.split_at(1 + usize::from(exit.slots));
            rest = next;
            if self.ledger.is_none() {
                reference::count_only(exit, 1, &mut self.drain.events);
                if exit.approximate {
                    exactness = Exactness::Approximate;
                }
            }
            self.step(record);
        }
        // With a ledger rows count.
        self.drain.counted |= self.ledger.is_some();
        exactness
    }

    /// Says where thunks go on following calls, if somebody wants to know.
    #[inline]
    pub fn write_position(&self, position: &mut Position) {
        if let Some(ledger) = &self.ledger {
            ledger.write_position(position);
        }
    }

    /// Thunks have followed calls to here.
    pub fn resume(&mut self, position: &Position) {
        if let Some(ledger) = &mut self.ledger {
            ledger.resume(position);
        }
    }

    /// A record whose call is not usual, and which may change something.
    pub fn step(&mut self, record: &[u64]) {
        let (exit, slots) = (record[0] as u32, &record[1..]);
        let call = self.ledger.as_mut().map_or(0, |ledger| ledger.step(exit, slots, self.fs_base));
        self.record(record, call);
    }

    /// An indirect call is followed by a record of this exit, or by the trace's end.
    pub fn enter(&mut self, exit: u32) {
        if let Some(ledger) = &mut self.ledger {
            ledger.enter(exit);
        }
    }

    /// A record that has stored a Python frame.
    pub fn look(&mut self, record: &[u64]) {
        if let Some(ledger) = &mut self.ledger {
            ledger.look(record[0] as u32, &record[1..]);
        }
    }

    /// Fetches of these numbers, within `call`, may change something, and nothing else of their record does.
    pub fn fetch(&mut self, start: u32, end: u32, call: u32) {
        let payer = self.payer(call);
        let Generated { caches, code, operations, .. } = &mut *self.drain;
        for fetch in &mut operations.fetches[start as usize..end as usize] {
            fetch_line(fetch, payer, code, caches);
        }
    }

    /// Who pays for the first operation of all within `call`; the others follow. Without a ledger nobody asks.
    fn payer(&self, call: u32) -> u64 {
        self.ledger.as_ref().map_or(0, |ledger| ledger.payer(call, 0).number())
    }

    /// Lines of code of these bits in one word may be there without being settled: touches those that are. Are all settled then? What is
    /// not is left to [`Draining::fetch`]. Only for lines in sets of their own, whose order makes no difference.
    pub fn hit(&mut self, word: u32, bits: u32) -> bool {
        let Generated { caches, code, .. } = &mut *self.drain;
        code.doubted(word, bits).fold(true, |all, bit| match code.held_at(bit) {
            Some(place) => {
                caches.fetch_held(place, &mut Hitting(code));
                all
            }
            None => false,
        })
    }

    /// Accesses of these numbers in a record, within `call`, may change something, and nothing else of it does.
    pub fn access(&mut self, record: &[u64], start: u32, end: u32, call: u32) {
        let payer = self.payer(call);
        let first_op = self.meanings.paths[record[0] as usize].first_op;
        self.accesses(start as usize..end as usize, record, first_op, payer);
    }

    /// A record that may change anything, within `call`: all of it, in program order.
    pub fn record(&mut self, record: &[u64], call: u32) {
        let payer = self.payer(call);
        let exit = record[0] as usize;
        let first_op = self.meanings.paths[exit].first_op;
        let extent = self.drain.operations.exits[exit];
        let mut accesses = extent.accesses();
        for number in extent.fetches() {
            let Generated { caches, code, operations, .. } = &mut *self.drain;
            let fetch = &mut operations.fetches[number as usize];
            let ahead = operations.accesses[accesses.clone()]
                .iter()
                .take_while(|access| first_op + u32::from(access.op) < fetch.op)
                .count();
            if ahead == 0 {
                fetch_line(fetch, payer, code, caches);
                continue;
            }
            self.accesses(accesses.start..accesses.start + ahead, record, first_op, payer);
            accesses.start += ahead;
            let Generated { caches, code, operations, .. } = &mut *self.drain;
            fetch_line(&mut operations.fetches[number as usize], payer, code, caches);
        }
        self.accesses(accesses, record, first_op, payer);
    }

    /// Accesses of these numbers. `payer` is who pays for the first operation of all, `first_op` the first of the superblock.
    #[inline]
    fn accesses(&mut self, numbers: Range<usize>, record: &[u64], first_op: u32, payer: u64) {
        let mut rest = numbers;
        // Most of them are settled, so that there is nothing else in this loop.
        while let Some(ahead) =
            self.drain.operations.accesses[rest.clone()].iter().position(|access| !access.is_settled(record))
        {
            let number = rest.start + ahead;
            self.touch(number, record, first_op, payer);
            rest.start = number + 1;
        }
    }

    /// The access of this number may change something.
    #[inline(never)]
    fn touch(&mut self, number: usize, record: &[u64], first_op: u32, payer: u64) {
        let Draining { drain, meanings, fs_base, ledger, .. } = self;
        let Generated { caches, data, events, operations, .. } = &mut **drain;
        let access = &operations.accesses[number];
        let op = first_op + u32::from(access.op);
        let payer = payer + u64::from(op);
        caches.set_payer(payer);
        if let Kind::Plain(touch) = access.kind {
            reference::touch_at(touch, access.address(record), u32::from(access.bytes), caches, data);
            return;
        }
        match &meanings.ops[op as usize] {
            Op::Fetch { .. } => {}
            Op::Touch(reference) => {
                let address = reference::address(reference, &record[1..], *fs_base);
                reference::touch_at(reference.touch, address, u32::from(reference.bytes), caches, data);
            }
            Op::Repeat(repeat) => {
                let repeated = reference::touch_repeatedly(repeat, &record[1..], *fs_base, caches, data);
                repeated.count(events);
                if let Some(ledger) = ledger {
                    repeated.charge(ledger, payer);
                }
            }
        }
    }

    /// How many slots the records of an exit have.
    pub fn slots(&self, exit: u32) -> usize {
        usize::from(self.meanings.paths[exit as usize].exit.slots)
    }

    /// Makes the thunk of an exit that was never drained, and is within the call of this name; says where it is.
    pub fn generate(&mut self, number: u32, call: u32, code: &mut CodeMemory) -> u64 {
        let drain = &mut *self.drain;
        let lines_are_full = drain.code.len() + 1024 > layout::CODE_LINES_MAX;
        if drain.thunk_next + THUNK_BYTES_MAX > THUNKS_END || lines_are_full {
            drain.drop_thunks();
        }
        if !core::mem::replace(&mut drain.has_stubs, true) {
            code.write_thunk(THUNKS_START, &thunk::stubs());
            drain.thunk_next = THUNKS_START + thunk::STUBS_BYTES;
        }
        let path = &self.meanings.paths[number as usize];
        let ops = &self.meanings.ops[path.first_op as usize..(path.first_op + path.exit.ops) as usize];
        let origin = drain.thunk_next;
        let follow = self.ledger.as_mut().map(|ledger| (ledger.follow(number), ledger.number(number, call)));
        let extent = &drain.operations.exits[number as usize];
        let Range { start, end } = extent.accesses();
        let numbers = Numbers { fetches: extent.fetches(), accesses: start as u32..end as u32 };
        let thunk =
            thunk::thunk(origin, number, &path.exit, ops, follow, &numbers, &mut drain.code, drain.bmi1);
        assert!((thunk.len() as u64) < THUNK_BYTES_MAX);
        code.write_thunk(origin, &thunk);
        drain.thunk_next = (origin + thunk.len() as u64).next_multiple_of(16);
        memory::set_thunk(number as usize, origin);
        origin
    }
}

/// `payer` is who pays for the first operation of all; the others follow.
#[inline]
fn fetch_line(fetch: &mut Fetch, payer: u64, code: &mut CodeWords, caches: &mut Hierarchy) {
    let &mut Fetch { line, straddles, op, .. } = fetch;
    if fetch.bits[0] == Bit::NONE || straddles && fetch.bits[1] == Bit::NONE {
        fetch.bits = [code.find(line), code.find(line + 1)];
    }
    let bits = fetch.bits;
    if code.is_settled(bits[0]) && (!straddles || code.is_settled(bits[1])) {
        return;
    }
    caches.set_payer(payer + u64::from(op));
    caches.fetch(line, straddles, &mut Fetching { words: code, first: line, bits });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::{Exit, NO_SLOT, REPEAT_SLOTS, Reference, Repeat, Touch};
    use invar_core::machine::LINE_BYTES;

    /// Numbers by chance, the same in every run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) % end
        }
    }

    fn touch(chance: &mut Chance) -> Touch {
        [Touch::Read, Touch::Write, Touch::ReadWrite][chance.below(3) as usize]
    }

    /// An operation on slots 0 to 7.
    fn op(chance: &mut Chance) -> Op {
        match chance.below(8) {
            0..3 => Op::Fetch {
                address: 0x7fff_f700_0000 + chance.below(1 << 18),
                bytes: 1 + chance.below(15) as u8,
            },
            3 => Op::Repeat(Repeat {
                slot: chance.below(2) as u8,
                element: chance.below(4) as u8,
                short: chance.below(8) == 0,
                fs: chance.below(8) == 0,
                source: (chance.below(2) == 0).then_some(Touch::Read),
                target: (chance.below(2) == 0).then_some(Touch::Write),
            }),
            _ => {
                let constant = match chance.below(4) {
                    0 => 0,
                    1 => chance.below(200).wrapping_neg(),
                    2 => chance.below(1 << 16),
                    _ => 0x1_2345_6789_0000 + chance.below(1 << 10),
                };
                let slot =
                    |chance: &mut Chance| [chance.below(8) as u8, NO_SLOT][(chance.below(4) == 0) as usize];
                Op::Touch(Reference {
                    constant,
                    base: slot(chance),
                    index: slot(chance),
                    shift: chance.below(4) as u8,
                    fs: chance.below(8) == 0,
                    short: chance.below(8) == 0,
                    touch: touch(chance),
                    // Save areas keep a record from being asked about at once, so they are rare.
                    bytes: [
                        [1, 2, 4, 8, 16, 32, 64][chance.below(7) as usize],
                        [66, 512][chance.below(2) as usize],
                    ][(chance.below(40) == 0) as usize],
                })
            }
        }
    }

    fn meanings(chance: &mut Chance) -> Meanings {
        let mut meanings = Meanings::default();
        for _ in 0..200 {
            let first_op = meanings.ops.len() as u32;
            let ops = chance.below(12);
            meanings.ops.extend((0..ops).map(|_| op(chance)));
            let counted = meanings.ops[first_op as usize..].iter();
            let (mut reads, mut writes) = (0, 0);
            for op in counted {
                let touches = match op {
                    Op::Fetch { .. } => [None, None],
                    Op::Touch(reference) => [Some(reference.touch), None],
                    Op::Repeat(repeat) => [repeat.source, repeat.target],
                };
                for touch in touches.into_iter().flatten() {
                    reads += u16::from(touch != Touch::Write);
                    writes += u16::from(touch != Touch::Read);
                }
            }
            let exit = Exit {
                ops: ops as u32,
                slots: 8,
                instructions: 1 + chance.below(60) as u8,
                reads,
                writes,
                branches: 1,
                system_calls: 0,
                approximate: chance.below(1000) == 0,
            };
            meanings.add(first_op, exit);
        }
        meanings
    }

    fn trace(chance: &mut Chance, meanings: &Meanings) -> Vec<u64> {
        let mut words = Vec::new();
        for _ in 0..2000 {
            words.push(chance.below(meanings.paths.len() as u64));
            // What a repeat finds as counts must be small; as addresses they are as good as any.
            let near = [0x5555_5555_0000, 64, 0x10_0000_0000][chance.below(3) as usize];
            let mut slots = [0u64; 8];
            slots.iter_mut().for_each(|slot| *slot = near + chance.below(1 << 17));
            for first in [0, 1] {
                let left = chance.below(3);
                slots[first + 3] = left;
                slots[first] = left + chance.below(50);
            }
            words.extend_from_slice(&slots);
        }
        const { assert!(REPEAT_SLOTS < 8) };
        words
    }

    #[test]
    fn the_generated_drain_counts_what_the_reference_counts() {
        let _arena = memory::arena();
        for (seed, machine) in [
            (1, Machine::reference_1()),
            (2, Machine::callgrind()),
            (3, Machine::parse("tiny;l1i=1024/2/bit-plru;l1d=512/8/bit-plru;l2=4096/4/lru;l3=8192/2/lru;latency=1/2/3/4;mhz=1").unwrap()),
            (4, Machine::parse("one;l1i=64/1/lru;l1d=64/1/bit-plru;l2=none;l3=8192/2/lru;latency=1/2/3/4;mhz=1").unwrap()),
        ] {
            for bmi1 in [false, true] {
                let chance = &mut Chance(seed);
                let meanings = meanings(chance);
                let mut plain = Hierarchy::new(&machine);
                let mut fast = Generated::new(&machine, bmi1);
                fast.add_exits(&meanings);
                for round in 0..20 {
                    if round == 7 {
                        plain.clear();
                        fast.clear();
                    }
                    if round == 13 {
                        fast.drop_thunks();
                    }
                    let words = trace(chance, &meanings);
                    let fs_base = 0x7fff_f7d0_0000 + round * 0x40;
                    let mut expected = Events::default();
                    let exactness =
                        reference::drain(&meanings, &words, fs_base, &mut plain, &mut expected, None);
                    expected += plain.take_events();
                    // Some rounds in two parts, of which one is short.
                    let (short, long) = words.split_at(if round % 3 == 0 { 9 * (round as usize + 1) } else { 0 });
                    let mut short_exactness = Exactness::Exact;
                    if !short.is_empty() {
                        short_exactness = fast.drain(&meanings, fs_base, memory::write_trace(short), None);
                    }
                    let long_exactness = fast.drain(&meanings, fs_base, memory::write_trace(long), None);
                    let (events, mut fast_exactness) = fast.take_events(&meanings, None);
                    if [short_exactness, long_exactness].contains(&Exactness::Approximate) {
                        fast_exactness = Exactness::Approximate;
                    }
                    assert_eq!((events, fast_exactness), (expected, exactness), "{}, round {round}", machine.name);
                    assert!(expected.get(Event::L1dReadMisses) > 0 && expected.get(Event::RepBytes) > 0);
                }
            }
        }
    }

    /// Superblocks that touch no data, so that thunks answer for their code, in somewhat more lines than the cache has.
    fn code_only(chance: &mut Chance, machine: &Machine) -> Meanings {
        let mut meanings = Meanings::default();
        let bytes = machine.l1i.bytes * 5 / 4;
        for _ in 0..20 + bytes / LINE_BYTES {
            let first_op = meanings.ops.len() as u32;
            let ops = 1 + chance.below(6);
            meanings.ops.extend((0..ops).map(|_| Op::Fetch {
                address: 0x7fff_f700_0000 + chance.below(bytes),
                bytes: 1 + chance.below(15) as u8,
            }));
            let exit = Exit {
                ops: ops as u32,
                slots: 0,
                instructions: ops as u8,
                reads: 0,
                writes: 0,
                branches: 1,
                system_calls: 0,
                approximate: false,
            };
            meanings.add(first_op, exit);
        }
        meanings
    }

    #[test]
    fn lines_of_code_that_are_there_are_touched_as_in_program_order() {
        let _arena = memory::arena();
        for (seed, machine) in [
            (1, Machine::reference_1()),
            (2, Machine::callgrind()),
            (3, Machine::parse("tiny;l1i=1024/2/bit-plru;l1d=512/8/bit-plru;l2=4096/4/lru;l3=8192/2/lru;latency=1/2/3/4;mhz=1").unwrap()),
            (4, Machine::parse("some;l1i=4096/4/bit-plru;l1d=512/8/bit-plru;l2=none;l3=8192/2/lru;latency=1/2/3/4;mhz=1").unwrap()),
            (5, Machine::parse("wide;l1i=4096/32/lru;l1d=512/8/bit-plru;l2=none;l3=8192/2/lru;latency=1/2/3/4;mhz=1").unwrap()),
        ] {
            let chance = &mut Chance(seed);
            let meanings = code_only(chance, &machine);
            let mut plain = Hierarchy::new(&machine);
            let mut fast = Generated::new(&machine, false);
            fast.add_exits(&meanings);
            for round in 0..30 {
                if round == 17 {
                    fast.drop_thunks();
                }
                let words: Vec<u64> = (0..SHORT_TRACE + 2000).map(|_| chance.below(meanings.paths.len() as u64)).collect();
                let mut expected = Events::default();
                reference::drain(&meanings, &words, 0, &mut plain, &mut expected, None);
                expected += plain.take_events();
                fast.drain(&meanings, 0, memory::write_trace(&words), None);
                let (events, _) = fast.take_events(&meanings, None);
                assert_eq!(events, expected, "{}, round {round}", machine.name);
                assert!(expected.get(Event::L1iMisses) > 0);
            }
        }
    }
}
