//! What a Python interpreter in this process executes, read from its memory.
//!
//! Where things are is found out by the integration, which asks the interpreter; nothing here knows a version. Memory is
//! read by the kernel, so that an address that is none any more is an answer, too.

use alloc::string::String;
use alloc::vec;

use invar_core::wire::raw::call_paths::PythonCode;

use super::words::{read, word};
pub use crate::guest::lines::{Format, LineTable};
pub use crate::translate::watch::Member;
use crate::translate::watch::{Through, Watch, places};

/// Where a Python interpreter keeps its current frame, and what frames and functions look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Python {
    /// Address of the interpreter's loop.
    pub evaluator: u64,
    /// Address of the word that is the current frame, or that points to where it is.
    pub word: u64,
    /// Offset of that word in the thread's state.
    pub offset: u32,
    /// Offset of the frame where the word points to, if it is not there itself.
    pub through: Option<u32>,
    /// Offset in a frame of the code that it executes.
    pub executed: u32,
    /// Offset in a frame of the byte that says who owns it: 0 is the thread. `None` where frames have no such byte.
    pub owner: Option<u32>,
    /// Offset in code of its flags, four bytes.
    pub flags: u32,
    /// Address of the type of code.
    pub code_type: u64,
    /// Offset in code of its qualified name.
    pub name: u32,
    /// Offset in code of its file's name.
    pub file: u32,
    /// Offset in code of the line of its beginning, four bytes.
    pub line: u32,
    /// Offset of the characters in a text of ASCII, and in any other.
    pub text: [u32; 2],
    /// Where lines are told, if they are asked for and it is known.
    pub lines: Option<Lines>,
}

/// How a frame and its code say which line is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Where in a frame its position is. Eight bytes are an instruction's address, four its number.
    pub position: Member,
    /// Offset in code of its first instruction, of which positions are addresses.
    pub start: u32,
    /// Bytes of code by which positions that are numbers count.
    pub unit: u32,
    /// Offset in code of the object with its table of lines.
    pub table: u32,
    /// What the table means.
    pub format: Format,
}

/// Flags of code: `CO_GENERATOR`, `CO_COROUTINE` and `CO_ASYNC_GENERATOR`.
pub const GENERATORS: u32 = 0x2a0;

/// Low bits of a pointer to code that are not the pointer's (CPython 3.14 tags them).
const TAGS: u64 = 7;
/// Names are cut to so many characters.
const TEXT_MAX: u64 = 1 << 12;
/// Offset of the type in every object, and of the length and the state in a text.
const TYPE: u64 = 8;
const LENGTH: u64 = 16;
const STATE: u64 = 32;
/// Offset of the bytes in an object of bytes.
const BYTES: u64 = 32;
/// No table of lines is longer.
const TABLE_MAX: u64 = 1 << 22;

impl Python {
    /// What to look for in the interpreter's code, which is mapped from `start` to `end`.
    pub fn watch(&self, start: u64, end: u64) -> Watch {
        /// No interpreter's loop is longer.
        const LOOP_MAX: u64 = 256 << 10;
        let through = self.through.map(|offset| {
            let mut code = vec![0; LOOP_MAX.min(end.saturating_sub(self.evaluator)) as usize];
            let read = read(self.evaluator, &mut code);
            let places =
                if read { places(&code, self.evaluator, self.offset, offset) } else { Default::default() };
            Through { offset, places }
        });
        let Python { word, offset, executed, owner, lines, .. } = *self;
        let position = lines.map(|lines| lines.position);
        Watch { code: (start, end), word, offset, through, executed, owner, position }
    }
}

/// The current frame and its code.
pub fn current(python: &Python) -> Option<(u64, u64)> {
    let mut at = word(python.word)?;
    if let Some(offset) = python.through {
        at = word(at.wrapping_add(u64::from(offset)))?;
    }
    Some((at, word(at.wrapping_add(u64::from(python.executed)))?))
}

/// Offsets of the links of a thread's state to the one that was made next, which is first in the interpreter's list, and to the one
/// before.
const NEWER: u64 = 0;
const OLDER: u64 = 8;
/// A thread's state is looked through so far for its thread's name, in bytes.
const STATE_BYTES: u64 = 512;
/// More threads are not looked for.
const THREADS_MAX: usize = 1 << 12;

/// Offset in a thread's state of the name of its thread, which in a C library is the `fs` base: by the state of [`Python::word`].
pub fn thread_name(python: &Python, fs_base: u64) -> Option<u64> {
    let state = python.word.wrapping_sub(u64::from(python.offset));
    (16..STATE_BYTES).step_by(8).find(|at| word(state.wrapping_add(*at)) == Some(fs_base))
}

/// The words, as [`Python::word`] is one, of this thread's state and of those that were made after it, each with the name of
/// its thread as [`thread_name`] has found it.
pub fn threads(python: &Python, name: u64) -> impl Iterator<Item = (u64, u64)> {
    let offset = u64::from(python.offset);
    let first = python.word.wrapping_sub(offset);
    let newer = |&state: &u64| {
        let newer = word(state.wrapping_add(NEWER)).filter(|&newer| newer != 0)?;
        (word(newer.wrapping_add(OLDER)) == Some(state)).then_some(newer)
    };
    let states = core::iter::successors(Some(first), newer).take(THREADS_MAX);
    states.filter_map(move |state| Some((state.wrapping_add(offset), word(state.wrapping_add(name))?)))
}

/// The code that a frame executes, if that is code.
pub fn executed(python: &Python, frame: u64) -> Option<u64> {
    let code = word(frame.checked_add(u64::from(python.executed))?)?;
    (word((code & !TAGS).checked_add(TYPE)?)? == python.code_type).then_some(code)
}

/// The function whose code is at an address; `None` if there is none.
pub fn named(python: &Python, code: u64) -> Option<PythonCode> {
    let code = code & !TAGS;
    if word(code.wrapping_add(TYPE))? != python.code_type {
        return None;
    }
    let text =
        |offset: u32| word(code.wrapping_add(u64::from(offset))).and_then(|object| text(python, object));
    let (name, file) = (text(python.name)?, text(python.file)?);
    // Between C and Python there are frames of code that nobody has written.
    if name.starts_with("<interpreter ") || name == file {
        return None;
    }
    let mut line = [0; 4];
    let line =
        if read(code.wrapping_add(u64::from(python.line)), &mut line) { u32::from_le_bytes(line) } else { 0 };
    Some(PythonCode { name, file, line })
}

/// Is the code at an address that of a generator, a coroutine or an asynchronous generator?
pub fn is_generator(python: &Python, code: u64) -> bool {
    let mut flags = [0; 4];
    read((code & !TAGS).wrapping_add(u64::from(python.flags)), &mut flags)
        && u32::from_le_bytes(flags) & GENERATORS != 0
}

/// The lines of the code at an address that begins at line `first`: what its positions are farther by than its first
/// instruction's, how many bytes of code they count by, and the table. `None` if they are not asked for, or not there.
pub fn lines(python: &Python, code: u64, first: u32) -> Option<(u64, u32, LineTable)> {
    let Lines { position, start, unit, .. } = python.lines?;
    let table = line_table(python, code, first)?;
    Some(match position.bytes {
        8 => ((code & !TAGS).wrapping_add(u64::from(start)), 1, table),
        _ => (0, unit, table),
    })
}

/// The table of lines of the code at an address that begins at line `first`.
pub fn line_table(python: &Python, code: u64, first: u32) -> Option<LineTable> {
    let Lines { table, format, .. } = python.lines?;
    let object = word((code & !TAGS).wrapping_add(u64::from(table)))?;
    let length = word(object.wrapping_add(LENGTH)).filter(|&length| length <= TABLE_MAX)?;
    let mut bytes = vec![0; length as usize];
    read(object.wrapping_add(BYTES), &mut bytes).then_some(())?;
    LineTable::read(format, &bytes, first)
}

fn text(python: &Python, object: u64) -> Option<String> {
    let length = word(object.wrapping_add(LENGTH))?.min(TEXT_MAX);
    let [ascii, other] = python.text.map(u64::from);
    let mut state = [0; 4];
    read(object.wrapping_add(STATE), &mut state).then_some(())?;
    let state = u32::from_le_bytes(state);
    let (kind, is_ascii) = (u64::from(state >> 2 & 7), state >> 6 & 1 != 0);
    let (start, width) = if is_ascii { (ascii, 1) } else { (other, kind) };
    if !matches!(width, 1 | 2 | 4) {
        return None;
    }
    let mut bytes = vec![0; (length * width) as usize];
    read(object.wrapping_add(start), &mut bytes).then_some(())?;
    let character = |unit: &[u8]| {
        let number = unit.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
        char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    Some(bytes.chunks(width as usize).map(character).collect())
}
