//! Names for what a benchmark did: call paths in addresses become a [`Profile`] of functions, files and lines.
//!
//! This happens outside of the measured process, from the files that it had mapped: names from DWARF with inlined functions, from
//! debug files, from symbol tables, from stubs, and from what just-in-time compilers leave behind. It measures nothing.
//!
//! Invariant: whatever can be named, the nodes sum up to [`CallPaths::total`].

mod cache;
mod declaration;
mod demangle;
mod dwarf;
mod elf;
mod file;
mod jit;
mod maps;
mod names;
mod plt;
mod separate;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use invar_core::profile::Profile;
use invar_core::wire::raw::call_paths::CallPaths;

pub use cache::Cache;
pub use jit::JitMap;

/// A profile, and what is to be said about its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The profile.
    pub profile: Profile,
    /// Objects without names, each once for a [`Cache`].
    pub warnings: Vec<String>,
}

/// Names the call paths of a benchmark.
///
/// `jit` is what the process said about code that it made itself.
pub fn named(benchmark: &str, paths: &CallPaths, jit: Option<&JitMap>, cache: &mut Cache) -> Named {
    let mut process = cache::Process::new(&paths.maps, jit, cache);
    let profile = tree::profile(benchmark, paths, &mut process);
    Named { profile, warnings: process.warnings }
}
