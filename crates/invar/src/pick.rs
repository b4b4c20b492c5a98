//! Names on the command line become runs.
//!
//! A name is, in this order: `worktree`; a file, if it has a slash or a dot; a run's id, or four digits or more of either
//! of its ends; whatever git resolves to a commit; a branch of a stored run.

use std::path::Path;

use invar_core::nearest::nearest;
use invar_core::number::plural;
use invar_core::run::{Run, Summary};
use invar_core::wire::v1;
use invar_runner::source;
use invar_store::{Comparable, Found, GetError, Store, Wanted, blobs};

use crate::baseline::{FAR, line};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render::one_line;

/// The word for the tree as it is.
const WORKTREE: &str = "worktree";
/// Fewer digits of an id say nothing.
const FEWEST_DIGITS: usize = 4;

/// The run that is meant. Of a commit's runs, one that can be compared with the other side is meant if there is one.
pub async fn pick(
    name: &str,
    place: &Place,
    store: Option<&Store>,
    like: Option<&Comparable>,
) -> Result<Run, Failure> {
    let looks_like_a_file = name.contains(['/', '.']);
    if looks_like_a_file && Path::new(name).is_file() {
        return read_file(Path::new(name));
    }
    let Some(store) = store else { return Err(unknown(name, place)) };
    if name == WORKTREE {
        return worktree(place, store, like).await;
    }
    if name.len() >= FEWEST_DIGITS {
        match store.find(name).await.map_err(|error| place.database(&error))? {
            Found::One(id) => return get(store, &id).await,
            Found::Several(runs) => return Err(ambiguous(name, &runs)),
            Found::None => {}
        }
    }
    if let Some(commit) = source::resolve(&place.directory, name) {
        let wanted = Wanted { commit: Some(commit.clone()), ..Wanted::default() };
        return match latest(place, store, wanted, like).await? {
            Some(run) => Ok(run),
            None => {
                let nearest = nearest_measured(place, store, &commit, like).await?;
                Err(not_measured(name, &commit, nearest))
            }
        };
    }
    let wanted = Wanted { branch: Some(name.to_string()), ..Wanted::default() };
    latest(place, store, wanted, like).await?.ok_or_else(|| unknown(name, place))
}

/// The newest run of all, whatever became of it.
pub async fn newest(place: &Place, store: Option<&Store>) -> Result<Run, Failure> {
    let runs = match store {
        Some(store) => store.list(1).await.map_err(|error| place.database(&error))?,
        None => Vec::new(),
    };
    match (store, runs.first()) {
        (Some(store), Some(run)) => get(store, &run.id).await,
        _ => Err(Failure::new(Code::Usage, format!("no runs are stored in {}", place.store.display()))
            .help("make one: invar run -- pytest")),
    }
}

/// The run of that name; the newest where none is named.
pub async fn named_or_newest(
    name: Option<&str>,
    place: &Place,
    store: Option<&Store>,
) -> Result<Run, Failure> {
    match name {
        Some(name) => pick(name, place, store, None).await,
        None => newest(place, store).await,
    }
}

/// The name among these that is meant: the whole of one, or a part that no other has. `noun` is what they are names of.
pub fn pick_name<'a>(part: &str, names: &[&'a str], noun: &str) -> Result<&'a str, Failure> {
    if let Some(&name) = names.iter().find(|name| **name == part) {
        return Ok(name);
    }
    let found: Vec<&str> = names.iter().copied().filter(|name| name.contains(part)).collect();
    match found[..] {
        [name] => Ok(name),
        [] => {
            let failure = Failure::new(Code::Usage, format!("no {noun} is called `{}`", one_line(part)));
            Err(match nearest(part, names) {
                Some(name) => failure.help(format!("did you mean {}?", one_line(name))),
                None => names.iter().take(5).fold(failure, |failure, name| failure.help(one_line(name))),
            })
        }
        _ => {
            let many = found.len();
            let error = format!("`{}` could be any of {}", one_line(part), plural(many, noun));
            let failure = Failure::new(Code::Usage, error);
            Err(found.iter().take(5).fold(failure, |failure, name| failure.help(one_line(name))))
        }
    }
}

/// Whether a name could be a run's: there is such a file, a stored run has it, or git knows it.
pub async fn is_a_run(name: &str, place: &Place, store: &Store) -> Result<bool, Failure> {
    if name == WORKTREE || Path::new(name).is_file() || source::resolve(&place.directory, name).is_some() {
        return Ok(true);
    }
    let found = store.find(name).await.map_err(|error| place.database(&error))?;
    let digits = name.len() >= FEWEST_DIGITS && !matches!(found, Found::None);
    let branch = Wanted { branch: Some(name.to_string()), ..Wanted::default() };
    Ok(digits || latest(place, store, branch, None).await?.is_some())
}

/// Reads a run file, compressed or not.
pub fn read_file(path: &Path) -> Result<Run, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(Code::Storage, format!("cannot read {}", path.display())).because(&error)
    })?;
    read_bytes(bytes, &path.display().to_string())
}

/// Reads a run file's content; `name` is what to call it.
pub fn read_bytes(bytes: Vec<u8>, name: &str) -> Result<Run, Failure> {
    let cannot = || Failure::new(Code::Usage, format!("{name} cannot be used as a run"));
    let bytes = blobs::unpack(bytes).map_err(|error| cannot().because(&error))?;
    v1::read(&bytes).map_err(|error| cannot().because(&error))
}

async fn worktree(place: &Place, store: &Store, like: Option<&Comparable>) -> Result<Run, Failure> {
    let default_branch = place.config.default_branch.as_deref();
    let tree = source::read(&place.directory, default_branch);
    let (wanted, what) = match &tree {
        None => (Wanted::default(), "this directory".to_string()),
        Some(tree) => {
            let wanted = Wanted { commit: tree.commit.clone(), dirty: Some(tree.dirty), ..Wanted::default() };
            (wanted, format!("the tree as it is ({})", tree.short()))
        }
    };
    latest(place, store, wanted, like).await?.ok_or_else(|| {
        Failure::new(Code::Usage, format!("no run of {what} is stored"))
            .help("measure it: invar run -- pytest")
    })
}

async fn latest(
    place: &Place,
    store: &Store,
    wanted: Wanted,
    like: Option<&Comparable>,
) -> Result<Option<Run>, Failure> {
    let ask = async |wanted: Wanted| store.latest(&wanted).await.map_err(|error| place.database(&error));
    let mut found = ask(Wanted { comparable: like.cloned(), ..wanted.clone() }).await?;
    if found.is_none() && like.is_some() {
        // Rather a run that cannot be compared, which is then said, than none.
        found = ask(wanted).await?;
    }
    match found {
        Some(run) => get(store, &run.id).await.map(Some),
        None => Ok(None),
    }
}

async fn get(store: &Store, id: &str) -> Result<Run, Failure> {
    store.get(id).await.map_err(|error| {
        let failure = Failure::of(Code::Storage, &error);
        match error {
            GetError::Blob { .. } => failure.help("if it was exported, import it again: invar import FILE"),
            _ => failure,
        }
    })
}

fn unknown(name: &str, place: &Place) -> Failure {
    let failure =
        Failure::new(Code::Usage, format!("`{name}` is no stored run, no file, and nothing that git knows"));
    if place.store.exists() {
        failure.help("the stored runs: invar list")
    } else {
        failure
            .help(format!("no runs are stored in {}; make one: invar run -- pytest", place.store.display()))
    }
}

fn ambiguous(name: &str, runs: &[Summary]) -> Failure {
    let failure = Failure::new(Code::Usage, format!("`{name}` could be any of {} runs", runs.len()));
    runs.iter().take(5).fold(failure, |failure, run| failure.help(format!("{}  {}", run.id, run.title)))
}

/// The nearest ancestor of a commit that was measured, and how many commits before it that is.
async fn nearest_measured(
    place: &Place,
    store: &Store,
    commit: &str,
    like: Option<&Comparable>,
) -> Result<Option<(String, usize)>, Failure> {
    let Some(like) = like else { return Ok(None) };
    let measured = store.commits_measured(like).await.map_err(|error| place.database(&error))?;
    let line = line(commit, source::ancestors(&place.directory, commit, FAR));
    Ok(line
        .into_iter()
        .enumerate()
        .find(|(_, commit)| measured.contains(commit))
        .map(|(at, commit)| (commit, at)))
}

fn not_measured(name: &str, commit: &str, nearest: Option<(String, usize)>) -> Failure {
    let short = |commit: &str| commit.get(..7).unwrap_or(commit).to_string();
    let called = if commit.starts_with(name) {
        short(commit)
    } else {
        format!("`{}` ({})", one_line(name), short(commit))
    };
    let failure = Failure::new(Code::Usage, format!("no run of {called} is stored"))
        .help(format!("measure it: git switch --detach {} && invar run -- pytest", short(commit)));
    match nearest {
        Some((nearest, commits)) => failure.help(format!(
            "or use {}, its nearest ancestor that has been measured, {} before",
            short(&nearest),
            plural(commits, "commit")
        )),
        None => failure.help("or use another run: invar list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_meant_by_the_whole_of_it_or_by_a_part_of_its_own() {
        let names = ["t.py::fibo", "t.py::fibo_big", "t.py::json"];
        assert_eq!(pick_name("t.py::fibo", &names, "benchmark").ok(), Some("t.py::fibo"));
        assert_eq!(pick_name("big", &names, "benchmark").ok(), Some("t.py::fibo_big"));
        let said = |part| pick_name(part, &names, "benchmark").unwrap_err().sentence();
        assert_eq!(said("fibo"), "`fibo` could be any of 2 benchmarks");
        assert_eq!(said("yaml"), "no benchmark is called `yaml`");
    }
}
