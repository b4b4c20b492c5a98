//! What every store promises, whatever keeps it. A backend is added by one more `contract!` line.

mod attempts;
mod backups;
mod blobs;
#[path = "../engines/bucket.rs"]
mod bucket;
mod duties;
mod histories;
mod identities;
mod namings;
mod people;
#[path = "../engines/postgres.rs"]
mod postgres;
mod projects;
mod publishers;
mod retention;
mod revisions;
mod runs;
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
use blobs::*;
use duties::*;
use histories::*;
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
use runs::*;
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

fn listing(limit: u32) -> Listing {
    Listing { limit, ..Listing::default() }
}

fn ids(runs: &[Summary]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

fn way() -> Comparable {
    Comparable::with(&run(1))
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
