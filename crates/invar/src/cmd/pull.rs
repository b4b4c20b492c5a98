//! `invar pull`.

use std::collections::BTreeMap;

use invar_core::number::plural;
use invar_core::run::Timestamp;
use invar_runner::source;
use invar_store::{By, Put};

use crate::args::{Common, Pull};
use crate::baseline::{FAR, line};
use crate::cmd::import::keep;
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::remote::{Listed, Remote};
use crate::render::one_line;
use crate::terminal::{print, say};

/// How many runs of a branch are looked through.
const RUNS: &str = "500";

/// Fetches a run to compare with.
pub async fn pull(arguments: Pull, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let remote = Remote::find(&place)?;
    let (id, which) = match (&arguments.commit, &arguments.branch) {
        (Some(commit), _) => {
            let found = remote.runs(&[("commit", commit)]).await?;
            (found.into_iter().next().map(|run| run.id), format!("commit `{}`", one_line(commit)))
        }
        (None, Some(branch)) => {
            let found = remote.runs(&[("branch", branch), ("limit", "1")]).await?;
            (found.into_iter().next().map(|run| run.id), format!("branch `{}`", one_line(branch)))
        }
        (None, None) => baseline(&place, &remote).await?,
    };
    let Some(id) = id else {
        let error = format!("{} has no run of {which}", one_line(&remote.project));
        return Err(Failure::new(Code::Usage, error));
    };
    let parcel = remote.pull(&id).await?;
    let decided = remote.names().await?;
    let store = place.store().await?;
    let by = By { who: "invar pull", at: Timestamp(jiff::Timestamp::now().as_microsecond()) };
    let is_new = store.follow_names(&decided, by).await.map_err(|error| place.database(&error))?;
    let word = match keep(&parcel.run, &parcel.profiles, &place, &store).await? {
        Put::Stored => "Fetched",
        Put::AlreadyThere => "Already there:",
    };
    let title = one_line(&parcel.run.title());
    print(format!("  {word} run {} ({title}) from {}.\n", parcel.run.short_id(), remote.url))?;
    if is_new {
        let said = plural(decided.len(), "benchmark");
        say(&format!("  As in {}, {said} renamed or archived.\n", one_line(&remote.project)));
    }
    Ok(Code::Well)
}

/// The run that this checkout is to be compared with.
async fn baseline(place: &Place, remote: &Remote) -> Result<(Option<String>, String), Failure> {
    let source = source::read(&place.directory, place.config.default_branch.as_deref()).unwrap_or_default();
    let branch = place.config.default_branch.clone().or_else(|| source.default_branch.clone());
    let Some(branch) = branch else {
        return Err(Failure::new(Code::Usage, "the default branch is not known")
            .help("name one: invar pull --branch main"));
    };
    let runs = remote.runs(&[("branch", &branch), ("limit", RUNS)]).await?;
    let start = source.merge_base.or(source.commit);
    let ancestors = start.map(|start| line(&start, source::ancestors(&place.directory, &start, FAR)));
    let id =
        nearest(&runs, &ancestors.unwrap_or_default()).or_else(|| runs.into_iter().next().map(|run| run.id));
    Ok((id, format!("branch `{}`", one_line(&branch))))
}

/// The newest run of a clean tree of the first of these commits that has one.
fn nearest(runs: &[Listed], commits: &[String]) -> Option<String> {
    let mut newest = BTreeMap::<&str, &str>::new();
    for run in runs.iter().filter(|run| !run.dirty) {
        if let Some(commit) = &run.commit {
            newest.entry(commit).or_insert(&run.id);
        }
    }
    commits.iter().find_map(|commit| newest.get(commit.as_str())).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_measured_ancestor_is_fetched() {
        let run = |id: &str, commit: &str, dirty| Listed {
            id: id.to_string(),
            commit: Some(commit.to_string()),
            dirty,
        };
        let runs = [run("4", "b", true), run("3", "c", false), run("2", "b", false), run("1", "b", false)];
        let commits = ["a", "b", "c"].map(str::to_string);
        assert_eq!(nearest(&runs, &commits).as_deref(), Some("2"));
        assert_eq!(nearest(&runs, &commits[..1]), None);
    }
}
