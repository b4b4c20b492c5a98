//! One database out of two engines: SQLite, where one machine is enough, and PostgreSQL.
//!
//! The rest of the crate writes a [`Statement`] and reads [`Row`]s, and does not know which engine answers. What is
//! different between them is here: connections, schemas, locks, errors. Times are microseconds UTC.

mod error;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_schema;
mod sqlite;
pub(crate) mod sqlite_schema;

use std::path::Path;

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
#[cfg(feature = "postgres")]
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

pub use error::DatabaseError;

use crate::ready::Connections;
#[cfg(feature = "postgres")]
use crate::rows;
use crate::statement::{Statement, Value};

/// A database, connected to. Its copies share their connections.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
}

/// A row of whichever engine.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(PgRow),
}

/// What a database is.
pub(crate) struct About {
    /// Which engine.
    pub(crate) engine: &'static str,
    /// Where, without secrets.
    pub(crate) place: String,
    /// Asks for a row: its version, how far the schema is, how many bytes it has.
    pub(crate) sql: &'static str,
}

/// Statements that happen together or not at all. One that is dropped did not happen.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>, String),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>, String),
}

/// What a transaction is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Write, and nothing about blobs.
    Write,
    /// Name some; others may do so at the same time.
    NameBlobs,
    /// Remove some that nobody names: nobody else may name any meanwhile.
    RemoveBlobs,
}

/// A query of sqlx with the values of a statement.
macro_rules! query {
    ($statement:expr, $sql:expr) => {{
        let query = sqlx::query(AssertSqlSafe($sql));
        $statement.values.iter().fold(query, |query, value| match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.clone()),
        })
    }};
}

impl Database {
    /// The SQLite file at this path, made where it is missing. Who calls it holds the store's lock.
    pub(crate) async fn open(path: &Path) -> Result<Database, DatabaseError> {
        sqlite::open(path).await.map(Database::Sqlite)
    }

    /// The PostgreSQL database at this address.
    #[cfg(feature = "postgres")]
    pub(crate) async fn connect(url: &url::Url) -> Result<Database, DatabaseError> {
        postgres::connect(url).await.map(Database::Postgres)
    }

    /// Every row, each as `read` makes it.
    pub(crate) async fn all<T>(
        &self,
        statement: &Statement,
        read: impl Fn(&Row) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, DatabaseError> {
        let rows = match self {
            Database::Sqlite(sqlite) => {
                let rows = query!(statement, statement.positional()).fetch_all(&sqlite.readers).await;
                rows.map(|rows| rows.into_iter().map(Row::Sqlite).collect::<Vec<_>>())
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => {
                let rows = query!(statement, statement.sql.clone()).fetch_all(&postgres.pool).await;
                rows.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(|error| self.error(&error))
    }

    /// The one row that there is, as `read` makes it.
    pub(crate) async fn one<T>(
        &self,
        statement: &Statement,
        read: impl Fn(&Row) -> sqlx::Result<T>,
    ) -> Result<Option<T>, DatabaseError> {
        Ok(self.all(statement, read).await?.pop())
    }

    /// Starts to write.
    pub(crate) async fn begin(&self, intent: Intent) -> Result<Transaction, DatabaseError> {
        match self {
            Database::Sqlite(sqlite) => {
                // Who writes is alone anyway.
                let _ = intent;
                let transaction = sqlite.writer.begin_with("BEGIN IMMEDIATE").await;
                let transaction = transaction.map_err(|error| self.error(&error))?;
                Ok(Transaction::Sqlite(transaction, sqlite.place.clone()))
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => {
                let mut transaction = postgres.pool.begin().await.map_err(|error| self.error(&error))?;
                let lock = match intent {
                    Intent::Write => None,
                    Intent::NameBlobs => Some(postgres::NAMING_BLOBS),
                    Intent::RemoveBlobs => Some(postgres::REMOVING_BLOBS),
                };
                if let Some((lock, number)) = lock {
                    let locked = sqlx::query(lock).bind(number).execute(&mut *transaction).await;
                    locked.map_err(|error| self.error(&error))?;
                }
                Ok(Transaction::Postgres(transaction, postgres.place.clone()))
            }
        }
    }

    /// Writes one thing.
    pub(crate) async fn execute(&self, statement: &Statement) -> Result<(), DatabaseError> {
        let mut transaction = self.begin(Intent::Write).await?;
        transaction.execute(statement).await?;
        transaction.commit().await
    }

    /// Copies all rows into a new file, as they are at one moment.
    pub(crate) async fn copy_into(&self, path: &Path) -> Result<(), DatabaseError> {
        match self {
            Database::Sqlite(sqlite) => {
                let copy = sqlx::query("VACUUM INTO $1").bind(path.to_string_lossy().into_owned());
                let copied = copy.execute(&sqlite.writer).await;
                copied.map(drop).map_err(|error| self.error(&error))
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => {
                let new = sqlite::open(path).await?;
                let copy = Database::Sqlite(new.clone());
                rows::copy(self, &copy).await?;
                // One file, with nothing beside it that belongs to it; who reads it would keep it from that.
                new.readers.close().await;
                let whole = sqlx::query("PRAGMA journal_mode = DELETE").execute(&new.writer).await;
                whole.map_err(|error| copy.error(&error))?;
                copy.close().await;
                Ok(())
            }
        }
    }

    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self, Database::Sqlite(_))
    }

    /// Starts to read everything as it is now.
    pub(crate) async fn begin_at_one_moment(&self) -> Result<Transaction, DatabaseError> {
        let mut transaction = self.begin(Intent::Write).await?;
        if !self.is_sqlite() {
            transaction.execute(&Statement::new("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")).await?;
        }
        Ok(transaction)
    }

    /// What it is, and how to ask it for more.
    pub(crate) fn about(&self) -> About {
        match self {
            Database::Sqlite(sqlite) => About {
                engine: "SQLite",
                place: sqlite.place.clone(),
                sql: "SELECT sqlite_version(), user_version, page_count * page_size
                      FROM pragma_user_version(), pragma_page_count(), pragma_page_size()",
            },
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => About {
                engine: "PostgreSQL",
                place: postgres.place.clone(),
                sql: "SELECT current_setting('server_version'), version, pg_database_size(current_database())
                      FROM invar_schema",
            },
        }
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> Connections {
        let (open, idle, most) = match self {
            Database::Sqlite(sqlite) => {
                let readers = &sqlite.readers;
                (readers.size(), readers.num_idle(), readers.options().get_max_connections())
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => {
                let pool = &postgres.pool;
                (pool.size(), pool.num_idle(), pool.options().get_max_connections())
            }
        };
        Connections { open, idle: u32::try_from(idle).unwrap_or(open), most }
    }

    /// Lets go of the connections.
    pub(crate) async fn close(&self) {
        match self {
            Database::Sqlite(sqlite) => {
                sqlite.readers.close().await;
                sqlite.writer.close().await;
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => postgres.pool.close().await,
        }
    }

    /// What an error of this engine means.
    pub(crate) fn error(&self, error: &sqlx::Error) -> DatabaseError {
        match self {
            Database::Sqlite(sqlite) => error::of_sqlite(&sqlite.place, error),
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => error::of_postgres(&postgres.place, error),
        }
    }
}

impl Transaction {
    /// Every row, each as `read` makes it.
    pub(crate) async fn all<T>(
        &mut self,
        statement: &Statement,
        read: impl Fn(&Row) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, DatabaseError> {
        match self {
            Transaction::Sqlite(transaction, place) => {
                let rows = query!(statement, statement.positional()).fetch_all(&mut **transaction).await;
                let rows =
                    rows.and_then(|rows| rows.into_iter().map(|row| read(&Row::Sqlite(row))).collect());
                rows.map_err(|error| error::of_sqlite(place, &error))
            }
            #[cfg(feature = "postgres")]
            Transaction::Postgres(transaction, place) => {
                let rows = query!(statement, statement.sql.clone()).fetch_all(&mut **transaction).await;
                let rows =
                    rows.and_then(|rows| rows.into_iter().map(|row| read(&Row::Postgres(row))).collect());
                rows.map_err(|error| error::of_postgres(place, &error))
            }
        }
    }

    /// The one row that there is, as `read` makes it.
    pub(crate) async fn one<T>(
        &mut self,
        statement: &Statement,
        read: impl Fn(&Row) -> sqlx::Result<T>,
    ) -> Result<Option<T>, DatabaseError> {
        Ok(self.all(statement, read).await?.pop())
    }

    /// Every row, one after another, each as `read` makes it.
    pub(crate) fn each<'a, T: 'a>(
        &'a mut self,
        statement: &'a Statement,
        read: impl Fn(&Row) -> sqlx::Result<T> + Send + 'a,
    ) -> BoxStream<'a, Result<T, DatabaseError>> {
        match self {
            Transaction::Sqlite(transaction, place) => {
                let rows = query!(statement, statement.positional()).fetch(&mut **transaction);
                let rows = rows.map(move |row| row.and_then(|row| read(&Row::Sqlite(row))));
                rows.map_err(|error| error::of_sqlite(place, &error)).boxed()
            }
            #[cfg(feature = "postgres")]
            Transaction::Postgres(transaction, place) => {
                let rows = query!(statement, statement.sql.clone()).fetch(&mut **transaction);
                let rows = rows.map(move |row| row.and_then(|row| read(&Row::Postgres(row))));
                rows.map_err(|error| error::of_postgres(place, &error)).boxed()
            }
        }
    }

    /// The largest number that was ever given to a row of a table.
    pub(crate) async fn last_number(&mut self, table: &str) -> Result<i64, DatabaseError> {
        let given = match self {
            Transaction::Sqlite(..) => format!("SELECT seq FROM sqlite_sequence WHERE name = '{table}'"),
            #[cfg(feature = "postgres")]
            Transaction::Postgres(..) => {
                format!(
                    "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('{table}', 'number')), 0)"
                )
            }
        };
        let given = self.one(&Statement::new(given), |row| row.number(0)).await?;
        let there = Statement::new(format!("SELECT coalesce(max(number), 0) FROM {table}"));
        let there = self.one(&there, |row| row.number(0)).await?;
        Ok(given.unwrap_or_default().max(there.unwrap_or_default()))
    }

    /// Gives rows of a table numbers behind this one from now on.
    pub(crate) async fn set_last_number(&mut self, table: &str, last: i64) -> Result<(), DatabaseError> {
        match self {
            Transaction::Sqlite(..) => {
                // Only tables that never give a number twice are in it.
                let statement = Statement::new("UPDATE sqlite_sequence SET seq = ").bind(last);
                self.execute(&statement.push(" WHERE name = ").bind(table)).await
            }
            #[cfg(feature = "postgres")]
            Transaction::Postgres(..) if last > 0 => {
                let statement =
                    Statement::new(format!("SELECT setval(pg_get_serial_sequence('{table}', 'number'), "));
                self.all(&statement.bind(last).push(")"), |row| row.number(0)).await.map(drop)
            }
            #[cfg(feature = "postgres")]
            Transaction::Postgres(..) => Ok(()),
        }
    }

    /// Writes.
    pub(crate) async fn execute(&mut self, statement: &Statement) -> Result<(), DatabaseError> {
        match self {
            Transaction::Sqlite(transaction, place) => {
                let done = query!(statement, statement.positional()).execute(&mut **transaction).await;
                done.map(drop).map_err(|error| error::of_sqlite(place, &error))
            }
            #[cfg(feature = "postgres")]
            Transaction::Postgres(transaction, place) => {
                let done = query!(statement, statement.sql.clone()).execute(&mut **transaction).await;
                done.map(drop).map_err(|error| error::of_postgres(place, &error))
            }
        }
    }

    /// Makes it so.
    pub(crate) async fn commit(self) -> Result<(), DatabaseError> {
        match self {
            Transaction::Sqlite(transaction, place) => {
                transaction.commit().await.map_err(|error| error::of_sqlite(&place, &error))
            }
            #[cfg(feature = "postgres")]
            Transaction::Postgres(transaction, place) => {
                transaction.commit().await.map_err(|error| error::of_postgres(&place, &error))
            }
        }
    }
}

/// Reads a column by its place.
macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($column),
            #[cfg(feature = "postgres")]
            Row::Postgres(row) => row.try_get($column),
        }
    };
}

impl Row {
    pub(crate) fn text(&self, column: usize) -> sqlx::Result<String> {
        column!(self, column)
    }

    pub(crate) fn text_or_none(&self, column: usize) -> sqlx::Result<Option<String>> {
        column!(self, column)
    }

    pub(crate) fn number(&self, column: usize) -> sqlx::Result<i64> {
        column!(self, column)
    }

    pub(crate) fn number_or_none(&self, column: usize) -> sqlx::Result<Option<i64>> {
        column!(self, column)
    }

    pub(crate) fn truth(&self, column: usize) -> sqlx::Result<bool> {
        self.number(column).map(|number| number != 0)
    }
}
