//! Functions and chains of them, each once.
//!
//! Ids depend on the order of asking; [`invar_core::profile::Builder`] takes that out of the profile again.

use std::collections::BTreeMap;

use invar_core::profile::{Function, FunctionIds, Kind};

/// Which function's an instruction is, and what is known about its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Id of the chain of its functions: the one that was called, then those inlined into it, down to the innermost.
    pub chain: u32,
    /// Line of the innermost function's file; 0 where it is not known.
    pub line: u32,
    /// The chain's first function starts here.
    pub entry: bool,
    /// What its first function is.
    pub place: Place,
}

/// What the first function of a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A function.
    Function,
    /// A stub by which an object calls into another one.
    Stub,
    /// The whole of an object, as no function is known there.
    Object,
}

/// Where functions are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// [`Function::object`].
    pub object: &'a str,
    /// [`Function::kind`].
    pub kind: Kind,
}

impl<'a> Origin<'a> {
    /// Of an object of this name.
    pub fn new(object: &'a str) -> Origin<'a> {
        let python = object.strip_prefix("lib").unwrap_or(object).strip_prefix("python");
        let interpreter = python
            .is_some_and(|version| version.is_empty() || version.starts_with(|c: char| c.is_ascii_digit()));
        Origin { object, kind: if interpreter { Kind::Interpreter } else { Kind::Native } }
    }

    /// A function of it, of which only the name is known.
    pub fn function(self, name: String) -> Function {
        let object = self.object.to_string();
        Function { name, object, file: String::new(), kind: self.kind, line: 0 }
    }

    /// A function of it that has no name, at an address of its own: `_core.so+0x12a0`. What an object's name says about the
    /// interpreter that it was built for (`.cpython-311-x86_64-linux-gnu`) is left out.
    pub fn nameless(self, address: u64) -> Function {
        let parts = self.object.split('.').filter(|part| !part.starts_with("cpython-"));
        self.function(format!("{}+{address:#x}", parts.collect::<Vec<_>>().join(".")))
    }
}

/// All functions and chains.
#[derive(Debug, Default)]
pub(super) struct Names {
    functions: FunctionIds,
    chains: Vec<Box<[u32]>>,
    by_chain: BTreeMap<Box<[u32]>, u32>,
}

impl Names {
    /// The id of a function.
    pub fn function(&mut self, function: Function) -> u32 {
        self.functions.id(function)
    }

    /// The id of a chain. It is not empty.
    pub fn chain(&mut self, functions: &[u32]) -> u32 {
        assert!(!functions.is_empty(), "an instruction is in a function");
        if let Some(&id) = self.by_chain.get(functions) {
            return id;
        }
        let id = self.chains.len() as u32;
        self.chains.push(functions.into());
        self.by_chain.insert(functions.into(), id);
        id
    }

    /// The function of an id.
    pub fn function_of(&self, id: u32) -> &Function {
        self.functions.get(id)
    }

    /// The functions of a chain.
    pub fn functions_of(&self, chain: u32) -> &[u32] {
        &self.chains[chain as usize]
    }
}
