//! Circumstances that must not matter: what `invar verify` changes around a suite from run to run.
//!
//! Data, and the load that keeps CPUs busy; where a suite is copied to is [`elsewhere`](crate::elsewhere)'s, starting the
//! command is [`crate::run_disturbed`]'s.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What is unlike in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// By which it is chosen.
    pub name: &'static str,
    /// In a few words, which are kept with what was found: they stay as they are.
    pub says: &'static str,
    /// Tried if nobody asks for more.
    pub usual: bool,
    /// Variables of the command's environment.
    pub variables: Vec<(&'static str, String)>,
    /// Every CPU is kept busy meanwhile.
    pub load: bool,
    /// The command may use one CPU only.
    pub one_cpu: bool,
    /// The order of benchmarks.
    pub order: Order,
    /// Each benchmark in a run of its own.
    pub alone: bool,
    /// Where the command is started.
    pub place: Place,
    /// Files of benchmarks, relative to a directory of the checkout, that get comments and a function that nobody calls: in a
    /// copy of the checkout, never in itself.
    pub edits: Vec<PathBuf>,
}

/// The order of benchmarks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As they are collected.
    #[default]
    Collected,
    /// The last first.
    Reversed,
    /// By chance, the same in every run.
    Shuffled,
}

impl Order {
    /// The name in a request.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Order::Collected => "collected",
            Order::Reversed => "reversed",
            Order::Shuffled => "shuffled",
        }
    }
}

/// Where a command is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// Where it was asked to.
    #[default]
    Usual,
    /// In a copy of the checkout, at a path of another length.
    OtherPath,
    /// In a copy of the checkout whose path is as long as its own, with [`Disturbance::edits`].
    Edited,
    /// In `/`, with the paths on its command line made absolute.
    Root,
}

/// The circumstances, the usual ones first. The first is no disturbance at all.
pub fn disturbances() -> Vec<Disturbance> {
    let as_usual = |name, says| Disturbance { name, says, ..Disturbance::default() };
    let with = |name, says, variables: &[(&'static str, &str)]| Disturbance {
        variables: variables.iter().map(|&(name, value)| (name, value.to_string())).collect(),
        ..as_usual(name, says)
    };
    let home = [("HOME", "/var/tmp"), ("USER", "somebody"), ("LOGNAME", "somebody")];
    let language = [("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo")];
    let (some, much) = ("x".repeat(3000), "y".repeat(100_000));
    let v2 = "glibc.cpu.hwcaps=-AVX2,-AVX,-BMI1,-BMI2,-FMA,-MOVBE,-LZCNT,-ERMS,-AVX512F";
    let v3 = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ";
    let all = vec![
        as_usual("usual", "as usual"),
        as_usual("again", "as usual, again"),
        with("home", "another user's HOME", &home),
        with("environment", "3 KB more environment", &[("INVAR_VERIFY", &some)]),
        Disturbance { load: true, ..as_usual("load", "every CPU busy") },
        Disturbance { order: Order::Reversed, ..as_usual("reversed", "the last benchmark first") },
        Disturbance { place: Place::OtherPath, ..as_usual("path", "a checkout at another path") },
        Disturbance { place: Place::Edited, ..as_usual("edit", "an unrelated edit of the file") },
        with("large-environment", "100 KB more environment", &[("INVAR_VERIFY", &much)]),
        with("language", "another language and time zone", &language),
        with("hashes", "random hashes asked for", &[("PYTHONHASHSEED", "random")]),
        Disturbance { order: Order::Shuffled, ..as_usual("shuffled", "benchmarks in another order") },
        Disturbance { alone: true, ..as_usual("alone", "each benchmark alone") },
        Disturbance { one_cpu: true, ..as_usual("one-cpu", "one CPU") },
        with("x86-64-v2", "no AVX2 asked for", &[("GLIBC_TUNABLES", v2)]),
        with("x86-64-v3", "no AVX-512 asked for", &[("GLIBC_TUNABLES", v3)]),
        Disturbance { place: Place::Root, ..as_usual("directory", "another current directory") },
        Disturbance {
            load: true,
            one_cpu: true,
            order: Order::Reversed,
            ..with("together", "busy, one CPU, HOME, environment, order", &[home[0], ("INVAR_VERIFY", &some)])
        },
    ];
    const USUAL: [&str; 8] = ["usual", "again", "home", "environment", "load", "reversed", "path", "edit"];
    let usual =
        |disturbance: Disturbance| Disturbance { usual: USUAL.contains(&disturbance.name), ..disturbance };
    all.into_iter().map(usual).collect()
}

/// Threads that do nothing as fast as they can, one for each CPU, until this is dropped.
pub struct Load {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts them; as many as the system allows.
    pub fn start() -> Load {
        let ended = Arc::new(AtomicBool::new(false));
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = |_| {
            let ended = Arc::clone(&ended);
            let work = move || {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            std::thread::Builder::new().name("load".to_string()).spawn(work).ok()
        };
        let threads = (0..cpus).filter_map(busy).collect();
        Load { ended, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that only spins cannot have panicked.
            let _ = thread.join();
        }
    }
}

/// This thread on one CPU, and what it starts meanwhile, until this is dropped.
pub struct OneCpu(rustix::thread::CpuSet);

impl OneCpu {
    /// Takes the first of those that it may use.
    pub fn take() -> std::io::Result<OneCpu> {
        let before = rustix::thread::sched_getaffinity(None)?;
        let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| before.is_set(cpu)).unwrap_or_default();
        let mut one = rustix::thread::CpuSet::new();
        one.set(first);
        rustix::thread::sched_setaffinity(None, &one)?;
        Ok(OneCpu(before))
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        // These were allowed a moment ago; if they no longer are, one CPU has to do.
        let _ = rustix::thread::sched_setaffinity(None, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_circumstance_is_unlike_the_others() {
        let all = disturbances();
        assert!(all[0].usual && all[0].variables.is_empty() && all[0].place == Place::Usual);
        for (place, one) in all.iter().enumerate() {
            let unlike = |other: &Disturbance| other.says != one.says && other.name != one.name;
            assert!(all[..place].iter().all(unlike), "{}", one.says);
        }
    }

    #[test]
    fn a_load_ends_when_it_is_dropped() {
        let load = Load::start();
        assert!(!load.threads.is_empty());
        drop(load);
    }

    #[test]
    fn one_cpu_is_given_back() {
        let count = || rustix::thread::sched_getaffinity(None).unwrap().count();
        let before = count();
        let one = OneCpu::take().unwrap();
        assert_eq!(count(), 1);
        drop(one);
        assert_eq!(count(), before);
    }
}
