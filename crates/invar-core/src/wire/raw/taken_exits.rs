//! How often each exit of each superblock was taken within each call, as a measured process leaves it behind: the payload of a raw
//! file's record of kind 5.
//!
//! A process writes what it has counted, as it has counted it. What that is by instruction ([`CallPaths`]) is worked out by whoever
//! reads it, and costs the process nothing.
//!
//! Numbers are LEB128; what grows in small steps is written as differences. This is never stored.
//!
//! What always holds in what [`TakenExits::read`] returns: every index is within its list, a call stands behind its caller, operations of
//! superblocks do not overlap, and no sum of counts exceeds 64 bits.
//!
//! [`CallPaths`]: super::call_paths::CallPaths

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Cursor;
use super::call_paths::{Call, Callee, Instruction, PythonCode};
use crate::event::Event;

/// A superblock has no more steps than this.
pub const STEPS_MAX: usize = 128;

/// What an instruction does to the calls that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing, or what only the exit behind it knows: a call of whatever is executed next.
    On,
    /// It calls what the superblock's next target says.
    Call,
    /// It returns.
    Return,
}

/// An instruction of a superblock: as an [`Instruction`], and what is said of it here. Flat, as there are many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its address.
    pub address: u64,
    /// Operations of the superblock before it.
    pub ops: u16,
    /// Reads of each execution.
    pub reads: u8,
    /// Writes of each execution.
    pub writes: u8,
    /// It makes a system call.
    pub system_call: bool,
    /// Branches taken where the superblock goes on behind it.
    pub branches: u8,
    /// What it does to calls.
    pub flow: Flow,
}

impl Step {
    /// What is said of it without the superblock.
    pub fn instruction(&self) -> Instruction {
        let Step { address, reads, writes, system_call, .. } = *self;
        Instruction { address, reads, writes, system_call }
    }
}

/// Instructions that are executed one after the other, as far as one of its exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Its first operation among all of the process.
    pub first_op: u64,
    /// How many operations it has, those of steps that nobody came to included.
    pub ops: u16,
    /// Its first step among all of the list.
    pub first_step: u32,
    /// How many steps it has: up to [`STEPS_MAX`].
    pub steps: u8,
    /// What its first step that calls does call, among all of the list. Those behind it follow.
    pub first_target: u32,
}

/// A way out of a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Index of the superblock.
    pub superblock: u32,
    /// How many of its instructions are executed.
    pub instructions: u8,
    /// How many branches are taken.
    pub branches: u8,
}

/// How often an exit was taken within a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Index of the call that was at work when the superblock was entered.
    pub call: u32,
    /// Index of the exit.
    pub exit: u32,
    /// How often.
    pub times: u64,
}

/// What an operation did besides: misses, and what repeats moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Index of the call that was at work when the superblock was entered.
    pub call: u32,
    /// The operation among all of the process.
    pub op: u64,
    /// What.
    pub event: Event,
    /// How often.
    pub count: u64,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenExits {
    /// The executable mappings of the process at the end of the pass, as lines of `/proc/PID/maps`.
    pub maps: String,
    /// Python functions.
    pub python: Vec<PythonCode>,
    /// The tree of calls. Those that were not made in this pass may be among them.
    pub calls: Vec<Call>,
    /// The steps of all superblocks.
    pub steps: Vec<Step>,
    /// What those of them call that do: addresses.
    pub targets: Vec<u64>,
    /// In the order of their operations.
    pub superblocks: Vec<Superblock>,
    /// Ways out that were taken.
    pub exits: Vec<Exit>,
    /// In any order. A call and an exit may have several.
    pub rows: Vec<Row>,
    /// In any order.
    pub charges: Vec<Charge>,
}

impl TakenExits {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // More would be written one reallocation after the other.
        out.reserve(6 * self.steps.len() + 6 * self.rows.len() + 10 * self.charges.len());
        write_text(out, &self.maps);
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
        number(out, self.superblocks.len() as u64);
        let (mut address, mut op) = (0, 0);
        for superblock in &self.superblocks {
            let &Superblock { first_op, ops, steps, .. } = superblock;
            number(out, first_op.wrapping_sub(op));
            op = first_op;
            number(out, u64::from(ops));
            out.push(steps);
            let (mut before, mut targets) = (0, self.targets_of(superblock).iter());
            for step in self.steps_of(superblock) {
                write_step(out, step, address, before);
                (address, before) = (step.address, step.ops);
                if step.flow == Flow::Call {
                    number(out, targets.next().copied().unwrap_or_default());
                }
            }
        }
        number(out, self.exits.len() as u64);
        for &Exit { superblock, instructions, branches } in &self.exits {
            number(out, u64::from(superblock));
            out.extend_from_slice(&[instructions, branches]);
        }
        number(out, self.rows.len() as u64);
        for &Row { call, exit, times } in &self.rows {
            number(out, u64::from(call));
            number(out, u64::from(exit));
            number(out, times);
        }
        number(out, self.charges.len() as u64);
        for &Charge { call, op, event, count } in &self.charges {
            number(out, u64::from(call));
            number(out, op);
            out.push(event as u8);
            number(out, count);
        }
    }

    /// `None` where the bytes are none of these.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<TakenExits> {
        let maps = read_text(cursor)?;
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
        let (mut steps, mut targets) = (Vec::new(), Vec::new());
        let (mut address, mut first_op, mut end) = (0, 0_u64, 0);
        let superblocks = list(cursor, |cursor, _| {
            first_op = first_op.checked_add(read_number(cursor)?).filter(|&first| first >= end)?;
            let ops = u16::try_from(read_number(cursor)?).ok()?;
            end = first_op.checked_add(u64::from(ops))?;
            let count = cursor.u8().filter(|&count| usize::from(count) <= STEPS_MAX)?;
            let (first_step, first_target) =
                (u32::try_from(steps.len()).ok()?, u32::try_from(targets.len()).ok()?);
            let mut before = 0;
            for _ in 0..count {
                let step = read_step(cursor, address, before).filter(|step| step.ops <= ops)?;
                (address, before) = (step.address, step.ops);
                steps.push(step);
                if step.flow == Flow::Call {
                    targets.push(read_number(cursor)?);
                }
            }
            Some(Superblock { first_op, ops, first_step, steps: count, first_target })
        })?;
        let exits = list(cursor, |cursor, _| {
            let (superblock, instructions, branches) = (small(cursor)?, cursor.u8()?, cursor.u8()?);
            let steps = superblocks.get(superblock as usize)?.steps;
            (instructions <= steps).then_some(Exit { superblock, instructions, branches })
        })?;
        let rows = list(cursor, |cursor, _| {
            let (call, exit) = (index(cursor, &calls)?, index(cursor, &exits)?);
            Some(Row { call, exit, times: read_number(cursor)? })
        })?;
        let charges = list(cursor, |cursor, _| {
            let (call, op) = (index(cursor, &calls)?, read_number(cursor)?);
            let event = *Event::ALL.get(usize::from(cursor.u8()?))?;
            Some(Charge { call, op, event, count: read_number(cursor)? })
        })?;
        let taken = TakenExits { maps, python, calls, steps, targets, superblocks, exits, rows, charges };
        taken.can_be_summed().then_some(taken)
    }

    /// The steps of a superblock.
    pub fn steps_of(&self, superblock: &Superblock) -> &[Step] {
        &self.steps[superblock.first_step as usize..][..usize::from(superblock.steps)]
    }

    /// What a superblock's steps call, in their order; of those of others behind them.
    pub fn targets_of(&self, superblock: &Superblock) -> &[u64] {
        &self.targets[superblock.first_target as usize..]
    }

    /// Does no sum of counts exceed 64 bits? A sum of everything bounds every other.
    fn can_be_summed(&self) -> bool {
        let once = |step: &Step| {
            let Step { reads, writes, branches, .. } = *step;
            // It is executed itself, calls the system, and another function.
            3 + u64::from(reads) + u64::from(writes) + u64::from(branches)
        };
        let whole: Vec<u64> =
            self.superblocks.iter().map(|one| self.steps_of(one).iter().map(once).sum()).collect();
        let taken = |row: &Row| {
            let Exit { superblock, branches, .. } = self.exits[row.exit as usize];
            row.times.checked_mul(whole[superblock as usize] + u64::from(branches) + 1)
        };
        let counts = self.rows.iter().map(taken);
        let counts = counts.chain(self.charges.iter().map(|charge| Some(charge.count)));
        let mut counts = counts.chain(self.calls.iter().map(|call| Some(call.calls)));
        counts.try_fold(0_u64, |total, count| total.checked_add(count?)).is_some()
    }
}

const SYSTEM_CALL: u8 = 4;

/// `address` and `ops` are those of the step before.
fn write_step(out: &mut Vec<u8>, step: &Step, address: u64, ops: u16) {
    let Step { reads, writes, system_call, branches, flow, .. } = *step;
    let farther = step.address.wrapping_sub(address);
    // Zigzag: steps backwards are as short as those forwards.
    number(out, farther << 1 ^ ((farther as i64 >> 63) as u64));
    let kind = match flow {
        Flow::On => 0,
        Flow::Call => 1,
        Flow::Return => 2,
    };
    let kind = kind | if system_call { SYSTEM_CALL } else { 0 };
    out.extend_from_slice(&[kind, reads, writes, branches]);
    number(out, u64::from(step.ops - ops));
}

fn read_step(cursor: &mut Cursor<'_>, address: u64, ops: u16) -> Option<Step> {
    let farther = read_number(cursor)?;
    let farther = farther >> 1 ^ (farther & 1).wrapping_neg();
    let &[kind, reads, writes, branches] = cursor.take(4)? else { return None };
    let ops = u16::try_from(read_number(cursor)?).ok().and_then(|more| ops.checked_add(more))?;
    let flow = match kind & !SYSTEM_CALL {
        0 => Flow::On,
        1 => Flow::Call,
        2 => Flow::Return,
        _ => return None,
    };
    let (address, system_call) = (address.wrapping_add(farther), kind & SYSTEM_CALL != 0);
    Some(Step { address, ops, reads, writes, system_call, branches, flow })
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

/// An index within a list.
fn index<T>(cursor: &mut Cursor<'_>, list: &[T]) -> Option<u32> {
    small(cursor).filter(|&index| (index as usize) < list.len())
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

    pub fn taken_exits() -> TakenExits {
        let step = |address, reads, ops, flow| Step {
            address,
            ops,
            reads,
            writes: 1,
            system_call: reads == 2,
            branches: u8::from(flow != Flow::On),
            flow,
        };
        TakenExits {
            maps: "7ffff7dd0000-7ffff7df0000 r-xp 00001000 08:01 17 /usr/lib/libc.so.6\n".into(),
            python: vec![PythonCode { name: "Sum.of".into(), file: "/src/sum.py".into(), line: 7 }],
            calls: vec![
                Call { parent: 0, callee: Callee::Address(0x5555_0000), calls: 1 },
                Call { parent: 0, callee: Callee::Python(0), calls: 300 },
                Call { parent: 1, callee: Callee::Address(0), calls: 1 << 60 },
                Call { parent: 1, callee: Callee::Line(9), calls: 300 },
            ],
            steps: vec![
                step(0x5555_0000, 0, 0, Flow::On),
                step(0x5555_0003, 2, 1, Flow::Call),
                step(0x5555_0040, 1, 4, Flow::Return),
                step(0x5555_0008, 0, 0, Flow::On),
            ],
            targets: vec![0x5555_0040],
            superblocks: vec![
                Superblock { first_op: 0, ops: 6, first_step: 0, steps: 3, first_target: 0 },
                Superblock { first_op: 9, ops: 1, first_step: 3, steps: 1, first_target: 1 },
            ],
            exits: vec![
                Exit { superblock: 1, instructions: 1, branches: 0 },
                Exit { superblock: 0, instructions: 3, branches: 2 },
                Exit { superblock: 0, instructions: 1, branches: 0 },
            ],
            rows: vec![
                Row { call: 2, exit: 1, times: 300 },
                Row { call: 0, exit: 0, times: 2 },
                Row { call: 2, exit: 2, times: 5 },
            ],
            charges: vec![Charge { call: 2, op: 5, event: Event::L3Misses, count: 9 }],
        }
    }

    fn read_back(change: impl FnOnce(&mut TakenExits)) -> Option<TakenExits> {
        let mut taken = taken_exits();
        change(&mut taken);
        let mut bytes = Vec::new();
        taken.write(&mut bytes);
        TakenExits::read(&mut Cursor { bytes: &bytes })
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(read_back(|_| {}), Some(taken_exits()));
    }

    #[test]
    fn bytes_cut_anywhere_are_refused() {
        let mut bytes = Vec::new();
        taken_exits().write(&mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(TakenExits::read(&mut Cursor { bytes: &bytes[..end] }), None, "cut at {end}");
        }
    }

    #[test]
    fn what_points_outside_is_refused() {
        let refused = |change: fn(&mut TakenExits)| read_back(change).is_none();
        assert!(refused(|taken| taken.rows[1].exit = 3));
        assert!(refused(|taken| taken.rows[1].call = 4));
        assert!(refused(|taken| taken.charges[0].call = 4));
        assert!(refused(|taken| taken.exits[0].superblock = 2));
        assert!(refused(|taken| taken.exits[0].instructions = 2));
        assert!(refused(|taken| taken.superblocks[0].ops = 3), "an operation behind the last");
        assert!(refused(|taken| taken.superblocks[1].first_op = 5), "operations of two superblocks");
        assert!(refused(|taken| taken.calls[1].callee = Callee::Python(1)));
        assert!(refused(|taken| taken.calls[3].parent = 2), "a line is of a Python function");
        assert!(refused(|taken| taken.calls[1].parent = 1));
    }

    #[test]
    fn counts_that_cannot_be_summed_are_refused() {
        let refused = |change: fn(&mut TakenExits)| read_back(change).is_none();
        assert!(refused(|taken| taken.rows[1].times = u64::MAX / 4));
        assert!(refused(|taken| taken.charges[0].count = u64::MAX - 9));
        assert!(refused(|taken| taken.calls[2].calls = u64::MAX));
        assert!(!refused(|taken| taken.rows[1].times = u64::MAX / 16));
    }
}
