//! The only unsafe code of the engine: raw system calls, memory at fixed addresses, the gates between guest and
//! runtime.
//!
//! Everything here is small and says why it holds; everything that decides something is elsewhere.

pub mod allocator;
pub mod before;
pub mod code_map;
pub mod context;
mod copying;
pub mod faults;
pub mod following;
pub mod gate;
pub mod layout;
pub mod memory;
pub mod python;
pub mod slot;
pub mod syscall;
pub mod threads;
pub mod thunks;
pub mod words;

pub use allocator::Allocator;
