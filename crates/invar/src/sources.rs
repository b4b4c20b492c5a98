//! Lines of source beside their costs, as the files are now.
//!
//! A file may have changed since it was measured, or be nowhere near: then there are only numbers of lines. Nothing that
//! these files hold is trusted to be short, or to be text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use invar_core::profile::Function;
use invar_core::wire::flame::{Sources, Tree};

/// Files larger than this are no source.
const LARGEST_FILE: u64 = 8 << 20;
/// Characters of a line; the rest is cut.
const LONGEST_LINE: usize = 300;
/// Lines of one function.
const MOST_LINES: usize = 400;
/// Lines of all functions of a page.
const MOST_LINES_OF_A_PAGE: usize = 20_000;

/// Files, each read once.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    read: BTreeMap<PathBuf, Option<Vec<String>>>,
}

impl Files {
    /// Files whose relative paths are relative to this directory.
    pub fn new(root: &Path) -> Files {
        Files { root: root.to_path_buf(), read: BTreeMap::new() }
    }

    /// The lines of a file from `first` to `last`, counted from one; empty where there is no such file.
    pub fn lines(&mut self, file: &str, first: u32, last: u32) -> &[String] {
        let path = self.root.join(file);
        let lines = self.read.entry(path).or_insert_with_key(|path| read(path));
        let Some(lines) = lines else { return &[] };
        let from = (first.max(1) as usize - 1).min(lines.len());
        let to = (last as usize).clamp(from, lines.len());
        &lines[from..to.min(from + MOST_LINES)]
    }
}

fn read(path: &Path) -> Option<Vec<String>> {
    let facts = std::fs::metadata(path).ok()?;
    if !facts.is_file() || facts.len() > LARGEST_FILE {
        return None;
    }
    let text = String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned();
    Some(text.lines().map(|line| line.chars().take(LONGEST_LINE).collect()).collect())
}

/// The first and the last line of a function, as far as its costs and its beginning tell.
pub fn range(function: &Function, lines: impl Iterator<Item = u32>) -> Option<(u32, u32)> {
    let known: Vec<u32> = lines.chain([function.line]).filter(|&line| line > 0).collect();
    Some((*known.iter().min()?, *known.iter().max()?))
}

/// The source of every function of a tree that has costs by line.
pub fn of_tree(tree: &Tree<'_>, files: &mut Files) -> Sources {
    let mut lines = BTreeMap::<u32, Vec<u32>>::new();
    for line in &tree.lines {
        lines.entry(line.function).or_default().push(line.line);
    }
    let mut sources = Sources::new();
    let mut room = MOST_LINES_OF_A_PAGE;
    for (index, lines) in lines {
        let function = &tree.functions[index as usize];
        let known = lines.iter().any(|&line| line > 0) && !function.file.is_empty();
        let Some((first, last)) = range(function, lines.into_iter()).filter(|_| known) else { continue };
        let text = files.lines(&function.file, first, last);
        if !text.is_empty() && text.len() <= room {
            room -= text.len();
            sources.insert(index, (first, text.to_vec()));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one_and_end_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.py"), "one\ntwo\nthree\n").unwrap();
        let mut files = Files::new(folder.path());
        assert_eq!(files.lines("a.py", 2, 3), ["two", "three"]);
        assert_eq!(files.lines("a.py", 0, 1), ["one"]);
        assert_eq!(files.lines("a.py", 3, 99), ["three"]);
        assert!(files.lines("a.py", 9, 99).is_empty());
        assert!(files.lines("a.py", 3, 1).is_empty());
        assert!(files.lines("b.py", 1, 2).is_empty());
        assert!(files.lines("", 1, 2).is_empty());
    }
}
