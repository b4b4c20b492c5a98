//! The runtime: answers what generated code cannot answer itself, and keeps the translations.
//!
//! Entered through the gates with the guest stopped; says where the guest goes on. Everything it knows of the guest
//! comes from the context, the code map and the trace. It never calls the guest, never blocks, and the only system calls
//! it makes by itself are reads of `/proc/self/maps`.
//!
//! Invariant: a number in generated code (exit, link, site, block) is an index into the tables below; when the
//! tables are cleared the code is gone too.

mod clock;
mod fault;
mod random;
mod reform;
mod special;
mod threads;

pub use self::threads::let_others_settle;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use invar_core::diagnostic::{Diagnostic, Diagnostics};
use invar_core::event::{Event, Events};
use invar_core::machine::Machine;
use invar_core::wire::raw::taken_exits::TakenExits;
use invar_sim::Hierarchy;

use self::fault::Fault;
use self::random::Random;
use self::special::Births;
use self::threads::Threads;
use crate::account::ledger::Ledger;
use crate::drain::generated::Generated;
use crate::drain::reference::{self, Exactness, Meanings};
use crate::guest::maps::Executable;
use crate::guest::vdso::{self, Teller};

use crate::host::code_map::{self, CodeMap};
use crate::host::context::Context;
use crate::host::faults;
use crate::host::gate::{self, Reason};
use crate::host::layout::{self, ARENA};
use crate::host::memory::{self, CodeMemory};
use crate::host::python::Python;
use crate::host::syscall;
use crate::host::words;
use crate::translate::block::{self, End, Path, Reach, trace_path};
use crate::translate::emit;
use crate::translate::watch::Watch;
use crate::translate::{Mode, Numbers, Options, Site, Turn, assemble};

const PAGE: u64 = 4096;
const CODE_START: u64 = ARENA + layout::CODE as u64;
const CODE_END: u64 = CODE_START + (layout::CODE_BYTES - layout::BIRTHS_BYTES) as u64;
/// Where the code is by which the guest goes on natively. Before it stands an instruction that is none, for whoever strays
/// into the engine's memory and comes along.
const NATIVE_EXIT: u64 = CODE_END + UD2.len() as u64;
const UD2: [u8; 2] = [0x0f, 0x0b];
const NATIVE_EXIT_BYTES: u64 = 128;
const TRACE_START: u64 = ARENA + layout::TRACE as u64;
/// No superblock's code is longer: 64 instructions of some 100 bytes, each with its tails.
const BLOCK_BYTES_MAX: u64 = 64 << 10;

/// Branches are looked at when the trace was full so often, twice as often, and so on.
const FILLINGS_MIN: u32 = 8;
/// A region that translates less than this is executed again: what is hot in it was seen at the end of the one before.
const NEW_BLOCKS_MIN: usize = 64;

/// A translated superblock.
#[derive(Debug)]
struct Block {
    /// Guest address.
    head: u64,
    /// Host address of its code.
    entry: u64,
    /// The guest's bytes that it was made of, where they can change behind our back.
    copy: Option<Vec<(u64, Vec<u8>)>>,
    /// The bytes can change at any store: verified whenever it is entered, so never linked.
    volatile: bool,
    /// It has a check in the indirect-branch table.
    indirect: bool,
    /// Number of its first exit, and how many it has.
    exits: (u32, u32),
    /// What its path was traced with: how far, and which branches are followed where they are taken.
    reach: Reach,
    taken: u32,
}

/// How the guest comes to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a branch that can be linked.
    Direct,
    /// Through the indirect-branch table.
    Indirect,
}

/// Which drain turns a trace into events. Both count the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainKind {
    /// The plain one.
    Reference,
    /// The fast one.
    Generated,
}

/// The caches, in the hands of a drain.
enum Drain {
    Reference(Box<Hierarchy>),
    Generated(Box<Generated>),
}

impl Drain {
    fn caches(&mut self) -> &mut Hierarchy {
        match self {
            Drain::Reference(caches) => caches,
            Drain::Generated(drain) => drain.caches(),
        }
    }
}

/// What an engine is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The Machine to simulate.
    pub machine: Machine,
    /// With caches or without.
    pub mode: Mode,
    /// How traces become events.
    pub drain: DrainKind,
    /// Warm passes are told by call paths. Needs the mode with caches.
    pub call_paths: bool,
    /// The interpreter whose functions are among them.
    pub python: Option<Python>,
}

/// The engine of a process.
pub struct Engine {
    setup: Setup,
    options: Options,
    drain: Drain,
    ledger: Option<Box<Ledger>>,
    /// Stores that tell which Python function is executed.
    watch: Option<Watch>,
    code: CodeMemory,
    code_next: u64,
    indirect_miss: u64,
    map: CodeMap,
    map_is_stale: bool,
    blocks: Vec<Block>,
    by_head: BTreeMap<u64, u32>,
    /// Blocks that can change behind our back, but not at any store.
    watched: Vec<u32>,
    meanings: Meanings,
    /// Where paths leave their blocks, by their numbers.
    turns: Vec<Option<Turn>>,
    /// How often the trace was full in this region.
    fillings: u32,
    /// How many blocks there were when the region began.
    blocks_before: usize,
    /// Address of the displacement to patch, and the guest target.
    links: Vec<(u64, u64)>,
    sites: Vec<Site>,
    /// Pages that some block was made of.
    pages: BTreeSet<u64>,
    fs_base: u64,
    events: Events,
    /// Nothing of the region is counted: its trace is dropped.
    uncounted: bool,
    diagnostics: Diagnostics,
    /// Number and arguments of the system call under way.
    system_call: (u64, [u64; 6]),
    /// Code that starts a thread or process, by where its child goes on.
    births: Births,
    /// The fault that a handler of the guest is looking at.
    fault: Option<Fault>,
    /// A block that was entered so often is formed again.
    entered_min: u64,
    /// The threads that are measured.
    threads: Threads,
    /// Random numbers of the region.
    random: Random,
    /// Functions of the vdso that tell the time, which the runtime answers; once they were looked for.
    tellers: Option<Vec<(u64, Teller)>>,
    /// Their own code, for what cannot be answered, by address.
    plain: BTreeMap<u64, u32>,
}

impl Engine {
    /// An engine with nothing translated. The arena must be mapped, and every earlier engine of the process gone.
    pub fn new(setup: Setup, code: CodeMemory) -> Engine {
        let features = if gate::cpuid(0, 0)[0] >= 7 { gate::cpuid(7, 0)[1] } else { 0 };
        let (bmi1, bmi2) = (features & 1 << 3 != 0, features & 1 << 8 != 0);
        let Setup { machine, mode, drain, call_paths, python } = &setup;
        let mut engine = Engine {
            drain: match drain {
                DrainKind::Reference => Drain::Reference(Box::new(Hierarchy::new(machine))),
                DrainKind::Generated => Drain::Generated(Box::new(Generated::new(machine, bmi1))),
            },
            ledger: (*call_paths && *mode == Mode::Simulation).then(|| Box::new(Ledger::new(*python))),
            watch: None,
            options: Options { mode: *mode, rorx: bmi2, scheduled: false },
            setup,
            code,
            code_next: CODE_START,
            indirect_miss: CODE_START,
            map: CodeMap::default(),
            map_is_stale: true,
            blocks: Vec::new(),
            by_head: BTreeMap::new(),
            watched: Vec::new(),
            meanings: Meanings::default(),
            turns: Vec::new(),
            fillings: 0,
            blocks_before: 0,
            links: Vec::new(),
            sites: Vec::new(),
            pages: BTreeSet::new(),
            fs_base: 0,
            events: Events::default(),
            uncounted: false,
            diagnostics: Diagnostics::default(),
            system_call: (0, [0; 6]),
            births: Births::default(),
            fault: None,
            entered_min: reform::ENTERED_MIN,
            threads: Threads::new(),
            random: Random::default(),
            tellers: None,
            plain: BTreeMap::new(),
        };
        engine.code.write(CODE_END, &UD2);
        engine.code.write(NATIVE_EXIT, &emit::native_exit(NATIVE_EXIT));
        engine.drop_translations();
        engine
    }

    /// Another in its place, with nothing translated.
    pub fn replaced_by(self, setup: Setup) -> Engine {
        Engine::new(setup, self.code)
    }

    /// After a region that has jumped out of the runtime for good: the tables were left in the middle of a change, so
    /// the engine begins anew, with nothing counted and nothing translated.
    pub fn abandon(&mut self, context: &mut Context) {
        let fresh = Engine::new(self.setup.clone(), memory::code_memory());
        // What its tables hold may be half written, so it must not be freed.
        core::mem::forget(core::mem::replace(self, fresh));
        context.trace_pointer = TRACE_START;
        context.repeats_before = [0; 4];
        context.repeats_after = [0; 4];
        memory::discard(layout::COUNTERS, 8 * layout::COUNTERS_MAX as u64);
        self.diagnostics.insert(Diagnostic::LeftTranslation);
    }

    /// After a region whose other threads may still be here: what is to be said about it. Nothing was counted that can be read.
    pub fn give_up(&self, context: &Context) -> Diagnostics {
        faults::step_aside(context);
        let mut diagnostics = Diagnostics::default();
        diagnostics.insert(Diagnostic::LeftTranslation);
        diagnostics.insert(Diagnostic::OtherThreadsRan);
        diagnostics
    }

    /// What it was asked to do.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What the records of the trace mean, for those who read it themselves.
    pub fn meanings(&self) -> &Meanings {
        &self.meanings
    }

    /// Forms blocks again that were entered so often, for those who check that it changes nothing.
    pub fn form_again_after(&mut self, entered: u64) {
        self.entered_min = entered;
    }

    /// Takes over the threads that are there, and makes ready to run a region that starts at `entry`; says where in the code cache.
    pub fn begin(&mut self, context: &mut Context, entry: u64, cold: bool) -> u64 {
        self.take_drained();
        self.uncounted = false;
        if self.options.scheduled && !self.threads.was_scheduled() {
            // Code with turns is kept for as long as each region has them.
            self.options.scheduled = false;
            self.drop_translations();
        }
        self.events = Events::default();
        self.diagnostics = Diagnostics::default();
        if cold {
            match &mut self.drain {
                Drain::Reference(caches) => caches.clear(),
                Drain::Generated(drain) => drain.clear(),
            }
        }
        self.open_ledger(entry, cold);
        self.fs_base = syscall::fs_base();
        context.trace_pointer = TRACE_START;
        context.trace_limit =
            TRACE_START + u64::from(layout::TRACE_BYTES) - u64::from(layout::RECORD_BYTES_MAX);
        self.fillings = 0;
        self.blocks_before = self.blocks.len();
        context.ended_natively = 0;
        context.left = 0;
        context.budget = i64::MAX;
        context.released.store(0, Relaxed);
        self.threads = Threads::new();
        self.random = Random::default();
        if self.tellers.is_none() {
            self.tellers = Some(self.find_tellers());
        }
        context.repeats_before = [0; 4];
        context.repeats_after = [0; 4];
        gate::install(context);
        faults::stand_before_handlers(context);
        self.forget_changed_code(context);
        self.take_over(context);
        self.go_to(context, entry)
    }

    /// The region that was begun is only executed. What was counted all the same says nothing.
    pub fn count_nothing(&mut self) {
        self.uncounted = true;
    }

    fn open_ledger(&mut self, entry: u64, cold: bool) {
        let Some(ledger) = &mut self.ledger else { return };
        if let (Some(python), None) = (&self.setup.python, &self.watch) {
            self.map.refresh();
            self.map_is_stale = false;
            self.watch = self.map.find(python.evaluator).map(|range| python.watch(range.start, range.end));
        }
        if ledger.has_dropped() {
            self.drop_translations();
        }
        self.drain.caches().note_payers(!cold);
        if let Some(ledger) = &mut self.ledger {
            ledger.begin(entry, !cold);
        }
    }

    /// What the region that has ended did by call path, if that was asked for. Once a region.
    pub fn taken_exits(&mut self) -> Option<TakenExits> {
        let ledger = self.ledger.as_mut().filter(|ledger| ledger.is_active())?;
        let taken = ledger.taken_exits(code_map::executable_lines());
        ledger.end();
        Some(taken)
    }

    /// What the region counted, after it has ended.
    pub fn end(&mut self, context: &mut Context) -> (Events, Diagnostics) {
        faults::step_aside(context);
        if context.ended_natively != 0 {
            // The trace since the last visit of the runtime is lost with `r11`.
            self.diagnostics.insert(Diagnostic::LeftTranslation);
        }
        self.look_at_branches(context);
        self.take_drained();
        (self.events, self.diagnostics)
    }

    /// At the end of a region: what was seen of its branches is good for the next.
    fn look_at_branches(&mut self, context: &mut Context) {
        match self.options.mode {
            Mode::Counts => {
                self.reform();
                self.collect(context);
            }
            Mode::Simulation => {
                self.collect(context);
                if let Some(ledger) = &mut self.ledger {
                    ledger.gather();
                }
                if let Drain::Generated(drain) = &self.drain
                    && drain.has_counted()
                {
                    self.reform();
                }
            }
        }
    }

    /// Adds what the drain has counted since it was last asked.
    fn take_drained(&mut self) {
        let (events, exactness) = match &mut self.drain {
            Drain::Reference(caches) => (caches.take_events(), Exactness::Exact),
            Drain::Generated(drain) if self.options.mode == Mode::Simulation => {
                drain.take_events(&self.meanings, self.ledger.as_deref())
            }
            Drain::Generated(_) => (Events::default(), Exactness::Exact),
        };
        self.events += events;
        self.note(exactness);
    }

    fn note(&mut self, exactness: Exactness) {
        if exactness == Exactness::Approximate {
            self.diagnostics.insert(Diagnostic::ApproximateAddresses);
        }
    }

    /// Notes something about the region.
    pub fn diagnose(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.insert(diagnostic);
    }

    /// Says where the guest goes on.
    pub fn answer(&mut self, context: &mut Context) -> u64 {
        let number = context.exit_number as u32 as usize;
        if self.threads.is_active() {
            context.entries += 1;
            if context.released.load(Relaxed) != 0 {
                self.note_release(context);
            }
        }
        match context.reason {
            reason if reason == Reason::Link as u64 => self.follow_link(context, number),
            reason if reason == Reason::Indirect as u64 => self.follow_indirect(context, context.target),
            reason if reason == Reason::Full as u64 => {
                let Block { head, entry, .. } = self.blocks[number];
                if self.threads.is_active()
                    && let Some(handed_over) = self.end_quantum(context, head)
                {
                    return handed_over;
                }
                if self.options.mode == Mode::Counts {
                    // There is no trace: its budget of instructions was used up.
                    return entry;
                }
                self.collect(context);
                self.fillings += 1;
                let is_new = self.blocks.len() >= self.blocks_before + NEW_BLOCKS_MIN;
                if is_new && self.fillings.is_power_of_two() && self.fillings >= FILLINGS_MIN {
                    self.reform();
                    return self.go_to(context, head);
                }
                entry
            }
            reason if reason == Reason::Special as u64 => self.special(context, self.sites[number]),
            reason if reason == Reason::SystemCallDone as u64 => {
                self.system_call_done(context, self.sites[number])
            }
            reason if reason == Reason::Resume as u64 => self.go_to(context, context.target),
            reason if reason == Reason::Turn as u64 => self.turn(context, number),
            reason if reason == Reason::Rescan as u64 => self.rescan(context),
            reason if reason == Reason::Revoked as u64 => self.revoked(context, number),
            reason if reason == Reason::Started as u64 => self.started(context),
            reason => unreachable!("no gate gives reason {reason}"),
        }
    }

    /// Turns what generated code has left behind into events.
    fn collect(&mut self, context: &mut Context) {
        if self.threads.is_active() {
            self.count_instructions(context);
        }
        match self.options.mode {
            Mode::Simulation if self.uncounted => {
                context.trace_pointer = TRACE_START;
                self.trace_is_empty();
            }
            Mode::Simulation => {
                let trace = memory::trace(context.trace_pointer);
                let mut ledger = self.ledger.as_deref_mut();
                let exactness = match &mut self.drain {
                    Drain::Reference(caches) => reference::drain(
                        &self.meanings,
                        trace,
                        self.fs_base,
                        caches,
                        &mut self.events,
                        ledger.as_deref_mut(),
                    ),
                    Drain::Generated(drain) => drain.drain(
                        &self.meanings,
                        self.fs_base,
                        context.trace_pointer,
                        ledger.as_deref_mut(),
                    ),
                };
                if let Some(ledger) = ledger {
                    ledger.followed(trace.len());
                    ledger.charge_misses(self.drain.caches());
                }
                self.note(exactness);
                context.trace_pointer = TRACE_START;
                self.trace_is_empty();
            }
            Mode::Counts => {
                let counters = memory::counters(self.meanings.paths.len());
                for (path, &times) in self.meanings.paths.iter().zip(counters) {
                    if times != 0 {
                        reference::count_only(&path.exit, times, &mut self.events);
                    }
                }
                memory::clear_counters(self.meanings.paths.len());
                for element in 0..4 {
                    let iterations =
                        context.repeats_before[element].wrapping_sub(context.repeats_after[element]);
                    self.events.add(Event::RepIterations, iterations);
                    self.events.add(Event::RepBytes, iterations << element);
                }
                context.repeats_before = [0; 4];
                context.repeats_after = [0; 4];
            }
        }
    }

    fn follow_link(&mut self, context: &mut Context, link: usize) -> u64 {
        let (patch, target) = self.links[link];
        let translated = self.by_head.len();
        let Some(block) = self.block_at(context, target) else { return self.leave(context, target) };
        // When everything was dropped in between the patch's place is gone.
        let dropped = self.by_head.len() < translated;
        let Block { entry, volatile, .. } = self.blocks[block];
        if !volatile && !dropped && self.links.get(link) == Some(&(patch, target)) {
            let displacement = entry.wrapping_sub(patch + 4) as u32;
            self.code.write(patch, &displacement.to_le_bytes());
        }
        entry
    }

    fn follow_indirect(&mut self, context: &mut Context, target: u64) -> u64 {
        if target == gate::region_end_address() {
            if self.threads.is_active() {
                return self.release(context, target, Some(gate::leave_address()));
            }
            return gate::leave_address();
        }
        let Some(number) = self.block_for(context, target, Way::Indirect) else {
            return self.leave(context, target);
        };
        let Block { entry, volatile, indirect, .. } = self.blocks[number];
        if !volatile && !indirect {
            let mut check = self.indirect_check(target);
            check.extend_from_slice(&emit::jump(self.code_next + check.len() as u64, entry));
            self.append_code(&check);
            self.blocks[number].indirect = true;
        }
        entry
    }

    /// A check to stand at the next free place, entered in the table.
    fn indirect_check(&mut self, target: u64) -> Vec<u8> {
        let index = assemble::hash(target, self.options.rorx);
        let check =
            emit::indirect_check(self.code_next, target, memory::table_entry(index), self.options.mode);
        memory::set_table_entry(index, self.code_next);
        check
    }

    fn go_to(&mut self, context: &mut Context, target: u64) -> u64 {
        match self.block_at(context, target) {
            Some(block) => self.blocks[block].entry,
            None => self.leave(context, target),
        }
    }

    /// Lets the guest go on natively at `target`.
    fn leave(&mut self, context: &mut Context, target: u64) -> u64 {
        self.diagnostics.insert(Diagnostic::LeftTranslation);
        self.collect(context);
        context.target = target;
        context.left = 1;
        if self.threads.is_active() {
            self.note_let_go();
            return self.release(context, target, None);
        }
        NATIVE_EXIT
    }

    /// The block at a guest address, translated if need be; `None` where nothing may be executed.
    fn block_at(&mut self, context: &mut Context, head: u64) -> Option<usize> {
        self.block_for(context, head, Way::Direct)
    }

    /// As [`Engine::block_at`]; a block that is translated for an indirect branch gets its check in front.
    fn block_for(&mut self, context: &mut Context, head: u64, way: Way) -> Option<usize> {
        if let Some(&number) = self.by_head.get(&head) {
            let block = &self.blocks[number as usize];
            if !block.volatile || self.is_as_translated(block) {
                return Some(number as usize);
            }
            self.diagnostics.insert(Diagnostic::CodeModified);
            self.by_head.remove(&head);
        }
        if self.map_is_stale || self.map.find(head).is_none() {
            self.map.refresh();
            self.map_is_stale = false;
        }
        let range = *self.map.find(head)?;
        if self.code_next + BLOCK_BYTES_MAX > CODE_END || self.tables_are_nearly_full() {
            self.collect(context);
            self.drop_translations();
        }
        if self.tellers.iter().flatten().any(|&(at, _)| at == head) {
            let path = Path { steps: Vec::new(), end: End::Clock { at: head }, taken: 0 };
            // It is not to be formed again.
            return Some(self.translate(head, &path, block::LONG, range, way));
        }
        let path = trace_path(&self.map, head, block::SHORT, |_, _| false)?;
        Some(self.translate(head, &path, block::SHORT, range, way))
    }

    /// The block of a function that tells the time, of its own code. It has one that leaves for the runtime already.
    fn plain_block_at(&mut self, context: &mut Context, head: u64) -> Option<usize> {
        if let Some(&number) = self.plain.get(&head) {
            return Some(number as usize);
        }
        let clock = self.block_at(context, head)? as u32;
        let range = *self.map.find(head)?;
        let path = trace_path(&self.map, head, block::LONG, |_, _| false)?;
        let plain = self.translate(head, &path, block::LONG, range, Way::Direct);
        self.by_head.insert(head, clock);
        self.plain.insert(head, plain as u32);
        Some(plain)
    }

    fn find_tellers(&mut self) -> Vec<(u64, Teller)> {
        const VDSO: u64 = 33;
        let Some(start) = syscall::auxiliary(VDSO) else { return Vec::new() };
        self.map.refresh();
        self.map_is_stale = false;
        let Some(range) = self.map.find(start) else { return Vec::new() };
        let mut image = vec![0; (range.end - start) as usize];
        if words::read(start, &mut image) { vdso::tellers(&image, start) } else { Vec::new() }
    }

    fn translate(&mut self, head: u64, path: &Path, reach: Reach, range: Executable, way: Way) -> usize {
        let indirect = way == Way::Indirect && !range.volatile;
        let mut code = if indirect { self.indirect_check(head) } else { Vec::new() };
        let numbers = Numbers {
            block: self.blocks.len() as u32,
            exit: self.meanings.paths.len() as u32,
            link: self.links.len() as u32,
            site: self.sites.len() as u32,
        };
        let entry = self.code_next + code.len() as u64;
        let translation = emit::translate(path, entry, numbers, self.options, self.watch);
        code.extend_from_slice(&translation.code);
        self.append_code(&code);
        let first_op = self.meanings.ops.len() as u32;
        self.meanings.ops.extend_from_slice(&translation.ops);
        translation.exits.iter().for_each(|&exit| self.meanings.add(first_op, exit));
        self.turns.extend_from_slice(&translation.turns);
        if let Some(ledger) = &mut self.ledger {
            ledger.add_block(head, path, &translation);
        }
        let exits = (numbers.exit, translation.exits.len() as u32);
        if let Drain::Generated(drain) = &mut self.drain {
            drain.add_exits(&self.meanings);
        }
        self.links.extend(translation.links.iter().map(|link| (entry + u64::from(link.patch), link.target)));
        self.sites.extend_from_slice(&translation.sites);
        for &(start, bytes) in &translation.sources {
            self.pages.extend((start / PAGE..=(start + u64::from(bytes) - 1) / PAGE).map(|page| page * PAGE));
        }
        let copy = (!range.file || range.volatile).then(|| {
            let mut parts = Vec::new();
            for step in &path.steps {
                parts.push((step.instruction.ip(), step.bytes().to_vec()));
            }
            parts
        });
        if copy.is_some() && !range.volatile {
            self.watched.push(numbers.block);
        }
        self.blocks.push(Block {
            head,
            entry,
            copy,
            volatile: range.volatile,
            indirect,
            exits,
            reach,
            taken: path.taken,
        });
        self.by_head.insert(head, numbers.block);
        numbers.block as usize
    }

    fn tables_are_nearly_full(&self) -> bool {
        self.meanings.paths.len() + 256 > layout::COUNTERS_MAX
    }

    fn append_code(&mut self, code: &[u8]) {
        assert!((code.len() as u64) < BLOCK_BYTES_MAX);
        self.code.write(self.code_next, code);
        self.code_next = (self.code_next + code.len() as u64).next_multiple_of(16);
    }

    fn is_as_translated(&self, block: &Block) -> bool {
        block
            .copy
            .as_ref()
            .is_none_or(|parts| parts.iter().all(|(start, bytes)| self.map.still_reads(*start, bytes)))
    }

    /// Forgets every translation. The trace that refers to them must have been collected.
    fn drop_translations(&mut self) {
        self.take_drained();
        if let Drain::Generated(drain) = &mut self.drain {
            drain.drop_exits();
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.drop_exits();
        }
        self.blocks.clear();
        self.by_head.clear();
        self.plain.clear();
        self.watched.clear();
        self.meanings = Meanings::default();
        self.turns.clear();
        self.links.clear();
        self.sites.clear();
        self.pages.clear();
        self.code_next = CODE_START;
        self.indirect_miss = CODE_START;
        let miss = emit::indirect_miss(self.options.mode);
        self.append_code(&miss);
        for index in 0..layout::TABLE_ENTRIES {
            memory::set_table_entry(index, self.indirect_miss);
        }
    }

    /// Before a region: what happened to the guest's code while nobody looked?
    fn forget_changed_code(&mut self, context: &mut Context) {
        if self.code_has_changed() {
            context.trace_pointer = TRACE_START;
            self.drop_translations();
        }
    }

    /// Something that was translated is no longer what it was. Asks the kernel for its mappings.
    fn code_has_changed(&mut self) -> bool {
        let is_translated =
            |pages: &BTreeSet<u64>, range: &Executable| pages.range(range.start..range.end).next().is_some();
        let gone = match self.map.still_has(|range| is_translated(&self.pages, range)) {
            Some(all) => {
                self.map_is_stale = true;
                !all
            }
            None => {
                let before: Vec<Executable> = self.map.ranges().to_vec();
                self.map.refresh();
                self.map_is_stale = false;
                before
                    .iter()
                    .any(|range| is_translated(&self.pages, range) && !self.map.ranges().contains(range))
            }
        };
        gone || !self.watched.iter().all(|&block| self.is_as_translated(&self.blocks[block as usize]))
    }

    /// Whatever was translated may be something else by now.
    fn forget_all(&mut self, context: &mut Context) {
        self.collect(context);
        self.drop_translations();
        self.map_is_stale = true;
    }
}
