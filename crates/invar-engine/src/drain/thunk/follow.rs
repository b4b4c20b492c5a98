//! What thunks do so that calls are followed: count the exit's row, and keep the calls that are open.
//!
//! Only what is usual: the row is at its place, a return is that of the innermost call, a call is near to it on the stack, the
//! callee is known. Whatever else is left to callbacks, which know it all and put it where the next thunk finds it
//! ([`crate::account`]).

use core::mem::offset_of;

use super::{ENTER, LOOK, STEP};
use crate::account::exits::{Follow, OPEN_MAX, Shift};
use crate::account::ledger::ONE_STACK;
use crate::account::rows::CHILD_STRIDE;
use crate::host::context::at;
use crate::host::following::{Child, Frame, LEADS_PER_ROW, PLACE, Position, Row};
use crate::host::layout;
use crate::translate::assemble::Assembler;
use crate::translate::{Placed, Told};

/// A condition, as the hardware numbers it.
const NOT_BELOW: u8 = 3;
const EQUAL: u8 = 4;
const NOT_EQUAL: u8 = 5;
const NOT_ABOVE: u8 = 6;

const RAX: u8 = 0;
const RBX: u8 = 3;
const RSI: u8 = 6;
const RDI: u8 = 7;

/// Where the context has the call at work while thunks do not run.
pub const CALL: u32 = at::POSITION + offset_of!(Position, call) as u32;
/// The same of the address behind the innermost open call.
pub const TOP: u32 = at::POSITION + offset_of!(Position, top) as u32;
/// The same of the address which a usual return is above.
pub const FLOOR: u32 = at::POSITION + offset_of!(Position, floor) as u32;
/// The same of the address behind the innermost Python frame.
pub const PYTHON_TOP: u32 = at::POSITION + offset_of!(Position, python_top) as u32;
const POINTER: u32 = at::POSITION + offset_of!(Position, pointer) as u32;
const FRAME: u32 = at::POSITION + offset_of!(Position, frame) as u32;
const FUNCTION: u32 = at::POSITION + offset_of!(Position, function) as u32;
const CODE: u32 = at::POSITION + offset_of!(Position, code) as u32;
const CHILD_LOG: u8 = size_of::<Child>().trailing_zeros() as u8;
const _: () = assert!(1 << CHILD_LOG == size_of::<Child>() && OPEN_MAX == LEADS_PER_ROW + 1);
/// Bytes of the leads of one index.
const LEADS_BYTES: u32 = 4 * layout::ROWS_MAX as u32;
const FRAME_BYTES: u8 = size_of::<Frame>() as u8;

/// Can a thunk follow this exit at all?
pub(super) fn is_usual(follow: &Follow, row: u32) -> bool {
    follow.shift.is_some() && (row as usize) < layout::ROWS_MAX
}

impl Assembler {
    /// Counts the exit within the call at work, and changes that as the exit does, but for a callee that is not known yet. Did it
    /// change? Then `r8d` is the one before. Where that cannot be done here it is left to the ledger; nothing has changed then.
    pub(super) fn follow_call(&mut self, follow: &Follow, row: u32) -> bool {
        match follow.shift {
            Some(Shift::Return(pointer)) => {
                self.load_told(pointer);
                self.raw(&[0x49, 0x39, 0x45, FRAME_BYTES.wrapping_neg()]); // cmp [r13 - 16], rax
                self.jump_to_if(NOT_EQUAL, STEP);
                self.raw(&[0x4d, 0x3b, 0xae]); // cmp r13, [r14 + ...]
                self.raw(&FLOOR.to_le_bytes());
                self.jump_to_if(NOT_ABOVE, STEP);
                self.count_row(row);
                self.raw(&[0x41, 0x89, 0xd8]); // mov r8d, ebx
                self.raw(&[0x49, 0x8b, 0x5d, (FRAME_BYTES - 8).wrapping_neg()]); // mov rbx, [r13 - 8]
                self.raw(&[0x49, 0x83, 0xed, FRAME_BYTES]); // sub r13, 16
                self.store_pointer();
                true
            }
            Some(Shift::Calls { pointers, direct, indirect }) if direct > 0 || indirect => {
                const LAST: u32 =
                    layout::FRAMES + layout::FRAMES_BYTES - OPEN_MAX as u32 * FRAME_BYTES as u32;
                self.load_told(pointers[0]);
                self.raw(&[0x41, 0x81, 0xfd]); // cmp r13d, ...: the arena's address has no low bits
                self.raw(&LAST.to_le_bytes());
                self.jump_to_if(NOT_BELOW, STEP);
                self.raw(&[0x49, 0x8b, 0x55, FRAME_BYTES.wrapping_neg()]); // mov rdx, [r13 - 16]
                self.raw(&[0x48, 0x29, 0xc2]); // sub rdx, rax
                self.raw(&[0x48, 0xff, 0xca]); // dec rdx
                self.raw(&[0x48, 0x81, 0xfa]); // cmp rdx, ...
                self.raw(&(ONE_STACK - 1).to_le_bytes());
                self.jump_to_if(NOT_BELOW, STEP);
                self.count_row(row);
                self.raw(&[0x41, 0x89, 0xd8]); // mov r8d, ebx
                self.store_pointer();
                let open = direct + usize::from(indirect);
                for (&pointer, index) in pointers[..open].iter().zip(0..) {
                    let place = index * FRAME_BYTES;
                    if index > 0 {
                        self.load_told(pointer);
                    }
                    self.raw(&[0x49, 0x89, 0x45, place]); // mov [r13 + ...], rax
                    self.raw(&[0x49, 0x89, 0x5d, place + 8]); // mov [r13 + ...], rbx
                    if usize::from(index) < direct {
                        self.raw(&[0x41, 0x8b, 0x9c, 0x96]); // mov ebx, [r14 + rdx * 4 + ...]
                        self.raw(&(layout::LEADS + LEADS_BYTES * u32::from(index)).to_le_bytes());
                    }
                }
                self.raw(&[0x49, 0x83, 0xc5, open as u8 * FRAME_BYTES]); // add r13, ...
                true
            }
            _ => {
                self.count_row(row);
                false
            }
        }
    }

    /// What is to be done when the record's operations were gone through. `bytes` is the length of the record. Goes on with the next.
    pub(super) fn follow_on(&mut self, follow: &Follow, bytes: u32) {
        if let Some(Shift::Calls { indirect: true, .. }) = follow.shift {
            self.find_child(bytes);
        }
        if let Some(slot) = follow.watched {
            if follow.placed.is_some() {
                self.jump_to(LOOK);
                return;
            }
            self.load_slot(RAX, slot);
            self.load_slot(RDI, slot + 1);
            self.load_immediate(RSI, u64::from(bytes));
            self.raw(&[0x41, 0xff, 0xa6]); // jmp [r14 + ...]
            self.raw(&at::DRAIN_FRAME.to_le_bytes());
            return;
        }
        if let Some(placed) = follow.placed {
            self.find_line(placed);
        }
        self.next_record(bytes);
    }

    /// Counts the exit within the call at work; `edx` is the place of its row then. Or leaves the record to the ledger, as a row
    /// that is not at its place.
    fn count_row(&mut self, row: u32) {
        self.raw(&[0x8d, 0x93]); // lea edx, [rbx + ...]
        self.raw(&row.to_le_bytes());
        self.raw(&[0x81, 0xe2]); // and edx, ...
        self.raw(&(layout::ROWS_MAX as u32 - 1).to_le_bytes());
        self.raw(&[0x41, 0x39, 0x9c, 0xd6]); // cmp [r14 + rdx * 8 + ...], ebx
        self.raw(&layout::ROWS.to_le_bytes());
        self.jump_to_if(NOT_EQUAL, STEP);
        self.raw(&[0x41, 0xff, 0x84, 0xd6]); // inc dword ptr [r14 + rdx * 8 + ...]
        self.raw(&(layout::ROWS + offset_of!(Row, times) as u32).to_le_bytes());
    }

    /// Calls back for the record; the position is told, and may have changed. `rax` is the record's length.
    pub(super) fn leave_to_ledger(&mut self, callback: u32) {
        self.raw(&[0x49, 0x89, 0x9e]); // mov [r14 + ...], rbx
        self.raw(&CALL.to_le_bytes());
        self.raw(&[0x4d, 0x89, 0xae]); // mov [r14 + ...], r13
        self.raw(&TOP.to_le_bytes());
        self.call_back(callback);
        self.raw(&[0x49, 0x8b, 0x9e]); // mov rbx, [r14 + ...]
        self.raw(&CALL.to_le_bytes());
        self.raw(&[0x4d, 0x8b, 0xae]); // mov r13, [r14 + ...]
        self.raw(&TOP.to_le_bytes());
    }

    /// The stack pointer was at `rax` last.
    fn store_pointer(&mut self) {
        self.raw(&[0x49, 0x89, 0x86]); // mov [r14 + ...], rax
        self.raw(&POINTER.to_le_bytes());
    }

    /// `rax` = what a record tells. Changes `rsi`.
    fn load_told(&mut self, told: Told) {
        self.load_slot(RAX, told.slot);
        let constant = told.constant as i64;
        if constant == 0 {
        } else if let Ok(constant) = i8::try_from(constant) {
            self.raw(&[0x48, 0x83, 0xc0, constant as u8]); // add rax, ...
        } else if let Ok(constant) = i32::try_from(constant) {
            self.raw(&[0x48, 0x05]); // add rax, ...
            self.raw(&constant.to_le_bytes());
        } else {
            self.load_immediate(RSI, told.constant);
            self.raw(&[0x48, 0x01, 0xf0]); // add rax, rsi
        }
    }

    /// `ebx` = the line of the interpreter's current frame, if that is at work and its position was stored. It is entered if
    /// another was at work.
    fn find_line(&mut self, placed: Placed) {
        self.load_told(placed.frame);
        self.raw(&[0x49, 0x3b, 0x86]); // cmp rax, [r14 + ...]
        self.raw(&FRAME.to_le_bytes());
        let elsewhere = self.jump_if(NOT_EQUAL);
        self.raw(&[0x4d, 0x3b, 0xae]); // cmp r13, [r14 + ...]
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
        self.jump_to_if(NOT_EQUAL, LOOK);
        self.raw(&[0x41, 0x39, 0x84, 0x16]); // cmp [r14 + rdx + ...], eax
        self.raw(&(layout::CHILDREN + offset_of!(Child, block) as u32).to_le_bytes());
        self.jump_to_if(NOT_EQUAL, LOOK);
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
    fn find_child(&mut self, bytes: u32) {
        self.raw(&[0x41, 0x8b, 0x84, 0x24]); // mov eax, [r12 + ...]: the exit
        self.raw(&bytes.to_le_bytes());
        self.raw(&[0x41, 0x8b, 0x84, 0x86]); // mov eax, [r14 + rax * 4 + ...]: its superblock
        self.raw(&layout::BLOCKS.to_le_bytes());
        self.find_place(RBX);
        self.raw(&[0x41, 0x39, 0x9c, 0x16]); // cmp [r14 + rdx + ...], ebx
        self.raw(&layout::CHILDREN.to_le_bytes());
        self.jump_to_if(NOT_EQUAL, ENTER);
        self.raw(&[0x41, 0x39, 0x84, 0x16]); // cmp [r14 + rdx + ...], eax
        self.raw(&(layout::CHILDREN + offset_of!(Child, block) as u32).to_le_bytes());
        self.jump_to_if(NOT_EQUAL, ENTER);
        self.raw(&[0x41, 0xff, 0x84, 0x16]); // inc dword ptr [r14 + rdx + ...]
        self.raw(&(layout::CHILDREN + offset_of!(Child, times) as u32).to_le_bytes());
        self.raw(&[0x41, 0x8b, 0x9c, 0x16]); // mov ebx, [r14 + rdx + ...]
        self.raw(&(layout::CHILDREN + offset_of!(Child, child) as u32).to_le_bytes());
    }
}
