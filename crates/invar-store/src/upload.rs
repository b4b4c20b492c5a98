//! Uploads that come in parts: what has arrived of each, for whoever goes on with it, at whichever server.
//!
//! Knows nothing of what is uploaded: whoever has all of it reads and verifies it, and keeps a run like any other. Parts are blobs
//! on a shelf of their own, which no list and no page shows. An upload goes when its time is over; its blobs are named by
//! nothing then, and are the collector's.
//!
//! Invariant: the parts of an upload lie side by side from its first byte on, as many bytes as `arrived` says.

use std::time::Instant;

use invar_core::run::Timestamp;

use crate::blobs::{ReadBlobError, WriteBlobError};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::{Statement, Value};
use crate::store::{QUICK, Store};

/// An upload that is under way, or has just been made a run of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Names it.
    pub id: String,
    /// How many bytes there will be.
    pub bytes: u64,
    /// How many there are.
    pub arrived: u64,
    /// Until when it can be gone on with.
    pub expires: Timestamp,
}

/// An upload that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewUpload<'a> {
    /// What is to name it, drawn at random.
    pub id: &'a str,
    /// SHA-256 of the whole; empty: not said.
    pub digest: &'a str,
    /// How many bytes there will be.
    pub bytes: u64,
    /// Until when it can be gone on with.
    pub expires: Timestamp,
    /// How many of this project may be under way, this one among them.
    pub most: u32,
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutPart {
    /// It is kept: so many bytes are there now.
    Kept(u64),
    /// It does not begin where the next part has to.
    Elsewhere(u64),
    /// There would be more than was said.
    TooMuch(u64),
    /// There is no such upload, or its time is over.
    Unknown,
}

/// Why a part was not kept, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// Its blob could not be written.
    #[error(transparent)]
    Write(#[from] WriteBlobError),
    /// Its blob could not be read.
    #[error(transparent)]
    Read(#[from] ReadBlobError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

const SELECT: &str = "SELECT id, bytes, arrived, expires_us FROM upload WHERE project = ";

impl Store {
    /// Begins an upload, or finds the one of the same digest and length that somebody began before. `None`: too many are under way.
    pub async fn begin_upload(
        &self,
        new: NewUpload<'_>,
        now: Timestamp,
    ) -> Result<Option<Upload>, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        // An update that changes nothing, for the lock on the row: of many that begin at once no more get through.
        let lock = Statement::new("UPDATE project SET public = public WHERE number = ").bind(self.project);
        transaction.execute(&lock).await?;
        let mut there = transaction.all(&self.uploads_sql(now), upload).await?;
        if !new.digest.is_empty() {
            let same = Statement::new(SELECT).bind(self.project).push(" AND digest = ").bind(new.digest);
            let same = same.push(" AND expires_us > ").bind(now.0);
            let same = transaction.all(&same, upload).await?;
            if let Some(same) = same.into_iter().find(|upload| upload.bytes == new.bytes) {
                return Ok(Some(same));
            }
        }
        if there.len() >= new.most as usize {
            return Ok(None);
        }
        let insert =
            Statement::new("INSERT INTO upload (id, project, digest, bytes, arrived, expires_us) VALUES ")
                .bind_list([
                    Value::from(new.id),
                    Value::from(self.project),
                    Value::from(new.digest),
                    Value::from(signed(new.bytes)),
                    Value::from(0),
                    Value::from(new.expires.0),
                ])
                .push(" RETURNING id, bytes, arrived, expires_us");
        there = transaction.all(&insert, upload).await?;
        transaction.commit().await?;
        Ok(there.pop())
    }

    /// The uploads of this project that can be gone on with.
    pub(crate) fn uploads_sql(&self, now: Timestamp) -> Statement {
        Statement::new(SELECT).bind(self.project).push(" AND expires_us > ").bind(now.0)
    }

    /// An upload of this project.
    pub async fn upload(&self, id: &str, now: Timestamp) -> Result<Option<Upload>, DatabaseError> {
        let statement = self.uploads_sql(now).push(" AND id = ").bind(id);
        self.database.one(&statement, upload).await
    }

    /// Keeps the next part of an upload, which begins at this byte. It is kept whole or not at all, and once.
    pub async fn put_part(
        &self,
        id: &str,
        start: u64,
        content: &[u8],
        now: Timestamp,
    ) -> Result<PutPart, PartError> {
        let end = start.saturating_add(content.len() as u64);
        let before = self.upload(id, now).await?;
        match &before {
            None => return Ok(PutPart::Unknown),
            Some(upload) if upload.arrived != start => return Ok(PutPart::Elsewhere(upload.arrived)),
            Some(upload) if end > upload.bytes => return Ok(PutPart::TooMuch(upload.bytes)),
            Some(_) if content.is_empty() => return Ok(PutPart::Kept(start)),
            Some(_) => {}
        }
        // The blob first, as everywhere.
        let started = Instant::now();
        let kept = self.parts.put(content).await?;
        let may_be_gone = kept.was_there || started.elapsed() > QUICK;
        let mut transaction = self.database.begin(Intent::NameBlobs).await?;
        let take = Statement::new("UPDATE upload SET arrived = ").bind(signed(end)).push(" WHERE id = ");
        let take = take.bind(id).push(" AND project = ").bind(self.project).push(" AND arrived = ");
        let take = take.bind(signed(start)).push(" AND expires_us > ").bind(now.0).push(" RETURNING arrived");
        if transaction.one(&take, |row| row.number(0)).await?.is_none() {
            drop(transaction);
            // Somebody else has sent it meanwhile, or the time is over.
            return Ok(match self.upload(id, now).await? {
                Some(upload) => PutPart::Elsewhere(upload.arrived),
                None => PutPart::Unknown,
            });
        }
        // Nobody removes blobs now. What was there, or took its time, may have been removed before this began.
        if may_be_gone {
            self.parts.put(content).await?;
        }
        let insert = Statement::new("INSERT INTO upload_part (upload, start, blob) VALUES ");
        let values = [Value::from(id), Value::from(signed(start)), Value::from(kept.digest)];
        transaction.execute(&insert.bind_list(values)).await?;
        transaction.commit().await?;
        Ok(PutPart::Kept(end))
    }

    /// What has arrived of an upload, side by side.
    pub async fn parts(&self, id: &str) -> Result<Vec<u8>, PartError> {
        let mut bytes = Vec::new();
        for blob in self.database.all(&parts_sql(id), |row| row.text(0)).await? {
            bytes.extend(self.parts.get(&blob).await?);
        }
        Ok(bytes)
    }

    /// An upload goes no later than then.
    pub async fn upload_ends(&self, id: &str, at: Timestamp) -> Result<(), DatabaseError> {
        let statement = Statement::new("UPDATE upload SET expires_us = ").bind(at.0).push(" WHERE id = ");
        let statement = statement.bind(id).push(" AND project = ").bind(self.project);
        self.database.execute(&statement.push(" AND expires_us > ").bind(at.0)).await
    }

    /// Forgets an upload, and says whether it was there.
    pub async fn forget_upload(&self, id: &str, now: Timestamp) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let gone = Statement::new("DELETE FROM upload WHERE project = ").bind(self.project);
        let gone = gone.push(" AND expires_us > ").bind(now.0).push(" AND id = ").bind(id);
        let gone = transaction.one(&gone.push(" RETURNING id"), |row| row.text(0)).await?;
        transaction.commit().await?;
        Ok(gone.is_some())
    }

    /// Forgets the uploads of all projects whose time is over, and says how many there were.
    pub async fn expire_uploads(&self, now: Timestamp) -> Result<u64, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let gone =
            Statement::new("DELETE FROM upload WHERE expires_us <= ").bind(now.0).push(" RETURNING id");
        let gone = transaction.all(&gone, |row| row.text(0)).await?;
        transaction.commit().await?;
        Ok(gone.len() as u64)
    }
}

pub(crate) fn parts_sql(id: &str) -> Statement {
    Statement::new("SELECT blob FROM upload_part WHERE upload = ").bind(id).push(" ORDER BY start")
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn upload(row: &Row) -> sqlx::Result<Upload> {
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(Upload {
        id: row.text(0)?,
        bytes: count(row.number(1)?),
        arrived: count(row.number(2)?),
        expires: Timestamp(row.number(3)?),
    })
}
