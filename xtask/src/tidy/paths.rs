//! Rules about names: of files, of machines, of registries.

use super::{Problem, Tree};

/// A name says what is inside; these say that nobody knows.
pub fn modules_are_named_for_what_they_do(tree: &Tree) -> Vec<Problem> {
    const EMPTY: [&str; 9] =
        ["utils", "util", "common", "helpers", "helper", "misc", "manager", "imp", "shared"];
    let mut problems = Vec::new();
    for (path, _) in tree.files_ending(&[".rs", ".py", ".ts", ".tsx", ".c", ".h"]) {
        let named = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        if let Some(name) = named.into_iter().find(|name| EMPTY.contains(name)) {
            problems.push(Problem::of_file(path, format!("`{name}` says nothing: name it for what it does")));
        }
    }
    problems
}

/// What tools leave behind for a moment is not for the repository.
pub fn nothing_is_left_behind(tree: &Tree) -> Vec<Problem> {
    const LEFT: [&str; 6] = [".snap.new", ".orig", ".rej", ".rs.bk", ".swp", "~"];
    let left = tree.files_ending(&LEFT);
    left.map(|(path, _)| Problem::of_file(path, "was left behind by a tool: accept it or delete it"))
        .collect()
}

/// What works on one machine only is no part of the project.
pub fn no_path_of_one_machine(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files() {
        // The rule's own tests name such paths, and so do fixtures, which are as they were found.
        if path.contains("fixtures/") || path == "xtask/src/tidy/paths.rs" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(found) = machine_path(line) {
                let sentence = format!("`{found}` is a path of one machine");
                problems.push(Problem::at(path, index + 1, sentence));
            }
        }
    }
    problems
}

fn machine_path(line: &str) -> Option<&str> {
    // `me` and `runner` are nobody's.
    const NOBODY: [&str; 3] = ["me/", "runner/", "user/"];
    ["/work/", "/root/", "/home/"].into_iter().find_map(|start| {
        line.match_indices(start).find_map(|(at, _)| {
            let before = line[..at].chars().next_back();
            let within = before.is_some_and(|c| c.is_alphanumeric() || "._-/}*~$".contains(c));
            let rest = &line[at + start.len()..];
            let named = rest.starts_with(|c: char| c.is_alphanumeric() || c == '.');
            let nobody = start == "/home/" && NOBODY.iter().any(|name| rest.starts_with(name));
            (!within && named && !nobody).then(|| &line[at..at + start.len()])
        })
    })
}

/// A lock file that was made behind a mirror names the mirror.
pub fn lock_files_name_the_usual_registries(tree: &Tree) -> Vec<Problem> {
    const USUAL: [&str; 5] = [
        "https://github.com/rust-lang/crates.io-index",
        "https://pypi.org/",
        "https://files.pythonhosted.org/",
        "https://registry.npmjs.org/",
        "https://registry.yarnpkg.com/",
    ];
    const LOCKS: [&str; 6] =
        ["Cargo.lock", "uv.lock", "poetry.lock", "package-lock.json", "pnpm-lock.yaml", "yarn.lock"];
    let mut problems = Vec::new();
    for (path, text) in tree.files() {
        if !LOCKS.contains(&path.rsplit('/').next().unwrap_or(path)) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let source = ["source", "resolved", "registry", "url"].iter().any(|key| line.contains(key));
            let Some(at) = line.find("https://").or_else(|| line.find("http://")).filter(|_| source) else {
                continue;
            };
            if !USUAL.iter().any(|usual| line[at..].starts_with(usual)) {
                let end = line[at..].find('"').map_or(line.len(), |length| at + length);
                let sentence = format!("`{}` is not the registry that everybody uses", &line[at..end]);
                problems.push(Problem::at(path, index + 1, sentence));
            }
        }
    }
    problems
}

/// What somebody who has just cloned looks for.
pub fn the_front_door_is_there(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    match tree.get("README.md") {
        None => problems.push(Problem::of_file("README.md", "is missing")),
        Some(text) => {
            for command in ["cargo xtask demo", "cargo xtask test"] {
                if !text.contains(command) {
                    problems.push(Problem::of_file("README.md", format!("does not name `{command}`")));
                }
            }
        }
    }
    if tree.get("CHANGELOG.md").is_none() {
        problems.push(Problem::of_file("CHANGELOG.md", "is missing"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn an_empty_name_is_found_in_file_and_folder() {
        let files = [("a/utils.rs", ""), ("common/b.py", ""), ("a/commonplace.rs", ""), ("utils.md", "")];
        check(modules_are_named_for_what_they_do, &files, &["a/utils.rs", "common/b.py"]);
    }

    #[test]
    fn what_a_tool_left_behind_is_found() {
        check(
            nothing_is_left_behind,
            &[("a.snap.new", ""), ("a.snap", ""), ("b.orig", "")],
            &["a.snap.new", "b.orig"],
        );
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let text = "see /work/x\nfor /home/me/demo and $HOME/work/x\nin \"/root/.cache\"\n/home/anna/x\n";
        check(
            no_path_of_one_machine,
            &[("a.md", text), ("fixtures/b.txt", text)],
            &["a.md:1", "a.md:3", "a.md:4"],
        );
    }

    #[test]
    fn a_mirror_in_a_lock_file_is_found() {
        let text = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                    source = \"registry+https://mirror.example/index\"\n";
        check(lock_files_name_the_usual_registries, &[("fuzz/Cargo.lock", text)], &["fuzz/Cargo.lock:2"]);
        let text = "registry = \"https://pypi.org/simple\"\nurl = \"http://10.0.0.1/a.whl\"\n";
        check(lock_files_name_the_usual_registries, &[("uv.lock", text), ("a.md", text)], &["uv.lock:2"]);
    }

    #[test]
    fn a_missing_front_door_is_found() {
        check(the_front_door_is_there, &[], &["CHANGELOG.md", "README.md"]);
        let readme = ("README.md", "`cargo xtask demo`");
        check(the_front_door_is_there, &[readme, ("CHANGELOG.md", "")], &["README.md"]);
    }
}
