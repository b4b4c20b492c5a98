//! A profile for speedscope: its own JSON, as `https://www.speedscope.app/file-format-schema.json` describes it.
//!
//! A speedscope profile of type `sampled` for cycles, instructions and each event that happened; a "sample" is a call path
//! and its weight what was done there, exactly. Lost: how often a function was called, its object, what is inlined, lines
//! but a function's first: a frame has one. Numbers past 2^53 are rounded by speedscope, as JavaScript does.

use serde::Serialize;

use super::{CREATOR, Column, columns, path, root_name};
use crate::machine::Machine;
use crate::profile::{Function, Profile};

/// Writes a profile. Paths stand in the order of its nodes, so that a caller's are together.
pub fn write(profile: &Profile, machine: &Machine) -> String {
    let profile = &*profile.without_lines();
    let file = FileTwin {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: CREATOR,
        name: root_name(profile),
        active_profile_index: 0,
        shared: SharedTwin { frames: profile.functions.iter().map(FrameTwin::from).collect() },
        profiles: columns(profile, machine).into_iter().map(|column| sampled(profile, &column)).collect(),
    };
    serde_json::to_string(&file).expect("twins hold nothing that JSON cannot")
}

fn sampled(profile: &Profile, column: &Column) -> SampledTwin {
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for (node, &cost) in column.costs.iter().enumerate().filter(|&(_, &cost)| cost > 0) {
        let path = std::iter::once(0).chain(path(profile, node));
        samples.push(path.map(|node| profile.nodes[node].function).collect());
        weights.push(cost);
    }
    let end_value = weights.iter().sum();
    SampledTwin {
        kind: "sampled",
        name: column.name,
        unit: "none",
        start_value: 0,
        end_value,
        samples,
        weights,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileTwin<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    active_profile_index: usize,
    shared: SharedTwin<'a>,
    profiles: Vec<SampledTwin>,
}

#[derive(Serialize)]
struct SharedTwin<'a> {
    frames: Vec<FrameTwin<'a>>,
}

#[derive(Serialize)]
struct FrameTwin<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SampledTwin {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    /// Indices of frames, the outermost first.
    samples: Vec<Vec<u32>>,
    weights: Vec<u64>,
}

impl<'a> From<&'a Function> for FrameTwin<'a> {
    /// Where the file is not known, the object says at least something.
    fn from(function: &'a Function) -> FrameTwin<'a> {
        let file = if function.file.is_empty() { &function.object } else { &function.file };
        FrameTwin {
            name: &function.name,
            file: (!file.is_empty()).then_some(file),
            line: (function.line > 0).then_some(function.line),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::profile;
    use super::*;

    #[test]
    fn a_path_is_a_sample_that_weighs_what_was_done_there() {
        let file: Value = serde_json::from_str(&write(&profile(), &Machine::reference_1())).unwrap();
        let frames = file["shared"]["frames"].as_array().unwrap();
        let profiles = file["profiles"].as_array().unwrap();
        let names: Vec<&Value> = profiles.iter().map(|profile| &profile["name"]).collect();
        assert_eq!(names, ["cycles", "instructions", "rep_bytes"]);
        let samples = profiles[1]["samples"].as_array().unwrap();
        let named = |sample: &Value| -> Vec<Value> {
            let frames = sample.as_array().unwrap().iter().map(|at| &frames[at.as_u64().unwrap() as usize]);
            frames.map(|frame| frame["name"].clone()).collect()
        };
        let root = "test_sum.py::test_sum[\"5\"]";
        assert_eq!(named(&samples[0]), [root]);
        let deepest = [root, "Sum.of", "Sum.of", "eval", "<[u8; 4]>::sum", "add"];
        assert_eq!(named(samples.last().unwrap()), deepest);
        assert_eq!(profiles[1]["weights"], json!([1, 10, 20, 400, 50, 7000]));
        assert_eq!(profiles[1]["endValue"], 7481);
        assert!(frames.contains(&json!({"name": "Sum.of", "file": "src/sum.py", "line": 7})));
        assert!(frames.contains(&json!({"name": "eval", "file": "ceval.c"})));
    }
}
