//! Copies of the guest's instructions, with what their operands need: another register for `r11`, an address for what is relative to
//! `rip`, counts for what is repeated.

use super::*;

/// The bit of the flag AC.
const ALIGNMENT_CHECK: u8 = 18;

impl Emitter {
    /// Copies an instruction, with what its operands need.
    pub(super) fn copy(&mut self, step: &Step) {
        let instruction = &step.instruction;
        if instruction.mnemonic() == Mnemonic::Popfq {
            self.leave_before_alignment_checks(instruction);
        }
        if instruction.is_string_instruction()
            && (instruction.has_rep_prefix() || instruction.has_repne_prefix())
        {
            self.repeat(step);
            return;
        }
        if is_about_shadow_stacks(instruction) {
            return;
        }
        let Used { registers: used, written, .. } = self.used;
        let writes_r11 = written & 1 << R11 != 0;
        let uses_r11 = used & 1 << R11 != 0;
        let stand_in = uses_r11.then(|| free_register(used));
        if let Some(register) = stand_in {
            self.lend(Lent::StandIn(register));
            self.code.store_gs(at::SPILL, register);
            self.code.load_gs(register, at::R11);
        }
        self.touch_memory(instruction, stand_in);
        if stand_in.is_none() && !instruction.is_ip_rel_memory_operand() {
            self.code.raw(step.bytes());
        } else {
            let mut copy = *instruction;
            if let Some(register) = stand_in {
                replace_r11(&mut copy, register);
            }
            if copy.is_ip_rel_memory_operand() {
                self.copy_ip_relative(copy);
            } else {
                self.encode(&copy);
            }
        }
        if let Some(register) = stand_in {
            if writes_r11 {
                self.code.store_gs(at::R11, register);
            }
            self.code.load_gs(register, at::SPILL);
        }
        self.number_values(instruction);
        self.look_at_store(instruction);
        self.look_at_position(instruction);
        self.note_numbered(instruction);
    }

    /// Before a `popf` that switches alignment checks on: what the engine adds to code is not aligned, so the guest goes
    /// on natively from there. The flags are free: `popf` writes them all.
    fn leave_before_alignment_checks(&mut self, instruction: &Instruction) {
        let before = self.out.boundaries.last().expect("every instruction has been fetched").before;
        self.code.top_of_stack_to_carry(ALIGNMENT_CHECK);
        let from = self.code.jump_if(CARRY);
        let exit = self.push_as_exit(before);
        self.tails.push(Tail::Unknown { from, exit, at: instruction.ip(), slots: before.slots });
    }

    /// The code cache is too far away for the guest's displacements: the address goes into a register.
    pub(super) fn copy_ip_relative(&mut self, mut copy: Instruction) {
        let address = copy.ip_rel_memory_address();
        match copy.code() {
            Code::Lea_r64_m => {
                let number = registers::number(copy.op0_register()).expect("lea has a general register");
                self.code.load_immediate(number, address);
                return;
            }
            // Never through rsp: a signal between the two would find no stack.
            Code::Mov_r64_rm64
                if copy.segment_prefix() == Register::None && copy.op0_register() != Register::RSP =>
            {
                let number = registers::number(copy.op0_register()).expect("this mov has a general register");
                self.code.load_immediate(number, address);
                self.code.load_through(number);
                return;
            }
            _ => {}
        }
        // The address size is kept: with 32 bits a bit string wraps around sooner.
        let (base_0, base_11) = match copy.memory_base() {
            Register::EIP => (Register::EAX, Register::R11D),
            _ => (Register::RAX, Register::R11),
        };
        copy.set_memory_displacement64(0);
        copy.set_memory_displ_size(0);
        if let Some(used) = high_bytes(&copy) {
            // `ah` and its kin exist without REX prefix only, and `r11` needs one.
            let base = free_register(used);
            self.lend(Lent::Base(base));
            self.code.store_gs(at::SPILL, base);
            self.code.load_immediate(base, address);
            copy.set_memory_base(base_0 + u32::from(base));
            self.encode(&copy);
            self.code.load_gs(base, at::SPILL);
            return;
        }
        if self.simulates() {
            self.code.store_gs(at::TRACE_POINTER, R11);
        }
        self.code.load_immediate(R11, address);
        copy.set_memory_base(base_11);
        self.encode(&copy);
        if self.simulates() {
            self.code.load_gs(R11, at::TRACE_POINTER);
        }
    }

    pub(super) fn encode(&mut self, instruction: &Instruction) {
        self.encoder
            .encode(instruction, self.code.address())
            .expect("an instruction that was decoded can be encoded with another register");
        let bytes = self.encoder.take_buffer();
        self.code.raw(&bytes);
        self.encoder.set_buffer(Vec::with_capacity(16));
    }

    pub(super) fn repeat(&mut self, step: &Step) {
        let instruction = &step.instruction;
        let (source, target, element) = match instruction.mnemonic() {
            Mnemonic::Movsb => (Some(Touch::Read), Some(Touch::Write), 0),
            Mnemonic::Movsw => (Some(Touch::Read), Some(Touch::Write), 1),
            Mnemonic::Movsd => (Some(Touch::Read), Some(Touch::Write), 2),
            Mnemonic::Movsq => (Some(Touch::Read), Some(Touch::Write), 3),
            Mnemonic::Stosb => (None, Some(Touch::Write), 0),
            Mnemonic::Stosw => (None, Some(Touch::Write), 1),
            Mnemonic::Stosd => (None, Some(Touch::Write), 2),
            Mnemonic::Stosq => (None, Some(Touch::Write), 3),
            Mnemonic::Lodsb => (Some(Touch::Read), None, 0),
            Mnemonic::Lodsw => (Some(Touch::Read), None, 1),
            Mnemonic::Lodsd => (Some(Touch::Read), None, 2),
            Mnemonic::Lodsq => (Some(Touch::Read), None, 3),
            Mnemonic::Cmpsb => (Some(Touch::Read), Some(Touch::Read), 0),
            Mnemonic::Cmpsw => (Some(Touch::Read), Some(Touch::Read), 1),
            Mnemonic::Cmpsd => (Some(Touch::Read), Some(Touch::Read), 2),
            Mnemonic::Cmpsq => (Some(Touch::Read), Some(Touch::Read), 3),
            Mnemonic::Scasb => (None, Some(Touch::Read), 0),
            Mnemonic::Scasw => (None, Some(Touch::Read), 1),
            Mnemonic::Scasd => (None, Some(Touch::Read), 2),
            Mnemonic::Scasq => (None, Some(Touch::Read), 3),
            mnemonic => unreachable!("{mnemonic:?} is privileged"),
        };
        for touch in [source, target].into_iter().flatten() {
            match touch {
                Touch::Read => self.progress.reads += 1,
                _ => self.progress.writes += 1,
            }
        }
        let short = has_short_addresses(instruction);
        if self.simulates() {
            let slot = self.store_slot(RCX);
            self.store_slot(RSI);
            self.store_slot(RDI);
            self.code.raw(step.bytes());
            self.store_slot(RCX);
            self.store_slot(RSI);
            self.store_slot(RDI);
            assert_eq!(self.progress.slots, slot + REPEAT_SLOTS);
            let fs = instruction.segment_prefix() == Register::FS;
            self.out.ops.push(Op::Repeat(Repeat { slot, element, short, fs, source, target }));
        } else {
            self.lend(Lent::Repeat(element));
            self.sum_rcx(at::REPEATS_BEFORE + 8 * u32::from(element), short);
            self.code.raw(step.bytes());
            self.sum_rcx(at::REPEATS_AFTER + 8 * u32::from(element), short);
        }
        for register in [RCX, RSI, RDI, RAX] {
            self.values[usize::from(register)] = None;
        }
    }

    fn sum_rcx(&mut self, sum: u32, short: bool) {
        self.code.load_gs(R11, sum);
        if short {
            self.code.store_gs(at::SPILL, RCX);
            self.code.clear_high_half_of_rcx();
        }
        self.code.add_rcx_to_r11();
        if short {
            self.code.load_gs(RCX, at::SPILL);
        }
        self.code.store_gs(sum, R11);
    }
}

/// Shadow stacks see the calls of compiled code only, so the guest is told that there are none: `rdssp` leaves its
/// register as it is where they are off, and then nobody executes `incssp`. The unwinder of C++ exceptions asks.
fn is_about_shadow_stacks(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Rdsspd | Mnemonic::Rdsspq | Mnemonic::Incsspd | Mnemonic::Incsspq
    )
}

/// A general register that is not in the set `used`.
fn free_register(used: u16) -> u8 {
    // Never rsp; the common ones first, whose encodings are shortest.
    const CANDIDATES: [u8; 14] = [0, 2, 1, 3, 6, 7, 5, 8, 9, 10, 12, 13, 14, 15];
    CANDIDATES
        .into_iter()
        .find(|&number| used & 1 << number == 0)
        .expect("no instruction uses fourteen general registers")
}

/// The general registers that the instruction names, if one of them is `ah`, `ch`, `dh` or `bh`.
fn high_bytes(instruction: &Instruction) -> Option<u16> {
    let mut high = false;
    // `cmpxchg` uses `al` without naming it.
    let mut used = 1 << RAX;
    for operand in 0..instruction.op_count() {
        if instruction.op_kind(operand) == OpKind::Register {
            let register = instruction.op_register(operand);
            high |= matches!(register, Register::AH | Register::CH | Register::DH | Register::BH);
            used |= registers::number(register).map_or(0, |number| 1 << number);
        }
    }
    high.then_some(used)
}

/// Puts `stand_in` wherever the instruction names `r11`.
pub(super) fn replace_r11(instruction: &mut Instruction, stand_in: u8) {
    for operand in 0..instruction.op_count() {
        if instruction.op_kind(operand) == OpKind::Register {
            let register = instruction.op_register(operand);
            if registers::number(register) == Some(R11) {
                instruction.set_op_register(operand, registers::part(stand_in, register));
            }
        }
    }
    if registers::number(instruction.memory_base()) == Some(R11) {
        let base = instruction.memory_base();
        instruction.set_memory_base(registers::part(stand_in, base));
    }
    if registers::number(instruction.memory_index()) == Some(R11) {
        let index = instruction.memory_index();
        instruction.set_memory_index(registers::part(stand_in, index));
    }
}

/// A string instruction with an address-size override: it uses `esi`, `edi` and `ecx`.
fn has_short_addresses(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|operand| {
        matches!(
            instruction.op_kind(operand),
            OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI
        )
    })
}
