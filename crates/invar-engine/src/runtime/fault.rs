//! A fault in generated code, as the guest's handler is to see it.
//!
//! Generated code keeps no table of where its instructions came from: translation is pure, so it is done again for the block
//! that has faulted, and says so. Rare, and so slow.

use crate::host::context::{Context, register::*};
use crate::host::faults::{FRAME_REGISTERS, FRAME_RIP, Frame};
use crate::host::gate;
use crate::host::{layout, memory};
use crate::runtime::{Drain, Engine, TRACE_START};
use crate::translate::block::trace_path;
use crate::translate::{Boundary, Exit, Lent, Mode, Numbers, emit};

/// Where frames have `r11`.
const FRAME_R11: usize = FRAME_REGISTERS[R11 as usize];
/// Where frames have `rcx`.
const FRAME_RCX: usize = FRAME_REGISTERS[RCX as usize];

/// A frame before and after the guest's state was put in.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    host: Frame,
    shown: Frame,
    boundary: Boundary,
    /// An exit of the block that has faulted.
    exit: u32,
}

impl Engine {
    /// Puts the guest's state into a frame of generated code.
    pub fn show_guest(&mut self, context: &mut Context, frame: &mut Frame) {
        let Some((exit, boundary)) = self.boundary(frame[FRAME_RIP]) else { return };
        let Boundary { at, lent, .. } = boundary;
        let host = *frame;
        if in_trace(host[FRAME_R11]) {
            // Where the handler jumps away what was traced so far is kept.
            context.trace_pointer = host[FRAME_R11];
        }
        frame[FRAME_RIP] = at;
        frame[FRAME_R11] = context.registers[usize::from(R11)];
        match lent {
            Lent::Nothing => {}
            Lent::Repeat(element) => {
                // As if it ended here.
                let left = &mut context.repeats_after[usize::from(element)];
                *left = left.wrapping_add(host[FRAME_RCX]);
            }
            Lent::StandIn(register) | Lent::Base(register) => {
                frame[FRAME_REGISTERS[usize::from(register)]] = context.spill
            }
            Lent::Branch => {
                frame[FRAME_REGISTERS[usize::from(RCX)]] = context.branch_rcx;
                if self.branch_lends_rax() {
                    frame[FRAME_REGISTERS[usize::from(RAX)]] = context.branch_rax;
                }
            }
        }
        self.fault = Some(Fault { host, shown: *frame, boundary, exit });
    }

    /// Takes a frame back from the guest's handler, which has returned.
    pub fn take_back(&mut self, context: &mut Context, frame: &mut Frame) {
        let Some(Fault { host, shown, boundary, exit }) = self.fault.take() else { return };
        let Boundary { lent, before, .. } = boundary;
        let code_has_changed = self.code_has_changed();
        if frame[FRAME_RIP] != shown[FRAME_RIP] || code_has_changed {
            // Somewhere else, or the block is no longer right: by the runtime, with the guest's registers as they are.
            self.count_until_fault(context, exit, before);
            if code_has_changed {
                self.forget_all(context);
            }
            context.registers[usize::from(R11)] = frame[FRAME_R11];
            context.target = frame[FRAME_RIP];
            frame[FRAME_RIP] = gate::resume_address();
            frame[FRAME_R11] = context.trace_pointer;
            return;
        }
        // The same instruction once more, with what generated code had in its registers.
        frame[FRAME_RIP] = host[FRAME_RIP];
        let r11 = frame[FRAME_R11];
        let r11_has_changed = r11 != shown[FRAME_R11];
        context.registers[usize::from(R11)] = r11;
        frame[FRAME_R11] = host[FRAME_R11];
        let lent_registers: &[u8] = match lent {
            Lent::Nothing => &[],
            Lent::Repeat(element) => {
                let left = &mut context.repeats_after[usize::from(element)];
                *left = left.wrapping_sub(host[FRAME_RCX]);
                &[]
            }
            Lent::StandIn(register) | Lent::Base(register) => &[register],
            Lent::Branch if self.branch_lends_rax() => &[RCX, RAX],
            Lent::Branch => &[RCX],
        };
        for &register in lent_registers {
            let place = FRAME_REGISTERS[usize::from(register)];
            if frame[place] != shown[place] {
                match lent {
                    Lent::StandIn(_) | Lent::Base(_) => context.spill = frame[place],
                    _ if register == RCX => context.branch_rcx = frame[place],
                    _ => context.branch_rax = frame[place],
                }
            }
            frame[place] = if r11_has_changed && lent == Lent::StandIn(register) { r11 } else { host[place] };
        }
    }

    /// Counts what a block has done before the instruction that has faulted: as one more way out of it.
    fn count_until_fault(&mut self, context: &mut Context, exit: u32, before: Exit) {
        let number = self.meanings.paths.len();
        let first_op = self.meanings.paths[exit as usize].first_op;
        self.meanings.add(first_op, before);
        self.turns.push(None);
        if let Some(ledger) = &mut self.ledger {
            ledger.add_exit_of(exit as usize, &before);
        }
        if let Drain::Generated(drain) = &mut self.drain {
            drain.add_exits(&self.meanings);
        }
        match self.options.mode {
            Mode::Counts => memory::count_paths(number, 1),
            Mode::Simulation => {
                memory::end_trace(context.trace_pointer, number as u32);
                context.trace_pointer += 8 + 8 * u64::from(before.slots);
            }
        }
    }

    /// The guest's instruction whose code a host address is in, and an exit of its block.
    fn boundary(&self, host: u64) -> Option<(u32, Boundary)> {
        let after = self.blocks.partition_point(|block| block.entry <= host);
        let block = self.blocks[..after].last()?;
        let path =
            trace_path(&self.map, block.head, block.reach, |branch, _| block.taken & 1 << branch != 0)?;
        // Numbers stand in immediates, which are as long whatever they say.
        let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
        let translation = emit::translate(&path, block.entry, numbers, self.options, self.watch);
        let offset = host - block.entry;
        let boundary =
            translation.boundaries.into_iter().rev().find(|boundary| u64::from(boundary.offset) <= offset)?;
        Some((block.exits.0, boundary))
    }

    fn branch_lends_rax(&self) -> bool {
        emit::branch_scratch(self.options.mode) == RAX
    }
}

fn in_trace(address: u64) -> bool {
    (TRACE_START..=TRACE_START + u64::from(layout::TRACE_BYTES)).contains(&address)
}
