//! What the kernel says about a thread of the process (`/proc/self/task/*`): what it does, and whether it has done anything since.

use alloc::vec::Vec;

/// A system call that a thread is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// The stack pointer.
    pub stack: u64,
    /// Where it comes back to.
    pub next: u64,
}

/// The call that the file `syscall` tells; `None` if the thread is executed, or is in none.
pub fn call(text: &str) -> Option<Call> {
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut word = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = word()?;
    }
    Some(Call { number, arguments, stack: word()?, next: word()? })
}

/// When a thread was started, by the file `stat`: in the kernel's ticks since the machine was.
pub fn started(text: &str) -> Option<u64> {
    const FIELD: usize = 22;
    // The second field, its name, may have anything in it.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(FIELD - 3)?.parse().ok()
}

/// What the file `status` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// It has ended, and is there for its number's sake.
    pub has_ended: bool,
    /// Signals that it blocks: a bit each, the lowest for signal 1.
    pub blocked: u64,
    /// How often it has left the processor, by itself and not.
    pub switches: Vec<u64>,
}

/// Reads the file `status`.
pub fn status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name {
            "State" => status.has_ended = value.starts_with(['Z', 'X']),
            "SigBlk" => status.blocked = u64::from_str_radix(value, 16).unwrap_or(u64::MAX),
            "voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches" => {
                status.switches.extend(value.parse::<u64>());
            }
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_number_arguments_and_place() {
        let found = call("202 0x7f5e 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd10 0x7f5f2a\n").expect("a call");
        assert_eq!((found.number, found.arguments[1], found.arguments[5]), (202, 0x189, 0xffff_ffff));
        assert_eq!((found.stack, found.next), (0x7f_fd10, 0x7f_5f2a));
    }

    #[test]
    fn who_is_executed_is_in_no_call() {
        assert_eq!(call("running\n"), None);
        assert_eq!(call("-1 0x7ffd 0x7f5e\n"), None);
        assert_eq!(call(""), None);
    }

    #[test]
    fn a_name_with_brackets_hides_no_start() {
        let fields = (4..=52).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(started(&format!("77 (a) b) (c) S {fields}")), Some(22));
    }

    #[test]
    fn the_status_of_this_thread_is_read() {
        let text = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
        let status = status(&text);
        assert!(!status.has_ended && status.switches.len() == 2, "{status:?}");
    }
}
