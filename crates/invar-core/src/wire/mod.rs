//! What leaves a process: versioned twins of the model, and the only place that serialises.
//!
//! [`raw`] is what the engine writes inside the measured process: bytes, no serde. [`collect`] makes measurements
//! of it, [`v1`] is the Run as JSON, [`profile`] is a Profile as it is stored, [`parcel`] both as they travel,
//! [`report`] a Report, [`list`] a list of runs, [`history`] what became of benchmarks over time, [`flame`] what a page draws
//! of profiles, [`functions`] who pays in one, and [`explain`] what Invar says of itself as JSON,
//! [`noise`] a Verification, [`csv`] tables, [`config`] is
//! `invar.toml`. [`profile_formats`] are a Profile's for other tools, and others' for us.

#[cfg(feature = "std")]
pub mod collect;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod csv;
#[cfg(feature = "std")]
pub mod explain;
#[cfg(feature = "std")]
pub mod flame;
#[cfg(feature = "std")]
pub mod functions;
#[cfg(feature = "std")]
pub mod history;
#[cfg(feature = "std")]
pub mod list;
#[cfg(feature = "std")]
pub mod noise;
#[cfg(feature = "std")]
pub mod parcel;
#[cfg(feature = "std")]
pub mod profile;
#[cfg(feature = "std")]
pub mod profile_formats;
pub mod raw;
#[cfg(feature = "std")]
pub mod report;
#[cfg(feature = "std")]
pub mod v1;
