//! A profile, or the difference of two, as boxes: callers below callees, as wide as they cost.
//!
//! It decides where boxes are; who draws them chooses colours, fonts and which way is up. Boxes of one depth do not
//! overlap, and lie within the box that they belong to. They are ordered from the left by cost and of equals by name, so
//! the same profile gives the same picture. What is too narrow to be seen is left out and counted; its room stays free.
//!
//! *Top-down*, the box at depth 0 is the benchmark and boxes upon one are what it calls. *Inverted*, boxes at depth 0 are
//! functions by their own cost and boxes upon one are its callers, so that everybody who pays is at the bottom.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::functions::accumulate;
use super::{Both, Difference, Measure, Profile, Spent};

/// What is to be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlameOptions<'a> {
    /// What width is.
    pub measure: Measure<'a>,
    /// What stands on what.
    pub direction: Direction,
    /// Boxes of less than this part of the whole are left out: `0.0005` is half a pixel of a thousand.
    pub least_share: f64,
}

/// What stands on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Callees on their callers.
    TopDown,
    /// Callers on their callees.
    Inverted,
}

/// How wide boxes of a difference are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// What they cost in the baseline: what is new has no box.
    Base,
    /// What they cost in the candidate: what has vanished has no box.
    Head,
    /// The greater of both own costs, and that of everything upon them: everything has a box.
    Union,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flame {
    /// How wide it is.
    pub width: u64,
    /// How many boxes are upon one another at most.
    pub depth: u32,
    /// By depth, and from the left.
    pub boxes: Vec<FlameBox>,
    /// How many boxes that have a width were too narrow. What would stand upon those is not counted.
    pub left_out: usize,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlameBox {
    /// How many boxes are below it.
    pub depth: u32,
    /// What is left of it.
    pub offset: u64,
    /// How wide it is.
    pub width: u64,
    /// Index of its function in the Profile or the Difference.
    pub function: u32,
    /// How much of its width has no box of any size upon it: top-down its own cost, inverted what nobody called.
    pub own: u64,
    /// What it costs with all upon it, before and after; of a Profile's boxes both times the same.
    pub total: Both<u64>,
    /// How often it was called, before and after; inverted, how often the function at its bottom was, along these callers.
    pub calls: Both<u64>,
    /// Which sides have it: what only the candidate has is new, what only the baseline has vanished.
    pub there: Both<bool>,
}

impl Profile {
    /// The picture of a profile.
    pub fn flame(&self, options: &FlameOptions<'_>) -> Flame {
        let stack = |(node, own): (&super::Node, u64)| Stack {
            parent: node.parent,
            function: node.function,
            width: own,
            own: Both { base: own, head: own },
            calls: Both { base: node.calls, head: node.calls },
            there: Both { base: true, head: true },
        };
        let own = self.own_costs(options.measure);
        draw(self.nodes.iter().zip(own).map(stack).collect(), options)
    }
}

impl Difference {
    /// The picture of a difference.
    pub fn flame(&self, options: &FlameOptions<'_>, width: Width) -> Flame {
        let spent = self.nodes.iter().map(|node| node.spent.map(Option::unwrap_or_default));
        let spent: Vec<Both<Spent>> = spent.collect();
        let base = options.measure.costs(spent.iter().map(|spent| &spent.base.own));
        let head = options.measure.costs(spent.iter().map(|spent| &spent.head.own));
        let stack = |(index, node): (usize, &super::DifferenceNode)| {
            let own = Both { base: base[index], head: head[index] };
            let spent = spent[index];
            Stack {
                parent: node.parent,
                function: node.function,
                width: match width {
                    Width::Base => own.base,
                    Width::Head => own.head,
                    Width::Union => own.base.max(own.head),
                },
                own,
                calls: spent.map(|spent| spent.calls),
                there: node.spent.map(|side| side.is_some()),
            }
        };
        draw(self.nodes.iter().enumerate().map(stack).collect(), options)
    }
}

/// A node of either.
struct Stack {
    parent: u32,
    function: u32,
    /// Of its own cost.
    width: u64,
    own: Both<u64>,
    calls: Both<u64>,
    there: Both<bool>,
}

/// A box whose place is not known yet, and what it stands for.
struct Candidate<T> {
    function: u32,
    width: u64,
    total: Both<u64>,
    calls: Both<u64>,
    there: Both<bool>,
    members: T,
}

fn draw(stacks: Vec<Stack>, options: &FlameOptions<'_>) -> Flame {
    match options.direction {
        Direction::TopDown => top_down(&stacks, options.least_share),
        Direction::Inverted => inverted(&stacks, options.least_share),
    }
}

fn top_down(stacks: &[Stack], least_share: f64) -> Flame {
    let sum =
        |of: fn(&Stack) -> u64| accumulate(stacks.iter().map(of).collect(), |index| stacks[index].parent);
    let (widths, base, head) =
        (sum(|stack| stack.width), sum(|stack| stack.own.base), sum(|stack| stack.own.head));
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); stacks.len()];
    for (index, stack) in stacks.iter().enumerate().skip(1) {
        callees[stack.parent as usize].push(index);
    }
    let candidate = |&index: &usize| Candidate {
        function: stacks[index].function,
        width: widths[index],
        total: Both { base: base[index], head: head[index] },
        calls: stacks[index].calls,
        there: stacks[index].there,
        members: index,
    };
    lay_out(widths[0], least_share, vec![candidate(&0)], |index| {
        callees[*index].iter().map(candidate).collect()
    })
}

/// A node, and the one of its callers that the box stands for.
type Member = (u32, u32);

fn inverted(stacks: &[Stack], least_share: f64) -> Flame {
    let group = |members: &mut dyn Iterator<Item = Member>| {
        let mut boxes: BTreeMap<u32, Candidate<Vec<Member>>> = BTreeMap::new();
        for (node, at) in members {
            let (stack, function) = (&stacks[node as usize], stacks[at as usize].function);
            let candidate = boxes.entry(function).or_insert_with(|| Candidate {
                function,
                width: 0,
                total: Both::default(),
                calls: Both::default(),
                there: Both::default(),
                members: Vec::new(),
            });
            let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
            add(&mut candidate.width, stack.width);
            add(&mut candidate.total.base, stack.own.base);
            add(&mut candidate.total.head, stack.own.head);
            add(&mut candidate.calls.base, stack.calls.base);
            add(&mut candidate.calls.head, stack.calls.head);
            candidate.there.base |= stack.there.base;
            candidate.there.head |= stack.there.head;
            candidate.members.push((node, at));
        }
        boxes.into_values().collect()
    };
    let width = stacks.iter().fold(0_u64, |sum, stack| sum.saturating_add(stack.width));
    let all = group(&mut (0..stacks.len() as u32).map(|node| (node, node)));
    lay_out(width, least_share, all, |members: &Vec<Member>| {
        let called = members.iter().filter(|(_, at)| *at != 0);
        group(&mut called.map(|&(node, at)| (node, stacks[at as usize].parent)))
    })
}

/// Places boxes, and those upon them, until they are too narrow.
fn lay_out<T>(
    width: u64,
    least_share: f64,
    lowest: Vec<Candidate<T>>,
    upon: impl Fn(&T) -> Vec<Candidate<T>>,
) -> Flame {
    let least = (width as f64 * least_share).ceil().max(1.0) as u64;
    let mut flame = Flame { width, depth: 0, boxes: Vec::new(), left_out: 0 };
    let mut todo = vec![(lowest, 0_u64)];
    while !todo.is_empty() {
        let mut next = Vec::new();
        for (mut candidates, mut offset) in todo {
            // Functions are sorted by name.
            candidates.sort_by_key(|candidate| (Reverse(candidate.width), candidate.function));
            for Candidate { function, width, total, calls, there, members } in candidates {
                if width < least {
                    flame.left_out += usize::from(width > 0);
                    continue;
                }
                let above = upon(&members);
                let theirs = above.iter().fold(0_u64, |sum, candidate| sum.saturating_add(candidate.width));
                let own = width.saturating_sub(theirs);
                flame.boxes.push(FlameBox {
                    depth: flame.depth,
                    offset,
                    width,
                    function,
                    own,
                    total,
                    calls,
                    there,
                });
                next.push((above, offset));
                offset = offset.saturating_add(width);
            }
        }
        todo = next;
        flame.depth += u32::from(flame.boxes.last().is_some_and(|last| last.depth == flame.depth));
    }
    flame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::machine::Machine;
    use crate::testing::{any_profile, profile};
    use proptest::prelude::*;

    fn options(direction: Direction, least_share: f64) -> FlameOptions<'static> {
        FlameOptions { measure: Measure::Event(Event::Instructions), direction, least_share }
    }

    fn example() -> Profile {
        profile(
            "test_it 1 2
               a 1 10
                 c 2 5
               b 3 40
                 c 4 20
                   a 1 3",
        )
    }

    /// Each depth in a line: names, spans and own costs.
    fn picture(flame: &Flame, functions: &[super::super::Function]) -> Vec<String> {
        let mut rows = vec![Vec::new(); flame.depth as usize];
        for one in &flame.boxes {
            let name = &functions[one.function as usize].name;
            let end = one.offset + one.width;
            rows[one.depth as usize].push(format!("{name} {}-{end} own {}", one.offset, one.own));
        }
        rows.into_iter().map(|row| row.join(", ")).collect()
    }

    #[test]
    fn callees_stand_on_their_callers_the_dearest_first() {
        let profile = example();
        let flame = profile.flame(&options(Direction::TopDown, 0.0));
        assert_eq!(
            picture(&flame, &profile.functions),
            [
                "test_it 0-80 own 2",
                "b 0-63 own 40, a 63-78 own 10",
                "c 0-23 own 20, c 63-68 own 5",
                "a 0-3 own 3"
            ]
        );
        assert_eq!((flame.width, flame.left_out), (80, 0));
    }

    #[test]
    fn inverted_callers_stand_on_who_pays() {
        let profile = example();
        let flame = profile.flame(&options(Direction::Inverted, 0.0));
        assert_eq!(
            picture(&flame, &profile.functions),
            [
                "b 0-40 own 0, c 40-65 own 0, a 65-78 own 0, test_it 78-80 own 2",
                "test_it 0-40 own 40, b 40-60 own 0, a 60-65 own 0, test_it 65-75 own 10, c 75-78 own 0",
                "test_it 40-60 own 20, test_it 60-65 own 5, b 75-78 own 0",
                "test_it 75-78 own 3"
            ]
        );
        let c = &flame.boxes[1];
        assert_eq!((c.total.head, c.calls.head), (25, 6));
    }

    #[test]
    fn what_is_too_narrow_is_counted_and_its_room_stays_free() {
        let profile = example();
        let flame = profile.flame(&options(Direction::TopDown, 0.1));
        assert_eq!(
            picture(&flame, &profile.functions),
            ["test_it 0-80 own 2", "b 0-63 own 40, a 63-78 own 10", "c 0-23 own 20"]
        );
        assert_eq!(flame.left_out, 2);
    }

    #[test]
    fn nothing_has_no_boxes() {
        let flame = profile("test_it 1 0").flame(&options(Direction::TopDown, 0.0));
        assert_eq!(flame, Flame { width: 0, depth: 0, boxes: Vec::new(), left_out: 0 });
    }

    #[test]
    fn a_difference_is_as_wide_as_is_asked_for() {
        let base = profile("test_it 1 0\n  a 1 10\n  old 1 5");
        let head = profile("test_it 1 0\n  a 2 30\n  new 1 7");
        let difference = Difference::of(&base, &head);
        let draw = |width| {
            let flame = difference.flame(&options(Direction::TopDown, 0.0), width);
            picture(&flame, &difference.functions).remove(1)
        };
        assert_eq!(draw(Width::Base), "a 0-10 own 10, old 10-15 own 5");
        assert_eq!(draw(Width::Head), "a 0-30 own 30, new 30-37 own 7");
        assert_eq!(draw(Width::Union), "a 0-30 own 30, new 30-37 own 7, old 37-42 own 5");
        let flame = difference.flame(&options(Direction::TopDown, 0.0), Width::Union);
        assert_eq!(flame.boxes[0].total, Both { base: 15, head: 37 });
        assert_eq!(flame.boxes[1].calls, Both { base: 1, head: 2 });
        assert_eq!(flame.boxes[2].there, Both { base: false, head: true });
        assert_eq!(flame.boxes[3].there, Both { base: true, head: false });
    }

    proptest! {
        #[test]
        fn boxes_fill_their_depth_without_overlapping(
            profile in any_profile(),
            other in any_profile(),
            inverted: bool,
            union: bool,
        ) {
            let machine = Machine::reference_1();
            let direction = if inverted { Direction::Inverted } else { Direction::TopDown };
            let options = FlameOptions { measure: Measure::Cycles(&machine), direction, least_share: 0.0 };
            let flame = match union {
                true => Difference::of(&profile, &other).flame(&options, Width::Union),
                false => profile.flame(&options),
            };
            prop_assert_eq!(flame.left_out, 0);
            // All that has a cost is in some box's own part, and nowhere else.
            prop_assert_eq!(flame.boxes.iter().map(|one| one.own).sum::<u64>(), flame.width);
            if !union {
                prop_assert_eq!(flame.width, profile.inclusive_costs(options.measure)[0]);
            }
            for pair in flame.boxes.windows(2) {
                let [left, right] = pair else { unreachable!() };
                prop_assert!(left.depth < right.depth || left.offset + left.width <= right.offset);
                prop_assert!(right.depth - left.depth <= 1);
            }
        }
    }
}
