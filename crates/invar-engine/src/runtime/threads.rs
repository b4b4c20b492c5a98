//! Which of a region's threads executes, and what it waits for: one after the other, in an order that the guest alone decides.
//!
//! From the first thread that a region takes over or starts, or the first time that it asks for the time, until its end. A thread
//! goes on until it waits for another (`futex`), for the outside, or for a time, until it ends or says that others may
//! (`sched_yield`), or until its quantum of instructions is over; then the next in the queue goes on. What is waited for inside is
//! answered here; deadlines are those of [`Clock`]. The gates are in `host::threads`.
//!
//! Threads that were there before and could not be taken over run natively beside all this, as do handlers of signals on threads that have no baton. They wake
//! nobody who waits here, so words that are waited on are looked at again at each hand-over; and while nobody can go on, one thread
//! waits for all those words in the kernel.
//!
//! Invariant: what a thread that does not execute needs to go on natively is in its block.

mod before;
mod ending;
mod waits;
mod watched;

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use invar_core::diagnostic::Diagnostic;

use crate::drain::reference::Size;
use crate::guest::system_call::{self, Outside};
use crate::host::code_map;
use crate::host::context::{Context, register::*};
use crate::host::layout::{self, ARENA};
use crate::host::syscall::{self, number};
use crate::host::threads::{self as gates, Block, RELEASE, WAIT, block};
use crate::host::{gate, memory, words};
use crate::runtime::clock::{self, Clock, MONOTONIC, REALTIME, SECOND};
use crate::runtime::{Engine, TRACE_START};
use crate::translate::{Mode, Site, emit};
pub use before::let_others_settle;
use core::sync::atomic::Ordering::*;
use waits::operation;
use watched::Watched;

/// A thread goes on for so many instructions, and then until the next look at the trace, if others can go on.
const QUANTUM: u64 = 1 << 20;
/// No quantum: nobody else is there.
const NO_QUANTUM: i64 = i64::MAX / 2;
/// Wakes everybody.
const EVERYBODY: usize = i32::MAX as usize;

const EINTR: i64 = -4;
const EAGAIN: i64 = -11;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;
const ETIMEDOUT: i64 = -110;

/// What a thread waits for inside.
#[derive(Debug, Clone, Copy)]
struct Wait {
    /// The word, or zero if it only sleeps.
    word: u64,
    expected: u32,
    private: bool,
    /// Which wakes it hears.
    bits: u32,
    /// Nanoseconds on the region's clock.
    deadline: Option<u64>,
    /// Where the time that is left is to be written if it is interrupted, or zero.
    left: u64,
    /// Where it goes on.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// It has the baton, or could go on if it had.
    Ready,
    Waiting(Wait),
    /// In a call that may wait for the outside, since so many turns.
    Outside(u64),
    Ended,
}

#[derive(Debug, Clone, Copy)]
struct Thread {
    block: usize,
    state: State,
    /// The word that the kernel clears when it has ended, or zero.
    cleared: u64,
    watched: Watched,
}

/// Who has the baton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Thread(usize),
    /// It was put down by this thread.
    Nobody(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Threads {
    /// There are turns.
    active: bool,
    /// There were turns.
    was_scheduled: bool,
    /// There was more than one.
    several: bool,
    /// The process that they are of: not a child of it.
    process: u32,
    all: Vec<Thread>,
    /// Who can go on, in order.
    ready: VecDeque<usize>,
    /// Who waits inside, in order.
    waiting: Vec<usize>,
    holder: Holder,
    /// How often somebody went on.
    turns: u64,
    /// When the quantum is over, by the clock's instructions.
    quantum_end: u64,
    pub clock: Clock,
    /// The instructions of the trace up to here are on the clock.
    walked: u64,
    /// What the budget was when it was last looked at.
    budget: i64,
    /// A thread that ends: the word that the kernel clears, and what it holds.
    ending: Option<(u64, u32)>,
    /// The kernel's numbers of those that have ended.
    ended: Vec<u32>,
    /// The thread that is being started.
    starting: usize,
    /// The host's clock when the baton was handed over or put down the last time.
    since: u64,
    /// The first deadline then: by the host's clock, and by the region's.
    deadline: Option<(u64, u64)>,
    /// The kernel can wait on several words.
    on_words: bool,
    /// Where a thread's state has its thread's name, if there are such states.
    name: Option<u64>,
    /// Threads that were there before the region and were not taken over, as they were then.
    left_alone: Vec<before::Task>,
}

impl Threads {
    /// Nothing but the thread that enters a region.
    pub fn new() -> Threads {
        Threads {
            active: false,
            was_scheduled: false,
            several: false,
            process: 0,
            all: Vec::new(),
            ready: VecDeque::new(),
            waiting: Vec::new(),
            holder: Holder::Thread(0),
            turns: 0,
            quantum_end: 0,
            clock: Clock::default(),
            walked: TRACE_START,
            budget: 0,
            ending: None,
            ended: Vec::new(),
            starting: 0,
            since: 0,
            deadline: None,
            on_words: true,
            name: None,
            left_alone: Vec::new(),
        }
    }

    /// There are turns, and the region has not ended yet.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// There were turns, in the region that is or was the last.
    pub fn was_scheduled(&self) -> bool {
        self.was_scheduled
    }

    fn current(&self) -> usize {
        match self.holder {
            Holder::Thread(thread) => thread,
            Holder::Nobody(thread) => {
                unreachable!("the runtime is entered with the baton, which {thread} put down")
            }
        }
    }

    fn block(&self, thread: usize) -> &'static Block {
        block(self.all[thread].block)
    }

    /// Address of a thread's block.
    fn address(&self, thread: usize) -> u64 {
        gates::address(self.all[thread].block)
    }

    fn alone(&self) -> bool {
        self.all.iter().filter(|thread| !matches!(thread.state, State::Ended)).count() == 1
    }

    fn wait_of(&self, thread: usize) -> Option<Wait> {
        match self.all[thread].state {
            State::Waiting(wait) => Some(wait),
            _ => None,
        }
    }

    /// The thread can go on, with the result of its call.
    fn wake(&mut self, thread: usize, result: i64) {
        let State::Waiting(Wait { next, .. }) = self.all[thread].state else { return };
        let block = self.block(thread);
        block.registers[usize::from(RAX)].store(result as u64, Relaxed);
        returns_to(block, next);
        self.all[thread].state = State::Ready;
        self.waiting.retain(|&one| one != thread);
        self.ready.push_back(thread);
    }

    /// Wakes up to `count` of those who wait on a word and hear one of `bits`; says how many.
    fn wake_on(&mut self, word: u64, count: usize, bits: u32) -> usize {
        let hears = |&&thread: &&usize| match self.all[thread].state {
            State::Waiting(wait) => wait.word == word && wait.bits & bits != 0,
            _ => false,
        };
        let found: Vec<usize> = self.waiting.iter().filter(hears).take(count).copied().collect();
        found.iter().for_each(|&thread| self.wake(thread, 0));
        found.len()
    }

    /// Looks who can go on by now. Says whether the order was the outside's doing.
    fn poll(&mut self) -> bool {
        let mut outside_order = false;
        for thread in 0..self.all.len() {
            // The block of one that has ended may be another's.
            let has_ended = matches!(self.all[thread].state, State::Ended);
            match if has_ended { 0 } else { self.block(thread).returned.swap(0, SeqCst) } {
                0 => {}
                // Without the baton, and waited for by nobody.
                gates::AT_THE_END => self.ready.push_front(thread),
                _ => match self.all[thread].state {
                    State::Outside(turns) => {
                        outside_order |= turns != self.turns;
                        self.all[thread].state = State::Ready;
                        self.ready.push_back(thread);
                    }
                    State::Waiting(_) => self.heard(thread),
                    _ => {}
                },
            }
        }
        let mut late = Vec::new();
        for thread in self.waiting.clone() {
            let State::Waiting(wait) = self.all[thread].state else { continue };
            if self.block(thread).interrupted.swap(0, SeqCst) != 0 {
                self.interrupt(thread, wait);
            } else if wait.word != 0 && words::half(wait.word).is_some_and(|word| word != wait.expected) {
                self.wake(thread, EAGAIN);
            } else if let Some(deadline) = wait.deadline.filter(|&deadline| deadline <= self.clock.elapsed())
            {
                late.push((deadline, thread, if wait.word == 0 { 0 } else { ETIMEDOUT }));
            }
        }
        late.sort_by_key(|&(deadline, ..)| deadline);
        late.into_iter().for_each(|(_, thread, result)| self.wake(thread, result));
        outside_order
    }

    /// A wait for all has returned.
    fn heard(&mut self, thread: usize) {
        let block = self.block(thread);
        match block.result.load(SeqCst) {
            ENOSYS => self.on_words = false,
            EINTR => block.interrupted.store(1, SeqCst),
            index @ 1.. if self.on_words => {
                if let Some([_, word, _]) = block.words.get(index as usize) {
                    // As many as natively, or more: nobody who waits on a word trusts in being woken alone.
                    self.wake_on(word.load(Relaxed), EVERYBODY, u32::MAX);
                }
            }
            _ => {}
        }
    }

    /// A handler has interrupted a wait.
    fn interrupt(&mut self, thread: usize, wait: Wait) {
        if wait.left != 0 {
            let left = wait.deadline.unwrap_or(0).saturating_sub(self.clock.elapsed());
            words::write(wait.left, &[left / SECOND, left % SECOND]);
        }
        self.wake(thread, EINTR);
    }
}

/// What a system call leaves in the registers besides its result.
fn returns_to(block: &Block, next: u64) {
    block.target.store(next, Relaxed);
    block.registers[usize::from(RCX)].store(next, Relaxed);
    block.registers[usize::from(R11)].store(block.flags.load(Relaxed), Relaxed);
}

impl Engine {
    /// There is a second thread, or the time is told: from here on there are turns.
    fn activate(&mut self, context: &mut Context) {
        let (process, on_words) = (syscall::process_id(), self.threads.on_words);
        let left_alone = core::mem::take(&mut self.threads.left_alone);
        self.threads =
            Threads { active: true, was_scheduled: true, process, on_words, left_alone, ..Threads::new() };
        context.released.store(0, SeqCst);
        context.pending = 0;
        self.threads.clock = Clock::start();
        self.threads.walked = context.trace_pointer;
        self.threads.budget = context.budget;
        self.threads.quantum_end = QUANTUM;
        let epoch = (context.baton.load(SeqCst) >> gates::EPOCH_SHIFT).wrapping_add(1) & 0xffff;
        context.baton.store(epoch << gates::EPOCH_SHIFT, SeqCst);
        self.add_thread(context, 0, syscall::thread_id());
        self.watch_first_thread(context);
        if !self.options.scheduled {
            // What was translated so far gives nobody a turn.
            self.options.scheduled = true;
            self.forget_all(context);
        }
        self.renew_quantum(context);
    }

    /// The time is asked for: from here on the region's clock tells it. Says whether it does.
    pub(super) fn has_clock(&mut self, context: &mut Context) -> bool {
        // Once everybody was let go there are no more turns.
        if !self.threads.was_scheduled && words::are_readable() {
            self.activate(context);
        }
        self.threads.active
    }

    /// One more, whose block is free.
    fn add_thread(&mut self, context: &Context, index: usize, kernel: u32) {
        let thread = Thread { block: index, state: State::Ready, cleared: 0, watched: Watched::Unknown(0) };
        let (block, number) = (block(index), self.threads.all.len());
        let exit = ARENA + u64::from(layout::EXITS) + index as u64 * u64::from(layout::EXIT_BYTES);
        self.code.write(exit, &emit::thread_exit(exit, gates::offset(index)));
        block.exit.store(exit, Relaxed);
        block.gs_base.store(context.guest_gs_base, Relaxed);
        block.number.store(number as u64, Relaxed);
        block.epoch.store((context.baton.load(Relaxed) >> gates::EPOCH_SHIFT) as u32, Relaxed);
        block.park.store(WAIT, Relaxed);
        block.returned.store(0, Relaxed);
        block.interrupted.store(0, Relaxed);
        block.thread.store(kernel, Relaxed);
        self.threads.all.push(thread);
        self.threads.several |= number != 0;
    }

    /// Puts what was executed since the last time on the clock.
    pub(super) fn count_instructions(&mut self, context: &Context) {
        match self.options.mode {
            Mode::Counts => {
                let Threads { clock, budget, .. } = &mut self.threads;
                clock.instructions += (*budget - context.budget) as u64;
                *budget = context.budget;
            }
            Mode::Simulation => {
                let walked = ((self.threads.walked - TRACE_START) / 8) as usize;
                let mut rest = memory::trace(context.trace_pointer).get(walked..).unwrap_or_default();
                let mut instructions = 0;
                while let Some(&head) = rest.first() {
                    let Size { slots, instructions: executed } = self.meanings.sizes[head as usize];
                    instructions += u64::from(executed);
                    rest = &rest[1 + usize::from(slots)..];
                }
                self.threads.clock.instructions += instructions;
                self.threads.walked = context.trace_pointer;
            }
        }
    }

    /// The trace begins anew.
    pub(super) fn trace_is_empty(&mut self) {
        self.threads.walked = TRACE_START;
    }

    fn renew_quantum(&mut self, context: &mut Context) {
        self.threads.quantum_end = self.threads.clock.instructions + QUANTUM;
        context.budget = if self.threads.alone() { NO_QUANTUM } else { QUANTUM as i64 };
        self.threads.budget = context.budget;
    }

    /// At a block's head: hands over if the quantum is over and somebody else can go on.
    pub(super) fn end_quantum(&mut self, context: &mut Context, head: u64) -> Option<u64> {
        self.count_instructions(context);
        if self.threads.clock.instructions < self.threads.quantum_end {
            return None;
        }
        self.give_way(context, head)
    }

    /// The current thread, which could go on at `target`, lets others go first.
    fn give_way(&mut self, context: &mut Context, target: u64) -> Option<u64> {
        self.poll();
        let Some(next) = self.threads.ready.pop_front() else {
            self.renew_quantum(context);
            return None;
        };
        let current = self.threads.current();
        self.save(context, target);
        self.threads.ready.push_back(current);
        Some(self.hand_over(context, next))
    }

    fn poll(&mut self) {
        if self.threads.poll() {
            self.diagnostics.insert(Diagnostic::OutsideOrder);
        }
    }

    /// The guest's state goes to the current thread's block.
    fn save(&mut self, context: &Context, target: u64) {
        let block = self.threads.block(self.threads.current());
        for (home, &register) in block.registers.iter().zip(&context.registers) {
            home.store(register, Relaxed);
        }
        block.flags.store(context.flags, Relaxed);
        block.target.store(target, Relaxed);
    }

    /// The current thread goes on.
    fn go_on(&mut self, context: &mut Context) -> u64 {
        self.threads.turns += 1;
        self.restore(context)
    }

    /// The guest's state comes from the current thread's block, and a quantum begins.
    fn restore(&mut self, context: &mut Context) -> u64 {
        self.renew_quantum(context);
        if let Some(ledger) = &mut self.ledger {
            ledger.switch_to(self.threads.current());
        }
        let block = self.threads.block(self.threads.current());
        for (register, home) in context.registers.iter_mut().zip(&block.registers) {
            *register = home.load(Relaxed);
        }
        context.flags = block.flags.load(Relaxed);
        self.go_to(context, block.target.load(Relaxed))
    }

    /// Gives the baton to `next`; the current thread, whose block is ready for it, waits for its turn.
    fn hand_over(&mut self, context: &mut Context, next: usize) -> u64 {
        self.prepare(context, Some(next));
        gates::park_address()
    }

    /// What the gates find in their registers.
    fn prepare(&mut self, context: &mut Context, next: Option<usize>) {
        if self.options.mode == Mode::Simulation {
            self.collect(context);
        }
        let current = self.threads.current();
        context.registers[usize::from(R14)] = self.threads.address(current);
        context.registers[usize::from(R15)] = next.map_or(0, |next| self.threads.address(next));
        self.threads.holder = next.map_or(Holder::Nobody(current), Holder::Thread);
        self.threads.since = syscall::clock(MONOTONIC).unwrap_or(0);
        self.threads.deadline = None;
        context.pending = context.registers[usize::from(R15)];
    }

    /// The current thread is about to leave for the outside or for good: who gets the baton, if anybody can take it.
    fn pass(&mut self, context: &mut Context, gate: u64) -> u64 {
        context.registers[usize::from(R13)] = context.baton.load(SeqCst);
        self.poll();
        let next = self.threads.ready.pop_front();
        // Otherwise somebody who waits inside waits for all.
        let next = next.or_else(|| self.threads.waiting.first().copied());
        self.prepare(context, next);
        gate
    }

    /// The baton could not be put down.
    pub(super) fn rescan(&mut self, context: &mut Context) -> u64 {
        if let Holder::Nobody(thread) = self.threads.holder {
            self.threads.holder = Holder::Thread(thread);
        }
        match self.threads.all[self.threads.current()].state {
            State::Ended => self.pass(context, gates::end_address()),
            State::Outside(_) => self.pass(context, gates::outside_address()),
            _ => self.look(context),
        }
    }

    /// A thread has taken the baton from one that did not take it, which goes on natively for the time being.
    pub(super) fn revoked(&mut self, context: &mut Context, thread: usize) -> u64 {
        if let Holder::Thread(absent) = self.threads.holder {
            self.threads.all[absent].state = State::Outside(self.threads.turns);
            self.threads.waiting.retain(|&one| one != absent);
            self.threads.ready.retain(|&one| one != absent);
        }
        self.diagnostics.insert(Diagnostic::LeftTranslation);
        self.threads.ready.retain(|&one| one != thread);
        self.turn(context, thread)
    }

    /// A thread has the baton.
    pub(super) fn turn(&mut self, context: &mut Context, thread: usize) -> u64 {
        context.pending = 0;
        if let Holder::Nobody(_) = self.threads.holder {
            self.nobody_went_on();
        }
        self.threads.holder = Holder::Thread(thread);
        // Whoever is woken by the end that is answered here stands in the queue, as everybody who is woken.
        let is_its_turn = matches!(self.threads.all[thread].state, State::Ready);
        if let Some((word, value)) = self.threads.ending.take() {
            while words::half(word) == Some(value) {
                gates::wait_until_cleared(word, value);
            }
            self.threads.wake_on(word, EVERYBODY, u32::MAX);
        }
        self.fs_base = syscall::fs_base();
        self.watch_thread(context, thread);
        if !self.threads.active {
            // Everybody was let go: it asks once more, and the kernel answers.
            return self.restore(context);
        }
        if is_its_turn { self.go_on(context) } else { self.look(context) }
    }

    /// The current thread waits, or has just come back: who goes on?
    fn look(&mut self, context: &mut Context) -> u64 {
        let before = context.baton.load(SeqCst);
        self.poll();
        match self.threads.ready.pop_front() {
            Some(next) if next == self.threads.current() => self.go_on(context),
            Some(next) => self.hand_over(context, next),
            None => self.wait_for_all(context, before),
        }
    }

    /// Nobody can go on: the current thread waits for the outside, for a word that somebody changes natively, and for the first
    /// deadline. Nobody has the baton meanwhile.
    fn wait_for_all(&mut self, context: &mut Context, before: u64) -> u64 {
        const SIZE_U32: u64 = 2;
        self.prepare(context, None);
        context.registers[usize::from(R13)] = before;
        let Holder::Nobody(current) = self.threads.holder else { unreachable!("it was put down") };
        let index = self.threads.all[current].block;
        let block = block(index);
        let waits: Vec<Wait> =
            self.threads.waiting.iter().filter_map(|&thread| self.threads.wait_of(thread)).collect();
        let (baton, park) = (&raw const context.baton as u64, &raw const block.park as u64);
        let mut words = vec![
            [(before + 1) & 0xffff_ffff, baton, SIZE_U32 | operation::PRIVATE],
            [u64::from(WAIT), park, SIZE_U32 | operation::PRIVATE],
        ];
        words.extend(waits.iter().filter(|wait| wait.word != 0).map(|wait| {
            let private = if wait.private { operation::PRIVATE } else { 0 };
            [u64::from(wait.expected), wait.word, SIZE_U32 | private]
        }));
        let count = words.len().min(gates::WORDS_MAX);
        for (homes, word) in block.words.iter().zip(&words) {
            homes.iter().zip(word).for_each(|(home, &value)| home.store(value, Relaxed));
        }
        let first = waits.iter().filter_map(|wait| wait.deadline).min();
        let Threads { clock, since, deadline, on_words, .. } = &mut self.threads;
        *deadline = first.map(|first| (*since + first.saturating_sub(clock.elapsed()), first));
        let mut until = deadline.map(|(host, _)| host);
        if !*on_words || count < words.len() {
            // Who wakes natively is not heard: the words are looked at again.
            const MILLISECOND: u64 = 1_000_000;
            until = Some(until.unwrap_or(u64::MAX).min(*since + MILLISECOND));
        }
        let time = until.map_or(0, |until| {
            block.until[0].store(until / SECOND, Relaxed);
            block.until[1].store(until % SECOND, Relaxed);
            block.until.as_ptr() as u64
        });
        let call = if *on_words {
            [number::FUTEX_WAITV, block.words.as_ptr() as u64, count as u64, 0, time, MONOTONIC, 0]
        } else {
            let wait = operation::WAIT_BITSET | operation::PRIVATE;
            [number::FUTEX, baton, wait, (before + 1) & 0xffff_ffff, time, 0, u64::from(u32::MAX)]
        };
        block.call.iter().zip(call).for_each(|(home, value)| home.store(value, Relaxed));
        gates::idle_address()
    }

    /// The current thread waits inside.
    fn wait(&mut self, context: &mut Context, site: Site, wait: Wait) -> u64 {
        // Natively it asks once more.
        self.save(context, site.at);
        let current = self.threads.current();
        self.threads.all[current].state = State::Waiting(wait);
        self.threads.block(current).interrupted.store(0, SeqCst);
        self.threads.waiting.push(current);
        self.look(context)
    }

    /// Answers a call with a result.
    pub(super) fn answer_call(&mut self, context: &mut Context, site: Site, result: i64) -> u64 {
        context.registers[usize::from(RAX)] = result as u64;
        context.registers[usize::from(RCX)] = site.next;
        context.registers[usize::from(R11)] = context.flags;
        self.go_to(context, site.next)
    }

    /// A call of one of several threads; `None` if it is made as any.
    pub(super) fn call_of_several(
        &mut self,
        context: &mut Context,
        site: Site,
        call: u64,
        arguments: [u64; 6],
    ) -> Option<u64> {
        let [first, second, third, fourth, ..] = arguments;
        match call {
            number::FUTEX => return self.futex(context, site, arguments),
            number::SCHED_YIELD => {
                let next = site.next;
                context.registers[usize::from(RAX)] = 0;
                context.registers[usize::from(RCX)] = next;
                context.registers[usize::from(R11)] = context.flags;
                self.count_instructions(context);
                let other = self.give_way(context, next);
                return Some(other.unwrap_or_else(|| self.go_to(context, next)));
            }
            number::EXIT => return Some(self.exit_thread(context, site)),
            number::SET_TID_ADDRESS => {
                let current = self.threads.current();
                self.threads.all[current].cleared = first;
                return None;
            }
            number::NANOSLEEP => return self.sleep(context, site, MONOTONIC, 0, first, second),
            number::CLOCK_NANOSLEEP => return self.sleep(context, site, first, second, third, fourth),
            _ => {}
        }
        let waits = match system_call::outside(call, arguments) {
            Outside::Never => false,
            Outside::Perhaps => true,
            Outside::Path(directory, path) => syscall::is_pipe(directory, path),
            Outside::File { descriptor, writes, bytes } => {
                // What fits into a pipe that has room does not wait.
                const FITS: u64 = 4096;
                !syscall::is_on_disk(descriptor)
                    && !(syscall::is_ready(descriptor, writes) && (!writes || bytes <= FITS))
            }
        };
        waits.then(|| self.go_outside(context, site))
    }

    /// The current thread makes a call that may wait for the outside.
    fn go_outside(&mut self, context: &mut Context, site: Site) -> u64 {
        self.count_instructions(context);
        self.save(context, site.next);
        let current = self.threads.current();
        returns_to(self.threads.block(current), site.next);
        self.threads.all[current].state = State::Outside(self.threads.turns);
        let (call, arguments) = self.system_call;
        let gate = self.pass(context, gates::outside_address());
        if let Holder::Nobody(_) = self.threads.holder
            && let Some(time) = waits::timeout(call, arguments)
        {
            // Whoever waits in vain has waited exactly so long.
            let Threads { since, clock, deadline, .. } = &mut self.threads;
            *deadline = Some((since.saturating_add(time), clock.elapsed().saturating_add(time)));
        }
        gate
    }

    /// The current thread ends.
    fn exit_thread(&mut self, context: &mut Context, site: Site) -> u64 {
        let current = self.threads.current();
        if current == 0 {
            // The thread of the region: the others go on without it.
            return self.leave(context, site.at);
        }
        self.count_instructions(context);
        self.save(context, site.at);
        let Thread { cleared, block: index, .. } = self.threads.all[current];
        let kernel = block(index).thread.load(Relaxed);
        self.threads.ended.push(kernel);
        self.threads.ending = words::half(cleared).filter(|&value| value != 0).map(|value| (cleared, value));
        self.threads.all[current].state = State::Ended;
        self.pass(context, gates::end_address())
    }

    /// The current thread starts one; `None` if there is no room for a block.
    pub(super) fn start_thread(
        &mut self,
        context: &mut Context,
        site: Site,
        arguments: [u64; 6],
    ) -> Option<u64> {
        const CLEAR_CHILD: u64 = 0x20_0000;
        let (call, _) = self.system_call;
        if !words::are_readable() {
            return None;
        }
        let (flags, cleared) = match call {
            number::CLONE3 => (words::word(arguments[0])?, words::word(arguments[0] + 16)?),
            _ => (arguments[0], arguments[3]),
        };
        let index = gates::free_block()?;
        if !self.threads.active {
            self.activate(context);
        }
        let number = self.threads.all.len();
        self.add_thread(context, index, block(index).thread.load(Relaxed));
        self.threads.all[number].cleared = if flags & CLEAR_CHILD != 0 { cleared } else { 0 };
        self.threads.starting = number;
        self.save(context, site.next);
        let parent = self.threads.block(self.threads.current());
        returns_to(parent, site.next);
        let child = block(index);
        for (to, from) in child.registers.iter().zip(&parent.registers) {
            to.store(from.load(Relaxed), Relaxed);
        }
        child.registers[usize::from(RAX)].store(0, Relaxed);
        child.flags.store(context.flags, Relaxed);
        child.target.store(site.next, Relaxed);
        context.registers[usize::from(R14)] = self.threads.address(self.threads.current());
        context.registers[usize::from(R15)] = gates::address(index);
        Some(gates::start_address())
    }

    /// The call that was to start a thread has returned.
    pub(super) fn started(&mut self, context: &mut Context) -> u64 {
        let result =
            self.threads.block(self.threads.current()).registers[usize::from(RAX)].load(Relaxed) as i64;
        let number = self.threads.starting;
        let block = self.threads.block(number);
        if result < 0 {
            block.thread.store(0, Relaxed);
            self.threads.all.pop();
        } else {
            block.thread.store(result as u32, Relaxed);
            self.threads.ready.push_back(number);
            // The trace that was written since tells who has started it.
            self.collect(context);
            if let Some(ledger) = &mut self.ledger {
                ledger.start_thread(number);
            }
            self.presume_watched(number);
        }
        self.count_instructions(context);
        self.restore(context)
    }
}
