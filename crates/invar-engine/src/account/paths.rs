//! What a ledger says at a region's end: its rows, told by instruction.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use invar_core::event::Event;
use invar_core::wire::raw::call_paths::{Call, CallPaths, Callee, Extra, Instruction, PythonCode, Stretch};

use super::charges::{Charge, Payer};
use super::exits::{Block, MoveKind, Step};
use super::ledger::{CALLS_MAX, Ledger};
use super::rows::Row;
use super::sort::Grouped;
use crate::translate::block;

/// An instruction that is not in the list.
const ABSENT: u32 = u32::MAX;

/// Neighbouring steps of a superblock whose instructions are neighbours in the list, too, all of one call.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// The first of them in its superblock.
    step: u8,
    steps: u8,
    /// Its instruction.
    instruction: u32,
    /// What the last of them does to the calls.
    shift: Option<MoveKind>,
}

/// A superblock as its rows are told.
#[derive(Default)]
struct Told {
    number: u32,
    segments: Vec<Segment>,
    /// Of the call that is being told, those that go less far first.
    ends: Vec<End>,
}

/// Counts by call, instruction and something more, each as a key of three parts: in the order of the parts.
#[derive(Debug, Clone, Copy)]
struct Counted {
    key: u64,
    count: u64,
}

const CALL_SHIFT: u32 = 44;
const INSTRUCTION_SHIFT: u32 = 8;
const _: () = assert!(CALLS_MAX <= 1 << (u64::BITS - CALL_SHIFT), "a call is a part of a key");
const _: () = assert!(Event::COUNT <= 1 << INSTRUCTION_SHIFT, "an event is a part of a key");

impl Counted {
    fn new(call: u32, instruction: u32, more: u8, count: u64) -> Counted {
        let key =
            u64::from(call) << CALL_SHIFT | u64::from(instruction) << INSTRUCTION_SHIFT | u64::from(more);
        Counted { key, count }
    }

    fn call(self) -> u32 {
        (self.key >> CALL_SHIFT) as u32
    }

    fn instruction(self) -> u32 {
        (self.key >> INSTRUCTION_SHIFT) as u32
    }

    fn more(self) -> u8 {
        self.key as u8
    }
}

/// What was told so far.
struct Telling {
    /// By call, first instruction and how many.
    stretches: Vec<Counted>,
    /// By call, instruction and event.
    extras: Vec<Counted>,
}

/// A way out of a superblock.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Its instructions.
    step: u8,
    /// Branches taken.
    branches: u8,
    /// How often it was taken.
    times: u64,
}

impl Ledger {
    /// The region by call paths. `maps` are the executable mappings of the process.
    pub fn call_paths(&mut self, maps: String) -> CallPaths {
        // By superblock, so that all that is known of one is looked up once, and one after the other.
        let (rows, charges) = self.take();
        let blocks = self.exits.blocks.len();
        let mut charges = Grouped::new(&charges, blocks, |charge| self.exits.block_of(charge.op()));
        let mut rows = Grouped::new(&rows, blocks, |row| self.exits.ways[row.exit as usize].block as usize);
        let (instructions, places) = self.instructions(&mut rows);
        let mut telling = Telling {
            stretches: Vec::with_capacity(2 * rows.len()),
            extras: Vec::with_capacity(2 * rows.len() + 2 * charges.len()),
        };
        let mut told = Told::default();
        for block in 0..blocks {
            let rows = rows.of(block);
            if rows.is_empty() {
                continue;
            }
            rows.sort_unstable_by_key(|row| row.call);
            let charges = charges.of(block);
            charges.sort_unstable_by_key(Charge::payer);
            self.look_up(&mut told, block as u32, self.reach(rows), &places);
            let mut charges = &*charges;
            for of_call in rows.chunk_by(|row, other| row.call == other.call) {
                charges = self.tell(&mut told, of_call, charges, &mut telling);
            }
        }
        let Telling { stretches, extras } = telling;
        let mut stretches = Grouped::new(&stretches, self.calls.len(), |one| one.call() as usize);
        let mut extras = Grouped::new(&extras, self.calls.len(), |one| one.call() as usize);
        let (numbers, calls, python) = self.calls_of(&mut stretches);
        let stretches = united(&mut stretches, |call, one| Stretch {
            call: numbers[call],
            first: one.instruction(),
            instructions: u32::from(one.more()),
            times: one.count,
        });
        let extras = united(&mut extras, |call, one| Extra {
            call: numbers[call],
            instruction: one.instruction(),
            event: Event::ALL[usize::from(one.more())],
            count: one.count,
        });
        CallPaths { maps, instructions, python, calls, stretches, extras }
    }

    /// The most instructions of a superblock that one of its rows has.
    fn reach(&self, rows: &[Row]) -> u8 {
        rows.iter().map(|row| self.exits.ways[row.exit as usize].instructions).max().unwrap_or(0)
    }

    /// The calls that were made or have executed something, with all that have called them, and their functions; and the number of
    /// each call among these.
    fn calls_of(&self, stretches: &mut Grouped<Counted>) -> (Vec<u32>, Vec<Call>, Vec<PythonCode>) {
        let is_told = |(index, call): (usize, &Call)| call.calls > 0 || !stretches.of(index).is_empty();
        let mut is_told: Vec<bool> = self.calls.iter().enumerate().map(is_told).collect();
        for (index, call) in self.calls.iter().enumerate().rev() {
            is_told[call.parent as usize] |= is_told[index];
        }
        let mut numbers = vec![0; self.calls.len()];
        let mut functions = vec![ABSENT; self.functions.len()];
        let (mut calls, mut python) = (Vec::with_capacity(self.calls.len()), Vec::new());
        for (index, &call) in self.calls.iter().enumerate().filter(|&(index, _)| is_told[index]) {
            numbers[index] = calls.len() as u32;
            let callee = match call.callee {
                Callee::Python(function) => {
                    let number = &mut functions[function as usize];
                    if *number == ABSENT {
                        *number = python.len() as u32;
                        python.push(self.functions[function as usize].clone());
                    }
                    Callee::Python(*number)
                }
                other => other,
            };
            calls.push(Call { parent: numbers[call.parent as usize], callee, ..call });
        }
        (numbers, calls, python)
    }

    /// The instructions that were executed, sorted, and by the number of each instruction its place among them.
    fn instructions(&mut self, rows: &mut Grouped<Row>) -> (Vec<Instruction>, Vec<u32>) {
        let mut places = vec![ABSENT; self.exits.instructions.count()];
        for block in 0..rows.groups() {
            let first_step = self.exits.blocks[block].first_step;
            let steps = &self.exits.steps[first_step as usize..][..usize::from(self.reach(rows.of(block)))];
            steps.iter().for_each(|step| places[step.instruction as usize] = 0);
        }
        let mut executed = Vec::with_capacity(places.len());
        let (instructions, sorted) = self.exits.instructions.sorted();
        for &number in sorted {
            let place = &mut places[number as usize];
            if *place != ABSENT {
                *place = executed.len() as u32;
                executed.push(instructions[number as usize]);
            }
        }
        (executed, places)
    }

    /// Looks up the segments of a superblock's first so many instructions.
    fn look_up(&self, told: &mut Told, number: u32, instructions: u8, places: &[u32]) {
        let Told { number: of, segments, .. } = told;
        *of = number;
        segments.clear();
        let Block { first_step, .. } = self.exits.blocks[number as usize];
        let steps = &self.exits.steps[first_step as usize..][..usize::from(instructions)];
        let mut moves = self.exits.moves_until(number, instructions).iter().peekable();
        for (step, &Step { instruction, .. }) in (0..).zip(steps) {
            let instruction = places[instruction as usize];
            let shift = moves.next_if(|one| one.step == step).map(|one| one.kind);
            let shift = shift.filter(|&kind| kind != MoveKind::IndirectCall);
            match segments.last_mut() {
                Some(last)
                    if last.shift.is_none() && last.instruction + u32::from(last.steps) == instruction =>
                {
                    last.steps += 1;
                    last.shift = shift;
                }
                _ => segments.push(Segment { step, steps: 1, instruction, shift }),
            }
        }
    }

    /// Tells the rows of one superblock within one call. Its charges are the first of `charges`, the others are returned.
    fn tell<'a>(
        &mut self,
        told: &mut Told,
        rows: &[Row],
        charges: &'a [Charge],
        telling: &mut Telling,
    ) -> &'a [Charge] {
        let Telling { stretches, extras } = telling;
        let Told { number: block, segments, ends } = told;
        let Block { first_op, first_step, branching, .. } = self.exits.blocks[*block as usize];
        let (end_op, end_step) = self.exits.end_of(*block);
        let steps = first_step as usize..end_step;
        let mut call = rows[0].call;
        let first_payer = Payer { call, op: first_op }.number();
        let is_of_call = |charge: &&Charge| charge.payer() < first_payer + (end_op - first_op);
        let (of_call, others) = charges.split_at(charges.iter().take_while(is_of_call).count());
        let mut of_call = of_call.iter().peekable();
        ends.clear();
        ends.extend(rows.iter().map(|row| {
            let way = &self.exits.ways[row.exit as usize];
            End { step: way.instructions, branches: way.branches, times: row.times }
        }));
        ends.sort_unstable_by_key(|end| (end.step, end.branches));
        // Executions that come as far as this.
        let mut left: u64 = ends.iter().map(|end| end.times).sum();
        let mut ends = ends.iter().peekable();
        while let Some(end) = ends.next_if(|end| end.step == 0) {
            left -= end.times;
        }
        // Callers within the superblock, which follows so many calls at most.
        let (mut callers, mut depth) = ([0; block::CALLS_MAX + 1], 0);
        let mut branches = 0;
        let mut last = None;
        for segment in segments.iter() {
            let end = segment.step + segment.steps;
            let instruction = |step: u8| segment.instruction + u32::from(step - segment.step);
            let (mut at, mut reached) = (segment.step, left);
            while at < end && left > 0 {
                let stop = ends.peek().map_or(end, |one| one.step.min(end));
                stretches.push(Counted::new(call, instruction(at), stop - at, left));
                let mut branch = |step: u8, count: u64| {
                    if count > 0 {
                        let event = Event::BranchesTaken as u8;
                        extras.push(Counted::new(call, instruction(step), event, count));
                    }
                };
                // Whoever goes on behind a step has taken its branches, and whoever leaves there those of the way.
                let is_last = |step: u8| step + 1 == stop;
                let mut bits = branching >> at << at;
                loop {
                    let step = if bits == 0 { stop - 1 } else { (bits.trailing_zeros() as u8).min(stop - 1) };
                    bits &= bits.wrapping_sub(1);
                    if is_last(step) {
                        reached = left;
                        while let Some(one) = ends.next_if(|one| one.step == stop) {
                            branch(step, one.times * u64::from(one.branches - branches));
                            left -= one.times;
                        }
                    }
                    let taken = self.exits.steps[steps.start + usize::from(step)].branches;
                    branch(step, left * u64::from(taken));
                    branches += taken;
                    if is_last(step) {
                        break;
                    }
                }
                last = Some((call, instruction(stop - 1)));
                at = stop;
            }
            // Operations before the first step that nobody came to.
            let here =
                &self.exits.steps[steps.start + usize::from(segment.step)..steps.start + usize::from(at)];
            let next = self.exits.steps[..steps.end].get(steps.start + usize::from(at));
            let done = first_payer + next.map_or(end_op - first_op, |next| u64::from(next.ops));
            while let Some(charge) = of_call.next_if(|charge| charge.payer() < done) {
                let op = charge.payer() - first_payer;
                let Some(step) = here.partition_point(|step| u64::from(step.ops) <= op).checked_sub(1) else {
                    continue;
                };
                extend(extras, call, segment.instruction + step as u32, charge);
            }
            if at < end {
                break;
            }
            match segment.shift {
                Some(MoveKind::Call(target)) => {
                    if let Some(caller) = callers.get_mut(depth) {
                        *caller = call;
                    }
                    depth += 1;
                    let callee = self.child(call, Callee::Address(target));
                    if callee != call {
                        self.calls[callee as usize].calls += reached;
                    }
                    call = callee;
                }
                Some(_) if depth > 0 => {
                    depth -= 1;
                    call = callers.get(depth).copied().unwrap_or(call);
                }
                _ => {}
            }
        }
        // What an instruction did that has faulted is its predecessor's.
        if let Some((call, instruction)) = last {
            of_call.for_each(|charge| extend(extras, call, instruction, charge));
        }
        others
    }
}

/// What an instruction of a call did besides.
fn extend(extras: &mut Vec<Counted>, call: u32, instruction: u32, charge: &Charge) {
    for (event, count) in charge.events() {
        if count > 0 {
            extras.push(Counted::new(call, instruction, event as u8, count));
        }
    }
}

/// What is alike told as one, by call, and sorted by key within each.
fn united<T>(list: &mut Grouped<Counted>, item: impl Fn(usize, Counted) -> T) -> Vec<T> {
    let mut united = Vec::with_capacity(list.len());
    for call in 0..list.groups() {
        let of_call = list.of(call);
        of_call.sort_unstable_by_key(|one| one.key);
        let mut rest = of_call.iter();
        let Some(mut known) = rest.next().copied() else { continue };
        for one in rest {
            if one.key == known.key {
                known.count += one.count;
            } else {
                united.push(item(call, known));
                known = *one;
            }
        }
        united.push(item(call, known));
    }
    united
}

#[cfg(test)]
mod tests {
    use invar_core::event::Events;
    use invar_core::machine::Machine;
    use invar_sim::Hierarchy;

    use super::*;
    use crate::account::exits::Shift;
    use crate::drain::generated::Generated;
    use crate::drain::reference::{self, Meanings};
    use crate::guest::lines::{Format, LineTable};
    use crate::host::memory::{self, arena};
    use crate::translate::block::{self, trace_path};
    use crate::translate::testing::{AT, Bytes};
    use crate::translate::watch::{Member, Watch};
    use crate::translate::{Mode, Numbers, Options, emit};

    const STACK: u64 = 0x7fff_0000;

    /// A ledger that knows the superblocks at some offsets in `code`, their meanings, and the number of the last exit of each.
    fn translated(code: &'static [u8], heads: &[u64]) -> (Ledger, Meanings, Vec<u64>) {
        translated_watching(code, heads, None)
    }

    fn translated_watching(
        code: &'static [u8],
        heads: &[u64],
        watch: Option<Watch>,
    ) -> (Ledger, Meanings, Vec<u64>) {
        let mut ledger = Ledger::new(None);
        let (mut meanings, mut last) = (Meanings::default(), Vec::new());
        for head in heads {
            let path =
                trace_path(&Bytes(code), AT + head, block::SHORT, |_, _| false).expect("there is code");
            let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
            let options = Options { mode: Mode::Simulation, rorx: true, scheduled: false };
            let translation = emit::translate(&path, 0x1000_2000_0000, numbers, options, watch);
            ledger.add_block(AT + head, &path, &translation);
            let first_op = meanings.ops.len() as u32;
            meanings.ops.extend(translation.ops);
            translation.exits.into_iter().for_each(|exit| meanings.add(first_op, exit));
            last.push(meanings.paths.len() as u64 - 1);
        }
        ledger.begin(AT, true);
        (ledger, meanings, last)
    }

    /// Superblocks that call, also each other, and return: what a compiler makes of small functions.
    const FUNCTIONS: &[u8] = &[
        0xe8, 0x1b, 0, 0, 0, // 0: call 20
        0xff, 0xd0, // 5: call rax
        0xc3, // 7: ret
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, //
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, //
        0x74, 8, // 20: jz 2a
        0xe8, 9, 0, 0, 0, // 22: call 30
        0x90, 0xc3, // 27: nop; ret
        0x90, // 29
        0x8b, 0x07, // 2a: mov eax, [rdi]
        0xff, 0xd0, // 2c: call rax
        0xc3, // 2e: ret
        0x90, // 2f
        0x74, 2, // 30: jz 34
        0x90, 0xc3, // 32: nop; ret
        0xff, 0xd0, // 34: call rax
        0xc3, // 36: ret
    ];
    const HEADS: [u64; 9] = [0, 5, 7, 0x20, 0x27, 0x2a, 0x2e, 0x30, 0x36];

    /// Records of all exits, as a program would leave them that mostly returns to where it was called from.
    fn course(ledger: &Ledger, meanings: &Meanings, mut chance: u64) -> Vec<u64> {
        let mut below = |end: u64| {
            chance = chance.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (chance >> 33) % end
        };
        let (mut trace, mut open) = (Vec::new(), vec![STACK]);
        while trace.len() < 20_000 {
            let exit = below(meanings.paths.len() as u64);
            let inner = open.last().copied().unwrap_or(STACK);
            let shift = ledger.follow(exit as u32).shift.expect("they are simple");
            // Some have left their callers by a jump, some are on another stack.
            let jump = [0, 0, 0, 0, 0, 0, 0, 0x40, 0x4000_0000][below(9) as usize];
            let slot = match shift {
                Shift::Return(pointer) => (inner + jump).wrapping_sub(pointer.constant),
                Shift::Calls { pointers, .. } => (inner + jump - 0x20).wrapping_sub(pointers[0].constant),
            };
            match shift {
                Shift::Return(_) if open.len() > 1 => drop(open.pop()),
                Shift::Calls { pointers, direct, indirect } if open.len() < 12 => {
                    let opened = pointers[..direct + usize::from(indirect)].iter();
                    open.extend(opened.map(|pointer| slot.wrapping_add(pointer.constant)));
                }
                _ => {}
            }
            trace.push(exit);
            trace.extend(vec![slot; usize::from(meanings.paths[exit as usize].exit.slots)]);
        }
        trace
    }

    #[test]
    fn thunks_follow_calls_as_the_ledger_does_record_by_record() {
        let _arena = arena();
        let machine = Machine::parse(
            "tiny;l1i=1024/2/bit-plru;l1d=512/8/bit-plru;l2=4096/4/lru;l3=8192/2/lru;latency=1/2/3/4;mhz=1",
        )
        .unwrap();
        for seed in 0..8 {
            let (mut plain, meanings, _) = translated(FUNCTIONS, &HEADS);
            let traces: Vec<Vec<u64>> =
                (0..3).map(|part| course(&plain, &meanings, 3 * seed + part)).collect();
            let mut caches = Hierarchy::new(&machine);
            caches.note_payers(true);
            for trace in &traces {
                reference::drain(&meanings, trace, 0, &mut caches, &mut Events::default(), Some(&mut plain));
                plain.charge_misses(&mut caches);
            }
            let expected = plain.call_paths(String::new());

            let (mut followed, meanings, _) = translated(FUNCTIONS, &HEADS);
            let mut drain = Generated::new(&machine, true);
            drain.add_exits(&meanings);
            drain.caches().note_payers(true);
            for trace in &traces {
                drain.drain(&meanings, 0, memory::write_trace(trace), Some(&mut followed));
                followed.charge_misses(drain.caches());
                // What is counted in places is not lost, and counted on.
                followed.followed(if seed % 2 == 0 { 1 << 40 } else { 0 });
            }
            assert_eq!(followed.call_paths(String::new()), expected, "seed {seed}");
            assert!(expected.calls.len() > 50 && expected.total().get(Event::L1dReadMisses) > 0);
        }
    }

    /// 0: mov [rbx + 38], rsi; 4: call rax; 6: ret
    const INTERPRETER: &[u8] = &[0x48, 0x89, 0x73, 0x38, 0xff, 0xd0, 0xc3];
    const FRAME: u64 = 0x7000_0000;
    const CODE: u64 = 0x7100_0000;

    /// A ledger that is at work on a Python function of three lines, 7 to 9, of eight bytes each; what its records mean, and
    /// the exits that store a position, call and return.
    fn interpreting() -> (Ledger, Meanings, [u64; 3]) {
        let watch = Watch {
            code: (AT, AT + 16),
            word: 0,
            offset: 0x100,
            through: None,
            executed: 0,
            owner: None,
            position: Some(Member { offset: 0x38, bytes: 8 }),
        };
        let (mut ledger, meanings, last) = translated_watching(INTERPRETER, &[0, 4, 6], Some(watch));
        let table = LineTable::read(Format::Ranges, &[8, 0, 8, 1, 8, 1], 7).unwrap();
        ledger.enter_function(FRAME, CODE, table);
        (ledger, meanings, [last[0], last[1], last[2]])
    }

    #[test]
    fn a_line_is_entered_where_another_was_at_work_in_its_frame() {
        let _arena = arena();
        let (mut ledger, _, [places, calls, returns]) = interpreting();
        let place = |ledger: &mut Ledger, frame, at| ledger.step(places as u32, &[frame, CODE + at], 0);
        place(&mut ledger, FRAME, 0);
        place(&mut ledger, FRAME, 4);
        place(&mut ledger, FRAME, 8);
        place(&mut ledger, FRAME + 0x80, 16);
        place(&mut ledger, FRAME, 0);
        ledger.step(calls as u32, &[STACK], 0);
        // Whoever was called stores something like it, and returns.
        place(&mut ledger, FRAME, 16);
        ledger.step(returns as u32, &[STACK - 8], 0);
        place(&mut ledger, FRAME, 8);
        let paths = ledger.call_paths(String::new());
        let address = |offset| Callee::Address(AT + offset);
        let expected = [
            // What is executed up to a store, the store included, is of the line before it.
            (address(0), 1, 0),
            (Callee::Python(0), 1, 1),
            (Callee::Line(7), 2, 1 + 1 + 1 + 1),
            (Callee::Line(8), 2, 1 + 1),
            (address(0), 1, 2),
        ];
        assert_eq!(costs(&paths), expected);
        let parents: Vec<u32> = paths.calls.iter().map(|call| call.parent).collect();
        assert_eq!(parents, [0, 0, 1, 1, 2]);
    }

    #[test]
    fn thunks_come_to_lines_as_the_ledger_does() {
        let _arena = arena();
        let machine = Machine::reference_1();
        let (mut plain, meanings, [places, calls, returns]) = interpreting();
        let mut chance = 1_u64;
        let mut below = |end: u64| {
            chance = chance.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (chance >> 33) % end
        };
        let (mut trace, mut depth) = (Vec::new(), 0);
        while trace.len() < 20_000 {
            match below(8) {
                0 if depth < 5 => {
                    trace.extend([calls, STACK - 0x100 * depth]);
                    depth += 1;
                }
                1 if depth > 0 => {
                    depth -= 1;
                    trace.extend([returns, STACK - 0x100 * depth - 8]);
                }
                2 => trace.extend([places, FRAME + 0x80, CODE + below(24)]),
                _ => trace.extend([places, FRAME, CODE + below(24)]),
            }
        }
        let mut caches = Hierarchy::new(&machine);
        caches.note_payers(true);
        reference::drain(&meanings, &trace, 0, &mut caches, &mut Events::default(), Some(&mut plain));
        plain.charge_misses(&mut caches);
        let expected = plain.call_paths(String::new());

        let (mut followed, meanings, _) = interpreting();
        let mut drain = Generated::new(&machine, true);
        drain.add_exits(&meanings);
        drain.caches().note_payers(true);
        drain.drain(&meanings, 0, memory::write_trace(&trace), Some(&mut followed));
        followed.charge_misses(drain.caches());
        assert_eq!(followed.call_paths(String::new()), expected);
        let lines = expected.calls.iter().filter(|call| matches!(call.callee, Callee::Line(_)));
        assert!(lines.clone().count() == 3 && lines.clone().all(|call| call.calls > 100));
    }

    /// Follows records of one slot each.
    fn follow(ledger: &mut Ledger, trace: &[u64]) {
        for record in trace.chunks(2) {
            ledger.step(record[0] as u32, &record[1..], 0);
        }
    }

    /// Instructions that each call has executed itself, by callee, and how often it was called.
    fn costs(paths: &CallPaths) -> Vec<(Callee, u64, u64)> {
        let own = |index: u32| {
            let of_call = paths.stretches.iter().filter(|stretch| stretch.call == index);
            of_call.map(|stretch| u64::from(stretch.instructions) * stretch.times).sum()
        };
        paths.calls.iter().zip(0..).map(|(call, index)| (call.callee, call.calls, own(index))).collect()
    }

    #[test]
    fn a_call_that_a_superblock_follows_is_charged_to_its_callee() {
        // call 6; ret; 6: nop; ret
        let _arena = arena();
        let (mut ledger, _, last) = translated(&[0xe8, 1, 0, 0, 0, 0xc3, 0x90, 0xc3], &[0]);
        let trace = [last[0], STACK, last[0], STACK];
        follow(&mut ledger, &trace);
        let paths = ledger.call_paths(String::new());
        assert_eq!(costs(&paths), [(Callee::Address(AT), 1, 4), (Callee::Address(AT + 6), 2, 4)]);
        assert_eq!(paths.total().get(Event::BranchesTaken), 6);
    }

    #[test]
    fn calls_that_only_the_pass_before_has_made_are_not_told() {
        // 0: call rax; 2: call rax; 4: ret
        let _arena = arena();
        let (mut ledger, _, last) = translated(&[0xff, 0xd0, 0xff, 0xd0, 0xc3], &[0, 2, 4]);
        let [first, second, returns] = [last[0], last[1], last[2]];
        follow(&mut ledger, &[first, STACK, second, STACK - 8, returns, STACK - 16]);
        assert_eq!(ledger.call_paths(String::new()).calls.len(), 3);
        ledger.end();
        for times in 1..3 {
            ledger.begin(AT, true);
            for _ in 0..times {
                follow(&mut ledger, &[first, STACK, returns, STACK - 8]);
            }
            let paths = ledger.call_paths(String::new());
            assert_eq!(
                costs(&paths),
                [(Callee::Address(AT), 1, times), (Callee::Address(AT + 4), times, times)]
            );
            ledger.end();
        }
    }

    #[test]
    fn calls_below_the_stack_pointer_are_over() {
        // 0: call rax; 2: call rax; 4: ret
        let _arena = arena();
        let (mut ledger, _, last) = translated(&[0xff, 0xd0, 0xff, 0xd0, 0xc3], &[0, 2, 4]);
        let [first, second, returns] = [last[0], last[1], last[2]];
        // 0 calls 2, which calls 4, which has gone to 0 by a jump: its call is at the place of the first.
        let trace = [first, STACK, second, STACK - 8, first, STACK, returns, STACK - 8, returns, STACK];
        follow(&mut ledger, &trace);
        let paths = ledger.call_paths(String::new());
        let callers: Vec<(u32, Callee)> = paths.calls.iter().map(|call| (call.parent, call.callee)).collect();
        let expected = [
            (0, Callee::Address(AT)),
            (0, Callee::Address(AT + 2)),
            (1, Callee::Address(AT)),
            (0, Callee::Address(AT + 4)),
        ];
        assert_eq!(callers, expected);
        assert_eq!(costs(&paths)[0].2, 3, "twice called from the region's start, and its own return");
    }
}
