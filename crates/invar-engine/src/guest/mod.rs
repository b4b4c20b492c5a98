//! What the program may do while it is ours: which memory it executes, which system calls need care, which processor
//! it sees; and what the tables of its Python code say. Decisions only, as data; acting on them is the runtime's and the host's.

pub mod lines;
pub mod maps;
pub mod processor;
pub mod system_call;
pub mod task;
pub mod vdso;
