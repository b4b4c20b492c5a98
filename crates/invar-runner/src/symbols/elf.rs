//! One ELF object: which functions an address of it belongs to.
//!
//! Names are taken from where they say most: DWARF, then the symbol tables, then the stubs. Whatever the bytes are, there is an
//! answer; in the worst case [`Place::Object`]. Addresses are the object's own, not the process's. Not read: `.gnu_debugdata`, a symbol
//! table compressed with xz.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::elf::{PF_X, PT_LOAD, SHF_EXECINSTR, STB_GLOBAL, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::read::elf::{ElfFile64, ProgramHeader, SectionHeader, Sym};
use object::{LittleEndian, Object, ObjectSection, ReadCache};

use super::demangle::{demangled, is_part};
use super::dwarf::Dwarf;
use super::names::{Names, Origin, Place, Spot};
use super::plt::Stubs;
use super::table::{Symbol, Table};
use super::{file, separate};

/// An ELF file for the processor that we measure.
pub(super) type File<'data> = ElfFile64<'data, LittleEndian, &'data ReadCache<fs::File>>;

/// Why there is nothing to be known about an object.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadObjectError {
    /// The file cannot be read.
    #[error("{0}")]
    Open(#[from] std::io::Error),
    /// It is something else, or broken.
    #[error("it is no ELF file for x86-64: {0}")]
    Parse(#[from] object::Error),
}

/// An object.
#[derive(Debug)]
pub(super) struct Elf {
    /// The last part of its path.
    name: String,
    segments: Vec<Segment>,
    table: Table,
    /// Functions of symbols, by the symbol's index.
    functions: BTreeMap<usize, u32>,
    stubs: Stubs,
    dwarf: Option<Dwarf>,
    spots: BTreeMap<u64, Spot>,
}

#[derive(Debug)]
struct Segment {
    offset: u64,
    size: u64,
    address: u64,
    executable: bool,
}

impl Elf {
    /// Reads the object at `path`.
    pub fn read(path: &Path, debug_directory: &Path) -> Result<Elf, ReadObjectError> {
        let data = ReadCache::new(file::open(path)?);
        let own = File::parse(&data)?;
        let mut symbols = Vec::new();
        collect_symbols(&own, &mut symbols);
        let has_dwarf = own.section_by_name(".debug_info").is_some();
        let separate = if has_dwarf { None } else { separate::debug_file(path, &own, debug_directory) };
        let separate =
            separate.as_ref().and_then(|found| Some((&found.path, File::parse(&found.data).ok()?)));
        if let Some((_, file)) = &separate {
            collect_symbols(file, &mut symbols);
        }
        let table = Table::new(symbols);
        let dwarf = match &separate {
            Some((path, file)) => Dwarf::read(path, file, debug_directory),
            None => Dwarf::read(path, &own, debug_directory),
        };
        Ok(Elf {
            name: file_name(path),
            segments: segments(&own),
            stubs: Stubs::read(&own, &table),
            table,
            functions: BTreeMap::new(),
            dwarf,
            spots: BTreeMap::new(),
        })
    }

    /// The address of what is at an offset of the file.
    pub fn address(&self, offset: u64) -> Option<u64> {
        // A damaged segment may begin behind the offset and be as large as the address space.
        let holds = |segment: &&Segment| {
            offset.checked_sub(segment.offset).is_some_and(|within| within < segment.size)
        };
        let executable = self.segments.iter().find(|segment| segment.executable && holds(segment));
        let segment = executable.or_else(|| self.segments.iter().find(holds))?;
        Some((offset - segment.offset).wrapping_add(segment.address))
    }

    /// What its functions have in common.
    pub fn origin(&self) -> Origin<'_> {
        Origin::new(&self.name)
    }

    /// Which functions an address belongs to.
    pub fn spot(&mut self, address: u64, names: &mut Names) -> Spot {
        if let Some(&spot) = self.spots.get(&address) {
            return spot;
        }
        let spot = self.find(address, names);
        self.spots.insert(address, spot);
        spot
    }

    fn find(&mut self, address: u64, names: &mut Names) -> Spot {
        let origin = Origin::new(&self.name);
        if let Some(stub) = self.stubs.find(address) {
            let function = names.function(origin.function(stub.to_string()));
            return Spot { chain: names.chain(&[function]), line: 0, entry: false, place: Place::Stub };
        }
        let begins = self.table.at(address).is_some_and(|symbol| !is_part(&symbol.name));
        let table = &self.table;
        let frames = self.dwarf.as_mut().and_then(|dwarf| dwarf.frames(address, origin, table, names));
        if let Some(frames) = frames {
            let entry = begins || frames.entry == Some(address);
            let chain = names.chain(&frames.functions);
            return Spot { chain, line: frames.line, entry, place: Place::Function };
        }
        let Some((index, symbol)) = self.table.find(address) else {
            let function = names.function(origin.function(format!("[{}]", self.name)));
            return Spot { chain: names.chain(&[function]), line: 0, entry: false, place: Place::Object };
        };
        let dwarf = self.dwarf.as_ref();
        let function = *self.functions.entry(index).or_insert_with(|| {
            let mut function = origin.function(demangled(&symbol.name));
            // Hand-written code has lines, but nothing else.
            if let Some((file, line)) = dwarf.and_then(|dwarf| dwarf.location(symbol.address)) {
                (function.file, function.line) = (file.to_string(), line);
            }
            names.function(function)
        });
        let here = dwarf.and_then(|dwarf| dwarf.location(address));
        let line =
            here.filter(|(file, _)| *file == names.function_of(function).file).map_or(0, |(_, line)| line);
        let entry = begins && symbol.address == address;
        Spot { chain: names.chain(&[function]), line, entry, place: Place::Function }
    }
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A path in an ELF file.
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn segments(file: &File<'_>) -> Vec<Segment> {
    let endian = LittleEndian;
    let loaded = file.elf_program_headers().iter().filter(|header| header.p_type(endian) == PT_LOAD);
    let segments = loaded.map(|header| Segment {
        offset: header.p_offset(endian),
        size: header.p_filesz(endian),
        address: header.p_vaddr(endian),
        executable: header.p_flags(endian).0 & PF_X.0 != 0,
    });
    segments.collect()
}

/// Adds the functions of both symbol tables.
fn collect_symbols(file: &File<'_>, symbols: &mut Vec<Symbol>) {
    let endian = LittleEndian;
    // By the index of a section: where it ends, if code is in it.
    let mut limits = BTreeMap::new();
    for section in file.sections() {
        let header = section.elf_section_header();
        if header.sh_flags(endian).0 & SHF_EXECINSTR.0 != 0 {
            limits.insert(section.index().0, section.address().saturating_add(section.size()));
        }
    }
    for table in [file.elf_symbol_table(), file.elf_dynamic_symbol_table()] {
        // All names at once: a file that is read piece by piece is asked once.
        let strings = file.section_by_index(table.string_section()).and_then(|section| section.data());
        let Ok(strings) = strings else { continue };
        for symbol in table.symbols() {
            let code = matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC | STT_NOTYPE);
            let limit = limits.get(&usize::from(symbol.st_shndx(endian).0)).filter(|_| code);
            let name = strings.get(symbol.st_name(endian) as usize..).unwrap_or_default();
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            let Some(&limit) = limit.filter(|_| !name.is_empty()) else { continue };
            symbols.push(Symbol {
                address: symbol.st_value(endian),
                size: symbol.st_size(endian),
                limit,
                global: symbol.st_bind() == STB_GLOBAL,
                name: String::from_utf8_lossy(name).into(),
            });
        }
    }
}
