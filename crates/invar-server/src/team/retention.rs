//! What projects do not keep for ever goes, once a day, before the collector: of the servers of one store one does it.

use invar_store::{By, Expired, Project, Retention, Store};

use super::Team;
use super::access::now;
use crate::problem::Problem;

/// Who does it, in the log of a project.
const WHO: &str = "retention";

/// The branch whose runs stay; `None`: nobody knows, and so everything stays.
async fn kept_branch(team: &Team, store: &Store, about: &Project) -> Result<Option<String>, Problem> {
    team.shown(store, about).app.branch().await
}

/// What would go today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The branch whose runs stay; `None`: nobody knows, and so everything stays.
    pub branch: Option<String>,
    /// What goes.
    pub would_go: Expired,
}

/// What would go from a project today if it kept things so long.
pub(super) async fn preview(team: &Team, store: &Store, kept: Retention) -> Result<Preview, Problem> {
    let branch = kept_branch(team, store, &store.about().await?).await?;
    let would_go = match &branch {
        Some(branch) => store.would_expire(kept, branch, now()).await?,
        None => Expired::default(),
    };
    Ok(Preview { branch, would_go })
}

/// The same for whoever has the server's data; the error is a sentence.
pub async fn would_go(team: &Team, store: &Store, kept: Retention) -> Result<Preview, String> {
    let seen = preview(team, store, kept).await;
    seen.map_err(|problem| problem.for_the_log().unwrap_or_else(|| problem.to_string()))
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
