//! Programs of chance: a choice of shapes and single instructions.

use super::instruction::{self, Knowledge};
use super::{Item, Program, shapes};
use crate::layout;
use crate::random::Random;
use crate::state::{Kind, Start};

/// A program in the making.
pub struct Builder {
    /// What there is so far.
    pub items: Vec<Item>,
    /// What the registers are good for now.
    pub knowledge: Knowledge,
    loops: usize,
    open: bool,
}

impl Builder {
    /// Appends an item.
    pub fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Appends an item that is filled in later; returns its number.
    pub fn reserve(&mut self) -> usize {
        self.push(Item::plain([0x90]));
        self.items.len() - 1
    }

    /// Address of the counter of another loop, if there may be one.
    pub fn loop_counter(&mut self) -> Option<u64> {
        let number = self.loops;
        self.loops += 1;
        (number < layout::LOOPS_MAX).then_some(layout::LOOPS + 4 * number as u64)
    }

    /// Two ways meet: what is known is what both know. `before` is the other way's knowledge.
    pub fn join(&mut self, before: &Knowledge) {
        for (kind, other) in self.knowledge.kinds.iter_mut().zip(before.kinds) {
            if *kind != other {
                *kind = Kind::Any;
            }
        }
    }

    /// Appends an instruction or a shape.
    pub fn anything(&mut self, random: &mut Random, depth: u32) {
        let pointers = self.knowledge.kinds.iter().filter(|kind| **kind == Kind::Pointer).count();
        if pointers < 4 && random.percent(40) {
            return shapes::reload(self, random);
        }
        match random.below(100) {
            0..3 => shapes::reload(self, random),
            3..12 => shapes::pointer_arithmetic(self, random),
            12..18 => shapes::stack(self, random),
            18..20 => shapes::repeat(self, random),
            20..22 => shapes::flags(self, random),
            22..27 if depth < 3 => shapes::forward(self, random, depth),
            27..29 if depth < 2 => shapes::backward(self, random, depth),
            29..31 if depth < 3 => shapes::indirect(self, random, depth),
            31..34 if depth < 3 => shapes::call(self, random, depth),
            34 if std::arch::is_x86_feature_detected!("avx2") => shapes::gather(self, random),
            35 if random.percent(30) => shapes::system_call(self),
            36 if random.percent(20) => shapes::thread_base(self, random),
            37..40 if self.open => shapes::modify(self, random),
            _ => {
                let item = instruction::make(random, &mut self.knowledge);
                self.push(item);
            }
        }
    }
}

/// Program `index` under `seed`.
pub fn program(seed: u64, index: u64) -> Program {
    let mut random = Random::of(seed, index);
    let start = Start::of(&mut random);
    let open = random.percent(8);
    let place = index % layout::PROGRAMS * layout::PROGRAM_BYTES + random.below(64);
    let at = place + if open { layout::OPEN_CODE } else { layout::CODE };
    let knowledge = Knowledge { kinds: start.kinds };
    let mut builder = Builder { items: Vec::new(), knowledge, loops: 0, open };
    let length = match random.below(10) {
        0..4 => 1,
        4..9 => 2 + random.below(8),
        _ => 10 + random.below(40),
    };
    for _ in 0..length {
        builder.anything(&mut random, 0);
    }
    let kept = vec![true; builder.items.len()];
    let mut program = Program { at, start, items: builder.items, kept };
    mend(&mut program);
    program
}

/// Leaves out what may not be run: short branches that do not reach, whatever is too long for its place.
pub fn mend(program: &mut Program) {
    while program.code().is_none() || program.code().is_some_and(|code| code.len() > 1900) {
        let Some(last) = program.kept.iter().rposition(|kept| *kept) else { break };
        program.kept[last] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_program() {
        assert_eq!(program(3, 77).code(), program(3, 77).code());
        assert_ne!(program(3, 77).code(), program(4, 77).code());
    }

    #[test]
    fn most_programs_keep_most_of_their_items() {
        let (mut made, mut kept) = (0, 0);
        for index in 0..200 {
            let program = program(5, index);
            made += program.items.len();
            kept += program.kept_items().count();
        }
        assert!(kept * 10 > made * 8, "{kept} of {made} items are kept");
    }
}
