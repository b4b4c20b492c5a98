//! Trees over code that is only named, by a perf map.

use invar_core::event::Event;
use invar_core::profile::{Kind, Profile};
use invar_core::wire::raw::call_paths::{Call, CallPaths, Callee, Extra, Instruction, PythonCode, Stretch};
use proptest::prelude::*;

use super::drawing;
use crate::symbols::{Cache, JitMap, Named, named};

/// Functions of 16 bytes.
const F: u64 = 0x1000;
const G: u64 = 0x2000;
const H: u64 = 0x3000;

fn jit() -> JitMap {
    let mut jit = JitMap::default();
    jit.add_perf_map(b"1000 10 f\n2000 10 g\n3000 10 h\n");
    jit
}

fn call(parent: u32, callee: u64, calls: u64) -> Call {
    Call { parent, callee: Callee::Address(callee), calls }
}

/// Call paths whose instructions are two of each function, of nameless code and of the vdso.
fn paths(calls: &[Call], stretches: &[(u32, u64, u64)]) -> CallPaths {
    let addresses = [F, F + 4, G, G + 4, H, H + 4, 0x8000, 0x8004, 0x9000, 0x9004];
    let maps = "8000-9000 rwxp 00000000 00:00 0\n9000-a000 r-xp 00000000 00:00 0      [vdso]\n";
    CallPaths {
        maps: maps.to_string(),
        instructions: addresses
            .map(|address| Instruction { address, reads: 1, writes: 0, system_call: address == H })
            .into(),
        python: vec![PythonCode { name: "Sum.of".into(), file: "sum.py".into(), line: 7 }],
        calls: calls.to_vec(),
        stretches: stretches
            .iter()
            .map(|&(call, address, times)| {
                let first = addresses.iter().position(|&known| known == address).unwrap() as u32;
                Stretch { call, first, instructions: 1, times }
            })
            .collect(),
        extras: Vec::new(),
    }
}

fn profile(paths: &CallPaths) -> Profile {
    let Named { profile, warnings } = named("a", paths, Some(&jit()), &mut Cache::default());
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(profile.total(), paths.total());
    profile
}

#[track_caller]
fn check(calls: &[Call], stretches: &[(u32, u64, u64)], expected: &str) {
    assert_eq!(drawing(&profile(&paths(calls, stretches))), expected);
}

#[test]
fn a_call_is_below_its_caller() {
    let calls = [call(0, F, 1), call(0, G, 3), call(1, H, 6)];
    check(&calls, &[(0, F, 1), (1, G, 3), (2, H, 6)], "f x1\n  g x3\n    h x6\n");
}

#[test]
fn a_jump_to_a_function_is_a_call_of_it() {
    check(&[call(0, F, 5)], &[(0, F, 5), (0, G, 2), (0, G + 4, 2)], "f x5\n  g x2\n");
}

#[test]
fn a_landing_in_the_middle_of_a_function_is_no_call() {
    check(&[call(0, F, 5)], &[(0, F, 5), (0, G + 4, 2)], "f x5\n  g\n");
}

#[test]
fn a_region_without_address_is_the_benchmark() {
    check(&[call(0, 0, 1), call(0, G, 1)], &[(0, F, 4), (1, G, 1)], "f x4\ng x1\n");
}

#[test]
fn a_region_that_begins_in_nameless_code_is_the_benchmark() {
    check(&[call(0, 0x8000, 1), call(0, G, 1)], &[(0, 0x8000, 4), (0, F, 2), (1, G, 1)], "f x2\ng x1\n");
}

#[test]
fn nameless_code_has_its_address_where_it_is_called() {
    let stretches = [(1, 0x8000, 1), (1, 0x8004, 1), (1, 0x9004, 1)];
    let calls = [call(0, F, 1), call(0, 0x8000, 1)];
    check(&calls, &stretches, "f x1\n  0x8000 x1\n    [vdso]\n");
    check(&[call(0, F, 1)], &[(0, F, 1), (0, 0x8000, 1)], "f x1\n  [anonymous]\n");
}

#[test]
fn native_code_is_below_the_python_function_that_it_executes() {
    let calls = [call(0, F, 1), Call { parent: 0, callee: Callee::Python(0), calls: 9 }, call(1, H, 9)];
    let profile = profile(&paths(&calls, &[(0, F, 1), (1, G + 4, 90), (2, H, 9)]));
    assert_eq!(drawing(&profile), "f x1\n  Sum.of x9\n    g\n    h x9\n");
    let python = profile.functions.iter().find(|function| function.name == "Sum.of").unwrap();
    assert_eq!((python.kind, python.line, python.file.as_str()), (Kind::Python, 7, "sum.py"));
}

#[test]
fn what_native_code_does_at_a_line_is_below_the_line() {
    let of = |parent, callee, calls| Call { parent, callee, calls };
    let calls = [
        call(0, F, 1),
        of(0, Callee::Python(0), 9),
        of(1, Callee::Line(8), 9),
        of(1, Callee::Line(0), 2),
        call(2, H, 18),
    ];
    let profile =
        profile(&paths(&calls, &[(0, F, 1), (1, G + 4, 9), (2, G + 4, 90), (3, G + 4, 2), (4, H, 18)]));
    let drawn = "f x1\n  Sum.of x9\n    Sum.of x2\n      g\n    Sum.of x9\n      g\n      h x18\n    g\n";
    assert_eq!(drawing(&profile), drawn);
    let lines = profile.functions.iter().filter(|function| function.kind == Kind::Line);
    let lines: Vec<(u32, &str)> = lines.map(|function| (function.line, function.file.as_str())).collect();
    assert_eq!(lines, [(0, "sum.py"), (8, "sum.py")]);
    assert_eq!(drawing(&profile.without_lines()), "f x1\n  Sum.of x9\n    g\n    h x18\n");
}

#[test]
fn misses_are_charged_where_they_happened() {
    let mut paths = paths(&[call(0, F, 1)], &[(0, F, 1), (0, G, 1)]);
    paths.extras.push(Extra { call: 0, instruction: 2, event: Event::L3Misses, count: 4 });
    let profile = profile(&paths);
    let misses: Vec<u64> = profile.nodes.iter().map(|node| node.own.get(Event::L3Misses)).collect();
    assert_eq!(misses, [0, 0, 4]);
    assert_eq!(profile.lines.iter().map(|line| line.own.get(Event::L3Misses)).sum::<u64>(), 4);
}

proptest! {
    #[test]
    fn nodes_sum_up_to_the_pass(
        calls in proptest::collection::vec((0..8_u32, 0..7_usize, 0..9_u64), 1..8),
        stretches in proptest::collection::vec((0..8_u32, 0..10_u32, 0..10_u32, 0..1000_u64), 0..30),
        extras in proptest::collection::vec((0..8_u32, 0..10_u32, 0..13_usize, 0..1000_u64), 0..30),
    ) {
        let count = calls.len() as u32;
        let callees = [0, F, G, H + 4, 0x8000, 0x9000].map(Callee::Address);
        let calls: Vec<Call> = (0..).zip(calls).map(|(index, (parent, callee, calls))| {
            let callee = callees.get(callee).copied().unwrap_or(Callee::Python(0));
            Call { parent: parent % u32::max(index, 1), callee, calls }
        }).collect();
        let mut paths = paths(&calls, &[]);
        for (call, first, instructions, times) in stretches {
            paths.stretches.push(Stretch { call: call % count, first, instructions: instructions % (10 - first), times });
        }
        for (call, instruction, event, times) in extras {
            paths.extras.push(Extra { call: call % count, instruction, event: Event::ALL[event], count: times });
        }
        profile(&paths);
    }
}
