//! Objects that were read, and addresses that were named: across the benchmarks of a run they are the same.
//!
//! Invariant: an object is read again if its file has changed. Nothing is said twice.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::elf::{self, Elf};
use super::jit::JitMap;
use super::maps::{Backing, Mapping, Maps};
use super::names::{Names, Origin, Place, Spot};

/// Where distributions install debug information.
const DEBUG_DIRECTORY: &str = "/usr/lib/debug";

/// What is known about the objects of measured processes.
#[derive(Debug)]
pub struct Cache {
    pub(super) names: Names,
    debug_directory: PathBuf,
    /// Python files below it are named relative to it.
    root: Option<PathBuf>,
    objects: Vec<Elf>,
    /// By what tells files apart. `None` for files that cannot be read.
    by_file: BTreeMap<FileId, Option<usize>>,
    said: BTreeSet<String>,
}

/// A file as it was at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FileId {
    path: String,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Default for Cache {
    fn default() -> Cache {
        Cache::with_debug_directory(PathBuf::from(DEBUG_DIRECTORY))
    }
}

impl Cache {
    /// One that looks for debug information in a directory like `/usr/lib/debug`.
    pub fn with_debug_directory(debug_directory: PathBuf) -> Cache {
        let (names, root, objects, by_file, said) = Default::default();
        Cache { names, debug_directory, root, objects, by_file, said }
    }

    /// The same, for sources below a directory: wherever a checkout is, its functions are the same.
    pub fn with_root(self, root: PathBuf) -> Cache {
        Cache { root: Some(root), ..self }
    }

    /// The name of a Python file.
    pub(super) fn python_file(&self, file: &str) -> String {
        let below = self.root.as_ref().and_then(|root| Path::new(file).strip_prefix(root).ok());
        below.and_then(Path::to_str).filter(|below| !below.is_empty()).unwrap_or(file).to_string()
    }

    /// The index of the object at `path`, or why there is none, if that was not said yet.
    fn object(&mut self, path: &str) -> Result<usize, Option<String>> {
        let unread = |why: &dyn std::fmt::Display| {
            format!("`{path}` cannot be read ({why}): profiles do not name its functions")
        };
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return Err(self.once(unread(&error))),
        };
        let id = FileId {
            path: path.to_string(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        if let Some(&known) = self.by_file.get(&id) {
            return known.ok_or(None);
        }
        match Elf::read(Path::new(path), &self.debug_directory) {
            Ok(object) => {
                let index = self.objects.len();
                self.objects.push(object);
                self.by_file.insert(id, Some(index));
                Ok(index)
            }
            Err(error) => {
                self.by_file.insert(id, None);
                Err(self.once(unread(&error)))
            }
        }
    }

    fn once(&mut self, warning: String) -> Option<String> {
        self.said.insert(warning.clone()).then_some(warning)
    }
}

/// The addresses of one process.
pub(super) struct Process<'a> {
    pub cache: &'a mut Cache,
    pub warnings: Vec<String>,
    maps: Maps<'a>,
    jit: Option<&'a JitMap>,
    /// Indices of objects by path.
    objects: BTreeMap<&'a str, Option<usize>>,
}

impl<'a> Process<'a> {
    /// One with these mappings.
    pub fn new(maps: &'a str, jit: Option<&'a JitMap>, cache: &'a mut Cache) -> Process<'a> {
        Process { cache, warnings: Vec::new(), maps: Maps::parse(maps), jit, objects: BTreeMap::new() }
    }

    /// Whose an instruction is.
    pub fn spot(&mut self, address: u64) -> Spot {
        let mapping = self.maps.find(address).copied();
        if let Some((object, address)) = self.object(mapping.as_ref(), address) {
            let Cache { objects, names, .. } = &mut *self.cache;
            return objects[object].spot(address, names);
        }
        if let Some((start, name)) = self.jit.and_then(|jit| jit.find(address)) {
            let function = Origin::new("[jit]").function(name.to_string());
            return self.alone(function, address == start, Place::Function);
        }
        let backing = mapping.map(|mapping| mapping.backing);
        let (name, place) = match backing {
            Some(Backing::Kernel(name)) => (name.to_string(), Place::Function),
            Some(Backing::File(path) | Backing::Deleted(path)) => {
                (format!("[{}]", elf::file_name(Path::new(path))), Place::Object)
            }
            Some(Backing::Anonymous) => ("[anonymous]".to_string(), Place::Object),
            None => ("[unmapped]".to_string(), Place::Object),
        };
        let object = object_name(backing);
        self.alone(Origin::new(&object).function(name), false, place)
    }

    /// The function that is called at an address.
    pub fn callee(&mut self, address: u64) -> (u32, Spot) {
        let spot = self.spot(address);
        if spot.place != Place::Object {
            return (self.cache.names.functions_of(spot.chain)[0], spot);
        }
        let mapping = self.maps.find(address).copied();
        let function = match self.object(mapping.as_ref(), address) {
            Some((object, address)) => self.cache.objects[object].origin().nameless(address),
            None => {
                let object = object_name(mapping.map(|mapping| mapping.backing));
                Origin::new(&object).function(format!("{address:#x}"))
            }
        };
        (self.cache.names.function(function), spot)
    }

    /// Whether anything is mapped at an address.
    pub fn knows(&self, address: u64) -> bool {
        self.maps.find(address).is_some() || self.jit.is_some_and(|jit| jit.find(address).is_some())
    }

    fn alone(&mut self, function: invar_core::profile::Function, entry: bool, place: Place) -> Spot {
        let names = &mut self.cache.names;
        let function = names.function(function);
        Spot { chain: names.chain(&[function]), line: 0, entry, place }
    }

    /// The object that is mapped there, and the address within it.
    fn object(&mut self, mapping: Option<&Mapping<'a>>, address: u64) -> Option<(usize, u64)> {
        let mapping = mapping?;
        let index = match mapping.backing {
            Backing::File(path) => match self.objects.get(path) {
                Some(&known) => known?,
                None => {
                    let object = self.cache.object(path);
                    self.objects.insert(path, object.as_ref().ok().copied());
                    match object {
                        Ok(index) => index,
                        Err(warning) => {
                            self.warnings.extend(warning);
                            return None;
                        }
                    }
                }
            },
            Backing::Deleted(path) => {
                // Memory that programs share with themselves has such names too.
                let memory = ["/memfd:", "/dev/", "/SYSV"].iter().any(|start| path.starts_with(start));
                let warning =
                    format!("`{path}` was replaced while it ran: profiles do not name its functions");
                self.warnings.extend((!memory).then(|| self.cache.once(warning)).flatten());
                return None;
            }
            Backing::Kernel(_) | Backing::Anonymous => return None,
        };
        let offset = mapping.offset.wrapping_add(address - mapping.start);
        Some((index, self.cache.objects[index].address(offset)?))
    }
}

/// [`invar_core::profile::Function::object`] where no object was read.
fn object_name(backing: Option<Backing<'_>>) -> String {
    match backing {
        Some(Backing::File(path) | Backing::Deleted(path)) => elf::file_name(Path::new(path)),
        Some(Backing::Kernel(name)) => name.to_string(),
        Some(Backing::Anonymous) => "[anonymous]".to_string(),
        None => String::new(),
    }
}
