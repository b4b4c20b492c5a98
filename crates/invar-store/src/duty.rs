//! What servers of one store do from time to time, and one of them is enough: who takes a duty has it until it is done, or
//! until it has been too long.
//!
//! By the clocks of the servers. A duty that two of them do at once costs no more than twice the work: each is safe among
//! others of its kind.

use std::time::Duration;

use invar_core::run::Timestamp;

use crate::database::{DatabaseError, Intent};
use crate::statement::Statement;
use crate::store::Store;

fn after(now: Timestamp, time: Duration) -> i64 {
    now.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

impl Store {
    /// Takes a duty, if it is due and nobody has it. Whoever has not done it within `lease` has lost it.
    pub async fn take_duty(
        &self,
        duty: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let first = Statement::new("INSERT INTO duty (name, due_us, taken_us) VALUES (").bind(duty);
        transaction.execute(&first.push(", 0, 0) ON CONFLICT (name) DO NOTHING")).await?;
        let take = Statement::new("UPDATE duty SET taken_us = ")
            .bind(after(now, lease))
            .push(" WHERE name = ")
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

    /// A duty is done, and due again after this time.
    pub async fn duty_is_done(
        &self,
        duty: &str,
        now: Timestamp,
        again: Duration,
    ) -> Result<(), DatabaseError> {
        let done = Statement::new("UPDATE duty SET taken_us = 0, due_us = ").bind(after(now, again));
        self.database.execute(&done.push(" WHERE name = ").bind(duty)).await
    }
}
