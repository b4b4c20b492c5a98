//! What thunks do so that calls are followed: count the exit's row, and keep the calls that are open.
//!
//! Only what is usual: the row is at its place, a return is that of the innermost call, a call is near to it on the stack, the
//! callee is known. Whatever else is left to callbacks, which know it all and put it where the next thunk finds it
//! ([`crate::account`]).

use alloc::vec::Vec;
use core::mem::offset_of;

use crate::account::exits::{Follow, OPEN_MAX, Shift};
use crate::account::ledger::ONE_STACK;
use crate::account::rows::CHILD_STRIDE;
use crate::host::context::at;
use crate::host::following::{Child, Frame, LEADS_PER_ROW, PLACE, Position, Row};
use crate::host::layout;
use crate::translate::assemble::Assembler;
use crate::translate::emit::NO_FRAME;
use crate::translate::{Placed, Told};

/// A condition, as the hardware numbers it.
const BELOW: u8 = 2;
const NOT_BELOW: u8 = 3;
const EQUAL: u8 = 4;
const NOT_EQUAL: u8 = 5;

const RAX: u8 = 0;
const RDX: u8 = 2;
const RBX: u8 = 3;
const RSI: u8 = 6;

const CALL: u32 = at::POSITION + offset_of!(Position, call) as u32;
const TOP: u32 = at::POSITION + offset_of!(Position, top) as u32;
const FLOOR: u32 = at::POSITION + offset_of!(Position, floor) as u32;
const POINTER: u32 = at::POSITION + offset_of!(Position, pointer) as u32;
const FRAME: u32 = at::POSITION + offset_of!(Position, frame) as u32;
const FUNCTION: u32 = at::POSITION + offset_of!(Position, function) as u32;
const CODE: u32 = at::POSITION + offset_of!(Position, code) as u32;
const LEADS_LOG: u8 = size_of::<[u32; LEADS_PER_ROW]>().trailing_zeros() as u8;
const CHILD_LOG: u8 = size_of::<Child>().trailing_zeros() as u8;
const _: () =
    assert!(1 << LEADS_LOG == size_of::<[u32; LEADS_PER_ROW]>() && 1 << CHILD_LOG == size_of::<Child>());
const FRAME_BYTES: u8 = size_of::<Frame>() as u8;

/// Jumps to what is not usual behind a record's data.
pub(super) struct Asides {
    /// Whoever was called is not known.
    enter: Vec<u32>,
    /// A Python frame was stored, or a position whose line is not known.
    look: Vec<u32>,
}

/// Can a thunk follow this exit at all?
pub(super) fn is_usual(follow: &Follow, row: u32) -> bool {
    follow.shift.is_some() && (row as usize) < layout::ROWS_MAX
}

impl Assembler {
    /// All that there is to do for a record of so many bytes, by a callback; goes on with the next.
    pub(super) fn step(&mut self, bytes: u32) {
        self.raw(&[0x4c, 0x89, 0xe6]); // mov rsi, r12
        self.call_back(at::DRAIN_STEP);
        self.next_record(bytes);
    }

    /// Counts the exit within the call at work. Returns jumps to where that cannot be done here; nothing has changed then.
    pub(super) fn count_row(&mut self, follow: &Follow, row: u32) -> Vec<u32> {
        let mut unusual = Vec::new();
        match follow.shift {
            Some(Shift::Return(pointer)) => {
                self.load_top();
                self.load_told(pointer);
                self.raw(&[0x48, 0x39, 0x46, FRAME_BYTES.wrapping_neg()]); // cmp [rsi - 16], rax
                unusual.push(self.jump_if(NOT_EQUAL));
                self.raw(&[0x48, 0x8d, 0x56, FRAME_BYTES.wrapping_neg()]); // lea rdx, [rsi - 16]
                self.raw(&[0x49, 0x3b, 0x96]); // cmp rdx, [r14 + ...]
                self.raw(&FLOOR.to_le_bytes());
                unusual.push(self.jump_if(BELOW));
            }
            Some(Shift::Calls { pointers, direct, indirect }) if direct > 0 || indirect => {
                const LAST: u32 =
                    layout::FRAMES + layout::FRAMES_BYTES - OPEN_MAX as u32 * FRAME_BYTES as u32;
                self.load_top();
                self.load_told(pointers[0]);
                self.raw(&[0x81, 0xfe]); // cmp esi, ...: the arena's address has no low bits
                self.raw(&LAST.to_le_bytes());
                unusual.push(self.jump_if(NOT_BELOW));
                self.raw(&[0x48, 0x8b, 0x56, FRAME_BYTES.wrapping_neg()]); // mov rdx, [rsi - 16]
                self.raw(&[0x48, 0x29, 0xc2]); // sub rdx, rax
                self.raw(&[0x48, 0xff, 0xca]); // dec rdx
                self.raw(&[0x48, 0x81, 0xfa]); // cmp rdx, ...
                self.raw(&(ONE_STACK - 1).to_le_bytes());
                unusual.push(self.jump_if(NOT_BELOW));
            }
            _ => {}
        }
        self.place_of_row(row);
        self.raw(&[0x41, 0x39, 0x9c, 0xc6]); // cmp [r14 + rax * 8 + ...], ebx
        self.raw(&layout::ROWS.to_le_bytes());
        unusual.push(self.jump_if(NOT_EQUAL));
        self.raw(&[0x41, 0xff, 0x84, 0xc6]); // inc dword ptr [r14 + rax * 8 + ...]
        self.raw(&(layout::ROWS + offset_of!(Row, times) as u32).to_le_bytes());
        unusual
    }

    /// Changes the call at work as the exit does. `bytes` is the length of its record.
    pub(super) fn change_call(&mut self, follow: &Follow, row: u32, bytes: u32) -> Asides {
        let mut asides = Asides { enter: Vec::new(), look: Vec::new() };
        match follow.shift {
            Some(Shift::Return(_)) => {
                self.load_top();
                self.raw(&[0x48, 0x8b, 0x56, FRAME_BYTES.wrapping_neg()]); // mov rdx, [rsi - 16]
                self.raw(&[0x48, 0x8b, 0x5e, (FRAME_BYTES - 8).wrapping_neg()]); // mov rbx, [rsi - 8]
                self.raw(&[0x48, 0x83, 0xee, FRAME_BYTES]); // sub rsi, 16
                self.store_top();
                self.raw(&[0x49, 0x89, 0x96]); // mov [r14 + ...], rdx
                self.raw(&POINTER.to_le_bytes());
            }
            Some(Shift::Calls { pointers, direct, indirect }) if direct > 0 || indirect => {
                if direct > 0 {
                    self.place_of_row(row);
                    self.raw(&[0x89, 0xc7, 0xc1, 0xe7, LEADS_LOG]); // mov edi, eax; shl edi, ...
                }
                self.load_top();
                let open = direct + usize::from(indirect);
                for (&pointer, index) in pointers[..open].iter().zip(0..) {
                    let place = index * FRAME_BYTES;
                    self.load_told(pointer);
                    self.raw(&[0x48, 0x89, 0x46, place]); // mov [rsi + ...], rax
                    self.raw(&[0x48, 0x89, 0x5e, place + 8]); // mov [rsi + ...], rbx
                    if index == 0 {
                        self.raw(&[0x49, 0x89, 0x86]); // mov [r14 + ...], rax
                        self.raw(&POINTER.to_le_bytes());
                    }
                    if usize::from(index) < direct {
                        self.raw(&[0x41, 0x8b, 0x9c, 0x3e]); // mov ebx, [r14 + rdi + ...]
                        self.raw(&(layout::LEADS + 4 * u32::from(index)).to_le_bytes());
                    }
                }
                self.raw(&[0x48, 0x83, 0xc6, open as u8 * FRAME_BYTES]); // add rsi, ...
                self.store_top();
                if indirect {
                    self.find_child(bytes, &mut asides.enter);
                }
            }
            _ => {}
        }
        if let Some(slot) = follow.watched {
            const { assert!(NO_FRAME == u64::MAX) };
            self.raw(&[0x49, 0x83, 0xbc, 0x24]); // cmp qword ptr [r12 + ...], -1
            self.raw(&(8 + 8 * u32::from(slot)).to_le_bytes());
            self.raw(&[0xff]);
            asides.look.push(self.jump_if(NOT_EQUAL));
        }
        if let Some(placed) = follow.placed {
            self.find_line(placed, &mut asides.look);
        }
        asides
    }

    /// What stands behind the straight line. `next` is the offset of what goes on with the next record.
    pub(super) fn finish_following(&mut self, unusual: Vec<u32>, asides: &Asides, bytes: u32, next: u32) {
        let next = self.origin + u64::from(next);
        if !unusual.is_empty() {
            unusual.into_iter().for_each(|from| self.bind(from));
            self.step(bytes);
        }
        if !asides.enter.is_empty() {
            asides.enter.iter().for_each(|&from| self.bind(from));
            self.raw(&[0x49, 0x8d, 0xb4, 0x24]); // lea rsi, [r12 + ...]
            self.raw(&bytes.to_le_bytes());
            self.call_back(at::DRAIN_ENTER);
            self.jump_to(next);
        }
        if !asides.look.is_empty() {
            asides.look.iter().for_each(|&from| self.bind(from));
            self.raw(&[0x4c, 0x89, 0xe6]); // mov rsi, r12
            self.call_back(at::DRAIN_LOOK);
            self.jump_to(next);
        }
    }

    /// Calls back, with `rsi` as it is; the position is told, and may have changed.
    fn call_back(&mut self, callback: u32) {
        self.raw(&[0x49, 0x89, 0x9e]); // mov [r14 + ...], rbx
        self.raw(&CALL.to_le_bytes());
        self.raw(&[0x4c, 0x89, 0xef]); // mov rdi, r13
        self.raw(&[0x41, 0xff, 0x96]); // call [r14 + ...]
        self.raw(&callback.to_le_bytes());
        self.raw(&[0x49, 0x8b, 0x9e]); // mov rbx, [r14 + ...]
        self.raw(&CALL.to_le_bytes());
    }

    /// `rsi` = the address behind the innermost open call.
    fn load_top(&mut self) {
        self.raw(&[0x49, 0x8b, 0xb6]); // mov rsi, [r14 + ...]
        self.raw(&TOP.to_le_bytes());
    }

    fn store_top(&mut self) {
        self.raw(&[0x49, 0x89, 0xb6]); // mov [r14 + ...], rsi
        self.raw(&TOP.to_le_bytes());
    }

    /// `rax` = what a record tells.
    fn load_told(&mut self, told: Told) {
        self.load_slot(RAX, told.slot);
        let constant = told.constant as i64;
        if let Ok(constant) = i32::try_from(constant) {
            self.raw(&[0x48, 0x05]); // add rax, ...
            self.raw(&constant.to_le_bytes());
        } else {
            self.load_immediate(RDX, told.constant);
            self.raw(&[0x48, 0x01, 0xd0]); // add rax, rdx
        }
    }

    /// `eax` = the place of the row of the call at work and this exit, which rows know by this number.
    fn place_of_row(&mut self, row: u32) {
        self.raw(&[0x8d, 0x83]); // lea eax, [rbx + ...]
        self.raw(&row.to_le_bytes());
        self.raw(&[0x25]); // and eax, ...
        self.raw(&(layout::ROWS_MAX as u32 - 1).to_le_bytes());
    }

    /// `ebx` = the line of the interpreter's current frame, if that is at work and its position was stored. It is entered if
    /// another was at work.
    fn find_line(&mut self, placed: Placed, unusual: &mut Vec<u32>) {
        self.load_told(placed.frame);
        self.raw(&[0x49, 0x3b, 0x86]); // cmp rax, [r14 + ...]
        self.raw(&FRAME.to_le_bytes());
        let elsewhere = self.jump_if(NOT_EQUAL);
        self.load_top();
        self.raw(&[0x49, 0x3b, 0xb6]); // cmp rsi, [r14 + ...]
        self.raw(&FLOOR.to_le_bytes());
        let deeper = self.jump_if(NOT_EQUAL);
        self.load_told(placed.position);
        self.raw(&[0x41, 0x2b, 0x86]); // sub eax, [r14 + ...]
        self.raw(&CODE.to_le_bytes());
        self.raw(&[0x0d]); // or eax, ...
        self.raw(&PLACE.to_le_bytes());
        self.raw(&[0x41, 0x8b, 0xb6]); // mov esi, [r14 + ...]
        self.raw(&FUNCTION.to_le_bytes());
        self.find_place(RSI);
        self.raw(&[0x41, 0x39, 0xb4, 0x16]); // cmp [r14 + rdx + ...], esi
        self.raw(&layout::CHILDREN.to_le_bytes());
        unusual.push(self.jump_if(NOT_EQUAL));
        self.raw(&[0x41, 0x39, 0x84, 0x16]); // cmp [r14 + rdx + ...], eax
        self.raw(&(layout::CHILDREN + offset_of!(Child, block) as u32).to_le_bytes());
        unusual.push(self.jump_if(NOT_EQUAL));
        self.raw(&[0x41, 0x8b, 0x84, 0x16]); // mov eax, [r14 + rdx + ...]
        self.raw(&(layout::CHILDREN + offset_of!(Child, child) as u32).to_le_bytes());
        self.raw(&[0x39, 0xd8]); // cmp eax, ebx
        let same = self.jump_if(EQUAL);
        self.raw(&[0x41, 0xff, 0x84, 0x16]); // inc dword ptr [r14 + rdx + ...]
        self.raw(&(layout::CHILDREN + offset_of!(Child, times) as u32).to_le_bytes());
        self.raw(&[0x89, 0xc3]); // mov ebx, eax
        [elsewhere, deeper, same].into_iter().for_each(|from| self.bind(from));
    }

    /// `rdx` = the offset among children of that of the call named by a register and the key in `eax`.
    fn find_place(&mut self, register: u8) {
        self.raw(&[0x69, 0xd0 | register]); // imul edx, register, ...
        self.raw(&CHILD_STRIDE.to_le_bytes());
        self.raw(&[0x01, 0xc2]); // add edx, eax
        self.raw(&[0x81, 0xe2]); // and edx, ...
        self.raw(&(layout::CHILDREN_MAX as u32 - 1).to_le_bytes());
        self.raw(&[0xc1, 0xe2, CHILD_LOG]); // shl edx, ...
    }

    /// `ebx` = the call that is at work in the record behind this one of so many bytes, where the call at work has called it.
    fn find_child(&mut self, bytes: u32, unusual: &mut Vec<u32>) {
        self.raw(&[0x41, 0x8b, 0x84, 0x24]); // mov eax, [r12 + ...]: the exit
        self.raw(&bytes.to_le_bytes());
        self.raw(&[0x41, 0x8b, 0x84, 0x86]); // mov eax, [r14 + rax * 4 + ...]: its superblock
        self.raw(&layout::BLOCKS.to_le_bytes());
        self.find_place(RBX);
        self.raw(&[0x41, 0x39, 0x9c, 0x16]); // cmp [r14 + rdx + ...], ebx
        self.raw(&layout::CHILDREN.to_le_bytes());
        unusual.push(self.jump_if(NOT_EQUAL));
        self.raw(&[0x41, 0x39, 0x84, 0x16]); // cmp [r14 + rdx + ...], eax
        self.raw(&(layout::CHILDREN + offset_of!(Child, block) as u32).to_le_bytes());
        unusual.push(self.jump_if(NOT_EQUAL));
        self.raw(&[0x41, 0xff, 0x84, 0x16]); // inc dword ptr [r14 + rdx + ...]
        self.raw(&(layout::CHILDREN + offset_of!(Child, times) as u32).to_le_bytes());
        self.raw(&[0x41, 0x8b, 0x9c, 0x16]); // mov ebx, [r14 + rdx + ...]
        self.raw(&(layout::CHILDREN + offset_of!(Child, child) as u32).to_le_bytes());
    }
}
