//! What a run is judged by where nobody named anything.
//!
//! Goes by what runs say of their own source, since a server has no checkout to ask; so it finds the merge base and the
//! commit before, and says so where it can only go by time.

use std::fmt;

use invar_core::run::{Run, Summary};
use invar_store::{Comparable, DatabaseError, Store, Wanted};

/// Why a run is the baseline. Reads on from "the baseline is".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is of the merge base with that branch.
    MergeBase(String),
    /// It is of the commit before.
    Parent,
    /// It is of the same commit, without the changes.
    SameCommit,
    /// It is the run of that branch before this one.
    LastOf(String),
    /// It is the last run before this one.
    Last,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::MergeBase(branch) => write!(f, "the merge base with `{branch}`"),
            Reason::Parent => write!(f, "the commit before"),
            Reason::SameCommit => write!(f, "the same commit without the changes that are not committed"),
            Reason::LastOf(branch) => {
                write!(
                    f,
                    "the run of `{branch}` before: neither the merge base nor the commit before has been measured"
                )
            }
            Reason::Last => write!(f, "the run before: there is no history to go by"),
        }
    }
}

/// Chooses what to judge a run by.
pub async fn choose(store: &Store, run: &Run) -> Result<Option<(Summary, Reason)>, DatabaseError> {
    let comparable =
        Wanted { comparable: Some(Comparable::with(run)), except: Some(run.id.clone()), ..Wanted::default() };
    let before = Wanted { not_after: Some(run.started), ..comparable.clone() };
    for (commit, reason) in candidates(run) {
        let wanted = Wanted { commit: Some(commit), dirty: Some(false), ..comparable.clone() };
        if let Some(found) = store.latest(&wanted).await? {
            return Ok(Some((found, reason)));
        }
    }
    let source = run.source.as_ref().filter(|source| source.commit.is_some());
    let Some(source) = source else {
        return Ok(store.latest(&before).await?.map(|found| (found, Reason::Last)));
    };
    for branch in [&source.branch, &source.default_branch].into_iter().flatten() {
        let wanted = Wanted { branch: Some(branch.clone()), dirty: Some(false), ..before.clone() };
        if let Some(found) = store.latest(&wanted).await? {
            return Ok(Some((found, Reason::LastOf(branch.clone()))));
        }
    }
    Ok(None)
}

/// Commits that come before others as a baseline, the best first.
fn candidates(run: &Run) -> Vec<(String, Reason)> {
    let Some((source, commit)) =
        run.source.as_ref().and_then(|source| Some((source, source.commit.as_ref()?)))
    else {
        return Vec::new();
    };
    let mut candidates = Vec::new();
    if let Some(base) = source.merge_base.as_ref().filter(|base| *base != commit) {
        let branch = source.default_branch.clone().unwrap_or_else(|| "the default branch".to_string());
        candidates.push((base.clone(), Reason::MergeBase(branch)));
    }
    if source.dirty {
        candidates.push((commit.clone(), Reason::SameCommit));
    }
    candidates.extend(source.parents.first().map(|parent| (parent.clone(), Reason::Parent)));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use invar_core::machine::Machine;
    use invar_core::run::Timestamp;
    use invar_core::source::Source;

    #[track_caller]
    fn check(merge_base: Option<&str>, dirty: bool, expected: &[(&str, Reason)]) {
        let mut run = Run::started("r", Timestamp(0), Machine::reference_1());
        run.source = Some(Source {
            commit: Some("c".to_string()),
            parents: vec!["b".to_string(), "x".to_string()],
            merge_base: merge_base.map(str::to_string),
            default_branch: Some("main".to_string()),
            dirty,
            ..Source::default()
        });
        let expected: Vec<_> =
            expected.iter().map(|(commit, reason)| (commit.to_string(), reason.clone())).collect();
        assert_eq!(candidates(&run), expected);
    }

    #[test]
    fn the_merge_base_goes_before_the_commit_before() {
        check(Some("a"), false, &[("a", Reason::MergeBase("main".to_string())), ("b", Reason::Parent)]);
    }

    #[test]
    fn on_the_default_branch_it_is_the_commit_before() {
        check(Some("c"), false, &[("b", Reason::Parent)]);
        check(None, false, &[("b", Reason::Parent)]);
    }

    #[test]
    fn changes_are_judged_by_their_commit() {
        check(Some("c"), true, &[("c", Reason::SameCommit), ("b", Reason::Parent)]);
    }
}
