//! The fuzzer finds what is broken, and nothing where nothing is.

use std::process::Command;

/// Runs as many programs as have a place at once; says how it ended and what it said.
fn fuzz(arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_invar-fuzz"))
        .args(["work", "--seed", "1", "--programs", "256"])
        .args(arguments)
        .output()
        .expect("the fuzzer starts");
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[track_caller]
fn check(defect: &str, symptom: &str) {
    let (code, text) = fuzz(&["--plant-defect", defect]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(symptom), "{text}");
}

#[test]
fn a_whole_engine_shows_no_difference() {
    let (code, text) = fuzz(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("at 256"), "{text}");
}

#[test]
fn a_register_that_is_not_written_back_is_found() {
    check("lost-register", "R11: natively");
}

#[test]
fn flags_that_are_not_restored_are_found() {
    check("lost-flags", "flags: natively");
}

#[test]
fn an_address_that_is_off_is_found() {
    check("wrong-address", "access 0: expected");
}

#[test]
fn an_instruction_that_is_not_counted_is_found() {
    check("wrong-count", "instructions: expected");
}

#[test]
fn a_planted_defect_makes_the_supervisor_fail_and_show_a_small_program() {
    let done = Command::new(env!("CARGO_BIN_EXE_invar-fuzz"))
        .args(["translate", "--seed", "1", "--programs", "64", "--plant-defect", "lost-register"])
        .output()
        .expect("the fuzzer starts");
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("again: invar-fuzz check --seed 1 --from"), "{text}");
}
