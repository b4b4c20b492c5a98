//! A suite under pytest-codspeed and callgrind, as CodSpeed's runner starts them, and what callgrind counted.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use invar_runner::disturbance::{Disturbance, Load, OneCpu, Order};
use invar_runner::elsewhere::Elsewhere;

use super::{Counts, own_name, quiet};
use crate::prepare;

/// What is measured, and by which Python.
pub struct Callgrind {
    /// The Python, with pytest-codspeed.
    pub python: PathBuf,
    /// The directory of the suite.
    pub suite: PathBuf,
}

/// CodSpeed's estimate of cycles: instructions, 10 for a miss of the first level, 100 for one of the last.
const FORMULA: [(&str, u64); 7] =
    [("Ir", 1), ("I1mr", 10), ("D1mr", 10), ("D1mw", 10), ("ILmr", 100), ("DLmr", 100), ("DLmw", 100)];

impl Callgrind {
    /// The names of the benchmarks as pytest takes them, as they are collected.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut command = std::process::Command::new(&self.python);
        command.args(["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]);
        let said = prepare::output(command.args(super::FILES).current_dir(&self.suite))?;
        let names = said.lines().filter(|line| line.contains("::")).map(str::to_string);
        Ok(names.collect())
    }

    /// Measures these benchmarks under a disturbance.
    ///
    /// pytest runs what it is told in the order in which it is told; so all words are the same in every order.
    pub fn measure(&self, disturbance: &Disturbance, names: &[String]) -> Result<Counts> {
        let out = prepare::scratch()?.join("callgrind.out.noise");
        let _ = fs::remove_file(&out);
        let words = self.words(&out, arranged(names, disturbance.order));
        let place = Elsewhere::prepare(&words, &self.suite, disturbance).map_err(|why| anyhow!(why))?;
        let _load = disturbance.load.then(Load::start);
        let _one_cpu = disturbance.one_cpu.then(OneCpu::take).transpose()?;
        let mut command = quiet(&place.command);
        command.current_dir(&place.directory).envs(disturbance.variables.iter().cloned());
        command.envs([("CODSPEED_ENV", "noise"), ("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")]);
        prepare::run(command.stderr(std::process::Stdio::null()))?;
        let text = fs::read_to_string(&out).with_context(|| format!("no {}", out.display()))?;
        let counts = read(&text)?;
        ensure!(counts.len() == names.len(), "{} of {} benchmarks were measured", counts.len(), names.len());
        Ok(counts)
    }

    fn words(&self, out: &std::path::Path, names: Vec<&String>) -> Vec<OsString> {
        let valgrind = [
            "setarch",
            "--addr-no-randomize",
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            "--trace-children=yes",
            "--cache-sim=yes",
            "--I1=32768,8,64",
            "--D1=32768,8,64",
            "--LL=8388608,16,64",
            "--instr-atstart=no",
            "--combine-dumps=yes",
            "--dump-line=no",
        ];
        let mut words: Vec<OsString> = valgrind.map(OsString::from).into();
        words.push(format!("--callgrind-out-file={}", out.display()).into());
        words.push(self.python.clone().into());
        words.extend(["-m", "pytest", "--codspeed", "-p", "no:cacheprovider"].map(OsString::from));
        words.extend(names.into_iter().map(OsString::from));
        words
    }
}

/// The names in an order; shuffled is every seventh.
fn arranged(names: &[String], order: Order) -> Vec<&String> {
    match order {
        Order::Collected => names.iter().collect(),
        Order::Reversed => names.iter().rev().collect(),
        Order::Shuffled => {
            let mut places: Vec<usize> = (0..names.len()).collect();
            places.sort_by_key(|place| (place % 7, *place));
            places.into_iter().map(|place| &names[place]).collect()
        }
    }
}

/// Instructions and CodSpeed's cycles of each part of a dump that was triggered for a benchmark.
fn read(text: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    let (mut events, mut name): (Vec<&str>, Option<&str>) = (Vec::new(), None);
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("events: ") {
            events = named.split_whitespace().collect();
        } else if let Some(trigger) = line.strip_prefix("desc: Trigger: ") {
            // What is left at the end of the program is no benchmark's.
            let of_a_benchmark = trigger.starts_with("Client Request: ") && trigger.contains("::");
            name = of_a_benchmark.then_some(own_name(trigger));
        } else if let (Some(totals), Some(name)) = (line.strip_prefix("totals: "), name) {
            let numbers: Vec<u64> = totals.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let of = |event: &str| {
                events
                    .iter()
                    .position(|name| *name == event)
                    .and_then(|at| numbers.get(at))
                    .copied()
                    .unwrap_or(0)
            };
            let cycles = FORMULA.iter().map(|(event, weight)| weight * of(event)).sum();
            counts.insert(name.to_string(), [of("Ir"), cycles]);
        }
    }
    ensure!(!counts.is_empty(), "callgrind has counted nothing: is pytest-codspeed at work?");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_dump_are_benchmarks() {
        let text = "desc: Trigger: Client Request: Metadata: x\nevents: Ir Dr I1mr DLmr\ntotals: 9\n\
                    desc: Trigger: Client Request: a/test_b.py::test_c\nevents: Ir Dr I1mr DLmr\ntotals: 1000 5 2 1\n\
                    desc: Trigger: Program termination\nevents: Ir Dr I1mr DLmr\ntotals: 0 0 0 0\n";
        assert_eq!(read(text).unwrap(), Counts::from([("test_c".to_string(), [1000, 1120])]));
        assert!(read("events: Ir\n").is_err());
    }

    #[test]
    fn an_order_loses_nothing() {
        let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        for order in [Order::Collected, Order::Reversed, Order::Shuffled] {
            let mut arranged = arranged(&names, order);
            assert_eq!(arranged == names.iter().collect::<Vec<_>>(), order == Order::Collected);
            arranged.sort_by_key(|name| name.parse::<usize>().unwrap());
            assert_eq!(arranged, names.iter().collect::<Vec<_>>());
        }
    }
}
