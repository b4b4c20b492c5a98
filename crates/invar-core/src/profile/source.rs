//! What lines of Python functions cost, with what they call: a function's source, annotated.
//!
//! Of native functions [`Line`](super::Line)s are known, which are what was done there itself. Invariant: the lines of a function sum up
//! to what the function did in the view of [`Frames::Folded`], itself and inclusive, to the unit in every event.

use std::collections::BTreeMap;

use super::functions::{accumulate, outermost};
use super::{Frames, Function, Kind, Lines, Measure, Profile, Recursion, View};
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
    /// The same with everything that was called there. Of a function that calls itself, only what is below its outermost call.
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
        let kind = |index: usize| viewed.functions[viewed.nodes[index].function as usize].kind;
        let (inclusive, own_costs) = (viewed.inclusive(), viewed.own_costs(measure));
        let inclusive_costs = accumulate(own_costs.clone(), |index| viewed.nodes[index].parent);
        let places = viewed.nodes.iter().map(|node| (node.parent, node.function));
        let outermost = outermost(places, viewed.functions.len());
        // What is at no line: all that a function did, less its lines.
        let mut rest: Vec<(Events, u64)> = inclusive.iter().copied().zip(inclusive_costs.clone()).collect();
        let mut lines = BTreeMap::<u32, BTreeMap<u32, SourceLine>>::new();
        for (index, node) in viewed.nodes.iter().enumerate().filter(|&(index, _)| kind(index) == Kind::Line) {
            let parent = node.parent as usize;
            let of = lines.entry(viewed.nodes[parent].function).or_default();
            let line = of.entry(viewed.functions[node.function as usize].line).or_default();
            line.entered += node.calls;
            line.own += node.own;
            line.own_cost += own_costs[index];
            if outermost[parent] {
                line.inclusive += inclusive[index];
                line.inclusive_cost += inclusive_costs[index];
            }
            let (events, cost) = &mut rest[parent];
            events.0.iter_mut().zip(inclusive[index].0).for_each(|(rest, line)| *rest -= line);
            *cost -= inclusive_costs[index];
        }
        for (index, node) in viewed.nodes.iter().enumerate() {
            let Some(of) = lines.get_mut(&node.function).filter(|_| rest[index].0 != Events::default())
            else {
                continue;
            };
            let line = of.entry(viewed.functions[node.function as usize].line).or_default();
            line.own += node.own;
            line.own_cost += own_costs[index];
            if outermost[index] {
                line.inclusive += rest[index].0;
                line.inclusive_cost += rest[index].1;
            }
        }
        let named = |(function, of): (u32, BTreeMap<u32, SourceLine>)| {
            let of = of.into_iter().map(|(line, source)| SourceLine { line, ..source });
            (viewed.functions[function as usize].clone(), of.collect())
        };
        lines.into_iter().map(named).collect()
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
    fn a_line_that_calls_its_own_function_costs_what_that_costs_once() {
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
        assert_eq!(costs, [(13, 3, 30, 10), (14, 2, 150, 170)]);
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
                    prop_assert_eq!((own, inclusive), (whole.own, whole.inclusive));
                    if measure == INSTRUCTIONS {
                        prop_assert_eq!(lines.iter().map(|line| line.own_cost).sum::<u64>(), whole.own_cost);
                    }
                    prop_assert!(lines.is_sorted_by_key(|line| line.line));
                }
            }
        }
    }
}
