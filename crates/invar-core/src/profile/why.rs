//! Why the cost of a benchmark changed: who pays for it, how much, by which events, and along which paths.
//!
//! A function pays by its own cost: what it did itself. In Python's terms that includes whatever is done until the next
//! Python function, natively or by the interpreter; so there are two lists, and each alone explains the whole change.
//! Calls of a function by itself count for its outermost node, so that paths stay readable; no cost is lost by that.
//!
//! It does not judge: whether a change counts and blocks is `compare`'s business. Cycles of the whole are the measurement's;
//! those of a payer are of its nodes' own events, summed, so that its parts are exact (`functions` says how the sum can differ).

use std::cmp::Reverse;

use super::{Both, Difference, Frames, Function, Kind, Profile, Recursion, Spent, View};
use crate::compare::{Change, same_work};
use crate::cost::{Cost, Levels};
use crate::event::Events;
use crate::machine::Machine;
use crate::number::{count, moved};

/// How many functions, and how many paths of each, are told if nobody asks for more.
pub const PAYERS: usize = 3;

/// Why the cost of a benchmark changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What the whole benchmark costs, in cycles.
    pub cycles: Change,
    /// The benchmark did the same work, and its cost changed: only misses moved.
    pub layout: bool,
    /// Who pays, in Python's terms, the most first. Empty if no Python function is in either profile.
    pub python: Vec<Payer>,
    /// Who pays, in native terms, the most first.
    pub native: Vec<Payer>,
}

/// A function that pays for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// The function, with its line in the candidate where that has it.
    pub function: Function,
    /// What it costs itself, by the levels that answered.
    pub own: Both<Levels>,
    /// How often it is called.
    pub calls: Change,
    /// What became of it.
    pub reason: Reason,
    /// The call paths whose last function is this one, those that pay the most first.
    pub paths: Vec<PayingPath>,
}

/// What became of a function that pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The baseline does not call it.
    New,
    /// The candidate does not call it.
    Vanished,
    /// It costs more, for the greater part because it is called more often.
    CalledMoreOften,
    /// It costs less, for the greater part because it is called less often.
    CalledLessOften,
    /// A call costs more.
    Dearer,
    /// A call costs less.
    Cheaper,
    /// It does the same, and only its misses moved.
    LayoutOnly,
}

impl Reason {
    /// The stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::New => "new",
            Reason::Vanished => "vanished",
            Reason::CalledMoreOften => "called_more_often",
            Reason::CalledLessOften => "called_less_often",
            Reason::Dearer => "dearer",
            Reason::Cheaper => "cheaper",
            Reason::LayoutOnly => "layout_only",
        }
    }
}

/// A call path to a function that pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayingPath {
    /// From the benchmark to the function that pays.
    pub functions: Vec<Function>,
    /// What the function itself costs along it, in cycles.
    pub cycles: Change,
    /// How often it is called along it.
    pub calls: Change,
}

impl Why {
    /// Who pays for the change from one profile to another: at most so many functions, and so many paths of each.
    pub fn of(profiles: Both<&Profile>, machine: &Machine, most: usize) -> Why {
        let total = profiles.map(Profile::total);
        let cycles = change(total.map(|events| Cost::of(&events, machine).total().0));
        let payers = |frames| {
            let view = View { frames, recursion: Recursion::Folded, ..View::default() };
            let Both { base, head } = profiles.map(|profile| profile.viewed(view));
            payers(&Difference::of(&base, &head), machine, most)
        };
        let has_python =
            |profile: &Profile| profile.functions.iter().any(|function| function.kind == Kind::Python);
        Why {
            cycles,
            layout: cycles.moved() != 0 && same_work(&total.base, &total.head),
            python: if has_python(profiles.base) || has_python(profiles.head) {
                payers(Frames::Python)
            } else {
                Vec::new()
            },
            native: payers(Frames::Native),
        }
    }

    /// What is said of a benchmark that did the same work; `None` of others.
    pub fn layout_sentence(&self) -> Option<&'static str> {
        self.layout.then(|| layout(self.cycles.moved()))
    }
}

impl Payer {
    /// What it costs itself, in cycles.
    pub fn cycles(&self) -> Change {
        change(self.own.map(|levels| levels.total().0))
    }

    /// The parts of its cost that make up the change, the largest first: their names and by how many cycles each moved.
    /// Without those that are less than a twentieth of it.
    pub fn parts(&self) -> Vec<(&'static str, i128)> {
        let Both { base, head } = self.own.map(|levels| levels.parts());
        let moved = base
            .into_iter()
            .zip(head)
            .map(|((name, base), (_, head))| (name, Change { base: base.0, head: head.0 }.moved()));
        let mut parts: Vec<(&'static str, i128)> = moved.collect();
        let all: u128 = parts.iter().map(|(_, by)| by.unsigned_abs()).sum();
        parts.retain(|(_, by)| *by != 0 && by.unsigned_abs() >= all / 20);
        parts.sort_by_key(|(_, by)| Reverse(by.unsigned_abs()));
        parts
    }

    /// All of it in one line without a full stop: ``"`fibo` (src/fibo.py:12): +118 k cycles, instructions +118 k,
    /// called as often, dearer"``. Parts are in cycles, as they sum up to the whole.
    pub fn sentence(&self) -> String {
        let by = self.cycles().moved();
        let mut words = vec![format!("{}: {} cycles", self.title(), moved(by))];
        words.extend(self.parts().into_iter().map(|(name, by)| format!("{name} {}", moved(by))));
        let Change { base, head } = self.calls;
        let often = match (base, head) {
            (base, head) if base == head => "called as often".to_string(),
            _ => format!("called {}, before {}", times(head), count(base)),
        };
        match self.reason {
            Reason::New => words.push(format!("new, called {}", times(head))),
            Reason::Vanished => words.push(format!("vanished, was called {}", times(base))),
            Reason::CalledMoreOften | Reason::CalledLessOften => words.push(often),
            Reason::Dearer => words.extend([often, "dearer".to_string()]),
            Reason::Cheaper => words.extend([often, "cheaper".to_string()]),
            Reason::LayoutOnly => words.push(layout(by).to_string()),
        }
        words.join(", ")
    }

    /// Its name and where it is: `` `fibo` (src/fibo.py:12) ``.
    pub fn title(&self) -> String {
        // A name may have a backtick in it, and would end the span that it stands in.
        let name = self.function.name.replace('`', "'");
        match self.function.place().as_str() {
            "" => format!("`{name}`"),
            place => format!("`{name}` ({place})"),
        }
    }
}

fn layout(by: i128) -> &'static str {
    if by > 0 { "same instructions, more misses: layout" } else { "same instructions, fewer misses: layout" }
}

fn times(calls: u64) -> String {
    if calls == 1 { "once".to_string() } else { format!("{} times", count(calls)) }
}

fn change(Both { base, head }: Both<u64>) -> Change {
    Change { base, head }
}

/// What one side says of a function.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    levels: Levels,
    events: Events,
    calls: u64,
}

impl Sum {
    fn add(&mut self, spent: &Spent, machine: &Machine) {
        self.levels += Levels::of(&spent.own, machine);
        self.events += spent.own;
        self.calls += spent.calls;
    }
}

fn payers(difference: &Difference, machine: &Machine, most: usize) -> Vec<Payer> {
    let mut sums = vec![Both::<Option<Sum>>::default(); difference.functions.len()];
    for node in &difference.nodes {
        let sums = &mut sums[node.function as usize];
        for (sum, spent) in [(&mut sums.base, node.spent.base), (&mut sums.head, node.spent.head)] {
            if let Some(spent) = spent {
                sum.get_or_insert_default().add(&spent, machine);
            }
        }
    }
    let by = |function: &u32| {
        let levels = |sum: Option<Sum>| sum.unwrap_or_default().levels.total().0;
        change(sums[*function as usize].map(levels)).moved().unsigned_abs()
    };
    let mut paying: Vec<u32> = (0..sums.len() as u32).filter(|function| by(function) > 0).collect();
    // Functions are sorted by name, and stay so where they pay the same.
    paying.sort_by_key(|function| Reverse(by(function)));
    paying.truncate(most);
    let payer = |function: u32| {
        let sums = sums[function as usize];
        Payer {
            function: difference.functions[function as usize].clone(),
            own: sums.map(|sum| sum.unwrap_or_default().levels),
            calls: change(sums.map(|sum| sum.unwrap_or_default().calls)),
            reason: reason(sums),
            paths: paths(difference, function, machine, most),
        }
    };
    paying.into_iter().map(payer).collect()
}

fn reason(sums: Both<Option<Sum>>) -> Reason {
    let Both { base, head } = match sums {
        Both { base: Some(base), head: Some(head) } => Both { base, head },
        Both { base: None, .. } => return Reason::New,
        Both { head: None, .. } => return Reason::Vanished,
    };
    if same_work(&base.events, &head.events) {
        return Reason::LayoutOnly;
    }
    let cost = Change { base: base.levels.total().0, head: head.levels.total().0 };
    let calls = Change { base: base.calls, head: head.calls };
    // What the change would be if only the calls had changed, and the rest of it; both times the calls before.
    let by_calls = calls.moved().saturating_mul(i128::from(cost.base));
    let by_price = cost.moved().saturating_mul(i128::from(calls.base)).saturating_sub(by_calls);
    let called = calls.base > 0 && calls.head > 0 && by_calls.unsigned_abs() >= by_price.unsigned_abs();
    match (cost.moved() > 0, called && by_calls.signum() == cost.moved().signum()) {
        (true, true) => Reason::CalledMoreOften,
        (false, true) => Reason::CalledLessOften,
        (true, false) => Reason::Dearer,
        (false, false) => Reason::Cheaper,
    }
}

fn paths(difference: &Difference, function: u32, machine: &Machine, most: usize) -> Vec<PayingPath> {
    let mut paying: Vec<(u32, Change, Change)> = Vec::new();
    for (index, node) in difference.nodes.iter().enumerate() {
        if node.function == function {
            let spent = node.spent.map(Option::unwrap_or_default);
            let cycles = change(spent.map(|spent| Levels::of(&spent.own, machine).total().0));
            if cycles.moved() != 0 {
                paying.push((index as u32, cycles, change(spent.map(|spent| spent.calls))));
            }
        }
    }
    paying.sort_by_key(|(_, cycles, _)| Reverse(cycles.moved().unsigned_abs()));
    paying.truncate(most);
    let function =
        |&node: &u32| difference.functions[difference.nodes[node as usize].function as usize].clone();
    let path = |(node, cycles, calls)| PayingPath {
        functions: difference.path(node).iter().map(function).collect(),
        cycles,
        calls,
    };
    paying.into_iter().map(path).collect()
}

#[cfg(test)]
mod tests;
