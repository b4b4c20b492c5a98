//! Version 2 of a profile's bytes: column by column, so that like stands beside like and compresses well.
//!
//! A *column* is a number for each of what it is about, one after the other. A *function within* is `2 * function + inlined`: what a
//! node is of.
//!
//! | what |
//! | --- |
//! | number of strings; two columns: bytes shared with the string before, bytes that follow; then those bytes. Sorted |
//! | number of functions; four columns: name, object and file, by index into the strings (the name as difference to the one before), and `4 * line + kind` |
//! | number of functions within that call any; two columns: which, as differences, and how many functions within each calls; then for each of them a column: these, as differences |
//! | the root's function within; number of nodes, callers before their callees; two columns: how many callees a node has, and (not for the root) which of what its caller calls it is, as how many were passed over |
//! | a column: calls; then number and column of those calls that are told apart |
//! | a column: work; then number and four columns of those works that are new |
//! | for each event other than work, in the order of `ORDER`: number of nodes that have any, and two columns: how many nodes further, how often |
//! | number of functions that have lines; two columns: how many further, how many lines; then a column of lines; then a column of masks of all lines but each function's last; then for each bit of any mask a column |
//!
//! From calls on, columns are in the order of the nodes' functions within (those of one as they stand in the tree), which puts what was
//! done by the same code side by side.
//!
//! *Executions* of a node are its calls, or where it was not called (it is inlined, most often) its caller's executions, and at least
//! 1. Calls are 0, or 1 if told apart, or `1 + how often` the caller's executions.
//!
//! Work are instructions, reads, writes and branches taken. Its column says 0 or 1 for a work that is new, and 2 and up for one of
//! the last [`RECENT`] that its function within has had, the latest first. It is to be multiplied by executions unless new as 1.
//!
//! A function's lines are told as difference to its own line or the line before, the first by a zigzag number. Bit 0 of a mask says that
//! work is to be multiplied by all executions of the function, further bits which events there are, in the order of `ORDER`. What is
//! left of what its nodes did is the last line's.

use std::collections::{BTreeMap, BTreeSet};

use super::{NAMES_BYTES_MAX, ORDER, ReadProfileError, Reader, by_function};
use crate::event::{Event, Events};
use crate::profile::{Function, Line, Node, Profile};
use crate::wire::raw::taken_exits::number;

/// How many works of each function are remembered.
const RECENT: usize = 32;

/// How many events of `ORDER` are work.
const WORK: usize = 4;

/// Instructions, reads, writes and branches, and whether they are of each execution.
type Work = (bool, [u64; WORK]);

/// Works of functions within, the latest first.
type Works = BTreeMap<u32, Vec<Work>>;

pub(super) fn write(profile: &Profile, out: &mut Vec<u8>) {
    write_functions(profile, out);
    write_tree(profile, out);
    let executions = executions(&profile.nodes);
    let order = order(&profile.nodes);
    write_calls(profile, &executions, &order, out);
    write_work(profile, &executions, &order, out);
    for &event in &ORDER[WORK..] {
        let some = order.iter().zip(0..).filter(|(node, _)| profile.nodes[**node].own.get(event) > 0);
        let some: Vec<(usize, u64)> = some.map(|(&node, place)| (node, place)).collect();
        number(out, some.len() as u64);
        let places = some.iter().map(|(_, place)| *place);
        differences(out, places);
        column(out, some.iter().map(|(node, _)| profile.nodes[*node].own.get(event)));
    }
    write_lines(profile, &executions, out);
}

fn column(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|one| number(out, one));
}

/// A column of numbers that do not fall.
fn differences(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    let mut before = 0;
    for one in numbers {
        number(out, one - before);
        before = one;
    }
}

fn write_functions(profile: &Profile, out: &mut Vec<u8>) {
    let strings: BTreeSet<&str> = profile.functions.iter().flat_map(texts).collect();
    let strings: Vec<&str> = strings.into_iter().collect();
    let before = std::iter::once(&"").chain(&strings);
    let shared: Vec<usize> = before.zip(&strings).map(|(before, text)| shared(before, text)).collect();
    number(out, strings.len() as u64);
    column(out, shared.iter().map(|&shared| shared as u64));
    column(out, strings.iter().zip(&shared).map(|(text, shared)| (text.len() - shared) as u64));
    strings.iter().zip(&shared).for_each(|(text, &shared)| out.extend_from_slice(&text.as_bytes()[shared..]));

    let index = |function: &Function, text: usize| {
        let index = strings.binary_search(&texts(function)[text]);
        index.expect("every text of a function is among the strings") as u64
    };
    let functions = &profile.functions;
    number(out, functions.len() as u64);
    differences(out, functions.iter().map(|function| index(function, 0)));
    column(out, functions.iter().map(|function| index(function, 1)));
    column(out, functions.iter().map(|function| index(function, 2)));
    column(out, functions.iter().map(|function| u64::from(function.line) << 2 | function.kind as u64));
}

fn texts(function: &Function) -> [&str; 3] {
    [&function.name, &function.object, &function.file]
}

/// How many bytes two strings have in common.
fn shared(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

/// What a node is of.
fn within(node: &Node) -> u32 {
    node.function << 1 | u32::from(node.inlined)
}

/// The nodes in the order of their columns.
fn order(nodes: &[Node]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|&node| within(&nodes[node]));
    order
}

/// How often the code of each node was executed, as far as its calls say so.
fn executions(nodes: &[Node]) -> Vec<u64> {
    let mut executions: Vec<u64> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let callers = executions.get(node.parent as usize).copied().unwrap_or(1);
        executions.push(if node.calls > 0 { node.calls } else { callers });
    }
    executions
}

fn write_tree(profile: &Profile, out: &mut Vec<u8>) {
    let nodes = &profile.nodes;
    let mut callees = BTreeMap::<u32, BTreeSet<u32>>::new();
    let mut counts = vec![0_u64; nodes.len()];
    for node in &nodes[1..] {
        callees.entry(within(&nodes[node.parent as usize])).or_default().insert(within(node));
        counts[node.parent as usize] += 1;
    }
    number(out, callees.len() as u64);
    differences(out, callees.keys().map(|&caller| u64::from(caller)));
    column(out, callees.values().map(|callees| callees.len() as u64));
    callees.values().for_each(|callees| differences(out, callees.iter().map(|&callee| u64::from(callee))));

    let callees: BTreeMap<u32, Vec<u32>> =
        callees.into_iter().map(|(caller, callees)| (caller, callees.into_iter().collect())).collect();
    number(out, u64::from(within(&nodes[0])));
    number(out, nodes.len() as u64);
    column(out, counts);
    // Where the next callee of each node can be.
    let mut next = vec![0; nodes.len()];
    for node in &nodes[1..] {
        let callees = &callees[&within(&nodes[node.parent as usize])];
        let place = callees.binary_search(&within(node)).expect("a callee is among its caller's");
        let next = &mut next[node.parent as usize];
        number(out, (place - *next) as u64);
        *next = place + 1;
    }
}

fn write_calls(profile: &Profile, executions: &[u64], order: &[usize], out: &mut Vec<u8>) {
    let mut apart = Vec::new();
    for &node in order {
        let Node { parent, calls, .. } = profile.nodes[node];
        let callers = if node == 0 { 1 } else { executions[parent as usize] };
        let times = (calls % callers == 0).then_some(calls / callers).filter(|&times| times < u64::MAX);
        number(out, if calls == 0 { 0 } else { times.map_or(1, |times| times + 1) });
        if calls > 0 && times.is_none() {
            apart.push(calls);
        }
    }
    number(out, apart.len() as u64);
    column(out, apart);
}

/// Puts a work before those that its function has had; says where it was.
fn remember(works: &mut Vec<Work>, work: Work) -> Option<usize> {
    let place = works.iter().position(|known| *known == work);
    match place {
        Some(place) => works[..=place].rotate_right(1),
        None => {
            works.truncate(RECENT - 1);
            works.insert(0, work);
        }
    }
    place
}

fn work(events: &Events) -> [u64; WORK] {
    std::array::from_fn(|place| events.get(ORDER[place]))
}

/// Work of each of so many executions, if it can be told so.
fn divided(work: [u64; WORK], executions: u64) -> Work {
    let divides = executions > 0 && work.iter().all(|count| count % executions == 0);
    (divides, if divides { work.map(|count| count / executions) } else { work })
}

fn write_work(profile: &Profile, executions: &[u64], order: &[usize], out: &mut Vec<u8>) {
    let (mut works, mut new) = (Works::new(), Vec::new());
    for &node in order {
        let of = &profile.nodes[node];
        let work = divided(work(&of.own), executions[node]);
        match remember(works.entry(within(of)).or_default(), work) {
            Some(place) => number(out, place as u64 + 2),
            None => {
                number(out, u64::from(!work.0));
                new.push(work.1);
            }
        }
    }
    number(out, new.len() as u64);
    for place in 0..WORK {
        column(out, new.iter().map(|work| work[place]));
    }
}

/// How often each function was executed, as far as calls say so.
fn executions_of_functions(profile: &Profile, executions: &[u64]) -> Vec<u64> {
    let mut sums = vec![0_u64; profile.functions.len()];
    for (node, &executions) in profile.nodes.iter().zip(executions) {
        let sum = &mut sums[node.function as usize];
        *sum = sum.saturating_add(executions);
    }
    sums
}

fn write_lines(profile: &Profile, executions: &[u64], out: &mut Vec<u8>) {
    let executions = executions_of_functions(profile, executions);
    let by_function: Vec<&[Line]> =
        profile.lines.chunk_by(|one, other| one.function == other.function).collect();
    number(out, by_function.len() as u64);
    differences(out, by_function.iter().map(|lines| u64::from(lines[0].function)));
    column(out, by_function.iter().map(|lines| lines.len() as u64));
    for lines in &by_function {
        let own = profile.functions[lines[0].function as usize].line;
        number(out, zigzag(i64::from(lines[0].line) - i64::from(own)));
        column(out, lines.windows(2).map(|pair| u64::from(pair[1].line - pair[0].line)));
    }
    let told: Vec<(u64, [u64; Event::COUNT])> = by_function
        .iter()
        .flat_map(|lines| &lines[..lines.len() - 1])
        .map(|line| {
            let (is_divided, work) = divided(work(&line.own), executions[line.function as usize]);
            let mut counts = ORDER.map(|event| line.own.get(event));
            counts[..WORK].copy_from_slice(&work);
            let bits = counts.iter().zip(1..).map(|(&count, bit)| u64::from(count > 0) << bit);
            (u64::from(is_divided) | bits.sum::<u64>(), counts)
        })
        .collect();
    column(out, told.iter().map(|(mask, _)| *mask));
    for place in 0..ORDER.len() {
        column(out, told.iter().map(|(_, counts)| counts[place]).filter(|&count| count > 0));
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn from_zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Profile, ReadProfileError> {
    let functions = reader.function_columns()?;
    let mut nodes = reader.tree(functions.len())?;
    let order = order(&nodes);
    let executions = reader.calls(&mut nodes, &order)?;
    reader.work(&mut nodes, &executions, &order)?;
    reader.others(&mut nodes, &order)?;
    let mut profile = Profile { functions, nodes, lines: Vec::new() };
    let left = by_function(&profile).ok_or(reader.damaged("its sums are past all counting"))?;
    profile.lines = reader.line_columns(&profile, &executions, left)?;
    Ok(profile)
}

const TOO_LARGE: &str = "a count is too large";

impl Reader<'_> {
    /// So many numbers.
    fn column(&mut self, count: usize) -> Result<Vec<u64>, ReadProfileError> {
        if count > self.cursor.bytes.len() {
            return Err(self.damaged("it ends early: it cannot hold as many as it says"));
        }
        (0..count).map(|_| self.number()).collect()
    }

    /// So many numbers, each below `end`, that are told as differences. Only the first may be 0 where they must `rise`.
    fn differences(&mut self, count: usize, end: usize, rise: bool) -> Result<Vec<u32>, ReadProfileError> {
        let mut before = 0_u64;
        let mut numbers = Vec::new();
        for (place, difference) in self.column(count)?.into_iter().enumerate() {
            let one = before.checked_add(difference).filter(|&one| one < end as u64);
            let one = one.filter(|_| !rise || place == 0 || difference > 0);
            before = one.ok_or(self.damaged("a number of a column is not in order, or past its end"))?;
            numbers.push(before as u32);
        }
        Ok(numbers)
    }

    /// The sum of numbers, if so many numbers can follow.
    fn sum(&self, numbers: &[u64]) -> Result<usize, ReadProfileError> {
        let sum = numbers.iter().try_fold(0_u64, |sum, &one| sum.checked_add(one));
        let sum = sum.filter(|&sum| sum <= self.cursor.bytes.len() as u64);
        sum.map(|sum| sum as usize).ok_or(self.damaged("it ends early: it cannot hold as many as it says"))
    }

    fn strings(&mut self) -> Result<Vec<String>, ReadProfileError> {
        let count = self.count(2)?;
        let (shared, rest) = (self.column(count)?, self.column(count)?);
        let mut strings: Vec<String> = Vec::with_capacity(count);
        let (mut before, mut room) = (Vec::new(), NAMES_BYTES_MAX);
        for (shared, rest) in shared.into_iter().zip(rest) {
            let cut_short = self.damaged("a name is cut short or no UTF-8");
            if shared > before.len() as u64 {
                return Err(cut_short);
            }
            before.truncate(shared as usize);
            let bytes = usize::try_from(rest).ok().and_then(|rest| self.cursor.take(rest));
            let Some(bytes) = bytes else { return Err(cut_short) };
            before.extend_from_slice(bytes);
            room = room.checked_sub(before.len()).ok_or(self.damaged("its names are too long"))?;
            let text = String::from_utf8(before.clone());
            strings.push(text.map_err(|_| cut_short)?);
        }
        Ok(strings)
    }

    fn function_columns(&mut self) -> Result<Vec<Function>, ReadProfileError> {
        let strings = self.strings()?;
        let count = self.count(4)?;
        let names = self.differences(count, strings.len(), false)?;
        let (objects, files, rest) = (self.column(count)?, self.column(count)?, self.column(count)?);
        let mut functions: Vec<Function> = Vec::with_capacity(count);
        let mut room = NAMES_BYTES_MAX;
        for (place, kind_and_line) in rest.into_iter().enumerate() {
            let text = |index: u64| {
                let text = usize::try_from(index).ok().and_then(|index| strings.get(index));
                text.ok_or(self.damaged("a function's name is not there"))
            };
            let texts = [text(u64::from(names[place]))?, text(objects[place])?, text(files[place])?];
            let function = self.function(texts, kind_and_line, functions.last(), &mut room)?;
            functions.push(function);
        }
        Ok(functions)
    }

    /// The nodes, which have neither calls nor events yet.
    fn tree(&mut self, functions: usize) -> Result<Vec<Node>, ReadProfileError> {
        let end = functions * 2;
        let callers = self.count(3)?;
        let callers = self.differences(callers, end, true)?;
        let counts = self.column(callers.len())?;
        self.sum(&counts)?;
        let mut callees = BTreeMap::new();
        for (caller, count) in callers.into_iter().zip(counts) {
            callees.insert(caller, self.differences(count as usize, end, true)?);
        }
        let root = self.index(end, "it has no root")? as u32;
        let count = self.count(2)?;
        let counts = self.column(count)?;
        if self.sum(&counts)? + 1 != count {
            return Err(self.damaged("there are more callees than nodes, or fewer"));
        }
        let places = self.column(count - 1)?;
        let mut nodes: Vec<Node> = Vec::with_capacity(count);
        let node = |parent, within: u32| Node {
            parent,
            function: within >> 1,
            inlined: within & 1 == 1,
            calls: 0,
            own: Events::default(),
        };
        nodes.push(node(0, root));
        // Callers from the root, each with how many callees are missing, and where the next one can be.
        let mut path = vec![(0, counts[0], 0_u64)];
        for place in places {
            while path.pop_if(|(_, missing, _)| *missing == 0).is_some() {}
            let Some((caller, missing, next)) = path.last_mut() else {
                return Err(self.damaged("a node has no caller"));
            };
            let known = callees.get(&within(&nodes[*caller as usize]));
            let place = next.checked_add(place).and_then(|place| usize::try_from(place).ok());
            let callee = known.zip(place).and_then(|(known, place)| Some((place, *known.get(place)?)));
            let (place, callee) = callee.ok_or(self.damaged("a node's function is not there"))?;
            (*missing, *next) = (*missing - 1, place as u64 + 1);
            let index = nodes.len();
            nodes.push(node(*caller, callee));
            path.push((index as u32, counts[index], 0));
        }
        Ok(nodes)
    }

    /// The calls of all nodes; says their executions.
    fn calls(&mut self, nodes: &mut [Node], order: &[usize]) -> Result<Vec<u64>, ReadProfileError> {
        let mut times = vec![0; nodes.len()];
        for (&node, told) in order.iter().zip(self.column(order.len())?) {
            times[node] = told;
        }
        let count = self.count(1)?;
        let mut apart = self.column(count)?.into_iter();
        for &node in order.iter().filter(|node| times[**node] == 1) {
            nodes[node].calls = apart.next().ok_or(self.damaged("a node has no calls"))?;
        }
        let mut executions: Vec<u64> = Vec::with_capacity(nodes.len());
        for (node, times) in nodes.iter_mut().zip(times) {
            let callers = executions.get(node.parent as usize).copied().unwrap_or(1);
            if times > 1 {
                node.calls = callers.checked_mul(times - 1).ok_or(self.damaged(TOO_LARGE))?;
            }
            executions.push(if node.calls > 0 { node.calls } else { callers });
        }
        Ok(executions)
    }

    fn work(
        &mut self,
        nodes: &mut [Node],
        executions: &[u64],
        order: &[usize],
    ) -> Result<(), ReadProfileError> {
        let told = self.column(order.len())?;
        let count = self.count(WORK)?;
        let mut columns: [Vec<u64>; WORK] = Default::default();
        for column in &mut columns {
            *column = self.column(count)?;
        }
        let mut new = (0..count).map(|place| columns.each_ref().map(|column| column[place]));
        let mut works = Works::new();
        for (&node, told) in order.iter().zip(told) {
            let works = works.entry(within(&nodes[node])).or_default();
            let work = match told {
                0 | 1 => new.next().map(|work| (told == 0, work)),
                place => usize::try_from(place - 2).ok().and_then(|place| works.get(place).copied()),
            };
            let work = work.ok_or(self.damaged("a node's work is not there"))?;
            remember(works, work);
            let factor = if work.0 { executions[node] } else { 1 };
            for (&event, count) in ORDER.iter().zip(work.1) {
                let count = count.checked_mul(factor).ok_or(self.damaged(TOO_LARGE))?;
                nodes[node].own.add(event, count);
            }
        }
        Ok(())
    }

    /// Events other than work.
    fn others(&mut self, nodes: &mut [Node], order: &[usize]) -> Result<(), ReadProfileError> {
        for &event in &ORDER[WORK..] {
            let count = self.count(2)?;
            let places = self.differences(count, order.len(), true)?;
            for (place, count) in places.into_iter().zip(self.column(count)?) {
                nodes[order[place as usize]].own.add(event, count);
            }
        }
        Ok(())
    }

    /// The lines. `left` is what each function's nodes did.
    fn line_columns(
        &mut self,
        profile: &Profile,
        executions: &[u64],
        mut left: Vec<Events>,
    ) -> Result<Vec<Line>, ReadProfileError> {
        let executions = executions_of_functions(profile, executions);
        let count = self.count(3)?;
        let functions = self.differences(count, left.len(), true)?;
        let counts = self.column(count)?;
        let all = self.sum(&counts)?;
        let mut lines: Vec<Line> = Vec::with_capacity(all);
        for (&function, &count) in functions.iter().zip(&counts) {
            let mut line = i64::from(profile.functions[function as usize].line);
            for place in 0..count {
                let told = self.number()?;
                let further = if place == 0 { Some(from_zigzag(told)) } else { i64::try_from(told).ok() };
                let further = further.filter(|&further| place == 0 || further > 0);
                let next = further.and_then(|further| line.checked_add(further));
                line = next
                    .filter(|&line| u32::try_from(line).is_ok())
                    .ok_or(self.damaged("lines are not sorted, or a line is too large"))?;
                lines.push(Line { function, line: line as u32, own: Events::default() });
            }
        }
        if counts.contains(&0) {
            return Err(self.damaged("a function of lines has none"));
        }
        let is_told = |at: &usize| lines.get(at + 1).is_some_and(|next| next.function == lines[*at].function);
        let told: Vec<usize> = (0..all).filter(is_told).collect();
        let masks = self.column(told.len())?;
        for bit in 1..=ORDER.len() {
            let event = ORDER[bit - 1];
            for (&at, mask) in told.iter().zip(&masks).filter(|(_, mask)| *mask >> bit & 1 == 1) {
                let line = &mut lines[at];
                let is_divided = bit <= WORK && mask & 1 == 1;
                let factor = if is_divided { executions[line.function as usize] } else { 1 };
                let count = self.number()?.checked_mul(factor).ok_or(self.damaged(TOO_LARGE))?;
                line.own.add(event, count);
            }
        }
        if masks.iter().any(|mask| mask >> (ORDER.len() + 1) != 0) {
            return Err(self.damaged("a line has an event that is none"));
        }
        for at in 0..all {
            let left = &mut left[lines[at].function as usize];
            if told.binary_search(&at).is_err() {
                lines[at].own = *left;
                continue;
            }
            for (left, count) in left.0.iter_mut().zip(lines[at].own.0) {
                let less = left.checked_sub(count);
                *left = less.ok_or(self.damaged("its lines do not sum up to its functions"))?;
            }
        }
        Ok(lines)
    }
}
