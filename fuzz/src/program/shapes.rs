//! Items that belong together: what a compiler would write, and branches, which all stay in the program.

use super::generate::Builder;
use super::instruction::MemoryOperand;
use super::{Item, Target};
use crate::layout;
use crate::random::Random;
use crate::state::{Kind, RSP, pointer};

const RCX: u8 = 1;
const RSI: u8 = 6;
const RDI: u8 = 7;

/// `rex.w opcode modrm` with both operands registers.
pub fn registers(opcode: u8, reg: u8, rm: u8) -> Vec<u8> {
    vec![0x48 | reg >> 3 << 2 | rm >> 3, opcode, 0xc0 | (reg & 7) << 3 | rm & 7]
}

/// `mov register, value`
fn load(register: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![0x48 | register >> 3, 0xb8 | register & 7];
    bytes.extend(value.to_le_bytes());
    bytes
}

/// `rex.w opcode reg, [base + displacement]`
fn based(opcode: u8, reg: u8, base: u8, displacement: i32) -> Vec<u8> {
    let mut bytes = vec![0x48 | reg >> 3 << 2 | base >> 3, opcode, 0x80 | (reg & 7) << 3 | base & 7];
    if base & 7 == 4 {
        bytes.push(0x24);
    }
    bytes.extend(displacement.to_le_bytes());
    bytes
}

/// A register other than the stack pointer.
fn register(random: &mut Random) -> u8 {
    if random.percent(20) {
        return 11;
    }
    loop {
        let number = random.below(16) as u8;
        if usize::from(number) != RSP {
            return number;
        }
    }
}

/// Gives a register a pointer again.
pub fn reload(builder: &mut Builder, random: &mut Random) {
    let number = register(random);
    let (value, kind) =
        if random.percent(70) { (pointer(random), Kind::Pointer) } else { (random.below(64), Kind::Small) };
    builder.push(Item::plain(load(number, value)));
    builder.knowledge.kinds[usize::from(number)] = kind;
}

/// What moves pointers about: the engine follows these by value.
pub fn pointer_arithmetic(builder: &mut Builder, random: &mut Random) {
    let Some(from) = builder.knowledge.some(random, Kind::Pointer) else { return reload(builder, random) };
    let to = register(random);
    let small = random.below(256) as i32 - 128;
    let kind = match random.below(9) {
        0 => {
            builder.push(Item::plain(registers(0x89, from, to)));
            Kind::Pointer
        }
        1 => {
            builder.push(Item::plain(registers(0x8b, to, from)));
            Kind::Pointer
        }
        2 | 3 => {
            builder.push(Item::plain(based(0x8d, to, from, small)));
            Kind::Pointer
        }
        4 => {
            // add or sub from, imm8
            let operation = random.pick(&[0u8, 5]);
            let bytes =
                vec![0x48 | from >> 3, 0x83, 0xc0 | operation << 3 | from & 7, small as i8 as u8 & 0xf8];
            builder.push(Item::plain(bytes));
            return;
        }
        5 => {
            let operation = random.pick(&[0u8, 5]);
            let mut bytes = vec![0x48 | from >> 3, 0x81, 0xc0 | operation << 3 | from & 7];
            bytes.extend(small.to_le_bytes());
            builder.push(Item::plain(bytes));
            return;
        }
        6 => {
            // The upper half is cleared: pointers are short here, so it stays one.
            let bytes = vec![0x40 | to >> 3 << 2 | from >> 3, 0x8b, 0xc0 | (to & 7) << 3 | from & 7];
            builder.push(Item::plain(bytes));
            Kind::Pointer
        }
        7 => {
            if usize::from(from) == RSP {
                return;
            }
            builder.push(Item::plain(registers(0x87, to, from)));
            let kinds = &mut builder.knowledge.kinds;
            kinds.swap(usize::from(to), usize::from(from));
            return;
        }
        _ => {
            // inc or dec from
            builder.push(Item::plain(vec![
                0x48 | from >> 3,
                0xff,
                0xc0 | (random.below(2) as u8) << 3 | from & 7,
            ]));
            return;
        }
    };
    builder.knowledge.kinds[usize::from(to)] = kind;
}

/// Pushes and pops, of registers and memory, with the stack pointer in every role.
pub fn stack(builder: &mut Builder, random: &mut Random) {
    let number = register(random);
    let extended = (number >= 8).then_some(0x41);
    let with_register = |prefix: &[u8], opcode: u8, number: u8| {
        let mut bytes = prefix.to_vec();
        bytes.extend(extended);
        bytes.push(opcode | number & 7);
        bytes
    };
    let displacement = 8 * random.below(16) as u8;
    match random.below(16) {
        0 | 1 => builder.push(Item::plain(with_register(&[], 0x50, number))),
        2 | 3 => {
            builder.push(Item::plain(with_register(&[], 0x58, number)));
            builder.knowledge.kinds[usize::from(number)] = Kind::Any;
        }
        4 => builder.push(Item::plain(with_register(&[0x66], 0x50, number))),
        5 => {
            builder.push(Item::plain(with_register(&[0x66], 0x58, number)));
            builder.knowledge.kinds[usize::from(number)] = Kind::Any;
        }
        6 => builder.push(Item::plain([0xff, 0x74, 0x24, displacement])), // push [rsp + n]
        7 => builder.push(Item::plain([0x8f, 0x44, 0x24, displacement])), // pop [rsp + n]
        8 => builder.push(Item::plain([0x66, 0x8f, 0x44, 0x24, displacement])), // pop word [rsp + n]
        9 => builder.push(Item::plain([0x54])),                           // push rsp
        10 => {
            builder.push(Item::plain([0x54])); // push rsp; pop rsp
            builder.push(Item::plain([0x5c]));
        }
        11 => {
            // push rbp; mov rbp, rsp; ...; leave
            builder.push(Item::plain([0x55]));
            builder.push(Item::plain([0x48, 0x89, 0xe5]));
            builder.knowledge.kinds[5] = Kind::Pointer;
            if random.percent(50) {
                builder.push(Item::plain([0x48, 0x83, 0xec, displacement])); // sub rsp, n
            }
            if random.percent(50) {
                builder.push(Item::plain([0xc9]));
                builder.knowledge.kinds[5] = Kind::Any;
            }
        }
        12 => builder.push(Item::plain([0xc8, displacement, 0, random.below(3) as u8])), // enter n, level
        13 => builder.push(Item::plain([0x6a, random.next() as u8])),
        14 => builder.push(Item::plain([0x48, 0x83, random.pick(&[0xc4, 0xec]), displacement])),
        _ => {
            // red zone: mov [rsp - n], reg; mov reg, [rsp - n]
            let below = -i32::from(displacement) - 8;
            builder.push(Item::plain(based(0x89, number, 4, below)));
            builder.push(Item::plain(based(0x8b, number, 4, below)));
        }
    }
}

/// A repeated string instruction with few iterations, in either direction.
pub fn repeat(builder: &mut Builder, random: &mut Random) {
    if random.percent(10) {
        builder.push(Item::plain([random.pick(&[0xfd, 0xfc])]));
    }
    let count = random.pick(&[0, 1, 2, 3, 7, 16, 40]);
    let count = if random.percent(10) { count | 1 << 40 } else { count };
    for (number, value) in [(RSI, pointer(random)), (RDI, pointer(random))] {
        if random.percent(85) || builder.knowledge.kinds[usize::from(number)] != Kind::Pointer {
            builder.push(Item::plain(load(number, value)));
        }
    }
    builder.push(Item::plain(load(RCX, count)));
    let mut bytes = Vec::new();
    if random.percent(3) {
        bytes.push(0x64); // fs: beyond the scratch, a fault
    }
    // A count above 32 bits is small only for an instruction with 32-bit addresses.
    if count > u64::from(u32::MAX) || random.percent(5) {
        bytes.push(0x67);
    }
    if random.percent(15) {
        bytes.push(0x66);
    }
    bytes.push(random.pick(&[0xf3, 0xf3, 0xf2]));
    if random.percent(40) {
        bytes.push(0x48);
    }
    bytes.push(random.pick(&[0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf]));
    builder.push(Item::plain(bytes));
    for number in [0, RCX, RSI, RDI] {
        builder.knowledge.kinds[usize::from(number)] = Kind::Any;
    }
    if random.percent(50) {
        builder.push(Item::plain([0xfc]));
    }
}

/// Flags through the stack, through `ah`, and set by hand.
pub fn flags(builder: &mut Builder, random: &mut Random) {
    match random.below(6) {
        0 => {
            let mut bytes = vec![0x68];
            bytes.extend((random.next() as u32 & 0xcd5).to_le_bytes());
            builder.push(Item::plain(bytes));
            builder.push(Item::plain([0x9d]));
            if random.percent(70) {
                builder.push(Item::plain([0xfc]));
            }
        }
        1 => builder.push(Item::plain([0x9c])),
        2 => {
            builder.push(Item::plain([0x9f]));
            builder.knowledge.kinds[0] = Kind::Any;
        }
        3 => builder.push(Item::plain([0x9e])),
        _ => builder.push(Item::plain([random.pick(&[0xf5, 0xf8, 0xf9, 0xfc])])),
    }
}

/// A branch forward over some items, by condition or always.
pub fn forward(builder: &mut Builder, random: &mut Random, depth: u32) {
    let before = builder.knowledge;
    let branch = builder.reserve();
    let inside = 1 + random.below(4);
    for _ in 0..inside {
        builder.anything(random, depth + 1);
    }
    let behind = builder.items.len();
    builder.items[branch] = match random.below(12) {
        0 => Item::to(&[0xe9], Target::Item(behind)),
        1 => Item::short_to(&[0xeb], behind),
        2 => Item::short_to(&[0xe3], behind),       // jrcxz
        3 => Item::short_to(&[0x67, 0xe3], behind), // jecxz
        4 => Item::short_to(&[random.pick(&[0xe0, 0xe1, 0xe2])], behind), // loop
        5 => Item::short_to(&[0x67, random.pick(&[0xe0, 0xe1, 0xe2])], behind),
        6..9 => Item::short_to(&[0x70 | random.below(16) as u8], behind),
        _ => Item::to(&[0x0f, 0x80 | random.below(16) as u8], Target::Item(behind)),
    };
    builder.knowledge.kinds[usize::from(RCX)] = Kind::Any;
    builder.join(&before);
}

/// Some items several times, counted in memory that programs do not reach.
pub fn backward(builder: &mut Builder, random: &mut Random, depth: u32) {
    let Some(counter) = builder.loop_counter() else { return };
    let head = builder.items.len();
    for _ in 0..1 + random.below(4) {
        builder.anything(random, depth + 1);
    }
    let mut bytes = vec![0xff, 0x0c, 0x25]; // dec dword ptr [counter]
    bytes.extend((counter as u32).to_le_bytes());
    builder.push(Item::plain(bytes));
    builder.push(Item::to(&[0x0f, 0x8f], Target::Item(head))); // jg
}

/// A prefix that changes nothing for a branch: none, `bnd`, a REX, or one that hints or that nobody heeds.
fn hint(random: &mut Random) -> &'static [u8] {
    match random.below(12) {
        0 => &[0xf2],
        1 => &[0x48],
        2 => &[0x3e],
        3 => &[0x2e],
        _ => &[],
    }
}

/// `opcode register` with the prefixes that the register needs, and perhaps one more.
fn through(random: &mut Random, opcode: &[u8], number: u8) -> Item {
    let mut bytes = hint(random).to_vec();
    if number >= 8 {
        // Only the last REX counts.
        bytes.retain(|byte| *byte != 0x48);
        bytes.push(0x41);
    }
    let (last, first) = opcode.split_last().expect("an opcode has bytes");
    bytes.extend(first);
    bytes.push(last | number & 7);
    Item::plain(bytes)
}

/// An address from a register into memory, and a jump (4) or call (2) through that.
fn through_memory(builder: &mut Builder, random: &mut Random, number: u8, kind: u8) {
    let operand = MemoryOperand::of(random, &builder.knowledge);
    builder.push(operand.item(&[], 1, 0x89, number));
    let prefixes: &[u8] = random.pick(&[&[], &[], &[0x3e], &[0xf2]]);
    let wide = random.below(2) as u8;
    builder.push(operand.item(prefixes, wide, 0xff, kind));
}

/// A return, in every form.
fn give_back(random: &mut Random) -> Item {
    let mut bytes = hint(random).to_vec();
    match random.below(10) {
        0..3 => bytes.extend([0xc2, 8 * random.below(4) as u8, 0]),
        3 => bytes = vec![0xf3, 0xc3],
        _ => bytes.push(0xc3),
    }
    Item::plain(bytes)
}

/// A system call without an effect: `getpid`.
pub fn system_call(builder: &mut Builder) {
    builder.push(Item::plain([0xb8, 39, 0, 0, 0]));
    builder.push(Item::plain([0x0f, 0x05]));
    for number in [0, 1, 11] {
        builder.knowledge.kinds[number] = Kind::Any;
    }
}

/// Another `fs` base, and a look at it.
pub fn thread_base(builder: &mut Builder, random: &mut Random) {
    let number = register(random);
    builder.push(Item::plain(load(number, layout::THREAD + 64 * random.below(8))));
    builder.push(Item::plain([0xf3, 0x48 | number >> 3, 0x0f, 0xae, 0xd0 | number & 7]));
    let mut bytes =
        vec![0x64, 0x48 | number >> 3 << 2, random.pick(&[0x8b, 0x89, 0x03]), 0x04 | (number & 7) << 3, 0x25];
    bytes.extend((8 * random.below(16) as u32).to_le_bytes());
    builder.push(Item::plain(bytes));
    builder.knowledge.kinds[usize::from(number)] = Kind::Any;
}

/// `lea register, [rip + item]`
fn address_of(register: u8, item: usize) -> Item {
    Item::to(&[0x48 | register >> 3 << 2, 0x8d, 5 | (register & 7) << 3], Target::Item(item))
}

/// An indirect jump forward: through a register, through memory, by a return.
pub fn indirect(builder: &mut Builder, random: &mut Random, depth: u32) {
    let number = register(random);
    let before = builder.knowledge;
    let lea = builder.reserve();
    builder.knowledge.kinds[usize::from(number)] = Kind::Any;
    match random.below(4) {
        0 => builder.push(through(random, &[0xff, 0xe0], number)),
        1 | 2 => through_memory(builder, random, number, 4),
        _ => {
            builder.push(through(random, &[0x50], number));
            builder.push(give_back(random));
        }
    }
    for _ in 0..random.below(3) {
        builder.anything(random, depth + 1);
    }
    builder.items[lea] = address_of(number, builder.items.len());
    builder.join(&before);
}

/// A call, directly or not, of some items that return, or that throw their return address away.
pub fn call(builder: &mut Builder, random: &mut Random, depth: u32) {
    let number = register(random);
    let way = random.below(3);
    let before = builder.knowledge;
    let first = builder.reserve();
    match way {
        0 => {}
        1 => {
            builder.knowledge.kinds[usize::from(number)] = Kind::Any;
            builder.push(through(random, &[0xff, 0xd0], number));
        }
        _ => {
            builder.knowledge.kinds[usize::from(number)] = Kind::Any;
            through_memory(builder, random, number, 2);
        }
    }
    builder.anything(random, depth + 1);
    let over = builder.reserve();
    let callee = builder.items.len();
    for _ in 0..random.below(3) {
        builder.anything(random, depth + 1);
    }
    match random.below(4) {
        0 => {
            builder.push(Item::plain([0x48, 0x83, 0xc4, 8])); // add rsp, 8
        }
        _ => builder.push(give_back(random)),
    }
    let behind = builder.items.len();
    builder.items[over] = Item::to(&[0xe9], Target::Item(behind));
    builder.items[first] = match way {
        0 => Item::to(&[0xe8], Target::Item(callee)),
        _ => address_of(number, callee),
    };
    builder.join(&before);
}

/// A gather with small indices, if the host has AVX2: `vpcmpeqd mask`, then the gather itself.
pub fn gather(builder: &mut Builder, random: &mut Random) {
    let base = builder.knowledge.some(random, Kind::Pointer).unwrap_or(RSP as u8);
    // vpxor ymm2, ymm2, ymm2; vpcmpeqd ymm1, ymm1, ymm1; vpgatherdd ymm0, [base + ymm2 * 4 + 0x40], ymm1
    builder.push(Item::plain([0xc5, 0xed, 0xef, 0xd2]));
    builder.push(Item::plain([0xc5, 0xf5, 0x76, 0xc9]));
    let extended = (base >> 3 ^ 1) << 5;
    let item = [0xc4, 0xc2 & !0x20 | extended, 0x75, 0x90, 0x44, 0x90 | base & 7, 0x40];
    builder.push(Item::plain(item));
}

/// In code that can be written: changes the immediate operand of a later instruction.
pub fn modify(builder: &mut Builder, random: &mut Random) {
    // mov byte ptr [rip + later], imm8; later: mov eax, imm32
    let store = builder.reserve();
    let number = random.below(3) as u8;
    let later = builder.items.len();
    let mut bytes = vec![0xb8 | number];
    bytes.extend((random.next() as u32).to_le_bytes());
    builder.push(Item::plain(bytes));
    builder.knowledge.kinds[usize::from(number)] = Kind::Any;
    let mut item = Item::to(&[0xc6, 0x05], Target::Within(later, 1 + random.below(4)));
    item.bytes.push(random.next() as u8);
    builder.items[store] = item;
}
