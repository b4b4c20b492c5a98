//! One level of a set-associative cache.
//!
//! Decides hit or miss, and nothing else: what a miss costs is `invar_core::cost`'s business, which level is asked next
//! is [`crate::hierarchy`]'s. Lines are numbers; where a line lies is the caller's.
//!
//! A line is *settled* if touching it again would change nothing: with LRU the first of its set, with bit-PLRU one whose
//! bit is set. Whoever is told which lines are ([`Settling`]) need not ask about them again; that is what makes a fast
//! drain fast, and exact.
//!
//! Searches compare all ways of a set without a branch: which way has a line is as good as random, and a branch that is
//! mispredicted costs more than all comparisons.
//!
//! Invariant: a line is in at most one way of its set. Before a set is full its empty ways are the next to be taken.

use alloc::vec;
use alloc::vec::Vec;

use invar_core::machine::{self, Policy};

/// No line. The number of a line is an address divided by a line's size, so it is never this large.
const EMPTY: u64 = u64::MAX;

/// Is told which lines are settled. `()` does not listen.
pub trait Settling {
    /// This line is settled from now on.
    fn settled(&mut self, line: u64);
    /// This line, if it was settled, no longer is.
    fn unsettled(&mut self, line: u64);
}

impl Settling for () {
    fn settled(&mut self, _line: u64) {}
    fn unsettled(&mut self, _line: u64) {}
}

/// The lines that a cache holds.
#[derive(Debug, Clone)]
pub struct Level {
    ways: usize,
    set_mask: u64,
    /// `ways` lines a set.
    lines: Vec<u64>,
    replacement: Replacement,
    /// For every [`CHUNK_SETS`] sets: some of them may hold a line. What was never used need not be cleared.
    used: Vec<bool>,
}

/// Sets that are cleared together.
const CHUNK_SETS: usize = 64;

#[derive(Debug, Clone)]
enum Replacement {
    /// A word a set: its ways, four bits each, the most recent in the lowest.
    Lru { orders: Vec<u64> },
    /// More ways than fit in a word: the most recent line of a set comes first.
    WideLru,
    /// A word a set, a bit a way: touched since the others were cleared.
    BitPlru { touched: Vec<u64>, all: u64 },
}

impl Level {
    /// An empty cache.
    ///
    /// # Panics
    ///
    /// If the geometry is none (see [`machine::Cache::sets`]); a `Machine` that was parsed has no such cache.
    pub fn new(cache: &machine::Cache) -> Level {
        let sets = cache.sets().expect("a machine's cache has a power of two of sets");
        let ways = cache.ways as usize;
        let replacement = match cache.policy {
            Policy::Lru if ways <= ORDER_WAYS => Replacement::Lru { orders: vec![ORDER; sets as usize] },
            Policy::Lru => Replacement::WideLru,
            Policy::BitPlru => {
                Replacement::BitPlru { touched: vec![0; sets as usize], all: u64::MAX >> (64 - ways) }
            }
        };
        Level {
            ways,
            set_mask: sets - 1,
            lines: vec![EMPTY; sets as usize * ways],
            replacement,
            used: vec![false; (sets as usize).div_ceil(CHUNK_SETS)],
        }
    }

    /// Touches a line: is it there? Afterwards it is, and settled.
    #[inline]
    pub fn touch(&mut self, line: u64, told: &mut impl Settling) -> bool {
        let set = (line & self.set_mask) as usize;
        self.used[set / CHUNK_SETS] = true;
        let lines = &mut self.lines[set * self.ways..][..self.ways];
        match &mut self.replacement {
            Replacement::Lru { orders } => touch_lru(lines, &mut orders[set], line, told),
            Replacement::WideLru => touch_wide_lru(lines, line, told),
            Replacement::BitPlru { touched, all } => {
                touch_bit_plru(lines, &mut touched[set], *all, line, told)
            }
        }
    }

    /// Empties the cache.
    pub fn clear(&mut self) {
        let sets = self.set_mask as usize + 1;
        for (chunk, used) in self.used.iter_mut().enumerate() {
            if core::mem::take(used) {
                let sets = chunk * CHUNK_SETS..sets.min((chunk + 1) * CHUNK_SETS);
                self.lines[sets.start * self.ways..sets.end * self.ways].fill(EMPTY);
                match &mut self.replacement {
                    Replacement::Lru { orders } => orders[sets].fill(ORDER),
                    Replacement::WideLru => {}
                    Replacement::BitPlru { touched, .. } => touched[sets].fill(0),
                }
            }
        }
    }
}

/// How many ways fit in a word, and the first of all orders.
const ORDER_WAYS: usize = 16;
const ORDER: u64 = 0xfedc_ba98_7654_3210;

/// The order with `way`, which is in it, made the most recent.
#[inline]
fn made_recent(order: u64, way: usize) -> u64 {
    const ONES: u64 = 0x1111_1111_1111_1111;
    let differs = order ^ (way as u64 * ONES);
    // The lowest of these bits is the highest of the four that do not differ.
    let equal = differs.wrapping_sub(ONES) & !differs & (ONES << 3);
    let place = equal.trailing_zeros() - 3;
    let moved = u64::MAX >> (60 - place);
    order & !moved | (order << 4) & moved | way as u64
}

/// The way that has a line, if one has.
#[inline(always)]
fn find(lines: &[u64], line: u64) -> Option<usize> {
    fn bits<const WAYS: usize>(lines: &[u64; WAYS], line: u64) -> u64 {
        let mut bits = 0;
        for (way, &other) in lines.iter().enumerate() {
            bits |= u64::from(other == line) << way;
        }
        bits
    }
    let bits = if let Ok(lines) = lines.try_into() {
        bits::<8>(lines, line)
    } else if let Ok(lines) = lines.try_into() {
        bits::<16>(lines, line)
    } else {
        return lines.iter().position(|&other| other == line);
    };
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

#[inline]
fn touch_lru(lines: &mut [u64], order: &mut u64, line: u64, told: &mut impl Settling) -> bool {
    // The search needs nothing that the order says, so that the host's cache may be slow with both at once.
    let found = find(lines, line);
    let recent = *order as usize % ORDER_WAYS;
    let last = (*order >> (4 * (lines.len() - 1))) as usize % ORDER_WAYS;
    let way = found.unwrap_or(last);
    told.unsettled(lines[recent]);
    told.settled(line);
    lines[way] = line;
    *order = made_recent(*order, way);
    found.is_some()
}

fn touch_wide_lru(lines: &mut [u64], line: u64, told: &mut impl Settling) -> bool {
    if lines[0] == line {
        told.settled(line);
        return true;
    }
    told.unsettled(lines[0]);
    told.settled(line);
    // Every line in front of it moves one back, until it is met; what falls off the end is empty or least recently used.
    let mut moved = line;
    for way in lines {
        moved = core::mem::replace(way, moved);
        if moved == line {
            return true;
        }
    }
    false
}

fn touch_bit_plru(
    lines: &mut [u64],
    touched: &mut u64,
    all: u64,
    line: u64,
    told: &mut impl Settling,
) -> bool {
    let found = find(lines, line);
    // Only a cache of one way has all bits set at this point.
    let victim = || if *touched == all { 0 } else { (!*touched).trailing_zeros() as usize };
    let way = found.unwrap_or_else(victim);
    if found.is_none() {
        told.unsettled(lines[way]);
    }
    lines[way] = line;
    *touched |= 1 << way;
    if *touched == all {
        *touched = 1 << way;
        lines.iter().filter(|&&other| other != line).for_each(|&other| told.unsettled(other));
    }
    told.settled(line);
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Touches one-letter lines of a one-set, four-way cache; upper case marks a hit.
    #[track_caller]
    fn check(policy: Policy, lines: &str, expected: &str) {
        let mut level = Level::new(&machine::Cache { bytes: 256, ways: 4, policy });
        let seen: String = lines
            .chars()
            .map(|c| if level.touch(c as u64, &mut ()) { c.to_ascii_uppercase() } else { c })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lru_evicts_the_line_that_was_touched_longest_ago() {
        //                       a is refreshed, so e evicts b
        check(Policy::Lru, "abcdaeba", "abcdAebA");
    }

    #[test]
    fn lru_keeps_a_working_set_that_fits_and_loses_a_cycle_that_does_not() {
        check(Policy::Lru, "abcdabcdabcd", "abcdABCDABCD");
        check(Policy::Lru, "abcdeabcde", "abcdeabcde");
    }

    #[test]
    fn an_order_moves_what_was_more_recent_by_one() {
        assert_eq!(made_recent(ORDER, 0), ORDER);
        assert_eq!(made_recent(ORDER, 3), 0xfedc_ba98_7654_2103);
        assert_eq!(made_recent(ORDER, 15), 0xedcb_a987_6543_210f);
    }

    #[test]
    fn bit_plru_evicts_the_first_way_that_was_not_touched_of_late() {
        // d sets the last bit, which clears a's, b's and c's: e takes a's way, f b's.
        check(Policy::BitPlru, "abcdefcda", "abcdefCDa");
    }

    #[test]
    fn bit_plru_keeps_part_of_a_cycle_that_does_not_fit() {
        // The second round leaves e, a, b, d; c takes e's way, so d is still there.
        check(Policy::BitPlru, "abcdeabcde", "abcdeabcDe");
    }

    #[test]
    fn a_direct_mapped_cache_holds_one_line() {
        for policy in [Policy::Lru, Policy::BitPlru] {
            let mut level = Level::new(&machine::Cache { bytes: 64, ways: 1, policy });
            assert_eq!([1, 1, 2, 1].map(|line| level.touch(line, &mut ())), [false, true, false, false]);
        }
    }

    #[test]
    fn lines_of_other_sets_do_not_evict() {
        let mut level = Level::new(&machine::Cache { bytes: 128, ways: 1, policy: Policy::Lru });
        assert_eq!([2, 3, 2, 3].map(|line| level.touch(line, &mut ())), [false, false, true, true]);
    }

    /// Keeps the lines that it was told are settled.
    #[derive(Default)]
    struct Told(std::collections::BTreeSet<u64>);

    impl Settling for Told {
        fn settled(&mut self, line: u64) {
            self.0.insert(line);
        }
        fn unsettled(&mut self, line: u64) {
            self.0.remove(&line);
        }
    }

    #[test]
    fn touching_a_settled_line_changes_nothing() {
        for (policy, ways) in [(Policy::Lru, 1), (Policy::Lru, 4), (Policy::BitPlru, 1), (Policy::BitPlru, 4)]
        {
            let mut level = Level::new(&machine::Cache { bytes: u64::from(ways) * 128, ways, policy });
            let mut told = Told::default();
            let mut line = 1u64;
            for _ in 0..2000 {
                line = line.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                level.touch(line >> 60, &mut told);
                for &settled in &told.0 {
                    let mut again = level.clone();
                    assert!(
                        again.touch(settled, &mut ()),
                        "{policy:?}, {ways} ways: a settled line is there"
                    );
                    assert_eq!(format!("{again:?}"), format!("{level:?}"));
                }
            }
        }
    }

    #[test]
    fn a_cleared_cache_is_a_new_one() {
        for policy in [Policy::Lru, Policy::BitPlru] {
            let cache = machine::Cache { bytes: 512, ways: 4, policy };
            let mut level = Level::new(&cache);
            (0..9).for_each(|line| {
                level.touch(line, &mut ());
            });
            level.clear();
            let mut fresh = Level::new(&cache);
            for line in [0, 2, 4, 6, 8, 0, 2, 1, 1] {
                assert_eq!(level.touch(line, &mut ()), fresh.touch(line, &mut ()));
            }
        }
    }
}
