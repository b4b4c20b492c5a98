//! Rules about `Cargo.toml` files, line by line: comments are part of them.

use super::{Problem, Tree};

/// Every dependency of the workspace says why it is there, on its line or the line before.
pub fn dependencies_have_a_reason(tree: &Tree) -> Vec<Problem> {
    const ROOT: &str = "Cargo.toml";
    let Some(text) = tree.get(ROOT) else { return vec![Problem::of_file(ROOT, "is missing")] };
    let mut problems = Vec::new();
    let mut within = false;
    let mut before = "";
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            within = line.starts_with("[workspace.dependencies]");
        } else if within && line.contains('=') && !line.trim_start().starts_with('#') {
            let ours = line.contains("path = ");
            if !ours && !has_comment(line) && !before.trim_start().starts_with('#') {
                let name = line.split('=').next().unwrap_or(line).trim();
                let sentence = format!("`{name}` has no reason: add a comment that says why it is needed");
                problems.push(Problem::at(ROOT, index + 1, sentence));
            }
        }
        before = line;
    }
    problems
}

/// A comment behind the last quotation mark or bracket; one in a string is none.
fn has_comment(line: &str) -> bool {
    let value_ends = line.rfind(['"', '}', ']']).map_or(0, |at| at + 1);
    let comment = line.find(" #").or_else(|| line[value_ends..].find('#').map(|at| value_ends + at));
    comment.is_some_and(|at| line[at + 2..].trim().len() > 2)
}

/// The lints hold in every crate of the workspace.
pub fn lints_are_the_workspaces(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_ending(&["Cargo.toml"]) {
        let member = path.starts_with("crates/") || path == "xtask/Cargo.toml";
        let mut lines = text.lines().map(str::trim);
        let inherits = lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
        if member && !inherits {
            problems.push(Problem::of_file(
                path,
                "does not take the workspace's lints: [lints] workspace = true",
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[workspace.dependencies]\n\
                    a = { path = \"crates/a\" }\n\
                    b = \"1\" # because of c\n\
                    # decodes d\n\
                    d = { version = \"1\", features = [\"#\"] }\n\
                    e = \"1\"\n\
                    f = \"#1\"\n\
                    [profile.dev]\n\
                    g = 1\n";
        check(dependencies_have_a_reason, &[("Cargo.toml", text)], &["Cargo.toml:6", "Cargo.toml:7"]);
    }

    #[test]
    fn a_crate_with_lints_of_its_own_is_found() {
        let files = [
            ("crates/a/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("crates/b/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"\n"),
            ("integrations/c/Cargo.toml", ""),
        ];
        check(lints_are_the_workspaces, &files, &["crates/b/Cargo.toml"]);
    }
}
