//! A profile to write, and files of others that something went wrong with.

use proptest::prelude::*;

use crate::event::{Event, Events};
use crate::profile::{Builder, Function, Kind, Profile};

fn function(name: &str, object: &str, file: &str, kind: Kind, line: u32) -> Function {
    Function { name: name.to_string(), object: object.to_string(), file: file.to_string(), kind, line }
}

/// A Python function that calls itself and, through the interpreter, a native one with an inlined one in it.
pub fn profile() -> Profile {
    let mut builder = Builder::new("test_sum.py::test_sum[\"5\"]");
    let python = builder.function(function("Sum.of", "", "src/sum.py", Kind::Python, 7));
    let eval = builder.function(function("eval", "python3.13", "ceval.c", Kind::Interpreter, 0));
    let native = builder.function(function("<[u8; 4]>::sum", "sum.so", "src/sum.rs", Kind::Native, 20));
    let inlined = builder.function(function("add", "sum.so", "src/add.rs", Kind::Native, 3));
    let events = |instructions, rep_bytes| {
        let mut events = Events::default();
        events.add(Event::Instructions, instructions);
        events.add(Event::RepBytes, rep_bytes);
        events
    };
    let outer = builder.child(Builder::ROOT, python, false);
    let inner = builder.child(outer, python, false);
    let eval = builder.child(inner, eval, false);
    let native_node = builder.child(eval, native, false);
    let inlined_node = builder.child(native_node, inlined, true);
    let nodes = [(outer, 1), (inner, 4), (eval, 4), (native_node, 8), (inlined_node, 0)];
    nodes.into_iter().for_each(|(node, calls)| builder.add_calls(node, calls));
    let costs = [(Builder::ROOT, 1, 0), (outer, 10, 0), (inner, 20, 0), (eval, 400, 1), (native_node, 50, 1)];
    costs.into_iter().for_each(|(node, count, bytes)| builder.add(node, &events(count, bytes)));
    builder.add(inlined_node, &events(7000, 0));
    builder.add_line(native, 20, &events(30, 0));
    builder.add_line(native, 22, &events(20, 1));
    builder.add_line(inlined, 3, &events(7000, 0));
    builder.finish()
}

/// A Python function with lines, at which it calls the other two: `len` at both.
pub fn with_lines() -> Profile {
    let mut builder = Builder::new("t");
    let f = builder.function(function("f", "", "f.py", Kind::Python, 1));
    let lines = [2, 3].map(|line| builder.function(function("f", "", "f.py", Kind::Line, line)));
    let eval = builder.function(function("eval", "python", "ceval.c", Kind::Interpreter, 0));
    let len = builder.function(function("len", "python", "len.c", Kind::Native, 9));
    let node = builder.child(Builder::ROOT, f, false);
    builder.add_calls(node, 1);
    for (line, count) in lines.into_iter().zip([10, 100]) {
        let line = builder.child(node, line, false);
        builder.add_calls(line, 2);
        for (called, calls, count) in [(eval, 0, count), (len, 4, 5 * count)] {
            let node = builder.child(line, called, false);
            builder.add_calls(node, calls);
            let mut own = Events::default();
            own.add(Event::Instructions, count);
            builder.add(node, &own);
        }
    }
    builder.finish()
}

/// One of these files after up to eight accidents: cut, a piece twice or missing, a byte flipped.
pub fn mutated(files: &[&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let accident = (0..4_u8, any::<prop::sample::Index>(), 0..99_usize, any::<u8>());
    let accidents = prop::collection::vec(accident, 0..8);
    (prop::sample::select(files.to_vec()), accidents).prop_map(|(file, accidents)| {
        let mut bytes = file.to_vec();
        for (kind, at, length, byte) in accidents {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + length);
            match kind {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                2 => drop(bytes.drain(at..end)),
                _ => bytes[at..end].iter_mut().take(1).for_each(|there| *there ^= byte),
            }
        }
        bytes
    })
}
