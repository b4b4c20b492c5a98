//! Circumstances that must not matter: what `invar verify` changes around a suite from run to run.
//!
//! Data, and the load that keeps CPUs busy; starting the command is [`crate::run_disturbed`]'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What is unlike in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// In a few words.
    pub says: &'static str,
    /// Variables of the command's environment.
    pub variables: Vec<(&'static str, String)>,
    /// Every CPU is kept busy meanwhile.
    pub load: bool,
}

/// The circumstances, the usual ones first.
pub fn disturbances() -> Vec<Disturbance> {
    let with = |says, variables: &[(&'static str, &str)]| Disturbance {
        says,
        variables: variables.iter().map(|&(name, value)| (name, value.to_string())).collect(),
        load: false,
    };
    vec![
        with("as usual", &[]),
        with("as usual, again", &[]),
        with("another user's HOME", &[("HOME", "/var/tmp"), ("USER", "somebody"), ("LOGNAME", "somebody")]),
        with("3 KB more environment", &[("INVAR_VERIFY", &"x".repeat(3000))]),
        with("another language and time zone", &[("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo")]),
        with("random hashes asked for", &[("PYTHONHASHSEED", "random")]),
        Disturbance { load: true, ..with("every CPU busy", &[]) },
        with("100 KB more environment", &[("INVAR_VERIFY", &"y".repeat(100_000))]),
    ]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_circumstance_is_unlike_the_others() {
        let all = disturbances();
        assert_eq!(all[0].variables, []);
        for (place, one) in all.iter().enumerate() {
            assert!(all[..place].iter().all(|other| other.says != one.says), "{}", one.says);
        }
    }

    #[test]
    fn a_load_ends_when_it_is_dropped() {
        let load = Load::start();
        assert!(!load.threads.is_empty());
        drop(load);
    }
}
