//! Runs for tests, made of a few numbers.

use crate::benchmark::Benchmark;
use crate::diagnostic::Diagnostics;
use crate::event::{Event, Events};
use crate::instrument::Instrument;
use crate::machine::Machine;
use crate::measurement::Measurement;
use crate::run::{Run, Timestamp};
use crate::source::Source;

/// A measurement of so many instructions, data reads that hit, and reads that missed every level.
pub(crate) fn measurement(name: &str, instructions: u64, misses: u64) -> Measurement {
    let mut warm = Events::default();
    warm.add(Event::Instructions, instructions);
    warm.add(Event::Reads, 1000);
    for event in [Event::L1dReadMisses, Event::L2Misses, Event::L3Misses] {
        warm.add(event, misses);
    }
    Measurement {
        benchmark: Benchmark::named(name),
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm,
        diagnostics: Diagnostics::default(),
    }
}

/// A run on a branch of measurements named in one word each: name, instructions, misses.
pub(crate) fn run(branch: &str, measurements: &[(&str, u64, u64)]) -> Run {
    let mut run = Run::started("0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001", Timestamp(0), Machine::reference_1());
    run.source = Some(Source {
        commit: Some(format!("{:0<40}", if branch == "main" { "8607178" } else { "487a918" })),
        branch: Some(branch.to_string()),
        ..Source::default()
    });
    let measurement =
        |&(name, instructions, misses): &(&str, u64, u64)| measurement(name, instructions, misses);
    run.measurements = measurements.iter().map(measurement).collect();
    run.sort();
    run
}
