//! Measured regions: a Python callable, called once under the engine.
//!
//! An exception must not cross the engine, so the call inside the region stores what it came to, and the caller raises
//! it afterwards. A pass that raised is not recorded.
#![expect(unsafe_code, reason = "the engine calls back with a bare pointer")]

use std::ffi::c_void;
use std::path::Path;

use invar_core::event::Event;
use invar_engine::host::{python, syscall::thread_count};
use invar_engine::region::{self, DrainKind, EngineError, Outcome, Pass, Setup, Stack};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, sync::PyOnceLock};

use crate::arrangement;
use crate::frames;
use crate::heap;
use crate::placement;
use crate::progress;
use crate::request::Request;
use crate::run_directory;
use crate::steady;

/// Enough calls for the specialising interpreter to have seen every instruction of straight-line code (CPython 3.11
/// starts after eight).
const CALLS_MIN: u64 = 8;
/// Enough for its counters to have backed off where it cannot specialise.
const CALLS_MAX: u64 = 1024;
/// As many calls are made as take about so many instructions: some 20 ms.
const WARM_UP_INSTRUCTIONS: u64 = 1 << 26;
/// A function that asks the kernel may wait there, for a time that instructions do not tell.
const CALLS_OF_A_WAITER: u64 = 16;

static MODE: PyOnceLock<region::Mode> = PyOnceLock::new();

fn failure(error: EngineError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// Makes the engine ready, as the run directory asks, and the process steady.
#[pyfunction]
pub fn attach(py: Python<'_>) -> PyResult<()> {
    let request = Request::read(Path::new(&run_directory::file("")))?;
    let Request { machine, mode, call_paths, python_lines, .. } = &request;
    let (machine, mode, call_paths) = (machine.clone(), *mode, *call_paths);
    // Looked for in any case, so that the heap does not tell whether it was asked for.
    let python = frames::find(py).filter(|_| call_paths);
    if let Some(missing) = missing(python.as_ref(), &request) {
        progress::write_warning(missing);
    }
    let python = python.map(|found| python::Python { lines: found.lines.filter(|_| *python_lines), ..found });
    region::attach(&Setup { machine, mode, drain: DrainKind::Generated, call_paths, python })
        .map_err(failure)?;
    // Each benchmark's process is forked from this one.
    region::build_tables();
    steady::make();
    heap::take_arenas();
    let _ = MODE.set(py, request.mode);
    arrangement::keep(request.arrangement);
    placement::tell();
    Ok(())
}

/// What a profile was to have and cannot, in this interpreter.
fn missing(python: Option<&python::Python>, request: &Request) -> Option<&'static str> {
    match python {
        _ if !request.call_paths => None,
        None => Some(
            "this interpreter does not show where it keeps its current frame, so profiles have native functions only",
        ),
        Some(python) if request.python_lines && python.lines.is_none() => Some(
            "this interpreter does not show where in its code a frame is, so profiles have no lines of Python functions",
        ),
        Some(_) => None,
    }
}

/// Calls `function` until the interpreter has settled; natively, but for the first, of which nothing is counted, and for the second,
/// whose count decides how often. If that one has several threads or reads a clock none is native, as threads that race each other, or
/// what is done until a time is over, leave another heap and other stacks each time. The first says nothing about the others: whatever
/// it makes for them it makes under a lock, and to take a lock is to read a clock from CPython 3.11 on.
///
/// The rule holds no clock: another number of calls would leave another heap. The number is a power of two between 8
/// and 1024, so that a function that varies a little is still called equally often.
#[pyfunction]
pub fn warm_up(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<()> {
    rehearse(py, function, args, kwargs)?;
    let clock_reads = steady::clock_reads();
    let (outcome, _) = call(py, Pass::Cold, function, args, kwargs)?;
    for _ in 2..calls(&outcome, steady::clock_reads() - clock_reads) {
        if outcome.scheduled {
            rehearse(py, function, args, kwargs)?;
        } else {
            function.call(args, Some(kwargs))?;
        }
    }
    Ok(())
}

/// Calls `function` once as a region of which nothing is counted. Says whether it had other threads or a clock: natively it would
/// leave something else each time.
#[pyfunction]
pub fn rehearse(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<bool> {
    let_others_settle(py);
    let mut call = Call::new(function, args, kwargs);
    let scheduled = region::run_uncounted(stack(py), make, (&raw mut call).cast());
    call.result(py)?;
    scheduled.map_err(failure)
}

fn calls(outcome: &Outcome, clock_reads: u64) -> u64 {
    let of = |event: Event| outcome.events.0[event as usize];
    if of(Event::SystemCalls) > clock_reads {
        return CALLS_OF_A_WAITER;
    }
    let affordable = WARM_UP_INSTRUCTIONS / of(Event::Instructions).max(1);
    (affordable.max(1) + 1).next_power_of_two().clamp(CALLS_MIN, CALLS_MAX)
}

/// Calls `function` once as a measured region and returns what it returns. `pass_` is `cold` or `warm`.
#[pyfunction]
pub fn measure(
    py: Python<'_>,
    benchmark: String,
    pass_: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<Py<PyAny>> {
    let pass = match pass_.extract::<String>()?.as_str() {
        "cold" => Pass::Cold,
        "warm" => Pass::Warm,
        other => return Err(PyValueError::new_err(format!("no such pass: {other}"))),
    };
    let (outcome, result) = call(py, pass, function, args, kwargs)?;
    if pass == Pass::Warm {
        progress::measured(&benchmark, outcome.events.0[Event::Instructions as usize]);
    }
    let mode = *MODE.get(py).unwrap_or(&region::Mode::Simulation);
    region::keep_outcome(&benchmark, pass, mode, outcome);
    Ok(result)
}

/// Keeps a JSON object beside the benchmark of that name.
#[pyfunction]
pub fn describe(benchmark: String, json: String) {
    region::describe(&benchmark, &json);
}

/// Writes what was kept into the run directory, so that a crash later on does not lose it.
#[pyfunction]
pub fn flush() -> PyResult<()> {
    region::flush(&run_directory::own_file("raw", "invar").display().to_string()).map_err(failure)
}

/// A call to be made inside the region, and what it came to: a new reference, or null with an exception set.
struct Call {
    function: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
    result: *mut ffi::PyObject,
}

extern "C" fn make(argument: *mut c_void) {
    // SAFETY: `call` passes a `Call` that outlives the region and that nobody else looks at meanwhile.
    let call = unsafe { &mut *argument.cast::<Call>() };
    // SAFETY: the interpreter's lock is held across the region, and the three objects are borrowed from `call`'s
    // arguments. An exception stays set in the thread state, which the region does not touch.
    call.result = unsafe { ffi::PyObject_Call(call.function, call.args, call.kwargs) };
}

impl Call {
    fn new(function: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> Call {
        Call {
            function: function.as_ptr(),
            args: args.as_ptr(),
            kwargs: kwargs.as_ptr(),
            result: std::ptr::null_mut(),
        }
    }

    /// What it came to, once it has been made.
    fn result(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // SAFETY: a new reference, or null with an exception set: what this function takes.
        let result = unsafe { Bound::from_owned_ptr_or_err(py, self.result) };
        Ok(result?.unbind())
    }
}

fn call(
    py: Python<'_>,
    pass: Pass,
    function: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<(Outcome, Py<PyAny>)> {
    let_others_settle(py);
    let mut call = Call::new(function, args, kwargs);
    let outcome = region::run_only(pass, stack(py), make, (&raw mut call).cast());
    let result = call.result(py)?;
    Ok((outcome.map_err(failure)?, result))
}

/// Before a region: other threads that have something to do get the interpreter's lock, until they wait. Otherwise they would ask
/// for it within the region, after a time that differs.
fn let_others_settle(py: Python<'_>) {
    if thread_count() > 1 {
        py.detach(region::let_others_settle);
    }
}

/// CPython 3.14 compares the stack pointer with the bounds of the thread's stack.
fn stack(py: Python<'_>) -> Stack {
    let version = py.version_info();
    if (version.major, version.minor) >= (3, 14) { Stack::Caller } else { Stack::Own }
}
