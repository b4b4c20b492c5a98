//! What the program may do while it is ours: which memory it executes, which system calls need care, which processor
//! it sees. Decisions only, as data; acting on them is the runtime's and the host's.

pub mod maps;
pub mod processor;
pub mod system_call;
pub mod vdso;
