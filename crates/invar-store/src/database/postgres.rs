//! PostgreSQL: how it is connected to and brought up to date.
//!
//! Any number of servers may start at once: they take turns by an advisory lock, and the schema moves forward only, each
//! step in a transaction of its own. A database of a newer Invar is left alone.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Row};

use super::error::{DatabaseError, of_postgres};
use super::postgres_schema::{FIRST, MIGRATIONS};

/// Connections of one process. PostgreSQL takes a hundred unless it is told otherwise.
const CONNECTIONS: u32 = 12;

/// How long a request waits for a connection. A page that takes longer is of no use.
const PATIENCE: Duration = Duration::from_secs(10);

/// Held while the schema is brought up to date. Numbers of advisory locks are any that nobody else takes.
const MIGRATING: i64 = 0x696e_7661_7201;

/// Held shared by who names blobs, and alone by who removes them.
const BLOBS: i64 = 0x696e_7661_7202;

/// Connections to a database.
#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    pub(crate) pool: PgPool,
    /// The address without its password.
    pub(crate) place: String,
}

/// Connects, and brings the schema up to date.
pub(crate) async fn connect(url: &url::Url) -> Result<Postgres, DatabaseError> {
    let mut shown = url.clone();
    // A URL that cannot have a password has none to hide.
    let _ = shown.set_password(None);
    shown.set_query(None);
    let place = shown.to_string();
    let of = |error: sqlx::Error| of_postgres(&place, &error);
    let options: PgConnectOptions = url.as_str().parse().map_err(of)?;
    // A plan for any value would scan a table where the usual values need an index.
    let options = options.application_name("invar").options([("plan_cache_mode", "force_custom_plan")]);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(options)
        .await
        .map_err(of)?;
    migrate(&pool, &place).await?;
    Ok(Postgres { pool, place })
}

async fn migrate(pool: &PgPool, place: &str) -> Result<(), DatabaseError> {
    let of = |error: sqlx::Error| of_postgres(place, &error);
    let mut connection = pool.acquire().await.map_err(of)?;
    loop {
        let mut transaction = connection.begin().await.map_err(of)?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATING)
            .execute(&mut *transaction)
            .await
            .map_err(of)?;
        // Asked first, since the table may be somebody's who does not let us make any.
        let there = sqlx::query("SELECT to_regclass('invar_schema') IS NOT NULL")
            .fetch_one(&mut *transaction)
            .await
            .map_err(of)?;
        let mut found = FIRST - 1;
        if there.try_get(0).map_err(of)? {
            let row = sqlx::query("SELECT version FROM invar_schema")
                .fetch_one(&mut *transaction)
                .await
                .map_err(of)?;
            found = row.try_get(0).map_err(of)?;
        }
        let done = usize::try_from(found - (FIRST - 1)).ok();
        let Some(rest) = done.and_then(|done| MIGRATIONS.get(done..)) else {
            let newest = FIRST - 1 + MIGRATIONS.len() as i64;
            return Err(DatabaseError::TooNew { place: place.to_string(), found, newest });
        };
        let Some(&next) = rest.first() else { return Ok(()) };
        if found < FIRST {
            let first =
                "CREATE TABLE invar_schema (version BIGINT NOT NULL); INSERT INTO invar_schema VALUES (0);";
            sqlx::raw_sql(first).execute(&mut *transaction).await.map_err(of)?;
        }
        sqlx::raw_sql(next).execute(&mut *transaction).await.map_err(of)?;
        sqlx::query("UPDATE invar_schema SET version = $1")
            .bind(found + 1)
            .execute(&mut *transaction)
            .await
            .map_err(of)?;
        transaction.commit().await.map_err(of)?;
    }
}

/// Keeps who removes blobs out, until the transaction ends.
pub(super) const NAMING_BLOBS: (&str, i64) = ("SELECT pg_advisory_xact_lock_shared($1)", BLOBS);

/// Keeps everybody out who names blobs, until the transaction ends.
pub(super) const REMOVING_BLOBS: (&str, i64) = ("SELECT pg_advisory_xact_lock($1)", BLOBS);
