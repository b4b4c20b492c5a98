//! Which line an instruction of Python code is of.
//!
//! CPython keeps a table beside its code, in a form of each version's own; the bytes are read elsewhere. Pure: nothing is known
//! here of code or of memory, and a table may hold anything.
//!
//! Invariant: starts rise, the first is 0, and neighbours are of unlike lines.

use alloc::vec::Vec;

/// What a table's bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CPython 3.9, `co_lnotab`: how far to the next instruction of another line, and how many lines farther; a byte each.
    Steps,
    /// CPython 3.10, `co_linetable`: how many bytes of code, and how many lines farther than those before; a byte each.
    Ranges,
    /// From CPython 3.11 on, `co_linetable`: entries with columns, for so many units of two bytes.
    Locations,
}

/// The lines of one code object. Line 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineTable {
    /// Offset of the first instruction, and its line.
    starts: Vec<(u32, u32)>,
}

impl LineTable {
    /// Reads a table. `first` is the line that code begins at. `None` where the bytes are no such table.
    pub fn read(format: Format, bytes: &[u8], first: u32) -> Option<LineTable> {
        let mut table = LineTable { starts: Vec::new() };
        match format {
            Format::Steps => table.steps(bytes, first)?,
            Format::Ranges => table.ranges(bytes, first)?,
            Format::Locations => table.locations(bytes, first)?,
        }
        Some(table)
    }

    /// The line of the instruction that is so many bytes from the first; 0 if it has none.
    pub fn line(&self, offset: u32) -> u32 {
        let after = self.starts.partition_point(|&(start, _)| start <= offset);
        after.checked_sub(1).map_or(0, |index| self.starts[index].1)
    }

    /// Offsets where another line begins, and the line.
    pub fn starts(&self) -> &[(u32, u32)] {
        &self.starts
    }

    /// From here on code is of this line.
    fn begin(&mut self, offset: u32, line: i64) {
        let line = u32::try_from(line).unwrap_or(0);
        if self.starts.last().is_some_and(|&(start, _)| start == offset) {
            self.starts.pop();
        }
        if self.starts.last().is_none_or(|&(_, before)| before != line) {
            self.starts.push((offset, line));
        }
    }

    fn steps(&mut self, bytes: &[u8], first: u32) -> Option<()> {
        let (mut offset, mut line) = (0_u32, i64::from(first));
        self.begin(0, line);
        for pair in bytes.chunks(2) {
            let &[farther, lines] = pair else { return None };
            offset = offset.checked_add(u32::from(farther))?;
            line += i64::from(lines as i8);
            self.begin(offset, line);
        }
        Some(())
    }

    fn ranges(&mut self, bytes: &[u8], first: u32) -> Option<()> {
        /// Code of no line.
        const NONE: i8 = -128;
        let (mut offset, mut line) = (0_u32, i64::from(first));
        for pair in bytes.chunks(2) {
            let &[length, lines] = pair else { return None };
            let here = match lines as i8 {
                NONE => 0,
                lines => {
                    line += i64::from(lines);
                    line
                }
            };
            if length > 0 {
                self.begin(offset, here);
                offset = offset.checked_add(u32::from(length))?;
            }
        }
        Some(())
    }

    fn locations(&mut self, bytes: &[u8], first: u32) -> Option<()> {
        let (mut offset, mut line) = (0_u32, i64::from(first));
        let mut rest = bytes;
        while let Some((&head, tail)) = rest.split_first() {
            if head & 0x80 == 0 {
                return None;
            }
            let end = tail.iter().position(|byte| byte & 0x80 != 0).unwrap_or(tail.len());
            let (entry, next) = tail.split_at(end);
            let here = match head >> 3 & 15 {
                15 => 0,
                code => {
                    line = line.checked_add(match code {
                        13 | 14 => signed(entry)?,
                        10..=12 => i64::from(code - 10),
                        _ => 0,
                    })?;
                    line
                }
            };
            self.begin(offset, here);
            offset = offset.checked_add(2 * (u32::from(head & 7) + 1))?;
            rest = next;
        }
        Some(())
    }
}

/// The number that an entry begins with: six bits a byte, the lowest first; the lowest bit of all is the sign.
fn signed(entry: &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for (byte, shift) in entry.iter().zip((0..60).step_by(6)) {
        number |= u64::from(byte & 0x3f) << shift;
        if byte & 0x40 == 0 {
            let magnitude = (number >> 1) as i64;
            return Some(if number & 1 == 1 { -magnitude } else { magnitude });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a function that CPython has made of
    ///
    /// ```python
    /// def f(n):
    ///     t = 0
    ///     for i in range(n):
    ///         t += i
    ///
    ///     return t
    /// ```
    #[track_caller]
    fn check(format: Format, bytes: &[u8], expected: &[(u32, u32)]) {
        assert_eq!(LineTable::read(format, bytes, 1).unwrap().starts(), expected);
    }

    #[test]
    fn the_table_of_3_9_says_where_lines_begin() {
        check(Format::Steps, &[0, 1, 4, 1, 12, 1, 10, 2], &[(0, 2), (4, 3), (16, 4), (26, 6)]);
    }

    #[test]
    fn the_table_of_3_10_says_how_long_lines_are() {
        check(Format::Ranges, &[4, 1, 12, 1, 10, 1, 4, 2], &[(0, 2), (4, 3), (16, 4), (26, 6)]);
    }

    #[test]
    fn the_table_from_3_11_on_tells_every_instruction() {
        #[rustfmt::skip]
        let of_3_11 = [
            0x80, 0x00, 0xd8, 0x08, 0x09, 0x80, 0x41, 0xdd, 0x0d, 0x12, 0x90, 0x31, 0x89, 0x58, 0x8c, 0x58, 0xf0, 0x00, 0x01, 0x05, 0x0f, 0xf0,
            0x00, 0x01, 0x05, 0x0f, 0x88, 0x01, 0xd8, 0x08, 0x09, 0x88, 0x51, 0x89, 0x06, 0x88, 0x01, 0x88, 0x01, 0xe0, 0x0b, 0x0c, 0x80, 0x48,
        ];
        check(Format::Locations, &of_3_11, &[(0, 1), (2, 2), (6, 3), (40, 4), (52, 6)]);
        #[rustfmt::skip]
        let of_3_13 = [
            0x80, 0x00, 0xd8, 0x08, 0x09, 0x80, 0x41, 0xdc, 0x0d, 0x12, 0x90, 0x31, 0x8e, 0x58, 0x88, 0x01, 0xd8, 0x08,
            0x09, 0x89, 0x06, 0x8a, 0x01, 0xf1, 0x03, 0x00, 0x0e, 0x16, 0xf0, 0x06, 0x00, 0x0c, 0x0d, 0x80, 0x48,
        ];
        check(Format::Locations, &of_3_13, &[(0, 1), (2, 2), (6, 3), (34, 4), (46, 3), (50, 6)]);
    }
    #[test]
    fn a_line_lasts_until_the_next_begins() {
        let table = LineTable::read(Format::Ranges, &[4, 1, 2, 0x80, 6, 2], 10).unwrap();
        assert_eq!([0, 3, 4, 5, 6, 99].map(|offset| table.line(offset)), [11, 11, 0, 0, 13, 13]);
        assert_eq!(LineTable::read(Format::Ranges, &[], 10).unwrap().line(0), 0);
    }

    #[test]
    fn long_ways_take_several_steps() {
        // 300 bytes and 200 lines, up and down.
        let steps = [255, 0, 45, 127, 0, 73, 2, 0x80, 0, 0x80];
        let table = LineTable::read(Format::Steps, &steps, 1).unwrap();
        assert_eq!(table.starts(), [(0, 1), (300, 201), (302, 0)], "there is no line -55");
        let locations = [0xf0, 0x50, 0x06, 0x80, 0, 0xf8, 0xe8, 0x03];
        let table = LineTable::read(Format::Locations, &locations, 1).unwrap();
        assert_eq!(table.starts(), [(0, 201), (4, 0), (6, 200)]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(LineTable::read(Format::Steps, &[1], 1), None);
        assert_eq!(LineTable::read(Format::Ranges, &[2, 1, 2], 1), None);
        assert_eq!(
            LineTable::read(Format::Locations, &[0x10], 1),
            None,
            "an entry begins with its highest bit"
        );
        assert_eq!(LineTable::read(Format::Locations, &[0xf0, 0x40], 1), None, "a number ends");
    }
}
