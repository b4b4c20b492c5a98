//! Regressions that somebody has looked at and lets pass.
//!
//! An acknowledgement is of one benchmark on one branch, and of what it cost when it was looked at: a benchmark that gets
//! worse after that, by more than its threshold, blocks again. It never changes a verdict, only whether that blocks.

use std::collections::BTreeMap;

use crate::config::Threshold;
use crate::cost::Cycles;
use crate::run::Timestamp;

/// What somebody said of a regression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// What the benchmark cost when they looked at it.
    pub cost: Cycles,
    /// Why it may pass.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// When they said it.
    pub at: Timestamp,
}

impl Acknowledgement {
    /// Who lets it pass, and why: goes on from a regression.
    pub fn shown(&self) -> String {
        format!("acknowledged by {}: {}", self.who, self.reason)
    }

    /// Does it cover a regression to this cost? Up to the threshold above the cost that was looked at.
    pub fn covers(&self, cost: Cycles, threshold: Threshold) -> bool {
        cost.0 as f64 <= self.cost.0 as f64 * (1.0 + threshold.0)
    }
}

/// What is acknowledged on a branch, by the full name of the benchmark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledgements(pub BTreeMap<String, Acknowledgement>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_worse_since_is_not_covered() {
        let said = Acknowledgement {
            cost: Cycles(1000),
            reason: "needed".to_string(),
            who: "ada".to_string(),
            at: Timestamp(0),
        };
        for (cost, covered) in [(900, true), (1000, true), (1050, true), (1051, false)] {
            assert_eq!(said.covers(Cycles(cost), Threshold(0.05)), covered, "{cost}");
        }
    }
}
