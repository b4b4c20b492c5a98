//! Who pays, function by function: a profile without its paths.
//!
//! A function's own cost is summed over all its nodes. Its inclusive cost counts a node only where the function is on no
//! caller of it, so a function that calls itself is counted at its outermost call, and nothing costs more than the whole.
//!
//! Costs sum up to the measurement's, to the unit, in events and in cycles. Cycles do not do so by themselves: bytes of repeated
//! string instructions are charged 32 to an access, rounded up, and a miss may belong to another node than its access. So
//! a node costs what it adds to the nodes before it ([`Measure::costs`]), and the same node can differ by a cycle or
//! two between views.

use std::cmp::Reverse;

use super::{Node, Profile};
use crate::cost::Cost;
use crate::event::{Event, Events};
use crate::machine::Machine;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure<'a> {
    /// The cost on a Machine.
    Cycles(&'a Machine),
    /// The count of one event.
    Event(Event),
}

impl Measure<'_> {
    /// How much of it events are.
    pub fn of(self, events: &Events) -> u64 {
        match self {
            Measure::Cycles(machine) => Cost::of(events, machine).total().0,
            Measure::Event(event) => events.get(event),
        }
    }

    /// How much of it each of these is, in their order: what it adds to those before it. They sum up to how much all events
    /// together are, on every machine on which a farther level is not faster.
    pub fn costs<'a>(self, own: impl Iterator<Item = &'a Events>) -> Vec<u64> {
        let (mut events, mut spent) = (Events::default(), 0);
        let cost = |own: &Events| match self {
            Measure::Event(event) => own.get(event),
            Measure::Cycles(_) => {
                events += *own;
                let cost = self.of(&events).saturating_sub(spent);
                spent += cost;
                cost
            }
        };
        own.map(cost).collect()
    }

    /// The stable name, as of [`Metric`](crate::config::Metric).
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Cycles(_) => "cycles",
            Measure::Event(event) => event.name(),
        }
    }
}

/// What a function did along all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCost {
    /// Index of the function.
    pub function: u32,
    /// What it did itself.
    pub own: Events,
    /// What it did itself and by its callees.
    pub inclusive: Events,
    /// How often it was called.
    pub calls: u64,
    /// Its own cost, in the measure that was asked for.
    pub own_cost: u64,
    /// Its inclusive cost, in the measure that was asked for.
    pub inclusive_cost: u64,
}

/// Which functions come first: those with the most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Own cost.
    Own,
    /// Inclusive cost.
    Inclusive,
}

impl Profile {
    /// Every function that has a node. Of equals the first by name comes first.
    pub fn by_function(&self, measure: Measure<'_>, order: Order) -> Vec<FunctionCost> {
        let (inclusive, own_costs) = (self.inclusive(), self.own_costs(measure));
        let inclusive_costs = accumulate(own_costs.clone(), |index| self.nodes[index].parent);
        let outermost = outermost(self.nodes.iter().map(place), self.functions.len());
        let mut costs: Vec<Option<FunctionCost>> = vec![None; self.functions.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            let cost = costs[node.function as usize].get_or_insert_with(|| FunctionCost {
                function: node.function,
                own: Events::default(),
                inclusive: Events::default(),
                calls: 0,
                own_cost: 0,
                inclusive_cost: 0,
            });
            cost.own += node.own;
            cost.own_cost = cost.own_cost.saturating_add(own_costs[index]);
            cost.calls += node.calls;
            if outermost[index] {
                cost.inclusive += inclusive[index];
                cost.inclusive_cost = cost.inclusive_cost.saturating_add(inclusive_costs[index]);
            }
        }
        let mut costs: Vec<FunctionCost> = costs.into_iter().flatten().collect();
        costs.sort_by_key(|cost| match order {
            Order::Own => Reverse((cost.own_cost, cost.inclusive_cost)),
            Order::Inclusive => Reverse((cost.inclusive_cost, cost.own_cost)),
        });
        costs
    }

    /// What each node costs with its callees, by its index: the own costs of all of them, summed.
    pub fn inclusive_costs(&self, measure: Measure<'_>) -> Vec<u64> {
        accumulate(self.own_costs(measure), |index| self.nodes[index].parent)
    }

    /// What each node costs itself, by its index. The sum is the cost of [`Profile::total`].
    pub fn own_costs(&self, measure: Measure<'_>) -> Vec<u64> {
        measure.costs(self.nodes.iter().map(|node| &node.own))
    }
}

fn place(node: &Node) -> (u32, u32) {
    (node.parent, node.function)
}

/// Sums up costs along callers; every node stands behind its caller.
pub(super) fn accumulate(mut costs: Vec<u64>, parent: impl Fn(usize) -> u32) -> Vec<u64> {
    for index in (1..costs.len()).rev() {
        let caller = parent(index) as usize;
        costs[caller] = costs[caller].saturating_add(costs[index]);
    }
    costs
}

/// Whether none of a node's callers is of its function, for nodes in the order of a walk, each as its parent and function.
pub(super) fn outermost(nodes: impl Iterator<Item = (u32, u32)>, functions: usize) -> Vec<bool> {
    let mut path: Vec<(u32, u32)> = Vec::new();
    let mut on_path = vec![0_u32; functions];
    let outermost = nodes.enumerate().map(|(index, (parent, function))| {
        while let Some(&(_, left)) = path.last().filter(|(node, _)| *node != parent) {
            on_path[left as usize] -= 1;
            path.pop();
        }
        path.push((index as u32, function));
        on_path[function as usize] += 1;
        on_path[function as usize] == 1
    });
    outermost.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_profile, events, profile};
    use proptest::prelude::*;

    const INSTRUCTIONS: Measure<'_> = Measure::Event(Event::Instructions);

    /// Each function's name, own and inclusive cost, and calls.
    fn table<'a>(profile: &'a Profile, measure: Measure<'_>, order: Order) -> Vec<(&'a str, u64, u64, u64)> {
        let row = |cost: &FunctionCost| {
            let name = profile.functions[cost.function as usize].name.as_str();
            (name, cost.own_cost, cost.inclusive_cost, cost.calls)
        };
        profile.by_function(measure, order).iter().map(row).collect()
    }

    #[test]
    fn a_function_that_calls_itself_is_counted_at_its_outermost_call() {
        let profile = profile(
            "test_it 1 1
               py:fib 1 10
                 py:fib 2 20
                   add 2 5
                     py:fib 4 40
               add 1 7",
        );
        assert_eq!(
            table(&profile, INSTRUCTIONS, Order::Own),
            [("fib", 70, 75, 7), ("add", 12, 52, 3), ("test_it", 1, 83, 1)]
        );
        assert_eq!(
            table(&profile, INSTRUCTIONS, Order::Inclusive),
            [("test_it", 1, 83, 1), ("fib", 70, 75, 7), ("add", 12, 52, 3)]
        );
    }

    #[test]
    fn the_measure_decides_who_comes_first() {
        let profile = profile("test_it 1 0\n  a 1 100 0\n  b 1 50 1");
        let first = |measure| table(&profile, measure, Order::Own)[0].0;
        assert_eq!(first(INSTRUCTIONS), "a");
        assert_eq!(first(Measure::Event(Event::L3Misses)), "b");
        assert_eq!(
            table(&profile, Measure::Cycles(&Machine::reference_1()), Order::Own)[0],
            ("a", 200, 200, 1)
        );
        assert_eq!(Measure::Cycles(&Machine::reference_1()).of(&events(50, 1)), 190);
    }

    #[test]
    fn cycles_sum_up_to_the_cost_of_the_whole() {
        let machine = Machine::reference_1();
        let mut profile = profile("test_it 1 3\n  a 1 5 2\n  b 1 0 1");
        for node in &mut profile.nodes {
            node.own.add(Event::RepBytes, 1);
        }
        let costs = profile.own_costs(Measure::Cycles(&machine));
        assert_eq!(costs.iter().sum::<u64>(), Cost::of(&profile.total(), &machine).total().0);
        let alone = profile.nodes.iter().map(|node| Cost::of(&node.own, &machine).total().0);
        assert!(costs.iter().sum::<u64>() < alone.sum(), "three bytes are one access, and not three");
    }

    #[test]
    fn of_equals_the_first_by_name_comes_first() {
        let profile = profile("test_it 1 0\n  b 1 1\n  a 1 1");
        let names = table(&profile, INSTRUCTIONS, Order::Own).into_iter().map(|row| row.0);
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "test_it"]);
    }

    proptest! {
        #[test]
        fn own_costs_sum_up_to_the_whole(profile in any_profile()) {
            let machine = Machine::reference_1();
            for measure in [Measure::Cycles(&machine), INSTRUCTIONS] {
                let rows = profile.by_function(measure, Order::Own);
                let whole = profile.inclusive_costs(measure)[0];
                prop_assert_eq!(rows.iter().map(|row| row.own_cost).sum::<u64>(), whole);
                prop_assert!(rows.iter().all(|row| row.inclusive_cost <= whole));
            }
            let mut own = Events::default();
            profile.by_function(INSTRUCTIONS, Order::Own).iter().for_each(|row| own += row.own);
            prop_assert_eq!(own, profile.total());
        }
    }
}
