//! What a ledger says at a region's end: its rows, told by instruction.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use invar_core::event::Event;
use invar_core::wire::raw::call_paths::{CallPaths, Callee, Extra, Instruction, Stretch};

use super::charges::{Charge, unite};
use super::exits::MoveKind;
use super::ledger::Ledger;
use super::rows::Row;

/// An instruction that is not in the list.
const ABSENT: u32 = u32::MAX;

impl Ledger {
    /// The region by call paths. `maps` are the executable mappings of the process.
    pub fn call_paths(&mut self, maps: String) -> CallPaths {
        let rows: Vec<Row> = self.rows.all().to_vec();
        let (instructions, numbers) = self.instructions(&rows);
        let charged = self.charged();
        let mut charged = charged.as_slice();
        let mut stretches = Vec::new();
        let mut extras = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            self.calls[row.call as usize].calls += row.entered;
            let (of_row, rest) =
                charged.split_at(charged.partition_point(|charge| charge.payer.row <= number as u32));
            charged = rest;
            self.tell(row, of_row, &numbers, &mut stretches, &mut extras);
        }
        let of_stretch = |stretch: &Stretch| (stretch.call, stretch.first, stretch.instructions);
        unite(&mut stretches, of_stretch, |known, next| known.times += next.times);
        let of_extra = |extra: &Extra| (extra.call, extra.instruction, extra.event);
        unite(&mut extras, of_extra, |known, next| known.count += next.count);
        let (python, calls) = (self.functions.clone(), self.calls.clone());
        CallPaths { maps, instructions, python, calls, stretches, extras }
    }

    /// The instructions of all rows, sorted, and the number of each step's among them.
    fn instructions(&self, rows: &[Row]) -> (Vec<Instruction>, Vec<u32>) {
        let mut numbers = vec![ABSENT; self.exits.steps.len()];
        let mut used: Vec<(u64, u32)> = Vec::new();
        for row in rows {
            let way = self.exits.ways[row.exit as usize];
            let first = self.exits.blocks[way.block as usize].first_step;
            for step in first..first + u32::from(way.instructions) {
                if numbers[step as usize] == ABSENT {
                    numbers[step as usize] = 0;
                    used.push((self.exits.steps[step as usize].address, step));
                }
            }
        }
        used.sort_unstable();
        let mut instructions: Vec<Instruction> = Vec::new();
        for (address, step) in used {
            let told = &self.exits.steps[step as usize];
            let instruction = Instruction {
                address,
                reads: told.reads,
                writes: told.writes,
                system_call: told.system_call,
            };
            // Where code has changed an address may have had several: each is told.
            if instructions.last() != Some(&instruction) {
                instructions.push(instruction);
            }
            numbers[step as usize] = instructions.len() as u32 - 1;
        }
        (instructions, numbers)
    }

    /// Tells one row.
    fn tell(
        &mut self,
        row: &Row,
        charged: &[Charge],
        numbers: &[u32],
        stretches: &mut Vec<Stretch>,
        extras: &mut Vec<Extra>,
    ) {
        let way = self.exits.ways[row.exit as usize];
        let block = self.exits.blocks[way.block as usize];
        let steps = block.first_step..block.first_step + u32::from(way.instructions);
        let moves = self.exits.moves_until(way.block, way.instructions).to_vec();
        let mut moves = moves.iter().peekable();
        let mut charged = charged.iter().peekable();
        let (mut call, mut callers) = (row.call, Vec::new());
        let mut branches = 0;
        for (index, step) in steps.clone().enumerate() {
            let instruction = numbers[step as usize];
            match stretches.last_mut() {
                Some(last)
                    if index > 0
                        && last.call == call
                        && last.times == row.times
                        && last.first + last.instructions == instruction =>
                {
                    last.instructions += 1;
                }
                _ => stretches.push(Stretch { call, first: instruction, instructions: 1, times: row.times }),
            }
            let mut add = |event, count| {
                if count > 0 {
                    extras.push(Extra { call, instruction, event, count });
                }
            };
            let is_last = step + 1 == steps.end;
            let taken =
                if is_last { way.branches - branches } else { self.exits.steps[step as usize].branches };
            branches += taken;
            add(Event::BranchesTaken, row.times * u64::from(taken));
            let end = if is_last { u32::MAX } else { u32::from(self.exits.steps[step as usize + 1].ops) };
            while let Some(charge) = charged.next_if(|charge| charge.payer.op < end) {
                add(charge.event, charge.count);
            }
            if let Some(one) = moves.next_if(|one| usize::from(one.step) == index) {
                match one.kind {
                    MoveKind::Call(target) => {
                        callers.push(call);
                        let callee = self.child(call, Callee::Address(target));
                        if callee != call {
                            self.calls[callee as usize].calls += row.times;
                        }
                        call = callee;
                    }
                    MoveKind::IndirectCall => {}
                    MoveKind::Return => call = callers.pop().unwrap_or(call),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::block::{self, trace_path};
    use crate::translate::testing::{AT, Bytes};
    use crate::translate::{Mode, Numbers, Options, emit};

    const STACK: u64 = 0x7fff_0000;

    /// A ledger that knows the superblocks at some offsets in `code`, and the number of the last exit of each.
    fn translated(code: &'static [u8], heads: &[u64]) -> (Ledger, Vec<u64>) {
        let mut ledger = Ledger::new(None);
        let (mut exits, mut last) = (0, Vec::new());
        for head in heads {
            let path =
                trace_path(&Bytes(code), AT + head, block::SHORT, |_, _| false).expect("there is code");
            let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
            let options = Options { mode: Mode::Simulation, rorx: true, threads: false };
            let translation = emit::translate(&path, 0x1000_2000_0000, numbers, options, None);
            ledger.add_block(AT + head, &path, &translation);
            exits += translation.exits.len() as u64;
            last.push(exits - 1);
        }
        ledger.begin(AT, true);
        (ledger, last)
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
        let (mut ledger, last) = translated(&[0xe8, 1, 0, 0, 0, 0xc3, 0x90, 0xc3], &[0]);
        let trace = [last[0], STACK, last[0], STACK];
        ledger.follow(&trace, trace.len(), 0);
        let paths = ledger.call_paths(String::new());
        assert_eq!(costs(&paths), [(Callee::Address(AT), 1, 4), (Callee::Address(AT + 6), 2, 4)]);
        assert_eq!(paths.total().get(Event::BranchesTaken), 6);
    }

    #[test]
    fn calls_below_the_stack_pointer_are_over() {
        // 0: call rax; 2: call rax; 4: ret
        let (mut ledger, last) = translated(&[0xff, 0xd0, 0xff, 0xd0, 0xc3], &[0, 2, 4]);
        let [first, second, returns] = [last[0], last[1], last[2]];
        // 0 calls 2, which calls 4, which has gone to 0 by a jump: its call is at the place of the first.
        let trace = [first, STACK, second, STACK - 8, first, STACK, returns, STACK - 8, returns, STACK];
        ledger.follow(&trace, trace.len(), 0);
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
