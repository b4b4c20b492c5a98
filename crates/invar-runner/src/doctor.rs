//! Can this machine measure? Checks as data; who shows them decides how.
//!
//! Looks and never mends. A *problem* keeps Invar from measuring here, or its numbers from being repeatable; a *note* is
//! something that may surprise.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Resource;

use crate::host::{self, Cpu};
use crate::source;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, and may surprise.
    Note,
    /// Does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a few words, always the same.
    pub name: &'static str,
    /// What came of it.
    pub state: State,
    /// What was found, in one line.
    pub found: String,
    /// What to do about it: a sentence.
    pub advice: Option<String>,
}

/// Looks at this machine, and at `directory`, where results would be kept.
pub fn checks(directory: &Path) -> Vec<Check> {
    let asked = ask_python();
    vec![
        cpu(&Cpu::read()),
        kernel(host::kernel().as_deref()),
        layout(),
        generated_code(read("/sys/fs/selinux/enforce").as_deref()),
        address_space(rustix::process::getrlimit(Resource::As).current),
        overcommit(read("/proc/sys/vm/overcommit_memory").as_deref()),
        stack(rustix::process::getrlimit(Resource::Stack).maximum),
        proc(Path::new("/proc/self")),
        python(asked.as_ref()),
        plugin(asked.as_ref()),
        git(directory),
        results(directory),
        disk(directory),
    ]
}

/// Room that a machine should have left for results.
const ROOM_BYTES: u64 = 256 << 20;
/// The stack that measured processes get.
const STACK_BYTES: u64 = 8 << 20;
/// The engine's own memory, beside that of the measured program.
const ENGINE_BYTES: u64 = 1 << 30;

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), advice: None }
}

fn note(name: &'static str, found: impl Into<String>, advice: &str) -> Check {
    Check { name, state: State::Note, found: found.into(), advice: Some(advice.to_string()) }
}

fn problem(name: &'static str, found: impl Into<String>, advice: &str) -> Check {
    Check { state: State::Problem, ..note(name, found, advice) }
}

fn cpu(cpu: &Cpu) -> Check {
    const NAME: &str = "CPU";
    let model = cpu.model.clone().unwrap_or_else(|| "unknown".to_string());
    if !cfg!(target_arch = "x86_64") {
        return problem(NAME, model, "Measure on an x86-64 machine.");
    }
    match &cpu.lacks_of_v3()[..] {
        [] => ok(NAME, format!("{model}, x86-64-v3")),
        lacking => problem(
            NAME,
            format!("{model} lacks {} of x86-64-v3", lacking.join(", ")),
            "Measure on a CPU of 2013 or later (Intel Haswell, AMD Zen), or let the virtual machine show all of its host's features.",
        ),
    }
}

fn kernel(version: Option<&str>) -> Check {
    const NAME: &str = "kernel";
    // The first with CLOSE_RANGE_CLOEXEC.
    const OLDEST: (u32, u32) = (5, 11);
    let Some(version) = version else { return note(NAME, "unknown", "Make /proc readable.") };
    let mut numbers = version.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST => note(
            NAME,
            format!("Linux {version}"),
            "Before Linux 5.11 descriptors of the caller stay open in measured processes; close those that a suite might use.",
        ),
        _ => ok(NAME, format!("Linux {version}")),
    }
}

/// Tries in a child whether its memory layout can be fixed.
fn layout() -> Check {
    let tried = Command::new("setarch")
        .args(["--addr-no-randomize", "cat", "/proc/self/personality"])
        .stdin(Stdio::null())
        .output();
    let said = tried.ok().map(|output| (output.status.success(), first_line(&output.stdout, &output.stderr)));
    judge_layout(said)
}

fn judge_layout(said: Option<(bool, String)>) -> Check {
    const NAME: &str = "memory layout";
    const FIXED: u32 = 0x0004_0000;
    match said {
        None => note(
            NAME,
            "not tried: there is no `setarch`",
            "Install util-linux to have this checked; a run says so if it cannot fix the layout.",
        ),
        Some((true, personality))
            if u32::from_str_radix(&personality, 16).is_ok_and(|bits| bits & FIXED != 0) =>
        {
            ok(NAME, "can be the same in every run")
        }
        Some((_, said)) => problem(
            NAME,
            format!("randomisation cannot be switched off: {said}"),
            "Allow personality(2): in Docker `--security-opt seccomp=unconfined`, or a profile that permits ADDR_NO_RANDOMIZE.",
        ),
    }
}

fn generated_code(selinux_enforces: Option<&str>) -> Check {
    const NAME: &str = "generated code";
    match selinux_enforces {
        Some("1") => note(
            NAME,
            "SELinux is enforcing",
            "If measuring fails with `Permission denied`, allow `execmem` to the domain it runs in.",
        ),
        _ => ok(NAME, "nothing known that forbids it"),
    }
}

fn address_space(limit: Option<u64>) -> Check {
    const NAME: &str = "address space";
    match limit {
        None => ok(NAME, "unlimited"),
        Some(bytes) if bytes >= 4 * ENGINE_BYTES => ok(NAME, format!("limited to {}", mebibytes(bytes))),
        Some(bytes) => problem(
            NAME,
            format!("limited to {}", mebibytes(bytes)),
            "Lift the limit with `ulimit -v unlimited`: the engine reserves address space for code and simulated caches.",
        ),
    }
}

fn overcommit(mode: Option<&str>) -> Check {
    const NAME: &str = "overcommit";
    match mode {
        Some("2") => note(
            NAME,
            "vm.overcommit_memory is 2: what is reserved counts as used",
            "If measuring fails with `Cannot allocate memory`, set vm.overcommit_memory to 0 or 1.",
        ),
        Some(mode) => ok(NAME, format!("vm.overcommit_memory is {mode}")),
        None => ok(NAME, "unknown"),
    }
}

fn stack(hard_limit: Option<u64>) -> Check {
    const NAME: &str = "stack";
    match hard_limit {
        Some(bytes) if bytes < STACK_BYTES => problem(
            NAME,
            format!("at most {}", mebibytes(bytes)),
            "Raise the hard limit (`ulimit -Hs`) to 8192 KiB or more: with another stack libraries lie elsewhere, and counts differ from other machines.",
        ),
        _ => ok(NAME, "8 MiB, as on other machines"),
    }
}

fn proc(own: &Path) -> Check {
    const NAME: &str = "/proc";
    let readable = ["stat", "environ", "fd", "cmdline"].iter().all(|name| {
        let path = own.join(name);
        if path.is_dir() { path.read_dir().is_ok() } else { std::fs::read(&path).is_ok() }
    });
    match readable {
        true => ok(NAME, "readable"),
        false => problem(
            NAME,
            "not readable",
            "Mount /proc: measuring processes find by it what they are asked for.",
        ),
    }
}

/// What `python3` says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Python {
    path: String,
    version: (u32, u32, u32),
    /// Of pytest-invar; or why there is none.
    plugin: Result<String, String>,
}

fn ask_python() -> Option<Python> {
    const QUESTION: &str = "\
import sys
print(sys.executable)
print('%d.%d.%d' % sys.version_info[:3])
try:
    import pytest_invar._native
    print('=' + pytest_invar.__version__)
except Exception as error:
    print(error)
";
    let asked = Command::new("python3").args(["-c", QUESTION]).stdin(Stdio::null()).output().ok()?;
    parse_python(&String::from_utf8_lossy(&asked.stdout))
}

fn parse_python(said: &str) -> Option<Python> {
    let mut lines = said.lines();
    let path = lines.next()?.to_string();
    let mut numbers = lines.next()?.split('.').map(|number| number.parse().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    let third = lines.next().unwrap_or("it cannot be asked");
    let plugin = third.strip_prefix('=').map(str::to_string).ok_or_else(|| third.to_string());
    Some(Python { path, version, plugin })
}

fn python(python: Option<&Python>) -> Check {
    const NAME: &str = "Python";
    let Some(Python { path, version, .. }) = python else {
        return problem(
            NAME,
            "there is no `python3` that works",
            "Install Python 3.9 or later, or activate the suite's environment.",
        );
    };
    let (major, minor, patch) = version;
    let found = format!("{major}.{minor}.{patch} ({path})");
    match (*major, *minor) < (3, 9) {
        true => problem(NAME, found, "Use Python 3.9 or later."),
        false => ok(NAME, found),
    }
}

fn plugin(python: Option<&Python>) -> Check {
    const NAME: &str = "pytest-invar";
    const OURS: &str = env!("CARGO_PKG_VERSION");
    const INSTALL: &str = "Install it where the suite's pytest is, from a checkout of Invar: `pip install ./integrations/python`.";
    match python.map(|python| &python.plugin) {
        None => problem(NAME, "there is no Python to look in", INSTALL),
        Some(Ok(version)) if version == OURS => ok(NAME, version.clone()),
        Some(Ok(version)) => note(
            NAME,
            format!("{version}, and this is Invar {OURS}"),
            "Install the one that belongs to this Invar: they share formats.",
        ),
        // Under tox, nox or uv the suite has a Python of its own.
        Some(Err(why)) => note(NAME, format!("not in this `python3`: {why}"), INSTALL),
    }
}

fn git(directory: &Path) -> Check {
    const NAME: &str = "git";
    let asked = Command::new("git").arg("--version").stdin(Stdio::null()).output();
    let Some(version) = asked.ok().filter(|output| output.status.success()) else {
        return note(
            NAME,
            "not installed",
            "Install git to have commits recorded, and baselines found by them.",
        );
    };
    let version = first_line(&version.stdout, &[]).trim_start_matches("git version ").to_string();
    match (source::toplevel(directory), source::refusal(directory)) {
        (Some(root), _) => ok(NAME, format!("{version}, checkout at {}", root.display())),
        (None, Some(said)) => problem(
            NAME,
            said,
            "Mend what git complains of; for another owner's checkout: `git config --global --add safe.directory DIRECTORY`.",
        ),
        (None, None) => note(
            NAME,
            format!("{version}, and this is no checkout"),
            "In a checkout, commits would be recorded and baselines found by them.",
        ),
    }
}

fn results(directory: &Path) -> Check {
    const NAME: &str = ".invar";
    let kept = directory.join(".invar");
    let (path, found) = match kept.exists() {
        true => (kept.as_path(), "writable"),
        false => (directory, "not there yet, can be made"),
    };
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    match rustix::fs::access(path, access) {
        Ok(()) if path.is_dir() => ok(NAME, found),
        Ok(()) => {
            problem(NAME, format!("{} is no directory", path.display()), "Move the file of that name away.")
        }
        Err(error) => problem(
            NAME,
            format!("cannot write into {}: {}", path.display(), std::io::Error::from(error)),
            "Results are kept there: make it writable.",
        ),
    }
}

fn disk(directory: &Path) -> Check {
    const NAME: &str = "disk";
    let places = [directory.to_path_buf(), std::env::temp_dir()];
    for place in &places {
        let Ok(system) = rustix::fs::statvfs(place) else {
            return note(
                NAME,
                format!("{} cannot be looked at", place.display()),
                "Make the directory readable.",
            );
        };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < ROOM_BYTES {
            let found = format!("{} free in {}", mebibytes(free), place.display());
            return problem(
                NAME,
                found,
                "Make room: a run writes its results there, and a full disk loses some of them.",
            );
        }
    }
    ok(NAME, "enough room for results")
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_string())
}

fn first_line(output: &[u8], otherwise: &[u8]) -> String {
    let text = if output.is_empty() { otherwise } else { output };
    String::from_utf8_lossy(text).lines().next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests;
