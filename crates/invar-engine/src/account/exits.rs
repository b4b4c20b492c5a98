//! What superblocks and their exits are, as far as call paths go: instructions, calls and returns. Made when a superblock is
//! translated; nothing here knows what was executed.
//!
//! Numbers of exits grow for as long as a region lasts, even where translations are dropped: rows name them.

use alloc::vec::Vec;

use iced_x86::{FlowControl, Mnemonic};
use invar_core::wire::raw::taken_exits::{Flow, STEPS_MAX, Step, Superblock, TakenExits};

use crate::host::following::{self, LEADS_PER_ROW};
use crate::translate::block::{LONG, Path};
use crate::translate::{Exit, NO_SLOT, Op, Placed, Reference, Told, Touch, Translation};

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

/// Everything that was translated.
#[derive(Default)]
pub(super) struct Exits {
    steps: Vec<Step>,
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
}

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
        let block = Block {
            head,
            first_op: self.ops,
            first_step: self.steps.len() as u32,
            first_move: self.moves.len() as u32,
            moves: 0,
        };
        let whole = exits.last().copied();
        for (number, boundary) in boundaries.iter().enumerate() {
            let before = boundary.before;
            let after = boundaries.get(number + 1).map(|next| next.before).or(whole).unwrap_or(before);
            let instruction = &path.steps[number].instruction;
            self.steps.push(Step {
                address: boundary.at,
                ops: before.ops as u16,
                reads: (after.reads - before.reads) as u8,
                writes: (after.writes - before.writes) as u8,
                system_call: instruction.mnemonic() == Mnemonic::Syscall,
                branches: after.branches - before.branches,
                flow: Flow::On,
            });
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
            let (Some(pointer), Some(step)) = (pointer, self.steps.last_mut()) else { continue };
            self.moves.push(Move { step: number as u8, kind, pointer });
            step.flow = match kind {
                MoveKind::Call(_) => Flow::Call,
                MoveKind::IndirectCall => Flow::On,
                MoveKind::Return => Flow::Return,
            };
        }
        let moves = (self.moves.len() - block.first_move as usize) as u8;
        self.blocks.push(Block { moves, ..block });
        self.ops += ops.len() as u64;
        let number = self.blocks.len() as u32 - 1;
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

    /// Adds a superblock's first so many steps to what is written.
    pub fn write_superblock(&self, block: u32, steps: u8, taken: &mut TakenExits) {
        let Block { first_op, first_step: first, .. } = self.blocks[block as usize];
        let end_op = self.blocks.get(block as usize + 1).map_or(self.ops, |next| next.first_op);
        taken.superblocks.push(Superblock {
            first_op,
            ops: (end_op - first_op) as u16,
            first_step: taken.steps.len() as u32,
            steps,
            first_target: taken.targets.len() as u32,
        });
        taken.steps.extend_from_slice(&self.steps[first as usize..][..usize::from(steps)]);
        taken.targets.extend(self.moves_until(block, steps).iter().filter_map(|one| match one.kind {
            MoveKind::Call(target) => Some(target),
            _ => None,
        }));
    }

    /// The moves of a superblock's first so many instructions.
    fn moves_until(&self, block: u32, instructions: u8) -> &[Move] {
        let Block { first_move, moves, .. } = self.blocks[block as usize];
        let moves = &self.moves[first_move as usize..][..usize::from(moves)];
        let end = moves.partition_point(|one| one.step < instructions);
        &moves[..end]
    }
}

const _: () = assert!(LONG.instructions <= STEPS_MAX, "a superblock's steps can be written");
