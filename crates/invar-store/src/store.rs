//! Runs, kept.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use invar_core::instrument::Instrument;
use invar_core::run::{Run, Summary, Timestamp};
use invar_core::wire::v1::{self, ReadRunError};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Connection, Row};

use crate::blobs::{Blobs, ReadBlobError, WriteBlobError};
use crate::database::{self, DatabaseError};

/// A statement that selects what [`summary`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, started_us, title, commit_id, branch, dirty, message, machine, instrument, measured, failed, \
             incomplete FROM run ",
            $rest
        )
    };
}

/// A directory of runs.
#[derive(Debug, Clone)]
pub struct Store {
    blobs: Blobs,
    path: PathBuf,
    pool: SqlitePool,
}

/// Why there is no store to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be made or written.
    #[error("cannot prepare {}", .path.display())]
    Directory {
        /// What was to be made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a run was not kept. Nothing of it is in a list then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// Its blob could not be written.
    #[error(transparent)]
    Blob(#[from] WriteBlobError),
    /// Another one has its id.
    #[error("another run with the id {id} is stored already")]
    Taken {
        /// The id.
        id: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a run could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// It is not there.
    #[error("no run {id} is stored")]
    Unknown {
        /// The id.
        id: String,
    },
    /// Its blob.
    #[error("the results of run {id} are lost")]
    Blob {
        /// The id.
        id: String,
        /// What is wrong with it.
        source: ReadBlobError,
    },
    /// What is in its blob.
    #[error("the results of run {id} cannot be read")]
    Run {
        /// The id.
        id: String,
        /// What is wrong with it.
        source: ReadRunError,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What became of a run that was given to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Stored,
    /// The same run was there before.
    AlreadyThere,
}

/// What was found under a part of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No run.
    None,
    /// The run with this id.
    One(String),
    /// Some runs, newest first.
    Several(Vec<Summary>),
}

/// Runs whose costs may be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparable {
    /// The whole Machine, [`invar_core::machine::Machine::text`].
    pub machine: String,
    /// The instrument.
    pub instrument: Instrument,
}

impl Comparable {
    /// Runs that may be compared with this one.
    pub fn with(run: &Run) -> Comparable {
        Comparable { machine: run.machine.text(), instrument: run.instrument }
    }
}

/// Which run is looked for. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this commit, in full.
    pub commit: Option<String>,
    /// Of this branch.
    pub branch: Option<String>,
    /// Of a tree with changes that were not committed, or of one without.
    pub dirty: Option<bool>,
    /// Comparable in this way.
    pub comparable: Option<Comparable>,
    /// Not the run with this id.
    pub except: Option<String>,
    /// Started then or before.
    pub not_after: Option<Timestamp>,
}

impl Store {
    /// The store in this directory, made where it is missing.
    pub async fn open(directory: &Path) -> Result<Store, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Directory { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let ignore = directory.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(failed(&ignore))?;
        }
        // SQLite does not wait while two processes make one file a WAL file, so they take turns here. The lock goes
        // with `lock`.
        let path = directory.join("lock");
        let lock = File::options().create(true).append(true).open(&path).map_err(failed(&path))?;
        lock.lock().map_err(failed(&path))?;
        let path = directory.join("invar.sqlite");
        let pool = database::open(&path).await?;
        Ok(Store { blobs: Blobs::new(directory.join("blobs")), path, pool })
    }

    /// The store in this directory, if there is one.
    pub async fn open_existing(directory: &Path) -> Result<Option<Store>, OpenError> {
        if directory.join("invar.sqlite").exists() {
            Store::open(directory).await.map(Some)
        } else {
            Ok(None)
        }
    }

    /// Keeps a run. A run that is there already stays as it is.
    pub async fn put(&self, run: &Run) -> Result<Put, PutError> {
        // The blob first: a row never names what is not there. A blob that is named by no row is only in the way.
        let blob = self.blobs.put(v1::write(run).as_bytes())?;
        let mut connection = self.pool.acquire().await.map_err(|error| self.error(error))?;
        let transaction = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(|error| self.error(error))?;
        let summary = Summary::of(run);
        let inserted = sqlx::query(
            "INSERT INTO run (id, started_us, title, commit_id, branch, dirty, message, machine, machine_text, instrument,
                              measured, failed, incomplete, blob)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&summary.id)
        .bind(summary.started.0)
        .bind(&summary.title)
        .bind(&summary.commit)
        .bind(&summary.branch)
        .bind(summary.dirty)
        .bind(&summary.message)
        .bind(&summary.machine)
        .bind(run.machine.text())
        .bind(summary.instrument.name())
        .bind(summary.measured as i64)
        .bind(summary.failed as i64)
        .bind(&summary.incomplete)
        .bind(&blob)
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.error(error))?;
        transaction.commit().await.map_err(|error| self.error(error))?;
        drop(connection);
        if inserted.rows_affected() == 1 {
            return Ok(Put::Stored);
        }
        // Another build may write the same run in other words, so runs are compared, not digests.
        match self.get(&run.id).await {
            Ok(stored) if stored == *run => Ok(Put::AlreadyThere),
            Err(GetError::Database(error)) => Err(error.into()),
            _ => Err(PutError::Taken { id: run.id.clone() }),
        }
    }

    /// The run with this id.
    pub async fn get(&self, id: &str) -> Result<Run, GetError> {
        let row = sqlx::query("SELECT blob FROM run WHERE id = $1").bind(id).fetch_optional(&self.pool).await;
        let id = id.to_string();
        let Some(row) = row.map_err(|error| self.error(error))? else { return Err(GetError::Unknown { id }) };
        let blob: String = row.try_get(0).map_err(|error| self.error(error))?;
        match self.blobs.get(&blob) {
            Ok(bytes) => v1::read(&bytes).map_err(|source| GetError::Run { id, source }),
            Err(source) => Err(GetError::Blob { id, source }),
        }
    }

    /// The newest runs, newest first.
    pub async fn list(&self, limit: u32) -> Result<Vec<Summary>, DatabaseError> {
        let rows = sqlx::query(select!("ORDER BY started_us DESC, id DESC LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await;
        self.summaries(rows)
    }

    /// The run whose id is, starts with or ends with this text.
    pub async fn find(&self, part: &str) -> Result<Found, DatabaseError> {
        let part = part.to_ascii_lowercase();
        // Anything else would mean something to LIKE.
        if part.is_empty() || !part.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '-') {
            return Ok(Found::None);
        }
        let rows = sqlx::query(select!(
            "WHERE id LIKE $1 || '%' OR id LIKE '%' || $1 ORDER BY started_us DESC, id DESC"
        ))
        .bind(&part)
        .fetch_all(&self.pool)
        .await;
        let mut runs = self.summaries(rows)?;
        let whole = runs.iter().position(|run| run.id == part);
        Ok(match (whole, runs.len()) {
            (_, 0) => Found::None,
            (Some(index), _) => Found::One(runs.remove(index).id),
            (None, 1) => Found::One(runs.remove(0).id),
            (None, _) => Found::Several(runs),
        })
    }

    /// The newest run with results that is as wanted. Complete runs, and runs of a clean tree, go before others.
    pub async fn latest(&self, wanted: &Wanted) -> Result<Option<Summary>, DatabaseError> {
        let rows = sqlx::query(select!(
            "WHERE measured > 0
               AND ($1 IS NULL OR commit_id = $1)
               AND ($2 IS NULL OR branch = $2)
               AND ($3 IS NULL OR dirty = $3)
               AND ($4 IS NULL OR (machine_text = $4 AND instrument = $5))
               AND ($6 IS NULL OR id <> $6)
               AND ($7 IS NULL OR started_us <= $7)
             ORDER BY CASE WHEN $1 IS NULL THEN 0 ELSE dirty END,
                      CASE WHEN $1 IS NULL THEN 0 ELSE incomplete IS NOT NULL END,
                      started_us DESC, id DESC
             LIMIT 1"
        ))
        .bind(&wanted.commit)
        .bind(&wanted.branch)
        .bind(wanted.dirty)
        .bind(wanted.comparable.as_ref().map(|comparable| comparable.machine.as_str()))
        .bind(wanted.comparable.as_ref().map(|comparable| comparable.instrument.name()))
        .bind(&wanted.except)
        .bind(wanted.not_after.map(|time| time.0))
        .fetch_all(&self.pool)
        .await;
        Ok(self.summaries(rows)?.pop())
    }

    /// Commits of which a clean tree was measured in a comparable way.
    pub async fn commits_measured(&self, comparable: &Comparable) -> Result<BTreeSet<String>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT DISTINCT commit_id FROM run
             WHERE measured > 0 AND dirty = 0 AND commit_id IS NOT NULL AND machine_text = $1 AND instrument = $2",
        )
        .bind(&comparable.machine)
        .bind(comparable.instrument.name())
        .fetch_all(&self.pool)
        .await;
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.error(error))).collect()
    }

    /// Lets go of the database. What was put is durable without it.
    pub async fn close(self) {
        self.pool.close().await;
    }

    fn summaries(&self, rows: sqlx::Result<Vec<SqliteRow>>) -> Result<Vec<Summary>, DatabaseError> {
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| summary(row).map_err(|error| self.error(error))).collect()
    }

    fn error(&self, error: sqlx::Error) -> DatabaseError {
        DatabaseError::of(&self.path, &error)
    }
}

/// A row of [`select`] as a summary.
fn summary(row: &SqliteRow) -> sqlx::Result<Summary> {
    let count = |column| row.try_get(column).map(|count: i64| usize::try_from(count).unwrap_or_default());
    let instrument: String = row.try_get(8)?;
    let unknown =
        || sqlx::Error::Decode(format!("`{instrument}` is no instrument that this build knows").into());
    Ok(Summary {
        id: row.try_get(0)?,
        started: Timestamp(row.try_get(1)?),
        title: row.try_get(2)?,
        commit: row.try_get(3)?,
        branch: row.try_get(4)?,
        dirty: row.try_get(5)?,
        message: row.try_get(6)?,
        machine: row.try_get(7)?,
        instrument: Instrument::from_name(&instrument).ok_or_else(unknown)?,
        measured: count(9)?,
        failed: count(10)?,
        incomplete: row.try_get(11)?,
    })
}
