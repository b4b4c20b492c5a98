//! Runs a region of a program by translation, and counts it.
//!
//! `no_std`: nothing here may call libc while the guest is ours, and nothing here can. The functions of [`region`]
//! are the whole interface; `integrations/c` and `integrations/python` hand them on.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod region;
