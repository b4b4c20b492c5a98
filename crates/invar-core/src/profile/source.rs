//! What lines of Python functions cost, with what they call: a function's source, annotated.
//!
//! Of native functions [`Line`](super::Line)s are known, which are what was done there itself. Invariant: what the lines of a function did
//! themselves sums up to what the function did in the view of [`Frames::Folded`], to the unit in every event; and so does what
//! they did inclusive, but for a function that calls itself, where a line that calls it and the lines that it comes to then share.

use std::collections::BTreeMap;

use super::functions::accumulate;
use super::{Frames, Function, Kind, Lines, Measure, Node, Profile, Recursion, View};
use crate::event::Events;

/// What was done at a line of a Python function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceLine {
    /// The line; 0 where code is of none.
    pub line: u32,
    /// How often it was come to from another line, or by a call.
    pub entered: u64,
    /// What the interpreter did there itself.
    pub own: Events,
    /// The same with everything that was called there, each once: what a line has called is not counted again where the line is
    /// come to within that.
    pub inclusive: Events,
    /// What it costs itself, in the measure that was asked for.
    pub own_cost: u64,
    /// The same, inclusive.
    pub inclusive_cost: u64,
}

impl Profile {
    /// The lines of every Python function whose lines are known, sorted. What a function does before it comes to its first
    /// line is at the line that it begins at.
    pub fn python_lines(&self, measure: Measure<'_>) -> BTreeMap<Function, Vec<SourceLine>> {
        if !self.has_python_lines() {
            return BTreeMap::new();
        }
        let viewed =
            self.viewed(View { frames: Frames::Folded, recursion: Recursion::Kept, lines: Lines::Kept });
        let is_line = |node: &Node| viewed.function_of(node).kind == Kind::Line;
        let (inclusive, own_costs) = (viewed.inclusive(), viewed.own_costs(measure));
        let inclusive_costs = accumulate(own_costs.clone(), |index| viewed.nodes[index].parent);
        let mut has_lines = vec![false; viewed.functions.len()];
        for node in viewed.nodes.iter().filter(|node| is_line(node)) {
            has_lines[viewed.nodes[node.parent as usize].function as usize] = true;
        }
        let begin = |function: u32| (function, viewed.functions[function as usize].line);
        // The line that a node is at: itself one, or below a function at none of its lines.
        let at = |node: &Node| {
            let caller = viewed.nodes[node.parent as usize].function;
            match is_line(node) {
                true => Some((caller, viewed.function_of(node).line)),
                false => has_lines[caller as usize].then(|| begin(caller)),
            }
        };
        let mut lines = BTreeMap::<(u32, u32), SourceLine>::new();
        // From the root to a node, and how often each line is on that way.
        let mut path: Vec<(u32, Option<(u32, u32)>)> = Vec::new();
        let mut on_path = BTreeMap::<(u32, u32), u32>::new();
        for (index, node) in viewed.nodes.iter().enumerate() {
            while let Some(&(_, left)) = path.last().filter(|(before, _)| *before != node.parent) {
                left.and_then(|place| on_path.get_mut(&place)).into_iter().for_each(|times| *times -= 1);
                path.pop();
            }
            let place = if index == 0 { None } else { at(node) };
            path.push((index as u32, place));
            if let Some(place) = place {
                let times = on_path.entry(place).or_default();
                *times += 1;
                let line = lines.entry(place).or_default();
                if *times == 1 {
                    line.inclusive += inclusive[index];
                    line.inclusive_cost += inclusive_costs[index];
                }
                if is_line(node) {
                    line.entered += node.calls;
                    line.own += node.own;
                    line.own_cost += own_costs[index];
                }
            }
            // What a function does before it comes to a line.
            if has_lines[node.function as usize] && node.own != Events::default() {
                let place = begin(node.function);
                let line = lines.entry(place).or_default();
                line.own += node.own;
                line.own_cost += own_costs[index];
                if on_path.get(&place).is_none_or(|&times| times == 0) {
                    line.inclusive += node.own;
                    line.inclusive_cost += own_costs[index];
                }
            }
        }
        let mut named = BTreeMap::<Function, Vec<SourceLine>>::new();
        for ((function, number), line) in lines {
            let of = named.entry(viewed.functions[function as usize].clone()).or_default();
            of.push(SourceLine { line: number, ..line });
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Event;
    use crate::machine::Machine;
    use crate::profile::Order;
    use crate::testing::{any_profile, profile};

    const INSTRUCTIONS: Measure<'_> = Measure::Event(Event::Instructions);

    #[test]
    fn a_line_costs_what_it_calls_as_well() {
        let profile = profile(
            "test_it 1 1
               py:f 2 3
                 int:eval 2 10
                   malloc 1 5
                 line:f@13 2 0
                   int:eval 0 20
                   len 4 8
                 line:f@14 6 0
                   int:eval 0 40
                     py:g 6 100",
        );
        let lines = profile.python_lines(INSTRUCTIONS);
        let (function, lines) = lines.first_key_value().unwrap();
        assert_eq!((function.name.as_str(), function.kind), ("f", Kind::Python));
        let costs: Vec<_> =
            lines.iter().map(|line| (line.line, line.entered, line.own_cost, line.inclusive_cost)).collect();
        // It begins at line 12, and does nothing else there than to begin.
        assert_eq!(costs, [(12, 0, 13, 18), (13, 2, 20, 28), (14, 6, 40, 140)]);
    }

    #[test]
    fn what_is_below_a_line_twice_it_costs_once() {
        let profile = profile(
            "test_it 1 0
               py:fib 1 0
                 line:fib@13 1 10
                 line:fib@14 1 100
                   py:fib 2 0
                     line:fib@13 2 20
                     line:fib@14 1 50",
        );
        let lines = &profile.python_lines(INSTRUCTIONS).into_values().next().unwrap();
        let costs: Vec<_> =
            lines.iter().map(|line| (line.line, line.entered, line.own_cost, line.inclusive_cost)).collect();
        assert_eq!(costs, [(13, 3, 30, 30), (14, 2, 150, 170)]);
    }

    fn calls_itself(profile: &Profile, function: u32) -> bool {
        let is_it = |index: &u32| profile.nodes[*index as usize].function == function;
        let caller = |index: &u32| (*index != 0).then(|| profile.nodes[*index as usize].parent);
        let nodes = (1..profile.nodes.len() as u32).filter(is_it);
        nodes
            .into_iter()
            .any(|index| core::iter::successors(caller(&index), caller).any(|index| is_it(&index)))
    }

    proptest! {
        #[test]
        fn the_lines_of_a_function_sum_up_to_it(profile in any_profile()) {
            let folded = profile.viewed(View { frames: Frames::Folded, ..View::default() });
            let machine = Machine::reference_1();
            for measure in [INSTRUCTIONS, Measure::Cycles(&machine)] {
                let functions = folded.by_function(measure, Order::Own);
                for (function, lines) in profile.python_lines(measure) {
                    let whole = functions.iter().find(|cost| folded.functions[cost.function as usize] == function);
                    let whole = whole.unwrap();
                    let (mut own, mut inclusive) = (Events::default(), Events::default());
                    for line in &lines {
                        own += line.own;
                        inclusive += line.inclusive;
                    }
                    prop_assert_eq!(own, whole.own);
                    if !calls_itself(&folded, whole.function) {
                        prop_assert_eq!(inclusive, whole.inclusive);
                    }
                    for line in &lines {
                        for event in Event::ALL {
                            let [own, inclusive, whole] = [line.own, line.inclusive, whole.inclusive].map(|all| all.get(event));
                            prop_assert!(own <= inclusive && inclusive <= whole);
                        }
                    }
                    if measure == INSTRUCTIONS {
                        prop_assert_eq!(lines.iter().map(|line| line.own_cost).sum::<u64>(), whole.own_cost);
                    }
                    prop_assert!(lines.is_sorted_by_key(|line| line.line));
                }
            }
        }
    }
}
