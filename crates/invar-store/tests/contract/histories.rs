//! The promises about what was measured of a benchmark over many runs, and about its noise.

use super::*;

pub async fn a_history_has_every_count_as_it_was(store: Store) {
    let mut kept = on("a", "main", run(1));
    for (index, event) in Event::ALL.into_iter().enumerate() {
        kept.measurements[0].warm.0[event as usize] = u64::MAX - index as u64;
    }
    kept.measurements[0].diagnostics.insert(Diagnostic::ReadClock);
    put(&store, std::slice::from_ref(&kept)).await;
    let history = store.history("t.py::a", &way(), None, Trees::Clean, 9).await.unwrap();
    let point = Point { run: Summary::of(&kept).into(), reading: Reading::of(&kept.measurements[0]) };
    assert_eq!(history.points, [point]);
    assert_eq!((history.machine, history.instrument), (kept.machine, kept.instrument));
    assert_eq!(store.history("t.py::b", &way(), None, Trees::Clean, 9).await.unwrap().points, []);
}

pub async fn a_history_is_of_one_branch_and_of_clean_trees(store: Store) {
    let mut failed = on("e", "main", run(5));
    failed.measurements[0].diagnostics.insert(Diagnostic::Failed);
    let runs = [
        on("a", "main", run(1)),
        dirty(on("b", "main", run(2))),
        on("c", "other", run(3)),
        on("d", "main", run(4)),
        failed,
    ];
    put(&store, &runs).await;
    let of = async |branch, trees| {
        let history = store.history("t.py::a", &way(), branch, trees, 9).await.unwrap();
        history.points.into_iter().map(|point| point.run.commit.clone().unwrap()).collect::<String>()
    };
    assert_eq!(of(Some("main"), Trees::Clean).await, "ad");
    assert_eq!(of(Some("main"), Trees::All).await, "abd");
    assert_eq!(of(None, Trees::Clean).await, "acd");
    assert_eq!(of(Some("nobody"), Trees::All).await, "");
}

pub async fn a_history_ends_and_keeps_the_newest(store: Store) {
    put(&store, &[run(3), run(1), run(2)]).await;
    let history = store.history("t.py::a", &way(), None, Trees::Clean, 2).await.unwrap();
    let counts = history.points.iter().map(|point| point.reading.events.get(Event::Instructions));
    assert_eq!(counts.collect::<Vec<_>>(), [2, 3]);
}

pub async fn a_benchmark_may_be_measured_in_several_ways(store: Store) {
    let mut counts = Run { instrument: Instrument::Counts, ..run(2) };
    counts.measurements[0].instrument = Instrument::Counts;
    put(&store, &[run(1), counts.clone()]).await;
    assert_eq!(store.ways("t.py::a").await.unwrap(), [Comparable::with(&counts), way()]);
    assert_eq!(store.ways("t.py::b").await.unwrap(), []);
    assert_eq!(store.way(&counts.id).await.unwrap(), Some(Comparable::with(&counts)));
    assert_eq!(store.way("nobody").await.unwrap(), None);
    let history = store.history("t.py::a", &Comparable::with(&counts), None, Trees::Clean, 9).await.unwrap();
    assert_eq!(history.points.len(), 1);
}

pub async fn histories_of_runs_are_sorted_and_may_have_gaps(store: Store) {
    let mut both = run(2);
    both.measurements
        .push(Measurement { benchmark: Benchmark::named("a.py::b"), ..run(7).measurements.remove(0) });
    both.sort();
    put(&store, &[run(1), both.clone(), run(3), run(4)]).await;
    let runs = [run(1), both, run(3)].map(|run| Summary::of(&run));
    let histories = store.histories(&runs, &way()).await.unwrap();
    let shown: Vec<(&str, Vec<&str>)> = histories
        .iter()
        .map(|series| (series.benchmark.as_str(), series.points.iter().map(|point| &*point.run.id).collect()))
        .collect();
    let [one, two, three] = [run(1).id, run(2).id, run(3).id];
    assert_eq!(shown, [("a.py::b", vec![&*two]), ("t.py::a", vec![&*one, &*two, &*three])]);
    assert_eq!(store.histories(&[], &way()).await.unwrap(), []);
}

pub async fn a_retried_put_measures_once(store: Store) {
    put(&store, &[run(1)]).await;
    assert_eq!(store.put(&run(1)).await.unwrap(), Put::AlreadyThere);
    let other = Run { id: run(1).id, ..run(2) };
    assert!(store.put(&other).await.is_err());
    assert_eq!(store.history("t.py::a", &way(), None, Trees::Clean, 9).await.unwrap().points.len(), 1);
}

pub async fn noise_floors_are_of_one_way_to_measure(store: Store) {
    let way = Comparable::with(&run(1));
    assert!(store.floors(&way).await.unwrap().is_empty());
    let (older, newer) = (verification(1, [100, 150]), verification(2, [100, 110]));
    for verification in [&newer, &older] {
        store.put_verification(verification).await.unwrap();
    }
    assert_eq!(store.verifications(&way).await.unwrap(), [newer, older]);
    let floors = store.floors(&way).await.unwrap();
    assert!((floors.get("t.py::a").unwrap().cycles() - 0.1).abs() < 1e-9);
    let other = Comparable { instrument: Instrument::Counts, ..way };
    assert!(store.floors(&other).await.unwrap().is_empty());
}

pub async fn a_retried_verification_is_kept_once(store: Store) {
    for _ in 0..2 {
        store.put_verification(&verification(1, [100, 150])).await.unwrap();
    }
    assert_eq!(store.verified().await.unwrap(), 1);
    assert_eq!(store.verifications(&Comparable::with(&run(1))).await.unwrap().len(), 1);
}
