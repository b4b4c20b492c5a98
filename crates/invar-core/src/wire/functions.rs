//! Who pays in a benchmark, as JSON for scripts: written, never read back.
//!
//! `{"invar_functions": 1, ...}`. Every function of the profile, the dearest first, with the lines that are known of it. Cycles of
//! functions sum up to the measurement's; a native line's are those of its events alone. Lines of Python functions, where they were
//! asked for, have what the interpreter did itself, what it was with everything called there, and how often each was come to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{Event, Events};
use crate::machine::Machine;
use crate::profile::{Function, FunctionCost, Measure, Order, Profile};

/// The version this build writes.
pub const VERSION: u32 = 1;

/// Writes the functions of a profile of a run.
pub fn write(run: &str, benchmark: &str, profile: &Profile, machine: &Machine) -> String {
    let measure = Measure::Cycles(machine);
    let whole = profile;
    let profile = &*whole.without_lines();
    let mut lines = BTreeMap::<u32, Vec<LineTwin>>::new();
    for line in &profile.lines {
        let own = CostTwin { cycles: measure.of(&line.own), events: happened(&line.own) };
        let twin = LineTwin { line: line.line, own, entered: None, inclusive: None };
        lines.entry(line.function).or_default().push(twin);
    }
    let mut python = whole.python_lines(measure);
    let mut python_lines = |function: &Function| {
        let lines = python.remove(function).unwrap_or_default();
        lines.into_iter().map(|source| LineTwin {
            line: source.line,
            own: CostTwin { cycles: source.own_cost, events: happened(&source.own) },
            entered: Some(source.entered),
            inclusive: Some(CostTwin { cycles: source.inclusive_cost, events: happened(&source.inclusive) }),
        })
    };
    let functions = profile.by_function(measure, Order::Own);
    let twin = |cost: &FunctionCost| {
        let function = &profile.functions[cost.function as usize];
        let Function { name, object, file, kind, line } = function;
        FunctionTwin {
            name,
            object,
            file,
            line: *line,
            kind: kind.name(),
            calls: cost.calls,
            own: CostTwin { cycles: cost.own_cost, events: happened(&cost.own) },
            inclusive: CostTwin { cycles: cost.inclusive_cost, events: happened(&cost.inclusive) },
            lines: lines.remove(&cost.function).into_iter().flatten().chain(python_lines(function)).collect(),
        }
    };
    let page = Page {
        invar_functions: VERSION,
        run,
        benchmark,
        machine: &machine.name,
        cycles: profile.inclusive_costs(measure)[0],
        functions: functions.iter().map(twin).collect(),
    };
    let mut text = serde_json::to_string_pretty(&page).expect("twins hold nothing that JSON cannot");
    text.push('\n');
    text
}

/// The events that happened.
fn happened(events: &Events) -> BTreeMap<&'static str, u64> {
    let counts = Event::ALL.into_iter().map(|event| (event.name(), events.get(event)));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[derive(Serialize)]
struct Page<'a> {
    invar_functions: u32,
    run: &'a str,
    benchmark: &'a str,
    machine: &'a str,
    cycles: u64,
    functions: Vec<FunctionTwin<'a>>,
}

#[derive(Serialize)]
struct FunctionTwin<'a> {
    name: &'a str,
    object: &'a str,
    file: &'a str,
    line: u32,
    kind: &'static str,
    calls: u64,
    own: CostTwin,
    inclusive: CostTwin,
    lines: Vec<LineTwin>,
}

#[derive(Serialize)]
struct CostTwin {
    cycles: u64,
    events: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct LineTwin {
    line: u32,
    #[serde(flatten)]
    own: CostTwin,
    #[serde(skip_serializing_if = "Option::is_none")]
    entered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inclusive: Option<CostTwin>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::profile;

    #[test]
    fn the_dearest_function_comes_first() {
        let profile = profile("test_it 1 5\n  py:a 1 10\n    b 2 20");
        let json: Value =
            serde_json::from_str(&write("r", "t::test_it", &profile, &Machine::reference_1())).unwrap();
        assert_eq!(json["invar_functions"], 1);
        let first = &json["functions"][0];
        assert_eq!(
            (&first["name"], &first["kind"], &first["calls"]),
            (&"b".into(), &"native".into(), &2.into())
        );
        assert_eq!(first["own"]["events"]["instructions"], 20);
        assert_eq!(json["functions"][1]["kind"], "python");
        assert_eq!(json["functions"][1]["inclusive"]["events"]["instructions"], 30);
    }
}
