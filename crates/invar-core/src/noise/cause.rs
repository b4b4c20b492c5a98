//! The likely cause of a benchmark's noise, from the profiles of two runs whose code is the same.
//!
//! A guess by names, and said as one: the function whose own cost moved the most and has a name that tells something, with who
//! called it. Where no name tells anything, the function is named alone.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::machine::Machine;
use crate::profile::{Both, Payer, Profile, Why};

/// How many functions that moved are looked at.
const LOOKED_AT: usize = 12;
/// A function that moved by less than this part of the most does not explain it.
const TELLING: u128 = 10;

/// What names of functions tell: any of these in a name, in lower case. The first that fits counts, so what is particular
/// stands before what is general.
const TELLTALES: [(&str, &[&str]); 9] = [
    (
        "it asks for the time",
        &[
            "clock_gettime",
            "gettimeofday",
            "pytime_",
            "time_time",
            "perf_counter",
            "monotonic",
            "time_sleep",
            "nanosleep",
        ],
    ),
    ("it draws random numbers", &["getrandom", "urandom", "genrand", "random_"]),
    (
        "addresses as hash keys",
        &[
            "hashpointer",
            "memotable",
            "object_hash",
            "set_add_entry",
            "set_lookkey",
            "set_contains",
            "set_discard",
            "set_table",
            "set_insert",
        ],
    ),
    (
        "what dictionaries hold, and where their keys lie",
        &[
            "lookdict",
            "dict_lookup",
            "dictkeys",
            "dict_resize",
            "dictresize",
            "insertdict",
            "unicodekeys",
            "compare_generic",
        ],
    ),
    (
        "garbage collection",
        &[
            "gc_collect",
            "subtract_refs",
            "visit_decref",
            "visit_reachable",
            "move_unreachable",
            "deduce_unreachable",
        ],
    ),
    ("imports", &["importlib", "pyimport", "import_find", "find_spec", "marshal"]),
    (
        "files, sockets or other processes",
        &[
            "fileio", "_io_", "os_stat", "fstat", "open64", "socket", "recv", "epoll", "select_", "fork",
            "execve",
        ],
    ),
    (
        "other threads, and locks",
        &["pthread_", "lll_lock", "futex", "take_gil", "drop_gil", "acquire_lock", "thread_run"],
    ),
    (
        "what the allocators hold",
        &[
            "malloc",
            "_int_free",
            "cfree",
            "calloc",
            "realloc",
            "arena",
            "pool_",
            "mi_",
            "sysmalloc",
            "unlink_chunk",
            "mmap",
            "munmap",
            "brk",
            "madvise",
        ],
    ),
];

/// The likely cause of what moved from one run to another; `None` if no function's cost did and no diagnostic tells anything.
pub fn cause(profiles: Both<&Profile>, machine: &Machine, diagnostics: Diagnostics) -> Option<String> {
    let why = Why::of(profiles, machine, LOOKED_AT);
    if why.layout {
        return Some("the same work at other addresses".to_string());
    }
    let Some(most) = why.native.first().map(weight) else { return told(diagnostics) };
    let telling = why.native.iter().take_while(|payer| weight(payer) * TELLING >= most);
    let known = telling.filter_map(|payer| Some((payer, tells(payer)?))).next();
    Some(match (known, told(diagnostics)) {
        (Some((payer, tells)), _) => format!("{}: {tells}", named(payer)),
        (None, Some(told)) => told,
        (None, None) => named(&why.native[0]),
    })
}

fn weight(payer: &Payer) -> u128 {
    payer.cycles().moved().unsigned_abs()
}

/// What the name of a function tells; the caller's name, where its own is a general one (`memcpy`), tells nothing.
fn tells(payer: &Payer) -> Option<&'static str> {
    let name = payer.function.name.to_lowercase();
    let tells = TELLTALES.iter().find(|(_, names)| names.iter().any(|part| name.contains(part)));
    tells.map(|(tells, _)| *tells)
}

/// `` `PyObject_Hash` via `set_add` ``.
fn named(payer: &Payer) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "'"));
    let own = quoted(&payer.function.name);
    let path = payer.paths.first().map(|path| &path.functions[..]).unwrap_or_default();
    // The root is the benchmark itself.
    match path {
        [_, .., caller, _] => format!("{own} via {}", quoted(&caller.name)),
        _ => own,
    }
}

/// What the engine noted that may be the cause.
fn told(diagnostics: Diagnostics) -> Option<String> {
    const TELLING: [Diagnostic; 6] = [
        Diagnostic::ReadRandom,
        Diagnostic::ReadClock,
        Diagnostic::OtherThreadsRan,
        Diagnostic::OutsideOrder,
        Diagnostic::StartedProcess,
        Diagnostic::LeftTranslation,
    ];
    let told = TELLING.into_iter().find(|&diagnostic| diagnostics.contains(diagnostic));
    told.map(|diagnostic| diagnostic.sentence().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::profile;

    #[track_caller]
    fn check(base: &str, head: &str, diagnostics: Diagnostics, expected: Option<&str>) {
        let (base, head) = (profile(base), profile(head));
        let profiles = Both { base: &base, head: &head };
        assert_eq!(cause(profiles, &Machine::reference_1(), diagnostics).as_deref(), expected);
    }

    #[test]
    fn a_name_that_tells_something_is_the_cause() {
        check(
            "t 0 0\nset_add 1 100\n  PyObject_Hash 10 1000\nmemcpy 1 50",
            "t 0 0\nset_add 1 100\n  PyObject_Hash 10 1700\nmemcpy 1 51",
            Diagnostics::default(),
            Some("`PyObject_Hash` via `set_add`: addresses as hash keys"),
        );
        check(
            "t 0 0\nmemcpy 1 5000\n_int_malloc 1 900",
            "t 0 0\nmemcpy 1 5900\n_int_malloc 1 1200",
            Diagnostics::default(),
            Some("`_int_malloc`: what the allocators hold"),
        );
    }

    #[test]
    fn a_name_that_tells_nothing_is_named_alone() {
        let (base, head) = ("t 0 0\nsolve 1 100", "t 0 0\nsolve 1 200");
        check(base, head, Diagnostics::default(), Some("`solve`"));
        let mut diagnostics = Diagnostics::default();
        diagnostics.insert(Diagnostic::ReadClock);
        check(base, head, diagnostics, Some(Diagnostic::ReadClock.sentence()));
    }

    #[test]
    fn the_same_work_is_no_functions_doing() {
        check("t 0 0\nread 1 100 3", "t 0 0\nread 1 100 3", Diagnostics::default(), None);
        let (base, head) = ("t 0 0\nread 1 100 0", "t 0 0\nread 1 100 0");
        check(base, head, Diagnostics::default(), None);
    }
}
