//! What every store promises, whatever keeps it. A backend is added by one more `contract!` line.

mod attempts;
mod backups;
#[path = "../engines/bucket.rs"]
mod bucket;
mod duties;
mod identities;
mod namings;
mod people;
#[path = "../engines/postgres.rs"]
mod postgres;
mod projects;
mod publishers;
mod retention;
mod revisions;
#[path = "../engines/server.rs"]
mod server;
mod shards;
mod uploads;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;

use attempts::*;
use backups::*;
use duties::*;
use identities::*;
use invar_core::benchmark::Benchmark;
use invar_core::compare::Reading;
use invar_core::diagnostic::{Diagnostic, Diagnostics};
use invar_core::event::{Event, Events};
use invar_core::history::Point;
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::noise::Verification;
use invar_core::profile::{Builder, Function, Kind, Profile};
use invar_core::run::{Run, Summary, Timestamp};
use invar_core::source::Source;
use invar_store::{
    By, Comparable, Copied, CreateProjectError, Cursor, Found, GetError, Listing, Location, NewToken,
    Profiles, Project, Put, PutError, Store, Trees, Visibility, Wanted,
};
use namings::*;
use people::*;
use projects::*;
use publishers::*;
use retention::*;
use revisions::*;
use shards::*;
use uploads::*;

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
                runs_are_listed_page_by_page,
                commits_are_listed_by_their_newest_clean_run,
                branches_are_listed_by_their_newest_run,
                a_commit_is_found_by_its_first_digits,
                a_history_has_every_count_as_it_was,
                a_history_is_of_one_branch_and_of_clean_trees,
                a_history_ends_and_keeps_the_newest,
                a_benchmark_may_be_measured_in_several_ways,
                histories_of_runs_are_sorted_and_may_have_gaps,
                a_retried_put_measures_once,
                a_revision_is_another_one_after_whatever_changes_and_only_then,
                of_puts_at_once_each_changes_the_revision,
                profiles_come_back_as_they_were,
                a_run_may_have_profiles_of_some_benchmarks,
                projects_are_made_once_and_found_by_name,
                a_project_has_settings_and_somebody_who_may_see_it,
                nothing_is_seen_from_another_project,
                a_series_is_its_projects,
                an_id_names_one_run_among_all_projects,
                noise_floors_are_of_one_way_to_measure,
                a_retried_verification_is_kept_once,
                of_puts_at_once_one_stores_the_run,
                runs_of_the_same_benchmarks_are_put_at_once,
                a_large_run_is_stored_whole,
                blobs_that_no_row_names_are_collected,
                a_collector_spares_what_is_young_or_named_in_another_project,
                a_text_with_any_character_is_stored,
                a_store_can_be_copied_from_another_one_whole,
                what_has_a_text_in_its_name_is_found,
                a_token_lets_into_its_project_until_it_is_revoked,
                a_token_that_has_expired_lets_in_nowhere,
                every_profile_of_a_run_is_there,
                of_servers_at_once_one_takes_a_duty,
                a_duty_is_due_again_after_its_time_or_when_its_server_is_lost,
                how_a_duty_ended_is_kept_and_it_can_be_asked_for_anew,
                what_there_is_is_counted,
                a_backup_of_any_store_comes_back_into_any_other_whole,
                a_damaged_blob_of_a_backup_is_left_out_and_said,
                a_handshake_ends_once_in_the_browser_that_began_it,
                an_account_is_known_by_the_number_of_a_person_and_not_by_their_name,
                an_account_for_a_person_is_called_as_they_are_where_that_is_free,
                an_account_is_made_once_and_found_by_name,
                a_session_is_worth_something_until_it_ends,
                a_new_password_ends_sessions_and_links,
                the_first_account_is_made_by_one_link_once,
                of_first_accounts_at_once_one_is_made,
                a_link_chooses_a_password_once,
                the_last_administrator_stays,
                of_two_administrators_one_stays,
                a_member_has_one_role_and_sees_its_projects,
                what_was_done_is_written_down,
                an_acknowledgement_is_of_a_benchmark_on_a_branch_until_it_is_undone,
                who_fails_often_waits_until_the_window_is_over,
                who_was_right_counts_no_more,
                of_many_attempts_at_once_no_more_get_through,
                what_may_be_done_so_often_is_counted_until_then,
                what_is_old_goes_from_other_branches_and_stays_on_the_default_one,
                more_than_goes_at_once_goes_and_for_ever_nothing_does,
                a_benchmark_is_renamed_or_archived_until_that_is_taken_back,
                names_lead_in_no_circle_whoever_decides_at_once,
                names_follow_what_another_store_has_decided,
                a_benchmark_is_ignored_until_that_is_taken_back,
                a_publisher_is_its_projects_until_it_is_removed,
                a_publishers_token_is_worth_something_until_it_expires_or_the_publisher_is_gone,
                shards_become_one_run_that_says_what_is_missing,
                the_order_of_shards_means_nothing_and_a_retry_changes_nothing,
                a_shard_that_was_measured_again_takes_the_place_of_the_first,
                a_shard_of_another_run_is_refused_and_changes_nothing,
                of_shards_at_once_none_is_lost,
                shards_name_their_blobs_until_their_run_goes,
                shards_are_copied_and_others_may_follow,
                parts_come_in_their_order_and_each_once,
                of_parts_at_once_one_is_kept,
                an_upload_is_found_again_by_its_digest_and_no_more_are_under_way_than_may_be,
                an_upload_is_its_projects_and_ends,
                parts_are_collected_once_their_upload_is_gone,
            );
        }
    };
    (@tests $open:expr, $($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let directory = tempfile::tempdir().unwrap();
                // Whoever looks for an engine says that it is missing.
                let Some(location) = $open(directory.path()) else { return };
                super::$promise(super::Store::connect(&location).await.unwrap()).await;
            }
        )*
    };
}

contract!(sqlite_and_folder, super::sqlite_and_folder);
contract!(sqlite_and_s3, super::sqlite_and_s3);
contract!(postgres_and_folder, super::postgres_and_folder);
contract!(postgres_and_s3, super::postgres_and_s3);

fn sqlite_and_folder(directory: &Path) -> Option<Location> {
    Some(Location::directory(directory))
}

fn sqlite_and_s3(directory: &Path) -> Option<Location> {
    Some(Location { blobs: Some(bucket::part()?), ..Location::directory(directory) })
}

fn postgres_and_folder(directory: &Path) -> Option<Location> {
    let blobs = directory.to_string_lossy().into_owned();
    Some(Location { database: postgres::part()?, blobs: Some(blobs) })
}

fn postgres_and_s3(_: &Path) -> Option<Location> {
    Some(Location { database: postgres::part()?, blobs: Some(bucket::part()?) })
}

/// Who does things here, so many microseconds after 1970.
fn by(at: i64) -> By<'static> {
    By { who: "ada", at: Timestamp(at) }
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

fn listing(limit: u32) -> Listing {
    Listing { limit, ..Listing::default() }
}

fn ids(runs: &[Summary]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

async fn runs_are_listed_page_by_page(store: Store) {
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

async fn commits_are_listed_by_their_newest_clean_run(store: Store) {
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

async fn branches_are_listed_by_their_newest_run(store: Store) {
    put(&store, &[on("a", "main", run(3)), on("b", "old", run(1)), on("c", "new", run(4)), run(5)]).await;
    assert_eq!(store.branches(9).await.unwrap(), ["new", "main", "old"]);
    assert_eq!(store.branches(1).await.unwrap(), ["new"]);
}

async fn a_commit_is_found_by_its_first_digits(store: Store) {
    put(&store, &[on("abc1", "main", run(1)), on("abc2", "main", run(2)), on("abf0", "main", run(3))]).await;
    assert_eq!(store.commits_starting("ABC").await.unwrap(), ["abc1", "abc2"]);
    assert_eq!(store.commits_starting("abf").await.unwrap(), ["abf0"]);
    for nothing in ["", "bc", "ab*", "main", "abc11"] {
        assert!(store.commits_starting(nothing).await.unwrap().is_empty(), "{nothing}");
    }
}

fn way() -> Comparable {
    Comparable::with(&run(1))
}

async fn a_history_has_every_count_as_it_was(store: Store) {
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

async fn a_history_is_of_one_branch_and_of_clean_trees(store: Store) {
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

async fn a_history_ends_and_keeps_the_newest(store: Store) {
    put(&store, &[run(3), run(1), run(2)]).await;
    let history = store.history("t.py::a", &way(), None, Trees::Clean, 2).await.unwrap();
    let counts = history.points.iter().map(|point| point.reading.events.get(Event::Instructions));
    assert_eq!(counts.collect::<Vec<_>>(), [2, 3]);
}

async fn a_benchmark_may_be_measured_in_several_ways(store: Store) {
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

async fn histories_of_runs_are_sorted_and_may_have_gaps(store: Store) {
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

async fn a_retried_put_measures_once(store: Store) {
    put(&store, &[run(1)]).await;
    assert_eq!(store.put(&run(1)).await.unwrap(), Put::AlreadyThere);
    let other = Run { id: run(1).id, ..run(2) };
    assert!(store.put(&other).await.is_err());
    assert_eq!(store.history("t.py::a", &way(), None, Trees::Clean, 9).await.unwrap().points.len(), 1);
}

/// A profile of one call that executed so many instructions.
fn profile(benchmark: &str, instructions: u64) -> Profile {
    let mut builder = Builder::new(benchmark);
    let function = builder.function(Function {
        name: "fibo".to_string(),
        object: String::new(),
        file: "src/fibo.py".to_string(),
        kind: Kind::Python,
        line: 12,
    });
    let node = builder.child(Builder::ROOT, function, false);
    let mut events = Events::default();
    events.add(Event::Instructions, instructions);
    builder.add(node, &events);
    builder.add_calls(node, 1);
    builder.add_line(function, 13, &events);
    builder.finish()
}

async fn profiles_come_back_as_they_were(store: Store) {
    let profiles = |count| ["t.py::a", "t.py::b"].map(|name| (name.to_string(), profile(name, count)));
    for number in [1, 2] {
        let profiles = Profiles::from(profiles(u64::from(number)));
        assert_eq!(store.put_with(&run(number), &profiles).await.unwrap(), Put::Stored);
    }
    assert_eq!(store.profile(&run(1).id, "t.py::b").await.unwrap(), Some(profile("t.py::b", 1)));
    assert_eq!(store.profile(&run(2).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 2)));
    // Again, with others: what is there stays.
    let others = Profiles::from(profiles(9));
    assert_eq!(store.put_with(&run(1), &others).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
}

async fn a_run_may_have_profiles_of_some_benchmarks(store: Store) {
    let profiles = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 1))]);
    store.put_with(&run(1), &profiles).await.unwrap();
    put(&store, &[run(2)]).await;
    assert_eq!(store.profile(&run(1).id, "t.py::b").await.unwrap(), None);
    assert_eq!(store.profile(&run(2).id, "t.py::a").await.unwrap(), None);
    assert_eq!(store.profile("nobody", "t.py::a").await.unwrap(), None);
    assert_eq!(store.profiled(&run(1).id).await.unwrap(), BTreeSet::from(["t.py::a".to_string()]));
    assert_eq!(store.profiled("nobody").await.unwrap(), BTreeSet::new());
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
}

/// A verification by two runs, of so many instructions each.
fn verification(number: u32, instructions: [u32; 2]) -> Verification {
    let id = format!("0190f3c2-7b1e-7cc3-9a54-{number:012x}");
    let machine = Machine::reference_1();
    let command = vec!["pytest".to_string()];
    let started = Timestamp(i64::from(number));
    let mut verification = Verification::begin(&id, started, command, machine, Instrument::Simulation);
    for (says, instructions) in ["as usual", "as usual, again"].into_iter().zip(instructions) {
        verification.add(says, &run(instructions), None);
    }
    verification
}

async fn noise_floors_are_of_one_way_to_measure(store: Store) {
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

async fn a_retried_verification_is_kept_once(store: Store) {
    for _ in 0..2 {
        store.put_verification(&verification(1, [100, 150])).await.unwrap();
    }
    assert_eq!(store.verified().await.unwrap(), 1);
    assert_eq!(store.verifications(&Comparable::with(&run(1))).await.unwrap().len(), 1);
}

async fn of_puts_at_once_one_stores_the_run(store: Store) {
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

async fn runs_of_the_same_benchmarks_are_put_at_once(store: Store) {
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

async fn a_large_run_is_stored_whole(store: Store) {
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

async fn blobs_that_no_row_names_are_collected(store: Store) {
    let kept = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 1))]);
    let lost = Profiles::from([("t.py::a".to_string(), profile("t.py::a", 2))]);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
    assert_eq!(store.put_with(&run(1), &kept).await.unwrap(), Put::Stored);
    // It is refused because of its id, after its blobs were written.
    let other = Run { id: run(1).id, ..run(2) };
    assert!(store.put_with(&other, &lost).await.is_err());
    let collected = store.collect(Duration::ZERO).await.unwrap();
    assert_eq!(collected.removed, 2);
    assert!(collected.bytes > 0);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 0);
    assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
    assert_eq!(store.profile(&run(1).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 1)));
    // What was removed is written again when it is needed.
    assert_eq!(store.put_with(&run(3), &lost).await.unwrap(), Put::Stored);
    assert_eq!(store.profile(&run(3).id, "t.py::a").await.unwrap(), Some(profile("t.py::a", 2)));
}

async fn a_collector_spares_what_is_young_or_named_in_another_project(store: Store) {
    let other = store.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    put(&other, &[run(1)]).await;
    let refused = Run { id: run(1).id, ..run(2) };
    assert!(store.put(&refused).await.is_err());
    assert_eq!(store.collect(Duration::from_secs(3600)).await.unwrap().removed, 0);
    assert_eq!(store.collect(Duration::ZERO).await.unwrap().removed, 1);
    assert_eq!(other.get(&run(1).id).await.unwrap(), run(1));
}

async fn a_text_with_any_character_is_stored(store: Store) {
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

async fn a_store_can_be_copied_from_another_one_whole(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path()).await.unwrap();
    let demo = other.create_project("acme/demo", Visibility::Public, by(7)).await.unwrap();
    demo.set_settings("[compare]\n", by(8)).await.unwrap();
    let profiles = Profiles::from(["t.py::a", "t.py::b"].map(|name| (name.to_string(), profile(name, 1))));
    put(&other, &[run(1), run(2)]).await;
    demo.put_with(&run(3), &profiles).await.unwrap();
    demo.put_verification(&verification(1, [100, 150])).await.unwrap();
    put(&store, &[run(2), run(4)]).await;
    let copied = Copied { projects: 1, stored: 2, already_there: 1, lost: BTreeMap::new() };
    assert_eq!(store.copy_from(&other).await.unwrap(), copied);
    assert_eq!(ids(&store.list(9).await.unwrap()), [run(4).id, run(2).id, run(1).id]);
    let here = store.project("acme/demo").await.unwrap().unwrap();
    assert_eq!(here.about().await.unwrap(), demo.about().await.unwrap());
    assert_eq!(here.get(&run(3).id).await.unwrap(), run(3));
    assert_eq!((here.verified().await.unwrap(), store.verified().await.unwrap()), (1, 0));
    let profiled = ["t.py::a", "t.py::b"].map(str::to_string);
    assert_eq!(here.profiled(&run(3).id).await.unwrap(), BTreeSet::from(profiled));
    assert_eq!(here.profile(&run(3).id, "t.py::b").await.unwrap(), Some(profile("t.py::b", 1)));
    // Again: a copy that was cut off is finished.
    let copied = Copied { already_there: 3, ..Copied::default() };
    assert_eq!(store.copy_from(&other).await.unwrap(), copied);
    // What is lost is said, and the rest comes.
    put(&other, &[run(5), run(6)]).await;
    let before = std::fs::read_dir(folder.path().join("blobs")).unwrap().count();
    assert!(before > 0);
    std::fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    put(&other, &[run(7)]).await;
    let copied = store.copy_from(&other).await.unwrap();
    assert_eq!((copied.stored, copied.lost.len()), (1, 5));
}

async fn what_has_a_text_in_its_name_is_found(store: Store) {
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

async fn every_profile_of_a_run_is_there(store: Store) {
    let one = Builder::new("a").finish();
    let kept = Profiles::from([("a".to_string(), one.clone()), ("b".to_string(), one)]);
    let run = Run::started("0190f3c2-7b1e-7cc3-9a54-000000000001", Timestamp(1), Machine::reference_1());
    store.put_with(&run, &kept).await.unwrap();
    assert_eq!(store.profiles(&run.id).await.unwrap(), kept);
    let other = store.create_project("acme/demo", Visibility::Public, by(1)).await.unwrap();
    assert!(other.profiles(&run.id).await.unwrap().is_empty());
}
