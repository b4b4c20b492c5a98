//! `libinvar_engine.so`: the functions of `invar.h`, and what a library without `std` must bring itself.
//!
//! No logic: every function hands over to `invar-engine`.
#![no_std]
