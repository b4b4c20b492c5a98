//! `cargo xtask demo --serve`: a checkout with a history of 300 commits, measured, and its site.
//!
//! The Fibonacci example changes a few times, and between that come commits that touch no code. What changes is measured
//! for real; a commit whose code is that of the one before takes over its results, which would be the same numbers. Two
//! branches propose something at the end.
//! Times are made up, so that the history is as long as a year's.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use invar_core::wire::v1;
use invar_store::{Profiles, Store};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::prepare;
use crate::suites::Tools;

/// When the first commit was made, and how long after one the next: seconds, from 5 January 2026 on.
const START: usize = 1_767_603_600;
const STEP: usize = 79_321;

/// What commits without code are about.
const QUIET: [&str; 7] = [
    "Update the readme",
    "Fix a typo",
    "Explain the iterative way",
    "Say where the numbers come from",
    "Add a note for contributors",
    "Bump the linter",
    "Prepare a release",
];

/// A change of the code: message, how many commits it lasts, check in the recursive way, and the iterative way.
struct Chapter {
    message: &'static str,
    commits: usize,
    recursive: &'static str,
    iterative: &'static str,
}

const UNCHECKED: &str = "";
const CHECKED: &str = "    assert n >= 0\n";
const PLAIN: &str = "    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n";
const INDEX: &str =
    "    a, b = 0, 1\n    for i in range(n):\n        assert i < n\n        a, b = b, a + b\n    return a\n";
const TWO_STEPS: &str = "    a, b = 0, 1\n    for _ in range(n // 2):\n        a += b\n        b += a\n    return b if n % 2 else a\n";

const FOUR_STEPS: &str = "    a, b = 0, 1\n    for _ in range(n // 4):\n        a += b\n        b += a\n        a += b\n        b += a\n    \
     for _ in range(n % 4):\n        a, b = b, a + b\n    return a\n";
const FOUR_STEPS_IF_MANY: &str = "    a, b = 0, 1\n    if n >= 64:\n        for _ in range(n // 4):\n            a += b\n            b += a\n            \
     a += b\n            b += a\n        n %= 4\n    for _ in range(n // 2):\n        a += b\n        b += a\n    return b if n % 2 else a\n";

const STORY: [Chapter; 6] = [
    Chapter {
        message: "Fibonacci numbers, recursive and iterative",
        commits: 90,
        recursive: UNCHECKED,
        iterative: PLAIN,
    },
    Chapter {
        message: "Check the argument of the recursive way",
        commits: 80,
        recursive: CHECKED,
        iterative: PLAIN,
    },
    Chapter { message: "Check the index in the loop", commits: 60, recursive: CHECKED, iterative: INDEX },
    Chapter { message: "Trust the loop again", commits: 45, recursive: CHECKED, iterative: PLAIN },
    Chapter {
        message: "Improve iterative fibonacci speed",
        commits: 15,
        recursive: CHECKED,
        iterative: TWO_STEPS,
    },
    Chapter {
        message: "Trust the caller of the recursive way",
        commits: 10,
        recursive: UNCHECKED,
        iterative: TWO_STEPS,
    },
];
/// What branches propose at the end: the name of each, and its commits.
const PROPOSED: [(&str, &[Chapter]); 2] = [
    (
        "four-steps",
        &[
            Chapter {
                message: "Four steps at a time",
                commits: 2,
                recursive: UNCHECKED,
                iterative: FOUR_STEPS,
            },
            Chapter {
                message: "Four steps only where there are many",
                commits: 1,
                recursive: UNCHECKED,
                iterative: FOUR_STEPS_IF_MANY,
            },
        ],
    ),
    (
        "check-everything",
        &[Chapter {
            message: "Check everything once more",
            commits: 1,
            recursive: CHECKED,
            iterative: INDEX,
        }],
    ),
];

/// A checkout that is being written.
struct Demo {
    tools: Tools,
    checkout: PathBuf,
    /// Where the chapters are measured into.
    measured: PathBuf,
    /// What the site shows.
    store: Store,
    runtime: Runtime,
    commits: usize,
}

/// A run and its profiles, which commits take over.
struct Measured {
    run: Value,
    profiles: Profiles,
}

/// A checkout whose store has a history.
pub struct Site {
    /// The command, and what it needs.
    pub tools: Tools,
    /// The checkout.
    pub checkout: PathBuf,
}

/// Makes the history, and shows it until it is stopped.
pub fn serve() -> Result<()> {
    let site = make()?;
    println!("The site, until Ctrl-C:");
    let error = site.tools.shell(&site.checkout).arg("serve").exec();
    Err(error).context("cannot start `invar serve`")
}

/// Makes the history.
pub fn make() -> Result<Site> {
    prepare::system_packages(&[("the history that results belong to", "git")])?;
    let scratch = prepare::scratch()?.join("demo-server");
    let _ = fs::remove_dir_all(&scratch);
    let checkout = scratch.join("fibonacci");
    fs::create_dir_all(&checkout)?;
    for file in ["test_fibo.py", "pytest.ini", "invar.toml"] {
        fs::copy(prepare::root().join("examples/fibonacci").join(file), checkout.join(file))?;
    }
    fs::write(checkout.join(".gitignore"), "__pycache__/\n.pytest_cache/\n.invar/\n")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut demo = Demo {
        tools: Tools::prepare(None, &[])?,
        measured: scratch.join("measured"),
        store: runtime.block_on(Store::open(&checkout.join(".invar")))?,
        checkout,
        runtime,
        commits: 0,
    };
    demo.git(&["init", "--quiet", "--initial-branch=main"])?;
    for chapter in &STORY {
        demo.chapter(chapter, "main")?;
    }
    for (branch, chapters) in PROPOSED {
        demo.git(&["checkout", "--quiet", "-b", branch, "main"])?;
        for chapter in chapters {
            demo.chapter(chapter, branch)?;
        }
    }
    demo.git(&["checkout", "--quiet", "main"])?;
    demo.runtime.block_on(demo.store.close());
    println!("{} commits in {}", demo.commits, demo.checkout.display());
    Ok(Site { tools: demo.tools, checkout: demo.checkout })
}

impl Demo {
    /// Commits a change of the code, measures it, and commits as often as the chapter lasts.
    fn chapter(&mut self, chapter: &Chapter, branch: &str) -> Result<()> {
        let Chapter { message, commits, recursive, iterative } = chapter;
        let code = format!(
            "def recursive_fibo(n):\n{recursive}    if n < 2:\n        return n\n    \
             return recursive_fibo(n - 1) + recursive_fibo(n - 2)\n\n\ndef iterative_fibo(n):\n{iterative}"
        );
        fs::write(self.checkout.join("fibo.py"), code)?;
        self.commit(message)?;
        println!("measuring: {message}");
        let mut run = self.tools.shell(&self.checkout);
        run.arg("--store").arg(&self.measured).args(["run", "--quiet", "--json", "--", "pytest", "-q"]);
        let text = prepare::output(&mut run)?;
        let run = serde_json::from_str(&text).context("`invar run --json` printed no JSON")?;
        let measured = Measured { profiles: self.runtime.block_on(self.profiles(&text))?, run };
        self.keep(&measured, branch)?;
        for _ in 1..*commits {
            let message = QUIET[self.commits % QUIET.len()];
            fs::write(self.checkout.join("NOTES"), format!("{message} ({})\n", self.commits))?;
            self.commit(message)?;
            self.keep(&measured, branch)?;
        }
        Ok(())
    }

    /// The profiles of a run that was just measured.
    async fn profiles(&self, run: &str) -> Result<Profiles> {
        let run = v1::read(run.as_bytes())?;
        let store = Store::open(&self.measured).await?;
        let mut profiles = Profiles::new();
        for measurement in &run.measurements {
            let benchmark = &measurement.benchmark.id;
            let profile = store.profile(&run.id, benchmark).await?;
            profiles.extend(profile.map(|profile| (benchmark.clone(), profile)));
        }
        store.close().await;
        Ok(profiles)
    }

    /// Keeps a run of the commit that is checked out, with these results.
    fn keep(&self, measured: &Measured, branch: &str) -> Result<()> {
        let number = self.commits - 1;
        let ask = |arguments: &[&str]| -> Result<String> {
            let text = prepare::output(Command::new("git").args(arguments).current_dir(&self.checkout))?;
            Ok(text.trim().to_string())
        };
        let [commit, parents, message] =
            ["%H", "%P", "%s"].map(|what| ask(&["log", "-1", &format!("--format={what}")]));
        let (commit, parents, message) = (commit?, parents?, message?);
        let committed = START + number * STEP;
        // A few minutes later, in microseconds; an id of version 7 starts with the same in milliseconds.
        let started = (committed + 400) * 1_000_000;
        let milliseconds = format!("{:012x}", started / 1000);
        let mut run = measured.run.clone();
        run["id"] = json!(format!("{}-{}-7000-8000-{number:012x}", &milliseconds[..8], &milliseconds[8..]));
        run["started_us"] = json!(started);
        let source = &mut run["source"];
        source["commit"] = json!(commit);
        source["parents"] = json!(parents.split_whitespace().collect::<Vec<_>>());
        source["message"] = json!(message);
        source["branch"] = json!(branch);
        source["default_branch"] = json!("main");
        source["merge_base"] = json!(ask(&["merge-base", "HEAD", "main"])?);
        source["committed_us"] = json!(committed * 1_000_000);
        let run = v1::read(run.to_string().as_bytes())?;
        self.runtime.block_on(self.store.put_with(&run, &measured.profiles))?;
        Ok(())
    }

    fn commit(&mut self, message: &str) -> Result<()> {
        self.git(&["add", "."])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.commits += 1;
        Ok(())
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        git(&self.checkout, START + self.commits * STEP, arguments)
    }
}

fn git(checkout: &Path, seconds: usize, arguments: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Invar", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"]);
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_DATE"), format!("{seconds} +0000"));
    }
    prepare::run(git.args(arguments).current_dir(checkout))
}
