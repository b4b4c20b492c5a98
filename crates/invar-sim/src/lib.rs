//! The simulated cache hierarchy: accesses in, event counts out.
//!
//! Knows nothing of programs, traces or time. `no_std`, so that the engine can hold it inside the measured process.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cache;
pub mod hierarchy;

pub use cache::Settling;
pub use hierarchy::{Hierarchy, Paid};
