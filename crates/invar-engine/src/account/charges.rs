//! What operations did besides being executed: misses, and what repeats moved.

use alloc::vec::Vec;

use invar_core::event::Event;

use super::counts::{Count, Counts};

/// Who has caused an event: an operation of an exit's superblock, within a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payer {
    /// The call that was at work when the superblock was entered: fewer than 2^20.
    pub call: u32,
    /// The exit.
    pub exit: u32,
    /// Number of the operation in its superblock: fewer than 2^10.
    pub op: u32,
}

const OP_BITS: u32 = 10;
const EXIT_BITS: u32 = 34;

impl Payer {
    /// As one number, which a [`invar_sim::Hierarchy`] carries along. Numbers are in the order of payers.
    #[inline]
    pub fn number(self) -> u64 {
        u64::from(self.call) << (EXIT_BITS + OP_BITS) | u64::from(self.exit) << OP_BITS | u64::from(self.op)
    }

    fn from_number(number: u64) -> Payer {
        Payer {
            call: (number >> (EXIT_BITS + OP_BITS)) as u32,
            exit: (number >> OP_BITS) as u32,
            op: number as u32 & ((1 << OP_BITS) - 1),
        }
    }
}

/// What an operation did besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    pub payer: Payer,
    pub event: Event,
    pub count: u64,
}

/// Charges by payer and event.
#[derive(Debug, Default)]
pub(super) struct Charges(Counts);

impl Charges {
    /// Charges the payer of this number.
    #[inline]
    pub fn add(&mut self, payer: u64, event: Event, count: u64) {
        self.0.add(payer, event as u8, count);
    }

    /// All of them, sorted by payer and event, each once; none stay.
    pub fn take(&mut self) -> Vec<Charge> {
        let charge = |Count { key, kind, count }| Charge {
            payer: Payer::from_number(key),
            event: Event::ALL[usize::from(kind)],
            count,
        };
        self.0.take().into_iter().map(charge).collect()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

const _: () = assert!(Event::COUNT <= 16, "an event is a kind of count");
