//! Profiles in the formats of other tools, one module each.
//!
//! [`speedscope`], [`firefox`], [`pprof`], [`callgrind`] and [`folded`] are written; the last two are read too, so that
//! others' profiles can be compared. None of them is how Invar keeps a profile: each loses something, and says what.
//!
//! Costs are exact in all of them and add up to the measurement, cycles too: see [`cycles`].

pub mod callgrind;
pub mod firefox;
pub mod folded;
pub mod pprof;
pub mod speedscope;
#[cfg(test)]
mod testing;

use crate::event::Event;
use crate::machine::Machine;
use crate::profile::{Function, Kind, Measure, Profile};

/// What each node cost itself on `machine`, in cycles, by its index: see [`Profile::own_costs`].
pub fn cycles(profile: &Profile, machine: &Machine) -> Vec<u64> {
    profile.own_costs(Measure::Cycles(machine))
}

/// How often an event happened in each node itself, by its index.
pub fn counts(profile: &Profile, event: Event) -> Vec<u64> {
    profile.nodes.iter().map(|node| node.own.get(event)).collect()
}

/// A way to weigh nodes.
struct Column {
    /// `cycles`, or the name of an event.
    name: &'static str,
    /// By the index of the node.
    costs: Vec<u64>,
}

/// Cycles, instructions and every event that happened.
fn columns(profile: &Profile, machine: &Machine) -> Vec<Column> {
    let total = profile.total();
    let events = Event::ALL.into_iter().filter(|&event| event == Event::Instructions || total.get(event) > 0);
    let events = events.map(|event| Column { name: event.name(), costs: counts(profile, event) });
    std::iter::once(Column { name: "cycles", costs: cycles(profile, machine) }).chain(events).collect()
}

/// The indices of the nodes from below the root, which is left out, to `node`.
fn path(profile: &Profile, node: usize) -> Vec<usize> {
    let mut path = Vec::new();
    let mut at = node;
    while at != 0 {
        path.push(at);
        at = profile.nodes[at].parent as usize;
    }
    path.reverse();
    path
}

/// The function that a node is of, and the line that it is at: a function's first, but where it is one of a Python function.
fn site(profile: &Profile, node: usize) -> (u32, u32) {
    let node = &profile.nodes[node];
    let Function { kind, line, .. } = profile.function_of(node);
    let of = if *kind == Kind::Line { &profile.nodes[node.parent as usize] } else { node };
    (of.function, *line)
}

/// The objects of all functions, sorted.
fn objects(profile: &Profile) -> Vec<&str> {
    let mut objects: Vec<&str> = profile.functions.iter().map(|function| &*function.object).collect();
    objects.sort_unstable();
    objects.dedup();
    objects.into_iter().filter(|object| !object.is_empty()).collect()
}

/// The benchmark.
fn root_name(profile: &Profile) -> &str {
    &profile.function_of(&profile.nodes[0]).name
}

/// Who wrote a file.
const CREATOR: &str = concat!("invar ", env!("CARGO_PKG_VERSION"));

/// A line of somebody else's file, as an error shows it: its beginning, without control characters.
fn shown(line: &str) -> String {
    const CHARACTERS: usize = 60;
    let mut characters = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut shown: String = characters.by_ref().take(CHARACTERS).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A name for a format of lines: on one of its own, without blanks around it, and never empty.
fn one_line(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if name.trim().is_empty() { UNKNOWN.to_string() } else { name.trim().to_string() }
}

/// Stands for a name that is not known.
const UNKNOWN: &str = "???";

/// The lines of somebody else's file, numbered from one. What is not UTF-8 is replaced: a symbol's bytes are anybody's.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, std::borrow::Cow<'_, str>)> {
    bytes.split(|&byte| byte == b'\n').enumerate().map(|(at, line)| (at + 1, String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::testing::profile;
    use super::*;
    use crate::cost::Cost;

    #[test]
    fn cycles_of_nodes_add_up_to_the_cost_of_the_whole() {
        let (profile, machine) = (profile(), Machine::reference_1());
        let whole = Cost::of(&profile.total(), &machine).total().0;
        assert_eq!(cycles(&profile, &machine).iter().sum::<u64>(), whole);
        // Each rounded for itself, they would not: two nodes moved a byte each.
        let rounded: u64 = profile.nodes.iter().map(|node| Cost::of(&node.own, &machine).total().0).sum();
        assert_eq!(rounded, whole + 2);
    }

    #[test]
    fn what_never_happened_has_no_column() {
        let columns = columns(&profile(), &Machine::reference_1());
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        assert_eq!(names, ["cycles", "instructions", "rep_bytes"]);
    }

    #[test]
    fn a_long_line_is_shown_by_its_beginning() {
        assert_eq!(shown(&format!("a\tb{}", "x".repeat(99))), format!("a\u{fffd}b{}…", "x".repeat(57)));
    }
}
