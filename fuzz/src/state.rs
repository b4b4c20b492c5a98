//! The state that a program starts from, and the one it ends with.

use iced_x86::Register;

use crate::host::memory::Memory;
use crate::host::run;
use crate::host::signals::{Fault, Step};
use crate::layout;
use crate::random::Random;

/// What a register is good for in addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Points into scratch or stack, clear of their ends.
    Pointer,
    /// Small enough to be scaled by eight and added to a pointer.
    Small,
    /// Anything.
    Any,
}

/// The state before the first instruction.
#[derive(Debug, Clone)]
pub struct Start {
    /// General registers by hardware number.
    pub registers: [u64; 16],
    /// What they are good for.
    pub kinds: [Kind; 16],
    /// Flags.
    pub flags: u64,
    /// Seed of vector registers and memory, which are made when they are needed.
    rest: Random,
}

/// The arithmetic flags and the direction flag.
const FLAGS: u64 = 0xcd5;

/// Stack pointer among the registers.
pub const RSP: usize = 4;

impl Start {
    /// One of chance.
    pub fn of(random: &mut Random) -> Start {
        let mut registers = [0; 16];
        let mut kinds = [Kind::Any; 16];
        for (register, kind) in registers.iter_mut().zip(&mut kinds) {
            (*register, *kind) = match random.below(10) {
                0..5 => (pointer(random), Kind::Pointer),
                5..7 => (random.below(64), Kind::Small),
                _ => (random.value(), Kind::Any),
            };
        }
        let stack = layout::STACK + layout::STACK_BYTES / 2 + 8 * random.below(64);
        registers[RSP] = if random.percent(3) { stack + random.below(8) } else { stack };
        kinds[RSP] = Kind::Pointer;
        let direction = if random.percent(10) { 0x400 } else { 0 };
        let flags = random.next() & FLAGS & !0x400 | direction | 2;
        Start { registers, kinds, flags, rest: Random::of(random.next(), 0) }
    }

    /// Puts everything in its place.
    pub fn write(&self, memory: &mut Memory, entry: u64) {
        let mut random = self.rest.clone();
        for (index, register) in self.registers.iter().enumerate() {
            memory.write(layout::REGISTERS_IN + 8 * index as u64, &register.to_le_bytes());
        }
        memory.write(layout::FLAGS_IN, &self.flags.to_le_bytes());
        memory.write(layout::ENTRY, &entry.to_le_bytes());
        memory.write(layout::EXIT, &run::exit_address().to_le_bytes());
        memory.write(layout::STATE + 0x220, &run::state_components().to_le_bytes());
        memory.write(layout::STATE + 0x224, &0x1f80_u32.to_le_bytes());
        for number in 0..layout::LOOPS_MAX as u64 {
            memory.write(layout::LOOPS + 4 * number, &(2 + random.below(4) as u32).to_le_bytes());
        }
        memory.write(layout::VECTORS_IN, &vectors(&mut random));
        memory.write(layout::VECTORS_OUT, &[0; layout::VECTORS_BYTES]);
        let mut bytes = vec![0; layout::SCRATCH_BYTES as usize];
        fill_memory(&mut random, &mut bytes);
        memory.write(layout::SCRATCH, &bytes);
        fill_memory(&mut random, &mut bytes);
        memory.write(layout::STACK, &bytes);
    }
}

impl std::fmt::Display for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, value) in self.registers.iter().enumerate() {
            let name = format!("{:?}", Register::RAX + number as u32).to_lowercase();
            let end = if number % 4 == 3 { "\n" } else { "" };
            write!(f, "  {name:>3} {value:#018x}{end}")?;
        }
        writeln!(f, "  flags {:#x}", self.flags)
    }
}

/// A random page, over and over with a stride that is no power of two: memory is filled once a run.
fn fill_memory(random: &mut Random, bytes: &mut [u8]) {
    let mut page = [0; 520];
    random.fill(&mut page);
    for chunk in bytes.chunks_mut(page.len()) {
        chunk.copy_from_slice(&page[..chunk.len()]);
    }
}

/// Into scratch, often aligned for vectors.
pub fn pointer(random: &mut Random) -> u64 {
    let middle = layout::SCRATCH + layout::SCRATCH_BYTES / 2;
    match random.below(4) {
        0 => middle + random.below(512),
        1 => middle + 8 * random.below(64),
        _ => middle + 64 * random.below(8),
    }
}

/// An `xsave` area for every component that is compared.
fn vectors(random: &mut Random) -> [u8; layout::VECTORS_BYTES] {
    let mut area = [0; layout::VECTORS_BYTES];
    let components = run::state_components();
    let small = random.percent(25);
    let lanes = |random: &mut Random, bytes: &mut [u8]| {
        for lane in bytes.chunks_mut(4) {
            let value = match random.below(8) {
                0 => 0x3f80_0000 + (random.below(0x0100_0000) as u32),
                1 => random.pick(&[0, 0x8000_0000, 0x7f80_0000, 0x7fc0_0000, 1, 0xffff_ffff]),
                2..5 if small => random.below(64) as u32,
                _ => random.next() as u32,
            };
            lane.copy_from_slice(&value.to_le_bytes()[..lane.len()]);
        }
    };
    // x87: masked exceptions nearly always; any rounding, any precision, any top of stack.
    let control = 0x037f_u16 & !(random.next() as u16 & 0x0f00) | random.next() as u16 & 0x0f00;
    area[0..2].copy_from_slice(&control.to_le_bytes());
    let top = (random.below(8) as u16) << 11;
    area[2..4].copy_from_slice(&top.to_le_bytes());
    area[4] = random.next() as u8;
    // MXCSR: the same; exceptions unmasked in a few of a hundred.
    let rounding = (random.next() as u32) & 0xe040;
    let unmasked = if random.percent(3) { (random.next() as u32) & 0x1f80 } else { 0 };
    area[24..28].copy_from_slice(&((0x1f80 ^ unmasked) | rounding).to_le_bytes());
    for register in 0..8 {
        let at = 32 + 16 * register;
        lanes(random, &mut area[at..at + 8]);
        let exponent = random.pick(&[0x3fff, 0x4000, 0xbfff, 0, 0x7fff, 0x4010]);
        area[at + 8..at + 10].copy_from_slice(&u16::to_le_bytes(exponent));
        if exponent != 0 {
            area[at + 7] |= 0x80;
        }
    }
    lanes(random, &mut area[160..416]);
    area[512..520].copy_from_slice(&u64::from(components).to_le_bytes());
    for component in [2, 5, 6, 7] {
        if components & 1 << component != 0 {
            let [bytes, offset, ..] = invar_engine::host::gate::cpuid(0xd, component);
            lanes(random, &mut area[offset as usize..(offset + bytes) as usize]);
        }
    }
    area
}

/// The state after the last instruction, or at a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What its handler has seen, if it has seen the program.
    pub seen: Option<Step>,
    /// General registers; zero after a fault.
    pub registers: [u64; 16],
    /// Flags; zero after a fault.
    pub flags: u64,
    /// The `xsave` area without what depends on the code's place; empty after a fault.
    pub vectors: Vec<u8>,
    /// Scratch.
    pub scratch: Vec<u8>,
    /// The stack.
    pub stack: Vec<u8>,
}

impl End {
    /// What is in memory now.
    pub fn read(memory: &Memory, fault: Option<Fault>) -> End {
        let signal = fault.map(|fault| fault.signal);
        let seen = fault.and_then(|fault| fault.state);
        let mut scratch = vec![0; layout::SCRATCH_BYTES as usize];
        memory.read(layout::SCRATCH, &mut scratch);
        let mut stack = vec![0; layout::STACK_BYTES as usize];
        memory.read(layout::STACK, &mut stack);
        if signal.is_some() {
            return End { signal, seen, registers: [0; 16], flags: 0, vectors: Vec::new(), scratch, stack };
        }
        let word = |index: usize| memory.read_word(layout::REGISTERS_OUT + 8 * index as u64);
        let mut vectors = vec![0; layout::VECTORS_BYTES];
        memory.read(layout::VECTORS_OUT, &mut vectors);
        if vectors[512] & 1 == 0 {
            // x87 in its initial state is not written.
            vectors[0..24].fill(0);
            vectors[0..2].copy_from_slice(&0x037f_u16.to_le_bytes());
        }
        vectors[6..24].fill(0); // Opcode and addresses of the last x87 instruction.
        vectors[464..512].fill(0); // The processor's maker's own.
        vectors[512..576].fill(0); // Which components are in their initial state.
        End {
            signal,
            seen,
            registers: core::array::from_fn(word),
            flags: memory.read_word(layout::FLAGS_OUT) & !0x100,
            vectors,
            scratch,
            stack,
        }
    }

    /// Sentences on what differs, nothing if they agree. Flags that the manuals leave undefined are compared
    /// as well: the same instruction on the same processor leaves the same.
    pub fn differences(&self, translated: &End) -> Vec<String> {
        let mut found = Vec::new();
        if self.signal != translated.signal {
            let name =
                |signal: Option<i32>| signal.map_or("no signal".into(), |number| format!("signal {number}"));
            found.push(format!("natively {}, translated {}", name(self.signal), name(translated.signal)));
            return found;
        }
        if let (Some(native), Some(other)) = (&self.seen, &translated.seen) {
            if native.at != other.at {
                found.push(format!("fault: natively at {:#x}, translated at {:#x}", native.at, other.at));
            }
            compare_registers("at the fault, ", &native.registers, &other.registers, &mut found);
        }
        compare_registers("", &self.registers, &translated.registers, &mut found);
        if self.flags != translated.flags {
            let (native, other) = (self.flags, translated.flags);
            found.push(format!("flags: natively {native:#x}, translated {other:#x}"));
        }
        for (name, native, other, base) in [
            ("vector state", &self.vectors, &translated.vectors, 0),
            ("scratch", &self.scratch, &translated.scratch, layout::SCRATCH),
            ("stack", &self.stack, &translated.stack, layout::STACK),
        ] {
            if let Some(at) = native.iter().zip(other).position(|(native, other)| native != other) {
                let end = (at + 8).min(native.len());
                found.push(format!(
                    "{name} at {:#x}: natively {:02x?}, translated {:02x?}",
                    base + at as u64,
                    &native[at..end],
                    &other[at..end]
                ));
            }
        }
        found
    }
}

fn compare_registers(when: &str, native: &[u64; 16], translated: &[u64; 16], found: &mut Vec<String>) {
    for (number, (native, other)) in native.iter().zip(translated).enumerate() {
        if native != other {
            let name = Register::RAX + number as u32;
            found.push(format!("{when}{name:?}: natively {native:#x}, translated {other:#x}"));
        }
    }
}
