//! The Run as JSON: there and back, old files, broken files.

use proptest::prelude::*;

use super::*;

fn events() -> impl Strategy<Value = Events> {
    any::<[u64; Event::COUNT]>().prop_map(Events)
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..3)
}

fn benchmarks() -> impl Strategy<Value = Benchmark> {
    let json = prop_oneof![any::<i64>().prop_map(|n| n.to_string()), Just(r#"{"a":[null,"é"]}"#.to_string())];
    let extra_info = proptest::collection::btree_map(".{0,6}", json, 0..3);
    let option = || proptest::option::of(".{0,8}");
    (".{1,12}", ".{1,8}", option(), any::<Option<u32>>(), option(), texts(), extra_info, option()).prop_map(
        |(id, name, file, line, group, params, extra_info, runtime)| Benchmark {
            id,
            name,
            file,
            line,
            group,
            params,
            extra_info,
            language: None,
            integration: runtime.clone(),
            runtime,
        },
    )
}

fn machines() -> impl Strategy<Value = Machine> {
    prop_oneof![Just(Machine::reference_1()), Just(Machine::callgrind())]
}

fn instruments() -> impl Strategy<Value = Instrument> {
    proptest::sample::select(&Instrument::ALL[..])
}

fn measurements() -> impl Strategy<Value = Measurement> {
    let diagnostics = (0..1u64 << Diagnostic::ALL.len()).prop_map(Diagnostics);
    (benchmarks(), instruments(), machines(), proptest::option::of(events()), events(), diagnostics).prop_map(
        |(benchmark, instrument, machine, cold, warm, diagnostics)| Measurement {
            benchmark,
            instrument,
            machine,
            cold,
            warm,
            diagnostics,
        },
    )
}

fn sources() -> impl Strategy<Value = Source> {
    let option = || proptest::option::of(".{0,8}");
    (option(), option(), any::<bool>(), any::<Option<i64>>(), proptest::collection::vec(".{0,8}", 0..3))
        .prop_map(|(commit, branch, dirty, committed, parents)| Source {
            message: branch.clone(),
            author: commit.clone(),
            remote: commit.clone(),
            merge_base: branch.clone(),
            default_branch: branch.clone(),
            tags: parents.clone(),
            commit,
            parents,
            branch,
            dirty,
            committed: committed.map(Timestamp),
        })
}

prop_compose! {
    fn layouts()(
        count in proptest::option::of(any::<u32>()),
        means in proptest::collection::btree_map(".{0,8}", any::<(u32, u64)>(), 0..3),
    ) -> Layouts {
        let mean = |(name, (layouts, standard_error))| (name, Mean { layouts, standard_error });
        Layouts { asked: count.map_or(Spend::Auto, Spend::Count), means: means.into_iter().map(mean).collect() }
    }
}

prop_compose! {
    fn runs()(
        measurements in proptest::collection::vec(measurements(), 0..4),
        source in proptest::option::of(sources()),
        facts in texts(),
        failed in texts(),
        machine in machines(),
        instrument in instruments(),
        started in any::<i64>(),
        took_micros in any::<Option<u64>>(),
        exit in proptest::option::of(prop_oneof![
            any::<i32>().prop_map(Exit::Status),
            any::<i32>().prop_map(Exit::Signal),
        ]),
        words in proptest::collection::vec(".{0,8}", 0..3),
        layouts in proptest::option::of(layouts()),
        shard in proptest::option::of((".{0,8}", any::<u32>(), any::<u32>())),
    ) -> Run {
        let mut run = Run::started("0190f3c2-1111-7000-8000-00000000abcd", Timestamp(started), machine);
        run.environment.0.insert("runtime".to_string(), facts);
        run.incomplete = words.first().cloned();
        run.command = words.clone();
        run.warnings = words;
        run.instrument = instrument;
        run.measurements = measurements;
        run.source = source;
        run.failed = failed;
        run.took_micros = took_micros;
        run.exit = exit;
        run.layouts = layouts;
        run.shard = shard.map(|(key, number, of)| Shard { key, number, of });
        run.sort();
        run
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_run_reads_back_as_it_was_written(run in runs()) {
        prop_assert_eq!(read(write(&run).as_bytes()), Ok(run.clone()));
        prop_assert_eq!(read(write_pretty(&run).as_bytes()), Ok(run));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&bytes);
    }
}

#[test]
fn a_run_of_version_one_reads_for_ever() {
    let run = read(include_bytes!("../../../fixtures/run-v1.json")).unwrap();
    assert_eq!(run.id, "0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001");
    assert_eq!(run.title(), "improve-iterative-fibo-speed@487a918+dirty");
    assert_eq!(run.machine, Machine::reference_1());
    assert_eq!(run.exit, Some(Exit::Status(1)));
    assert_eq!(run.environment.get("runtime", "python"), Some("3.13.2"));
    assert_eq!(run.failed["tests/test_fibo.py::test_broken"], "ValueError: no");
    let names: Vec<&str> = run.measurements.iter().map(|one| one.benchmark.id.as_str()).collect();
    assert_eq!(names, ["tests/test_fibo.py::iterative_fibo_big", "tests/test_fibo.py::recursive_fibo[10]"]);
    let big = &run.measurements[0];
    assert_eq!((&big.machine, big.instrument), (&Machine::callgrind(), Instrument::Counts));
    assert_eq!(big.warm.get(Event::Instructions), 2_790_000);
    assert_eq!(big.diagnostics.to_vec(), [Diagnostic::ReadClock]);
    assert_eq!(big.benchmark.extra_info["n"], "[1,2]");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), expected);
}

#[test]
fn another_file_is_named_by_its_beginning() {
    check_error("PK\u{3}\u{4}...", "not a run file: starts with [50, 4b, 03, 04]");
    check_error(" \n", "not a run file: it is empty");
    check_error("{\"benchmarks\": []}", "not a run file: JSON without a member `invar`");
}

#[test]
fn a_newer_run_is_refused_by_its_version() {
    check_error("{\"invar\": 2}", "run format 2 is newer than 1, the newest this build reads");
}

#[test]
fn a_run_cut_short_is_damaged() {
    let text = include_str!("../../../fixtures/run-v1.json");
    let error = read(&text.as_bytes()[..text.len() / 2]).unwrap_err();
    assert!(matches!(error, ReadRunError::Damaged { .. }), "{error}");
}
