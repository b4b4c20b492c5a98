//! A profile for pprof: `proto/profile.proto` of github.com/google/pprof, not compressed, which pprof takes as it is.
//!
//! A sample is a call path; its values are every event and cycles, exactly. A location is a function with all that is
//! inlined in it along the path, the innermost first, as pprof has it; where lines of Python functions are known, with the line that it
//! is at. Lost: how often a function was called, lines of native functions but the first, who executes it. Values past 2^63 stay at its end, for pprof's are signed.

use std::collections::BTreeMap;

use super::{CREATOR, cycles, objects, root_name, site};
use crate::event::Event;
use crate::machine::Machine;
use crate::profile::{Kind, Profile};

/// Writes a profile as one message.
pub fn write(profile: &Profile, machine: &Machine) -> Vec<u8> {
    let mut out = Message::default();
    let mut strings = Strings::default();
    // A reader that does not know the default takes the last.
    let types = Event::ALL.map(Event::name).into_iter().chain(["cycles"]);
    for name in types {
        let mut value_type = Message::default();
        value_type.number(1, strings.index(name));
        value_type.number(2, strings.index("count"));
        out.message(1, &value_type);
    }
    let mut locations = Locations::default();
    let places: Vec<Place> = (0..profile.nodes.len()).map(|node| locations.place(profile, node)).collect();
    for (node, cycles) in cycles(profile, machine).into_iter().enumerate() {
        let own = &profile.nodes[node].own;
        if own.0.iter().all(|&count| count == 0) {
            continue;
        }
        let mut sample = Message::default();
        let mut path = Vec::new();
        let mut at = Some(node);
        while let Some(node) = at {
            path.push(places[node].location);
            at = places[node].caller;
        }
        sample.numbers(1, path);
        let values = own.0.into_iter().chain([cycles]);
        sample.numbers(2, values.map(|value| value.min(i64::MAX as u64)));
        out.message(2, &sample);
    }
    // pprof takes the first mapping for the program; what has no object is in it.
    let program = root_name(profile);
    let objects = objects(profile);
    for (index, object) in [program].into_iter().chain(objects.iter().copied()).enumerate() {
        let mut mapping = Message::default();
        mapping.number(1, index as u64 + 1);
        mapping.number(5, strings.index(object));
        // Functions, files and inlined frames are all here: pprof need not look for the object.
        [7, 8, 9, 10].into_iter().for_each(|field| mapping.number(field, 1));
        out.message(3, &mapping);
    }
    for (functions, id) in &locations.by_functions {
        let mut location = Message::default();
        location.number(1, *id);
        let outermost = functions.last().map(|&(function, _)| &profile.functions[function as usize].object);
        let mapping = outermost.and_then(|object| objects.binary_search(&object.as_str()).ok());
        location.number(2, mapping.map_or(1, |index| index as u64 + 2));
        for &(function, number) in functions {
            let mut line = Message::default();
            line.number(1, u64::from(function) + 1);
            line.number(2, u64::from(number));
            location.message(4, &line);
        }
        out.message(4, &location);
    }
    for (index, function) in profile.functions.iter().enumerate() {
        let mut message = Message::default();
        message.number(1, index as u64 + 1);
        message.number(2, strings.index(&function.name));
        // Without a system name pprof takes the name as it is, and does not cut what looks like a template from it.
        message.number(4, strings.index(&function.file));
        message.number(5, u64::from(function.line));
        out.message(5, &message);
    }
    out.numbers(13, [strings.index(CREATOR)]);
    out.number(14, strings.index("cycles"));
    for string in &strings.all {
        out.bytes(6, string.as_bytes());
    }
    out.0
}

/// Where a node is: its location, and the node that called the outermost function of it.
struct Place {
    location: u64,
    caller: Option<usize>,
}

/// Locations by their functions and lines, the innermost first. Ids are from one.
#[derive(Default)]
struct Locations {
    by_functions: BTreeMap<Vec<(u32, u32)>, u64>,
}

impl Locations {
    fn place(&mut self, profile: &Profile, node: usize) -> Place {
        let mut functions = Vec::new();
        let mut at = node;
        loop {
            let (function, line) = site(profile, at);
            functions.push((function, line));
            if profile.function_of(&profile.nodes[at]).kind == Kind::Line {
                at = profile.nodes[at].parent as usize;
            }
            let caller = (at != 0).then_some(profile.nodes[at].parent as usize);
            match caller {
                Some(parent) if profile.nodes[at].inlined => at = parent,
                caller => {
                    let next = self.by_functions.len() as u64 + 1;
                    let location = *self.by_functions.entry(functions).or_insert(next);
                    return Place { location, caller };
                }
            }
        }
    }
}

/// The table of strings. The first is empty, as pprof wants it.
struct Strings {
    all: Vec<String>,
    by_text: BTreeMap<String, u64>,
}

impl Default for Strings {
    fn default() -> Strings {
        Strings { all: vec![String::new()], by_text: BTreeMap::from([(String::new(), 0)]) }
    }
}

impl Strings {
    fn index(&mut self, text: &str) -> u64 {
        if let Some(&index) = self.by_text.get(text) {
            return index;
        }
        let index = self.all.len() as u64;
        self.all.push(text.to_string());
        self.by_text.insert(text.to_string(), index);
        index
    }
}

/// A message of protocol buffers, as far as pprof needs them: numbers, packed numbers, bytes and messages within.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// A number that is 0 is not written: it is what a reader takes where there is none.
    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            varint(&mut self.0, field << 3);
            varint(&mut self.0, value);
        }
    }

    fn numbers(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut packed = Vec::new();
        values.into_iter().for_each(|value| varint(&mut packed, value));
        self.bytes(field, &packed);
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        const LENGTH_DELIMITED: u64 = 2;
        varint(&mut self.0, field << 3 | LENGTH_DELIMITED);
        varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{profile, with_lines};
    use super::*;

    /// The fields of a message: numbers, and bytes of what is longer.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            let (number, rest) = bytes.split_at(length);
            *bytes = rest;
            number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = varint(&mut bytes);
            let (content, rest) = bytes.split_at(if key & 7 == 2 { value as usize } else { 0 });
            fields.push((key >> 3, value, content));
            bytes = rest;
        }
        fields
    }

    fn all(bytes: &[u8], field: u64) -> Vec<&[u8]> {
        fields(bytes)
            .into_iter()
            .filter(|(number, ..)| *number == field)
            .map(|(.., content)| content)
            .collect()
    }

    #[test]
    fn the_first_string_is_empty_and_no_other_is() {
        let bytes = write(&profile(), &Machine::reference_1());
        let strings = all(&bytes, 6);
        assert!(strings[0].is_empty());
        assert!(strings[1..].iter().all(|string| !string.is_empty()));
        assert!(strings.contains(&b"<[u8; 4]>::sum".as_slice()));
    }

    #[test]
    fn an_inlined_function_is_a_line_of_its_callers_location() {
        let bytes = write(&profile(), &Machine::reference_1());
        let lines: Vec<usize> = all(&bytes, 4).into_iter().map(|location| all(location, 4).len()).collect();
        // The root, Sum.of, eval, sum, and sum with add inlined.
        assert_eq!(lines.iter().sum::<usize>(), 6);
        assert_eq!(lines.iter().filter(|&&lines| lines == 2).count(), 1);
        let samples = all(&bytes, 2);
        let depths: Vec<usize> = samples.iter().map(|sample| all(sample, 1)[0].len()).collect();
        // Ids of locations are small: a byte each.
        assert_eq!(depths, [1, 2, 3, 4, 5, 5]);
    }

    #[test]
    fn a_location_of_a_python_function_is_at_a_line() {
        let bytes = write(&with_lines(), &Machine::reference_1());
        let lines_of = |location: &&[u8]| -> Vec<u64> {
            let lines = all(location, 4).into_iter();
            lines
                .map(|line| fields(line).iter().find(|field| field.0 == 2).map_or(0, |field| field.1))
                .collect()
        };
        let mut lines: Vec<Vec<u64>> = all(&bytes, 4).iter().map(lines_of).collect();
        lines.sort();
        // The root and the interpreter's loop, of which no line is known, f before its lines and at them, and len.
        assert_eq!(lines, [[0], [0], [1], [2], [3], [9]]);
        let depths: Vec<usize> = all(&bytes, 2).iter().map(|sample| all(sample, 1)[0].len()).collect();
        assert_eq!(depths, [3, 3, 3, 3], "a line stands for its function");
    }

    #[test]
    fn a_sample_has_a_value_for_each_type() {
        let bytes = write(&profile(), &Machine::reference_1());
        let types = all(&bytes, 1).len();
        assert_eq!(types, 1 + Event::COUNT);
        let first = all(&bytes, 2)[0];
        // 1 instruction, nothing else, 2 cycles: a byte each.
        let values = all(first, 2)[0];
        assert_eq!((values.len(), values[0], values[types - 1]), (types, 1, 2));
    }
}
