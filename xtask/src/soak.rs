//! `cargo xtask soak`: whole test suites inside regions, test file by test file, compared with their native run.
//!
//! The oracle is who wrote the tests: each of them must pass, fail or be skipped as it does natively. CPython's own tests
//! are the default; those of packages with C extensions are installed where they are asked for. What is run is every
//! module that comes to its end natively; those that do not are named. Takes long, so it is no part of `test`.
//!
//! Always so: what ends otherwise is a difference, but for the tests of [`KNOWN`], each by its whole name and with its cause, and for
//! tests whose native runs differ from each other. The table says which they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::prepare;

/// A module that takes longer than this natively is named and left out.
const LONGEST_NATIVELY: Duration = Duration::from_secs(600);
/// A module that takes longer than this in a region has hung: it is stopped and named.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is asked for.
#[derive(Debug)]
pub struct Options {
    /// Whose tests: `cpython`, or the name of a [`Package`].
    pub suite: String,
    /// Count only, without caches.
    pub counts: bool,
    /// Which Python.
    pub python: Option<PathBuf>,
    /// Print JSON instead of the table.
    pub json: bool,
    /// Take over what an interrupted run has left.
    pub resume: bool,
    /// Which modules or test files; all of them if none is named.
    pub modules: Vec<String>,
}

/// What a package runs its tests by.
enum Runner {
    /// With these words.
    Pytest(&'static [&'static str]),
    /// Each file's function `test_suite`, which adds examples from the documents.
    TestSuite,
}

/// A package from PyPI whose own tests are run.
struct Package {
    name: &'static str,
    /// Pinned, with what its tests need.
    installed: &'static [&'static str],
    /// Where the tests lie in its source distribution; `None`: they are installed with the package.
    tests: Option<&'static str>,
    runner: Runner,
}

const PACKAGES: [Package; 3] = [
    Package {
        name: "numpy",
        installed: &["numpy==2.4.6", "pytest==9.2.0", "hypothesis"],
        tests: None,
        // What `numpy.test()` leaves out, too.
        runner: Runner::Pytest(&["-m", "not slow"]),
    },
    Package {
        name: "msgspec",
        installed: &["msgspec==0.22.0", "pytest==9.2.0", "attrs", "pyyaml", "tomli_w"],
        tests: Some("tests/unit"),
        runner: Runner::Pytest(&[]),
    },
    Package {
        name: "lxml",
        installed: &["lxml==6.1.3"],
        tests: Some("src/lxml/tests"),
        runner: Runner::TestSuite,
    },
];

/// Tests that end otherwise in a region, and why. Each is told in the table, and nothing else is taken for it.
const KNOWN: [(&str, &str); 5] = [
    ("test.test_os.UtimeTests.test_utime_current", FILE_TIMES),
    ("test.test_os.UtimeTests.test_utime_current_old", FILE_TIMES),
    ("test.test_logging.TimedRotatingFileHandlerTest.test_rollover", FILE_TIMES),
    ("test.test_os.TimerfdTests.test_timerfd_TFD_TIMER_ABSTIME", KERNEL_TIMERS),
    ("test.test_os.TimerfdTests.test_timerfd_ns_TFD_TIMER_ABSTIME", KERNEL_TIMERS),
];
const FILE_TIMES: &str =
    "files are stamped by the kernel, with the host's time; the region's own clock is behind it";
const KERNEL_TIMERS: &str = "a timer of the kernel's with the region's time is over already by the host's";

/// The names of all suites, for the command line.
pub fn names() -> Vec<&'static str> {
    std::iter::once("cpython").chain(PACKAGES.iter().map(|package| package.name)).collect()
}

/// What `in_region.py` has written.
#[derive(Debug, Default, Clone)]
struct Outcome {
    /// How each test ended: name, word, and what was said of it.
    ends: Vec<(String, String, String)>,
    instructions: u64,
}

impl Outcome {
    /// Reads what the script writes; `None` if it is not that.
    fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_string);
        let end = |end: &Value| Some((text(&end[0])?, text(&end[1])?, text(&end[2])?));
        let ends = value["ends"].as_array()?.iter().map(end).collect::<Option<_>>()?;
        Some(Self { ends, instructions: value["instructions"].as_u64().unwrap_or(0) })
    }

    /// Each test's ends without what was said of them, which may hold addresses and times.
    fn words(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut words: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, word, _) in &self.ends {
            words.entry(name).or_default().push(word);
        }
        words.values_mut().for_each(|ends| ends.sort_unstable());
        words
    }

    fn counts(&self) -> Counts {
        let count = |word: &str| self.ends.iter().filter(|end| end.1 == word).count();
        Counts {
            passed: count("passed"),
            failed: count("failed"),
            skipped: count("skipped"),
            expected: count("expected"),
        }
    }
}

/// How many tests ended how; `expected` are expected failures.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    expected: usize,
}

impl Counts {
    fn json(self) -> Value {
        let Self { passed, failed, skipped, expected } = self;
        json!({ "passed": passed, "failed": failed, "skipped": skipped, "expected": expected })
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.expected += other.expected;
    }
}

/// What is to be said of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Each test as natively.
    Equal,
    /// Not the first time, but the second: a test that depends on how busy the machine is, most likely.
    EqualTheSecondTime,
    /// But for tests whose two native runs differ from each other.
    UnstableNatively,
    /// But for tests that are known to end otherwise.
    Known,
    /// At least one test otherwise, twice.
    Differs,
    /// Natively it did not come to its end, so there is nothing to compare with.
    NotNatively,
}

impl Verdict {
    /// As JSON names it.
    fn word(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::EqualTheSecondTime => "equal_the_second_time",
            Self::UnstableNatively => "unstable_natively",
            Self::Known => "known",
            Self::Differs => "differs",
            Self::NotNatively => "not_natively",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Equal => "as natively",
            Self::EqualTheSecondTime => "as natively the second time",
            Self::UnstableNatively => "as natively, but for tests that natively end in different ways",
            Self::Known => "as natively, but for tests that are known to end otherwise",
            Self::Differs => "DIFFERS",
            Self::NotNatively => "does not come to its end natively",
        }
    }
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    module: String,
    verdict: Verdict,
    native: Counts,
    region: Counts,
    instructions: u64,
    seconds: f64,
    /// Tests that end otherwise, or what kept the module from its end.
    remarks: Vec<String>,
}

impl Row {
    fn json(&self) -> Value {
        let Self { module, verdict, native, region, instructions, seconds, remarks } = self;
        json!({
            "module": module, "verdict": verdict.word(), "native": native.json(), "region": region.json(),
            "instructions": instructions, "seconds": seconds, "remarks": remarks,
        })
    }
}

/// Runs the modules and prints a line each; an error if any differs.
pub fn soak(options: &Options) -> Result<()> {
    let mut suite = Suite::prepare(options)?;
    let modules = if options.modules.is_empty() { suite.modules()? } else { options.modules.clone() };
    if !options.json {
        println!("{:<44}{:^31}{:^31}", "", "natively", "in a region");
        let columns = format!("{:>8}{:>7}{:>8}{:>8}", "passed", "failed", "skipped", "xfailed");
        println!("{:<44}{columns}{columns}{:>16}{:>8}", "module", "instructions", "time");
    }
    let mut rows = Vec::new();
    for module in &modules {
        let row = suite.compare(module)?;
        if !options.json {
            print_row(&row);
        }
        rows.push(row);
    }
    let mut native = Counts::default();
    let mut region = Counts::default();
    let mut verdicts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for row in &rows {
        native += row.native;
        region += row.region;
        *verdicts.entry(row.verdict).or_default() += 1;
    }
    if options.json {
        let modules: Vec<Value> = rows.iter().map(Row::json).collect();
        let whole = json!({
            "suite": options.suite, "counts_only": options.counts, "native": native.json(), "region": region.json(),
            "modules": modules,
        });
        println!("{}", serde_json::to_string_pretty(&whole)?);
    } else {
        println!("\n{:<44}{}{}", format!("{} modules", rows.len()), columns(native), columns(region));
        for (verdict, modules) in &verdicts {
            println!("{modules:>5} {}", verdict.text());
        }
    }
    match verdicts.get(&Verdict::Differs) {
        Some(modules) => bail!("{modules} modules behave differently inside a region"),
        None => Ok(()),
    }
}

fn columns(counts: Counts) -> String {
    let Counts { passed, failed, skipped, expected } = counts;
    format!("{passed:>8}{failed:>7}{skipped:>8}{expected:>8}")
}

fn print_row(row: &Row) {
    let Row { module, verdict, native, region, instructions, seconds, remarks } = row;
    let counts = format!("{}{}", columns(*native), columns(*region));
    println!("{module:<44}{counts}{instructions:>16}{seconds:>6.0} s  {}", verdict.text());
    for remark in remarks {
        println!("    {remark}");
    }
}

/// A suite that is ready to be run.
struct Suite {
    python: PathBuf,
    library: PathBuf,
    mode: &'static str,
    package: Option<&'static Package>,
    /// Where a package's tests lie.
    tests: PathBuf,
    /// Where outcomes are kept.
    kept: PathBuf,
    resume: bool,
}

impl Suite {
    fn prepare(options: &Options) -> Result<Self> {
        let library = prepare::engine()?;
        let base = options.python.clone().map_or_else(prepare::default_python, Ok)?;
        let package = PACKAGES.iter().find(|package| package.name == options.suite);
        let (python, tests) = match package {
            None => (base, PathBuf::new()),
            Some(package) => {
                let python = prepare::environment(&base, package.name, package.installed)?;
                let tests = tests_of(package, &python)?;
                (python, tests)
            }
        };
        let asked = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
        let version = prepare::output(Command::new(&python).args(["-c", asked]))?;
        let how = if options.counts { "counts" } else { "simulation" };
        let kept =
            prepare::scratch()?.join("soak").join(format!("{}-{}-{how}", options.suite, version.trim()));
        fs::create_dir_all(&kept)?;
        let mode = if options.counts { "0" } else { "1" };
        Ok(Self { python, library, mode, package, tests, kept, resume: options.resume })
    }

    /// All modules or test files, in the order of their names.
    fn modules(&self) -> Result<Vec<String>> {
        let Some(package) = self.package else {
            let listed = prepare::output(Command::new(&self.python).arg(script()).arg("list"))?;
            return Ok(listed.lines().map(str::to_string).collect());
        };
        let mut found = Vec::new();
        test_files(&self.tests, &mut found)?;
        let relative = |path: &PathBuf| Some(path.strip_prefix(&self.tests).ok()?.to_str()?.to_string());
        let mut modules: Vec<String> = found.iter().filter_map(relative).collect();
        modules.sort();
        ensure!(!modules.is_empty(), "{} has no test files in {}", package.name, self.tests.display());
        Ok(modules)
    }

    /// Runs a module both ways, again where it differs, and judges it.
    fn compare(&mut self, module: &str) -> Result<Row> {
        let started = Instant::now();
        let row = |verdict, native: &Outcome, region: &Outcome, remarks| Row {
            module: module.to_string(),
            verdict,
            native: native.counts(),
            region: region.counts(),
            instructions: region.instructions,
            seconds: started.elapsed().as_secs_f64(),
            remarks,
        };
        let nothing = Outcome::default();
        let native = match self.run(module, "native")? {
            Ok(native) => native,
            Err(why) => return Ok(row(Verdict::NotNatively, &nothing, &nothing, vec![why])),
        };
        let region = match self.run(module, "region")? {
            Ok(region) if region.words() == native.words() => {
                return Ok(row(Verdict::Equal, &native, &region, Vec::new()));
            }
            region => region,
        };
        let first = match &region {
            Ok(region) => differences(&native, region),
            Err(why) => vec![why.clone()],
        };
        let reason = |name: &&str| KNOWN.iter().find(|known| known.0 == *name).map(|known| known.1);
        if let Ok(region) = &region {
            let named = named(&native, region);
            if named.iter().all(|name| reason(name).is_some()) {
                let remarks =
                    named.iter().map(|name| format!("{name}: {}", reason(name).unwrap_or_default()));
                return Ok(row(Verdict::Known, &native, region, remarks.collect()));
            }
        }
        // How else may it end natively, and was it chance?
        let again = self.run(module, "native-again")?.unwrap_or_default();
        let unstable: BTreeSet<String> = named(&native, &again).into_iter().map(str::to_string).collect();
        let judged = region.as_ref().is_ok_and(|region| {
            !unstable.is_empty() && named(&native, region).iter().all(|name| unstable.contains(*name))
        });
        if judged {
            let region = region.unwrap_or_default();
            return Ok(row(Verdict::UnstableNatively, &native, &region, first));
        }
        match self.run(module, "region-again")? {
            Ok(second) if second.words() == native.words() || second.words() == again.words() => {
                Ok(row(Verdict::EqualTheSecondTime, &native, &second, first))
            }
            Ok(second) => {
                let remarks = differences(&native, &second);
                Ok(row(Verdict::Differs, &native, &second, remarks))
            }
            Err(why) => Ok(row(Verdict::Differs, &native, &nothing, vec![why])),
        }
    }

    /// Runs a module one way. The inner error is a sentence that says why it has not come to its end.
    fn run(&self, module: &str, way: &str) -> Result<Result<Outcome, String>> {
        let outcome = self.kept.join(format!("{}.{way}.json", module.replace('/', ".")));
        if !(self.resume && outcome.exists()) {
            let _ = fs::remove_file(&outcome);
            if let Some(why) = self.execute(module, way, &outcome)? {
                return Ok(Err(why));
            }
        }
        let text = fs::read_to_string(&outcome).context("cannot read an outcome")?;
        Ok(Ok(Outcome::read(&text).with_context(|| format!("cannot understand {}", outcome.display()))?))
    }

    /// Executes a module's tests; a sentence if they have not come to their end.
    fn execute(&self, module: &str, way: &str, outcome: &Path) -> Result<Option<String>> {
        let native = way.starts_with("native");
        // A directory of its own, empty: tests leave files where they run.
        let directory = self.kept.join("directory");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let words = outcome.with_extension("log");
        let log = File::create(&words)?;
        let longest = if native { LONGEST_NATIVELY } else { LONGEST };
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", &longest.as_secs().to_string()]);
        command.arg(&self.python).arg(script());
        command.arg(if native { Path::new("-") } else { &self.library });
        command.arg(self.mode).arg(outcome);
        match self.package {
            None if module.starts_with("test.") => command.args(["unittest", module]),
            None => command.arg("unittest").arg(format!("test.{module}")),
            Some(Package { runner: Runner::Pytest(words), .. }) => {
                command.args(["pytest", "--rootdir"]).arg(&self.tests).args(*words);
                command.arg(self.tests.join(module))
            }
            Some(Package { runner: Runner::TestSuite, .. }) => {
                command.env("PYTHONPATH", self.tests.parent().context("the tests lie in a folder")?);
                let name = module.trim_end_matches(".py").replace('/', ".");
                command.arg("unittest").arg(format!("tests.{name}.test_suite"))
            }
        };
        command.current_dir(&directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Some tests look at how byte code is written, and say so if it is not.
        command
            .env("PYTHONHASHSEED", "0")
            // Some tests make what packages of a user lie in, and leave it: a measured process would look there from then on.
            .env("HOME", &directory)
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env_remove("PYTHONUNBUFFERED");
        let status = command.status().context("cannot start Python")?;
        if outcome.exists() {
            return Ok(None);
        }
        if status.code() == Some(124) {
            return Ok(Some(format!("took longer than {} s", longest.as_secs())));
        }
        let said = String::from_utf8_lossy(&fs::read(&words)?).into_owned();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        Ok(Some(format!("{status}; its last words: {last}")))
    }
}

/// The script that runs tests, on every Python.
fn script() -> PathBuf {
    prepare::root().join("fixtures/soak/in_region.py")
}

/// The tests that end otherwise in one outcome than in the other.
fn named<'a>(one: &'a Outcome, other: &'a Outcome) -> BTreeSet<&'a str> {
    let (one, other) = (one.words(), other.words());
    one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name)).copied().collect()
}

/// The same as sentences.
fn differences(native: &Outcome, region: &Outcome) -> Vec<String> {
    let (natively, inside) = (native.words(), region.words());
    let ends = |ends: Option<&Vec<&str>>| ends.map_or("does not run".to_string(), |ends| ends.join(", "));
    let sentence = |name: &str| {
        let said = region.ends.iter().find(|end| end.0 == name && end.1 != "passed");
        let said = said.map_or("", |end| end.2.trim().lines().last().unwrap_or(""));
        format!(
            "{name}: {} natively, {} in a region; {said}",
            ends(natively.get(name)),
            ends(inside.get(name))
        )
    };
    named(native, region).into_iter().map(sentence).collect()
}

/// Where a package's tests lie: in the environment, or unpacked from its source distribution.
fn tests_of(package: &Package, python: &Path) -> Result<PathBuf> {
    let Some(inside) = package.tests else {
        let asked = format!("import os, {0}; print(os.path.dirname({0}.__file__))", package.name);
        return Ok(PathBuf::from(prepare::output(Command::new(python).args(["-c", &asked]))?.trim()));
    };
    let pinned = package.installed[0];
    let home = prepare::scratch()?.join("soak").join(pinned.replace("==", "-"));
    let tests = home.join(inside);
    if !home.join("complete").exists() {
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home)?;
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--no-binary", package.name, "--dest"]).arg(&home).arg(pinned);
        prepare::run(&mut pip)?;
        let is_source = |path: &PathBuf| path.to_string_lossy().ends_with(".tar.gz");
        let mut files = fs::read_dir(&home)?.filter_map(|entry| Some(entry.ok()?.path()));
        let source = files.find(is_source).context("pip has left no source distribution")?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(source).arg("--strip-components=1").arg("-C").arg(&home);
        prepare::run(&mut tar)?;
        // Without the sources beside them, which would be imported instead of what is installed.
        let beside = tests.parent().context("tests lie in a folder")?;
        let aside = home.join("tests-alone");
        fs::rename(&tests, &aside)?;
        fs::remove_dir_all(beside)?;
        fs::create_dir_all(beside)?;
        fs::rename(&aside, &tests)?;
        fs::write(home.join("complete"), "")?;
    }
    Ok(tests)
}

/// Every `test_*.py` below a folder.
fn test_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            test_files(&entry.path(), found)?;
        } else if name.starts_with("test_") && name.ends_with(".py") {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ends: &[(&str, &str)]) -> Outcome {
        let ends =
            ends.iter().map(|(name, word)| (name.to_string(), word.to_string(), "at 0x7f".to_string()));
        Outcome { ends: ends.collect(), instructions: 0 }
    }

    #[test]
    fn what_the_script_writes_is_read() {
        let read =
            Outcome::read(r#"{"ends": [["a", "passed", ""]], "instructions": 7, "diagnostics": 0}"#).unwrap();
        assert_eq!((read.counts().passed, read.instructions), (1, 7));
        assert!(Outcome::read(r#"{"ends": [["a", 1, ""]]}"#).is_none());
    }

    #[test]
    fn a_test_that_fails_in_the_region_alone_is_named() {
        let native = outcome(&[("a", "passed"), ("b", "passed")]);
        let region = outcome(&[("b", "failed"), ("a", "passed")]);
        assert_eq!(differences(&native, &region), ["b: passed natively, failed in a region; at 0x7f"]);
    }

    #[test]
    fn a_test_that_is_not_run_in_the_region_is_named() {
        let native = outcome(&[("a", "passed"), ("b", "skipped")]);
        assert_eq!(
            differences(&native, &outcome(&[("a", "passed")])),
            ["b: skipped natively, does not run in a region; "]
        );
    }

    #[test]
    fn the_order_of_subtests_is_no_difference() {
        let native = outcome(&[("a", "failed"), ("a", "skipped")]);
        let region = outcome(&[("a", "skipped"), ("a", "failed")]);
        assert!(named(&native, &region).is_empty());
    }

    #[test]
    fn as_many_failures_of_another_test_are_a_difference() {
        let native = outcome(&[("a", "failed"), ("b", "passed")]);
        let region = outcome(&[("a", "passed"), ("b", "failed")]);
        assert_eq!(native.counts(), region.counts());
        assert_eq!(named(&native, &region).len(), 2);
    }
}
