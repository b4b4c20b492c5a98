//! Profiles of the benchmarks of a run: a blob for each, so that reading one touches nothing of the others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use invar_core::profile::Profile;
use invar_core::wire::profile::{self, ReadProfileError};

use crate::blobs::{Blobs, Kept, ReadBlobError, WriteBlobError};
use crate::database::{DatabaseError, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// How many blobs are written at the same time: a bucket is far away, and a disk has one queue.
const AT_ONCE: usize = 8;

/// How many rows one statement writes.
const ROWS: usize = 500;

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
        let statement = profile_sql(self.project, run, benchmark);
        let Some(blob) = self.database.one(&statement, |row| row.text(0)).await? else { return Ok(None) };
        self.read_profile(benchmark, &blob).await.map(Some)
    }

    /// The profile of a benchmark that is in this blob.
    pub(crate) async fn read_profile(&self, benchmark: &str, blob: &str) -> Result<Profile, GetProfileError> {
        let benchmark = || benchmark.to_string();
        let bytes = self.profiles.get(blob).await;
        let bytes = bytes.map_err(|source| GetProfileError::Blob { benchmark: benchmark(), source })?;
        profile::read(&bytes).map_err(|source| GetProfileError::Profile { benchmark: benchmark(), source })
    }

    /// The benchmarks of a run that have a profile. Reads none of them.
    pub async fn profiled(&self, run: &str) -> Result<BTreeSet<String>, DatabaseError> {
        let statement = Statement::new(
            "SELECT profile.benchmark FROM profile JOIN run ON run.number = profile.run WHERE run.id = ",
        )
        .bind(run)
        .push(" AND run.project = ")
        .bind(self.project);
        Ok(self.database.all(&statement, |row| row.text(0)).await?.into_iter().collect())
    }

    /// Every profile of a run.
    pub async fn profiles(&self, run: &str) -> Result<Profiles, GetProfileError> {
        let statement = Statement::new(
            "SELECT profile.benchmark, profile.blob FROM profile JOIN run ON run.number = profile.run WHERE run.id = ",
        )
        .bind(run)
        .push(" AND run.project = ")
        .bind(self.project);
        let mut profiles = Profiles::new();
        for (benchmark, blob) in self.database.all(&statement, |row| Ok((row.text(0)?, row.text(1)?))).await?
        {
            let profile = self.read_profile(&benchmark, &blob).await?;
            profiles.insert(benchmark, profile);
        }
        Ok(profiles)
    }
}

pub(crate) fn profile_sql(project: i64, run: &str, benchmark: &str) -> Statement {
    Statement::new("SELECT profile.blob FROM profile JOIN run ON run.number = profile.run WHERE run.id = ")
        .bind(run)
        .push(" AND run.project = ")
        .bind(project)
        .push(" AND profile.benchmark = ")
        .bind(benchmark)
}

/// Writes the blobs, and says what was kept of each.
pub(crate) async fn put<'a>(
    blobs: &Blobs,
    profiles: &'a Profiles,
) -> Result<Vec<(&'a str, Kept)>, WriteBlobError> {
    // One after the other into a list: a closure that makes futures would keep this one in its thread.
    let mut puts = Vec::with_capacity(profiles.len());
    for (benchmark, profile) in profiles {
        puts.push(put_one(blobs, benchmark, profile));
    }
    stream::iter(puts).buffered(AT_ONCE).try_collect().await
}

async fn put_one<'a>(
    blobs: &Blobs,
    benchmark: &'a str,
    profile: &Profile,
) -> Result<(&'a str, Kept), WriteBlobError> {
    Ok((benchmark, blobs.put(&profile::write(profile)).await?))
}

/// Writes the rows of a run that has this number: benchmarks, and what names their blobs.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    number: i64,
    profiles: &[(&str, &str)],
) -> Result<(), DatabaseError> {
    for rows in profiles.chunks(ROWS) {
        let mut statement = Statement::new("INSERT INTO profile (run, benchmark, blob) VALUES ");
        for (index, (benchmark, blob)) in rows.iter().enumerate() {
            statement = statement.push(if index == 0 { "(" } else { ", (" }).bind(number);
            statement = statement.push(", ").bind(*benchmark).push(", ").bind(*blob).push(")");
        }
        transaction.execute(&statement).await?;
    }
    Ok(())
}
