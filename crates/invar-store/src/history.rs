//! What pages ask a store for: runs page by page, the commits of a branch, series of benchmarks.
//!
//! Each is one query. Measurements are reached through their series or through their run, never by reading all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use invar_core::compare::Reading;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::history::{Point, Series};
use invar_core::machine::Machine;
use invar_core::run::{Summary, Timestamp};

use crate::database::{DatabaseError, Row};
use crate::measurement::{columns, reading};
use crate::statement::Statement;
use crate::store::{Comparable, Store};
use crate::summary::{instrument, select, summary};

/// How many runs are kept as lists say them, some ten megabytes.
const KNOWN: usize = 20_000;
/// How many runs one statement looks up.
const AT_ONCE: usize = 1000;

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

impl Store {
    /// Runs, newest first.
    pub async fn runs(&self, listing: &Listing) -> Result<Vec<Summary>, DatabaseError> {
        self.database.all(&self.runs_sql(listing), summary).await
    }

    pub(crate) fn runs_sql(&self, listing: &Listing) -> Statement {
        page(self.matching(select("run"), "run", listing), listing)
    }

    /// Measured commits, the one measured last first: of each the newest run of a clean tree that has results.
    pub async fn commits(&self, listing: &Listing) -> Result<Vec<Summary>, DatabaseError> {
        self.database.all(&self.commits_sql(listing), summary).await
    }

    pub(crate) fn commits_sql(&self, listing: &Listing) -> Statement {
        let statement = self.matching(select("run"), "run", listing);
        let statement = statement.push(
            " AND run.measured > 0 AND run.dirty = 0 AND run.commit_id IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM run AS later ",
        );
        let statement = self.matching(statement, "later", listing).push(
            " AND later.commit_id = run.commit_id AND later.measured > 0 AND later.dirty = 0
              AND (later.started_us, later.id) > (run.started_us, run.id))",
        );
        page(statement, listing)
    }

    /// Goes on with what runs of a list have in common.
    fn matching(&self, statement: Statement, table: &'static str, listing: &Listing) -> Statement {
        let mut statement = statement.push("WHERE ").push(table).push(".project = ").bind(self.project);
        if let Some(branch) = &listing.branch {
            statement = statement.push(" AND ").push(table).push(".branch = ").bind(branch);
        }
        if let Some(comparable) = &listing.comparable {
            statement =
                statement.push(" AND ").push(table).push(".machine_text = ").bind(&comparable.machine);
            statement = statement.push(" AND ").push(table).push(".instrument = ");
            statement = statement.bind(comparable.instrument.name());
        }
        statement
    }

    /// Branches that were measured, the one measured last first.
    pub async fn branches(&self, limit: u32) -> Result<Vec<String>, DatabaseError> {
        self.database.all(&self.branches_sql(limit), |row| row.text(0)).await
    }

    pub(crate) fn branches_sql(&self, limit: u32) -> Statement {
        Statement::new("SELECT branch FROM run WHERE project = ")
            .bind(self.project)
            .push(" AND branch IS NOT NULL GROUP BY branch ORDER BY max(started_us) DESC, branch LIMIT ")
            .bind(i64::from(limit))
    }

    /// Measured commits whose id starts like this, a few at most.
    pub async fn commits_starting(&self, start: &str) -> Result<Vec<String>, DatabaseError> {
        // Anything else is not behind `g`.
        if start.is_empty() || !start.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        self.database.all(&self.commits_starting_sql(start), |row| row.text(0)).await
    }

    pub(crate) fn commits_starting_sql(&self, start: &str) -> Statement {
        let start = start.to_ascii_lowercase();
        Statement::new("SELECT DISTINCT commit_id FROM run WHERE project = ")
            .bind(self.project)
            .push(" AND commit_id >= ")
            .bind(&start)
            .push(" AND commit_id < ")
            .bind(format!("{start}g"))
            .push(" ORDER BY commit_id LIMIT 5")
    }

    /// In which way a run was measured; `None` if it is not there.
    pub async fn way(&self, id: &str) -> Result<Option<Comparable>, DatabaseError> {
        let statement = Statement::new("SELECT machine_text, instrument FROM run WHERE id = ").bind(id);
        let statement = statement.push(" AND project = ").bind(self.project);
        self.database.one(&statement, comparable).await
    }

    /// In which ways a benchmark was measured; the one measured last first.
    pub async fn ways(&self, benchmark: &str) -> Result<Vec<Comparable>, DatabaseError> {
        self.database.all(&self.ways_sql(benchmark), comparable).await
    }

    pub(crate) fn ways_sql(&self, benchmark: &str) -> Statement {
        Statement::new("SELECT machine_text, instrument FROM series WHERE project = ")
            .bind(self.project)
            .push(" AND benchmark = ")
            .bind(benchmark)
            // The two engines sort what is not there to different ends.
            .push(
                " ORDER BY coalesce((SELECT max(started_us) FROM measurement WHERE measurement.series = series.number), 0)
                  DESC, number DESC",
            )
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
        let machine = self.machine(way)?;
        let statement = self.history_sql(benchmark, way, branch, trees, limit);
        let packed = self.database.one(&statement, |row| row.text_or_none(0)).await?.flatten();
        let undecodable = |what: &str| self.database.error(&sqlx::Error::Decode(what.to_string().into()));
        let mut found = Vec::new();
        for one in packed.iter().flat_map(|packed| packed.split(';')) {
            let unpacked = unpacked(one, &machine).ok_or_else(|| undecodable("a point of a history"))?;
            found.push(unpacked);
        }
        found.retain(|(.., reading)| reading.is_whole());
        let runs = self.summaries(&found).await?;
        let mut points = Vec::with_capacity(found.len());
        for ((number, _, reading), run) in found.into_iter().zip(runs) {
            // One that has gone since takes its point with it.
            if let Some(run) = run {
                points.push((number, Point { run, reading }));
            }
        }
        points.sort_by_key(|(number, point)| (point.run.started, *number));
        let points = points.into_iter().map(|(_, point)| point).collect();
        Ok(Series { benchmark: benchmark.to_string(), machine, instrument: way.instrument, points })
    }

    /// The points, packed into one text: a value for each count would be copied, one by one, for longer than they are looked for.
    pub(crate) fn history_sql(
        &self,
        benchmark: &str,
        way: &Comparable,
        branch: Option<&str>,
        trees: Trees,
        limit: u32,
    ) -> Statement {
        let statement = Statement::new(format!(
            "SELECT string_agg(point, ';') FROM (
                 SELECT concat_ws(' ', run.number, run.id, measurement.diagnostics, {}) AS point FROM run
                 JOIN measurement ON measurement.run = run.number
                 WHERE measurement.series = (SELECT number FROM series WHERE project = ",
            columns()
        ));
        let statement = statement
            .bind(self.project)
            .push(" AND benchmark = ")
            .bind(benchmark)
            .push(" AND machine_text = ")
            .bind(&way.machine)
            .push(" AND instrument = ")
            .bind(way.instrument.name())
            .push(")")
            .bind_some(" AND run.branch = ", branch)
            .push(match trees {
                Trees::Clean => " AND run.dirty = 0",
                Trees::All => "",
            });
        let statement = statement.push(" ORDER BY measurement.started_us DESC, measurement.run DESC LIMIT ");
        statement.bind(i64::from(limit)).push(") AS points")
    }

    /// What lists say of the run of each result: of those that were asked for lately from memory, since runs never change.
    async fn summaries(
        &self,
        found: &[(i64, &str, Reading)],
    ) -> Result<Vec<Option<Arc<Summary>>>, DatabaseError> {
        let mut runs = self.known.look(found.iter().map(|(number, id, _)| (*number, *id)));
        let unknown: Vec<usize> = (0..runs.len()).filter(|at| runs[*at].is_none()).collect();
        for some in unknown.chunks(AT_ONCE) {
            let statement = select("run").push("WHERE project = ").bind(self.project);
            let statement = statement.push(" AND id IN ").bind_list(some.iter().map(|at| found[*at].1));
            let read = self.database.all(&statement, summary).await?;
            let places: BTreeMap<&str, usize> = some.iter().map(|at| (found[*at].1, *at)).collect();
            let read =
                read.into_iter().filter_map(|run| Some((*places.get(run.id.as_str())?, Arc::new(run))));
            let read: Vec<(usize, Arc<Summary>)> = read.collect();
            for (at, run) in &read {
                runs[*at] = Some(Arc::clone(run));
            }
            self.known.keep(read.into_iter().map(|(at, run)| (found[at].0, run)));
        }
        Ok(runs)
    }

    /// What every benchmark did in these runs, in their order, sorted by full name. For runs that are comparable in this
    /// way.
    pub async fn histories(&self, runs: &[Summary], way: &Comparable) -> Result<Vec<Series>, DatabaseError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let machine = self.machine(way)?;
        let read = |row: &Row| Ok((row.text(0)?, row.text(1)?, reading(row, 2, &machine)?));
        let rows = self.database.all(&self.histories_sql(runs, way), read).await?;
        let places: BTreeMap<&str, usize> =
            runs.iter().enumerate().map(|(place, run)| (run.id.as_str(), place)).collect();
        let runs: Vec<Arc<Summary>> = runs.iter().cloned().map(Arc::new).collect();
        let mut found = BTreeMap::<String, Vec<(usize, Reading)>>::new();
        for (benchmark, run, reading) in rows {
            if let (Some(&place), true) = (places.get(run.as_str()), reading.is_whole()) {
                found.entry(benchmark).or_default().push((place, reading));
            }
        }
        let series = found.into_iter().map(|(benchmark, mut readings)| {
            readings.sort_by_key(|(place, _)| *place);
            let point = |(place, reading)| Point { run: Arc::clone(&runs[place]), reading };
            let points = readings.into_iter().map(point).collect();
            Series { benchmark, machine: machine.clone(), instrument: way.instrument, points }
        });
        Ok(series.collect())
    }

    fn machine(&self, way: &Comparable) -> Result<Machine, DatabaseError> {
        let machine = Machine::parse(&way.machine);
        machine.map_err(|error| self.database.error(&sqlx::Error::Decode(error.to_string().into())))
    }

    pub(crate) fn histories_sql(&self, runs: &[Summary], way: &Comparable) -> Statement {
        let columns = columns();
        // The runs come first in the plan: a run has as many measurements as it has benchmarks, a series far more.
        Statement::new(format!(
            "SELECT series.benchmark, run.id, measurement.diagnostics, {columns} FROM measurement
             JOIN run ON run.number = measurement.run JOIN series ON series.number = measurement.series
             WHERE series.project = "
        ))
        .bind(self.project)
        .push(" AND series.machine_text = ")
        .bind(&way.machine)
        .push(" AND series.instrument = ")
        .bind(way.instrument.name())
        .push(" AND measurement.run IN (SELECT number FROM run WHERE project = ")
        .bind(self.project)
        .push(" AND id IN ")
        .bind_list(runs.iter().map(|run| &run.id))
        .push(")")
    }
}

/// Goes on with where a page of a list starts and ends.
fn page(mut statement: Statement, listing: &Listing) -> Statement {
    if let Some(cursor) = &listing.after {
        statement = statement.push(" AND (run.started_us, run.id) < (").bind(cursor.started.0);
        statement = statement.push(", ").bind(&cursor.id).push(")");
    }
    let statement = statement.push(" ORDER BY run.started_us DESC, run.id DESC LIMIT ");
    statement.bind(i64::from(listing.limit))
}

/// A point as [`Store::history_sql`] packs it: the number of its run, its id, and what was counted.
fn unpacked<'a>(packed: &'a str, machine: &Machine) -> Option<(i64, &'a str, Reading)> {
    let (number, rest) = packed.split_once(' ')?;
    let (run, rest) = rest.split_once(' ')?;
    // Some thirty thousand numbers for a long history: each byte is looked at once.
    let mut digits = rest.bytes();
    let mut count = || {
        let (mut value, mut is_negative, mut any) = (0_u64, false, false);
        for byte in digits.by_ref() {
            match byte {
                b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
                b'-' if !any => is_negative = true,
                b' ' => break,
                _ => return None,
            }
            any = true;
        }
        any.then_some(if is_negative { value.wrapping_neg() } else { value })
    };
    let diagnostics = Diagnostics(count()?);
    let mut events = Events::default();
    for event in Event::ALL {
        events.add(event, count()?);
    }
    let number = number.parse().ok()?;
    Some((number, run, Reading::new(events, machine, diagnostics)))
}

/// Runs as lists say them, of those that were asked for last, by their numbers: those are found quicker than ids, whose
/// beginnings are alike. A number may be given to another run when its own is gone, so the id is looked at.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<BTreeMap<i64, Arc<Summary>>>);

impl Known {
    fn look<'a>(&self, runs: impl Iterator<Item = (i64, &'a str)>) -> Vec<Option<Arc<Summary>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.map(|(number, id)| kept.get(&number).filter(|run| run.id == id).map(Arc::clone)).collect()
    }

    fn keep(&self, runs: impl ExactSizeIterator<Item = (i64, Arc<Summary>)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + runs.len() > KNOWN {
            kept.clear();
        }
        kept.extend(runs);
    }
}

/// A row of machine and instrument.
fn comparable(row: &Row) -> sqlx::Result<Comparable> {
    Ok(Comparable { machine: row.text(0)?, instrument: instrument(row.text(1)?)? })
}
