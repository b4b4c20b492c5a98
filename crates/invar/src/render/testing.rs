//! Runs for tests of rendering, made of a few numbers.

use invar_core::benchmark::Benchmark;
use invar_core::compare::Comparison;
use invar_core::config::Policy;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::profile::{Both, Builder, Function, Kind, PAYERS, Profile, Why};
use invar_core::report::{Paid, Report, ReportOptions};
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;

use super::{Colour, View};

/// A terminal with room.
pub(crate) fn wide() -> View {
    View { width: 110, colour: Colour::Plain }
}

/// A measurement of so many instructions, a third as many reads, and reads that missed every level.
pub(crate) fn measurement(name: &str, instructions: u64, misses: u64) -> Measurement {
    let mut warm = Events::default();
    warm.add(Event::Instructions, instructions);
    warm.add(Event::Reads, instructions / 3);
    warm.add(Event::L1dReadMisses, 3 * misses);
    warm.add(Event::L2Misses, 2 * misses);
    warm.add(Event::L3Misses, misses);
    Measurement {
        benchmark: Benchmark { line: Some(12), ..Benchmark::named(name) },
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm,
        diagnostics: Diagnostics::default(),
    }
}

/// A run on a branch.
pub(crate) fn run(branch: &str, measurements: &[(&str, u64, u64)]) -> Run {
    let main = branch == "main";
    let id =
        if main { "0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001" } else { "0190f3c2-7b1e-7cc3-9a54-3f1a0c6de002" };
    let mut run = Run::started(id, Timestamp(1_721_908_800_000_000), Machine::reference_1());
    run.command = vec!["pytest".to_string(), "my benchmarks/".to_string()];
    run.source = Some(Source {
        commit: Some(format!("{:0<40}", if main { "8607178" } else { "487a918" })),
        branch: Some(branch.to_string()),
        message: Some("Improve iterative fibo".to_string()),
        author: Some("art049".to_string()),
        ..Source::default()
    });
    run.environment.set("runtime", "python", "3.13.2");
    let measurement =
        |&(name, instructions, misses): &(&str, u64, u64)| measurement(name, instructions, misses);
    run.measurements = measurements.iter().map(measurement).collect();
    run.sort();
    run
}

const BASE: [(&str, u64, u64); 4] = [
    ("tests/test_fibo.py::iterative_fibo_big", 1_200_000, 300),
    ("tests/test_fibo.py::iterative_fibo_small", 1200, 0),
    ("tests/test_fibo.py::recursive_fibo[10]", 104_000, 0),
    ("tests/test_json.py::dump_big", 3_000_000, 1000),
];

/// The run of the baseline.
pub(crate) fn fibo() -> Run {
    run("main", &BASE)
}

/// Baseline, candidate, comparison: one improved, one regressed by layout, two unchanged, one new.
pub(crate) fn compared() -> (Run, Run, Comparison) {
    let mut head = BASE;
    head[0] = (head[0].0, 1_080_000, 270);
    head[1].1 += 3;
    head[3].2 += 5000;
    let head = run("faster", &[&head[..], &[("tests/test_json.py::load_big", 2_000_000, 10)]].concat());
    let comparison = Comparison::of(&fibo(), &head, &Policy::default()).unwrap();
    (fibo(), head, comparison)
}

/// The report of a candidate against a baseline under the default policy.
pub(crate) fn report(base: &Run, head: &Run) -> Report {
    let policy = Policy::default();
    let comparison = Comparison::of(base, head, &policy).unwrap();
    Report::of(&comparison, &policy, ReportOptions::default())
}

/// The report of [`compared`].
pub(crate) fn mixed() -> Report {
    let (base, head, _) = compared();
    report(&base, &head)
}

/// A profile: `fibo` calls `add` a thousand times, the interpreter's loop runs both, and adds in so many instructions.
pub(crate) fn profile(adding: u64) -> Profile {
    let mut builder = Builder::new("tests/test_fibo.py::iterative_fibo_big");
    let mut function = |name: &str, file: &str, line: u32, kind: Kind| {
        let object = if kind == Kind::Python { "" } else { "libpython3.13.so.1.0" };
        let (name, object, file) = (name.to_string(), object.to_string(), file.to_string());
        builder.function(Function { name, object, file, kind, line })
    };
    let fibo = function("fibo", "src/fibo.py", 12, Kind::Python);
    let add = function("add", "src/fibo.py", 20, Kind::Python);
    let eval = function("_PyEval_EvalFrameDefault", "Python/ceval.c", 900, Kind::Interpreter);
    let long_add = function("long_add", "Objects/longobject.c", 100, Kind::Native);
    let events = |instructions| measurement("", instructions, instructions / 10_000).warm;
    let fibo = builder.child(Builder::ROOT, fibo, false);
    builder.add_calls(fibo, 1);
    let loops = builder.child(fibo, eval, false);
    builder.add(loops, &events(40_000));
    let add = builder.child(loops, add, false);
    builder.add_calls(add, 1000);
    let loops = builder.child(add, eval, false);
    builder.add(loops, &events(60_000));
    let node = builder.child(loops, long_add, false);
    builder.add_calls(node, 1000);
    builder.add(node, &events(adding));
    builder.add_line(long_add, 100, &events(adding / 4));
    builder.add_line(long_add, 102, &events(adding / 2));
    builder.finish()
}

/// The report of [`compared`], with who pays for one change, and a profile missing for the other.
pub(crate) fn explained() -> Report {
    let mut report = mixed();
    let (base, head) = (profile(220_000), profile(100_000));
    let why = Why::of(Both { base: &base, head: &head }, &Machine::reference_1(), PAYERS);
    report.explain("tests/test_fibo.py::iterative_fibo_big", Paid::By(Box::new(why)));
    report.explain("tests/test_json.py::dump_big", Paid::Unknown("the baseline has no profile".to_string()));
    report
}
