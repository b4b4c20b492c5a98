//! Who pays, in pictures.

use super::*;
use crate::testing::{any_profile, profile};
use proptest::prelude::*;

fn why(base: &str, head: &str) -> Why {
    let (base, head) = (profile(base), profile(head));
    Why::of(Both { base: &base, head: &head }, &Machine::reference_1(), PAYERS)
}

#[track_caller]
fn check(base: &str, head: &str, expected: &[&str]) {
    let sentences: Vec<String> = why(base, head).native.iter().map(Payer::sentence).collect();
    assert_eq!(sentences, expected);
}

#[test]
fn a_dearer_function_is_told_with_its_place_and_its_events() {
    check(
        "test_it 1 0\n  fibo 5 1000\n  other 1 7",
        "test_it 1 0\n  fibo 5 60000\n  other 1 7",
        &["`fibo` (src/fibo.c:12): +118 k cycles, instructions +118 k, called as often, dearer"],
    );
    check(
        "test_it 1 0\n  fibo 5 1000 2",
        "test_it 1 0\n  fibo 5 900",
        &["`fibo` (src/fibo.c:12): −380 cycles, instructions −200, memory −180, called as often, cheaper"],
    );
}

#[test]
fn calls_or_the_price_of_a_call_whichever_did_more() {
    let reason = |base: &str, head: &str| {
        why(&format!("test_it 1 0\n  f {base}"), &format!("test_it 1 0\n  f {head}")).native[0].reason
    };
    assert_eq!(reason("10 100", "20 200"), Reason::CalledMoreOften);
    assert_eq!(reason("20 200", "10 100"), Reason::CalledLessOften);
    // Twice the calls would be 200; the other 700 are the price.
    assert_eq!(reason("10 100", "20 900"), Reason::Dearer);
    assert_eq!(reason("10 100", "20 210"), Reason::CalledMoreOften);
    // More calls, and still less.
    assert_eq!(reason("10 100", "20 50"), Reason::Cheaper);
    // Inlined: there are no calls to compare.
    assert_eq!(reason("10 100", "0 50"), Reason::Cheaper);
    assert_eq!(reason("0 50", "10 100"), Reason::Dearer);
}

#[test]
fn calls_are_told_where_they_changed() {
    check(
        "test_it 1 0\n  f 10 100",
        "test_it 1 0\n  f 12000 120000",
        &["`f` (src/f.c:12): +240 k cycles, instructions +240 k, called 12.0 k times, before 10"],
    );
}

#[test]
fn new_and_vanished_functions_are_told_as_such() {
    check(
        "test_it 1 0\n  old 1 50",
        "test_it 1 0\n  new 3 100",
        &[
            "`new` (src/new.c:12): +200 cycles, instructions +200, new, called 3 times",
            "`old` (src/old.c:12): −100 cycles, instructions −100, vanished, was called once",
        ],
    );
}

#[test]
fn the_same_work_with_other_misses_is_layout() {
    // Misses of the third level instead of none: the accesses are the same.
    let (mut base, mut head) = (profile("test_it 1 0\n  f 1 100 9"), profile("test_it 1 0\n  f 1 100 9"));
    base.nodes[1].own.0[crate::event::Event::L3Misses as usize] = 2;
    fn of(base: &Profile, head: &Profile) -> Why {
        Why::of(Both { base, head }, &Machine::reference_1(), PAYERS)
    }
    let worse = of(&base, &head);
    assert_eq!(worse.native[0].reason, Reason::LayoutOnly);
    assert_eq!(worse.layout_sentence(), Some("same instructions, more misses: layout"));
    let sentence = worse.native[0].sentence();
    assert!(sentence.ends_with("memory +630, L3 −154, same instructions, more misses: layout"), "{sentence}");
    assert_eq!(of(&head, &base).layout_sentence(), Some("same instructions, fewer misses: layout"));
    assert_eq!(of(&base, &base).layout_sentence(), None);
    head.nodes[0].own.add(crate::event::Event::Instructions, 1);
    assert_eq!(of(&base, &head).layout_sentence(), None);
}

#[test]
fn python_pays_for_what_is_done_natively_on_its_behalf() {
    let picture = |memcpy| {
        format!(
            "test_it 1 0
               int:eval 1 10
                 py:main 1 0
                   int:eval 1 20
                     py:work 3 0
                       memcpy 6 {memcpy}"
        )
    };
    let why = why(&picture(100), &picture(200));
    let told = |payers: &[Payer]| payers.iter().map(Payer::sentence).collect::<Vec<_>>();
    assert_eq!(
        told(&why.python),
        ["`work` (src/work.py:12): +200 cycles, instructions +200, called as often, dearer"]
    );
    assert_eq!(
        told(&why.native),
        ["`memcpy` (src/memcpy.c:12): +200 cycles, instructions +200, called as often, dearer"]
    );
    let names = |path: &PayingPath| {
        path.functions.iter().map(|function| function.name.clone()).collect::<Vec<_>>().join(" > ")
    };
    assert_eq!(names(&why.python[0].paths[0]), "test_it > main > work");
    assert_eq!(names(&why.native[0].paths[0]), "test_it > eval > memcpy");
}

#[test]
fn without_python_there_is_no_list_of_it() {
    let why = why("test_it 1 0\n  f 1 1", "test_it 1 0\n  f 1 2");
    assert!(why.python.is_empty());
    assert_eq!(why.cycles, Change { base: 2, head: 4 });
}

#[test]
fn the_most_paying_come_first_and_the_rest_is_left_out() {
    let base = "test_it 1 0\n  a 1 10\n  b 1 10\n  c 1 10\n  d 1 10";
    let head = "test_it 1 0\n  a 1 12\n  b 1 12\n  c 1 1\n  d 1 99";
    let why = why(base, head);
    let names: Vec<&str> = why.native.iter().map(|payer| payer.function.name.as_str()).collect();
    assert_eq!(names, ["d", "c", "a"]);
}

#[test]
fn paths_say_along_which_callers_it_is_paid() {
    let base = "test_it 1 0\n  a 1 0\n    f 1 10\n  b 1 0\n    f 1 10\n      f 4 4\n  c 1 0\n    f 1 10";
    let head = "test_it 1 0\n  a 1 0\n    f 1 20\n  b 1 0\n    f 1 10\n      f 4 90\n  c 1 0\n    f 1 10";
    let why = why(base, head);
    let path = |path: &PayingPath| (path.functions[1].name.clone(), path.cycles.moved(), path.calls);
    assert_eq!(
        why.native[0].paths.iter().map(path).collect::<Vec<_>>(),
        [
            ("b".to_string(), 172, Change { base: 5, head: 5 }),
            ("a".to_string(), 20, Change { base: 1, head: 1 })
        ]
    );
}

#[test]
fn a_place_is_told_as_far_as_it_is_known() {
    let mut payer = why("test_it 1 0\n  f 1 1", "test_it 1 0\n  f 1 2").native.remove(0);
    payer.function.name = "a`b".to_string();
    payer.function.line = 0;
    assert_eq!(payer.title(), "`a'b` (src/f.c)");
    payer.function.file.clear();
    assert_eq!(payer.title(), "`a'b` (libtest.so)");
    payer.function.object.clear();
    assert_eq!(payer.title(), "`a'b`");
}

proptest! {
    #[test]
    fn all_payers_together_pay_the_whole_change(base in any_profile(), head in any_profile()) {
        let machine = Machine::reference_1();
        let why = Why::of(Both { base: &base, head: &head }, &machine, usize::MAX);
        for (payers, frames) in [(&why.native, Frames::Native), (&why.python, Frames::Python)] {
            let view = View { frames, recursion: Recursion::Folded, ..View::default() };
            let Both { base, head } = Both { base: &base, head: &head }.map(|side| side.viewed(view));
            // Merged as the difference merges them: rounding is by node.
            let whole: i128 = Difference::of(&base, &head).nodes.iter().map(|node| {
                let cost = |spent: Option<Spent>| Levels::of(&spent.unwrap_or_default().own, &machine).total().0;
                change(node.spent.map(cost)).moved()
            }).sum();
            let paid: i128 = payers.iter().map(|payer| payer.cycles().moved()).sum();
            // Where nobody speaks Python that list is empty.
            if frames == Frames::Native || !payers.is_empty() {
                prop_assert_eq!(paid, whole);
            }
            for payer in payers {
                let by_path: i128 = payer.paths.iter().map(|path| path.cycles.moved()).sum();
                prop_assert_eq!(by_path, payer.cycles().moved());
            }
        }
    }
}
