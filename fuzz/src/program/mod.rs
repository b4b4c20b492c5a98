//! A program of chance: the state it starts from and its items, each a few bytes of code.
//!
//! An item names places in the program by the number of the item that stands there, so that items can be left out
//! (which is how a program is made smaller) and every branch still goes somewhere in it.

pub mod generate;
pub mod instruction;
pub mod shapes;

use crate::layout;
use crate::state::Start;

/// What a displacement in an item's code points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An item, or the way out if it is behind the last.
    Item(usize),
    /// So many bytes into an item.
    Within(usize, u64),
    /// Memory.
    Address(u64),
}

/// A displacement to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fix {
    /// Offset of the displacement in the item's bytes.
    pub offset: usize,
    /// Bytes of the displacement: 1 or 4. It counts from the item's end.
    pub width: usize,
    /// What it points at.
    pub target: Target,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its displacement, where that depends on the program.
    pub fix: Option<Fix>,
}

impl Item {
    /// An instruction that is the same anywhere.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Item {
        Item { bytes: bytes.into(), fix: None }
    }

    /// An instruction whose displacement of four bytes comes last.
    pub fn to(opcode: &[u8], target: Target) -> Item {
        let mut bytes = opcode.to_vec();
        bytes.extend([0; 4]);
        Item { bytes, fix: Some(Fix { offset: opcode.len(), width: 4, target }) }
    }

    /// A branch whose displacement of one byte comes last.
    pub fn short_to(opcode: &[u8], item: usize) -> Item {
        let mut bytes = opcode.to_vec();
        bytes.push(0);
        Item { bytes, fix: Some(Fix { offset: opcode.len(), width: 1, target: Target::Item(item) }) }
    }
}

/// A program.
#[derive(Debug, Clone)]
pub struct Program {
    /// Where its first instruction stands.
    pub at: u64,
    /// The state it starts from.
    pub start: Start,
    /// Its instructions.
    pub items: Vec<Item>,
    /// The items that are kept; all of them at first.
    pub kept: Vec<bool>,
}

/// `jmp qword ptr [EXIT]`
fn leave() -> Vec<u8> {
    let mut bytes = vec![0xff, 0x24, 0x25];
    bytes.extend((layout::EXIT as u32).to_le_bytes());
    bytes
}

impl Program {
    /// The kept items.
    pub fn kept_items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().zip(&self.kept).filter(|(_, kept)| **kept).map(|(item, _)| item)
    }

    /// Its code, or `None` where a short branch does not reach.
    pub fn code(&self) -> Option<Vec<u8>> {
        let mut places = Vec::with_capacity(self.items.len() + 1);
        let mut at = self.at;
        for (item, kept) in self.items.iter().zip(&self.kept) {
            places.push(at);
            if *kept {
                at += item.bytes.len() as u64;
            }
        }
        places.push(at);
        let mut code = Vec::new();
        for item in self.kept_items() {
            let start = code.len();
            code.extend_from_slice(&item.bytes);
            if let Some(Fix { offset, width, target }) = item.fix {
                let to = match target {
                    Target::Item(index) => places[index.min(self.items.len())],
                    Target::Within(index, bytes) => places[index.min(self.items.len())] + bytes,
                    Target::Address(address) => address,
                };
                let distance = to.wrapping_sub(self.at + code.len() as u64) as i64;
                let place = &mut code[start + offset..start + offset + width];
                match width {
                    1 => place.copy_from_slice(&i8::try_from(distance).ok()?.to_le_bytes()),
                    _ => place.copy_from_slice(&i32::try_from(distance).ok()?.to_le_bytes()),
                }
            }
        }
        code.extend(leave());
        Some(code)
    }

    /// Where the instruction stands that ends it. `code` is its code.
    pub fn way_out(&self, code: &[u8]) -> u64 {
        self.at + (code.len() - leave().len()) as u64
    }

    /// Does an instruction look at the `fs` segment or its base?
    pub fn looks_at_fs(&self, code: &[u8]) -> bool {
        use iced_x86::{Decoder, DecoderOptions, Mnemonic, Register};
        Decoder::with_ip(64, code, self.at, DecoderOptions::NONE).into_iter().any(|instruction| {
            instruction.segment_prefix() == Register::FS
                || matches!(instruction.mnemonic(), Mnemonic::Rdfsbase | Mnemonic::Wrfsbase)
        })
    }

    /// The instructions as people read them, with addresses and bytes.
    pub fn listing(&self) -> String {
        use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
        use std::fmt::Write;
        let Some(code) = self.code() else { return String::new() };
        let mut text = String::new();
        let mut formatter = IntelFormatter::new();
        let end = self.way_out(&code);
        for instruction in &mut Decoder::with_ip(64, &code, self.at, DecoderOptions::NONE) {
            if instruction.ip() >= end {
                break;
            }
            let mut words = String::new();
            formatter.format(&instruction, &mut words);
            let start = (instruction.ip() - self.at) as usize;
            let mut bytes = String::new();
            for byte in &code[start..start + instruction.len()] {
                let _ = write!(bytes, "{byte:02x} ");
            }
            let _ = writeln!(text, "  {:#x}  {bytes:<46}{words}", instruction.ip());
        }
        let _ = writeln!(text, "  {end:#x}  (end)");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn program(items: Vec<Item>) -> Program {
        let kept = vec![true; items.len()];
        Program { at: layout::CODE, start: Start::of(&mut Random::of(1, 1)), items, kept }
    }

    #[test]
    fn a_branch_over_an_item_follows_when_that_is_left_out() {
        let mut over =
            program(vec![Item::to(&[0xe9], Target::Item(2)), Item::plain([0x90, 0x90]), Item::plain([0xcc])]);
        assert_eq!(&over.code().expect("it reaches")[1..5], &[2, 0, 0, 0]);
        over.kept[1] = false;
        assert_eq!(&over.code().expect("it reaches")[1..5], &[0, 0, 0, 0]);
    }

    #[test]
    fn a_short_branch_that_does_not_reach_is_said() {
        let far = program(vec![Item::short_to(&[0xeb], 2), Item::plain([0x90; 200])]);
        assert_eq!(far.code(), None);
    }
}
