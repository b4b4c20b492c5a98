//! What the simulated machine counts.
//!
//! An [`Event`] is a kind of countable happening, [`Events`] one count of each. What an event costs is
//! `cost`'s business. Order and names are part of the stored format: append, never reorder.

/// A kind of event. The discriminant is its index in [`Events`] and in every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Event {
    /// Instructions executed. A repeated string instruction counts once.
    Instructions = 0,
    /// Data reads. One per memory operand that is read, whatever its size.
    Reads = 1,
    /// Data writes. One per memory operand that is written; a read-modify-write is one of each.
    Writes = 2,
    /// Instruction fetches that missed the first-level instruction cache.
    L1iMisses = 3,
    /// Data reads that missed the first-level data cache.
    L1dReadMisses = 4,
    /// Data writes that missed the first-level data cache.
    L1dWriteMisses = 5,
    /// First-level misses that missed the second level too. Zero where the Machine has two levels.
    L2Misses = 6,
    /// Misses of the last level.
    L3Misses = 7,
    /// Lines fetched from memory.
    MemoryAccesses = 8,
    /// Bytes moved, stored or compared by repeated string instructions.
    RepBytes = 9,
    /// Iterations of repeated string instructions (callgrind counts each as an instruction).
    RepIterations = 10,
    /// Branches, calls and returns that changed the course of the program.
    BranchesTaken = 11,
    /// System calls made.
    SystemCalls = 12,
}

impl Event {
    /// How many kinds there are.
    pub const COUNT: usize = 13;

    /// Every kind, in stored order.
    pub const ALL: [Event; Event::COUNT] = [
        Event::Instructions,
        Event::Reads,
        Event::Writes,
        Event::L1iMisses,
        Event::L1dReadMisses,
        Event::L1dWriteMisses,
        Event::L2Misses,
        Event::L3Misses,
        Event::MemoryAccesses,
        Event::RepBytes,
        Event::RepIterations,
        Event::BranchesTaken,
        Event::SystemCalls,
    ];

    /// The stable name, as in JSON, CSV and `invar.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Instructions => "instructions",
            Event::Reads => "reads",
            Event::Writes => "writes",
            Event::L1iMisses => "l1i_misses",
            Event::L1dReadMisses => "l1d_read_misses",
            Event::L1dWriteMisses => "l1d_write_misses",
            Event::L2Misses => "l2_misses",
            Event::L3Misses => "l3_misses",
            Event::MemoryAccesses => "memory_accesses",
            Event::RepBytes => "rep_bytes",
            Event::RepIterations => "rep_iterations",
            Event::BranchesTaken => "branches_taken",
            Event::SystemCalls => "system_calls",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// One count of every kind of event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Events(pub [u64; Event::COUNT]);

impl Events {
    /// The count of one kind.
    pub const fn get(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// Adds to the count of one kind.
    pub const fn add(&mut self, event: Event, count: u64) {
        self.0[event as usize] += count;
    }

    /// Reads and writes that missed the first-level data cache.
    pub const fn l1d_misses(&self) -> u64 {
        self.get(Event::L1dReadMisses).saturating_add(self.get(Event::L1dWriteMisses))
    }
}

impl core::ops::AddAssign for Events {
    fn add_assign(&mut self, other: Events) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stands_at_its_index() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, index);
        }
    }

    #[test]
    fn names_lead_back_to_their_event() {
        for event in Event::ALL {
            assert_eq!(Event::from_name(event.name()), Some(event));
        }
        assert_eq!(Event::from_name("seconds"), None);
    }
}
