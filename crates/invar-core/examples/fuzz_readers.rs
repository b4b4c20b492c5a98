//! Throws damaged files at the readers of raw files, profiles, callgrind.out, folded stacks, and of what is uploaded to a
//! server, for as long as it is told.
//!
//! `cargo run --example fuzz_readers -- --minutes 60 --seed 1`, or one reader by `--only raw`, `profile`, `callgrind`, `folded` or `parcel`. What a batch does depends on the seed and its number alone,
//! and both are printed before it: a batch that ends in a panic is repeated by `--seed SEED --batch NUMBER`. Exit status 1
//! where something was found that is no panic: a file that was read, and written again reads back as something else.
#![expect(clippy::print_stdout, reason = "a program that people watch")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use invar_core::benchmark::Benchmark;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_core::wire::parcel;
use invar_core::wire::profile;
use invar_core::wire::profile_formats::{callgrind, counts, firefox, folded, pprof, speedscope};
use invar_core::wire::raw::call_paths::{Call, CallPaths, Callee, PythonCode};
use invar_core::wire::raw::taken_exits::{Charge, Exit, Flow, Row, Step, Superblock, TakenExits};
use invar_core::wire::raw::{self, Record};
use invar_core::wire::v1;

#[path = "fuzzing/random.rs"]
mod random;

use random::Random;

const CALLGRIND: [&[u8]; 3] = [
    include_bytes!("../fixtures/profiles/callgrind-caches.out"),
    include_bytes!("../fixtures/profiles/callgrind-jumps.out"),
    include_bytes!("../fixtures/profiles/callgrind-parts.out"),
];
const FOLDED: [&[u8]; 1] = [include_bytes!("../fixtures/profiles/py-spy.folded")];

const PROFILES: [&[u8]; 3] = [
    include_bytes!("../fixtures/profiles/profile-v1.invprf"),
    include_bytes!("../fixtures/profiles/profile-v2.invprf"),
    include_bytes!("../fixtures/profiles/profile-v3.invprf"),
];

const READERS: [&str; 5] = ["raw", "profile", "callgrind", "folded", "parcel"];

/// Executions of each reader in a batch.
const BATCH: u64 = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut minutes, mut seed, mut only, mut reader) = (1, 1, None, None);
    for pair in arguments.chunks(2) {
        if let [name, value] = pair
            && name == "--only"
            && READERS.contains(&value.as_str())
        {
            reader = Some(value.as_str());
            continue;
        }
        match (pair[0].as_str(), pair.get(1).and_then(|value| value.parse::<u64>().ok())) {
            ("--minutes", Some(value)) => minutes = value,
            ("--seed", Some(value)) => seed = value,
            ("--batch", Some(value)) => only = Some(value),
            _ => {
                println!("usage: fuzz_readers [--only READER] [--minutes N] [--seed S] [--batch NUMBER]");
                return ExitCode::from(2);
            }
        }
    }
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let raw_file = raw_file();
    let (parcel_file, run_file) = parcel_files();
    let (mut executions, mut whole, mut findings) = (0, 0, 0);
    for batch in only.unwrap_or(0)..=only.unwrap_or(u64::MAX) {
        println!(
            "seed {seed} batch {batch}: {executions} executions, {whole} read to the end, {findings} findings"
        );
        for execution in 0..BATCH {
            let mut random = Random::of(&[seed, batch, execution]);
            for name in READERS.into_iter().filter(|name| reader.is_none_or(|reader| reader == *name)) {
                let result = match name {
                    "raw" => check_raw(&damaged(&mut random, &[&raw_file])),
                    "profile" => check_profile(&damaged(&mut random, &PROFILES)),
                    "callgrind" => check_callgrind(&damaged(&mut random, &CALLGRIND)),
                    "parcel" => check_parcel(&damaged(&mut random, &[&parcel_file, &run_file])),
                    _ => check_folded(&damaged(&mut random, &FOLDED)),
                };
                executions += 1;
                match result {
                    Outcome::Refused => {}
                    Outcome::Read => whole += 1,
                    Outcome::Found(what) => {
                        findings += 1;
                        println!("finding: {name}, seed {seed} batch {batch} execution {execution}: {what}");
                    }
                }
            }
        }
        if Instant::now() >= end {
            break;
        }
    }
    println!("{executions} executions, {whole} read to the end, {findings} findings");
    if findings > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

enum Outcome {
    Refused,
    Read,
    Found(String),
}

fn check(same: bool, what: &str) -> Outcome {
    if same { Outcome::Read } else { Outcome::Found(what.to_string()) }
}

fn check_raw(bytes: &[u8]) -> Outcome {
    let Ok(prefix) = raw::read_prefix(bytes) else { return Outcome::Refused };
    let mut written = raw::header().to_vec();
    prefix.records.iter().for_each(|record| record.write(&mut written));
    let again = raw::read(&written);
    // Whatever can be read can be told.
    for record in &prefix.records {
        if let Record::TakenExits { taken, .. } = record {
            CallPaths::of(taken).total();
        }
    }
    if prefix.damage.is_some() && again.as_ref() == Ok(&prefix.records) {
        return Outcome::Refused;
    }
    check(again == Ok(prefix.records), "records that were written again are others")
}

fn check_profile(bytes: &[u8]) -> Outcome {
    let Ok(found) = profile::read(bytes) else { return Outcome::Refused };
    let again = profile::read(&profile::write(&found));
    check(again == Ok(found), "a profile that was written again is another")
}

fn check_callgrind(bytes: &[u8]) -> Outcome {
    let Ok(profile) = callgrind::read(bytes, "root") else { return Outcome::Refused };
    let machine = Machine::reference_1();
    let again = callgrind::read(callgrind::write(&profile, &machine).as_bytes(), "root");
    let others = [speedscope::write(&profile, &machine), firefox::write(&profile, &machine)];
    let written = others.iter().all(|text| !text.is_empty()) && !pprof::write(&profile, &machine).is_empty();
    let same = again.is_ok_and(|again| again.total() == profile.total());
    check(same && written, "a profile that was written again has other totals")
}

fn check_folded(bytes: &[u8]) -> Outcome {
    let Ok(profile) = folded::read(bytes, "root", Event::Reads) else { return Outcome::Refused };
    let text = folded::write(&profile, &counts(&profile, Event::Reads));
    let total = profile.total();
    let same = folded::read(text.as_bytes(), "root", Event::Reads).is_ok_and(|again| again.total() == total);
    check(same || total == Events::default(), "a profile that was written again has another total")
}

fn check_parcel(bytes: &[u8]) -> Outcome {
    let Ok(read) = parcel::read(bytes) else { return Outcome::Refused };
    let again = parcel::read(&parcel::write(&read.run, &read.profiles));
    check(again.is_ok_and(|again| again == read), "a run that was written again is another")
}

/// A run of three benchmarks with the profiles of two, and the run alone.
fn parcel_files() -> (Vec<u8>, Vec<u8>) {
    let profile = callgrind::read(CALLGRIND[0], "t.py::a[1]").expect("it is whole");
    let mut run =
        Run::started("0190f3c2-7b1e-7cc3-9a54-000000000001", Timestamp(1 << 50), Machine::reference_1());
    run.source = Some(Source {
        commit: Some("0123456789abcdef0123456789abcdef01234567".to_string()),
        branch: Some("main".to_string()),
        message: Some("A message of a commit".to_string()),
        ..Source::default()
    });
    run.failed.insert("t.py::failed".to_string(), "AssertionError".to_string());
    run.warnings.push("a warning".to_string());
    for name in ["t.py::a[1]", "t.py::b", "t.py::c"] {
        run.measurements.push(Measurement {
            benchmark: Benchmark::named(name),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: Some(profile.total()),
            warm: profile.total(),
            diagnostics: Default::default(),
        });
    }
    let profiles = ["t.py::a[1]", "t.py::b"].map(|name| (name.to_string(), profile.clone()));
    (parcel::write(&run, &profiles.into()), v1::write_pretty(&run).into_bytes())
}

/// A file with every kind of record.
fn raw_file() -> Vec<u8> {
    let mut bytes = raw::header().to_vec();
    let mut events = Events::default();
    events.add(Event::Instructions, 1 << 40);
    let call = |at: u32| {
        let callee = match at % 4 {
            1 => Callee::Python(at % 3),
            // Their parents, which are `at / 2`, are of Python functions.
            2 if at % 8 == 2 => Callee::Line(at),
            _ => Callee::Address(u64::from(at) << 20),
        };
        Call { parent: at / 2, callee, calls: 1 << at }
    };
    let code = |line| PythonCode { name: format!("Sum.{line}"), file: "/src/sum.py".to_string(), line };
    let step = |at: u16| Step {
        address: 0x7fff_f7dd_0000 + 3 * u64::from(at),
        ops: at % 10,
        reads: (at % 3) as u8,
        writes: 1,
        system_call: at == 40,
        branches: u8::from(at.is_multiple_of(4)),
        flow: [Flow::On, Flow::Call, Flow::On, Flow::Return, Flow::On][usize::from(at % 5)],
    };
    let superblock = |number: u32| Superblock {
        first_op: u64::from(20 * number),
        ops: 12,
        first_step: 10 * number,
        steps: 10,
        first_target: 2 * number,
    };
    let taken = TakenExits {
        maps: "7ffff7dd0000-7ffff7df0000 r-xp 00001000 08:01 17 /usr/lib/libc.so.6\n".to_string(),
        python: (0..3).map(code).collect(),
        calls: (0..30).map(call).collect(),
        steps: (0..50).map(step).collect(),
        targets: (0..10).map(|target| target << 20).collect(),
        superblocks: (0..5).map(superblock).collect(),
        exits: (0..15)
            .map(|exit| Exit { superblock: exit / 3, instructions: exit as u8 % 10, branches: 4 })
            .collect(),
        rows: (0..90).map(|row| Row { call: row / 3, exit: row % 15, times: 7 }).collect(),
        charges: (0..40)
            .map(|op| Charge { call: op as u32 % 30, op, event: Event::L3Misses, count: 1 << op })
            .collect(),
    };
    let benchmark = || "tests/test_sum.py::test_sum[5]".to_string();
    let records = [
        Record::Process { pid: 7, engine: "0.1.0".to_string(), machine: "reference-1".to_string() },
        Record::Pass {
            benchmark: benchmark(),
            pass: raw::Pass::Warm,
            mode: raw::Mode::Simulation,
            events,
            diagnostics: Default::default(),
        },
        Record::TakenExits { benchmark: benchmark(), taken },
        Record::Describe { benchmark: benchmark(), json: "{}".to_string() },
    ];
    records.iter().for_each(|record| record.write(&mut bytes));
    bytes
}

/// One of the files after up to five accidents.
fn damaged(random: &mut Random, files: &[&[u8]]) -> Vec<u8> {
    let mut bytes = files[random.below(files.len())].to_vec();
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len() + 1);
        let end = bytes.len().min(at + 1 + random.below(60));
        match random.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, random.next().to_string().into_bytes())),
            4 => bytes[at..end].fill(0xff),
            5 => drop(bytes.splice(at..at, *b"\n")),
            _ => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (random.next() % 8)),
        }
    }
    bytes
}
