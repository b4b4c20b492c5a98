//! Making a [`Profile`], in whatever order its parts come.

use std::collections::BTreeMap;

use super::{Function, Kind, Line, Node, Profile};
use crate::event::Events;

/// Functions, each once, by small numbers.
#[derive(Debug, Clone, Default)]
pub struct FunctionIds {
    functions: Vec<Function>,
    by_function: BTreeMap<Function, u32>,
}

impl FunctionIds {
    /// The id of a function: its index in the order in which functions were first asked for.
    pub fn id(&mut self, function: Function) -> u32 {
        if let Some(&id) = self.by_function.get(&function) {
            return id;
        }
        let id = self.functions.len() as u32;
        self.functions.push(function.clone());
        self.by_function.insert(function, id);
        id
    }

    /// The function of an id.
    pub fn get(&self, id: u32) -> &Function {
        &self.functions[id as usize]
    }
}

/// A profile in the making. Its ids are its own: [`Builder::finish`] gives everything its final place.
#[derive(Debug, Clone)]
pub struct Builder {
    functions: FunctionIds,
    nodes: Vec<Node>,
    by_place: BTreeMap<(u32, u32, bool), u32>,
    lines: BTreeMap<(u32, u32), Events>,
}

impl Builder {
    /// A profile of nothing; `root` is the name of the benchmark.
    pub fn new(root: &str) -> Builder {
        let mut builder = Builder {
            functions: FunctionIds::default(),
            nodes: Vec::new(),
            by_place: BTreeMap::new(),
            lines: BTreeMap::new(),
        };
        let function = builder.function(Function {
            name: root.to_string(),
            object: String::new(),
            file: String::new(),
            kind: Kind::Native,
            line: 0,
        });
        let root = Node { parent: 0, function, inlined: false, calls: 1, own: Events::default() };
        builder.nodes.push(root);
        builder
    }

    /// The root's node.
    pub const ROOT: u32 = 0;

    /// The id of a function.
    pub fn function(&mut self, function: Function) -> u32 {
        self.functions.id(function)
    }

    /// The id of the node of `function` below the node `parent`.
    pub fn child(&mut self, parent: u32, function: u32, inlined: bool) -> u32 {
        let id = self.nodes.len() as u32;
        let nodes = &mut self.nodes;
        *self.by_place.entry((parent, function, inlined)).or_insert_with(|| {
            nodes.push(Node { parent, function, inlined, calls: 0, own: Events::default() });
            id
        })
    }

    /// A node did something itself.
    pub fn add(&mut self, node: u32, events: &Events) {
        self.nodes[node as usize].own += *events;
    }

    /// A node was called so often.
    pub fn add_calls(&mut self, node: u32, calls: u64) {
        self.nodes[node as usize].calls += calls;
    }

    /// A function did something at a line; for views of its source, beside [`Builder::add`].
    pub fn add_line(&mut self, function: u32, line: u32, events: &Events) {
        *self.lines.entry((function, line)).or_default() += *events;
    }

    /// The profile: sorted, without nodes below which nothing was called or done, and without functions that nobody names.
    ///
    /// What a function's lines do not say of its nodes is at its line 0. Lines that say more than its nodes are left out:
    /// they are another function's.
    pub fn finish(mut self) -> Profile {
        self.balance_lines();
        let Builder { functions: FunctionIds { functions, .. }, nodes, lines, .. } = self;
        // A node stands behind its parent already, as parents are there first.
        let mut counts = vec![false; nodes.len()];
        for index in (0..nodes.len()).rev() {
            let node = &nodes[index];
            counts[index] |= index == 0 || node.calls > 0 || node.own != Events::default();
            if counts[index] {
                counts[node.parent as usize] = true;
            }
        }
        let mut named = vec![false; functions.len()];
        for (node, _) in nodes.iter().zip(&counts).filter(|(_, counts)| **counts) {
            named[node.function as usize] = true;
        }
        lines.keys().for_each(|(function, _)| named[*function as usize] = true);
        let mut order: Vec<u32> = (0..functions.len() as u32).filter(|&id| named[id as usize]).collect();
        order.sort_by(|&one, &other| functions[one as usize].cmp(&functions[other as usize]));
        let mut place = vec![0; functions.len()];
        for (index, &id) in order.iter().enumerate() {
            place[id as usize] = index as u32;
        }
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate().skip(1).filter(|&(index, _)| counts[index]) {
            children[node.parent as usize].push(index as u32);
        }
        let mut sorted: Vec<Node> = Vec::new();
        // Who comes next, and below whom.
        let mut todo = vec![(0, 0)];
        while let Some((index, parent)) = todo.pop() {
            let node = &nodes[index as usize];
            let own_place = sorted.len() as u32;
            sorted.push(Node { parent, function: place[node.function as usize], ..node.clone() });
            let below = &mut children[index as usize];
            below.sort_by_key(|&child| {
                let child = &nodes[child as usize];
                std::cmp::Reverse((place[child.function as usize], child.inlined))
            });
            todo.extend(below.iter().map(|&child| (child, own_place)));
        }
        let mut lines: Vec<Line> = lines
            .into_iter()
            .map(|((function, line), own)| Line { function: place[function as usize], line, own })
            .collect();
        lines.sort_by_key(|line| (line.function, line.line));
        let functions = order.into_iter().map(|id| functions[id as usize].clone()).collect();
        Profile { functions, nodes: sorted, lines }
    }

    /// Makes the lines of every function that has any sum up to what its nodes did.
    fn balance_lines(&mut self) {
        let mut missing: BTreeMap<u32, Events> = BTreeMap::new();
        self.lines.retain(|_, events| *events != Events::default());
        for &(function, _) in self.lines.keys() {
            missing.insert(function, Events::default());
        }
        for node in &self.nodes {
            if let Some(events) = missing.get_mut(&node.function) {
                *events += node.own;
            }
        }
        for (&(function, _), events) in &self.lines {
            let left = missing.get(&function).and_then(|left| less(left, events));
            match left {
                Some(left) => missing.insert(function, left),
                None => missing.remove(&function),
            };
        }
        self.lines.retain(|(function, _), _| missing.contains_key(function));
        for (function, events) in missing {
            if events != Events::default() {
                self.add_line(function, 0, &events);
            }
        }
    }
}

/// What is left of `events` without `part`; `None` if that is more.
fn less(events: &Events, part: &Events) -> Option<Events> {
    let mut left = *events;
    for (left, part) in left.0.iter_mut().zip(part.0) {
        *left = left.checked_sub(part)?;
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn function(name: &str) -> Function {
        Function {
            name: name.to_string(),
            object: "libtest.so".to_string(),
            file: String::new(),
            kind: Kind::Native,
            line: 0,
        }
    }

    fn instructions(count: u64) -> Events {
        let mut events = Events::default();
        events.add(Event::Instructions, count);
        events
    }

    /// Root calls b and a, a calls b; made in this order or turned round.
    fn profile(turned: bool) -> Profile {
        let mut builder = Builder::new("test_it");
        let (a, b) = if turned {
            let a = builder.function(function("a"));
            (a, builder.function(function("b")))
        } else {
            let b = builder.function(function("b"));
            (builder.function(function("a")), b)
        };
        let calls = [(None, b, 3), (None, a, 4), (Some(a), b, 5)];
        let mut add = |(within, callee, count): (Option<u32>, u32, u64)| {
            let parent = within.map_or(Builder::ROOT, |within| builder.child(Builder::ROOT, within, false));
            let node = builder.child(parent, callee, false);
            builder.add(node, &instructions(count));
            builder.add_calls(node, 1);
            builder.add_line(callee, 7, &instructions(count));
        };
        if turned {
            calls.into_iter().rev().for_each(&mut add)
        } else {
            calls.into_iter().for_each(&mut add)
        }
        builder.finish()
    }

    #[test]
    fn the_order_of_making_does_not_show() {
        assert_eq!(profile(false), profile(true));
    }

    #[test]
    fn nodes_sum_up_along_their_callers() {
        let profile = profile(false);
        let inclusive: Vec<u64> =
            profile.inclusive().iter().map(|events| events.get(Event::Instructions)).collect();
        let named = |node: &Node| profile.function_of(node).name.as_str();
        let names: Vec<&str> = profile.nodes.iter().map(named).collect();
        assert_eq!(names, ["test_it", "a", "b", "b"]);
        assert_eq!(inclusive, [12, 9, 5, 3]);
        assert_eq!(profile.total(), instructions(12));
        assert_eq!(profile.lines.len(), 2);
    }

    #[test]
    fn what_no_line_is_known_for_is_at_line_0() {
        let mut builder = Builder::new("test_it");
        let (a, b) = (builder.function(function("a")), builder.function(function("b")));
        for function in [a, b] {
            let node = builder.child(Builder::ROOT, function, false);
            builder.add(node, &instructions(10));
            builder.add_line(function, 7, &instructions(4));
        }
        // More than b has done: somebody else's.
        builder.add_line(b, 8, &instructions(7));
        let lines = builder.finish().lines;
        let read: Vec<_> = lines.iter().map(|line| (line.line, line.own)).collect();
        assert_eq!(read, [(0, instructions(6)), (7, instructions(4))]);
    }

    #[test]
    fn what_was_never_called_and_did_nothing_is_left_out() {
        let mut builder = Builder::new("test_it");
        let idle = builder.function(function("idle"));
        builder.child(Builder::ROOT, idle, false);
        let profile = builder.finish();
        assert_eq!((profile.nodes.len(), profile.functions.len()), (1, 1));
    }
}
