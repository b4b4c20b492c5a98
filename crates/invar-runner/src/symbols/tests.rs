//! Call paths made by hand, over real objects from the compilers of this machine and over code that is only named.

mod damage;
mod objects;
mod paths;

use std::fmt::Write;
use std::path::Path;

use invar_core::profile::Profile;
use invar_core::wire::raw::call_paths::{Call, CallPaths, Callee, Instruction, Stretch};
use object::read::elf::ProgramHeader;
use object::{LittleEndian, Object, ObjectSymbol};

/// Where objects are mapped.
const BASE: u64 = 0x7000_0000_0000;

/// An object file in memory.
struct Mapped {
    bytes: Vec<u8>,
    maps: String,
}

impl Mapped {
    fn new(path: &Path) -> Mapped {
        let bytes = std::fs::read(path).unwrap();
        let maps = file(&bytes)
            .elf_program_headers()
            .iter()
            .filter(|header| header.p_type(LittleEndian) == object::elf::PT_LOAD)
            .map(|header| {
                let within = header.p_offset(LittleEndian) % 4096;
                let start = BASE + header.p_vaddr(LittleEndian) - within;
                let end = (start + within + header.p_filesz(LittleEndian)).next_multiple_of(4096);
                let offset = header.p_offset(LittleEndian) - within;
                format!("{start:x}-{end:x} r-xp {offset:08x} 08:01 17      {}\n", path.display())
            })
            .collect();
        Mapped { bytes, maps }
    }

    /// Address in memory and size of a symbol; panics if there is none.
    fn symbol(&self, name: &str) -> (u64, u64) {
        let file = file(&self.bytes);
        let symbol = file.symbols().chain(file.dynamic_symbols()).find(|symbol| symbol.name() == Ok(name));
        let symbol = symbol.unwrap_or_else(|| panic!("there is no symbol {name}"));
        (BASE + symbol.address(), symbol.size())
    }
}

fn file(bytes: &[u8]) -> object::read::elf::ElfFile64<'_, LittleEndian> {
    object::read::elf::ElfFile64::parse(bytes).unwrap()
}

/// Call paths of one call each: a region that calls functions, each of which executes every byte of some symbols once.
fn paths(maps: &str, calls: &[(u64, &[(u64, u64)])]) -> CallPaths {
    let mut addresses: Vec<u64> = calls
        .iter()
        .flat_map(|(_, symbols)| symbols.iter().flat_map(|&(start, size)| start..start + size))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut paths = CallPaths { maps: maps.to_string(), ..CallPaths::default() };
    paths.calls.push(Call { parent: 0, callee: Callee::Address(0), calls: 1 });
    for (call, (callee, symbols)) in (1..).zip(calls) {
        paths.calls.push(Call { parent: 0, callee: Callee::Address(*callee), calls: 1 });
        for &(start, size) in *symbols {
            let first = addresses.binary_search(&start).unwrap() as u32;
            paths.stretches.push(Stretch { call, first, instructions: size as u32, times: 1 });
        }
    }
    let instruction = |address| Instruction { address, reads: 1, writes: 0, system_call: false };
    paths.instructions = addresses.into_iter().map(instruction).collect();
    paths
}

/// The tree of a profile: a line for each node with its name, `^` if it is inlined, and calls if there are any.
fn drawing(profile: &Profile) -> String {
    let mut drawing = String::new();
    let mut depths = vec![0_usize; profile.nodes.len()];
    for (index, node) in profile.nodes.iter().enumerate().skip(1) {
        depths[index] = depths[node.parent as usize] + 1;
        let name = &profile.function_of(node).name;
        let inlined = if node.inlined { "^" } else { "" };
        let calls = if node.calls > 0 { format!(" x{}", node.calls) } else { String::new() };
        writeln!(drawing, "{:indent$}{inlined}{name}{calls}", "", indent = 2 * (depths[index] - 1)).unwrap();
    }
    drawing
}
