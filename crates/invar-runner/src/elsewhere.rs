//! A suite at another place: a copy of its checkout, or started from another directory.
//!
//! The checkout itself is only read. What git ignores is not copied but linked to (virtual environments, built extensions); byte
//! code and what Invar keeps are left out. The copy's path is the same in every run, unless two run at once: a path is an object of
//! the measured process.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::disturbance::{Disturbance, Place};
use crate::source;

/// More is not copied: a suite's directory without git may hold anything.
const MOST_BYTES: u64 = 512 << 20;
/// Found in checkouts, and no part of what is measured.
const LEFT_OUT: [&str; 6] = [".git", ".invar", "__pycache__", ".pytest_cache", ".hypothesis", "target"];

/// Where and how a command is started.
pub struct Elsewhere {
    /// The directory to start it in.
    pub directory: PathBuf,
    /// Its words.
    pub command: Vec<OsString>,
    /// What paths of its sources are relative to; `None`: as usual.
    pub root: Option<PathBuf>,
    /// Removes the copy.
    _copy: Option<Scratch>,
}

impl Elsewhere {
    /// Prepares the place of a disturbance. The error is why it cannot be tried.
    pub fn prepare(
        command: &[OsString],
        directory: &Path,
        disturbance: &Disturbance,
    ) -> Result<Elsewhere, String> {
        let usual = || Elsewhere {
            directory: directory.to_path_buf(),
            command: command.to_vec(),
            root: None,
            _copy: None,
        };
        match disturbance.place {
            Place::Usual => Ok(usual()),
            Place::Root => {
                let absolute = |word: &OsString| {
                    // Of a test's full name the file comes first.
                    let path = word.to_str().and_then(|word| word.split("::").next());
                    let path = path.map_or(Path::new(word), Path::new);
                    if path.is_absolute() || !directory.join(path).exists() {
                        return word.clone();
                    }
                    directory.join(word).into_os_string()
                };
                let words: Vec<OsString> = command.iter().map(absolute).collect();
                if words.get(1..) == command.get(1..) {
                    return Err(
                        "the command names no path, so it works in its own directory only".to_string()
                    );
                }
                Ok(Elsewhere { directory: "/".into(), command: words, ..usual() })
            }
            Place::OtherPath | Place::Edited => {
                let real = directory.canonicalize().map_err(|error| error.to_string())?;
                let root = source::toplevel(&real).unwrap_or_else(|| real.clone());
                let length = match disturbance.place {
                    Place::Edited => root.as_os_str().len(),
                    _ => root.as_os_str().len() + 41,
                };
                let failed = |error: io::Error| format!("the checkout cannot be copied: {error}");
                let copy = Scratch::make(length).map_err(failed)?;
                copy_tree(&root, &copy.root).map_err(failed)?;
                // Joining nothing would add a slash.
                let directory = match real.strip_prefix(&root) {
                    Ok(below) if below != Path::new("") => copy.root.join(below),
                    _ => copy.root.clone(),
                };
                for file in &disturbance.edits {
                    edit(&copy.root, &directory, file)?;
                }
                let moved = |(place, word): (usize, &OsString)| match Path::new(word).strip_prefix(&root) {
                    // What was left out stays where it is, such as an interpreter among what was built.
                    Ok(below) if place > 0 && copy.root.join(below).exists() => {
                        copy.root.join(below).into_os_string()
                    }
                    _ => word.clone(),
                };
                let command = command.iter().enumerate().map(moved).collect();
                Ok(Elsewhere { directory, command, root: Some(copy.root.clone()), _copy: Some(copy) })
            }
        }
    }
}

/// A directory for a copy, removed with what is in it.
struct Scratch {
    top: PathBuf,
    root: PathBuf,
}

impl Scratch {
    /// Makes one whose path has so many bytes, or as few as can be.
    fn make(length: usize) -> io::Result<Scratch> {
        let temporary = std::env::temp_dir().canonicalize()?;
        for number in 0..10 {
            let top = temporary.join(format!("invar-verify-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&top) {
                Ok(()) => {
                    let rest = length.saturating_sub(top.as_os_str().len() + 1).clamp(1, 200);
                    let root = top.join("c".repeat(rest));
                    let scratch = Scratch { top, root };
                    fs::create_dir(&scratch.root)?;
                    return Ok(scratch);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        let left = temporary.join("invar-verify-*").display().to_string();
        Err(io::Error::other(format!("earlier copies are in the way: {left}")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary directory, where the system removes it.
        let _ = fs::remove_dir_all(&self.top);
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut left = MOST_BYTES;
    match git_files(from) {
        Some((own, ignored)) => {
            for file in own {
                copy_file(&from.join(&file), &to.join(&file), &mut left)?;
            }
            for path in ignored {
                // git ends directories with a slash, with which nothing can be called like a link.
                let path: PathBuf = path.components().collect();
                let link = to.join(&path);
                if !is_left_out(&path) && !link.exists() && from.join(&path).exists() {
                    fs::create_dir_all(link.parent().unwrap_or(to))?;
                    std::os::unix::fs::symlink(from.join(&path), link)?;
                }
            }
            Ok(())
        }
        None => copy_directory(from, to, &mut left),
    }
}

fn is_left_out(path: &Path) -> bool {
    path.components().any(
        |component| matches!(component, Component::Normal(name) if LEFT_OUT.iter().any(|left| name == *left)),
    )
}

/// Files that are the checkout's own, and paths that git ignores; `None` where there is no repository.
fn git_files(root: &Path) -> Option<(Vec<PathBuf>, Vec<PathBuf>)> {
    let ask = |arguments: &[&str]| -> Option<Vec<PathBuf>> {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        output.status.success().then(|| names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
    };
    let own = ask(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let ignored = ask(&["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"])?;
    Some((own, ignored))
}

fn copy_directory(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if is_left_out(Path::new(&entry.file_name())) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            // An environment refers to its own path.
            if path.join("pyvenv.cfg").exists() {
                std::os::unix::fs::symlink(path, copy)?;
            } else {
                fs::create_dir(&copy)?;
                copy_directory(&path, &copy, left)?;
            }
        } else {
            copy_file(&path, &copy, left)?;
        }
    }
    Ok(())
}

/// Copies a file or a link; what is neither, or was removed and not committed, is passed over.
fn copy_file(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(from) else { return Ok(()) };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if found.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !found.is_file() {
        return Ok(());
    }
    *left = left
        .checked_sub(found.len())
        .ok_or_else(|| io::Error::other(format!("it holds more than {} MB", MOST_BYTES >> 20)))?;
    fs::copy(from, to).map(drop)
}

/// Edits a file of the copy, which is named relative to some directory between the root and where the command is started.
fn edit(root: &Path, directory: &Path, file: &Path) -> Result<(), String> {
    let between = directory.ancestors().take_while(|ancestor| ancestor.starts_with(root));
    let mut places = between.map(|ancestor| ancestor.join(file));
    let Some(path) = places.find(|path| path.is_file()) else {
        return Err(format!("{} is not found in the copy of the checkout", file.display()));
    };
    let failed = |error: io::Error| format!("{} cannot be edited: {error}", file.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    fs::write(&path, edited(&text)).map_err(failed)
}

/// The text with comments above it, which move every line, and with a function below it that nobody calls.
fn edited(text: &str) -> String {
    // A first line that is a comment may say how to read the file.
    let (head, rest) = match text.split_inclusive('\n').next() {
        Some(first) if first.starts_with('#') => text.split_at(first.len()),
        _ => ("", text),
    };
    let gap = if rest.is_empty() || rest.ends_with('\n') { "" } else { "\n" };
    format!(
        "{head}# This line says nothing about what is below it,\n# and neither does this one.\n{rest}{gap}\n\n\
         def _nobody_calls_this(first, second=\"some text\"):\n    \"\"\"Does nothing that matters.\"\"\"\n    \
         return {{\"first\": first, \"second\": [second, 12345, 6.5]}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disturbance::disturbances;

    fn named(name: &str) -> Disturbance {
        disturbances().into_iter().find(|disturbance| disturbance.name == name).unwrap()
    }

    #[test]
    fn a_copy_is_edited_and_the_checkout_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path().join("a-checkout-with-a-rather-long-name");
        fs::create_dir_all(checkout.join("tests/__pycache__")).unwrap();
        fs::write(checkout.join("tests/test_a.py"), "def test_a(): pass").unwrap();
        let words: Vec<OsString> = vec![
            "pytest".into(),
            checkout.join("tests").into(),
            checkout.join("target").into(),
            "tests".into(),
        ];
        let disturbance = Disturbance { edits: vec!["tests/test_a.py".into()], ..named("edit") };
        let place = Elsewhere::prepare(&words, &checkout, &disturbance).unwrap();
        let text = fs::read_to_string(place.directory.join("tests/test_a.py")).unwrap();
        assert!(text.contains("def test_a(): pass\n\n\ndef _nobody_calls_this"), "{text}");
        assert!(text.starts_with("# This line"), "{text}");
        assert_eq!(place.command[1], place.directory.join("tests"));
        assert_eq!(place.command[2], checkout.join("target"));
        assert_eq!(place.command[3], "tests");
        assert!(!place.directory.join("tests/__pycache__").exists());
        let length = checkout.canonicalize().unwrap().as_os_str().len();
        assert_eq!(place.directory.as_os_str().len(), length);
        let copy = place.directory.clone();
        drop(place);
        assert!(!copy.exists());
        assert_eq!(fs::read_to_string(checkout.join("tests/test_a.py")).unwrap(), "def test_a(): pass");
    }

    #[test]
    fn what_git_ignores_is_linked_to() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(folder.path()).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        git(&["init", "--quiet"]);
        for path in ["tests", "venv/bin", ".invar"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs::write(folder.path().join(".gitignore"), "venv/\n.invar/\n").unwrap();
        for path in ["tests/test_a.py", "venv/bin/pytest", ".invar/x"] {
            fs::write(folder.path().join(path), "").unwrap();
        }
        let place = Elsewhere::prepare(&["x".into()], &folder.path().join("tests"), &named("path")).unwrap();
        let root = place.root.clone().unwrap();
        assert_eq!(place.directory, root.join("tests"));
        assert!(root.join("tests/test_a.py").is_file() && root.join("venv/bin/pytest").is_file());
        assert!(root.join("venv").is_symlink() && !root.join(".invar").exists());
        drop(place);
        assert!(folder.path().join("venv/bin/pytest").exists());
    }

    #[test]
    fn a_command_without_a_path_stays_in_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tests"), "").unwrap();
        let prepare = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            Elsewhere::prepare(&words, folder.path(), &named("directory")).map(|place| place.command)
        };
        let expected: Vec<OsString> = vec!["pytest".into(), folder.path().join("tests").into()];
        assert_eq!(prepare(&["pytest", "tests"]), Ok(expected));
        let expected: Vec<OsString> = vec!["pytest".into(), folder.path().join("tests::test_a").into()];
        assert_eq!(prepare(&["pytest", "tests::test_a"]), Ok(expected));
        assert!(prepare(&["pytest", "-q"]).unwrap_err().contains("names no path"));
    }

    #[test]
    fn an_edit_keeps_the_first_comment_first() {
        assert!(edited("#!/usr/bin/python\nx = 1\n").starts_with("#!/usr/bin/python\n# This line"));
        assert!(
            edited("\"\"\"Doc.\"\"\"\nfrom __future__ import annotations").contains("annotations\n\n\ndef ")
        );
    }
}
