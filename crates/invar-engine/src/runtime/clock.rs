//! The clock of a region: it goes with the instructions that are executed, and with the host's clock while nobody has anything to
//! execute.
//!
//! It starts when it is first asked or the first thread is there, at what the host's clocks show then; so it differs between runs, and
//! what passes on it does not. It is slower than any processor, so that it does not go back when the region is over and the host's
//! clocks go on.

use alloc::vec::Vec;

use crate::host::{gate, syscall};

/// Instructions to a nanosecond.
pub const INSTRUCTIONS: u64 = 16;

pub const SECOND: u64 = 1_000_000_000;

/// Numbers of the kernel's clocks.
pub const REALTIME: u64 = 0;
/// The clock of deadlines.
pub const MONOTONIC: u64 = 1;
/// `MONOTONIC_RAW`, both that are coarse, `BOOTTIME`, `TAI`.
const OTHERS: [u64; 5] = [4, 5, 6, 7, 11];

/// See the module.
#[derive(Debug, Default)]
pub struct Clock {
    /// Clocks by their numbers, and what they have shown at the start.
    starts: Vec<(u64, u64)>,
    /// What the time-stamp counter has shown.
    ticks: u64,
    /// Instructions executed since then.
    pub instructions: u64,
    /// Nanoseconds that nobody executed anything.
    pub idle: u64,
    /// Some of these were the outside's doing, and not what a deadline said.
    pub is_outsides: bool,
}

impl Clock {
    /// Started now.
    pub fn start() -> Clock {
        let numbers = [REALTIME, MONOTONIC].into_iter().chain(OTHERS);
        let starts = numbers.filter_map(|number| Some((number, syscall::clock(number)?))).collect();
        Clock { starts, ticks: gate::time_stamp(), ..Clock::default() }
    }

    /// Nanoseconds since the start.
    pub fn elapsed(&self) -> u64 {
        self.instructions / INSTRUCTIONS + self.idle
    }

    /// What a clock shows; `None` if it is not one of these, but one of somebody's processor time.
    pub fn now(&self, number: u64) -> Option<u64> {
        Some(self.start_of(number)?.wrapping_add(self.elapsed()))
    }

    /// What the time-stamp counter shows: one tick a nanosecond, as no processor has fewer.
    pub fn time_stamp(&self) -> u64 {
        self.ticks.wrapping_add(self.elapsed())
    }

    /// When a clock shows `time`: nanoseconds since the start, now if that is past.
    pub fn when(&self, number: u64, time: u64) -> Option<u64> {
        Some(time.saturating_sub(self.start_of(number)?).max(self.elapsed()))
    }

    fn start_of(&self, number: u64) -> Option<u64> {
        self.starts.iter().find(|&&(one, _)| one == number).map(|&(_, start)| start)
    }
}

/// Is it a clock that a region has? Those of somebody's processor time are the kernel's.
pub fn is_of_a_region(number: u64) -> bool {
    matches!(number, REALTIME | MONOTONIC) || OTHERS.contains(&number)
}

/// Is it a clock that shows the time of the day?
pub fn is_of_the_day(number: u64) -> bool {
    const REALTIME_COARSE: u64 = 5;
    const TAI: u64 = 11;
    matches!(number, REALTIME | REALTIME_COARSE | TAI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_by_instructions() {
        let mut clock = Clock::start();
        let before = clock.now(MONOTONIC).expect("every kernel has it");
        clock.instructions += 5 * 1000 * INSTRUCTIONS;
        clock.idle += 7;
        assert_eq!(clock.now(MONOTONIC), Some(before + 5007));
        let ticks = clock.time_stamp();
        clock.idle += 3;
        assert_eq!(clock.time_stamp(), ticks + 3);
        clock.idle -= 3;
        assert_eq!(clock.when(MONOTONIC, before + 6000), Some(6000));
        assert_eq!(clock.when(MONOTONIC, before), Some(5007));
        assert_eq!(clock.now(2), None, "the time of a process is the kernel's");
    }
}
