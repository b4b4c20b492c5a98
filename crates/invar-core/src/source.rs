//! Which source was measured, as git tells it.

use crate::run::Timestamp;

/// A state of a checkout. What git does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The commit that is checked out, in full.
    pub commit: Option<String>,
    /// Its parents, in full.
    pub parents: Vec<String>,
    /// The branch that is checked out.
    pub branch: Option<String>,
    /// Was anything changed and not committed?
    pub dirty: bool,
    /// Tags of the commit, sorted.
    pub tags: Vec<String>,
    /// The branch that changes are merged into.
    pub default_branch: Option<String>,
    /// Where the branch left the default branch, in full.
    pub merge_base: Option<String>,
    /// Where the repository comes from, without credentials.
    pub remote: Option<String>,
    /// The first line of the commit's message.
    pub message: Option<String>,
    /// The commit's author, by name.
    pub author: Option<String>,
    /// When it was committed.
    pub committed: Option<Timestamp>,
}

impl Source {
    /// The commit's first seven digits, with `+dirty` if anything was not committed: `487a918+dirty`.
    pub fn short(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or("no commit");
        let short = if self.commit.is_some() { commit.get(..7).unwrap_or(commit) } else { commit };
        if self.dirty { format!("{short}+dirty") } else { short.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_says_that_the_tree_was_dirty() {
        let commit = Some("487a918f00000000000000000000000000000000".to_string());
        let mut source = Source { commit, ..Source::default() };
        assert_eq!(source.short(), "487a918");
        source.dirty = true;
        assert_eq!(source.short(), "487a918+dirty");
        assert_eq!(Source::default().short(), "no commit");
    }
}
