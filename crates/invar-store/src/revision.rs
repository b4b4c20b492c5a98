//! As of when what was derived from a project is: numbers that grow whenever something changes that its pages show.
//!
//! What is kept in memory is good as long as the revision is the one that was read *before* it was made. The number of runs
//! would not do: one may go while another comes, and of two that come at once the first to be numbered may be the last to be seen.
//! A project's settings are not in it; its pages are made anew when they change.

use crate::database::{DatabaseError, Row, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// What has been stored, verified, acknowledged, named and ignored so far, as numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Of runs: they came, went, or were made anew of their shards.
    pub runs: i64,
    /// Of verifications.
    pub verified: i64,
    /// Of acknowledgements, made and taken back.
    pub acknowledged: i64,
    /// Of what was decided about names of benchmarks, and taken back.
    pub named: i64,
    /// Of benchmarks that are ignored, and of those that are so no more.
    pub ignored: i64,
}

impl Store {
    /// As of when this project is.
    pub async fn revision(&self) -> Result<Revision, DatabaseError> {
        let read = |row: &Row| {
            Ok(Revision {
                runs: row.number(0)?,
                verified: row.number(1)?,
                acknowledged: row.number(2)?,
                named: row.number(3)?,
                ignored: row.number(4)?,
            })
        };
        let one = self.database.one(&self.revision_sql(), read).await?;
        Ok(one.expect("a row of sums is always there"))
    }

    pub(crate) fn revision_sql(&self) -> Statement {
        let parts = [
            "SELECT coalesce((SELECT runs FROM revision WHERE project = ",
            "), 0), (SELECT count(*) FROM verification WHERE project = ",
            "), (SELECT count(*) + count(undone_us) FROM acknowledgement WHERE project = ",
            "), (SELECT count(*) + count(undone_us) FROM naming WHERE project = ",
            "), (SELECT count(*) + count(undone_us) FROM ignoring WHERE project = ",
        ];
        let statement = parts
            .into_iter()
            .fold(Statement::new(""), |statement, part| statement.push(part).bind(self.project));
        statement.push(")")
    }
}

/// The runs of a project have changed. The last thing that a transaction does before it ends: others of the same project wait for it.
pub(crate) async fn runs_changed(transaction: &mut Transaction, project: i64) -> Result<(), DatabaseError> {
    let statement = Statement::new("INSERT INTO revision (project, runs) VALUES (").bind(project);
    let statement = statement.push(", 1) ON CONFLICT (project) DO UPDATE SET runs = revision.runs + 1");
    transaction.execute(&statement).await
}
