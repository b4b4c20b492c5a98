//! What every store promises, whatever keeps it. A backend is added by one more `contract!` line.

use std::path::Path;

use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::{Run, Summary, Timestamp};
use invar_core::source::Source;
use invar_store::{Comparable, Found, GetError, Put, PutError, Store, Wanted};

/// Makes a test of every promise for one backend, which is opened in an empty directory.
macro_rules! contract {
    ($name:ident, $open:expr) => {
        mod $name {
            contract!(
                @tests $open,
                a_run_comes_back_as_it_was,
                a_retried_put_is_stored_once,
                an_id_names_one_run,
                a_list_is_newest_first_and_ends,
                a_run_is_found_by_either_end_of_its_id,
                an_unknown_run_is_said_to_be,
                the_latest_run_is_the_newest_with_results,
                of_a_commit_clean_and_complete_runs_go_first,
                a_run_is_looked_for_among_comparable_ones,
                commits_are_measured_if_their_tree_was_clean,
            );
        }
    };
    (@tests $open:expr, $($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let directory = tempfile::tempdir().unwrap();
                super::$promise($open(directory.path()).await).await;
            }
        )*
    };
}

contract!(sqlite_and_folder, super::sqlite_and_folder);

async fn sqlite_and_folder(directory: &Path) -> Store {
    Store::open(directory).await.unwrap()
}

/// A run of one benchmark, its number being part of its id and its time.
fn run(number: u32) -> Run {
    let id = format!("0190f3c2-7b1e-7cc3-9a54-{number:012x}");
    let mut run = Run::started(&id, Timestamp(i64::from(number) * 1_000_000), Machine::reference_1());
    let mut warm = Events::default();
    warm.add(Event::Instructions, u64::from(number));
    run.measurements.push(Measurement {
        benchmark: Benchmark::named("t.py::a"),
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm,
        diagnostics: Diagnostics::default(),
    });
    run
}

fn on(commit: &str, branch: &str, run: Run) -> Run {
    let source = Source {
        commit: Some(commit.into()),
        branch: Some(branch.into()),
        message: Some("m".into()),
        ..Source::default()
    };
    Run { source: Some(source), ..run }
}

fn dirty(mut run: Run) -> Run {
    run.source.as_mut().unwrap().dirty = true;
    run
}

async fn put(store: &Store, runs: &[Run]) {
    for run in runs {
        assert_eq!(store.put(run).await.unwrap(), Put::Stored);
    }
}

async fn latest(store: &Store, wanted: Wanted) -> Option<String> {
    store.latest(&wanted).await.unwrap().map(|run| run.id)
}

async fn a_run_comes_back_as_it_was(store: Store) {
    let mut kept = dirty(on("c1", "main", run(1)));
    kept.failed.insert("t.py::b".into(), "ValueError: \u{1f980}".into());
    kept.incomplete = Some("it was killed".into());
    kept.environment.set("runtime", "python", "3.13.2");
    put(&store, &[kept.clone(), run(2)]).await;
    assert_eq!(store.get(&kept.id).await.unwrap(), kept);
    assert_eq!(store.list(10).await.unwrap(), [Summary::of(&run(2)), Summary::of(&kept)]);
}

async fn a_retried_put_is_stored_once(store: Store) {
    put(&store, &[run(1)]).await;
    assert_eq!(store.put(&run(1)).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.list(10).await.unwrap().len(), 1);
}

async fn an_id_names_one_run(store: Store) {
    put(&store, &[run(1)]).await;
    let other = Run { id: run(1).id, ..run(2) };
    assert!(matches!(store.put(&other).await, Err(PutError::Taken { id }) if id == run(1).id));
    assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
}

async fn a_list_is_newest_first_and_ends(store: Store) {
    put(&store, &[run(2), run(3), run(1)]).await;
    let ids = |runs: Vec<Summary>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(store.list(10).await.unwrap()), [run(3).id, run(2).id, run(1).id]);
    assert_eq!(ids(store.list(2).await.unwrap()), [run(3).id, run(2).id]);
}

async fn a_run_is_found_by_either_end_of_its_id(store: Store) {
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

async fn an_unknown_run_is_said_to_be(store: Store) {
    let error = store.get("nobody").await.unwrap_err();
    assert!(matches!(error, GetError::Unknown { .. }));
    assert_eq!(error.to_string(), "no run nobody is stored");
}

async fn the_latest_run_is_the_newest_with_results(store: Store) {
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

async fn of_a_commit_clean_and_complete_runs_go_first(store: Store) {
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

async fn a_run_is_looked_for_among_comparable_ones(store: Store) {
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

async fn commits_are_measured_if_their_tree_was_clean(store: Store) {
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
