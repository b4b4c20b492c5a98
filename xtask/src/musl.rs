//! `cargo xtask musl`: the engine's guests as programs of another C library, musl, as Alpine Linux has it.
//!
//! The same tests as with the C library of this machine, by another compiler (`GUEST_CC`). The engine's library needs no C library
//! itself, so it is the same file. No part of `test`, which has them once already.

use std::process::Command;

use anyhow::Result;

use crate::prepare;

const NO_CPP: &str = "no compiler of C++ for musl";
const NO_OPENMP: &str = "no OpenMP for musl";
/// METHODOLOGY, "What a program could notice", has more of these two.
const RELATIVE: &str = "musl waits for a time instead of until one, and asks for the clock to do so";
const INTERRUPTED: &str =
    "musl looks where a thread was interrupted that is cancelled, which is in the engine";

/// Tests that are left out, each with the reason.
const LEFT_OUT: [(&str, &str); 12] = [
    ("containers_of_cpp", NO_CPP),
    ("exceptions_pass_through_seven_frames", NO_CPP),
    ("what_nobody_catches_terminates", NO_CPP),
    ("contexts_swap_stacks", "musl has no ucontext"),
    ("a_backtrace_shows_the_guests_own_addresses", "musl has no backtrace"),
    ("a_pool_of_openmp_shares_work_out", NO_OPENMP),
    ("threads_from_before_count_the_same_however_busy_the_processors_are", NO_OPENMP),
    ("threads_are_cancelled_where_they_wait", INTERRUPTED),
    ("a_thread_from_before_waits_until_a_deadline", RELATIVE),
    ("threads_go_on_when_the_region_is_over", RELATIVE),
    ("waits_for_the_outside_in_vain_last_as_long_as_they_say", RELATIVE),
    ("waits_last_as_long_as_they_say_and_end_in_order", RELATIVE),
];

/// Runs them; fails if one does otherwise than natively.
pub fn musl() -> Result<()> {
    prepare::system_packages(&[("guests of another C library", "musl-tools")])?;
    for (test, reason) in LEFT_OUT {
        eprintln!("left out: {test}: {reason}");
    }
    let mut tests: Command = prepare::cargo();
    tests.args(["test", "--package", "invar-engine", "--test", "guests", "--"]).env("GUEST_CC", "musl-gcc");
    prepare::run(tests.args(LEFT_OUT.iter().flat_map(|(test, _)| ["--skip", test])))
}
