//! Under which licences dependencies come, by the list in `deny.toml`.

use serde_json::Value;

use super::Problem;

/// The strings between `allow = [` and `]` in `deny.toml`.
pub fn allowed(deny: &str) -> Vec<String> {
    let Some((_, rest)) = deny.split_once("allow = [") else { return Vec::new() };
    let list = rest.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

/// Every dependency of a workspace has an allowed licence.
pub fn licences_are_allowed(manifest: &str, metadata: &Value, allowed: &[String]) -> Vec<Problem> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or("?");
        let sentence = match package["license"].as_str() {
            None => format!("`{name}` names no licence"),
            Some(licence) if !is_allowed(licence, allowed) => {
                format!("`{name}` comes under {licence}, which deny.toml does not allow")
            }
            Some(_) => continue,
        };
        problems.push(Problem::of_file(manifest, sentence));
    }
    problems
}

/// Judges an SPDX expression: one of several alternatives is enough, all parts of a conjunction are needed. An exception
/// (`WITH`) only grants more.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    alternatives(&mut rest, allowed) && rest.is_empty()
}

fn alternatives(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut any = conjunction(words, allowed);
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        // Not short-circuited: the words must be read.
        any |= conjunction(words, allowed);
    }
    any
}

fn conjunction(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut all = licence(words, allowed);
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        all &= licence(words, allowed);
    }
    all
}

fn licence(words: &mut &[&str], allowed: &[String]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let inner = alternatives(words, allowed);
        let Some((&")", rest)) = words.split_first() else { return false };
        *words = rest;
        return inner;
    }
    if let [with, _exception, rest @ ..] = *words
        && *with == "WITH"
    {
        *words = rest;
    }
    allowed.iter().any(|licence| licence == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        let allowed = allowed("[licenses]\nallow = [\n    \"MIT\",\n    \"Apache-2.0\",\n]\n");
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }

    #[test]
    fn one_alternative_is_enough_and_every_part_is_needed() {
        check("MIT", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("GPL-3.0/MIT", true);
        check("MIT AND GPL-3.0", false);
        check("(MIT OR GPL-3.0) AND Apache-2.0", true);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("GPL-2.0 WITH Classpath-exception-2.0", false);
        check("", false);
        check("(MIT", false);
    }

    #[test]
    fn a_dependency_without_an_allowed_licence_is_found() {
        let metadata = serde_json::json!({"packages": [
            {"name": "ours", "source": null, "license": null},
            {"name": "good", "source": "registry", "license": "MIT"},
            {"name": "bad", "source": "registry", "license": "AGPL-3.0"},
            {"name": "none", "source": "registry", "license": null},
        ]});
        let found = licences_are_allowed("Cargo.toml", &metadata, &["MIT".to_string()]);
        assert_eq!(found.len(), 2);
    }
}
