//! Where a function is declared: file and line, by its entry in the debug information.
//!
//! An entry says this itself or refers to another that does, which may be in another unit or in the file that `dwz` has made.

use std::sync::Arc;

use gimli::{AttributeValue, DebugInfoOffset, Dwarf, Unit, UnitHeader, UnitOffset, UnitRef};

use super::dwarf::Bytes;

/// How many entries refer to the next: a declaration, its abstract instance, a concrete one. Broken ones may be circles.
const LONGEST_WAY: usize = 8;

/// Where a function is declared, and its code begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Declaration {
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// Address of its first instruction.
    pub entry: Option<u64>,
}

/// The units of debug information, and those of its supplement.
pub(super) struct Units {
    own: Section,
    supplement: Option<Section>,
}

struct Section {
    dwarf: Arc<Dwarf<Bytes>>,
    /// Sorted by offset. Empty until somebody asks.
    units: Option<Vec<Slot>>,
}

/// A unit, if anybody has asked for it.
type Slot = (UnitHeader<Bytes>, Option<Unit<Bytes>>);

impl Units {
    /// Of debug information.
    pub fn new(dwarf: Arc<Dwarf<Bytes>>) -> Units {
        let supplement = dwarf.sup.clone();
        let section = |dwarf| Section { dwarf, units: None };
        Units { own: section(dwarf), supplement: supplement.map(section) }
    }

    /// What the entry at `offset` of `unit` says.
    pub fn declaration(&mut self, unit: UnitRef<'_, Bytes>, offset: UnitOffset) -> Declaration {
        let mut declaration = Declaration::default();
        if let Ok(entry) = unit.entry(offset)
            && let Ok(mut ranges) = unit.die_ranges(&entry)
        {
            declaration.entry = ranges.next().ok().flatten().map(|range| range.begin);
        }
        // None if anything on the way cannot be read: then the rest is not known.
        self.follow(unit, offset, LONGEST_WAY, &mut declaration);
        declaration
    }

    fn follow(
        &mut self,
        unit: UnitRef<'_, Bytes>,
        offset: UnitOffset,
        steps: usize,
        declaration: &mut Declaration,
    ) -> Option<()> {
        let entry = unit.entry(offset).ok()?;
        if declaration.line.is_none() {
            let line = entry.attr_value(gimli::DW_AT_decl_line).and_then(|line| line.udata_value());
            declaration.line = line.and_then(|line| u32::try_from(line).ok());
        }
        if declaration.file.is_none()
            && let Some(AttributeValue::FileIndex(index)) = entry.attr_value(gimli::DW_AT_decl_file)
        {
            declaration.file = file(unit, index);
        }
        if declaration.file.is_some() && declaration.line.is_some() {
            return Some(());
        }
        let steps = steps.checked_sub(1)?;
        let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
        match origin.or_else(|| entry.attr_value(gimli::DW_AT_specification))? {
            AttributeValue::UnitRef(offset) => self.follow(unit, offset, steps, declaration),
            // An offset in debug information that was split off is none of ours.
            AttributeValue::DebugInfoRef(offset) if std::ptr::eq(unit.dwarf, &*self.own.dwarf) => {
                let (dwarf, unit, offset) = self.own.take(offset)?;
                self.follow(unit.unit_ref(&dwarf), offset, steps, declaration);
                self.own.put(unit)
            }
            AttributeValue::DebugInfoRef(offset) | AttributeValue::DebugInfoRefSup(offset) => {
                let (dwarf, unit, offset) = self.supplement.as_mut()?.take(offset)?;
                self.follow(unit.unit_ref(&dwarf), offset, steps, declaration);
                self.supplement.as_mut()?.put(unit)
            }
            _ => None,
        }
    }
}

impl Section {
    /// Takes out the unit that an entry is in, until it is [`Section::put`] back, and finds the entry's place in it.
    fn take(&mut self, offset: DebugInfoOffset) -> Option<(Arc<Dwarf<Bytes>>, Unit<Bytes>, UnitOffset)> {
        let Section { dwarf, units } = self;
        let units = units.get_or_insert_with(|| {
            let (mut headers, mut units) = (dwarf.units(), Vec::new());
            while let Ok(Some(header)) = headers.next() {
                units.push((header, None));
            }
            units
        });
        let index = place(units, offset)?;
        let (header, unit) = &mut units[index];
        let place = offset.to_unit_offset(header)?;
        let unit = unit.take().or_else(|| dwarf.unit(header.clone()).ok())?;
        Some((dwarf.clone(), unit, place))
    }

    fn put(&mut self, unit: Unit<Bytes>) -> Option<()> {
        let units = self.units.as_mut()?;
        let index = place(units, unit.header.debug_info_offset()?)?;
        units[index].1 = Some(unit);
        Some(())
    }
}

/// The index of the unit that an offset is in.
fn place(units: &[Slot], offset: DebugInfoOffset) -> Option<usize> {
    units
        .partition_point(|(header, _)| header.debug_info_offset().is_some_and(|start| start <= offset))
        .checked_sub(1)
}

/// The path of a file by its number in a unit, put together in the way of [`addr2line::Location::file`].
fn file(unit: UnitRef<'_, Bytes>, index: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    if index == 0 && header.version() < 5 {
        return None;
    }
    let entry = header.file(index)?;
    let text = |value| {
        Some(
            String::from_utf8_lossy(&gimli::Reader::to_slice(&unit.attr_string(value).ok()?).ok()?)
                .into_owned(),
        )
    };
    let mut path = match &unit.comp_dir {
        Some(directory) => String::from_utf8_lossy(&gimli::Reader::to_slice(directory).ok()?).into_owned(),
        None => String::new(),
    };
    if entry.directory_index() != 0
        && let Some(directory) = entry.directory(header)
    {
        push(&mut path, &text(directory)?);
    }
    push(&mut path, &text(entry.path_name())?);
    Some(path)
}

fn push(path: &mut String, part: &str) {
    if part.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}
