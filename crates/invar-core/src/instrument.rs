//! How a benchmark is measured.

/// An instrument. Results of unlike instruments are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instrument {
    /// The engine with its simulated caches: repeatable to the last event.
    Simulation,
    /// The engine without caches: instructions, branches, accesses and system calls.
    Counts,
    /// The clock on the wall.
    Walltime,
    /// The hardware's own counters.
    Counters,
    /// Allocations.
    Memory,
}

impl Instrument {
    /// Every instrument.
    pub const ALL: [Instrument; 5] = [
        Instrument::Simulation,
        Instrument::Counts,
        Instrument::Walltime,
        Instrument::Counters,
        Instrument::Memory,
    ];

    /// The stable name, as in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Instrument::Simulation => "simulation",
            Instrument::Counts => "counts",
            Instrument::Walltime => "walltime",
            Instrument::Counters => "counters",
            Instrument::Memory => "memory",
        }
    }

    /// The instrument called `name`.
    pub fn from_name(name: &str) -> Option<Instrument> {
        Instrument::ALL.into_iter().find(|instrument| instrument.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_instrument() {
        for instrument in Instrument::ALL {
            assert_eq!(Instrument::from_name(instrument.name()), Some(instrument));
        }
    }
}
