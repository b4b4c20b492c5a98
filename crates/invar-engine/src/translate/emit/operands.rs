//! The memory that instructions touch, as the trace tells it: which register values are stored in a record, and how addresses are
//! made of them.
//!
//! What always holds: a register's [`Value`] is what it holds at this place of the path, or is forgotten.

use super::*;

impl Emitter {
    /// Notes the operands that `instruction` touches, and stores what their addresses are made of. `stand_in` is the
    /// register that holds the guest's `r11` at the moment.
    pub(super) fn touch_memory(&mut self, instruction: &Instruction, stand_in: Option<u8>) {
        // `enter` has up to 64.
        let memories = core::mem::take(&mut self.used.memories);
        // The string's start stands for the place in it.
        self.progress.approximate |= self.simulates() && tests_bits_anywhere(instruction);
        for memory in &memories {
            self.touch(memory, stand_in);
        }
        self.used.memories = memories;
    }

    fn touch(&mut self, memory: &UsedMemory, stand_in: Option<u8>) {
        let touch = match memory.access() {
            OpAccess::Read | OpAccess::CondRead => Touch::Read,
            OpAccess::Write | OpAccess::CondWrite => Touch::Write,
            OpAccess::ReadWrite | OpAccess::ReadCondWrite => Touch::ReadWrite,
            OpAccess::None | OpAccess::NoMemAccess => return,
        };
        if matches!(touch, Touch::Read | Touch::ReadWrite) {
            self.progress.reads += 1;
        }
        if matches!(touch, Touch::Write | Touch::ReadWrite) {
            self.progress.writes += 1;
        }
        if !self.simulates() {
            return;
        }
        let mut reference = Reference {
            constant: memory.displacement(),
            base: NO_SLOT,
            index: NO_SLOT,
            shift: memory.scale().trailing_zeros() as u8,
            fs: memory.segment() == Register::FS,
            short: matches!(memory.address_size(), iced_x86::CodeSize::Code32),
            touch,
            bytes: memory.memory_size().size() as u16,
        };
        if reference.bytes == 0 {
            // Save areas, whose size depends on the processor's state.
            reference.bytes = LINE_BYTES as u16;
            self.progress.approximate = true;
        }
        if let Some(number) = registers::number(memory.base()) {
            let value = self.value(number, stand_in);
            reference.base = value.slot;
            reference.constant = reference.constant.wrapping_add(value.offset);
        }
        if memory.index() == Register::AL {
            // `xlat`: the table's start is known, which byte of it is not.
            self.progress.approximate = true;
        } else if let Some(number) = registers::number(memory.index()) {
            let value = self.value(number, stand_in);
            reference.index = value.slot;
            reference.constant = reference.constant.wrapping_add(value.offset << reference.shift);
        } else if memory.index() != Register::None {
            // Gather or scatter: the index is a vector.
            self.progress.approximate = true;
        }
        self.out.ops.push(Op::Touch(reference));
    }

    /// Where a register's present value is in the record; stores it there if it is not yet.
    pub(super) fn value(&mut self, number: u8, stand_in: Option<u8>) -> Value {
        if let Some(value) = self.values[usize::from(number)] {
            return value;
        }
        let held_in = if number == R11 { stand_in.unwrap_or(R11) } else { number };
        let slot = self.store_slot(held_in);
        let value = Value { slot, offset: 0 };
        self.values[usize::from(number)] = Some(value);
        value
    }

    pub(super) fn store_slot(&mut self, register: u8) -> u8 {
        let slot = self.progress.slots;
        self.progress.slots += 1;
        self.code.store_trace(8 + 8 * u32::from(slot), register);
        slot
    }

    /// Keeps track of which registers still are a slot plus a constant.
    pub(super) fn number_values(&mut self, instruction: &Instruction) {
        if !self.simulates() {
            return;
        }
        let destination = (instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register)
            .then(|| registers::number(instruction.op0_register()))
            .flatten();
        let known = |emitter: &Emitter, register: Register| {
            registers::number(register).and_then(|number| emitter.values[usize::from(number)])
        };
        let shifted = |value: Option<Value>, by: u64| {
            value.map(|value| Value { offset: value.offset.wrapping_add(by), ..value })
        };
        let next = match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if instruction.op1_kind() == OpKind::Register => {
                known(self, instruction.op1_register())
            }
            Code::Lea_r64_m
                if instruction.memory_index() == Register::None
                    && instruction.memory_base().is_gpr64()
                    && !instruction.is_ip_rel_memory_operand() =>
            {
                shifted(known(self, instruction.memory_base()), instruction.memory_displacement64())
            }
            Code::Add_rm64_imm8 | Code::Add_rm64_imm32 | Code::Add_RAX_imm32
                if instruction.op0_kind() == OpKind::Register =>
            {
                shifted(known(self, instruction.op0_register()), instruction.immediate(1))
            }
            Code::Sub_rm64_imm8 | Code::Sub_rm64_imm32 | Code::Sub_RAX_imm32
                if instruction.op0_kind() == OpKind::Register =>
            {
                shifted(known(self, instruction.op0_register()), instruction.immediate(1).wrapping_neg())
            }
            _ => None,
        };
        let stack = self.values[usize::from(RSP)];
        let moved_stack = match instruction.mnemonic() {
            Mnemonic::Push | Mnemonic::Pop if instruction.stack_pointer_increment().unsigned_abs() == 8 => {
                shifted(stack, instruction.stack_pointer_increment() as i64 as u64)
            }
            Mnemonic::Call | Mnemonic::Ret => {
                shifted(stack, instruction.stack_pointer_increment() as i64 as u64)
            }
            _ => None,
        };
        for (number, value) in self.values.iter_mut().enumerate() {
            if self.used.written & 1 << number != 0 {
                *value = None;
            }
        }
        if let (Some(number), Some(value)) = (destination, next) {
            self.values[usize::from(number)] = Some(value);
        } else if moved_stack.is_some() && destination != Some(RSP) {
            self.values[usize::from(RSP)] = moved_stack;
        }
    }
}

/// A bit test in memory whose bit number is in a register: it may lie far from the operand's address.
fn tests_bits_anywhere(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
        && instruction.op0_kind() == OpKind::Memory
        && instruction.op1_kind() == OpKind::Register
}
