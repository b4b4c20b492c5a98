//! A place for one value that is taken out to be used, from any thread, without a lock.
#![expect(unsafe_code, reason = "a box that crosses an atomic pointer")]

use alloc::boxed::Box;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Empty or full.
pub struct Slot<T>(AtomicPtr<T>);

impl<T> Slot<T> {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "it is for statics, and const")]
    pub const fn new() -> Slot<T> {
        Slot(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Takes the value out, if there is one.
    pub fn take(&self) -> Option<Box<T>> {
        let value = self.0.swap(core::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: a pointer in the slot came from `Box::into_raw` in `put`, and the swap has made it ours alone.
        (!value.is_null()).then(|| unsafe { Box::from_raw(value) })
    }

    /// Puts a value in. One that was there is dropped.
    pub fn put(&self, value: Box<T>) {
        let before = self.0.swap(Box::into_raw(value), Ordering::AcqRel);
        if !before.is_null() {
            // SAFETY: as in `take`.
            drop(unsafe { Box::from_raw(before) });
        }
    }
}
