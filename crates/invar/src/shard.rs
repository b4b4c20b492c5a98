//! Which shard of a run this job measures, and what its shards have in common.
//!
//! CI starts the jobs of one run, and tells all of them the run's number. Where nobody does, somebody has to say a key.

use invar_core::shard::Shard;

use crate::exit::{Code, Failure};
use crate::render::one_line;

/// The variable in which a key may be.
pub const VARIABLE: &str = "INVAR_SHARD_KEY";

/// The shard of the command line: `2/4`, with the key that is given, or with what CI says of this job.
pub fn shard(place: &str, key: Option<&str>) -> Result<Shard, Failure> {
    let (number, of) = Shard::parse(place)
        .map_err(|why| Failure::new(Code::Usage, format!("--shard `{}` {why}", one_line(place))))?;
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let key = key.map(str::to_string).filter(|key| !key.is_empty()).or_else(|| key_of_ci(set));
    let key = key.ok_or_else(|| {
        Failure::new(Code::Usage, "nothing says which shards belong to one run").help(format!(
            "name what they have in common and no other run has: --shard-key KEY, or the variable {VARIABLE}"
        ))
    })?;
    Ok(Shard { key, number, of })
}

/// What the jobs have in common that were started to measure one suite. Jobs of another name may measure another one.
fn key_of_ci(set: impl Fn(&str) -> Option<String>) -> Option<String> {
    if set("GITHUB_ACTIONS").is_some() {
        let parts = ["GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB"].map(&set);
        let [Some(repository), Some(run), job] = parts else { return None };
        return Some(format!("github/{repository}/{run}/{}", job.unwrap_or_default()));
    }
    set("GITLAB_CI")?;
    let (server, pipeline) = (set("CI_SERVER_HOST").unwrap_or_default(), set("CI_PIPELINE_ID")?);
    // `bench 2/4` is the second of the jobs called `bench`.
    let name = set("CI_JOB_NAME").unwrap_or_default();
    let name =
        name.rsplit_once(' ').filter(|(_, end)| Shard::parse(end).is_ok()).map_or(&*name, |(start, _)| start);
    Some(format!("gitlab/{server}/{pipeline}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Option<&str>) {
        let set = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_string())
        };
        assert_eq!(key_of_ci(set).as_deref(), expected);
    }

    #[test]
    fn ci_says_which_jobs_belong_together() {
        let github = ("GITHUB_ACTIONS", "true");
        let of_run =
            [github, ("GITHUB_REPOSITORY", "acme/fib"), ("GITHUB_RUN_ID", "17"), ("GITHUB_JOB", "bench")];
        check(&of_run, Some("github/acme/fib/17/bench"));
        check(&[github], None);
        let gitlab = [("GITLAB_CI", "true"), ("CI_SERVER_HOST", "g.example"), ("CI_PIPELINE_ID", "17")];
        check(&[&gitlab[..], &[("CI_JOB_NAME", "bench 2/4")]].concat(), Some("gitlab/g.example/17/bench"));
        check(
            &[&gitlab[..], &[("CI_JOB_NAME", "bench fast")]].concat(),
            Some("gitlab/g.example/17/bench fast"),
        );
        check(&[], None);
    }
}
