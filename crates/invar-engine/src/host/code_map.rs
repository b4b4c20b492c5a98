//! The guest's code, to read: the kernel's list of mappings, and the bytes behind it.
#![expect(unsafe_code, reason = "the guest's code is memory that Rust does not own")]

use alloc::string::String;
use alloc::vec::Vec;

use super::layout::{ARENA, HEAP, HEAP_BYTES};
use super::memory::guest_bytes;
use super::syscall::{Access, File};
use crate::guest::maps::{self, Executable};
use crate::translate::block::Source;

const MAPS: &[u8] = b"/proc/self/maps\0";
/// Where the engine itself lives.
const HOLE: core::ops::Range<u64> = ARENA..ARENA + HEAP + HEAP_BYTES;

/// The kernel's `struct procmap_query`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    permissions: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device_major: u32,
    device_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name_address: u64,
    build_id_address: u64,
}

const READABLE: u64 = 0x01;
const WRITABLE: u64 = 0x02;
const EXECUTABLE: u64 = 0x04;
const SHARED: u64 = 0x08;
const COVERING_OR_NEXT: u64 = 0x10;

impl Query {
    /// Asks for the first mapping that may be executed and read, at `address` or behind it. `None` where there is no more.
    fn next_executable(file: &mut File, address: u64) -> Result<Option<Executable>, i32> {
        const NO_MORE: i32 = 2;
        let flags = READABLE | EXECUTABLE | COVERING_OR_NEXT;
        let mut found = Query { flags, address, ..Query::default() };
        match found.ask(file) {
            Err(NO_MORE) => return Ok(None),
            answer => answer?,
        }
        let mut name = [0u8; 16];
        if found.inode == 0 {
            let mut named = Query { address: found.start, ..Query::default() };
            named.name_size = name.len() as u32;
            named.name_address = name.as_mut_ptr() as u64;
            // A name that is longer is refused, and none of those that matter.
            let _ = named.ask(file);
        }
        let device = [found.device_major, found.device_minor].map(u64::from);
        Ok(Some(Executable {
            start: found.start,
            end: found.end,
            volatile: found.permissions & (WRITABLE | SHARED) != 0,
            file: found.inode != 0 || name.starts_with(b"[vdso]\0"),
            identity: maps::identity([found.offset, device[0], device[1], found.inode]),
        }))
    }

    fn ask(&mut self, file: &mut File) -> Result<(), i32> {
        const QUERY: u64 = 0xc068_6611; // _IOWR('f', 17, struct procmap_query)
        self.size = size_of::<Query>() as u64;
        // SAFETY: the structure is the kernel's, and the only address in it is that of a local array of the size given.
        unsafe { file.control(QUERY, self) }
    }
}

/// Asks for what may be executed and nothing else, mapping by mapping.
fn query(file: &mut File, ranges: &mut Vec<Executable>) -> Result<(), i32> {
    let mut address = 0;
    ranges.clear();
    while let Some(found) = Query::next_executable(file, address)? {
        address = found.end;
        if HOLE.contains(&found.start) {
            address = address.max(HOLE.end);
        } else {
            ranges.push(found);
        }
    }
    Ok(())
}

fn read_to_end(file: &mut File, text: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = file.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
}

/// The kernel's lines on the guest's executable mappings; none where `/proc` cannot be read.
pub fn executable_lines() -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(MAPS, Access::Read) {
        read_to_end(&mut file, &mut text);
    }
    maps::executable_lines(&text, HOLE)
}

/// Is the memory at an address of this process alone? Not known (before Linux 6.11) is no.
pub fn is_private(address: u64) -> bool {
    let Ok(mut file) = File::open(MAPS, Access::Read) else { return false };
    let mut found = Query { address, ..Query::default() };
    found.ask(&mut file).is_ok() && found.permissions & SHARED == 0
}

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
        self.ranges.clear();
        let Ok(mut file) = File::open(MAPS, Access::Read) else { return };
        if query(&mut file, &mut self.ranges).is_ok() {
            return;
        }
        // A kernel before 6.11 knows the text only: a tenth of a millisecond, mostly for what cannot be executed.
        read_to_end(&mut file, &mut self.text);
        self.ranges = maps::parse(&self.text, HOLE);
    }

    /// Are those of the ranges that `matter` still mapped as they were when the kernel was asked last? Asks for no others,
    /// so the map may be stale afterwards. `None` if the kernel cannot say.
    pub fn still_has(&self, matter: impl Fn(&Executable) -> bool) -> Option<bool> {
        let mut file = File::open(MAPS, Access::Read).ok()?;
        for range in self.ranges.iter().filter(|range| matter(range)) {
            let found = Query::next_executable(&mut file, range.start).ok()?;
            if found != Some(*range) {
                return Some(false);
            }
        }
        Some(true)
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
