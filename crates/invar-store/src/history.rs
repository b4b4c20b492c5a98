//! What pages ask a store for: runs page by page, the commits of a branch, series of benchmarks.
//!
//! Each is one query. Measurements are reached through their series or through their run, never by reading all of them.

use std::collections::BTreeMap;

use invar_core::history::{Point, Series};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::run::{Summary, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row};

use crate::database::DatabaseError;
use crate::measurement::{columns, reading};
use crate::store::{Comparable, Store, select, summary};

/// Where a page of a list ends: the next one goes on after this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When it started.
    pub started: Timestamp,
    /// Its id.
    pub id: String,
}

/// Which runs are listed, newest first. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of this branch.
    pub branch: Option<String>,
    /// Comparable in this way.
    pub comparable: Option<Comparable>,
    /// After this one.
    pub after: Option<Cursor>,
    /// How many at most.
    pub limit: u32,
}

/// Which trees' results are in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trees {
    /// Those without changes that were not committed.
    Clean,
    /// All.
    All,
}

impl Cursor {
    /// The place behind this run.
    pub fn behind(run: &Summary) -> Cursor {
        Cursor { started: run.started, id: run.id.clone() }
    }
}

/// What the statements below have in common; `$1` to `$7` are bound by [`Store::listed`].
macro_rules! listed {
    ($condition:literal) => {
        select!(
            "WHERE ($1 IS NULL OR branch = $1) AND ($2 IS NULL OR (machine_text = $2 AND instrument = $3))
               AND ($4 IS NULL OR (started_us, id) < ($4, $5)) AND project = $7 ",
            $condition,
            " ORDER BY started_us DESC, id DESC LIMIT $6"
        )
    };
}

impl Store {
    /// Runs, newest first.
    pub async fn runs(&self, listing: &Listing) -> Result<Vec<Summary>, DatabaseError> {
        self.listed(listed!(""), listing).await
    }

    /// Measured commits, the one measured last first: of each the newest run of a clean tree that has results.
    pub async fn commits(&self, listing: &Listing) -> Result<Vec<Summary>, DatabaseError> {
        let sql = listed!(
            "AND measured > 0 AND dirty = 0 AND commit_id IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM run AS later
                 WHERE later.project = run.project AND later.commit_id = run.commit_id AND later.measured > 0 AND later.dirty = 0
                   AND ($1 IS NULL OR later.branch = $1)
                   AND ($2 IS NULL OR (later.machine_text = $2 AND later.instrument = $3))
                   AND (later.started_us, later.id) > (run.started_us, run.id))"
        );
        self.listed(sql, listing).await
    }

    async fn listed(&self, sql: &'static str, listing: &Listing) -> Result<Vec<Summary>, DatabaseError> {
        let rows = sqlx::query(sql)
            .bind(&listing.branch)
            .bind(listing.comparable.as_ref().map(|comparable| comparable.machine.as_str()))
            .bind(listing.comparable.as_ref().map(|comparable| comparable.instrument.name()))
            .bind(listing.after.as_ref().map(|cursor| cursor.started.0))
            .bind(listing.after.as_ref().map(|cursor| cursor.id.as_str()))
            .bind(i64::from(listing.limit))
            .bind(self.project)
            .fetch_all(self.readers())
            .await;
        self.summaries(rows)
    }

    /// Branches that were measured, the one measured last first.
    pub async fn branches(&self, limit: u32) -> Result<Vec<String>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT branch FROM run WHERE project = $2 AND branch IS NOT NULL
             GROUP BY branch ORDER BY max(started_us) DESC, branch LIMIT $1",
        )
        .bind(i64::from(limit))
        .bind(self.project)
        .fetch_all(self.readers())
        .await;
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.error(error))).collect()
    }

    /// Measured commits whose id starts like this, a few at most.
    pub async fn commits_starting(&self, start: &str) -> Result<Vec<String>, DatabaseError> {
        // Anything else would mean something to GLOB.
        if start.is_empty() || !start.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT DISTINCT commit_id FROM run WHERE project = $2 AND commit_id >= $1 AND commit_id < $1 || 'g'
             ORDER BY commit_id LIMIT 5",
        )
        .bind(start.to_ascii_lowercase())
        .bind(self.project)
        .fetch_all(self.readers())
        .await;
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.error(error))).collect()
    }

    /// In which way a run was measured; `None` if it is not there.
    pub async fn way(&self, id: &str) -> Result<Option<Comparable>, DatabaseError> {
        let row = sqlx::query("SELECT machine_text, instrument FROM run WHERE id = $1 AND project = $2")
            .bind(id)
            .bind(self.project)
            .fetch_optional(self.readers())
            .await
            .map_err(|error| self.error(error))?;
        row.as_ref().map(comparable).transpose().map_err(|error| self.error(error))
    }

    /// In which ways a benchmark was measured; the one measured last first.
    pub async fn ways(&self, benchmark: &str) -> Result<Vec<Comparable>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT machine_text, instrument FROM series WHERE benchmark = $1 AND project = $2
             ORDER BY (SELECT max(started_us) FROM measurement WHERE series = series.number) DESC, number DESC",
        )
        .bind(benchmark)
        .bind(self.project)
        .fetch_all(self.readers())
        .await;
        let rows = rows.map_err(|error| self.error(error))?;
        rows.iter().map(|row| comparable(row).map_err(|error| self.error(error))).collect()
    }

    /// A benchmark's newest points, at most so many, of one branch or of all.
    ///
    /// Results that are not of the whole benchmark are left out.
    pub async fn history(
        &self,
        benchmark: &str,
        way: &Comparable,
        branch: Option<&str>,
        trees: Trees,
        limit: u32,
    ) -> Result<Series, DatabaseError> {
        let rows = sqlx::query(AssertSqlSafe(history_sql()))
            .bind(benchmark)
            .bind(&way.machine)
            .bind(way.instrument.name())
            .bind(branch)
            .bind(i64::from(limit))
            .bind(trees == Trees::All)
            .bind(self.project)
            .fetch_all(self.readers())
            .await
            .map_err(|error| self.error(error))?;
        let machine = machine(way).map_err(|error| self.error(error))?;
        let mut series = Series {
            benchmark: benchmark.to_string(),
            machine,
            instrument: way.instrument,
            points: Vec::with_capacity(rows.len()),
        };
        for row in rows.iter().rev() {
            let point = || -> sqlx::Result<Point> {
                Ok(Point { run: summary(row)?, reading: reading(row, SUMMARY_COLUMNS, &series.machine)? })
            };
            let point = point().map_err(|error| self.error(error))?;
            if point.reading.is_whole() {
                series.points.push(point);
            }
        }
        Ok(series)
    }

    /// What every benchmark did in these runs, in their order, sorted by full name. For runs that are comparable in this
    /// way.
    pub async fn histories(&self, runs: &[Summary], way: &Comparable) -> Result<Vec<Series>, DatabaseError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::new(format!(
            "SELECT series.benchmark, run.id, measurement.diagnostics, {} FROM measurement
             JOIN run ON run.number = measurement.run JOIN series ON series.number = measurement.series WHERE ",
            columns()
        ));
        query.push("series.project = ").push_bind(self.project);
        query.push(" AND series.machine_text = ").push_bind(&way.machine);
        query.push(" AND series.instrument = ").push_bind(way.instrument.name());
        // The runs come first in the plan: a run has as many measurements as it has benchmarks, a series far more.
        query.push(" AND measurement.run IN (SELECT number FROM run WHERE project = ");
        query.push_bind(self.project).push(" AND id IN (");
        let mut ids = query.separated(", ");
        for run in runs {
            ids.push_bind(&run.id);
        }
        query.push("))");
        let rows = query.build().fetch_all(self.readers()).await.map_err(|error| self.error(error))?;
        let machine = machine(way).map_err(|error| self.error(error))?;
        let mut found = BTreeMap::<String, BTreeMap<String, _>>::new();
        for row in &rows {
            let mut read = || -> sqlx::Result<()> {
                let reading = reading(row, 2, &machine)?;
                if reading.is_whole() {
                    found.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, reading);
                }
                Ok(())
            };
            read().map_err(|error| self.error(error))?;
        }
        let series = found.into_iter().map(|(benchmark, readings)| Series {
            benchmark,
            machine: machine.clone(),
            instrument: way.instrument,
            points: runs
                .iter()
                .filter_map(|run| Some(Point { run: run.clone(), reading: *readings.get(&run.id)? }))
                .collect(),
        });
        Ok(series.collect())
    }
}

/// How many columns [`summary`] reads.
const SUMMARY_COLUMNS: usize = 12;

fn history_sql() -> String {
    let columns = columns();
    let sql = select!(
        "JOIN measurement ON measurement.run = run.number
         WHERE measurement.series = (SELECT number FROM series
                                     WHERE project = $7 AND benchmark = $1 AND machine_text = $2 AND instrument = $3)
           AND (run.dirty = 0 OR $6) AND ($4 IS NULL OR run.branch = $4)
         ORDER BY measurement.started_us DESC, measurement.run DESC LIMIT $5"
    );
    sql.replace(" FROM run ", &format!(", measurement.diagnostics, {columns} FROM run "))
}

fn machine(way: &Comparable) -> sqlx::Result<Machine> {
    Machine::parse(&way.machine).map_err(|error| sqlx::Error::Decode(error.to_string().into()))
}

/// A row of machine and instrument.
fn comparable(row: &SqliteRow) -> sqlx::Result<Comparable> {
    Ok(Comparable { machine: row.try_get(0)?, instrument: instrument(row.try_get(1)?)? })
}

fn instrument(name: String) -> sqlx::Result<Instrument> {
    let unknown = || sqlx::Error::Decode(format!("`{name}` is no instrument that this build knows").into());
    Instrument::from_name(&name).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database;

    #[tokio::test]
    async fn a_history_is_found_by_its_series_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let pools = database::open(&folder.path().join("invar.sqlite")).await.unwrap();
        let explained = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", history_sql())));
        let rows = explained.fetch_all(&pools.readers).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("SEARCH measurement USING PRIMARY KEY (series=?)"), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("ORDER BY"), "{plan}");
    }
}
