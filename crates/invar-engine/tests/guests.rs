//! Tiny programs, one behaviour each, run natively and under the engine: what they print and how they end must not
//! differ, and their counts must be the same in every run.
//!
//! The programs are in `fixtures/guests`. Each test compiles one, runs it natively, and in both modes on both stacks as a
//! region, in fresh processes without address-space randomisation.

#[path = "guests/course.rs"]
mod course;

use course::{Counts, Course, check, check_by_hand, check_on_busy_processors, check_with_output};
use invar_core::diagnostic::Diagnostic::*;
use invar_core::event::Event::*;

const REPEATABLE: Course = Course { counts: Counts::Repeatable, diagnostics: &[] };
const REPEATABLE_BY_MODE: Course = Course { counts: Counts::RepeatableByMode, diagnostics: &[] };
const VARYING: Course = Course { counts: Counts::Varying, diagnostics: &[] };

macro_rules! guests {
    ($($sentence:ident: $file:literal, $course:expr;)*) => {
        $(#[test] fn $sentence() { check($file, $course); })*
    };
}

guests! {
    // Registers, flags, memory operands.
    flags_live_across_branches_calls_and_block_heads: "flags.c", REPEATABLE;
    nothing_is_written_below_the_stack_pointer: "red_zone.c", REPEATABLE;
    the_x87_stack_and_its_words_are_kept: "x87.c", REPEATABLE;
    the_rounding_mode_is_the_guests: "sse_rounding.c", REPEATABLE;
    upper_vector_halves_live_through_the_runtime: "avx_halves.c", REPEATABLE;
    fs_may_point_elsewhere_for_a_while: "thread_local.c", REPEATABLE;
    rip_relative_operands_of_every_shape_reach_their_data: "rip_relative.c", REPEATABLE;
    r11_is_the_guests_in_every_role: "stolen_register.c", REPEATABLE;
    the_stack_pointer_plays_every_role: "stack_shapes.c", REPEATABLE;
    repeated_strings_of_every_kind_and_direction: "rep_strings.c", REPEATABLE;
    rare_instructions_do_what_they_do: "rare_instructions.c", REPEATABLE.with(&[ApproximateAddresses]);
    addresses_of_32_bits_wrap: "low_addresses.c", REPEATABLE;
    short_branches_reach_far: "short_branches.c", REPEATABLE;
    locked_operations_in_every_width: "locked.c", REPEATABLE;
    bit_manipulation_with_three_operands: "bit_manipulation.c", REPEATABLE;
    gathers_are_executed_and_noted: "gathers.c", REPEATABLE.with_avx2(&[ApproximateAddresses]);
    saved_state_is_restored: "saved_state.c", REPEATABLE.with(&[ApproximateAddresses]);
    jump_tables_tail_calls_and_deep_recursion: "indirect_branches.c", REPEATABLE;

    // Libraries at work.
    qsort_libm_and_printf_compute_the_same: "libc_at_work.c", REPEATABLE;
    allocations_of_every_size: "allocation.c", REPEATABLE;
    containers_of_cpp: "containers.cpp", REPEATABLE;

    // Unwinding and other ways about the stack.
    exceptions_pass_through_seven_frames: "exceptions.cpp", REPEATABLE;
    what_nobody_catches_terminates: "uncaught.cpp", REPEATABLE;
    longjmp_within_the_region: "long_jumps.c", REPEATABLE;
    contexts_swap_stacks: "contexts.c", REPEATABLE;
    a_backtrace_shows_the_guests_own_addresses: "backtraces.c", REPEATABLE;

    // Code that changes.
    code_is_rewritten_in_place: "code_rewritten.c", REPEATABLE.with(&[CodeModified]);
    code_is_written_and_executed_in_turn: "code_flipped.c", REPEATABLE;
    other_code_at_the_same_address: "code_remapped.c", REPEATABLE;
    code_is_written_through_another_mapping: "code_aliased.c", REPEATABLE.with(&[CodeModified]);
    a_jump_from_constant_into_changing_code: "code_beside_code.c", REPEATABLE.with(&[CodeModified]);
    calling_what_is_gone_faults_where_it_would: "code_gone.c", REPEATABLE.with(&[LeftTranslation]);
    code_that_cannot_be_read_runs_natively: "code_unreadable.c", REPEATABLE.with(&[LeftTranslation]);
    an_instruction_lies_across_two_mappings: "code_across_mappings.c", REPEATABLE;
    a_handler_lets_code_be_changed: "code_guarded.c", REPEATABLE.with(&[CodeModified]);
    a_library_takes_the_place_of_another: "library_reloaded.c", REPEATABLE;

    // Processes.
    a_forked_child_works_on_natively: "forked.c", REPEATABLE.with(&[StartedProcess]);
    a_forked_child_returns_from_the_region: "forked_and_back.c", REPEATABLE.with(&[StartedProcess]);
    vfork_and_exec: "vforked.c", REPEATABLE.with(&[StartedProcess]);
    posix_spawn_system_and_popen_start_processes: "spawned.c", REPEATABLE.with(&[StartedProcess]);
    a_clone_shares_memory_on_a_stack_of_its_own: "cloned.c", REPEATABLE.with(&[StartedProcess]);
    another_program_takes_the_process_over: "replaced.c", REPEATABLE;

    // Threads of the region, one at a time.
    threads_start_and_are_joined: "threads.c", REPEATABLE;
    who_has_joined_a_thread_goes_on: "threads_joined.c", REPEATABLE_BY_MODE.with(&[ReadClock]);
    threads_start_while_code_is_unmapped: "threads_and_code.c", REPEATABLE;
    threads_wait_for_each_other_in_every_way: "threads_waiting.c", REPEATABLE;
    threads_spin_until_another_has_had_its_turn: "threads_spinning.c", REPEATABLE_BY_MODE;
    threads_talk_through_the_kernel: "threads_outside.c", VARYING.with(&[StartedProcess, OutsideOrder]);
    processes_start_while_a_thread_waits:
        "threads_and_processes.c", VARYING.with(&[StartedProcess, OutsideOrder]);
    exit_ends_threads_that_wait_and_that_compute: "threads_and_exit.c", REPEATABLE;
    another_program_takes_over_from_several_threads: "threads_and_exec.c", REPEATABLE;
    a_region_from_a_second_thread_is_refused: "threads_in_regions.c", VARYING;
    threads_outlive_the_region_they_were_started_in: "threads_outlive.c", REPEATABLE;
    threads_go_on_when_the_region_is_over: "threads_left.c", VARYING.with(&[OtherThreadsRan]);
    signals_reach_the_thread_they_are_for: "threads_signalled.c", VARYING;
    threads_are_cancelled_where_they_wait: "threads_cancelled.c", VARYING.with(&[LeftTranslation]);
    a_handler_waits_on_a_thread_that_computes: "threads_suspended.c", VARYING.with(&[LeftTranslation, OutsideOrder]);
    a_handler_jumps_away_from_what_others_wait_for:
        "threads_and_jumps.c", VARYING.with(&[OtherThreadsRan, LeftTranslation]);

    // Threads from before the region.
    a_thread_from_before_serves_those_of_the_region: "threads_before.c", REPEATABLE;
    a_thread_from_before_gets_its_turn_from_one_that_spins: "threads_before_awaited.c", REPEATABLE_BY_MODE;
    a_thread_from_before_waits_until_a_deadline: "threads_before_timed.c", REPEATABLE.with(&[ReadClock]);
    a_thread_from_before_that_spins_runs_natively: "threads_before_spinning.c", VARYING.with(&[OtherThreadsRan]);
    threads_from_before_that_do_nothing_are_not_mentioned: "threads_before_idle.c", REPEATABLE;
    calls_of_threads_from_before_are_not_interrupted:
        "threads_before_elsewhere.c", VARYING.with(&[OtherThreadsRan]);

    // Signals and system calls.
    a_timer_interrupts_anywhere: "signals.c", VARYING;
    signals_do_not_change_the_counts: "signals_unnoticed.c", REPEATABLE;
    signals_are_raised_blocked_and_nested: "signals_raised.c", REPEATABLE;
    a_handler_sees_what_has_faulted_and_where: "faults_shown.c", REPEATABLE;
    a_handler_mends_the_fault_and_returns: "write_barrier.c", REPEATABLE;
    a_handler_jumps_out_of_whatever_it_interrupted: "handler_jumps.c", VARYING.with(&[LeftTranslation]);
    interrupted_system_calls_fail_or_start_again: "interrupted_call.c", VARYING;
    the_stack_overflows_and_the_handler_jumps_back: "overflows.c", REPEATABLE.with(&[LeftTranslation]);
    clocks_go_with_instructions: "clocks.c", REPEATABLE.with(&[ReadClock]);
    waits_for_the_outside_in_vain_last_as_long_as_they_say: "clocks_and_waits.c", REPEATABLE;
    handlers_interrupt_whoever_waits_by_the_regions_clock:
        "clocks_and_signals.c", VARYING.with(&[LeftTranslation]);
    processes_start_from_a_region_that_tells_the_time:
        "clocks_and_processes.c", REPEATABLE.with(&[StartedProcess, ReadClock]);
    random_numbers_are_the_regions: "random_numbers.c", REPEATABLE.with(&[ReadRandom]);

    // Ends.
    exit_within_the_region_ends_the_program: "exits.c", REPEATABLE;
    abort_within_the_region_kills_by_the_same_signal: "aborts.c", REPEATABLE;
    a_fault_within_the_region_kills_by_the_same_signal: "faults.c", REPEATABLE;
    // The engine's own functions are the guest there, and what they allocate depends on the mode.
    a_region_within_a_region_is_refused: "nested.c", VARYING;
    instructions_that_are_not_known_go_on_natively:
        "unknown_instructions.c", REPEATABLE.with(&[LeftTranslation, UnsupportedInstruction]);
    the_segment_gs_is_the_guests_where_it_is_used:
        "gs_segment.c", REPEATABLE.with(&[LeftTranslation, UnsupportedInstruction]);
    alignment_checks_go_on_natively:
        "alignment_checks.c", REPEATABLE.with(&[LeftTranslation, UnsupportedInstruction]);
}

#[test]
fn a_pool_of_openmp_shares_work_out() {
    check("threads_openmp.c", REPEATABLE);
}

#[test]
fn threads_from_before_count_the_same_however_busy_the_processors_are() {
    check_on_busy_processors(&["threads_before.c", "threads_openmp.c"]);
}

#[test]
fn mask_registers_and_upper_quarters_are_kept() {
    // Where the processor has no AVX-512 the guest says so, natively and translated.
    let scatters = std::arch::is_x86_feature_detected!("avx512f");
    let diagnostics: &[_] = if scatters { &[ApproximateAddresses] } else { &[] };
    check("avx512.c", REPEATABLE.with(diagnostics));
}

/// Natively they end in that order only where processors are free.
#[test]
fn waits_last_as_long_as_they_say_and_end_in_order() {
    let pass = "-1 1, 0\n1 2 3 4, in vain 1\nreturned 0\n";
    check_with_output("threads_timed.c", REPEATABLE_BY_MODE.with(&[ReadClock]), &pass.repeat(2));
}

#[test]
fn the_machine_answers_cpuid_and_xgetbv() {
    let pass = "GenuineIntel\nAVX-512 0 ERMS 0\nfamily 306c3 thread 0\ncomponents 7 0\nreturned 0\n";
    check_with_output("processor.c", REPEATABLE, &pass.repeat(2));
}

#[test]
fn a_loop_counts_as_by_hand() {
    check_by_hand("counted_loop.S", &[(Instructions, 3002), (Reads, 1), (BranchesTaken, 1000)]);
}

#[test]
fn memory_operands_count_as_by_hand() {
    check_by_hand(
        "counted_memory.S",
        &[(Instructions, 195), (Reads, 102), (Writes, 81), (BranchesTaken, 31)],
    );
}

#[test]
fn repeated_strings_count_as_by_hand() {
    check_by_hand(
        "counted_strings.S",
        &[
            (Instructions, 16),
            (Reads, 6),
            (Writes, 3),
            (BranchesTaken, 1),
            (RepIterations, 127),
            (RepBytes, 226),
        ],
    );
}

#[test]
fn calls_and_system_calls_count_as_by_hand() {
    check_by_hand(
        "counted_calls.S",
        &[(Instructions, 364), (Reads, 102), (Writes, 61), (BranchesTaken, 180), (SystemCalls, 20)],
    );
}

#[test]
fn what_a_handler_skips_is_not_counted() {
    check_by_hand("counted_fault.c", &[(Instructions, 53), (Reads, 11), (Writes, 10), (BranchesTaken, 10)]);
}

#[test]
fn misses_count_as_by_hand() {
    check_by_hand(
        "counted_misses.S",
        &[
            (Instructions, 5504),
            (Reads, 1001),
            (Writes, 600),
            (BranchesTaken, 1299),
            (L1iMisses, 1),
            (L1dReadMisses, 1001),
            (L1dWriteMisses, 301),
            (L3Misses, 1303),
            (MemoryAccesses, 1303),
        ],
    );
}
