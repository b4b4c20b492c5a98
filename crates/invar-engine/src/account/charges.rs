//! What operations did besides being executed: misses, and what repeats moved.

use alloc::vec::Vec;

use invar_core::event::Event;

/// Who has caused an event: an operation of the superblock of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payer {
    /// The row.
    pub row: u32,
    /// Number of the operation in its superblock.
    pub op: u32,
}

impl Payer {
    /// As one number, which a [`invar_sim::Hierarchy`] carries along.
    pub fn number(self) -> u64 {
        u64::from(self.row) << 32 | u64::from(self.op)
    }

    /// See [`Payer::number`].
    pub fn from_number(number: u64) -> Payer {
        Payer { row: (number >> 32) as u32, op: number as u32 }
    }
}

/// What an operation did besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    pub payer: Payer,
    pub event: Event,
    pub count: u64,
}

/// Charges, merged whenever there are twice as many as after the last time.
#[derive(Debug, Default)]
pub(super) struct Charges {
    list: Vec<Charge>,
    merged: usize,
}

const UNMERGED_MAX: usize = 1 << 16;

impl Charges {
    pub fn push(&mut self, charge: Charge) {
        self.list.push(charge);
        if self.list.len() > 2 * self.merged + UNMERGED_MAX {
            self.merge();
        }
    }

    /// All of them, sorted by payer and event, each once; none stay. Their room does, for the next region: it is the runtime's,
    /// and what is given back outside of a region the runtime does not get back.
    pub fn take(&mut self) -> Vec<Charge> {
        self.merge();
        let list = self.list.clone();
        self.clear();
        list
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.list.clear();
        self.merged = 0;
    }

    fn merge(&mut self) {
        unite(&mut self.list, |charge| (charge.payer, charge.event), |known, next| known.count += next.count);
        self.merged = self.list.len();
    }
}

/// Sorts a list by its items' keys, and of those with one key makes one.
pub(super) fn unite<T, K: Ord>(list: &mut Vec<T>, key: impl Fn(&T) -> K, add: impl Fn(&mut T, &T)) {
    list.sort_unstable_by_key(&key);
    list.dedup_by(|next, known| {
        let alike = key(next) == key(known);
        if alike {
            add(known, next);
        }
        alike
    });
}
