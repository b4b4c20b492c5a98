//! The guest's code, to read: the kernel's list of mappings, and the bytes behind it.
#![expect(unsafe_code, reason = "the guest's code is memory that Rust does not own")]

use alloc::vec::Vec;

use super::layout::{ARENA, HEAP, HEAP_BYTES};
use super::memory::guest_bytes;
use super::syscall::{Access, File};
use crate::guest::maps::{self, Executable};
use crate::translate::block::Source;

/// What may be executed at the moment.
#[derive(Debug, Default)]
pub struct CodeMap {
    ranges: Vec<Executable>,
    text: Vec<u8>,
}

impl CodeMap {
    /// Asks the kernel again. Where `/proc` cannot be read nothing may be executed.
    pub fn refresh(&mut self) {
        self.text.clear();
        if let Ok(mut file) = File::open(b"/proc/self/maps\0", Access::Read) {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = file.read(&mut buffer) {
                self.text.extend_from_slice(&buffer[..count]);
            }
        }
        self.ranges = maps::parse(&self.text, ARENA..ARENA + HEAP + HEAP_BYTES);
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[Executable] {
        &self.ranges
    }

    /// The range that `address` lies in.
    pub fn find(&self, address: u64) -> Option<&Executable> {
        maps::find(&self.ranges, address)
    }

    /// Something of `start..end` could be executed when the kernel was asked last.
    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        self.ranges.iter().any(|range| range.start < end && start < range.end)
    }

    /// The bytes at `start` are still `expected`. The range must be in the map.
    pub fn still_reads(&self, start: u64, expected: &[u8]) -> bool {
        self.code(start).and_then(|code| code.get(..expected.len())) == Some(expected)
    }
}

impl Source for CodeMap {
    fn code(&self, address: u64) -> Option<&[u8]> {
        let (first, following) = maps::at(&self.ranges, address)?;
        let mut end = first.end;
        for range in following {
            if range.start != end || range.kind() != first.kind() {
                break;
            }
            end = range.end;
        }
        // SAFETY: the kernel says that the range is mapped and readable. The runtime refreshes the map after
        // every call of the guest that may have unmapped code; another thread that unmaps code while this one executes it
        // would break the program natively too.
        Some(unsafe { guest_bytes(address, (end - address) as usize) })
    }

    fn is_volatile(&self, address: u64) -> bool {
        self.find(address).is_some_and(|range| range.volatile)
    }

    fn alike(&self, one: u64, other: u64) -> bool {
        self.find(one).map(Executable::kind) == self.find(other).map(Executable::kind)
    }
}
