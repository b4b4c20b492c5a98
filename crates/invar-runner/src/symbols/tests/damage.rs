//! Objects whose bytes are anything.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use object::{Object, ObjectSection};
use proptest::prelude::*;

use super::{BASE, paths};
use crate::symbols::{Cache, named};

/// A small object with debug information and stubs.
fn object() -> &'static [u8] {
    static OBJECT: OnceLock<Vec<u8>> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let source = "int abs(int); void abort(void); static inline int twice(int x) { return x * 2; }
            int work(int x) { if (x > 9) abort(); return twice(abs(x)) + 1; }";
        std::fs::write(directory.path().join("a.c"), source).unwrap();
        let flags = ["-O2", "-g", "-shared", "-fPIC", "-nostdlib", "a.c", "-o", "a.so"];
        assert!(Command::new("gcc").args(flags).current_dir(directory.path()).status().unwrap().success());
        std::fs::read(directory.path().join("a.so")).unwrap()
    })
}

/// Asks for every address of the code of an object with these bytes, and more.
fn ask(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let end = BASE + 0x3000;
    let maps = format!("{BASE:x}-{end:x} r-xp 00000000 08:01 17 {}\n", path.display());
    let paths = paths(&maps, &[(BASE + 0x1000, &[(BASE + 0x1000, 0x100)]), (BASE, &[(BASE + 0x20, 0x10)])]);
    let named = named("a", &paths, None, &mut Cache::with_debug_directory(path.join("nothing")));
    assert_eq!(named.profile.total(), paths.total());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_damaged_object_is_named_as_far_as_it_goes(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        in_headers in proptest::collection::vec((0..0x400_usize, any::<u8>()), 0..3),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut bytes = object().to_vec();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        for (index, byte) in in_headers {
            bytes[index] = byte;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        ask(&directory.path().join("a.so"), &bytes);
    }
}

#[test]
fn segments_as_large_as_the_address_space_do_not_break_the_reader() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = object().to_vec();
    // The ELF specification: program headers of 56 bytes behind the header, with offsets at 8 and sizes in the file at 32.
    for header in 0..usize::from(bytes[56]) {
        let header = 64 + 56 * header;
        bytes[header + 8..][..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        bytes[header + 32..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
    }
    ask(&directory.path().join("a.so"), &bytes);
}

#[test]
fn functions_inlined_into_each_other_without_end_do_not_break_the_reader() {
    let directory = tempfile::tempdir().unwrap();
    let nested = "
        .text
        .globl work
        .type work, @function
        work: nop
        ret
        end:
        .size work, end - work
        .section .debug_abbrev
        .byte 1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0
        .byte 2, 0x2e, 1, 0x11, 1, 0x12, 7, 0x03, 8, 0, 0
        .byte 3, 0x1d, 1, 0, 0
        .byte 0
        .section .debug_info
        .long info_end - info
        info: .value 4
        .long 0
        .byte 8
        .byte 1
        .quad work, end - work
        .byte 2
        .quad work, end - work
        .asciz \"work\"
        .rept 3000000
        .byte 3
        .endr
        .rept 3000002
        .byte 0
        .endr
        info_end:
    ";
    std::fs::write(directory.path().join("a.s"), nested).unwrap();
    let flags = ["-shared", "-nostdlib", "a.s", "-o", "a.so"];
    assert!(Command::new("gcc").args(flags).current_dir(directory.path()).status().unwrap().success());
    let mapped = super::Mapped::new(&directory.path().join("a.so"));
    let work = mapped.symbol("work");
    let paths = paths(&mapped.maps, &[(work.0, &[work])]);
    let named = named("a", &paths, None, &mut Cache::default());
    assert!(named.profile.functions.iter().any(|function| function.name == "work"), "its symbol has a name");
}

#[test]
fn a_packed_section_that_claims_to_be_large_takes_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.c"), "int work(int x) { return x + 1; }").unwrap();
    let flags = ["-O2", "-g", "-gz", "-shared", "-fPIC", "-nostdlib", "a.c", "-o", "a.so"];
    assert!(Command::new("gcc").args(flags).current_dir(directory.path()).status().unwrap().success());
    let path = directory.path().join("a.so");
    let mut bytes = std::fs::read(&path).unwrap();
    // Where the packed bytes of sections start: behind a header, whose second word is how many they are unpacked.
    let packed: Vec<usize> = {
        let file = object::File::parse(&*bytes).unwrap();
        let ranges = file.sections().filter_map(|section| section.compressed_file_range().ok());
        let packed = ranges.filter(|range| range.format != object::CompressionFormat::None);
        packed.map(|range| range.offset as usize).collect()
    };
    assert!(!packed.is_empty(), "the compiler packs debug information");
    for start in packed {
        bytes[start - 16..start - 8].copy_from_slice(&(2_u64 << 30).to_le_bytes());
    }
    ask(&path, &bytes);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 1 << 20, "{kilobytes} kB were needed");
}
