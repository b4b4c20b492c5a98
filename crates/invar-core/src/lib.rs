//! Words and pure sums of Invar.
//!
//! Everything here is data and functions of data: no I/O, no clock, no threads, no unsafe, and no output whose
//! order depends on a hash. Without the feature `std` only the vocabulary that the engine shares is built
//! ([`event`], [`machine`], [`diagnostic`], [`wire::raw`]); the rest of the house uses `std`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod acknowledge;
#[cfg(feature = "std")]
pub mod benchmark;
#[cfg(feature = "std")]
pub mod compare;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod cost;
pub mod diagnostic;
#[cfg(feature = "std")]
pub mod environment;
pub mod event;
#[cfg(feature = "std")]
pub mod history;
#[cfg(feature = "std")]
pub mod ignore;
#[cfg(feature = "std")]
pub mod instrument;
#[cfg(feature = "std")]
pub mod layouts;
pub mod machine;
#[cfg(feature = "std")]
pub mod measurement;
#[cfg(feature = "std")]
pub mod naming;
#[cfg(feature = "std")]
pub mod nearest;
#[cfg(feature = "std")]
pub mod noise;
#[cfg(feature = "std")]
pub mod number;
#[cfg(feature = "std")]
pub mod profile;
#[cfg(feature = "std")]
pub mod report;
#[cfg(feature = "std")]
pub mod run;
#[cfg(feature = "std")]
pub mod shard;
#[cfg(feature = "std")]
pub mod source;
#[cfg(all(test, feature = "std"))]
mod testing;
pub mod wire;
