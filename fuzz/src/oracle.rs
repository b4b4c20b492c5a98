//! What the trace of a program must say: worked out from single steps of the native run and the decoder's knowledge of
//! each instruction, and what it does say.
//!
//! Accesses of the way in and out, which lie in [`layout::STATE`], are left out on both sides.

use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};
use invar_core::event::Events;
use invar_core::machine::LINE_BYTES;
use invar_engine::drain::reference::{self, Meanings, Path};
use invar_engine::translate::{Op, Touch};
use invar_sim::Hierarchy;

use crate::host::signals::Step;
use crate::layout;
use crate::program::Program;
use crate::program::instruction::{decode, number};

/// One access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// It writes.
    pub write: bool,
    /// First address.
    pub address: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a run does, as far as it is traced and counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Data accesses in order.
    pub accesses: Vec<Access>,
    /// Lines of code in order, without immediate repetitions.
    pub lines: Vec<u64>,
    /// Instructions of the program and its way out.
    pub instructions: u64,
    /// Branches taken, likewise.
    pub branches: u64,
    /// Iterations of repeated string instructions.
    pub iterations: u64,
    /// Bytes moved by them.
    pub repeat_bytes: u64,
    /// Whether some branch was taken cannot be told.
    pub unclear: bool,
    /// Some addresses cannot be known, by design.
    pub approximate: bool,
}

impl Account {
    fn access(&mut self, write: bool, address: u64, bytes: u64) {
        let ours = (layout::STATE..layout::STATE + layout::STATE_BYTES).contains(&address);
        // The engine's own region stack: the way in and out.
        let way = address >= invar_engine::host::layout::ARENA;
        if !ours && !way && bytes != 0 {
            self.accesses.push(Access { write, address, bytes });
        }
    }

    fn touch(&mut self, touch: Touch, address: u64, bytes: u64) {
        if touch != Touch::Write {
            self.access(false, address, bytes);
        }
        if touch != Touch::Read {
            self.access(true, address, bytes);
        }
    }

    fn fetch(&mut self, address: u64, bytes: u64) {
        if !(layout::CODE..layout::CODE + 0x1000_0000).contains(&address) {
            return;
        }
        for line in address / LINE_BYTES..=(address + bytes - 1) / LINE_BYTES {
            if self.lines.last() != Some(&line) {
                self.lines.push(line);
            }
        }
    }
}

/// What the engine's trace says.
pub fn traced(meanings: &Meanings, trace: &[u64]) -> Account {
    let mut account = Account::default();
    let mut rest = trace;
    while let Some((&head, tail)) = rest.split_first() {
        let Path { first_op, exit } = meanings.paths[head as usize];
        let (slots, next) = tail.split_at(usize::from(exit.slots));
        rest = next;
        for op in &meanings.ops[first_op as usize..(first_op + exit.ops) as usize] {
            match op {
                Op::Fetch { address, bytes } => account.fetch(*address, u64::from(*bytes)),
                Op::Touch(operand) => {
                    let address = reference::address(operand, slots, layout::THREAD);
                    account.touch(operand.touch, address, u64::from(operand.bytes));
                }
                Op::Repeat(repeat) => {
                    let extent = reference::extent(repeat, slots, layout::THREAD);
                    for (touch, start) in [(repeat.source, extent.source), (repeat.target, extent.target)] {
                        if let Some(touch) = touch {
                            account.touch(touch, start, extent.bytes);
                        }
                    }
                }
            }
        }
    }
    account
}

/// What the reference drain counts for a trace, from empty caches.
pub fn drained(meanings: &Meanings, trace: &[u64]) -> Events {
    let mut caches = Hierarchy::new(&crate::host::run::machine());
    let mut events = Events::default();
    reference::drain(meanings, trace, layout::THREAD, &mut caches, &mut events, None);
    events += caches.take_events();
    events
}

/// What single steps say. `None` where they cannot be trusted: the program looks at the trap flag, changes its own
/// code or thread, or there were too many.
pub fn stepped(program: &Program, steps: &[Step], end: u64) -> Option<Account> {
    let code = program.code()?;
    let mut account = Account::default();
    let mut index = 0;
    while index < steps.len() {
        let step = &steps[index];
        let offset = step.at.checked_sub(program.at)? as usize;
        let instruction = decode(code.get(offset..)?, step.at);
        use Mnemonic::{Popf, Popfd, Popfq, Pushf, Pushfd, Pushfq, Syscall, Wrfsbase};
        if matches!(
            instruction.mnemonic(),
            Popf | Popfd | Popfq | Pushf | Pushfd | Pushfq | Syscall | Wrfsbase
        ) {
            return None;
        }
        // An iteration of a repeated instruction is a step of its own.
        let mut next = index + 1;
        let repeated = instruction.is_string_instruction()
            && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
        while repeated && steps.get(next).is_some_and(|other| other.at == step.at) {
            next += 1;
        }
        account.instructions += 1;
        account.fetch(step.at, instruction.len() as u64);
        let went_to = steps.get(next).map_or(end, |other| other.at);
        let branch = !matches!(instruction.flow_control(), FlowControl::Next);
        // Taken or not, it goes to the same place.
        account.unclear |= branch && instruction.near_branch_target() == instruction.next_ip();
        let always = branch && instruction.flow_control() != FlowControl::ConditionalBranch;
        if always || branch && went_to != instruction.next_ip() {
            account.branches += 1;
        }
        if repeated {
            repeat(&mut account, &instruction, step, steps.get(next)?);
        } else {
            touch(&mut account, &instruction, step);
        }
        index = next;
    }
    Some(account)
}

fn touch(account: &mut Account, instruction: &Instruction, step: &Step) {
    let mut factory = InstructionInfoFactory::new();
    for memory in factory.info(instruction).used_memory() {
        let (read, write) = match memory.access() {
            OpAccess::Read | OpAccess::CondRead => (true, false),
            OpAccess::Write | OpAccess::CondWrite => (false, true),
            OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
            OpAccess::None | OpAccess::NoMemAccess => continue,
        };
        let index = memory.index();
        let strange = index == Register::AL || index != Register::None && number(index).is_none();
        if strange || memory.memory_size().size() == 0 || is_bit_string(instruction) {
            account.approximate = true;
        }
        let address = address(memory, step);
        let bytes = memory.memory_size().size() as u64;
        if read {
            account.access(false, address, bytes);
        }
        if write {
            account.access(true, address, bytes);
        }
    }
}

/// `bt [memory], register` reaches as far as the register says.
pub fn is_bit_string(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
        && instruction.op0_kind() == OpKind::Memory
        && instruction.op1_kind() == OpKind::Register
}

fn value(register: Register, step: &Step) -> Option<u64> {
    match register {
        Register::FS => Some(layout::THREAD),
        Register::RIP | Register::EIP => Some(0),
        _ if register.is_segment_register() => Some(0),
        _ => {
            let whole = step.registers[number(register)?];
            Some(match register.size() {
                1 => whole & 0xff,
                2 => whole & 0xffff,
                4 => whole & 0xffff_ffff,
                _ => whole,
            })
        }
    }
}

fn address(memory: &UsedMemory, step: &Step) -> u64 {
    memory.virtual_address(0, |register, _, _| value(register, step)).unwrap_or(0)
}

fn repeat(account: &mut Account, instruction: &Instruction, before: &Step, after: &Step) {
    const RCX: usize = 1;
    let element: u64 = match instruction.memory_size().size() {
        0 => instruction.op0_register().size().max(1) as u64,
        bytes => bytes as u64,
    };
    let short = instruction_is_short(instruction);
    let mask = if short { u64::from(u32::MAX) } else { u64::MAX };
    let iterations = (before.registers[RCX] & mask).wrapping_sub(after.registers[RCX] & mask);
    account.iterations += iterations;
    account.repeat_bytes += iterations * element;
    for (register, pointer) in [(Register::RSI, 6), (Register::RDI, 7)] {
        let mut factory = InstructionInfoFactory::new();
        let used = factory
            .info(instruction)
            .used_memory()
            .iter()
            .find(|memory| memory.base().full_register() == register)
            .copied();
        let Some(memory) = used else { continue };
        let (start, end) = (before.registers[pointer] & mask, after.registers[pointer] & mask);
        let lowest = if end < start { end.wrapping_add(element) } else { start };
        let base = if memory.segment() == Register::FS { layout::THREAD } else { 0 };
        let write = matches!(memory.access(), OpAccess::Write | OpAccess::CondWrite);
        account.access(write, lowest.wrapping_add(base), iterations * element);
    }
}

fn instruction_is_short(instruction: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_memory().iter().any(|memory| memory.base().size() == 4)
}

/// Sentences on what differs.
pub fn differences(expected: &Account, found: &Account) -> Vec<String> {
    let mut sentences = Vec::new();
    if !expected.approximate && expected.accesses != found.accesses {
        let at = expected.accesses.iter().zip(&found.accesses).position(|(a, b)| a != b);
        let at = at.unwrap_or(expected.accesses.len().min(found.accesses.len()));
        let show = |account: &Account| {
            account.accesses.get(at).map_or("nothing".into(), |access| {
                let what = if access.write { "write" } else { "read" };
                format!("{what} of {} bytes at {:#x}", access.bytes, access.address)
            })
        };
        sentences.push(format!("access {at}: expected {}, traced {}", show(expected), show(found)));
    }
    if expected.lines != found.lines {
        sentences.push(format!("lines of code: expected {:x?}, traced {:x?}", expected.lines, found.lines));
    }
    sentences
}
