//! A Report as JSON, for scripts: written, never read back.
//!
//! `{"invar_report": 1, ...}`. Numbers are raw: cycles, nanoseconds, counts, ratios. A ratio out of nothing is `null`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::v1::EventsTwin;
use crate::compare::{Change, Counts, Reading, Side, Verdict};
use crate::profile::{Payer, PayingPath};
use crate::report::{Outcome, Paid, Report, Row};

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes a report as one line of JSON with a line feed at its end.
pub fn write(report: &Report) -> String {
    let mut text =
        serde_json::to_string(&ReportTwin::from(report)).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

/// Writes a report as indented JSON, for people.
pub fn write_pretty(report: &Report) -> String {
    let mut text =
        serde_json::to_string_pretty(&ReportTwin::from(report)).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct ReportTwin<'a> {
    invar_report: u32,
    outcome: &'static str,
    factor: Option<f64>,
    headline: &'a str,
    blocks: bool,
    counts: BTreeMap<&'static str, usize>,
    base: Option<SideTwin<'a>>,
    head: SideTwin<'a>,
    machine: &'a str,
    instrument: &'static str,
    policy: &'a str,
    benchmarks: Vec<RowTwin<'a>>,
    failed: &'a BTreeMap<String, String>,
    environment: Vec<DifferenceTwin<'a>>,
    notes: &'a [String],
    link: Option<&'a str>,
}

#[derive(Serialize)]
struct SideTwin<'a> {
    run: &'a str,
    title: &'a str,
    commit: Option<&'a str>,
    branch: Option<&'a str>,
    dirty: Option<bool>,
    started_us: i64,
    incomplete: Option<&'a str>,
}

#[derive(Serialize)]
struct RowTwin<'a> {
    benchmark: &'a str,
    verdict: &'static str,
    cause: Option<&'static str>,
    why: &'a str,
    blocking: bool,
    /// Who lets it pass; only there if somebody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<AcknowledgedTwin<'a>>,
    /// Who says that it decides nothing; only there if somebody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<AcknowledgedTwin<'a>>,
    threshold: ThresholdTwin,
    /// How far its cost moves by itself, relative; only there if it was verified. `null` is infinitely far.
    #[serde(skip_serializing_if = "Option::is_none")]
    noise_floor: Option<Option<f64>>,
    /// Of the cost, relative to the baseline.
    change: Option<f64>,
    base: Option<ReadingTwin>,
    head: Option<ReadingTwin>,
    link: Option<&'a str>,
    /// Who pays; only there if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    paid: Option<PaidTwin<'a>>,
}

#[derive(Serialize)]
struct AcknowledgedTwin<'a> {
    who: &'a str,
    reason: &'a str,
    at_us: i64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PaidTwin<'a> {
    Unknown { unknown: &'a str },
    By { cycles: [u64; 2], layout: bool, python: Vec<PayerTwin<'a>>, native: Vec<PayerTwin<'a>> },
}

/// Pairs are baseline and candidate.
#[derive(Serialize)]
struct PayerTwin<'a> {
    name: &'a str,
    object: &'a str,
    file: &'a str,
    line: u32,
    reason: &'static str,
    cycles: [u64; 2],
    /// By how many cycles each part moved.
    parts: BTreeMap<&'static str, i64>,
    calls: [u64; 2],
    paths: Vec<PathTwin<'a>>,
}

#[derive(Serialize)]
struct PathTwin<'a> {
    functions: Vec<&'a str>,
    cycles: [u64; 2],
    calls: [u64; 2],
}

#[derive(Serialize)]
struct ThresholdTwin {
    metric: &'static str,
    ratio: Option<f64>,
    /// What the project asked for, if that is below the noise floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    raised_from: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct ReadingTwin {
    cycles: u64,
    nanoseconds: u64,
    events: EventsTwin,
    diagnostics: Vec<&'static str>,
}

#[derive(Serialize)]
struct DifferenceTwin<'a> {
    group: &'a str,
    name: &'a str,
    base: Option<&'a str>,
    head: Option<&'a str>,
    matters: bool,
}

impl<'a> From<&'a Report> for ReportTwin<'a> {
    fn from(report: &'a Report) -> ReportTwin<'a> {
        let factor = match report.outcome {
            Outcome::Improves(factor) | Outcome::Degrades(factor) => finite(factor),
            Outcome::Unchanged | Outcome::NoBaseline | Outcome::NothingMeasured => None,
        };
        let environment = report.environment.iter().map(|difference| DifferenceTwin {
            group: &difference.group,
            name: &difference.name,
            base: difference.base.as_deref(),
            head: difference.head.as_deref(),
            matters: difference.matters(),
        });
        ReportTwin {
            invar_report: VERSION,
            outcome: report.outcome.name(),
            factor,
            headline: &report.headline,
            blocks: report.blocks,
            counts: counts(&report.counts),
            base: report.base.as_ref().map(SideTwin::from),
            head: SideTwin::from(&report.head),
            machine: &report.machine,
            instrument: report.instrument.name(),
            policy: &report.policy,
            benchmarks: report.rows.iter().map(RowTwin::from).collect(),
            failed: &report.failed,
            environment: environment.collect(),
            notes: &report.notes,
            link: report.links.report.as_deref(),
        }
    }
}

impl<'a> From<&'a Side> for SideTwin<'a> {
    fn from(side: &'a Side) -> SideTwin<'a> {
        let source = side.source.as_ref();
        SideTwin {
            run: &side.run,
            title: &side.title,
            commit: source.and_then(|source| source.commit.as_deref()),
            branch: source.and_then(|source| source.branch.as_deref()),
            dirty: source.map(|source| source.dirty),
            started_us: side.started.0,
            incomplete: side.incomplete.as_deref(),
        }
    }
}

impl<'a> From<&'a Row> for RowTwin<'a> {
    fn from(row: &'a Row) -> RowTwin<'a> {
        let judged = &row.judged;
        RowTwin {
            benchmark: &judged.benchmark.id,
            verdict: judged.verdict.name(),
            cause: judged.cause.map(|cause| cause.name()),
            why: &row.why,
            blocking: judged.blocking,
            acknowledged: judged.acknowledged.as_ref().map(|said| AcknowledgedTwin {
                who: &said.who,
                reason: &said.reason,
                at_us: said.at.0,
            }),
            ignored: judged.ignored.as_ref().map(|said| AcknowledgedTwin {
                who: &said.who,
                reason: &said.reason,
                at_us: said.at.0,
            }),
            threshold: ThresholdTwin {
                metric: judged.applied.metric.name(),
                ratio: finite(judged.applied.threshold.0),
                raised_from: judged.applied.raised_from.map(|threshold| threshold.0),
            },
            noise_floor: judged.noise.map(finite),
            change: judged.change().map(Change::ratio).and_then(finite),
            base: judged.base.map(ReadingTwin::from),
            head: judged.head.map(ReadingTwin::from),
            link: row.link.as_deref(),
            paid: match &row.paid {
                Paid::Unasked => None,
                Paid::Unknown(unknown) => Some(PaidTwin::Unknown { unknown }),
                Paid::By(why) => Some(PaidTwin::By {
                    cycles: pair(why.cycles),
                    layout: why.layout,
                    python: why.python.iter().map(PayerTwin::from).collect(),
                    native: why.native.iter().map(PayerTwin::from).collect(),
                }),
            },
        }
    }
}

const fn pair(change: Change) -> [u64; 2] {
    [change.base, change.head]
}

impl<'a> From<&'a Payer> for PayerTwin<'a> {
    fn from(payer: &'a Payer) -> PayerTwin<'a> {
        let parts = payer.parts().into_iter();
        let path = |path: &'a PayingPath| PathTwin {
            functions: path.functions.iter().map(|function| function.name.as_str()).collect(),
            cycles: pair(path.cycles),
            calls: pair(path.calls),
        };
        PayerTwin {
            name: &payer.function.name,
            object: &payer.function.object,
            file: &payer.function.file,
            line: payer.function.line,
            reason: payer.reason.name(),
            cycles: pair(payer.cycles()),
            parts: parts.map(|(name, by)| (name, i64::try_from(by).unwrap_or(i64::MAX))).collect(),
            calls: pair(payer.calls),
            paths: payer.paths.iter().map(path).collect(),
        }
    }
}

impl From<Reading> for ReadingTwin {
    fn from(reading: Reading) -> ReadingTwin {
        ReadingTwin {
            cycles: reading.cost.total().0,
            nanoseconds: u64::try_from(reading.time.as_nanos()).unwrap_or(u64::MAX),
            events: EventsTwin(reading.events),
            diagnostics: reading
                .diagnostics
                .to_vec()
                .into_iter()
                .map(|diagnostic| diagnostic.name())
                .collect(),
        }
    }
}

pub(super) fn counts(counts: &Counts) -> BTreeMap<&'static str, usize> {
    let verdicts = Verdict::ALL.into_iter().map(|verdict| (verdict.name(), counts.of(verdict)));
    verdicts.chain([("failed", counts.failed), ("blocking", counts.blocking)]).collect()
}

pub(super) fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::compare::Comparison;
    use crate::config::Policy;
    use crate::profile::{Both, Why};
    use crate::report::ReportOptions;
    use crate::testing::{profile, run};

    #[test]
    fn a_script_finds_what_people_read() {
        let policy = Policy::default();
        let base = run("main", &[("a", 100_000, 0), ("b", 7, 0)]);
        let head = run("slower", &[("a", 201_000, 0), ("b", 7, 0)]);
        let comparison = Comparison::of(&base, &head, &policy).unwrap();
        let report = Report::of(&comparison, &policy, ReportOptions::default());
        let json: Value = serde_json::from_str(&write(&report)).unwrap();
        assert_eq!(json["invar_report"], 1);
        assert_eq!(json["headline"], "Merging `slower` will degrade performance by 100.0 %");
        assert_eq!(json["blocks"], true);
        assert_eq!(json["counts"]["regressed"], 1);
        assert_eq!(json["factor"], 2.0);
        let row = &json["benchmarks"][0];
        assert_eq!(
            (&row["benchmark"], &row["verdict"], &row["cause"]),
            (&"a".into(), &"regressed".into(), &"code".into())
        );
        assert_eq!((&row["change"], &row["threshold"]["ratio"]), (&1.0.into(), &0.05.into()));
        assert_eq!(row["head"]["events"]["instructions"], 201_000);
        assert_eq!(json["benchmarks"][1]["verdict"], "unchanged");
        assert!(row.get("paid").is_none());
    }

    #[test]
    fn who_pays_is_there_if_it_was_asked() {
        let policy = Policy::default();
        let base = run("main", &[("a", 100_000, 0), ("b", 100_000, 0)]);
        let head = run("slower", &[("a", 201_000, 0), ("b", 201_000, 0)]);
        let comparison = Comparison::of(&base, &head, &policy).unwrap();
        let mut report = Report::of(&comparison, &policy, ReportOptions::default());
        let profiles = [profile("a 1 0\n  f 3 100"), profile("a 1 0\n  f 6 200")];
        let both = Both { base: &profiles[0], head: &profiles[1] };
        report.explain("a", Paid::By(Box::new(Why::of(both, &base.machine, 3))));
        report.explain("b", Paid::Unknown("no profile of the baseline".to_string()));
        assert_eq!(report.explicable(), ["a", "b"]);
        let json: Value = serde_json::from_str(&write(&report)).unwrap();
        let payer = &json["benchmarks"][0]["paid"]["native"][0];
        assert_eq!((&payer["name"], &payer["reason"]), (&"f".into(), &"called_more_often".into()));
        assert_eq!((&payer["calls"], &payer["cycles"]), (&json!([3, 6]), &json!([200, 400])));
        assert_eq!(payer["paths"][0]["functions"], json!(["a", "f"]));
        assert_eq!(json["benchmarks"][0]["why"], "code: instructions +101.0 %; `f` +200 cycles");
        assert_eq!(json["benchmarks"][1]["paid"]["unknown"], "no profile of the baseline");
    }
}
