//! Folded stacks: Brendan Gregg's text of `stackcollapse-*.pl`, which `flamegraph.pl`, inferno and many others take.
//!
//! A line is a call path and its cost: `outermost;...;innermost 123`. What follows from the format's poverty:
//!
//! - A file has one cost. Which, it does not say: the reader must be told.
//! - A frame is a name. A `;` in it is written as `:`. An inlined one ends in `_[i]`, flamegraph.pl's mark. A Python function
//!   is written `name (file:line)`, as py-spy writes it, and read so where the file ends in `.py`.
//! - How often a function was called is lost, and its object, and a native one's file.
//!
//! The benchmark, the root, is the first frame of each path. A path that is read and begins with the root's name has it,
//! and one without frames is the root's own.

use std::collections::BTreeMap;

use super::{one_line, path, root_name, shown};
use crate::event::{Event, Events};
use crate::profile::{Builder, Function, Kind, Profile};

/// Nodes that a file may make. Past it, it is no profile that anybody could look at: a node takes a hundred times the two
/// bytes that can ask for it.
const NODES_MAX: u32 = 1 << 20;

/// Writes the paths that cost something; `costs` by the index of the node, as [`super::cycles`] and [`super::counts`] say.
pub fn write(profile: &Profile, costs: &[u64]) -> String {
    let names: Vec<String> = profile.functions.iter().map(name).collect();
    let root = root_name(profile);
    let mut out = String::new();
    for (node, &cost) in costs.iter().enumerate().filter(|&(_, &cost)| cost > 0) {
        out.push_str(&frame(root));
        for node in path(profile, node) {
            let node = &profile.nodes[node];
            out.push(';');
            out.push_str(&names[node.function as usize]);
            out.push_str(if node.inlined { INLINED } else { "" });
        }
        out.push_str(&format!(" {cost}\n"));
    }
    out
}

const INLINED: &str = "_[i]";

fn name(function: &Function) -> String {
    match function.kind {
        Kind::Python | Kind::Line => {
            frame(&format!("{} ({}:{})", function.name, function.file, function.line))
        }
        Kind::Native | Kind::Interpreter => frame(&function.name),
    }
}

fn frame(name: &str) -> String {
    one_line(name).replace(';', ":")
}

/// Why bytes are no folded stacks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFoldedError {
    /// A line that is none.
    #[error("line {line}, `{found}`: {why}")]
    Line {
        /// From one.
        line: usize,
        /// Its beginning.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing at all.
    #[error("there is not one stack in it")]
    Empty,
}

/// Reads folded stacks that count `event`, as a profile whose root is called `root`. Empty lines and comments, which begin with
/// `# `, are passed over.
pub fn read(bytes: &[u8], root: &str, event: Event) -> Result<Profile, ReadFoldedError> {
    read_within(NODES_MAX, bytes, root, event)
}

fn read_within(nodes_max: u32, bytes: &[u8], root: &str, event: Event) -> Result<Profile, ReadFoldedError> {
    let mut builder = Builder::new(root);
    let mut newest = Builder::ROOT;
    let mut total = 0_u64;
    let mut empty = true;
    let root = frame(root);
    let first_lines = first_lines(bytes);
    for (number, text) in super::lines(bytes) {
        let text = text.trim();
        if text.is_empty() || text.starts_with("# ") {
            continue;
        }
        let wrong = |why| ReadFoldedError::Line { line: number, found: shown(text), why };
        let (stack, cost) = split(text);
        let cost: u64 = cost.parse().map_err(|_| wrong("it does not end in a whole number below 2^64"))?;
        total = total.checked_add(cost).ok_or_else(|| wrong("the costs add up to 2^64 or more"))?;
        let mut node = Builder::ROOT;
        let frames = stack.split(';').filter(|_| !stack.is_empty());
        for (depth, frame) in frames.enumerate() {
            if frame.is_empty() {
                return Err(wrong("a frame of it has no name"));
            }
            if depth == 0 && frame == root {
                continue;
            }
            let (mut function, inlined) = function(frame);
            if function.kind == Kind::Python {
                function.line = first_lines[&(function.name.clone(), function.file.clone())];
            }
            let function = builder.function(function);
            node = builder.child(node, function, inlined);
            newest = newest.max(node);
            if newest >= nodes_max {
                return Err(wrong("there are more than a million call paths up to here"));
            }
        }
        let mut events = Events::default();
        events.add(event, cost);
        builder.add(node, &events);
        empty = false;
    }
    if empty { Err(ReadFoldedError::Empty) } else { Ok(builder.finish()) }
}

/// The frames of a line, and its cost. py-spy writes what it has found no frame for as a cost alone.
fn split(text: &str) -> (&str, &str) {
    text.rsplit_once(char::is_whitespace).map_or(("", text), |(stack, cost)| (stack.trim_end(), cost))
}

/// The first line at which each Python function was found: py-spy names the line that it was at, and the same function at
/// another line is no other.
fn first_lines(bytes: &[u8]) -> BTreeMap<(String, String), u32> {
    let mut first_lines = BTreeMap::new();
    for (_, text) in super::lines(bytes) {
        for Function { name, file, line, .. } in split(text.trim()).0.split(';').filter_map(python) {
            let first = first_lines.entry((name, file)).or_insert(line);
            *first = line.min(*first);
        }
    }
    first_lines
}

/// The function that a frame names, and whether it is inlined.
fn function(frame: &str) -> (Function, bool) {
    let native = |name: &str| Function {
        name: name.to_string(),
        object: String::new(),
        file: String::new(),
        kind: Kind::Native,
        line: 0,
    };
    if let Some(python) = python(frame) {
        return (python, false);
    }
    match frame.strip_suffix(INLINED) {
        Some(name) if !name.is_empty() => (native(name), true),
        _ => (native(frame), false),
    }
}

fn python(frame: &str) -> Option<Function> {
    let (name, place) = frame.strip_suffix(')')?.rsplit_once(" (")?;
    let (file, line) = place.rsplit_once(':')?;
    (file.ends_with(".py") && !name.is_empty()).then_some(())?;
    Some(Function {
        name: name.to_string(),
        object: String::new(),
        file: file.to_string(),
        kind: Kind::Python,
        line: line.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::counts;
    use super::super::testing::{mutated, profile};
    use super::*;

    const PY_SPY: &[u8] = include_bytes!("../../../fixtures/profiles/py-spy.folded");

    const WRITTEN: &str = "\
test_sum.py::test_sum[\"5\"] 1
test_sum.py::test_sum[\"5\"];Sum.of (src/sum.py:7) 10
test_sum.py::test_sum[\"5\"];Sum.of (src/sum.py:7);Sum.of (src/sum.py:7) 20
test_sum.py::test_sum[\"5\"];Sum.of (src/sum.py:7);Sum.of (src/sum.py:7);eval 400
test_sum.py::test_sum[\"5\"];Sum.of (src/sum.py:7);Sum.of (src/sum.py:7);eval;<[u8: 4]>::sum 50
test_sum.py::test_sum[\"5\"];Sum.of (src/sum.py:7);Sum.of (src/sum.py:7);eval;<[u8: 4]>::sum;add_[i] 7000
";

    #[test]
    fn a_path_is_a_line() {
        let profile = profile();
        assert_eq!(write(&profile, &counts(&profile, Event::Instructions)), WRITTEN);
    }

    #[test]
    fn what_was_written_reads_back() {
        let root = root_name(&profile()).to_string();
        let read = read(WRITTEN.as_bytes(), &root, Event::Instructions).unwrap();
        assert_eq!(write(&read, &counts(&read, Event::Instructions)), WRITTEN);
        let python = read.functions.iter().find(|function| function.kind == Kind::Python).unwrap();
        assert_eq!((&*python.name, &*python.file, python.line), ("Sum.of", "src/sum.py", 7));
        assert_eq!(read.nodes.iter().filter(|node| node.inlined).count(), 1);
    }

    #[test]
    fn stacks_of_py_spy_add_up() {
        let profile = read(PY_SPY, "sorting", Event::Instructions).unwrap();
        let text = std::str::from_utf8(PY_SPY).unwrap();
        let found_nothing = profile.nodes[0].own.get(Event::Instructions);
        assert!(found_nothing > 0 && text.contains(&format!("\n {found_nothing}\n")));
        let costs = text.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        assert_eq!(profile.total().get(Event::Instructions), costs.sum::<u64>());
        assert!(profile.functions.iter().any(|function| function.kind == Kind::Python));
    }

    #[test]
    fn hostile_names_stay_frames() {
        let mut builder = Builder::new("#1\n");
        for name in ["a;b\r\n1", " ", "(x.py:7)", "# 5"] {
            let function = builder.function(function(name).0);
            let node = builder.child(Builder::ROOT, function, false);
            builder.add(node, &Events([1; Event::COUNT]));
        }
        let profile = builder.finish();
        let text = write(&profile, &counts(&profile, Event::Writes));
        assert_eq!(text, "#1;??? 1\n#1;# 5 1\n#1;(x.py:7) 1\n#1;a:b  1 1\n");
        let again = read(text.as_bytes(), "#1\n", Event::Writes).unwrap();
        assert_eq!((again.total().get(Event::Writes), again.nodes.len()), (4, 5));
    }

    #[test]
    fn a_python_function_at_two_lines_is_one() {
        let text = b"f (a.py:9);g (a.py:4) 1\nf (a.py:8) 2\n";
        let profile = read(text, "root", Event::Reads).unwrap();
        let lines: Vec<_> =
            profile.functions.iter().map(|function| (&*function.name, function.line)).collect();
        assert_eq!(lines, [("f", 8), ("g", 4), ("root", 0)]);
        assert_eq!(profile.nodes.len(), 3);
    }

    #[track_caller]
    fn check(text: &str, sentence: &str) {
        assert_eq!(read(text.as_bytes(), "root", Event::Reads).unwrap_err().to_string(), sentence);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        check("\n# a comment\n", "there is not one stack in it");
        check("a;b 1\n\nabc\n", "line 3, `abc`: it does not end in a whole number below 2^64");
        check("a;b 1.5", "line 1, `a;b 1.5`: it does not end in a whole number below 2^64");
        check("a;;b 1", "line 1, `a;;b 1`: a frame of it has no name");
        let most = format!("a {}\na 1\n", u64::MAX);
        check(&most, "line 2, `a 1`: the costs add up to 2^64 or more");
    }

    #[test]
    fn a_short_file_cannot_ask_for_endless_nodes() {
        let read = |nodes_max| read_within(nodes_max, b"a;a;a;a 1", "root", Event::Reads);
        assert_eq!(read(5).unwrap().nodes.len(), 5);
        let error = read(4).unwrap_err().to_string();
        assert_eq!(error, "line 1, `a;a;a;a 1`: there are more than a million call paths up to here");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in mutated(&[PY_SPY, WRITTEN.as_bytes()])) {
            if let Ok(profile) = read(&bytes, "root", Event::Reads) {
                let written = write(&profile, &counts(&profile, Event::Reads));
                let again = read(written.as_bytes(), "root", Event::Reads);
                let total = profile.total();
                prop_assert!(total == Events::default() || again.unwrap().total() == total);
            }
        }
    }
}
