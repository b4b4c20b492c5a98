//! Which flags a program leaves to the processor's whim.
//!
//! The manuals leave some flags undefined after some instructions. A program that reads one may rightly behave
//! differently under translation, so such programs are not made; at the end undefined flags are not compared.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};

use super::Program;

/// Flags as the processor has them in `rflags`.
fn to_rflags(bits: u32) -> u64 {
    use iced_x86::RflagsBits;
    const PLACES: [(u32, u64); 6] = [
        (RflagsBits::CF, 0x1),
        (RflagsBits::PF, 0x4),
        (RflagsBits::AF, 0x10),
        (RflagsBits::ZF, 0x40),
        (RflagsBits::SF, 0x80),
        (RflagsBits::OF, 0x800),
    ];
    PLACES.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, place)| place).sum()
}

/// Undefined at the end (bits of `rflags`), or the kept item that reads an undefined flag.
pub fn undefined(program: &Program) -> Result<u64, usize> {
    let Some(code) = program.code() else { return Ok(0) };
    let decoder = || Decoder::with_ip(64, &code, program.at, DecoderOptions::NONE);
    let branches = program.items.iter().any(|item| item.fix.is_some());
    let anywhere: u32 =
        decoder().into_iter().map(|instruction| instruction.rflags_undefined()).fold(0, |a, b| a | b);
    // With branches any order is possible, so a flag that is undefined anywhere is so everywhere.
    let mut undefined = if branches { anywhere } else { 0 };
    for (index, instruction) in (&mut decoder()).into_iter().enumerate() {
        if reads(&instruction) & undefined != 0 {
            return Err(index);
        }
        let written = instruction.rflags_written() | instruction.rflags_set() | instruction.rflags_cleared();
        if !branches && !may_keep_flags(&instruction) {
            undefined &= !written;
        }
        undefined |= instruction.rflags_undefined();
    }
    Ok(to_rflags(undefined))
}

fn reads(instruction: &Instruction) -> u32 {
    let pushes = matches!(instruction.mnemonic(), Mnemonic::Pushf | Mnemonic::Pushfq | Mnemonic::Pushfd);
    if pushes { u32::MAX } else { instruction.rflags_read() }
}

/// Shifts by a count of zero write nothing.
fn may_keep_flags(instruction: &Instruction) -> bool {
    instruction.rflags_undefined() != 0 || instruction.is_string_instruction()
}
