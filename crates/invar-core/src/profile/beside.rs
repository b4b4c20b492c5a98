//! The functions of two profiles side by side: what each costs before and after, along all paths.
//!
//! Functions are the same as in a [`Difference`](super::Difference): all but their lines are equal. Costs are those of
//! [`Profile::by_function`], so each side sums up to its profile. It does not say why anything changed; `why` does.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Both, Function, FunctionCost, Kind, Measure, Order, Profile};
use crate::compare::Change;

/// A function, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionChange {
    /// The function, with its line in the candidate where that has it.
    pub function: Function,
    /// What it costs itself.
    pub own: Change,
    /// What it costs with its callees.
    pub inclusive: Change,
    /// How often it is called.
    pub calls: Change,
    /// Is it there at all?
    pub there: Both<bool>,
}

/// Every function of either side. Those whose own cost changed the most come first; of equals the dearer, then the first
/// by name.
pub fn beside(profiles: Both<&Profile>, measure: Measure<'_>) -> Vec<FunctionChange> {
    let profiles = profiles.map(Profile::without_lines);
    let mut rows = BTreeMap::<(String, String, String, Kind), FunctionChange>::new();
    let sides: [(&Profile, Slot, There); 2] = [
        (&profiles.base, |change| &mut change.base, |there| &mut there.base),
        (&profiles.head, |change| &mut change.head, |there| &mut there.head),
    ];
    for (profile, slot, there) in sides {
        for cost in profile.by_function(measure, Order::Own) {
            let FunctionCost { function, own_cost, inclusive_cost, calls, .. } = cost;
            let function = &profile.functions[function as usize];
            let Function { name, object, file, kind, line: _ } = function.clone();
            let row = rows.entry((name, object, file, kind)).or_insert_with(|| FunctionChange {
                function: function.clone(),
                own: NOTHING,
                inclusive: NOTHING,
                calls: NOTHING,
                there: Both::default(),
            });
            // Of two that differ in their lines alone, the costs of both are one function's here.
            for (change, cost) in
                [(&mut row.own, own_cost), (&mut row.inclusive, inclusive_cost), (&mut row.calls, calls)]
            {
                let sum = slot(change);
                *sum = sum.saturating_add(cost);
            }
            row.function.line = function.line;
            *there(&mut row.there) = true;
        }
    }
    let mut rows: Vec<FunctionChange> = rows.into_values().collect();
    rows.sort_by_key(|row| {
        Reverse((row.own.moved().unsigned_abs(), row.own.head.max(row.own.base), row.inclusive.head))
    });
    rows
}

type Slot = fn(&mut Change) -> &mut u64;
type There = fn(&mut Both<bool>) -> &mut bool;
const NOTHING: Change = Change { base: 0, head: 0 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::testing::{any_profile, profile};
    use proptest::prelude::*;

    const INSTRUCTIONS: Measure<'_> = Measure::Event(Event::Instructions);

    #[test]
    fn what_changed_most_comes_first() {
        let base = profile("test_it 1 5\n  a 1 10\n    b 2 20\n  old 1 7");
        let mut head = profile("test_it 1 5\n  a 1 11\n    b 4 40\n  new 1 9");
        head.functions.iter_mut().for_each(|function| function.line += 30);
        let rows = beside(Both { base: &base, head: &head }, INSTRUCTIONS);
        let row = |row: &FunctionChange| {
            let Both { base, head } = row.there;
            let Change { base: before, head: after } = row.own;
            format!(
                "{} {before}→{after} {}",
                row.function.name,
                ["gone", "both", "new"][match (base, head) {
                    (true, false) => 0,
                    (false, true) => 2,
                    _ => 1,
                }]
            )
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        assert_eq!(rows, ["b 20→40 both", "new 0→9 new", "old 7→0 gone", "a 10→11 both", "test_it 5→5 both"]);
    }

    proptest! {
        #[test]
        fn each_side_sums_up_to_its_profile(base in any_profile(), head in any_profile()) {
            let rows = beside(Both { base: &base, head: &head }, INSTRUCTIONS);
            let sum = |side: fn(&Change) -> u64| rows.iter().map(|row| side(&row.own)).sum::<u64>();
            prop_assert_eq!(sum(|own| own.base), INSTRUCTIONS.of(&base.total()));
            prop_assert_eq!(sum(|own| own.head), INSTRUCTIONS.of(&head.total()));
        }
    }
}
