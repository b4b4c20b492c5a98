//! Runs a program every way there is and says what differs.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use invar_core::diagnostic::Diagnostic;
use invar_core::event::{Event, Events};
use invar_engine::region::Mode;

use crate::defect::Defect;
use crate::host::memory::Memory;
use crate::host::run::{self, Room, Thread, Translated, Translator};
use crate::host::signals::{self, Step};
use crate::layout;
use crate::oracle::{self, Account};
use crate::program::Program;
use crate::state::End;

/// The stack pointer's hardware number.
const RSP: usize = 4;

/// A program that has been run natively.
pub struct Subject {
    /// The program.
    pub program: Program,
    code: Vec<u8>,
    thread: Thread,
    native: End,
    expected: Option<Account>,
    simulated: Option<Events>,
}

impl Subject {
    /// Where on the stack the return address of a call to nowhere would be, if that is how the program ended. Natively an
    /// address that cannot be one faults before anything is pushed; the engine pushes first (METHODOLOGY.md, "What a program
    /// could notice").
    fn pushed_in_vain(&self) -> Option<Range<usize>> {
        let Step { at, registers } =
            self.native.seen.filter(|_| self.native.signal == Some(libc::SIGSEGV))?;
        let code = self.code.get(usize::try_from(at.checked_sub(self.program.at)?).ok()?..)?;
        let call = Decoder::with_ip(64, code, at, DecoderOptions::NONE).decode();
        let start = usize::try_from(registers[RSP].checked_sub(layout::STACK + 8)?).ok()?;
        let place = start..start.checked_add(8)?;
        let is_of_stack = place.end <= self.native.stack.len();
        (call.flow_control() == FlowControl::IndirectCall && is_of_stack).then_some(place)
    }
}

/// How much was really tried: a fuzzer whose programs all fault finds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Programs that came to an end natively.
    pub programs: u64,
    /// Of those, ended by a fault.
    pub faulted: u64,
    /// Of those, compared with single steps.
    pub stepped: u64,
    /// Of those, whose accesses were compared address by address.
    pub exact: u64,
    /// Of those, where the engine let go before the end although nothing faulted.
    pub left: u64,
}

impl Tally {
    fn fields(&mut self) -> [&mut u64; 5] {
        [&mut self.programs, &mut self.faulted, &mut self.stepped, &mut self.exact, &mut self.left]
    }

    /// Adds another's.
    pub fn add(&mut self, mut other: Tally) {
        for (mine, other) in self.fields().into_iter().zip(other.fields()) {
            *mine += *other;
        }
    }

    /// As words of a line, and back.
    pub fn to_words(mut self) -> String {
        self.fields().map(|field| field.to_string()).join(" ")
    }

    /// See [`Tally::to_words`].
    pub fn from_words(words: &str) -> Option<Tally> {
        let mut tally = Tally::default();
        for (field, word) in tally.fields().into_iter().zip(words.split(' ')) {
            *field = word.parse().ok()?;
        }
        Some(tally)
    }
}

/// Everything that is needed to run programs.
pub struct Bench {
    memory: Memory,
    translator: Option<Translator>,
    defect: Option<Defect>,
    /// What the way in and out counts, in each mode.
    empty: Option<Events>,
    /// What belongs at [`layout::OPEN_CODE`].
    open: Vec<u8>,
    /// All of it is put back before each run.
    clean: bool,
    /// What was tried.
    pub tally: Tally,
}

impl Bench {
    /// Once a process.
    pub fn new(defect: Option<Defect>) -> anyhow::Result<Bench> {
        signals::install()?;
        let memory = Memory::new()?;
        let translator = Translator::new()
            .map_err(|errno| anyhow::anyhow!("cannot map the engine's memory: system error {errno}"))?;
        let open = vec![0; (layout::PROGRAMS * layout::PROGRAM_BYTES) as usize];
        Ok(Bench {
            memory,
            translator: Some(translator),
            defect,
            empty: None,
            open,
            clean: false,
            tally: Tally::default(),
        })
    }

    /// From now on nothing that any run has written is there for the next: slow, and so for findings.
    pub fn clean_everything(&mut self) {
        self.clean = true;
    }

    /// Puts a program's code where it belongs.
    pub fn place(&mut self, program: &Program) {
        if let Some(code) = program.code() {
            self.memory.write_code(program.at, &code);
            if let Some(offset) = program.at.checked_sub(layout::OPEN_CODE) {
                self.open[offset as usize..][..code.len()].copy_from_slice(&code);
            }
        }
    }

    /// Runs a program natively, and again step by step. `None` if it has no code or no end.
    pub fn natively(&mut self, program: Program) -> Option<Subject> {
        let code = program.code()?;
        let thread = if program.looks_at_fs(&code) { Thread::Scratch } else { Thread::Own };
        self.set_up(&program, &code);
        let fault = run::natively(thread, None);
        let native = End::read(&self.memory, fault);
        self.memory.write_code(program.at, &code);
        if native.signal == Some(signals::NO_END) {
            return None;
        }
        let mut expected = None;
        if native.signal.is_none() {
            self.set_up(&program, &code);
            self.memory.write(layout::FLAGS_IN, &(program.start.flags | signals::TRAP_FLAG).to_le_bytes());
            let mut steps: Vec<Step> = Vec::new();
            let fault = run::natively(thread, Some(&mut steps));
            let way_out = program.way_out(&code);
            let whole = fault.is_none() && steps.last().is_some_and(|step| step.at == way_out);
            let changed = self.memory.read_code(program.at, code.len()) != code;
            self.memory.write_code(program.at, &code);
            // What changes itself is no longer the code that the steps are read by.
            if whole && !changed {
                expected = oracle::stepped(&program, &steps, run::exit_address());
            }
        }
        Some(Subject { program, code, thread, native, expected, simulated: None })
    }

    fn set_up(&mut self, program: &Program, code: &[u8]) {
        if self.clean {
            self.memory.write_code(layout::OPEN_CODE, &self.open);
        } else if let Some(offset) = program.at.checked_sub(layout::OPEN_CODE) {
            // What an earlier run has left here and next door would be read by the next.
            let slot = offset / layout::PROGRAM_BYTES;
            let start = slot.saturating_sub(1) * layout::PROGRAM_BYTES;
            let end = (slot + 2).min(layout::PROGRAMS) * layout::PROGRAM_BYTES;
            let bytes = &self.open[start as usize..end as usize];
            self.memory.write_code(layout::OPEN_CODE + start, bytes);
        }
        self.memory.write_code(program.at, code);
        program.start.write(&mut self.memory, program.at);
    }

    /// Forgets every translation, and goes on in `mode`.
    pub fn renew(&mut self, mode: Mode) {
        let translator = self.translator.take().expect("it is put back");
        self.translator = Some(translator.renewed(mode));
        self.empty = None;
    }

    fn translator(&mut self) -> &mut Translator {
        self.translator.as_mut().expect("it is put back")
    }

    fn translate(&mut self, subject: &Subject, room: Room) -> (End, Translated) {
        self.set_up(&subject.program, &subject.code);
        let translated = self.translator().run(subject.thread, room);
        let mut end = End::read(&self.memory, translated.fault);
        if let Some(place) = subject.pushed_in_vain() {
            end.stack[place.clone()].copy_from_slice(&subject.native.stack[place]);
        }
        self.memory.write_code(subject.program.at, &subject.code);
        (end, translated)
    }

    /// What a program without instructions counts: the way in and out.
    fn empty(&mut self, like: &Subject) -> Events {
        if let Some(events) = self.empty {
            return events;
        }
        let mut program = like.program.clone();
        program.kept.fill(false);
        let subject = self.natively(program).expect("the way out has code");
        let (_, translated) = self.translate(&subject, Room::Usual);
        // It stood where the program will: its translation must not be taken for the program's.
        let translator = self.translator.take().expect("it is put back");
        let mode = translator.mode();
        self.translator = Some(translator.renewed(mode));
        self.empty = Some(translated.events);
        translated.events
    }

    /// Runs it with a trace: first translated as it goes, then linked, then with a trace buffer that is always full.
    pub fn simulate(&mut self, subject: &mut Subject) -> Vec<String> {
        let empty = self.empty(subject);
        // Every other program is formed again at once, so that its second run goes along its first.
        let entered = if self.tally.programs.is_multiple_of(2) { 1 } else { u64::MAX };
        self.translator().form_again_after(entered);
        self.tally.programs += 1;
        self.tally.faulted += u64::from(subject.native.signal.is_some());
        self.tally.stepped += u64::from(subject.expected.is_some());
        self.tally.exact +=
            u64::from(subject.expected.as_ref().is_some_and(|expected| !expected.approximate));
        let mut found = Vec::new();
        for (round, room) in [Room::Usual, Room::Usual, Room::None].into_iter().enumerate() {
            if let (1, Some(defect)) = (round, self.defect) {
                defect.break_code();
            }
            let (end, translated) = self.translate(subject, room);
            let label = ["with a trace", "with a trace, linked", "with a full trace"][round];
            found.extend(labelled(label, subject.native.differences(&end)));
            if !is_complete(&translated) {
                self.tally.left += u64::from(round == 0 && translated.fault.is_none());
                continue;
            }
            if subject.simulated.is_none() {
                subject.simulated = Some(translated.events);
            }
            found.extend(labelled(label, self.miscounted(subject, &translated.events, &empty)));
            let meanings = self.translator.as_ref().expect("it is put back").meanings();
            if let (Room::Usual, Some(expected)) = (room, &subject.expected) {
                let account = match self.defect {
                    Some(defect) => oracle::traced(&defect.break_meanings(meanings), &translated.trace),
                    None => oracle::traced(meanings, &translated.trace),
                };
                found.extend(labelled(label, oracle::differences(expected, &account)));
            }
            // A system call or another `fs` base drains what was traced before.
            if room == Room::Usual && subject.expected.is_some() {
                let drained = oracle::drained(meanings, &translated.trace);
                for event in Event::ALL
                    .into_iter()
                    .filter(|event| drained.get(*event) != translated.events.get(*event))
                {
                    let (plain, generated) = (drained.get(event), translated.events.get(event));
                    found.push(format!(
                        "{label}: {}: reference drain {plain}, generated {generated}",
                        event.name()
                    ));
                }
            }
        }
        found
    }

    /// Runs it with counts only: first translated as it goes, then linked.
    pub fn count(&mut self, subject: &Subject) -> Vec<String> {
        let empty = self.empty(subject);
        let entered = if self.tally.programs.is_multiple_of(2) { 1 } else { u64::MAX };
        self.translator().form_again_after(entered);
        let mut found = Vec::new();
        for label in ["with counts", "with counts, linked"] {
            let (end, translated) = self.translate(subject, Room::Usual);
            found.extend(labelled(label, subject.native.differences(&end)));
            if !is_complete(&translated) {
                continue;
            }
            found.extend(labelled(label, self.miscounted(subject, &translated.events, &empty)));
            if let Some(simulated) = subject.simulated {
                for event in [Event::Reads, Event::Writes] {
                    let (traced, counted) = (simulated.get(event), translated.events.get(event));
                    if traced != counted {
                        let name = event.name();
                        found.push(format!("{label}: {name}: simulated {traced}, counted {counted}"));
                    }
                }
            }
        }
        found
    }

    fn miscounted(&self, subject: &Subject, events: &Events, empty: &Events) -> Vec<String> {
        let Some(expected) = &subject.expected else { return Vec::new() };
        let lost = u64::from(self.defect == Some(Defect::WrongCount));
        // The way out belongs to both.
        [
            (Event::Instructions, expected.instructions - 1),
            (Event::BranchesTaken, expected.branches - 1),
            (Event::RepIterations, expected.iterations),
            (Event::RepBytes, expected.repeat_bytes),
        ]
        .into_iter()
        .filter(|(event, _)| *event != Event::BranchesTaken || !expected.unclear)
        .filter_map(|(event, expected)| {
            let counted = events.get(event).wrapping_sub(empty.get(event)).wrapping_sub(lost);
            (counted != expected).then(|| format!("{}: expected {expected}, counted {counted}", event.name()))
        })
        .collect()
    }
}

/// Counts and trace say something of the whole run.
fn is_complete(translated: &Translated) -> bool {
    let left = translated.diagnostics.contains(Diagnostic::LeftTranslation);
    translated.fault.is_none() && !left
}

fn labelled(label: &str, sentences: Vec<String>) -> impl Iterator<Item = String> {
    sentences.into_iter().map(move |sentence| format!("{label}: {sentence}"))
}
