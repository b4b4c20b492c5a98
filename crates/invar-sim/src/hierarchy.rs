//! The levels of a Machine together: which is asked when, and what is counted.

use invar_core::event::Events;
use invar_core::machine::Machine;

/// The caches of a Machine and what they have counted.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    events: Events,
}

impl Hierarchy {
    /// Empty caches, nothing counted.
    pub fn new(_machine: &Machine) -> Hierarchy {
        Hierarchy { events: Events::default() }
    }

    /// An instruction of `bytes` bytes at `address` is fetched. Counts misses only: instructions are the caller's.
    pub fn fetch(&mut self, _address: u64, _bytes: u32) {}

    /// Data at `address` is read. One access, one miss at most per level, whatever lines it straddles.
    pub fn read(&mut self, _address: u64, _bytes: u32) {
        self.events.0[1] += 1;
    }

    /// Data at `address` is written.
    pub fn write(&mut self, _address: u64, _bytes: u32) {
        self.events.0[2] += 1;
    }

    /// What was counted since [`Hierarchy::take_events`] was last called.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// Empties the caches.
    pub fn clear(&mut self) {}
}
impl Hierarchy {
    /// r
    pub fn range_read(&mut self, _a: u64, _b: u64) {}
    /// w
    pub fn range_write(&mut self, _a: u64, _b: u64) {}
}
