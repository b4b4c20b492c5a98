//! What is measured: one named piece of a program.
//!
//! A benchmark is identified by its full name and by nothing else; where it stands, its group and its parameters
//! are what its integration says about it, and may change without making it another benchmark.

use std::collections::BTreeMap;

/// A benchmark, as its integration describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Benchmark {
    /// The full name, such as `tests/test_fibo.py::test_fibo[5]`: unique in a run, the same in every run.
    pub id: String,
    /// The name without the file, such as `test_fibo[5]`.
    pub name: String,
    /// The file that defines it, relative to the root of the project.
    pub file: Option<String>,
    /// The line in `file`, from one.
    pub line: Option<u32>,
    /// The group that its author put it in.
    pub group: Option<String>,
    /// Parameters, as text.
    pub params: BTreeMap<String, String>,
    /// What its author noted beside it; each value is compact JSON text.
    pub extra_info: BTreeMap<String, String>,
    /// The language it is written in, such as `python`.
    pub language: Option<String>,
    /// What ran it, such as `CPython 3.11.7`.
    pub runtime: Option<String>,
    /// What told Invar about it, such as `pytest-invar 0.1.0`.
    pub integration: Option<String>,
}

impl Benchmark {
    /// A benchmark of which only the full name is known: the file and the name are what stands before and after
    /// its first `::`.
    pub fn named(id: &str) -> Benchmark {
        let (file, name) = match id.split_once("::") {
            Some((file, name)) => (Some(file.to_string()), name),
            None => (None, id),
        };
        Benchmark { id: id.to_string(), name: name.to_string(), file, ..Benchmark::default() }
    }

    /// The name as shown below its file: the full name without the file, if it starts with it.
    pub fn short_name(&self) -> &str {
        let rest = self.file.as_deref().and_then(|file| self.id.strip_prefix(file));
        rest.and_then(|rest| rest.strip_prefix("::")).filter(|rest| !rest.is_empty()).unwrap_or(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_tells_file_and_name() {
        let benchmark = Benchmark::named("tests/test_fibo.py::Class::test_a[x::y]");
        assert_eq!(benchmark.file.as_deref(), Some("tests/test_fibo.py"));
        assert_eq!(benchmark.name, "Class::test_a[x::y]");
        assert_eq!(benchmark.short_name(), "Class::test_a[x::y]");
    }

    #[test]
    fn a_name_without_a_file_is_shown_whole() {
        assert_eq!(Benchmark::named("fib").short_name(), "fib");
    }
}
