//! Objects whose bytes are anything.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

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
