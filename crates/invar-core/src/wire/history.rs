//! Histories as JSON, for scripts: written, never read back.
//!
//! `{"invar_history": 1, "series": [...]}`, `{"invar_commits": 1, "commits": [...]}`, `{"invar_overview": 1, ...}`. Numbers are
//! raw: cycles, nanoseconds, counts, ratios. A ratio out of nothing is `null`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::list::SummaryTwin;
use super::report::{ReadingTwin, counts, finite};
use crate::compare::Change;
use crate::config::Policy;
use crate::history::{Level, Series};
use crate::report::{Brief, Judgement};

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes series, each point with what became of the benchmark since the one before.
pub fn series<'a>(all: impl IntoIterator<Item = &'a Series>, policy: &Policy) -> String {
    let series = all.into_iter().map(|series| SeriesTwin {
        benchmark: &series.benchmark,
        machine: &series.machine.name,
        instrument: series.instrument.name(),
        points: points(series, policy),
    });
    text(&HistoryTwin { invar_history: VERSION, series: series.collect() })
}

fn points<'a>(series: &'a Series, policy: &Policy) -> Vec<PointTwin<'a>> {
    let points = series.points.iter().zip(series.verdicts(policy)).enumerate();
    let point = points.map(|(at, (point, verdict))| PointTwin {
        run: &point.run.id,
        title: &point.run.title,
        commit: point.run.commit.as_deref(),
        branch: point.run.branch.as_deref(),
        started_us: point.run.started.0,
        reading: ReadingTwin::from(point.reading),
        change: series.change(at).map(Change::ratio).and_then(finite),
        verdict: verdict.map(|verdict| verdict.name()),
    });
    point.collect()
}

/// Writes the commits of a branch, each with how it did against the one it was judged by.
pub fn commits(branch: Option<&str>, commits: &[Judgement]) -> String {
    let commits = commits.iter().map(JudgementTwin::from).collect();
    text(&CommitsTwin { invar_commits: VERSION, branch, commits })
}

/// Writes how a project does: its newest run, what all benchmarks did together, and regressions that stand.
pub fn overview(
    branch: Option<&str>,
    newest: Option<&Judgement>,
    levels: &[Level],
    series: &[Series],
    policy: &Policy,
) -> String {
    let attention = series.iter().filter_map(|series| {
        let standing = series.standing(policy)?;
        Some(StandingTwin {
            benchmark: &series.benchmark,
            since: SummaryTwin::from(&*series.points[standing.since].run),
            change: finite(standing.change.ratio()),
        })
    });
    let level = |level: &'_ Level| LevelTwin {
        run: level.run.id.clone(),
        commit: level.run.commit.clone(),
        started_us: level.run.started.0,
        ratio: finite(level.ratio),
    };
    text(&OverviewTwin {
        invar_overview: VERSION,
        branch,
        newest: newest.map(JudgementTwin::from),
        attention: attention.collect(),
        levels: levels.iter().map(level).collect(),
    })
}

fn text(twin: &impl Serialize) -> String {
    let mut text = serde_json::to_string(twin).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct HistoryTwin<'a> {
    invar_history: u32,
    series: Vec<SeriesTwin<'a>>,
}

#[derive(Serialize)]
struct SeriesTwin<'a> {
    benchmark: &'a str,
    machine: &'a str,
    instrument: &'static str,
    points: Vec<PointTwin<'a>>,
}

#[derive(Serialize)]
struct PointTwin<'a> {
    run: &'a str,
    title: &'a str,
    commit: Option<&'a str>,
    branch: Option<&'a str>,
    started_us: i64,
    #[serde(flatten)]
    reading: ReadingTwin,
    /// Of the cost, relative to the point before.
    change: Option<f64>,
    verdict: Option<&'static str>,
}

#[derive(Serialize)]
struct CommitsTwin<'a> {
    invar_commits: u32,
    branch: Option<&'a str>,
    commits: Vec<JudgementTwin<'a>>,
}

#[derive(Serialize)]
struct OverviewTwin<'a> {
    invar_overview: u32,
    branch: Option<&'a str>,
    newest: Option<JudgementTwin<'a>>,
    attention: Vec<StandingTwin<'a>>,
    levels: Vec<LevelTwin>,
}

#[derive(Serialize)]
struct StandingTwin<'a> {
    benchmark: &'a str,
    since: SummaryTwin<'a>,
    change: Option<f64>,
}

#[derive(Serialize)]
struct LevelTwin {
    run: String,
    commit: Option<String>,
    started_us: i64,
    /// Relative to the first.
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct JudgementTwin<'a> {
    run: SummaryTwin<'a>,
    base: Option<SummaryTwin<'a>>,
    brief: Option<BriefTwin<'a>>,
}

#[derive(Serialize)]
struct BriefTwin<'a> {
    outcome: &'static str,
    headline: &'a str,
    blocks: bool,
    counts: BTreeMap<&'static str, usize>,
}

impl<'a> From<&'a Judgement> for JudgementTwin<'a> {
    fn from(judgement: &'a Judgement) -> JudgementTwin<'a> {
        JudgementTwin {
            run: SummaryTwin::from(&judgement.run),
            base: judgement.base.as_ref().map(SummaryTwin::from),
            brief: judgement.brief.as_ref().map(BriefTwin::from),
        }
    }
}

impl<'a> From<&'a Brief> for BriefTwin<'a> {
    fn from(brief: &'a Brief) -> BriefTwin<'a> {
        BriefTwin {
            outcome: brief.outcome.name(),
            headline: &brief.headline,
            blocks: brief.blocks,
            counts: counts(&brief.counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::compare::{Comparison, Reading};
    use crate::history::{Point, levels};
    use crate::report::{Report, ReportOptions};
    use crate::run::{Run, Summary};
    use crate::testing::run;

    fn runs() -> [Run; 2] {
        let mut head = run("main", &[("a", 201_000, 0)]);
        head.id = "2".to_string();
        [run("main", &[("a", 100_000, 0)]), head]
    }

    fn history() -> Series {
        let point =
            |run: &Run| Point { run: Summary::of(run).into(), reading: Reading::of(&run.measurements[0]) };
        Series {
            benchmark: "a".to_string(),
            machine: runs()[0].machine.clone(),
            instrument: runs()[0].instrument,
            points: runs().iter().map(point).collect(),
        }
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_point_says_what_it_did_to_the_one_before() {
        let json = json(&series(&[history()], &Policy::default()));
        let points = &json["series"][0]["points"];
        assert_eq!((&points[0]["verdict"], &points[0]["change"]), (&Value::Null, &Value::Null));
        assert_eq!((&points[1]["verdict"], &points[1]["change"]), (&"regressed".into(), &1.0.into()));
        assert_eq!(points[1]["events"]["instructions"], 201_000);
        assert_eq!(points[0]["cycles"], 202_000);
    }

    #[test]
    fn an_overview_names_what_regressed_and_since_when() {
        let policy = Policy::default();
        let [base, head] = runs();
        let comparison = Comparison::of(&base, &head, &policy).unwrap();
        let brief = Brief::of(&Report::of(&comparison, &policy, ReportOptions::default()));
        let newest =
            Judgement { run: Summary::of(&head), base: Some(Summary::of(&base)), brief: Some(brief) };
        let levels = levels(&[history()], &[Summary::of(&base), Summary::of(&head)]);
        let overview = json(&overview(Some("main"), Some(&newest), &levels, &[history()], &policy));
        assert_eq!(overview["attention"][0]["since"]["id"], "2");
        assert_eq!(overview["attention"][0]["change"], 1.0);
        assert_eq!(overview["levels"].as_array().map(Vec::len), Some(2));
        assert_eq!(overview["newest"]["brief"]["counts"]["regressed"], 1);
        let commits = json(&commits(None, &[newest]));
        assert_eq!(commits["commits"][0]["base"]["id"], base.id.as_str());
    }
}
