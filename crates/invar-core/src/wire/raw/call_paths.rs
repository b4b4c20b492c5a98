//! What a pass cost by call path and instruction, in addresses of the measured process: worked out from [`TakenExits`].
//!
//! The runner names the addresses and makes a [`crate::profile`] of it, so this is never written.
//!
//! What always holds in what [`CallPaths::of`] returns: every index is within its list, a call stands behind its caller, and events sum up
//! to what was counted and charged.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::taken_exits::{Charge, Exit, Flow, Row, Superblock, TakenExits};
use crate::event::{Event, Events};

/// An instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Its address.
    pub address: u64,
    /// Reads of each execution.
    pub reads: u8,
    /// Writes of each execution.
    pub writes: u8,
    /// It makes a system call.
    pub system_call: bool,
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Callee {
    /// The code at an address.
    Address(u64),
    /// A Python function, by its index in [`CallPaths::python`].
    Python(u32),
    /// A line of the Python function that is the caller; 0 where code is of no line. Its calls are how often it was come to from
    /// another line.
    Line(u32),
}

/// A callee, along one path of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Index of the caller's; the first call is the region itself, and its own caller.
    pub parent: u32,
    /// What is called.
    pub callee: Callee,
    /// How often.
    pub calls: u64,
}

/// A Python function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonCode {
    /// Its qualified name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Line of its beginning.
    pub line: u32,
}

/// Neighbouring instructions that one call has executed equally often itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Index of the call.
    pub call: u32,
    /// Index of the first instruction.
    pub first: u32,
    /// How many instructions.
    pub instructions: u32,
    /// How often.
    pub times: u64,
}

/// What an instruction did within a call besides being executed, reading, writing and calling the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extra {
    /// Index of the call.
    pub call: u32,
    /// Index of the instruction.
    pub instruction: u32,
    /// What.
    pub event: Event,
    /// How often.
    pub count: u64,
}

/// A pass by call paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallPaths {
    /// The executable mappings of the process at the end of the pass, as lines of `/proc/PID/maps`.
    pub maps: String,
    /// Sorted by address.
    pub instructions: Vec<Instruction>,
    /// Python functions.
    pub python: Vec<PythonCode>,
    /// The tree of calls.
    pub calls: Vec<Call>,
    /// Sorted by call and first instruction. An instruction may be in several stretches of a call.
    pub stretches: Vec<Stretch>,
    /// Sorted by call and instruction.
    pub extras: Vec<Extra>,
}

impl CallPaths {
    /// What was counted by exit, by instruction.
    pub fn of(taken: &TakenExits) -> CallPaths {
        let mut rows = Vec::with_capacity(taken.rows.len());
        rows.extend(taken.rows.iter().map(|&row| (taken.exits[row.exit as usize].superblock, row)));
        rows.sort_unstable_by_key(|&(superblock, Row { call, .. })| (superblock, call));
        let mut charges = Vec::with_capacity(taken.charges.len());
        charges.extend(
            taken.charges.iter().filter_map(|&charge| Some((superblock_of(taken, charge.op)?, charge))),
        );
        charges.sort_unstable_by_key(|&(superblock, Charge { call, op, .. })| (superblock, call, op));
        let (instructions, places) = executed_by(taken, &rows);
        let mut telling = Telling::new(taken, &places);
        let mut charges = &*charges;
        for group in rows.chunk_by(|one, other| (one.0, one.1.call) == (other.0, other.1.call)) {
            let (superblock, Row { call, .. }) = group[0];
            // Who has done something besides has taken an exit.
            let before = charges.partition_point(|one| (one.0, one.1.call) < (superblock, call));
            let until = charges.partition_point(|one| (one.0, one.1.call) <= (superblock, call));
            telling.tell(superblock, call, group, &charges[before..until]);
            charges = &charges[until..];
        }
        telling.finish(instructions)
    }

    /// What all calls did: the events of the pass.
    pub fn total(&self) -> Events {
        let mut events = Events::default();
        for &Stretch { first, instructions, times, .. } in &self.stretches {
            for instruction in &self.instructions[first as usize..(first + instructions) as usize] {
                events += executed(instruction, times);
            }
        }
        self.extras.iter().for_each(|extra| events.add(extra.event, extra.count));
        events
    }
}

/// The superblock that an operation is of.
fn superblock_of(taken: &TakenExits, op: u64) -> Option<u32> {
    let number = taken.superblocks.partition_point(|one| one.first_op <= op).checked_sub(1)?;
    let Superblock { first_op, ops, .. } = taken.superblocks[number];
    (op - first_op < u64::from(ops)).then_some(number as u32)
}

/// A step that nobody has executed.
const ABSENT: u32 = u32::MAX;

/// The instructions that were executed, and for each step which of them it is: superblocks overlap.
fn executed_by(taken: &TakenExits, rows: &[(u32, Row)]) -> (Vec<Instruction>, Vec<u32>) {
    let key = |step: u32| {
        let Instruction { address, reads, writes, system_call } = taken.steps[step as usize].instruction();
        (address, reads, writes, system_call)
    };
    let mut places = vec![ABSENT; taken.steps.len()];
    let mut steps = Vec::with_capacity(taken.steps.len());
    for of_one in rows.chunk_by(|one, other| one.0 == other.0) {
        let Superblock { first_step, .. } = taken.superblocks[of_one[0].0 as usize];
        let reach = of_one.iter().map(|(_, row)| taken.exits[row.exit as usize].instructions).max();
        let reached = first_step..first_step + u32::from(reach.unwrap_or(0));
        steps.extend(reached.map(|step| (key(step), step)));
    }
    steps.sort_unstable();
    let mut instructions = Vec::with_capacity(steps.len());
    for alike in steps.chunk_by(|(one, _), (other, _)| one == other) {
        alike.iter().for_each(|&(_, step)| places[step as usize] = instructions.len() as u32);
        instructions.push(taken.steps[alike[0].1 as usize].instruction());
    }
    (instructions, places)
}

/// What was told so far.
struct Telling<'a> {
    taken: &'a TakenExits,
    /// The instruction of each step.
    places: &'a [u32],
    /// Those that the process has met, and behind them those that a superblock makes and ends.
    calls: Vec<Call>,
    /// Calls of addresses, by their callers.
    by_callee: BTreeMap<(u32, u64), u32>,
    stretches: Vec<Stretch>,
    extras: Vec<Extra>,
    /// The exits of a group, those that go less far first.
    ends: Vec<(Exit, u64)>,
    /// Callers within a superblock.
    callers: Vec<u32>,
}

impl<'a> Telling<'a> {
    fn new(taken: &'a TakenExits, places: &'a [u32]) -> Telling<'a> {
        let address_of = |(number, call): (u32, &Call)| match call.callee {
            Callee::Address(address) if number > 0 => Some(((call.parent, address), number)),
            _ => None,
        };
        Telling {
            taken,
            places,
            calls: taken.calls.clone(),
            by_callee: (0..).zip(&taken.calls).filter_map(address_of).collect(),
            stretches: Vec::with_capacity(2 * taken.rows.len()),
            extras: Vec::with_capacity(2 * taken.rows.len() + taken.charges.len()),
            ends: Vec::new(),
            callers: Vec::new(),
        }
    }

    /// Tells the rows of one superblock within one call. Its charges are in the order of their operations.
    fn tell(&mut self, superblock: u32, mut call: u32, rows: &[(u32, Row)], charges: &[(u32, Charge)]) {
        let taken = self.taken;
        let superblock = &taken.superblocks[superblock as usize];
        self.ends.clear();
        self.ends.extend(rows.iter().map(|(_, row)| (taken.exits[row.exit as usize], row.times)));
        self.ends.sort_unstable_by_key(|(exit, _)| exit.instructions);
        self.callers.clear();
        // Executions that come as far as this.
        let mut left: u64 = self.ends.iter().map(|(_, times)| times).sum();
        let mut ends = self.ends.iter().peekable();
        while let Some((_, times)) = ends.next_if(|(exit, _)| exit.instructions == 0) {
            left -= times;
        }
        let mut charges = charges.iter().map(|(_, charge)| charge).peekable();
        let (steps, mut targets) = (taken.steps_of(superblock), taken.targets_of(superblock).iter());
        let places = &self.places[superblock.first_step as usize..][..steps.len()];
        let mut branches = 0;
        let mut open: Option<Stretch> = None;
        for (index, (step, &instruction)) in steps.iter().zip(places).enumerate() {
            if left == 0 {
                break;
            }
            match &mut open {
                Some(open)
                    if open.call == call
                        && open.times == left
                        && open.first + open.instructions == instruction =>
                {
                    open.instructions += 1;
                }
                _ => {
                    self.stretches.extend(open);
                    open = Some(Stretch { call, first: instruction, instructions: 1, times: left });
                }
            }
            let next_op = steps.get(index + 1).map_or(superblock.ops, |next| next.ops);
            let next_op = superblock.first_op + u64::from(next_op);
            while let Some(&Charge { event, count, .. }) = charges.next_if(|charge| charge.op < next_op) {
                self.extras.push(Extra { call, instruction, event, count });
            }
            // Whoever goes on behind a step has taken its branches, and whoever leaves there those of the exit.
            let (reached, mut branched) = (left, 0);
            while let Some((exit, times)) =
                ends.next_if(|(exit, _)| usize::from(exit.instructions) == index + 1)
            {
                branched += times * u64::from(exit.branches).saturating_sub(branches);
                left -= times;
            }
            branched += left * u64::from(step.branches);
            branches += u64::from(step.branches);
            if branched > 0 {
                self.extras.push(Extra { call, instruction, event: Event::BranchesTaken, count: branched });
            }
            match step.flow {
                Flow::On => {}
                Flow::Call => {
                    let target = targets.next().copied().unwrap_or_default();
                    self.callers.push(call);
                    call = called(&mut self.calls, &mut self.by_callee, call, target, reached);
                }
                Flow::Return => call = self.callers.pop().unwrap_or(call),
            }
        }
        // What an instruction did that has faulted is its predecessor's.
        if let Some(Stretch { call, first, instructions, .. }) = open {
            let instruction = first + instructions - 1;
            let extra = |&Charge { event, count, .. }| Extra { call, instruction, event, count };
            self.extras.extend(charges.map(extra));
        }
        self.stretches.extend(open);
    }

    fn finish(self, instructions: Vec<Instruction>) -> CallPaths {
        let Telling { taken, calls, stretches, extras, .. } = self;
        let (numbers, calls, python) = told_calls(&calls, &taken.python, &stretches);
        let number = |call: u32| numbers[call as usize];
        let stretches = stretches.into_iter().map(|one| Stretch { call: number(one.call), ..one });
        let stretches = united(
            stretches.collect(),
            |one| (one.call, one.first, one.instructions),
            |known, one| known.times += one.times,
        );
        let extras = extras.into_iter().map(|one| Extra { call: number(one.call), ..one });
        let extras = united(
            extras.collect(),
            |one| (one.call, one.instruction, one.event as usize),
            |known, one| known.count += one.count,
        );
        CallPaths { maps: taken.maps.clone(), instructions, python, calls, stretches, extras }
    }
}

/// `caller` calls the code at an address so often: which call is that?
fn called(
    calls: &mut Vec<Call>,
    by_callee: &mut BTreeMap<(u32, u64), u32>,
    caller: u32,
    address: u64,
    times: u64,
) -> u32 {
    let callee = *by_callee.entry((caller, address)).or_insert_with(|| {
        calls.push(Call { parent: caller, callee: Callee::Address(address), calls: 0 });
        calls.len() as u32 - 1
    });
    calls[callee as usize].calls += times;
    callee
}

/// The calls that were made or have executed something, with all that have called them, and their functions; and the number of each call
/// among these.
fn told_calls(
    calls: &[Call],
    functions: &[PythonCode],
    stretches: &[Stretch],
) -> (Vec<u32>, Vec<Call>, Vec<PythonCode>) {
    let mut is_told: Vec<bool> = calls.iter().map(|call| call.calls > 0).collect();
    stretches.iter().for_each(|stretch| is_told[stretch.call as usize] = true);
    for (index, call) in calls.iter().enumerate().rev() {
        is_told[call.parent as usize] |= is_told[index];
    }
    let mut numbers = vec![ABSENT; calls.len()];
    let mut known = vec![ABSENT; functions.len()];
    let (mut told, mut python) = (Vec::with_capacity(calls.len()), Vec::new());
    for (index, &call) in calls.iter().enumerate().filter(|&(index, _)| is_told[index]) {
        numbers[index] = told.len() as u32;
        let callee = match call.callee {
            Callee::Python(function) => {
                let number = &mut known[function as usize];
                if *number == ABSENT {
                    *number = python.len() as u32;
                    python.push(functions[function as usize].clone());
                }
                Callee::Python(*number)
            }
            other => other,
        };
        told.push(Call { parent: numbers[call.parent as usize], callee, ..call });
    }
    (numbers, told, python)
}

/// What has the same key as one, in the order of keys.
fn united<T: Copy, K: Ord>(mut list: Vec<T>, key: impl Fn(&T) -> K, unite: impl Fn(&mut T, &T)) -> Vec<T> {
    list.sort_unstable_by_key(&key);
    list.dedup_by(|one, known| {
        let is_known = key(one) == key(known);
        if is_known {
            unite(known, one);
        }
        is_known
    });
    list
}

/// What executing an instruction so often does, besides its [`Extra`]s.
pub fn executed(instruction: &Instruction, times: u64) -> Events {
    let mut events = Events::default();
    events.add(Event::Instructions, times);
    events.add(Event::Reads, times.saturating_mul(u64::from(instruction.reads)));
    events.add(Event::Writes, times.saturating_mul(u64::from(instruction.writes)));
    events.add(Event::SystemCalls, if instruction.system_call { times } else { 0 });
    events
}

#[cfg(test)]
mod tests {
    use super::super::taken_exits::{Step, tests::taken_exits};
    use super::*;

    /// A call as the callees on its path, and an instruction of it.
    type Place = (Vec<Callee>, u64);

    fn path(calls: &[Call], mut call: u32) -> Vec<Callee> {
        let mut path = vec![calls[call as usize].callee];
        while call > 0 {
            call = calls[call as usize].parent;
            path.insert(0, calls[call as usize].callee);
        }
        path
    }

    fn add<K: Ord>(costs: &mut BTreeMap<K, Events>, key: K, events: Events) {
        *costs.entry(key).or_default() += events;
    }

    fn one(event: Event, count: u64) -> Events {
        let mut events = Events::default();
        events.add(event, count);
        events
    }

    fn costs(paths: &CallPaths) -> BTreeMap<Place, Events> {
        let mut costs = BTreeMap::new();
        let at = |instruction: u32| &paths.instructions[instruction as usize];
        for stretch in &paths.stretches {
            for number in stretch.first..stretch.first + stretch.instructions {
                let key = (path(&paths.calls, stretch.call), at(number).address);
                add(&mut costs, key, executed(at(number), stretch.times));
            }
        }
        for extra in &paths.extras {
            let key = (path(&paths.calls, extra.call), at(extra.instruction).address);
            add(&mut costs, key, one(extra.event, extra.count));
        }
        costs
    }

    /// One execution after the other, one instruction after the other.
    fn stepped(taken: &TakenExits) -> (BTreeMap<Place, Events>, BTreeMap<Vec<Callee>, u64>) {
        let (mut costs, mut calls) = (BTreeMap::new(), BTreeMap::new());
        for (index, call) in taken.calls.iter().enumerate() {
            *calls.entry(path(&taken.calls, index as u32)).or_default() += call.calls;
        }
        let mut charges = taken.charges.clone();
        for Row { call, exit, times } in &taken.rows {
            let exit = taken.exits[*exit as usize];
            let superblock = &taken.superblocks[exit.superblock as usize];
            for _ in 0..*times {
                let mut path = path(&taken.calls, *call);
                let (mut depth, mut targets) = (0, taken.targets_of(superblock).iter());
                let mut branches = u64::from(exit.branches);
                let (steps, executed_steps) = (taken.steps_of(superblock), usize::from(exit.instructions));
                for (number, step) in steps[..executed_steps].iter().enumerate() {
                    let key = (path.clone(), step.address);
                    add(&mut costs, key.clone(), executed(&step.instruction(), 1));
                    let is_last = number + 1 == executed_steps;
                    let taken_here = if is_last { branches } else { u64::from(step.branches) };
                    branches -= taken_here;
                    add(&mut costs, key.clone(), one(Event::BranchesTaken, taken_here));
                    let next = steps.get(number + 1).map_or(superblock.ops, |next| next.ops);
                    let next = superblock.first_op + u64::from(next);
                    let first = superblock.first_op + u64::from(step.ops);
                    charges.retain(|charge| {
                        let is_here = charge.call == *call && (first..next).contains(&charge.op);
                        if is_here {
                            add(&mut costs, key.clone(), one(charge.event, charge.count));
                        }
                        !is_here
                    });
                    match step.flow {
                        Flow::On => {}
                        Flow::Call => {
                            path.push(Callee::Address(*targets.next().expect("each call has one")));
                            *calls.entry(path.clone()).or_default() += 1;
                            depth += 1;
                        }
                        Flow::Return if depth > 0 => {
                            path.pop();
                            depth -= 1;
                        }
                        Flow::Return => {}
                    }
                }
            }
        }
        assert_eq!(charges, [], "somebody has paid each of them");
        calls.retain(|_, calls| *calls > 0);
        (costs, calls)
    }

    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % end
        }
    }

    /// Superblocks that overlap, call and return, and exits of them that were taken now and then.
    fn by_chance(seed: u64) -> TakenExits {
        let mut chance = Chance(seed);
        let mut taken = TakenExits::default();
        for number in 0..6 {
            let parent = chance.below(taken.calls.len().max(1)) as u32;
            let callee = Callee::Address(0x1000 * chance.below(4) as u64);
            let is_known = |call: &Call| call.parent == parent && call.callee == callee;
            if number == 0 || !taken.calls[1..].iter().any(is_known) {
                taken.calls.push(Call { parent, callee, calls: chance.below(2) as u64 });
            }
        }
        for number in 0..5 {
            let first = taken.steps.len();
            let start = chance.below(8);
            let (mut ops, mut branches, first_target) = (0, Vec::new(), taken.targets.len() as u32);
            for at in start..start + 1 + chance.below(12) {
                let [reads, writes] = [at % 3, at % 2].map(|count| count as u8);
                let flow = [Flow::Call, Flow::Return, Flow::On][chance.below(6).min(2)];
                if flow == Flow::Call {
                    taken.targets.push(0x1000 * chance.below(4) as u64);
                }
                let (own, system_call) = (u8::from(chance.below(3) == 0), at == 9);
                taken.steps.push(Step {
                    address: at as u64,
                    ops,
                    reads,
                    writes,
                    system_call,
                    branches: own,
                    flow,
                });
                branches.push(own);
                ops += chance.below(3) as u16;
            }
            ops += 1;
            let steps = taken.steps.len() - first;
            let (first_op, first_step) = (100 * number, first as u32);
            let superblock = Superblock { first_op, ops, first_step, steps: steps as u8, first_target };
            taken.superblocks.push(superblock);
            for _ in 0..4 {
                let instructions = chance.below(steps + 1);
                // One that is left at a branch has not always taken it.
                let before: u8 = branches.iter().take(instructions.saturating_sub(1)).sum();
                let branches = if instructions == 0 { 0 } else { before + chance.below(2) as u8 };
                let exit = Exit { superblock: number as u32, instructions: instructions as u8, branches };
                taken.exits.push(exit);
            }
        }
        for _ in 0..40 {
            let exit = chance.below(taken.exits.len());
            let call = chance.below(taken.calls.len()) as u32;
            taken.rows.push(Row { call, exit: exit as u32, times: chance.below(4) as u64 });
            let Exit { superblock, instructions, .. } = taken.exits[exit];
            let superblock = taken.superblocks[superblock as usize];
            let steps = &taken.steps_of(&superblock)[..usize::from(instructions)];
            let next = taken.steps_of(&superblock).get(steps.len()).map_or(superblock.ops, |step| step.ops);
            if taken.rows.last().is_some_and(|row| row.times > 0) && !steps.is_empty() && next > 0 {
                let op = superblock.first_op + chance.below(usize::from(next)) as u64;
                let event = [Event::L1iMisses, Event::MemoryAccesses][chance.below(2)];
                taken.charges.push(Charge { call, op, event, count: 1 + chance.below(9) as u64 });
            }
        }
        taken
    }

    #[test]
    fn what_exits_tell_is_what_stepping_through_each_execution_tells() {
        for seed in 0..200 {
            let taken = by_chance(seed);
            let paths = CallPaths::of(&taken);
            let (mut expected, calls) = stepped(&taken);
            expected.retain(|_, events| *events != Events::default());
            assert_eq!(costs(&paths), expected, "seed {seed}");
            let mut told = BTreeMap::new();
            for (index, call) in paths.calls.iter().enumerate() {
                *told.entry(path(&paths.calls, index as u32)).or_default() += call.calls;
            }
            told.retain(|_, calls| *calls > 0);
            assert_eq!(told, calls, "seed {seed}");
            let is_sorted = paths.instructions.is_sorted_by_key(|instruction| instruction.address);
            assert!(is_sorted && paths.stretches.is_sorted_by_key(|one| (one.call, one.first)));
            assert!(paths.extras.is_sorted_by_key(|one| (one.call, one.instruction)));
        }
    }

    #[test]
    fn calls_that_the_pass_has_not_made_are_not_told() {
        let mut taken = taken_exits();
        taken.calls[3].calls = 0;
        taken.calls.push(Call { parent: 2, callee: Callee::Python(0), calls: 0 });
        let paths = CallPaths::of(&taken);
        let callees: Vec<Callee> = paths.calls.iter().map(|call| call.callee).collect();
        let address = Callee::Address;
        assert_eq!(callees, [address(0x5555_0000), Callee::Python(0), address(0), address(0x5555_0040)]);
        assert_eq!((paths.calls[3].parent, paths.calls[3].calls), (2, 300));
    }

    #[test]
    fn what_an_instruction_that_has_faulted_did_is_its_predecessors() {
        let mut taken = taken_exits();
        taken.rows.retain(|row| row.exit == 2);
        let paths = CallPaths::of(&taken);
        let extra = Extra { call: 2, instruction: 0, event: Event::L3Misses, count: 9 };
        assert_eq!((paths.instructions.len(), paths.extras), (1, vec![extra]));
    }

    #[test]
    fn calls_sum_up_to_the_pass() {
        let total = CallPaths::of(&taken_exits()).total();
        let events = [Event::Instructions, Event::Reads, Event::Writes, Event::SystemCalls, Event::L3Misses];
        let expected = [3 * 300 + 5 + 2, 2 * 300 + 300, 907, 300, 9];
        assert_eq!(events.map(|event| total.get(event)), expected);
        assert_eq!(total.get(Event::BranchesTaken), 600);
    }
}
