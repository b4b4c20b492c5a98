//! `invar verify`.

use crate::sandbox::{Manner, SUITE, Sandbox};

#[test]
fn a_suite_that_repeats_is_said_to_and_no_run_is_stored() {
    let sandbox = Sandbox::empty();
    std::fs::create_dir(sandbox.path().join("tests")).unwrap();
    for file in ["tests/test_fibo.py", "tests/test_json.py"] {
        sandbox.write(file, "");
    }
    let suite = sandbox.suite(&SUITE, &Manner::default());
    let said = sandbox.invar(&["verify", "--quiet", "--", "sh", &suite.display().to_string()]);
    assert_eq!(said.stdout, "  3 of 3 benchmarks gave the same counts in all 8 runs, to the unit.\n");
    assert_eq!((said.stderr.as_str(), said.status), ("", 0));
    let list = sandbox.invar(&["list"]);
    assert!(list.stdout.contains("No runs are stored yet"), "{}", list.whole());
}

#[test]
fn a_suite_that_measures_nothing_is_no_proof() {
    let sandbox = Sandbox::empty();
    let said = sandbox.invar(&["verify", "--", "sh", "-c", "echo no tests ran; exit 5"]);
    assert_eq!(said.status, 3, "{}", said.whole());
    assert!(said.stderr.contains("no tests ran"), "{}", said.stderr);
}

/// A suite whose `small` takes more instructions in every second run.
fn unsteady(sandbox: &Sandbox) -> String {
    let mut other = SUITE;
    other[1].1 = 1500;
    let scripts = [SUITE, other].map(|suite| sandbox.suite(&suite, &Manner::default()).display().to_string());
    let text =
        format!("if mkdir once 2>/dev/null; then . {}; else rmdir once; . {}; fi", scripts[0], scripts[1]);
    sandbox.write("unsteady.sh", &text);
    "unsteady.sh".to_string()
}

#[test]
fn what_a_verification_found_raises_thresholds_and_is_said() {
    let sandbox = Sandbox::repository();
    sandbox.write("invar.toml", "[threshold]\ncycles = \"1%\"\n");
    sandbox.commit("one");
    sandbox.run(&[], &SUITE);
    let mut slower = SUITE;
    slower[1].1 = 1400;
    sandbox.commit("two");
    assert_eq!(sandbox.run(&["--quiet"], &slower).status, 0);
    assert_eq!(sandbox.invar(&["compare"]).status, 1);
    let suite = unsteady(&sandbox);
    let said = sandbox.invar(&["verify", "--quiet", "--only", "again", "--", "sh", &suite]);
    assert!(said.stdout.contains("2 of 3 benchmarks gave the same counts in all 2 runs"), "{}", said.whole());
    let compared = sandbox.invar(&["compare", "--all"]);
    assert_eq!(compared.status, 0, "{}", compared.whole());
    insta::assert_snapshot!(compared.stdout);
    let json = sandbox.invar(&["compare", "--json"]).stdout;
    assert!(json.contains("\"raised_from\": 0.01") && json.contains("\"noise_floor\": 0.2"), "{json}");
    let shown = sandbox.invar(&["show"]);
    assert!(shown.stdout.contains("noise floors"), "{}", shown.whole());
}

#[test]
fn a_mean_over_layouts_says_how_sure_it_is_and_is_kept() {
    let sandbox = Sandbox::empty();
    let suite = unsteady(&sandbox);
    let said = sandbox.invar(&["run", "--quiet", "--layouts", "4", "--", "sh", &suite]);
    insta::assert_snapshot!(said.whole());
    assert!(sandbox.invar(&["show", "--json"]).stdout.contains("\"count\": 4"));
}

/// A suite whose `small` takes more instructions the higher its layout's seed is, 1 in 1350 each time.
fn by_layout(sandbox: &Sandbox) -> String {
    let scripts = [0, 1, 2, 3].map(|more| {
        let mut suite = SUITE;
        suite[1].1 += more;
        sandbox.suite(&suite, &Manner::default()).display().to_string()
    });
    let choose = "seed=$(sed -n 's/.*\"layout\":\\([0-9]*\\).*/\\1/p' \"$INVAR_RUN_DIR/request.json\")\n\
                  echo $seed >> seeds\n";
    let cases: String = (0..4).map(|seed| format!("{seed}) . {};;\n", scripts[seed])).collect();
    sandbox.write("by_layout.sh", &format!("{choose}case $((seed % 4)) in\n{cases}esac\n"));
    "by_layout.sh".to_string()
}

#[test]
fn layouts_are_spent_until_a_mean_is_sure() {
    let sandbox = Sandbox::empty();
    let suite = by_layout(&sandbox);
    sandbox.write("invar.toml", "[threshold]\ncycles = \"0.3%\"\n[run]\nlayouts = \"auto\"\n");
    let said = sandbox.invar(&["run", "--", "sh", &suite]);
    insta::assert_snapshot!(said.whole());
    let seeds = || std::fs::read_to_string(sandbox.path().join("seeds")).unwrap().lines().count();
    let spent = seeds();
    let json = sandbox.invar(&["show", "--json"]).stdout;
    assert!(json.contains("\"auto\": true") && json.contains("\"spent\""), "{json}");
    // The command line goes before the file.
    assert_eq!(sandbox.invar(&["run", "--layouts", "1", "--", "sh", &suite]).status, 0);
    assert_eq!(seeds(), spent + 1);
    let said = sandbox.invar(&["run", "--layouts", "some", "--", "sh", &suite]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("it is neither `auto` nor a number from 1 to 64"), "{}", said.stderr);
}

#[test]
fn circumstances_can_be_chosen_and_an_unknown_one_is_refused() {
    let sandbox = Sandbox::empty();
    let suite = sandbox.suite(&SUITE, &Manner::default());
    let suite = suite.display().to_string();
    let said = sandbox.invar(&["verify", "--only", "load,reversed", "--no-store", "--", "sh", &suite]);
    assert!(said.stderr.contains("[3/3] the last benchmark first"), "{}", said.whole());
    assert!(!sandbox.path().join(".invar").exists());
    let said = sandbox.invar(&["verify", "--only", "noise", "--", "sh", &suite]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("circumstances: usual, again, home"), "{}", said.stderr);
}
