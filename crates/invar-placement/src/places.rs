//! Which addresses are taken, and where the next mapping goes: the highest gap that is large enough, as the kernel does.
//!
//! Pure: it maps nothing. Ranges are taken in order, never overlap, and touch nowhere (those that would are one).

/// Taken addresses, from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    start: u64,
    end: u64,
}

/// The taken ranges within `low..high`, at most `N`.
#[derive(Debug)]
pub struct Places<const N: usize> {
    low: u64,
    high: u64,
    count: usize,
    taken: [Taken; N],
}

/// There are too many ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<const N: usize> Places<N> {
    /// Nothing is taken.
    pub const fn new(low: u64, high: u64) -> Self {
        Places { low, high, count: 0, taken: [Taken { start: 0, end: 0 }; N] }
    }

    fn at(&self, index: usize) -> Option<Taken> {
        if index < self.count { self.taken.get(index).copied() } else { None }
    }

    /// Where `bytes` (not 0) can lie, as high as possible, at a multiple of `align` (a power of two).
    pub fn find(&self, bytes: u64, align: u64) -> Option<u64> {
        let mut ceiling = self.high;
        let mut index = self.count;
        loop {
            let below = index.checked_sub(1).and_then(|below| self.at(below));
            let floor = below.map_or(self.low, |taken| taken.end);
            if let Some(start) = ceiling.checked_sub(bytes) {
                let start = start & !(align - 1);
                if start >= floor {
                    return Some(start);
                }
            }
            ceiling = below?.start;
            index -= 1;
        }
    }

    /// Is nothing of the range taken, and all of it within the area?
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        let overlaps = |index| self.at(index).is_some_and(|taken| taken.start < end && start < taken.end);
        start >= self.low && end <= self.high && start < end && !overlaps(self.first_ending_after(start))
    }

    /// The first range whose end is above `address`.
    fn first_ending_after(&self, address: u64) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle).is_some_and(|taken| taken.end <= address) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Takes what of the range lies within the area; parts of it may be taken already.
    pub fn take(&mut self, start: u64, end: u64) -> Result<(), Full> {
        let (mut start, mut end) = (start.max(self.low), end.min(self.high));
        if start >= end {
            return Ok(());
        }
        // Those that overlap or touch become one.
        let first = self.first_ending_after(start.saturating_sub(1));
        let mut after = first;
        while let Some(taken) = self.at(after).filter(|taken| taken.start <= end) {
            start = start.min(taken.start);
            end = end.max(taken.end);
            after += 1;
        }
        self.replace(first, after, &[Taken { start, end }])
    }

    /// Gives back what of the range is taken.
    pub fn give_back(&mut self, start: u64, end: u64) -> Result<(), Full> {
        let (start, end) = (start.max(self.low), end.min(self.high));
        if start >= end {
            return Ok(());
        }
        let first = self.first_ending_after(start);
        let mut after = first;
        let mut left = None;
        let mut right = None;
        while let Some(taken) = self.at(after).filter(|taken| taken.start < end) {
            if taken.start < start {
                left = Some(Taken { start: taken.start, end: start });
            }
            if taken.end > end {
                right = Some(Taken { start: end, end: taken.end });
            }
            after += 1;
        }
        match (left, right) {
            (Some(left), Some(right)) => self.replace(first, after, &[left, right]),
            (Some(one), None) | (None, Some(one)) => self.replace(first, after, &[one]),
            (None, None) => self.replace(first, after, &[]),
        }
    }

    /// Puts `by` in the place of the ranges from `first` up to `after`.
    ///
    /// Word by word from one end or the other: a call of libc's `memmove` would lead into memory that is no more.
    fn replace(&mut self, first: usize, after: usize, by: &[Taken]) -> Result<(), Full> {
        let (before, now) = (after - first, by.len());
        if self.count - before + now > N {
            return Err(Full);
        }
        if now > before {
            let step = now - before;
            let mut index = self.count;
            while index > after {
                index -= 1;
                self.copy(index, index + step);
            }
        } else if now < before {
            let step = before - now;
            let mut index = after;
            while index < self.count {
                self.copy(index, index - step);
                index += 1;
            }
        }
        for (offset, taken) in by.iter().enumerate() {
            if let Some(place) = self.taken.get_mut(first + offset) {
                *place = *taken;
            }
        }
        self.count = self.count - before + now;
        Ok(())
    }

    fn copy(&mut self, from: usize, to: usize) {
        // Without this the loops above are recognised, and become a call of memmove.
        let from = core::hint::black_box(from);
        if let Some(taken) = self.taken.get(from).copied()
            && let Some(place) = self.taken.get_mut(to)
        {
            *place = taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Small = Places<64>;

    fn taken(places: &Small) -> Vec<(u64, u64)> {
        places.taken[..places.count].iter().map(|taken| (taken.start, taken.end)).collect()
    }

    #[test]
    fn the_first_mapping_is_highest_and_the_next_below_it() {
        let mut places = Small::new(0, 100);
        assert_eq!(places.find(10, 1), Some(90));
        places.take(90, 100).unwrap();
        assert_eq!(places.find(10, 1), Some(80));
    }

    #[test]
    fn a_hole_is_filled_if_it_is_large_enough() {
        let mut places = Small::new(0, 100);
        places.take(50, 100).unwrap();
        places.give_back(80, 90).unwrap();
        assert_eq!([places.find(10, 1), places.find(11, 1)], [Some(80), Some(39)]);
    }

    #[test]
    fn an_alignment_is_kept() {
        let mut places = Small::new(0, 100);
        places.take(60, 100).unwrap();
        assert_eq!(places.find(10, 16), Some(48));
    }

    #[test]
    fn where_nothing_is_left_nothing_is_found() {
        let mut places = Small::new(10, 100);
        places.take(20, 100).unwrap();
        assert_eq!([places.find(10, 1), places.find(11, 1)], [Some(10), None]);
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let mut places = Small::new(0, 100);
        places.take(10, 20).unwrap();
        places.take(30, 40).unwrap();
        places.take(20, 30).unwrap();
        assert_eq!(taken(&places), [(10, 40)]);
    }

    #[test]
    fn what_lies_outside_of_the_area_is_not_noted() {
        let mut places = Small::new(50, 100);
        places.take(0, 40).unwrap();
        places.take(90, 200).unwrap();
        assert_eq!(taken(&places), [(90, 100)]);
    }

    #[test]
    fn too_many_ranges_are_refused_and_change_nothing() {
        let mut places = Places::<2>::new(0, 100);
        places.take(10, 20).unwrap();
        places.take(30, 60).unwrap();
        assert_eq!(places.give_back(40, 50), Err(Full));
        assert!(!places.is_free(40, 50));
    }

    proptest! {
        #[test]
        fn every_address_is_taken_or_free_as_a_list_of_all_addresses_says(
            steps in proptest::collection::vec((any::<bool>(), 0u64..120, 1u64..40), 1..60),
            bytes in 1u64..30,
        ) {
            let mut places = Small::new(10, 110);
            let mut model = [false; 256];
            for (takes, start, bytes) in steps {
                let end = start + bytes;
                if takes { places.take(start, end).unwrap() } else { places.give_back(start, end).unwrap() }
                (start.max(10)..end.min(110)).for_each(|at| model[at as usize] = takes);
            }
            for at in 10..110 {
                prop_assert_eq!(places.is_free(at, at + 1), !model[at as usize], "{}", at);
            }
            let free = |start: u64| (start..start + bytes).all(|at| !model[at as usize]);
            let highest = (10..=110 - bytes).rev().find(|&start| free(start));
            prop_assert_eq!(places.find(bytes, 1), highest);
            prop_assert!(taken(&places).windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
