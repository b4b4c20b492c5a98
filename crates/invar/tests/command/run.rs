//! `invar run`.

use crate::sandbox::{Manner, SUITE, Said, Sandbox};

#[test]
fn a_suite_is_measured_shown_and_kept() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let said = sandbox.run(&[], &SUITE);
    insta::assert_snapshot!(said.whole());
    let list = sandbox.invar(&["list", "--json"]);
    assert!(list.stdout.contains(r#""title": "main@"#), "{}", list.stdout);
    assert!(list.stdout.contains(r#""measured": 3"#), "{}", list.stdout);
    assert_eq!(sandbox.git(&["status", "--porcelain"]), "", "the store is no change of the tree");
}

#[test]
fn a_second_run_is_compared_with_the_commit_before() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox.commit("second");
    let mut faster = SUITE;
    faster[0].1 = 1_080_000;
    let said = sandbox.run(&["--quiet"], &faster);
    insta::assert_snapshot!(said.whole());
}

#[test]
fn changes_are_compared_with_their_commit() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox.write("source.py", "changed");
    let said = sandbox.run(&[], &SUITE);
    let expected = ", the same commit without the changes that are not committed.\n";
    assert!(said.stdout.contains(expected), "{}", said.stdout);
    let again = sandbox.run(&[], &SUITE);
    assert!(again.stdout.contains(expected), "{}", again.stdout);
}

#[test]
fn outside_a_repository_the_run_before_is_the_baseline() {
    let sandbox = Sandbox::empty();
    let first = sandbox.run(&[], &SUITE);
    assert!(
        first.stdout.contains("no other run is stored that this one can be compared with"),
        "{}",
        first.stdout
    );
    let second = sandbox.run(&[], &SUITE);
    assert!(second.stdout.contains("the run before: there is no history to go by."), "{}", second.stdout);
    assert_eq!(second.status, 0, "{}", second.whole());
}

#[test]
fn runs_by_another_instrument_are_no_baseline() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox.commit("second");
    let said = sandbox.run_so(&["--counts"], &SUITE, &Manner { counts: true, ..Manner::default() });
    assert!(!said.stdout.contains("vs "), "{}", said.stdout);
    let refused = sandbox.run_so(&["--counts", "--baseline", "HEAD~1"], &SUITE, &Manner::default());
    insta::assert_snapshot!(refused.whole());
}

#[test]
fn a_baseline_that_was_never_measured_is_refused_before_anything_runs() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.commit("second");
    insta::assert_snapshot!(sandbox.run(&["--baseline", "HEAD~1"], &SUITE).whole());
    let said = sandbox.run(&["--baseline", "mian"], &SUITE);
    insta::assert_snapshot!(said.whole());
    assert_eq!(sandbox.run(&["--baseline", "none"], &SUITE).status, 0);
}

#[test]
fn a_command_that_fails_is_said_and_what_it_measured_is_kept() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let failed =
        r#"{"event": "failed", "benchmark": "tests/test_json.py::load", "message": "ValueError: no"}"#;
    let manner = Manner { also_says: &[failed], ends_with: "exit 1", ..Manner::default() };
    insta::assert_snapshot!(sandbox.run_so(&[], &SUITE, &manner).whole());
    assert!(sandbox.invar(&["list"]).stdout.contains("3 (1 failed)"));
}

#[test]
fn a_command_that_is_killed_is_said_and_what_it_measured_is_kept() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let started = r#"{"event": "started", "benchmark": "tests/test_json.py::load"}"#;
    let manner = Manner {
        breaks_off: true,
        collected: Some(4),
        also_says: &[started],
        ends_with: "kill -SEGV $$",
        ..Manner::default()
    };
    insta::assert_snapshot!(sandbox.run_so(&[], &SUITE, &manner).whole());
    assert!(sandbox.invar(&["list"]).stdout.contains("3 incomplete"));
}

#[test]
fn a_command_that_measures_nothing_is_told_what_may_be_missing() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let said = sandbox.invar(&["run", "--", "sh", "-c", "echo 'collected 12 items'; exit 5"]);
    insta::assert_snapshot!(said.whole());
}

#[test]
fn a_suite_without_benchmarks_is_told_what_a_benchmark_is() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    insta::assert_snapshot!(sandbox.run(&[], &[]).whole());
}

#[test]
fn a_command_that_is_not_there_is_said() {
    let sandbox = Sandbox::repository();
    let said = sandbox.invar(&["run", "--", "no-such-command-anywhere"]);
    insta::assert_snapshot!(said.whole());
}

#[test]
fn a_run_without_a_command_shows_how_to_write_one() {
    let sandbox = Sandbox::repository();
    let said = sandbox.invar(&["run"]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("Usage: invar run -- <COMMAND>..."), "{}", said.stderr);
}

#[test]
fn json_is_alone_on_the_output_and_can_be_imported() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let manner = Manner { ends_with: "echo 'the suite speaks'", ..Manner::default() };
    let said = sandbox.run_so(&["--json", "--no-store"], &SUITE, &manner);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stderr.contains("the suite speaks"), "{}", said.stderr);
    assert!(!sandbox.path().join(".invar").exists());
    sandbox.write("run.json", &said.raw_stdout);
    assert_eq!(sandbox.invar(&["import", "run.json"]).status, 0);
    assert!(sandbox.invar(&["list"]).stdout.contains("main@"));
}

#[test]
fn the_environment_is_explained_without_a_command() {
    let sandbox = Sandbox::repository();
    sandbox.write("invar.toml", "[run]\npass_env = [\"DATABASE_URL\"]\n");
    let said = sandbox.invar(&["run", "--explain-environment"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    for expected in ["  PYTHONHASHSEED=0\n", "  DATABASE_URL\n      keeps its value", "\n  and besides\n"] {
        assert!(said.stdout.contains(expected), "{expected}: {}", said.stdout);
    }
    let json = sandbox.invar(&["run", "--explain-environment", "--json"]);
    assert!(json.stdout.contains(r#""name": "PYTHONHASHSEED""#), "{}", json.stdout);
}

#[test]
fn a_machine_is_a_preset_or_one_of_the_project() {
    let sandbox = Sandbox::repository();
    sandbox.write("invar.toml", "[machine.small]\nlike = \"reference-1\"\nl2 = \"128KiB/8/lru\"\n");
    let said = sandbox.run(&["--machine", "big"], &SUITE);
    insta::assert_snapshot!(said.whole());
    let said = sandbox.run(&["--machine", "callgrind", "--json"], &SUITE);
    assert!(said.stdout.contains(r#""machine": "callgrind;"#), "{}", said.stdout);
}

#[test]
fn on_a_terminal_lines_of_the_suite_stay_whole_beside_the_moving_one() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let manner = Manner { ends_with: "printf begun; echo ' and ended'", ..Manner::default() };
    let script = sandbox.suite(&SUITE, &manner);
    let line = format!("{} run -- sh {}", env!("CARGO_BIN_EXE_invar"), script.display());
    // `script` gives its command a terminal.
    let mut command = sandbox.command("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    let said = Said::of(&sandbox, command.output().unwrap());
    assert_eq!(said.status, 0, "{}", said.whole());
    assert!(said.stdout.contains("begun and ended\r\n"), "{:?}", said.stdout);
    assert!(said.stdout.contains("3 benchmarks simulated on machine reference-1"), "{:?}", said.stdout);
}

#[test]
fn two_runs_at_once_are_both_kept() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    let script = sandbox.suite(&SUITE, &Manner::default());
    let start = || {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
        command.args(["run", "--", "sh", script.to_str().unwrap()]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    for child in [start(), start(), start()] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(sandbox.invar(&["list"]).stdout.matches("main@").count(), 3);
}
