//! One benchmark's result by one instrument on one Machine.

use std::time::Duration;

use crate::benchmark::Benchmark;
use crate::cost::{Cost, Cycles, Hertz};
use crate::diagnostic::Diagnostics;
use crate::event::Events;
use crate::instrument::Instrument;
use crate::machine::Machine;

/// What was counted, and under which assumptions. The warm pass is the result; the cold one is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// What was measured.
    pub benchmark: Benchmark,
    /// How.
    pub instrument: Instrument,
    /// On which simulated CPU.
    pub machine: Machine,
    /// The first pass, from empty caches, if there was one.
    pub cold: Option<Events>,
    /// The second pass: the result.
    pub warm: Events,
    /// What could not be done exactly, in either pass.
    pub diagnostics: Diagnostics,
}

impl Measurement {
    /// What the warm pass cost.
    pub fn cost(&self) -> Cost {
        Cost::of(&self.warm, &self.machine)
    }

    /// The number of this measurement: the cycles of the warm pass.
    pub fn cycles(&self) -> Cycles {
        self.cost().total()
    }

    /// The same as simulated time.
    pub fn time(&self) -> Duration {
        self.cycles().at(Hertz::of(&self.machine))
    }
}
