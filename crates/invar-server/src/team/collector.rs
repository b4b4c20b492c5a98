//! Removes, once a day, what projects do not keep any longer, and then what nothing names: that, and what uploads that were
//! cut off left behind. Of the servers of one store one does each. How it ended is in the store, for administrators to see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use invar_core::number::plural;
use invar_store::{By, Collected, Outcome};

use super::access::now;
use super::{Team, retention};

/// What projects do not keep any longer goes.
pub const RETENTION: &str = "retention";
/// What no row names goes.
pub const COLLECTION: &str = "collection";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often it is asked at least whether it is due, and how long it is waited at most for a server that does it.
const ASKED: Duration = Duration::from_secs(600);
const LEASE: Duration = Duration::from_secs(6 * 3600);

/// How often it is done, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often.
    pub every: Duration,
    /// What is younger than this may still be named by a row.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { every: DAY, grace: DAY }
    }
}

/// What was removed by this server so far.
#[derive(Debug, Default)]
pub struct Removed {
    /// How many blobs.
    pub blobs: AtomicU64,
    /// How many bytes.
    pub bytes: AtomicU64,
}

/// Does its part of the servers' duties whenever they are due, for as long as it is asked.
pub async fn keep_collecting(team: Team, pace: Pace) {
    loop {
        if let Err(what) = collect_if_due(&team, pace).await {
            team.log(&format!("collector: {what}"));
        }
        tokio::select! {
            () = tokio::time::sleep(ASKED.min(pace.every)) => {}
            () = team.hastened().notified() => {}
        }
    }
}

/// Removes what projects do not keep, and then what nothing names, each if it is due and no other server does it.
///
/// What went before the first one failed is gone, and what did not goes the next time; so the second does not depend on it.
pub async fn collect_if_due(team: &Team, pace: Pace) -> Result<Option<Collected>, String> {
    let expired = if_due(team, RETENTION, pace.every, async {
        let expired = retention::expire_all(team).await;
        let expired =
            expired.map_err(|problem| problem.for_the_log().unwrap_or_else(|| problem.to_string()))?;
        let profiles = plural(expired.profiles as usize, "run");
        let said = match (expired.runs, expired.profiles) {
            (0, 0) => "Nothing had to go.".to_string(),
            (runs, _) => format!("Removed {}, and the profiles of {profiles}.", plural(runs as usize, "run")),
        };
        Ok((expired, said))
    });
    let expired = expired.await;
    let collected = if_due(team, COLLECTION, pace.every, async {
        // Their parts are collected with the rest. What is not forgotten now is so the next time.
        if let Err(error) = team.store().expire_uploads(now()).await {
            team.log(&format!("uploads that have ended: {error}"));
        }
        let collected = team.store().collect(pace.grace).await.map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        })?;
        team.removed().blobs.fetch_add(collected.removed, Ordering::Relaxed);
        team.removed().bytes.fetch_add(collected.bytes, Ordering::Relaxed);
        let said = match collected.removed {
            0 => "Every blob is named by a row, or too young.".to_string(),
            removed => format!("Removed {} of {} bytes.", plural(removed as usize, "blob"), collected.bytes),
        };
        Ok((collected, said))
    });
    let collected = collected.await?;
    expired?;
    Ok(collected)
}

/// Does something, if it is due and no other server does it, and writes down how that ended.
async fn if_due<T>(
    team: &Team,
    duty: &str,
    every: Duration,
    work: impl Future<Output = Result<(T, String), String>>,
) -> Result<Option<T>, String> {
    let store = team.store();
    let by = By { who: team.who(), at: now() };
    let taken = store.take_duty(duty, by, LEASE.min(every)).await;
    if !taken.map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let (done, outcome, again) = match work.await {
        Ok((done, said)) => (Ok(done), Outcome { failed: false, said }, every),
        Err(why) => (Err(why.clone()), Outcome { failed: true, said: why }, HOUR.min(every)),
    };
    let kept = store.duty_is_done(duty, now(), again, &outcome).await;
    let done = done?;
    kept.map_err(|error| error.to_string())?;
    Ok(Some(done))
}
