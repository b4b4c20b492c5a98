//! `cargo xtask bench hosts`: the suite of [`crate::noise`] on several hosts, of which this machine is made: with another processor by
//! `benches/hosts/host.c`, with one CPU, as another user.
//!
//! Counts must be equal to the unit in every event and both passes: otherwise the command fails. It stands in for several machines
//! as far as a program can tell by asking; what a processor does is always what this one does.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::noise::{FILES, PACKAGES};
use crate::prepare;
use crate::suites::{self, Tools};

/// Features that `host.c` denies to all, by the kernel's names; those of one family by its first letters.
const DENIED: [&str; 15] = [
    "avx512",
    "amx",
    "avx_vnni",
    "erms",
    "fsrm",
    "sha_ni",
    "gfni",
    "vaes",
    "vpclmulqdq",
    "rtm",
    "movdir",
    "pku",
    "ospke",
    "rdpid",
    "serialize",
];
/// Those that it denies to `v2` as well.
const DENIED_TO_V2: [&str; 9] = ["avx", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm", "xsave", "xgetbv1"];

/// A host, and the words before `invar` that make it.
struct Host {
    says: &'static str,
    words: Vec<String>,
}

/// Prints how many counts are equal on each host, or the same as JSON.
pub fn hosts(as_json: bool) -> Result<()> {
    let is_root = prepare::output(Command::new("id").arg("-u"))?.trim() == "0";
    ensure!(is_root, "other hosts are made by mounts, users and cpuid faulting, which needs root");
    let tools = Tools::prepare(None, &PACKAGES)?;
    let scratch = prepare::scratch()?.join("hosts");
    std::fs::create_dir_all(&scratch)?;
    let suite = copied(&scratch.join("suite"))?;
    let usual = measure(&tools, &suite, &[])?.map_err(anyhow::Error::msg)?;
    let mut rows = Vec::new();
    for host in made(&scratch)? {
        eprintln!("measuring on {} ...", host.says);
        rows.push((host.says, measure(&tools, &suite, &host.words)?));
    }
    // Nothing is known of counts there but that they are other ones, so there must be none.
    let old = measure(&tools, &suite, &processor(&scratch, "v2")?)?;
    let refused = old.as_ref().err().filter(|said| said.contains("x86-64-v3"));
    let equal =
        |counts: &Counts| usual.iter().filter(|(name, count)| counts.get(*name) == Some(count)).count();
    if as_json {
        let row = |(says, found): &(&str, Result<Counts, String>)| match found {
            Ok(counts) => json!({ "host": says, "equal": equal(counts), "benchmarks": usual.len() }),
            Err(said) => json!({ "host": says, "error": said }),
        };
        let rows: Vec<Value> = rows.iter().map(row).collect();
        println!("{}", serde_json::to_string_pretty(&json!({ "hosts": rows, "x86-64-v2": refused }))?);
    } else {
        println!("| host | equal counts |\n| --- | --- |");
        for (says, found) in &rows {
            match found {
                Ok(counts) => println!("| {says} | {} of {} |", equal(counts), usual.len()),
                Err(said) => println!("| {says} | none: {said} |"),
            }
        }
        println!(
            "| x86-64-v2 | {} |",
            refused.map_or("measured, though nothing is known of it", |_| "refused")
        );
    }
    let differ = |(says, found): &(&'static str, Result<Counts, String>)| {
        let whole = found.as_ref().is_ok_and(|counts| equal(counts) == usual.len());
        (!whole).then_some(*says)
    };
    let unlike: Vec<&str> = rows.iter().filter_map(differ).collect();
    ensure!(unlike.is_empty(), "counts are unlike on {}", unlike.join(", "));
    ensure!(refused.is_some(), "on x86-64-v2 it was measured: {old:?}");
    Ok(())
}

/// Both passes of each benchmark, every event.
type Counts = BTreeMap<String, [Value; 2]>;

fn made(scratch: &Path) -> Result<Vec<Host>> {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    let other_user = words(&[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        // The interpreter may lie in a directory of the user's who runs this.
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
        "env",
        "HOME=/nonexistent",
        "USER=nobody",
        "LANG=de_DE.UTF-8",
        "SOME_VARIABLE=and what it is",
    ]);
    Ok(vec![
        Host { says: "the same again", words: Vec::new() },
        Host { says: "one CPU", words: words(&["taskset", "-c", "0"]) },
        Host { says: "another user, home and environment", words: other_user },
        Host { says: "x86-64-v3, without fast strings, smaller caches", words: processor(scratch, "v3")? },
        Host { says: "the same of AMD, other caches", words: processor(scratch, "amd")? },
    ])
}

/// The words that make another processor: `cpuid` and `/proc/cpuinfo` say so.
fn processor(scratch: &Path, which: &str) -> Result<Vec<String>> {
    let program = scratch.join("host");
    let source = prepare::root().join("benches/hosts/host.c");
    prepare::run(Command::new("cc").args(["-O1", "-Wall", "-o"]).arg(&program).arg(source))?;
    let info = scratch.join(format!("cpuinfo-{which}"));
    let text = std::fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo cannot be read")?;
    std::fs::write(&info, other_processor(&text, which))?;
    let mount = format!("mount --bind '{}' /proc/cpuinfo && exec \"$@\"", info.display());
    let words = ["unshare", "--mount", "sh", "-c", &mount, "sh", &program.display().to_string(), which];
    Ok(words.map(str::to_string).to_vec())
}

/// What `/proc/cpuinfo` says of another processor.
fn other_processor(text: &str, which: &str) -> String {
    let is_denied = |feature: &str| {
        DENIED.iter().any(|denied| feature.starts_with(denied))
            || which == "v2" && DENIED_TO_V2.iter().any(|denied| feature.starts_with(denied))
    };
    let mut other = String::new();
    for line in text.lines() {
        let line = match line.split_once(':') {
            Some((key, value)) if key.trim() == "flags" => {
                let kept: Vec<&str> =
                    value.split_whitespace().filter(|feature| !is_denied(feature)).collect();
                format!("{key}: {}", kept.join(" "))
            }
            Some((key, _)) if key.trim() == "model name" => format!("{key}: {which}"),
            Some((key, _)) if key.trim() == "vendor_id" && which == "amd" => format!("{key}: AuthenticAMD"),
            _ => line.to_string(),
        };
        other.push_str(&line);
        other.push('\n');
    }
    other
}

/// The suite's files alone in a directory that everybody may use: what else is in there, pytest looks at.
fn copied(to: &Path) -> Result<PathBuf> {
    let from = prepare::root().join("benches/python/noise");
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for file in FILES.iter().chain(&["pytest.ini"]) {
        std::fs::copy(from.join(file), to.join(file))?;
    }
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o777))?;
    Ok(to.to_path_buf())
}

/// What is counted there; or what was said, if nothing was.
fn measure(tools: &Tools, suite: &Path, words: &[String]) -> Result<Result<Counts, String>> {
    let invar = tools.shell(suite);
    let store = tempfile::tempdir()?;
    std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o777))?;
    let mut all = words.to_vec();
    all.push(tools.invar.display().to_string());
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).current_dir(suite);
    command.envs(invar.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg("--store").arg(store.path().join("store"));
    command.args([
        "run",
        "--no-profile",
        "--quiet",
        "--json",
        "--baseline",
        "none",
        "--",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
    ]);
    let done = command.output().with_context(|| format!("cannot start `{}`", prepare::shown(&command)))?;
    if !done.status.success() {
        return Ok(Err(String::from_utf8_lossy(&done.stderr).trim().to_string()));
    }
    let run: Value =
        serde_json::from_slice(&done.stdout).context("`invar run --json` printed something else")?;
    let measurements = run["measurements"].as_array().context("a run without measurements")?;
    let counts = |one: &Value| (suites::name(one).to_string(), [one["cold"].clone(), one["warm"].clone()]);
    Ok(Ok(measurements.iter().map(counts).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_processor_lacks_what_it_is_denied() {
        let text = "vendor_id\t: GenuineIntel\nflags\t\t: fpu avx avx2 avx512f erms fma\n";
        assert_eq!(other_processor(text, "amd"), "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx avx2 fma\n");
        assert_eq!(other_processor(text, "v2"), "vendor_id\t: GenuineIntel\nflags\t\t: fpu\n");
    }
}
