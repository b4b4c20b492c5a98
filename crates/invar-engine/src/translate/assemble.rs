//! The few instructions that generated code is made of besides the guest's own, as bytes.
//!
//! Every function appends one instruction; encodings are from the manufacturers' manuals. None of them changes a
//! flag except [`Assembler::compare_r11`], [`Assembler::compare_gs_with_zero`], [`Assembler::sahf`] and [`Assembler::add_al`].

use alloc::vec::Vec;

use crate::host::layout::ARENA;

/// Code that will stand at a known address.
#[derive(Debug, Default)]
pub struct Assembler {
    /// What has been appended.
    pub bytes: Vec<u8>,
    /// Where the first byte will stand.
    pub origin: u64,
}

impl Assembler {
    /// Nothing yet, to stand at `origin`.
    pub fn new(origin: u64) -> Assembler {
        Assembler { bytes: Vec::with_capacity(1024), origin }
    }

    /// Offset of the next byte.
    pub fn here(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Address of the next byte.
    pub fn address(&self) -> u64 {
        self.origin + self.bytes.len() as u64
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn imm32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// `mov gs:[offset], register`
    pub fn store_gs(&mut self, offset: u32, register: u8) {
        self.gs_operand(0x48, 0x89, register, offset);
    }

    /// `mov register, gs:[offset]`
    pub fn load_gs(&mut self, register: u8, offset: u32) {
        self.gs_operand(0x48, 0x8b, register, offset);
    }

    /// `cmp r11, gs:[offset]`
    pub fn compare_r11(&mut self, offset: u32) {
        self.gs_operand(0x48, 0x3b, 11, offset);
    }

    /// `mov dword ptr gs:[offset], value`
    pub fn store_gs_u32(&mut self, offset: u32, value: u32) {
        self.raw(&[0x65, 0xc7, 0x04, 0x25]);
        self.imm32(offset);
        self.imm32(value);
    }

    /// `jmp gs:[offset]`
    pub fn jump_gs(&mut self, offset: u32) {
        self.raw(&[0x65, 0xff, 0x24, 0x25]);
        self.imm32(offset);
    }

    /// `jmp gs:[register * 8 + offset]`
    pub fn jump_table(&mut self, register: u8, offset: u32) {
        self.raw(&[0x65]);
        if register >= 8 {
            self.raw(&[0x42]);
        }
        self.raw(&[0xff, 0x24, 0xc5 | (register & 7) << 3]);
        self.imm32(offset);
    }

    fn gs_operand(&mut self, rex: u8, opcode: u8, register: u8, offset: u32) {
        let rex = rex | (register >> 3) << 2;
        self.raw(&[0x65, rex, opcode, 0x04 | (register & 7) << 3, 0x25]);
        self.imm32(offset);
    }

    /// `mov register, value`, in the shortest form.
    pub fn load_immediate(&mut self, register: u8, value: u64) {
        let high = register >> 3;
        if let Ok(value) = u32::try_from(value) {
            if high != 0 {
                self.raw(&[0x41]);
            }
            self.raw(&[0xb8 | register & 7]);
            self.imm32(value);
        } else {
            self.raw(&[0x48 | high, 0xb8 | register & 7]);
            self.raw(&value.to_le_bytes());
        }
    }

    /// `mov [r11 + offset], register`
    pub fn store_trace(&mut self, offset: u32, register: u8) {
        let rex = 0x49 | (register >> 3) << 2;
        self.based_on_r11(&[rex, 0x89], register & 7, offset);
    }

    /// `mov qword ptr [r11], value`, zero-extended from 31 bits.
    pub fn store_trace_head(&mut self, value: u32) {
        assert!(value < 1 << 31);
        self.raw(&[0x49, 0xc7, 0x03]);
        self.imm32(value);
    }

    /// `lea r11, [r11 + offset]`
    pub fn advance_trace(&mut self, offset: u32) {
        self.based_on_r11(&[0x4d, 0x8d], 3, offset);
    }

    fn based_on_r11(&mut self, opcode: &[u8], register: u8, offset: u32) {
        self.raw(opcode);
        if offset < 0x80 {
            self.raw(&[0x43 | register << 3, offset as u8]);
        } else {
            self.raw(&[0x83 | register << 3]);
            self.imm32(offset);
        }
    }

    /// `lea r11, [r11 + offset]`
    pub fn advance_r11(&mut self, offset: i8) {
        self.raw(&[0x4d, 0x8d, 0x5b, offset as u8]);
    }

    /// `cmp qword ptr gs:[offset], 0`
    pub fn compare_gs_with_zero(&mut self, offset: u32) {
        self.raw(&[0x65, 0x48, 0x83, 0x3c, 0x25]);
        self.imm32(offset);
        self.raw(&[0]);
    }

    /// `lea r11, [r11 + rcx]`
    pub fn add_rcx_to_r11(&mut self) {
        self.raw(&[0x4d, 0x8d, 0x1c, 0x0b]);
    }

    /// `mov ecx, ecx`
    pub fn clear_high_half_of_rcx(&mut self) {
        self.raw(&[0x89, 0xc9]);
    }

    /// `lea rcx, [rcx + register]`
    pub fn add_to_rcx(&mut self, register: u8) {
        self.raw(&[0x48 | (register >> 3) << 1, 0x8d, 0x0c, 0x01 | (register & 7) << 3]);
    }

    /// `mov rcx, register`
    pub fn copy_to_rcx(&mut self, register: u8) {
        self.raw(&[0x48 | (register >> 3) << 2, 0x89, 0xc1 | (register & 7) << 3]);
    }

    /// `mov rcx, rax`
    pub fn copy_rax_to_rcx(&mut self) {
        self.copy_to_rcx(0);
    }

    /// `mov register, [register]`
    pub fn load_through(&mut self, register: u8) {
        let high = register >> 3;
        let low = register & 7;
        // r12 needs a SIB byte, rbp and r13 a displacement; a displacement and SIB serve all.
        self.raw(&[0x48 | high << 2 | high, 0x8b, 0x44 | low << 3, 0x20 | low, 0]);
    }

    /// `pop rcx`
    pub fn pop_rcx(&mut self) {
        self.raw(&[0x59]);
    }

    /// `lea rsp, [rsp + offset]`
    pub fn advance_stack(&mut self, offset: u32) {
        self.raw(&[0x48, 0x8d, 0xa4, 0x24]);
        self.imm32(offset);
    }

    /// Puts the hash of `rcx` into `register`: the index in the indirect-branch table. See [`hash`].
    pub fn hash_rcx(&mut self, register: u8, rorx: bool) {
        let (high, low) = (register >> 3, register & 7);
        if rorx {
            self.raw(&[0xc4, 0xe3 ^ high << 7, 0x7b, 0xf0, 0xc1 | low << 3, 0x02]); // rorx register, ecx, 2
            self.raw(&[0x40 | high << 2 | high, 0x0f, 0xb7, 0xc0 | low << 3 | low]); // movzx register, its low half
        } else {
            self.raw(&[0x40 | high << 2, 0x0f, 0xb7, 0xc1 | low << 3]); // movzx register, cx
        }
    }

    /// `jrcxz` over the next `bytes` bytes.
    pub fn skip_if_rcx_zero(&mut self, bytes: u8) {
        self.raw(&[0xe3, bytes]);
    }

    /// `push qword ptr [rip + ...]`; returns the offset of its displacement, for [`Assembler::bind`].
    pub fn push_literal(&mut self) -> u32 {
        self.raw(&[0xff, 0x35]);
        self.imm32(0);
        self.here() - 4
    }

    /// `jmp qword ptr [rip + ...]`; returns the offset of its displacement.
    pub fn jump_literal(&mut self) -> u32 {
        self.raw(&[0xff, 0x25]);
        self.imm32(0);
        self.here() - 4
    }

    /// `jmp`; returns the offset of its displacement.
    pub fn jump(&mut self) -> u32 {
        self.raw(&[0xe9]);
        self.imm32(0);
        self.here() - 4
    }

    /// `jmp` to a host address.
    pub fn jump_to(&mut self, host: u64) {
        let displacement = host.wrapping_sub(self.address() + 5) as i64;
        let displacement = i32::try_from(displacement).expect("the code cache is smaller than 2 GiB");
        self.raw(&[0xe9]);
        self.raw(&displacement.to_le_bytes());
    }

    /// `jcc` by the hardware number of its condition; returns the offset of its displacement.
    pub fn jump_if(&mut self, condition: u8) -> u32 {
        self.raw(&[0x0f, 0x80 | condition]);
        self.imm32(0);
        self.here() - 4
    }

    /// `jcc` to a host address.
    pub fn jump_to_if(&mut self, condition: u8, host: u64) {
        let displacement = host.wrapping_sub(self.address() + 6) as i64;
        let displacement = i32::try_from(displacement).expect("the code cache is smaller than 2 GiB");
        self.raw(&[0x0f, 0x80 | condition]);
        self.raw(&displacement.to_le_bytes());
    }

    /// `call` of a host address.
    pub fn call(&mut self, host: u64) {
        let displacement = host.wrapping_sub(self.address() + 5) as i64;
        let displacement = i32::try_from(displacement).expect("the code cache is smaller than 2 GiB");
        self.raw(&[0xe8]);
        self.raw(&displacement.to_le_bytes());
    }

    /// Lets the displacement at `patch` point to the next byte.
    pub fn bind(&mut self, patch: u32) {
        let displacement = self.here() - (patch + 4);
        let patch = patch as usize;
        self.bytes[patch..patch + 4].copy_from_slice(&displacement.to_le_bytes());
    }

    /// `bt dword ptr [rsp], bit`: changes the flags.
    pub fn top_of_stack_to_carry(&mut self, bit: u8) {
        self.raw(&[0x0f, 0xba, 0x24, 0x24, bit]);
    }

    /// `mov register, [rip + ...]`: a field of the context, whatever the `gs` base is.
    pub fn load_context(&mut self, register: u8, offset: u32) {
        self.raw(&[0x48 | (register >> 3) << 2, 0x8b, 5 | (register & 7) << 3]);
        self.context_operand(offset);
    }

    /// `jmp [rip + ...]`: to the address in a field of the context.
    pub fn jump_context(&mut self, offset: u32) {
        self.raw(&[0xff, 0x25]);
        self.context_operand(offset);
    }

    fn context_operand(&mut self, offset: u32) {
        let next = self.address() + 4;
        self.imm32((ARENA + u64::from(offset)).wrapping_sub(next) as u32);
    }

    /// `lahf; seto al`: the flags in `ax`.
    pub fn flags_to_ax(&mut self) {
        self.raw(&[0x9f, 0x0f, 0x90, 0xc0]);
    }

    /// `add al, 0x7f; sahf`: the flags back from `ax`; the addition overflows exactly if `al` is one.
    pub fn flags_from_ax(&mut self) {
        self.raw(&[0x04, 0x7f, 0x9e]);
    }
}

/// The condition "carry".
pub const CARRY: u8 = 2;

/// The condition "sign".
pub const NEGATIVE: u8 = 8;

/// The condition "above", of an unsigned comparison.
pub const ABOVE: u8 = 7;

/// The index of a guest address in the indirect-branch table. Generated code computes the same.
pub fn hash(target: u64, rorx: bool) -> usize {
    (if rorx { (target as u32).rotate_right(2) & 0xffff } else { target as u32 & 0xffff }) as usize
}
