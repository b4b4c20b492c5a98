//! How much memory uploads hold that are under way, all together, so that no number of them takes all there is.
//!
//! An upload takes its share as it arrives and is unpacked, and gives it back when it is answered. One that finds nothing
//! left is turned away and can be sent again; nobody waits, since those who wait for each other wait for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What uploads hold.
#[derive(Debug, Clone)]
pub struct Memory {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// What one upload holds. Given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Memory,
    bytes: usize,
}

/// There is no more at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server holds as much of uploads as it may")]
pub struct NoneLeft;

impl Memory {
    /// So many bytes.
    pub fn of(most: usize) -> Memory {
        Memory { taken: Arc::default(), most }
    }

    /// What is held now, in bytes.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// What may be held, in bytes.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Nothing yet.
    pub fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// So many bytes more.
    pub fn take(&mut self, bytes: usize) -> Result<(), NoneLeft> {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.memory.most);
        let taken = self.memory.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map_err(|_| NoneLeft)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let memory = Memory::of(100);
        let (mut one, mut other) = (memory.share(), memory.share());
        one.take(60).unwrap();
        assert_eq!(other.take(50), Err(NoneLeft));
        other.take(40).unwrap();
        assert_eq!((memory.taken(), one.take(1)), (100, Err(NoneLeft)));
        drop(other);
        assert_eq!(memory.taken(), 60);
        drop(one);
        assert_eq!(memory.taken(), 0);
    }
}
