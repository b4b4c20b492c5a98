//! `invar.toml`.
//!
//! ```toml
//! default_branch = "main"              # if git does not know it
//!
//! [threshold]                          # what every benchmark may cost more
//! cycles = "5%"
//! instructions = "2%"                  # any event, by name
//!
//! [[benchmark]]                        # the last that matches counts
//! match = "tests/*::test_io*"
//! threshold = "10%"                    # or { cycles = "10%", instructions = "5%" }
//!
//! [gate]
//! block = ["code", "environment"]      # also: "layout", "unstable", "dropped"
//!
//! [machine.small]
//! like = "reference-1"                 # what is not said is as there
//! l2 = "128KiB/8/lru"                  # size/ways/policy, or "none"
//! latency = "2/5/22/90"                # cycles of L1, L2, L3, memory
//! mhz = 2000
//!
//! [run]
//! pass_env = ["DATABASE_URL"]
//! isolation = true
//! machine = "small"
//! layouts = "auto"                      # or a number: each benchmark is the mean over so many
//!
//! [server]
//! url = "https://invar.example.org"
//! project = "acme/demo"
//! ```
//!
//! A key that is not known is an error: a misspelt threshold must not pass as none.

use toml::{Table, Value};

use crate::compare::Cause;
use crate::config::{BenchmarkRule, Config, Gate, Pattern, Threshold, Thresholds};
use crate::event::Event;
use crate::layouts::Spend;
use crate::machine::Machine;
use crate::nearest::nearest;

/// Why a text is not an `invar.toml`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadConfigError {
    /// Not TOML.
    #[error("it is not TOML: {why}")]
    Syntax {
        /// What the parser says, with line and column.
        why: String,
    },
    /// A key that means nothing.
    #[error("unknown key `{key}`{}", did_you_mean(.nearest))]
    UnknownKey {
        /// The key, with those above it.
        key: String,
        /// The most similar known key, if one is similar.
        nearest: Option<String>,
    },
    /// A value that does not fit its key.
    #[error("`{key}` {why}")]
    Value {
        /// The key, with those above it.
        key: String,
        /// What is wrong.
        why: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// Reads an `invar.toml`. An empty one is the default configuration.
pub fn read(text: &str) -> Result<Config, ReadConfigError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| syntax(text, &error))?;
    let root = Section { path: String::new(), table: &table };
    root.only(&["default_branch", "threshold", "benchmark", "gate", "machine", "run", "server"])?;
    let mut config = Config { default_branch: root.text("default_branch")?, ..Config::default() };
    if let Some(section) = root.section("threshold")? {
        config.policy.thresholds = thresholds(&section)?;
    }
    for section in root.sections("benchmark")? {
        config.policy.benchmarks.push(benchmark_rule(&section)?);
    }
    if let Some(section) = root.section("gate")? {
        config.policy.gate = gate(&section)?;
    }
    if let Some(section) = root.section("machine")? {
        for name in section.table.keys() {
            let machine = section.section(name)?.expect("the key is there");
            config.machines.insert(name.clone(), self::machine(name, &machine)?);
        }
    }
    if let Some(section) = root.section("server")? {
        section.only(&["url", "project"])?;
        let url = section.text("url")?;
        if url.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(section.value("url", "is no address: it starts with https:// or http://".to_string()));
        }
        config.server.url = url.map(|url| url.trim_end_matches('/').to_string());
        config.server.project = section.text("project")?;
    }
    if let Some(section) = root.section("run")? {
        section.only(&["pass_env", "machine", "isolation", "layouts"])?;
        config.run.layouts = layouts(&section)?;
        config.run.pass_env = section.texts("pass_env")?.unwrap_or_default();
        config.run.shared_process = !section.truth("isolation")?.unwrap_or(true);
        config.run.machine = section.text("machine")?;
        if let Some(name) = &config.run.machine {
            let sentence = |error| section.value("machine", format!("cannot be used: {error}"));
            config.machine(name).map_err(sentence)?;
        }
    }
    Ok(config)
}

fn layouts(section: &Section<'_>) -> Result<Option<Spend>, ReadConfigError> {
    let text = match section.table.get("layouts") {
        None => return Ok(None),
        Some(Value::Integer(count)) => count.to_string(),
        Some(Value::String(text)) => text.clone(),
        // No text is this: what is wrong with it is said by the reader of texts.
        Some(_) => String::new(),
    };
    Spend::parse(&text).map(Some).map_err(|why| section.value("layouts", why))
}

fn thresholds(section: &Section<'_>) -> Result<Thresholds, ReadConfigError> {
    let mut known = vec!["cycles"];
    known.extend(Event::ALL.map(Event::name));
    section.only(&known)?;
    let mut thresholds = Thresholds::default();
    for (key, value) in section.table {
        let threshold = threshold(value).map_err(|why| section.value(key, why))?;
        match Event::from_name(key) {
            Some(event) => drop(thresholds.events.insert(event, threshold)),
            None => thresholds.cycles = Some(threshold),
        }
    }
    Ok(thresholds)
}

fn benchmark_rule(section: &Section<'_>) -> Result<BenchmarkRule, ReadConfigError> {
    section.only(&["match", "threshold"])?;
    let text = section.text("match")?.ok_or_else(|| section.value("match", "is missing"))?;
    let bad = |why| section.value("match", format!("is not a pattern: {why}"));
    let matches = Pattern::parse(&text).map_err(bad)?;
    let thresholds = match section.table.get("threshold") {
        None => return Err(section.value("threshold", "is missing")),
        Some(Value::Table(_)) => thresholds(&section.section("threshold")?.expect("the key is there"))?,
        Some(value) => {
            let threshold = threshold(value).map_err(|why| section.value("threshold", why))?;
            Thresholds { cycles: Some(threshold), ..Thresholds::default() }
        }
    };
    Ok(BenchmarkRule { matches, thresholds })
}

fn gate(section: &Section<'_>) -> Result<Gate, ReadConfigError> {
    section.only(&["block"])?;
    let Some(words) = section.texts("block")? else { return Ok(Gate::default()) };
    let mut gate = Gate { causes: Default::default(), dropped: false };
    for word in words {
        match Cause::from_name(&word) {
            Some(cause) => drop(gate.causes.insert(cause)),
            None if word == "dropped" => gate.dropped = true,
            None => {
                let mut known = Cause::ALL.map(Cause::name).to_vec();
                known.push("dropped");
                let known = known.join("`, `");
                return Err(section.value("block", format!("names `{word}`, which is none of `{known}`")));
            }
        }
    }
    Ok(gate)
}

fn machine(name: &str, section: &Section<'_>) -> Result<Machine, ReadConfigError> {
    section.only(&["like", "l1i", "l1d", "l2", "l3", "latency", "mhz"])?;
    if Machine::preset(name).is_some() {
        return Err(section.value("", "is a preset, and presets do not change; choose another name"));
    }
    if name.contains([';', '=', '/']) {
        return Err(section.value("", "is not a machine's name: it has one of `;=/` in it"));
    }
    let like = match section.text("like")? {
        None => String::new(),
        Some(like) => {
            let preset = Machine::preset(&like);
            let bad = || section.value("like", "names no preset; presets are `reference-1` and `callgrind`");
            preset.ok_or_else(bad)?.text()
        }
    };
    // The preset's parts first: of two parts with one name the later counts.
    let mut text = name.to_string();
    for part in like.split(';').skip(1) {
        text.push_str(&format!(";{part}"));
    }
    for key in ["l1i", "l1d", "l2", "l3"] {
        if let Some(cache) = section.text(key)? {
            text.push_str(&format!(";{key}={}", in_bytes(&cache)));
        }
    }
    if let Some(latency) = section.text("latency")? {
        text.push_str(&format!(";latency={latency}"));
    }
    match section.table.get("mhz") {
        None => {}
        Some(Value::Integer(mhz)) => text.push_str(&format!(";mhz={mhz}")),
        Some(_) => return Err(section.value("mhz", "is not a whole number")),
    }
    if !text.contains(';') {
        return Err(section.value("", "says nothing; start with `like = \"reference-1\"`"));
    }
    Machine::parse(&text).map_err(|error| section.value("", format!("is not a machine: {error}")))
}

/// `64KiB/8/lru` as `65536/8/lru`; what it does not understand it leaves to the parser of machines.
fn in_bytes(cache: &str) -> String {
    let Some((size, rest)) = cache.split_once('/') else { return cache.to_string() };
    for (unit, shift) in [("KiB", 10), ("MiB", 20)] {
        if let Some(Ok(size)) = size.strip_suffix(unit).map(|number| number.trim().parse::<u32>()) {
            return format!("{}/{rest}", u64::from(size) << shift);
        }
    }
    cache.to_string()
}

fn threshold(value: &Value) -> Result<Threshold, String> {
    let ratio = match value {
        Value::String(text) => {
            let number = text.strip_suffix('%').map(str::trim).and_then(|number| number.parse::<f64>().ok());
            number.map(|percent| percent / 100.0)
        }
        Value::Float(ratio) => Some(*ratio),
        Value::Integer(0) => Some(0.0),
        _ => None,
    };
    match ratio {
        Some(ratio) if ratio.is_finite() && ratio >= 0.0 => Ok(Threshold(ratio)),
        _ => Err("is not a threshold; write `\"5%\"`, or `0.05`".to_string()),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> ReadConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    ReadConfigError::Syntax { why: format!("line {line}: {}", error.message()) }
}

/// A table and where it stands.
struct Section<'a> {
    path: String,
    table: &'a Table,
}

impl<'a> Section<'a> {
    fn key(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_string(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{key}", self.path),
        }
    }

    fn value(&self, key: &str, why: impl ToString) -> ReadConfigError {
        ReadConfigError::Value { key: self.key(key), why: why.to_string() }
    }

    fn only(&self, known: &[&str]) -> Result<(), ReadConfigError> {
        match self.table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let nearest = nearest(key, known).map(|nearest| self.key(nearest));
                Err(ReadConfigError::UnknownKey { key: self.key(key), nearest })
            }
        }
    }

    fn truth(&self, key: &str) -> Result<Option<bool>, ReadConfigError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Boolean(truth)) => Ok(Some(*truth)),
            Some(_) => Err(self.value(key, "is neither true nor false")),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>, ReadConfigError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.value(key, "is not a text")),
        }
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ReadConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let values = value.as_array().ok_or_else(|| self.value(key, "is not a list"))?;
        let text = |value: &Value| value.as_str().map(str::to_string);
        let texts: Option<Vec<String>> = values.iter().map(text).collect();
        texts.map(Some).ok_or_else(|| self.value(key, "is not a list of texts"))
    }

    fn section(&self, key: &str) -> Result<Option<Section<'a>>, ReadConfigError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Section { path: self.key(key), table })),
            Some(_) => Err(self.value(key, "is not a table")),
        }
    }

    fn sections(&self, key: &str) -> Result<Vec<Section<'a>>, ReadConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let bad = || self.value(key, format!("is not a list of tables; write `[[{key}]]`"));
        let tables = value.as_array().ok_or_else(bad)?.iter();
        let section = |(index, value): (usize, &'a Value)| {
            let path = format!("{}[{index}]", self.key(key));
            value.as_table().map(|table| Section { path, table }).ok_or_else(bad)
        };
        tables.enumerate().map(section).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{DEFAULT_THRESHOLD, Metric};

    const EVERYTHING: &str = r#"
        default_branch = "trunk"
        [threshold]
        cycles = "3%"
        instructions = "2.5 %"
        [[benchmark]]
        match = "tests/*::test_io*"
        threshold = "10%"
        [[benchmark]]
        match = "*slow*"
        threshold = { cycles = 0.2, l3_misses = "50%" }
        [gate]
        block = ["code", "dropped"]
        [machine.small]
        like = "reference-1"
        l2 = "128KiB/8/lru"
        mhz = 1000
        [run]
        pass_env = ["DATABASE_URL"]
        isolation = false
        machine = "small"
        layouts = "auto"
    "#;

    #[test]
    fn everything_that_can_be_said_is_read() {
        let config = read(EVERYTHING).unwrap();
        assert_eq!(config.default_branch.as_deref(), Some("trunk"));
        let instructions = (Metric::Event(Event::Instructions), Threshold(0.025));
        let policy = &config.policy;
        assert_eq!(policy.thresholds("a"), [(Metric::Cycles, Threshold(0.03)), instructions]);
        assert_eq!(policy.thresholds("tests/a::test_io")[0], (Metric::Cycles, Threshold(0.1)));
        let l3 = (Metric::Event(Event::L3Misses), Threshold(0.5));
        assert_eq!(policy.thresholds("slow"), [(Metric::Cycles, Threshold(0.2)), instructions, l3]);
        assert_eq!(policy.gate, Gate { causes: BTreeSet::from([Cause::Code]), dropped: true });
        assert_eq!(config.run.pass_env, ["DATABASE_URL"]);
        assert_eq!(config.run.layouts, Some(Spend::Auto));
        assert_eq!(read("[run]\nlayouts = 8").unwrap().run.layouts, Some(Spend::Count(8)));
        assert!(config.run.shared_process && !read("").unwrap().run.shared_process);
        let small = config.machine("small").unwrap();
        assert_eq!(
            small.text(),
            "small;l1i=65536/8/bit-plru;l1d=65536/8/bit-plru;l2=131072/8/lru;l3=16777216/16/lru;\
             latency=2/5/22/90;mhz=1000"
        );
    }

    #[test]
    fn the_documented_example_is_read() {
        let document = include_str!("../../../../docs/configuration.md");
        let example = document.split("```").nth(1).and_then(|block| block.strip_prefix("toml")).unwrap();
        let policy = read(example).unwrap().policy;
        assert_eq!(policy.thresholds("tests/test_fibo.py::test_fibo[5]")[0].1, Threshold(0.03));
        assert_eq!(policy.gate, Gate::default());
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = read("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.policy.thresholds("a"), [(Metric::Cycles, DEFAULT_THRESHOLD)]);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        check("[treshold]\ncycles = \"5%\"", "unknown key `treshold`; did you mean `threshold`?");
        check(
            "[threshold]\ninstruction = \"5%\"",
            "unknown key `threshold.instruction`; did you mean `threshold.instructions`?",
        );
        check(
            "[[benchmark]]\nmatches = \"a\"",
            "unknown key `benchmark[0].matches`; did you mean `benchmark[0].match`?",
        );
        check("[colours]", "unknown key `colours`");
    }

    #[test]
    fn a_value_that_does_not_fit_says_what_would() {
        check("[threshold]\ncycles = 5", "`threshold.cycles` is not a threshold; write `\"5%\"`, or `0.05`");
        check(
            "[threshold]\ncycles = \"-5%\"",
            "`threshold.cycles` is not a threshold; write `\"5%\"`, or `0.05`",
        );
        check(
            "[gate]\nblock = [\"cod\"]",
            "`gate.block` names `cod`, which is none of `code`, `layout`, `environment`, `unstable`, `dropped`",
        );
        check("[[benchmark]]\nthreshold = \"1%\"", "`benchmark[0].match` is missing");
        check("[benchmark]\nmatch = \"a\"", "`benchmark` is not a list of tables; write `[[benchmark]]`");
        check("[run]\nisolation = 1", "`run.isolation` is neither true nor false");
        for bad in ["\"many\"", "0", "1.5", "true"] {
            check(
                &format!("[run]\nlayouts = {bad}"),
                "`run.layouts` is neither `auto` nor a number from 1 to 64",
            );
        }
        check("[run]\npass_env = \"HOME\"", "`run.pass_env` is not a list");
    }

    #[test]
    fn a_machine_that_cannot_be_says_why() {
        check(
            "[machine.a]\nlike = \"reference-1\"\nl2 = \"100KiB/8/lru\"",
            "`machine.a` is not a machine: machine part `l2=102400/8/lru` cannot be read: \
             its bytes are not a power of two of sets of WAYS 64-byte lines",
        );
        check(
            "[machine.reference-1]\nmhz = 1",
            "`machine.reference-1` is a preset, and presets do not change; choose another name",
        );
        check(
            "[run]\nmachine = \"b\"",
            "`run.machine` cannot be used: unknown machine `b`; presets are `reference-1` and `callgrind`",
        );
    }

    #[test]
    fn what_is_not_toml_is_named_by_its_line() {
        let error = read("[threshold]\ncycles = 5%").unwrap_err().to_string();
        assert!(error.starts_with("it is not TOML: line 2: "), "{error}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_text_makes_the_reader_panic(text in "(\\[{0,2}(machine|gate|benchmark|run)\\]{0,2}\n|[a-z]{0,3} ?= ?[0-9\"{}]{0,3}\n){0,6}") {
            let _ = read(&text);
        }
    }
}
