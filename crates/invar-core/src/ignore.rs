//! Benchmarks that decide nothing: they are measured and shown, with their verdicts, and no report goes by them.
//!
//! Unlike an acknowledgement this is of every branch and whatever a benchmark costs, until it is taken back. Unlike an archived
//! benchmark, it stays in every list.

use std::collections::BTreeMap;

use crate::run::Timestamp;

/// Why a benchmark decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignoring {
    /// Why.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// Since when.
    pub at: Timestamp,
}

impl Ignoring {
    /// Who says so, and why: goes on from what became of a benchmark.
    pub fn shown(&self) -> String {
        format!("ignored by {}: {}", self.who, self.reason)
    }
}

/// What is ignored, by the full name of the benchmark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored(pub BTreeMap<String, Ignoring>);
