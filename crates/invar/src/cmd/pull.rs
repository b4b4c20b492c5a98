//! `invar pull`, and runs of a server that other commands name.

use std::collections::BTreeMap;

use invar_core::number::plural;
use invar_core::run::{Run, Timestamp};
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
    let fetched = match (&arguments.commit, &arguments.branch) {
        (Some(commit), _) => fetch(&place, &remote, of_commit(&remote, commit).await?).await?,
        (None, Some(branch)) => fetch(&place, &remote, of_branch(&remote, branch).await?).await?,
        (None, None) => fetch(&place, &remote, baseline(&place, &remote).await?).await?,
    };
    let word = match fetched.put {
        Put::Stored => "Fetched",
        Put::AlreadyThere => "Already there:",
    };
    let title = one_line(&fetched.run.title());
    print(format!("  {word} run {} ({title}) from {}.\n", fetched.run.short_id(), remote.url))?;
    if let Some(decided) = fetched.decided {
        let said = plural(decided, "benchmark");
        say(&format!("  As in {}, {said} renamed or archived.\n", one_line(&remote.project)));
    }
    Ok(Code::Well)
}

/// The server's run of a commit, or else the newest of a branch, of this name; of neither, the one to compare with. It is kept as
/// `invar pull` does.
pub async fn run_of_server(name: &str, place: &Place) -> Result<Run, Failure> {
    let remote = Remote::find(place)?;
    let wanted = match name {
        "" => baseline(place, &remote).await?,
        name => {
            let commit = source::resolve(&place.directory, name).unwrap_or_else(|| name.to_string());
            match of_commit(&remote, &commit).await? {
                (None, _) => of_branch(&remote, name).await?,
                found => found,
            }
        }
    };
    Ok(fetch(place, &remote, wanted).await?.run)
}

/// A run that is in the store now.
struct Fetched {
    run: Run,
    put: Put,
    /// How many benchmarks the server calls otherwise, if that was not known here.
    decided: Option<usize>,
}

/// A run's id, if there is one, and what it is of.
type Which = (Option<String>, String);

async fn of_commit(remote: &Remote, commit: &str) -> Result<Which, Failure> {
    let found = remote.runs(&[("commit", commit)]).await?;
    Ok((found.into_iter().next().map(|run| run.id), format!("commit `{}`", one_line(commit))))
}

async fn of_branch(remote: &Remote, branch: &str) -> Result<Which, Failure> {
    let found = remote.runs(&[("branch", branch), ("limit", "1")]).await?;
    Ok((found.into_iter().next().map(|run| run.id), format!("branch `{}`", one_line(branch))))
}

async fn fetch(place: &Place, remote: &Remote, (id, which): Which) -> Result<Fetched, Failure> {
    let Some(id) = id else {
        let error = format!("{} has no run of {which}", one_line(&remote.project));
        return Err(Failure::new(Code::Usage, error));
    };
    let parcel = remote.pull(&id).await?;
    let decided = remote.names().await?;
    let store = place.store().await?;
    let by = By { who: "invar pull", at: Timestamp(jiff::Timestamp::now().as_microsecond()) };
    let is_new = store.follow_names(&decided, by).await.map_err(|error| place.database(&error))?;
    let put = keep(&parcel.run, &parcel.profiles, place, &store).await?;
    Ok(Fetched { run: parcel.run, put, decided: is_new.then_some(decided.len()) })
}

/// The run that this checkout is to be compared with.
async fn baseline(place: &Place, remote: &Remote) -> Result<Which, Failure> {
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
