//! Removes, once a day, what projects do not keep any longer, and then what nothing names: that, and what uploads that were
//! cut off left behind. Of the servers of one store one does it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use invar_store::Collected;

use super::access::now;
use super::{Team, retention};

const DUTY: &str = "collect";
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

/// Collects whenever it is due, for as long as it is asked.
pub async fn keep_collecting(team: Team, pace: Pace) {
    loop {
        if let Err(what) = collect_if_due(&team, pace).await {
            team.log(&format!("collector: {what}"));
        }
        tokio::time::sleep(ASKED.min(pace.every)).await;
    }
}

/// Collects, if it is due and no other server does it.
pub async fn collect_if_due(team: &Team, pace: Pace) -> Result<Option<Collected>, String> {
    let store = team.store();
    let taken = store.take_duty(DUTY, now(), LEASE.min(pace.every)).await;
    if !taken.map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let expired = retention::expire_all(team).await;
    // Their parts are collected with the rest. What is not forgotten now is so the next time.
    if let Err(error) = store.expire_uploads(now()).await {
        team.log(&format!("uploads that have ended: {error}"));
    }
    let collected = store.collect(pace.grace).await;
    let again = if collected.is_ok() && expired.is_ok() { pace.every } else { HOUR.min(pace.every) };
    let done = store.duty_is_done(DUTY, now(), again).await;
    let collected = collected.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })?;
    team.removed().blobs.fetch_add(collected.removed, Ordering::Relaxed);
    team.removed().bytes.fetch_add(collected.bytes, Ordering::Relaxed);
    done.map_err(|error| error.to_string())?;
    // What went before it failed is gone, and what did not goes the next time.
    expired.map_err(|problem| problem.for_the_log().unwrap_or_else(|| problem.to_string()))?;
    Ok(Some(collected))
}
