//! Where this interpreter keeps its current frame, found out by looking.
//!
//! CPython 3.9 to 3.13 keep it in unlike places. Instead of a table of versions: what the interpreter says of the current
//! frame is looked for in its own structures, and where it is found it is kept. An interpreter in which something is not
//! found is measured without Python functions in its profiles.
#![expect(unsafe_code, reason = "the interpreter's structures, by address")]

use std::ffi::CStr;

use invar_engine::host::python::{self, Format, GENERATORS, Lines, Member};
use invar_engine::host::words::word;
use invar_engine::region::Python;
use pyo3::ffi;
use pyo3::prelude::{Bound, PyAnyMethods, PyDictMethods};
use pyo3::types::PyDict;

/// How far a thread's state, a frame and code are looked through, in bytes: all of them are larger.
const STATE_BYTES: u64 = 512;
const FRAME_BYTES: u64 = 96;
const CODE_BYTES: u64 = 144;
/// The same for a frame's position, which is farther behind, and for the first instruction of code, which is its last member.
const POSITION_BYTES: u64 = 128;
const START_BYTES: u64 = 512;

/// Since 3.11: where a frame object points to its frame.
const FRAME_OF_OBJECT: u64 = 24;

/// Code of every kind, and generators that wait with unlike stacks.
const SAMPLES: &CStr = c"
class Sample:
    def method(self): ...
method = Sample.method.__code__
def one(): yield
def other(a, b):
    print(
        [a, b,
         (yield)])
async def third(): yield
async def fourth(): ...
codes = [method, one.__code__, third.__code__, fourth.__code__]
waiting = [one(), other(1, 2)]
for generator in waiting: next(generator)
";
/// No file has so many lines, so no other number in code is this one.
const LINE: u32 = 0x005a_5a5a;

/// See the module.
pub fn find(py: pyo3::Python<'_>) -> Option<Python> {
    let version = py.version_info();
    let version = (version.major, version.minor);
    let evaluator = symbol(c"_PyEval_EvalFrameDefault")?;
    // SAFETY: the interpreter's lock is held, so there is a thread state.
    let state = unsafe { ffi::PyThreadState_Get() } as u64;
    // SAFETY: as above; borrowed, and null outside of Python functions only.
    let object = unsafe { ffi::PyEval_GetFrame() }.cast::<ffi::PyObject>();
    // SAFETY: a borrowed reference, or null.
    let object = unsafe { Bound::from_borrowed_ptr_or_opt(py, object) }?;
    let code = object.getattr("f_code").ok()?.as_ptr() as u64;
    // Since 3.11 the frame object is made when it is asked for, and points to the frame behind its link to the next.
    let frame = if version >= (3, 11) {
        word(object.as_ptr() as u64 + FRAME_OF_OBJECT)?
    } else {
        object.as_ptr() as u64
    };

    let offsets = |bytes: u64| (8..bytes).step_by(8);
    let direct = offsets(STATE_BYTES).find(|offset| word(state + offset) == Some(frame));
    let through = || {
        offsets(STATE_BYTES).find_map(|offset| {
            let target = word(state + offset).filter(|target| target % 8 == 0 && *target != 0)?;
            let at = [0, 8].into_iter().find(|at| word(target + at) == Some(frame))?;
            Some((offset, at as u32))
        })
    };
    let (offset, through) = match direct {
        Some(offset) => (offset, None),
        None => through().map(|(offset, at)| (offset, Some(at)))?,
    };
    let executed = (0..FRAME_BYTES)
        .step_by(8)
        .find(|offset| word(frame + offset).map(|word| word & !7) == Some(code))?;

    let names = PyDict::new(py);
    py.run(SAMPLES, Some(&names), Some(&names)).ok()?;
    let line = PyDict::new(py);
    line.set_item("co_firstlineno", LINE).ok()?;
    let sample = names.get_item("method").ok()??.call_method("replace", (), Some(&line)).ok()?;
    let sample_at = sample.as_ptr() as u64;
    let place_of = |name: &str| {
        let value = sample.getattr(name).ok()?.as_ptr() as u64;
        offsets(CODE_BYTES).find(|offset| word(sample_at + offset) == Some(value)).map(|offset| offset as u32)
    };
    let name = place_of("co_qualname").or_else(|| place_of("co_name"))?;
    let is_line = |offset: &u64| half(sample_at + offset) == Some(LINE);
    let codes: Vec<(u64, u32)> = items(&names, "codes")?
        .iter()
        .map(|code| Some((code.as_ptr() as u64, code.getattr("co_flags").ok()?.extract().ok()?)))
        .collect::<Option<_>>()?;
    let are_flags = |offset: &u64| codes.iter().all(|(code, flags)| half(code + offset) == Some(*flags));
    let owner = if version >= (3, 11) {
        let waiting: Vec<u64> = items(&names, "waiting")?
            .iter()
            .map(|generator| word(generator.getattr("gi_frame").ok()?.as_ptr() as u64 + FRAME_OF_OBJECT))
            .collect::<Option<_>>()?;
        // Those of the thread: ours, and whoever has called us and is no generator.
        let mut running = Vec::new();
        let mut object = Some(object);
        while let Some(one) = object {
            let flags: u32 = one.getattr("f_code").ok()?.getattr("co_flags").ok()?.extract().ok()?;
            if flags & GENERATORS == 0 {
                running.push(word(one.as_ptr() as u64 + FRAME_OF_OBJECT)?);
            }
            object = one.getattr("f_back").ok().filter(|back| !back.is_none());
        }
        let is_owner = |offset: &u64| {
            let all = |frames: &[u64], owner| frames.iter().all(|frame| byte(frame + offset) == Some(owner));
            all(&running, 0) && all(&waiting, 1)
        };
        let mut owners = (executed + 8..FRAME_BYTES).filter(is_owner);
        owners.next().filter(|_| owners.next().is_none()).map(|offset| offset as u32)
    } else {
        None
    };
    let mut found = Python {
        owner,
        flags: (16..CODE_BYTES).step_by(4).find(are_flags)? as u32,
        evaluator,
        word: state + offset,
        offset: offset as u32,
        through,
        executed: executed as u32,
        code_type: sample.get_type().as_ptr() as u64,
        name,
        file: place_of("co_filename")?,
        line: (16..CODE_BYTES).step_by(4).find(is_line)? as u32,
        // Since 3.12 texts have no second form of their characters.
        text: if version >= (3, 12) { [40, 56] } else { [48, 72] },
        lines: None,
    };
    let table = place_of("co_linetable").or_else(|| place_of("co_lnotab"));
    found.lines = table.and_then(|table| lines(version, table, &items(&names, "waiting")?));
    if !tells_lines(&found, &items(&names, "waiting")?) {
        found.lines = None;
    }
    Some(found)
}

/// How frames and code say which line is executed. `table` is the offset of the table in code.
///
/// Where generators wait is asked for, and looked for in their frames: as an address, which is the same way from their code
/// for all of them, or as a number.
fn lines(version: (u8, u8), table: u32, waiting: &[Bound<'_, pyo3::PyAny>]) -> Option<Lines> {
    // Frame, code, and how many bytes of code are before the instruction.
    let mut places: Vec<(u64, u64, u64)> = Vec::new();
    for generator in waiting {
        let frame = generator.getattr("gi_frame").ok()?;
        let code = generator.getattr("gi_code").ok()?.as_ptr() as u64;
        let before: u64 = frame.getattr("f_lasti").ok()?.extract().ok()?;
        let object = frame.as_ptr() as u64;
        let at = if version >= (3, 11) { word(object + FRAME_OF_OBJECT)? } else { object };
        places.push((at, code, before));
    }
    let mut found: Vec<Lines> = Vec::new();
    if version >= (3, 11) {
        for offset in (8..POSITION_BYTES).step_by(8) {
            let start = |&(frame, code, before): &(u64, u64, u64)| {
                word(frame + offset)?
                    .checked_sub(code)?
                    .checked_sub(before)
                    .filter(|start| *start < START_BYTES)
            };
            let starts: Option<Vec<u64>> = places.iter().map(start).collect();
            if let Some(&[first, ref others @ ..]) = starts.as_deref()
                && others.iter().all(|other| *other == first)
            {
                let position = Member { offset: offset as u32, bytes: 8 };
                let format = Format::Locations;
                found.push(Lines { position, start: first as u32, unit: 1, table, format });
            }
        }
    } else {
        let (unit, format) = if version >= (3, 10) { (2, Format::Ranges) } else { (1, Format::Steps) };
        for offset in (8..POSITION_BYTES).step_by(4) {
            let is_number = |&(frame, _, before): &(u64, u64, u64)| {
                half(frame + offset).is_some_and(|number| u64::from(number) * u64::from(unit) == before)
            };
            if places.iter().all(is_number) {
                let position = Member { offset: offset as u32, bytes: 4 };
                found.push(Lines { position, start: 0, unit, table, format });
            }
        }
    }
    found.pop().filter(|_| found.is_empty())
}

/// Are the lines of code what the interpreter says that they are: where generators wait, and wherever it says so (since 3.10)?
fn tells_lines(found: &Python, waiting: &[Bound<'_, pyo3::PyAny>]) -> bool {
    let are_told = |generator: &Bound<'_, pyo3::PyAny>| {
        let number = |object: &Bound<'_, pyo3::PyAny>, name| object.getattr(name).ok()?.extract::<u32>().ok();
        let (frame, code) = (generator.getattr("gi_frame").ok()?, generator.getattr("gi_code").ok()?);
        let table = python::line_table(found, code.as_ptr() as u64, number(&code, "co_firstlineno")?)?;
        let waits = table.line(number(&frame, "f_lasti")?) == number(&frame, "f_lineno")?;
        let Ok(lines) = code.call_method0("co_lines") else { return Some(waits) };
        let mut lines = lines.try_iter().ok()?;
        let is_told = |(start, _, line): (u32, u32, Option<u32>)| table.line(start) == line.unwrap_or(0);
        Some(waits && lines.all(|line| line.ok().and_then(|line| line.extract().ok()).is_some_and(is_told)))
    };
    waiting.iter().all(|generator| are_told(generator).unwrap_or(false))
}

fn symbol(name: &CStr) -> Option<u64> {
    // SAFETY: a C string; nothing is called.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } as u64;
    (address != 0).then_some(address)
}

/// The items of a list.
fn items<'py>(names: &Bound<'py, PyDict>, name: &str) -> Option<Vec<Bound<'py, pyo3::PyAny>>> {
    names.get_item(name).ok()??.extract().ok()
}

fn half(address: u64) -> Option<u32> {
    word(address).map(|word| word as u32)
}

fn byte(address: u64) -> Option<u8> {
    word(address).map(|word| word as u8)
}
