//! Runs go out and in: `list`, `show`, `export`, `import`, and the manners of standard output.

use std::process::Stdio;

use crate::sandbox::{SUITE, Said, Sandbox};

fn measured() -> Sandbox {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox
}

#[test]
fn nothing_is_listed_where_nothing_is_stored_and_no_store_is_made() {
    let sandbox = Sandbox::repository();
    let said = sandbox.invar(&["list"]);
    assert_eq!(said.whole(), "  No runs are stored yet. Make one: invar run -- pytest\nexit status 0\n");
    assert!(!sandbox.path().join(".invar").exists());
}

#[test]
fn a_run_is_shown_in_full() {
    let sandbox = measured();
    let said = sandbox.invar(&["show"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    for expected in
        ["  run         0", "  command     sh ", "  source      main@", "  ╰─ dump", "\n  environment\n"]
    {
        assert!(said.stdout.contains(expected), "{expected}: {}", said.stdout);
    }
    assert_eq!(sandbox.invar(&["show", "--json"]).raw_stdout, sandbox.invar(&["export", "main"]).raw_stdout);
}

#[test]
fn an_exported_run_can_be_imported_elsewhere_and_twice() {
    let (here, there) = (measured(), Sandbox::empty());
    there.write("run.json", &here.invar(&["export"]).raw_stdout);
    insta::assert_snapshot!(there.invar(&["import", "run.json"]).whole());
    insta::assert_snapshot!(there.invar(&["import", "run.json", "run.json"]).whole());
    assert_eq!(there.invar(&["export"]).raw_stdout, here.invar(&["export"]).raw_stdout);
}

#[test]
fn another_run_under_the_same_id_is_refused() {
    let (here, there) = (measured(), Sandbox::empty());
    let json = here.invar(&["export"]).raw_stdout;
    there.write("run.json", &json);
    there.invar(&["import", "run.json"]);
    there.write("other.json", &json.replace("1200", "1201"));
    let said = there.invar(&["import", "other.json"]);
    assert_eq!(said.status, 2, "{}", said.whole());
    assert!(said.stderr.starts_with("error: another run with the id "), "{}", said.stderr);
}

#[test]
fn a_file_that_is_no_run_is_refused_and_nothing_is_kept() {
    let (here, there) = (measured(), Sandbox::empty());
    there.write("run.json", &here.invar(&["export"]).raw_stdout);
    there.write("other.json", "{\"invar\": 2}");
    insta::assert_snapshot!(there.invar(&["import", "run.json", "other.json"]).whole());
    insta::assert_snapshot!(there.invar(&["import", "nobody.json"]).whole());
    assert!(!there.path().join(".invar").exists());
}

#[test]
fn a_run_as_csv_has_a_record_for_each_pass() {
    let csv = measured().invar(&["export", "--csv"]).stdout;
    assert_eq!(csv.lines().count(), 1 + 2 * SUITE.len(), "{csv}");
    assert!(csv.starts_with("benchmark,file,name,"), "{csv}");
}

#[test]
fn colour_is_there_if_it_is_asked_for() {
    let sandbox = measured();
    assert!(!sandbox.invar(&["list"]).stdout.contains('\u{1b}'));
    assert!(sandbox.invar(&["list", "--color", "always"]).stdout.contains('\u{1b}'));
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    let output = command.arg("list").env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!Said::of(&sandbox, output).stdout.contains('\u{1b}'));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let sandbox = measured();
    for arguments in
        [&["show"][..], &["export"], &["list"], &["compare"], &["completions", "bash"], &["--help"]]
    {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = Said::of(&sandbox, output);
        assert_eq!((said.stderr.as_str(), said.status), ("", 0), "{arguments:?}");
    }
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let sandbox = measured();
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let said = Said::of(&sandbox, command.arg("show").stdout(full).output().unwrap());
    insta::assert_snapshot!(said.whole());
}

#[test]
fn every_shell_gets_its_completions() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = sandbox.invar(&["completions", shell]);
        assert_eq!(said.status, 0, "{}", said.stderr);
        assert!(said.stdout.contains("explain-environment"), "{shell}");
    }
}

#[test]
fn the_doctor_says_something_of_this_machine() {
    let sandbox = Sandbox::repository();
    let said = sandbox.invar(&["doctor"]);
    assert!(said.status == 0 || said.status == 3, "{}", said.whole());
    let end =
        if said.status == 0 { "This machine can measure.\n" } else { "in the way of measuring here.\n" };
    assert!(said.stdout.ends_with(end), "{}", said.stdout);
    assert!(sandbox.invar(&["doctor", "--json"]).stdout.starts_with("{\n  \"invar_doctor\": 1,"));
}

#[test]
fn every_command_explains_itself() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.invar(&["--help"]).whole());
    for verb in [
        "run",
        "compare",
        "report",
        "list",
        "show",
        "flame",
        "export",
        "import",
        "serve",
        "doctor",
        "completions",
    ] {
        let said = sandbox.invar(&[verb, "--help"]);
        assert!(said.status == 0 && said.stdout.contains("Usage: invar"), "{verb}: {}", said.whole());
    }
}
