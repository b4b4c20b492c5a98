//! Where the debug information of a stripped object is: in a file of its own, found by build id or by the object's link to it.
//!
//! Invariant: a file is taken only if it belongs to the object, by its build id or its checksum.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use object::{Object, ReadCache};

use super::elf::{self, File};
use super::file;

/// A file that says more about an object.
pub(super) struct Separate {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub data: ReadCache<fs::File>,
}

/// The debug information of the object at `path`.
pub(super) fn debug_file(path: &Path, object: &File<'_>, debug_directory: &Path) -> Option<Separate> {
    let id = object.build_id().ok().flatten();
    let by_id = id.and_then(|id| by_build_id(id, debug_directory));
    by_id.or_else(|| {
        let (name, checksum) = object.gnu_debuglink().ok()??;
        let (name, directory) = (elf::path(name), path.parent()?);
        // A name, not a path that leads elsewhere.
        if name.components().count() != 1 || name.file_name().is_none() {
            return None;
        }
        let elsewhere = debug_directory.join(directory.strip_prefix("/").unwrap_or(directory));
        let mut directories = [directory.to_path_buf(), directory.join(".debug"), elsewhere].into_iter();
        directories.find_map(|directory| {
            let candidate = directory.join(&name);
            let fits =
                candidate != path && (belongs(&candidate, id) || has_checksum(&candidate, checksum, id));
            fits.then(|| opened(candidate)).flatten()
        })
    })
}

/// What `dwz` has moved out of several files with debug information, one of which is at `path`, into one of its own.
pub(super) fn supplement(path: &Path, object: &File<'_>, debug_directory: &Path) -> Option<Separate> {
    let (name, id) = object.gnu_debugaltlink().ok()??;
    let linked = path.parent()?.join(elf::path(name));
    match belongs(&linked, Some(id)) {
        true => opened(linked),
        false => by_build_id(id, debug_directory),
    }
}

fn by_build_id(id: &[u8], debug_directory: &Path) -> Option<Separate> {
    let (first, rest) = id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = debug_directory.join(format!(".build-id/{first:02x}/{rest}.debug"));
    belongs(&path, Some(id)).then(|| opened(path)).flatten()
}

fn opened(path: PathBuf) -> Option<Separate> {
    let data = ReadCache::new(file::open(&path).ok()?);
    Some(Separate { path, data })
}

/// Whether the file at `path` has this build id.
fn belongs(path: &Path, id: Option<&[u8]>) -> bool {
    let Ok(file) = file::open(path) else { return false };
    let data = ReadCache::new(file);
    let found = File::parse(&data).ok().and_then(|file| file.build_id().ok().flatten());
    id.is_some() && found == id
}

/// Whether the file at `path` has this checksum. Where both files have a build id that has decided.
fn has_checksum(path: &Path, checksum: u32, id: Option<&[u8]>) -> bool {
    let Ok(file) = file::open(path) else { return false };
    let data = ReadCache::new(file);
    let theirs = File::parse(&data).ok().map(|file| file.build_id().is_ok_and(|id| id.is_some()));
    if theirs.is_none_or(|theirs| theirs && id.is_some()) {
        return false;
    }
    let Ok(mut file) = file::open(path) else { return false };
    let (mut sum, mut bytes) = (crc32fast::Hasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return sum.finalize() == checksum,
            Ok(count) => sum.update(&bytes[..count]),
            Err(_) => return false,
        }
    }
}
