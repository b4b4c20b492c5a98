//! Every query that pages make is answered by an index, on both engines: their plans are asked for and read.
//!
//! The tables are filled first, since PostgreSQL chooses by what is in them.

use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::Events;
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::profile::Builder;
use invar_core::run::{Run, Summary, Timestamp};
use invar_core::source::Source;

use crate::account::session_sql;
use crate::collect::{Table, named_sql};
use crate::history::{Cursor, Listing, Trees};
use crate::location::Location;
use crate::profile::{Profiles, profile_sql};
use crate::statement::Statement;
use crate::store::{Comparable, Store, Wanted};

#[path = "../tests/engines/postgres.rs"]
mod postgres;
#[path = "../tests/engines/server.rs"]
mod server;

const RUNS: u32 = 300;
const BENCHMARKS: usize = 20;

fn run(number: u32) -> Run {
    let machine = Machine::reference_1();
    let mut run = Run::started(&format!("{number:032x}"), Timestamp(i64::from(number)), machine.clone());
    run.source = Some(Source {
        commit: Some(format!("{number:040x}")),
        branch: Some(format!("branch-{}", number % 10)),
        ..Source::default()
    });
    let measure = |index| Measurement {
        benchmark: Benchmark::named(&format!("t.py::b{index}")),
        instrument: Instrument::Simulation,
        machine: machine.clone(),
        cold: None,
        warm: Events::default(),
        diagnostics: Diagnostics::default(),
    };
    run.measurements = (0..BENCHMARKS).map(measure).collect();
    run
}

async fn fill(store: &Store) {
    let demo = store
        .create_project("acme/demo", crate::Visibility::Public, crate::By { who: "test", at: Timestamp(0) })
        .await
        .unwrap();
    for number in 0..RUNS {
        let store = if number % 2 == 0 { store } else { &demo };
        let name = format!("t.py::b{number}");
        let profiles = Profiles::from([(name.clone(), Builder::new(&name).finish())]);
        store.put_with(&run(number), &profiles).await.unwrap();
    }
}

/// Each query with the tables that it may not read as a whole.
fn queries(store: &Store) -> Vec<(&'static str, Statement)> {
    let way = Comparable::with(&run(0));
    let listing = Listing { limit: 10, ..Listing::default() };
    let after = Some(Cursor { started: Timestamp(200), id: run(200).id });
    let of_branch = Listing { branch: Some("branch-2".into()), after, ..listing.clone() };
    let comparable = Listing { comparable: Some(way.clone()), ..of_branch.clone() };
    let of_commit = Wanted { commit: run(10).source.unwrap().commit, ..Wanted::default() };
    let of_way = Wanted {
        branch: Some("branch-2".into()),
        dirty: Some(false),
        comparable: Some(way.clone()),
        except: Some(run(2).id),
        not_after: Some(Timestamp(250)),
        ..Wanted::default()
    };
    let summaries: Vec<Summary> = (0..10).map(|number| Summary::of(&run(number * 2))).collect();
    let old = crate::Retention { runs_days: Some(0), profiles_days: Some(0) };
    let digests: Vec<String> = (0..20).map(|number| format!("{number:064x}")).collect();
    let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
    vec![
        ("runs", store.runs_sql(&listing)),
        ("runs of a branch", store.runs_sql(&of_branch)),
        ("commits", store.commits_sql(&listing)),
        ("commits of a branch", store.commits_sql(&of_branch)),
        ("comparable commits", store.commits_sql(&comparable)),
        ("branches", store.branches_sql(10)),
        ("commits by their start", store.commits_starting_sql("00000000000000000000000000000000000000a")),
        ("the latest run", store.latest_sql(&Wanted::default())),
        ("the latest run of a commit", store.latest_sql(&of_commit)),
        ("the latest comparable run of a branch", store.latest_sql(&of_way)),
        ("a run by its id", store.find_sql(&run(4).id)),
        ("a history", store.history_sql("t.py::b7", &way, None, Trees::Clean, 50)),
        ("a history of a branch", store.history_sql("t.py::b7", &way, Some("branch-2"), Trees::All, 50)),
        ("measured commits", store.commits_measured_sql(&way)),
        ("histories", store.histories_sql(&summaries, &way)),
        ("ways", store.ways_sql("t.py::b7")),
        ("a profile", profile_sql(store.project, &run(4).id, "t.py::b4")),
        ("runs that name blobs", named_sql(Table::Run, &digests)),
        ("a session", session_sql("d", Timestamp(1))),
        ("what is acknowledged", store.acknowledged_sql("branch-2")),
        ("what was done to a project", store.audit_sql(10)),
        ("shards", crate::shard::shards_sql(1)),
        ("profiles of shards", crate::shard::profiles_sql(1)),
        ("publishers", store.publishers_sql()),
        ("names", store.namings_sql()),
        ("what is ignored", store.ignored_sql()),
        ("what has changed", store.revision_sql()),
        ("runs that are old", store.old_runs_sql("run.number", old, "main", Timestamp(100)).unwrap()),
        (
            "profiles that are old",
            store.old_profiles_sql("DISTINCT profile.run", old, "main", Timestamp(100)).unwrap(),
        ),
        ("profiles that name blobs", named_sql(Table::Profile, &digests)),
        ("parts that name blobs", named_sql(Table::Part, &digests)),
        ("uploads", store.uploads_sql(Timestamp(1))),
        ("parts of an upload", crate::upload::parts_sql("u")),
    ]
}

#[tokio::test]
async fn every_query_uses_an_index_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    fill(&store).await;
    for (name, statement) in queries(&store) {
        let explained = Statement { sql: format!("EXPLAIN QUERY PLAN {}", statement.sql), ..statement };
        let plan = store.database.all(&explained, |row| row.text(3)).await.unwrap().join("\n");
        // What a history packs into one text is no table, and neither is a row of sums.
        let tables = plan.replace("SCAN points", "").replace("SCAN CONSTANT ROW", "");
        assert!(tables.contains("USING") && !tables.contains("SCAN"), "{name}:\n{plan}");
        // A list that is sorted anew is read to its end for each of its pages.
        let sorts = plan.contains("USE TEMP B-TREE FOR ORDER BY");
        let few =
            ["branches", "the latest run of a commit", "ways", "publishers", "names", "what is ignored"]
                .contains(&name);
        assert!(!sorts || few, "{name}:\n{plan}");
    }
}

#[tokio::test]
async fn every_query_uses_an_index_on_postgresql() {
    let Some(database) = postgres::part() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = Some(folder.path().to_string_lossy().into_owned());
    let store = Store::connect(&Location { database, blobs }).await.unwrap();
    fill(&store).await;
    // As the server does by itself, some time.
    let mut transaction = store.database.begin(crate::database::Intent::Write).await.unwrap();
    transaction.execute(&Statement::new("ANALYZE")).await.unwrap();
    // Whether there is an index to use, and not whether so small a table is worth one.
    transaction.execute(&Statement::new("SET LOCAL enable_seqscan = off")).await.unwrap();
    for (name, statement) in queries(&store) {
        let explained = Statement { sql: format!("EXPLAIN {}", statement.sql), ..statement };
        let plan = transaction.all(&explained, |row| row.text(0)).await.unwrap().join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{name}:\n{plan}");
    }
}
