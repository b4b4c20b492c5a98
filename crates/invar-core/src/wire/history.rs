//! Histories as JSON, for scripts: written, never read back.
//!
//! `{"invar_history": 1, "series": [...]}`, `{"invar_commits": 1, "commits": [...]}`, `{"invar_overview": 1, ...}`. Numbers are
//! raw: cycles, nanoseconds, counts, ratios. A ratio out of nothing is `null`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::list::SummaryTwin;
use super::report::{counts, finite};
use crate::compare::{Change, Verdict};
use crate::config::Policy;
use crate::event::Event;
use crate::history::{Level, Point, Series};
use crate::report::{Brief, Judgement};

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes series, each point with what became of the benchmark since the one before.
///
/// By hand: a history of two thousand points is a megabyte, and what walks over structures that say how to write
/// themselves takes several times as long for it.
pub fn series<'a>(all: impl IntoIterator<Item = &'a Series>, policy: &Policy) -> String {
    let mut out = Vec::new();
    let names = Event::ALL.map(|event| format!("\"{}\":", event.name()));
    push(&mut out, "{\"invar_history\":");
    whole(&mut out, VERSION);
    push(&mut out, ",\"series\":[");
    for (index, series) in all.into_iter().enumerate() {
        out.reserve(series.points.len() * POINT_BYTES);
        push(&mut out, if index == 0 { "{\"benchmark\":" } else { ",{\"benchmark\":" });
        string(&mut out, &series.benchmark);
        push(&mut out, ",\"machine\":");
        string(&mut out, &series.machine.name);
        push(&mut out, ",\"instrument\":");
        string(&mut out, series.instrument.name());
        push(&mut out, ",\"points\":[");
        for (at, verdict) in series.verdicts(policy).into_iter().enumerate() {
            push(&mut out, if at == 0 { "{" } else { ",{" });
            point(&mut out, &series.points[at], &names);
            push(&mut out, ",\"change\":");
            match series.change(at).map(Change::ratio).and_then(finite) {
                Some(ratio) => json(&mut out, &ratio),
                None => push(&mut out, "null"),
            }
            push(&mut out, ",\"verdict\":");
            or_null(&mut out, verdict.map(Verdict::name));
            push(&mut out, "}");
        }
        push(&mut out, "]}");
    }
    push(&mut out, "]}\n");
    String::from_utf8(out).expect("what was written is texts and digits")
}

/// How much a point takes, more or less.
const POINT_BYTES: usize = 600;

/// The members of a point that are its run's and its reading's.
fn point(out: &mut Vec<u8>, point: &Point, names: &[String]) {
    let (run, reading) = (&point.run, &point.reading);
    push(out, "\"run\":");
    string(out, &run.id);
    push(out, ",\"title\":");
    string(out, &run.title);
    push(out, ",\"commit\":");
    or_null(out, run.commit.as_deref());
    push(out, ",\"branch\":");
    or_null(out, run.branch.as_deref());
    push(out, ",\"started_us\":");
    whole(out, run.started.0);
    push(out, ",\"cycles\":");
    whole(out, reading.cost.total().0);
    push(out, ",\"nanoseconds\":");
    whole(out, u64::try_from(reading.time.as_nanos()).unwrap_or(u64::MAX));
    push(out, ",\"events\":{");
    for (index, (event, name)) in Event::ALL.into_iter().zip(names).enumerate() {
        if index > 0 {
            push(out, ",");
        }
        push(out, name);
        whole(out, reading.events.get(event));
    }
    push(out, "},\"diagnostics\":[");
    for (index, diagnostic) in reading.diagnostics.to_vec().into_iter().enumerate() {
        if index > 0 {
            push(out, ",");
        }
        string(out, diagnostic.name());
    }
    push(out, "]");
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn whole(out: &mut Vec<u8>, number: impl itoa::Integer) {
    push(out, itoa::Buffer::new().format(number));
}

fn string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        push(out, text);
        out.push(b'"');
    } else {
        json(out, &text);
    }
}

fn or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => push(out, "null"),
    }
}

fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("it holds nothing that JSON cannot");
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
    use crate::history::levels;
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
    fn texts_are_written_so_that_they_are_read_as_they_were() {
        let mut history = history();
        let name = "t.py::a[\"x\\\n\u{1}\u{7f}é\"]";
        history.benchmark = name.to_string();
        let mut run = (*history.points[0].run).clone();
        (run.title, run.branch, run.commit) = ("\"".to_string(), Some("a\tb".to_string()), None);
        history.points[0].run = run.into();
        let json = json(&series([&history, &history], &Policy::default()));
        for series in json["series"].as_array().unwrap() {
            assert_eq!(series["benchmark"], name);
            let point = &series["points"][0];
            assert_eq!((&point["title"], &point["branch"]), (&"\"".into(), &"a\tb".into()));
            assert_eq!(point["commit"], Value::Null);
        }
        assert_eq!(json["series"].as_array().map(Vec::len), Some(2));
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
