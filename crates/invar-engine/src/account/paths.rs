//! What a ledger says at a region's end: its rows, and what the superblocks are that they are of. Who reads that tells it by instruction
//! ([`invar_core::wire::raw::call_paths::CallPaths::of`]): a measured process does not.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use invar_core::wire::raw::taken_exits::{self, Exit, TakenExits};

use super::exits::Way;
use super::ledger::{Gathered, Ledger};

impl Ledger {
    /// The region by call and exit, which was gathered. `maps` are the executable mappings of the process. What was counted does not stay.
    pub fn taken_exits(&mut self, maps: String) -> TakenExits {
        let Gathered { exits, rows, charges } = self.take();
        // The most instructions of each superblock that one of its exits has: nobody has executed the others.
        let mut reach: Vec<Option<u8>> = vec![None; self.exits.blocks.len()];
        let ways: Vec<Way> = exits.iter().map(|&(exit, _)| self.exits.ways[exit as usize]).collect();
        for &Way { block, instructions, .. } in &ways {
            let reach = &mut reach[block as usize];
            *reach = Some(reach.unwrap_or(0).max(instructions));
        }
        let mut taken = TakenExits { maps, rows, ..TakenExits::default() };
        taken.steps.reserve(reach.iter().flatten().map(|&steps| usize::from(steps)).sum());
        // Their places among those that are written.
        let mut places = vec![0; self.exits.blocks.len()];
        for (block, place) in (0..).zip(&mut places) {
            if let Some(instructions) = reach[block as usize] {
                *place = taken.superblocks.len() as u32;
                self.exits.write_superblock(block, instructions, &mut taken);
            }
        }
        taken.exits.extend(ways.iter().map(|&Way { block, instructions, branches, .. }| Exit {
            superblock: places[block as usize],
            instructions,
            branches,
        }));
        taken.charges.reserve(2 * charges.len());
        for charge in &charges {
            let events = charge.events().into_iter().filter(|&(_, count)| count > 0);
            let (call, op) = (charge.call(), charge.op());
            taken.charges.extend(events.map(|(event, count)| taken_exits::Charge { call, op, event, count }));
        }
        taken.calls.clone_from(&self.calls);
        taken.python.clone_from(&self.functions);
        taken
    }
}

#[cfg(test)]
mod tests {
    use invar_core::event::{Event, Events};
    use invar_core::machine::Machine;
    use invar_core::wire::raw::call_paths::{CallPaths, Callee};
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

    fn told(ledger: &mut Ledger) -> CallPaths {
        ledger.gather();
        CallPaths::of(&ledger.taken_exits(String::new()))
    }

    /// What the reference drain's ledger tells, record by record.
    fn told_step_by_step(
        machine: &Machine,
        (ledger, meanings): (&mut Ledger, &Meanings),
        traces: &[Vec<u64>],
    ) -> CallPaths {
        let mut caches = Hierarchy::new(machine);
        caches.note_payers(true);
        for trace in traces {
            reference::drain(meanings, trace, 0, &mut caches, &mut Events::default(), Some(ledger));
            ledger.charge_misses(&mut caches);
        }
        told(ledger)
    }

    /// What is told where thunks follow. Behind each trace so many words are said to have been followed.
    fn told_by_thunks(
        machine: &Machine,
        (ledger, meanings): (&mut Ledger, &Meanings),
        traces: &[Vec<u64>],
        words: usize,
    ) -> CallPaths {
        let mut drain = Generated::new(machine, true);
        drain.add_exits(meanings);
        drain.caches().note_payers(true);
        for trace in traces {
            drain.drain(meanings, 0, memory::write_trace(trace), Some(ledger));
            ledger.charge_misses(drain.caches());
            ledger.followed(words);
        }
        told(ledger)
    }

    /// Numbers by chance, each below what is asked for.
    fn by_chance(mut chance: u64) -> impl FnMut(u64) -> u64 {
        move |end| {
            chance = chance.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (chance >> 33) % end
        }
    }

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
    fn course(ledger: &Ledger, meanings: &Meanings, seed: u64) -> Vec<u64> {
        let mut below = by_chance(seed);
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
            let expected = told_step_by_step(&machine, (&mut plain, &meanings), &traces);
            let (mut followed, meanings, _) = translated(FUNCTIONS, &HEADS);
            // What is counted in places is not lost, and counted on.
            let words = if seed % 2 == 0 { 1 << 40 } else { 0 };
            let told = told_by_thunks(&machine, (&mut followed, &meanings), &traces, words);
            assert_eq!(told, expected, "seed {seed}");
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
        let paths = told(&mut ledger);
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
        let mut below = by_chance(1);
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
        let expected = told_step_by_step(&machine, (&mut plain, &meanings), core::slice::from_ref(&trace));
        let (mut followed, meanings, _) = interpreting();
        assert_eq!(told_by_thunks(&machine, (&mut followed, &meanings), &[trace], 0), expected);
        let lines = expected.calls.iter().filter(|call| matches!(call.callee, Callee::Line(_)));
        assert!(lines.clone().count() == 3 && lines.clone().all(|call| call.calls > 100));
    }

    /// 0: mov [rdi + 100], rsi; 7: call rax; 9: ret
    const EVALUATOR: &[u8] = &[0x48, 0x89, 0xb7, 0, 1, 0, 0, 0xff, 0xd0, 0xc3];

    #[test]
    fn thunks_push_and_pop_python_frames_as_the_ledger_does() {
        let _arena = arena();
        let machine = Machine::reference_1();
        let watch = Watch {
            code: (AT, AT + 16),
            word: 0,
            offset: 0x100,
            through: None,
            executed: 0,
            owner: None,
            position: None,
        };
        let evaluating = || {
            let (mut ledger, meanings, last) = translated_watching(EVALUATOR, &[0, 7, 9], Some(watch));
            (0..6).for_each(|number| ledger.know_function(CODE + 0x100 * number, number == 5));
            let exits = 0..meanings.paths.len() as u32;
            let stores = exits.clone().find(|&exit| ledger.follow(exit).watched.is_some());
            (ledger, meanings, [u64::from(stores.expect("a store is watched")), last[1], last[2]])
        };
        for seed in 0..8 {
            let (mut plain, meanings, [stores, calls, returns]) = evaluating();
            let slots = usize::from(meanings.paths[stores as usize].exit.slots);
            let watched = usize::from(plain.follow(stores as u32).watched.unwrap());
            let mut below = by_chance(seed);
            // Native calls that are open, and frames that are.
            let (mut trace, mut depth, mut open) = (Vec::new(), 0, vec![(FRAME, CODE)]);
            while trace.len() < 20_000 {
                let (frame, code) = match below(16) {
                    0 if depth < 5 => {
                        trace.extend([calls, STACK - 0x100 * depth]);
                        depth += 1;
                        continue;
                    }
                    1 if depth > 0 => {
                        depth -= 1;
                        trace.extend([returns, STACK - 0x100 * depth - 8]);
                        continue;
                    }
                    2..8 if open.len() < 9 => {
                        open.push((FRAME + 0x58 * open.len() as u64, CODE + 0x100 * below(6)));
                        open[open.len() - 1]
                    }
                    8..14 if open.len() > 1 => {
                        open.pop();
                        open[open.len() - 1]
                    }
                    14 => (0, 0),
                    // Out of order: one of them, or its place with other code.
                    _ => (FRAME + 0x58 * below(9), CODE + 0x100 * below(6)),
                };
                trace.push(stores);
                let start = trace.len();
                trace.resize(start + slots, STACK);
                trace[start + watched..][..2].copy_from_slice(&[frame, code]);
            }
            let traces = [trace];
            let expected = told_step_by_step(&machine, (&mut plain, &meanings), &traces);
            let (mut followed, meanings, _) = evaluating();
            let told = told_by_thunks(&machine, (&mut followed, &meanings), &traces, 0);
            assert_eq!(told, expected, "seed {seed}");
            let functions = expected.calls.iter().filter(|call| matches!(call.callee, Callee::Python(_)));
            assert!(functions.clone().count() > 50 && functions.map(|call| call.calls).sum::<u64>() > 1000);
        }
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
        let paths = told(&mut ledger);
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
        assert_eq!(told(&mut ledger).calls.len(), 3);
        ledger.end();
        for times in 1..3 {
            ledger.begin(AT, true);
            for _ in 0..times {
                follow(&mut ledger, &[first, STACK, returns, STACK - 8]);
            }
            let paths = told(&mut ledger);
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
        let paths = told(&mut ledger);
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
