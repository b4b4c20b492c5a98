//! One instruction of chance: bytes in the shape of the manuals' encodings, kept if the decoder knows them and they may
//! be run.

use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, Register,
};

use super::{Fix, Item, Target};
use crate::layout;
use crate::random::Random;
use crate::state::{Kind, RSP};

/// What the registers are good for at this point of the program.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge {
    /// By hardware number.
    pub kinds: [Kind; 16],
}

impl Knowledge {
    /// A register that is good for it, if there is one.
    pub fn some(&self, random: &mut Random, kind: Kind) -> Option<u8> {
        let good: Vec<u8> = (0..16).filter(|&number| self.kinds[usize::from(number)] == kind).collect();
        (!good.is_empty()).then(|| random.pick(&good))
    }

    /// What holds after an instruction: what it writes may be anything.
    pub fn after(&mut self, instruction: &Instruction) {
        for used in InstructionInfoFactory::new().info(instruction).used_registers() {
            let written = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            if let (Some(number), true) = (number(used.register()), written) {
                let stack = number == RSP && instruction.stack_pointer_increment() != 0;
                if !stack {
                    self.kinds[number] = Kind::Any;
                }
            }
        }
    }
}

/// The hardware number of the general register that `register` is or is a part of.
pub fn number(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

/// An instruction that does not branch. Its memory operands nearly always lie in scratch or on the stack.
pub fn make(random: &mut Random, knowledge: &mut Knowledge) -> Item {
    loop {
        let Made { mut bytes, ip_relative } = encode(random, knowledge);
        let instruction = decode(&bytes, 0x1000);
        if instruction.is_invalid() {
            continue;
        }
        bytes.truncate(instruction.len());
        let relative = instruction.is_ip_rel_memory_operand();
        if !is_wanted(&instruction) || relative != ip_relative.is_some() {
            continue;
        }
        if !host_has(&instruction) && !random.percent(2) {
            continue;
        }
        let writes_stack_pointer = instruction.stack_pointer_increment() == 0 && writes(&instruction, RSP);
        if writes_stack_pointer && !random.percent(3) {
            continue;
        }
        if !relative && !is_in_reach(&instruction, knowledge) && !random.percent(2) {
            continue;
        }
        knowledge.after(&instruction);
        let fix = ip_relative.map(|offset| Fix { offset, width: 4, target: scratch_target(random) });
        return Item { bytes, fix };
    }
}

/// Decodes one instruction.
pub fn decode(bytes: &[u8], at: u64) -> Instruction {
    Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode()
}

/// Does it write the general register of this number?
pub fn writes(instruction: &Instruction, register: usize) -> bool {
    InstructionInfoFactory::new().info(instruction).used_registers().iter().any(|used| {
        number(used.register()) == Some(register)
            && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead)
    })
}

struct Made {
    bytes: Vec<u8>,
    /// Offset of the displacement of an operand relative to the instruction pointer.
    ip_relative: Option<usize>,
}

/// The register bits of an instruction that stand in a prefix.
#[derive(Default)]
struct High {
    reg: u8,
    index: u8,
    base: u8,
}

fn encode(random: &mut Random, knowledge: &Knowledge) -> Made {
    let mut bytes = Vec::with_capacity(32);
    let mut high = High { reg: random.below(2) as u8, ..High::default() };
    let operand = operand(random, knowledge, &mut high);
    let kind = random.below(100);
    let vectors_512 = crate::host::run::state_components() & 0xe0 != 0;
    if random.percent(5) {
        bytes.push(0x64);
    } else if random.percent(3) {
        bytes.push(random.pick(&[0x2e, 0x36, 0x3e, 0x26]));
    }
    if random.percent(3) {
        bytes.push(0x67);
    }
    if kind < 55 {
        if random.percent(15) {
            bytes.push(0x66);
        }
        match random.below(100) {
            0..10 => bytes.push(0xf3),
            10..18 => bytes.push(0xf2),
            18..24 => bytes.push(0xf0),
            _ => {}
        }
        let wide = u8::from(random.percent(50));
        let rex = 0x40 | wide << 3 | high.reg << 2 | high.index << 1 | high.base;
        if rex != 0x40 || random.percent(10) {
            bytes.push(rex);
        }
        match random.below(100) {
            0..40 => {}
            40..85 => bytes.push(0x0f),
            85..94 => bytes.extend([0x0f, 0x38]),
            _ => bytes.extend([0x0f, 0x3a]),
        }
        bytes.push(random.next() as u8);
    } else if kind < 92 || !vectors_512 && !random.percent(5) {
        let map = random.pick(&[1, 1, 2, 2, 3]);
        let vvvv = if random.percent(40) { 15 } else { random.below(16) as u8 };
        let (wide, long, pp) = (random.below(2) as u8, random.below(2) as u8, random.below(4) as u8);
        let (reg, index, base) = (high.reg ^ 1, high.index ^ 1, high.base ^ 1);
        if map == 1 && index == 1 && base == 1 && wide == 0 && random.percent(70) {
            bytes.extend([0xc5, reg << 7 | vvvv << 3 | long << 2 | pp]);
        } else {
            bytes.extend([
                0xc4,
                reg << 7 | index << 6 | base << 5 | map,
                wide << 7 | vvvv << 3 | long << 2 | pp,
            ]);
        }
        bytes.push(random.next() as u8);
    } else {
        let map = random.pick(&[1, 1, 2, 2, 3]);
        let vvvv = if random.percent(40) { 15 } else { random.below(16) as u8 };
        let (reg, index, base) = (high.reg ^ 1, high.index ^ 1, high.base ^ 1);
        bytes.push(0x62);
        bytes.push(reg << 7 | index << 6 | base << 5 | (random.below(2) as u8) << 4 | map);
        bytes.push((random.below(2) as u8) << 7 | vvvv << 3 | 4 | random.below(4) as u8);
        bytes.push((random.next() as u8) & 0xf7 | 8);
        bytes.push(random.next() as u8);
    }
    let ip_relative = operand.ip_relative.then_some(bytes.len() + 1);
    bytes.extend(&operand.bytes);
    // Immediates, and whatever else the opcode wants.
    let immediate = random.value();
    bytes.extend(immediate.to_le_bytes());
    Made { bytes, ip_relative }
}

/// ModRM, SIB and displacement.
struct Operand {
    bytes: Vec<u8>,
    ip_relative: bool,
}

/// A memory operand, for instructions that the caller makes.
#[derive(Debug, Clone)]
pub struct MemoryOperand {
    /// The REX bits that it needs.
    rex: u8,
    /// ModRM without a register, SIB, displacement.
    bytes: Vec<u8>,
    /// What it points at, if it is relative to the instruction pointer.
    target: Option<Target>,
}

impl MemoryOperand {
    /// One of chance, in scratch or on the stack.
    pub fn of(random: &mut Random, knowledge: &Knowledge) -> MemoryOperand {
        loop {
            let mut high = High::default();
            let mut operand = operand(random, knowledge, &mut high);
            if operand.bytes[0] >> 6 != 3 {
                operand.bytes[0] &= 0xc7;
                let rex = high.index << 1 | high.base;
                let target = operand.ip_relative.then(|| scratch_target(random));
                return MemoryOperand { rex, bytes: operand.bytes, target };
            }
        }
    }

    /// `opcode` with `reg` (a register or an extension of the opcode), behind `prefixes`; REX.W if `wide`.
    pub fn item(&self, prefixes: &[u8], wide: u8, opcode: u8, reg: u8) -> Item {
        let mut bytes = prefixes.to_vec();
        bytes.extend([0x40 | wide << 3 | reg >> 3 << 2 | self.rex, opcode]);
        let offset = bytes.len() + 1;
        bytes.push(self.bytes[0] | (reg & 7) << 3);
        bytes.extend(&self.bytes[1..]);
        Item { bytes, fix: self.target.map(|target| Fix { offset, width: 4, target }) }
    }
}

fn scratch_target(random: &mut Random) -> Target {
    Target::Address(layout::SCRATCH + layout::CLEAR + 8 * random.below(1024))
}

fn operand(random: &mut Random, knowledge: &Knowledge, high: &mut High) -> Operand {
    let reg = (random.below(8) as u8) << 3;
    let plain = |bytes: Vec<u8>| Operand { bytes, ip_relative: false };
    if random.percent(35) {
        high.base = random.below(2) as u8;
        high.index = u8::from(random.percent(10));
        return plain(vec![0xc0 | reg | random.below(8) as u8]);
    }
    let near = |random: &mut Random| {
        let distance = random.below(0x800) as i32 - 0x400;
        if random.percent(60) { distance & !63 } else { distance }
    };
    match random.below(100) {
        0..10 => {
            let mut bytes = vec![reg | 5];
            bytes.extend([0; 4]);
            Operand { bytes, ip_relative: true }
        }
        10..15 => {
            let absolute = layout::SCRATCH + layout::SCRATCH_BYTES / 2;
            let mut bytes = vec![reg | 4, 0x25];
            bytes.extend((absolute as i32 + near(random)).to_le_bytes());
            plain(bytes)
        }
        _ => {
            let base = match random.below(10) {
                0 => RSP as u8,
                1 if knowledge.kinds[11] == Kind::Pointer => 11,
                _ => knowledge.some(random, Kind::Pointer).unwrap_or(RSP as u8),
            };
            high.base = base >> 3;
            let index = knowledge.some(random, Kind::Small).filter(|&index| index != 4 && random.percent(35));
            let mut bytes = Vec::new();
            let displacement = match random.below(3) {
                0 => 0,
                1 => near(random) as i8 as i32 & !15,
                _ => near(random),
            };
            let form = match displacement {
                0 if base & 7 != 5 => 0,
                -128..128 => 1,
                _ => 2,
            };
            let sib = index.is_some() || base & 7 == 4 || random.percent(10);
            if sib {
                let index_number = index.unwrap_or(4);
                high.index = index_number >> 3;
                let scale = if index.is_some() { random.below(4) as u8 } else { 0 };
                bytes.push(form << 6 | reg | 4);
                bytes.push(scale << 6 | (index_number & 7) << 3 | base & 7);
            } else {
                bytes.push(form << 6 | reg | base & 7);
            }
            match form {
                0 => {}
                1 => bytes.push(displacement as i8 as u8),
                _ => bytes.extend(displacement.to_le_bytes()),
            }
            plain(bytes)
        }
    }
}

/// Do its memory operands lie in memory of programs, as far as can be known?
fn is_in_reach(instruction: &Instruction, knowledge: &Knowledge) -> bool {
    let bit_string =
        matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
            && instruction.op1_kind() == iced_x86::OpKind::Register
            && instruction.op0_kind() == iced_x86::OpKind::Memory;
    if bit_string && number(instruction.op1_register()).is_none_or(|bit| knowledge.kinds[bit] != Kind::Small)
    {
        return false;
    }
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_memory().iter().all(|memory| {
        let kind = |register: Register| number(register).map(|number| knowledge.kinds[number]);
        let fs = memory.segment() == Register::FS;
        let base = match kind(memory.base()) {
            Some(Kind::Pointer) => !fs,
            Some(Kind::Small) => fs,
            Some(Kind::Any) => false,
            None => !fs || memory.displacement() < 0x800,
        };
        let index = match kind(memory.index()) {
            Some(kind) => kind == Kind::Small,
            None => true,
        };
        base && index
    })
}

/// May it be run? Not what branches (that is [`super::shapes`]'s business), what answers differently each time, what
/// the Machine answers instead of the host, what writes the address of code, and what the engine leaves alone by design.
fn is_wanted(instruction: &Instruction) -> bool {
    if instruction.flow_control() != FlowControl::Next || instruction.segment_prefix() == Register::GS {
        return false;
    }
    let repeated = instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
    if repeated {
        return false;
    }
    let segment = (0..instruction.op_count()).any(|operand| {
        instruction.op_kind(operand) == iced_x86::OpKind::Register
            && instruction.op_register(operand).is_segment_register()
    });
    if segment {
        return false;
    }
    // `f3 41 90` is `pause` to the decoder and `xchg r8d, eax` to processors; nobody writes it.
    if instruction.mnemonic() == Mnemonic::Pause && instruction.len() > 2 {
        return false;
    }
    // `mov al, [address of 64 bits]` may name the engine's own memory.
    let arena = invar_engine::host::layout::ARENA;
    let absolute = instruction.memory_base() == Register::None && !instruction.is_ip_rel_memory_operand();
    if absolute && (arena..arena << 1).contains(&instruction.memory_displacement64()) {
        return false;
    }
    use Mnemonic::*;
    !matches!(
        instruction.mnemonic(),
        Rdtsc | Rdtscp | Rdrand | Rdseed | Rdpid | Rdpmc | Rdpru // another answer each time
            | Cpuid | Xgetbv // the Machine's answer
            | Fnsave | Fnstenv | Fxsave | Fxsave64 | Xsave | Xsave64 | Xsavec | Xsavec64 | Xsaveopt // the code's address
            | Xsaveopt64 | Xsaves | Xsaves64
            | Rdgsbase | Wrgsbase | Swapgs | Wrfsbase // the engine's segment, and the fuzzer's
            | Lds | Les | Lfs | Lgs | Lss
            | Popf | Popfd | Popfq | Pushf | Pushfd | Pushfq // made by shapes, with flags that may be set
            | Wrpkru | Monitor | Monitorx | Mwait | Mwaitx | Umonitor | Umwait | Tpause // would wait or lock out
            | Vmcall | Vmmcall | Vmgexit | Vmrun | Vmlaunch | Vmresume | Getsec | Encls | Enclu | Enclv | Tdcall
            | Lsl // of a segment whose limit is the number of the processor
            | Sgdt | Sidt | Sldt | Str | Smsw // answered by the kernel, which looks at the code
            | Enqcmd | Enqcmds | Ptwrite | Rdsspd | Rdsspq | Incsspd | Incsspq | Rstorssp | Setssbsy | Clrssbsy
            | Senduipi | Uiret | Testui | Stui | Clui | Xabort | Xbegin | Xend | Clac | Stac
    )
}

/// Does this host have the instruction? Others fault on both sides, which is soon tested enough.
fn host_has(instruction: &Instruction) -> bool {
    use std::arch::is_x86_feature_detected as has;
    instruction.cpuid_features().iter().all(|feature| match feature {
        CpuidFeature::AVX => has!("avx"),
        CpuidFeature::AVX2 => has!("avx2"),
        CpuidFeature::FMA => has!("fma"),
        CpuidFeature::F16C => has!("f16c"),
        CpuidFeature::BMI1 => has!("bmi1"),
        CpuidFeature::BMI2 => has!("bmi2"),
        CpuidFeature::LZCNT => has!("lzcnt"),
        CpuidFeature::ADX => has!("adx"),
        CpuidFeature::MOVBE => has!("movbe"),
        CpuidFeature::AES => has!("aes"),
        CpuidFeature::PCLMULQDQ => has!("pclmulqdq"),
        CpuidFeature::VAES => has!("vaes"),
        CpuidFeature::VPCLMULQDQ => has!("vpclmulqdq"),
        CpuidFeature::GFNI => has!("gfni"),
        CpuidFeature::SHA => has!("sha"),
        CpuidFeature::SSE4A => has!("sse4a"),
        CpuidFeature::AVX512F => has!("avx512f"),
        CpuidFeature::AVX512VL => has!("avx512vl"),
        CpuidFeature::AVX512BW => has!("avx512bw"),
        CpuidFeature::AVX512DQ => has!("avx512dq"),
        CpuidFeature::AVX512CD => has!("avx512cd"),
        CpuidFeature::AVX512_VBMI => has!("avx512vbmi"),
        CpuidFeature::AVX512_VBMI2 => has!("avx512vbmi2"),
        CpuidFeature::AVX512_VNNI => has!("avx512vnni"),
        CpuidFeature::AVX512_BITALG => has!("avx512bitalg"),
        CpuidFeature::AVX512_IFMA => has!("avx512ifma"),
        CpuidFeature::AVX512_VPOPCNTDQ => has!("avx512vpopcntdq"),
        CpuidFeature::AVX512_BF16 => has!("avx512bf16"),
        other => {
            let name = format!("{other:?}");
            const NEVER: [&str; 26] = [
                "AVX", "AMX", "APX", "XOP", "FMA4", "TBM", "LWP", "D3NOW", "MPX", "CET", "SGX", "VMX", "SVM",
                "KL", "AESKLE", "RTM", "HLE", "PADLOCK", "SM2", "KNC", "UINTR", "SHA512", "SM3", "SM4",
                "MOVDIR", "RAO",
            ];
            !NEVER.iter().any(|prefix| name.starts_with(prefix)) && !instruction.is_privileged()
        }
    })
}
