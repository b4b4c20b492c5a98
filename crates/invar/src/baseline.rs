//! What a run is compared with where nobody says.
//!
//! In this order: the commit where its branch left the default branch; the nearest measured ancestor of that; the nearest
//! measured commit of the branch itself; the last run of the branch before. Outside a repository: the last run before.
//! Only comparable runs count, and of a commit only those of a clean tree. Which of these it was is always said.

use std::collections::BTreeSet;
use std::fmt;

use invar_core::naming::Names;
use invar_core::number::plural;
use invar_core::run::{Run, Summary};
use invar_core::source::Source;
use invar_runner::source;
use invar_store::{Comparable, Store, Wanted};

use crate::exit::{Code, Failure};
use crate::place::Place;

/// How many ancestors are asked for.
pub const FAR: usize = 10_000;

/// A run to compare with, and why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The run.
    pub run: Run,
    /// Why this one.
    pub reason: Reason,
}

/// Why a run is the baseline. Reads on from "the baseline is".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Somebody named it.
    Asked,
    /// It is of the merge base with that branch.
    MergeBase(String),
    /// It is of an ancestor of the merge base, so many commits before it.
    BeforeMergeBase {
        /// The branch.
        branch: String,
        /// How many.
        commits: usize,
    },
    /// It is of an ancestor, so many commits before.
    Before(usize),
    /// It is of the same commit, without the changes.
    SameCommit,
    /// It is the last run of that branch, or of a commit that is on none.
    LastOf(Option<String>),
    /// It is the last run there is.
    Last,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Asked => write!(f, "as asked for"),
            Reason::MergeBase(branch) => write!(f, "the merge base with `{branch}`"),
            Reason::BeforeMergeBase { branch, commits } => {
                let commits = plural(*commits, "commit");
                write!(
                    f,
                    "{commits} before the merge base with `{branch}`: the nearest that has been measured"
                )
            }
            Reason::Before(1) => write!(f, "the commit before"),
            Reason::Before(commits) => {
                write!(f, "{} before: the nearest that has been measured", plural(*commits, "commit"))
            }
            Reason::SameCommit => write!(f, "the same commit without the changes that are not committed"),
            Reason::LastOf(Some(branch)) => {
                write!(f, "the run of `{branch}` before: no ancestor has been measured with a clean tree")
            }
            Reason::LastOf(None) => {
                write!(f, "the run of this commit before: no ancestor has been measured with a clean tree")
            }
            Reason::Last => write!(f, "the run before: there is no history to go by"),
        }
    }
}

/// What was found to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This.
    Baseline(Box<Baseline>),
    /// Nothing, for a reason: a sentence.
    None(String),
}

impl Choice {
    /// What somebody has named.
    pub fn asked(run: Run) -> Choice {
        Choice::Baseline(Box::new(Baseline { run, reason: Reason::Asked }))
    }

    /// The same by the names of today.
    #[must_use]
    pub fn today(self, names: &Names) -> Choice {
        match self {
            Choice::Baseline(found) if !names.is_empty() => {
                Choice::Baseline(Box::new(Baseline { run: names.run(&found.run), ..*found }))
            }
            other => other,
        }
    }
}

/// Chooses what to compare a run with.
pub async fn choose(candidate: &Run, place: &Place, store: &Store) -> Result<Choice, Failure> {
    let comparable = Comparable::with(candidate);
    let measured = store.commits_measured(&comparable).await.map_err(|error| place.database(&error))?;
    let wanted =
        Wanted { comparable: Some(comparable), except: Some(candidate.id.clone()), ..Wanted::default() };
    let before = Wanted { not_after: Some(candidate.started), ..wanted.clone() };
    let committed = candidate.source.as_ref().and_then(|source| Some((source, source.commit.clone()?)));
    let (found, reason) = match committed {
        None => (latest(place, store, &before).await?, Reason::Last),
        Some((source, commit)) => match ancestor(place, source, &commit, &measured) {
            Some((commit, reason)) => {
                let wanted = Wanted { commit: Some(commit), dirty: Some(false), ..wanted };
                (latest(place, store, &wanted).await?, reason)
            }
            None => {
                let branch = source.branch.clone();
                let commit = branch.is_none().then_some(commit);
                let reason = Reason::LastOf(branch.clone());
                (latest(place, store, &Wanted { commit, branch, ..before }).await?, reason)
            }
        },
    };
    let Some(found) = found else { return Ok(Choice::None(nothing(candidate))) };
    let run = store.get(&found.id).await.map_err(|error| Failure::of(Code::Storage, &error))?;
    Ok(Choice::Baseline(Box::new(Baseline { run, reason })))
}

async fn latest(place: &Place, store: &Store, wanted: &Wanted) -> Result<Option<Summary>, Failure> {
    store.latest(wanted).await.map_err(|error| place.database(&error))
}

/// Asks git for the history, and decides.
fn ancestor(
    place: &Place,
    source: &Source,
    commit: &str,
    measured: &BTreeSet<String>,
) -> Option<(String, Reason)> {
    let default_branch = source.default_branch.clone().or_else(|| place.config.default_branch.clone());
    let recorded = source.merge_base.clone();
    let merge_base =
        recorded.or_else(|| source::merge_base(&place.directory, commit, default_branch.as_deref()?));
    let history = |commit: &str| source::ancestors(&place.directory, commit, FAR);
    nearest(&History {
        dirty: source.dirty,
        own: line(commit, history(commit)),
        base: merge_base.as_deref().map(|base| line(base, history(base))),
        default_branch: default_branch.unwrap_or_else(|| "the default branch".to_string()),
        measured,
    })
}

/// A commit and its ancestors, whether or not git names the commit itself among them.
pub fn line(commit: &str, ancestors: Vec<String>) -> Vec<String> {
    let rest = ancestors.into_iter().filter(|ancestor| ancestor != commit);
    std::iter::once(commit.to_string()).chain(rest).collect()
}

struct History<'a> {
    /// Are there changes that are not committed?
    dirty: bool,
    /// The candidate's commit and those before it.
    own: Vec<String>,
    /// The merge base with the default branch and those before it.
    base: Option<Vec<String>>,
    default_branch: String,
    measured: &'a BTreeSet<String>,
}

/// The commit to compare with.
fn nearest(history: &History<'_>) -> Option<(String, Reason)> {
    let own = &history.own[0];
    // A clean tree is not compared with itself.
    let counts = |commit: &String| history.measured.contains(commit) && (history.dirty || commit != own);
    let find = |line: &[String]| line.iter().position(counts).map(|at| (line[at].clone(), at));
    if let Some(base) = history.base.as_ref().filter(|base| base[0] != *own)
        && let Some((commit, commits)) = find(base)
    {
        let branch = history.default_branch.clone();
        let reason = match commits {
            0 => Reason::MergeBase(branch),
            commits => Reason::BeforeMergeBase { branch, commits },
        };
        return Some((commit, reason));
    }
    find(&history.own).map(|(commit, at)| match at {
        0 => (commit, Reason::SameCommit),
        at => (commit, Reason::Before(at)),
    })
}

/// Why there is nothing to compare with.
fn nothing(candidate: &Run) -> String {
    let how = format!("({}, {})", candidate.instrument.name(), candidate.machine.name);
    let Some((source, commit)) =
        candidate.source.as_ref().and_then(|source| Some((source, source.commit.as_ref()?)))
    else {
        return format!("No baseline: no other run is stored that this one can be compared with {how}.");
    };
    let short = |commit: &String| commit.get(..7).unwrap_or(commit).to_string();
    match source.merge_base.as_ref().filter(|base| *base != commit) {
        Some(base) => {
            let base = short(base);
            format!(
                "No baseline: neither the merge base {base} nor a commit before it has been measured {how}."
            )
        }
        None => format!("No baseline: no commit before {} has been measured {how}.", short(commit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits are letters, the newest first: the candidate's line, the merge base's, and those that were measured.
    #[track_caller]
    fn check(own: &str, base: &str, measured: &str, dirty: bool, expected: Option<(&str, Reason)>) {
        let line = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let measured = line(measured).into_iter().collect();
        let history = History {
            dirty,
            own: line(own),
            base: (!base.is_empty()).then(|| line(base)),
            default_branch: "main".to_string(),
            measured: &measured,
        };
        assert_eq!(nearest(&history), expected.map(|(commit, reason)| (commit.to_string(), reason)));
    }

    fn main() -> String {
        "main".to_string()
    }

    #[test]
    fn the_merge_base_goes_first() {
        check("edcba", "cba", "dcba", false, Some(("c", Reason::MergeBase(main()))));
        check("edcba", "cba", "dcba", true, Some(("c", Reason::MergeBase(main()))));
    }

    #[test]
    fn then_comes_its_nearest_measured_ancestor() {
        check(
            "edcba",
            "cba",
            "da",
            false,
            Some(("a", Reason::BeforeMergeBase { branch: main(), commits: 2 })),
        );
    }

    #[test]
    fn then_come_commits_of_the_branch_itself() {
        check("edcba", "cba", "ed", false, Some(("d", Reason::Before(1))));
        check("edcba", "cba", "ed", true, Some(("e", Reason::SameCommit)));
    }

    #[test]
    fn on_the_default_branch_it_is_a_commit_before() {
        check("cba", "cba", "cba", false, Some(("b", Reason::Before(1))));
        check("cba", "cba", "ca", false, Some(("a", Reason::Before(2))));
        check("cba", "cba", "c", false, None);
    }

    #[test]
    fn uncommitted_changes_are_compared_with_their_commit() {
        check("cba", "cba", "cb", true, Some(("c", Reason::SameCommit)));
    }

    #[test]
    fn a_repository_may_have_no_default_branch() {
        check("cba", "", "a", false, Some(("a", Reason::Before(2))));
        check("cba", "", "", false, None);
    }
}
