//! Profiles of the benchmarks of a run: a blob for each, so that reading one touches nothing of the others.

use std::collections::{BTreeMap, BTreeSet};

use invar_core::profile::Profile;
use invar_core::wire::profile::{self, ReadProfileError};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::blobs::{Blobs, ReadBlobError, WriteBlobError};
use crate::database::DatabaseError;
use crate::store::Store;

/// Profiles by the full names of their benchmarks.
pub type Profiles = BTreeMap<String, Profile>;

/// Why a profile that is stored could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetProfileError {
    /// Its blob.
    #[error("the profile of {benchmark} is lost")]
    Blob {
        /// The benchmark.
        benchmark: String,
        /// What is wrong with it.
        source: ReadBlobError,
    },
    /// What is in its blob.
    #[error("the profile of {benchmark} cannot be read")]
    Profile {
        /// The benchmark.
        benchmark: String,
        /// What is wrong with it.
        source: ReadProfileError,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// The profile of a benchmark in a run; `None` where there is no such run, or where the run has no profile of it.
    pub async fn profile(&self, run: &str, benchmark: &str) -> Result<Option<Profile>, GetProfileError> {
        let row = sqlx::query(
            "SELECT profile.blob FROM profile JOIN run ON run.number = profile.run
             WHERE run.id = $1 AND profile.benchmark = $2",
        )
        .bind(run)
        .bind(benchmark)
        .fetch_optional(self.readers())
        .await
        .map_err(|error| self.error(error))?;
        let Some(row) = row else { return Ok(None) };
        let blob: String = row.try_get(0).map_err(|error| self.error(error))?;
        let benchmark = benchmark.to_string();
        let bytes = match self.profiles.get(&blob) {
            Ok(bytes) => bytes,
            Err(source) => return Err(GetProfileError::Blob { benchmark, source }),
        };
        let profile = profile::read(&bytes);
        profile.map(Some).map_err(|source| GetProfileError::Profile { benchmark, source })
    }

    /// The benchmarks of a run that have a profile. Reads none of them.
    pub async fn profiled(&self, run: &str) -> Result<BTreeSet<String>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT profile.benchmark FROM profile JOIN run ON run.number = profile.run WHERE run.id = $1",
        )
        .bind(run)
        .fetch_all(self.readers())
        .await
        .map_err(|error| self.error(error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.error(error))).collect()
    }
}

/// Writes the blobs, and says the digest of each.
pub(crate) fn put<'a>(
    blobs: &Blobs,
    profiles: &'a Profiles,
) -> Result<Vec<(&'a str, String)>, WriteBlobError> {
    let put = |(benchmark, profile): (&'a String, &Profile)| {
        blobs.put(&profile::write(profile)).map(|digest| (benchmark.as_str(), digest))
    };
    profiles.iter().map(put).collect()
}

/// Writes the rows of a run that has this number.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    number: i64,
    profiles: &[(&str, String)],
) -> sqlx::Result<()> {
    for (benchmark, blob) in profiles {
        sqlx::query("INSERT INTO profile (run, benchmark, blob) VALUES ($1, $2, $3)")
            .bind(number)
            .bind(benchmark)
            .bind(blob)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
