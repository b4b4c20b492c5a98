//! What of an ELF file is loaded, and where it begins. Pure: reads the file's first bytes, which hold the headers of every
//! program that is in use.
//!
//! Programs of x86-64 alone, position-independent or not ([ELF-64](https://uclibc.org/docs/elf-64-gen.pdf)); every other file is refused.

/// How many segments a file may have.
pub const SEGMENTS_MAX: usize = 16;

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its address, relative to where the program lies.
    pub address: u64,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many of its bytes are in the file.
    pub file_bytes: u64,
    /// How long it is; what is not in the file is zero.
    pub bytes: u64,
    /// As `mmap` wants it.
    pub protection: u64,
}

/// What it takes to load a file. Addresses are relative to where it lies, or where they are if it can lie nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// It lies where it was linked to.
    pub is_fixed: bool,
    /// Where it begins.
    pub entry: u64,
    /// Where its table of segments lies.
    pub headers: u64,
    /// Entries of that table.
    pub header_count: u64,
    /// The path of the interpreter in the file: offset and length, with the NUL byte.
    pub interpreter: Option<(u64, u64)>,
    segments: [Segment; SEGMENTS_MAX],
    segment_count: usize,
}

/// Bytes of an entry of the table of segments.
pub const HEADER_BYTES: u64 = 56;

impl Program {
    /// Reads the headers. `None`: the file is none that can be loaded anywhere, or asks for an executable stack.
    pub fn read(file: &[u8]) -> Option<Program> {
        const HEADER: [u8; 7] = [0x7f, b'E', b'L', b'F', 2, 1, 1];
        const FIXED: u16 = 2;
        const SHARED: u16 = 3;
        const X86_64: u16 = 62;
        const LOAD: u32 = 1;
        const INTERPRETER: u32 = 3;
        const STACK: u32 = 0x6474_e551;
        let half = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
        let is_fixed = half(16)? == FIXED;
        if file.get(..7)? != HEADER || !(is_fixed || half(16)? == SHARED) || half(18)? != X86_64 {
            return None;
        }
        let (entry, table, size, count) = (word(24)?, word(32)?, half(54)?, half(56)?);
        if u64::from(size) != HEADER_BYTES {
            return None;
        }
        let mut program = Program {
            is_fixed,
            entry,
            headers: table,
            header_count: u64::from(count),
            interpreter: None,
            segments: [Segment::default(); SEGMENTS_MAX],
            segment_count: 0,
        };
        for index in 0..usize::from(count) {
            let at = usize::try_from(table).ok()?.checked_add(index * HEADER_BYTES as usize)?;
            let kind = u32::from_le_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?);
            let flags = u32::from_le_bytes(file.get(at + 4..at + 8)?.try_into().ok()?);
            let (offset, address) = (word(at + 8)?, word(at + 16)?);
            let (file_bytes, bytes) = (word(at + 32)?, word(at + 40)?);
            match kind {
                LOAD => {
                    let fits =
                        |start: u64, bytes: u64| start.checked_add(bytes).is_some_and(|end| end < 1 << 40);
                    let alike = offset % crate::PAGE == address % crate::PAGE;
                    if !(fits(address, bytes) && fits(offset, file_bytes) && file_bytes <= bytes && alike) {
                        return None;
                    }
                    let protection = u64::from((flags & 4) >> 2 | flags & 2 | (flags & 1) << 2);
                    let segment = Segment { address, offset, file_bytes, bytes, protection };
                    *program.segments.get_mut(program.segment_count)? = segment;
                    program.segment_count += 1;
                    if offset <= table && table < offset + file_bytes {
                        program.headers = address + (table - offset);
                    }
                }
                INTERPRETER => program.interpreter = Some((offset, file_bytes)),
                STACK if flags & 1 != 0 => return None,
                _ => {}
            }
        }
        (program.segment_count > 0).then_some(program)
    }

    /// What is loaded, in the order of the file.
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.segment_count).unwrap_or_default()
    }

    /// The pages that it takes.
    pub fn pages(&self) -> core::ops::Range<u64> {
        let start = self.segments().iter().map(|segment| segment.address).min().unwrap_or(0);
        let end = self.segments().iter().map(|segment| segment.address + segment.bytes).max().unwrap_or(0);
        crate::page_down(start)..crate::page_up(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_test_can_be_loaded() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        let program = Program::read(&file[..4096]).unwrap();
        let (start, bytes) = program.interpreter.unwrap();
        let path = std::str::from_utf8(&file[start as usize..(start + bytes) as usize - 1]).unwrap();
        assert!(std::path::Path::new(path).is_file(), "{path}");
        let code = program.segments().iter().find(|segment| segment.protection == 5).unwrap();
        assert!((code.address..code.address + code.bytes).contains(&program.entry));
        assert_eq!((program.headers, program.is_fixed), (64, false));
    }

    #[test]
    fn a_program_that_is_not_position_independent_lies_where_it_was_linked_to() {
        let mut file = std::fs::read("/proc/self/exe").unwrap()[..4096].to_vec();
        file[16] = 2;
        assert!(Program::read(&file).unwrap().is_fixed);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert_eq!(Program::read(b"#!/bin/sh\n"), None);
        assert_eq!(Program::read(&[]), None);
    }

    #[test]
    fn headers_that_are_cut_off_anywhere_are_refused_and_never_a_panic() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        for bytes in 0..64 + 56 {
            assert_eq!(Program::read(&file[..bytes]), None, "{bytes}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(at in 0usize..1024, byte: u8, cut in 0usize..4096) {
            let mut file = std::fs::read("/proc/self/exe").unwrap()[..4096].to_vec();
            file[at] = byte;
            let _ = Program::read(&file[..cut]);
            let _ = Program::read(&file);
        }
    }
}
