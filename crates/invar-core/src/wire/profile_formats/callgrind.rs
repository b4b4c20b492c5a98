//! callgrind.out, format version 1, as "Callgrind Format Specification" in Valgrind's manual describes it: for
//! callgrind_annotate and KCachegrind, and from Valgrind.
//!
//! The format has a graph of functions and calls between them, and no call paths. Writing sums paths up; reading cannot bring
//! them back: see [`read`].

mod read;
mod write;

pub use read::{ReadCallgrindError, read};
pub use write::write;

use crate::event::Event;

/// Names of events in files: callgrind's own where it has one, and ours. callgrind counts an iteration of a repeated string
/// instruction as an instruction, so its `Ir` are our instructions and repetitions.
const EVENTS: [(&str, Event); Event::COUNT] = [
    ("Ir", Event::Instructions),
    ("Dr", Event::Reads),
    ("Dw", Event::Writes),
    ("I1mr", Event::L1iMisses),
    ("D1mr", Event::L1dReadMisses),
    ("D1mw", Event::L1dWriteMisses),
    ("L2Misses", Event::L2Misses),
    ("L3Misses", Event::L3Misses),
    ("MemoryAccesses", Event::MemoryAccesses),
    ("RepBytes", Event::RepBytes),
    ("RepIterations", Event::RepIterations),
    ("BranchesTaken", Event::BranchesTaken),
    ("sysCount", Event::SystemCalls),
];

/// The misses of callgrind's last level by what was accessed; we keep their sum.
const LAST_LEVEL: [&str; 3] = ["ILmr", "DLmr", "DLmw"];
