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

#[cfg(test)]
mod tests {
    use super::*;

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
