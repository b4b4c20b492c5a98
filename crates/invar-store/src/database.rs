//! The SQLite file: how it is opened, its schema, and what its errors mean to people.
//!
//! The schema moves forward only: [`MIGRATIONS`] are applied in order, each once, in a transaction of its own, and
//! `user_version` says how many were. A file with more of them was written by a newer Invar and is left alone.
//! Times are microseconds UTC.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection, Row};

/// How long a process waits for another one that writes. A write takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many may read at once.
const READERS: u32 = 4;

/// The history of the schema. Each ends by saying how far it is; what is here is never changed.
pub(crate) const MIGRATIONS: [&str; 4] = [
    r"
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        started_us INTEGER NOT NULL,
        title TEXT NOT NULL,
        commit_id TEXT,
        branch TEXT,
        dirty INTEGER NOT NULL,
        message TEXT,
        machine TEXT NOT NULL,       -- by name, for people
        machine_text TEXT NOT NULL,  -- whole: runs are comparable where it is equal
        instrument TEXT NOT NULL,
        measured INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        incomplete TEXT,
        blob TEXT NOT NULL           -- SHA-256 of the run as JSON
    ) STRICT;
    CREATE INDEX run_started ON run (started_us);
    CREATE INDEX run_commit ON run (commit_id, started_us);
    CREATE INDEX run_branch ON run (branch, started_us);
    PRAGMA user_version = 1;
",
    r"
    CREATE TABLE run_2 (
        number INTEGER PRIMARY KEY,  -- names the run in millions of rows, where its id would be long; never leaves the file
        id TEXT NOT NULL UNIQUE,
        started_us INTEGER NOT NULL,
        title TEXT NOT NULL,
        commit_id TEXT,
        branch TEXT,
        dirty INTEGER NOT NULL,
        message TEXT,
        machine TEXT NOT NULL,
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        measured INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        incomplete TEXT,
        blob TEXT NOT NULL,
        indexed INTEGER NOT NULL     -- are its measurements in the table of that name?
    ) STRICT;
    INSERT INTO run_2 (id, started_us, title, commit_id, branch, dirty, message, machine, machine_text, instrument,
                       measured, failed, incomplete, blob, indexed)
        SELECT id, started_us, title, commit_id, branch, dirty, message, machine, machine_text, instrument,
               measured, failed, incomplete, blob, 0 FROM run ORDER BY started_us, id;
    DROP TABLE run;
    ALTER TABLE run_2 RENAME TO run;
    CREATE INDEX run_started ON run (started_us);
    CREATE INDEX run_commit ON run (commit_id, started_us);
    CREATE INDEX run_branch ON run (branch, started_us);
    CREATE INDEX run_not_indexed ON run (number) WHERE indexed = 0;
    CREATE TABLE series (
        number INTEGER PRIMARY KEY,
        benchmark TEXT NOT NULL,     -- by its full name
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        UNIQUE (benchmark, machine_text, instrument)
    ) STRICT;
    CREATE TABLE measurement (       -- warm passes; what they cost follows from the machine
        series INTEGER NOT NULL REFERENCES series (number),
        started_us INTEGER NOT NULL, -- as in run
        run INTEGER NOT NULL REFERENCES run (number),
        diagnostics INTEGER NOT NULL,
        instructions INTEGER NOT NULL,
        reads INTEGER NOT NULL,
        writes INTEGER NOT NULL,
        l1i_misses INTEGER NOT NULL,
        l1d_read_misses INTEGER NOT NULL,
        l1d_write_misses INTEGER NOT NULL,
        l2_misses INTEGER NOT NULL,
        l3_misses INTEGER NOT NULL,
        memory_accesses INTEGER NOT NULL,
        rep_bytes INTEGER NOT NULL,
        rep_iterations INTEGER NOT NULL,
        branches_taken INTEGER NOT NULL,
        system_calls INTEGER NOT NULL,
        PRIMARY KEY (series, started_us, run)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX measurement_run ON measurement (run);
    PRAGMA user_version = 2;
",
    r"
    CREATE TABLE profile (
        run INTEGER NOT NULL REFERENCES run (number),
        benchmark TEXT NOT NULL,     -- by its full name
        blob TEXT NOT NULL,          -- SHA-256 of the profile's bytes
        PRIMARY KEY (run, benchmark)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 3;
",
    r"
    CREATE TABLE verification (
        id TEXT PRIMARY KEY,
        started_us INTEGER NOT NULL,
        suite TEXT NOT NULL,         -- the command, for people
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        benchmarks INTEGER NOT NULL,
        blob TEXT NOT NULL           -- SHA-256 of the verification as JSON
    ) STRICT;
    CREATE INDEX verification_way ON verification (machine_text, instrument, started_us);
    PRAGMA user_version = 4;
",
];

/// What the database could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Not a database, or not a sound one.
    #[error("{} is damaged or not a database", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer Invar.
    #[error(
        "{} was written by a newer Invar: its schema is {found}, and {} is the newest this build knows",
        .path.display(), MIGRATIONS.len()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// The disk, or what the user may take of it, is full.
    #[error("the disk is full: {} could not grow", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The system could not read or write, or not make room.
    #[error("{} cannot be written: the disk is full or failing", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
    },
    /// It may not be written.
    #[error("{} cannot be written: the file, its folder or its disk is read-only", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another process did not let go.
    #[error("{} was in use by another process for {} seconds", .path.display(), PATIENCE.as_secs())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Something else.
    #[error("{}: {why}", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
}

impl DatabaseError {
    /// What an error of sqlx means. Numbers are SQLite's result codes, the low byte of its extended ones.
    pub(crate) fn of(path: &Path, error: &sqlx::Error) -> DatabaseError {
        let path = path.to_path_buf();
        let code = match error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
            _ => None,
        };
        match code.map(|code| code & 0xff) {
            Some(11 | 26) => DatabaseError::Damaged { path },
            Some(13) => DatabaseError::Full { path },
            Some(10) => DatabaseError::Disk { path },
            Some(8 | 14) => DatabaseError::ReadOnly { path },
            Some(5 | 6) => DatabaseError::Busy { path },
            _ => DatabaseError::Other { path, why: error.to_string() },
        }
    }
}

/// Connections to a file.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    /// The one that writes.
    pub(crate) writer: SqlitePool,
    /// Those that read, made when they are needed.
    pub(crate) readers: SqlitePool,
}

/// Opens the file, creates it where it is missing, and brings its schema up to date.
///
/// Who calls it holds the store's lock.
pub(crate) async fn open(path: &Path) -> Result<Pools, DatabaseError> {
    let of = |error: sqlx::Error| DatabaseError::of(path, &error);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(PATIENCE);
    // One connection that writes: a process is its own queue of writers. Readers do not wait for it in WAL mode.
    let writer =
        SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(of)?;
    migrate(&writer, path).await?;
    let readers =
        SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
    Ok(Pools { writer, readers })
}

async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), DatabaseError> {
    let of = |error: sqlx::Error| DatabaseError::of(path, &error);
    let mut connection = pool.acquire().await.map_err(of)?;
    loop {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(of)?;
        let version = sqlx::query("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(of)?;
        let found: i64 = version.try_get(0).map_err(of)?;
        let Some(rest) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
            return Err(DatabaseError::TooNew { path: path.to_path_buf(), found });
        };
        let Some(&next) = rest.first() else { return Ok(()) };
        sqlx::raw_sql(next).execute(&mut *transaction).await.map_err(of)?;
        transaction.commit().await.map_err(of)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_says_how_far_it_is() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            let end = format!("PRAGMA user_version = {};", index + 1);
            assert!(migration.trim_end().ends_with(&end), "{migration}");
        }
    }
}
