//! Behind a store that may have changed the current frame of a Python interpreter: has it, and what is executed there now?
//! And behind one that may have changed where a frame is: which frame, and where?

use super::*;
use crate::translate::watch::{Store, Watch};

/// What a record holds in place of a frame where none was stored.
pub const NO_FRAME: u64 = u64::MAX;

impl Emitter {
    /// Adds slots to the record: the current frame, what it executes and, where there is such a byte, who owns it; or
    /// [`NO_FRAME`] if the store was another. The path is cut behind it.
    ///
    /// The frame is read only where this very store has put it, so that it is one. Where the thread state was made to point to
    /// another place, what is there is recorded and not followed. No flag is changed.
    pub(super) fn look_at_store(&mut self, instruction: &Instruction) {
        if !self.simulates() {
            return;
        }
        let Some((watch, store)) = self.watch.and_then(|watch| Some((watch, watch.store(instruction)?)))
        else {
            return;
        };
        let base = registers::number(instruction.memory_base()).expect("a store of this form has a base");
        let other = if base == RAX { RDX } else { RAX };
        self.code.store_gs(at::WATCH_HOMES, RCX);
        self.code.store_gs(at::WATCH_HOMES + 8, other);
        let displacement = (instruction.memory_displacement64() as u32).wrapping_add(store.bias);
        if base == R11 {
            self.code.load_gs(RCX, at::R11);
            self.code.lea_rcx(RCX, displacement);
        } else {
            self.code.lea_rcx(base, displacement);
        }
        self.load_watched(other, &watch, store);
        self.code.subtract_from_rcx(other);
        self.code.skip_if_rcx_zero(5);
        let elsewhere = self.code.jump();

        // The frame is wherever the thread state says that it is.
        self.load_watched(other, &watch, Store { bias: 0, through: watch.through.is_some() });
        self.code.load_through(other);
        self.code.copy_to_rcx(other);
        let slot = self.store_slot(RCX);
        let is_stored = store.through || watch.through.is_none();
        self.store_of_frame(&[0x48, 0x8b, 0x89], watch.executed, is_stored); // mov rcx, [rcx + ...]
        if let Some(owner) = watch.owner {
            self.code.copy_to_rcx(other);
            self.store_of_frame(&[0x0f, 0xb6, 0x89], owner, is_stored); // movzx ecx, byte ptr [rcx + ...]
        }
        let done = self.code.jump();
        self.code.bind(elsewhere);
        self.code.store_trace_minus_one(8 + 8 * u32::from(slot));
        self.code.bind(done);

        self.code.load_gs(RCX, at::WATCH_HOMES);
        self.code.load_gs(other, at::WATCH_HOMES + 8);
        self.out.watched = Some(slot);
    }

    /// Adds slots to the record, where they are not there yet: the frame whose position was stored, if it was one's, and the
    /// position. The path is cut behind it. Nothing is compared here: the drain knows which frame is executed.
    ///
    /// What was made of a number of byte codes is no place where one begins to be executed: where a function returns to in 3.12,
    /// which may be behind the end of a loop; or where an exception was raised first, when it is raised again.
    pub(super) fn look_at_position(&mut self, instruction: &Instruction) {
        if !self.simulates() || !self.watch.is_some_and(|watch| watch.stores_position(instruction)) {
            return;
        }
        let number =
            |register| registers::number(register).expect("a store of this form has general registers");
        if self.numbered & 1 << number(instruction.op1_register()) != 0 {
            return;
        }
        let base = number(instruction.memory_base());
        let frame = self.values[usize::from(base)].expect("an address was made of it");
        let stored = number(instruction.op1_register());
        let position = match self.values[usize::from(stored)] {
            // The guest's is not in the register.
            None if stored == R11 => {
                self.code.store_gs(at::WATCH_HOMES, RAX);
                self.code.load_gs(RAX, at::R11);
                let slot = self.store_slot(RAX);
                self.code.load_gs(RAX, at::WATCH_HOMES);
                Value { slot, offset: 0 }
            }
            _ => self.value(stored, None),
        };
        let told = |Value { slot, offset }| Told { slot, constant: offset };
        self.out.placed = Some(Placed { frame: told(frame), position: told(position) });
    }

    /// Keeps track of registers that hold an address which is some byte codes, of two bytes each, behind another one.
    pub(super) fn note_numbered(&mut self, instruction: &Instruction) {
        const CODE_BYTES: u32 = 2;
        self.numbered &= !self.used.written;
        if instruction.code() == Code::Lea_r64_m
            && instruction.memory_base().is_gpr64()
            && instruction.memory_index() != Register::None
            && instruction.memory_index_scale() == CODE_BYTES
            && let Some(number) = registers::number(instruction.op0_register())
        {
            self.numbered |= 1 << number;
        }
    }

    /// Stores what `load` finds in the frame at `rcx`; zero if there is no frame, or if it is not known to be one.
    fn store_of_frame(&mut self, load: &[u8], offset: u32, is_frame: bool) {
        if !is_frame {
            self.code.load_immediate(RCX, 0);
            self.store_slot(RCX);
            return;
        }
        self.code.skip_if_rcx_zero(load.len() as u8 + 4);
        self.code.raw(load);
        self.code.raw(&offset.to_le_bytes());
        self.store_slot(RCX);
    }

    /// `register` = the watched address.
    fn load_watched(&mut self, register: u8, watch: &Watch, store: Store) {
        if self.options.threads {
            // Each has a word of its own.
            self.code.load_gs(register, at::WATCH_WORD);
        } else {
            self.code.load_immediate(register, watch.word);
        }
        if let Some(through) = watch.through.filter(|_| store.through) {
            self.code.load_through(register);
            self.code.advance_register(register, through.offset);
        }
    }
}

/// What only this needs.
impl Assembler {
    /// `lea rcx, [base + displacement]`
    fn lea_rcx(&mut self, base: u8, displacement: u32) {
        let (high, low) = (base >> 3, base & 7);
        self.raw(&[0x48 | high, 0x8d, 0x88 | low]);
        if low == 4 {
            self.raw(&[0x24]);
        }
        self.raw(&displacement.to_le_bytes());
    }

    /// `lea register, [register + offset]`; the register is one of the first eight and not `rsp`.
    fn advance_register(&mut self, register: u8, offset: u32) {
        self.raw(&[0x48, 0x8d, 0x80 | register << 3 | register]);
        self.raw(&offset.to_le_bytes());
    }

    /// `not register; lea rcx, [rcx + register + 1]`: `rcx` without it.
    fn subtract_from_rcx(&mut self, register: u8) {
        self.raw(&[0x48, 0xf7, 0xd0 | register]);
        self.raw(&[0x48, 0x8d, 0x4c, register << 3 | 1, 1]);
    }

    /// `mov qword ptr [r11 + offset], -1`
    fn store_trace_minus_one(&mut self, offset: u32) {
        self.raw(&[0x49, 0xc7, 0x83]);
        self.raw(&offset.to_le_bytes());
        self.raw(&u32::MAX.to_le_bytes());
    }
}
