//! Outliving Ctrl-C: while a command runs, a signal to end is noted instead of obeyed.
//!
//! The terminal sends Ctrl-C to the command as well. The runner has to stay until that has ended, to keep what was
//! measured. Outside [`Watch`] every signal does what it always does.

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What signal handlers and the watch share. Handlers are installed once and stay.
struct Handlers {
    idle: Arc<AtomicBool>,
    /// The last signal that came; 0 is none.
    caught: Arc<AtomicUsize>,
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

/// Notes signals for as long as it lives. There is one at a time.
pub(crate) struct Watch {
    handlers: &'static Handlers,
}

impl Watch {
    /// Begins to note signals.
    pub fn begin() -> Watch {
        let handlers = HANDLERS.get_or_init(|| {
            let handlers = Handlers { idle: Arc::default(), caught: Arc::default() };
            for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)) {
                // A signal that cannot be caught ends the run as it would any program.
                let _ = catch(signal, &handlers);
            }
            handlers
        });
        handlers.caught.store(0, Ordering::SeqCst);
        handlers.idle.store(false, Ordering::SeqCst);
        Watch { handlers }
    }

    /// The last signal since the last time this was asked.
    pub fn take(&self) -> Option<i32> {
        match self.handlers.caught.swap(0, Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handlers.idle.store(true, Ordering::SeqCst);
    }
}

fn catch(signal: c_int, handlers: &Handlers) -> io::Result<()> {
    flag::register_conditional_default(signal, Arc::clone(&handlers.idle))?;
    flag::register_usize(signal, Arc::clone(&handlers.caught), signal as usize)?;
    Ok(())
}

/// Was the process started with this signal ignored, as `nohup` does?
fn is_ignored(signal: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 << (signal - 1) != 0)
}

/// Has the terminal sent its Ctrl-C to the command already? It goes to every process in the foreground.
pub(crate) fn comes_from_the_terminal(signal: i32) -> bool {
    let in_foreground = || {
        let terminal = std::fs::File::open("/dev/tty").ok()?;
        Some(rustix::termios::tcgetpgrp(terminal).ok()? == rustix::process::getpgrp())
    };
    signal == SIGINT && in_foreground() == Some(true)
}

/// As `rustix` wants it.
pub(crate) fn typed(signal: i32) -> Signal {
    match signal {
        SIGINT => Signal::INT,
        SIGHUP => Signal::HUP,
        _ => Signal::TERM,
    }
}

/// The signal's name: `SIGSEGV`.
pub(crate) fn name(signal: i32) -> String {
    NAMES
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| format!("signal {signal}"), |(_, name)| format!("SIG{name}"))
}

/// The signal that a shell means by an exit status above 128.
pub(crate) fn of_shell_status(status: i32) -> Option<i32> {
    NAMES.iter().map(|(number, _)| *number).find(|number| number + 128 == status)
}

/// Signals that end programs, by their numbers on x86-64.
const NAMES: [(i32, &str); 18] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (31, "SYS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_its_usual_name() {
        assert_eq!(name(11), "SIGSEGV");
        assert_eq!(name(64), "signal 64");
    }

    #[test]
    fn only_statuses_that_shells_make_of_signals_mean_one() {
        assert_eq!(of_shell_status(137), Some(9));
        assert_eq!(of_shell_status(1), None);
        assert_eq!(of_shell_status(255), None);
    }
}
