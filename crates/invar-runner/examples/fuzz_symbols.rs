//! Throws damaged ELF files, and perf maps, at what names the functions of a profile, for as long as it is told.
//!
//! `cargo run --release -p invar-runner --example fuzz_symbols -- --minutes 60 --seed 1`. Objects are made by the compilers of
//! this machine: C and C++ with DWARF 4 and 5, inlined functions, compressed and split debug information, symbols alone. What a batch
//! does depends on the seed and its number alone, and both are printed before it: a batch that ends in a panic is repeated by
//! `--seed SEED --batch NUMBER`. Exit status 1 where something was found that is no panic: names that lose some of the costs.
#![expect(clippy::print_stdout, reason = "a program that people watch")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use invar_core::wire::raw::call_paths::{Call, CallPaths, Callee, Instruction, Stretch};
use invar_runner::symbols::{Cache, named};

#[path = "../../invar-core/examples/fuzzing/random.rs"]
mod random;

use random::Random;

/// Executions in a batch.
const BATCH: u64 = 200;
/// Where objects are mapped.
const BASE: u64 = 0x7000_0000_0000;

const C: &str = "int abs(int); void abort(void); static inline int twice(int x) { return x * 2; }
    static inline int deep(int x) { return twice(x) + twice(x + 1); }
    int other(int x) { return deep(x) + 7; }
    int work(int x) { if (x > 9) abort(); return deep(abs(x)) + 1; }";
const CPP: &str =
    "namespace a { template <class T> struct S { T t; static inline T twice(T x) { return x * 2; }
    T get(T x) const { return twice(x) + t; } }; }
    int work(int x) { a::S<long> s{x}; return [&](int y) { return s.get(y); }(x); }";

/// Compilers, sources and options.
const OBJECTS: [(&str, &str, &str, &[&str]); 7] = [
    ("gcc", "a.c", C, &["-g", "-gdwarf-4"]),
    ("gcc", "a.c", C, &["-g", "-gdwarf-5"]),
    ("gcc", "a.c", C, &["-g", "-gz"]),
    ("gcc", "a.c", C, &["-g", "-gsplit-dwarf"]),
    ("gcc", "a.c", C, &["-g1"]),
    ("gcc", "a.c", C, &[]),
    ("g++", "a.cpp", CPP, &["-g", "-fno-exceptions"]),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut minutes, mut seed, mut only) = (1, 1, None);
    for pair in arguments.chunks(2) {
        match (pair[0].as_str(), pair.get(1).and_then(|value| value.parse::<u64>().ok())) {
            ("--minutes", Some(value)) => minutes = value,
            ("--seed", Some(value)) => seed = value,
            ("--batch", Some(value)) => only = Some(value),
            _ => {
                println!("usage: fuzz_symbols [--minutes N] [--seed S] [--batch NUMBER]");
                return ExitCode::from(2);
            }
        }
    }
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let objects = objects(directory.path());
    let (mut executions, mut with_names, mut findings) = (0_u64, 0_u64, 0_u64);
    for batch in only.unwrap_or(0)..=only.unwrap_or(u64::MAX) {
        println!(
            "seed {seed} batch {batch}: {executions} executions, {with_names} named, {findings} findings"
        );
        for execution in 0..BATCH {
            let mut random = Random::of(&[seed, batch, execution]);
            let bytes = damaged(&mut random, &objects);
            let path = directory.path().join(format!("{execution}.so"));
            fs::write(&path, bytes).expect("a temporary file can be written");
            executions += 1;
            match ask(&path) {
                Some(true) => with_names += 1,
                Some(false) => {}
                None => {
                    findings += 1;
                    println!("finding: seed {seed} batch {batch} execution {execution}: costs are lost");
                }
            }
            // As a temporary file: nobody misses it.
            let _ = fs::remove_file(&path);
        }
        if Instant::now() >= end {
            break;
        }
    }
    println!("{executions} executions, {with_names} named, {findings} findings");
    if findings > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Every object, as its file's bytes.
fn objects(directory: &Path) -> Vec<Vec<u8>> {
    let make = |&(compiler, file, source, options): &(&str, &str, &str, &[&str])| {
        fs::write(directory.join(file), source).expect("a temporary file can be written");
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-nostdlib"]).args(options).args([file, "-o", "made.so"]);
        let status = command.current_dir(directory).status().expect("there are gcc and g++");
        assert!(status.success(), "{compiler} {options:?} works");
        fs::read(directory.join("made.so")).expect("the object is there")
    };
    OBJECTS.iter().map(make).collect()
}

/// Names every address of an object's code, and more; whether some function of it has a name. `None` if costs are lost.
fn ask(path: &Path) -> Option<bool> {
    let maps = format!("{BASE:x}-{:x} r-xp 00000000 08:01 17 {}\n", BASE + 0x4000, path.display());
    let instruction = |address| Instruction { address, reads: 0, writes: 0, system_call: false };
    let addresses = (0x20..0x30).chain(0x1000..0x1180);
    let instructions: Vec<Instruction> = addresses.map(|at| instruction(BASE + at)).collect();
    let call = |parent, address| Call { parent, callee: Callee::Address(address), calls: 1 };
    let paths = CallPaths {
        maps,
        calls: vec![call(0, BASE), call(0, BASE + 0x1000), call(1, BASE + 0x1010)],
        stretches: (0..3)
            .map(|call| Stretch { call, first: 0, instructions: instructions.len() as u32, times: 1 })
            .collect(),
        instructions,
        ..CallPaths::default()
    };
    let mut cache = Cache::with_debug_directory(path.with_extension("nothing"));
    let named = named("a", &paths, None, &mut cache);
    let functions = &named.profile.functions;
    let is_known =
        functions.iter().any(|function| ["work", "twice"].iter().any(|name| function.name.contains(name)));
    (named.profile.total() == paths.total()).then_some(is_known)
}

/// One of the files after some accidents, rather in its headers and behind its code than in the code.
fn damaged(random: &mut Random, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = files[random.below(files.len())].clone();
    for _ in 0..=random.below(8) {
        let at = match random.below(8) {
            0 => random.below(0x400),
            1 => bytes.len() - 1 - random.below(bytes.len().min(64 * 40)),
            _ => 0x2000 + random.below(bytes.len().saturating_sub(0x2000)),
        };
        let at = at.min(bytes.len() - 1);
        let end = bytes.len().min(at + 1 + random.below(16));
        match random.below(12) {
            0 if at > 64 => bytes.truncate(at),
            1 => bytes[at..end].fill(0xff),
            2 => bytes[at..end].fill(0),
            3 => bytes[at..end].fill(0x80),
            4 => {
                let from = random.below(bytes.len() - (end - at));
                bytes.copy_within(from..from + (end - at), at);
            }
            5 => bytes[at] = random.next() as u8,
            _ => bytes[at] ^= 1 << (random.next() % 8),
        }
    }
    bytes
}
