//! Verdicts, causes, headlines.

use super::*;
use crate::config::{Gate, Thresholds};
use crate::testing::{measurement, run};

fn compare(base: &[(&str, u64, u64)], head: &[(&str, u64, u64)]) -> Comparison {
    Comparison::of(&run("main", base), &run("faster", head), &Policy::default()).unwrap()
}

#[track_caller]
fn check_judge(base: Option<u64>, head: Option<u64>, expected: Option<Verdict>) {
    assert_eq!(judge(base.map(Cycles), head.map(Cycles), Threshold(0.05)), expected);
}

#[test]
fn a_change_counts_when_it_is_more_than_the_threshold() {
    check_judge(Some(100), Some(106), Some(Verdict::Regressed));
    check_judge(Some(100), Some(105), Some(Verdict::Unchanged));
    check_judge(Some(100), Some(95), Some(Verdict::Unchanged));
    check_judge(Some(100), Some(94), Some(Verdict::Improved));
    check_judge(Some(100), Some(100), Some(Verdict::Unchanged));
}

#[test]
fn what_one_side_lacks_is_new_or_dropped() {
    check_judge(None, Some(1), Some(Verdict::New));
    check_judge(Some(1), None, Some(Verdict::Dropped));
    check_judge(None, None, None);
}

#[test]
fn something_out_of_nothing_is_a_regression() {
    check_judge(Some(0), Some(1), Some(Verdict::Regressed));
    check_judge(Some(0), Some(0), Some(Verdict::Unchanged));
    check_judge(Some(1), Some(0), Some(Verdict::Improved));
}

#[test]
fn ratio_and_factor_say_one_change_in_two_ways() {
    let halved = Change { base: 200, head: 100 };
    assert_eq!((halved.ratio(), halved.factor()), (-0.5, 2.0));
    let doubled = Change { base: 100, head: 200 };
    assert_eq!((doubled.ratio(), doubled.factor()), (1.0, 2.0));
    assert_eq!(Change { base: 0, head: 0 }.factor(), 1.0);
}

#[track_caller]
fn check_cause(base: (u64, u64), head: (u64, u64), expected: Option<Cause>) {
    let comparison = compare(&[("a", base.0, base.1)], &[("a", head.0, head.1)]);
    assert_eq!(comparison.benchmarks[0].cause, expected);
}

#[test]
fn a_cause_is_layout_if_only_misses_moved() {
    check_cause((1000, 10), (1000, 10), None);
    check_cause((1000, 10), (1000, 90), Some(Cause::Layout));
    check_cause((1000, 10), (1001, 10), Some(Cause::Code));
    check_cause((1000, 10), (1001, 90), Some(Cause::Code));
}

#[test]
fn another_python_is_the_cause_of_what_changed_with_it() {
    let (mut base, mut head) = (run("main", &[("a", 1000, 0)]), run("faster", &[("a", 2000, 0)]));
    base.environment.set("runtime", "python", "3.11.7");
    head.environment.set("runtime", "python", "3.13.2");
    let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
    assert_eq!(comparison.benchmarks[0].cause, Some(Cause::Environment));
    assert!(comparison.blocks());
}

#[test]
fn another_host_is_no_cause() {
    let (mut base, head) = (run("main", &[("a", 1000, 0)]), run("faster", &[("a", 2000, 0)]));
    base.environment.set("host", "cpu", "EPYC");
    let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
    assert_eq!(comparison.benchmarks[0].cause, Some(Cause::Code));
    assert_eq!(comparison.environment.len(), 1);
}

#[test]
fn what_may_differ_from_run_to_run_does_not_block() {
    let (base, mut head) = (run("main", &[("a", 1000, 0)]), run("faster", &[("a", 2000, 0)]));
    head.measurements[0].diagnostics.insert(Diagnostic::ReadRandom);
    let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
    assert_eq!(comparison.benchmarks[0].verdict, Verdict::Regressed);
    assert_eq!(comparison.benchmarks[0].cause, Some(Cause::Unstable));
    assert!(!comparison.blocks());
}

#[test]
fn a_benchmark_that_failed_is_not_dropped_and_not_improved() {
    let base = run("main", &[("a", 1000, 0), ("b", 1000, 0)]);
    let mut head = run("faster", &[("b", 10, 0)]);
    head.failed.insert("a".to_string(), "ValueError: no".to_string());
    head.measurements[0].diagnostics.insert(Diagnostic::Failed);
    let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
    assert_eq!(comparison.benchmarks, []);
    assert_eq!(comparison.counts(), Counts { failed: 2, ..Counts::default() });
    assert_eq!(comparison.failed["b"], "the benchmarked function raised an exception");
}

#[test]
fn unlike_machines_are_refused_by_name() {
    let (base, mut head) = (run("main", &[]), run("faster", &[]));
    head.machine = Machine::callgrind();
    let error = Comparison::of(&base, &head, &Policy::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the baseline was simulated on machine `reference-1` and the candidate on `callgrind`; \
         costs on unlike machines are not comparable"
    );
    head.machine = Machine { megahertz: 1, ..Machine::reference_1() };
    let error = Comparison::of(&base, &head, &Policy::default()).unwrap_err().to_string();
    assert!(error.contains("other caches, latencies or clock under the same name"), "{error}");
}

#[test]
fn unlike_instruments_are_refused_even_in_one_benchmark() {
    let (base, mut head) = (run("main", &[("a", 1, 0)]), run("faster", &[("a", 1, 0)]));
    head.measurements[0].instrument = Instrument::Counts;
    let error = Comparison::of(&base, &head, &Policy::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the baseline was measured by simulation and the candidate by counts; \
         results of unlike instruments are not comparable"
    );
}

#[test]
fn verdicts_are_counted() {
    let comparison = compare(
        &[("a", 100_000, 0), ("b", 100_000, 0), ("c", 100_000, 0), ("d", 1, 0)],
        &[("a", 200_000, 0), ("b", 50_000, 0), ("c", 100_001, 0), ("e", 1, 0)],
    );
    let expected =
        Counts { improved: 1, regressed: 1, unchanged: 1, new: 1, dropped: 1, failed: 0, blocking: 1 };
    assert_eq!(comparison.counts(), expected);
    let names: Vec<&str> = comparison.changed().iter().map(|judged| judged.benchmark.id.as_str()).collect();
    assert_eq!(names, ["a", "b", "e", "d"]);
}

#[track_caller]
fn check_headline(head: &[(&str, u64, u64)], expected: Option<&str>) {
    let base = [("a", 100_000, 0), ("b", 100_000, 0), ("c", 100_000, 0)];
    let comparison = compare(&base, head);
    assert_eq!(comparison.headline().map(|judged| judged.benchmark.id.as_str()), expected);
}

#[test]
fn the_headline_is_the_worst_regression_else_the_best_improvement() {
    check_headline(&[("a", 110_000, 0), ("b", 120_000, 0), ("c", 10_000, 0)], Some("b"));
    check_headline(&[("a", 50_000, 0), ("b", 60_000, 0), ("c", 100_000, 0)], Some("a"));
    check_headline(&[("a", 50_000, 0), ("b", 50_000, 0), ("c", 100_000, 0)], Some("a"));
    check_headline(&[("a", 100_001, 0), ("b", 100_000, 0)], None);
}

#[test]
fn a_regression_that_does_not_block_yields_the_headline_to_an_improvement() {
    check_headline(&[("a", 100_000, 1000), ("b", 90_000, 0)], Some("b"));
    check_headline(&[("a", 100_000, 1000), ("b", 100_000, 0)], Some("a"));
}

#[test]
fn an_event_past_its_own_threshold_is_a_regression() {
    let mut policy = Policy::default();
    let instructions = (Event::Instructions, Threshold(0.01));
    policy.thresholds = Thresholds { cycles: None, events: [instructions].into() };
    let (base, head) = (run("main", &[("a", 100_000, 100)]), run("faster", &[("a", 102_000, 0)]));
    let comparison = Comparison::of(&base, &head, &policy).unwrap();
    let judged = &comparison.benchmarks[0];
    assert_eq!(judged.verdict, Verdict::Regressed);
    assert_eq!(judged.applied.metric, Metric::Event(Event::Instructions));
    assert_eq!(judged.decided_change(), Some(Change { base: 100_000, head: 102_000 }));
    assert!(judged.change().unwrap().ratio() < 0.0);
}

#[test]
fn a_change_within_the_noise_floor_is_none() {
    let runs = [("a", 100_000, 0), ("a", 110_000, 0)].map(|one| run("main", &[one, ("b", 100_000, 0)]));
    let floors = crate::noise::Floors::of(&[crate::testing::verification(&runs)]);
    let mut policy = Policy::default().with_floors(floors);
    policy.thresholds.cycles = Some(Threshold(0.01));
    let check = |instructions: u64, verdict: Verdict| {
        let head = run("faster", &[("a", instructions, 0), ("b", 102_000, 0)]);
        let comparison = Comparison::of(&runs[0], &head, &policy).unwrap();
        let [a, b] = &comparison.benchmarks[..] else { panic!("two benchmarks") };
        assert_eq!((a.verdict, a.applied.raised_from), (verdict, Some(Threshold(0.01))));
        assert_eq!((b.verdict, b.applied.raised_from, b.noise), (Verdict::Regressed, None, Some(0.0)));
        assert!(a.noise.unwrap() > 0.099);
    };
    // As far as it moves by itself, and farther.
    check(110_000, Verdict::Unchanged);
    check(110_100, Verdict::Regressed);
}

#[test]
fn the_gate_chooses_which_causes_block() {
    let policy = Policy { gate: Gate { causes: [Cause::Layout].into(), dropped: true }, ..Policy::default() };
    let base = run("main", &[("a", 100_000, 0), ("b", 100_000, 0), ("c", 1, 0)]);
    let head = run("faster", &[("a", 100_000, 1000), ("b", 200_000, 0)]);
    let comparison = Comparison::of(&base, &head, &policy).unwrap();
    let blocking: Vec<bool> = comparison.benchmarks.iter().map(|judged| judged.blocking).collect();
    assert_eq!(blocking, [true, false, true]);
}

#[test]
fn a_later_description_of_a_benchmark_wins() {
    let (base, mut head) = (run("main", &[("a", 1, 0)]), run("faster", &[]));
    let mut described = measurement("a", 1, 0);
    described.benchmark.line = Some(7);
    head.measurements.push(described);
    let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
    assert_eq!(comparison.benchmarks[0].benchmark.line, Some(7));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]

    #[test]
    fn a_run_does_not_differ_from_itself(counts in proptest::collection::vec(proptest::prelude::any::<[u64; Event::COUNT]>(), 1..5)) {
        let mut run = run("main", &[]);
        for (index, counts) in counts.into_iter().enumerate() {
            let warm = Events(counts);
            run.measurements.push(Measurement { warm, ..measurement(&format!("a{index}"), 0, 0) });
        }
        let comparison = Comparison::of(&run, &run, &Policy::default()).unwrap();
        let unchanged = |judged: &Judged| judged.verdict == Verdict::Unchanged && judged.cause.is_none();
        proptest::prop_assert!(comparison.benchmarks.iter().all(unchanged));
        proptest::prop_assert!(!comparison.blocks());
    }
}
