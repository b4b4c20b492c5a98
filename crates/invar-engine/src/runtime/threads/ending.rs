//! How turns end: with the region, or before, where the guest is let go.
//!
//! Who has the baton meanwhile is the module above's.

use super::*;

impl Engine {
    /// The guest is let go natively, with the other threads if there are any.
    pub(in crate::runtime) fn note_let_go(&mut self) {
        self.diagnostics.insert(Diagnostic::LeftTranslation);
        if self.threads.several {
            self.diagnostics.insert(Diagnostic::OtherThreadsRan);
        }
    }

    /// Nobody went on for so long that everybody was let go: the current thread goes on alone.
    pub(in crate::runtime) fn note_release(&mut self, context: &mut Context) {
        self.collect(context);
        self.threads.active = false;
        context.budget = i64::MAX;
        self.note_let_go();
    }

    /// All other threads go on natively, and then the current one by the code at `exit`, or at `target` if there is none.
    pub(in crate::runtime) fn release(
        &mut self,
        context: &mut Context,
        target: u64,
        exit: Option<u64>,
    ) -> u64 {
        self.collect(context);
        self.save(context, target);
        let block = self.threads.block(self.threads.current());
        if let Some(exit) = exit {
            block.exit.store(exit, Relaxed);
        }
        context.registers[usize::from(R14)] = self.threads.address(self.threads.current());
        self.threads.active = false;
        gates::release_address()
    }

    /// There were turns: for several threads, or for a clock.
    pub fn was_scheduled(&self) -> bool {
        self.threads.was_scheduled
    }

    /// Other threads than the one that has entered the region were measured.
    pub fn measured_threads(&self) -> bool {
        self.threads.several
    }

    /// After a region: nobody of its threads is in the engine any more, or will be.
    /// Says whether somebody is all the same, as everybody was let go.
    pub fn stop_threads(&mut self, context: &mut Context) -> bool {
        if !self.threads.was_scheduled || self.threads.process != syscall::process_id() {
            // A forked child has none.
            self.threads = Threads::new();
            return false;
        }
        let holds = |engine: &Engine| engine.threads.holder == Holder::Thread(0);
        if self.threads.active || context.released.load(SeqCst) != 0 {
            // The end was reached natively, perhaps without the baton.
            if !holds(self) && !gates::wait_for_baton(&context.baton, &context.released) {
                return true;
            }
            let others = (1..layout::THREADS_MAX).filter(|&index| block(index).thread.load(Relaxed) != 0);
            others.for_each(|index| gates::tell(index, RELEASE));
            self.threads.active = false;
        }
        self.note_absent();
        self.wait_for_ended();
        false
    }

    /// A thread that has ended, and not here: a handler has jumped away with it, or it was cancelled where it waited.
    fn note_absent(&mut self) {
        let is_gone = |thread: &Thread| {
            let kernel = block(thread.block).thread.load(Relaxed);
            !matches!(thread.state, State::Ended) && !syscall::thread_exists(kernel)
        };
        if self.threads.all.iter().any(is_gone) {
            self.diagnostics.insert(Diagnostic::LeftTranslation);
        }
    }

    /// Those who have ended are counted by the kernel until they are gone.
    fn wait_for_ended(&mut self) {
        const PATIENCE: u64 = SECOND / 10;
        let end = syscall::clock(MONOTONIC).unwrap_or(0) + PATIENCE;
        for thread in core::mem::take(&mut self.threads.ended) {
            while syscall::thread_exists(thread) && syscall::clock(MONOTONIC).is_some_and(|now| now < end) {
                syscall::yield_processor();
            }
        }
    }
}
