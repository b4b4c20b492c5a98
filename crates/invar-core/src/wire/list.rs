//! A list of runs as JSON, for scripts: written, never read back.
//!
//! `{"invar_list": 1, "runs": [...]}`, in the order given.

use serde::Serialize;

use crate::run::Summary;

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes a list as indented JSON.
pub fn write(runs: &[Summary]) -> String {
    let list = ListTwin { invar_list: VERSION, runs: runs.iter().map(SummaryTwin::from).collect() };
    let mut text = serde_json::to_string_pretty(&list).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct ListTwin<'a> {
    invar_list: u32,
    runs: Vec<SummaryTwin<'a>>,
}

#[derive(Serialize)]
pub(super) struct SummaryTwin<'a> {
    id: &'a str,
    started_us: i64,
    title: &'a str,
    commit: Option<&'a str>,
    branch: Option<&'a str>,
    dirty: bool,
    message: Option<&'a str>,
    machine: &'a str,
    instrument: &'static str,
    measured: usize,
    failed: usize,
    incomplete: Option<&'a str>,
}

impl<'a> From<&'a Summary> for SummaryTwin<'a> {
    fn from(run: &'a Summary) -> SummaryTwin<'a> {
        SummaryTwin {
            id: &run.id,
            started_us: run.started.0,
            title: &run.title,
            commit: run.commit.as_deref(),
            branch: run.branch.as_deref(),
            dirty: run.dirty,
            message: run.message.as_deref(),
            machine: &run.machine,
            instrument: run.instrument.name(),
            measured: run.measured,
            failed: run.failed,
            incomplete: run.incomplete.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    #[test]
    fn a_list_names_each_run() {
        let text = write(&[Summary::of(&run("main", &[("a", 1, 0)]))]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["invar_list"], 1);
        assert_eq!(json["runs"][0]["title"], "main@8607178");
        assert_eq!(json["runs"][0]["measured"], 1);
        assert_eq!(json["runs"][0]["incomplete"], serde_json::Value::Null);
    }
}
