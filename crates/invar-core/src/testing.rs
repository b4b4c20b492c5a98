//! Runs and profiles for tests, made of a few numbers.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::benchmark::Benchmark;
use crate::diagnostic::Diagnostics;
use crate::event::{Event, Events};
use crate::instrument::Instrument;
use crate::machine::Machine;
use crate::measurement::Measurement;
use crate::noise::Verification;
use crate::profile::{Builder, Function, Kind, Profile};
use crate::run::{Run, Timestamp};
use crate::source::Source;

/// A measurement of so many instructions, data reads that hit, and reads that missed every level.
pub(crate) fn measurement(name: &str, instructions: u64, misses: u64) -> Measurement {
    let mut warm = Events::default();
    warm.add(Event::Instructions, instructions);
    warm.add(Event::Reads, 1000);
    for event in [Event::L1dReadMisses, Event::L2Misses, Event::L3Misses] {
        warm.add(event, misses);
    }
    Measurement {
        benchmark: Benchmark::named(name),
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm,
        diagnostics: Diagnostics::default(),
    }
}

/// A run on a branch of measurements named in one word each: name, instructions, misses.
pub(crate) fn run(branch: &str, measurements: &[(&str, u64, u64)]) -> Run {
    let mut run = Run::started("0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001", Timestamp(0), Machine::reference_1());
    run.source = Some(Source {
        commit: Some(format!("{:0<40}", if branch == "main" { "8607178" } else { "487a918" })),
        branch: Some(branch.to_string()),
        ..Source::default()
    });
    let measurement =
        |&(name, instructions, misses): &(&str, u64, u64)| measurement(name, instructions, misses);
    run.measurements = measurements.iter().map(measurement).collect();
    run.sort();
    run
}

/// A verification of these runs, a circumstance each; the first is the usual one.
pub(crate) fn verification(runs: &[Run]) -> Verification {
    let id = "0190f3c2-7b1e-7cc3-9a54-3f1a0c6de0ff";
    let command = vec!["pytest".to_string()];
    let machine = Machine::reference_1();
    let mut verification = Verification::begin(id, Timestamp(0), command, machine, Instrument::Simulation);
    for (number, run) in runs.iter().enumerate() {
        verification.add(&format!("circumstance {number}"), run, None);
    }
    verification
}

/// A profile from its picture: a node a line, two spaces deeper than its caller; kind and name, calls, instructions, and
/// reads that missed every level. `py:`, `int:` and `inl:` stand before Python functions, interpreter's and inlined ones, and
/// `line:f@12` is a line of `f`.
pub(crate) fn profile(picture: &str) -> Profile {
    let mut lines = picture.lines();
    let number = |word: Option<&str>| word.map_or(0, |word| word.parse().unwrap());
    let cost = |words: &mut std::str::SplitWhitespace<'_>| {
        let (calls, instructions, misses) =
            (number(words.next()), number(words.next()), number(words.next()));
        (calls, events(instructions, misses))
    };
    let mut words = lines.next().unwrap().split_whitespace();
    let mut builder = Builder::new(words.next().unwrap());
    let (_, own) = cost(&mut words);
    builder.add(Builder::ROOT, &own);
    let mut path = vec![Builder::ROOT];
    let mut indent_of_first = None;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        let depth = 1 + (indent - *indent_of_first.get_or_insert(indent)) / 2;
        path.truncate(depth);
        let mut words = line.split_whitespace();
        let (function, inlined) = function(words.next().unwrap());
        let function = builder.function(function);
        let node = builder.child(*path.last().unwrap(), function, inlined);
        let (calls, own) = cost(&mut words);
        builder.add_calls(node, calls);
        builder.add(node, &own);
        path.push(node);
    }
    builder.finish()
}

/// The picture of a profile, without an indent before the root's callees.
pub(crate) fn picture(profile: &Profile) -> String {
    let mut depths: Vec<usize> = Vec::new();
    let mut picture = String::new();
    for (index, node) in profile.nodes.iter().enumerate() {
        let depth = if index == 0 { 0 } else { depths[node.parent as usize] + 1 };
        depths.push(depth);
        let function = profile.function_of(node);
        let kind = match function.kind {
            _ if node.inlined => "inl:",
            Kind::Native => "",
            Kind::Interpreter => "int:",
            Kind::Python => "py:",
            Kind::Line => "line:",
        };
        let line = if function.kind == Kind::Line { format!("@{}", function.line) } else { String::new() };
        let indent = "  ".repeat(depth.saturating_sub(1));
        let (instructions, misses) = (node.own.get(Event::Instructions), node.own.get(Event::L3Misses));
        picture.push_str(&format!("{indent}{kind}{}{line} {} {instructions}", function.name, node.calls));
        if misses > 0 {
            picture.push_str(&format!(" {misses}"));
        }
        picture.push('\n');
    }
    picture
}

/// So many instructions, and reads that missed every level.
pub(crate) fn events(instructions: u64, misses: u64) -> Events {
    let mut events = Events::default();
    events.add(Event::Instructions, instructions);
    for event in [Event::Reads, Event::L1dReadMisses, Event::L2Misses, Event::L3Misses] {
        events.add(event, misses);
    }
    events
}

fn function(word: &str) -> (Function, bool) {
    let (kind, name) = word.split_once(':').unwrap_or(("", word));
    let (name, line) = name.split_once('@').unwrap_or((name, "12"));
    let line = line.parse().unwrap();
    let (kind, object, ending) = match kind {
        "py" => (Kind::Python, "", "py"),
        "int" => (Kind::Interpreter, "libpython3.so", "c"),
        "line" => (Kind::Line, "", "py"),
        _ => (Kind::Native, "libtest.so", "c"),
    };
    let file = format!("src/{name}.{ending}");
    let function = Function { name: name.to_string(), object: object.to_string(), file, kind, line };
    (function, word.starts_with("inl:"))
}

/// Any profile of few functions, with lines.
pub(crate) fn any_profile() -> impl Strategy<Value = Profile> {
    let event = (0..Event::COUNT, prop_oneof![0..9_u64, any::<u32>().prop_map(u64::from)]);
    let node =
        (any::<prop::sample::Index>(), 0..6_usize, any::<bool>(), 0..4_u64, vec(event, 0..4), 0..3_u32);
    vec(node, 0..40).prop_map(|nodes| {
        let mut builder = Builder::new("test_it");
        let mut made = vec![Builder::ROOT];
        for (caller, name, inlined, calls, counts, line) in nodes {
            let word = ["a", "b", "py:c", "py:d", "int:e", "int:f"][name];
            let function = Function { line: line / 2, ..function(word).0 };
            let function = builder.function(function);
            let node = builder.child(*caller.get(&made), function, inlined);
            made.push(node);
            builder.add_calls(node, calls);
            let mut own = Events::default();
            counts.into_iter().for_each(|(event, count)| own.add(Event::ALL[event], count));
            builder.add(node, &own);
            if name == 2 && line > 0 {
                let (line, _) = self::function(&format!("line:c@{line}"));
                let line = builder.function(line);
                let line = builder.child(node, line, false);
                builder.add_calls(line, calls);
                builder.add(line, &own);
                made.push(line);
            }
            // At line 0 and 2 only, so that some functions have no lines.
            if line != 1 {
                builder.add_line(function, line, &own);
            }
        }
        builder.finish()
    })
}
