//! Version 1 of a profile's bytes: node by node. Only read.
//!
//! | what |
//! | --- |
//! | number of strings; for each its length in bytes and its UTF-8. Sorted |
//! | number of functions; for each its name, object and file, by index into the strings, and `4 * line + kind` |
//! | number of nodes, callers before their callees; for each the numbers below |
//! | number of lines; for each how many functions further, the line, and its events |
//!
//! A node is: how many callers up from the node before it its own caller is (0: it is called by that node; the root, which
//! has no caller, is without this number); `2 * function + inlined`; calls; its events.
//!
//! Events are a number whose bit 0 says that the values are to be multiplied by the node's calls, and whose bits from 1 on
//! say which events follow, in the order of `ORDER`; then those values. Others are 0. Values of events that this build
//! does not know are passed over.
//!
//! A line is relative to the line before where that is of the same function.

use super::{NAMES_BYTES_MAX, ORDER, ReadProfileError, Reader, add, by_function};
use crate::event::Events;
use crate::profile::{Function, Line, Node, Profile};
use crate::wire::raw::taken_exits::read_text;

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Profile, ReadProfileError> {
    let strings = reader.list(1, |reader, _: &[String]| {
        let why = "a name is cut short or no UTF-8";
        read_text(&mut reader.cursor).ok_or(reader.damaged(why))
    })?;
    let functions = reader.functions(&strings)?;
    let nodes = reader.nodes(&functions)?;
    let lines = reader.lines(&functions)?;
    let profile = Profile { functions, nodes, lines };
    if !adds_up(&profile) {
        return Err(
            reader.damaged("its sums are past all counting, or its lines do not sum up to its functions")
        );
    }
    Ok(profile)
}

impl Reader<'_> {
    fn small(&mut self) -> Result<u32, ReadProfileError> {
        self.index(u32::MAX as usize + 1, "a number is too large").map(|number| number as u32)
    }

    /// As many as a number says, each of at least `bytes_min` bytes; `item` is shown those before it.
    fn list<T>(
        &mut self,
        bytes_min: usize,
        mut item: impl FnMut(&mut Self, &[T]) -> Result<T, ReadProfileError>,
    ) -> Result<Vec<T>, ReadProfileError> {
        let count = self.count(bytes_min)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self, &items)?);
        }
        Ok(items)
    }

    fn functions(&mut self, strings: &[String]) -> Result<Vec<Function>, ReadProfileError> {
        let mut room = NAMES_BYTES_MAX;
        self.list(4, |reader, before: &[Function]| {
            let mut text = || Ok(&strings[reader.index(strings.len(), "a function's name is not there")?]);
            let texts = [text()?, text()?, text()?];
            let kind_and_line = reader.number()?;
            reader.function(texts, kind_and_line, before.last(), &mut room)
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
    let Some(by_function) = by_function(profile) else { return false };
    profile.lines.chunk_by(|one, other| one.function == other.function).all(|lines| {
        let mut sum = Events::default();
        let is_sum = lines.iter().all(|line| add(&mut sum, &line.own).is_some());
        is_sum && sum == by_function[lines[0].function as usize]
    })
}
