//! What a measurement must say about itself: the engine's limits, met while it ran.
//!
//! A diagnostic never changes a number; it is shown wherever the number is shown.

use alloc::vec::Vec;

/// One thing that the engine could not do exactly. The discriminant is the bit in stored files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Diagnostic {
    /// Threads of the process ran beside the region, natively; their work is not counted.
    OtherThreadsRan = 0,
    /// The region went on natively (signal handler that jumped away, unmapped code): counts end there.
    LeftTranslation = 1,
    /// An instruction that the engine does not know: the region went on natively from there.
    UnsupportedInstruction = 2,
    /// Some addresses are approximate (gather, scatter, xsave areas).
    ApproximateAddresses = 3,
    /// Code was modified while the region ran.
    CodeModified = 4,
    /// A child process was started; its work is not counted.
    StartedProcess = 5,
    /// The region read a clock or the time-stamp counter, so its course may depend on time.
    ReadClock = 6,
    /// The region read random numbers.
    ReadRandom = 7,
    /// The region ended by an exception of the benchmarked function.
    Failed = 8,
    /// Threads of the region waited for the outside (files, processes, the network), and went on in the order of its answers.
    OutsideOrder = 9,
}

impl Diagnostic {
    /// Every diagnostic, in stored order.
    pub const ALL: [Diagnostic; 10] = [
        Diagnostic::OtherThreadsRan,
        Diagnostic::LeftTranslation,
        Diagnostic::UnsupportedInstruction,
        Diagnostic::ApproximateAddresses,
        Diagnostic::CodeModified,
        Diagnostic::StartedProcess,
        Diagnostic::ReadClock,
        Diagnostic::ReadRandom,
        Diagnostic::Failed,
        Diagnostic::OutsideOrder,
    ];

    /// The stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Diagnostic::OtherThreadsRan => "other_threads_ran",
            Diagnostic::LeftTranslation => "left_translation",
            Diagnostic::UnsupportedInstruction => "unsupported_instruction",
            Diagnostic::ApproximateAddresses => "approximate_addresses",
            Diagnostic::CodeModified => "code_modified",
            Diagnostic::StartedProcess => "started_process",
            Diagnostic::ReadClock => "read_clock",
            Diagnostic::ReadRandom => "read_random",
            Diagnostic::Failed => "failed",
            Diagnostic::OutsideOrder => "outside_order",
        }
    }

    /// What it means, as a sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Diagnostic::OtherThreadsRan => "other threads ran beside it, natively; their work is not counted",
            Diagnostic::LeftTranslation => "it went on natively part of the way; the counts end there",
            Diagnostic::UnsupportedInstruction => {
                "it met an instruction that the engine does not know; the counts end there"
            }
            Diagnostic::ApproximateAddresses => "some memory addresses are approximate",
            Diagnostic::CodeModified => "it modified code while it ran",
            Diagnostic::StartedProcess => "it started a process, whose work is not counted",
            Diagnostic::ReadClock => "it read a clock, so its course may depend on time",
            Diagnostic::ReadRandom => "it read random numbers, so its course may differ between runs",
            Diagnostic::Failed => "the benchmarked function raised an exception",
            Diagnostic::OutsideOrder => {
                "its threads went on in the order in which the outside answered, which may differ between runs"
            }
        }
    }
}

/// A set of diagnostics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostics(pub u64);

impl Diagnostics {
    /// Adds one.
    pub const fn insert(&mut self, diagnostic: Diagnostic) {
        self.0 |= 1 << diagnostic as u8;
    }

    /// Is it there?
    pub const fn contains(self, diagnostic: Diagnostic) -> bool {
        self.0 & (1 << diagnostic as u8) != 0
    }

    /// Is there none?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are there, in stored order. Bits of a newer engine are passed over.
    pub fn to_vec(self) -> Vec<Diagnostic> {
        Diagnostic::ALL.into_iter().filter(|&diagnostic| self.contains(diagnostic)).collect()
    }
}
