//! Is the store there, and can it be used?
//!
//! Asked when a server starts and by whoever watches one. Where runs are taken, a small object beside the blobs says that
//! they can be reached; it is made at the first start, and by that it is seen whether the place can be written and keeps
//! what is there. It holds nothing, and whoever removes it loses nothing.

use object_store::path::Path as Name;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use crate::blobs::cause;
use crate::database::DatabaseError;
use crate::statement::Statement;
use crate::store::Store;

/// The name of the object.
const MARK: &str = "invar-blobs.txt";
const WORDS: &str = "Runs and profiles of Invar, compressed, named by the SHA-256 of what is in them.\n";

/// Why a store cannot be used now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReadyError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The folder or the bucket does not answer, is not there, or does not let us in.
    #[error("runs and profiles cannot be kept in {place}")]
    Blobs {
        /// Where.
        place: String,
        /// What the system or the object store said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A bucket that does what nothing here may do.
    #[error("{place} has no conditional writes (If-None-Match): what is there would be written again")]
    Overwrites {
        /// Where.
        place: String,
    },
}

/// Connections to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Open, whether in use or not.
    pub open: u32,
    /// Open and not in use.
    pub idle: u32,
    /// The most.
    pub most: u32,
}

impl Store {
    /// Can it be read? Asks the database, and lists the top of where the blobs are.
    pub async fn ready(&self) -> Result<(), NotReadyError> {
        self.answers().await?;
        let shelf = self.blobs.shelf();
        let listed = shelf.objects.list_with_delimiter(Some(&shelf.prefix)).await;
        listed.map(drop).map_err(|error| self.no_blobs(error))
    }

    /// Can it be read, and can runs be kept in it?
    pub async fn ready_to_take(&self) -> Result<(), NotReadyError> {
        self.answers().await?;
        let shelf = self.blobs.shelf();
        let mark = shelf.prefix.clone().join(MARK);
        match shelf.objects.head(&mark).await {
            Ok(_) => return Ok(()),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.no_blobs(error)),
        }
        match self.write_mark(&mark).await {
            // Another server that starts at the same time.
            Err(object_store::Error::AlreadyExists { .. }) => return Ok(()),
            written => written.map_err(|error| self.no_blobs(error))?,
        }
        // The first time: what is there must stay as it is.
        match self.write_mark(&mark).await {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Ok(()) => {
                // It is to be asked again, once the bucket is another.
                let _ = shelf.objects.delete(&mark).await;
                Err(NotReadyError::Overwrites { place: shelf.place.clone() })
            }
            Err(error) => Err(self.no_blobs(error)),
        }
    }

    /// How many connections there are to the database; of SQLite those that read.
    pub fn connections(&self) -> Connections {
        self.database.connections()
    }

    /// Asks the database for a row, whichever.
    async fn answers(&self) -> Result<(), DatabaseError> {
        let statement = Statement::new("SELECT number FROM project LIMIT 1");
        self.database.one(&statement, |row| row.number(0)).await.map(drop)
    }

    async fn write_mark(&self, mark: &Name) -> object_store::Result<()> {
        let if_absent = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.blobs.shelf().objects.put_opts(mark, WORDS.into(), if_absent).await.map(drop)
    }

    fn no_blobs(&self, error: object_store::Error) -> NotReadyError {
        let shelf = self.blobs.shelf();
        NotReadyError::Blobs { place: format!("{}{}", shelf.place, shelf.prefix), source: cause(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_is_ready_while_its_folder_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.ready().await.unwrap();
        assert!(!folder.path().join(MARK).exists(), "who only reads leaves nothing behind");
        store.ready_to_take().await.unwrap();
        store.ready_to_take().await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(MARK)).unwrap(), WORDS);
        // Not a folder any more.
        std::fs::rename(folder.path(), folder.path().with_extension("away")).unwrap();
        std::fs::write(folder.path(), "in the way").unwrap();
        let error = store.ready_to_take().await.unwrap_err().to_string();
        assert_eq!(error, format!("runs and profiles cannot be kept in {}/", folder.path().display()));
        std::fs::remove_file(folder.path()).unwrap();
        std::fs::rename(folder.path().with_extension("away"), folder.path()).unwrap();
        store.ready_to_take().await.unwrap();
    }
}
