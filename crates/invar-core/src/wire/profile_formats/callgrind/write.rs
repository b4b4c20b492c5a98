//! Writing callgrind.out.

use std::collections::BTreeMap;

use super::EVENTS;
use crate::cost::Cost;
use crate::event::{Event, Events};
use crate::machine::Machine;
use crate::profile::{Function, Kind, Profile};
use crate::wire::profile_formats::{CREATOR, cycles, one_line, root_name, site};

/// Writes a profile: what each function did itself, line by line where that is known, and its calls.
///
/// The events that happened, and `Cycles`. A function that calls itself, directly or through others, is charged for the
/// outermost call only, as callgrind does, so that the costs of the calls to a function add up to its inclusive cost. Where a
/// caller called from is known of Python functions whose lines are; other calls stand at their caller's first line. An inlined function is called by the one that it is
/// in. Lost: call paths, and who executes a function.
pub fn write(profile: &Profile, machine: &Machine) -> String {
    let total = profile.total();
    let mut own = vec![Costs::default(); profile.functions.len()];
    let mut at_lines: BTreeMap<(u32, u32), Costs> = BTreeMap::new();
    let node_costs: Vec<Costs> = cycles(profile, machine)
        .into_iter()
        .zip(&profile.nodes)
        .map(|(cycles, node)| Costs { events: node.own, cycles })
        .collect();
    for (index, (node, costs)) in profile.nodes.iter().zip(&node_costs).enumerate() {
        match profile.function_of(node).kind {
            Kind::Line => at_lines.entry(site(profile, index)).or_default().add(costs),
            _ => own[node.function as usize].add(costs),
        }
    }
    let mut out = Writer::new(|event| event == Event::Instructions || total.get(event) > 0);
    out.header(root_name(profile), &sum(&node_costs));
    let calls = calls(profile, node_costs);
    let functions = profile.functions.iter().enumerate().filter(|(_, function)| function.kind != Kind::Line);
    for (index, function) in functions {
        out.text.push('\n');
        out.position(["ob", "fl", "fn"], function);
        for (line, costs) in lines(profile, index, &own[index], machine) {
            out.costs(line, &costs);
        }
        let index = index as u32;
        let lines = at_lines.range((index, 0)..=(index, u32::MAX));
        for (&(_, line), costs) in lines.filter(|(_, costs)| !costs.is_nothing()) {
            out.costs(line, costs);
        }
        let all = (index, 0, 0)..=(index, u32::MAX, u32::MAX);
        for (&(_, line, callee), call) in calls.range(all) {
            let callee = &profile.functions[callee as usize];
            out.position(["cob", "cfi", "cfn"], callee);
            // callgrind_annotate takes the cost of no call for the caller's own.
            out.text.push_str(&format!("calls={} {}\n", call.count.max(1), callee.line));
            out.costs(line, &call.inclusive);
        }
    }
    out.text.push_str("\ntotals:");
    out.values(&sum(&own.into_iter().chain(at_lines.into_values()).collect::<Vec<_>>()));
    out.text
}

/// Events, and the cycles that they are charged for.
#[derive(Clone, Copy, Default)]
struct Costs {
    events: Events,
    cycles: u64,
}

impl Costs {
    fn add(&mut self, other: &Costs) {
        self.events += other.events;
        self.cycles += other.cycles;
    }

    fn is_nothing(&self) -> bool {
        self.cycles == 0 && self.events == Events::default()
    }
}

fn sum(all: &[Costs]) -> Costs {
    let mut sum = Costs::default();
    all.iter().for_each(|costs| sum.add(costs));
    sum
}

/// What a function did itself, by line; what no line is known for is at its first.
fn lines(profile: &Profile, function: usize, own: &Costs, machine: &Machine) -> Vec<(u32, Costs)> {
    let start = profile.lines.partition_point(|line| (line.function as usize) < function);
    let known = profile.lines[start..].iter().take_while(|line| line.function as usize == function);
    let mut rest = *own;
    let mut lines = Vec::new();
    for line in known {
        let left = rest.events.0.iter().zip(line.own.0).map(|(rest, own)| rest.checked_sub(own));
        let Some(left) = left.collect::<Option<Vec<u64>>>() else { break };
        rest.events.0.copy_from_slice(&left);
        // A line is charged for itself; the rounding of repeated string instructions is the last line's.
        let cycles = Cost::of(&line.own, machine).total().0.min(rest.cycles);
        rest.cycles -= cycles;
        lines.push((line.line, Costs { events: line.own, cycles }));
    }
    match lines.last_mut() {
        Some((_, last)) if rest.events == Events::default() => last.cycles += rest.cycles,
        _ if rest.events != Events::default() => {
            lines.push((profile.functions[function].line, rest));
        }
        _ => {}
    }
    lines
}

/// The calls of one function by another.
#[derive(Default)]
struct Calls {
    count: u64,
    inclusive: Costs,
}

/// All calls, by caller, its line, and callee.
fn calls(profile: &Profile, mut inclusive: Vec<Costs>) -> BTreeMap<(u32, u32, u32), Calls> {
    let nodes = &profile.nodes;
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for index in (1..nodes.len()).rev() {
        let parent = nodes[index].parent as usize;
        children[parent].push(index);
        let costs = inclusive[index];
        inclusive[parent].add(&costs);
    }
    let mut calls: BTreeMap<(u32, u32, u32), Calls> = BTreeMap::new();
    // How often each function is on the path; a node is met when its path begins and when it ends.
    let mut active = vec![0_u32; profile.functions.len()];
    let mut todo = vec![(0, true)];
    while let Some((index, begins)) = todo.pop() {
        let node = &nodes[index];
        let function = node.function as usize;
        if !begins {
            active[function] -= 1;
            continue;
        }
        // A line is no call: what it did, its function did.
        if index > 0 && profile.functions[function].kind != Kind::Line {
            let (caller, line) = site(profile, node.parent as usize);
            let call = calls.entry((caller, line, node.function)).or_default();
            call.count = call.count.saturating_add(node.calls);
            if active[function] == 0 {
                call.inclusive.add(&inclusive[index]);
            }
        }
        active[function] += 1;
        todo.push((index, false));
        todo.extend(children[index].iter().map(|&child| (child, true)));
    }
    calls
}

struct Writer {
    text: String,
    events: Vec<(&'static str, Event)>,
    /// Ids of objects, files and functions.
    names: [BTreeMap<String, usize>; 3],
}

impl Writer {
    fn new(wanted: impl Fn(Event) -> bool) -> Writer {
        let events = EVENTS.into_iter().filter(|&(_, event)| wanted(event)).collect();
        Writer { text: String::new(), events, names: Default::default() }
    }

    fn header(&mut self, command: &str, total: &Costs) {
        let command = one_line(command);
        self.text =
            format!("# callgrind format\nversion: 1\ncreator: {CREATOR}\ncmd: {command}\npart: 1\n\n");
        self.text.push_str("positions: line\nevent: Cycles : Cycles of the simulated machine\nevents:");
        self.events.iter().for_each(|(name, _)| self.text.extend([" ", name]));
        self.text.push_str(" Cycles\nsummary:");
        self.values(total);
    }

    /// Names object, file and function, with `keys` for them; an id stands for a name from its second time on.
    fn position(&mut self, keys: [&str; 3], function: &Function) {
        let names = [&function.object, &function.file, &function.name];
        for ((key, name), ids) in keys.into_iter().zip(names).zip(&mut self.names) {
            let name = one_line(name);
            let next = ids.len() + 1;
            match ids.get(&name) {
                Some(id) => self.text.push_str(&format!("{key}=({id})\n")),
                None => {
                    self.text.push_str(&format!("{key}=({next}) {name}\n"));
                    ids.insert(name, next);
                }
            }
        }
    }

    fn costs(&mut self, line: u32, costs: &Costs) {
        self.text.push_str(&line.to_string());
        self.values(costs);
    }

    fn values(&mut self, costs: &Costs) {
        let events = self.events.iter().map(|&(_, event)| costs.events.get(event));
        for value in events.chain([costs.cycles]) {
            self.text.push_str(&format!(" {value}"));
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::wire::profile_formats::testing::{profile, with_lines};

    #[test]
    fn functions_lines_and_calls_are_written() {
        let text = write(&profile(), &Machine::reference_1());
        let body = text.split_once("part: 1\n\n").unwrap().1;
        assert_eq!(
            body,
            "\
positions: line
event: Cycles : Cycles of the simulated machine
events: Ir RepBytes Cycles
summary: 7481 2 14964

ob=(1) sum.so
fl=(1) src/sum.rs
fn=(1) <[u8; 4]>::sum
20 30 0 60
22 20 1 40
cob=(1)
cfi=(2) src/add.rs
cfn=(2) add
calls=1 3
20 7000 0 14000

ob=(2) ???
fl=(3) src/sum.py
fn=(3) Sum.of
7 30 0 60
cob=(2)
cfi=(3)
cfn=(3)
calls=4 7
7 0 0 0
cob=(3) python3.13
cfi=(4) ceval.c
cfn=(4) eval
calls=4 0
7 7450 2 14902

ob=(1)
fl=(2)
fn=(2)
3 7000 0 14000

ob=(3)
fl=(4)
fn=(4)
0 400 1 802
cob=(1)
cfi=(1)
cfn=(1)
calls=8 20
0 7050 1 14100

ob=(2)
fl=(5) ???
fn=(5) test_sum.py::test_sum[\"5\"]
0 1 0 2
cob=(2)
cfi=(3)
cfn=(3)
calls=1 7
0 7480 2 14962

totals: 7481 2 14964
"
        );
    }

    #[test]
    fn a_python_function_calls_from_its_lines() {
        let text = write(&with_lines(), &Machine::reference_1());
        let (_, of_f) = text.split_once(" f\n").unwrap();
        let (of_f, _) = of_f.split_once("\n\n").unwrap();
        let calls: Vec<&str> =
            of_f.lines().filter(|line| !line.starts_with('c') || line.starts_with("calls")).collect();
        let expected = [
            "calls=1 0",
            "2 10 20",
            "calls=4 9",
            "2 50 100",
            "calls=1 0",
            "3 100 200",
            "calls=4 9",
            "3 500 1000",
        ];
        assert_eq!(calls, expected);
        let read = read(text.as_bytes(), "t").unwrap();
        assert_eq!(read.total(), with_lines().total());
    }

    #[test]
    fn a_name_of_control_characters_is_not_taken_for_a_number_alone() {
        let file = b"events: Ir\nfl=(1)\x08\nfn=(1) \x08f\n1 7\n";
        let profile = read(file, "root").unwrap();
        let text = write(&profile, &Machine::callgrind());
        assert_eq!(read(text.as_bytes(), "root").unwrap().total(), profile.total(), "{text}");
    }

    #[test]
    fn recursion_is_charged_once() {
        let text = write(&profile(), &Machine::reference_1());
        assert!(text.contains("cfn=(3)\ncalls=4 7\n7 0 0 0\n"), "{text}");
    }

    #[test]
    fn what_was_written_reads_back_with_its_totals_and_calls() {
        let profile = profile();
        let text = write(&profile, &Machine::reference_1());
        let read = read(text.as_bytes(), root_name(&profile)).unwrap();
        assert_eq!(read.total(), profile.total());
        let sum = read.nodes.iter().find(|node| read.function_of(node).name == "Sum.of").unwrap();
        assert_eq!((sum.calls, sum.own.get(Event::Instructions)), (5, 30));
        let lines = |profile: &Profile| -> Vec<(u32, u64)> {
            profile.lines.iter().map(|line| (line.line, line.own.get(Event::Instructions))).collect()
        };
        assert!(lines(&profile).iter().all(|line| lines(&read).contains(line)));
    }
}
