//! The stubs by which an object calls functions of others: who is meant by each.
//!
//! A stub jumps to where a slot of a table points; the slot's relocation names the function. Stubs of every kind (`.plt`,
//! `.plt.sec` with `endbr64`, `.plt.got`) have this jump, so it is looked for and nothing else is known about them.

use std::collections::BTreeMap;

use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationTarget};

use super::elf::File;
use super::table::Table;

/// `jmp *displacement(%rip)`.
const JUMP: [u8; 2] = [0xff, 0x25];

/// The stubs of an object.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    /// Where sections of stubs begin and end.
    sections: Vec<(u64, u64)>,
    /// Name by where a stub begins, which ends at the address beside it.
    stubs: BTreeMap<u64, (u64, String)>,
}

impl Stubs {
    /// Of a file. `table` names functions of its own that it calls by a stub.
    pub fn read(file: &File<'_>, table: &Table) -> Stubs {
        let mut found = Stubs::default();
        let slots = slots(file, table);
        for name in [".plt", ".plt.sec", ".plt.got", ".iplt"] {
            let Some(section) = file.section_by_name(name) else { continue };
            let Ok(bytes) = section.data() else { continue };
            let start = section.address();
            let Some(end) = start.checked_add(bytes.len() as u64) else { continue };
            found.sections.push((start, end));
            let stub_bytes = match section.elf_section_header().sh_entsize.get(LittleEndian) {
                8 => 8,
                _ => 16,
            };
            for at in (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&JUMP)) {
                let Some(displacement) = bytes.get(at + 2..at + 6) else { break };
                let displacement = i32::from_le_bytes(displacement.try_into().expect("four bytes"));
                let next = start.wrapping_add(at as u64 + 6);
                if let Some(name) = slots.get(&next.wrapping_add_signed(i64::from(displacement))) {
                    let stub = start + (at / stub_bytes * stub_bytes) as u64;
                    found.stubs.insert(stub, (stub.saturating_add(stub_bytes as u64), format!("{name}@plt")));
                }
            }
        }
        found
    }

    /// The name of the stub that an address is in.
    pub fn find(&self, address: u64) -> Option<&str> {
        self.sections.iter().find(|(start, end)| (*start..*end).contains(&address))?;
        let stub = self.stubs.range(..=address).next_back();
        // What is left is the way to the dynamic linker.
        Some(stub.filter(|(_, (end, _))| address < *end).map_or("[plt]", |(_, (_, name))| name))
    }
}

/// The functions that slots point to.
fn slots(file: &File<'_>, table: &Table) -> BTreeMap<u64, String> {
    let (Some(relocations), Some(symbols)) = (file.dynamic_relocations(), file.dynamic_symbol_table()) else {
        return BTreeMap::new();
    };
    let mut slots = BTreeMap::new();
    for (slot, relocation) in relocations {
        let name = match relocation.target() {
            RelocationTarget::Symbol(index) => {
                let symbol = symbols.symbol_by_index(index);
                symbol.and_then(|symbol| symbol.name()).map(super::demangle::demangled).ok()
            }
            // A function of its own that is chosen when the program starts.
            RelocationTarget::Absolute => {
                table.at(relocation.addend() as u64).map(|symbol| super::demangle::demangled(&symbol.name))
            }
            _ => None,
        };
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            slots.insert(slot, name);
        }
    }
    slots
}
