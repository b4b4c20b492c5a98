//! The entries of a directory in the order of their names: which order a file system has is its own matter, and who imports
//! what it finds in a directory has another heap by another order.
//!
//! Pure: bytes as `getdents64` returns them. One call's answer is sorted at a time, so a directory whose entries do not fit
//! into the caller's buffer (glibc's: 32 KiB, some thousand entries) keeps the file system's order from buffer to buffer.

use crate::facts;

/// The longest answer that is sorted.
pub const BYTES_MAX: usize = 128 << 10;
/// The shortest record: number, offset, length, type, a name of one byte and its end, up to a multiple of eight.
const RECORD_BYTES_MIN: usize = 24;
const ENTRIES_MAX: usize = BYTES_MAX / RECORD_BYTES_MIN;

/// A record begins with the number of its file; where it has its offset, its length and its name.
const NUMBER_BYTES: usize = 8;
const OFFSET: usize = 8;
const OFFSET_BYTES: usize = 8;
const LENGTH: usize = 16;
const NAME: usize = 19;

/// Room to sort in.
pub struct Room {
    copy: [u8; BYTES_MAX],
    /// Where the records are, in the copy.
    places: [u32; ENTRIES_MAX],
}

impl Room {
    /// Nothing but zeros.
    pub const EMPTY: Room = Room { copy: [0; BYTES_MAX], places: [0; ENTRIES_MAX] };

    /// Sorts the records. What is longer than there is room, or no list of records, stays as it is.
    ///
    /// Offsets stay where they are, so that the last one is where the directory goes on.
    pub fn sort(&mut self, records: &mut [u8]) {
        let Some(count) = self.find(records) else { return };
        // A heap sort: in place, and no directory is a bad one for it.
        let mut start = count / 2;
        while start > 0 {
            start -= 1;
            self.sift(start, count);
        }
        let mut end = count;
        while end > 1 {
            end -= 1;
            self.swap(0, end);
            self.sift(0, end);
        }
        // `before` goes through the records as they were, for their offsets.
        let (mut at, mut before) = (0, 0);
        let mut index = 0;
        while index < count {
            let from = self.place(index);
            let length = self.length(from);
            copy(records, at, &self.copy, from, length);
            copy(records, at + OFFSET, &self.copy, before + OFFSET, OFFSET_BYTES);
            // The number as `stat` says it.
            let mut number = [0; NUMBER_BYTES];
            copy(&mut number, 0, &self.copy, from, NUMBER_BYTES);
            let number = facts::file(u64::from_le_bytes(number)).to_le_bytes();
            copy(records, at, &number, 0, NUMBER_BYTES);
            at += length;
            before += self.length(before);
            index += 1;
        }
    }

    /// Copies the records and notes where they are.
    fn find(&mut self, records: &[u8]) -> Option<usize> {
        if records.len() > BYTES_MAX {
            return None;
        }
        copy(&mut self.copy, 0, records, 0, records.len());
        let (mut at, mut count) = (0, 0);
        while at < records.len() {
            let length = self.length(at);
            if length < RECORD_BYTES_MIN || at + length > records.len() {
                return None;
            }
            *self.places.get_mut(count)? = at as u32;
            at += length;
            count += 1;
        }
        Some(count)
    }

    fn place(&self, index: usize) -> usize {
        self.places.get(index).map_or(0, |&place| place as usize)
    }

    fn length(&self, at: usize) -> usize {
        length(&self.copy, at)
    }

    fn swap(&mut self, one: usize, two: usize) {
        let (first, second) = (self.place(one) as u32, self.place(two) as u32);
        if let Some(place) = self.places.get_mut(one) {
            *place = second;
        }
        if let Some(place) = self.places.get_mut(two) {
            *place = first;
        }
    }

    fn sift(&mut self, mut root: usize, end: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.is_less(child, child + 1) {
                child += 1;
            }
            if !self.is_less(root, child) {
                return;
            }
            self.swap(root, child);
            root = child;
        }
    }

    /// By name, byte by byte, to its end.
    fn is_less(&self, one: usize, two: usize) -> bool {
        let (one, two) = (self.place(one) + NAME, self.place(two) + NAME);
        let byte = |at: usize| self.copy.get(at).copied().unwrap_or(0);
        let mut offset = 0;
        loop {
            let (a, b) = (byte(one + offset), byte(two + offset));
            if a != b || a == 0 {
                return a < b;
            }
            offset += 1;
        }
    }
}

/// Copies bytes, one by one: a call of libc's `memcpy` would lead into memory that is no more.
fn copy(to: &mut [u8], at: usize, from: &[u8], from_at: usize, length: usize) {
    let mut byte = 0;
    while byte < length {
        if let (Some(place), Some(&value)) = (to.get_mut(at + byte), from.get(from_at + byte)) {
            *place = value;
        }
        // Without this the loop is recognised.
        byte = core::hint::black_box(byte + 1);
    }
}

/// The length of the record at `at`.
fn length(records: &[u8], at: usize) -> usize {
    let byte = |at: usize| records.get(at).copied().map_or(0, usize::from);
    byte(at + LENGTH) | byte(at + LENGTH + 1) << 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(names: &[&str]) -> Vec<u8> {
        let mut all = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let length = (NAME + name.len() + 1).next_multiple_of(8);
            let mut record = vec![0; length];
            record[..8].copy_from_slice(&(name.len() as u64 + 100).to_le_bytes());
            record[8..16].copy_from_slice(&(index as u64 + 1).to_le_bytes());
            record[16..18].copy_from_slice(&(length as u16).to_le_bytes());
            record[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
            all.extend(record);
        }
        all
    }

    /// Number, offset, name.
    fn read(records: &[u8]) -> Vec<(u64, u64, String)> {
        let mut at = 0;
        let mut all = Vec::new();
        while at < records.len() {
            let word = |at: usize| u64::from_le_bytes(records[at..at + 8].try_into().unwrap());
            let name = records[at + NAME..].split(|&byte| byte == 0).next().unwrap();
            all.push((word(at), word(at + 8), String::from_utf8(name.to_vec()).unwrap()));
            at += length(records, at);
        }
        all
    }

    fn sorted(mut records: Vec<u8>) -> Vec<u8> {
        let mut room = Room::EMPTY;
        room.sort(&mut records);
        records
    }

    #[test]
    fn entries_are_in_the_order_of_their_names_and_offsets_stay() {
        let all = read(&sorted(records(&["longer-than-eight", "b", ".", "a"])));
        // The number of a file is large, as `stat` says it.
        const FAR: u64 = 1 << 40;
        let expected = [
            (101 + FAR, 1, "."),
            (101 + FAR, 2, "a"),
            (101 + FAR, 3, "b"),
            (117 + FAR, 4, "longer-than-eight"),
        ];
        assert_eq!(all, expected.map(|(number, offset, name)| (number, offset, name.to_string())));
    }

    #[test]
    fn no_entries_are_no_entries() {
        assert_eq!(sorted(Vec::new()), Vec::<u8>::new());
    }

    #[test]
    fn what_is_no_list_of_records_stays_as_it_is() {
        let mut broken = records(&["b", "a"]);
        broken[16] = 200;
        assert_eq!(sorted(broken.clone()), broken);
        let long = vec![1; BYTES_MAX + 1];
        assert_eq!(sorted(long.clone()), long);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_sort_of_the_standard_library_agrees(names in proptest::collection::hash_set("[a-c.]{1,30}", 0..200)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found: Vec<String> = read(&sorted(records(&names))).into_iter().map(|(_, _, name)| name).collect();
            let mut expected = names.clone();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
