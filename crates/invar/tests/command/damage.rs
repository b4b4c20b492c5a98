//! What can be broken: the store, the disk, the configuration.

use std::fs;

use crate::sandbox::{Manner, SUITE, Said, Sandbox};

fn measured() -> Sandbox {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox
}

#[test]
fn a_damaged_store_is_said_before_anything_runs_and_its_runs_can_be_saved() {
    let sandbox = measured();
    let kept = sandbox.invar(&["export"]).raw_stdout;
    let store = sandbox.path().join(".invar");
    fs::write(store.join("invar.sqlite"), "x".repeat(5000)).unwrap();
    fs::remove_file(store.join("invar.sqlite-wal")).ok();
    let said = sandbox.run(&[], &SUITE);
    insta::assert_snapshot!(said.whole());
    let help = " help: or keep nothing: invar run --no-store\n";
    assert_eq!(sandbox.invar(&["list"]).whole(), said.whole().replace(help, ""));
    // As the help says.
    fs::rename(&store, sandbox.path().join(".invar.damaged")).unwrap();
    let mut shell = sandbox.command("sh");
    let import = format!("{} import .invar.damaged/blobs/*/*.zst", env!("CARGO_BIN_EXE_invar"));
    let said = Said::of(&sandbox, shell.args(["-c", &import]).output().unwrap());
    assert_eq!(said.status, 0, "{}", said.whole());
    assert_eq!(sandbox.invar(&["export"]).raw_stdout, kept);
}

#[test]
fn a_full_disk_costs_the_place_in_the_store_and_not_the_run() {
    let sandbox = measured();
    let many: Vec<(String, u64)> = (0..3000_u64)
        .map(|n| (format!("t.py::b[{:x}]", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), n * n))
        .collect();
    let many: Vec<(&str, u64)> = many.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let script = sandbox.suite(&many, &Manner::default());
    // Files cannot grow past some blocks of the shell; the suite itself leaves more behind, so it gets rid of the limit by
    // being a child of a shell that was started before. Where the limit is hard, that is not possible: it is set soft.
    let limited = format!(
        "trap '' XFSZ; ulimit -S -f 64; exec {} run -- sh -c 'ulimit -S -f unlimited; exec sh {}'",
        env!("CARGO_BIN_EXE_invar"),
        script.display()
    );
    let mut shell = sandbox.command("sh");
    let said = Said::of(&sandbox, shell.args(["-c", &limited]).output().unwrap());
    assert_eq!(said.status, 4, "{}", said.stderr);
    assert!(said.stdout.contains("3000 benchmarks simulated"), "{}", said.stdout);
    let error = &said.stderr[said.stderr.find("error: ").unwrap()..];
    insta::assert_snapshot!(error);
    assert_eq!(sandbox.invar(&["list"]).stdout.matches("main@").count(), 1);
    let left: Vec<_> =
        fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("invar-run-")), "{left:?}");
}

#[test]
fn a_damaged_store_is_no_reason_not_to_measure_without_it() {
    let sandbox = measured();
    sandbox.write(".invar/invar.sqlite", &"x".repeat(5000));
    fs::remove_file(sandbox.path().join(".invar/invar.sqlite-wal")).ok();
    let said = sandbox.run(&["--no-store"], &SUITE);
    assert_eq!(said.status, 0, "{}", said.whole());
    let expected =
        "No baseline: .invar/invar.sqlite is damaged or not a database.\n  Not kept; took [TIME].\n";
    assert!(said.stdout.ends_with(expected), "{}", said.stdout);
}

#[test]
fn a_run_that_the_store_cannot_take_is_saved_beside() {
    let sandbox = measured();
    let blobs = sandbox.path().join(".invar/blobs");
    fs::remove_dir_all(&blobs).unwrap();
    fs::write(&blobs, "").unwrap();
    let said = sandbox.run(&["--quiet"], &SUITE);
    insta::assert_snapshot!(said.stderr);
    assert_eq!(said.status, 4);
    fs::remove_file(&blobs).unwrap();
    let mut shell = sandbox.command("sh");
    let import = format!("{} import ./invar-run-*.json", env!("CARGO_BIN_EXE_invar"));
    let said = Said::of(&sandbox, shell.args(["-c", &import]).output().unwrap());
    assert_eq!(said.whole(), "  Kept run [RUN] (main@97cd190, 3 benchmarks)\nexit status 0\n");
}

#[test]
fn a_store_elsewhere_is_used() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    assert_eq!(sandbox.run(&["--store", "elsewhere"], &SUITE).status, 0);
    assert!(!sandbox.path().join(".invar").exists());
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
    let output = command.arg("list").env("INVAR_STORE", "elsewhere").output().unwrap();
    assert!(Said::of(&sandbox, output).stdout.contains("main@"));
}

#[test]
fn a_store_that_cannot_be_made_is_said_before_anything_runs() {
    let sandbox = Sandbox::repository();
    sandbox.write("file", "");
    insta::assert_snapshot!(sandbox.run(&["--store", "file/store"], &SUITE).whole());
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let sandbox = Sandbox::repository();
    sandbox.write("invar.toml", "[treshold]\ncycles = \"5%\"\n");
    insta::assert_snapshot!(sandbox.invar(&["list"]).whole());
}

#[test]
fn the_nearest_configuration_counts_and_the_store_is_at_the_root() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    fs::create_dir_all(sandbox.path().join("deep/er")).unwrap();
    sandbox.write("invar.toml", "[run]\nmachine = \"callgrind\"\n");
    let script = sandbox.suite(&SUITE, &Manner::default());
    let run = |directory: &str| {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_invar"));
        command.current_dir(sandbox.path().join(directory));
        command.args(["run", "--json", "--", "sh", script.to_str().unwrap()]);
        Said::of(&sandbox, command.output().unwrap()).stdout
    };
    assert!(run("deep/er").contains(r#""machine": "callgrind;"#));
    sandbox.write("deep/invar.toml", "");
    assert!(run("deep/er").contains(r#""machine": "reference-1;"#));
    assert_eq!(sandbox.invar(&["list"]).stdout.matches("main@").count(), 2);
}
