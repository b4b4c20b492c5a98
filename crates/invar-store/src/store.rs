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
use crate::database::{self, DatabaseError, Pools};
use crate::measurement;
use crate::profile::{self, Profiles};

/// A statement that selects what [`summary`] reads.
macro_rules! select {
    ($($rest:literal),+) => {
        concat!(
            "SELECT run.id, run.started_us, run.title, run.commit_id, run.branch, run.dirty, run.message, run.machine, \
             run.instrument, run.measured, run.failed, run.incomplete FROM run ",
            $($rest),+
        )
    };
}
pub(crate) use select;

/// A directory of runs.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) blobs: Blobs,
    pub(crate) profiles: Blobs,
    path: PathBuf,
    pools: Pools,
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
        let pools = database::open(&path).await?;
        let blobs = Blobs::new(directory.join("blobs"), "json.zst");
        let profiles = Blobs::new(directory.join("profiles"), "zst");
        let store = Store { blobs, profiles, path, pools };
        store.index_older_runs().await?;
        Ok(store)
    }

    /// Measurements of runs that were kept before there was a table for them. A run whose blob cannot be read is passed
    /// over, and looked at again the next time: it may have been imported anew.
    async fn index_older_runs(&self) -> Result<(), DatabaseError> {
        let rows = sqlx::query("SELECT number, blob FROM run WHERE indexed = 0 ORDER BY number")
            .fetch_all(&self.pools.writer)
            .await
            .map_err(|error| self.error(error))?;
        for row in rows {
            let number: i64 = row.try_get(0).map_err(|error| self.error(error))?;
            let blob: String = row.try_get(1).map_err(|error| self.error(error))?;
            let bytes = self.blobs.get(&blob).ok();
            let Some(run) = bytes.and_then(|bytes| v1::read(&bytes).ok()) else { continue };
            self.index(number, &run).await.map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    async fn index(&self, number: i64, run: &Run) -> sqlx::Result<()> {
        let mut connection = self.pools.writer.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        measurement::insert(&mut transaction, number, run).await?;
        sqlx::query("UPDATE run SET indexed = 1 WHERE number = $1")
            .bind(number)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// The store in this directory, if there is one.
    pub async fn open_existing(directory: &Path) -> Result<Option<Store>, OpenError> {
        if directory.join("invar.sqlite").exists() {
            Store::open(directory).await.map(Some)
        } else {
            Ok(None)
        }
    }

    /// Keeps a run without profiles. A run that is there already stays as it is.
    pub async fn put(&self, run: &Run) -> Result<Put, PutError> {
        self.put_with(run, &Profiles::new()).await
    }

    /// Keeps a run and the profiles of its benchmarks. A run that is there already stays as it is.
    pub async fn put_with(&self, run: &Run, profiles: &Profiles) -> Result<Put, PutError> {
        // Blobs first: a row never names what is not there. A blob that is named by no row is only in the way.
        let blob = self.blobs.put(v1::write(run).as_bytes())?;
        let profiles = profile::put(&self.profiles, profiles)?;
        let mut connection = self.pools.writer.acquire().await.map_err(|error| self.error(error))?;
        let transaction = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(|error| self.error(error))?;
        let summary = Summary::of(run);
        let inserted = sqlx::query(
            "INSERT INTO run (id, started_us, title, commit_id, branch, dirty, message, machine, machine_text, instrument,
                              measured, failed, incomplete, blob, indexed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1)
             ON CONFLICT (id) DO NOTHING RETURNING number",
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
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|error| self.error(error))?;
        if let Some(row) = &inserted {
            let number = row.try_get(0).map_err(|error| self.error(error))?;
            measurement::insert(&mut transaction, number, run).await.map_err(|error| self.error(error))?;
            profile::insert(&mut transaction, number, &profiles).await.map_err(|error| self.error(error))?;
        }
        transaction.commit().await.map_err(|error| self.error(error))?;
        drop(connection);
        if inserted.is_some() {
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
        let row =
            sqlx::query("SELECT blob FROM run WHERE id = $1").bind(id).fetch_optional(self.readers()).await;
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
            .fetch_all(self.readers())
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
        .fetch_all(self.readers())
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
        .fetch_all(self.readers())
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
        .fetch_all(self.readers())
        .await;
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.error(error))).collect()
    }

    /// Lets go of the database. What was put is durable without it.
    pub async fn close(self) {
        self.pools.readers.close().await;
        self.pools.writer.close().await;
    }

    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.pools.writer
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.pools.readers
    }

    pub(crate) fn summaries(
        &self,
        rows: sqlx::Result<Vec<SqliteRow>>,
    ) -> Result<Vec<Summary>, DatabaseError> {
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| summary(row).map_err(|error| self.error(error))).collect()
    }

    pub(crate) fn error(&self, error: sqlx::Error) -> DatabaseError {
        DatabaseError::of(&self.path, &error)
    }
}

/// A row of [`select`] as a summary.
pub(crate) fn summary(row: &SqliteRow) -> sqlx::Result<Summary> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Trees;
    use invar_core::benchmark::Benchmark;
    use invar_core::diagnostic::Diagnostics;
    use invar_core::event::{Event, Events};
    use invar_core::machine::Machine;
    use invar_core::measurement::Measurement;

    fn run(number: u32) -> Run {
        let started = Timestamp(i64::from(number));
        let mut run = Run::started(&format!("{number:032x}"), started, Machine::reference_1());
        let mut warm = Events::default();
        warm.add(Event::Instructions, u64::from(number));
        run.measurements.push(Measurement {
            benchmark: Benchmark::named("a"),
            instrument: Instrument::Simulation,
            machine: Machine::reference_1(),
            cold: None,
            warm,
            diagnostics: Diagnostics::default(),
        });
        run
    }

    /// A store as the first schema had it.
    async fn first_schema(directory: &Path, runs: &[Run]) {
        let path = directory.join("invar.sqlite");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(database::MIGRATIONS[0]).execute(&pool).await.unwrap();
        for run in runs {
            let blob =
                Blobs::new(directory.join("blobs"), "json.zst").put(v1::write(run).as_bytes()).unwrap();
            sqlx::query("INSERT INTO run VALUES ($1, $2, 't', NULL, NULL, 0, NULL, 'm', $3, 'simulation', 1, 0, NULL, $4)")
                .bind(&run.id)
                .bind(run.started.0)
                .bind(run.machine.text())
                .bind(blob)
                .execute(&pool)
                .await
                .unwrap();
        }
        pool.close().await;
    }

    async fn history(store: &Store) -> Vec<u64> {
        let history = store.history("a", &Comparable::with(&run(1)), None, Trees::All, 9).await.unwrap();
        history.points.iter().map(|point| point.reading.events.get(Event::Instructions)).collect()
    }

    #[tokio::test]
    async fn a_store_of_the_first_schema_gets_its_histories() {
        let folder = tempfile::tempdir().unwrap();
        first_schema(folder.path(), &[run(2), run(1)]).await;
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(history(&store).await, [1, 2]);
        assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
        assert_eq!(store.put(&run(1)).await.unwrap(), Put::AlreadyThere);
        store.put(&run(3)).await.unwrap();
        assert_eq!(history(&store).await, [1, 2, 3]);
    }

    /// A store as the second schema had it, empty.
    async fn second_schema(directory: &Path) {
        first_schema(directory, &[run(1)]).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("invar.sqlite"));
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(database::MIGRATIONS[1]).execute(&pool).await.unwrap();
        pool.close().await;
    }

    #[tokio::test]
    async fn a_store_of_the_second_schema_can_take_profiles() {
        let folder = tempfile::tempdir().unwrap();
        second_schema(folder.path()).await;
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(store.profile(&run(1).id, "a").await.unwrap(), None);
        let profile = invar_core::profile::Builder::new("a").finish();
        let profiles = Profiles::from([("a".to_string(), profile.clone())]);
        assert_eq!(store.put_with(&run(2), &profiles).await.unwrap(), Put::Stored);
        assert_eq!(store.profile(&run(2).id, "a").await.unwrap(), Some(profile));
        assert_eq!(history(&store).await, [1, 2]);
    }

    #[tokio::test]
    async fn a_run_whose_blob_was_lost_gets_its_history_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        first_schema(folder.path(), &[run(1), run(2)]).await;
        let lost = Blobs::new(folder.path().join("elsewhere"), "json.zst")
            .put(v1::write(&run(1)).as_bytes())
            .unwrap();
        fs::remove_dir_all(folder.path().join("blobs").join(&lost[..2])).unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(history(&store).await, [2]);
        store.put(&run(1)).await.unwrap();
        store.close().await;
        assert_eq!(history(&Store::open(folder.path()).await.unwrap()).await, [1, 2]);
    }
}
