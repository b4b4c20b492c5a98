//! Benchmarks that somebody says decide nothing, with a reason, until it is taken back.
//!
//! What that means for a report is `invar-core`'s business. One that is taken back stays, as it was, for the record.

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::{Statement, Value};
use crate::store::Store;

/// A benchmark that is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredBenchmark {
    /// Names it, to take it back.
    pub number: i64,
    /// The benchmark, by its full name at that time.
    pub benchmark: String,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// Since when.
    pub at: Timestamp,
}

impl Store {
    /// A benchmark decides nothing from now on. What was said of it before is replaced.
    pub async fn ignore_benchmark(
        &self,
        benchmark: &str,
        reason: &str,
        by: By<'_>,
    ) -> Result<i64, DatabaseError> {
        let older = Statement::new("UPDATE ignoring SET undone_us = ").bind(by.at.0);
        let older = older.push(" WHERE undone_us IS NULL AND project = ").bind(self.project);
        let older = older.push(" AND benchmark = ").bind(benchmark);
        let values = [
            Value::from(self.project),
            Value::from(benchmark),
            Value::from(reason),
            Value::from(by.who),
            Value::from(by.at.0),
        ];
        let insert = Statement::new("INSERT INTO ignoring (project, benchmark, reason, who, at_us) VALUES ");
        let insert = insert.bind_list(values).push(" RETURNING number");
        let mut transaction = self.database.begin(Intent::Write).await?;
        transaction.execute(&older).await?;
        let number = transaction.one(&insert, |row| row.number(0)).await?;
        let what = format!("ignores the benchmark {benchmark}: {reason}");
        note(&mut transaction, Some(self.project), by, &what).await?;
        transaction.commit().await?;
        Ok(number.expect("a row that was inserted has a number"))
    }

    /// A benchmark decides again, and says whether it did not.
    pub async fn undo_ignoring(&self, number: i64, by: By<'_>) -> Result<bool, DatabaseError> {
        let undo = Statement::new("UPDATE ignoring SET undone_us = ").bind(by.at.0);
        let undo = undo.push(" WHERE undone_us IS NULL AND project = ").bind(self.project);
        let undo = undo.push(" AND number = ").bind(number).push(" RETURNING benchmark");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let undone = transaction.one(&undo, |row| row.text(0)).await?;
        if let Some(benchmark) = &undone {
            let what = format!("took back that the benchmark {benchmark} is ignored");
            note(&mut transaction, Some(self.project), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(undone.is_some())
    }

    /// What is ignored, the oldest first.
    pub async fn ignored(&self) -> Result<Vec<IgnoredBenchmark>, DatabaseError> {
        self.database.all(&self.ignored_sql(), ignored).await
    }

    pub(crate) fn ignored_sql(&self) -> Statement {
        let of = "SELECT number, benchmark, reason, who, at_us FROM ignoring
                  WHERE undone_us IS NULL AND project = ";
        Statement::new(of).bind(self.project).push(" ORDER BY number")
    }
}

fn ignored(row: &Row) -> sqlx::Result<IgnoredBenchmark> {
    Ok(IgnoredBenchmark {
        number: row.number(0)?,
        benchmark: row.text(1)?,
        reason: row.text(2)?,
        who: row.text(3)?,
        at: Timestamp(row.number(4)?),
    })
}
