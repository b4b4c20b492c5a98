//! The debug information of an object: the functions an instruction is in, inlined ones too, and its line.
//!
//! Where parts of it are in files of their own (split DWARF, `dwz`) these are read too, if they are there. What cannot be read is
//! not there: the symbol tables are asked next.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::{Context, LookupContinuation, LookupResult, SplitDwarfLoad};
use gimli::{DwarfPackage, EndianArcSlice, Reader, SectionId};
use object::{CompressedData, CompressionFormat, Object, ObjectSection, ReadCache};

use super::declaration::Units;
use super::elf::{self, File};
use super::names::{Names, Origin};
use super::table::Table;
use super::{demangle, file, separate};

/// Bytes of a section.
pub(super) type Bytes = EndianArcSlice<gimli::LittleEndian>;

/// Debug information.
pub(super) struct Dwarf {
    context: Context<Bytes>,
    package: Option<DwarfPackage<Bytes>>,
    units: Units,
    /// Functions by where their entries are: their unit in memory, and the offset in it.
    functions: BTreeMap<(usize, usize), Known>,
}

/// Debug information whose entries are nested deeper is left alone: `addr2line` goes down by recursion, and whoever writes a
/// file may nest as many as there is room for. Compilers nest some dozens.
const DEEPEST: isize = 500;

/// A function.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: u32,
    entry: Option<u64>,
}

/// The functions of an instruction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frames {
    /// From the outermost, which was called, to the innermost.
    pub functions: Vec<u32>,
    /// Line of the innermost function's file; 0 where it is not known.
    pub line: u32,
    /// Where the outermost starts.
    pub entry: Option<u64>,
}

impl Dwarf {
    /// Of the file at `path`; `None` if it has none that can be read.
    pub fn read(path: &Path, file: &File<'_>, debug_directory: &Path) -> Option<Dwarf> {
        file.section_by_name(".debug_info")?;
        let mut dwarf = sections(file, SectionId::name);
        is_flat(&dwarf).then_some(())?;
        if let Some(supplement) = separate::supplement(path, file, debug_directory)
            && let Ok(file) = File::parse(&supplement.data)
        {
            dwarf.set_sup(sections(&file, SectionId::name));
        }
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        let dwarf = Arc::new(dwarf);
        let context = Context::from_arc_dwarf(dwarf.clone()).ok()?;
        Some(Dwarf { context, package: package(path), units: Units::new(dwarf), functions: BTreeMap::new() })
    }

    /// The functions at an address, which `names` gets to know; `None` where there is none, or one without a name.
    ///
    /// `table` has the object's symbols.
    pub fn frames(
        &mut self,
        address: u64,
        origin: Origin<'_>,
        table: &Table,
        names: &mut Names,
    ) -> Option<Frames> {
        let Dwarf { context, package, units, functions } = self;
        let mut frames = with_loads(context.find_frames(address), package.as_ref()).ok()?;
        let first = frames.next().ok()??;
        first.dw_die_offset?;
        let unit = with_loads(context.find_dwarf_and_unit(address), package.as_ref())?;
        let unit_in_memory = std::ptr::from_ref(unit.unit).addr();
        let here = first.location.as_ref().and_then(|location| Some((location.file?, location.line?)));
        let (mut chain, mut entry, mut next) = (Vec::new(), None, Some(first));
        while let Some(frame) = next {
            let offset = frame.dw_die_offset?;
            let name = frame.function.as_ref().and_then(|function| function.raw_name().ok())?;
            next = frames.next().ok()?;
            let outermost = next.is_none();
            let known = functions.entry((unit_in_memory, offset.0)).or_insert_with(|| {
                let mut declaration = units.declaration(unit, offset);
                // Compilers that are asked for lines only do not say where a function is declared.
                if declaration.file.is_none() {
                    let entry = declaration.entry.filter(|_| outermost);
                    if let Some((file, line)) =
                        entry.and_then(|entry| beginning(context, package.as_ref(), entry))
                    {
                        declaration.file = Some(file);
                        declaration.line.get_or_insert(line);
                    } else {
                        let file = frame.location.as_ref().and_then(|location| location.file);
                        declaration.file = file.map(str::to_string);
                    }
                }
                let entry = declaration.entry.filter(|_| outermost);
                // Nor in which namespace.
                let symbol = entry.and_then(|entry| table.at(entry)).map(|symbol| &*symbol.name);
                let symbol = symbol.filter(|symbol| is_mangled(symbol) && !is_mangled(&name));
                let mut function = origin.function(demangle::demangled(symbol.unwrap_or(&name)));
                function.file = declaration.file.unwrap_or_default();
                function.line = declaration.line.unwrap_or_default();
                Known { id: names.function(function), entry }
            });
            chain.push(known.id);
            entry = known.entry;
        }
        // A line of another file, as of a macro's or of an `#include` in the middle of a function, is none of the function's.
        let innermost = names.function_of(chain[0]);
        let line = here.filter(|(file, _)| *file == innermost.file).map_or(0, |(_, line)| line);
        chain.reverse();
        Some(Frames { functions: chain, line, entry })
    }

    /// File and line of an address.
    pub fn location(&self, address: u64) -> Option<(&str, u32)> {
        let location = self.context.find_location(address).ok()??;
        Some((location.file?, location.line?))
    }
}

impl fmt::Debug for Dwarf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dwarf").field("functions", &self.functions.len()).finish_non_exhaustive()
    }
}

/// Whether all entries can be gone through by recursion.
fn is_flat(dwarf: &gimli::Dwarf<Bytes>) -> bool {
    let mut units = dwarf.units();
    while let Ok(Some(unit)) = units.next() {
        let mut deepest = 0;
        // What is broken ends for `addr2line` where it ends here.
        let _ = unit.abbreviations(&dwarf.debug_abbrev).and_then(|abbreviations| {
            let mut entries = unit.entries_raw(&abbreviations, None)?;
            while !entries.is_empty() && deepest <= DEEPEST {
                deepest = deepest.max(entries.next_depth());
                if let Some(abbreviation) = entries.read_abbreviation()? {
                    entries.skip_attributes(abbreviation.attributes())?;
                }
            }
            Ok(())
        });
        if deepest > DEEPEST {
            return false;
        }
    }
    true
}

/// Where the code of a function begins that starts at `entry`, with what may be inlined there.
fn beginning(
    context: &Context<Bytes>,
    package: Option<&DwarfPackage<Bytes>>,
    entry: u64,
) -> Option<(String, u32)> {
    let mut frames = with_loads(context.find_frames(entry), package).ok()?;
    let mut last = None;
    while let Some(frame) = frames.next().ok()? {
        last = frame.location;
    }
    let location = last?;
    Some((location.file?.to_string(), location.line?))
}

/// Whether a name says more than it seems to.
fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R")
}

/// The answer to a look-up, which may need other files.
fn with_loads<L>(mut lookup: LookupResult<L>, package: Option<&DwarfPackage<Bytes>>) -> L::Output
where
    L: LookupContinuation<Buf = Bytes>,
{
    loop {
        match lookup {
            LookupResult::Output(output) => return output,
            LookupResult::Load { load, continuation } => {
                lookup = continuation.resume(split(&load, package).map(Arc::new));
            }
        }
    }
}

/// The part of the debug information that one unit has elsewhere.
fn split(load: &SplitDwarfLoad<Bytes>, package: Option<&DwarfPackage<Bytes>>) -> Option<gimli::Dwarf<Bytes>> {
    let packed = package.and_then(|package| package.find_cu(load.dwo_id, &load.parent).ok().flatten());
    if packed.is_some() {
        return packed.filter(is_flat);
    }
    let path_of = |bytes: &Option<Bytes>| Some(elf::path(&bytes.as_ref()?.to_slice().ok()?));
    let path = path_of(&load.comp_dir).unwrap_or_default().join(path_of(&load.path)?);
    let data = ReadCache::new(file::open(&path).ok()?);
    let mut dwarf = sections(&File::parse(&data).ok()?, dwo_name);
    let unit = dwarf.units().next().ok()??;
    let unit = dwarf.unit(unit).ok()?;
    // Built anew since.
    (unit.dwo_id == Some(load.dwo_id) && is_flat(&dwarf)).then_some(())?;
    dwarf.make_dwo(&load.parent);
    Some(dwarf)
}

/// The package of split debug information beside the file at `path`.
fn package(path: &Path) -> Option<DwarfPackage<Bytes>> {
    let mut beside = path.as_os_str().to_os_string();
    beside.push(".dwp");
    let data = ReadCache::new(file::open(&PathBuf::from(beside)).ok()?);
    let file = File::parse(&data).ok()?;
    DwarfPackage::load(|id| Ok::<_, gimli::Error>(section(&file, dwo_name(id))), section(&file, "")).ok()
}

fn dwo_name(id: SectionId) -> &'static str {
    id.dwo_name().unwrap_or_default()
}

fn sections(file: &File<'_>, name: impl Fn(SectionId) -> &'static str) -> gimli::Dwarf<Bytes> {
    let load = |id| Ok::<_, std::convert::Infallible>(section(file, name(id)));
    match gimli::Dwarf::load(load) {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}

/// Can so few bytes be unpacked to as many as their header says? A damaged header says any number, and the memory for it is
/// taken, and filled, before that shows.
fn is_possible(packed: &CompressedData<'_>) -> bool {
    // A match of 258 bytes takes two bits at least (RFC 1951); a block of 128 KiB takes four bytes (RFC 8878).
    let most = match packed.format {
        CompressionFormat::Zlib => 1032,
        CompressionFormat::Zstandard => 1 << 15,
        _ => return true,
    };
    packed.uncompressed_size <= (packed.data.len() as u64).saturating_mul(most)
}

/// A section, unpacked; empty if it is not there or cannot be unpacked.
fn section(file: &File<'_>, name: &str) -> Bytes {
    let section = file.section_by_name(name).filter(|_| !name.is_empty());
    let packed = section.and_then(|section| section.compressed_data().ok()).filter(is_possible);
    let bytes = packed.and_then(|packed| packed.decompress().ok()).unwrap_or_default();
    Bytes::new(Arc::from(bytes), gimli::LittleEndian)
}
