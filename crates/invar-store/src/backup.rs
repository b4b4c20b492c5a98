//! A copy of a store to keep elsewhere: a directory that is a store itself, and can be opened as it is.
//!
//! Rows first, then blobs: blobs are there before the rows that name them, and are never changed, so the copy has every
//! blob that its rows name. What another copy has left there is not copied again.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use crate::blobs::{Blobs, Shelf};
use crate::database::DatabaseError;
use crate::store::{FILE, OpenError, Store, prepare};

/// What a backup copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Were the rows copied? Those of PostgreSQL are `pg_dump`'s.
    pub rows: bool,
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
        done.rows = self.database.copy_into(&new).await?;
        let to = Shelf::folder(directory).map_err(failed(directory))?;
        for blobs in [&self.blobs, &self.profiles] {
            copy(blobs, &to, &mut done).await?;
        }
        if done.rows {
            // Last, so that the rows that are there always have their blobs.
            std::fs::rename(&new, directory.join(FILE)).map_err(failed(&new))?;
        }
        Ok(done)
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
        assert_eq!(done, BackedUp { rows: true, blobs: 1, already_there: 0 });
        store.put(&run(2)).await.unwrap();
        let done = store.backup(elsewhere.path()).await.unwrap();
        assert_eq!(done, BackedUp { rows: true, blobs: 1, already_there: 1 });
        let copy = Store::open(elsewhere.path()).await.unwrap();
        assert_eq!(copy.get(&run(1).id).await.unwrap(), run(1));
        assert_eq!(copy.get(&run(2).id).await.unwrap(), run(2));
    }
}
