//! What has a text in its name, for people who type a part of it.

use invar_core::run::Summary;

use crate::database::DatabaseError;
use crate::history::Trees;
use crate::statement::Statement;
use crate::store::Store;
use crate::summary::{select, summary};

impl Store {
    /// Benchmarks whose full name contains this text, the shortest names first. Case does not matter.
    pub async fn benchmarks_with(&self, text: &str, limit: u32) -> Result<Vec<String>, DatabaseError> {
        let statement = Statement::new("SELECT benchmark FROM series WHERE project = ")
            .bind(self.project)
            .push(" AND lower(benchmark) LIKE ")
            .bind(containing(text))
            .push(" ESCAPE '\\' GROUP BY benchmark ORDER BY length(benchmark), benchmark LIMIT ")
            .bind(i64::from(limit));
        self.database.all(&statement, |row| row.text(0)).await
    }

    /// Measured commits whose id starts with this text or whose message contains it, the one measured last first: of
    /// each its newest run.
    pub async fn commits_with(
        &self,
        text: &str,
        trees: Trees,
        limit: u32,
    ) -> Result<Vec<Summary>, DatabaseError> {
        let (dirty, later_dirty) = match trees {
            Trees::All => ("", ""),
            Trees::Clean => (" AND run.dirty = 0", " AND later.dirty = 0"),
        };
        let statement = select("run")
            .push("WHERE run.project = ")
            .bind(self.project)
            .push(" AND run.commit_id IS NOT NULL")
            .push(dirty)
            .push(" AND (lower(run.message) LIKE ")
            .bind(containing(text))
            .push(" ESCAPE '\\' OR run.commit_id LIKE ")
            .bind(format!("{}%", literal(text)))
            .push(
                " ESCAPE '\\') AND NOT EXISTS (SELECT 1 FROM run AS later
                 WHERE later.project = run.project AND later.commit_id = run.commit_id",
            )
            .push(later_dirty)
            .push(
                " AND (later.started_us, later.id) > (run.started_us, run.id))
                 ORDER BY run.started_us DESC, run.id DESC LIMIT ",
            )
            .bind(i64::from(limit));
        self.database.all(&statement, summary).await
    }
}

/// A pattern for what contains a text.
fn containing(text: &str) -> String {
    format!("%{}%", literal(text))
}

/// A text that means itself in a pattern.
fn literal(text: &str) -> String {
    text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
