//! The raw file: what the engine leaves behind in a measured process.
//!
//! Written without serde, so that the engine can write it without an allocator of the guest. Little-endian.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `INVRAW` and format version, a `u16` |
//! | then records: 4 | kind, a `u32` |
//! | 4 | length of the payload in bytes, a `u32` |
//! | length | payload |
//!
//! Strings in payloads are a `u32` length and UTF-8. A record whose kind is unknown is passed over, so that
//! an older reader reads a newer file. A record cut short at the end of a file (a killed process) ends the file.

pub mod call_paths;
pub mod taken_exits;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::diagnostic::Diagnostics;
use crate::event::{Event, Events};
use taken_exits::TakenExits;

/// The format this build writes, and the newest it reads.
pub const VERSION: u16 = 1;
const MAGIC: &[u8; 6] = b"INVRAW";

/// The first bytes of a raw file.
pub fn header() -> [u8; 8] {
    let [low, high] = VERSION.to_le_bytes();
    let [a, b, c, d, e, f] = *MAGIC;
    [a, b, c, d, e, f, low, high]
}

/// Which pass over a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// The first simulated one: translates, and starts with empty caches.
    Cold = 0,
    /// The second: the result.
    Warm = 1,
}

/// What the engine did with a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Instructions, branches, accesses and system calls; no caches.
    Counts = 0,
    /// Caches too.
    Simulation = 1,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Kind 1. Which process wrote the file.
    Process {
        /// Its process id.
        pid: u32,
        /// Version of the engine.
        engine: String,
        /// [`crate::machine::Machine::text`].
        machine: String,
    },
    /// Kind 2. One measured pass.
    Pass {
        /// The benchmark's full name.
        benchmark: String,
        /// Cold or warm.
        pass: Pass,
        /// Counts or simulation.
        mode: Mode,
        /// What was counted.
        events: Events,
        /// What went wrong.
        diagnostics: Diagnostics,
    },
    /// Kind 3. What the integration says about a benchmark, as JSON text.
    Describe {
        /// The benchmark's full name.
        benchmark: String,
        /// A JSON object.
        json: String,
    },
    /// Kind 5. What the pass before did by call path. (Kind 4 had it by instruction.)
    TakenExits {
        /// The benchmark's full name.
        benchmark: String,
        /// Its exits, by call.
        taken: TakenExits,
    },
}

/// Why bytes are not a raw file this build can read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadRawError {
    /// Some other file.
    #[error("not a raw file: it does not start with `INVRAW`")]
    NotRaw,
    /// Written by a newer engine.
    #[error("raw format {found} is newer than {VERSION}, the newest this build reads")]
    TooNew {
        /// The file's version.
        found: u16,
    },
    /// A record contradicts itself.
    #[error("record at byte {at} cannot be read: {why}")]
    Record {
        /// Offset of the record.
        at: usize,
        /// What is wrong.
        why: &'static str,
    },
}

impl Record {
    /// Appends the record to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        let kind: u32 = match self {
            Record::Process { pid, engine, machine } => {
                out.extend_from_slice(&pid.to_le_bytes());
                write_string(out, engine);
                write_string(out, machine);
                1
            }
            Record::Pass { benchmark, pass, mode, events, diagnostics } => {
                write_string(out, benchmark);
                out.push(*pass as u8);
                out.push(*mode as u8);
                out.extend_from_slice(&diagnostics.0.to_le_bytes());
                out.extend_from_slice(&(Event::COUNT as u32).to_le_bytes());
                for count in events.0 {
                    out.extend_from_slice(&count.to_le_bytes());
                }
                2
            }
            Record::Describe { benchmark, json } => {
                write_string(out, benchmark);
                write_string(out, json);
                3
            }
            Record::TakenExits { benchmark, taken } => {
                write_string(out, benchmark);
                taken.write(out);
                5
            }
        };
        let length = (out.len() - start - 8) as u32;
        out[start..start + 4].copy_from_slice(&kind.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    }
}

/// What a file holds up to where it can be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its whole records, in order, up to the first that cannot be read.
    pub records: Vec<Record>,
    /// Why that one cannot be read; `None` if every record can, or the last is merely cut short.
    pub damage: Option<ReadRawError>,
}

/// Reads every whole record of a file.
pub fn read(bytes: &[u8]) -> Result<Vec<Record>, ReadRawError> {
    let Prefix { records, damage } = read_prefix(bytes)?;
    damage.map_or(Ok(records), Err)
}

/// As [`read`], but a record that cannot be read does not take along those before it.
///
/// A write that met a full disk leaves half a record in the middle of a file.
pub fn read_prefix(bytes: &[u8]) -> Result<Prefix, ReadRawError> {
    let Some((magic, rest)) = bytes.split_at_checked(8) else { return Err(ReadRawError::NotRaw) };
    if magic[..6] != *MAGIC {
        return Err(ReadRawError::NotRaw);
    }
    let found = u16::from_le_bytes([magic[6], magic[7]]);
    if found > VERSION {
        return Err(ReadRawError::TooNew { found });
    }
    let mut records = Vec::new();
    let mut cursor = Cursor { bytes: rest };
    loop {
        let at = bytes.len() - cursor.bytes.len();
        let (Some(kind), Some(length)) = (cursor.u32(), cursor.u32()) else { break };
        let Some(payload) = cursor.take(length as usize) else { break };
        let mut payload = Cursor { bytes: payload };
        let record = match kind {
            1 => read_process(&mut payload),
            2 => read_pass(&mut payload),
            3 => read_describe(&mut payload),
            5 => read_taken_exits(&mut payload),
            _ => continue,
        };
        let Some(record) = record else {
            let why = "its payload does not fit its kind";
            return Ok(Prefix { records, damage: Some(ReadRawError::Record { at, why }) });
        };
        records.push(record);
    }
    Ok(Prefix { records, damage: None })
}

fn read_process(payload: &mut Cursor<'_>) -> Option<Record> {
    Some(Record::Process { pid: payload.u32()?, engine: payload.string()?, machine: payload.string()? })
}

fn read_pass(payload: &mut Cursor<'_>) -> Option<Record> {
    let benchmark = payload.string()?;
    let pass = match payload.u8()? {
        0 => Pass::Cold,
        1 => Pass::Warm,
        _ => return None,
    };
    let mode = match payload.u8()? {
        0 => Mode::Counts,
        1 => Mode::Simulation,
        _ => return None,
    };
    let diagnostics = Diagnostics(payload.u64()?);
    let count = payload.u32()? as usize;
    let mut events = Events::default();
    for index in 0..count {
        let value = payload.u64()?;
        // An event this build does not know is passed over.
        if let Some(slot) = events.0.get_mut(index) {
            *slot = value;
        }
    }
    Some(Record::Pass { benchmark, pass, mode, events, diagnostics })
}

fn read_describe(payload: &mut Cursor<'_>) -> Option<Record> {
    Some(Record::Describe { benchmark: payload.string()?, json: payload.string()? })
}

fn read_taken_exits(payload: &mut Cursor<'_>) -> Option<Record> {
    Some(Record::TakenExits { benchmark: payload.string()?, taken: TakenExits::read(payload)? })
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(in crate::wire) struct Cursor<'a> {
    pub(in crate::wire) bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(in crate::wire) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(count)?;
        self.bytes = tail;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        core::str::from_utf8(self.take(length)?).ok().map(|text| text.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn records() -> Vec<Record> {
        let mut events = Events::default();
        events.add(Event::Instructions, 1 << 40);
        events.add(Event::SystemCalls, 3);
        vec![
            Record::Process { pid: 7, engine: "0.1.0".into(), machine: "reference-1".into() },
            Record::Pass {
                benchmark: "tests/test_fibo.py::test_a[5]".into(),
                pass: Pass::Warm,
                mode: Mode::Simulation,
                events,
                diagnostics: Diagnostics(5),
            },
            Record::Describe { benchmark: "a".into(), json: "{}".into() },
            Record::TakenExits { benchmark: "a".into(), taken: taken_exits::tests::taken_exits() },
        ]
    }

    fn file() -> Vec<u8> {
        let mut bytes = header().to_vec();
        for record in records() {
            record.write(&mut bytes);
        }
        bytes
    }

    #[test]
    fn a_file_reads_back() {
        assert_eq!(read(&file()), Ok(records()));
    }

    #[test]
    fn a_file_cut_anywhere_yields_its_whole_records() {
        let bytes = file();
        for end in 8..bytes.len() {
            let read = read(&bytes[..end]).unwrap();
            assert_eq!(read[..], records()[..read.len()]);
            assert!(read.len() < records().len());
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_leaves_those_before_it() {
        let mut bytes = header().to_vec();
        records()[0].write(&mut bytes);
        let at = bytes.len();
        bytes.extend_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 7]);
        records()[2].write(&mut bytes);
        let why = "its payload does not fit its kind";
        let damage = ReadRawError::Record { at, why };
        assert_eq!(read(&bytes), Err(ReadRawError::Record { at, why }));
        let expected = Prefix { records: records()[..1].to_vec(), damage: Some(damage) };
        assert_eq!(read_prefix(&bytes), Ok(expected));
    }

    #[test]
    fn a_newer_file_is_refused_by_its_version() {
        let mut bytes = file();
        bytes[6] = 9;
        assert_eq!(read(&bytes), Err(ReadRawError::TooNew { found: 9 }));
    }

    #[test]
    fn an_unknown_record_is_passed_over() {
        let mut bytes = header().to_vec();
        bytes.extend_from_slice(&[99, 0, 0, 0, 2, 0, 0, 0, 1, 2]);
        records()[0].write(&mut bytes);
        assert_eq!(read(&bytes).unwrap(), records()[..1]);
    }
}
