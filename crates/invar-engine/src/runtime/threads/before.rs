//! Threads that were there before the region: those that wait for a word of memory or a time come over when it begins, and wait as
//! if they had done so inside; the others are left alone, and may run natively beside it.
//!
//! What they are in is seen in `/proc`; how they come is `host::before`.
//!
//! What always holds: a thread that is in a call which a signal would end is sent none.

use core::sync::atomic::AtomicU32;

use super::*;
use crate::guest::task::{self, Call, Status};
use crate::host::before::{self, SIGNAL};

/// A region waits so long for threads that are executed: those of pools still look for work for a while after their last. After each
/// time in vain it is a quarter of that.
const PATIENCE: u64 = SECOND / 2;
/// How often it was in vain, since it was not.
static IN_VAIN: AtomicU32 = AtomicU32::new(0);

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It is executed, or will be at once.
    Runs,
    /// It waits for a word or a time, in this call.
    Waits(Call),
    /// It waits for something else, or could not be asked.
    Elsewhere(Call),
}

/// A thread, and what it has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// When it was started.
    started: u64,
    /// The kernel's number.
    thread: u32,
    doing: Doing,
    status: Status,
}

impl Task {
    /// A thread; `None` if it has ended.
    fn of(thread: u32) -> Option<Task> {
        let status = task::status(&syscall::about_thread(thread, "status")?);
        let started = task::started(&syscall::about_thread(thread, "stat")?)?;
        let doing = match task::call(&syscall::about_thread(thread, "syscall")?) {
            Some(call) => doing(call, status.blocked),
            None => Doing::Runs,
        };
        (!status.has_ended).then_some(Task { started, thread, doing, status })
    }
}

fn doing(call: Call, blocked: u64) -> Doing {
    const ENGINE: core::ops::Range<u64> = ARENA..ARENA + layout::HEAP;
    let Call { number, arguments, next, .. } = call;
    let [word, operation, _, time, ..] = arguments;
    if gates::is_outside(next) {
        // Since a region before: what it is in is not all that it has to do there.
        return Doing::Elsewhere(call);
    }
    let what = operation & !(operation::PRIVATE | operation::CLOCK_REALTIME);
    match number {
        // It has not left the region before yet.
        number::FUTEX if ENGINE.contains(&word) => Doing::Runs,
        number::FUTEX | number::CLOCK_NANOSLEEP if blocked & 1 << (SIGNAL - 1) != 0 => Doing::Elsewhere(call),
        number::FUTEX if what == operation::WAIT && time == 0 => Doing::Waits(call),
        // Its time is a deadline, so that it can be asked once more.
        number::FUTEX if what == operation::WAIT_BITSET => Doing::Waits(call),
        number::CLOCK_NANOSLEEP if is_until(arguments) => Doing::Waits(call),
        number::SCHED_YIELD => Doing::Runs,
        _ => match system_call::outside(number, arguments) {
            Outside::Never => Doing::Runs,
            Outside::File { descriptor, .. } if syscall::is_on_disk(descriptor) => Doing::Runs,
            _ => Doing::Elsewhere(call),
        },
    }
}

/// Does a `clock_nanosleep` last until a time, by a clock that regions have?
fn is_until([clock, flags, ..]: [u64; 6]) -> bool {
    matches!(clock, MONOTONIC | REALTIME) && flags & waits::ABSOLUTE != 0
}

/// The other threads, in the order of their start.
fn look() -> Vec<Task> {
    let own = syscall::thread_id();
    let others = syscall::threads().into_iter().filter(|&thread| thread != own);
    let mut tasks: Vec<Task> = others.filter_map(Task::of).collect();
    tasks.sort_by_key(|task| (task.started, task.thread));
    tasks
}

/// Waits until no other thread has anything to do, or for some time in vain. Says what they do then.
///
/// If all of them waited twice, and none was executed in between, then all of them waited at once: nobody was there to wake one.
fn settled() -> Vec<Task> {
    const QUARTERS_MAX: u32 = 4;
    let patience = PATIENCE >> (2 * IN_VAIN.load(Relaxed).min(QUARTERS_MAX));
    let end = syscall::clock(MONOTONIC).unwrap_or(0) + patience;
    let mut before = look();
    loop {
        let now = look();
        if before == now && now.iter().all(|task| task.doing != Doing::Runs) {
            IN_VAIN.store(0, Relaxed);
            return now;
        }
        if syscall::clock(MONOTONIC).is_none_or(|now| now >= end) {
            IN_VAIN.fetch_add(1, Relaxed);
            return now;
        }
        if now.iter().any(|task| task.doing == Doing::Runs) {
            // For a millisecond: nobody wakes it.
            gates::wait_while(&AtomicU32::new(0), 0);
        }
        before = now;
    }
}

/// Waits until no other thread of the process has anything to do, for half a second at most. For callers that have a lock which
/// other threads wait for, and can give it away meanwhile.
pub fn let_others_settle() {
    if syscall::thread_count() > 1 {
        settled();
    }
}

impl Engine {
    /// At the start of a region: takes the threads over that are there.
    pub(in crate::runtime) fn take_over(&mut self, context: &mut Context) {
        if syscall::thread_count() == 1 {
            return;
        }
        let can_ask = words::are_readable();
        if can_ask {
            before::listen();
        }
        for task in settled() {
            let comes = match task.doing {
                Doing::Waits(call) if can_ask => self.take_thread(context, &task, call),
                _ => false,
            };
            if !comes {
                self.threads.left_alone.push(task);
            }
        }
        if self.threads.active {
            // It is not alone any more.
            self.renew_quantum(context);
        }
    }

    /// Threads ran natively beside the region: they did so when it began, or are not where they were, or were executed since, or
    /// there are more.
    pub fn others_ran(&self) -> bool {
        let Threads { left_alone, several, .. } = &self.threads;
        // Whoever has a processor for itself is never switched, so nothing in its status tells that it was executed.
        let ran = |task: &Task| task.doing == Doing::Runs || Task::of(task.thread).as_ref() != Some(task);
        left_alone.iter().any(ran) || !several && syscall::thread_count() > 1 + left_alone.len() as u64
    }

    /// Takes a thread over that waits in `call`. Says whether it has come.
    fn take_thread(&mut self, context: &mut Context, task: &Task, call: Call) -> bool {
        let Some(index) = gates::block_of(task.thread) else { return false };
        if !self.threads.active {
            context.guest_gs_base = syscall::gs_base();
            self.activate(context);
        }
        let number = self.threads.all.len();
        self.add_thread(context, index, task.thread);
        let block = block(index);
        block.call[0].store(call.number, Relaxed);
        block.call[1..].iter().zip(call.arguments).for_each(|(home, value)| home.store(value, Relaxed));
        block.registers[usize::from(RSP)].store(call.stack, Relaxed);
        block.target.store(call.next, Relaxed);
        if !before::ask(index) {
            self.threads.all.pop();
            return false;
        }
        let wait = self.wait_of_call(call);
        let thread = &mut self.threads.all[number];
        (thread.state, thread.cleared) = (State::Waiting(wait), block.cleared.load(Relaxed));
        self.threads.waiting.push(number);
        if let Some(ledger) = &mut self.ledger {
            ledger.meet_thread(number, call.next);
        }
        true
    }

    /// What a thread waits for in a call.
    fn wait_of_call(&self, call: Call) -> Wait {
        let Call { number, arguments, next, .. } = call;
        let [word, operation, value, time, _, sixth] = arguments;
        if number == number::CLOCK_NANOSLEEP {
            let until = words::pair(value).map(|[seconds, rest]| seconds.saturating_mul(SECOND) + rest);
            let deadline = until.and_then(|until| self.threads.clock.when(word, until));
            return Wait { word: 0, expected: 0, private: true, bits: 0, deadline, left: 0, next };
        }
        let what = operation & !(operation::PRIVATE | operation::CLOCK_REALTIME);
        let bits = if what == operation::WAIT { u32::MAX } else { sixth as u32 };
        let deadline = self.deadline(what, operation, time).unwrap_or_default();
        let private = operation & operation::PRIVATE != 0;
        Wait { word, expected: value as u32, private, bits, deadline, left: 0, next }
    }
}
