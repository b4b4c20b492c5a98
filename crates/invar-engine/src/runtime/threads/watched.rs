//! Which Python frame each thread of a region is in: where its state says so.
//!
//! An interpreter has a state for each of its threads. Which stores change its frame is `translate::watch`'s business; here is whose.

use super::*;
use crate::host::context::at;
use crate::host::python;

/// The word of a thread's state that says which Python frame it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// It is not known, after so many turns of looking.
    Unknown(u8),
    /// It is taken for this: of the newest state when the thread was started, which says later whose it is.
    Presumed(u64),
    /// It is this.
    Known(u64),
}

/// Threads that have no state of Python's after so many turns are taken for those of libraries.
const LOOKS_MAX: u8 = 32;

impl Engine {
    /// The first of several threads is the one that was looked at all the time.
    pub(super) fn watch_first_thread(&mut self, context: &mut Context) {
        if let (Some(python), Some(_)) = (&self.setup.python, &self.watch) {
            self.threads.name = python::thread_name(python, self.fs_base);
            self.threads.all[0].watched = Watched::Known(python.word);
        }
        self.watch_thread(context, 0);
    }

    /// A thread was started: an interpreter makes a thread's state and then the thread.
    pub(super) fn presume_watched(&mut self, thread: usize) {
        if let (Some(python), Some(name)) = (&self.setup.python, self.threads.name)
            && let Some((newest, _)) = python::threads(python, name).last()
        {
            self.threads.all[thread].watched = Watched::Presumed(newest);
        }
    }

    /// Lets generated code look at the stores that change the Python frame of a thread, which has the baton.
    pub(super) fn watch_thread(&mut self, context: &mut Context, thread: usize) {
        let watched = self.threads.all[thread].watched;
        if let (Some(python), Some(name)) = (&self.setup.python, self.threads.name)
            && !matches!(watched, Watched::Known(_) | Watched::Unknown(LOOKS_MAX))
        {
            // Before it has its own name a state may have that of the thread which has made it, and is older.
            let own = python::threads(python, name).find(|&(_, name)| name == self.fs_base);
            self.threads.all[thread].watched = match (own, watched) {
                (Some((word, _)), _) => Watched::Known(word),
                (None, Watched::Unknown(looks)) => Watched::Unknown(looks + 1),
                (None, presumed) => presumed,
            };
        }
        context.watch_word = match self.threads.all[thread].watched {
            Watched::Known(word) | Watched::Presumed(word) => word,
            Watched::Unknown(_) => ARENA + u64::from(at::NOWHERE),
        };
    }
}
