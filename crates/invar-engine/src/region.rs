//! The interface of the engine: attach, run a region, keep and flush what was counted.
//!
//! One engine a process. Every function may be called from native code at any time; a call from within a region is
//! refused, and what it was to measure runs as part of the outer region. So is a call from another thread while a region
//! runs: what it was to measure runs natively there.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use invar_core::diagnostic::{Diagnostic, Diagnostics};
use invar_core::event::Events;
use invar_core::wire::raw::taken_exits::TakenExits;
use invar_core::wire::raw::{self, Record};
pub use invar_core::wire::raw::{Mode, Pass};

pub use crate::host::python::Python;
use crate::host::slot::Slot;
use crate::host::syscall::{Access, File, process_id};
use crate::host::{gate, memory};
use crate::runtime::Engine;
pub use crate::runtime::{DrainKind, Setup, let_others_settle};
pub use crate::translate::build_tables;

/// On which stack the callback runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// One at a fixed address.
    Own,
    /// The caller's, its top rounded down to 4 KiB.
    Caller,
}

/// What one pass over a region yielded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was counted.
    pub events: Events,
    /// What went wrong.
    pub diagnostics: Diagnostics,
    /// It had other threads than the one that has entered it, from before or started by it, or a clock of its own: natively it would
    /// take another course each time.
    pub scheduled: bool,
    /// The same by call path, of a warm pass, if that was asked for.
    pub taken_exits: Option<TakenExits>,
}

/// Why the engine did not do as asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// This host cannot be used.
    #[error("this host cannot run the engine: {why}")]
    Unsupported {
        /// What it lacks.
        why: &'static str,
    },
    /// [`attach`] comes first.
    #[error("the engine is not attached")]
    NotAttached,
    /// A region inside a region.
    #[error("a region is running already; the inner one was called natively and not counted")]
    Nested,
    /// A file could not be written.
    #[error("cannot write {path}: system error {errno}")]
    Io {
        /// Which.
        path: String,
        /// The kernel's answer.
        errno: i32,
    },
}

/// The engine while no region runs.
static ENGINE: Slot<Attached> = Slot::new();
/// The process whose region runs; 0 if none. A child that was forked from within a region sees its parent's.
static RUNNING: AtomicU32 = AtomicU32::new(0);
/// The process that has mapped the arena, or one that was forked from it: 0 or 1.
static MAPPED: AtomicU32 = AtomicU32::new(0);

/// The process in which a thread of an earlier region may execute the engine for ever; 0 if there is none.
static LOST: AtomicU32 = AtomicU32::new(0);

struct Attached {
    engine: Engine,
    /// Records that were not flushed yet.
    kept: Vec<u8>,
    /// The process that the last `Process` record names.
    announced: u32,
}

/// Makes the engine ready in this process; again, to change what it is to do.
pub fn attach(setup: &Setup) -> Result<(), EngineError> {
    refuse_nested()?;
    if let Some(attached) = ENGINE.take() {
        if attached.engine.setup() == setup {
            ENGINE.put(attached);
            return Ok(());
        }
        let Attached { engine, kept, announced } = *attached;
        let engine = engine.replaced_by(setup.clone());
        ENGINE.put(Box::new(Attached { engine, kept, announced }));
        return Ok(());
    }
    if LOST.load(Ordering::Acquire) == process_id() {
        return Err(EngineError::Unsupported {
            why: "a thread of an earlier region has not left the engine",
        });
    }
    if MAPPED.swap(1, Ordering::AcqRel) == 0 {
        memory::map_arena().map_err(|errno| match errno {
            17 => EngineError::Unsupported { why: "the addresses that the engine needs are taken" },
            12 => EngineError::Unsupported { why: "address space is limited (ulimit -v)" },
            _ => EngineError::Unsupported { why: "the kernel refuses writable and executable memory" },
        })?;
    }
    let code = memory::code_memory();
    let engine = Engine::new(setup.clone(), code);
    ENGINE.put(Box::new(Attached { engine, kept: Vec::new(), announced: 0 }));
    RUNNING.store(0, Ordering::Release);
    Ok(())
}

/// Within a region everything but a region's callback is refused.
fn refuse_nested() -> Result<(), EngineError> {
    if RUNNING.load(Ordering::Acquire) == process_id() { Err(EngineError::Nested) } else { Ok(()) }
}

/// Calls `function(argument)` as one measured region named `benchmark`, and keeps the counts for [`flush`].
///
/// The callback must return normally. On an error it has been called natively.
pub fn run(
    benchmark: &str,
    pass: Pass,
    stack: Stack,
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<Outcome, EngineError> {
    let outcome = run_only(pass, stack, function, argument)?;
    keep_outcome(benchmark, pass, mode().unwrap_or(Mode::Simulation), outcome.clone());
    Ok(outcome)
}

/// Keeps what a pass yielded for [`flush`]. Does nothing where [`keep`] does nothing.
pub fn keep_outcome(benchmark: &str, pass: Pass, mode: Mode, outcome: Outcome) {
    let Outcome { events, diagnostics, taken_exits, .. } = outcome;
    keep(&Record::Pass { benchmark: benchmark.to_string(), pass, mode, events, diagnostics });
    if let Some(taken) = taken_exits {
        keep(&Record::TakenExits { benchmark: benchmark.to_string(), taken });
    }
}

/// As [`run`], and keeps nothing: for callers that decide afterwards whether the pass counts.
pub fn run_only(
    pass: Pass,
    stack: Stack,
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<Outcome, EngineError> {
    execute(Some(pass), stack, function, argument)
}

/// Calls `function(argument)` as a region of which nothing is counted, which takes a fraction of the time: for its threads to
/// take turns and its clock to go with instructions, or to know whether it has either. Says that.
pub fn run_uncounted(
    stack: Stack,
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<bool, EngineError> {
    Ok(execute(None, stack, function, argument)?.scheduled)
}

/// One region; without a pass nothing of it is counted.
fn execute(
    pass: Option<Pass>,
    stack: Stack,
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<Outcome, EngineError> {
    let Some(mut attached) = ENGINE.take() else {
        // Asked before: the region of another thread may be over when the callback returns.
        let running = refuse_nested();
        function(argument);
        running?;
        return Err(EngineError::NotAttached);
    };
    RUNNING.store(process_id(), Ordering::Release);
    let engine = &mut attached.engine;
    let context = memory::context();
    let entry = engine.begin(context, function as *const () as u64, pass != Some(Pass::Warm));
    if pass.is_none() {
        engine.count_nothing();
    }
    gate::run(context, engine, entry, argument as u64, stack);
    let (scheduled, several, others_ran) =
        (engine.was_scheduled(), engine.measured_threads(), engine.others_ran());
    if engine.stop_threads(context) {
        // A thread of the region may execute it for ever, so it is never used again.
        let diagnostics = engine.give_up(context);
        LOST.store(process_id(), Ordering::Release);
        RUNNING.store(0, Ordering::Release);
        core::mem::forget(attached);
        return Ok(Outcome { events: Events::default(), diagnostics, scheduled, taken_exits: None });
    }
    if context.in_runtime != 0 {
        engine.abandon(context);
    }
    // Those that were taken over or started were measured, unless they were let go.
    if others_ran || several && context.released.load(Ordering::Relaxed) != 0 {
        engine.diagnose(Diagnostic::OtherThreadsRan);
    }
    let (events, diagnostics) = engine.end(context);
    let taken_exits = engine.taken_exits();
    RUNNING.store(0, Ordering::Release);
    ENGINE.put(attached);
    Ok(Outcome { events, diagnostics, scheduled, taken_exits })
}

fn mode() -> Option<Mode> {
    let attached = ENGINE.take()?;
    let mode = attached.engine.setup().mode;
    ENGINE.put(attached);
    Some(mode)
}

/// Keeps a record for [`flush`]. Does nothing where the engine is not attached.
pub fn keep(record: &Record) {
    let Some(mut attached) = ENGINE.take() else { return };
    let pid = process_id();
    if attached.announced != pid {
        if attached.announced != 0 {
            // A forked child: the parent flushes its own.
            attached.kept.clear();
        }
        attached.announced = pid;
        let process = Record::Process {
            pid,
            engine: env!("CARGO_PKG_VERSION").to_string(),
            machine: attached.engine.setup().machine.text(),
        };
        process.write(&mut attached.kept);
    }
    record.write(&mut attached.kept);
    ENGINE.put(attached);
}

/// Keeps a JSON object beside the benchmark of that name. Does nothing where [`keep`] does nothing.
pub fn describe(benchmark: &str, json: &str) {
    keep(&Record::Describe { benchmark: benchmark.to_string(), json: json.to_string() });
}

/// Appends what was kept since the last flush to the file at `path`.
pub fn flush(path: &str) -> Result<(), EngineError> {
    refuse_nested()?;
    let Some(mut attached) = ENGINE.take() else { return Err(EngineError::NotAttached) };
    let mut terminated = path.as_bytes().to_vec();
    terminated.push(0);
    let written = File::open(&terminated, Access::Append).and_then(|mut file| {
        if file.size()? == 0 {
            file.write_all(&raw::header())?;
        }
        file.write_all(&attached.kept)
    });
    if written.is_ok() {
        attached.kept.clear();
    }
    ENGINE.put(attached);
    written.map_err(|errno| EngineError::Io { path: path.to_string(), errno })
}
