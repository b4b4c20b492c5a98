//! Behind a store that may have changed the current frame of a Python interpreter: has it, and what is executed there now?
//! And behind one that may have changed where a frame is: which frame, and where?

use super::*;
use crate::translate::watch::{Store, Watch};

impl Emitter {
    /// If the store has changed what is watched the path is left behind it, as by a branch: by an exit whose record has the current
    /// frame, what that executes and, where there is such a byte, who owns it.
    ///
    /// Most stores of the form are others (in CPython 3.11 every byte code has one), and the path goes on behind them. No flag is
    /// changed.
    pub(super) fn look_at_store(&mut self, instruction: &Instruction) {
        if !self.simulates() {
            return;
        }
        let Some((watch, store)) = self.watch.and_then(|watch| Some((watch, watch.store(instruction)?)))
        else {
            return;
        };
        let base = registers::number(instruction.memory_base()).expect("a store of this form has a base");
        let displacement = (instruction.memory_displacement64() as u32).wrapping_add(store.bias);
        self.code.store_gs(at::WATCH_HOMES, RCX);
        // What the base is in: it must be neither `rcx` nor the trace's `r11`.
        let holder = match base {
            RCX | R11 => {
                self.code.store_gs(at::WATCH_HOMES + 8, RAX);
                self.code.copy_rcx_to_rax();
                if base == R11 {
                    self.code.load_gs(RAX, at::R11);
                }
                RAX
            }
            other => other,
        };
        self.load_watched(RCX, &watch, store);
        self.code.subtract_rcx_from(holder, displacement);
        if holder != base {
            self.code.load_gs(RAX, at::WATCH_HOMES + 8);
        }
        self.code.skip_if_rcx_zero(2);
        self.code.skip_a_jump();
        let from = self.code.jump();
        self.code.load_gs(RCX, at::WATCH_HOMES);

        let before = self.progress;
        let slots = 2 + u8::from(watch.owner.is_some());
        let exit = self.push_exit(Progress { slots: before.slots + slots, ..before }, 0);
        self.out.watched.push((self.out.exits.len() as u32 - 1, before.slots));
        let is_stored = store.through || watch.through.is_none();
        self.tails.push(Tail::Watched { from, exit, next: instruction.next_ip(), before, is_stored });
    }

    /// The way out behind a store that has changed what is watched. `rcx` is in its home.
    ///
    /// The frame is read only where this very store has put it, so that it is one. Where the thread state was made to point to
    /// another place, what is there is recorded and not followed.
    pub(super) fn leave_with_frame(&mut self, exit: u32, next: u64, before: Progress, is_stored: bool) {
        let watch = self.watch.expect("something is watched");
        self.progress = before;
        self.code.store_gs(at::WATCH_HOMES + 8, RAX);
        // The frame is wherever the thread state says that it is.
        self.load_watched(RAX, &watch, Store { bias: 0, through: watch.through.is_some() });
        self.code.load_through(RAX);
        self.code.copy_to_rcx(RAX);
        self.store_slot(RCX);
        self.store_of_frame(&[0x48, 0x8b, 0x89], watch.executed, is_stored); // mov rcx, [rcx + ...]
        if let Some(owner) = watch.owner {
            self.code.copy_to_rcx(RAX);
            self.store_of_frame(&[0x0f, 0xb6, 0x89], owner, is_stored); // movzx ecx, byte ptr [rcx + ...]
        }
        self.code.load_gs(RCX, at::WATCH_HOMES);
        self.code.load_gs(RAX, at::WATCH_HOMES + 8);
        self.record(exit, self.progress.slots);
        self.link(next);
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
        if self.options.scheduled {
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
    /// `lea register, [register + offset]`; the register is one of the first eight and not `rsp`.
    fn advance_register(&mut self, register: u8, offset: u32) {
        self.raw(&[0x48, 0x8d, 0x80 | register << 3 | register]);
        self.raw(&offset.to_le_bytes());
    }

    /// `not rcx; lea rcx, [base + rcx + displacement + 1]`: the base and the displacement without `rcx`.
    fn subtract_rcx_from(&mut self, base: u8, displacement: u32) {
        self.raw(&[0x48, 0xf7, 0xd1]);
        let (high, low) = (base >> 3, base & 7);
        self.raw(&[0x48 | high, 0x8d, 0x8c, 0x08 | low]);
        self.raw(&displacement.wrapping_add(1).to_le_bytes());
    }

    /// `mov rax, rcx`
    fn copy_rcx_to_rax(&mut self) {
        self.raw(&[0x48, 0x89, 0xc8]);
    }

    /// `jmp` over one to a host address.
    fn skip_a_jump(&mut self) {
        self.raw(&[0xeb, 5]);
    }
}
