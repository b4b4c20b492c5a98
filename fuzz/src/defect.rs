//! Defects planted into the engine's work, to show that the fuzzer finds some.

use anyhow::{Result, bail};
use invar_engine::drain::reference::Meanings;
use invar_engine::host::context::at;
use invar_engine::translate::Op;

use crate::host::memory::replace_in_code_cache;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// The guest's `r11` is not written back.
    LostRegister,
    /// The flags are not restored after the check of the trace buffer.
    LostFlags,
    /// Displacements in the trace's meaning are off by eight.
    WrongAddress,
    /// Every count is one too low.
    WrongCount,
}

impl Defect {
    /// Every defect with its name.
    pub const ALL: [(&'static str, Defect); 4] = [
        ("lost-register", Defect::LostRegister),
        ("lost-flags", Defect::LostFlags),
        ("wrong-address", Defect::WrongAddress),
        ("wrong-count", Defect::WrongCount),
    ];

    /// The defect of that name.
    pub fn parse(name: &str) -> Result<Defect> {
        match Defect::ALL.into_iter().find(|(other, _)| *other == name) {
            Some((_, defect)) => Ok(defect),
            None => bail!(
                "no defect is called {name}; there are {}",
                Defect::ALL.map(|(name, _)| name).join(", ")
            ),
        }
    }

    /// Breaks the code that the engine has made, if that is where the defect is.
    pub fn break_code(self) {
        const NOP_9: [u8; 9] = [0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
        match self {
            Defect::LostRegister => {
                for register in [0u8, 2, 1, 3, 6] {
                    // mov gs:[R11], register
                    let mut store = vec![0x65, 0x48, 0x89, 0x04 | register << 3, 0x25];
                    store.extend(at::R11.to_le_bytes());
                    replace_in_code_cache(&store, &NOP_9);
                }
            }
            Defect::LostFlags => {
                // add al, 0x7f; sahf
                replace_in_code_cache(&[0x04, 0x7f, 0x9e], &[0x0f, 0x1f, 0x00]);
            }
            Defect::WrongAddress | Defect::WrongCount => {}
        }
    }

    /// Breaks what the trace means.
    pub fn break_meanings(self, meanings: &Meanings) -> Meanings {
        let mut broken = meanings.clone();
        if self == Defect::WrongAddress {
            for op in &mut broken.ops {
                if let Op::Touch(reference) = op {
                    reference.constant = reference.constant.wrapping_add(8);
                }
            }
        }
        broken
    }
}
