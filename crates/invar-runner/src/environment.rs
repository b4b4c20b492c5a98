//! The canonical environment of a measured process: which variables it has, with which values, and why.
//!
//! A list, not an act: who measures puts it into force (docs/protocol.md). What an environment holds moves the stack and
//! the heap of a process, and libraries choose their code by it, so every measured process gets the same, whoever
//! starts it and wherever.
//!
//! Invariant: names, lengths of values and their order are the same for every user, directory and host; values differ
//! with the Machine alone, except that of `NPY_DISABLE_CPU_FEATURES`.

use std::collections::BTreeMap;

use invar_core::instrument::Instrument;
use invar_core::machine::Machine;

use crate::disturbance::Disturbance;
use crate::{Options, host};

/// A variable that every measured process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Why it has this value: one sentence.
    pub why: &'static str,
}

/// What else is the same in every run, a sentence each.
pub const OTHER: [&str; 10] = [
    "Every variable that is not listed is unset; `pass_env` in invar.toml names those to keep.",
    "The random placement of stack, heap and libraries (ASLR) is off.",
    "Program, libraries, stack and mappings are placed by Invar, not by the kernel, whose choice differs between kernels and file systems.",
    "The stack's soft limit is 8 MiB, since libraries are placed below it; a measured region has its own stack at a fixed address.",
    "Standard input is empty, an output is never a terminal, and every other descriptor is closed.",
    "Python's byte code is written before the measured process starts.",
    "`getrandom` of the C library and Python's `random` give the same numbers in every run.",
    "The heap is brought into the same state before each benchmark's set-up and again before it is measured.",
    "Temporary directories of tests have the same path in every run, and are empty at its start.",
    "`cpuid` inside a measured region is answered by the machine that is simulated; who reads a clock or the CPU's random numbers there is told so.",
];

/// Variables without which a program may not start at all, so that they keep the value that they have.
pub(crate) const KEPT: [&str; 1] = ["LD_LIBRARY_PATH"];

const NUMPY: &str = "NPY_DISABLE_CPU_FEATURES";
/// What NumPy calls its code for AVX-512, up to 2.3 and since.
const NUMPY_AVX512: &str = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL X86_V4 AVX512_SPR";

/// The canonical environment of a process measured on `machine`, in the order of the names.
pub fn canonical(machine: &Machine) -> Vec<Pinned> {
    pinned(machine, host::Cpu::read().has("avx512f"))
}

/// Is the variable's value another on another host?
pub(crate) fn follows_the_host(name: &str) -> bool {
    name == NUMPY
}

fn pinned(machine: &Machine, host_has_avx512: bool) -> Vec<Pinned> {
    const ONE_THREAD: &str = "The number of threads does not follow the number of CPUs.";
    let numpy = if host_has_avx512 { NUMPY_AVX512.to_string() } else { " ".repeat(NUMPY_AVX512.len()) };
    let tunables = tunables(machine);
    let list: [(&str, &str, &'static str); 20] = [
        ("COLUMNS", "80", "Output that is formatted for a terminal has the same width everywhere."),
        (
            "GLIBC_TUNABLES",
            &tunables,
            "The C library chooses its memory and string functions for one virtual CPU, x86-64-v3 with the machine's caches, whatever the host is.",
        ),
        (
            "HOME",
            "/dev/null",
            "Settings and caches of a home directory differ between users; below this one nothing can exist or be written.",
        ),
        ("LANG", "C.UTF-8", "Sorting, formatting and messages do not follow the user's language."),
        ("LC_ALL", "C.UTF-8", "Overrides every other word about the language."),
        ("LINES", "24", "Output that is formatted for a terminal has the same height everywhere."),
        ("MKL_NUM_THREADS", "1", ONE_THREAD),
        (
            NUMPY,
            &numpy,
            "NumPy does not use AVX-512 where the host has it; elsewhere the value is as many blanks, and so is each name that the suite's NumPy does not know.",
        ),
        ("NUMEXPR_NUM_THREADS", "1", ONE_THREAD),
        ("OMP_NUM_THREADS", "1", ONE_THREAD),
        ("OPENBLAS_CORETYPE", "Haswell", "OpenBLAS runs the code that every host with AVX2 can run."),
        ("OPENBLAS_NUM_THREADS", "1", ONE_THREAD),
        (
            "OPENSSL_ia32cap",
            // Bits of leaf 7: ADX, AVX-512 (F, DQ, IFMA, CD, BW, VL) and SHA; VAES and VPCLMULQDQ.
            ":~0x600f02b0000",
            "OpenSSL, which computes Python's hashes, does not use SHA, ADX, VAES or AVX-512 instructions where the host has them.",
        ),
        (
            "PATH",
            "/usr/local/bin:/usr/bin:/bin",
            "Its length and the programs found by it differ between users. The directory of the Python that measures is put in front; a suite that starts programs from elsewhere names PATH in `pass_env`.",
        ),
        ("POLARS_MAX_THREADS", "1", ONE_THREAD),
        ("PYTHONDONTWRITEBYTECODE", "1", "No run leaves byte code behind that the next one would find."),
        (
            "PYTHONHASHSEED",
            "0",
            "The hashes of Python's strings, and with them the collisions in its dictionaries, are the same in every process.",
        ),
        ("PYTHON_CPU_COUNT", "1", "Since Python 3.13: `os.cpu_count()` does not follow the host."),
        ("RAYON_NUM_THREADS", "1", ONE_THREAD),
        ("TERM", "dumb", "Nothing is coloured or drawn for the user's terminal."),
    ];
    let zone = ("TZ", "UTC", "Local time is the same everywhere.");
    let pin = |(name, value, why): (&str, &str, &'static str)| {
        let (name, value) = (name.to_string(), value.to_string());
        Pinned { name, value, why }
    };
    let mut all: Vec<Pinned> = list.into_iter().chain([zone]).map(pin).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What glibc would ask the host's CPU, answered.
///
/// Besides what x86-64-v3 lacks: with ERMS and FSRM it copies by repeated instructions, with RTM (transactions) it takes
/// functions of their own, and on a host with RTM it also prefers to do without VZEROUPPER. A name that a version of
/// glibc does not know is passed over by it.
fn tunables(machine: &Machine) -> String {
    // From the smallest that glibc accepts to what it takes of a cache when it chooses itself.
    let streaming = (machine.l3.bytes / 4 * 3).max(0x4040);
    let features = ["AVX512F", "AVX512VL", "AVX512BW", "AVX512CD", "AVX512DQ", "ERMS", "FSRM", "RTM"];
    let hwcaps: Vec<String> =
        features.iter().chain(&["Prefer_No_VZEROUPPER"]).map(|name| format!("-{name}")).collect();
    let sizes = [
        ("x86_data_cache_size", machine.l1d.bytes),
        ("x86_shared_cache_size", machine.l3.bytes),
        ("x86_non_temporal_threshold", streaming),
        ("x86_memset_non_temporal_threshold", streaming),
        ("x86_rep_movsb_threshold", 2048),
        ("x86_rep_stosb_threshold", 2048),
    ];
    let sizes = sizes.iter().map(|(name, bytes)| format!("glibc.cpu.{name}={bytes}"));
    let all: Vec<String> =
        [format!("glibc.cpu.hwcaps={}", hwcaps.join(","))].into_iter().chain(sizes).collect();
    all.join(":")
}

/// Which variables keep the value that the measuring process finds: those that always do, and the user's.
pub(crate) fn pass(pass_env: &[String]) -> Vec<String> {
    let mut pass: Vec<String> =
        KEPT.map(str::to_string).into_iter().chain(pass_env.iter().cloned()).collect();
    pass.sort();
    pass.dedup();
    pass
}

/// What is asked of a measuring process.
pub(crate) struct Asked<'a> {
    pub options: &'a Options,
    pub disturbance: &'a Disturbance,
}

/// The text of `request.json`.
pub(crate) fn request(asked: &Asked<'_>, user_base: Option<&str>) -> String {
    let Options {
        machine,
        instrument,
        profile,
        python_lines,
        pass_env,
        shared_process,
        layout,
        only,
        jobs,
        ..
    } = asked.options;
    let order = asked.disturbance.order;
    let mut environment: BTreeMap<String, String> =
        canonical(machine).into_iter().map(|pinned| (pinned.name, pinned.value)).collect();
    if let Some(base) = user_base {
        environment.insert("PYTHONUSERBASE".to_string(), base.to_string());
    }
    let request = serde_json::json!({
        "version": 1,
        "mode": instrument.name(),
        "machine": machine.text(),
        "call_paths": *profile && *instrument == Instrument::Simulation,
        "python_lines": *python_lines,
        "environment": environment,
        "pass": pass(pass_env),
        "order": order.name(),
        "only": only,
        "isolated": !shared_process,
        "layout": layout,
        "jobs": jobs,
    });
    request.to_string()
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::Output;

    fn options(instrument: Instrument, profile: bool) -> Options {
        Options {
            directory: "/".into(),
            machine: Machine::callgrind(),
            instrument,
            profile,
            python_lines: false,
            pass_env: Vec::new(),
            shared_process: false,
            jobs: NonZero::<u16>::MIN,
            layout: 0,
            only: None,
            default_branch: None,
            id: None,
            output: Output::default(),
        }
    }

    fn asked<'a>(options: &'a Options, disturbance: &'a Disturbance) -> Asked<'a> {
        Asked { options, disturbance }
    }

    #[test]
    fn an_order_and_some_benchmarks_alone_can_be_asked_for() {
        let only = Some(vec!["a".to_string()]);
        let options = Options { only, ..options(Instrument::Counts, false) };
        let disturbance = Disturbance { order: crate::disturbance::Order::Reversed, ..Default::default() };
        let text = request(&asked(&options, &disturbance), None);
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&request["order"], &request["only"][0], &request["isolated"]),
            (&"reversed".into(), &"a".into(), &true.into())
        );
    }

    fn value(all: &[Pinned], name: &str) -> String {
        let found = all.iter().find(|pinned| pinned.name == name);
        found.unwrap_or_else(|| panic!("{name} is not pinned")).value.clone()
    }

    #[test]
    fn another_host_changes_no_length() {
        let lengths = |avx512| -> Vec<(String, usize)> {
            let all = pinned(&Machine::reference_1(), avx512).into_iter();
            all.map(|pinned| (pinned.name, pinned.value.len())).collect()
        };
        assert_eq!(lengths(true), lengths(false));
    }

    #[test]
    fn only_what_is_said_to_follow_the_host_follows_it() {
        let [with, without] = [true, false].map(|avx512| pinned(&Machine::reference_1(), avx512));
        for (a, b) in with.iter().zip(&without) {
            assert_eq!(a.value != b.value, follows_the_host(&a.name), "{}", a.name);
        }
    }

    #[test]
    fn names_are_sorted_and_there_once() {
        let names: Vec<String> =
            canonical(&Machine::reference_1()).into_iter().map(|pinned| pinned.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn every_variable_has_its_reason_in_a_sentence() {
        for pinned in canonical(&Machine::reference_1()) {
            assert!(pinned.why.ends_with('.') && pinned.why.len() > 20, "{pinned:?}");
        }
    }

    #[test]
    fn the_document_names_every_variable() {
        let document = include_str!("../../../docs/environment.md");
        for pinned in canonical(&Machine::reference_1()) {
            assert!(document.contains(&format!("`{}`", pinned.name)), "{}", pinned.name);
        }
        for name in KEPT {
            assert!(document.contains(&format!("- `{name}`")), "{name}");
        }
    }

    #[test]
    fn the_c_library_is_told_the_caches_of_the_machine() {
        let tunables = value(&pinned(&Machine::reference_1(), false), "GLIBC_TUNABLES");
        assert!(tunables.contains("glibc.cpu.x86_data_cache_size=65536:"), "{tunables}");
        assert!(tunables.contains("glibc.cpu.x86_shared_cache_size=16777216:"), "{tunables}");
        assert!(tunables.contains("glibc.cpu.x86_non_temporal_threshold=12582912:"), "{tunables}");
    }

    #[test]
    fn a_request_holds_the_whole_environment_and_what_is_kept() {
        let pass_env = ["DATABASE_URL".to_string(), "LD_LIBRARY_PATH".to_string()];
        let options = Options { pass_env: pass_env.to_vec(), ..options(Instrument::Counts, true) };
        let text = request(&asked(&options, &Disturbance::default()), Some("/home/me/.local"));
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(request["version"], 1);
        assert_eq!(request["mode"], "counts");
        assert_eq!(request["machine"], Machine::callgrind().text());
        assert_eq!(request["pass"], serde_json::json!(["DATABASE_URL", "LD_LIBRARY_PATH"]));
        let environment = request["environment"].as_object().unwrap();
        assert_eq!(environment["PYTHONHASHSEED"], "0");
        assert_eq!(environment["PYTHONUSERBASE"], "/home/me/.local");
        assert_eq!(environment.len(), canonical(&Machine::callgrind()).len() + 1);
    }

    #[test]
    fn call_paths_are_asked_for_where_a_simulation_is_to_have_profiles() {
        let asks = |instrument, profile| {
            let text = request(&asked(&options(instrument, profile), &Disturbance::default()), None);
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["call_paths"].as_bool()
        };
        assert_eq!(asks(Instrument::Simulation, true), Some(true));
        assert_eq!(asks(Instrument::Simulation, false), Some(false));
        assert_eq!(asks(Instrument::Counts, true), Some(false));
    }
}
