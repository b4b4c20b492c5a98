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

    /// Where a browser shows a file of the commit; `None` if the remote is not a forge whose addresses are known.
    pub fn web_link(&self, file: &str, line: Option<u32>) -> Option<String> {
        let (host, path) = host_and_path(self.remote.as_deref()?)?;
        let blob = match host {
            "github.com" => "blob",
            host if host.contains("gitlab") => "-/blob",
            _ => return None,
        };
        let commit = self.commit.as_deref()?;
        let file: String = file.chars().map(escaped).collect();
        let line = line.map(|line| format!("#L{line}")).unwrap_or_default();
        Some(format!("https://{host}/{path}/{blob}/{commit}/{file}{line}"))
    }
}

/// Host and repository of a remote, without what protocol, user, port and ending say.
fn host_and_path(remote: &str) -> Option<(&str, &str)> {
    let (host, path) = match remote.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => remote.split_once(':')?,
    };
    let host = host.rsplit('@').next()?.split(':').next()?;
    let path = path.trim_matches('/').trim_end_matches(".git");
    (!host.is_empty() && !path.is_empty()).then_some((host, path))
}

/// What would end an address or a Markdown link is written by its number.
fn escaped(character: char) -> String {
    match character {
        ' ' | '%' | '#' | '?' | '(' | ')' | '<' | '>' | '[' | ']' | '"' => {
            format!("%{:02X}", character as u32)
        }
        other => other.to_string(),
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

    #[track_caller]
    fn check_link(remote: &str, expected: Option<&str>) {
        let (commit, remote) = (Some("487a918".to_string()), Some(remote.to_string()));
        let source = Source { commit, remote, ..Source::default() };
        assert_eq!(source.web_link("a b.py", Some(7)).as_deref(), expected);
    }

    #[test]
    fn a_file_has_an_address_at_forges_that_are_known() {
        let github = Some("https://github.com/acme/demo/blob/487a918/a%20b.py#L7");
        check_link("git@github.com:acme/demo.git", github);
        check_link("https://github.com/acme/demo", github);
        check_link("ssh://git@github.com:22/acme/demo.git/", github);
        let gitlab = Some("https://gitlab.example.org/a/b/c/-/blob/487a918/a%20b.py#L7");
        check_link("https://gitlab.example.org/a/b/c.git", gitlab);
        check_link("/home/me/demo.git", None);
        check_link("https://example.org/acme/demo.git", None);
    }
}
