//! One level of a set-associative cache.
//!
//! Decides hit or miss, and nothing else: what a miss costs is `invar_core::cost`'s business, which level is asked next
//! is [`crate::hierarchy`]'s. Lines are numbers; where a line lies is the caller's.
//!
//! A line is *settled* if touching it again would change nothing: with LRU the first of its set, with bit-PLRU one whose
//! bit is set. Whoever is told which lines are ([`Settling`]) need not ask about them again; that is what makes a fast
//! drain fast, and exact.
//!
//! A touch has no branch on which way has the line, or on whether one has: both are as good as random, and a branch that is
//! mispredicted costs more than all comparisons.
//!
//! Invariant: a line is in at most one way of its set. Before a set is full its empty ways are the next to be taken.

use alloc::vec;
use alloc::vec::Vec;

use invar_core::machine::{self, Policy};

/// No line. The number of a line is an address divided by a line's size, so it is never this large.
const EMPTY: u64 = u64::MAX;

/// Is told which lines are settled, and at which place of the cache: below [`Level::places`], the same for as long as a line stays
/// settled. `()` does not listen.
pub trait Settling {
    /// This line is settled from now on.
    fn settled(&mut self, line: u64, place: usize);
    /// This line, if it was settled, no longer is.
    fn unsettled(&mut self, line: u64, place: usize);
}

impl Settling for () {
    fn settled(&mut self, _line: u64, _place: usize) {}
    fn unsettled(&mut self, _line: u64, _place: usize) {}
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

/// Words in a line of the host's caches.
const HOST_LINE_WORDS: usize = 8;

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

    /// How many lines it has room for.
    pub fn places(&self) -> usize {
        self.lines.len()
    }

    /// How many sets they are in.
    pub fn sets(&self) -> usize {
        self.set_mask as usize + 1
    }

    /// Reads what [`Level::touch`] will need of a line's set, for the host to have it at hand then. The value says nothing.
    #[inline]
    pub fn peek(&self, line: u64) -> u64 {
        let set = (line & self.set_mask) as usize;
        let order = match &self.replacement {
            Replacement::Lru { orders } => orders[set],
            Replacement::WideLru => 0,
            Replacement::BitPlru { touched, .. } => touched[set],
        };
        let lines = self.lines[set * self.ways..][..self.ways].iter().step_by(HOST_LINE_WORDS);
        lines.fold(order, |sum, line| sum ^ line)
    }

    /// Touches a line: is it there? Afterwards it is, and settled.
    #[inline]
    pub fn touch(&mut self, line: u64, told: &mut impl Settling) -> bool {
        let set = (line & self.set_mask) as usize;
        self.used[set / CHUNK_SETS] = true;
        let first = set * self.ways;
        let of_set = Set { first, lines: &mut self.lines[first..][..self.ways] };
        match &mut self.replacement {
            Replacement::Lru { orders } => of_set.touch_lru(&mut orders[set], line, told),
            Replacement::WideLru => of_set.touch_wide_lru(line, told),
            Replacement::BitPlru { touched, all } => {
                of_set.touch_bit_plru(&mut touched[set], *all, line, told)
            }
        }
    }

    /// Touches the line at a place that somebody was told of. Nothing is searched for.
    #[inline]
    pub fn touch_held(&mut self, place: usize, told: &mut impl Settling) {
        let line = self.lines[place];
        let set = (line & self.set_mask) as usize;
        let first = set * self.ways;
        let of_set = Set { first, lines: &mut self.lines[first..][..self.ways] };
        match &mut self.replacement {
            Replacement::Lru { orders } => of_set.make_recent(&mut orders[set], place - first, line, told),
            Replacement::WideLru => {
                of_set.touch_wide_lru(line, told);
            }
            Replacement::BitPlru { touched, all } => {
                of_set.mark(&mut touched[set], *all, place - first, line, told);
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

/// The ways that have a line, a bit each: none or one.
#[inline(always)]
fn find(lines: &[u64], line: u64) -> u64 {
    fn bits<const WAYS: usize>(lines: &[u64; WAYS], line: u64) -> u64 {
        let mut bits = 0;
        for (way, &other) in lines.iter().enumerate() {
            bits |= u64::from(other == line) << way;
        }
        bits
    }
    if let Ok(lines) = lines.try_into() {
        bits::<8>(lines, line)
    } else if let Ok(lines) = lines.try_into() {
        bits::<16>(lines, line)
    } else {
        lines.iter().position(|&other| other == line).map_or(0, |way| 1 << way)
    }
}

/// The lines of a set, and the place of the first.
struct Set<'a> {
    first: usize,
    lines: &'a mut [u64],
}

impl Set<'_> {
    #[inline]
    fn touch_lru(self, order: &mut u64, line: u64, told: &mut impl Settling) -> bool {
        // The search needs nothing that the order says, so that the host's cache may be slow with both at once.
        let found = find(self.lines, line);
        let last = (*order >> (4 * (self.lines.len() - 1))) as usize % ORDER_WAYS;
        let way = if found == 0 { last } else { found.trailing_zeros() as usize };
        self.make_recent(order, way, line, told);
        found != 0
    }

    /// The line is at this way from now on, and the most recent.
    #[inline]
    fn make_recent(self, order: &mut u64, way: usize, line: u64, told: &mut impl Settling) {
        let Set { first, lines } = self;
        let recent = *order as usize % ORDER_WAYS;
        told.unsettled(lines[recent], first + recent);
        told.settled(line, first + way);
        lines[way] = line;
        *order = made_recent(*order, way);
    }

    /// The line that is settled is always at the first place.
    fn touch_wide_lru(self, line: u64, told: &mut impl Settling) -> bool {
        let Set { first, lines } = self;
        if lines[0] == line {
            told.settled(line, first);
            return true;
        }
        told.unsettled(lines[0], first);
        told.settled(line, first);
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

    #[inline]
    fn touch_bit_plru(self, touched: &mut u64, all: u64, line: u64, told: &mut impl Settling) -> bool {
        let found = find(self.lines, line);
        let ways = if found == 0 { !*touched } else { found };
        // Only a cache of one way has all bits set at this point. Otherwise what is evicted was not settled.
        let way = if all == 1 { 0 } else { ways.trailing_zeros() as usize };
        if all == 1 {
            told.unsettled(self.lines[way], self.first + way);
        }
        self.mark(touched, all, way, line, told);
        found != 0
    }

    /// The line is at this way from now on, and touched.
    #[inline]
    fn mark(self, touched: &mut u64, all: u64, way: usize, line: u64, told: &mut impl Settling) {
        let Set { first, lines } = self;
        lines[way] = line;
        *touched |= 1 << way;
        if *touched == all {
            *touched = 1 << way;
            for (place, &other) in (first..).zip(lines.iter()) {
                told.unsettled(other, place);
            }
        }
        told.settled(line, first + way);
    }
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

    /// Keeps the lines that it was told are settled, and where.
    #[derive(Default)]
    struct Told(std::collections::BTreeMap<u64, usize>);

    impl Settling for Told {
        fn settled(&mut self, line: u64, place: usize) {
            self.0.insert(line, place);
        }
        fn unsettled(&mut self, line: u64, place: usize) {
            if let Some(settled_at) = self.0.remove(&line) {
                assert_eq!(place, settled_at);
            }
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
                for &settled in told.0.keys() {
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
    fn touching_a_line_where_it_is_known_to_be_is_touching_it() {
        for (policy, ways) in [
            (Policy::Lru, 1),
            (Policy::Lru, 4),
            (Policy::Lru, 17),
            (Policy::BitPlru, 1),
            (Policy::BitPlru, 4),
        ] {
            let mut level = Level::new(&machine::Cache { bytes: ways * 128, ways: ways as u32, policy });
            let mut line = 1u64;
            for _ in 0..2000 {
                line = line.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                level.touch(line >> 58, &mut ());
                for place in 0..level.places() {
                    let held = level.lines[place];
                    if held == EMPTY {
                        continue;
                    }
                    let (mut searched, mut known) = (level.clone(), level.clone());
                    let (mut told_searching, mut told_knowing) = (Told::default(), Told::default());
                    assert!(searched.touch(held, &mut told_searching));
                    known.touch_held(place, &mut told_knowing);
                    assert_eq!(format!("{known:?}"), format!("{searched:?}"), "{policy:?}, {ways} ways");
                    assert_eq!(told_knowing.0, told_searching.0);
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
