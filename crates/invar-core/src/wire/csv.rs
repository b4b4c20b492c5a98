//! Runs, comparisons and histories as CSV (RFC 4180): a header, raw units, CR LF at the end of a record.
//!
//! Written for scripts and spreadsheets, never read back.

use crate::compare::{Cause, Change, Judged};
use crate::cost::{Cost, Hertz};
use crate::event::{Event, Events};
use crate::history::{Level, Series};
use crate::measurement::Measurement;
use crate::profile::{Function, FunctionChange, Measure, Order, Profile};
use crate::report::Judgement;
use crate::run::{Run, Summary};

/// The run: its warm and its cold passes, benchmark by benchmark.
pub fn run(run: &Run) -> String {
    let mut header =
        vec!["benchmark", "file", "name", "group", "instrument", "machine", "pass", "cycles", "nanoseconds"];
    header.extend(Event::ALL.map(Event::name));
    header.push("diagnostics");
    let mut out = record(header.into_iter().map(str::to_string));
    for measurement in &run.measurements {
        out.push_str(&pass(measurement, "warm", &measurement.warm));
        if let Some(cold) = &measurement.cold {
            out.push_str(&pass(measurement, "cold", cold));
        }
    }
    out
}

/// A comparison: a record for each of these benchmarks. What a side lacks is empty.
pub fn comparison<'a>(benchmarks: impl Iterator<Item = &'a Judged>) -> String {
    let header =
        "benchmark,verdict,cause,blocking,change,base_cycles,head_cycles,base_nanoseconds,head_nanoseconds";
    let mut header: Vec<String> = header.split(',').map(str::to_string).collect();
    header.extend(
        Event::ALL
            .into_iter()
            .flat_map(|event| ["base", "head"].map(|side| format!("{side}_{}", event.name()))),
    );
    let mut out = record(header.into_iter());
    for judged in benchmarks {
        let sides = [judged.base, judged.head];
        let number = |number: Option<u128>| number.map_or_else(String::new, |number| number.to_string());
        let change = judged.change().map(Change::ratio).filter(|ratio| ratio.is_finite());
        let mut fields = vec![
            judged.benchmark.id.clone(),
            judged.verdict.name().to_string(),
            judged.cause.map_or("", Cause::name).to_string(),
            judged.blocking.to_string(),
            change.map_or_else(String::new, |ratio| ratio.to_string()),
        ];
        fields.extend(sides.map(|side| number(side.map(|reading| reading.cost.total().0.into()))));
        fields.extend(sides.map(|side| number(side.map(|reading| reading.time.as_nanos()))));
        for event in Event::ALL {
            fields.extend(sides.map(|side| number(side.map(|reading| reading.events.get(event).into()))));
        }
        out.push_str(&record(fields.into_iter()));
    }
    out
}

/// The functions of a profile, the dearest first, a record each. Costs are in `measure`.
pub fn functions(profile: &Profile, measure: Measure<'_>) -> String {
    let name = measure.name();
    let costs = [format!("own_{name}"), format!("inclusive_{name}"), "calls".to_string()];
    let mut out = record(FUNCTION.iter().map(ToString::to_string).chain(costs));
    let profile = profile.without_lines();
    for cost in profile.by_function(measure, Order::Own) {
        let costs = [cost.own_cost, cost.inclusive_cost, cost.calls].map(|number| number.to_string());
        let function = function(&profile.functions[cost.function as usize]);
        out.push_str(&record(function.into_iter().chain(costs)));
    }
    out
}

/// The functions of two profiles, a record each. Costs are in `measure`.
pub fn function_changes(rows: &[FunctionChange], measure: Measure<'_>) -> String {
    let name = measure.name();
    let costs = [format!("own_{name}"), format!("inclusive_{name}"), "calls".to_string()];
    let both = costs.iter().flat_map(|cost| ["base", "head"].map(|side| format!("{side}_{cost}")));
    let mut out = record(FUNCTION.iter().map(ToString::to_string).chain(both));
    for row in rows {
        let costs = [row.own, row.inclusive, row.calls];
        let costs = costs.into_iter().flat_map(|Change { base, head }| [base, head]);
        out.push_str(&record(function(&row.function).into_iter().chain(costs.map(|cost| cost.to_string()))));
    }
    out
}

const FUNCTION: [&str; 5] = ["function", "object", "file", "line", "kind"];

fn function(Function { name, object, file, kind, line }: &Function) -> [String; 5] {
    [name.clone(), object.clone(), file.clone(), line.to_string(), kind.name().to_string()]
}

/// Runs, a record each.
pub fn runs(runs: &[Summary]) -> String {
    let header = [RUN, &["machine", "instrument", "measured", "failed", "incomplete", "message"]].concat();
    let mut out = record(header.into_iter().map(str::to_string));
    for summary in runs {
        let rest = [
            summary.machine.clone(),
            summary.instrument.name().to_string(),
            summary.measured.to_string(),
            summary.failed.to_string(),
            summary.incomplete.clone().unwrap_or_default(),
            summary.message.clone().unwrap_or_default(),
        ];
        out.push_str(&record(run_fields(summary).into_iter().chain(rest)));
    }
    out
}

/// Runs and how each did against the one that it was judged by, a record each.
pub fn judgements(judgements: &[Judgement]) -> String {
    let header =
        [RUN, &["base_run", "outcome", "blocks", "improved", "regressed", "unchanged", "new", "dropped"]];
    let mut out = record(header.concat().into_iter().map(str::to_string));
    for Judgement { run, base, brief } in judgements {
        let base = base.as_ref().map_or_else(String::new, |base| base.id.clone());
        let rest = match brief {
            None => {
                vec![base, String::new(), String::new()].into_iter().chain(vec![String::new(); 5]).collect()
            }
            Some(brief) => {
                let counts = &brief.counts;
                let mut rest = vec![base, brief.outcome.name().to_string(), brief.blocks.to_string()];
                let counts =
                    [counts.improved, counts.regressed, counts.unchanged, counts.new, counts.dropped];
                rest.extend(counts.map(|count| count.to_string()));
                rest
            }
        };
        out.push_str(&record(run_fields(run).into_iter().chain(rest)));
    }
    out
}

/// Series: a record for each point, series by series.
pub fn series<'a>(all: impl IntoIterator<Item = &'a Series>) -> String {
    let mut header =
        [&["benchmark", "machine", "instrument"], RUN, &["cycles", "nanoseconds", "change"]].concat();
    header.extend(Event::ALL.map(Event::name));
    let mut out = record(header.into_iter().map(str::to_string));
    for series in all {
        for (at, point) in series.points.iter().enumerate() {
            let mut fields = vec![
                series.benchmark.clone(),
                series.machine.name.clone(),
                series.instrument.name().to_string(),
            ];
            fields.extend(run_fields(&point.run));
            fields.push(point.reading.cost.total().0.to_string());
            fields.push(point.reading.time.as_nanos().to_string());
            let change = series.change(at).map(Change::ratio).filter(|ratio| ratio.is_finite());
            fields.push(change.map_or_else(String::new, |ratio| ratio.to_string()));
            fields.extend(point.reading.events.0.iter().map(u64::to_string));
            out.push_str(&record(fields.into_iter()));
        }
    }
    out
}

/// What all benchmarks did together, a record for each run.
pub fn levels(levels: &[Level]) -> String {
    let mut out = record([RUN, &["ratio"]].concat().into_iter().map(str::to_string));
    for level in levels {
        out.push_str(&record(run_fields(&level.run).into_iter().chain([level.ratio.to_string()])));
    }
    out
}

/// What names a run, in the order of [`run_fields`].
const RUN: &[&str] = &["run", "started_us", "title", "commit", "branch", "dirty"];

fn run_fields(run: &Summary) -> Vec<String> {
    vec![
        run.id.clone(),
        run.started.0.to_string(),
        run.title.clone(),
        run.commit.clone().unwrap_or_default(),
        run.branch.clone().unwrap_or_default(),
        run.dirty.to_string(),
    ]
}

fn pass(measurement: &Measurement, name: &str, events: &Events) -> String {
    let cycles = Cost::of(events, &measurement.machine).total();
    let time = cycles.at(Hertz::of(&measurement.machine));
    let benchmark = &measurement.benchmark;
    let mut fields = vec![
        benchmark.id.clone(),
        benchmark.file.clone().unwrap_or_default(),
        benchmark.name.clone(),
        benchmark.group.clone().unwrap_or_default(),
        measurement.instrument.name().to_string(),
        measurement.machine.name.clone(),
        name.to_string(),
        cycles.0.to_string(),
        time.as_nanos().to_string(),
    ];
    fields.extend(events.0.iter().map(u64::to_string));
    let diagnostics = measurement.diagnostics.to_vec();
    fields.push(diagnostics.iter().map(|diagnostic| diagnostic.name()).collect::<Vec<_>>().join(" "));
    record(fields.into_iter())
}

fn record(fields: impl Iterator<Item = String>) -> String {
    let quoted = |field: String| {
        let plain = !field.contains([',', '"', '\r', '\n']);
        if plain { field } else { format!("\"{}\"", field.replace('"', "\"\"")) }
    };
    format!("{}\r\n", fields.map(quoted).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Comparison, Reading};
    use crate::config::Policy;
    use crate::diagnostic::Diagnostic;
    use crate::history::Point;
    use crate::report::Brief;
    use crate::testing::run;

    #[test]
    fn a_run_is_a_header_and_a_record_for_each_pass() {
        let mut run = run("main", &[("t.py::a[\"x\",\n1]", 300, 1)]);
        run.measurements[0].cold = Some(Events::default());
        run.measurements[0].diagnostics.insert(Diagnostic::ReadClock);
        assert_eq!(
            super::run(&run),
            "benchmark,file,name,group,instrument,machine,pass,cycles,nanoseconds,instructions,reads,writes,l1i_misses,\
             l1d_read_misses,l1d_write_misses,l2_misses,l3_misses,memory_accesses,rep_bytes,rep_iterations,\
             branches_taken,system_calls,diagnostics\r\n\
             \"t.py::a[\"\"x\"\",\n1]\",t.py,\"a[\"\"x\"\",\n1]\",,simulation,reference-1,warm,2688,1344,\
             300,1000,0,0,1,0,1,1,0,0,0,0,0,read_clock\r\n\
             \"t.py::a[\"\"x\"\",\n1]\",t.py,\"a[\"\"x\"\",\n1]\",,simulation,reference-1,cold,0,0,\
             0,0,0,0,0,0,0,0,0,0,0,0,0,read_clock\r\n"
        );
    }

    /// Every record has as many fields as the header; none of these values holds a comma.
    #[track_caller]
    fn check_table(text: &str, records: usize) {
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 1 + records, "{text}");
        let fields = lines[0].split(',').count();
        assert!(lines.iter().all(|line| line.split(',').count() == fields), "{text}");
    }

    #[test]
    fn a_comparison_has_a_record_for_each_benchmark() {
        let base = run("main", &[("a", 100, 0), ("b", 100, 0)]);
        let head = run("faster", &[("a", 100, 0), ("c", 100, 0)]);
        let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
        let text = comparison_text(&comparison);
        check_table(&text, 3);
        assert!(text.contains("\r\nc,new,,false,,,2200,,1100,"), "{text}");
    }

    fn comparison_text(comparison: &Comparison) -> String {
        super::comparison(comparison.benchmarks.iter())
    }

    #[test]
    fn histories_have_a_record_for_each_point() {
        let run = run("main", &[("a", 100, 0)]);
        let summary = Summary::of(&run);
        let reading = Reading::of(&run.measurements[0]);
        let series = Series {
            benchmark: "a".to_string(),
            machine: run.machine.clone(),
            instrument: run.instrument,
            points: vec![Point { run: summary.clone().into(), reading }; 2],
        };
        check_table(&super::series(&[series]), 2);
        check_table(&levels(&[Level { run: summary.clone(), ratio: 1.0, step: 0.0 }]), 1);
        check_table(&runs(std::slice::from_ref(&summary)), 1);
    }

    #[test]
    fn a_judgement_that_could_not_be_made_is_empty() {
        let (base, head) = (run("main", &[("a", 100, 0)]), run("main", &[("a", 90_000, 0)]));
        let policy = Policy::default();
        let comparison = Comparison::of(&base, &head, &policy).unwrap();
        let report = crate::report::Report::of(&comparison, &policy, Default::default());
        let judged = |brief| Judgement { run: Summary::of(&head), base: Some(Summary::of(&base)), brief };
        let text = judgements(&[judged(Some(Brief::of(&report))), judged(None)]);
        check_table(&text, 2);
        assert!(text.contains(",degrades,true,0,1,0,0,0\r\n"), "{text}");
        assert!(text.ends_with(",,,,,,,\r\n"), "{text}");
    }
}
