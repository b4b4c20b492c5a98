//! Rules about what stands in a source file.

use super::{Problem, Tree};

/// A file that is longer has a second idea in it.
const LINES_MAX: usize = 800;

/// The lines of a Rust file without comments and without the inside of string literals, numbered from one.
///
/// A line at a time: what goes on over several lines (block comments, raw strings) is taken for code, which at worst
/// finds a problem where there is none.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, code_of(line)))
}

fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut characters = line.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                characters.next();
            }
            // A quotation mark as a character is no string.
            '\'' if !in_string && characters.peek() == Some(&'"') => {
                characters.next();
                characters.next();
            }
            '"' => {
                in_string = !in_string;
                code.push('"');
            }
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            _ if in_string => {}
            _ => code.push(character),
        }
    }
    code
}

/// Does `word` stand in `code` by itself?
fn has_word(code: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(part)
            && !code[at + word.len()..].chars().next().is_some_and(part)
    })
}

fn is_within(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Rust files outside of `folders`, with the lines that `is_wrong`.
fn lines_where(
    tree: &Tree,
    outside: &[&str],
    sentence: &str,
    is_wrong: impl Fn(&str) -> bool,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_ending(&[".rs"]).filter(|(path, _)| !is_within(path, outside)) {
        let wrong = code_lines(text).filter(|(_, code)| is_wrong(code));
        problems.extend(wrong.map(|(line, _)| Problem::at(path, line, sentence)));
    }
    problems
}

/// Who knows does not print.
pub fn printing_is_the_commands(tree: &Tree) -> Vec<Problem> {
    const PROGRAMS: [&str; 7] = [
        "crates/invar/",
        "crates/invar-core/examples/",
        "crates/invar-store/examples/",
        "crates/invar-runner/examples/",
        "xtask/",
        "fuzz/src/",
        "fixtures/",
    ];
    let sentence = "stdout and stderr belong to the crate `invar`: return a value and let it print";
    lines_where(tree, &PROGRAMS, sentence, |code| {
        ["println", "eprintln", "print", "eprint", "dbg"]
            .into_iter()
            .any(|name| has_word(code, name) && code.contains(&format!("{name}!")))
    })
}

/// One crate knows the databases.
pub fn sql_is_the_stores(tree: &Tree) -> Vec<Problem> {
    const STORE: &str = "crates/invar-store/";
    let sentence = "SQL lives in invar-store";
    let mut problems = lines_where(tree, &[STORE, "xtask/"], sentence, |code| has_word(code, "sqlx"));
    for (path, text) in tree.files_ending(&[".rs", ".sql", ".py"]) {
        if is_within(path, &[STORE, "xtask/", "benches/", "examples/", "fixtures/"]) {
            continue;
        }
        let statements = ["SELECT ", "INSERT INTO ", "CREATE TABLE ", "DELETE FROM ", "ALTER TABLE "];
        for (index, line) in text.lines().enumerate() {
            if statements.iter().any(|statement| line.contains(&format!("\"{statement}")))
                || path.ends_with(".sql")
            {
                problems.push(Problem::at(path, index + 1, sentence));
                break;
            }
        }
    }
    problems
}

/// The model has no serde: what crosses a process is a twin in `wire`.
pub fn serde_is_wires(tree: &Tree) -> Vec<Problem> {
    let sentence = "serde belongs to invar-core/src/wire: make a twin there";
    lines_where(tree, &["crates/invar-core/src/wire/", "integrations/", "fuzz/"], sentence, |code| {
        has_word(code, "serde") || has_word(code, "Serialize") || has_word(code, "Deserialize")
    })
}

/// `unsafe` lives where no safe interface exists, and each file says why.
pub fn unsafe_is_opted_in(tree: &Tree) -> Vec<Problem> {
    const HOSTS: [&str; 4] =
        ["crates/invar-engine/src/host/", "crates/invar-placement/src/", "integrations/", "fuzz/src/host/"];
    let uses = |code: &str| has_word(code, "unsafe");
    let sentence = "`unsafe` lives in invar-engine/src/host, in invar-placement and in the integrations";
    let mut problems = lines_where(tree, &HOSTS, sentence, uses);
    for (path, text) in tree.files_ending(&[".rs"]).filter(|(path, _)| is_within(path, &HOSTS)) {
        let opted_in = text.split("#![expect(").skip(1).any(|rest| {
            let attribute = rest.split(")]").next().unwrap_or_default();
            attribute.contains("unsafe_code") && attribute.contains("reason = ")
        });
        let first = code_lines(text).find(|(_, code)| uses(code));
        if let (Some((line, _)), false) = (first, opted_in) {
            let sentence = "a file with `unsafe` opens with #![expect(unsafe_code, reason = \"...\")]";
            problems.push(Problem::at(path, line, sentence));
        }
    }
    problems
}

/// An expectation that no longer holds is found; a permission stays for ever.
pub fn lints_are_expected_not_allowed(tree: &Tree) -> Vec<Problem> {
    lines_where(tree, &[], "write #[expect(lint, reason = \"...\")] instead", |code| {
        code.contains("#[allow(") || code.contains("#![allow(")
    })
}

/// What is not done yet is an issue, not a line of code.
pub fn nothing_is_left_to_do(tree: &Tree) -> Vec<Problem> {
    lines_where(tree, &[], "what is missing is an issue, not a panic", |code| {
        ["todo", "unimplemented"]
            .into_iter()
            .any(|name| has_word(code, name) && code.contains(&format!("{name}!")))
    })
}

/// Nothing that reaches output may depend on a hash.
pub fn order_is_never_of_chance(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_ending(&[".rs"]).filter(|(path, _)| path.starts_with("crates/")) {
        let lines: Vec<&str> = text.lines().collect();
        for (line, code) in code_lines(text) {
            let hashed = has_word(&code, "HashMap") || has_word(&code, "HashSet");
            let explained =
                lines[line - 1].contains("//") || line > 1 && lines[line - 2].trim_start().starts_with("//");
            if hashed && !explained {
                let sentence =
                    "a hash has no order: use a BTreeMap, or say in a comment why it cannot matter";
                problems.push(Problem::at(path, line, sentence));
            }
        }
    }
    problems
}

/// A file opens with what it is.
pub fn files_open_with_a_comment(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_ending(&[".rs", ".py"]) {
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!/"));
        let Some(first) = first else { continue };
        let opens = match path.ends_with(".rs") {
            true => first.starts_with("//!"),
            false => ["\"\"\"", "r\"\"\"", "#"].iter().any(|open| first.starts_with(open)),
        };
        if !opens {
            problems.push(Problem::of_file(path, "opens without a comment that says what it is"));
        }
    }
    problems
}

/// At 600 lines look for the second idea; at 800 it is there.
pub fn files_are_short(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_ending(&[".rs", ".py", ".ts", ".tsx", ".c", ".h"]) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            let sentence =
                format!("has {lines} lines; {LINES_MAX} is the most: look for the second idea in it");
            problems.push(Problem::of_file(path, sentence));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        assert_eq!(code_of(r#"let a = "word \" // x"; b // word"#), r#"let a = ""; b "#);
        assert_eq!(code_of(r#"match c { '"' => word }"#), "match c {  => word }");
    }

    #[test]
    fn a_library_that_prints_is_found() {
        let text = "//! A.\nfn f() { println!(\"a\"); }\n";
        let files = [("crates/invar-core/src/a.rs", text), ("crates/invar/src/main.rs", text)];
        check(printing_is_the_commands, &files, &["crates/invar-core/src/a.rs:2"]);
    }

    #[test]
    fn a_macro_that_is_only_mentioned_is_passed_over() {
        check(printing_is_the_commands, &[("crates/invar-core/src/a.rs", "// println!\n\"eprintln!\"")], &[]);
    }

    #[test]
    fn sql_outside_of_the_store_is_found() {
        let text = "let q = \"SELECT id FROM runs\";";
        let files = [("crates/invar/src/a.rs", text), ("crates/invar-store/src/a.rs", text), ("b.sql", "x")];
        check(sql_is_the_stores, &files, &["b.sql:1", "crates/invar/src/a.rs:1"]);
    }

    #[test]
    fn serde_in_the_model_is_found() {
        let text = "use serde::Serialize;\nuse serde_json::Value;\n";
        let files = [("crates/invar-core/src/run.rs", text), ("crates/invar-core/src/wire/v1.rs", text)];
        check(serde_is_wires, &files, &["crates/invar-core/src/run.rs:1"]);
    }

    #[test]
    fn unsafe_code_elsewhere_or_without_a_reason_is_found() {
        let text = "//! A.\nfn f() { unsafe { g() } }\n";
        let reasoned = "#![expect(unsafe_code, reason = \"a\")]\nunsafe fn f() {}\n";
        let files = [
            ("crates/invar-engine/src/host/a.rs", text),
            ("crates/invar-engine/src/host/b.rs", reasoned),
            ("crates/invar-engine/src/runtime.rs", reasoned),
        ];
        check(
            unsafe_is_opted_in,
            &files,
            &["crates/invar-engine/src/host/a.rs:2", "crates/invar-engine/src/runtime.rs:2"],
        );
    }

    #[test]
    fn allowed_lints_and_things_to_do_are_found() {
        let text = "#[allow(dead_code)]\nfn f() { todo!() }\n";
        check(
            lints_are_expected_not_allowed,
            &[("crates/invar/src/a.rs", text)],
            &["crates/invar/src/a.rs:1"],
        );
        check(nothing_is_left_to_do, &[("crates/invar/src/a.rs", text)], &["crates/invar/src/a.rs:2"]);
    }

    #[test]
    fn a_hash_without_a_reason_is_found() {
        let text = "use a::HashMap;\n// Only looked up in, never walked.\nlet a: HashMap<u8, u8>;\n";
        check(order_is_never_of_chance, &[("crates/invar/src/a.rs", text)], &["crates/invar/src/a.rs:1"]);
    }

    #[test]
    fn a_file_without_an_opening_is_found() {
        let files = [
            ("a.rs", "use b;\n"),
            ("b.rs", "\n//! B.\n"),
            ("c.py", "import d\n"),
            ("d.py", ""),
            ("e.py", "\"\"\"E."),
        ];
        check(files_open_with_a_comment, &files, &["a.rs", "c.py"]);
    }

    #[test]
    fn a_long_file_is_found() {
        let (long, short) = ("\n".repeat(LINES_MAX + 1), "\n".repeat(LINES_MAX));
        check(files_are_short, &[("a.rs", &long), ("b.rs", &short), ("c.md", &long)], &["a.rs"]);
    }
}
