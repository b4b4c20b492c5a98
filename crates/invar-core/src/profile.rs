//! Who pays: the cost of one benchmark by call path, exactly.
//!
//! A [`Profile`] is a tree of calls. Every event of the benchmark's warm pass belongs to exactly one [`Node`], so the nodes
//! sum up to the measurement. It is no sample and knows no time: what a node costs is said by its events and a Machine
//! (`cost`). It has no addresses: they are named before a Profile is made, so that two runs' can be compared.
//!
//! What is made of it: [`View`]s of it, the table [`Profile::by_function`], the [`Difference`] of two, and [`Why`] they differ.
//! Its bytes are [`wire::profile`](crate::wire::profile)'s.
//!
//! Invariants, kept by [`Builder::finish`]: node 0 is the root, nodes stand in the order of a walk that visits callers before
//! their callees, siblings are sorted by their function and no two are alike, functions are sorted and each is there once,
//! a function's lines sum up to what its nodes did, and a node of a [`Kind::Line`] is called by one of its Python function.
//! So equal costs make equal bytes.

mod beside;
mod builder;
mod diff;
mod functions;
mod paths;
mod source;
mod view;
mod why;

pub use beside::{FunctionChange, beside};
pub use builder::{Builder, FunctionIds};
pub use diff::{Both, Difference, DifferenceNode, Spent};
pub use functions::{FunctionCost, Measure, Order};
pub use paths::HotPath;
pub use source::SourceLine;
pub use view::{Frames, Lines, Recursion, View};
pub use why::{PAYERS, Payer, PayingPath, Reason, Why};

use std::borrow::Cow;

use crate::event::Events;

/// Who executes a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The processor.
    Native = 0,
    /// The processor, at the work of an interpreter: its loop and what it calls to do its own business. Views may fold it.
    Interpreter = 1,
    /// A Python interpreter.
    Python = 2,
    /// The same, at one line of a Python function: stands below a node of the function, whose name and file it has. Where lines were
    /// asked for; whoever looks at functions folds them ([`Profile::without_lines`]).
    Line = 3,
}

impl Kind {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Native => "native",
            Kind::Interpreter => "interpreter",
            Kind::Python => "python",
            Kind::Line => "line",
        }
    }
}

/// A function. Its identity, which is the same in every run of the same program, are all its fields but the line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function {
    /// Demangled or qualified name; `libm.so+0x1234` where it has none.
    pub name: String,
    /// The last part of the path of the ELF object that it is in; empty for Python functions.
    pub object: String,
    /// Source file as its compiler was given it; empty where it is not known.
    pub file: String,
    /// Who executes it.
    pub kind: Kind,
    /// Line of its beginning; 0 where it is not known.
    pub line: u32,
}

impl Function {
    /// Where it is, in short: `src/fibo.py:12`, else its object. Of paths from outside of the checkout there is what people know
    /// them by: what follows `site-packages`, else the last two parts.
    pub fn place(&self) -> String {
        match (short(&self.file), self.line) {
            ("", _) => self.object.clone(),
            (file, 0) => file.to_string(),
            (file, line) => format!("{file}:{line}"),
        }
    }
}

fn short(file: &str) -> &str {
    for packages in ["/site-packages/", "/dist-packages/"] {
        if let Some((_, file)) = file.rsplit_once(packages) {
            return file;
        }
    }
    let mut parts = file.rmatch_indices('/').map(|(at, _)| at);
    match parts.nth(1) {
        Some(at) if file.starts_with('/') => &file[at + 1..],
        _ => file,
    }
}

/// A function called along one path of callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Index of its caller's node; its own for the root.
    pub parent: u32,
    /// Index of its function.
    pub function: u32,
    /// The compiler has put the function into its caller: no call was made.
    pub inlined: bool,
    /// How often it was called along this path; a line, how often it was come to from another line.
    pub calls: u64,
    /// What it did itself, without its callees.
    pub own: Events,
}

/// What a function did itself at a line of its source, along all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Index of the function.
    pub function: u32,
    /// Line of [`Function::file`]; 0 where it is not known.
    pub line: u32,
    /// What was done there.
    pub own: Events,
}

/// The profile of one benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Every function, once.
    pub functions: Vec<Function>,
    /// The tree of calls. Never empty: the root's function is the benchmark.
    pub nodes: Vec<Node>,
    /// Sorted by function and line. They sum up to the functions that have any: what no line is known for is at line 0.
    pub lines: Vec<Line>,
}

impl Profile {
    /// Everything: the events of the measurement.
    pub fn total(&self) -> Events {
        let mut total = Events::default();
        self.nodes.iter().for_each(|node| total += node.own);
        total
    }

    /// What each node did itself and by its callees, by its index.
    pub fn inclusive(&self) -> Vec<Events> {
        let mut inclusive: Vec<Events> = self.nodes.iter().map(|node| node.own).collect();
        for index in (1..self.nodes.len()).rev() {
            let events = inclusive[index];
            inclusive[self.nodes[index].parent as usize] += events;
        }
        inclusive
    }

    /// Are there lines of Python functions among its nodes?
    pub fn has_python_lines(&self) -> bool {
        self.functions.iter().any(|function| function.kind == Kind::Line)
    }

    /// The same, with what lines of Python functions did and called put to their functions.
    pub fn without_lines(&self) -> Cow<'_, Profile> {
        match self.has_python_lines() {
            true => Cow::Owned(self.viewed(View::default())),
            false => Cow::Borrowed(self),
        }
    }

    /// The function of a node.
    pub fn function_of(&self, node: &Node) -> &Function {
        &self.functions[node.function as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn a_path_from_outside_is_told_by_its_end() {
        assert_eq!(short("/tmp/build.1/Python-3.11.7/Python/ceval.c"), "Python/ceval.c");
        assert_eq!(short("/venv/lib/python3.11/site-packages/pydantic/main.py"), "pydantic/main.py");
        assert_eq!(short(".venv/lib/python3.11/site-packages/six.py"), "six.py");
        assert_eq!(short("/a.c"), "/a.c");
    }

    #[test]
    fn a_path_of_the_checkout_is_told_whole() {
        assert_eq!(short("src/a/b/c.py"), "src/a/b/c.py");
        assert_eq!(short(""), "");
    }
}
