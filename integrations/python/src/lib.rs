//! The native half of pytest-invar: the run directory, re-execution, measured regions.
//!
//! What varies between two runs of the same suite (process ids, the run directory's path, counts) lives here and
//! never becomes a Python object of a measured process: a string of another length moves the heap, and with it the
//! counts. Python sees the four words of [`run_directory::State`], and what the benchmarked functions return.
#![deny(missing_docs)]

mod arrangement;
mod byte_code;
mod frames;
mod heap;
mod host;
mod placement;
mod progress;
mod reexecute;
mod region;
mod request;
mod run_directory;
mod steady;

use pyo3::prelude::*;

/// The engine may be entered inside the guest's `malloc`, so nothing here may use that.
#[global_allocator]
static ALLOCATOR: invar_engine::host::Allocator = invar_engine::host::Allocator::new();

/// The module `pytest_invar._native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::arrangement::{arrange, isolated, jobs, layout};
    #[pymodule_export]
    use crate::byte_code::{copy_process, note_byte_code};
    #[pymodule_export]
    use crate::heap::{canonical_heap, fill_heap_for_good, loosen_heap};
    #[pymodule_export]
    use crate::placement::is_placed;
    #[pymodule_export]
    use crate::progress::{collected, failed, finished, process, started, warning};
    #[pymodule_export]
    use crate::reexecute::{environment, is_repeatable, kept, replace_process};
    #[pymodule_export]
    use crate::region::{attach, describe, flush, measure, rehearse, warm_up};
    #[pymodule_export]
    use crate::run_directory::{scratch_directory, state};
}
