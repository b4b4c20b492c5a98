//! The stored bytes of one Profile.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `INVPRF` and format version, a little-endian `u16` |
//! | then | what the version says: [`columns`] is version 2 and 3, [`rows`] version 1 |
//!
//! Numbers are LEB128, except where another size is said. They are not compressed: who keeps them does that. Version 2 is written,
//! and version 3 where there are lines of Python functions: the same bytes, and functions may be of the kind 3. All are read, for ever.
//!
//! What [`read`] returns has every invariant of a [`Profile`], and its sums do not overflow. No bytes make it panic, and it
//! takes room in proportion to the bytes, and for names at most [`NAMES_BYTES_MAX`].

mod columns;
mod rows;

use super::raw::Cursor;
use super::raw::taken_exits::read_number;
use crate::event::{Event, Events};
use crate::profile::{Function, Kind, Profile};

/// The newest version that this build writes and reads.
pub const NEWEST: u16 = 3;
/// The version of profiles without lines of Python functions, which older builds read.
const WITHOUT_LINES: u16 = 2;
const MAGIC: &[u8; 6] = b"INVPRF";

/// How many bytes the names, objects and files of all functions may have, each counted as often as it is named.
pub const NAMES_BYTES_MAX: usize = 64 << 20;

/// The events by their places in both versions, the frequent ones first. Append, never reorder.
const ORDER: [Event; Event::COUNT] = [
    Event::Instructions,
    Event::Reads,
    Event::Writes,
    Event::BranchesTaken,
    Event::L1iMisses,
    Event::L1dReadMisses,
    Event::L1dWriteMisses,
    Event::L2Misses,
    Event::L3Misses,
    Event::MemoryAccesses,
    Event::RepBytes,
    Event::RepIterations,
    Event::SystemCalls,
];

/// Why bytes are not a profile this build can read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadProfileError {
    /// Some other file.
    #[error("not a profile: it does not start with `INVPRF`")]
    NotAProfile,
    /// Written by a newer Invar.
    #[error("profile format {found} is newer than {NEWEST}, the newest this build reads")]
    TooNew {
        /// The version of the bytes.
        found: u16,
    },
    /// A profile, but cut short or changed.
    #[error("the profile is damaged at byte {at}: {why}")]
    Damaged {
        /// Where.
        at: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// The bytes of a profile.
///
/// # Panics
///
/// If nodes, functions or lines are not in the order of every Profile that [`crate::profile::Builder`] makes.
pub fn write(profile: &Profile) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let version = if profile.has_python_lines() { NEWEST } else { WITHOUT_LINES };
    out.extend_from_slice(&version.to_le_bytes());
    columns::write(profile, &mut out);
    out
}

/// Reads a profile.
pub fn read(bytes: &[u8]) -> Result<Profile, ReadProfileError> {
    let (Some(MAGIC), Some(&[low, high])) = (bytes.first_chunk::<6>(), bytes.get(6..8)) else {
        return Err(ReadProfileError::NotAProfile);
    };
    let version = u16::from_le_bytes([low, high]);
    let mut reader = Reader { bytes: bytes.len(), cursor: Cursor { bytes: &bytes[8..] }, version };
    let profile = match version {
        0 => return Err(ReadProfileError::NotAProfile),
        1 => rows::read(&mut reader)?,
        WITHOUT_LINES | NEWEST => columns::read(&mut reader)?,
        found => return Err(ReadProfileError::TooNew { found }),
    };
    if !lines_are_of_functions(&profile) {
        return Err(reader.damaged("a line is of no function"));
    }
    if !reader.cursor.bytes.is_empty() {
        return Err(reader.damaged("there is more than belongs to it"));
    }
    Ok(profile)
}

struct Reader<'a> {
    /// How many there are in all.
    bytes: usize,
    cursor: Cursor<'a>,
    version: u16,
}

impl Reader<'_> {
    fn damaged(&self, why: &'static str) -> ReadProfileError {
        ReadProfileError::Damaged { at: self.bytes - self.cursor.bytes.len(), why }
    }

    fn number(&mut self) -> Result<u64, ReadProfileError> {
        let at = self.damaged("it ends early, or a number is too large");
        read_number(&mut self.cursor).ok_or(at)
    }

    /// A number that is an index below `end`.
    fn index(&mut self, end: usize, why: &'static str) -> Result<usize, ReadProfileError> {
        let at = self.damaged(why);
        let index = self.number()?;
        usize::try_from(index).ok().filter(|&index| index < end).ok_or(at)
    }

    /// How many of something follow, each of at least `bytes_min` bytes.
    fn count(&mut self, bytes_min: usize) -> Result<usize, ReadProfileError> {
        let room = self.cursor.bytes.len() / bytes_min;
        self.index((room + 1).min(u32::MAX as usize), "it ends early: it cannot hold as many as it says")
    }

    /// A function that stands behind `before`. `room` is how many bytes the names may have that are left to read.
    fn function(
        &self,
        texts: [&String; 3],
        kind_and_line: u64,
        before: Option<&Function>,
        room: &mut usize,
    ) -> Result<Function, ReadProfileError> {
        let bytes = texts.iter().map(|text| text.len()).sum();
        *room = room.checked_sub(bytes).ok_or(self.damaged("its names are too long"))?;
        let [name, object, file] = texts.map(String::clone);
        let kind = match kind_and_line & 3 {
            0 => Kind::Native,
            1 => Kind::Interpreter,
            2 => Kind::Python,
            3 if self.version >= NEWEST => Kind::Line,
            _ => return Err(self.damaged("a function is of no kind")),
        };
        let line = u32::try_from(kind_and_line >> 2).map_err(|_| self.damaged("a line is too large"))?;
        let function = Function { name, object, file, kind, line };
        if before.is_some_and(|before| *before >= function) {
            return Err(self.damaged("functions are not sorted"));
        }
        Ok(function)
    }
}

/// Is every line called by a Python function of its name and file?
fn lines_are_of_functions(profile: &Profile) -> bool {
    profile.nodes.iter().all(|node| {
        let (line, function) =
            (profile.function_of(node), profile.function_of(&profile.nodes[node.parent as usize]));
        let is_its = |line: &Function| (&line.name, &line.file) == (&function.name, &function.file);
        line.kind != Kind::Line || function.kind == Kind::Python && is_its(line)
    })
}

/// What all nodes of each function did, by its index; `None` where a sum of all is past all counting.
fn by_function(profile: &Profile) -> Option<Vec<Events>> {
    let mut by_function = vec![Events::default(); profile.functions.len()];
    let (mut total, mut calls) = (Events::default(), 0_u64);
    for node in &profile.nodes {
        add(&mut total, &node.own)?;
        calls = calls.checked_add(node.calls)?;
        // Less than the total.
        by_function[node.function as usize] += node.own;
    }
    Some(by_function)
}

/// Adds; `None` where a sum overflows.
fn add(sum: &mut Events, events: &Events) -> Option<()> {
    for (sum, count) in sum.0.iter_mut().zip(events.0) {
        *sum = sum.checked_add(count)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::raw::taken_exits::{number, write_text};
    use super::*;
    use crate::profile::Builder;
    use crate::testing::{any_profile, profile};
    use proptest::prelude::*;

    fn example() -> Profile {
        profile(
            "test_it 1 5
               py:fib 300 900
                 int:eval 300 6000
                   inl:pop 0 77 3
               main 1 10",
        )
    }

    /// The example in version 1, which says each thing for itself, so that it can say what is wrong: strings, functions, nodes, lines.
    const ROWS: [&[u8]; 4] = [
        b"\x03\x00\x01a\x01t",
        &[2, 1, 0, 0, 0, 2, 0, 0, 0],
        &[3, 2, 1, 0, 0, 0, 1, 2, 10, 1, 1, 1, 2, 7],
        &[1, 0, 5, 2, 17],
    ];

    #[track_caller]
    fn refuse(part: usize, at: usize, byte: u8, expected: &'static str) {
        let whole = ROWS.concat();
        assert!(read(&[b"INVPRF\x01\x00".as_slice(), &whole].concat()).is_ok());
        let mut parts = ROWS.map(<[u8]>::to_vec);
        parts[part][at] = byte;
        match read(&[b"INVPRF\x01\x00".as_slice(), &parts.concat()].concat()) {
            Err(ReadProfileError::Damaged { why, .. }) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn these_bytes_are_version_1_and_read_for_ever() {
        let mut builder = Builder::new("t");
        let function = Function {
            name: "f".into(),
            object: "l.so".into(),
            file: "f.c".into(),
            kind: Kind::Native,
            line: 7,
        };
        let function = builder.function(function);
        let node = builder.child(Builder::ROOT, function, true);
        builder.add_calls(node, 3);
        let mut own = Events::default();
        own.add(Event::Instructions, 600);
        own.add(Event::SystemCalls, 3);
        builder.add(node, &own);
        builder.add_line(function, 8, &own);
        let profile = builder.finish();
        #[rustfmt::skip]
        let bytes = [
            b"INVPRF\x01\x00".as_slice(),
            b"\x05", b"\x00", b"\x01f", b"\x03f.c", b"\x04l.so", b"\x01t",
            b"\x02", &[1, 3, 2, 7 << 2], &[4, 0, 0, 0],
            b"\x02", &[2, 1, 0], &[0, 1, 3, 0x83, 0x40, 0xc8, 1, 1],
            b"\x01", &[0, 8, 0x82, 0x40, 0xd8, 4, 3],
        ]
        .concat();
        assert_eq!(read(&bytes), Ok(profile));
    }

    #[test]
    fn a_real_profile_of_version_1_is_the_same_in_version_2() {
        let first = include_bytes!("../../fixtures/profiles/profile-v1.invprf");
        let profile = read(first).unwrap();
        assert_eq!((profile.functions.len(), profile.nodes.len(), profile.lines.len()), (186, 364, 806));
        let second = write(&profile);
        assert!(second == include_bytes!("../../fixtures/profiles/profile-v2.invprf"), "other bytes");
        assert_eq!(read(&second), Ok(profile));
    }

    #[test]
    fn a_real_profile_with_lines_of_python_functions_is_written_as_it_was() {
        let bytes = include_bytes!("../../fixtures/profiles/profile-v3.invprf");
        let profile = read(bytes).unwrap();
        assert_eq!(
            profile.nodes.iter().filter(|node| profile.function_of(node).kind == Kind::Line).count(),
            5
        );
        assert!(write(&profile) == bytes, "other bytes");
    }

    #[test]
    fn these_bytes_are_version_3_and_read_for_ever() {
        let lines = profile("test_it 1 5\n  py:f 2 3\n    line:f@12 2 8\n    line:f@13 4 16");
        #[rustfmt::skip]
        let bytes = [
            b"INVPRF\x03\x00".as_slice(),
            // Names, functions of the kinds 2, 3, 3 and 0, and the tree.
            &[4, 0, 0, 0, 0, 0, 1, 8, 7], b"fsrc/f.pytest_it",
            &[4, 1, 0, 0, 2, 0, 0, 0, 0, 2, 2, 2, 0, 12 << 2 | 2, 12 << 2 | 3, 13 << 2 | 3, 0],
            &[2, 0, 6, 2, 1, 2, 2, 0, 6, 4, 1, 2, 0, 0, 0, 0, 0],
            // Calls, work, nothing else, and no lines of native functions.
            &[3, 2, 3, 2, 0], &[1, 0, 0, 0, 4, 3, 4, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 9], &[0],
        ]
        .concat();
        assert_eq!(write(&lines), bytes);
        assert_eq!(read(&bytes), Ok(lines));
    }

    #[test]
    fn a_profile_without_lines_of_python_functions_stays_version_2() {
        let lines = profile("test_it 1 5\n  py:f 2 3\n    line:f@12 2 8");
        let bytes = write(&lines);
        assert_eq!((bytes[6], write(&lines.without_lines())[6]), (3, 2));
        let older = [b"INVPRF\x02\x00".as_slice(), &bytes[8..]].concat();
        let why = "a function is of no kind";
        assert!(matches!(read(&older), Err(ReadProfileError::Damaged { why: found, .. }) if found == why));
    }

    #[test]
    fn a_line_that_is_of_no_function_is_refused() {
        let mut alone = profile("test_it 1 5\n  py:f 2 3\n    line:f@12 2 8");
        alone.nodes[2].parent = 0;
        let why = "a line is of no function";
        assert!(
            matches!(read(&write(&alone)), Err(ReadProfileError::Damaged { why: found, .. }) if found == why)
        );
    }

    #[test]
    fn something_else_is_refused_as_what_it_is() {
        assert_eq!(read(b"INVRAW\x01\x00"), Err(ReadProfileError::NotAProfile));
        assert_eq!(read(b""), Err(ReadProfileError::NotAProfile));
        assert_eq!(read(b"INVPRF\x04\x00"), Err(ReadProfileError::TooNew { found: 4 }));
        let more = [write(&example()), vec![0]].concat();
        assert!(matches!(read(&more), Err(ReadProfileError::Damaged { .. })));
    }

    #[test]
    fn what_breaks_an_invariant_is_refused() {
        refuse(1, 1, 2, "functions are not sorted");
        refuse(2, 5, 9, "a node's function is not there");
        refuse(2, 10, 0, "nodes are not sorted");
        refuse(3, 1, 7, "a line's function is not there");
        let sums = "its sums are past all counting, or its lines do not sum up to its functions";
        refuse(3, 4, 11, sums);
    }

    #[test]
    fn a_claim_to_hold_much_takes_no_room() {
        for version in [1, 2, 3] {
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&[version, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
            assert!(matches!(read(&bytes), Err(ReadProfileError::Damaged { at: 8, .. })));
        }
    }

    #[test]
    fn many_functions_of_one_long_name_take_no_room() {
        let mut bytes = [MAGIC.as_slice(), &[1, 0, 1]].concat();
        write_text(&mut bytes, &"x".repeat(1 << 20));
        number(&mut bytes, 1000);
        for line in 1..=1000 {
            bytes.extend_from_slice(&[0, 0, 0]);
            number(&mut bytes, line << 2);
        }
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.ends_with("its names are too long"), "{error}");
    }

    proptest! {
        #[test]
        fn a_profile_reads_back(profile in any_profile()) {
            prop_assert_eq!(read(&write(&profile)), Ok(profile));
        }

        #[test]
        fn bytes_cut_anywhere_are_refused(profile in any_profile(), cut: prop::sample::Index) {
            let bytes = write(&profile);
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn whatever_can_be_read_reads_back(
            profile in any_profile(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = write(&profile);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(profile) = read(&bytes) {
                prop_assert_eq!(read(&write(&profile)), Ok(profile));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(version in 1..=3_u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [MAGIC.as_slice(), &[version, 0], &bytes].concat();
            if let Ok(profile) = read(&bytes) {
                prop_assert_eq!(read(&write(&profile)), Ok(profile));
            }
        }
    }
}
