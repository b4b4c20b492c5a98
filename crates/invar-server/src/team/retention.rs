//! What projects do not keep for ever goes, once a day, before the collector: of the servers of one store one does it.

use invar_store::{By, Expired, Project, Store};

use super::Team;
use super::access::now;
use crate::problem::Problem;

/// Who does it, in the log of a project.
const WHO: &str = "retention";

/// The branch whose runs stay; `None`: nobody knows, and so everything stays.
pub async fn kept_branch(team: &Team, store: &Store, about: &Project) -> Result<Option<String>, Problem> {
    team.shown(store, about).app.branch().await
}

/// Removes from every project what it does not keep.
pub async fn expire_all(team: &Team) -> Result<Expired, Problem> {
    let mut expired = Expired::default();
    for about in team.store().projects().await? {
        let Some(store) = team.store().project(&about.name).await? else { continue };
        let retention = store.retention().await?;
        if retention.is_forever() {
            continue;
        }
        let Some(branch) = kept_branch(team, &store, &about).await? else { continue };
        let gone = store.expire(retention, &branch, By { who: WHO, at: now() }).await?;
        expired.runs += gone.runs;
        expired.profiles += gone.profiles;
    }
    Ok(expired)
}
