//! Two profiles of one benchmark as one tree.
//!
//! Functions are the same if all but their lines are: code moves up and down its file. So functions that differ in nothing
//! else, such as the closures of one file, are one function here, and so are a call and its inlined twin. Nodes are the
//! same if their functions and those of all their callers are; the roots always.
//!
//! It judges nothing and knows no cost; `why` does. What always holds: each side sums up to its profile, to the unit; a
//! node stands behind its caller, siblings are sorted by their function; a side that has a node has its callers.

use std::collections::BTreeMap;

use super::{Builder, Function, Kind, Node, Profile};
use crate::event::Events;

/// The same of the baseline and of the candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Both<T> {
    /// The baseline's.
    pub base: T,
    /// The candidate's.
    pub head: T,
}

impl<T> Both<T> {
    /// The same function of either.
    pub fn map<U>(self, mut of: impl FnMut(T) -> U) -> Both<U> {
        Both { base: of(self.base), head: of(self.head) }
    }
}

/// What one side says of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// How often it was called.
    pub calls: u64,
    /// What it did itself.
    pub own: Events,
}

/// A function called along one path of callers, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceNode {
    /// Index of its caller's node; its own for the root.
    pub parent: u32,
    /// Index of its function.
    pub function: u32,
    /// What each side says. Only the candidate has what is new, only the baseline what has vanished.
    pub spent: Both<Option<Spent>>,
}

/// Two profiles as one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Every function of either side, sorted, each once; with its line in the candidate where that has it.
    pub functions: Vec<Function>,
    /// The tree of calls. Never empty: the root's function is the benchmark.
    pub nodes: Vec<DifferenceNode>,
}

impl Difference {
    /// The difference of two profiles. Lines of Python functions are their functions': they move.
    pub fn of(base: &Profile, head: &Profile) -> Difference {
        let (base, head) = (&*base.without_lines(), &*head.without_lines());
        let lines = lines([base, head]);
        let canonical =
            |function: &Function| Function { line: lines[&identity(function)], ..function.clone() };
        // The shape of the tree, in which every node counts as called.
        let mut builder = Builder::new(&head.function_of(&head.nodes[0]).name);
        for side in [base, head] {
            let ids: Vec<u32> =
                side.functions.iter().map(|function| builder.function(canonical(function))).collect();
            let mut places = vec![Builder::ROOT];
            for node in &side.nodes[1..] {
                let place = builder.child(places[node.parent as usize], ids[node.function as usize], false);
                builder.add_calls(place, 1);
                places.push(place);
            }
        }
        let Profile { functions, nodes, .. } = builder.finish();
        let mut by_place = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate().skip(1) {
            by_place.insert((node.parent, node.function), index as u32);
        }
        let empty = |node: Node| DifferenceNode {
            parent: node.parent,
            function: node.function,
            spent: Both::default(),
        };
        let nodes = nodes.into_iter().map(empty).collect();
        let mut difference = Difference { functions, nodes };
        for (side, slot) in [(base, BASE), (head, HEAD)] {
            let index = |function| difference.functions.binary_search(&canonical(function));
            let indices: Vec<u32> =
                side.functions.iter().map(|function| index(function).unwrap_or_default() as u32).collect();
            let mut places: Vec<u32> = Vec::with_capacity(side.nodes.len());
            for node in &side.nodes {
                // The roots are the same, whatever they are called.
                let place = match places.get(node.parent as usize) {
                    None => 0,
                    Some(&parent) => by_place[&(parent, indices[node.function as usize])],
                };
                places.push(place);
                let spent = slot(&mut difference.nodes[place as usize].spent).get_or_insert_default();
                spent.calls += node.calls;
                spent.own += node.own;
            }
        }
        difference
    }

    /// The nodes from the root to one, by their indices.
    pub fn path(&self, mut node: u32) -> Vec<u32> {
        let mut path = vec![node];
        while node != 0 {
            node = self.nodes[node as usize].parent;
            path.push(node);
        }
        path.reverse();
        path
    }
}

type Slot = fn(&mut Both<Option<Spent>>) -> &mut Option<Spent>;
const BASE: Slot = |both| &mut both.base;
const HEAD: Slot = |both| &mut both.head;

type Identity<'a> = (&'a str, &'a str, &'a str, Kind);

fn identity(function: &Function) -> Identity<'_> {
    (&function.name, &function.object, &function.file, function.kind)
}

/// The line of each function: the first that the last of the profiles with it has for it.
fn lines<'a>(profiles: [&'a Profile; 2]) -> BTreeMap<Identity<'a>, u32> {
    let mut lines = BTreeMap::new();
    for profile in profiles {
        // From the last to the first, as functions are sorted by line in the end.
        for function in profile.functions.iter().rev() {
            lines.insert(identity(function), function.line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::testing::{any_profile, profile};
    use proptest::prelude::*;

    /// What all nodes did.
    fn total(difference: &Difference) -> Both<Events> {
        let mut total = Both::<Events>::default();
        for node in &difference.nodes {
            let own = node.spent.map(|side| side.unwrap_or_default().own);
            total.base += own.base;
            total.head += own.head;
        }
        total
    }

    /// Every node: its depth as dots, its name, and calls and own instructions of each side, `-` for none.
    fn draw(difference: &Difference) -> String {
        let mut picture = String::new();
        for (index, node) in difference.nodes.iter().enumerate() {
            let depth = difference.path(index as u32).len() - 1;
            let side = |spent: Option<Spent>| {
                spent.map_or("-".to_string(), |spent| {
                    format!("{}x{}", spent.calls, spent.own.get(Event::Instructions))
                })
            };
            let name = &difference.functions[node.function as usize].name;
            let Both { base, head } = node.spent.map(side);
            picture.push_str(&format!("{}{name} {base} {head}\n", ".".repeat(depth)));
        }
        picture
    }

    #[test]
    fn what_is_new_and_what_has_vanished_can_be_told() {
        let base = profile("test_it 1 5\n  a 1 10\n    b 2 20\n  old 1 7\n    b 1 3");
        let head = profile("test_it 1 5\n  a 1 11\n    b 4 40\n    new 1 9\n      b 1 1");
        let expected = "test_it 1x5 1x5\n\
                        .a 1x10 1x11\n\
                        ..b 2x20 4x40\n\
                        ..new - 1x9\n\
                        ...b - 1x1\n\
                        .old 1x7 -\n\
                        ..b 1x3 -\n";
        let difference = Difference::of(&base, &head);
        assert_eq!(draw(&difference), expected);
    }

    #[test]
    fn a_function_that_moved_or_is_inlined_now_is_the_same() {
        let base = profile("test_it 1 5\n  a 3 10\n  b 1 2");
        let mut head = profile("test_it 1 5\n  inl:a 0 8\n  b 1 2");
        head.functions.iter_mut().for_each(|function| function.line += 30);
        let difference = Difference::of(&base, &head);
        assert_eq!(draw(&difference), "test_it 1x5 1x5\n.a 3x10 0x8\n.b 1x2 1x2\n");
        let lines: Vec<u32> = difference.functions.iter().map(|function| function.line).collect();
        assert_eq!(lines, [42, 42, 0]);
    }

    #[test]
    fn the_roots_are_the_same_whatever_they_are_called() {
        let difference = Difference::of(&profile("old_name 1 5"), &profile("new_name 1 6"));
        assert_eq!(draw(&difference), "new_name 1x5 1x6\n");
    }

    proptest! {
        #[test]
        fn both_sides_sum_up_to_their_profiles(base in any_profile(), head in any_profile()) {
            let difference = Difference::of(&base, &head);
            prop_assert_eq!(total(&difference), Both { base: base.total(), head: head.total() });
            for node in &difference.nodes {
                let caller = difference.nodes[node.parent as usize].spent;
                prop_assert!(node.spent.base.is_some() || node.spent.head.is_some());
                prop_assert!(node.spent.base.is_none() || caller.base.is_some());
                prop_assert!(node.spent.head.is_none() || caller.head.is_some());
            }
        }

        #[test]
        fn a_profile_does_not_differ_from_itself(profile in any_profile()) {
            for node in Difference::of(&profile, &profile).nodes {
                prop_assert_eq!(node.spent.base, node.spent.head);
            }
        }
    }
}
