//! A copy of a store to keep elsewhere: a directory that is a store itself, and can be opened as it is, or copied back into
//! an empty store of any kind.
//!
//! Rows first, then blobs: blobs are there before the rows that name them, and are never changed, so the copy has every
//! blob that its rows name. What another copy has left there is not copied again. On the way back it is the other way
//! round, and every blob is looked at.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use crate::blobs::{Blobs, Shelf};
use crate::collect::{Table, all_named_sql};
use crate::database::{Database, DatabaseError};
use crate::rows;
use crate::statement::Statement;
use crate::store::{FILE, OpenError, Store, prepare};

/// What a backup copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// How many blobs were copied.
    pub blobs: u64,
    /// How many were there.
    pub already_there: u64,
}

/// Why a backup stopped. What it copied before is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The rows of the copy could not take the place of older ones.
    #[error("cannot write {}", .path.display())]
    File {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A blob.
    #[error("cannot copy {place}")]
    Blob {
        /// Which.
        place: String,
        /// What the system or the object store said.
        source: object_store::Error,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// Copies the whole store, all projects and everything else, into a directory, while others use it.
    pub async fn backup(&self, directory: &Path) -> Result<BackedUp, BackupError> {
        prepare(directory)?;
        let mut done = BackedUp::default();
        let new = directory.join(format!("{FILE}.new"));
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| BackupError::File { path, source }
        };
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&new)(error)),
            _ => {}
        }
        self.database.copy_into(&new).await?;
        let to = Shelf::folder(directory).map_err(failed(directory))?;
        for blobs in [&self.blobs, &self.profiles] {
            copy(blobs, &to, &mut done).await?;
        }
        // Last, so that the rows that are there always have their blobs.
        std::fs::rename(&new, directory.join(FILE)).map_err(failed(&new))?;
        Ok(done)
    }
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many rows.
    pub rows: u64,
    /// How many blobs.
    pub blobs: u64,
    /// How many were there.
    pub already_there: u64,
    /// Which are not what their names say, and so were left where they are.
    pub damaged: Vec<String>,
    /// How many blobs rows name that are not there, the damaged ones among them.
    pub missing: u64,
}

/// Why a store did not come back. It has no rows then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is something in it already.
    #[error("the store is not empty ({what})")]
    NotEmpty {
        /// What is in it.
        what: String,
    },
    /// No backup.
    #[error("there is no backup in {}", .path.display())]
    NoBackup {
        /// The directory.
        path: PathBuf,
    },
    /// The backup cannot be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A blob.
    #[error("cannot copy {place}")]
    Blob {
        /// Which.
        place: String,
        /// What the system or the object store said.
        source: object_store::Error,
    },
    /// A database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// Brings a backup back into this store, which has to be empty: blobs first, and each is looked at, then all rows.
    ///
    /// The backup stays as it is; its rows are brought up to date on the way, if an older Invar has made it.
    pub async fn restore(&self, directory: &Path) -> Result<Restored, RestoreError> {
        let file = directory.join(FILE);
        if !file.is_file() {
            return Err(RestoreError::NoBackup { path: directory.to_path_buf() });
        }
        self.is_empty().await?;
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| RestoreError::File { path, source }
        };
        // Opening it would change it.
        let beside = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
        let rows = beside.path().join(FILE);
        std::fs::copy(&file, &rows).map_err(failed(&file))?;
        let from = Database::open(&rows).await?;
        let shelf = Shelf::folder(directory).map_err(failed(directory))?;
        let mut done = Restored::default();
        let mut missing = 0;
        for (kind, blobs) in [(Table::Run, &self.blobs), (Table::Profile, &self.profiles)] {
            let there = bring_back(&blobs.on(&shelf), blobs, &mut done).await?;
            let named = from.all(&all_named_sql(kind), |row| row.text(0)).await?;
            missing += named.into_iter().filter(|digest| !there.contains(digest)).count() as u64;
        }
        done.missing = missing;
        // Once more: a server may have been started meanwhile.
        self.is_empty().await?;
        done.rows = rows::copy(&from, &self.database).await?;
        from.close().await;
        Ok(done)
    }

    /// Is there nothing in the store that anybody would miss?
    async fn is_empty(&self) -> Result<(), RestoreError> {
        for (table, what) in
            [("project", "projects"), ("run", "runs"), ("account", "accounts"), ("token", "tokens")]
        {
            // The project without a name is in every store.
            let but = if table == "project" { " WHERE name <> ''" } else { "" };
            let count = Statement::new(format!("SELECT count(*) FROM {table}{but}"));
            match self.database.one(&count, |row| row.number(0)).await?.unwrap_or_default() {
                0 => {}
                many => return Err(RestoreError::NotEmpty { what: format!("{what}: {many}") }),
            }
        }
        Ok(())
    }
}

/// Copies blobs that are what their names say, and says which are there now.
async fn bring_back(from: &Blobs, to: &Blobs, done: &mut Restored) -> Result<BTreeSet<String>, RestoreError> {
    let mut there = BTreeSet::new();
    let folder = from.folder();
    let mut list = from.objects().list(Some(&folder));
    loop {
        let failed = |place: String| move |source| RestoreError::Blob { place, source };
        let Some(object) = list.try_next().await.map_err(failed(from.place(&folder)))? else {
            return Ok(there);
        };
        let Some(digest) = from.digest_in(&object.location) else { continue };
        let place = from.place(&object.location);
        let content = from.objects().get(&object.location).await.map_err(failed(place.clone()))?;
        let content = content.bytes().await.map_err(failed(place.clone()))?;
        if !zstd::decode_all(&content[..]).is_ok_and(|plain| crate::blobs::digest(&plain) == digest) {
            done.damaged.push(place);
            continue;
        }
        let if_absent = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let name = to.name(&digest);
        match to.objects().put_opts(&name, content.into(), if_absent).await {
            Ok(_) => done.blobs += 1,
            Err(object_store::Error::AlreadyExists { .. }) => done.already_there += 1,
            Err(error) => return Err(failed(to.place(&name))(error)),
        }
        there.insert(digest);
    }
}

async fn copy(blobs: &Blobs, to: &Shelf, done: &mut BackedUp) -> Result<(), BackupError> {
    let folder = blobs.folder();
    let mut list = blobs.objects().list(Some(&folder));
    loop {
        let listed = list.try_next().await;
        let found = listed.map_err(|source| BackupError::Blob { place: blobs.place(&folder), source })?;
        let Some(object) = found else { return Ok(()) };
        // What is no blob is left of an upload that was cut off.
        let Some(digest) = blobs.digest_in(&object.location) else { continue };
        let failed = |source| BackupError::Blob { place: blobs.place(&object.location), source };
        let name = blobs.on(to).name(&digest);
        if to.objects.head(&name).await.is_ok() {
            done.already_there += 1;
            continue;
        }
        let content = match blobs.objects().get(&object.location).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            // Named by no row, and collected meanwhile.
            Err(object_store::Error::NotFound { .. }) => continue,
            Err(error) => return Err(failed(error)),
        };
        let if_absent = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match to.objects.put_opts(&name, content.into(), if_absent).await {
            Ok(_) => done.blobs += 1,
            Err(object_store::Error::AlreadyExists { .. }) => done.already_there += 1,
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use invar_core::machine::Machine;
    use invar_core::run::{Run, Timestamp};

    use super::*;

    fn run(number: u32) -> Run {
        Run::started(&format!("{number:032x}"), Timestamp(i64::from(number)), Machine::reference_1())
    }

    #[tokio::test]
    async fn a_backup_is_a_store_and_the_next_one_adds_to_it() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(folder.path()).await.unwrap();
        store.put(&run(1)).await.unwrap();
        let done = store.backup(elsewhere.path()).await.unwrap();
        assert_eq!(done, BackedUp { blobs: 1, already_there: 0 });
        store.put(&run(2)).await.unwrap();
        let done = store.backup(elsewhere.path()).await.unwrap();
        assert_eq!(done, BackedUp { blobs: 1, already_there: 1 });
        let copy = Store::open(elsewhere.path()).await.unwrap();
        assert_eq!(copy.get(&run(1).id).await.unwrap(), run(1));
        assert_eq!(copy.get(&run(2).id).await.unwrap(), run(2));
    }
}
