//! The promises about runs: put once, found, listed, and whole.

use super::*;

pub async fn a_run_comes_back_as_it_was(store: Store) {
    let mut kept = dirty(on("c1", "main", run(1)));
    kept.failed.insert("t.py::b".into(), "ValueError: \u{1f980}".into());
    kept.incomplete = Some("it was killed".into());
    kept.environment.set("runtime", "python", "3.13.2");
    put(&store, &[kept.clone(), run(2)]).await;
    assert_eq!(store.get(&kept.id).await.unwrap(), kept);
    assert_eq!(store.list(10).await.unwrap(), [Summary::of(&run(2)), Summary::of(&kept)]);
}

pub async fn a_retried_put_is_stored_once(store: Store) {
    put(&store, &[run(1)]).await;
    assert_eq!(store.put(&run(1)).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.list(10).await.unwrap().len(), 1);
}

pub async fn an_id_names_one_run(store: Store) {
    put(&store, &[run(1)]).await;
    let other = Run { id: run(1).id, ..run(2) };
    assert!(matches!(store.put(&other).await, Err(PutError::Taken { id }) if id == run(1).id));
    assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
}

pub async fn a_list_is_newest_first_and_ends(store: Store) {
    put(&store, &[run(2), run(3), run(1)]).await;
    let ids = |runs: Vec<Summary>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(store.list(10).await.unwrap()), [run(3).id, run(2).id, run(1).id]);
    assert_eq!(ids(store.list(2).await.unwrap()), [run(3).id, run(2).id]);
}

pub async fn a_run_is_found_by_either_end_of_its_id(store: Store) {
    put(&store, &[run(0xabcde1), run(0xabcde2)]).await;
    assert_eq!(store.find("abcde1").await.unwrap(), Found::One(run(0xabcde1).id));
    assert_eq!(store.find("ABCDE2").await.unwrap(), Found::One(run(0xabcde2).id));
    assert_eq!(store.find(&run(0xabcde1).id).await.unwrap(), Found::One(run(0xabcde1).id));
    let both = [run(0xabcde2), run(0xabcde1)].map(|run| Summary::of(&run));
    assert_eq!(store.find("0190f3c2").await.unwrap(), Found::Several(both.to_vec()));
    for nothing in ["", "bcde", "%", "_", "main", "0190f3c2%"] {
        assert_eq!(store.find(nothing).await.unwrap(), Found::None, "{nothing}");
    }
}

pub async fn an_unknown_run_is_said_to_be(store: Store) {
    let error = store.get("nobody").await.unwrap_err();
    assert!(matches!(error, GetError::Unknown { .. }));
    assert_eq!(error.to_string(), "no run nobody is stored");
}

pub async fn the_latest_run_is_the_newest_with_results(store: Store) {
    assert_eq!(latest(&store, Wanted::default()).await, None);
    let empty = Run { measurements: vec![], ..run(9) };
    put(&store, &[run(1), on("c", "main", run(3)), run(2), empty]).await;
    assert_eq!(latest(&store, Wanted::default()).await, Some(run(3).id));
    let except = Wanted { except: Some(run(3).id), ..Wanted::default() };
    assert_eq!(latest(&store, except).await, Some(run(2).id));
    let early = Wanted { not_after: Some(run(1).started), ..Wanted::default() };
    assert_eq!(latest(&store, early).await, Some(run(1).id));
    let branch = |branch: &str| Wanted { branch: Some(branch.into()), ..Wanted::default() };
    assert_eq!(latest(&store, branch("main")).await, Some(run(3).id));
    assert_eq!(latest(&store, branch("other")).await, None);
}

pub async fn of_a_commit_clean_and_complete_runs_go_first(store: Store) {
    let of = |commit: &str| Wanted { commit: Some(commit.into()), ..Wanted::default() };
    put(&store, &[dirty(on("c", "main", run(5)))]).await;
    assert_eq!(latest(&store, of("c")).await, Some(run(5).id));
    assert_eq!(latest(&store, Wanted { dirty: Some(false), ..of("c") }).await, None);
    let killed = Run { incomplete: Some("it was killed".into()), ..on("c", "main", run(4)) };
    put(&store, &[killed]).await;
    assert_eq!(latest(&store, of("c")).await, Some(run(4).id));
    put(&store, &[on("c", "main", run(3))]).await;
    assert_eq!(latest(&store, of("c")).await, Some(run(3).id));
    assert_eq!(latest(&store, Wanted { dirty: Some(true), ..of("c") }).await, Some(run(5).id));
    assert_eq!(latest(&store, of("d")).await, None);
}

pub async fn a_run_is_looked_for_among_comparable_ones(store: Store) {
    let counts = Run { instrument: Instrument::Counts, ..run(2) };
    let callgrind = Run { machine: Machine::callgrind(), ..run(3) };
    // Another machine under the same name.
    let other = Run { machine: Machine { megahertz: 1, ..Machine::reference_1() }, ..run(4) };
    put(&store, &[run(1), counts.clone(), callgrind.clone(), other]).await;
    for like in [run(1), counts, callgrind] {
        let wanted = Wanted { comparable: Some(Comparable::with(&like)), ..Wanted::default() };
        assert_eq!(latest(&store, wanted).await, Some(like.id));
    }
}

pub async fn commits_are_measured_if_their_tree_was_clean(store: Store) {
    let empty = Run { measurements: vec![], ..on("empty", "main", run(4)) };
    let counts = Run { instrument: Instrument::Counts, ..on("counts", "main", run(5)) };
    let runs = [
        on("b", "main", run(1)),
        on("a", "main", run(2)),
        dirty(on("dirty", "main", run(3))),
        empty,
        counts,
        run(6),
    ];
    put(&store, &runs).await;
    let commits = store.commits_measured(&Comparable::with(&run(1))).await.unwrap();
    assert_eq!(commits.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

pub async fn runs_are_listed_page_by_page(store: Store) {
    // Two that started at once, too.
    let twin = Run { id: run(9).id, ..run(2) };
    put(&store, &[run(1), run(2), twin, on("c", "other", run(3)), run(4)]).await;
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page = store.runs(&Listing { after, ..listing(2) }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Cursor::behind(last));
        pages.extend(page);
    }
    assert_eq!(ids(&pages), [run(4).id, run(3).id, run(9).id, run(2).id, run(1).id]);
    let other = Listing { branch: Some("other".into()), ..listing(9) };
    assert_eq!(ids(&store.runs(&other).await.unwrap()), [run(3).id]);
}

pub async fn commits_are_listed_by_their_newest_clean_run(store: Store) {
    let runs = [
        on("a", "main", run(1)),
        on("b", "main", run(2)),
        on("a", "main", run(3)),
        dirty(on("b", "main", run(4))),
        Run { measurements: vec![], ..on("c", "main", run(5)) },
        on("a", "other", run(6)),
        Run { instrument: Instrument::Counts, ..on("b", "main", run(7)) },
        run(8),
    ];
    put(&store, &runs).await;
    let of_main = Listing { branch: Some("main".into()), ..listing(9) };
    assert_eq!(ids(&store.commits(&of_main).await.unwrap()), [run(7).id, run(3).id]);
    let comparable = Listing { comparable: Some(Comparable::with(&run(1))), ..of_main.clone() };
    assert_eq!(ids(&store.commits(&comparable).await.unwrap()), [run(3).id, run(2).id]);
    assert_eq!(ids(&store.commits(&listing(9)).await.unwrap()), [run(7).id, run(6).id]);
}

pub async fn branches_are_listed_by_their_newest_run(store: Store) {
    put(&store, &[on("a", "main", run(3)), on("b", "old", run(1)), on("c", "new", run(4)), run(5)]).await;
    assert_eq!(store.branches(9).await.unwrap(), ["new", "main", "old"]);
    assert_eq!(store.branches(1).await.unwrap(), ["new"]);
}

pub async fn a_commit_is_found_by_its_first_digits(store: Store) {
    put(&store, &[on("abc1", "main", run(1)), on("abc2", "main", run(2)), on("abf0", "main", run(3))]).await;
    assert_eq!(store.commits_starting("ABC").await.unwrap(), ["abc1", "abc2"]);
    assert_eq!(store.commits_starting("abf").await.unwrap(), ["abf0"]);
    for nothing in ["", "bc", "ab*", "main", "abc11"] {
        assert!(store.commits_starting(nothing).await.unwrap().is_empty(), "{nothing}");
    }
}

pub async fn of_puts_at_once_one_stores_the_run(store: Store) {
    let profiles = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 1))]);
    let puts = (0..8).map(|_| {
        let (store, profiles) = (store.clone(), profiles.clone());
        tokio::spawn(async move { store.put_with(&run(1), &profiles).await.unwrap() })
    });
    let puts: Vec<Put> = join_all(puts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(puts.iter().filter(|put| **put == Put::Stored).count(), 1, "{puts:?}");
    assert_eq!(store.list(9).await.unwrap().len(), 1);
    assert_eq!(store.history("t.py::a", &way(), None, Trees::Clean, 9).await.unwrap().points.len(), 1);
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
}

/// A run of many benchmarks, in any order.
fn large(number: u32, benchmarks: impl Iterator<Item = usize>) -> Run {
    let mut large = run(number);
    let like = large.measurements.remove(0);
    let measure =
        |index| Measurement { benchmark: Benchmark::named(&format!("t.py::b{index:05}")), ..like.clone() };
    large.measurements = benchmarks.map(measure).collect();
    large
}

pub async fn runs_of_the_same_benchmarks_are_put_at_once(store: Store) {
    let puts = (0..8).map(|number| {
        let store = store.clone();
        let benchmarks = 0..600;
        // Each takes series that another one needs.
        let run = if number % 2 == 0 { large(number, benchmarks) } else { large(number, benchmarks.rev()) };
        tokio::spawn(async move { store.put(&run).await.unwrap() })
    });
    for put in join_all(puts).await {
        assert_eq!(put.unwrap(), Put::Stored);
    }
    assert_eq!(store.history("t.py::b00599", &way(), None, Trees::All, 99).await.unwrap().points.len(), 8);
}

pub async fn a_large_run_is_stored_whole(store: Store) {
    // More than one statement takes, and one series twice: the first counts.
    let mut large = large(1, (0..1501).chain([3]).rev());
    put(&store, std::slice::from_ref(&large)).await;
    assert_eq!(store.put(&large).await.unwrap(), Put::AlreadyThere);
    large.sort();
    let histories = store.histories(&[Summary::of(&large)], &way()).await.unwrap();
    assert_eq!(histories.len(), 1501);
    assert_eq!(histories[1500].benchmark, "t.py::b01500");
    // Not `assert_eq`: it would print them.
    assert!(store.get(&large.id).await.unwrap() == large);
}

pub async fn a_text_with_any_character_is_stored(store: Store) {
    let name = "t.py::a['\"\\ \0 \u{1f980} %_; DROP TABLE run; --]";
    let mut kept = on("a", "feature/\0'x", run(1));
    kept.measurements[0].benchmark = Benchmark::named(name);
    put(&store, std::slice::from_ref(&kept)).await;
    assert_eq!(store.get(&kept.id).await.unwrap(), kept);
    let history = store.history(name, &way(), Some("feature/\0'x"), Trees::Clean, 9).await.unwrap();
    assert_eq!(history.points.len(), 1);
    let profiles = Profiles::from([(name.to_string(), profile(name, 1))]);
    store.put_with(&run(2), &profiles).await.unwrap();
    assert_eq!(store.profile(&run(2).id, name).await.unwrap(), Some(profile(name, 1)));
}

pub async fn what_has_a_text_in_its_name_is_found(store: Store) {
    for (number, commit, message) in
        [(1, "aaaa", "Add 100 % more"), (2, "bbbb", "Fix it"), (3, "bbbb", "Fix it")]
    {
        let mut run = on(commit, "main", run(number));
        run.source.as_mut().unwrap().message = Some(message.to_string());
        store.put(&run).await.unwrap();
    }
    let mut changed = dirty(on("cccc", "main", run(4)));
    changed.measurements[0].benchmark = Benchmark::named("t.py::other_A");
    store.put(&changed).await.unwrap();
    let commits = async |text: &str, trees| -> Vec<String> {
        let found = store.commits_with(text, trees, 9).await.unwrap();
        found.into_iter().map(|run| run.id[33..].to_string()).collect()
    };
    assert_eq!(commits("fix", Trees::Clean).await, ["003"]);
    assert_eq!(commits("AAA", Trees::Clean).await, ["001"]);
    assert_eq!(commits("0 %", Trees::Clean).await, ["001"]);
    assert_eq!(commits("%", Trees::Clean).await, ["001"]);
    assert_eq!(commits("_", Trees::Clean).await, Vec::<String>::new());
    assert_eq!(commits("", Trees::Clean).await, ["003", "001"]);
    assert_eq!(commits("c", Trees::All).await, ["004"]);
    assert_eq!(store.benchmarks_with("a", 9).await.unwrap(), ["t.py::a", "t.py::other_A"]);
    assert_eq!(store.benchmarks_with("a", 1).await.unwrap(), ["t.py::a"]);
    assert_eq!(store.benchmarks_with("r_a", 9).await.unwrap(), ["t.py::other_A"]);
    assert_eq!(store.benchmarks_with("y%a", 9).await.unwrap(), Vec::<String>::new());
}
