//! Rules of the house that no compiler checks. A rule without a check decays.
//!
//! Each rule is a function from the [`Tree`] (every file that git knows or would add) or from `cargo metadata` to
//! [`Problem`]s; this module runs them all. The rules themselves are explained in ARCHITECTURE.md and CONTRIBUTING.md.

mod arrows;
mod licences;
mod manifests;
mod paths;
mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::prepare;

/// Files by their path from the root, as text; those that are no text are left out.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    fn read(root: &Path) -> Result<Tree> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let mut files = BTreeMap::new();
        for path in prepare::output(&mut git)?.split('\0').filter(|path| !path.is_empty()) {
            // A file that was deleted and not yet committed is not there; one that is no text has no lines.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.insert(path.to_string(), text);
            }
        }
        Ok(Tree(files))
    }

    fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn files_ending(&self, ends: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| ends.iter().any(|end| path.ends_with(end)))
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    path: String,
    /// From one; zero for the file as a whole.
    line: usize,
    sentence: String,
}

impl Problem {
    fn of_file(path: &str, sentence: impl Into<String>) -> Problem {
        Problem { path: path.to_string(), line: 0, sentence: sentence.into() }
    }

    fn at(path: &str, line: usize, sentence: impl Into<String>) -> Problem {
        Problem { path: path.to_string(), line, sentence: sentence.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.sentence),
            line => write!(f, "{}:{line}: {}", self.path, self.sentence),
        }
    }
}

/// A rule that needs nothing but the files.
type Rule = fn(&Tree) -> Vec<Problem>;

const RULES: &[Rule] = &[
    sources::printing_is_the_commands,
    sources::sql_is_the_stores,
    sources::serde_is_wires,
    sources::unsafe_is_opted_in,
    sources::lints_are_expected_not_allowed,
    sources::nothing_is_left_to_do,
    sources::order_is_never_of_chance,
    sources::files_open_with_a_comment,
    sources::files_are_short,
    paths::modules_are_named_for_what_they_do,
    paths::nothing_is_left_behind,
    paths::no_path_of_one_machine,
    paths::lock_files_name_the_usual_registries,
    paths::the_front_door_is_there,
    manifests::dependencies_have_a_reason,
    manifests::lints_are_the_workspaces,
];

/// The packages that are workspaces of their own, and the workspace.
const MANIFESTS: [&str; 4] =
    ["Cargo.toml", "integrations/c/Cargo.toml", "integrations/python/Cargo.toml", "fuzz/Cargo.toml"];

/// Checks everything, prints what is wrong, and fails if something is.
pub fn tidy() -> Result<()> {
    let root = prepare::root();
    let tree = Tree::read(&root)?;
    let mut problems: Vec<Problem> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    let allowed = licences::allowed(tree.get("deny.toml").unwrap_or_default());
    for manifest in MANIFESTS.into_iter().filter(|manifest| tree.get(manifest).is_some()) {
        let mut cargo = prepare::cargo();
        cargo.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
        cargo.args(["--manifest-path", manifest]);
        let metadata = serde_json::from_str(&prepare::output(&mut cargo)?)
            .with_context(|| format!("`cargo metadata` of {manifest} is not JSON"))?;
        problems.extend(licences::licences_are_allowed(manifest, &metadata, &allowed));
        if manifest == "Cargo.toml" {
            problems.extend(arrows::arrows_point_down(&metadata));
            problems.extend(arrows::the_engine_needs_no_std(&metadata));
        }
    }
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    ensure!(problems.is_empty(), "{} problems", problems.len());
    println!("tidy: {} files, {} rules, no problem", tree.0.len(), RULES.len() + 3);
    Ok(())
}

#[cfg(test)]
mod testing {
    use super::{Problem, Tree};

    /// A tree of these files.
    pub fn tree(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect())
    }

    /// `rule` finds exactly what is expected in these files, each as `path:line`, or `path` for a whole file.
    #[track_caller]
    pub fn check(rule: fn(&Tree) -> Vec<Problem>, files: &[(&str, &str)], expected: &[&str]) {
        let mut found: Vec<String> = rule(&tree(files))
            .into_iter()
            .map(|problem| match problem.line {
                0 => problem.path,
                line => format!("{}:{line}", problem.path),
            })
            .collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_like_a_compilers() {
        assert_eq!(Problem::at("a.rs", 3, "is wrong").to_string(), "a.rs:3: is wrong");
        assert_eq!(Problem::of_file("a.rs", "is wrong").to_string(), "a.rs: is wrong");
    }

    #[test]
    fn git_knows_the_files_of_a_tree() -> Result<()> {
        let tree = Tree::read(&prepare::root())?;
        assert!(tree.get("xtask/src/tidy.rs").is_some());
        assert!(tree.files().all(|(path, _)| !path.starts_with("target/")));
        Ok(())
    }
}
