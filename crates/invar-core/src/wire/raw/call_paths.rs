//! What a pass cost by call path, in addresses of the measured process: the payload of a raw file's record of kind 4.
//!
//! Numbers are LEB128; whatever is sorted is written as differences. The runner names the addresses and makes a
//! [`crate::profile`] of it, so this is never stored.
//!
//! What always holds in what [`read`] returns: every index is within its list, a call stands behind its caller.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Cursor;
use crate::event::{Event, Events};

/// An instruction that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Its address.
    pub address: u64,
    /// Reads of each execution.
    pub reads: u8,
    /// Writes of each execution.
    pub writes: u8,
    /// It makes a system call.
    pub system_call: bool,
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Callee {
    /// The code at an address.
    Address(u64),
    /// A Python function, by its index in [`CallPaths::python`].
    Python(u32),
    /// A line of the Python function that is the caller; 0 where code is of no line. Its calls are how often it was come to from
    /// another line.
    Line(u32),
}

/// A callee, along one path of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Index of the caller's; the first call is the region itself, and its own caller.
    pub parent: u32,
    /// What is called.
    pub callee: Callee,
    /// How often.
    pub calls: u64,
}

/// A Python function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonCode {
    /// Its qualified name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Line of its beginning.
    pub line: u32,
}

/// Neighbouring instructions that one call has executed equally often itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Index of the call.
    pub call: u32,
    /// Index of the first instruction.
    pub first: u32,
    /// How many instructions.
    pub instructions: u32,
    /// How often.
    pub times: u64,
}

/// What an instruction did within a call besides being executed, reading, writing and calling the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extra {
    /// Index of the call.
    pub call: u32,
    /// Index of the instruction.
    pub instruction: u32,
    /// What.
    pub event: Event,
    /// How often.
    pub count: u64,
}

/// A pass by call paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallPaths {
    /// The executable mappings of the process at the end of the pass, as lines of `/proc/PID/maps`.
    pub maps: String,
    /// Sorted by address.
    pub instructions: Vec<Instruction>,
    /// Python functions.
    pub python: Vec<PythonCode>,
    /// The tree of calls.
    pub calls: Vec<Call>,
    /// Sorted by call and first instruction. An instruction may be in several stretches of a call.
    pub stretches: Vec<Stretch>,
    /// Sorted by call and instruction.
    pub extras: Vec<Extra>,
}

impl CallPaths {
    /// What all calls did: the events of the pass.
    pub fn total(&self) -> Events {
        let mut events = Events::default();
        for &Stretch { first, instructions, times, .. } in &self.stretches {
            for instruction in &self.instructions[first as usize..(first + instructions) as usize] {
                events += executed(instruction, times);
            }
        }
        self.extras.iter().for_each(|extra| events.add(extra.event, extra.count));
        events
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_text(out, &self.maps);
        number(out, self.instructions.len() as u64);
        let mut before = 0;
        for &Instruction { address, reads, writes, system_call } in &self.instructions {
            number(out, address.wrapping_sub(before));
            before = address;
            number(out, u64::from(reads));
            number(out, u64::from(writes) << 1 | u64::from(system_call));
        }
        number(out, self.python.len() as u64);
        for PythonCode { name, file, line } in &self.python {
            write_text(out, name);
            write_text(out, file);
            number(out, u64::from(*line));
        }
        number(out, self.calls.len() as u64);
        for (index, &Call { parent, callee, calls }) in self.calls.iter().enumerate() {
            number(out, index as u64 - u64::from(parent));
            match callee {
                Callee::Address(address) => {
                    number(out, 0);
                    number(out, address);
                }
                Callee::Python(code) => number(out, 1 + u64::from(code)),
                // Behind the last function.
                Callee::Line(line) => number(out, 1 + self.python.len() as u64 + u64::from(line)),
            }
            number(out, calls);
        }
        number(out, self.stretches.len() as u64);
        let mut before = 0;
        for &Stretch { call, first, instructions, times } in &self.stretches {
            number(out, u64::from(call.wrapping_sub(before)));
            before = call;
            number(out, u64::from(first));
            number(out, u64::from(instructions));
            number(out, times);
        }
        number(out, self.extras.len() as u64);
        let mut before = 0;
        for &Extra { call, instruction, event, count } in &self.extras {
            number(out, u64::from(call.wrapping_sub(before)));
            before = call;
            number(out, u64::from(instruction));
            number(out, event as u64);
            number(out, count);
        }
    }

    /// `None` where the bytes are none of these.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<CallPaths> {
        let maps = read_text(cursor)?;
        let mut address = 0_u64;
        let instructions = list(cursor, |cursor, _| {
            address = address.wrapping_add(read_number(cursor)?);
            let reads = u8::try_from(read_number(cursor)?).ok()?;
            let writes = read_number(cursor)?;
            let system_call = writes & 1 != 0;
            Some(Instruction { address, reads, writes: u8::try_from(writes >> 1).ok()?, system_call })
        })?;
        let python = list(cursor, |cursor, _| {
            Some(PythonCode { name: read_text(cursor)?, file: read_text(cursor)?, line: small(cursor)? })
        })?;
        let calls: Vec<Call> = list(cursor, |cursor, index| {
            let back = read_number(cursor)?;
            // The first is its own caller, the others stand behind theirs.
            let parent = (index as u64).checked_sub(back).filter(|_| (index == 0) == (back == 0))?;
            let callee = match read_number(cursor)? {
                0 => Callee::Address(read_number(cursor)?),
                code => match code - 1 {
                    code if code < python.len() as u64 => Callee::Python(code as u32),
                    line => Callee::Line(u32::try_from(line - python.len() as u64).ok()?),
                },
            };
            Some(Call { parent: parent as u32, callee, calls: read_number(cursor)? })
        })?;
        let is_of_python = |call: &Call| matches!(calls[call.parent as usize].callee, Callee::Python(_));
        let lines = calls.iter().filter(|call| matches!(call.callee, Callee::Line(_)));
        lines.clone().all(is_of_python).then_some(())?;
        let mut call = 0_u32;
        let mut next_call = |cursor: &mut Cursor<'_>| {
            call = call.wrapping_add(small(cursor)?);
            calls.get(call as usize).map(|_| call)
        };
        let stretches = list(cursor, |cursor, _| {
            let (call, first, count) = (next_call(cursor)?, small(cursor)?, small(cursor)?);
            let end = first.checked_add(count)?;
            (end as usize <= instructions.len()).then_some(())?;
            Some(Stretch { call, first, instructions: count, times: read_number(cursor)? })
        })?;
        let mut call = 0_u32;
        let mut next_call = |cursor: &mut Cursor<'_>| {
            call = call.wrapping_add(small(cursor)?);
            calls.get(call as usize).map(|_| call)
        };
        let extras = list(cursor, |cursor, _| {
            let (call, instruction) = (next_call(cursor)?, small(cursor)?);
            instructions.get(instruction as usize)?;
            let event = *Event::ALL.get(usize::try_from(read_number(cursor)?).ok()?)?;
            Some(Extra { call, instruction, event, count: read_number(cursor)? })
        })?;
        let paths = CallPaths { maps, instructions, python, calls, stretches, extras };
        paths.can_be_summed().then_some(paths)
    }

    /// Does no sum of counts exceed 64 bits? A sum of everything bounds every other.
    fn can_be_summed(&self) -> bool {
        // What the instructions before each do once.
        let mut before = Vec::with_capacity(self.instructions.len() + 1);
        let mut sum = 0_u64;
        before.push(sum);
        for Instruction { reads, writes, .. } in &self.instructions {
            sum += 2 + u64::from(*reads) + u64::from(*writes);
            before.push(sum);
        }
        let mut total = 0_u64;
        let mut add = |count: Option<u64>| {
            let sum = count.and_then(|count| total.checked_add(count));
            total = sum.unwrap_or(total);
            sum.is_some()
        };
        let stretched = |stretch: &Stretch| {
            let Stretch { first, instructions, times, .. } = *stretch;
            times.checked_mul(before[(first + instructions) as usize] - before[first as usize])
        };
        self.stretches.iter().all(|stretch| add(stretched(stretch)))
            && self.extras.iter().all(|extra| add(Some(extra.count)))
            && self.calls.iter().all(|call| add(Some(call.calls)))
    }
}

/// What executing an instruction so often does, besides its [`Extra`]s.
pub fn executed(instruction: &Instruction, times: u64) -> Events {
    let mut events = Events::default();
    events.add(Event::Instructions, times);
    events.add(Event::Reads, times.saturating_mul(u64::from(instruction.reads)));
    events.add(Event::Writes, times.saturating_mul(u64::from(instruction.writes)));
    events.add(Event::SystemCalls, if instruction.system_call { times } else { 0 });
    events
}

pub(in crate::wire) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(in crate::wire) fn write_text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(in crate::wire) fn read_number(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = cursor.u8()?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn small(cursor: &mut Cursor<'_>) -> Option<u32> {
    u32::try_from(read_number(cursor)?).ok()
}

pub(in crate::wire) fn read_text(cursor: &mut Cursor<'_>) -> Option<String> {
    let length = usize::try_from(read_number(cursor)?).ok()?;
    core::str::from_utf8(cursor.take(length)?).ok().map(|text| text.to_string())
}

/// As many as a number says; no more room is taken than the bytes can fill.
fn list<T>(
    cursor: &mut Cursor<'_>,
    mut item: impl FnMut(&mut Cursor<'_>, usize) -> Option<T>,
) -> Option<Vec<T>> {
    let count = usize::try_from(read_number(cursor)?).ok()?;
    let mut items = Vec::with_capacity(count.min(cursor.bytes.len()));
    for index in 0..count {
        items.push(item(cursor, index)?);
    }
    Some(items)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use alloc::vec;

    pub fn call_paths() -> CallPaths {
        let instruction = |address, reads| Instruction { address, reads, writes: 1, system_call: reads == 2 };
        CallPaths {
            maps: "7ffff7dd0000-7ffff7df0000 r-xp 00001000 08:01 17 /usr/lib/libc.so.6\n".into(),
            instructions: vec![instruction(0x5555_0000, 0), instruction(0x5555_0003, 2)],
            python: vec![PythonCode { name: "Sum.of".into(), file: "/src/sum.py".into(), line: 7 }],
            calls: vec![
                Call { parent: 0, callee: Callee::Address(0x5555_0000), calls: 1 },
                Call { parent: 0, callee: Callee::Python(0), calls: 300 },
                Call { parent: 1, callee: Callee::Address(0), calls: 1 << 60 },
                Call { parent: 1, callee: Callee::Line(9), calls: 300 },
            ],
            stretches: vec![
                Stretch { call: 0, first: 0, instructions: 2, times: 1 },
                Stretch { call: 2, first: 1, instructions: 1, times: 300 },
            ],
            extras: vec![Extra { call: 2, instruction: 1, event: Event::L3Misses, count: 9 }],
        }
    }

    #[test]
    fn bytes_cut_anywhere_are_refused() {
        let mut bytes = Vec::new();
        call_paths().write(&mut bytes);
        assert_eq!(CallPaths::read(&mut Cursor { bytes: &bytes }), Some(call_paths()));
        for end in 0..bytes.len() {
            assert_eq!(CallPaths::read(&mut Cursor { bytes: &bytes[..end] }), None, "cut at {end}");
        }
    }

    #[test]
    fn what_points_outside_is_refused() {
        let refused = |change: fn(&mut CallPaths)| {
            let mut paths = call_paths();
            change(&mut paths);
            let mut bytes = Vec::new();
            paths.write(&mut bytes);
            CallPaths::read(&mut Cursor { bytes: &bytes }).is_none()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|paths| paths.stretches[1].instructions = 2));
        assert!(refused(|paths| paths.stretches[1].call = 4));
        assert!(refused(|paths| paths.extras[0].instruction = 2));
        assert!(refused(|paths| paths.calls[1].callee = Callee::Python(1)));
        assert!(refused(|paths| paths.calls[3].parent = 2), "a line is of a Python function");
        assert!(refused(|paths| paths.calls[1].parent = 1));
    }

    #[test]
    fn counts_that_cannot_be_summed_are_refused() {
        for change in [
            (|paths| paths.stretches[0].times = u64::MAX / 3) as fn(&mut CallPaths),
            |paths| paths.extras[0].count = u64::MAX - 9,
            |paths| paths.calls[2].calls = u64::MAX,
        ] {
            let mut paths = call_paths();
            change(&mut paths);
            let mut bytes = Vec::new();
            paths.write(&mut bytes);
            assert_eq!(CallPaths::read(&mut Cursor { bytes: &bytes }), None);
        }
    }

    #[test]
    fn calls_sum_up_to_the_pass() {
        let total = call_paths().total();
        let counts = [Event::Instructions, Event::Reads, Event::Writes, Event::SystemCalls, Event::L3Misses];
        assert_eq!(counts.map(|event| total.get(event)), [302, 602, 302, 301, 9]);
    }
}
