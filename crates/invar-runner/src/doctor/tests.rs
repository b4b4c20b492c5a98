//! Machines as their files and programs describe them.

use super::*;

#[track_caller]
fn check(check: Check, state: State, found: &str) {
    assert_eq!((check.state, check.found.as_str()), (state, found));
    assert_eq!(check.advice.is_some(), state != State::Ok, "who is not well gets advice: {check:?}");
}

#[test]
fn every_check_is_made_and_has_a_name_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let checks = checks(directory.path());
    let mut names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 13);
    for check in checks {
        assert_eq!(check.advice.is_some(), check.state != State::Ok, "{check:?}");
        assert!(!check.found.is_empty() && !check.found.contains('\n'), "{check:?}");
        assert!(check.advice.iter().all(|advice| advice.ends_with('.')), "{check:?}");
    }
}

#[test]
fn a_cpu_without_avx2_is_a_problem() {
    let cpu = self::cpu(&Cpu::parse("model name : Old\nflags : sse4_2\n"));
    assert_eq!(cpu.state, State::Problem);
    assert!(cpu.found.starts_with("Old lacks cx16, ") && cpu.found.contains("avx2"), "{cpu:?}");
}

#[test]
fn an_old_kernel_is_a_note() {
    check(kernel(Some("6.1.0-18-amd64")), State::Ok, "Linux 6.1.0-18-amd64");
    check(kernel(Some("5.4.0")), State::Note, "Linux 5.4.0");
    check(kernel(Some("4.18.0-513.el8")), State::Note, "Linux 4.18.0-513.el8");
}

#[test]
fn a_layout_counts_as_fixed_when_the_child_says_so() {
    check(judge_layout(Some((true, "00040000".to_string()))), State::Ok, "can be the same in every run");
    let refused = "setarch: failed to set personality: Operation not permitted".to_string();
    let found = format!("randomisation cannot be switched off: {refused}");
    check(judge_layout(Some((false, refused))), State::Problem, &found);
    let ignored = judge_layout(Some((true, "00000000".to_string())));
    check(ignored, State::Problem, "randomisation cannot be switched off: 00000000");
    check(judge_layout(None), State::Note, "not tried: there is no `setarch`");
}

#[test]
fn limits_are_told() {
    check(address_space(None), State::Ok, "unlimited");
    check(address_space(Some(1 << 30)), State::Problem, "limited to 1024 MiB");
    check(stack(Some(1 << 20)), State::Problem, "at most 1 MiB");
    check(stack(None), State::Ok, "8 MiB, as on other machines");
    check(overcommit(Some("0")), State::Ok, "vm.overcommit_memory is 0");
    let strict = "vm.overcommit_memory is 2: what is reserved counts as used";
    check(overcommit(Some("2")), State::Note, strict);
    check(generated_code(Some("1")), State::Note, "SELinux is enforcing");
    check(generated_code(Some("0")), State::Ok, "nothing known that forbids it");
}

#[test]
fn a_proc_that_is_not_mounted_is_a_problem() {
    check(proc(Path::new("/proc/self")), State::Ok, "readable");
    let empty = tempfile::tempdir().unwrap();
    check(proc(empty.path()), State::Problem, "not readable");
}

#[test]
fn an_old_python_is_a_problem() {
    let said = parse_python("/usr/bin/python3\n3.8.18\nNo module named 'pytest_invar'\n").unwrap();
    check(python(Some(&said)), State::Problem, "3.8.18 (/usr/bin/python3)");
    let missing = "not in this `python3`: No module named 'pytest_invar'";
    check(plugin(Some(&said)), State::Note, missing);
    check(python(None), State::Problem, "there is no `python3` that works");
}

#[test]
fn a_plugin_of_another_version_is_a_note() {
    let ours = env!("CARGO_PKG_VERSION");
    let asked = |version: &str| parse_python(&format!("/venv/bin/python3\n3.13.0\n={version}\n")).unwrap();
    check(plugin(Some(&asked(ours))), State::Ok, ours);
    check(plugin(Some(&asked("0.0.9"))), State::Note, &format!("0.0.9, and this is Invar {ours}"));
    check(python(Some(&asked(ours))), State::Ok, "3.13.0 (/venv/bin/python3)");
}

#[test]
fn a_directory_outside_a_checkout_is_a_note_and_a_broken_checkout_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(git(directory.path()).state, State::Note);
    std::fs::write(directory.path().join(".git"), "gitdir: /nowhere").unwrap();
    assert_eq!(git(directory.path()).state, State::Problem);
}

#[test]
fn results_need_a_directory_to_be_kept_in() {
    let directory = tempfile::tempdir().unwrap();
    check(results(directory.path()), State::Ok, "not there yet, can be made");
    std::fs::create_dir(directory.path().join(".invar")).unwrap();
    check(results(directory.path()), State::Ok, "writable");
    std::fs::remove_dir(directory.path().join(".invar")).unwrap();
    std::fs::write(directory.path().join(".invar"), "").unwrap();
    assert_eq!(results(directory.path()).state, State::Problem);
}
