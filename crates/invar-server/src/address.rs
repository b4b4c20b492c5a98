//! Addresses of pages. Names of benchmarks, branches and commits may hold anything, so they are encoded here and decoded
//! by [`crate::asked`].

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::asked::Form;

/// What stands for itself in a path: letters, digits, and these.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b',')
    .remove(b'=');
/// The same for names that a browser would shorten, such as `a/../b`.
const SEGMENT: &AsciiSet = &PATH.add(b'/');

/// A name as the rest of a path.
pub fn rest(name: &str) -> String {
    let shortened = name.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    // After `/b/` comes a benchmark.
    let shortened = shortened || name.contains("/b/");
    let mut path = utf8_percent_encode(name, if shortened { SEGMENT } else { PATH }).to_string();
    // An ending that asks for another form than the page.
    for form in [Form::Json, Form::Csv] {
        if let Some(start) = path.strip_suffix(form.ending()) {
            path = format!("{start}%2E{}", &form.ending()[1..]);
        }
    }
    path
}

/// The name that is the rest of a path.
pub fn name(rest: &str) -> String {
    percent_decode_str(rest).decode_utf8_lossy().into_owned()
}

/// Where the pages of a project are. Its copies share the text.
#[derive(Debug, Clone)]
pub struct Links(Arc<str>);

impl Links {
    /// Of the project whose pages are below this path: `/acme/demo`, or nothing where there is one project only.
    pub fn below(root: &str) -> Links {
        Links(root.into())
    }

    /// The path that every other begins with.
    pub fn root(&self) -> &str {
        &self.0
    }

    /// The overview.
    pub fn overview(&self) -> String {
        if self.0.is_empty() { "/".to_string() } else { self.0.to_string() }
    }

    /// A benchmark's history.
    pub fn benchmark(&self, full_name: &str) -> String {
        format!("{}/b/{}", self.0, rest(full_name))
    }

    /// A run.
    pub fn run(&self, id: &str) -> String {
        format!("{}/runs/{}", self.0, rest(id))
    }

    /// Two runs, or what else names them.
    pub fn compare(&self, base: &str, head: &str) -> String {
        format!("{}/compare/{}...{}", self.0, rest(base), rest(head))
    }

    /// What a commit did.
    pub fn commit(&self, commit: &str) -> String {
        format!("{}/commits/{}", self.0, rest(commit))
    }

    /// What merging a branch would do.
    pub fn pull(&self, branch: &str) -> String {
        format!("{}/pulls/{}", self.0, rest(branch))
    }

    /// Who pays in a benchmark of a run.
    pub fn flame(&self, run: &str, benchmark: &str) -> String {
        format!("{}/b/{}/flame", self.run(run), rest(benchmark))
    }

    /// The same in the format of another tool.
    pub fn export(&self, run: &str, benchmark: &str, format: &str) -> String {
        format!("{}/{format}", self.flame(run, benchmark))
    }

    /// Who pays for the change of a benchmark.
    pub fn difference(&self, base: &str, head: &str, benchmark: &str) -> String {
        format!("{}/b/{}", self.compare(base, head), rest(benchmark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_address() {
        for hostile in [
            "t.py::a[5]",
            "a/../../b",
            "a/b/c",
            "..",
            "/",
            "x.json",
            "a?b#c%2F&d=e",
            "\u{1f980} <b>\n",
            "a//b",
            "",
        ] {
            assert_eq!(name(&rest(hostile)), hostile);
        }
    }

    #[test]
    fn an_address_is_readable_and_safe() {
        assert_eq!(Links::below("").benchmark("tests/a.py::b[5]"), "/b/tests/a.py::b%5B5%5D");
        assert_eq!(Links::below("/acme/x").run("ab"), "/acme/x/runs/ab");
        assert_eq!(rest("a/../b"), "a%2F..%2Fb");
        assert_eq!(rest("x.json"), "x%2Ejson");
        assert_eq!(rest("a\"><b>"), "a%22%3E%3Cb%3E");
    }
}
