//! What threads of a region wait for inside: words of memory (`futex`) and times; and what they are told of the time.
//!
//! Answers calls; whose turn it is then is decided in the module above.

use super::*;

/// Operations of `futex`.
pub(super) mod operation {
    pub const WAIT: u64 = 0;
    pub const WAKE: u64 = 1;
    pub const REQUEUE: u64 = 3;
    pub const CMP_REQUEUE: u64 = 4;
    pub const WAKE_OP: u64 = 5;
    pub const UNLOCK_PI: u64 = 7;
    pub const WAIT_BITSET: u64 = 9;
    pub const WAKE_BITSET: u64 = 10;
    /// The word is of this process alone.
    pub const PRIVATE: u64 = 128;
    pub const CLOCK_REALTIME: u64 = 256;
}

/// The flag of `clock_nanosleep` for a time that is a point in time.
pub(super) const ABSOLUTE: u64 = 1;

/// How many nanoseconds a call waits for the outside at most, where it says that.
pub(super) fn timeout(call: u64, [_, _, third, fourth, fifth, _]: [u64; 6]) -> Option<u64> {
    let of_milliseconds = |time: u64| Some(u64::try_from(time as i32).ok()? * 1_000_000);
    let pair = |address: u64, unit: u64| {
        let [seconds, rest] = words::pair(address).filter(|_| address != 0)?;
        Some(seconds.saturating_mul(SECOND).saturating_add(rest.saturating_mul(unit)))
    };
    match call {
        number::POLL => of_milliseconds(third),
        number::EPOLL_WAIT | number::EPOLL_PWAIT => of_milliseconds(fourth),
        number::EPOLL_PWAIT2 => pair(fourth, 1),
        number::SELECT => pair(fifth, 1000),
        number::PSELECT6 => pair(fifth, 1),
        number::PPOLL | number::RT_SIGTIMEDWAIT => pair(third, 1),
        _ => None,
    }
}

impl Engine {
    /// Sleeps until a time: `flags`, `time` and `left` are those of `clock_nanosleep`.
    pub(super) fn sleep(
        &mut self,
        context: &mut Context,
        site: Site,
        clock: u64,
        flags: u64,
        time: u64,
        left: u64,
    ) -> Option<u64> {
        let Some([seconds, nanoseconds]) = words::pair(time) else {
            return Some(self.answer_call(context, site, EFAULT));
        };
        if seconds >> 63 != 0 || nanoseconds >= SECOND {
            return Some(self.answer_call(context, site, EINVAL));
        }
        self.count_instructions(context);
        let time = seconds.saturating_mul(SECOND).saturating_add(nanoseconds);
        let ticks = &self.threads.clock;
        let deadline = if flags & ABSOLUTE != 0 {
            ticks.when(clock, time)
        } else {
            ticks.now(clock).map(|_| ticks.elapsed().saturating_add(time))
        };
        let Some(deadline) = deadline else {
            // By somebody's processor time: the kernel's.
            return Some(self.go_outside(context, site));
        };
        let left = if flags & ABSOLUTE != 0 { 0 } else { left };
        let (word, expected, private, bits) = (0, 0, true, 0);
        let wait = Wait { word, expected, private, bits, deadline: Some(deadline), left, next: site.next };
        Some(self.wait(context, site, wait))
    }

    pub(super) fn futex(&mut self, context: &mut Context, site: Site, arguments: [u64; 6]) -> Option<u64> {
        let [word, operation, value, time, other, sixth] = arguments;
        let what = operation & !(operation::PRIVATE | operation::CLOCK_REALTIME);
        let inside = operation & operation::PRIVATE != 0
            || self.threads.all.iter().any(|thread| thread.cleared == word)
            || code_map::is_private(word);
        let (value, bits) = (value as u32, sixth as u32);
        match what {
            operation::WAIT | operation::WAIT_BITSET if inside => {
                let bits = if what == operation::WAIT { u32::MAX } else { bits };
                let result = match words::half(word) {
                    _ if word % 4 != 0 || bits == 0 => EINVAL,
                    None => EFAULT,
                    Some(now) if now != value => EAGAIN,
                    Some(_) => {
                        self.count_instructions(context);
                        match self.deadline(what, operation, time) {
                            Err(error) => error,
                            Ok(deadline) => {
                                let private = operation & operation::PRIVATE != 0;
                                let (next, expected) = (site.next, value);
                                let wait = Wait { word, expected, private, bits, deadline, left: 0, next };
                                return Some(self.wait(context, site, wait));
                            }
                        }
                    }
                };
                Some(self.answer_call(context, site, result))
            }
            operation::WAKE | operation::WAKE_BITSET if inside => {
                let bits = if what == operation::WAKE { u32::MAX } else { bits };
                let most = (value as i32).max(1) as usize;
                let woken = if bits == 0 { 0 } else { self.threads.wake_on(word, most, bits) };
                if woken == most {
                    return Some(self.answer_call(context, site, woken as i64));
                }
                // The others, if there are any, wait in the kernel.
                let rest = [word, operation, (most - woken) as u64, time, other, sixth];
                let result = syscall::wake(rest);
                let result = if result < 0 { result } else { woken as i64 + result };
                Some(self.answer_call(context, site, result))
            }
            operation::REQUEUE | operation::CMP_REQUEUE if inside => {
                let result = match words::half(word) {
                    None => EFAULT,
                    Some(now) if what == operation::CMP_REQUEUE && now != bits => EAGAIN,
                    Some(_) => self.requeue(word, value as i32, other, time as i32),
                };
                Some(self.answer_call(context, site, result))
            }
            // Nobody's C library has it any more.
            operation::WAKE_OP => Some(self.leave(context, site.at)),
            operation::WAKE | operation::WAKE_BITSET | operation::UNLOCK_PI => None,
            _ => Some(self.go_outside(context, site)),
        }
    }

    /// Wakes some who wait on a word, and lets some others wait on another word.
    fn requeue(&mut self, word: u64, wake: i32, other: u64, requeue: i32) -> i64 {
        let Some(expected) = words::half(other) else { return EFAULT };
        let woken = self.threads.wake_on(word, wake.max(0) as usize, u32::MAX);
        let mut moved = 0;
        let Threads { all, waiting, .. } = &mut self.threads;
        let mut last = Vec::new();
        for &thread in waiting.iter() {
            if let State::Waiting(wait) = &mut all[thread].state
                && wait.word == word
                && moved < requeue.max(0) as usize
            {
                (wait.word, wait.expected) = (other, expected);
                moved += 1;
                last.push(thread);
            }
        }
        // Behind those who wait there already.
        waiting.retain(|thread| !last.contains(thread));
        waiting.extend(last);
        (woken + moved) as i64
    }

    /// When a wait on a word is over, by the region's clock.
    pub(super) fn deadline(&self, what: u64, operation: u64, time: u64) -> Result<Option<u64>, i64> {
        if time == 0 {
            return Ok(None);
        }
        let [seconds, nanoseconds] = words::pair(time).ok_or(EFAULT)?;
        if seconds >> 63 != 0 || nanoseconds >= SECOND {
            return Err(EINVAL);
        }
        let time = seconds.saturating_mul(SECOND).saturating_add(nanoseconds);
        let clock = &self.threads.clock;
        if what == operation::WAIT {
            return Ok(Some(clock.elapsed().saturating_add(time)));
        }
        let number = if operation & operation::CLOCK_REALTIME != 0 { REALTIME } else { MONOTONIC };
        Ok(clock.when(number, time))
    }

    /// What the time-stamp counter shows.
    pub(in crate::runtime) fn time_stamp(&mut self, context: &mut Context) -> u64 {
        if !self.has_clock(context) {
            self.diagnostics.insert(Diagnostic::ReadClock);
            return gate::time_stamp();
        }
        self.count_instructions(context);
        if self.threads.clock.is_outsides {
            self.diagnostics.insert(Diagnostic::ReadClock);
        }
        self.threads.clock.time_stamp()
    }

    /// The baton lay there, and was taken: what has passed meanwhile is what the host's clock says, and not past a deadline.
    pub(super) fn nobody_went_on(&mut self) {
        let Threads { clock, since, deadline, .. } = &mut self.threads;
        let now = syscall::clock(MONOTONIC).unwrap_or(0);
        let left = |deadline: u64, clock: &Clock| deadline.saturating_sub(clock.elapsed());
        clock.is_outsides |= deadline.is_none_or(|(host, _)| now < host);
        clock.idle += match *deadline {
            Some((host, deadline)) if now >= host => left(deadline, clock),
            Some((_, deadline)) => now.saturating_sub(*since).min(left(deadline, clock).saturating_sub(1)),
            None => now.saturating_sub(*since),
        };
    }

    /// What a call or a function of the vdso says about the time: by the region's clock, or by the host's if there is none, or
    /// for processor times. `None` if the guest asks for what there is not.
    pub(in crate::runtime) fn tell_time(
        &mut self,
        context: &mut Context,
        call: u64,
        first: u64,
        second: u64,
    ) -> Option<i64> {
        let (number, to) = match call {
            number::CLOCK_GETTIME => (first, second),
            number::GETTIMEOFDAY if second == 0 => (REALTIME, first),
            number::TIME => (REALTIME, first),
            _ => return None,
        };
        let by_region = if clock::is_of_a_region(number) && self.has_clock(context) {
            self.count_instructions(context);
            self.threads.clock.now(number)
        } else {
            None
        };
        let now = by_region.or_else(|| syscall::clock(number))?;
        let (seconds, rest) = (now / SECOND, now % SECOND);
        if by_region.is_none() || clock::is_of_the_day(number) || self.threads.clock.is_outsides {
            self.diagnostics.insert(Diagnostic::ReadClock);
        }
        let (words, result): (&[u64], i64) = match call {
            number::TIME => (&[seconds], seconds as i64),
            number::GETTIMEOFDAY => (&[seconds, rest / 1000], 0),
            _ => (&[seconds, rest], 0),
        };
        let may_be_nowhere = call != number::CLOCK_GETTIME;
        (to == 0 && may_be_nowhere || words::write(to, words)).then_some(result)
    }
}
