//! What superblocks and their exits are, as far as call paths go: instructions, calls and returns. Made when a superblock is
//! translated; nothing here knows what was executed.
//!
//! Numbers of exits grow for as long as a region lasts, even where translations are dropped: rows name them.

use alloc::vec::Vec;

use iced_x86::{FlowControl, Mnemonic};
use invar_core::wire::raw::call_paths::Instruction;

use super::rows::Numbers;
use super::sort::sort;
use crate::host::following::{self, LEADS_PER_ROW};
use crate::translate::block::{LONG, Path};
use crate::translate::{Exit, NO_SLOT, Op, Placed, Reference, Told, Touch, Translation};

/// An instruction of a superblock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Its number: the same in all superblocks, which overlap.
    pub instruction: u32,
    /// Operations of the superblock before it.
    pub ops: u16,
    /// Branches taken where the path goes on behind it.
    pub branches: u8,
}

/// What a superblock does to the stack of calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    /// By its step of this number.
    pub step: u8,
    pub kind: MoveKind,
    /// Where the return address is written or read.
    pub pointer: Reference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveKind {
    /// A call of the code at this address.
    Call(u64),
    /// A call of whatever the next superblock is.
    IndirectCall,
    Return,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub head: u64,
    /// Its first operation among all of the region.
    pub first_op: u64,
    pub first_step: u32,
    /// Steps that take branches where the path goes on behind them.
    pub branching: u128,
    pub first_move: u32,
    pub moves: u8,
}

/// An exit, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub block: u32,
    pub instructions: u8,
    pub branches: u8,
    /// Which of `shifts` it has: where they start, and how many they are.
    pub first_shift: u32,
    pub shifts: u8,
}

/// What a thunk follows at an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// What the exit leaves the stack of calls like; `None` where a thunk cannot say.
    pub shift: Option<Shift>,
    /// Slot of the Python frame that its last instruction has stored.
    pub watched: Option<u8>,
    /// The position of a Python frame that its last instruction may have stored.
    pub placed: Option<Placed>,
}

/// What an exit leaves the stack of calls like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// With one call less, whose return address is there.
    Return(Told),
    /// With some calls more, or as it was where there are none.
    Calls {
        /// Where return addresses are written, the outermost call first.
        pointers: [Told; OPEN_MAX],
        /// How many calls are of known code.
        direct: usize,
        /// One more is of whatever comes next.
        indirect: bool,
    },
}

/// Calls that an exit leaves open, as far as thunks follow them.
pub const OPEN_MAX: usize = LEADS_PER_ROW + 1;

/// Where a return address is, if a slot and a constant say so.
fn pointer(reference: &Reference) -> Option<Told> {
    let &Reference { base, index, constant, short, fs, .. } = reference;
    (index == NO_SLOT && base != NO_SLOT && !short && !fs).then_some(Told { slot: base, constant })
}

impl Shift {
    fn of(returns: Option<Move>, open: &[Move]) -> Option<Shift> {
        if let Some(one) = returns {
            return pointer(&one.pointer).map(Shift::Return);
        }
        let direct = open.iter().take_while(|one| matches!(one.kind, MoveKind::Call(_))).count();
        let indirect = match open.get(direct..) {
            Some([]) => false,
            Some([Move { kind: MoveKind::IndirectCall, .. }]) => true,
            _ => return None,
        };
        let mut pointers = [Told::default(); OPEN_MAX];
        if direct > LEADS_PER_ROW {
            return None;
        }
        for (told, one) in pointers.iter_mut().zip(open) {
            *told = pointer(&one.pointer)?;
        }
        Some(Shift::Calls { pointers, direct, indirect })
    }
}

/// The instructions of superblocks, each once. Where code has changed an address may have had several.
#[derive(Default)]
pub(super) struct Instructions {
    list: Vec<Instruction>,
    numbers: Numbers,
    /// Their numbers by address, of those that there were when it was last asked for.
    sorted: Vec<u32>,
}

impl Instructions {
    fn number(&mut self, instruction: Instruction) -> u32 {
        let Instruction { address, reads, writes, system_call } = instruction;
        let does = u32::from(reads) | u32::from(writes) << 8 | u32::from(system_call) << 16;
        let new = self.list.len() as u32;
        let number = self.numbers.number(does, address, new);
        if number == new {
            self.list.push(instruction);
        }
        number
    }

    /// How many there are: their numbers are below.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// All of them, and their numbers sorted by address.
    pub fn sorted(&mut self) -> (&[Instruction], &[u32]) {
        let Instructions { list, sorted, .. } = self;
        if sorted.len() != list.len() {
            sorted.clear();
            sorted.extend(0..list.len() as u32);
            sort(sorted, |&number| list[number as usize].address);
        }
        (list, sorted)
    }
}

/// Everything that was translated.
#[derive(Default)]
pub(super) struct Exits {
    pub steps: Vec<Step>,
    pub instructions: Instructions,
    moves: Vec<Move>,
    pub blocks: Vec<Block>,
    pub ways: Vec<Way>,
    /// What thunks must know of each way.
    pub follows: Vec<Follow>,
    /// For the exits that change the stack of calls: the calls that they leave open, or the return.
    pub shifts: Vec<Move>,
    /// Number of the exit that is the first one now: those before were dropped in this region.
    pub base: usize,
    /// The same of operations.
    pub base_op: u64,
    /// How many operations there were in the region.
    ops: u64,
    /// The superblocks of every [`OPS_PER_ENTRY`]th of them.
    by_op: Vec<u32>,
}

const OPS_PER_ENTRY: u64 = 16;

impl Exits {
    /// All translations were dropped; their numbers stay known if they `matter`.
    pub fn forget(&mut self, matter: bool) {
        if matter {
            (self.base, self.base_op) = (self.ways.len(), self.ops);
        } else {
            *self = Exits::default();
        }
    }

    /// A superblock was translated.
    pub fn add_block(&mut self, head: u64, path: &Path, translation: &Translation) {
        let Translation { boundaries, exits, ops, .. } = translation;
        let mut block = Block {
            head,
            first_op: self.ops,
            branching: 0,
            first_step: self.steps.len() as u32,
            first_move: self.moves.len() as u32,
            moves: 0,
        };
        let whole = exits.last().copied();
        for (number, boundary) in boundaries.iter().enumerate() {
            let before = boundary.before;
            let after = boundaries.get(number + 1).map(|next| next.before).or(whole).unwrap_or(before);
            let instruction = &path.steps[number].instruction;
            block.branching |= u128::from(after.branches != before.branches) << number;
            let instruction_number = self.instructions.number(Instruction {
                address: boundary.at,
                reads: (after.reads - before.reads) as u8,
                writes: (after.writes - before.writes) as u8,
                system_call: instruction.mnemonic() == Mnemonic::Syscall,
            });
            let branches = after.branches - before.branches;
            self.steps.push(Step { instruction: instruction_number, ops: before.ops as u16, branches });
            let kind = match instruction.flow_control() {
                FlowControl::Call if instruction.mnemonic() != Mnemonic::Syscall => {
                    MoveKind::Call(instruction.near_branch_target())
                }
                FlowControl::IndirectCall => MoveKind::IndirectCall,
                FlowControl::Return => MoveKind::Return,
                _ => continue,
            };
            let touch = if kind == MoveKind::Return { Touch::Read } else { Touch::Write };
            let pointer = ops[before.ops as usize..after.ops as usize].iter().find_map(|op| match op {
                Op::Touch(reference) if reference.touch == touch && reference.bytes == 8 => Some(*reference),
                _ => None,
            });
            if let Some(pointer) = pointer {
                self.moves.push(Move { step: number as u8, kind, pointer });
            }
        }
        let moves = (self.moves.len() - block.first_move as usize) as u8;
        self.blocks.push(Block { moves, ..block });
        self.ops += ops.len() as u64;
        let number = self.blocks.len() as u32 - 1;
        self.by_op.resize(self.ops.div_ceil(OPS_PER_ENTRY) as usize, number);
        exits.iter().for_each(|exit| self.add_exit(number, exit));
        let first = self.follows.len() - exits.len();
        for &(exit, slot) in &translation.watched {
            self.follows[first + exit as usize].watched = Some(slot);
        }
        if let Some(last) = self.follows.last_mut() {
            last.placed = translation.placed;
        }
    }

    /// One more way out of the superblock that way `like` is one of: where it has faulted.
    pub fn add_exit_of(&mut self, like: usize, exit: &Exit) {
        self.add_exit(self.ways[self.base + like].block, exit);
    }

    fn add_exit(&mut self, block: u32, exit: &Exit) {
        let first_shift = self.shifts.len() as u32;
        let mut open: Vec<Move> = Vec::new();
        let mut returns = None;
        for one in self.moves_until(block, exit.instructions) {
            if one.kind == MoveKind::Return {
                returns = open.pop().is_none().then_some(*one);
            } else {
                open.push(*one);
            }
        }
        let shift = Shift::of(returns, &open);
        self.shifts.extend(returns);
        self.shifts.extend(open);
        let &Exit { instructions, branches, .. } = exit;
        let shifts = (self.shifts.len() - first_shift as usize) as u8;
        following::blocks()[self.ways.len() - self.base] = block;
        self.follows.push(Follow { shift, watched: None, placed: None });
        self.ways.push(Way { block, instructions, branches, first_shift, shifts });
    }

    /// The superblock that an operation is of.
    #[inline]
    pub fn block_of(&self, op: u64) -> usize {
        let mut block = self.by_op[(op / OPS_PER_ENTRY) as usize] as usize;
        while self.blocks.get(block + 1).is_some_and(|next| next.first_op <= op) {
            block += 1;
        }
        block
    }

    /// The first operation and the first step behind a superblock's.
    pub fn end_of(&self, block: u32) -> (u64, usize) {
        let next = self.blocks.get(block as usize + 1);
        next.map_or((self.ops, self.steps.len()), |next| (next.first_op, next.first_step as usize))
    }

    /// The moves of a superblock's first so many instructions.
    pub fn moves_until(&self, block: u32, instructions: u8) -> &[Move] {
        let Block { first_move, moves, .. } = self.blocks[block as usize];
        let moves = &self.moves[first_move as usize..][..usize::from(moves)];
        let end = moves.partition_point(|one| one.step < instructions);
        &moves[..end]
    }
}

const _: () = assert!(LONG.instructions <= u128::BITS as usize, "a superblock's steps are bits");
