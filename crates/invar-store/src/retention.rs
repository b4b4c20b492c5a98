//! For how long a project keeps what was measured.
//!
//! The runs of one branch, the default one, are kept for ever; those of others, and profiles, as many days as the project
//! says. What goes is chosen by when it was measured, and goes whole: a run with its results and profiles, or the profiles of
//! a run. Blobs that nothing names any more are the collector's.

use invar_core::number::plural;
use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Transaction};
use crate::revision::runs_changed;
use crate::shard;
use crate::statement::Statement;
use crate::store::Store;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// How many runs go at a time, while nobody can upload.
const AT_ONCE: u32 = 100;

/// For how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Runs of branches that are not the default one, in days; `None`: for ever.
    pub runs_days: Option<u32>,
    /// Profiles of any branch, in days, but for those of the newest run of the default one; `None`: as long as their runs.
    pub profiles_days: Option<u32>,
}

/// What goes, or would go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many runs, with all that is theirs.
    pub runs: u64,
    /// Of how many runs that stay the profiles.
    pub profiles: u64,
}

impl Retention {
    /// Is everything kept?
    pub fn is_forever(&self) -> bool {
        *self == Retention::default()
    }

    /// For people.
    pub fn shown(&self) -> String {
        let days = |days: Option<u32>| match days {
            Some(days) => format!("for {}", plural(days as usize, "day")),
            None => "for ever".to_string(),
        };
        format!("runs of other branches {}, profiles {}", days(self.runs_days), days(self.profiles_days))
    }
}

/// The last moment of which nothing is kept any more.
fn before(now: Timestamp, days: u32) -> i64 {
    now.0.saturating_sub(i64::from(days).saturating_mul(DAY_US))
}

impl Store {
    /// For how long this project keeps what was measured.
    pub async fn retention(&self) -> Result<Retention, DatabaseError> {
        let statement = Statement::new("SELECT runs_days, profiles_days FROM retention WHERE project = ")
            .bind(self.project);
        let days = |days: Option<i64>| days.and_then(|days| u32::try_from(days).ok());
        let found = self.database.one(&statement, |row| {
            let (runs, profiles) = (row.number_or_none(0)?, row.number_or_none(1)?);
            Ok(Retention { runs_days: days(runs), profiles_days: days(profiles) })
        });
        Ok(found.await?.unwrap_or_default())
    }

    /// Keeps it so long from now on. Nothing goes by that.
    pub async fn set_retention(&self, retention: Retention, by: By<'_>) -> Result<(), DatabaseError> {
        let mut statement =
            Statement::new("INSERT INTO retention (project, runs_days, profiles_days) VALUES (")
                .bind(self.project);
        for days in [retention.runs_days, retention.profiles_days] {
            statement = match days {
                Some(days) => statement.push(", ").bind(i64::from(days)),
                None => statement.push(", NULL"),
            };
        }
        let statement = statement.push(
            ") ON CONFLICT (project) DO UPDATE SET runs_days = excluded.runs_days, profiles_days = excluded.profiles_days",
        );
        let mut transaction = self.database.begin(Intent::Write).await?;
        transaction.execute(&statement).await?;
        let what = format!("keeps {}", retention.shown());
        note(&mut transaction, Some(self.project), by, &what).await?;
        transaction.commit().await
    }

    /// What would go now.
    pub async fn would_expire(
        &self,
        retention: Retention,
        base: &str,
        now: Timestamp,
    ) -> Result<Expired, DatabaseError> {
        let mut expired = Expired::default();
        let count = async |statement: Option<Statement>| -> Result<u64, DatabaseError> {
            let Some(statement) = statement else { return Ok(0) };
            let count = self.database.one(&statement, |row| row.number(0)).await?;
            Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
        };
        expired.runs = count(self.old_runs_sql("count(*)", retention, base, now)).await?;
        expired.profiles =
            count(self.old_profiles_sql("count(DISTINCT profile.run)", retention, base, now)).await?;
        Ok(expired)
    }

    /// Removes what is not to be kept, a few runs at a time, and says what that was.
    pub async fn expire(
        &self,
        retention: Retention,
        base: &str,
        by: By<'_>,
    ) -> Result<Expired, DatabaseError> {
        let mut expired = Expired::default();
        loop {
            // Nobody puts runs now, so nobody makes use of a series that goes.
            let mut transaction = self.database.begin(Intent::RemoveBlobs).await?;
            let runs = self.old_runs_sql("run.number", retention, base, by.at);
            let runs = few(&mut transaction, runs).await?;
            let profiles = self.old_profiles_sql("DISTINCT profile.run", retention, base, by.at);
            let profiles = few(&mut transaction, profiles).await?;
            if runs.is_empty() && profiles.is_empty() {
                return Ok(expired);
            }
            let mut said = Vec::new();
            if !runs.is_empty() {
                self.remove_runs(&mut transaction, &runs).await?;
                expired.runs += runs.len() as u64;
                said.push(plural(runs.len(), "run"));
            }
            if !profiles.is_empty() {
                shard::forget_profiles(&mut transaction, &profiles).await?;
                let gone =
                    Statement::new("DELETE FROM profile WHERE run IN ").bind_list(profiles.iter().copied());
                transaction.execute(&gone).await?;
                // Those of runs that have just gone went with them.
                let stay = profiles.iter().filter(|run| !runs.contains(run)).count();
                expired.profiles += stay as u64;
                if stay > 0 {
                    said.push(format!("the profiles of {}", plural(stay, "run")));
                }
            }
            let what = format!("removed {}, which were not to be kept any longer", said.join(" and "));
            note(&mut transaction, Some(self.project), by, &what).await?;
            if !runs.is_empty() {
                runs_changed(&mut transaction, self.project).await?;
            }
            transaction.commit().await?;
        }
    }

    async fn remove_runs(&self, transaction: &mut Transaction, runs: &[i64]) -> Result<(), DatabaseError> {
        shard::forget(transaction, runs).await?;
        for start in [
            "DELETE FROM measurement WHERE run IN ",
            "DELETE FROM profile WHERE run IN ",
            "DELETE FROM run WHERE number IN ",
        ] {
            transaction.execute(&Statement::new(start).bind_list(runs.iter().copied())).await?;
        }
        let series = Statement::new("DELETE FROM series WHERE project = ").bind(self.project);
        let empty = " AND NOT EXISTS (SELECT 1 FROM measurement WHERE measurement.series = series.number)";
        transaction.execute(&series.push(empty)).await
    }

    /// Runs that are not to be kept; `None`: all are.
    pub(crate) fn old_runs_sql(
        &self,
        what: &'static str,
        retention: Retention,
        base: &str,
        now: Timestamp,
    ) -> Option<Statement> {
        let days = retention.runs_days?;
        let statement = Statement::new("SELECT ").push(what).push(" FROM run WHERE run.project = ");
        let statement = statement.bind(self.project).push(" AND run.started_us <= ").bind(before(now, days));
        Some(statement.push(" AND (run.branch IS NULL OR run.branch <> ").bind(base).push(")"))
    }

    /// Profiles that are not to be kept; `None`: all are, as long as their runs. Those of runs that go are among them.
    pub(crate) fn old_profiles_sql(
        &self,
        what: &'static str,
        retention: Retention,
        base: &str,
        now: Timestamp,
    ) -> Option<Statement> {
        let days = retention.profiles_days?;
        let statement = Statement::new("SELECT ")
            .push(what)
            .push(" FROM profile JOIN run ON run.number = profile.run WHERE run.project = ");
        let statement = statement.bind(self.project).push(" AND run.started_us <= ").bind(before(now, days));
        // What pull requests are compared with, however long ago that was.
        let statement =
            statement.push(" AND run.id <> coalesce((SELECT id FROM run AS newest WHERE newest.project = ");
        let statement = statement.bind(self.project).push(" AND newest.branch = ").bind(base);
        Some(statement.push(
            " AND newest.dirty = 0 AND newest.measured > 0 ORDER BY newest.started_us DESC, newest.id DESC LIMIT 1), '')",
        ))
    }
}

/// The first numbers that a statement finds.
async fn few(transaction: &mut Transaction, statement: Option<Statement>) -> Result<Vec<i64>, DatabaseError> {
    let Some(statement) = statement else { return Ok(Vec::new()) };
    let statement = statement.push(" LIMIT ").bind(i64::from(AT_ONCE));
    transaction.all(&statement, |row| row.number(0)).await
}
