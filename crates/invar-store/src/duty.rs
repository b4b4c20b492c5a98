//! What servers of one store do from time to time, and one of them is enough: who takes a duty has it until it is done, or
//! until it has been too long. How it ended the last time is kept, for whoever looks after the server.
//!
//! By the clocks of the servers. A duty that two of them do at once costs no more than twice the work: each is safe among
//! others of its kind.

use std::time::Duration;

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::Statement;
use crate::store::Store;

/// A duty, as it was the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// What it is called.
    pub name: String,
    /// Not before then.
    pub due: Timestamp,
    /// Somebody has it until then.
    pub taken: Timestamp,
    /// Who took it; empty: nobody who said so.
    pub who: String,
    /// When it was begun.
    pub began: Option<Timestamp>,
    /// When it ended; `None`: it is being done, or whoever did it was cut off.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a duty ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It could not be done, or not to its end.
    pub failed: bool,
    /// What was done, or why not: a sentence.
    pub said: String,
}

fn after(now: Timestamp, time: Duration) -> i64 {
    now.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

fn duty(row: &Row) -> sqlx::Result<Duty> {
    Ok(Duty {
        name: row.text(0)?,
        due: Timestamp(row.number(1)?),
        taken: Timestamp(row.number(2)?),
        who: row.text(3)?,
        began: row.number_or_none(4)?.map(Timestamp),
        ended: row.number_or_none(5)?.map(Timestamp),
        outcome: Outcome { failed: row.truth(6)?, said: row.text(7)? },
    })
}

impl Store {
    /// Takes a duty, if it is due and nobody has it. Whoever has not done it within `lease` has lost it.
    pub async fn take_duty(&self, duty: &str, by: By<'_>, lease: Duration) -> Result<bool, DatabaseError> {
        let now = by.at;
        let mut transaction = self.database.begin(Intent::Write).await?;
        let first = Statement::new("INSERT INTO duty (name, due_us, taken_us) VALUES (").bind(duty);
        transaction.execute(&first.push(", 0, 0) ON CONFLICT (name) DO NOTHING")).await?;
        let take = Statement::new("UPDATE duty SET taken_us = ")
            .bind(after(now, lease))
            .push(", who = ")
            .bind(by.who)
            .push(", began_us = ")
            .bind(now.0)
            .push(", ended_us = NULL WHERE name = ")
            .bind(duty)
            .push(" AND due_us <= ")
            .bind(now.0)
            .push(" AND taken_us <= ")
            .bind(now.0)
            .push(" RETURNING due_us");
        let taken = transaction.one(&take, |row| row.number(0)).await?;
        transaction.commit().await?;
        Ok(taken.is_some())
    }

    /// A duty has ended, and is due again after this time.
    pub async fn duty_is_done(
        &self,
        duty: &str,
        now: Timestamp,
        again: Duration,
        outcome: &Outcome,
    ) -> Result<(), DatabaseError> {
        let done = Statement::new("UPDATE duty SET taken_us = 0, due_us = ")
            .bind(after(now, again))
            .push(", ended_us = ")
            .bind(now.0)
            .push(", failed = ")
            .bind(outcome.failed)
            .push(", said = ")
            .bind(&outcome.said)
            .push(" WHERE name = ")
            .bind(duty);
        self.database.execute(&done).await
    }

    /// Lets a duty be due now. `false`: it was never done, or somebody is doing it.
    pub async fn hasten_duty(&self, duty: &str, by: By<'_>) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let due = Statement::new("UPDATE duty SET due_us = 0 WHERE name = ").bind(duty);
        let due = due.push(" AND taken_us <= ").bind(by.at.0).push(" RETURNING due_us");
        let done = transaction.one(&due, |row| row.number(0)).await?.is_some();
        if done {
            note(&mut transaction, None, by, &format!("asked for {duty} to be done now")).await?;
        }
        transaction.commit().await?;
        Ok(done)
    }

    /// Writes down what somebody did who was not waited for, such as a backup.
    pub async fn note_duty(
        &self,
        duty: &str,
        who: &str,
        (began, ended): (Timestamp, Timestamp),
        outcome: &Outcome,
    ) -> Result<(), DatabaseError> {
        let statement = Statement::new(
            "INSERT INTO duty (name, due_us, taken_us, who, began_us, ended_us, failed, said) VALUES (",
        );
        let statement = statement.bind(duty).push(", 0, 0, ").bind(who).push(", ").bind(began.0);
        let statement = statement.push(", ").bind(ended.0).push(", ").bind(outcome.failed).push(", ");
        let statement = statement.bind(&outcome.said).push(
            ") ON CONFLICT (name) DO UPDATE SET who = excluded.who, began_us = excluded.began_us,
                 ended_us = excluded.ended_us, failed = excluded.failed, said = excluded.said",
        );
        self.database.execute(&statement).await
    }

    /// Every duty that was ever taken, by name.
    pub async fn duties(&self) -> Result<Vec<Duty>, DatabaseError> {
        let statement =
            "SELECT name, due_us, taken_us, who, began_us, ended_us, failed, said FROM duty ORDER BY name";
        self.database.all(&Statement::new(statement), duty).await
    }
}
