//! Regressions that somebody has looked at and lets pass, each on one branch and with a reason.
//!
//! What an acknowledgement covers is `invar-core`'s business. One that is undone stays, as it was, for the record.

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::Statement;
use crate::store::Store;

/// What was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Names it, to undo it.
    pub number: i64,
    /// The branch that it is about.
    pub branch: String,
    /// The benchmark, by its full name.
    pub benchmark: String,
    /// The run that was looked at.
    pub run: String,
    /// What the benchmark cost in it, in cycles.
    pub cycles: u64,
    /// Why it may pass.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// Since when.
    pub at: Timestamp,
}

/// What is to be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct NewAcknowledgement<'a> {
    /// The branch.
    pub branch: &'a str,
    /// The benchmark, by its full name.
    pub benchmark: &'a str,
    /// The run that was looked at.
    pub run: &'a str,
    /// What the benchmark cost in it, in cycles.
    pub cycles: u64,
    /// Why it may pass.
    pub reason: &'a str,
}

const SELECT: &str = "SELECT number, branch, benchmark, run, cycles, reason, who, at_us FROM acknowledgement
                      WHERE undone_us IS NULL AND project = ";

impl Store {
    /// Lets a regression pass. An older acknowledgement of the same benchmark on the same branch is undone.
    pub async fn acknowledge(&self, new: NewAcknowledgement<'_>, by: By<'_>) -> Result<i64, DatabaseError> {
        let older = Statement::new("UPDATE acknowledgement SET undone_us = ")
            .bind(by.at.0)
            .push(" WHERE undone_us IS NULL AND project = ")
            .bind(self.project)
            .push(" AND branch = ")
            .bind(new.branch)
            .push(" AND benchmark = ")
            .bind(new.benchmark);
        let statement = Statement::new(
            "INSERT INTO acknowledgement (project, branch, benchmark, run, cycles, reason, who, at_us) VALUES (",
        )
        .bind(self.project)
        .push(", ")
        .bind(new.branch)
        .push(", ")
        .bind(new.benchmark)
        .push(", ")
        .bind(new.run)
        .push(", ")
        .bind(i64::try_from(new.cycles).unwrap_or(i64::MAX))
        .push(", ")
        .bind(new.reason)
        .push(", ")
        .bind(by.who)
        .push(", ")
        .bind(by.at.0)
        .push(") RETURNING number");
        let mut transaction = self.database.begin(Intent::Write).await?;
        transaction.execute(&older).await?;
        let number = transaction.one(&statement, |row| row.number(0)).await?;
        let what = format!("acknowledged {} on {}: {}", new.benchmark, new.branch, new.reason);
        note(&mut transaction, Some(self.project), by, &what).await?;
        transaction.commit().await?;
        Ok(number.expect("a row that was inserted has a number"))
    }

    /// Takes an acknowledgement back, and says whether there was one to take back.
    pub async fn undo_acknowledgement(&self, number: i64, by: By<'_>) -> Result<bool, DatabaseError> {
        let statement = Statement::new("UPDATE acknowledgement SET undone_us = ")
            .bind(by.at.0)
            .push(" WHERE undone_us IS NULL AND project = ")
            .bind(self.project)
            .push(" AND number = ")
            .bind(number)
            .push(" RETURNING benchmark, branch");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let undone = transaction.one(&statement, |row| Ok((row.text(0)?, row.text(1)?))).await?;
        if let Some((benchmark, branch)) = &undone {
            let what = format!("took back the acknowledgement of {benchmark} on {branch}");
            note(&mut transaction, Some(self.project), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(undone.is_some())
    }

    /// What holds on a branch, by benchmark.
    pub async fn acknowledged(&self, branch: &str) -> Result<Vec<Acknowledged>, DatabaseError> {
        self.database.all(&self.acknowledged_sql(branch), acknowledged).await
    }

    pub(crate) fn acknowledged_sql(&self, branch: &str) -> Statement {
        let of = Statement::new(SELECT).bind(self.project).push(" AND branch = ").bind(branch);
        of.push(" ORDER BY benchmark, number")
    }

    /// Grows whenever something is acknowledged in this project, or taken back.
    pub async fn acknowledgements(&self) -> Result<i64, DatabaseError> {
        let statement =
            Statement::new("SELECT count(*) + count(undone_us) FROM acknowledgement WHERE project = ");
        let count = self.database.one(&statement.bind(self.project), |row| row.number(0)).await?;
        Ok(count.unwrap_or(0))
    }
}

fn acknowledged(row: &Row) -> sqlx::Result<Acknowledged> {
    Ok(Acknowledged {
        number: row.number(0)?,
        branch: row.text(1)?,
        benchmark: row.text(2)?,
        run: row.text(3)?,
        cycles: u64::try_from(row.number(4)?).unwrap_or(0),
        reason: row.text(5)?,
        who: row.text(6)?,
        at: Timestamp(row.number(7)?),
    })
}
