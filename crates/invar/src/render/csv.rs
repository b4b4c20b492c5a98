//! Runs and comparisons as CSV (RFC 4180): a header, raw units, CR LF at the end of a record.

use invar_core::compare::{Cause, Change, Comparison};
use invar_core::cost::{Cost, Hertz};
use invar_core::event::{Event, Events};
use invar_core::measurement::Measurement;
use invar_core::run::Run;

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

/// The comparison: a record for each benchmark of either side. What a side lacks is empty.
pub fn comparison(comparison: &Comparison) -> String {
    let header =
        "benchmark,verdict,cause,blocking,change,base_cycles,head_cycles,base_nanoseconds,head_nanoseconds";
    let mut header: Vec<String> = header.split(',').map(str::to_string).collect();
    header.extend(
        Event::ALL
            .into_iter()
            .flat_map(|event| ["base", "head"].map(|side| format!("{side}_{}", event.name()))),
    );
    let mut out = record(header.into_iter());
    for judged in &comparison.benchmarks {
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
    use crate::render::testing::{compared, run};
    use invar_core::diagnostic::Diagnostic;

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
             \"t.py::a[\"\"x\"\",\n1]\",t.py,\"a[\"\"x\"\",\n1]\",,simulation,reference-1,warm,911,455,\
             300,100,0,0,3,0,2,1,0,0,0,0,0,read_clock\r\n\
             \"t.py::a[\"\"x\"\",\n1]\",t.py,\"a[\"\"x\"\",\n1]\",,simulation,reference-1,cold,0,0,\
             0,0,0,0,0,0,0,0,0,0,0,0,0,read_clock\r\n"
        );
    }

    #[test]
    fn a_comparison_has_a_record_for_each_benchmark() {
        let text = comparison(&compared().2);
        let records: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(records.len(), 1 + 5);
        let fields = records[0].split(',').count();
        assert!(records.iter().all(|record| record.split(',').count() == fields), "{text}");
        assert!(
            records[5].starts_with("tests/test_json.py::load_big,new,,false,,,5334442,,2667221,"),
            "{text}"
        );
    }
}
