//! Which instructions make a superblock: the path from its head, and how it ends.

use alloc::vec::Vec;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpAccess, Register};

use super::{Special, registers};

/// Calls are followed so deep.
pub const CALLS_MAX: usize = 4;

/// How far a path goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// It ends after so many instructions.
    pub instructions: usize,
    /// It ends after so many conditional branches.
    pub branches: usize,
    /// It passes an address so often: loops are unrolled.
    pub visits: usize,
}

/// While nothing is known about where branches go.
pub const SHORT: Reach = Reach { instructions: 64, branches: 12, visits: 1 };
/// Where it was seen.
pub const LONG: Reach = Reach { instructions: 128, branches: 24, visits: 3 };

/// Reads the guest's code.
pub trait Source {
    /// The bytes at `address` that may be executed, as far as they are contiguous and of one kind; `None` where nothing
    /// may be.
    fn code(&self, address: u64) -> Option<&[u8]>;

    /// May the code at `address` change at any store?
    fn is_volatile(&self, address: u64) -> bool;

    /// May both be in one superblock? Code that can change is forgotten by itself, so it stays by itself.
    fn alike(&self, one: u64, other: u64) -> bool;
}

/// One instruction of the path.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Decoded.
    pub instruction: Instruction,
    /// Its bytes.
    pub bytes: [u8; 15],
}

impl Step {
    /// The instruction's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.instruction.len()]
    }
}

/// How the path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At an address: the path was cut there.
    Direct {
        /// Guest address.
        target: u64,
    },
    /// The last step is a direct call.
    Call {
        /// Guest address.
        target: u64,
    },
    /// The last step is an indirect jump.
    IndirectJump,
    /// The last step is an indirect call.
    IndirectCall,
    /// The last step is a return.
    Return,
    /// The last step is answered by the runtime.
    Special(Special),
    /// At a function of the vdso that tells the time, which the runtime answers instead.
    Clock {
        /// Guest address.
        at: u64,
    },
    /// At an address whose instruction the engine does not know: natively from there.
    Unknown {
        /// Guest address.
        at: u64,
    },
}

/// A superblock before it is translated.
#[derive(Debug, Clone)]
pub struct Path {
    /// Its instructions. Direct jumps and calls that were followed are among them, and returns from such calls.
    pub steps: Vec<Step>,
    /// How it ends.
    pub end: End,
    /// Which of its conditional branches are followed where they are taken, the first of them in the lowest bit.
    pub taken: u32,
}

/// The path from `head`, or `None` where nothing may be executed. Conditional branches are followed where they are taken if
/// `is_taken` says so of the branch by its number on the path and its address.
///
/// Where the code can be written while it is executed the path ends at the first branch, and after the first write to
/// memory, so that no instruction is stale when it is reached.
pub fn trace_path(
    source: &impl Source,
    head: u64,
    reach: Reach,
    is_taken: impl Fn(usize, u64) -> bool,
) -> Option<Path> {
    source.code(head)?;
    let cautious = source.is_volatile(head);
    let mut steps: Vec<Step> = Vec::with_capacity(reach.instructions);
    // Where it has jumped to.
    let mut visited: Vec<u64> = Vec::new();
    let mut calls: Vec<u64> = Vec::new();
    let mut branches = 0;
    let mut taken = 0;
    let mut at = head;
    let follows = |target| !cautious && source.code(target).is_some() && source.alike(head, target);
    // At what lies straight ahead, if it was looked at already.
    let mut ahead: Option<(Decoder<'_>, &[u8])> = None;
    loop {
        // Only who jumps comes back to where the path has been.
        let been_here =
            ahead.is_none() && visited.iter().filter(|&&visited| visited == at).count() >= reach.visits;
        if steps.len() == reach.instructions || been_here {
            return Some(Path { steps, end: End::Direct { target: at }, taken });
        }
        let (decoder, code) = match &mut ahead {
            Some(ahead) if ahead.0.can_decode() => ahead,
            _ => {
                // At the end of what may be executed the path is cut; whoever gets there takes the guest's own fault.
                let Some(code) = source.code(at).filter(|_| source.alike(head, at)) else {
                    return Some(Path { steps, end: End::Direct { target: at }, taken });
                };
                visited.push(at);
                ahead.insert((Decoder::with_ip(64, code, at, DecoderOptions::NONE), code))
            }
        };
        let start = decoder.position();
        let instruction = decoder.decode();
        if instruction.is_invalid() || !is_known(&instruction) {
            return Some(Path { steps, end: End::Unknown { at }, taken });
        }
        let mut bytes = [0; 15];
        bytes[..instruction.len()].copy_from_slice(&code[start..][..instruction.len()]);
        steps.push(Step { instruction, bytes });
        at = instruction.next_ip();
        let end = match instruction.flow_control() {
            FlowControl::Next => match special(&instruction) {
                Some(special) => End::Special(special),
                None if cautious && writes_memory(&instruction) => End::Direct { target: at },
                None => continue,
            },
            FlowControl::UnconditionalBranch => {
                at = instruction.near_branch_target();
                if follows(at) {
                    ahead = None;
                    continue;
                }
                End::Direct { target: at }
            }
            FlowControl::ConditionalBranch => {
                let target = instruction.near_branch_target();
                // The others cannot be turned round.
                if instruction.is_jcc_short_or_near()
                    && is_taken(branches, instruction.ip())
                    && follows(target)
                {
                    taken |= 1 << branches;
                    at = target;
                    ahead = None;
                }
                branches += 1;
                if branches < reach.branches && !cautious {
                    continue;
                }
                End::Direct { target: at }
            }
            FlowControl::Call if instruction.mnemonic() == Mnemonic::Syscall => {
                End::Special(Special::SystemCall)
            }
            FlowControl::Call => {
                let target = instruction.near_branch_target();
                if calls.len() < CALLS_MAX && follows(target) {
                    calls.push(at);
                    at = target;
                    ahead = None;
                    continue;
                }
                End::Call { target }
            }
            FlowControl::IndirectBranch => End::IndirectJump,
            FlowControl::IndirectCall => End::IndirectCall,
            FlowControl::Return => match calls.pop() {
                Some(caller) => {
                    at = caller;
                    ahead = None;
                    continue;
                }
                None => End::Return,
            },
            // `is_known` has refused these.
            FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => {
                steps.pop();
                End::Unknown { at: instruction.ip() }
            }
        };
        return Some(Path { steps, end, taken });
    }
}

fn special(instruction: &Instruction) -> Option<Special> {
    match instruction.mnemonic() {
        Mnemonic::Cpuid => Some(Special::Cpuid),
        Mnemonic::Xgetbv => Some(Special::Xgetbv),
        Mnemonic::Wrfsbase => Some(Special::FsBaseChanged),
        Mnemonic::Rdtsc => Some(Special::TimeStamp { processor: false }),
        Mnemonic::Rdtscp => Some(Special::TimeStamp { processor: true }),
        Mnemonic::Rdrand | Mnemonic::Rdseed => {
            let register = instruction.op0_register();
            Some(Special::Random { register: registers::number(register)?, bytes: register.size() as u8 })
        }
        _ => None,
    }
}

/// Can the engine copy it? Far transfers, interrupts, transactions, privileged instructions and everything about
/// `gs`, which the engine uses itself, are left to run natively.
fn is_known(instruction: &Instruction) -> bool {
    let gs = instruction.segment_prefix() == Register::GS
        || (0..instruction.op_count()).any(|operand| {
            instruction.op_kind(operand) == iced_x86::OpKind::Register
                && instruction.op_register(operand) == Register::GS
        });
    if gs || instruction.is_privileged() {
        return false;
    }
    match instruction.flow_control() {
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => return false,
        FlowControl::UnconditionalBranch => return instruction.is_jmp_short_or_near(),
        FlowControl::IndirectBranch => return instruction.code() == Code::Jmp_rm64,
        FlowControl::IndirectCall => return instruction.code() == Code::Call_rm64,
        FlowControl::Return => {
            return matches!(instruction.code(), Code::Retnq | Code::Retnq_imm16);
        }
        FlowControl::Call => {
            return matches!(instruction.code(), Code::Syscall | Code::Call_rel32_64);
        }
        FlowControl::ConditionalBranch => return has_plain_condition(instruction),
        FlowControl::Next => {}
    }
    !matches!(
        instruction.mnemonic(),
        Mnemonic::Rdgsbase
            | Mnemonic::Wrgsbase
            | Mnemonic::Swapgs
            | Mnemonic::Iret
            | Mnemonic::Iretd
            | Mnemonic::Iretq
            | Mnemonic::Sysenter
            | Mnemonic::Sysret
            | Mnemonic::Sysexit
            | Mnemonic::Xabort
            | Mnemonic::Xend
            | Mnemonic::Senduipi
            | Mnemonic::Uiret
            | Mnemonic::Lgs
    )
}

/// A conditional branch whose operand size is the usual one.
fn has_plain_condition(instruction: &Instruction) -> bool {
    let code = instruction.code();
    instruction.is_jcc_short_or_near() && !matches!(instruction.op0_kind(), iced_x86::OpKind::NearBranch16)
        || matches!(
            code,
            Code::Jrcxz_rel8_64
                | Code::Jecxz_rel8_64
                | Code::Loop_rel8_64_RCX
                | Code::Loop_rel8_64_ECX
                | Code::Loope_rel8_64_RCX
                | Code::Loope_rel8_64_ECX
                | Code::Loopne_rel8_64_RCX
                | Code::Loopne_rel8_64_ECX
        )
}

fn writes_memory(instruction: &Instruction) -> bool {
    let mut factory = iced_x86::InstructionInfoFactory::new();
    factory.info(instruction).used_memory().iter().any(|memory| {
        matches!(
            memory.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    })
}

/// Are the arithmetic flags overwritten on this path before anything reads them, whichever way it is left?
pub fn flags_are_dead(path: &Path) -> bool {
    use iced_x86::RflagsBits;
    const STATUS: u32 =
        RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;
    let mut killed = 0;
    for step in &path.steps {
        let instruction = &step.instruction;
        if instruction.rflags_read() & STATUS & !killed != 0 {
            return false;
        }
        let stays = [FlowControl::Next, FlowControl::UnconditionalBranch, FlowControl::Call];
        if !stays.contains(&instruction.flow_control()) {
            return false;
        }
        if always_writes_flags(instruction) {
            killed |= surely_written(instruction) & STATUS;
        }
        if killed == STATUS {
            return true;
        }
    }
    false
}

/// The flags that an instruction changes on every processor. What the manuals leave undefined some keep (AMD's after `bsr`),
/// but for the adjust flag of logic, which comes at so many heads and is cleared by all.
fn surely_written(instruction: &Instruction) -> u32 {
    let defined = instruction.rflags_written() | instruction.rflags_cleared() | instruction.rflags_set();
    let logic =
        matches!(instruction.mnemonic(), Mnemonic::And | Mnemonic::Or | Mnemonic::Xor | Mnemonic::Test);
    if logic { defined | iced_x86::RflagsBits::AF } else { defined }
}

/// Shifts and rotates by zero, and repeats of nothing, keep the flags.
fn always_writes_flags(instruction: &Instruction) -> bool {
    let shift = matches!(
        instruction.mnemonic(),
        Mnemonic::Shl
            | Mnemonic::Sal
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Rol
            | Mnemonic::Ror
            | Mnemonic::Rcl
            | Mnemonic::Rcr
            | Mnemonic::Shld
            | Mnemonic::Shrd
    );
    !shift && !instruction.is_string_instruction()
}
