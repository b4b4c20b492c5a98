//! Code that drains the records of one exit: what the reference drain would do for them, unrolled.
//!
//! Pure: an exit and its operations in, host code out. A thunk asks for each line whether it is *settled*
//! (`invar_sim::cache`) and calls back where it is not; so it computes addresses, compares, and little else.
//!
//! What holds at every thunk's entry: `r12` is the record, `r13` what callbacks are given, `r14` the arena's start, the
//! stack is aligned. A thunk uses `rax`, `rcx`, `rdx`, `rsi`, `rdi`, and ends by a jump to the next record's thunk.

use alloc::vec::Vec;

use invar_core::machine::LINE_BYTES;

use crate::host::context::at;
use crate::host::layout;
use crate::translate::assemble::Assembler;
use crate::translate::{Exit, NO_SLOT, Op, Reference, Touch};

/// Lines of data that can be known to be settled at once; each has one place.
pub const DATA_PLACES: usize = 4096;

/// How a callback is told what to touch: bytes, and the kind in the upper half.
pub mod told {
    #![expect(missing_docs, reason = "the names of `Touch`, and a fetch")]
    pub const READ: u32 = 0 << 16;
    pub const WRITE: u32 = 1 << 16;
    pub const READ_WRITE: u32 = 2 << 16;
    pub const FETCH: u32 = 3 << 16;
}

/// Gives a line of code its number: the place of its byte that says whether it is settled.
pub trait CodeLines {
    /// The number of a line.
    fn number(&mut self, line: u64) -> u32;
}

/// A callback that stands behind the straight line: from the jumps at `from`, back to `back`.
struct Aside {
    from: [Option<u32>; 2],
    back: u32,
    what: u32,
    /// For fetches, whose address no register holds.
    address: Option<u64>,
}

/// The thunk of exit `number`, to stand at `origin`. `ops` are the exit's operations, the first of them number `first_op`.
pub fn thunk(
    origin: u64,
    number: u32,
    exit: &Exit,
    ops: &[Op],
    first_op: u32,
    lines: &mut impl CodeLines,
    bmi2: bool,
) -> Vec<u8> {
    let mut code = Assembler::new(origin);
    let mut asides = Vec::new();
    code.raw(&[0x49, 0xff, 0x86]); // inc qword ptr [r14 + ...]
    code.raw(&(layout::COUNTERS + 8 * number).to_le_bytes());
    for (index, op) in ops.iter().enumerate() {
        match op {
            Op::Fetch { address, bytes } => {
                let (first, last) =
                    (address / LINE_BYTES, address.saturating_add(u64::from(*bytes) - 1) / LINE_BYTES);
                let one = unless_code_is_settled(&mut code, lines.number(first));
                let other = (first != last).then(|| unless_code_is_settled(&mut code, lines.number(last)));
                asides.push(Aside {
                    from: [Some(one), other],
                    back: code.here(),
                    what: told::FETCH | u32::from(*bytes),
                    address: Some(*address),
                });
            }
            Op::Touch(reference) => {
                compute_address(&mut code, reference);
                let from = unless_data_is_settled(&mut code, reference.bytes, bmi2);
                let kind = match reference.touch {
                    Touch::Read => told::READ,
                    Touch::Write => told::WRITE,
                    Touch::ReadWrite => told::READ_WRITE,
                };
                asides.push(Aside {
                    from: [Some(from), None],
                    back: code.here(),
                    what: kind | u32::from(reference.bytes),
                    address: None,
                });
            }
            Op::Repeat(_) => {
                code.load_immediate(2, u64::from(first_op + index as u32)); // edx
                code.raw(&[0x4c, 0x89, 0xe6]); // mov rsi, r12
                call_back(&mut code, at::DRAIN_REPEAT);
            }
        }
    }
    code.raw(&[0x49, 0x81, 0xc4]); // add r12, record size
    code.raw(&(8 + 8 * u32::from(exit.slots)).to_le_bytes());
    code.raw(&next());
    for aside in asides {
        for from in aside.from.into_iter().flatten() {
            code.bind(from);
        }
        if let Some(address) = aside.address {
            code.load_immediate(6, address); // rsi
        }
        code.load_immediate(2, u64::from(aside.what)); // edx
        call_back(&mut code, at::DRAIN_TOUCH);
        code.jump_to(origin + u64::from(aside.back));
    }
    code.bytes
}

/// To the thunk of the record at `r12`.
pub fn next() -> [u8; 12] {
    let mut code = [0x41, 0x8b, 0x04, 0x24, 0x41, 0xff, 0xa4, 0xc6, 0, 0, 0, 0]; // mov eax, [r12]; jmp [r14 + rax * 8 + ...]
    code[8..].copy_from_slice(&layout::THUNK_TABLE.to_le_bytes());
    code
}

fn call_back(code: &mut Assembler, pointer: u32) {
    code.raw(&[0x4c, 0x89, 0xef]); // mov rdi, r13
    code.raw(&[0x41, 0xff, 0x96]); // call [r14 + ...]
    code.raw(&pointer.to_le_bytes());
}

/// Returns the jump that is taken if the line is not settled.
fn unless_code_is_settled(code: &mut Assembler, line: u32) -> u32 {
    code.raw(&[0x41, 0x80, 0xbe]); // cmp byte ptr [r14 + ...], 0
    code.raw(&(layout::CODE_LINES + line).to_le_bytes());
    code.raw(&[0]);
    code.jump_if(4) // je
}

/// Puts the address of an operand into `rsi`.
fn compute_address(code: &mut Assembler, reference: &Reference) {
    let constant = i32::try_from(reference.constant as i64).ok();
    if reference.base == NO_SLOT && reference.index == NO_SLOT {
        code.load_immediate(6, reference.constant);
    } else {
        if reference.base == NO_SLOT {
            code.raw(&[0x31, 0xf6]); // xor esi, esi
        } else {
            code.raw(&[0x49, 0x8b, 0xb4, 0x24]); // mov rsi, [r12 + ...]
            code.raw(&slot(reference.base).to_le_bytes());
        }
        if reference.index != NO_SLOT {
            code.raw(&[0x49, 0x8b, 0x84, 0x24]); // mov rax, [r12 + ...]
            code.raw(&slot(reference.index).to_le_bytes());
            code.raw(&[0x48, 0x8d, 0x34, 0x06 | reference.shift << 6]); // lea rsi, [rsi + (rax << shift)]
        }
        match constant {
            Some(0) => {}
            Some(constant) => {
                code.raw(&[0x48, 0x81, 0xc6]); // add rsi, constant
                code.raw(&constant.to_le_bytes());
            }
            None => {
                code.load_immediate(0, reference.constant);
                code.raw(&[0x48, 0x01, 0xc6]); // add rsi, rax
            }
        }
    }
    if reference.short {
        code.raw(&[0x89, 0xf6]); // mov esi, esi
    }
    if reference.fs {
        code.raw(&[0x49, 0x03, 0xb6]); // add rsi, [r14 + ...]
        code.raw(&at::DRAIN_FS_BASE.to_le_bytes());
    }
}

fn slot(index: u8) -> u32 {
    8 + 8 * u32::from(index)
}

/// Returns the jump that is taken unless the operand at `rsi` lies in one line that is settled.
///
/// The place is that of the first byte's line, the comparison is with the last byte's: neighbours have unlike places, so a
/// match says that both are in one line, too.
fn unless_data_is_settled(code: &mut Assembler, bytes: u16, bmi2: bool) -> u32 {
    code.raw(&[0x48, 0x8d, 0x96]); // lea rdx, [rsi + bytes - 1]
    code.raw(&u32::from(bytes.max(1) - 1).to_le_bytes());
    code.raw(&[0x48, 0xc1, 0xea, LINE_BYTES.trailing_zeros() as u8]); // shr rdx, 6
    if bmi2 {
        code.raw(&[0xc4, 0xe3, 0x7b, 0xf0, 0xc6, LINE_BYTES.trailing_zeros() as u8]); // rorx eax, esi, 6
    } else {
        code.raw(&[0x89, 0xf0, 0xc1, 0xe8, LINE_BYTES.trailing_zeros() as u8]); // mov eax, esi; shr eax, 6
    }
    code.raw(&[0x25]); // and eax, DATA_PLACES - 1
    code.raw(&(DATA_PLACES as u32 - 1).to_le_bytes());
    code.raw(&[0x49, 0x39, 0x94, 0xc6]); // cmp [r14 + rax * 8 + ...], rdx
    code.raw(&layout::DATA_LINES.to_le_bytes());
    code.jump_if(5) // jne
}
