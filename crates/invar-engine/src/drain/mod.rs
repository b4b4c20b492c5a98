//! The trace becomes events.
//!
//! [`reference`] is the plain way, in strict program order: the oracle of [`generated`], which is the fast one and gives
//! the same counts.

mod code_lines;
pub mod generated;
mod operations;
pub mod reference;
pub mod thunk;
