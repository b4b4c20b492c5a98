//! The stored bytes of one Profile, version 1.
//!
//! Numbers are LEB128, except where another size is said. They are not compressed: who keeps them does that.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `INVPRF` and format version, a little-endian `u16` |
//! | then | number of strings; for each its length in bytes and its UTF-8. Sorted |
//! | then | number of functions; for each its name, object and file, by index into the strings, and `4 * line + kind` |
//! | then | number of nodes, callers before their callees; for each the numbers below |
//! | then | number of lines; for each how many functions further, the line, and its events |
//!
//! A node is: how many callers up from the node before it its own caller is (0: it is called by that node; the root, which
//! has no caller, is without this number); `2 * function + inlined`; calls; its events.
//!
//! Events are a number whose bit 0 says that the values are to be multiplied by the node's calls, and whose bits from 1 on
//! say which events follow, in the order of `ORDER`; then those values. Others are 0. Values of events that this build
//! does not know are passed over.
//!
//! A line is relative to the line before where that is of the same function.
//!
//! What [`read`] returns has every invariant of a [`Profile`], and its sums do not overflow. No bytes make it panic, and it
//! takes room in proportion to the bytes, and for names at most [`NAMES_BYTES_MAX`].

use std::collections::BTreeSet;

use super::raw::Cursor;
use super::raw::call_paths::{number, read_number, read_text, write_text};
use crate::event::{Event, Events};
use crate::profile::{Function, Kind, Line, Node, Profile};

/// The version this build writes, and the newest it reads.
pub const NEWEST: u16 = 1;
const MAGIC: &[u8; 6] = b"INVPRF";

/// How many bytes the names, objects and files of all functions may have, each counted as often as it is named.
pub const NAMES_BYTES_MAX: usize = 64 << 20;

/// The events by their bits, the frequent ones first: most nodes have all of theirs in one byte. Append, never reorder.
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
/// If the nodes do not stand callers before their callees, as in every Profile that [`crate::profile::Builder`] makes.
pub fn write(profile: &Profile) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&NEWEST.to_le_bytes());
    let texts = |function| {
        let Function { name, object, file, .. }: &Function = function;
        [name.as_str(), object, file]
    };
    let strings: BTreeSet<&str> = profile.functions.iter().flat_map(texts).collect();
    let strings: Vec<&str> = strings.into_iter().collect();
    number(&mut out, strings.len() as u64);
    strings.iter().for_each(|text| write_text(&mut out, text));
    number(&mut out, profile.functions.len() as u64);
    for function in &profile.functions {
        for text in texts(function) {
            let index = strings.binary_search(&text).expect("every text of a function is among the strings");
            number(&mut out, index as u64);
        }
        number(&mut out, u64::from(function.line) << 2 | function.kind as u64);
    }
    number(&mut out, profile.nodes.len() as u64);
    let mut path: Vec<u32> = Vec::new();
    for (index, node) in profile.nodes.iter().enumerate() {
        if index > 0 {
            let depth = path.iter().rposition(|&caller| caller == node.parent);
            let depth = depth.expect("a node stands behind its caller or one of its siblings' callees");
            number(&mut out, (path.len() - 1 - depth) as u64);
            path.truncate(depth + 1);
        }
        path.push(index as u32);
        number(&mut out, u64::from(node.function) << 1 | u64::from(node.inlined));
        number(&mut out, node.calls);
        write_events(&mut out, &node.own, node.calls);
    }
    number(&mut out, profile.lines.len() as u64);
    let mut before = (0, 0);
    for Line { function, line, own } in &profile.lines {
        number(&mut out, u64::from(function - before.0));
        number(&mut out, u64::from(if *function == before.0 { line - before.1 } else { *line }));
        write_events(&mut out, own, 1);
        before = (*function, *line);
    }
    out
}

/// Code along one path mostly does the same at each call: then its events per call are the shorter numbers.
fn write_events(out: &mut Vec<u8>, events: &Events, calls: u64) {
    let multiplied = calls > 1 && events.0.iter().all(|count| count % calls == 0);
    let divisor = if multiplied { calls } else { 1 };
    let mut mask = u64::from(multiplied);
    for (bit, event) in ORDER.into_iter().enumerate() {
        mask |= u64::from(events.get(event) != 0) << (bit + 1);
    }
    number(out, mask);
    for count in ORDER.map(|event| events.get(event)).into_iter().filter(|&count| count != 0) {
        number(out, count / divisor);
    }
}

/// Reads a profile.
pub fn read(bytes: &[u8]) -> Result<Profile, ReadProfileError> {
    let (Some(MAGIC), Some(&[low, high])) = (bytes.first_chunk::<6>(), bytes.get(6..8)) else {
        return Err(ReadProfileError::NotAProfile);
    };
    match u16::from_le_bytes([low, high]) {
        0 => return Err(ReadProfileError::NotAProfile),
        found if found > NEWEST => return Err(ReadProfileError::TooNew { found }),
        _ => {}
    }
    let mut reader = Reader { bytes: bytes.len(), cursor: Cursor { bytes: &bytes[8..] } };
    let strings = reader.list(1, |reader, _: &[String]| {
        let why = "a name is cut short or no UTF-8";
        read_text(&mut reader.cursor).ok_or(reader.damaged(why))
    })?;
    let functions = reader.functions(&strings)?;
    let nodes = reader.nodes(&functions)?;
    let lines = reader.lines(&functions)?;
    let profile = Profile { functions, nodes, lines };
    if !reader.cursor.bytes.is_empty() {
        return Err(reader.damaged("there is more than belongs to it"));
    }
    if !adds_up(&profile) {
        return Err(
            reader.damaged("its sums are past all counting, or its lines do not sum up to its functions")
        );
    }
    Ok(profile)
}

struct Reader<'a> {
    /// How many there are in all.
    bytes: usize,
    cursor: Cursor<'a>,
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

    fn small(&mut self) -> Result<u32, ReadProfileError> {
        self.index(u32::MAX as usize + 1, "a number is too large").map(|number| number as u32)
    }

    /// As many as a number says, each of at least `bytes_min` bytes; `item` is shown those before it.
    fn list<T>(
        &mut self,
        bytes_min: usize,
        mut item: impl FnMut(&mut Self, &[T]) -> Result<T, ReadProfileError>,
    ) -> Result<Vec<T>, ReadProfileError> {
        let room = self.cursor.bytes.len() / bytes_min;
        let end = (room + 1).min(u32::MAX as usize);
        let count = self.index(end, "it ends early: it cannot hold as many as it says")?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self, &items)?);
        }
        Ok(items)
    }

    fn functions(&mut self, strings: &[String]) -> Result<Vec<Function>, ReadProfileError> {
        let mut room = NAMES_BYTES_MAX;
        self.list(4, |reader, before: &[Function]| {
            let mut text = || {
                let text = &strings[reader.index(strings.len(), "a function's name is not there")?];
                room = room.checked_sub(text.len()).ok_or(reader.damaged("its names are too long"))?;
                Ok(text.clone())
            };
            let (name, object, file) = (text()?, text()?, text()?);
            let kind_and_line = reader.number()?;
            let kind = match kind_and_line & 3 {
                0 => Kind::Native,
                1 => Kind::Interpreter,
                2 => Kind::Python,
                _ => return Err(reader.damaged("a function is of no kind")),
            };
            let line =
                u32::try_from(kind_and_line >> 2).map_err(|_| reader.damaged("a line is too large"))?;
            let function = Function { name, object, file, kind, line };
            if before.last().is_some_and(|before| *before >= function) {
                return Err(reader.damaged("functions are not sorted"));
            }
            Ok(function)
        })
    }

    fn nodes(&mut self, functions: &[Function]) -> Result<Vec<Node>, ReadProfileError> {
        // The node before and its callers from the root, each with the last of its callees.
        let mut path: Vec<(u32, Option<(u32, bool)>)> = Vec::new();
        let nodes = self.list(3, |reader, before: &[Node]| {
            if !before.is_empty() {
                let up = reader.index(path.len(), "a node has no caller")?;
                path.truncate(path.len() - up);
            }
            let function = reader.index(functions.len() * 2, "a node's function is not there")?;
            let (function, inlined) = ((function >> 1) as u32, function & 1 == 1);
            let mut parent = 0;
            if let Some((caller, last)) = path.last_mut() {
                if last.is_some_and(|last| last >= (function, inlined)) {
                    return Err(reader.damaged("nodes are not sorted"));
                }
                (parent, *last) = (*caller, Some((function, inlined)));
            }
            path.push((before.len() as u32, None));
            let calls = reader.number()?;
            Ok(Node { parent, function, inlined, calls, own: reader.events(calls)? })
        })?;
        if nodes.is_empty() { Err(self.damaged("it has no root")) } else { Ok(nodes) }
    }

    fn lines(&mut self, functions: &[Function]) -> Result<Vec<Line>, ReadProfileError> {
        self.list(3, |reader, before: &[Line]| {
            let further = reader.small()?;
            let line = reader.small()?;
            let last = before.last();
            let function = last.map_or(0, |last| last.function).checked_add(further);
            let function = function.filter(|&function| (function as usize) < functions.len());
            let function = function.ok_or(reader.damaged("a line's function is not there"))?;
            let line = match last.filter(|_| further == 0) {
                None => Some(line),
                Some(last) => last.line.checked_add(line).filter(|&line| line != last.line),
            };
            let line = line.ok_or(reader.damaged("lines are not sorted"))?;
            Ok(Line { function, line, own: reader.events(1)? })
        })
    }

    fn events(&mut self, calls: u64) -> Result<Events, ReadProfileError> {
        let mask = self.number()?;
        let factor = if mask & 1 == 1 { calls } else { 1 };
        let mut events = Events::default();
        for bit in (1..64).filter(|bit| mask >> bit & 1 == 1) {
            let count = self.number()?.checked_mul(factor).ok_or(self.damaged("a count is too large"))?;
            if let Some(&event) = ORDER.get(bit - 1) {
                events.add(event, count);
            }
        }
        Ok(events)
    }
}

/// Do all sums of a profile stay within their numbers, and do its lines sum up to the functions that have any?
fn adds_up(profile: &Profile) -> bool {
    let mut by_function = vec![Events::default(); profile.functions.len()];
    let (mut total, mut calls) = (Events::default(), 0_u64);
    for node in &profile.nodes {
        let all = add(&mut total, &node.own) && calls.checked_add(node.calls).is_some();
        if !all {
            return false;
        }
        calls += node.calls;
        // Less than the total.
        by_function[node.function as usize] += node.own;
    }
    profile.lines.chunk_by(|one, other| one.function == other.function).all(|lines| {
        let mut sum = Events::default();
        lines.iter().all(|line| add(&mut sum, &line.own)) && sum == by_function[lines[0].function as usize]
    })
}

/// Adds; false where a sum overflows.
fn add(sum: &mut Events, events: &Events) -> bool {
    sum.0.iter_mut().zip(events.0).all(|(sum, count)| match sum.checked_add(count) {
        Some(more) => {
            *sum = more;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
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

    #[track_caller]
    fn refuse(change: impl FnOnce(&mut Profile), expected: &'static str) {
        let mut profile = example();
        change(&mut profile);
        match read(&write(&profile)) {
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
        assert_eq!(write(&profile), bytes);
        assert_eq!(read(&bytes), Ok(profile));
    }

    #[test]
    fn something_else_is_refused_as_what_it_is() {
        assert_eq!(read(b"INVRAW\x01\x00"), Err(ReadProfileError::NotAProfile));
        assert_eq!(read(b""), Err(ReadProfileError::NotAProfile));
        assert_eq!(read(b"INVPRF\x02\x00"), Err(ReadProfileError::TooNew { found: 2 }));
        let more = [write(&example()), vec![0]].concat();
        assert!(matches!(read(&more), Err(ReadProfileError::Damaged { .. })));
    }

    #[test]
    fn what_breaks_an_invariant_is_refused() {
        refuse(|profile| profile.functions.swap(0, 1), "functions are not sorted");
        refuse(|profile| profile.nodes[2].function = 9, "a node's function is not there");
        refuse(|profile| profile.nodes.clear(), "it has no root");
        refuse(
            |profile| {
                let (main, fib) = (profile.nodes[4].function, profile.nodes[1].function);
                profile.nodes[1].function = main.max(fib);
                profile.nodes[4].function = main.max(fib);
            },
            "nodes are not sorted",
        );
        let sums = "its sums are past all counting, or its lines do not sum up to its functions";
        refuse(|profile| profile.nodes[1].own.0[0] = u64::MAX, sums);
        refuse(|profile| profile.lines.push(Line { function: 0, line: 1, own: profile.total() }), sums);
        let foreign = Line { function: 7, line: 1, own: Events::default() };
        refuse(|profile| profile.lines.push(foreign), "a line's function is not there");
    }

    #[test]
    fn a_claim_to_hold_much_takes_no_room() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(matches!(read(&bytes), Err(ReadProfileError::Damaged { at: 8, .. })));
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
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [b"INVPRF\x01\x00".as_slice(), &bytes].concat();
            if let Ok(profile) = read(&bytes) {
                prop_assert_eq!(read(&write(&profile)), Ok(profile));
            }
        }
    }
}
