//! Fills a store with measurements of chance, by the store's own code, for `cargo xtask bench server`.
//!
//! `fill DATABASE BLOBS MEASUREMENTS`: a branch `main` of runs with a thousand benchmarks each, before it as many commits
//! that measured one benchmark, so that its history is long, and a branch `wide` of two runs with five thousand. What is
//! there already stays, and is not made again: a fill that was stopped goes on.
#![expect(clippy::print_stdout, reason = "a program that people watch")]

use std::time::Instant;

use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_store::{Location, Store};

/// Benchmarks of a run of `main`, and of one of `wide`.
const BENCHMARKS: usize = 1000;
const WIDE: usize = 5000;
/// How many runs are kept at the same time.
const AT_ONCE: usize = 4;
const START_US: i64 = 1_700_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, blobs, measurements] = &arguments[..] else {
        println!("usage: fill DATABASE BLOBS MEASUREMENTS");
        std::process::exit(2);
    };
    let location = Location { database: database.clone(), blobs: Some(blobs.clone()) };
    let store = Store::connect(&location).await.expect("the store can be opened");
    let runs = measurements.parse::<usize>().expect("a number") / BENCHMARKS;
    let started = Instant::now();
    let wide = (0..2).map(|number| run(2 * runs + number, "wide", WIDE));
    let long = (0..runs).map(|number| run(number, "main", 1));
    let main = (runs..2 * runs).map(|number| run(number, "main", BENCHMARKS));
    let mut tasks = tokio::task::JoinSet::new();
    let mut kept = 0_usize;
    for run in long.chain(main).chain(wide) {
        if tasks.len() >= AT_ONCE {
            kept += tasks.join_next().await.map_or(0, |done| done.expect("it is kept"));
        }
        let store = store.clone();
        tasks.spawn(async move {
            store.put(&run).await.expect("it is kept");
            run.measurements.len()
        });
    }
    while let Some(done) = tasks.join_next().await {
        kept += done.expect("it is kept");
    }
    let took = started.elapsed();
    store.close().await;
    println!("{kept} measurements in {:.1} s", took.as_secs_f64());
}

/// A run of this number: every benchmark moves a little, and one in a hundred runs makes some dearer.
fn run(number: usize, branch: &str, benchmarks: usize) -> Run {
    let id = format!("0190f3c2-7b1e-7cc3-9a54-{number:012x}");
    let mut run = Run::started(&id, Timestamp(START_US + number as i64 * HOUR_US), Machine::reference_1());
    run.source = Some(Source {
        commit: Some(format!("{number:040x}")),
        branch: Some(branch.to_string()),
        default_branch: Some("main".to_string()),
        message: Some(format!("Commit {number}")),
        ..Source::default()
    });
    let measure = |index: usize| {
        let mut warm = Events::default();
        let level = 1000 + (index * 7919 % 100_000) as u64 + (number / 100 * (index % 7)) as u64 * 10;
        warm.add(Event::Instructions, 1000 * level);
        warm.add(Event::Reads, 300 * level);
        warm.add(Event::Writes, 100 * level);
        warm.add(Event::L1dReadMisses, level + (number * 31 + index) as u64 % 5);
        warm.add(Event::L2Misses, level / 10);
        Measurement {
            benchmark: Benchmark::named(&format!(
                "benchmarks/test_module_{}.py::test_case[{index}]",
                index / 50
            )),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm,
            diagnostics: Diagnostics::default(),
        }
    };
    run.measurements = (0..benchmarks).map(measure).collect();
    run
}
