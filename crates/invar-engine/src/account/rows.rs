//! How often each exit was taken within each call: a table by both.

use alloc::vec::Vec;

/// An exit within a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The call.
    pub call: u32,
    /// The exit.
    pub exit: u32,
    /// How often.
    pub times: u64,
    /// The call that it leads into, once known; 0 before.
    pub next: u32,
}

/// All rows, in the order in which they were first met.
pub struct Rows {
    rows: Vec<Row>,
    /// Numbers of rows plus one, by a hash of what they are for; 0 where there is none. As many as a power of two, and never
    /// more than half of them taken.
    places: Vec<u32>,
}

const PLACES_MIN: usize = 1 << 12;

impl Rows {
    pub fn new() -> Rows {
        Rows { rows: Vec::new(), places: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.places.clear();
    }

    pub fn all(&self) -> &[Row] {
        &self.rows
    }

    pub fn row_mut(&mut self, number: u32) -> &mut Row {
        &mut self.rows[number as usize]
    }

    /// Counts an exit within a call; says in which row.
    #[inline]
    pub fn count(&mut self, call: u32, exit: u32) -> u32 {
        if !self.places.is_empty() {
            let mask = self.places.len() - 1;
            let mut place = hash(call, exit) & mask;
            loop {
                let number = self.places[place];
                if number == 0 {
                    break;
                }
                let row = &mut self.rows[number as usize - 1];
                if row.call == call && row.exit == exit {
                    row.times += 1;
                    return number - 1;
                }
                place = (place + 1) & mask;
            }
        }
        self.insert(call, exit)
    }

    #[cold]
    fn insert(&mut self, call: u32, exit: u32) -> u32 {
        self.rows.push(Row { call, exit, times: 1, next: 0 });
        if 2 * self.rows.len() > self.places.len() {
            let places = (4 * self.rows.len()).next_power_of_two().max(PLACES_MIN);
            self.places.clear();
            self.places.resize(places, 0);
            for number in 0..self.rows.len() {
                self.enter(number as u32);
            }
        } else {
            self.enter(self.rows.len() as u32 - 1);
        }
        self.rows.len() as u32 - 1
    }

    fn enter(&mut self, number: u32) {
        let Row { call, exit, .. } = self.rows[number as usize];
        let mask = self.places.len() - 1;
        let mut place = hash(call, exit) & mask;
        while self.places[place] != 0 {
            place = (place + 1) & mask;
        }
        self.places[place] = number + 1;
    }
}

/// Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
#[inline]
fn hash(call: u32, exit: u32) -> usize {
    let key = u64::from(call) << 32 | u64::from(exit);
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_one_row_however_many_there_are() {
        let mut rows = Rows::new();
        for round in 0..3 {
            for call in 0..100 {
                for exit in 0..100 {
                    assert_eq!(rows.count(call, exit), call * 100 + exit, "round {round}");
                }
            }
        }
        assert!(rows.all().iter().all(|row| row.times == 3));
    }
}
