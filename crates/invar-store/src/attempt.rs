//! Who has failed to sign in how often lately, and what else may be done so often: counted here, so that every server of a store
//! counts the same.
//!
//! Who tries, and where, is a digest: nobody reads names out of this table. What is older than the window counts no more and
//! is removed.

use std::time::Duration;

use invar_core::run::Timestamp;

use crate::database::{DatabaseError, Intent};
use crate::statement::Statement;
use crate::store::Store;

/// Something that attempts are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// SHA-256 of who tries, or where, or both.
    pub digest: String,
    /// How many may fail within the window.
    pub most: u32,
}

impl Store {
    /// May somebody try? What they try counts as a failure until [`Store::forget_attempt`] is called: of many at once no more
    /// get through. Who may not is not counted.
    pub async fn may_try(
        &self,
        counted: &[Counted],
        now: Timestamp,
        window: Duration,
    ) -> Result<bool, DatabaseError> {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        let over =
            Statement::new("DELETE FROM attempt WHERE since_us <= ").bind(now.0.saturating_sub(window));
        self.database.execute(&over).await?;
        // In one order, so that of two who count the same things each waits for the other and none for ever.
        let mut counted: Vec<&Counted> = counted.iter().collect();
        counted.sort();
        let mut transaction = self.database.begin(Intent::Write).await?;
        for one in counted {
            let count = Statement::new("INSERT INTO attempt (what, failed, since_us) VALUES (")
                .bind(&one.digest)
                .push(", 1, ")
                .bind(now.0)
                .push(") ON CONFLICT (what) DO UPDATE SET failed = attempt.failed + 1 RETURNING failed");
            let failed = transaction.one(&count, |row| row.number(0)).await?;
            if failed.is_none_or(|failed| failed > i64::from(one.most)) {
                // Dropped, it did not happen.
                return Ok(false);
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// May something be done once more that may be done so often until then, and is counted for as long? `window` is that of
    /// [`Store::may_try`], in whose table it is.
    pub async fn may_still(
        &self,
        counted: &Counted,
        until: Timestamp,
        window: Duration,
    ) -> Result<bool, DatabaseError> {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        let count = Statement::new("INSERT INTO attempt (what, failed, since_us) VALUES (")
            .bind(&counted.digest)
            .push(", 1, ")
            .bind(until.0.saturating_sub(window))
            .push(") ON CONFLICT (what) DO UPDATE SET failed = attempt.failed + 1 RETURNING failed");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let done = transaction.one(&count, |row| row.number(0)).await?;
        transaction.commit().await?;
        Ok(done.is_some_and(|done| done <= i64::from(counted.most)))
    }

    /// They were right: what they failed before by the first of these counts no more, and by the others this once did not.
    pub async fn forget_attempt(&self, counted: &[Counted]) -> Result<(), DatabaseError> {
        let mut all: Vec<(usize, &Counted)> = counted.iter().enumerate().collect();
        all.sort_by_key(|(_, one)| *one);
        let mut transaction = self.database.begin(Intent::Write).await?;
        for (at, one) in all {
            let start = if at == 0 {
                "DELETE FROM attempt WHERE what = "
            } else {
                "UPDATE attempt SET failed = failed - 1 WHERE failed > 0 AND what = "
            };
            transaction.execute(&Statement::new(start).bind(&one.digest)).await?;
        }
        transaction.commit().await
    }
}
