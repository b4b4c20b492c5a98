//! What has a text in its name, for people who type a part of it.

use invar_core::run::Summary;
use sqlx::Row;

use crate::database::DatabaseError;
use crate::history::Trees;
use crate::store::{Store, select};

impl Store {
    /// Benchmarks whose full name contains this text, the shortest names first. Case does not matter.
    pub async fn benchmarks_with(&self, text: &str, limit: u32) -> Result<Vec<String>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT benchmark FROM series WHERE lower(benchmark) LIKE $1 ESCAPE '\\'
             GROUP BY benchmark ORDER BY length(benchmark), benchmark LIMIT $2",
        )
        .bind(containing(text))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await
        .map_err(|error| self.error(error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.error(error))).collect()
    }

    /// Measured commits whose id starts with this text or whose message contains it, the one measured last first: of
    /// each its newest run.
    pub async fn commits_with(
        &self,
        text: &str,
        trees: Trees,
        limit: u32,
    ) -> Result<Vec<Summary>, DatabaseError> {
        let rows = sqlx::query(select!(
            "WHERE commit_id IS NOT NULL AND (dirty = 0 OR $4)
               AND (lower(message) LIKE $1 ESCAPE '\\' OR commit_id LIKE $2 ESCAPE '\\')
               AND NOT EXISTS (SELECT 1 FROM run AS later WHERE later.commit_id = run.commit_id
                               AND (later.dirty = 0 OR $4)
                               AND (later.started_us, later.id) > (run.started_us, run.id))
             ORDER BY started_us DESC, id DESC LIMIT $3"
        ))
        .bind(containing(text))
        .bind(format!("{}%", literal(text)))
        .bind(i64::from(limit))
        .bind(trees == Trees::All)
        .fetch_all(self.readers())
        .await;
        self.summaries(rows)
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
