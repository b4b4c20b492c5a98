//! What `invar verify` found as JSON, for scripts: written, never read back.
//!
//! `{"invar_noise": 1, "circumstances": [...], "benchmarks": [...]}`; ratios are raw, and one out of nothing is `null`.

use serde::Serialize;

use crate::noise::Noise;

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes the noise of a suite's benchmarks as indented JSON. `circumstances` are what was unlike in each run.
pub fn write(noise: &[Noise], circumstances: &[&str]) -> String {
    let benchmarks = noise.iter().map(|noise| NoiseTwin {
        benchmark: &noise.benchmark,
        results: noise.results,
        cycles: [noise.cycles.least, noise.cycles.most],
        cycles_ratio: finite(noise.cycles.ratio()),
        instructions: [noise.instructions.least, noise.instructions.most],
        instructions_ratio: finite(noise.instructions.ratio()),
        moved: noise.moved.iter().map(|event| event.name()).collect(),
        first_unlike: noise.first_unlike.and_then(|run| circumstances.get(run).copied()),
        diagnostics: noise.diagnostics.to_vec().into_iter().map(|diagnostic| diagnostic.name()).collect(),
    });
    let all = NoisesTwin { invar_noise: VERSION, circumstances, benchmarks: benchmarks.collect() };
    let text = serde_json::to_string_pretty(&all).expect("twins hold nothing that JSON cannot");
    format!("{text}\n")
}

fn finite(ratio: f64) -> Option<f64> {
    ratio.is_finite().then_some(ratio)
}

#[derive(Serialize)]
struct NoisesTwin<'a> {
    invar_noise: u32,
    circumstances: &'a [&'a str],
    benchmarks: Vec<NoiseTwin<'a>>,
}

#[derive(Serialize)]
struct NoiseTwin<'a> {
    benchmark: &'a str,
    results: usize,
    cycles: [u64; 2],
    cycles_ratio: Option<f64>,
    instructions: [u64; 2],
    instructions_ratio: Option<f64>,
    moved: Vec<&'static str>,
    first_unlike: Option<&'a str>,
    diagnostics: Vec<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    #[test]
    fn a_benchmark_that_moves_is_written_with_what_moved_it() {
        let runs = [run("main", &[("a", 1000, 0)]), run("main", &[("a", 1001, 0)])];
        let text = write(&crate::noise::noise(&runs), &["plain", "another HOME"]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let benchmark = &json["benchmarks"][0];
        assert_eq!(benchmark["instructions"], serde_json::json!([1000, 1001]));
        assert_eq!(benchmark["first_unlike"], "another HOME");
        assert_eq!(benchmark["moved"][0], "instructions");
    }
}
