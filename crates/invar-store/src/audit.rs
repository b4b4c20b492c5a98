//! Who did what, and when.
//!
//! What changes who may do what, or what a project says, is written down in the transaction that does it: there is no such
//! change without its entry, and no entry without its change. Entries are never changed and never removed.

use invar_core::run::Timestamp;

use crate::database::{DatabaseError, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// Who does something, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// What people call them.
    pub who: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The project that it was done to; `None`: to none.
    pub project: Option<String>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub who: String,
    /// What: goes on from the name of who did it.
    pub what: String,
}

/// Writes it down. `project` is a number; `None`: it is about no project.
pub(crate) async fn note(
    transaction: &mut Transaction,
    project: Option<i64>,
    by: By<'_>,
    what: &str,
) -> Result<(), DatabaseError> {
    let statement = Statement::new("INSERT INTO audit (project, at_us, who, what) VALUES (");
    let statement = match project {
        Some(project) => statement.bind(project),
        None => statement.push("NULL"),
    };
    let statement =
        statement.push(", ").bind(by.at.0).push(", ").bind(by.who).push(", ").bind(what).push(")");
    transaction.execute(&statement).await
}

const SELECT: &str = "SELECT project.name, audit.at_us, audit.who, audit.what
                      FROM audit LEFT JOIN project ON project.number = audit.project ";

impl Store {
    /// What was done to this project, the newest first.
    pub async fn audit(&self, limit: u32) -> Result<Vec<Entry>, DatabaseError> {
        self.entries(self.audit_sql(limit)).await
    }

    pub(crate) fn audit_sql(&self, limit: u32) -> Statement {
        let of_project = Statement::new(SELECT).push("WHERE audit.project = ").bind(self.project);
        of_project.push(" ORDER BY audit.number DESC LIMIT ").bind(i64::from(limit))
    }

    /// What was done to this store, the newest first.
    pub async fn audit_of_all(&self, limit: u32) -> Result<Vec<Entry>, DatabaseError> {
        let statement = Statement::new(SELECT).push("ORDER BY audit.number DESC LIMIT ");
        self.entries(statement.bind(i64::from(limit))).await
    }

    async fn entries(&self, statement: Statement) -> Result<Vec<Entry>, DatabaseError> {
        let read = |row: &crate::database::Row| {
            Ok(Entry {
                project: row.text_or_none(0)?,
                at: Timestamp(row.number(1)?),
                who: row.text(2)?,
                what: row.text(3)?,
            })
        };
        self.database.all(&statement, read).await
    }
}
