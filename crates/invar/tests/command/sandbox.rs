//! A checkout of its own for a test, and a suite that pretends to measure.
//!
//! Nothing of who runs the test gets in: no home, no configuration of git, no store. Commits are made at a fixed time, so
//! that their ids are the same everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::profile::Profile;
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_core::wire::raw::{self, Mode, Pass, Record};
use invar_store::Store;

/// A directory with a repository in it.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// A pretended benchmark: name and instructions.
pub type Benchmark<'a> = (&'a str, u64);

/// Three benchmarks in two files.
pub const SUITE: [Benchmark<'static>; 3] = [
    ("tests/test_fibo.py::big", 1_200_000),
    ("tests/test_fibo.py::small", 1200),
    ("tests/test_json.py::dump", 3_000_000),
];

/// How a pretended suite differs from one that goes well.
#[derive(Default)]
pub struct Manner<'a> {
    /// Whether it ends before it has said so.
    pub breaks_off: bool,
    /// How many benchmarks it announces; `None`: as many as it measures.
    pub collected: Option<usize>,
    /// More progress lines.
    pub also_says: &'a [&'a str],
    /// What it does at its end, as a shell command.
    pub ends_with: &'a str,
    /// Whether it counts only.
    pub counts: bool,
    /// The machine.
    pub machine: Option<Machine>,
}

impl Sandbox {
    /// A repository without a commit, on branch `main`.
    pub fn repository() -> Sandbox {
        let sandbox = Sandbox::empty();
        sandbox.git(&["init", "--quiet", "--initial-branch=main"]);
        sandbox
    }

    /// A directory without a repository.
    pub fn empty() -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("checkout")).unwrap();
        Sandbox { folder }
    }

    /// The checkout.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("checkout")
    }

    /// Writes a file of the checkout.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).unwrap();
    }

    /// Commits a file of that content.
    pub fn commit(&self, message: &str) {
        self.write("source.py", message);
        self.git(&["add", "source.py"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    /// Asks git, which must succeed.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.command("git").args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// The command, in the checkout.
    pub fn invar(&self, arguments: &[&str]) -> Said {
        Said::of(self, self.command(env!("CARGO_BIN_EXE_invar")).args(arguments).output().unwrap())
    }

    /// A program in the checkout, with an environment of its own.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.folder.path()).env("LC_ALL", "C.UTF-8");
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "art049").env(format!("GIT_{who}_EMAIL"), "a@example.org");
            command.env(format!("GIT_{who}_DATE"), "2024-07-25T12:00:00Z");
        }
        command
    }

    /// `invar run` of a suite that measures these, and ends well.
    pub fn run(&self, arguments: &[&str], suite: &[Benchmark<'_>]) -> Said {
        self.run_so(arguments, suite, &Manner::default())
    }

    /// `invar run` of a suite that measures these, in this manner.
    pub fn run_so(&self, arguments: &[&str], suite: &[Benchmark<'_>], manner: &Manner<'_>) -> Said {
        let script = self.suite(suite, manner);
        self.invar(&[&["run"], arguments, &["--", "sh", script.to_str().unwrap()]].concat())
    }

    /// Keeps a run of the commit that is checked out, of one benchmark, with its profile. Numbers order runs.
    pub fn keep(&self, number: u32, benchmark: &str, profile: Option<&Profile>) {
        let id = format!("0190f3c2-7b1e-7cc3-9a54-{number:012x}");
        let started = Timestamp(1_721_908_800_000_000 + i64::from(number));
        let mut run = Run::started(&id, started, Machine::reference_1());
        run.source = Some(Source {
            commit: Some(self.git(&["rev-parse", "HEAD"])),
            branch: Some("main".to_string()),
            ..Source::default()
        });
        run.measurements.push(Measurement {
            benchmark: invar_core::benchmark::Benchmark::named(benchmark),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm: profile.map_or_else(|| events(1000), Profile::total),
            diagnostics: Diagnostics::default(),
        });
        let profiles = profile.map(|profile| (benchmark.to_string(), profile.clone())).into_iter().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&self.path().join(".invar")).await.unwrap();
            store.put_with(&run, &profiles).await.unwrap();
            store.close().await;
        });
    }

    /// A script that leaves behind what a measuring process would.
    pub fn suite(&self, suite: &[Benchmark<'_>], manner: &Manner<'_>) -> PathBuf {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        fs::write(folder.join("raw"), raw_file(suite, manner)).unwrap();
        fs::write(folder.join("progress"), progress_file(suite, manner)).unwrap();
        let script = folder.join("suite.sh");
        let folder = folder.display();
        let ends_with = manner.ends_with;
        let text = format!(
            "cat {folder}/progress > $INVAR_RUN_DIR/progress-$$.jsonl\ncat {folder}/raw > $INVAR_RUN_DIR/raw-$$.invar\n{ends_with}\n"
        );
        fs::write(&script, text).unwrap();
        script
    }
}

/// What so many instructions do: a third as many reads, some of which miss.
pub fn events(instructions: u64) -> Events {
    let mut events = Events::default();
    events.add(Event::Instructions, instructions);
    events.add(Event::Reads, instructions / 3);
    events.add(Event::L1dReadMisses, instructions / 1000);
    events.add(Event::L2Misses, instructions / 2000);
    events.add(Event::L3Misses, instructions / 4000);
    events
}

fn raw_file(suite: &[Benchmark<'_>], manner: &Manner<'_>) -> Vec<u8> {
    let machine = manner.machine.clone().unwrap_or_else(Machine::reference_1);
    let process = Record::Process { pid: 1, engine: "0.1.0".to_string(), machine: machine.text() };
    let passes = suite.iter().flat_map(|&(name, instructions)| {
        let mut events = events(instructions);
        if manner.counts {
            for event in [Event::L1dReadMisses, Event::L2Misses, Event::L3Misses] {
                events.0[event as usize] = 0;
            }
        }
        [Pass::Cold, Pass::Warm].map(|pass| Record::Pass {
            benchmark: name.to_string(),
            pass,
            mode: if manner.counts { Mode::Counts } else { Mode::Simulation },
            events,
            diagnostics: Diagnostics::default(),
        })
    });
    let mut bytes = raw::header().to_vec();
    for record in std::iter::once(process).chain(passes) {
        record.write(&mut bytes);
    }
    bytes
}

fn progress_file(suite: &[Benchmark<'_>], manner: &Manner<'_>) -> String {
    let process = r#"{"event": "process", "language": "python", "runtime": "CPython 3.13.2",
        "integration": "pytest-invar 0.1.0", "packages": {}}"#;
    let collected = manner.collected.unwrap_or(suite.len());
    let mut lines =
        vec![process.replace('\n', ""), format!(r#"{{"event": "collected", "benchmarks": {collected}}}"#)];
    for (name, instructions) in suite {
        lines.push(format!(r#"{{"event": "started", "benchmark": "{name}"}}"#));
        lines.push(format!(
            r#"{{"event": "measured", "benchmark": "{name}", "instructions": {instructions}}}"#
        ));
    }
    lines.extend(manner.also_says.iter().map(ToString::to_string));
    if !manner.breaks_off {
        lines.push(r#"{"event": "finished", "exit": 0}"#.to_string());
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What a command said, and how it ended.
pub struct Said {
    /// Its exit status; -1 if it was killed.
    pub status: i32,
    /// Its output, with what differs from run to run replaced.
    pub stdout: String,
    /// Its error output, in the same way.
    pub stderr: String,
    /// Its output as it was.
    pub raw_stdout: String,
}

impl Said {
    /// What a finished process said.
    pub fn of(sandbox: &Sandbox, output: Output) -> Said {
        let raw_stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Said {
            status: output.status.code().unwrap_or(-1),
            stdout: stable(&raw_stdout, sandbox.folder.path()),
            stderr: stable(&stderr, sandbox.folder.path()),
            raw_stdout,
        }
    }

    /// All of it as a snapshot shows it.
    pub fn whole(&self) -> String {
        format!("{}{}exit status {}\n", self.stdout, self.stderr, self.status)
    }
}

/// Replaces what differs from run to run: directories, ids, digests and times.
fn stable(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "[FOLDER]");
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let mut line = line.to_string();
        for before in ["run ", "invar-run-"] {
            let mut from = 0;
            while let Some(at) = line[from..].find(before).map(|at| from + at + before.len()) {
                let digits = line[at..].chars().take_while(char::is_ascii_hexdigit).count();
                if digits == 6 {
                    line.replace_range(at..at + 6, "[RUN]");
                }
                from = at;
            }
        }
        if let Some((folder, rest)) = line.split_once("blobs/")
            && rest.len() > 2 + 1 + 64
            && rest[3..67].chars().all(|digit| digit.is_ascii_hexdigit())
        {
            line = format!("{folder}blobs/[DIGEST]{}", &rest[67..]);
        }
        if let Some(at) = line.find("took ").map(|at| at + 5) {
            let end = line[at..].trim_end().trim_end_matches('.').len() + at;
            line.replace_range(at..end, "[TIME]");
        }
        out.push_str(&line);
    }
    out
}
