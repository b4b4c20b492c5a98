//! Supervises workers and makes what they find small.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Options;
use crate::host::signals;
use crate::layout;
use crate::program::generate;
use crate::subject::Tally;

/// After so many findings there is enough to do.
const FINDINGS_MAX: usize = 10;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

struct Findings<'a> {
    options: &'a Options,
    shown: usize,
    /// What differed among other programs and not alone: a program that has strayed into its neighbours, most often. Printed,
    /// and no finding, since there is nothing to repeat.
    unrepeated: usize,
    start: Instant,
    said: Instant,
    tally: Tally,
    /// Programs that were shown.
    seen: BTreeSet<u64>,
}

/// Runs until the time is over or enough was found; says whether nothing was.
pub fn translate(options: &Options) -> Result<bool> {
    let start = Instant::now();
    let limit = options.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let end = options.from.saturating_add(options.programs);
    let mut findings = Findings {
        options,
        shown: 0,
        unrepeated: 0,
        start,
        said: start,
        tally: Tally::default(),
        seen: BTreeSet::new(),
    };
    let mut from = options.from;
    eprintln!("seed {}, from program {from}", options.seed);
    while from < end && findings.shown < FINDINGS_MAX {
        let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
        if left == Some(Duration::ZERO) {
            break;
        }
        let minutes = left.map(|left| left.as_secs_f64() / 60.0);
        from = findings.worker(&Options { from, programs: end - from, minutes, ..options.clone() })?;
    }
    findings.progress(from);
    Ok(findings.shown == 0)
}

impl Findings<'_> {
    /// Supervises one worker to its end; says where to go on.
    fn worker(&mut self, options: &Options) -> Result<u64> {
        let mut worker =
            own_process("work", options)?.stdout(Stdio::piped()).spawn().context("cannot start a worker")?;
        let lines = BufReader::new(worker.stdout.take().context("a worker without output")?).lines();
        let mut at = options.from;
        for line in lines {
            let line = line.context("cannot read what a worker says")?;
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next().and_then(|number| number.parse().ok())) {
                (Some("at"), Some(number)) => {
                    at = number;
                    if self.said.elapsed() > PROGRESS {
                        self.progress(at);
                    }
                }
                (Some("tally"), Some(_)) => {
                    self.tally.add(words.next().and_then(Tally::from_words).unwrap_or_default());
                }
                (Some("differs"), Some(number)) if self.seen.insert(number) => {
                    self.show(number, words.next().unwrap_or(""))?;
                }
                _ => {}
            }
            if self.shown >= FINDINGS_MAX {
                worker.kill().context("cannot stop a worker")?;
                break;
            }
        }
        let status = worker.wait().context("a worker cannot be waited for")?;
        if status.code().is_some_and(|code| code < 2) || self.shown >= FINDINGS_MAX {
            return Ok(if at == options.from && options.programs > 0 { at + 1 } else { at });
        }
        // It died within the batch that starts at `at`: by which program?
        let batch_end = (at + layout::PROGRAMS) / layout::PROGRAMS * layout::PROGRAMS;
        let shown = self.shown;
        for index in at..batch_end.min(options.from.saturating_add(options.programs)) {
            let (same, _) = self.check(index, None)?;
            if !same {
                self.show(index, &format!("the worker ended with {status}"))?;
            }
        }
        if self.shown == shown {
            self.unrepeated += 1;
            println!(
                "\nprograms {at} to {batch_end}: together they end a worker with {status}, none does alone"
            );
        }
        Ok(batch_end)
    }

    fn progress(&mut self, at: u64) {
        self.said = Instant::now();
        let seconds = self.start.elapsed().as_secs_f64();
        let Tally { programs, faulted, stepped, exact, left } = self.tally;
        let percent = |part: u64| part as f64 * 100.0 / programs.max(1) as f64;
        eprintln!(
            "{seconds:6.0} s  {programs} programs  {:.0}/s  next {at}  (faulted {:.0} %, stepped {:.0} %, addresses \
             exact {:.0} %, engine let go {:.1} %)  findings {}, unrepeated {}",
            programs as f64 / seconds.max(0.001),
            percent(faulted),
            percent(stepped),
            percent(exact),
            percent(left),
            self.shown,
            self.unrepeated
        );
    }

    /// Runs one program in a process of its own: does it behave, and what did it print?
    fn check(&self, index: u64, keep: Option<Vec<usize>>) -> Result<(bool, String)> {
        let options = Options { from: index, programs: 1, minutes: None, keep, ..self.options.clone() };
        let done = own_process("check", &options)?
            .stderr(Stdio::piped())
            .output()
            .context("cannot start a check")?;
        let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.code().is_none_or(|code| code > 1) {
            text.push_str(&format!("  the process ended with {}\n", ended(done.status)));
            text.push_str(&String::from_utf8_lossy(&done.stderr));
        }
        Ok((done.status.success(), text))
    }

    /// Makes a finding small and prints it.
    fn show(&mut self, index: u64, sentence: &str) -> Result<()> {
        self.shown += 1;
        let seed = self.options.seed;
        println!("\nprogram {index} of seed {seed}: {sentence}");
        let program = generate::program(seed, index);
        let mut kept: Vec<usize> = (0..program.items.len()).filter(|&item| program.kept[item]).collect();
        let (same, mut text) = self.check(index, Some(kept.clone()))?;
        if same {
            self.shown -= 1;
            self.unrepeated += 1;
            println!("  it differs among other programs only:\n{}", program.listing());
            return Ok(());
        }
        // Halves first, then single items, until none can be left out.
        let mut width = (kept.len() / 2).max(1);
        loop {
            let mut shorter = false;
            let mut start = 0;
            while start < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(start..(start + width).min(kept.len()));
                match self.check(index, Some(fewer.clone()))? {
                    (false, smaller) => {
                        (kept, text, shorter) = (fewer, smaller, true);
                    }
                    (true, _) => start += width,
                }
            }
            match (width, shorter) {
                (1, false) => break,
                (1, true) => {}
                _ => width /= 2,
            }
        }
        let keep = kept.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        println!("{text}  again: invar-fuzz check --seed {seed} --from {index} --keep {keep}");
        if text.trim_start().starts_with("the process") {
            let mut program = program;
            for (item, keep) in program.kept.iter_mut().enumerate() {
                *keep = kept.contains(&item);
            }
            println!("{}{}", program.start, program.listing());
        }
        Ok(())
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(signals::ENDED | libc::SIGALRM) => "no end".to_string(),
        Some(signal) => format!("signal {signal}"),
        None => status.to_string(),
    }
}

/// Another process of this program.
fn own_process(command: &str, options: &Options) -> Result<Command> {
    let mut process = Command::new(std::env::current_exe().context("where is this program?")?);
    process.arg(command).args(options.to_arguments());
    Ok(process)
}
