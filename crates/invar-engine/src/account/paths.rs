//! What a ledger says at a region's end: its rows, told by instruction.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use invar_core::event::Event;
use invar_core::wire::raw::call_paths::{Call, CallPaths, Callee, Extra, Instruction, Stretch};

use super::ledger::{Charge, Ledger, MoveKind};
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
        stretches
            .sort_unstable_by_key(|stretch: &Stretch| (stretch.call, stretch.first, stretch.instructions));
        stretches.dedup_by(|next, known| {
            let alike =
                (next.call, next.first, next.instructions) == (known.call, known.first, known.instructions);
            if alike {
                known.times += next.times;
            }
            alike
        });
        extras.sort_unstable_by_key(|extra: &Extra| (extra.call, extra.instruction, extra.event));
        extras.dedup_by(|next, known| {
            let alike =
                (next.call, next.instruction, next.event) == (known.call, known.instruction, known.event);
            if alike {
                known.count += next.count;
            }
            alike
        });
        let calls: Vec<Call> = self.calls.clone();
        CallPaths { maps, instructions, python: self.functions.clone(), calls, stretches, extras }
    }

    /// The instructions of all rows, sorted, and the number of each step's among them.
    fn instructions(&self, rows: &[Row]) -> (Vec<Instruction>, Vec<u32>) {
        let mut numbers = vec![ABSENT; self.steps.len()];
        let mut used: Vec<(u64, u32)> = Vec::new();
        for row in rows {
            let way = self.ways[row.exit as usize];
            let first = self.blocks[way.block as usize].first_step;
            for step in first..first + u32::from(way.instructions) {
                if numbers[step as usize] == ABSENT {
                    numbers[step as usize] = 0;
                    used.push((self.steps[step as usize].address, step));
                }
            }
        }
        used.sort_unstable();
        let mut instructions: Vec<Instruction> = Vec::new();
        for (address, step) in used {
            let told = &self.steps[step as usize];
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
        let way = self.ways[row.exit as usize];
        let block = self.blocks[way.block as usize];
        let steps = block.first_step..block.first_step + u32::from(way.instructions);
        let moves = self.moves_until(way.block, way.instructions).to_vec();
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
            let taken = if is_last { way.branches - branches } else { self.steps[step as usize].branches };
            branches += taken;
            add(Event::BranchesTaken, row.times * u64::from(taken));
            let end = if is_last { u32::MAX } else { u32::from(self.steps[step as usize + 1].ops) };
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
