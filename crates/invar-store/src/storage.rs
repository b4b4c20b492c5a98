//! How much there is, and in what: for whoever looks after a server.
//!
//! Nothing here lists blobs, or goes through the rows of measurements: of them there may be many millions. The number of
//! measurements is what runs say of theirs, and blobs are counted by the collector, which sees them all anyway.

use invar_core::run::Timestamp;

use crate::database::{DatabaseError, Row};
use crate::statement::Statement;
use crate::store::Store;

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Which database, with its version: `SQLite 3.50.4`.
    pub engine: String,
    /// How far its schema is.
    pub schema: i64,
    /// How large it is, in bytes, with its indices.
    pub bytes: i64,
    /// Where it is, without secrets.
    pub database: String,
    /// Where blobs are.
    pub blobs: String,
    /// What there is, and how much of it.
    pub rows: Vec<(&'static str, i64)>,
    /// Blobs of each kind, once they have been counted.
    pub shelves: Vec<Shelved>,
}

/// Blobs of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// The folder.
    pub kind: String,
    /// How many.
    pub blobs: i64,
    /// How many bytes, compressed.
    pub bytes: i64,
    /// When they were counted.
    pub at: Timestamp,
}

/// What is counted, and how.
const COUNTED: [(&str, &str); 11] = [
    // The project without a name is in every store, and is a checkout's.
    ("projects", "count(*) FROM project WHERE name <> ''"),
    ("runs", "count(*) FROM run"),
    ("measurements", "coalesce(sum(measured), 0) FROM run"),
    ("series", "count(*) FROM series"),
    ("shards", "count(*) FROM shard"),
    ("acknowledgements", "count(*) FROM acknowledgement"),
    ("accounts", "count(*) FROM account"),
    ("sessions", "count(*) FROM session"),
    ("tokens", "count(*) FROM token"),
    ("publishers", "count(*) FROM publisher"),
    ("entries of the log", "count(*) FROM audit"),
];

impl Store {
    /// How much there is in the whole store.
    pub async fn storage(&self) -> Result<Storage, DatabaseError> {
        let about = self.database.about();
        let read = |row: &Row| Ok((row.text(0)?, row.number(1)?, row.number(2)?));
        let (version, schema, bytes) =
            self.database.one(&Statement::new(about.sql), read).await?.unwrap_or_default();
        // PostgreSQL makes a sum of such numbers something larger than them.
        let counts = COUNTED.map(|(_, sql)| format!("CAST((SELECT {sql}) AS BIGINT)")).join(", ");
        let read = |row: &Row| (0..COUNTED.len()).map(|column| row.number(column)).collect();
        let counts: Option<Vec<i64>> =
            self.database.one(&Statement::new(format!("SELECT {counts}")), read).await?;
        let shelves = "SELECT kind, blobs, bytes, counted_us FROM shelf ORDER BY kind";
        let counted = |row: &Row| {
            let (kind, at) = (row.text(0)?, Timestamp(row.number(3)?));
            Ok(Shelved { kind, blobs: row.number(1)?, bytes: row.number(2)?, at })
        };
        let shelf = self.blobs.shelf();
        Ok(Storage {
            engine: format!("{} {version}", about.engine),
            schema,
            bytes,
            database: about.place,
            blobs: format!("{}{}", shelf.place, shelf.prefix),
            rows: COUNTED.map(|(name, _)| name).into_iter().zip(counts.unwrap_or_default()).collect(),
            shelves: self.database.all(&Statement::new(shelves), counted).await?,
        })
    }
}
