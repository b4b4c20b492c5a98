//! What events cost: cycles of the simulated machine, and time.
//!
//! The reference cost model. An *access* is an instruction fetch, a data read or a data write. Each access is
//! answered by one level and costs the latency of that level, and nothing of the levels asked before it:
//!
//! | answered by | how many |
//! | --- | --- |
//! | L1 | accesses - L1 misses, where L1 misses = `l1i_misses + l1d_read_misses + l1d_write_misses` |
//! | L2 | L1 misses - `l2_misses`; none on a Machine with two levels |
//! | L3 | `l2_misses - l3_misses`; L1 misses - `l3_misses` on a Machine with two levels |
//! | memory | `l3_misses` |
//!
//! ```text
//! accesses = instructions + reads + writes + ceil(rep_bytes / 32)
//! cycles   = L1 * l1 + L2 * l2 + L3 * l3 + memory * memory
//! ```
//!
//! *Repeated string instructions* (`rep movs` and its kin) are one instruction and at most one read and one write
//! in the events, whatever they move, and their misses are counted line by line. What they move is charged by
//! bytes, 32 to an access, over the whole measurement: about what a vector loop that moved the same bytes would
//! be charged for its fetches and accesses, and never less than one access for each line that can miss. Iterations
//! are stored and cost nothing.
//!
//! `memory_accesses`, `branches_taken` and `system_calls` cost nothing: the first says what lines moved, for
//! which an access has been charged already; this model has no branch predictor and no kernel.
//!
//! The model is for comparing code with code. It is no promise of time on the wall: nothing overlaps in it.

use std::time::Duration;

use crate::event::{Event, Events};
use crate::machine::Machine;

/// Bytes that a repeated string instruction moves for the cost of one first-level access.
pub const REP_BYTES_PER_ACCESS: u64 = 32;

/// Time in clock cycles of the *simulated* machine, not of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycles(pub u64);

impl Cycles {
    /// How long these cycles take at `clock`, rounded down to whole nanoseconds.
    pub fn at(self, clock: Hertz) -> Duration {
        let nanoseconds = u128::from(self.0) * 1_000_000_000 / u128::from(clock.0.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// A clock: cycles in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hertz(pub u64);

impl Hertz {
    /// The clock of a Machine.
    pub fn of(machine: &Machine) -> Hertz {
        Hertz(u64::from(machine.megahertz) * 1_000_000)
    }
}

/// A cost and what it consists of. Counts past `u64` stay at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Instruction fetches that the first level answered.
    pub instructions: Cycles,
    /// Data accesses that the first level answered, bytes of repeated string instructions included.
    pub data: Cycles,
    /// Accesses that the second and the last level answered.
    pub cache: Cycles,
    /// Accesses that memory answered.
    pub memory: Cycles,
}

impl Cost {
    /// The cost of `events` on `machine`.
    ///
    /// Without cache events (the instrument `counts`) every access costs what the first level costs.
    pub fn of(events: &Events, machine: &Machine) -> Cost {
        let Levels { instructions, l1, l2, l3, memory } = Levels::of(events, machine);
        Cost { instructions, data: l1, cache: Cycles(l2.0.saturating_add(l3.0)), memory }
    }

    /// All of it.
    pub fn total(&self) -> Cycles {
        let parts = [self.instructions, self.data, self.cache, self.memory];
        Cycles(parts.into_iter().fold(0, |sum, part| sum.saturating_add(part.0)))
    }

    /// Which part of the whole `part` is, from 0 to 1. Nothing has no parts: 0.
    pub fn share(&self, part: Cycles) -> f64 {
        match self.total().0 {
            0 => 0.0,
            total => part.0 as f64 / total as f64,
        }
    }
}

/// A cost by the levels that answered. Counts past `u64` stay at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// Instruction fetches that the first level answered.
    pub instructions: Cycles,
    /// Data accesses that the first level answered, bytes of repeated string instructions included.
    pub l1: Cycles,
    /// Accesses that the second level answered.
    pub l2: Cycles,
    /// Accesses that the last level answered.
    pub l3: Cycles,
    /// Accesses that memory answered.
    pub memory: Cycles,
}

impl Levels {
    /// The cost of `events` on `machine`.
    pub fn of(events: &Events, machine: &Machine) -> Levels {
        let fetches = events.get(Event::Instructions);
        let data = data_accesses(events);
        let l1i_misses = events.get(Event::L1iMisses);
        let l1_misses = l1i_misses.saturating_add(events.l1d_misses());
        let l3_misses = events.get(Event::L3Misses);
        let (l2, l3) = if machine.l2.is_some() {
            let l2_misses = events.get(Event::L2Misses);
            (l1_misses.saturating_sub(l2_misses), l2_misses.saturating_sub(l3_misses))
        } else {
            (0, l1_misses.saturating_sub(l3_misses))
        };
        let latencies = machine.latencies;
        let cycles = |count: u64, latency: u32| Cycles(count.saturating_mul(u64::from(latency)));
        Levels {
            instructions: cycles(fetches.saturating_sub(l1i_misses), latencies.l1),
            l1: cycles(data.saturating_sub(events.l1d_misses()), latencies.l1),
            l2: cycles(l2, latencies.l2),
            l3: cycles(l3, latencies.l3),
            memory: cycles(l3_misses, latencies.memory),
        }
    }

    /// Every part and what people call it.
    pub fn parts(&self) -> [(&'static str, Cycles); 5] {
        let Levels { instructions, l1, l2, l3, memory } = *self;
        [("instructions", instructions), ("L1", l1), ("L2", l2), ("L3", l3), ("memory", memory)]
    }

    /// All of it.
    pub fn total(&self) -> Cycles {
        Cycles(self.parts().into_iter().fold(0, |sum, (_, part)| sum.saturating_add(part.0)))
    }
}

impl std::ops::AddAssign for Levels {
    fn add_assign(&mut self, other: Levels) {
        let add = |mine: &mut Cycles, theirs: Cycles| mine.0 = mine.0.saturating_add(theirs.0);
        add(&mut self.instructions, other.instructions);
        add(&mut self.l1, other.l1);
        add(&mut self.l2, other.l2);
        add(&mut self.l3, other.l3);
        add(&mut self.memory, other.memory);
    }
}

/// Which part of all accesses the first level answered, from 0 to 1; 1 where there are none.
pub fn l1_hit_rate(events: &Events) -> f64 {
    let accesses = events.get(Event::Instructions).saturating_add(data_accesses(events));
    let misses = events.get(Event::L1iMisses).saturating_add(events.l1d_misses());
    if accesses == 0 { 1.0 } else { accesses.saturating_sub(misses) as f64 / accesses as f64 }
}

fn data_accesses(events: &Events) -> u64 {
    events
        .get(Event::Reads)
        .saturating_add(events.get(Event::Writes))
        .saturating_add(events.get(Event::RepBytes).div_ceil(REP_BYTES_PER_ACCESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(counts: &[(Event, u64)]) -> Events {
        let mut events = Events::default();
        for &(event, count) in counts {
            events.add(event, count);
        }
        events
    }

    #[track_caller]
    fn check(counts: &[(Event, u64)], machine: Machine, expected: u64) {
        assert_eq!(Cost::of(&events(counts), &machine).total(), Cycles(expected));
    }

    use Event::{
        Instructions, L1dReadMisses, L1dWriteMisses, L1iMisses, L2Misses, L3Misses, Reads, RepBytes,
        RepIterations, Writes,
    };

    #[test]
    fn hits_cost_the_first_level() {
        check(&[(Instructions, 10), (Reads, 3), (Writes, 2)], Machine::reference_1(), 15 * 2);
    }

    #[test]
    fn a_miss_costs_only_the_level_that_answers() {
        let counts = [(Instructions, 100), (Reads, 10), (L1dReadMisses, 4), (L2Misses, 3), (L3Misses, 1)];
        check(&counts, Machine::reference_1(), 106 * 2 + 5 + 2 * 22 + 90);
    }

    #[test]
    fn without_a_second_level_the_last_is_asked_next() {
        let counts = [(Instructions, 100), (L1iMisses, 4), (L1dWriteMisses, 1), (Writes, 1), (L3Misses, 2)];
        check(&counts, Machine::callgrind(), 96 + 3 * 11 + 2 * 111);
    }

    #[test]
    fn a_repeat_costs_its_bytes_and_not_its_iterations() {
        let one = [(Instructions, 1), (Reads, 1), (Writes, 1)];
        check(&one, Machine::reference_1(), 6);
        let repeat = [(RepBytes, 4096), (RepIterations, 4096)];
        check(&[&one[..], &repeat].concat(), Machine::reference_1(), 6 + 2 * 4096 / 32);
        check(&[&one[..], &[(RepBytes, 33)]].concat(), Machine::reference_1(), 6 + 2 * 2);
    }

    #[test]
    fn a_repeat_that_misses_every_line_has_an_access_for_every_miss() {
        let lines = 1000;
        let counts = events(&[
            (Instructions, 1),
            (Reads, 1),
            (Writes, 1),
            (RepBytes, lines * 64),
            // Unaligned: one line more than its bytes fill, on either side.
            (L1dReadMisses, lines + 1),
            (L1dWriteMisses, lines + 1),
            (L2Misses, 2 * lines + 2),
            (L3Misses, 2 * lines + 2),
        ]);
        let cost = Cost::of(&counts, &Machine::reference_1());
        assert_eq!((cost.data, cost.memory), (Cycles(0), Cycles((2 * lines + 2) * 90)));
    }

    #[test]
    fn parts_sum_to_the_whole() {
        let counts = [(Instructions, 100), (Reads, 10), (L1dReadMisses, 4), (L2Misses, 3), (L3Misses, 1)];
        let cost = Cost::of(&events(&counts), &Machine::reference_1());
        let parts = [cost.instructions, cost.data, cost.cache, cost.memory];
        let shares: f64 = parts.into_iter().map(|part| cost.share(part)).sum();
        assert!((shares - 1.0).abs() < 1e-12);
    }

    #[test]
    fn levels_are_the_same_cost_in_finer_parts() {
        let counts = events(&[
            (Instructions, 100),
            (Reads, 10),
            (L1dReadMisses, 4),
            (L2Misses, 3),
            (L3Misses, 1),
            (RepBytes, 33),
        ]);
        let levels = Levels::of(&counts, &Machine::reference_1());
        let parts = levels.parts().map(|(_, cycles)| cycles.0);
        assert_eq!(parts, [200, 2 * 8, 5, 2 * 22, 90]);
        assert_eq!(levels.total(), Cost::of(&counts, &Machine::reference_1()).total());
    }

    #[test]
    fn two_cycles_at_two_gigahertz_are_a_nanosecond() {
        assert_eq!(Cycles(3).at(Hertz::of(&Machine::reference_1())), Duration::from_nanos(1));
    }

    #[test]
    fn counts_without_end_do_not_overflow() {
        let cost = Cost::of(&Events([u64::MAX / 4; Event::COUNT]), &Machine::reference_1());
        assert_eq!(cost.total(), Cycles(u64::MAX));
    }
}
