//! The trace becomes events.
//!
//! [`reference`] is the plain way, in strict program order: the oracle of any faster one.

pub mod reference;
