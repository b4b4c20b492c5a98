//! `cargo xtask exactness`: the engine's counts beside callgrind's, for the same work from the same warm caches.
//!
//! Runs `fixtures/exactness/regions.c` twice for each of its regions and compares. What the two count unlike by design is
//! reconciled or shown:
//!
//! - callgrind counts each iteration of a repeated string instruction as an instruction and an access; Invar counts one
//!   instruction, and the iterations beside it. Instructions are compared with the iterations added.
//! - callgrind counts a read-modify-write as a write; Invar counts a read and a write. So reads differ by the
//!   number of those, and first-level data misses are compared as one sum.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::prepare;

/// Both count from the first instruction of the function `measured` to its return, so nothing lies between.
const INSTRUCTIONS_APART: u64 = 0;
/// Misses may be apart by one in so many ...
const MISSES_APART_ONE_IN: u64 = 1000;
/// ... or by so many lines: callgrind has simulated the start of the process too, and has seen a few lines there.
const LINES_APART: u64 = 2;

const REGIONS: [&str; 7] = [
    "libm_and_qsort",
    "formatting",
    "strided",
    "streamed",
    "pointers_chased",
    "allocation",
    "repeated_strings",
];

/// The variants and thresholds of libc's string functions, for both: without what callgrind does not know, and
/// without what would be read off the host's caches.
pub const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ,-ERMS,-FSRM:\
     glibc.cpu.x86_data_cache_size=0x8000:glibc.cpu.x86_shared_cache_size=0x100000:\
     glibc.cpu.x86_non_temporal_threshold=0xc0000:glibc.cpu.x86_rep_movsb_threshold=0x1000:\
     glibc.cpu.x86_rep_stosb_threshold=0x1000";

/// What one of the two has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    instructions: u64,
    repeats: u64,
    reads: u64,
    writes: u64,
    l1i_misses: u64,
    l1d_misses: u64,
    last_level_misses: u64,
}

/// Prints the table; an error where something is out of bounds.
pub fn exactness() -> Result<()> {
    prepare::system_packages(&[("callgrind, to compare with", "valgrind"), ("a C compiler", "gcc")])?;
    let engine = prepare::engine()?;
    let program = compile("regions", &[])?;
    println!("{:<17}{:<30}{:>12}{:>12}{:>11}", "region", "event", "invar", "callgrind", "difference");
    let mut faults = String::new();
    for region in REGIONS {
        let ours = by_invar(&program, region, &engine)?;
        let theirs = by_callgrind(&program, region, &engine)?;
        for row in rows(&ours, &theirs) {
            let Row { event, ours, theirs, bound } = row;
            let apart = ours.abs_diff(theirs);
            let difference = ours as i64 - theirs as i64;
            println!("{region:<17}{event:<30}{ours:>12}{theirs:>12}{difference:>+11}");
            if bound.is_some_and(|bound| apart > bound) {
                writeln!(faults, "{region}: {event} differ by {difference:+}")?;
            }
        }
    }
    if !faults.is_empty() {
        bail!("out of bounds:\n{faults}");
    }
    println!(
        "\nInstructions are equal; misses are within 0.1 % or {LINES_APART} lines of each other; writes are equal where\n\
         nothing is repeated. callgrind counts no read for a read-modify-write, which is why reads differ."
    );
    Ok(())
}

/// A line of the table. Without a bound it is shown only.
struct Row {
    event: &'static str,
    ours: u64,
    theirs: u64,
    bound: Option<u64>,
}

fn rows(ours: &Counted, theirs: &Counted) -> [Row; 6] {
    let misses = |theirs: u64| Some((theirs / MISSES_APART_ONE_IN).max(LINES_APART));
    let row = |event, ours, theirs, bound| Row { event, ours, theirs, bound };
    [
        row(
            "instructions, with iterations",
            ours.instructions + ours.repeats,
            theirs.instructions,
            Some(INSTRUCTIONS_APART),
        ),
        row("reads", ours.reads, theirs.reads, None),
        row("writes", ours.writes, theirs.writes, (ours.repeats == 0).then_some(0)),
        row("L1I misses", ours.l1i_misses, theirs.l1i_misses, misses(theirs.l1i_misses)),
        row("L1D misses", ours.l1d_misses, theirs.l1d_misses, misses(theirs.l1d_misses)),
        row(
            "last-level misses",
            ours.last_level_misses,
            theirs.last_level_misses,
            misses(theirs.last_level_misses),
        ),
    ]
}

/// Compiles `fixtures/exactness/regions.c` as a program of that name, with more options.
pub fn compile(name: &str, options: &[&str]) -> Result<std::path::PathBuf> {
    let program = prepare::scratch()?.join(name);
    let root = prepare::root();
    let mut cc = Command::new("cc");
    cc.args(options).args(["-O2", "-g", "-I"]).arg(root.join("integrations/c"));
    cc.arg(root.join("fixtures/exactness/regions.c")).args(["-lm", "-ldl", "-o"]).arg(&program);
    prepare::run(&mut cc)?;
    Ok(program)
}

/// The program under `runner`, with the same addresses and environment each time.
fn command(runner: &[&str], program: &Path, region: &str, engine: &Path, way: &str) -> Result<Command> {
    let mut command = Command::new("setarch");
    command.arg("-R").args(runner).arg(program).arg(region).arg(engine).arg(events_file()?).arg(way);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LD_BIND_NOW", "1");
    command.env("GLIBC_TUNABLES", TUNABLES);
    Ok(command)
}

fn events_file() -> Result<std::path::PathBuf> {
    Ok(prepare::scratch()?.join("regions.events"))
}

fn by_invar(program: &Path, region: &str, engine: &Path) -> Result<Counted> {
    prepare::run(&mut command(&[], program, region, engine, "i")?)?;
    let text = std::fs::read_to_string(events_file()?)?;
    parse_events(&text).with_context(|| format!("{region} left no events"))
}

/// The events in stored order (`invar_core::event`), then the diagnostics.
fn parse_events(text: &str) -> Result<Counted> {
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    let &[instructions, reads, writes, l1i, l1d_read, l1d_write, _, l3, _, _, repeats, .., diagnostics] =
        &numbers[..]
    else {
        bail!("too few numbers");
    };
    ensure!(diagnostics == 0, "the engine noted {diagnostics:#b}");
    Ok(Counted {
        instructions,
        repeats,
        reads,
        writes,
        l1i_misses: l1i,
        l1d_misses: l1d_read + l1d_write,
        last_level_misses: l3,
    })
}

fn by_callgrind(program: &Path, region: &str, engine: &Path) -> Result<Counted> {
    let file = prepare::scratch()?.join("regions.callgrind");
    let file_option = format!("--callgrind-out-file={}", file.display());
    let runner = [
        "valgrind",
        "--tool=callgrind",
        "--quiet",
        "--cache-sim=yes",
        "--I1=32768,8,64",
        "--D1=32768,8,64",
        "--LL=8388608,16,64",
        "--collect-atstart=no",
        "--toggle-collect=measured",
        &file_option,
    ];
    // Its warnings about the host's caches, which are not simulated, are of no interest.
    let mut command = command(&runner, program, region, engine, "c")?;
    let done = command.output().context("cannot start setarch, of util-linux")?;
    ensure!(done.status.success(), "callgrind failed:\n{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(file)?;
    parse_callgrind(&text).with_context(|| format!("{region} left no profile"))
}

/// The totals of a profile. Trailing zeros are not written.
fn parse_callgrind(text: &str) -> Result<Counted> {
    let words = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|rest| rest.split_whitespace().collect::<Vec<_>>())
    };
    let names = words("events:").context("no events")?;
    let totals = words("totals:").context("no totals")?;
    let total = |name: &str| -> Result<u64> {
        let index = names.iter().position(|event| *event == name).with_context(|| format!("no {name}"))?;
        totals.get(index).map_or(Ok(0), |word| Ok(word.parse()?))
    };
    Ok(Counted {
        instructions: total("Ir")?,
        repeats: 0,
        reads: total("Dr")?,
        writes: total("Dw")?,
        l1i_misses: total("I1mr")?,
        l1d_misses: total("D1mr")? + total("D1mw")?,
        last_level_misses: total("ILmr")? + total("DLmr")? + total("DLmw")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_of_callgrinds_totals_are_understood() {
        let text = "events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\nfn=x\n1 2\ntotals: 100 20 10 1 5 4\n";
        let counted = parse_callgrind(text).unwrap();
        assert_eq!((counted.instructions, counted.l1d_misses, counted.last_level_misses), (100, 9, 0));
    }

    #[test]
    fn a_diagnostic_of_the_engine_is_an_error() {
        assert!(parse_events("1 2 3 4 5 6 7 8 9 10 11 12 13 0").is_ok());
        assert!(parse_events("1 2 3 4 5 6 7 8 9 10 11 12 13 2").is_err());
    }

    #[test]
    fn misses_are_bounded_by_a_thousandth_or_a_few_lines() {
        let counted = |misses| Counted {
            instructions: 5,
            repeats: 0,
            reads: 1,
            writes: 1,
            l1i_misses: 0,
            l1d_misses: misses,
            last_level_misses: 0,
        };
        let within = |ours, theirs| {
            let [.., l1d, _] = rows(&counted(ours), &counted(theirs));
            l1d.ours.abs_diff(l1d.theirs) <= l1d.bound.unwrap()
        };
        assert!(within(100_100, 100_000) && !within(100_101, 100_000));
        assert!(within(7, 9) && !within(6, 9));
    }
}
