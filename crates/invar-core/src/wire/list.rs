//! A list of runs as JSON, for scripts: written, never read back.
//!
//! `{"invar_list": 1, "runs": [...]}`, in the order given.

use serde::Serialize;

use crate::run::Summary;

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes a list as indented JSON.
pub fn write(runs: &[Summary]) -> String {
    let twin = |run: &'_ Summary| SummaryTwin {
        id: run.id.clone(),
        started_us: run.started.0,
        title: run.title.clone(),
        commit: run.commit.clone(),
        branch: run.branch.clone(),
        dirty: run.dirty,
        message: run.message.clone(),
        machine: run.machine.clone(),
        instrument: run.instrument.name(),
        measured: run.measured,
        failed: run.failed,
        incomplete: run.incomplete.clone(),
    };
    let list = ListTwin { invar_list: VERSION, runs: runs.iter().map(twin).collect() };
    let mut text = serde_json::to_string_pretty(&list).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct ListTwin {
    invar_list: u32,
    runs: Vec<SummaryTwin>,
}

#[derive(Serialize)]
struct SummaryTwin {
    id: String,
    started_us: i64,
    title: String,
    commit: Option<String>,
    branch: Option<String>,
    dirty: bool,
    message: Option<String>,
    machine: String,
    instrument: &'static str,
    measured: usize,
    failed: usize,
    incomplete: Option<String>,
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
