//! The only unsafe code of the fuzzer: memory at fixed addresses, the way in and out of a program, signals.

pub mod memory;
pub mod run;
pub mod signals;
