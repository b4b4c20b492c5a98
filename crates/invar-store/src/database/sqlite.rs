//! The SQLite file: how it is opened and brought up to date.
//!
//! The schema moves forward only: [`MIGRATIONS`] are applied in order, each once, in a transaction of its own, and
//! `user_version` says how many were. A file with more of them was written by a newer Invar and is left alone.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection, Row};

use super::error::{DatabaseError, of_sqlite};
use super::sqlite_schema::MIGRATIONS;

/// How long a process waits for another one that writes. A write takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How many may read at once.
const READERS: u32 = 4;

/// How many rows may be read ahead of who uses them. Fewer, and two threads wake each other for every few rows.
const ROWS_AHEAD: usize = 2048;

/// How many bytes of pages a connection keeps, as SQLite writes them: negative, in KiB. A run of five thousand benchmarks
/// changes twenty megabytes of pages; what does not fit is written twice.
const CACHE_KIB: &str = "-32768";

/// How many pages are written ahead before they are brought to their places. The runs of a suite change the same ones.
const PAGES_AHEAD: &str = "8000";

/// Connections to a file.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    /// The one that writes.
    pub(crate) writer: SqlitePool,
    /// Those that read, made when they are needed.
    pub(crate) readers: SqlitePool,
    /// The file.
    pub(crate) place: String,
}

/// Opens the file, creates it where it is missing, and brings its schema up to date.
///
/// Who calls it holds the store's lock.
pub(crate) async fn open(path: &Path) -> Result<Sqlite, DatabaseError> {
    let place = path.display().to_string();
    let of = |error: sqlx::Error| of_sqlite(&place, &error);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(PATIENCE)
        .row_buffer_size(ROWS_AHEAD)
        .pragma("cache_size", CACHE_KIB)
        .pragma("wal_autocheckpoint", PAGES_AHEAD);
    // One connection that writes: a process is its own queue of writers. Readers do not wait for it in WAL mode.
    let writer =
        SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(of)?;
    migrate(&writer, &place).await?;
    let readers =
        SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
    Ok(Sqlite { writer, readers, place })
}

async fn migrate(pool: &SqlitePool, place: &str) -> Result<(), DatabaseError> {
    let of = |error: sqlx::Error| of_sqlite(place, &error);
    let mut connection = pool.acquire().await.map_err(of)?;
    loop {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(of)?;
        let version = sqlx::query("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(of)?;
        let found: i64 = version.try_get(0).map_err(of)?;
        let Some(rest) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
            let newest = MIGRATIONS.len() as i64;
            return Err(DatabaseError::TooNew { place: place.to_string(), found, newest });
        };
        let Some(&next) = rest.first() else { return Ok(()) };
        sqlx::raw_sql(next).execute(&mut *transaction).await.map_err(of)?;
        transaction.commit().await.map_err(of)?;
    }
}
