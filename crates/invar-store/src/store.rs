//! Runs, kept.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use invar_core::instrument::Instrument;
use invar_core::run::{Run, Summary, Timestamp};
use invar_core::wire::v1::{self, ReadRunError};

use crate::blobs::{Blobs, Kept, ReadBlobError, Shelf, WriteBlobError};
use crate::collect::{Table, named};
use crate::database::{Database, DatabaseError, Intent, Row, Transaction};
use crate::history::{Known, Listing};
use crate::location::{Location, Place, bucket, place};
use crate::measurement;
use crate::profile::{self, Profiles};
use crate::project::NAMELESS;
use crate::revision::runs_changed;
use crate::shard;
use crate::statement::{Statement, Value};
use crate::summary::{select, summary};

/// A put that takes longer looks at all of its blobs again. A collector's grace period is longer.
pub(crate) const QUICK: Duration = Duration::from_secs(60);

/// How many digits an id has, with those between them.
const ID_LENGTH: usize = 36;

/// The database of a directory.
pub(crate) const FILE: &str = "invar.sqlite";

/// The runs of one project, among others that lie beside it. Nothing that a store is asked tells of another project.
#[derive(Debug, Clone)]
pub struct Store {
    /// The project's number.
    pub(crate) project: i64,
    pub(crate) blobs: Blobs,
    pub(crate) profiles: Blobs,
    /// Of uploads.
    pub(crate) parts: Blobs,
    pub(crate) database: Database,
    /// What was read of runs for histories; of all projects, since an id names one run.
    pub(crate) known: Arc<Known>,
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
    /// No place that this build can use.
    #[error("cannot use {place}: {why}")]
    Location {
        /// What was written, without its secrets.
        place: String,
        /// What is wrong with it.
        why: String,
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
    /// The store in this directory, made where it is missing; of its projects the one without a name, which is a
    /// checkout's.
    pub async fn open(directory: &Path) -> Result<Store, OpenError> {
        prepare(directory)?;
        let database = sqlite(directory).await?;
        Store::of(database, &folder(directory)?).await
    }

    /// The store at this place, made where it is missing; of its projects the one without a name.
    pub async fn connect(location: &Location) -> Result<Store, OpenError> {
        let blobs = match (&location.blobs, place(&location.database)?) {
            (Some(blobs), _) => place(blobs)?,
            (None, Place::Directory(directory)) => Place::Directory(directory),
            (None, Place::Address(_)) => {
                let why = "it keeps no blobs: say where they are, too".to_string();
                return Err(OpenError::Location { place: location.shown(), why });
            }
        };
        // First what needs no network: who mistyped a path shall not wait.
        let shelf = match &blobs {
            Place::Directory(directory) => {
                prepare(directory)?;
                folder(directory)?
            }
            Place::Address(url) => bucket(url)?,
        };
        let database = match place(&location.database)? {
            Place::Directory(directory) => {
                prepare(&directory)?;
                sqlite(&directory).await?
            }
            Place::Address(url) => postgres(&url).await?,
        };
        Store::of(database, &shelf).await
    }

    async fn of(database: Database, shelf: &Shelf) -> Result<Store, OpenError> {
        let blobs = shelf.runs();
        let profiles = shelf.profiles();
        let parts = shelf.parts();
        let store = Store { project: NAMELESS, blobs, profiles, parts, database, known: Arc::default() };
        store.index_older_runs().await?;
        Ok(store)
    }

    /// Measurements of runs that were kept before there was a table for them. A run whose blob cannot be read is passed
    /// over, and looked at again the next time: it may have been imported anew.
    async fn index_older_runs(&self) -> Result<(), DatabaseError> {
        let statement = "SELECT number, blob, project FROM run WHERE indexed = 0 ORDER BY number";
        let read = |row: &Row| Ok((row.number(0)?, row.text(1)?, row.number(2)?));
        for (number, blob, project) in self.database.all(&Statement::new(statement), read).await? {
            let bytes = self.blobs.get(&blob).await.ok();
            let Some(run) = bytes.and_then(|bytes| v1::read(&bytes).ok()) else { continue };
            let mut transaction = self.database.begin(Intent::Write).await?;
            measurement::insert(&mut transaction, project, number, &run).await?;
            let done = Statement::new("UPDATE run SET indexed = 1 WHERE number = ").bind(number);
            transaction.execute(&done).await?;
            runs_changed(&mut transaction, project).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// The store in this directory, if there is one.
    pub async fn open_existing(directory: &Path) -> Result<Option<Store>, OpenError> {
        if directory.join(FILE).exists() { Store::open(directory).await.map(Some) } else { Ok(None) }
    }

    /// Keeps a run without profiles. A run that is there already stays as it is.
    pub async fn put(&self, run: &Run) -> Result<Put, PutError> {
        self.put_with(run, &Profiles::new()).await
    }

    /// Keeps a run and the profiles of its benchmarks. A run that is there already stays as it is.
    pub async fn put_with(&self, run: &Run, profiles: &Profiles) -> Result<Put, PutError> {
        // Blobs first: a row never names what is not there. A blob that is named by no row is only in the way.
        let started = Instant::now();
        let text = v1::write(run);
        let mut blob = self.blobs.put(text.as_bytes()).await?;
        let mut kept = profile::put(&self.profiles, profiles).await?;
        if started.elapsed() > QUICK {
            // What was new then may be old enough for a collector now.
            blob.was_there = true;
            kept.iter_mut().for_each(|(_, kept)| kept.was_there = true);
        }
        let mut transaction = self.database.begin(Intent::NameBlobs).await?;
        let number = transaction.one(&self.insert_sql(run, &blob.digest), |row| row.number(0)).await?;
        if let Some(number) = number {
            // Nobody removes blobs now. What was there when it was put may have been removed before this began.
            if blob.was_there {
                self.blobs.put(text.as_bytes()).await?;
            }
            self.put_unnamed(&mut transaction, profiles, &kept).await?;
            measurement::insert(&mut transaction, self.project, number, run).await?;
            let rows: Vec<(&str, &str)> =
                kept.iter().map(|(name, kept)| (*name, kept.digest.as_str())).collect();
            profile::insert(&mut transaction, number, &rows).await?;
            runs_changed(&mut transaction, self.project).await?;
        }
        transaction.commit().await?;
        if number.is_some() {
            return Ok(Put::Stored);
        }
        // Another build may write the same run in other words, so runs are compared, not digests; as they are read, since
        // that sorts them.
        match self.get(&run.id).await {
            Ok(stored) if stored == *run || v1::read(text.as_bytes()).is_ok_and(|run| run == stored) => {
                Ok(Put::AlreadyThere)
            }
            Err(GetError::Database(error)) => Err(error.into()),
            _ => Err(PutError::Taken { id: run.id.clone() }),
        }
    }

    pub(crate) fn insert_sql(&self, run: &Run, blob: &str) -> Statement {
        let summary = Summary::of(run);
        Statement::new(
            "INSERT INTO run (project, id, started_us, title, commit_id, branch, dirty, message, machine, machine_text,
                              instrument, measured, failed, incomplete, blob, indexed) VALUES ",
        )
        .bind_list([
            Value::from(self.project),
            Value::from(&summary.id),
            Value::from(summary.started.0),
            Value::from(&summary.title),
            Value::from(&summary.commit),
            Value::from(&summary.branch),
            Value::from(summary.dirty),
            Value::from(&summary.message),
            Value::from(&summary.machine),
            Value::from(run.machine.text()),
            Value::from(summary.instrument.name()),
            Value::from(summary.measured as i64),
            Value::from(summary.failed as i64),
            Value::from(&summary.incomplete),
            Value::from(blob),
            Value::from(true),
        ])
        .push(" ON CONFLICT (id) DO NOTHING RETURNING number")
    }

    /// Keeps, once more, those profiles that were there when they were put, though no row named them.
    pub(crate) async fn put_unnamed(
        &self,
        transaction: &mut Transaction,
        profiles: &Profiles,
        kept: &[(&str, Kept)],
    ) -> Result<(), PutError> {
        let there: Vec<&str> =
            kept.iter().filter(|(_, kept)| kept.was_there).map(|(_, kept)| kept.digest.as_str()).collect();
        let named = named(transaction, Table::Profile, &there).await?;
        for (benchmark, kept) in kept {
            if kept.was_there && !named.contains(&kept.digest) {
                self.profiles.put(&invar_core::wire::profile::write(&profiles[*benchmark])).await?;
            }
        }
        Ok(())
    }

    /// The run with this id.
    pub async fn get(&self, id: &str) -> Result<Run, GetError> {
        let statement = Statement::new("SELECT blob FROM run WHERE id = ").bind(id);
        let statement = statement.push(" AND project = ").bind(self.project);
        let blob = self.database.one(&statement, |row| row.text(0)).await?;
        let id = id.to_string();
        let Some(blob) = blob else { return Err(GetError::Unknown { id }) };
        match self.blobs.get(&blob).await {
            Ok(bytes) => v1::read(&bytes).map_err(|source| GetError::Run { id, source }),
            Err(source) => Err(GetError::Blob { id, source }),
        }
    }

    /// The newest runs, newest first.
    pub async fn list(&self, limit: u32) -> Result<Vec<Summary>, DatabaseError> {
        self.runs(&Listing { limit, ..Listing::default() }).await
    }

    /// The run whose id is, starts with or ends with this text; of one that is made of shards also the id that it had.
    pub async fn find(&self, part: &str) -> Result<Found, DatabaseError> {
        let part = part.to_ascii_lowercase();
        // No id is longer, and looking for the ends of ids takes a while.
        if part.len() > ID_LENGTH {
            return Ok(Found::None);
        }
        // Anything else would mean something to LIKE, or is not behind `g`.
        if part.is_empty() || !part.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '-') {
            return Ok(Found::None);
        }
        let mut runs = self.database.all(&self.find_sql(&part), summary).await?;
        if let (true, Some(beginning)) = (runs.is_empty(), shard::beginning(&part)) {
            // A shard has come since it was called so.
            runs = self.database.all(&self.find_sql(beginning), summary).await?;
        }
        let whole = runs.iter().position(|run| run.id == part);
        Ok(match (whole, runs.len()) {
            (_, 0) => Found::None,
            (Some(index), _) => Found::One(runs.remove(index).id),
            (None, 1) => Found::One(runs.remove(0).id),
            (None, _) => Found::Several(runs),
        })
    }

    pub(crate) fn find_sql(&self, part: &str) -> Statement {
        let statement =
            select("run").push("WHERE project = ").bind(self.project).push(" AND (id >= ").bind(part);
        let statement = statement.push(" AND id < ").bind(format!("{part}g"));
        // A whole id ends no other one.
        let end = (part.len() < ID_LENGTH).then(|| format!("%{part}"));
        statement.bind_some(" OR id LIKE ", end).push(") ORDER BY started_us DESC, id DESC")
    }

    /// The newest run with results that is as wanted. Complete runs, and runs of a clean tree, go before others.
    pub async fn latest(&self, wanted: &Wanted) -> Result<Option<Summary>, DatabaseError> {
        self.database.one(&self.latest_sql(wanted), summary).await
    }

    pub(crate) fn latest_sql(&self, wanted: &Wanted) -> Statement {
        let comparable = wanted.comparable.as_ref();
        select("run")
            .push("WHERE measured > 0 AND project = ")
            .bind(self.project)
            .bind_some(" AND commit_id = ", wanted.commit.as_ref())
            .bind_some(" AND branch = ", wanted.branch.as_ref())
            .bind_some(" AND dirty = ", wanted.dirty)
            .bind_some(" AND machine_text = ", comparable.map(|comparable| &comparable.machine))
            .bind_some(" AND instrument = ", comparable.map(|comparable| comparable.instrument.name()))
            .bind_some(" AND id <> ", wanted.except.as_ref())
            .bind_some(" AND started_us <= ", wanted.not_after.map(|time| time.0))
            .push(" ORDER BY ")
            .push(if wanted.commit.is_some() { "dirty, incomplete IS NOT NULL, " } else { "" })
            .push("started_us DESC, id DESC LIMIT 1")
    }

    /// Commits of which a clean tree was measured in a comparable way.
    pub async fn commits_measured(&self, comparable: &Comparable) -> Result<BTreeSet<String>, DatabaseError> {
        let statement = self.commits_measured_sql(comparable);
        Ok(self.database.all(&statement, |row| row.text(0)).await?.into_iter().collect())
    }

    pub(crate) fn commits_measured_sql(&self, comparable: &Comparable) -> Statement {
        Statement::new(
            "SELECT DISTINCT commit_id FROM run
             WHERE measured > 0 AND dirty = 0 AND commit_id IS NOT NULL AND project = ",
        )
        .bind(self.project)
        .push(" AND machine_text = ")
        .bind(&comparable.machine)
        .push(" AND instrument = ")
        .bind(comparable.instrument.name())
    }

    /// Lets go of the database. What was put is durable without it.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// The same store, within another project.
    pub(crate) fn within(&self, project: i64) -> Store {
        Store { project, ..self.clone() }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Directory { path, source }
}

/// Makes the directory, where it is missing, with what keeps git out of it.
pub(crate) fn prepare(directory: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(directory).map_err(failed(directory))?;
    let ignore = directory.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "*\n").map_err(failed(&ignore))?;
    }
    Ok(())
}

fn folder(directory: &Path) -> Result<Shelf, OpenError> {
    Shelf::folder(directory).map_err(failed(directory))
}

async fn sqlite(directory: &Path) -> Result<Database, OpenError> {
    // SQLite does not wait while two processes make one file a WAL file, so they take turns here. The lock goes with
    // `lock`; who waits for it keeps no other task waiting, since that may be the one that has it.
    let path = directory.join("lock");
    let opened = path.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let lock = File::options().create(true).append(true).open(opened)?;
        lock.lock().map(|()| lock)
    });
    let lock = taken.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed(&path))?;
    let database = Database::open(&directory.join(FILE)).await?;
    drop(lock);
    Ok(database)
}

#[cfg(feature = "postgres")]
async fn postgres(url: &url::Url) -> Result<Database, OpenError> {
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        let place = format!("{}://...", url.scheme());
        let why = "it is no database: write postgres://USER@HOST/DATABASE or a directory".to_string();
        return Err(OpenError::Location { place, why });
    }
    Ok(Database::connect(url).await?)
}

#[cfg(not(feature = "postgres"))]
async fn postgres(url: &url::Url) -> Result<Database, OpenError> {
    let why = "this build keeps rows in SQLite only: build it with the feature `postgres`".to_string();
    Err(OpenError::Location { place: format!("{}://...", url.scheme()), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::sqlite_schema::MIGRATIONS;
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
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(MIGRATIONS[0]).execute(&pool).await.unwrap();
        for run in runs {
            let blob = Shelf::folder(directory).unwrap().runs().put(v1::write(run).as_bytes()).await.unwrap();
            sqlx::query("INSERT INTO run VALUES ($1, $2, 't', NULL, NULL, 0, NULL, 'm', $3, 'simulation', 1, 0, NULL, $4)")
                .bind(&run.id)
                .bind(run.started.0)
                .bind(run.machine.text())
                .bind(blob.digest)
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

    /// Brings a store of the first schema forward to this one, as older builds did.
    async fn forward(directory: &Path, schema: usize) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("invar.sqlite"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        for migration in &MIGRATIONS[1..schema] {
            sqlx::raw_sql(*migration).execute(&pool).await.unwrap();
        }
        pool.close().await;
    }

    /// A store as the second schema had it, empty.
    async fn second_schema(directory: &Path) {
        first_schema(directory, &[run(1)]).await;
        forward(directory, 2).await;
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
    async fn a_store_of_the_third_schema_becomes_the_project_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        first_schema(folder.path(), &[run(1), run(2)]).await;
        forward(folder.path(), 3).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("invar.sqlite"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let profile = invar_core::profile::Builder::new("a").finish();
        let profiles = Profiles::from([("a".to_string(), profile.clone())]);
        let blobs = profile::put(&Shelf::folder(folder.path()).unwrap().profiles(), &profiles).await.unwrap();
        sqlx::query("INSERT INTO profile VALUES ((SELECT number FROM run WHERE id = $1), 'a', $2)")
            .bind(run(1).id)
            .bind(&blobs[0].1.digest)
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(store.about().await.unwrap().name, "");
        assert_eq!(history(&store).await, [1, 2]);
        assert_eq!(store.get(&run(1).id).await.unwrap(), run(1));
        assert_eq!(store.profile(&run(1).id, "a").await.unwrap(), Some(profile));
        store.put(&run(3)).await.unwrap();
        assert_eq!(history(&store).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_run_whose_blob_was_lost_gets_its_history_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        first_schema(folder.path(), &[run(1), run(2)]).await;
        let lost = crate::blobs::digest(v1::write(&run(1)).as_bytes());
        fs::remove_dir_all(folder.path().join("blobs").join(&lost[..2])).unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(history(&store).await, [2]);
        store.put(&run(1)).await.unwrap();
        store.close().await;
        assert_eq!(history(&Store::open(folder.path()).await.unwrap()).await, [1, 2]);
    }
}
