//! The tree of calls, with functions in place of addresses.
//!
//! A call's instructions need not be of the function that was called: it may have gone on in another one (`jmp`), without a return
//! of its own. That is a child then. Inlined functions are children too. A stub is no function: what it
//! does is done by the function that it leads to. What is called after such a jump stays with the function that was called first, as only
//! calls have a place in the tree.
//!
//! A line of a Python function is a child of it, and what native code does there is below the line.
//!
//! Invariant: every event goes to exactly one node.

use std::collections::BTreeMap;

use invar_core::event::Events;
use invar_core::profile::{Builder, Function, Kind, Profile};
use invar_core::wire::raw::call_paths::{self as raw, CallPaths, Callee, Extra, Stretch, executed};

use super::cache::{Cache, Process};
use super::names::{Names, Place, Spot};

/// Makes the profile of a process's call paths.
pub(super) fn profile(benchmark: &str, paths: &CallPaths, process: &mut Process<'_>) -> Profile {
    let spots: Vec<Spot> =
        paths.instructions.iter().map(|instruction| process.spot(instruction.address)).collect();
    let mut callees = BTreeMap::new();
    for call in &paths.calls {
        if let Callee::Address(address) = call.callee {
            callees.entry(address).or_insert_with(|| {
                let (function, spot) = process.callee(address);
                Code { function, spot, known: process.knows(address) }
            });
        }
    }
    let (mut stretches, mut extras) =
        (vec![Vec::new(); paths.calls.len()], vec![Vec::new(); paths.calls.len()]);
    paths.stretches.iter().for_each(|stretch| stretches[stretch.call as usize].push(stretch));
    paths.extras.iter().for_each(|extra| extras[extra.call as usize].push(extra));

    let mut tree = Tree {
        builder: Builder::new(benchmark),
        cache: &*process.cache,
        names: &process.cache.names,
        ids: BTreeMap::new(),
        paths,
        spots: &spots,
    };
    let mut nodes: Vec<u32> = Vec::with_capacity(paths.calls.len());
    for (index, call) in paths.calls.iter().enumerate() {
        let parent = nodes.get(call.parent as usize).copied().unwrap_or(Builder::ROOT);
        let mut within = tree.within(call, &callees, &stretches[index]);
        // A region that begins in nameless code begins in the integration's own: that is the benchmark's.
        if index == 0 && within.nameless.is_some() {
            (within.function, within.named) = (None, None);
        }
        let node = match within.function {
            Some(function) => {
                let node = tree.builder.child(parent, function, false);
                tree.builder.add_calls(node, call.calls);
                node
            }
            None => parent,
        };
        nodes.push(node);
        tree.spend(node, &within, &stretches[index], &extras[index]);
    }
    tree.builder.finish()
}

/// The code that an address leads to.
struct Code {
    function: u32,
    spot: Spot,
    /// Something is there.
    known: bool,
}

/// A call, as far as it says whose its instructions are.
struct Call {
    /// The function that was called, by its id in the builder; none for a region that has no address, or no name.
    function: Option<u32>,
    /// The same, by its id among the names, if it is native.
    named: Option<u32>,
    /// Stubs are part of it.
    by_stub: bool,
    /// The nameless code that is part of it.
    nameless: Option<u32>,
}

struct Tree<'a> {
    builder: Builder,
    cache: &'a Cache,
    names: &'a Names,
    /// Ids in the builder by ids among the names.
    ids: BTreeMap<u32, u32>,
    paths: &'a CallPaths,
    spots: &'a [Spot],
}

impl Tree<'_> {
    fn within(&mut self, call: &raw::Call, callees: &BTreeMap<u64, Code>, stretches: &[&Stretch]) -> Call {
        let address = match call.callee {
            Callee::Address(address) => address,
            Callee::Python(code) => {
                let code = &self.paths.python[code as usize];
                return self.python(code, Kind::Python, code.line);
            }
            Callee::Line(line) => match self.paths.calls[call.parent as usize].callee {
                Callee::Python(code) => {
                    return self.python(&self.paths.python[code as usize], Kind::Line, line);
                }
                _ => unreachable!("a raw file in which a line is of no function is not read"),
            },
        };
        let Code { mut function, spot, known } = callees[&address];
        if !known && address == 0 {
            return Call { function: None, named: None, by_stub: false, nameless: None };
        }
        let (by_stub, mut nameless) = (spot.place == Place::Stub, None);
        if by_stub {
            function = self.most(stretches).unwrap_or(function);
        }
        if spot.place == Place::Object {
            nameless = Some(spot.chain);
        }
        Call { function: Some(self.id(function)), named: Some(function), by_stub, nameless }
    }

    /// A Python function, or a line of it.
    fn python(&mut self, code: &raw::PythonCode, kind: Kind, line: u32) -> Call {
        let file = self.cache.python_file(&code.file);
        let function = Function { name: code.name.clone(), object: String::new(), file, kind, line };
        let function = self.builder.function(function);
        Call { function: Some(function), named: None, by_stub: false, nameless: None }
    }

    /// The function that has most of the instructions, stubs apart.
    fn most(&self, stretches: &[&Stretch]) -> Option<u32> {
        let mut executed = BTreeMap::<u32, u128>::new();
        for stretch in stretches {
            let first = stretch.first as usize;
            for spot in &self.spots[first..first + stretch.instructions as usize] {
                if spot.place != Place::Stub {
                    *executed.entry(self.names.functions_of(spot.chain)[0]).or_default() +=
                        u128::from(stretch.times);
                }
            }
        }
        let more = |one: &(u32, u128), other: &(u32, u128)| {
            let names = self.names;
            one.1.cmp(&other.1).then_with(|| names.function_of(other.0).cmp(names.function_of(one.0)))
        };
        executed.into_iter().max_by(more).map(|(function, _)| function)
    }

    fn id(&mut self, function: u32) -> u32 {
        let (names, builder) = (self.names, &mut self.builder);
        *self.ids.entry(function).or_insert_with(|| builder.function(names.function_of(function).clone()))
    }

    /// Gives the nodes of a call what its instructions did.
    fn spend(&mut self, node: u32, call: &Call, stretches: &[&Stretch], extras: &[&Extra]) {
        let mut known = BTreeMap::new();
        let (paths, spots) = (self.paths, self.spots);
        for stretch in stretches {
            let range = stretch.first as usize..(stretch.first + stretch.instructions) as usize;
            let mut from = range.start;
            while from < range.end {
                let spot = spots[from];
                let same =
                    |index: &usize| spots[*index].chain == spot.chain && spots[*index].line == spot.line;
                let to = (from + 1..range.end).find(|index| !same(index)).unwrap_or(range.end);
                let mut events = Events::default();
                for instruction in &paths.instructions[from..to] {
                    events += executed(instruction, stretch.times);
                }
                let target = self.target(node, call, spot, &mut known);
                self.give(target, spot.line, &events);
                if !target.own {
                    let entries = spots[from..to].iter().filter(|spot| spot.entry).count() as u64;
                    self.builder.add_calls(target.outer, stretch.times.saturating_mul(entries));
                }
                from = to;
            }
        }
        for extra in extras {
            let spot = spots[extra.instruction as usize];
            let target = self.target(node, call, spot, &mut known);
            let mut events = Events::default();
            events.add(extra.event, extra.count);
            self.give(target, spot.line, &events);
        }
    }

    fn give(&mut self, target: Target, line: u32, events: &Events) {
        self.builder.add(target.node, events);
        if let Some(function) = target.function {
            self.builder.add_line(function, line, events);
        }
    }

    /// Whose an instruction of a call is.
    fn target(&mut self, node: u32, call: &Call, spot: Spot, known: &mut BTreeMap<u32, Target>) -> Target {
        if let Some(&target) = known.get(&spot.chain) {
            return target;
        }
        let chain = self.names.functions_of(spot.chain);
        let stub = call.by_stub && spot.place == Place::Stub;
        let nameless = call.nameless == Some(spot.chain);
        let own = stub || nameless || call.named == Some(chain[0]);
        let mut target = match (own, call.function) {
            (true, function) => Target { outer: node, node, function, own },
            (false, _) => {
                let function = self.id(chain[0]);
                let outer = self.builder.child(node, function, false);
                Target { outer, node: outer, function: Some(function), own }
            }
        };
        for &inlined in &chain[1..] {
            let function = self.id(inlined);
            target.node = self.builder.child(target.node, function, true);
            target.function = Some(function);
        }
        known.insert(spot.chain, target);
        target
    }
}

/// Where the events of an instruction go.
#[derive(Clone, Copy)]
struct Target {
    /// The node of the function that is not inlined.
    outer: u32,
    /// The node of the innermost function.
    node: u32,
    /// The innermost function.
    function: Option<u32>,
    /// It is the function that was called.
    own: bool,
}
