//! Superblocks formed again, along the branches as they were seen to go.
//!
//! A block is first translated straight on, whatever its branches do. Every way out of it is counted in any case, so after a
//! while the counts say which way each branch goes, and blocks that are entered often are translated again: longer, along the
//! more frequent ways, with loops unrolled. Fewer blocks are left halfway, so fewer records are written and drained.
//!
//! What is counted of the guest does not change: the same instructions touch the same lines in the same order.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::host::memory;
use crate::runtime::{BLOCK_BYTES_MAX, Block, CODE_END, Drain, Engine, Way};
use crate::translate::block::{LONG, SHORT, trace_path};
use crate::translate::{Turn, emit};

/// A block that was entered so often is worth a second translation.
pub(super) const ENTERED_MIN: u64 = 256;

impl Engine {
    /// Translates again what is entered often and does not go as it was thought to.
    pub(super) fn reform(&mut self) {
        if self.fault.is_some() {
            // A handler of the guest will go back into a block.
            return;
        }
        // Where there is a ledger it has counted in the counters' place, but for the plain drain, which counts nothing.
        let ledger = self.ledger.as_ref().filter(|_| matches!(self.drain, Drain::Generated(_)));
        let Some(ledger) = ledger else {
            self.reform_counted();
            return;
        };
        ledger.times(|exit, times| memory::count_paths(exit as usize, times));
        self.reform_counted();
        memory::clear_counters(self.meanings.paths.len());
    }

    fn reform_counted(&mut self) {
        let hot = self.hot_blocks();
        if hot.is_empty() {
            return;
        }
        if self.map_is_stale {
            self.map.refresh();
            self.map_is_stale = false;
        }
        let ways = self.ways_of_branches();
        let is_taken = |address| ways.get(&address).is_some_and(|[straight, taken]| taken > straight);
        let mut entries = BTreeMap::new();
        for number in hot {
            if self.code_next + 2 * BLOCK_BYTES_MAX > CODE_END || self.tables_are_nearly_full() {
                break;
            }
            let Block { head, entry, indirect, .. } = self.blocks[number];
            let Some(&range) = self.map.find(head) else { continue };
            let Some(path) = trace_path(&self.map, head, LONG, |_, address| is_taken(address)) else {
                continue;
            };
            let way = if indirect { Way::Indirect } else { Way::Direct };
            let again = self.translate(head, &path, LONG, range, way);
            let new_entry = self.blocks[again].entry;
            self.code.write(entry, &emit::jump(entry, new_entry));
            entries.insert(head, new_entry);
        }
        for (patch, target) in &self.links {
            if let Some(entry) = entries.get(target) {
                self.code.write(*patch, &(entry.wrapping_sub(patch + 4) as u32).to_le_bytes());
            }
        }
    }

    /// Blocks that are entered often and were not formed again yet.
    fn hot_blocks(&self) -> Vec<usize> {
        let counters = memory::counters(self.meanings.paths.len());
        let entered = |block: &Block| {
            let (first, count) = block.exits;
            counters[first as usize..(first + count) as usize].iter().sum::<u64>()
        };
        let is_current =
            |number: usize| self.by_head.get(&self.blocks[number].head) == Some(&(number as u32));
        let is_hot =
            |block: &Block| block.reach == SHORT && !block.volatile && entered(block) >= self.entered_min;
        (0..self.blocks.len()).filter(|&number| is_hot(&self.blocks[number]) && is_current(number)).collect()
    }

    /// How often each branch went straight on, and how often it was taken.
    fn ways_of_branches(&self) -> BTreeMap<u64, [u64; 2]> {
        let counters = memory::counters(self.meanings.paths.len());
        let mut ways: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
        for block in &self.blocks {
            let (first, count) = block.exits;
            // Who leaves behind a branch has passed it the other way.
            let mut behind = 0;
            for exit in (first as usize..(first + count) as usize).rev() {
                let left = counters[exit];
                if let Some(Turn { at, taken }) = self.turns[exit]
                    && left + behind > 0
                {
                    let ways = ways.entry(at).or_default();
                    ways[usize::from(taken)] += left;
                    ways[usize::from(!taken)] += behind;
                }
                behind += left;
            }
        }
        ways
    }
}
