//! What the store in PostgreSQL does when servers start at once, when the database is newer, or when it goes away.

#[path = "engines/postgres.rs"]
mod postgres;
#[path = "engines/server.rs"]
mod server;

use std::path::Path;

use futures_util::future::join_all;
use invar_core::machine::Machine;
use invar_core::run::{Run, Timestamp};
use invar_store::{DatabaseError, Location, OpenError, Put, Store};
use sqlx::{Connection, PgConnection};

fn run(number: u32) -> Run {
    Run::started(&format!("{number:032x}"), Timestamp(i64::from(number)), Machine::reference_1())
}

fn location(database: &str, folder: &Path) -> Location {
    Location { database: database.to_string(), blobs: Some(folder.to_string_lossy().into_owned()) }
}

/// Says something to the database behind the store's back.
async fn say(database: &str, sql: &'static str) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_make_one_store_and_store_a_run_once() {
    let Some(database) = postgres::part() else { return };
    let folder = tempfile::tempdir().unwrap();
    let servers = (0..6).map(|_| {
        let location = location(&database, folder.path());
        tokio::spawn(async move {
            let store = Store::connect(&location).await.unwrap();
            let mut stored = 0;
            for number in 0..10 {
                stored += usize::from(store.put(&run(number)).await.unwrap() == Put::Stored);
            }
            stored
        })
    });
    let stored: usize = join_all(servers).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(stored, 10);
    let store = Store::connect(&location(&database, folder.path())).await.unwrap();
    assert_eq!(store.list(99).await.unwrap().len(), 10);
    assert_eq!(store.projects().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_of_a_newer_invar_is_left_alone() {
    let Some(database) = postgres::part() else { return };
    let folder = tempfile::tempdir().unwrap();
    Store::connect(&location(&database, folder.path())).await.unwrap().close().await;
    say(&database, "UPDATE invar_schema SET version = 77").await;
    let error = Store::connect(&location(&database, folder.path())).await.unwrap_err().to_string();
    assert!(error.starts_with("postgres://invar@localhost/postgres was written by a newer Invar"), "{error}");
    assert!(error.contains("its schema is 77, and "), "{error}");
}

#[tokio::test]
async fn a_lost_connection_fails_one_request_at_most_and_loses_nothing() {
    let Some(database) = postgres::part() else { return };
    let folder = tempfile::tempdir().unwrap();
    // By its name its connections are told from those of other tests.
    say(&database, "CREATE ROLE alone SUPERUSER LOGIN").await;
    let alone = database.replace("postgres://invar@", "postgres://alone@");
    let store = Store::connect(&location(&alone, folder.path())).await.unwrap();
    store.put(&run(1)).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'alone'";
    say(&database, cut).await;
    drop(store.put(&run(2)).await);
    assert!(matches!(store.put(&run(2)).await.unwrap(), Put::Stored | Put::AlreadyThere));
    assert_eq!(store.list(9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_database_that_refuses_is_said_to_be_out_of_reach() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = location("postgres://invar:secret@127.0.0.1:1/invar", folder.path());
    let error = Store::connect(&nowhere).await.unwrap_err();
    assert!(matches!(&error, OpenError::Database(DatabaseError::Unreachable { .. })), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
