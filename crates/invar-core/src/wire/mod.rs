//! What leaves a process: versioned twins of the model, and the only place that serialises.
//!
//! [`raw`] is what the engine writes inside the measured process: bytes, no serde.

pub mod raw;
