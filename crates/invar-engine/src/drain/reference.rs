//! The reference drain: record by record, operation by operation, in program order, through `invar-sim`.
//!
//! Slow on purpose: it says what a trace means, and nothing else. It reads words and writes counts; it cannot fail on a
//! trace that generated code has written.

use invar_core::event::{Event, Events};
use invar_core::machine::LINE_BYTES;
use invar_sim::{Hierarchy, Settling};

use crate::account::ledger::Ledger;
use crate::translate::{Exit, NO_SLOT, Op, Reference, Repeat, Touch};

/// An exit, with the place of its superblock's operations among all.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Index of the superblock's first operation.
    pub first_op: u32,
    /// The exit.
    pub exit: Exit,
}

/// What the paths mean.
#[derive(Debug, Default, Clone)]
pub struct Meanings {
    /// Operations of all superblocks.
    pub ops: alloc::vec::Vec<Op>,
    /// Every exit by its number.
    pub paths: alloc::vec::Vec<Path>,
    /// The same for who walks over a trace and wants to know little: a few bytes each, which stay in the host's caches.
    pub sizes: alloc::vec::Vec<Size>,
}

/// How long an exit's records are, and how many instructions they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Slots of its record.
    pub slots: u8,
    /// Instructions on the path.
    pub instructions: u8,
}

impl Meanings {
    /// One more exit, whose superblock's operations begin with this one.
    pub fn add(&mut self, first_op: u32, exit: Exit) {
        self.paths.push(Path { first_op, exit });
        self.sizes.push(Size { slots: exit.slots, instructions: exit.instructions });
    }
}

/// How exact the addresses were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exactness {
    /// All of them.
    Exact,
    /// Not all of them.
    Approximate,
}

/// Drains `trace` into `caches` and `events`, and tells `ledger` who pays. Misses and accesses stay in `caches` until they
/// are taken.
pub fn drain(
    meanings: &Meanings,
    trace: &[u64],
    fs_base: u64,
    caches: &mut Hierarchy,
    events: &mut Events,
    mut ledger: Option<&mut Ledger>,
) -> Exactness {
    let mut exactness = Exactness::Exact;
    let mut rest = trace;
    while let Some((&head, tail)) = rest.split_first() {
        let Path { first_op, exit } = meanings.paths[head as usize];
        let (slots, next) = tail.split_at(usize::from(exit.slots));
        rest = next;
        count_path(&exit, 1, events);
        if exit.approximate {
            exactness = Exactness::Approximate;
        }
        let ops = &meanings.ops[first_op as usize..(first_op + exit.ops) as usize];
        let first = ledger.as_mut().map(|ledger| {
            let call = ledger.step(head as u32, slots, fs_base);
            ledger.payer(call, first_op).number()
        });
        for (op, number) in ops.iter().zip(0..) {
            let payer = first.map(|first| first + number);
            if let Some(payer) = payer {
                caches.set_payer(payer);
            }
            match op {
                Op::Fetch { address, bytes } => {
                    let last = address.saturating_add(u64::from(*bytes).max(1) - 1);
                    let line = address / LINE_BYTES;
                    caches.fetch(line, last / LINE_BYTES != line, &mut ());
                }
                Op::Touch(reference) => touch(reference, slots, fs_base, caches),
                Op::Repeat(repeat) => {
                    let repeated = touch_repeatedly(repeat, slots, fs_base, caches, &mut ());
                    repeated.count(events);
                    if let (Some(ledger), Some(payer)) = (&mut ledger, payer) {
                        repeated.charge(ledger, payer);
                    }
                }
            }
        }
    }
    exactness
}

/// Adds what `times` executions of a path count without caches. Reads and writes are left to the caches, which
/// count them too.
fn count_path(exit: &Exit, times: u64, events: &mut Events) {
    events.add(Event::Instructions, times * u64::from(exit.instructions));
    events.add(Event::BranchesTaken, times * u64::from(exit.branches));
    events.add(Event::SystemCalls, times * u64::from(exit.system_calls));
}

/// Adds what `times` executions of a path count in counts-only mode.
pub fn count_only(exit: &Exit, times: u64, events: &mut Events) {
    count_path(exit, times, events);
    events.add(Event::Reads, times * u64::from(exit.reads));
    events.add(Event::Writes, times * u64::from(exit.writes));
}

/// The address that a record says an operand has.
pub fn address(reference: &Reference, slots: &[u64], fs_base: u64) -> u64 {
    let mut address = reference.constant;
    if reference.base != NO_SLOT {
        address = address.wrapping_add(slots[usize::from(reference.base)]);
    }
    if reference.index != NO_SLOT {
        address = address.wrapping_add(slots[usize::from(reference.index)] << reference.shift);
    }
    if reference.short {
        address &= 0xffff_ffff;
    }
    if reference.fs {
        address = address.wrapping_add(fs_base);
    }
    address
}

fn touch(reference: &Reference, slots: &[u64], fs_base: u64, caches: &mut Hierarchy) {
    let address = address(reference, slots, fs_base);
    touch_at(reference.touch, address, u32::from(reference.bytes), caches, &mut ());
}

/// Reads, writes or both.
#[inline]
pub fn touch_at(touch: Touch, address: u64, bytes: u32, caches: &mut Hierarchy, told: &mut impl Settling) {
    match touch {
        Touch::Read => caches.read(address, bytes, told),
        Touch::Write => caches.write(address, bytes, told),
        Touch::ReadWrite => {
            caches.read(address, bytes, told);
            caches.write(address, bytes, told);
        }
    }
}

/// A repeat touches whole ranges; says how far it went.
pub fn touch_repeatedly(
    repeat: &Repeat,
    slots: &[u64],
    fs_base: u64,
    caches: &mut Hierarchy,
    told: &mut impl Settling,
) -> Extent {
    let extent = extent(repeat, slots, fs_base);
    if let Some(touch) = repeat.source {
        touch_range(touch, extent.source, extent.bytes, caches, told);
    }
    if let Some(touch) = repeat.target {
        touch_range(touch, extent.target, extent.bytes, caches, told);
    }
    extent
}

/// How far a repeat went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How often.
    pub iterations: u64,
    /// How many bytes of source, target or both.
    pub bytes: u64,
    /// Lowest address of the source.
    pub source: u64,
    /// Lowest address of the target.
    pub target: u64,
}

impl Extent {
    /// Adds what caches do not count.
    pub fn count(&self, events: &mut Events) {
        events.add(Event::RepIterations, self.iterations);
        events.add(Event::RepBytes, self.bytes);
    }

    /// The same for whoever pays.
    pub fn charge(&self, ledger: &mut Ledger, payer: u64) {
        ledger.charge(payer, Event::RepIterations, self.iterations);
        ledger.charge(payer, Event::RepBytes, self.bytes);
    }
}

/// What a record says of a repeat: its element count is how far `rcx` went down, its direction where the pointers went.
pub fn extent(repeat: &Repeat, slots: &[u64], fs_base: u64) -> Extent {
    let mask = if repeat.short { 0xffff_ffff } else { u64::MAX };
    let slot = |index: u8| slots[usize::from(repeat.slot + index)] & mask;
    let iterations = slot(0).wrapping_sub(slot(3));
    let lowest = |before: u64, after: u64| {
        // With the direction flag set the pointers go down, and the last element is the lowest.
        if after < before { after.wrapping_add(1 << repeat.element) } else { before }
    };
    let segment = if repeat.fs { fs_base } else { 0 };
    Extent {
        iterations,
        bytes: iterations << repeat.element,
        source: lowest(slot(1), slot(4)).wrapping_add(segment),
        target: lowest(slot(2), slot(5)),
    }
}

fn touch_range(touch: Touch, start: u64, bytes: u64, caches: &mut Hierarchy, told: &mut impl Settling) {
    match touch {
        Touch::Read => caches.range_read(start, bytes, told),
        Touch::Write | Touch::ReadWrite => caches.range_write(start, bytes, told),
    }
}
