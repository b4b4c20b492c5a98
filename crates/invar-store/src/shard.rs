//! Shards of runs, and the run that is made of those that are there.
//!
//! Shards are kept beside the runs and are in no list. Whenever one comes, all that are there become one run, in place of the one
//! that was made before it, in the transaction that keeps the shard. That run has an id of its own, which follows from the key and
//! from which shards it is made of: what is known of a run by its id never changes, and the order in which shards come means
//! nothing. Of two with one number the one stays that was measured last, as when a job is repeated.

use std::collections::BTreeMap;
use std::time::Instant;

use invar_core::profile::Profile;
use invar_core::run::{Run, Summary};
use invar_core::shard::{Gathered, Shard, UnlikeShards};
use invar_core::wire::v1;

use crate::blobs::{Kept, digest};
use crate::database::{DatabaseError, Intent, Row, Transaction};
use crate::measurement;
use crate::profile::{self, GetProfileError, Profiles};
use crate::revision::runs_changed;
use crate::statement::{Statement, Value};
use crate::store::{GetError, Put, PutError, QUICK, Store};
use crate::summary::summary;

/// How many digits of the id of a gathered run are those of its key; what follows says of which shards it is.
const OF_KEY: usize = 23;

/// How many rows one statement writes.
const ROWS: usize = 500;

/// What became of a shard that was given to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathering {
    /// Was it new?
    pub put: Put,
    /// The run that is made of the shards that are there, as lists show it.
    pub run: Summary,
    /// The numbers of those.
    pub there: Vec<u32>,
}

/// Why a shard was not kept. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutShardError {
    /// It is no shard.
    #[error("the run does not say that it is a shard")]
    NoShard,
    /// It is of another run than those of its key.
    #[error(transparent)]
    Unlike(#[from] UnlikeShards),
    /// There are more or fewer of them.
    #[error(
        "the shard is one of {found}, and others with its key are of {expected}: a key is one run's alone"
    )]
    Count {
        /// How many it says.
        found: u32,
        /// How many those said that came before.
        expected: u32,
    },
    /// One that came before cannot be read.
    #[error("shard {number}, which came before, cannot be read")]
    Before {
        /// Which.
        number: u32,
        /// What is wrong with it.
        source: GetError,
    },
    /// It could not be kept.
    #[error(transparent)]
    Put(#[from] PutError),
}

impl From<DatabaseError> for PutShardError {
    fn from(error: DatabaseError) -> PutShardError {
        PutShardError::Put(error.into())
    }
}

/// A shard that is there.
struct There {
    id: String,
    started_us: i64,
    blob: String,
}

/// All shards of a key, and the run that is made of them.
struct Key {
    number: i64,
    of: i64,
    run: Option<i64>,
}

/// The id of the run that these shards are, a UUID of the eighth version.
fn id_of(key: &str, shards: &BTreeMap<u32, There>) -> String {
    let ids: Vec<&str> = shards.values().map(|shard| shard.id.as_str()).collect();
    let (key, which) = (digest(key.as_bytes()), digest(ids.join(" ").as_bytes()));
    format!("{}-{}-8{}-a{}-{}", &key[..8], &key[8..12], &key[12..15], &key[15..18], &which[..12])
}

/// The beginning that this id has in common with those of the same key; `None` if it is no gathered run's.
pub(crate) fn beginning(id: &str) -> Option<&str> {
    let is_one = id.len() == 36 && id.as_bytes()[14] == b'8' && id.as_bytes()[OF_KEY] == b'-';
    if is_one { id.get(..=OF_KEY) } else { None }
}

/// Is this the id of a run that is made of shards? What it was is found by it when it is made anew, too.
pub fn is_gathered(id: &str) -> bool {
    beginning(id).is_some()
}

impl Store {
    /// Keeps a shard with the profiles of its benchmarks, and makes one run of all that are there.
    pub async fn put_shard(&self, run: &Run, profiles: &Profiles) -> Result<Gathering, PutShardError> {
        let Some(shard) = &run.shard else { return Err(PutShardError::NoShard) };
        // Blobs first, as everywhere.
        let started = Instant::now();
        let text = v1::write(run);
        let mut blob = self.blobs.put(text.as_bytes()).await.map_err(PutError::from)?;
        let mut kept = profile::put(&self.profiles, profiles).await.map_err(PutError::from)?;
        if started.elapsed() > QUICK {
            blob.was_there = true;
            kept.iter_mut().for_each(|(_, kept)| kept.was_there = true);
        }
        let mut transaction = self.database.begin(Intent::NameBlobs).await?;
        let key = self.key(&mut transaction, shard).await?;
        if key.of != i64::from(shard.of) {
            let expected = u32::try_from(key.of).unwrap_or_default();
            return Err(PutShardError::Count { found: shard.of, expected });
        }
        let mut there = shards(&mut transaction, key.number).await?;
        let new = There { id: run.id.clone(), started_us: run.started.0, blob: blob.digest.clone() };
        if let Some(before) = there.get(&shard.number)
            && (before.started_us, &before.id) >= (new.started_us, &new.id)
        {
            if before.id == new.id
                && before.blob != new.blob
                && self.shard(shard.number, before).await? != *run
            {
                return Err(PutError::Taken { id: run.id.clone() }.into());
            }
            // It, or a later one, is there.
            drop(transaction);
            return self.gathering(Put::AlreadyThere, &id_of(&shard.key, &there), &there).await;
        }
        // Nobody removes blobs now. What was there when it was put may have been removed before this began.
        if blob.was_there {
            self.blobs.put(text.as_bytes()).await.map_err(PutError::from)?;
        }
        self.put_unnamed(&mut transaction, profiles, &kept).await?;
        there.insert(shard.number, new);
        let mut runs = BTreeMap::new();
        for (&number, one) in &there {
            let read = if number == shard.number { run.clone() } else { self.shard(number, one).await? };
            runs.insert(number, read);
        }
        let id = id_of(&shard.key, &there);
        let Some(gathered) = Gathered::of(&id, shard.of, &runs)? else { return Err(PutShardError::NoShard) };
        write_shard(&mut transaction, &key, shard.number, &there[&shard.number], &kept).await?;
        self.write_gathered(&mut transaction, &key, &gathered).await?;
        runs_changed(&mut transaction, self.project).await?;
        transaction.commit().await?;
        self.gathering(Put::Stored, &id, &there).await
    }

    /// The place of these shards, made where it is missing. Whoever has it is alone with it until the transaction ends.
    async fn key(&self, transaction: &mut Transaction, shard: &Shard) -> Result<Key, DatabaseError> {
        let statement = Statement::new("INSERT INTO gathering (project, shard_key, shards) VALUES ")
            .bind_list([Value::from(self.project), (&shard.key).into(), i64::from(shard.of).into()])
            // An update of nothing, for which others wait.
            .push(
                " ON CONFLICT (project, shard_key) DO UPDATE SET shards = gathering.shards RETURNING number, shards, run",
            );
        let read =
            |row: &Row| Ok(Key { number: row.number(0)?, of: row.number(1)?, run: row.number_or_none(2)? });
        let key = transaction.one(&statement, read).await?;
        Ok(key.expect("what was written or there is returned"))
    }

    /// A shard that came before.
    async fn shard(&self, number: u32, there: &There) -> Result<Run, PutShardError> {
        let id = there.id.clone();
        let read = match self.blobs.get(&there.blob).await {
            Ok(bytes) => v1::read(&bytes).map_err(|source| GetError::Run { id, source }),
            Err(source) => Err(GetError::Blob { id, source }),
        };
        read.map_err(|source| PutShardError::Before { number, source })
    }

    async fn write_gathered(
        &self,
        transaction: &mut Transaction,
        key: &Key,
        gathered: &Gathered,
    ) -> Result<(), PutShardError> {
        let blob = self.blobs.put(v1::write(&gathered.run).as_bytes()).await.map_err(PutError::from)?;
        // The new one before the old one goes, whose number would be given to it otherwise.
        let insert = self.insert_sql(&gathered.run, &blob.digest);
        let Some(number) = transaction.one(&insert, |row| row.number(0)).await? else {
            return Err(PutError::Taken { id: gathered.run.id.clone() }.into());
        };
        measurement::insert(transaction, self.project, number, &gathered.run).await?;
        let profiles = profiles_of(transaction, key.number).await?;
        // Of each benchmark the profile of the result that counts, since it sums up to that.
        let counting = profiles.iter().filter(|(shard, name, _)| gathered.shards.get(name) == Some(shard));
        let rows: Vec<(&str, &str)> =
            counting.map(|(_, name, blob)| (name.as_str(), blob.as_str())).collect();
        profile::insert(transaction, number, &rows).await?;
        let now = Statement::new("UPDATE gathering SET run = ").bind(number);
        transaction.execute(&now.push(" WHERE number = ").bind(key.number)).await?;
        if let Some(before) = key.run {
            for start in [
                "DELETE FROM measurement WHERE run = ",
                "DELETE FROM profile WHERE run = ",
                "DELETE FROM run WHERE number = ",
            ] {
                transaction.execute(&Statement::new(start).bind(before)).await?;
            }
        }
        Ok(())
    }

    async fn gathering(
        &self,
        put: Put,
        id: &str,
        there: &BTreeMap<u32, There>,
    ) -> Result<Gathering, PutShardError> {
        // By its beginning: another shard may have come meanwhile, and then the run is another one.
        let found = self.database.one(&self.find_sql(beginning(id).unwrap_or(id)), summary).await?;
        let run = found.ok_or_else(|| PutError::Taken { id: id.to_string() })?;
        Ok(Gathering { put, run, there: there.keys().copied().collect() })
    }

    /// Runs that are made of shards, by their ids.
    pub(crate) async fn gathered(&self) -> Result<Vec<(i64, String)>, DatabaseError> {
        let statement = Statement::new(
            "SELECT gathering.number, run.id FROM gathering JOIN run ON run.number = gathering.run WHERE gathering.project = ",
        );
        self.database.all(&statement.bind(self.project), |row| Ok((row.number(0)?, row.text(1)?))).await
    }

    /// The shards of a gathering with their profiles, to be put elsewhere.
    pub(crate) async fn shards_of(&self, gathering: i64) -> Result<Vec<(Run, Profiles)>, PutShardError> {
        let read = |row: &Row| Ok((row.number(0)?, there(row, 1)?));
        let found = self.database.all(&shards_sql(gathering), read).await?;
        let profiles = self.database.all(&profiles_sql(gathering), profile_row).await?;
        let mut shards = Vec::new();
        for (number, there) in found {
            let number = u32::try_from(number).unwrap_or_default();
            let run = self.shard(number, &there).await?;
            let mut own = Profiles::new();
            for (_, benchmark, blob) in profiles.iter().filter(|(shard, ..)| *shard == number) {
                let profile: Profile = match self.read_profile(benchmark, blob).await {
                    Ok(profile) => profile,
                    Err(GetProfileError::Database(error)) => return Err(error.into()),
                    // The counts are more than nothing.
                    Err(_) => continue,
                };
                own.insert(benchmark.clone(), profile);
            }
            shards.push((run, own));
        }
        Ok(shards)
    }
}

fn there(row: &Row, from: usize) -> sqlx::Result<There> {
    Ok(There { id: row.text(from)?, started_us: row.number(from + 1)?, blob: row.text(from + 2)? })
}

pub(crate) fn shards_sql(gathering: i64) -> Statement {
    Statement::new("SELECT number, id, started_us, blob FROM shard WHERE gathering = ").bind(gathering)
}

async fn shards(
    transaction: &mut Transaction,
    gathering: i64,
) -> Result<BTreeMap<u32, There>, DatabaseError> {
    let read = |row: &Row| Ok((u32::try_from(row.number(0)?).unwrap_or_default(), there(row, 1)?));
    Ok(transaction.all(&shards_sql(gathering), read).await?.into_iter().collect())
}

pub(crate) fn profiles_sql(gathering: i64) -> Statement {
    Statement::new("SELECT number, benchmark, blob FROM shard_profile WHERE gathering = ").bind(gathering)
}

/// The number of a shard, a benchmark, and the blob of its profile.
fn profile_row(row: &Row) -> sqlx::Result<(u32, String, String)> {
    Ok((u32::try_from(row.number(0)?).unwrap_or_default(), row.text(1)?, row.text(2)?))
}

async fn profiles_of(
    transaction: &mut Transaction,
    gathering: i64,
) -> Result<Vec<(u32, String, String)>, DatabaseError> {
    let mut profiles = transaction.all(&profiles_sql(gathering), profile_row).await?;
    profiles.sort();
    Ok(profiles)
}

/// Writes the rows of a shard, in place of those of an earlier one with its number.
async fn write_shard(
    transaction: &mut Transaction,
    key: &Key,
    number: u32,
    new: &There,
    profiles: &[(&str, Kept)],
) -> Result<(), DatabaseError> {
    for start in ["DELETE FROM shard_profile WHERE gathering = ", "DELETE FROM shard WHERE gathering = "] {
        let gone = Statement::new(start).bind(key.number).push(" AND number = ").bind(i64::from(number));
        transaction.execute(&gone).await?;
    }
    let insert = Statement::new("INSERT INTO shard (gathering, number, id, started_us, blob) VALUES (")
        .bind(key.number)
        .push(", ")
        .bind(i64::from(number))
        .push(", ")
        .bind(&new.id)
        .push(", ")
        .bind(new.started_us)
        .push(", ")
        .bind(&new.blob)
        .push(")");
    transaction.execute(&insert).await?;
    for rows in profiles.chunks(ROWS) {
        let mut statement =
            Statement::new("INSERT INTO shard_profile (gathering, number, benchmark, blob) VALUES ");
        for (index, (benchmark, kept)) in rows.iter().enumerate() {
            statement = statement.push(if index == 0 { "(" } else { ", (" }).bind(key.number).push(", ");
            statement = statement.bind(i64::from(number)).push(", ").bind(*benchmark);
            statement = statement.push(", ").bind(&kept.digest).push(")");
        }
        transaction.execute(&statement).await?;
    }
    Ok(())
}

/// Forgets the shards of these runs, which go.
pub(crate) async fn forget(transaction: &mut Transaction, runs: &[i64]) -> Result<(), DatabaseError> {
    for start in [
        "DELETE FROM shard_profile WHERE gathering IN (SELECT number FROM gathering WHERE run IN ",
        "DELETE FROM shard WHERE gathering IN (SELECT number FROM gathering WHERE run IN ",
    ] {
        transaction.execute(&Statement::new(start).bind_list(runs.iter().copied()).push(")")).await?;
    }
    let gone = Statement::new("DELETE FROM gathering WHERE run IN ").bind_list(runs.iter().copied());
    transaction.execute(&gone).await
}

/// Forgets the profiles of the shards of these runs, which stay.
pub(crate) async fn forget_profiles(
    transaction: &mut Transaction,
    runs: &[i64],
) -> Result<(), DatabaseError> {
    let gone = "DELETE FROM shard_profile WHERE gathering IN (SELECT number FROM gathering WHERE run IN ";
    transaction.execute(&Statement::new(gone).bind_list(runs.iter().copied()).push(")")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_key_begin_alike_and_tell_of_which_shards_they_are() {
        let there = |ids: &[&str]| {
            let shard = |(number, id): (usize, &&str)| {
                (number as u32, There { id: id.to_string(), started_us: 0, blob: String::new() })
            };
            ids.iter().enumerate().map(shard).collect::<BTreeMap<u32, There>>()
        };
        let ids = [id_of("k", &there(&["a"])), id_of("k", &there(&["a", "b"])), id_of("l", &there(&["a"]))];
        assert_eq!(beginning(&ids[0]), beginning(&ids[1]));
        assert_ne!(beginning(&ids[0]), beginning(&ids[2]));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(beginning("0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001"), None);
    }
}
