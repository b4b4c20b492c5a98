//! Words and pure sums of Invar.
//!
//! Everything here is data and functions of data: no I/O, no clock, no threads, no unsafe, and no output whose
//! order depends on a hash. Without the feature `std` only the vocabulary that the engine shares is built
//! ([`event`], [`machine`], [`diagnostic`], [`wire::raw`]); the rest of the house uses `std`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod diagnostic;
pub mod event;
pub mod machine;
pub mod wire;
