//! Operations as they are gone through where they may change something: fetches and accesses apart, in few bytes, since most of
//! them turn out to change nothing.
//!
//! Made from the operations of `translate`, which say more; nothing here knows caches.
//!
//! Invariant: both lists of an exit are in program order, and the numbers in them say how the two go together.

use alloc::vec::Vec;
use core::ops::Range;

use invar_core::machine::LINE_BYTES;

use super::code_lines::Bit;
use super::reference::Meanings;
use super::thunk::DATA_PLACES;
use crate::host::memory;
use crate::translate::{NO_SLOT, Op, Reference, Touch};

/// An instruction is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Fetch {
    /// The line of its first byte.
    pub line: u64,
    /// Bits of that line and of the next; [`Bit::NONE`] until somebody has looked them up.
    pub bits: [Bit; 2],
    /// Number of the operation among those of all superblocks.
    pub op: u32,
    /// Its last byte is in the next line.
    pub straddles: bool,
}

/// Memory is touched.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    constant: u64,
    /// Words of the record that are added, of which the first is the exit's number and stands for none.
    base: u8,
    index: u8,
    shift: u8,
    /// How many bytes, up to a line.
    pub bytes: u8,
    /// Number of the operation within its superblock.
    pub op: u16,
    /// What is done there.
    pub kind: Kind,
}

/// What an [`Access`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads or writes, at an address that is a sum.
    Plain(Touch),
    /// Something that only the operation itself says.
    Rare,
}

impl Access {
    /// Where a [`Kind::Plain`] one is, by a record's words.
    #[inline]
    pub fn address(&self, record: &[u64]) -> u64 {
        let word = |number: u8| record[usize::from(number)] & u64::from(number != 0).wrapping_neg();
        self.constant.wrapping_add(word(self.base)).wrapping_add(word(self.index) << (self.shift % 64))
    }

    /// Is all that it touches known to be settled?
    #[inline]
    pub fn is_settled(&self, record: &[u64]) -> bool {
        let address = self.address(record);
        let last = address.saturating_add(u64::from(self.bytes) - 1);
        let is_settled = |line: u64| memory::data_lines()[line as usize % DATA_PLACES] == line;
        is_settled(address / LINE_BYTES) & is_settled(last / LINE_BYTES) & (self.kind != Kind::Rare)
    }

    fn rare(op: u16) -> Access {
        Access { constant: 0, base: 0, index: 0, shift: 0, bytes: 1, op, kind: Kind::Rare }
    }

    fn of(reference: &Reference, op: u16) -> Access {
        let &Reference { constant, base, index, shift, fs, short, touch, bytes } = reference;
        // Slots are numbered from 0, and there are fewer than 255.
        let word = |slot: u8| if slot == NO_SLOT { 0 } else { slot + 1 };
        match u8::try_from(bytes) {
            Ok(bytes) if u64::from(bytes) <= LINE_BYTES && !fs && !short => {
                let kind = Kind::Plain(touch);
                Access {
                    constant,
                    base: word(base),
                    index: word(index),
                    shift,
                    bytes: bytes.max(1),
                    op,
                    kind,
                }
            }
            _ => Access::rare(op),
        }
    }
}

/// Which operations an exit has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    first_fetch: u32,
    first_access: u32,
    fetches: u16,
    accesses: u16,
}

impl Extent {
    /// Its fetches.
    pub fn fetches(&self) -> Range<u32> {
        self.first_fetch..self.first_fetch + u32::from(self.fetches)
    }

    /// Its accesses.
    pub fn accesses(&self) -> Range<usize> {
        let first = self.first_access as usize;
        first..first + usize::from(self.accesses)
    }
}

/// The operations of all exits.
#[derive(Debug, Default)]
pub struct Operations {
    /// Every exit by its number.
    pub exits: Vec<Extent>,
    /// Fetches of all superblocks.
    pub fetches: Vec<Fetch>,
    /// Accesses of all superblocks.
    pub accesses: Vec<Access>,
}

impl Operations {
    /// Forgets them all.
    pub fn clear(&mut self) {
        self.exits.clear();
        self.fetches.clear();
        self.accesses.clear();
    }

    /// Bits that were looked up are none any more.
    pub fn forget_bits(&mut self) {
        self.fetches.iter_mut().for_each(|fetch| fetch.bits = [Bit::NONE; 2]);
    }

    /// Exits have come that are not here yet. Those of one superblock are side by side, the longest last or not.
    pub fn add(&mut self, meanings: &Meanings) {
        while let Some(path) = meanings.paths.get(self.exits.len()) {
            let first_op = path.first_op;
            let of_block =
                meanings.paths[self.exits.len()..].iter().take_while(|path| path.first_op == first_op);
            let (count, ops) =
                of_block.fold((0, 0), |(count, ops), path| (count + 1, path.exit.ops.max(ops)));
            let [first_fetch, first_access] = [self.fetches.len(), self.accesses.len()];
            for (op, number) in meanings.ops[first_op as usize..][..ops as usize].iter().zip(0..) {
                match op {
                    &Op::Fetch { address, bytes } => {
                        let last = address.saturating_add(u64::from(bytes.max(1)) - 1);
                        let line = address / LINE_BYTES;
                        let straddles = last / LINE_BYTES != line;
                        self.fetches.push(Fetch {
                            line,
                            bits: [Bit::NONE; 2],
                            op: first_op + u32::from(number),
                            straddles,
                        });
                    }
                    Op::Touch(reference) => self.accesses.push(Access::of(reference, number)),
                    Op::Repeat(_) => self.accesses.push(Access::rare(number)),
                }
            }
            for _ in 0..count {
                let ops = meanings.paths[self.exits.len()].exit.ops;
                let fetches = self.fetches[first_fetch..].partition_point(|fetch| fetch.op < first_op + ops);
                let accesses =
                    self.accesses[first_access..].partition_point(|access| u32::from(access.op) < ops);
                self.exits.push(Extent {
                    first_fetch: first_fetch as u32,
                    first_access: first_access as u32,
                    fetches: fetches as u16,
                    accesses: accesses as u16,
                });
            }
        }
    }
}

const _: () = assert!(size_of::<Access>() == 16 && size_of::<Fetch>() == 24);
