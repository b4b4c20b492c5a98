//! Runs a region of a program by translation, and counts it.
//!
//! A same-ISA dynamic binary translator for Linux x86-64. [`region`] is the whole interface; `integrations/c` and
//! `integrations/python` hand it on. The way of an instruction: [`guest::maps`] says that it may be executed,
//! [`translate`] copies it into the code cache with a trace of its memory operands, [`runtime`] links the pieces and
//! answers what only the runtime can (system calls, `cpuid`), [`drain`] turns the trace into events, [`account`] charges them to
//! call paths.
//!
//! What always holds: `no_std`, so that nothing here can call libc while the guest is ours; no floating point, so
//! that the guest's rounding mode is never touched; unsafe code in [`host`] alone.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod account;
pub mod drain;
pub mod guest;
pub mod host;
pub mod region;
pub mod runtime;
pub mod translate;
