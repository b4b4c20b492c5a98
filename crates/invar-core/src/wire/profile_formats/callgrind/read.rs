//! Reading callgrind.out, as Valgrind and others write it.

use std::collections::BTreeMap;

use super::{EVENTS, LAST_LEVEL};
use crate::event::{Event, Events};
use crate::profile::{Builder, Function, Kind, Profile};
use crate::wire::profile_formats::{UNKNOWN, lines, shown};

/// Bytes that the names of all functions may have together. A file names a function by numbers for its parts, so a short one
/// could ask for much more than that.
const NAMES_BYTES_MAX: usize = 128 << 20;

/// Why bytes are no callgrind.out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadCallgrindError {
    /// A line that has no place in one, or not there.
    #[error("line {line}, `{found}`: {why}")]
    Line {
        /// From one.
        line: usize,
        /// Its beginning.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It ends too early, or is something else.
    #[error("there is no `events:` line in it")]
    NoEvents,
    /// Where a call or a jump was made stands in a line of its own.
    #[error("it ends with line {line}, and the next must say where that call or jump was made")]
    CutShort {
        /// From one.
        line: usize,
    },
}

/// Reads a file as a profile whose root is called `root`.
///
/// The file has no call paths. Each function is one node below the root, with what it did itself and how often it was called;
/// the inclusive costs of calls are what callees did, and are passed over. What the file's `summary:` or `totals:` have and
/// its cost lines lack, the root did itself, so the total is the summary; all parts of a file are one profile. Costs in another
/// file than the function's (`fi=`, `fe=`: inlined code) belong to the function, at no line. Names are as they stand there:
/// `fib'2` is a function of its own where Valgrind separated recursions. Events that Invar does not count are passed over.
pub fn read(bytes: &[u8], root: &str) -> Result<Profile, ReadCallgrindError> {
    let mut reader = Reader::new(root);
    for (at, text) in lines(bytes) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        reader.line(at, text).map_err(|why| ReadCallgrindError::Line {
            line: at,
            found: shown(text),
            why,
        })?;
    }
    match reader.expected {
        Expected::Anything => {}
        Expected::CallCost(line) | Expected::JumpSource(line) => {
            return Err(ReadCallgrindError::CutShort { line });
        }
    }
    if reader.columns.is_empty() {
        return Err(ReadCallgrindError::NoEvents);
    }
    reader.finish_part();
    Ok(reader.builder.finish())
}

/// What the line after must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Anything,
    /// Where a call was made and what it cost. The call stood in this line.
    CallCost(usize),
    /// Where a jump was made.
    JumpSource(usize),
}

/// A number at the beginning of a cost line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subposition {
    Line,
    /// An address, or the number of a basic block: passed over.
    Other,
}

/// Names of one sort. Each has a number of ours; the file may give it another.
#[derive(Default)]
struct Names {
    texts: Vec<String>,
    by_text: BTreeMap<String, usize>,
    by_id: BTreeMap<u64, usize>,
}

impl Names {
    /// `name`, `(ID) name`, or `(ID)` for a name that was given before.
    fn index(&mut self, text: &str) -> Result<usize, &'static str> {
        let numbered = text.strip_prefix('(').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let Some(rest) = numbered else { return Ok(self.intern(text)) };
        let (id, name) = rest.split_once(')').ok_or("its number is not closed")?;
        let id = number(id).ok_or("its number is none")?;
        let name = name.trim_start();
        if name.is_empty() {
            return self.by_id.get(&id).copied().ok_or("no line before gives this number a name");
        }
        let index = self.intern(name);
        self.by_id.insert(id, index);
        Ok(index)
    }

    fn intern(&mut self, text: &str) -> usize {
        if let Some(&index) = self.by_text.get(text) {
            return index;
        }
        self.texts.push(text.to_string());
        self.by_text.insert(text.to_string(), self.texts.len() - 1);
        self.texts.len() - 1
    }
}

/// Object, file and function, by their numbers in [`Names`].
type Place = [Option<usize>; 3];
const OBJECT: usize = 0;
const FILE: usize = 1;
const FUNCTION: usize = 2;

struct Reader {
    builder: Builder,
    names: [Names; 3],
    names_bytes: usize,
    functions: BTreeMap<Place, u32>,
    /// What each number of a cost line counts. Empty before `events:`.
    columns: Vec<Option<Event>>,
    subpositions: Vec<Subposition>,
    /// Of the last cost line, by subposition.
    position: Vec<u64>,
    here: Place,
    /// The function that costs go to, and whether they stand in its file.
    current: Option<(u32, Option<usize>)>,
    called: Place,
    expected: Expected,
    /// Of the whole file; it fits, so everything else does.
    total: Events,
    calls: u64,
    /// Of this part: its cost lines, and the most that its summary or totals say.
    part: Events,
    declared: Events,
}

impl Reader {
    fn new(root: &str) -> Reader {
        Reader {
            builder: Builder::new(root),
            names: Default::default(),
            names_bytes: 0,
            functions: BTreeMap::new(),
            columns: Vec::new(),
            subpositions: vec![Subposition::Line],
            position: vec![0],
            here: [None; 3],
            current: None,
            called: [None; 3],
            expected: Expected::Anything,
            total: Events::default(),
            calls: 0,
            part: Events::default(),
            declared: Events::default(),
        }
    }

    fn line(&mut self, at: usize, text: &str) -> Result<(), &'static str> {
        if text.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            return self.cost_line(text);
        }
        if self.expected != Expected::Anything {
            return Err("after a call or a jump must stand where it was made");
        }
        let key = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (key, rest) = text.split_at(key);
        if let Some(value) = rest.strip_prefix('=') {
            self.specification(at, key, value.trim())
        } else if let Some(value) = rest.strip_prefix(':').filter(|_| !key.is_empty()) {
            self.header(key, value.trim())
        } else {
            Err("it is no header, no position and no cost")
        }
    }

    fn header(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "version" if !matches!(value, "0" | "1") => return Err("only version 1 of the format is known"),
            "positions" => {
                let subposition = |word| match word {
                    "line" => Ok(Subposition::Line),
                    "instr" | "addr" | "bb" => Ok(Subposition::Other),
                    _ => Err("positions are `instr`, `bb` and `line`"),
                };
                self.subpositions = value.split_whitespace().map(subposition).collect::<Result<_, _>>()?;
                if self.subpositions.is_empty() || self.subpositions.len() > 3 {
                    return Err("there are one to three positions");
                }
                self.position = vec![0; self.subpositions.len()];
            }
            "events" => {
                self.finish_part();
                self.columns = value.split_whitespace().map(event).collect();
                if self.columns.iter().all(Option::is_none) {
                    return Err("Invar counts none of these events");
                }
            }
            "summary" | "totals" => {
                let declared = self.counts(value.split_whitespace())?;
                for (most, declared) in self.declared.0.iter_mut().zip(declared.0) {
                    *most = declared.max(*most);
                }
                self.check_total(&Events::default())?;
            }
            // The rest describes and counts nothing: `cmd`, `pid`, `desc`, `event` and whatever others write.
            _ => {}
        }
        Ok(())
    }

    fn specification(&mut self, at: usize, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "ob" => self.here[OBJECT] = Some(self.names[OBJECT].index(value)?),
            "fl" | "fi" | "fe" => {
                self.here[FILE] = Some(self.names[FILE].index(value)?);
            }
            "fn" => {
                self.here[FUNCTION] = Some(self.names[FUNCTION].index(value)?);
                self.current = Some((self.function(self.here)?, self.here[FILE]));
            }
            "cob" => self.called[OBJECT] = Some(self.names[OBJECT].index(value)?),
            "cfl" | "cfi" => self.called[FILE] = Some(self.names[FILE].index(value)?),
            "cfn" => self.called[FUNCTION] = Some(self.names[FUNCTION].index(value)?),
            // Where a jump goes; it may give a number its name.
            "jfi" => drop(self.names[FILE].index(value)?),
            "jfn" => drop(self.names[FUNCTION].index(value)?),
            "calls" => {
                let [object, file, function] = self.called;
                let function = function.ok_or("no `cfn=` says what is called")?;
                let callee =
                    self.function([object.or(self.here[OBJECT]), file.or(self.here[FILE]), Some(function)])?;
                self.called = [None; 3];
                let calls = value.split_whitespace().next().and_then(number).ok_or("calls are no number")?;
                self.calls = self.calls.checked_add(calls).ok_or("the calls add up to 2^64 or more")?;
                let node = self.builder.child(Builder::ROOT, callee, false);
                self.builder.add_calls(node, calls);
                self.expected = Expected::CallCost(at);
            }
            "jump" | "jcnd" => self.expected = Expected::JumpSource(at),
            _ => return Err("it is no position that is known"),
        }
        Ok(())
    }

    fn function(&mut self, place: Place) -> Result<u32, &'static str> {
        if let Some(&function) = self.functions.get(&place) {
            return Ok(function);
        }
        let mut texts = place.into_iter().zip(&self.names).map(|(index, names)| {
            index.map(|index| names.texts[index].as_str()).filter(|&text| text != UNKNOWN).unwrap_or_default()
        });
        let mut next = || texts.next().unwrap_or_default();
        let (object, file, name) = (next(), next(), next());
        let function = Function {
            name: if name.is_empty() { UNKNOWN } else { name }.to_string(),
            object: object.rsplit('/').next().unwrap_or_default().to_string(),
            file: file.to_string(),
            kind: Kind::Native,
            line: 0,
        };
        self.names_bytes += function.name.len() + function.object.len() + function.file.len();
        if self.names_bytes > NAMES_BYTES_MAX {
            return Err("the names of the functions up to here have more than 128 MiB");
        }
        let function = self.builder.function(function);
        self.functions.insert(place, function);
        Ok(function)
    }

    fn cost_line(&mut self, text: &str) -> Result<(), &'static str> {
        let mut words = text.split_whitespace();
        for position in &mut self.position {
            let word = words.next().ok_or("there are fewer numbers than `positions:` says")?;
            *position = moved(*position, word).ok_or("its position is none")?;
        }
        match std::mem::replace(&mut self.expected, Expected::Anything) {
            Expected::JumpSource(_) => return Ok(()),
            Expected::CallCost(..) => return self.counts(words).map(drop),
            Expected::Anything => {}
        }
        let own = self.counts(words)?;
        let (function, file) = self.current.ok_or("no `fn=` says whose cost it is")?;
        self.check_total(&own)?;
        self.part += own;
        self.total += own;
        let node = self.builder.child(Builder::ROOT, function, false);
        self.builder.add(node, &own);
        let line = self.subpositions.iter().position(|&subposition| subposition == Subposition::Line);
        let line = line.filter(|_| file == self.here[FILE]).map_or(0, |at| self.position[at]);
        let line = u32::try_from(line).map_err(|_| "no file has so many lines")?;
        self.builder.add_line(function, line, &own);
        Ok(())
    }

    /// The counts of a line; those that are not there are zero.
    fn counts<'a>(&self, words: impl Iterator<Item = &'a str>) -> Result<Events, &'static str> {
        if self.columns.is_empty() {
            return Err("no `events:` before says what it counts");
        }
        let mut counts = Events::default();
        let mut columns = self.columns.iter();
        for word in words {
            let column = columns.next().ok_or("there are more numbers than `events:` says")?;
            let count = number(word).ok_or("a count is no number below 2^64")?;
            if let Some(event) = *column {
                let sum = counts.get(event).checked_add(count).ok_or(TOO_MUCH)?;
                counts.0[event as usize] = sum;
            }
        }
        Ok(counts)
    }

    /// Would the file's total fit, with this part as large as it says, or with `more`?
    fn check_total(&self, more: &Events) -> Result<(), &'static str> {
        let fits = Event::ALL.into_iter().all(|event| {
            let lines = self.part.get(event).checked_add(more.get(event));
            let before = self.total.get(event) - self.part.get(event);
            lines.and_then(|lines| before.checked_add(lines.max(self.declared.get(event)))).is_some()
        });
        if fits { Ok(()) } else { Err(TOO_MUCH) }
    }

    /// What the part says and its lines lack, the root did.
    fn finish_part(&mut self) {
        let mut rest = Events::default();
        for event in Event::ALL {
            rest.add(event, self.declared.get(event).saturating_sub(self.part.get(event)));
        }
        self.builder.add(Builder::ROOT, &rest);
        self.total += rest;
        self.part = Events::default();
        self.declared = Events::default();
    }
}

const TOO_MUCH: &str = "the costs add up to 2^64 or more";

fn event(name: &str) -> Option<Event> {
    let known = EVENTS.into_iter().find(|(known, _)| *known == name).map(|(_, event)| event);
    known.or_else(|| LAST_LEVEL.contains(&name).then_some(Event::L3Misses))
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    let digits = |text: &str, radix| {
        text.bytes().next().filter(u8::is_ascii_alphanumeric)?;
        u64::from_str_radix(text, radix).ok()
    };
    text.strip_prefix("0x").map_or_else(|| digits(text, 10), |text| digits(text, 16))
}

/// A subposition: a number, or relative to the line before.
fn moved(from: u64, word: &str) -> Option<u64> {
    match word.split_at_checked(1)? {
        ("*", "") => Some(from),
        ("+", by) => from.checked_add(number(by)?),
        ("-", by) => from.checked_sub(number(by)?),
        _ => number(word),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::machine::Machine;
    use crate::wire::profile_formats::callgrind::write;
    use crate::wire::profile_formats::testing::mutated;

    const CACHES: &[u8] = include_bytes!("../../../../fixtures/profiles/callgrind-caches.out");
    const JUMPS: &[u8] = include_bytes!("../../../../fixtures/profiles/callgrind-jumps.out");
    const PARTS: &[u8] = include_bytes!("../../../../fixtures/profiles/callgrind-parts.out");

    #[track_caller]
    fn check_totals(file: &[u8], expected: &[(Event, u64)]) -> Profile {
        let profile = read(file, "example").unwrap();
        let mut total = Events::default();
        expected.iter().for_each(|&(event, count)| total.add(event, count));
        assert_eq!(profile.total(), total);
        profile
    }

    fn found<'a>(profile: &'a Profile, name: &str) -> &'a crate::profile::Node {
        profile.nodes.iter().find(|node| profile.function_of(node).name == name).unwrap()
    }

    #[test]
    fn a_file_of_valgrind_has_the_totals_of_its_summary() {
        use Event::{
            Instructions, L1dReadMisses, L1dWriteMisses, L1iMisses, L3Misses, Reads, SystemCalls, Writes,
        };
        let data = [(Reads, 3977), (Writes, 2254), (L1dReadMisses, 4), (L1dWriteMisses, 1)];
        let fetches = [(Instructions, 14_623), (L1iMisses, 31), (L3Misses, 31 + 1)];
        check_totals(CACHES, &[&data[..], &fetches].concat());
        check_totals(PARTS, &[(Instructions, 14_133 + 490)]);
        // No cost line has a system call; the summary has.
        let jumps = check_totals(JUMPS, &[(Instructions, 14_623), (SystemCalls, 58)]);
        assert_eq!(jumps.nodes[0].own.get(SystemCalls), 58);
    }

    #[test]
    fn functions_have_their_own_costs_and_calls() {
        let profile = read(CACHES, "example").unwrap();
        let halves = found(&profile, "halves");
        // 102 in the header that Valgrind takes for its file, for it begins with an inlined function, and 6 in its own.
        assert_eq!((halves.calls, halves.own.get(Event::Instructions)), (2, 108));
        let function = profile.function_of(halves);
        assert_eq!((&*function.object, &*function.file), ("example", "/tmp/example/even.h"));
        let lines: Vec<u32> = profile
            .lines
            .iter()
            .filter(|line| line.function == halves.function)
            .map(|line| line.line)
            .collect();
        assert_eq!(lines, [0, 1]);
        assert_eq!(found(&profile, "smaller").own.get(Event::Instructions), 912);
        // Whatever was called did something, unless it was before Valgrind was told to count.
        let idle = profile.nodes[1..].iter().filter(|node| node.own == Events::default());
        let idle: Vec<&str> = idle.map(|node| &*profile.function_of(node).name).collect();
        assert_eq!(idle, ["(below main)", "(below main)", "__libc_start_main@@GLIBC_2.34"]);
    }

    #[test]
    fn relative_and_hexadecimal_positions_are_followed() {
        let text = "positions: instr line\nevents: Ir\nfn=f\n0x10 16 1\n+3 * 10\n* -2 100\n-1 +5 1000\n";
        let profile = read(text.as_bytes(), "root").unwrap();
        let lines: Vec<(u32, u64)> =
            profile.lines.iter().map(|line| (line.line, line.own.get(Event::Instructions))).collect();
        assert_eq!(lines, [(14, 100), (16, 11), (19, 1000)]);
    }

    #[track_caller]
    fn check(text: &str, sentence: &str) {
        assert_eq!(read(text.as_bytes(), "root").unwrap_err().to_string(), sentence);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        check("", "there is no `events:` line in it");
        check("\u{7f}ELF", "line 1, `\u{fffd}ELF`: it is no header, no position and no cost");
        check("version: 2", "line 1, `version: 2`: only version 1 of the format is known");
        check("events: Bc Bim", "line 1, `events: Bc Bim`: Invar counts none of these events");
        check("fn=f\n1 2", "line 2, `1 2`: no `events:` before says what it counts");
        check("events: Ir\n1 2", "line 2, `1 2`: no `fn=` says whose cost it is");
        check("events: Ir\nfn=(7)\n", "line 2, `fn=(7)`: no line before gives this number a name");
        check("events: Ir\nfn=f\n+1 2 3\n", "line 3, `+1 2 3`: there are more numbers than `events:` says");
        check("events: Ir\nfn=f\n-1 2\n", "line 3, `-1 2`: its position is none");
        check("events: Ir\ncalls=1 2\n", "line 2, `calls=1 2`: no `cfn=` says what is called");
        check(
            "events: Ir\nfn=f\ncfn=g\ncalls=1 2\n",
            "it ends with line 4, and the next must say where that call or jump was made",
        );
        let most = u64::MAX;
        let sum = "the costs add up to 2^64 or more";
        check(&format!("events: Ir\nfn=f\n1 {most}\n1 1"), &format!("line 4, `1 1`: {sum}"));
        let second = "events: Ir\nsummary: 1";
        check(&format!("events: Ir\nsummary: {most}\n{second}"), &format!("line 4, `summary: 1`: {sum}"));
        check(&format!("events: ILmr DLmr\nfn=f\n1 {most} 1"), &format!("line 3, `1 {most} 1`: {sum}"));
    }

    #[test]
    fn a_short_file_cannot_ask_for_endless_names() {
        let mut text = format!("events: Ir\nfl=(1) {}\n", "x".repeat(1 << 20));
        (0..200).for_each(|index| text.push_str(&format!("fn=f{index}\n")));
        let error = read(text.as_bytes(), "root").unwrap_err().to_string();
        assert!(error.ends_with("the names of the functions up to here have more than 128 MiB"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in mutated(&[CACHES, JUMPS, PARTS])) {
            if let Ok(profile) = read(&bytes, "root") {
                let machine = Machine::callgrind();
                let again = read(write(&profile, &machine).as_bytes(), "root");
                prop_assert_eq!(again.unwrap().total(), profile.total());
            }
        }
    }
}
