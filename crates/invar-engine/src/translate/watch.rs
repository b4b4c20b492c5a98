//! Stores that may change which frame a Python interpreter is in, or where in its code a frame is.
//!
//! An interpreter keeps its current frame in a word of the thread's state, or in a structure on its stack that the thread's
//! state points to. Which instructions store there is seen by their form: the displacement, and that they are in the
//! interpreter's code. Forms are a superset: generated code compares the address, so a store elsewhere is no harm.
//! Where a frame is in its code, a member of the frame says; whose member a store has changed, the ledger knows.
//! See `docs/decisions/0004-python-frames.md` and `0010-python-lines.md`.

use alloc::vec::Vec;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::registers;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Addresses of the interpreter's code.
    pub code: (u64, u64),
    /// Address of the thread state's word.
    pub word: u64,
    /// Its offset in the thread state.
    pub offset: u32,
    /// Where the frame is if the word only points to where it is.
    pub through: Option<Through>,
    /// Offset in a frame of what it executes.
    pub executed: u32,
    /// Offset in a frame of the byte that says who owns it, where there is one.
    pub owner: Option<u32>,
    /// The member of a frame that says where in its code it is, if lines are asked for.
    pub position: Option<Member>,
}

/// A member of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its offset.
    pub offset: u32,
    /// Its size in bytes.
    pub bytes: u8,
}

/// A structure on the interpreter's stack that holds the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Through {
    /// Offset of the frame in the structure.
    pub offset: u32,
    /// Where the structures are.
    pub places: Places,
}

/// Structures in the interpreter's own stack frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    /// Displacements from its stack pointer.
    pub displacements: [Option<u32>; PLACES],
    /// Addresses of the stores that make the thread state's word point to a structure before the frame is stored there.
    /// What it holds until then is what the stack has held, and no frame.
    pub early: [Option<u64>; PLACES],
}

/// Inlined copies of the interpreter's loop are few.
pub const PLACES: usize = 4;

/// A store that may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Bytes from where it stores to what is watched.
    pub bias: u32,
    /// Into the structure, and not to the thread state's word.
    pub through: bool,
}

impl Watch {
    /// Does an instruction have the form?
    pub fn store(&self, instruction: &Instruction) -> Option<Store> {
        let (start, end) = self.code;
        if !(start..end).contains(&instruction.ip()) {
            return None;
        }
        let bytes = stored_bytes(instruction)?;
        let displacement = instruction.memory_displacement64();
        let bias_to = |place: u32| {
            let bias = u64::from(place).wrapping_sub(displacement);
            (bias < bytes && bias % 8 == 0).then_some(bias as u32)
        };
        if let Some(bias) = bias_to(self.offset) {
            // Of structures that were not found it is not known, either, when their frames are stored.
            let is_early = |Places { displacements, early }: Places| {
                displacements == [None; PLACES] || early.contains(&Some(instruction.ip()))
            };
            if self.through.is_some_and(|through| is_early(through.places)) {
                return None;
            }
            return Some(Store { bias, through: false });
        }
        let Through { offset, places } = self.through?;
        if instruction.memory_base() != Register::RSP {
            return None;
        }
        let bias = places.displacements.into_iter().flatten().find_map(|place| bias_to(place + offset))?;
        Some(Store { bias, through: true })
    }
}

impl Watch {
    /// Does an instruction store a register where a frame may have its position?
    pub fn stores_position(&self, instruction: &Instruction) -> bool {
        let Some(Member { offset, bytes }) = self.position else { return false };
        let (start, end) = self.code;
        (start..end).contains(&instruction.ip())
            && instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Memory
            && instruction.op1_kind() == OpKind::Register
            && instruction.op1_register().is_gpr()
            && instruction.memory_size().size() == usize::from(bytes)
            && instruction.memory_displacement64() == u64::from(offset)
            && instruction.memory_base().is_gpr64()
            // Frames are not on the interpreter's own stack where it makes their positions.
            && instruction.memory_base() != Register::RSP
            && instruction.memory_index() == Register::None
            && instruction.segment_prefix() == Register::None
    }
}

/// Bytes that an instruction stores to `[register + constant]`, if that is what it does.
fn stored_bytes(instruction: &Instruction) -> Option<u64> {
    if instruction.op0_kind() != OpKind::Memory
        || instruction.memory_index() != Register::None
        || registers::number(instruction.memory_base()).is_none()
        || !instruction.memory_base().is_gpr64()
        || instruction.segment_prefix() != Register::None
    {
        return None;
    }
    match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movq | Mnemonic::Movhps | Mnemonic::Movlps => (),
        Mnemonic::Movups | Mnemonic::Movaps | Mnemonic::Movdqu | Mnemonic::Movdqa => (),
        Mnemonic::Vmovups | Mnemonic::Vmovaps | Mnemonic::Vmovdqu | Mnemonic::Vmovdqa | Mnemonic::Vmovq => (),
        _ => return None,
    }
    match instruction.memory_size().size() as u64 {
        bytes @ (8 | 16 | 32) => Some(bytes),
        _ => None,
    }
}

/// Where an interpreter has the structures that it makes a thread state's word point to: `lea register, [rsp + place]`, and
/// the register is stored with the word's displacement soon after. The frame is at `frame` in a structure.
pub fn places(code: &[u8], start: u64, offset: u32, frame: u32) -> Places {
    const NEAR: usize = 24;
    let mut loaded: Vec<(Register, u32, usize)> = Vec::new();
    // Displacements from the stack pointer that were stored to: where they begin, and how many bytes.
    let mut stored: Vec<(u64, u64, usize)> = Vec::new();
    let mut places = Places::default();
    for (index, instruction) in
        Decoder::with_ip(64, code, start, DecoderOptions::NONE).into_iter().enumerate()
    {
        loaded.retain(|&(_, _, at)| index - at <= NEAR);
        stored.retain(|&(_, _, at)| index - at <= NEAR);
        if instruction.memory_base() == Register::RSP
            && let Some(bytes) = stored_bytes(&instruction)
        {
            stored.push((instruction.memory_displacement64(), bytes, index));
        }
        let is_address = instruction.mnemonic() == Mnemonic::Lea
            && instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None;
        if is_address {
            loaded.push((instruction.op0_register(), instruction.memory_displacement64() as u32, index));
        }
        let is_store = instruction.mnemonic() == Mnemonic::Mov
            && stored_bytes(&instruction) == Some(8)
            && instruction.op1_kind() == OpKind::Register
            && instruction.memory_displacement64() == u64::from(offset);
        if is_store
            && let Some(&(_, place, _)) =
                loaded.iter().rev().find(|&&(register, ..)| register == instruction.op1_register())
        {
            add(&mut places.displacements, place);
            let at = u64::from(place + frame);
            if !stored.iter().any(|&(from, bytes, _)| (from..from + bytes).contains(&at)) {
                add(&mut places.early, instruction.ip());
            }
        }
    }
    places
}

/// Adds what is not there yet, if there is room.
fn add<T: Copy + PartialEq>(list: &mut [Option<T>; PLACES], one: T) {
    if !list.contains(&Some(one))
        && let Some(room) = list.iter_mut().find(|room| room.is_none())
    {
        *room = Some(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Instruction {
        Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).decode()
    }

    fn watch() -> Watch {
        let places = Places { displacements: [Some(0xa0), None, None, None], early: [None; PLACES] };
        let through = Through { offset: 8, places };
        Watch {
            code: (0x1000, 0x2000),
            word: 0x5000,
            offset: 0x38,
            through: Some(through),
            executed: 0x20,
            owner: None,
            position: Some(Member { offset: 0x68, bytes: 4 }),
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<Store>) {
        assert_eq!(watch().store(&decoded(bytes)), expected);
    }

    #[test]
    fn a_store_is_known_by_its_displacement() {
        check(&[0x48, 0x89, 0x45, 0x38], Some(Store { bias: 0, through: false })); // mov [rbp + 0x38], rax
        check(&[0x48, 0x89, 0x45, 0x40], None);
        check(&[0x89, 0x45, 0x38], None); // four bytes only
        check(&[0x48, 0x8b, 0x45, 0x38], None); // a load
    }

    #[test]
    fn a_store_of_sixteen_bytes_may_have_it_in_its_second_half() {
        let at_a0 = [0x0f, 0x11, 0x84, 0x24, 0xa0, 0, 0, 0]; // movups [rsp + 0xa0], xmm0
        check(&at_a0, Some(Store { bias: 8, through: true }));
        let at_a8 = [0x0f, 0x11, 0x84, 0x24, 0xa8, 0, 0, 0];
        check(&at_a8, Some(Store { bias: 0, through: true }));
    }

    #[test]
    fn a_position_is_a_register_stored_in_the_member_of_its_size() {
        let is_one = |bytes: &[u8]| watch().stores_position(&decoded(bytes));
        assert!(is_one(&[0x89, 0x45, 0x68])); // mov [rbp + 0x68], eax
        assert!(is_one(&[0x45, 0x89, 0x5b, 0x68])); // mov [r11 + 0x68], r11d
        assert!(!is_one(&[0x48, 0x89, 0x45, 0x68])); // eight bytes
        assert!(!is_one(&[0x89, 0x45, 0x60]));
        assert!(!is_one(&[0x8b, 0x45, 0x68])); // a load
        assert!(!is_one(&[0x89, 0x44, 0x24, 0x68])); // to the stack
        assert!(!is_one(&[0xc7, 0x45, 0x68, 0xff, 0xff, 0xff, 0xff])); // a constant: of a new frame
    }

    #[test]
    fn structures_are_found_where_the_thread_state_is_made_to_point_to_them() {
        let code = [
            0x48, 0x8d, 0x94, 0x24, 0xa0, 0, 0, 0, // lea rdx, [rsp + 0xa0]
            0x48, 0x8d, 0x4c, 0x24, 0x10, // lea rcx, [rsp + 0x10]
            0x48, 0x89, 0x57, 0x38, // mov [rdi + 0x38], rdx
        ];
        assert_eq!(places(&code, 0, 0x38, 8).displacements, [Some(0xa0), None, None, None]);
        assert_eq!(places(&code, 0, 0x40, 8), Places::default());
    }

    #[test]
    fn a_structure_without_its_frame_is_not_looked_at() {
        let address = [0x48, 0x8d, 0x94, 0x24, 0xa0, 0, 0, 0]; // lea rdx, [rsp + 0xa0]
        let frame = [0x0f, 0x11, 0x84, 0x24, 0xa8, 0, 0, 0]; // movups [rsp + 0xa8], xmm0
        let pointed = [0x48, 0x89, 0x57, 0x38]; // mov [rdi + 0x38], rdx
        let found = |code: &[u8]| {
            let mut watch = watch();
            watch.through = Some(Through { offset: 8, places: places(code, 0x1000, 0x38, 8) });
            let decoder = Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE);
            decoder.into_iter().filter_map(|instruction| watch.store(&instruction)).collect::<Vec<_>>()
        };
        let (word, structure) = (Store { bias: 0, through: false }, Store { bias: 0, through: true });
        assert_eq!(found(&[&address[..], &pointed, &frame].concat()), [structure]);
        assert_eq!(found(&[&address[..], &frame, &pointed].concat()), [structure, word]);
    }
}
