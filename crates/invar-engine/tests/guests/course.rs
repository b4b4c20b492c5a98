//! How a guest is built and run, and what must hold of its course.
//!
//! Runs programs and compares; which guest must do what is in `guests.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;

use invar_core::diagnostic::{Diagnostic, Diagnostics};
use invar_core::event::{Event, Events};
use invar_core::wire::raw::call_paths::{CallPaths, Callee, executed};
use invar_core::wire::raw::{self, Record};

/// What is expected of a guest besides the same output and end.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub counts: Counts,
    /// Exactly these are noted, in one of the two passes or in both.
    pub diagnostics: &'static [Diagnostic],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// The same in every process and by either drain; every mode counts the same of what all count.
    Repeatable,
    /// The same in every process in one mode by one drain: where a thread gives way depends on both.
    RepeatableByMode,
    /// They depend on time or on other threads.
    Varying,
}

impl Course {
    pub const fn with(self, diagnostics: &'static [Diagnostic]) -> Course {
        Course { diagnostics, ..self }
    }

    /// The diagnostics are those of a guest that does nothing where the processor has no AVX2.
    pub fn with_avx2(self, diagnostics: &'static [Diagnostic]) -> Course {
        if std::arch::is_x86_feature_detected!("avx2") { self.with(diagnostics) } else { self }
    }
}

/// What both modes count.
const SHARED: [Event; 7] = [
    Event::Instructions,
    Event::Reads,
    Event::Writes,
    Event::RepBytes,
    Event::RepIterations,
    Event::BranchesTaken,
    Event::SystemCalls,
];

/// How a pass went.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pass {
    status: u64,
    diagnostics: Diagnostics,
    events: Vec<u64>,
}

impl Pass {
    fn shared(&self) -> Vec<u64> {
        SHARED.iter().map(|&event| self.events[event as usize]).collect()
    }
}

/// What was printed, how it ended, and the passes where there was an engine; the last by call path, if that was asked for.
#[derive(Debug)]
struct Ran {
    output: Output,
    passes: Vec<Pass>,
    call_paths: Option<CallPaths>,
}

/// The guest does under the engine what it does natively.
#[track_caller]
pub fn check(file: &str, course: Course) {
    let guest = Guest::compile(file);
    let native = guest.run(["n", "-"]).output;
    guest.check_against(&native, course);
}

/// The guest prints `expected` under the engine, whatever it prints natively.
#[track_caller]
pub fn check_with_output(file: &str, course: Course, expected: &str) {
    let guest = Guest::compile(file);
    let mut native = guest.run(["n", "-"]).output;
    native.stdout = expected.into();
    guest.check_against(&native, course);
}

/// The guest's first pass, from empty caches, counts exactly these; everything else but misses is zero.
#[track_caller]
pub fn check_by_hand(file: &str, expected: &[(Event, u64)]) {
    let expected: BTreeMap<Event, u64> = expected.iter().copied().collect();
    let guest = Guest::compile(file);
    for (mode, stack) in RUNS {
        let pass = guest.run([mode, stack]).passes.swap_remove(0);
        for event in Event::ALL {
            let shared = SHARED.contains(&event);
            let count = pass.events[event as usize];
            match expected.get(&event) {
                Some(&by_hand) if shared || mode != "c" => {
                    assert_eq!(count, by_hand, "{event:?} in mode {mode}")
                }
                None if shared => assert_eq!(count, 0, "{event:?} in mode {mode}"),
                _ => {}
            }
        }
    }
}

/// The guests count the same in ten processes, while every processor has more to do than one of them.
#[track_caller]
pub fn check_on_busy_processors(files: &[&str]) {
    let guests: Vec<Guest> = files.iter().map(|file| Guest::compile_in("guests-busy", file)).collect();
    let _busy = Busy::start();
    for guest in guests {
        for mode in ["c", "s"] {
            let first = guest.run([mode, "o"]).passes;
            assert!(!first.is_empty(), "{guest:?} was measured");
            for _ in 1..10 {
                assert_eq!(guest.run([mode, "o"]).passes, first, "{guest:?} in mode {mode}");
            }
        }
    }
}

/// Two processes for each processor that compute for ever, until it is dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Busy {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let compute = |_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
        let started: Result<_, _> = (0..2 * processors).map(compute).collect();
        Busy(started.expect("a shell is there"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for process in &mut self.0 {
            process.kill().and_then(|()| process.wait()).expect("it is ours");
        }
    }
}

/// Counts only and simulation, on the own stack and the caller's; and simulation with the reference drain.
const RUNS: [(&str, &str); 5] = [("c", "o"), ("c", "c"), ("s", "o"), ("s", "c"), ("r", "o")];

#[derive(Debug)]
struct Guest {
    program: PathBuf,
}

impl Guest {
    fn compile(file: &str) -> Guest {
        Guest::compile_in("guests", file)
    }

    /// Tests that are run at once need programs of their own. `GUEST_CC` is another C compiler, such as that of another C library.
    fn compile_in(directory: &str, file: &str) -> Guest {
        let sources = root().join("fixtures/guests");
        let cc = std::env::var("GUEST_CC").unwrap_or_else(|_| "cc".into());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&cc).join(directory);
        std::fs::create_dir_all(&directory).expect("a directory in target can be made");
        let stem = file.split('.').next().expect("a file has a stem");
        let object = directory.join(format!("{stem}.main.o"));
        let flags = ["-O1", "-g", "-pthread", "-I", "../../integrations/c", "-I", "."];
        compile(&cc, &sources, |cc| cc.args(flags).args(["-c", "main.c", "-o"]).arg(&object));
        let compiler = if file.ends_with(".cpp") { "c++" } else { &cc };
        let program = directory.join(stem);
        let pool: &[&str] = if stem == "threads_openmp" { &["-fopenmp"] } else { &[] };
        compile(compiler, &sources, |cc| {
            cc.args(flags).args(pool).arg(file).arg(&object).args(["-lm", "-ldl", "-o"]).arg(&program)
        });
        if stem == "library_reloaded" {
            for number in 0..2 {
                let library = directory.join(format!("libreloaded{number}.so"));
                let source = format!("reloaded{number}.c");
                compile(&cc, &sources, |cc| {
                    cc.args(["-shared", "-fPIC", "-O1", &source, "-o"]).arg(&library)
                });
            }
        }
        Guest { program }
    }

    /// One fresh process, with the same addresses and environment each time.
    #[track_caller]
    fn run(&self, way: [&str; 2]) -> Ran {
        let events = self.program.with_extension("events");
        let raw = self.program.with_extension("events.raw");
        let _ = std::fs::remove_file(&events);
        let _ = std::fs::remove_file(&raw);
        let output = Command::new("setarch")
            .arg("-R")
            .arg(&self.program)
            .args(way)
            .args([engine(), &events])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LD_BIND_NOW", "1")
            .output()
            .expect("setarch, of util-linux, is there");
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        let records =
            std::fs::read(&raw).map_or_else(|_| Vec::new(), |raw| raw::read(&raw).expect("a raw file"));
        let call_paths = records.into_iter().rev().find_map(|record| match record {
            Record::TakenExits { taken, .. } => Some(CallPaths::of(&taken)),
            _ => None,
        });
        Ran { output, passes: text.lines().map(parse_pass).collect(), call_paths }
    }

    /// Counts by call path sum up to the pass, are the same by either drain, and change nothing that is counted.
    #[track_caller]
    fn check_call_paths(&self, course: Course) {
        let [fast, plain] = ["S", "R"].map(|mode| self.run([mode, "o"]));
        for ran in [&fast, &plain] {
            if let Some(paths) = &ran.call_paths {
                let warm = ran.passes.last().expect("a pass with call paths");
                assert_eq!(paths.total().0.as_slice(), warm.events, "call paths sum up to the pass");
            }
        }
        if course.counts == Counts::Repeatable {
            assert_eq!(fast.passes, self.run(["s", "o"]).passes, "with call paths and without");
            let mut known = BTreeMap::new();
            let mut costs =
                |ran: &Ran| ran.call_paths.as_ref().map(|paths| costs(paths, &mut known)).unwrap_or_default();
            let (fast, plain) = (costs(&fast), costs(&plain));
            let other = fast.iter().zip(&plain).find(|(fast, plain)| fast != plain);
            assert_eq!(other, None, "call paths by either drain");
            assert_eq!(fast.len(), plain.len(), "call paths by either drain");
        }
    }

    #[track_caller]
    fn check_against(&self, native: &Output, course: Course) {
        self.check_call_paths(course);
        let mut shared: Option<Vec<Vec<u64>>> = None;
        for (mode, stack) in RUNS {
            let ran = self.run([mode, stack]);
            let what = format!("mode {mode}, stack {stack}");
            assert_eq!(
                text(&ran.output.stdout),
                text(&native.stdout),
                "what it prints, {what}: {:?}",
                ran.output
            );
            assert_eq!(ran.output.status, native.status, "how it ends, {what}: {:?}", ran.output);
            let mut noted = Diagnostics::default();
            for pass in &ran.passes {
                assert_eq!(pass.status, 0, "the engine's status, {what}");
                noted.0 |= pass.diagnostics.0;
            }
            if !ran.passes.is_empty() {
                // Without a trace there are no addresses to be approximate.
                let exact =
                    |diagnostic: &Diagnostic| mode != "c" || *diagnostic != Diagnostic::ApproximateAddresses;
                let expected: Vec<_> = course.diagnostics.iter().copied().filter(exact).collect();
                assert_eq!(noted.to_vec(), expected, "what is noted, {what}");
            }
            if course.counts == Counts::RepeatableByMode && stack == "o" {
                assert_eq!(self.run([mode, stack]).passes, ran.passes, "two processes, {what}");
            }
            if course.counts == Counts::Repeatable && stack == "o" {
                let again = if mode == "r" { "s" } else { mode };
                assert_eq!(self.run([again, stack]).passes, ran.passes, "two processes, {what} and {again}");
                let counts = ran.passes.iter().map(Pass::shared).collect::<Vec<_>>();
                assert_eq!(
                    shared.get_or_insert_with(|| counts.clone()),
                    &counts,
                    "every mode counts {SHARED:?}"
                );
            }
        }
    }
}

/// What each call path cost at each address, and how often it was called; whatever superblocks there were. Paths with the
/// same number in `known` are the same.
fn costs(
    paths: &CallPaths,
    known: &mut BTreeMap<(usize, Callee), usize>,
) -> BTreeMap<(usize, u64), (u64, Events)> {
    let mut numbers: Vec<usize> = Vec::new();
    let mut costs: BTreeMap<(usize, u64), (u64, Events)> = BTreeMap::new();
    for call in &paths.calls {
        let caller = numbers.get(call.parent as usize).copied().unwrap_or(0);
        let next = known.len() + 1;
        let number = *known.entry((caller, call.callee)).or_insert(next);
        costs.entry((number, 0)).or_default().0 += call.calls;
        numbers.push(number);
    }
    for stretch in &paths.stretches {
        for number in stretch.first..stretch.first + stretch.instructions {
            let instruction = &paths.instructions[number as usize];
            let cost = costs.entry((numbers[stretch.call as usize], instruction.address)).or_default();
            cost.1 += executed(instruction, stretch.times);
        }
    }
    for extra in &paths.extras {
        let address = paths.instructions[extra.instruction as usize].address;
        costs.entry((numbers[extra.call as usize], address)).or_default().1.add(extra.event, extra.count);
    }
    costs
}

#[track_caller]
fn compile(compiler: &str, directory: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = Command::new(compiler);
    command.current_dir(directory);
    let output = arguments(&mut command).output().expect("a C and a C++ compiler are there");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn parse_pass(line: &str) -> Pass {
    let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().expect("a count is a number")).collect();
    Pass { status: numbers[0], diagnostics: Diagnostics(numbers[1]), events: numbers[2..].to_vec() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The engine's library, built once for all tests.
fn engine() -> &'static Path {
    static ENGINE: OnceLock<PathBuf> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let package = root().join("integrations/c");
        let output = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", package.join("target"))
            .output()
            .expect("cargo is there");
        assert!(output.status.success(), "{}", text(&output.stderr));
        package.join("target/release/libinvar_engine.so").canonicalize().expect("it was built")
    })
}
