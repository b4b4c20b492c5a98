//! Registers as the decoder names them, and as the hardware numbers them.

use iced_x86::Register;

/// The hardware number of the general register that `register` is, or is a part of.
pub fn number(register: Register) -> Option<u8> {
    let full = register.full_register();
    if full.is_gpr64() { Some(full.number() as u8) } else { None }
}

/// The part of general register `number` that is as wide as `like`. `like` is a part of `r11`, so never `ah`.
pub fn part(number: u8, like: Register) -> Register {
    const BYTES: [Register; 16] = [
        Register::AL,
        Register::CL,
        Register::DL,
        Register::BL,
        Register::SPL,
        Register::BPL,
        Register::SIL,
        Register::DIL,
        Register::R8L,
        Register::R9L,
        Register::R10L,
        Register::R11L,
        Register::R12L,
        Register::R13L,
        Register::R14L,
        Register::R15L,
    ];
    match like.size() {
        1 => BYTES[usize::from(number)],
        2 => Register::AX + u32::from(number),
        4 => Register::EAX + u32::from(number),
        _ => Register::RAX + u32::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_as_wide_as_asked() {
        assert_eq!(part(0, Register::R11L), Register::AL);
        assert_eq!(part(6, Register::R11L), Register::SIL);
        assert_eq!(part(9, Register::R11W), Register::R9W);
        assert_eq!(part(3, Register::R11D), Register::EBX);
        assert_eq!(part(15, Register::R11), Register::R15);
    }

    #[test]
    fn parts_have_the_number_of_their_whole() {
        assert_eq!(number(Register::AH), Some(0));
        assert_eq!(number(Register::R11L), Some(11));
        assert_eq!(number(Register::XMM3), None);
    }
}
