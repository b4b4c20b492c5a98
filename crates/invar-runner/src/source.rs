//! Asking git: which source is measured, and which commits lead to it.
//!
//! Uses the command `git`, so that a repository means here what it means to its owner. Changes nothing in it, not even
//! the index's cache. Where git or a repository is missing there is no answer, which is no error.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use invar_core::run::Timestamp;
use invar_core::source::Source;

/// What is checked out at `directory`; `None` outside a repository or without git.
///
/// Dirty is a tree with changes to files that git knows. Files that it does not know are no change: results and virtual
/// environments lie around in most trees.
pub fn read(directory: &Path, default_branch: Option<&str>) -> Option<Source> {
    read_with(directory, default_branch, |name| std::env::var(name).ok())
}

fn read_with(
    directory: &Path,
    default_branch: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Source> {
    toplevel(directory)?;
    std::thread::scope(|scope| {
        // In a large tree this takes longer than all the rest.
        let status = scope.spawn(|| git(directory, &["status", "--porcelain", "--untracked-files=no"]));
        let mut source = read_history(directory, default_branch, variable);
        source.dirty = status.join().ok().flatten().is_some();
        Some(source)
    })
}

/// All but whether the tree is dirty.
fn read_history(
    directory: &Path,
    default_branch: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Source {
    let git = |arguments: &[&str]| git(directory, arguments);
    let mut source = Source {
        branch: git(&["symbolic-ref", "--quiet", "--short", "HEAD"]).or_else(|| branch_of_ci(variable)),
        remote: git(&["remote", "get-url", "origin"]).map(|remote| without_credentials(&remote)),
        default_branch: default_branch.map(str::to_string).or_else(|| find_default_branch(directory)),
        ..Source::default()
    };
    // Before the first commit there is none of this.
    let Some(shown) = git(&["show", "--no-patch", "--format=%H%n%P%n%an%n%ct%n%s", "HEAD"]) else {
        return source;
    };
    let mut lines = shown.lines().map(str::to_string);
    source.commit = lines.next();
    source.parents = lines.next().unwrap_or_default().split_whitespace().map(str::to_string).collect();
    source.author = lines.next().filter(|author| !author.is_empty());
    let seconds = lines.next().and_then(|seconds| seconds.parse::<i64>().ok());
    source.committed = seconds.map(|seconds| Timestamp(seconds * 1_000_000));
    source.message = lines.next();
    source.tags = lines_of(git(&["tag", "--points-at", "HEAD"]));
    source.tags.sort();
    source.merge_base = source.default_branch.as_deref().and_then(|default| fork_point(directory, default));
    source
}

/// The commit that a revision names (`HEAD~3`, a branch, a tag, some first digits), in full.
pub fn resolve(directory: &Path, revision: &str) -> Option<String> {
    git(
        directory,
        &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")],
    )
}

/// The commit and those that it grew from along first parents, the nearest first; at most `limit`.
pub fn ancestors(directory: &Path, commit: &str, limit: usize) -> Vec<String> {
    let limit = format!("--max-count={limit}");
    lines_of(git(directory, &["rev-list", "--first-parent", &limit, "--end-of-options", commit]))
}

/// The commit from which both grew; `None` if there is none, or the checkout is too shallow to know it.
pub fn merge_base(directory: &Path, a: &str, b: &str) -> Option<String> {
    let [a, b] = [resolve(directory, a)?, resolve(directory, b)?];
    git(directory, &["merge-base", &a, &b])
}

/// The root of the checkout that `directory` is in.
pub fn toplevel(directory: &Path) -> Option<PathBuf> {
    git(directory, &["rev-parse", "--show-toplevel"]).map(PathBuf::from)
}

/// What git says where there is a repository that it will not read, such as one of another owner.
pub(crate) fn refusal(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    directory.ancestors().find(|ancestor| ancestor.join(".git").exists())?;
    let Ok(output) = command(&directory, &["rev-parse", "--show-toplevel"]).output() else {
        return Some("git is not installed, so the commit that was measured is not known".to_string());
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next()?.trim_start_matches("fatal: ").to_string();
    Some(format!("git does not say what is checked out: {first}"))
}

/// Where the branch left the default branch: of what is known of that locally and at `origin`, the later point.
fn fork_point(directory: &Path, default_branch: &str) -> Option<String> {
    let known = [format!("refs/heads/{default_branch}"), format!("refs/remotes/origin/{default_branch}")];
    // What begins with `refs/` is taken for no option, so it need not be resolved first.
    let mut points = known.iter().filter_map(|name| git(directory, &["merge-base", "HEAD", name]));
    let first = points.next()?;
    let Some(second) = points.next() else { return Some(first) };
    // A local branch that was not updated lags behind.
    let lags = merge_base(directory, &first, &second).as_ref() == Some(&first);
    Some(if lags { second } else { first })
}

fn find_default_branch(directory: &Path) -> Option<String> {
    if let Some(head) = git(directory, &["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]) {
        return Some(head.strip_prefix("origin/").unwrap_or(&head).to_string());
    }
    let exists = |name: &&str| {
        let known = [format!("refs/heads/{name}"), format!("refs/remotes/origin/{name}")];
        known.iter().any(|reference| resolve(directory, reference).is_some())
    };
    ["main", "master"].into_iter().find(exists).map(str::to_string)
}

/// The branch that a CI service has checked out by its commit, so that git knows no name for it.
fn branch_of_ci(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = |name: &str| variable(name).filter(|value| !value.is_empty());
    if named("GITHUB_ACTIONS").is_some() {
        // The first is set for pull requests only, where the second is `7/merge`.
        let branch = || named("GITHUB_REF")?.strip_prefix("refs/heads/").map(str::to_string);
        return named("GITHUB_HEAD_REF").or_else(branch);
    }
    named("GITLAB_CI")?;
    named("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME").or_else(|| named("CI_COMMIT_BRANCH"))
}

/// A remote without user and password, except the user of ssh, who is the same for everybody.
fn without_credentials(remote: &str) -> String {
    let Some((scheme, rest)) = remote.split_once("://") else { return remote.to_string() };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    match user {
        Some(user) if scheme.ends_with("ssh") => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}@{host}{path}")
        }
        _ => {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
    }
}

/// What git prints; `None` if it fails or prints nothing.
fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = command(directory, arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    // Signatures are not shown among what was asked for, and no lock is taken for a look.
    command.args(["-c", "log.showSignature=false", "-c", "core.quotePath=false"]);
    command.arg("-C").arg(directory).args(arguments);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C").stdin(Stdio::null());
    // The directory says which repository is meant, also below a hook of another one.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    command
}

fn lines_of(text: Option<String>) -> Vec<String> {
    text.unwrap_or_default().lines().map(str::to_string).collect()
}

#[cfg(test)]
mod tests;
