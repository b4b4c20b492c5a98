//! What was decided about the names of benchmarks. What that means for runs and series is `invar-core`'s business.
//!
//! A decision that is taken back stays, as it was, for the record.

use std::collections::BTreeSet;

use invar_core::naming::{Names, RenameError};
use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// A decision that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Names it, to take it back.
    pub number: i64,
    /// The benchmark, by its full name at that time.
    pub benchmark: String,
    /// What it is called since then; `None`: it is archived.
    pub becomes: Option<String>,
    /// Who said so.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

/// Why a benchmark is called what it was.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The names do not allow it.
    #[error(transparent)]
    Rename(#[from] RenameError),
    /// It is archived already.
    #[error("it is archived already")]
    Archived,
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

const SELECT: &str = "SELECT number, benchmark, becomes, who, at_us FROM naming
                      WHERE undone_us IS NULL AND project = ";

/// The names that follow from decisions; earlier ones go before later ones.
pub fn names(namings: &[Naming]) -> Names {
    let becomes = namings.iter().filter_map(|it| Some((it.benchmark.clone(), it.becomes.clone()?)));
    let archived: BTreeSet<String> =
        namings.iter().filter(|it| it.becomes.is_none()).map(|it| it.benchmark.clone()).collect();
    Names::new(becomes, archived)
}

impl Store {
    /// What has been decided and holds, the oldest first.
    pub async fn namings(&self) -> Result<Vec<Naming>, DatabaseError> {
        self.database.all(&self.namings_sql(), naming).await
    }

    pub(crate) fn namings_sql(&self) -> Statement {
        Statement::new(SELECT).bind(self.project).push(" ORDER BY number")
    }

    /// Grows whenever something is decided about names in this project, or taken back.
    pub async fn named(&self) -> Result<i64, DatabaseError> {
        let statement = Statement::new("SELECT count(*) + count(undone_us) FROM naming WHERE project = ");
        let count = self.database.one(&statement.bind(self.project), |row| row.number(0)).await?;
        Ok(count.unwrap_or(0))
    }

    /// From now on a benchmark is called `to`, in what was measured as well. If there is one of that name, they are one.
    pub async fn rename_benchmark(&self, benchmark: &str, to: &str, by: By<'_>) -> Result<i64, NameError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let names = self.names_in(&mut transaction).await?;
        names.may_become(benchmark, to)?;
        let what = format!("renamed the benchmark {benchmark}: it is {to}");
        let number = self.decide(&mut transaction, benchmark, Some(to), by, &what).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Takes a benchmark out of lists and comparisons.
    pub async fn archive_benchmark(&self, benchmark: &str, by: By<'_>) -> Result<i64, NameError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        if self.names_in(&mut transaction).await?.is_archived(benchmark) {
            return Err(NameError::Archived);
        }
        let what = format!("archived the benchmark {benchmark}");
        let number = self.decide(&mut transaction, benchmark, None, by, &what).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// From now on this project's benchmarks are called as another one decided, such as that of a server: `becomes` by name, the oldest
    /// first, `None` for what is archived there. What was decided here is taken back. Says whether anything changed.
    pub async fn follow_names(
        &self,
        decided: &[(String, Option<String>)],
        by: By<'_>,
    ) -> Result<bool, DatabaseError> {
        let held = self.namings().await?;
        if held
            .iter()
            .map(|one| (&one.benchmark, &one.becomes))
            .eq(decided.iter().map(|(name, to)| (name, to)))
        {
            return Ok(false);
        }
        let mut transaction = self.database.begin(Intent::Write).await?;
        let undo = Statement::new("UPDATE naming SET undone_us = ").bind(by.at.0);
        let undo = undo.push(" WHERE undone_us IS NULL AND project = ").bind(self.project);
        transaction.execute(&undo).await?;
        for (benchmark, becomes) in decided {
            let what =
                format!("follows another store: {benchmark} is {}", becomes.as_deref().unwrap_or("archived"));
            self.decide(&mut transaction, benchmark, becomes.as_deref(), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The names as they are while others wait to decide anything: two who rename in a circle at once do not make one.
    async fn names_in(&self, transaction: &mut Transaction) -> Result<Names, DatabaseError> {
        // An update that changes nothing, for the lock on the row.
        let lock = Statement::new("UPDATE project SET public = public WHERE number = ").bind(self.project);
        transaction.execute(&lock).await?;
        Ok(names(&transaction.all(&self.namings_sql(), naming).await?))
    }

    async fn decide(
        &self,
        transaction: &mut Transaction,
        benchmark: &str,
        becomes: Option<&str>,
        by: By<'_>,
        what: &str,
    ) -> Result<i64, DatabaseError> {
        let statement =
            Statement::new("INSERT INTO naming (project, benchmark, who, at_us, becomes) VALUES (")
                .bind(self.project)
                .push(", ")
                .bind(benchmark)
                .push(", ")
                .bind(by.who)
                .push(", ")
                .bind(by.at.0)
                .push(", ");
        let statement = match becomes {
            Some(becomes) => statement.bind(becomes),
            None => statement.push("NULL"),
        };
        let statement = statement.push(") RETURNING number");
        let number = transaction.one(&statement, |row| row.number(0)).await?;
        note(transaction, Some(self.project), by, what).await?;
        Ok(number.expect("a row that was inserted has a number"))
    }

    /// Takes a decision back, and says whether it held.
    pub async fn undo_naming(&self, number: i64, by: By<'_>) -> Result<bool, DatabaseError> {
        let statement = Statement::new("UPDATE naming SET undone_us = ")
            .bind(by.at.0)
            .push(" WHERE undone_us IS NULL AND project = ")
            .bind(self.project)
            .push(" AND number = ")
            .bind(number)
            .push(" RETURNING benchmark, becomes");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let undone = transaction.one(&statement, |row| Ok((row.text(0)?, row.text_or_none(1)?))).await?;
        if let Some((benchmark, becomes)) = &undone {
            let what = match becomes {
                Some(becomes) => format!("took back that the benchmark {benchmark} is {becomes}"),
                None => format!("took the benchmark {benchmark} out of the archive"),
            };
            note(&mut transaction, Some(self.project), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(undone.is_some())
    }
}

fn naming(row: &Row) -> sqlx::Result<Naming> {
    Ok(Naming {
        number: row.number(0)?,
        benchmark: row.text(1)?,
        becomes: row.text_or_none(2)?,
        who: row.text(3)?,
        at: Timestamp(row.number(4)?),
    })
}
