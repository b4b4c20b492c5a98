//! Real commands: shells that say and leave behind what a measuring process would.

use std::ffi::OsString;
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use invar_core::diagnostic::Diagnostics;
use invar_core::event::Events;
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::run::{Exit, Run};
use invar_core::wire::raw::{self, Mode, Pass, Record};
use invar_runner::{Event, Options, Output, RunError};

/// Finds the run directory `$run` as docs/protocol.md says, and tells (`say`) what happens.
const PROTOCOL: &str = r#"
holds() { test -e "$1/request.json"; }
pid=$$
while test "$pid" -gt 1; do
    run=/proc/$pid/fd/198
    if holds $run; then break; fi
    run=$(tr '\0' '\n' < /proc/$pid/environ | sed -n 's/^INVAR_RUN_DIR=//p')
    if holds "$run"; then break; fi
    pid=$(sed 's/.*) . \([0-9]*\) .*/\1/' /proc/$pid/stat)
    run=
done
say() { echo "$1" >> "$run/progress-$$.jsonl"; }
measured() {
    say "{\"event\":\"started\",\"benchmark\":\"$1\"}"
    say "{\"event\":\"measured\",\"benchmark\":\"$1\",\"instructions\":7}"
}
"#;

/// A directory with files for the command: `protocol` to be sourced, and raw files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::write(place.path("protocol"), PROTOCOL).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A raw file of both passes of these benchmarks.
    fn raw(&self, name: &str, benchmarks: &[&str]) {
        std::fs::write(self.path(name), raw_file(benchmarks)).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            directory: self.0.path().to_path_buf(),
            machine: Machine::reference_1(),
            instrument: Instrument::Simulation,
            profile: true,
            python_lines: false,
            pass_env: Vec::new(),
            shared_process: false,
            jobs: NonZero::<u16>::MIN,
            layout: 0,
            only: None,
            default_branch: None,
            id: None,
            output: Output::default(),
        }
    }

    fn run(&self, command: &[&str]) -> (Result<Run, RunError>, Vec<Event>) {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        let mut events = Vec::new();
        let run = invar_runner::run(&command, &self.options(), &mut |event| events.push(event));
        (run.map(|outcome| outcome.run), events)
    }

    /// A shell that executes `script` with the protocol at hand.
    fn script(&self, script: &str) -> (Run, Vec<Event>) {
        let (run, events) = self.run(&["sh", "-c", &format!(". ./protocol\n{script}")]);
        (run.unwrap(), events)
    }

    #[track_caller]
    fn check_error(&self, command: &[&str], expected: &str) {
        let error = self.run(command).0.unwrap_err();
        assert_eq!(error.to_string().replace(&self.0.path().display().to_string(), "PLACE"), expected);
    }
}

fn raw_file(benchmarks: &[&str]) -> Vec<u8> {
    let mut bytes = raw::header().to_vec();
    let machine = Machine::reference_1().text();
    Record::Process { pid: 7, engine: "0.1.0".into(), machine }.write(&mut bytes);
    for benchmark in benchmarks {
        for pass in [Pass::Cold, Pass::Warm] {
            let mut events = Events::default();
            events.add(invar_core::event::Event::Instructions, 7);
            let benchmark = benchmark.to_string();
            let diagnostics = Diagnostics::default();
            Record::Pass { benchmark, pass, mode: Mode::Simulation, events, diagnostics }.write(&mut bytes);
        }
    }
    bytes
}

fn measured(run: &Run) -> Vec<&str> {
    run.measurements.iter().map(|measurement| measurement.benchmark.id.as_str()).collect()
}

#[test]
fn what_a_command_writes_can_be_told() {
    let place = Place::new();
    let command = ["sh", "-c", "echo a; echo b >&2; printf c"].map(OsString::from);
    let mut events = Vec::new();
    let options = Options { output: Output::Told, ..place.options() };
    invar_runner::run(&command, &options, &mut |event| events.push(event)).unwrap();
    assert_eq!(events, ["a", "b", "c"].map(|line| Event::Output { line: line.to_string() }));
}

#[test]
fn what_a_command_measures_becomes_a_run() {
    let place = Place::new();
    place.raw("raw", &["t.py::b", "t.py::a"]);
    let (run, events) = place.script(
        r#"
        say '{"event":"process","language":"python","runtime":"CPython 3.11.7","integration":"pytest-invar 0.1.0","packages":{"numpy":"2.1"}}'
        say '{"event":"collected","benchmarks":2}'
        measured t.py::a
        measured t.py::b
        cp raw $run/raw-$$.invar
        say '{"event":"finished","exit":0}'"#,
    );
    assert_eq!(measured(&run), ["t.py::a", "t.py::b"]);
    assert_eq!((run.exit, run.incomplete.as_deref()), (Some(Exit::Status(0)), None));
    assert_eq!(run.warnings, [""; 0]);
    assert_eq!(run.source, None);
    assert_eq!(run.environment.get("engine", "version"), Some("0.1.0"));
    assert_eq!(run.environment.get("packages", "numpy"), Some("2.1"));
    assert_eq!(run.command[..2], ["sh", "-c"]);
    assert_eq!(run.id.as_bytes()[14], b'7', "{} is no UUIDv7", run.id);
    assert!(run.started.0 > 0 && run.took_micros.is_some());

    let name = |name: &str| name.to_string();
    let started = |benchmark| Event::Started { benchmark: name(benchmark) };
    let measured = |benchmark| Event::Measured { benchmark: name(benchmark), instructions: 7 };
    let process = Event::Process { runtime: name("CPython 3.11.7"), integration: name("pytest-invar 0.1.0") };
    let expected = [
        process,
        Event::Collected { benchmarks: 2 },
        started("t.py::a"),
        measured("t.py::a"),
        started("t.py::b"),
        measured("t.py::b"),
        Event::Finished { exit: 0 },
    ];
    assert_eq!(events, expected);
}

#[test]
fn events_come_while_the_command_runs() {
    let place = Place::new();
    let mark = place.path("mark");
    let command =
        ". ./protocol; say '{\"event\":\"collected\",\"benchmarks\":1}'; until test -e mark; do :; done";
    let command: Vec<OsString> = ["sh", "-c", command].iter().map(OsString::from).collect();
    // The command ends only after its event has come.
    let mut on_event = |event| {
        assert_eq!(event, Event::Collected { benchmarks: 1 });
        std::fs::write(&mark, "").unwrap();
    };
    invar_runner::run(&command, &place.options(), &mut on_event).unwrap();
    assert!(mark.exists());
}

/// The measuring process runs behind `before`, with `script` as its last word.
#[track_caller]
fn check_found_behind(before: &[&str]) {
    let place = Place::new();
    place.raw("raw", &["a"]);
    let script = ". ./protocol; cp raw $run/raw-$$.invar";
    let command: Vec<&str> = before.iter().copied().chain(["sh", "-c", script]).collect();
    let (run, _) = place.run(&command);
    assert_eq!(measured(&run.unwrap()), ["a"], "{before:?}");
}

#[test]
fn the_run_directory_is_found_by_the_command_and_by_its_children() {
    check_found_behind(&[]);
    check_found_behind(&["sh", "-c", r#""$@"; exit"#, "sh"]);
}

#[test]
fn the_run_directory_is_found_where_the_environment_was_scrubbed() {
    check_found_behind(&["env", "-i", "PATH=/usr/bin:/bin"]);
    // As tox does it: a process of its own between, and what it starts has neither variables nor descriptors.
    check_found_behind(&["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", r#""$@" 198<&-; exit"#, "sh"]);
    // Out of the session, but not out of the family.
    check_found_behind(&["setsid", "--wait", "env", "-i", "PATH=/usr/bin:/bin"]);
}

#[test]
#[ignore = "the inner runner of the next test, which runs this as a process of its own"]
fn inner_runner() {
    check_found_behind(&["env", "-i", "PATH=/usr/bin:/bin"]);
}

#[test]
fn a_runner_under_a_runner_has_a_run_directory_of_its_own() {
    let this = std::env::current_exe().unwrap();
    let place = Place::new();
    let (run, _) = place.run(&[this.to_str().unwrap(), "inner_runner", "--exact", "--ignored"]);
    let run = run.unwrap();
    assert_eq!((measured(&run), run.exit), (vec![], Some(Exit::Status(0))));
}

#[test]
#[ignore = "the runner of the next test, which runs this as a process of its own"]
fn runner_of_a_command_that_prints() {
    let (run, _) = Place::new().script("echo out of the command; echo beside it >&2");
    assert_eq!(run.exit, Some(Exit::Status(0)));
}

#[test]
fn what_the_command_prints_goes_to_the_error_output() {
    let mut runner = std::process::Command::new(std::env::current_exe().unwrap());
    runner.args(["runner_of_a_command_that_prints", "--exact", "--ignored", "--nocapture"]);
    let output = runner.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && !out.contains("of the command"), "{out}");
    assert!(err.contains("out of the command\nbeside it\n"), "{err}");
}

#[test]
fn the_request_says_what_is_asked_for() {
    let place = Place::new();
    let mut options = place.options();
    options.instrument = Instrument::Counts;
    options.pass_env = vec!["DATABASE_URL".to_string()];
    let command = ["sh", "-c", ". ./protocol; cp $run/request.json ."].map(OsString::from);
    invar_runner::run(&command, &options, &mut |_| {}).unwrap();
    let request: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path("request.json")).unwrap()).unwrap();
    assert_eq!(request["mode"], "counts");
    assert!(request["pass"].as_array().unwrap().contains(&"DATABASE_URL".into()));
    assert_eq!(request["environment"]["PYTHONHASHSEED"], "0");
}

#[test]
fn the_run_directory_is_gone_afterwards() {
    let place = Place::new();
    let (_, _) = place.script("echo $INVAR_RUN_DIR > where");
    let path = std::fs::read_to_string(place.path("where")).unwrap();
    assert!(path.contains("invar-run-") && !Path::new(path.trim()).exists(), "{path}");
}

#[test]
fn a_command_that_measures_nothing_is_a_run_with_nothing() {
    let (run, events) = Place::new().script("exit 3");
    assert_eq!((run.measurements.len(), run.exit), (0, Some(Exit::Status(3))));
    assert_eq!((run.incomplete, events), (None, vec![]));
}

#[test]
fn a_killed_command_keeps_what_was_measured() {
    let place = Place::new();
    place.raw("raw", &["a"]);
    let (run, _) = place.script(
        r#"say '{"event":"collected","benchmarks":2}'
        measured a
        cp raw $run/raw-$$.invar
        say '{"event":"started","benchmark":"b"}'
        kill -KILL $$"#,
    );
    assert_eq!((measured(&run), run.exit), (vec!["a"], Some(Exit::Signal(9))));
    let expected = "the command was killed by SIGKILL while it measured `b`; 1 of 2 benchmarks were reached";
    assert_eq!(run.incomplete.as_deref(), Some(expected));
}

#[test]
fn a_raw_file_cut_off_by_a_kill_keeps_its_whole_records() {
    let place = Place::new();
    let whole = raw_file(&["a"]).len();
    std::fs::write(place.path("cut"), &raw_file(&["a", "b"])[..whole + 30]).unwrap();
    std::fs::write(place.path("empty"), "").unwrap();
    let (run, _) = place.script("cp cut $run/raw-1.invar; cp empty $run/raw-2.invar; kill -KILL $$");
    assert_eq!(measured(&run), ["a"]);
}

#[test]
fn a_raw_file_that_met_a_full_disk_keeps_what_came_before() {
    let place = Place::new();
    let mut bytes = raw_file(&["a"]);
    bytes.extend_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 7]);
    std::fs::write(place.path("broken"), bytes).unwrap();
    let (run, _) = place.script("cp broken $run/raw-1.invar");
    assert_eq!(measured(&run), ["a"]);
    let [warning] = &run.warnings[..] else { panic!("{:?}", run.warnings) };
    assert!(warning.starts_with("some results were not written whole (is the disk full?)"), "{warning}");
}

#[test]
fn a_raw_file_of_a_newer_engine_is_refused() {
    let place = Place::new();
    let mut bytes = raw_file(&["a"]);
    bytes[6] = 9;
    std::fs::write(place.path("raw"), bytes).unwrap();
    place.check_error(
        &["sh", "-c", ". ./protocol; cp raw $run/raw-1.invar"],
        "cannot read what was measured: raw format 9 is newer than 1, the newest this build reads; \
         install the integration that belongs to this Invar",
    );
}

#[test]
fn a_failed_benchmark_is_in_the_run_with_its_reason() {
    let (run, _) = Place::new().script(
        r#"say '{"event":"collected","benchmarks":1}'
        say '{"event":"started","benchmark":"a"}'
        say '{"event":"failed","benchmark":"a","message":"ValueError: no"}'
        say '{"event":"finished","exit":1}'
        exit 1"#,
    );
    assert_eq!(run.failed["a"], "ValueError: no");
    assert_eq!((run.incomplete, run.exit), (None, Some(Exit::Status(1))));
}

#[test]
fn skipped_benchmarks_are_a_warning() {
    let (run, _) = Place::new().script(
        r#"say '{"event":"collected","benchmarks":3}'
        measured a
        say '{"event":"finished","exit":0}'"#,
    );
    assert_eq!(run.incomplete, None);
    assert_eq!(run.warnings, ["2 benchmarks were collected, not measured (skipped?)"]);
}

#[test]
fn a_request_to_end_is_passed_on_and_the_runner_stays() {
    let place = Place::new();
    place.raw("raw", &["a"]);
    let (run, _) = place.script(
        r#"say '{"event":"collected","benchmarks":2}'
        measured a
        cp raw $run/raw-$$.invar
        say '{"event":"started","benchmark":"b"}'
        trap 'exit 5' TERM
        kill -TERM $PPID
        while :; do sleep 0.01; done"#,
    );
    assert_eq!((measured(&run), run.exit), (vec!["a"], Some(Exit::Status(5))));
    let expected = "interrupted by SIGTERM while it measured `b`; 1 of 2 benchmarks were reached";
    assert_eq!(run.incomplete.as_deref(), Some(expected));
}

#[test]
fn after_an_interrupted_run_the_next_is_whole() {
    let place = Place::new();
    place.script("trap 'exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.01; done");
    assert_eq!(place.script("true").0.incomplete, None);
}

#[test]
fn a_commit_made_by_the_command_is_not_what_was_measured() {
    let place = Place::new();
    let git = "env -u GIT_DIR -u GIT_INDEX_FILE -u GIT_WORK_TREE git -c user.name=a -c user.email=a@example.org -c commit.gpgsign=false";
    let first = format!("{git} init --quiet . && {git} commit --quiet --allow-empty -m One");
    assert_eq!(place.script(&first).0.exit, Some(Exit::Status(0)));
    let (run, _) = place.script(&format!("{git} commit --quiet --allow-empty -m Two"));
    assert_eq!(run.source.unwrap().message.as_deref(), Some("One"));
}

#[test]
fn commands_that_cannot_be_started_say_why() {
    let place = Place::new();
    let file = |name: &str, text: &str, mode| {
        std::fs::write(place.path(name), text).unwrap();
        std::fs::set_permissions(place.path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    file("plain", "", 0o644);
    file("orphan", "#!/nowhere/python\n", 0o755);
    place.check_error(&[], "there is no command to run");
    place.check_error(&["./missing"], "there is no command `./missing`");
    place.check_error(&["./plain"], "`PLACE/./plain` is not executable");
    place.check_error(
        &["./orphan"],
        "`PLACE/./orphan` cannot be started: the interpreter that its first line names does not exist",
    );
}

#[test]
fn a_misspelt_command_leads_to_the_one_that_is_there() {
    let error = Place::new().run(&["setsidd"]).0.unwrap_err();
    assert_eq!(error.to_string(), "there is no command `setsidd`; did you mean `setsid`?");
}

#[test]
fn a_directory_that_is_not_there_is_not_blamed_on_the_command() {
    let place = Place::new();
    let mut options = place.options();
    options.directory = place.path("nowhere");
    let error = invar_runner::run(&["true".into()], &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, RunError::NoDirectory { .. }), "{error}");
}

#[test]
fn an_instrument_that_needs_no_engine_is_refused() {
    let place = Place::new();
    let mut options = place.options();
    options.instrument = Instrument::Walltime;
    let error = invar_runner::run(&["true".into()], &options, &mut |_| {}).unwrap_err().to_string();
    assert_eq!(error, "the instrument `walltime` does not measure commands; `simulation` and `counts` do");
}
