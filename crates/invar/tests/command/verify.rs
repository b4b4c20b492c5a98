//! `invar verify`.

use crate::sandbox::{Manner, SUITE, Sandbox};

#[test]
fn a_suite_that_repeats_is_said_to_and_nothing_is_stored() {
    let sandbox = Sandbox::empty();
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
