//! Host code for a superblock, and the meaning of its records.
//!
//! What holds between any two guest instructions of generated code: every general register but `r11`, the flags, the
//! vector state and the stack are the guest's; the guest's `r11` is in [`at::R11`]; in simulation mode `r11` points to the
//! record being written, in counts-only mode it is free. No instruction that the engine adds changes a flag, except
//! where the flags are saved or shown to be dead.

mod copies;
mod operands;
mod stubs;
mod watched;

use alloc::vec::Vec;

use iced_x86::{
    Code, ConditionCode, Encoder, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register, UsedMemory,
};
use invar_core::machine::LINE_BYTES;

use super::assemble::{ABOVE, Assembler, CARRY, NEGATIVE};
use super::block::{End, Path, Step, flags_are_dead};
use super::registers;
use super::watch::Watch;
use super::{
    Boundary, Exit, Lent, Link, Mode, NO_SLOT, Numbers, Op, Options, Placed, REPEAT_SLOTS, Reference, Repeat,
    Site, Special, Told, Touch, Translation, Turn,
};
use crate::host::context::{at, register::*};
use crate::host::gate::Gate;
use crate::host::layout;

use copies::replace_r11;

pub use stubs::{
    branch_scratch, indirect_check, indirect_miss, jump, native_exit, system_call_with_child, thread_exit,
};

/// Slots that a record may have before the path is cut: displacements stay short of the room that a head's check
/// leaves.
const SLOTS_MAX: u8 = 200;

/// Operations that a path may have before it is cut: those of one instruction, at most 65 of `enter`, come on top.
const OPS_MAX: usize = 256;

/// Translates a path into code that will stand at `origin`; stores that `watch` knows are looked at.
pub fn translate(
    path: &Path,
    origin: u64,
    numbers: Numbers,
    options: Options,
    watch: Option<Watch>,
) -> Translation {
    let mut emitter = Emitter {
        code: Assembler::new(origin),
        encoder: Encoder::new(64),
        infos: InstructionInfoFactory::new(),
        used: Used::default(),
        options,
        watch,
        numbers,
        out: Translation::default(),
        values: [None; 16],
        numbered: 0,
        progress: Progress::default(),
        fetched: None,
        taken: path.taken,
        calls: Vec::new(),
        tails: Vec::new(),
        literals: Vec::new(),
    };
    emitter.out.boundaries.reserve(path.steps.len());
    emitter.out.ops.reserve(2 * path.steps.len());
    emitter.head(path);
    for (index, step) in path.steps.iter().enumerate() {
        let last = index + 1 == path.steps.len();
        // The last step is part of the ending where the ending says so.
        if last && emitter.ending(step, path.end) {
            emitter.finish();
            return emitter.out;
        }
        let next = emitter.step(step);
        if emitter.out.placed.is_some()
            || emitter.progress.slots > SLOTS_MAX
            || emitter.out.ops.len() > OPS_MAX
        {
            emitter.direct(next);
            emitter.finish();
            return emitter.out;
        }
    }
    match path.end {
        End::Unknown { at } => emitter.special(Special::Unknown, at, at),
        End::Clock { at } => emitter.special(Special::Clock, at, at),
        End::Direct { target } => emitter.direct(target),
        _ => unreachable!("an ending with an instruction of its own has returned"),
    }
    emitter.finish();
    emitter.out
}

/// A register's value as `slot + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    slot: u8,
    offset: u64,
}

/// What the path has done so far.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    slots: u8,
    instructions: u8,
    reads: u16,
    writes: u16,
    branches: u8,
    /// Some address is not exact.
    approximate: bool,
}

/// What the instruction at hand uses. Asked for once an instruction: nothing else takes as long in a translation.
#[derive(Default)]
struct Used {
    /// General registers, a bit each.
    registers: u16,
    /// Those of them that are written, perhaps.
    written: u16,
    memories: Vec<UsedMemory>,
}

impl Used {
    fn by(&mut self, instruction: &Instruction, infos: &mut InstructionInfoFactory) {
        let info = infos.info(instruction);
        (self.registers, self.written) = (0, 0);
        for register in info.used_registers() {
            if let Some(number) = registers::number(register.register()) {
                self.registers |= 1 << number;
                if !matches!(register.access(), OpAccess::Read | OpAccess::CondRead) {
                    self.written |= 1 << number;
                }
            }
        }
        self.memories.clear();
        self.memories.extend_from_slice(info.used_memory());
    }
}

/// Code that stands behind the block, out of the straight line.
enum Tail {
    /// A side exit: bound to the branch at `from`.
    Side { from: u32, exit: u32, target: u64, slots: u8 },
    /// A jump to the runtime for a link.
    Link { from: u32, link: u32 },
    /// A return that was followed goes elsewhere: `rcx` is what it lacks to `expected`.
    Astray { from: u32, exit: u32, expected: u64, slots: u8 },
    /// The instruction at `at` would switch alignment checks on: to the runtime before it.
    Unknown { from: u32, exit: u32, at: u64, slots: u8 },
    /// What is watched has changed, by the store in front of `next`.
    Watched { from: u32, exit: u32, next: u64, before: Progress, is_stored: bool },
    /// The trace buffer is full.
    Full { from: u32, flags_saved: bool },
}

struct Emitter {
    code: Assembler,
    encoder: Encoder,
    infos: InstructionInfoFactory,
    used: Used,
    options: Options,
    watch: Option<Watch>,
    numbers: Numbers,
    out: Translation,
    values: [Option<Value>; 16],
    /// Registers that hold what was made of a number of byte codes, a bit each.
    numbered: u16,
    progress: Progress,
    /// The line of the last instruction's last byte.
    fetched: Option<u64>,
    /// Which of the conditional branches to come are followed where they are taken.
    taken: u32,
    /// Return addresses of the calls that the path is in.
    calls: Vec<u64>,
    tails: Vec<Tail>,
    literals: Vec<(u32, u64)>,
}

impl Emitter {
    fn simulates(&self) -> bool {
        self.options.mode == Mode::Simulation
    }

    /// Leaves for the runtime when a record might not fit, or when others might go on.
    fn head(&mut self, path: &Path) {
        if !self.simulates() && !self.options.scheduled {
            return;
        }
        let flags_saved = !flags_are_dead(path);
        if flags_saved {
            self.code.store_gs(at::BRANCH_RAX, RAX);
            self.code.flags_to_ax();
        }
        let from = if self.simulates() {
            self.code.compare_r11(at::TRACE_LIMIT);
            self.code.jump_if(ABOVE)
        } else {
            self.code.compare_gs_with_zero(at::BUDGET);
            self.code.jump_if(NEGATIVE)
        };
        self.tails.push(Tail::Full { from, flags_saved });
        if flags_saved {
            self.code.flags_from_ax();
            self.code.load_gs(RAX, at::BRANCH_RAX);
        }
    }

    /// Counts an instruction and its fetch.
    fn fetch(&mut self, instruction: &Instruction) {
        self.used.by(instruction, &mut self.infos);
        let (start, bytes) = (instruction.ip(), instruction.len() as u64);
        let before = self.exit(self.progress, 0);
        self.out.boundaries.push(Boundary {
            offset: self.code.here(),
            at: start,
            lent: Lent::Nothing,
            before,
        });
        self.progress.instructions += 1;
        match self.out.sources.last_mut() {
            Some((from, length)) if *from + u64::from(*length) == start => *length += bytes as u32,
            _ => self.out.sources.push((start, bytes as u32)),
        }
        let (first, last) = (start / LINE_BYTES, (start + bytes - 1) / LINE_BYTES);
        if self.fetched != Some(first) || first != last {
            self.out.ops.push(Op::Fetch { address: start, bytes: bytes as u8 });
        }
        self.fetched = Some(last);
    }

    /// An instruction within the path; says where the path goes on.
    fn step(&mut self, step: &Step) -> u64 {
        let instruction = &step.instruction;
        self.fetch(instruction);
        match instruction.flow_control() {
            FlowControl::UnconditionalBranch => {
                self.progress.branches += 1;
                return instruction.near_branch_target();
            }
            FlowControl::ConditionalBranch => return self.conditional(step),
            FlowControl::Call => {
                self.touch_memory(instruction, None);
                self.progress.branches += 1;
                self.push_return_address(instruction.next_ip());
                self.number_values(instruction);
                self.calls.push(instruction.next_ip());
                return instruction.near_branch_target();
            }
            FlowControl::Return => return self.followed_return(instruction),
            _ => self.copy(step),
        }
        instruction.next_ip()
    }

    /// A return to the call in this path, as long as the guest has not changed the address: the flags are kept, since
    /// nothing says that they are dead.
    fn followed_return(&mut self, instruction: &Instruction) -> u64 {
        let expected = self.calls.pop().expect("a return is followed behind its call only");
        let scratch = branch_scratch(self.options.mode);
        self.save_for_branch();
        self.touch_memory(instruction, None);
        self.progress.branches += 1;
        self.pop_target(instruction);
        self.code.load_immediate(scratch, expected.wrapping_neg());
        self.code.add_to_rcx(scratch);
        self.code.skip_if_rcx_zero(5);
        let from = self.code.jump();
        if scratch == RAX {
            self.code.load_gs(RAX, at::BRANCH_RAX);
        }
        self.code.load_gs(RCX, at::BRANCH_RCX);
        let exit = self.push_exit(self.progress, 0);
        self.tails.push(Tail::Astray { from, exit, expected, slots: self.progress.slots });
        self.number_values(instruction);
        expected
    }

    /// `rcx` = where a return goes.
    fn pop_target(&mut self, instruction: &Instruction) {
        self.code.pop_rcx();
        if instruction.code() == Code::Retnq_imm16 {
            self.code.advance_stack(u32::from(instruction.immediate16()));
        }
    }

    /// A conditional branch; says where the path goes on.
    fn conditional(&mut self, step: &Step) -> u64 {
        let instruction = &step.instruction;
        let follows_taken = self.taken & 1 != 0;
        self.taken >>= 1;
        let from = if instruction.is_jcc_short_or_near() {
            let condition = condition_number(instruction.condition_code());
            // The lowest bit of a condition's number turns it round.
            self.code.jump_if(condition ^ u8::from(follows_taken))
        } else {
            // These reach 128 bytes only: hop over a jump that reaches everywhere.
            let bytes = step.bytes();
            self.code.raw(&bytes[..bytes.len() - 1]);
            self.code.raw(&[2, 0xeb, 5]);
            self.values[usize::from(RCX)] = None;
            self.code.jump()
        };
        let straight = self.progress;
        let taken = Progress { branches: straight.branches + 1, ..straight };
        let target = instruction.near_branch_target();
        let (side, side_target, next) = if follows_taken {
            self.progress = taken;
            (straight, instruction.next_ip(), target)
        } else {
            (taken, target, instruction.next_ip())
        };
        let exit = self.push_exit(side, 0);
        let turn = self.out.turns.last_mut().expect("an exit has been pushed");
        *turn = Some(Turn { at: instruction.ip(), taken: !follows_taken });
        self.tails.push(Tail::Side { from, exit, target: side_target, slots: side.slots });
        next
    }

    fn exit(&self, progress: Progress, system_calls: u8) -> Exit {
        Exit {
            ops: self.out.ops.len() as u32,
            slots: progress.slots,
            instructions: progress.instructions,
            reads: progress.reads,
            writes: progress.writes,
            branches: progress.branches,
            system_calls,
            approximate: progress.approximate,
        }
    }

    fn push_exit(&mut self, progress: Progress, system_calls: u8) -> u32 {
        self.push_as_exit(self.exit(progress, system_calls))
    }

    fn push_as_exit(&mut self, exit: Exit) -> u32 {
        let number = self.numbers.exit + self.out.exits.len() as u32;
        self.out.exits.push(exit);
        self.out.turns.push(None);
        number
    }

    /// Writes the record's head and moves on to the next record, or counts the path.
    fn record(&mut self, exit: u32, slots: u8) {
        if self.simulates() {
            self.code.store_trace_head(exit);
            self.code.advance_trace(8 + 8 * u32::from(slots));
        } else {
            let counter = layout::COUNTERS + 8 * exit;
            self.code.load_gs(R11, counter);
            self.code.advance_r11(1);
            self.code.store_gs(counter, R11);
            if self.options.scheduled {
                let exit = &self.out.exits[(exit - self.numbers.exit) as usize];
                let instructions = exit.instructions;
                self.code.load_gs(R11, at::BUDGET);
                self.code.advance_r11((instructions as i8).wrapping_neg());
                self.code.store_gs(at::BUDGET, R11);
            }
        }
    }

    /// The way out to a known address.
    fn direct(&mut self, target: u64) {
        let exit = self.push_exit(self.progress, 0);
        self.record(exit, self.progress.slots);
        self.link(target);
    }

    fn link(&mut self, target: u64) {
        let from = self.code.jump();
        let link = self.numbers.link + self.out.links.len() as u32;
        self.out.links.push(Link { target, patch: from });
        self.tails.push(Tail::Link { from, link });
    }

    fn special(&mut self, special: Special, at_address: u64, next: u64) {
        let exit = self.push_exit(self.progress, u8::from(special == Special::SystemCall));
        self.record(exit, self.progress.slots);
        self.ask(Site { special, at: at_address, next });
    }

    /// The way to the runtime for what it answers.
    fn ask(&mut self, site: Site) {
        let number = self.numbers.site + self.out.sites.len() as u32;
        self.out.sites.push(site);
        self.code.store_gs_u32(at::EXIT_NUMBER, number);
        self.code.jump_gs(Gate::Special.offset());
    }

    /// Emits `step` if it is the ending's own instruction; says whether it was.
    fn ending(&mut self, step: &Step, end: End) -> bool {
        let instruction = &step.instruction;
        match end {
            End::Direct { .. } | End::Clock { .. } | End::Unknown { .. } => return false,
            End::Special(special) => {
                if special == Special::FsBaseChanged {
                    let _ = self.step(step);
                } else {
                    self.fetch(instruction);
                }
                self.special(special, instruction.ip(), instruction.next_ip());
            }
            End::Call { target } => {
                self.fetch(instruction);
                self.touch_memory(instruction, None);
                self.progress.branches += 1;
                self.push_return_address(instruction.next_ip());
                self.direct(target);
            }
            End::IndirectJump | End::IndirectCall | End::Return => {
                self.fetch(instruction);
                self.indirect(instruction, end);
            }
        }
        true
    }

    /// The guest's stack holds the guest's return addresses, so unwinders and `longjmp` need nothing.
    fn push_return_address(&mut self, address: u64) {
        let literal = self.code.push_literal();
        self.literals.push((literal, address));
    }

    fn indirect(&mut self, instruction: &Instruction, end: End) {
        self.progress.branches += 1;
        self.save_for_branch();
        if end == End::Return {
            self.touch_memory(instruction, None);
            self.pop_target(instruction);
        } else {
            self.load_target(instruction);
            if end == End::IndirectCall {
                self.push_return_address(instruction.next_ip());
            }
        }
        let exit = self.push_exit(self.progress, 0);
        self.record(exit, self.progress.slots);
        self.jump_to_rcx();
    }

    /// To the guest address in `rcx`, with the guest's `rcx`, and `rax` if it is the scratch register, in their homes.
    fn jump_to_rcx(&mut self) {
        let scratch = branch_scratch(self.options.mode);
        self.code.hash_rcx(scratch, self.options.rorx);
        self.code.jump_table(scratch, layout::TABLE);
    }

    /// The instruction at hand is executed with something lent.
    fn lend(&mut self, lent: Lent) {
        let boundary = self.out.boundaries.last_mut().expect("every instruction has been fetched");
        boundary.lent = lent;
    }

    /// Before `rcx` and the scratch register are used up.
    fn save_for_branch(&mut self) {
        self.lend(Lent::Branch);
        self.code.store_gs(at::BRANCH_RCX, RCX);
        if branch_scratch(self.options.mode) == RAX {
            self.code.store_gs(at::BRANCH_RAX, RAX);
        }
    }

    /// `rcx` = the operand of an indirect jump or call. `rcx` and the scratch register are saved and still the guest's.
    fn load_target(&mut self, instruction: &Instruction) {
        if instruction.op0_kind() == OpKind::Register {
            self.touch_memory(instruction, None);
            match registers::number(instruction.op0_register()) {
                Some(R11) => self.code.load_gs(RCX, at::R11),
                Some(number) => self.code.copy_to_rcx(number),
                None => unreachable!("an indirect branch goes through a general register"),
            }
            return;
        }
        let mut load = Instruction::with2(
            Code::Mov_r64_rm64,
            Register::RCX,
            iced_x86::MemoryOperand::with_base(Register::RAX),
        )
        .expect("a load has a register and a memory operand");
        load.set_segment_prefix(instruction.segment_prefix());
        load.set_memory_base(instruction.memory_base());
        load.set_memory_index(instruction.memory_index());
        load.set_memory_index_scale(instruction.memory_index_scale());
        load.set_memory_displacement64(instruction.memory_displacement64());
        load.set_memory_displ_size(instruction.memory_displ_size());
        let base = registers::number(instruction.memory_base());
        let index = registers::number(instruction.memory_index());
        let uses_r11 = base == Some(R11) || index == Some(R11);
        let mut stand_in = None;
        if uses_r11 {
            // One of the two is saved and not part of the operand; in counts-only mode `r11` itself will do.
            let scratch = match branch_scratch(self.options.mode) {
                RAX if base == Some(RAX) || index == Some(RAX) => RCX,
                scratch => scratch,
            };
            self.code.load_gs(scratch, at::R11);
            replace_r11(&mut load, scratch);
            stand_in = Some(scratch);
        }
        self.touch_memory(instruction, stand_in);
        if instruction.is_ip_rel_memory_operand() {
            // The operand's address fits in `rcx`, which is loaded anyway.
            self.code.load_immediate(RCX, instruction.ip_rel_memory_address());
            load.set_memory_base(Register::RCX);
            load.set_memory_index(Register::None);
            load.set_memory_displacement64(0);
            load.set_memory_displ_size(0);
        }
        self.encode(&load);
    }

    /// Everything that stands behind the straight line.
    fn finish(&mut self) {
        // Side exits first: they add links, whose tails come after.
        for tail in core::mem::take(&mut self.tails) {
            match tail {
                Tail::Side { from, exit, target, slots } => {
                    self.code.bind(from);
                    self.record(exit, slots);
                    self.link(target);
                }
                Tail::Astray { from, exit, expected, slots } => {
                    self.code.bind(from);
                    let scratch = branch_scratch(self.options.mode);
                    self.code.load_immediate(scratch, expected);
                    self.code.add_to_rcx(scratch);
                    self.record(exit, slots);
                    self.jump_to_rcx();
                }
                Tail::Unknown { from, exit, at, slots } => {
                    self.code.bind(from);
                    self.record(exit, slots);
                    self.ask(Site { special: Special::Unknown, at, next: at });
                }
                Tail::Watched { from, exit, next, before, is_stored } => {
                    self.code.bind(from);
                    self.leave_with_frame(exit, next, before, is_stored);
                }
                Tail::Full { from, flags_saved } => {
                    self.code.bind(from);
                    if flags_saved {
                        self.code.flags_from_ax();
                        self.code.load_gs(RAX, at::BRANCH_RAX);
                    }
                    self.code.store_gs_u32(at::EXIT_NUMBER, self.numbers.block);
                    self.code.jump_gs(Gate::Full.offset());
                }
                link @ Tail::Link { .. } => self.tails.push(link),
            }
        }
        for tail in core::mem::take(&mut self.tails) {
            if let Tail::Link { from, link } = tail {
                self.code.bind(from);
                self.code.store_gs_u32(at::EXIT_NUMBER, link);
                self.code.jump_gs(Gate::Link.offset());
            }
        }
        for (patch, value) in core::mem::take(&mut self.literals) {
            self.code.bind(patch);
            self.code.raw(&value.to_le_bytes());
        }
        self.out.code = core::mem::take(&mut self.code.bytes);
    }
}

fn condition_number(condition: ConditionCode) -> u8 {
    condition as u8 - ConditionCode::o as u8
}

#[cfg(test)]
mod tests;
