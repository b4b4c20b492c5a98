//! What `invar verify` found, kept: a blob, and a row by which the verifications are found that runs can be judged by.

use invar_core::noise::{Floors, Verification};
use invar_core::wire::noise;
use sqlx::{Connection, Row};

use crate::blobs::WriteBlobError;
use crate::database::DatabaseError;
use crate::store::{Comparable, Store};

/// How many verifications of one way to measure are looked at, the newest. More would only slow down every comparison.
const LOOKED_AT: i64 = 32;

/// Why a verification was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutVerificationError {
    /// Its blob could not be written.
    #[error(transparent)]
    Blob(#[from] WriteBlobError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Store {
    /// Keeps a verification. One that is there already stays as it is.
    pub async fn put_verification(&self, verification: &Verification) -> Result<(), PutVerificationError> {
        // The blob first: a row never names what is not there.
        let blob = self.blobs.put(noise::write(verification).as_bytes())?;
        let mut connection = self.writer().acquire().await.map_err(|error| self.error(error))?;
        let transaction = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = transaction.map_err(|error| self.error(error))?;
        sqlx::query(
            "INSERT INTO verification (id, started_us, suite, machine_text, instrument, benchmarks, blob)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&verification.id)
        .bind(verification.started.0)
        .bind(verification.command.join(" "))
        .bind(verification.machine.text())
        .bind(verification.instrument.name())
        .bind(verification.benchmarks.len() as i64)
        .bind(&blob)
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.error(error))?;
        transaction.commit().await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// The newest verifications of one way to measure, newest first. Those that are lost or of another version are passed over:
    /// without them less is known, and nothing is wrong.
    pub async fn verifications(&self, way: &Comparable) -> Result<Vec<Verification>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT blob FROM verification WHERE machine_text = $1 AND instrument = $2
             ORDER BY started_us DESC, id DESC LIMIT $3",
        )
        .bind(&way.machine)
        .bind(way.instrument.name())
        .bind(LOOKED_AT)
        .fetch_all(self.readers())
        .await
        .map_err(|error| self.error(error))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let blob: String = row.try_get(0).map_err(|error| self.error(error))?;
            let bytes = self.blobs.get(&blob).ok();
            found.extend(bytes.and_then(|bytes| noise::read(&bytes).ok()));
        }
        Ok(found)
    }

    /// The noise floors that are known for one way to measure.
    pub async fn floors(&self, way: &Comparable) -> Result<Floors, DatabaseError> {
        self.verifications(way).await.map(|verifications| Floors::of(&verifications))
    }

    /// How many verifications were kept: what is derived from floors is as good as new while this stays.
    pub async fn verified(&self) -> Result<i64, DatabaseError> {
        let row = sqlx::query("SELECT count(*) FROM verification").fetch_one(self.readers()).await;
        let row = row.map_err(|error| self.error(error))?;
        row.try_get(0).map_err(|error| self.error(error))
    }
}
