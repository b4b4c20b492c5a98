//! What a worker does: batches of programs, natively and then in each mode, with a line for whoever supervises it.

use std::time::{Duration, Instant};

use anyhow::Result;
use invar_engine::region::Mode;

use crate::Options;
use crate::host::signals;
use crate::layout;
use crate::program::{Program, generate};
use crate::subject::{Bench, Subject};

/// A batch that takes longer is in an endless loop.
const BATCH_SECONDS: u32 = 60;

/// Runs programs until there are enough or the time is over. Prints `at N` before each batch, `differs N sentence` for
/// each finding, `tally N ...` after each batch.
pub fn work(options: &Options) -> Result<bool> {
    let mut bench = Bench::new(options.defect)?;
    let start = Instant::now();
    let limit = options.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let end = options.from.saturating_add(options.programs);
    let mut from = options.from;
    let mut same = true;
    while from < end && limit.is_none_or(|limit| start.elapsed() < limit) {
        println!("at {from}");
        signals::end_process_after(BATCH_SECONDS);
        let to = end.min(from.saturating_add(layout::PROGRAMS) / layout::PROGRAMS * layout::PROGRAMS);
        let programs = (from..to).map(|index| (index, generate::program(options.seed, index)));
        for (index, sentence) in batch(&mut bench, programs) {
            println!("differs {index} {sentence}");
            same = false;
        }
        println!("tally {from} {}", std::mem::take(&mut bench.tally).to_words());
        from = to;
    }
    println!("at {from}");
    Ok(same)
}

/// Runs some programs, each in a place of its own; says what differs.
fn batch(bench: &mut Bench, programs: impl Iterator<Item = (u64, Program)>) -> Vec<(u64, String)> {
    // All are in place before the first runs: one that goes astray into another finds the same there each time.
    let programs: Vec<(u64, Program)> = programs.collect();
    programs.iter().for_each(|(_, program)| bench.place(program));
    let mut subjects: Vec<(u64, Subject)> =
        programs.into_iter().filter_map(|(index, program)| Some((index, bench.natively(program)?))).collect();
    let mut found = Vec::new();
    bench.renew(Mode::Simulation);
    for (index, subject) in &mut subjects {
        found.extend(bench.simulate(subject).into_iter().map(|sentence| (*index, sentence)));
    }
    bench.renew(Mode::Counts);
    for (index, subject) in &mut subjects {
        found.extend(bench.count(subject).into_iter().map(|sentence| (*index, sentence)));
    }
    found
}

/// Runs one program, whole or in part, and prints what differs.
pub fn check(options: &Options) -> Result<bool> {
    let mut program = generate::program(options.seed, options.from);
    if let Some(keep) = &options.keep {
        for (index, kept) in program.kept.iter_mut().enumerate() {
            *kept &= keep.contains(&index);
        }
        if program.code().is_none() {
            return Ok(true);
        }
    }
    let mut bench = Bench::new(options.defect)?;
    bench.clean_everything();
    signals::end_process_after(BATCH_SECONDS / 6);
    // What it may go astray into.
    let first = options.from / layout::PROGRAMS * layout::PROGRAMS;
    for neighbour in (first..first + layout::PROGRAMS).filter(|index| *index != options.from) {
        bench.place(&generate::program(options.seed, neighbour));
    }
    let listing = program.listing();
    let registers = program.start.to_string();
    let found = batch(&mut bench, std::iter::once((options.from, program)));
    if found.is_empty() {
        return Ok(true);
    }
    println!("{registers}{listing}");
    for (_, sentence) in &found {
        println!("  {sentence}");
    }
    Ok(false)
}
