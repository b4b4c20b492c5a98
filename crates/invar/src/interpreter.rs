//! Which Python a command will run, as far as its first word shows: for advice that can be copied.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What to say where nothing shows it.
const SOME_PYTHON: &str = "python";
/// More than the first line of a script can have.
const FIRST_LINE: u64 = 512;

/// The Python of a command: its first word, or what the script that this names is run by.
pub fn of(command: &[OsString]) -> String {
    let found = command.first().and_then(|word| {
        if is_python(Path::new(word)) {
            return Some(PathBuf::from(word));
        }
        named_by_first_line(&locate(word)?)
    });
    found.map_or_else(|| SOME_PYTHON.to_string(), |python| python.display().to_string())
}

/// Where a program is, by its path or on `PATH`.
fn locate(word: &OsStr) -> Option<PathBuf> {
    if word.as_encoded_bytes().contains(&b'/') {
        return Some(word.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(word)).find(|file| file.is_file())
}

/// `#!/venv/bin/python3`.
fn named_by_first_line(script: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    File::open(script).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let start = String::from_utf8_lossy(&start);
    let line = start.strip_prefix("#!")?.lines().next()?;
    let program = PathBuf::from(line.split_whitespace().next()?);
    is_python(&program).then_some(program)
}

fn is_python(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytest");
        std::fs::write(&path, script).unwrap();
        assert_eq!(of(&[path.into()]), expected);
    }

    #[test]
    fn a_script_names_its_python() {
        check("#!/venv/bin/python3.11\nimport sys\n", "/venv/bin/python3.11");
        check("#!/venv/bin/python -I\n", "/venv/bin/python");
    }

    #[test]
    fn what_is_no_script_of_python_says_nothing() {
        check("#!/bin/sh\n", "python");
        check("#!/usr/bin/env python3\n", "python");
        check("\u{7f}ELF", "python");
        check("#!", "python");
        assert_eq!(of(&[]), "python");
        assert_eq!(of(&["/no/such/file".into()]), "python");
    }

    #[test]
    fn a_python_is_itself() {
        assert_eq!(of(&["python3.12".into(), "-m".into(), "pytest".into()]), "python3.12");
    }
}
