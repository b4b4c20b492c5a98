//! Sorting by numbers, without comparing: what is told at a region's end are a hundred thousand small things.
//!
//! Comparing them took as long as all the rest of telling.

use alloc::vec;
use alloc::vec::Vec;

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// Shorter lists are compared.
const SHORT: usize = 512;

/// Sorts by key. What has the same key stays in its order.
pub(super) fn sort<T: Copy>(list: &mut Vec<T>, key: impl Fn(&T) -> u64) {
    if list.len() < SHORT {
        list.sort_by_key(key);
        return;
    }
    let (all, any) = list.iter().map(&key).fold((u64::MAX, 0), |(all, any), key| (all & key, any | key));
    // Bits in which keys differ.
    let unlike = all ^ any;
    let mut spare = list.clone();
    let mut shift = 0;
    while shift < u64::BITS && unlike >> shift != 0 {
        // Where they are all alike there is nothing to sort by.
        shift += (unlike >> shift).trailing_zeros();
        let digit = |item: &T| (key(item) >> shift) as usize % DIGITS;
        let mut places = vec![0_u32; DIGITS];
        list.iter().for_each(|item| places[digit(item)] += 1);
        let mut next = 0;
        for place in &mut places {
            next += core::mem::replace(place, next);
        }
        for item in list.iter() {
            let place = &mut places[digit(item)];
            spare[*place as usize] = *item;
            *place += 1;
        }
        core::mem::swap(list, &mut spare);
        shift += DIGIT_BITS;
    }
}

/// A list by group: what is of one group is together, and in the order of the list.
pub(super) struct Grouped<T> {
    items: Vec<T>,
    /// Where the items of each group end, and those of the next start.
    ends: Vec<u32>,
}

impl<T: Copy> Grouped<T> {
    /// `group` is below `groups`.
    pub fn new(list: &[T], groups: usize, group: impl Fn(&T) -> usize) -> Grouped<T> {
        let mut ends = vec![0_u32; groups];
        list.iter().for_each(|item| ends[group(item)] += 1);
        let mut next = 0;
        for end in &mut ends {
            next += core::mem::replace(end, next);
        }
        let mut items = list.to_vec();
        for item in list {
            let place = &mut ends[group(item)];
            items[*place as usize] = *item;
            *place += 1;
        }
        Grouped { items, ends }
    }

    /// How many items there are in all groups.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.ends.len()
    }

    /// The items of a group.
    #[inline]
    pub fn of(&mut self, group: usize) -> &mut [T] {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &mut self.items[start as usize..self.ends[group] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_group_is_together_and_in_its_order() {
        let list: Vec<(usize, usize)> = (0..1000).map(|index| (index * 7 % 13 * 2, index)).collect();
        let mut grouped = Grouped::new(&list, 26, |item| item.0);
        assert_eq!((grouped.len(), grouped.groups()), (1000, 26));
        for group in 0..26 {
            let expected: Vec<_> = list.iter().copied().filter(|item| item.0 == group).collect();
            assert_eq!(grouped.of(group), expected);
        }
    }

    #[test]
    fn lists_of_every_length_are_sorted_and_what_is_alike_keeps_its_order() {
        for length in [0, 1, 100, 511, 512, 5000] {
            for bits in [1, 12, 40, 64] {
                let (cut, spread) = (64 - bits, (64 - bits) / 2);
                let mut chance = 1_u64;
                let mut list: Vec<(u64, usize)> = (0..length)
                    .map(|index| {
                        chance = chance.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        ((chance ^ chance >> 32) >> cut << spread, index)
                    })
                    .collect();
                let mut expected = list.clone();
                expected.sort();
                sort(&mut list, |item| item.0);
                assert_eq!(list, expected, "{length} numbers of {bits} bits");
            }
        }
    }
}
