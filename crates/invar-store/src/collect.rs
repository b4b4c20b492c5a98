//! Removes blobs that no row names: what a put left that was cut off, or that came second.
//!
//! A blob is removed only if it has been there for a grace period, and while nobody can name one. Who puts a run holds the
//! blobs' lock from before its first row until that is durable, and there looks once more for the blobs that a collector
//! may have removed since: those that it had found and that no row named, and all of them if it took its time. So a put
//! is safe whenever collectors run, and any number of these may run at once.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Name;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::blobs::Blobs;
use crate::database::{DatabaseError, Intent, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// How many blobs are looked at with one statement, and removed while others wait.
const AT_ONCE: usize = 200;

/// What a collector removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs.
    pub removed: u64,
    /// How many bytes they had, compressed.
    pub bytes: u64,
}

/// Why a collector stopped. What it removed before was named by no row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The folder or the bucket.
    #[error("cannot remove what is not needed from {place}")]
    Blobs {
        /// Where.
        place: String,
        /// What the system or the object store said.
        source: object_store::Error,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A table whose rows name blobs, and that of the shards beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Run,
    Profile,
    Part,
}

/// Which of these a row of any project names.
pub(crate) async fn named(
    transaction: &mut Transaction,
    table: Table,
    digests: &[&str],
) -> Result<BTreeSet<String>, DatabaseError> {
    let mut found = BTreeSet::new();
    for some in digests.chunks(AT_ONCE) {
        found.extend(transaction.all(&named_sql(table, some), |row| row.text(0)).await?);
    }
    Ok(found)
}

pub(crate) fn named_sql(table: Table, digests: &[&str]) -> Statement {
    let (of_run, of_shard) = match table {
        Table::Run => {
            ("SELECT blob FROM run WHERE blob IN ", " UNION ALL SELECT blob FROM shard WHERE blob IN ")
        }
        Table::Profile => (
            "SELECT blob FROM profile WHERE blob IN ",
            " UNION ALL SELECT blob FROM shard_profile WHERE blob IN ",
        ),
        Table::Part => {
            let statement = Statement::new("SELECT blob FROM upload_part WHERE blob IN ");
            return statement.bind_list(digests.iter().copied());
        }
    };
    let statement = Statement::new(of_run).bind_list(digests.iter().copied());
    statement.push(of_shard).bind_list(digests.iter().copied())
}

/// All that rows name.
pub(crate) fn all_named_sql(table: Table) -> Statement {
    Statement::new(match table {
        Table::Run => "SELECT blob FROM run UNION SELECT blob FROM shard",
        Table::Profile => "SELECT blob FROM profile UNION SELECT blob FROM shard_profile",
        Table::Part => "SELECT blob FROM upload_part",
    })
}

impl Store {
    /// Removes blobs of all projects that have been there for at least so long and that no row names.
    ///
    /// While others put runs, so long has to be more than a minute, and than what the clocks of this machine and of the
    /// bucket differ by; a day is a good choice.
    pub async fn collect(&self, grace: Duration) -> Result<Collected, CollectError> {
        let before = SystemTime::now().checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut collected = Collected::default();
        let kinds = [(&self.blobs, Table::Run), (&self.profiles, Table::Profile), (&self.parts, Table::Part)];
        for (blobs, table) in kinds {
            let folder = blobs.folder();
            let refused = |source| CollectError::Blobs { place: blobs.place(&folder), source };
            let gone = collected;
            let mut found = Collected::default();
            let mut some = blobs.objects().list(Some(&folder)).try_chunks(AT_ONCE);
            while let Some(objects) = some.next().await {
                let mut objects = objects.map_err(|error| refused(error.1))?;
                for object in objects.iter().filter(|object| blobs.digest_in(&object.location).is_some()) {
                    found.removed += 1;
                    found.bytes += object.size;
                }
                objects.retain(|object| is_old(object, before));
                self.remove_unnamed(blobs, table, &objects, before, &mut collected).await?;
            }
            let left = Collected {
                removed: found.removed.saturating_sub(collected.removed - gone.removed),
                bytes: found.bytes.saturating_sub(collected.bytes - gone.bytes),
            };
            self.counted(blobs.kind(), left).await?;
        }
        Ok(collected)
    }

    /// Remembers what is left of a kind: to count them again means to list them all.
    async fn counted(&self, kind: &str, left: Collected) -> Result<(), DatabaseError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let statement =
            Statement::new("INSERT INTO shelf (kind, blobs, bytes, counted_us) VALUES (").bind(kind);
        let statement = statement.push(", ").bind(number(left.removed)).push(", ").bind(number(left.bytes));
        let statement = statement.push(", ").bind(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)).push(
            ") ON CONFLICT (kind) DO UPDATE SET blobs = excluded.blobs, bytes = excluded.bytes,
                 counted_us = excluded.counted_us",
        );
        self.database.execute(&statement).await
    }

    async fn remove_unnamed(
        &self,
        blobs: &Blobs,
        table: Table,
        objects: &[ObjectMeta],
        before: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), CollectError> {
        let digests: Vec<(Name, String)> = objects
            .iter()
            .filter_map(|object| Some((object.location.clone(), blobs.digest_in(&object.location)?)))
            .collect();
        let names: Vec<&str> = digests.iter().map(|(_, digest)| digest.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        // Most are named, and to see that nobody has to wait.
        let known = self.database.all(&named_sql(table, &names), |row| row.text(0)).await?;
        let known: BTreeSet<String> = known.into_iter().collect();
        let unknown: Vec<&str> = names.into_iter().filter(|digest| !known.contains(*digest)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin(Intent::RemoveBlobs).await?;
        let named = named(&mut transaction, table, &unknown).await?;
        for digest in unknown.into_iter().filter(|digest| !named.contains(*digest)) {
            let name = blobs.name(digest);
            let refused = |source| CollectError::Blobs { place: blobs.place(&name), source };
            // It may have been removed, and put again, since it was listed.
            match blobs.objects().head(&name).await {
                Ok(object) if is_old(&object, before) => {
                    blobs.objects().delete(&name).await.map_err(refused)?;
                    collected.removed += 1;
                    collected.bytes += object.size;
                }
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn is_old(object: &ObjectMeta, before: SystemTime) -> bool {
    SystemTime::from(object.last_modified) <= before
}
