//! Fills a store with measurements of chance, for `cargo xtask bench server`.
//!
//! `fill DATABASE BLOBS MEASUREMENTS`: a branch `main` of runs with a thousand benchmarks each, before it as many commits
//! that measured one benchmark, so that its history is long, and a branch `wide` of two runs with five thousand.
//!
//! The newest runs of each kind are put by the store's own code, as uploads are. Older ones are *seeded*: rows that SQL makes of
//! the rows of such a run, in the order in which uploads would have come. They name the blob of a run that was put, so whoever reads
//! one of them whole reads another run; lists and histories do not. What is there already is not made again.
#![expect(clippy::print_stdout, reason = "a program that people watch")]

use std::time::{Duration, Instant};

use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_store::{Location, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

/// Benchmarks of a run of `main`, and of one of `wide`.
const BENCHMARKS: usize = 1000;
const WIDE: usize = 5000;
/// How many of the newest runs of a kind are put: more than any page reads whole.
const PUT: usize = 100;
/// How many runs are put at the same time, and how many are seeded by one statement.
const AT_ONCE: usize = 4;
const SEEDED_AT_ONCE: usize = 100;
const START_US: i64 = 1_700_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// A database to seed, and how it writes a number `n` in sixteens.
enum Seeded {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, blobs, measurements] = &arguments[..] else {
        println!("usage: fill DATABASE BLOBS MEASUREMENTS");
        std::process::exit(2);
    };
    let location = Location { database: database.clone(), blobs: Some(blobs.clone()) };
    let store = Store::connect(&location).await.expect("the store can be opened");
    let runs = measurements.parse::<usize>().expect("a number") / BENCHMARKS;
    let kept = runs.min(PUT);
    // As they are numbered: long ones, those of `main`, wide ones. Of each kind the newest are put.
    let long = (runs - kept..runs).map(|number| run(number, "main", 1));
    let main = (2 * runs - kept..2 * runs).map(|number| run(number, "main", BENCHMARKS));
    let wide = (0..2).map(|number| run(2 * runs + number, "wide", WIDE));
    let started = Instant::now();
    let put = put(&store, long.chain(main).chain(wide)).await;
    let putting = started.elapsed();
    store.close().await;
    let started = Instant::now();
    let mut seeded = Seeded::connect(database).await;
    let (one, thousand) = (runs - kept, 2 * runs - kept);
    let rows = seeded.seed(0..one, one).await + seeded.seed(runs..thousand, thousand).await;
    seeded.finish().await;
    println!("{} and {}", said(put, "put", putting), said(rows, "seeded", started.elapsed()));
}

fn said(count: usize, how: &str, took: Duration) -> String {
    format!("{count} measurements {how} in {:.1} s", took.as_secs_f64())
}

/// Keeps runs, some at a time, and says how many measurements they have.
async fn put(store: &Store, runs: impl Iterator<Item = Run>) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    let mut kept = 0;
    for run in runs {
        if tasks.len() >= AT_ONCE {
            kept += tasks.join_next().await.map_or(0, |done| done.expect("it is kept"));
        }
        let store = store.clone();
        tasks.spawn(async move {
            store.put(&run).await.expect("it is kept");
            run.measurements.len()
        });
    }
    while let Some(done) = tasks.join_next().await {
        kept += done.expect("it is kept");
    }
    kept
}

impl Seeded {
    async fn connect(database: &str) -> Seeded {
        if database.contains("://") {
            return Seeded::Postgres(PgConnection::connect(database).await.expect("the database answers"));
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(std::path::Path::new(database).join("invar.sqlite"))
            .pragma("cache_size", "-262144")
            .busy_timeout(Duration::from_secs(30));
        Seeded::Sqlite(SqliteConnection::connect_with(&options).await.expect("the file can be opened"))
    }

    /// Makes rows of these runs, like those of the run with this number, and says how many measurements they have.
    async fn seed(&mut self, runs: std::ops::Range<usize>, like: usize) -> usize {
        let digits = |n: &str, digits: usize| match self {
            Seeded::Sqlite(_) => format!("printf('%0{digits}x', {n})"),
            Seeded::Postgres(_) => format!("lpad(to_hex({n}), {digits}, '0')"),
        };
        let (id, commit) = (digits("n", 12), digits("n", 40));
        let like = id_of(like);
        let events = Event::ALL.map(Event::name);
        let moved = events.map(|event| match event {
            "instructions" | "reads" => format!("old.{event} + 1000 * (run.number / 100 * old.series % 7)"),
            _ => format!("old.{event}"),
        });
        let (events, moved) = (events.join(", "), moved.join(", "));
        let mut rows = 0;
        for from in runs.clone().step_by(SEEDED_AT_ONCE) {
            let to = (from + SEEDED_AT_ONCE).min(runs.end);
            self.execute(format!(
                "WITH RECURSIVE numbers (n) AS (
                     SELECT CAST({from} AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {to})
                 INSERT INTO run (id, project, started_us, title, commit_id, branch, dirty, message, machine, machine_text,
                                  instrument, measured, failed, incomplete, blob, indexed)
                 SELECT '{ID}' || {id}, old.project, {START_US} + n * {HOUR_US}, 'main@' || substr({commit}, 1, 7), {commit},
                        old.branch, 0, 'Commit ' || n, old.machine, old.machine_text, old.instrument, old.measured, 0, NULL,
                        old.blob, 1
                 FROM numbers CROSS JOIN run AS old WHERE old.id = '{like}' ORDER BY n
                 ON CONFLICT (id) DO NOTHING"
            ))
            .await;
            let (first, last) = (id_of(from), id_of(to - 1));
            rows += self
                .execute(format!(
                    "INSERT INTO measurement (series, started_us, run, diagnostics, {events})
                     SELECT old.series, run.started_us, run.number, old.diagnostics, {moved}
                     FROM run CROSS JOIN measurement AS old
                     WHERE run.id BETWEEN '{first}' AND '{last}' AND old.run = (SELECT number FROM run WHERE id = '{like}')
                     ORDER BY run.number, old.series
                     ON CONFLICT (series, started_us, run) DO NOTHING"
                ))
                .await;
        }
        rows
    }

    /// What PostgreSQL does by itself, some time.
    async fn finish(&mut self) {
        if let Seeded::Postgres(_) = self {
            self.execute("VACUUM ANALYZE".to_string()).await;
        }
    }

    async fn execute(&mut self, sql: String) -> usize {
        let sql = AssertSqlSafe(sql);
        let rows = match self {
            Seeded::Sqlite(connection) => {
                sqlx::raw_sql(sql).execute(connection).await.map(|done| done.rows_affected())
            }
            Seeded::Postgres(connection) => {
                sqlx::raw_sql(sql).execute(connection).await.map(|done| done.rows_affected())
            }
        };
        rows.expect("it is seeded") as usize
    }
}

/// What ids begin with.
const ID: &str = "0190f3c2-7b1e-7cc3-9a54-";

fn id_of(number: usize) -> String {
    format!("{ID}{number:012x}")
}

/// A run of this number: every benchmark moves a little, and one in a hundred runs makes some dearer.
fn run(number: usize, branch: &str, benchmarks: usize) -> Run {
    let id = id_of(number);
    let mut run = Run::started(&id, Timestamp(START_US + number as i64 * HOUR_US), Machine::reference_1());
    run.source = Some(Source {
        commit: Some(format!("{number:040x}")),
        branch: Some(branch.to_string()),
        default_branch: Some("main".to_string()),
        message: Some(format!("Commit {number}")),
        ..Source::default()
    });
    let measure = |index: usize| {
        let mut warm = Events::default();
        let level = 1000 + (index * 7919 % 100_000) as u64 + (number / 100 * (index % 7)) as u64 * 10;
        warm.add(Event::Instructions, 1000 * level);
        warm.add(Event::Reads, 300 * level);
        warm.add(Event::Writes, 100 * level);
        warm.add(Event::L1dReadMisses, level + (number * 31 + index) as u64 % 5);
        warm.add(Event::L2Misses, level / 10);
        Measurement {
            benchmark: Benchmark::named(&format!(
                "benchmarks/test_module_{}.py::test_case[{index}]",
                index / 50
            )),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm,
            diagnostics: Diagnostics::default(),
        }
    };
    run.measurements = (0..benchmarks).map(measure).collect();
    run
}
