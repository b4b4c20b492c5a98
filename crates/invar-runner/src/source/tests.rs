//! Real repositories, made by `git` in temporary directories.

use super::*;

struct Repository(tempfile::TempDir);

impl Repository {
    /// An empty one, on `main`.
    fn new() -> Repository {
        let repository = Repository(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "user.name", "Ada"]);
        repository.git(&["config", "user.email", "ada@example.org"]);
        repository.git(&["config", "commit.gpgsign", "false"]);
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let output = command(self.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path().join("file"), text).unwrap();
    }

    /// Commits a change and returns the commit.
    fn commit(&self, message: &str) -> String {
        self.write(message);
        self.git(&["add", "file"]);
        self.git(&["commit", "--quiet", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// What is read of it where no CI service helps.
    fn read(&self) -> Source {
        read_with(self.path(), None, |_| None).unwrap()
    }
}

#[test]
fn a_commit_is_described() {
    let repository = Repository::new();
    let first = repository.commit("One");
    let second = repository.commit("Two, at last\n\nWith a body.");
    repository.git(&["tag", "v2"]);
    repository.git(&["tag", "a"]);
    let source = repository.read();
    assert_eq!(source.commit, Some(second.clone()));
    assert_eq!(source.parents, [first]);
    assert_eq!(source.branch.as_deref(), Some("main"));
    assert_eq!(source.default_branch.as_deref(), Some("main"));
    assert_eq!(source.merge_base, Some(second));
    assert_eq!(source.tags, ["a", "v2"]);
    assert_eq!(source.message.as_deref(), Some("Two, at last"));
    assert_eq!(source.author.as_deref(), Some("Ada"));
    let seconds: i64 = repository.git(&["show", "--no-patch", "--format=%ct"]).parse().unwrap();
    assert_eq!(source.committed, Some(Timestamp(seconds * 1_000_000)));
    assert!(!source.dirty);
}

#[test]
fn a_changed_file_makes_a_tree_dirty_and_an_unknown_one_does_not() {
    let repository = Repository::new();
    repository.commit("One");
    std::fs::write(repository.path().join("unknown"), "").unwrap();
    assert!(!repository.read().dirty);
    repository.write("changed");
    assert!(repository.read().dirty);
    repository.git(&["add", "file"]);
    assert!(repository.read().dirty);
}

#[test]
fn a_branch_knows_where_it_left_the_default_branch() {
    let repository = Repository::new();
    let base = repository.commit("One");
    repository.git(&["switch", "--quiet", "-c", "feature/x"]);
    repository.commit("Two");
    repository.git(&["switch", "--quiet", "main"]);
    repository.commit("Three");
    repository.git(&["switch", "--quiet", "feature/x"]);
    let source = repository.read();
    assert_eq!(source.branch.as_deref(), Some("feature/x"));
    assert_eq!(source.merge_base, Some(base));
}

#[test]
fn the_default_branch_of_the_project_comes_before_what_git_knows() {
    let repository = Repository::new();
    let base = repository.commit("One");
    repository.git(&["branch", "trunk"]);
    repository.commit("Two");
    let source = read_with(repository.path(), Some("trunk"), |_| None).unwrap();
    assert_eq!(source.default_branch.as_deref(), Some("trunk"));
    assert_eq!(source.merge_base, Some(base));
}

#[test]
fn the_default_branch_of_the_origin_comes_before_a_guess() {
    let origin = Repository::new();
    origin.commit("One");
    origin.git(&["branch", "--move", "develop"]);
    let clone = Repository(tempfile::tempdir().unwrap());
    clone.git(&["clone", "--quiet", origin.path().to_str().unwrap(), "."]);
    clone.git(&["branch", "main"]);
    assert_eq!(clone.read().default_branch.as_deref(), Some("develop"));
}

#[test]
fn a_local_default_branch_that_lags_behind_the_origin_is_no_base() {
    let origin = Repository::new();
    let old = origin.commit("One");
    let clone = Repository(tempfile::tempdir().unwrap());
    clone.git(&["clone", "--quiet", origin.path().to_str().unwrap(), "."]);
    let new = origin.commit("Two");
    clone.git(&["fetch", "--quiet"]);
    clone.git(&["switch", "--quiet", "-c", "x", "origin/main"]);
    assert_eq!(clone.git(&["rev-parse", "main"]), old);
    assert_eq!(clone.read().merge_base, Some(new));
}

#[test]
fn a_repository_without_a_commit_has_a_branch_only() {
    let source = Repository::new().read();
    assert_eq!((source.commit, source.branch.as_deref()), (None, Some("main")));
}

#[test]
fn outside_a_repository_there_is_no_source() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(read(directory.path(), None), None);
    assert_eq!(toplevel(directory.path()), None);
    assert_eq!(resolve(directory.path(), "HEAD"), None);
    assert_eq!(refusal(directory.path()), None);
}

#[test]
fn a_repository_that_git_will_not_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".git"), "gitdir: /nowhere").unwrap();
    let said = refusal(directory.path()).unwrap();
    assert_eq!(said, "git does not say what is checked out: not a git repository: /nowhere");
}

#[test]
fn revisions_are_resolved_to_commits() {
    let repository = Repository::new();
    let first = repository.commit("One");
    let second = repository.commit("Two");
    repository.git(&["tag", "--annotate", "v1", "-m", "a tag of its own", "HEAD~1"]);
    let resolve = |revision: &str| resolve(repository.path(), revision);
    assert_eq!(resolve("HEAD"), Some(second.clone()));
    assert_eq!(resolve("HEAD~1"), Some(first.clone()));
    assert_eq!(resolve("v1"), Some(first.clone()));
    assert_eq!(resolve(&first[..7]), Some(first));
    assert_eq!(resolve("nowhere"), None);
    assert_eq!(resolve("--all"), None);
    assert_eq!(resolve(""), None);
}

#[test]
fn ancestors_come_nearest_first_and_stay_on_the_branch() {
    let repository = Repository::new();
    let first = repository.commit("One");
    repository.git(&["switch", "--quiet", "-c", "side"]);
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "aside"]);
    repository.git(&["switch", "--quiet", "main"]);
    let second = repository.commit("Two");
    repository.git(&["merge", "--quiet", "--no-ff", "-m", "Merge", "side"]);
    let merge = repository.git(&["rev-parse", "HEAD"]);
    let ancestors = |limit| ancestors(repository.path(), &merge, limit);
    assert_eq!(ancestors(9), [merge.clone(), second.clone(), first]);
    assert_eq!(ancestors(2), [merge.clone(), second]);
}

#[test]
fn commits_without_a_common_one_have_no_merge_base() {
    let repository = Repository::new();
    repository.commit("One");
    repository.git(&["switch", "--quiet", "--orphan", "other"]);
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "other"]);
    assert_eq!(merge_base(repository.path(), "main", "other"), None);
}

#[track_caller]
fn check_remote(remote: &str, expected: &str) {
    assert_eq!(without_credentials(remote), expected);
}

#[test]
fn a_remote_is_told_without_credentials() {
    check_remote("https://x-access-token:s3cret@github.com/a/b.git", "https://github.com/a/b.git");
    check_remote("https://token@github.com/a/b", "https://github.com/a/b");
    check_remote("https://host/a/b?token=s3cret", "https://host/a/b");
    check_remote("ssh://git:s3cret@host:22/a/b", "ssh://git@host:22/a/b");
    check_remote("git@github.com:a/b.git", "git@github.com:a/b.git");
    check_remote("/srv/git/a.git", "/srv/git/a.git");
    check_remote("https://host", "https://host");
}

#[track_caller]
fn check_ci(variables: &[(&str, &str)], expected: Option<&str>) {
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
    let repository = Repository::new();
    repository.commit("One");
    repository.git(&["switch", "--quiet", "--detach"]);
    let source = read_with(repository.path(), None, variable).unwrap();
    assert_eq!(source.branch.as_deref(), expected);
}

#[test]
fn a_detached_head_is_named_by_the_ci_service() {
    let on_github = ("GITHUB_ACTIONS", "true");
    check_ci(&[], None);
    check_ci(&[on_github, ("GITHUB_HEAD_REF", ""), ("GITHUB_REF", "refs/heads/main")], Some("main"));
    check_ci(&[on_github, ("GITHUB_HEAD_REF", "fix"), ("GITHUB_REF", "refs/pull/7/merge")], Some("fix"));
    check_ci(&[on_github, ("GITHUB_REF", "refs/tags/v1")], None);
    check_ci(&[("GITLAB_CI", "true"), ("CI_COMMIT_BRANCH", "main")], Some("main"));
}
