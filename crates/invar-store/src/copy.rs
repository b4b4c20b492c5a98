//! Copies a whole store into another one: from SQLite to PostgreSQL, from a folder to a bucket, or back.
//!
//! Runs are put like any others, so a copy that was cut off is finished by another one, and runs that came meanwhile stay.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::By;
use crate::database::DatabaseError;
use crate::history::{Cursor, Listing};
use crate::profile::{GetProfileError, Profiles};
use crate::project::{CreateProjectError, Project};
use crate::shard::PutShardError;
use crate::store::{GetError, Put, PutError, Store};

/// How many runs are looked up at a time.
const PAGE: u32 = 200;

/// What a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many projects were made.
    pub projects: usize,
    /// How many runs were stored.
    pub stored: usize,
    /// How many were there already.
    pub already_there: usize,
    /// What could not be read, by id of the run, with the reason. The rest of such a run is copied as far as there is any.
    pub lost: BTreeMap<String, String>,
}

/// Why a copy stopped. What it stored before is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A project could not be made.
    #[error(transparent)]
    Project(#[from] CreateProjectError),
    /// A run could not be stored.
    #[error(transparent)]
    Put(#[from] PutError),
    /// A database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// Copies every project of another store into this one, with settings, runs, profiles and verifications. Projects of the same name
    /// become one, and keep the settings that they have here.
    pub async fn copy_from(&self, other: &Store) -> Result<Copied, CopyError> {
        let mut copied = Copied::default();
        for project in other.projects().await? {
            let Some(from) = other.project(&project.name).await? else { continue };
            let to = match self.project(&project.name).await? {
                Some(to) => to,
                None => {
                    copied.projects += 1;
                    self.create_like(&project).await?
                }
            };
            to.copy_runs(&from, &mut copied).await?;
            to.copy_verifications(&from).await?;
        }
        Ok(copied)
    }

    async fn create_like(&self, project: &Project) -> Result<Store, CopyError> {
        let by = By { who: "invar import", at: project.created };
        let made = self.create_project(&project.name, project.visibility, by).await?;
        made.set_settings(&project.settings, by).await?;
        Ok(made)
    }

    async fn copy_runs(&self, from: &Store, copied: &mut Copied) -> Result<(), CopyError> {
        let gathered = from.gathered().await?;
        for (gathering, id) in &gathered {
            self.copy_shards(from, *gathering, id, copied).await?;
        }
        let gathered: BTreeSet<String> = gathered.into_iter().map(|(_, id)| id).collect();
        let mut listing = Listing { limit: PAGE, ..Listing::default() };
        loop {
            let runs = from.runs(&listing).await?;
            let Some(last) = runs.last() else { return Ok(()) };
            listing.after = Some(Cursor::behind(last));
            for run in runs.iter().filter(|run| !gathered.contains(&run.id)) {
                self.copy_run(from, &run.id, copied).await?;
            }
        }
    }

    /// Shards are put, and become the same run as there.
    async fn copy_shards(
        &self,
        from: &Store,
        gathering: i64,
        id: &str,
        copied: &mut Copied,
    ) -> Result<(), CopyError> {
        let shards = match from.shards_of(gathering).await {
            Ok(shards) => shards,
            Err(PutShardError::Put(PutError::Database(error))) => return Err(error.into()),
            Err(error) => {
                copied.lost.insert(id.to_string(), error.to_string());
                return Ok(());
            }
        };
        let mut is_new = false;
        for (run, profiles) in shards {
            match self.put_shard(&run, &profiles).await {
                Ok(gathering) => is_new |= gathering.put == Put::Stored,
                Err(PutShardError::Put(error)) => return Err(error.into()),
                Err(error) => drop(copied.lost.insert(id.to_string(), error.to_string())),
            }
        }
        if is_new {
            copied.stored += 1;
        } else {
            copied.already_there += 1;
        }
        Ok(())
    }

    async fn copy_run(&self, from: &Store, id: &str, copied: &mut Copied) -> Result<(), CopyError> {
        let run = match from.get(id).await {
            Ok(run) => run,
            Err(GetError::Database(error)) => return Err(error.into()),
            Err(error) => {
                copied.lost.insert(id.to_string(), error.to_string());
                return Ok(());
            }
        };
        let mut profiles = Profiles::new();
        for benchmark in from.profiled(id).await? {
            match from.profile(id, &benchmark).await {
                Ok(Some(profile)) => drop(profiles.insert(benchmark, profile)),
                Ok(None) => {}
                Err(GetProfileError::Database(error)) => return Err(error.into()),
                Err(error) => drop(copied.lost.insert(id.to_string(), error.to_string())),
            }
        }
        match self.put_with(&run, &profiles).await? {
            Put::Stored => copied.stored += 1,
            Put::AlreadyThere => copied.already_there += 1,
        }
        Ok(())
    }
}
