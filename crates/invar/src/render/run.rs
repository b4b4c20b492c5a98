//! The results of a run as a table, grouped by file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use invar_core::compare::Comparison;
use invar_core::cost::l1_hit_rate;
use invar_core::event::Event;
use invar_core::instrument::Instrument;
use invar_core::measurement::Measurement;
use invar_core::number::{count, percent, plural, share, time};
use invar_core::run::{Run, short_id};

use super::table::{Cell, Column, Paint, Table};
use super::{View, change_cell, one_line, wrap};

/// Differences of the environment that are named; more are counted.
const MOST_DIFFERENCES: usize = 3;

/// The table of a run, and beneath it what else its reader must know.
///
/// With a comparison each row says what changed against its baseline.
pub fn run(run: &Run, comparison: Option<&Comparison>, view: View) -> String {
    let mut out = String::new();
    if !run.measurements.is_empty() {
        out.push_str(&results(run, comparison, view));
        out.push('\n');
    }
    for (name, why) in &run.failed {
        out.push_str(&view.paint(&format!("  ✗ {}", one_line(name)), Paint::Bad));
        out.push('\n');
        out.push_str(&wrap(&format!("failed: {}", one_line(why)), "      ", view.width));
    }
    for warning in &run.warnings {
        out.push_str(&wrap(&format!("! {}", one_line(warning)), "  ", view.width));
    }
    if let Some(why) = &run.incomplete {
        out.push_str(&wrap(&format!("! incomplete: {}", one_line(why)), "  ", view.width));
    }
    out.push_str(&wrap(&summary(run, comparison), "  ", view.width));
    out
}

/// What became of a run after it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept<'a> {
    /// It is in this store.
    In(&'a Path),
    /// It is not kept.
    Nowhere,
}

/// What a run is compared with, why with that, and what is to be kept in mind about it.
pub fn baseline(comparison: &Comparison, reason: &str, view: View) -> String {
    let base = &comparison.base;
    let id = format!("run {}", short_id(&base.run));
    let title = if base.title == id { id } else { format!("{} ({id})", base.title) };
    let mut out = wrap(&one_line(&format!("Baseline: {title}, {reason}.")), "  ", view.width);
    if let Some(why) = &base.incomplete {
        out.push_str(&wrap(&one_line(&format!("! The baseline is incomplete: {why}")), "  ", view.width));
    }
    let matter: Vec<String> = comparison
        .environment
        .iter()
        .filter(|difference| difference.matters())
        .map(|difference| one_line(&difference.to_string()))
        .collect();
    if !matter.is_empty() {
        let shown = matter[..matter.len().min(MOST_DIFFERENCES)].join(", ");
        let more = matter.len().saturating_sub(MOST_DIFFERENCES);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        out.push_str(&wrap(&format!("⚠ environments differ: {shown}{more}"), "  ", view.width));
    }
    if let Some(raised) = invar_core::report::raised(comparison) {
        out.push_str(&wrap(&one_line(&raised), "  ", view.width));
    }
    out
}

/// A sentence below a run.
pub fn note(sentence: &str, view: View) -> String {
    wrap(&one_line(sentence), "  ", view.width)
}

/// Where a run is kept, and how long it took.
pub fn footer(run: &Run, kept: Kept<'_>, view: View) -> String {
    let mut line = match kept {
        Kept::In(store) => {
            format!("Kept as run {} in {}", run.short_id(), one_line(&store.to_string_lossy()))
        }
        Kept::Nowhere => "Not kept".to_string(),
    };
    if let Some(micros) = run.took_micros {
        line.push_str(&format!("; took {}", time(Duration::from_micros(micros))));
    }
    view.paint(&wrap(&format!("{line}."), "  ", view.width), Paint::Dim)
}

fn results(run: &Run, comparison: Option<&Comparison>, view: View) -> String {
    let mut files = BTreeMap::<&str, Vec<&Measurement>>::new();
    for measurement in &run.measurements {
        files.entry(measurement.benchmark.file.as_deref().unwrap_or("")).or_default().push(measurement);
    }
    let caches = run.instrument == Instrument::Simulation;
    let first = files.keys().next().copied().unwrap_or("");
    let mut columns = vec![Column::text(&one_line(first), 0)];
    if caches {
        columns.push(Column::number("time", 0));
    }
    columns.push(Column::number("instructions", 1));
    if caches {
        columns.extend([
            Column::number("L1 hits", 2),
            Column::number("cache", 4),
            Column::number("memory", 3),
        ]);
    }
    if let Some(comparison) = comparison {
        let name = if comparison.base.branch() == comparison.head.branch() {
            &comparison.base.title
        } else {
            comparison.base.branch()
        };
        columns.push(Column::text(&format!("vs {}", one_line(name)), 0));
    }
    let breadth = columns.len();
    let mut table = Table::new("  ", columns);
    for (index, (file, measurements)) in files.iter().enumerate() {
        if index > 0 {
            table.push_across("", Paint::None);
            table.push_across(one_line(file), Paint::Bold);
        }
        for (position, measurement) in measurements.iter().enumerate() {
            let last = position + 1 == measurements.len();
            let branch = if last { "╰─" } else { "├─" };
            let name = one_line(measurement.benchmark.short_name());
            let mut cells = vec![Cell::from(format!("{branch} {name}"))];
            cells.extend(figures(measurement, caches));
            if let Some(comparison) = comparison {
                let id = &measurement.benchmark.id;
                let found = comparison.benchmarks.binary_search_by(|judged| judged.benchmark.id.cmp(id));
                cells.push(
                    found.map_or_else(|_| Cell::default(), |at| change_cell(&comparison.benchmarks[at])),
                );
            }
            debug_assert_eq!(cells.len(), breadth);
            table.push(cells);
            let stem = if last { "  " } else { "│ " };
            if let Some(sure) = standard_error(run, measurement) {
                table.push_across(format!("{stem}   {sure}"), Paint::Dim);
            }
            for diagnostic in measurement.diagnostics.to_vec() {
                table.push_across(format!("{stem}   ! {}", diagnostic.sentence()), Paint::Dim);
            }
        }
    }
    table.render(view)
}

/// How sure a mean over layouts is: `± 0.0123 % over 4 layouts`.
fn standard_error(run: &Run, measurement: &Measurement) -> Option<String> {
    let layouts = run.layouts.as_ref()?;
    let mean = layouts.means.get(&measurement.benchmark.id)?;
    let cycles = measurement.cycles().0.max(1) as f64;
    let percent = 100.0 * mean.standard_error as f64 / cycles;
    Some(format!("± {percent:.4} % over {}", plural(mean.layouts as usize, "layout")))
}

fn figures(measurement: &Measurement, caches: bool) -> Vec<Cell> {
    let instructions = Cell::from(count(measurement.warm.get(Event::Instructions)));
    if !caches {
        return vec![instructions];
    }
    let cost = measurement.cost();
    // Rounded down: what missed once did not always hit.
    let hits = (l1_hit_rate(&measurement.warm) * 1000.0).floor() / 1000.0;
    let part = |cycles| match cost.share(cycles) {
        0.0 => Cell::new("–", Paint::Dim),
        ratio => Cell::from(share(ratio)),
    };
    vec![
        Cell::from(time(measurement.time())),
        instructions,
        Cell::from(percent(hits)),
        part(cost.cache),
        part(cost.memory),
    ]
}

fn summary(run: &Run, comparison: Option<&Comparison>) -> String {
    let how = match run.instrument {
        Instrument::Simulation => format!("simulated on machine {}", run.machine.name),
        other => format!("measured by {}", other.name()),
    };
    let measured = plural(run.measurements.len(), "benchmark");
    match comparison {
        None => format!("{measured} {how}"),
        Some(comparison) => {
            let counts = comparison.counts();
            let mut parts = vec![
                format!("{} improved", counts.improved),
                format!("{} regressed", counts.regressed),
                format!("{} unchanged", counts.unchanged),
            ];
            let others = [(counts.new, "new"), (counts.dropped, "dropped"), (counts.failed, "failed")];
            parts.extend(
                others.iter().filter(|(many, _)| *many > 0).map(|(many, word)| format!("{many} {word}")),
            );
            format!("{measured} {how}: {}", parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Colour;
    use crate::render::testing::{compared, fibo, wide};
    use invar_core::config::Policy;
    use invar_core::diagnostic::Diagnostic;

    #[test]
    fn a_baseline_is_named_with_what_is_odd_about_it() {
        let (mut base, mut head, _) = compared();
        base.incomplete = Some("it was killed".to_string());
        for (name, version) in [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")] {
            head.environment.set("packages", name, version);
        }
        let comparison = Comparison::of(&base, &head, &Policy::default()).unwrap();
        insta::assert_snapshot!(baseline(&comparison, "the merge base with `main`", wide()), @r"
        Baseline: main@8607178 (run 6de001), the merge base with `main`.
        ! The baseline is incomplete: it was killed
        ⚠ environments differ: a 1 added, b 1 added, c 1 added and 1 more
        ");
    }

    #[test]
    fn a_run_is_a_table_by_file() {
        let mut run = fibo();
        run.measurements[1].diagnostics.insert(Diagnostic::ReadClock);
        insta::assert_snapshot!(super::run(&run, None, wide()), @r"
        tests/test_fibo.py           time  instructions  L1 hits  cache  memory
        ├─ iterative_fibo_big     1.62 ms        1.20 M   99.9 %   <1 %     1 %
        ├─ iterative_fibo_small   1.60 µs          1200  100.0 %      –       –
        │    ! it read a clock, so its course may depend on time
        ╰─ recursive_fibo[10]    138.7 µs         104 k  100.0 %      –       –

        tests/test_json.py
        ╰─ dump_big               4.06 ms        3.00 M   99.9 %   <1 %     1 %

        4 benchmarks simulated on machine reference-1
        ");
    }

    #[test]
    fn a_run_says_what_changed_against_its_baseline() {
        let (_, head, comparison) = compared();
        insta::assert_snapshot!(super::run(&head, Some(&comparison), wide()), @r"
        tests/test_fibo.py           time  instructions  L1 hits  cache  memory  vs main
        ├─ iterative_fibo_big     1.45 ms        1.08 M   99.9 %   <1 %     1 %  ▲ −10.0 %
        ├─ iterative_fibo_small   1.60 µs          1203  100.0 %      –       –  = +0.2 %
        ╰─ recursive_fibo[10]    138.7 µs         104 k  100.0 %      –       –  =

        tests/test_json.py
        ├─ dump_big               4.33 ms        3.00 M   99.5 %    2 %     6 %  ▼ +6.8 %
        ╰─ load_big               2.67 ms        2.00 M   99.9 %   <1 %    <1 %  new

        5 benchmarks simulated on machine reference-1: 1 improved, 1 regressed, 2 unchanged, 1 new
        ");
    }

    #[test]
    fn a_narrow_terminal_gives_up_columns_before_numbers() {
        let (_, head, comparison) = compared();
        let text = super::run(&head, Some(&comparison), View { width: 60, colour: Colour::Plain });
        assert!(text.lines().all(|line| super::super::table::width(line) <= 60), "{text}");
        insta::assert_snapshot!(text, @r"
        tests/test_fibo.py           time  instructions  vs main
        ├─ iterative_fibo_big     1.45 ms        1.08 M  ▲ −10.0 %
        ├─ iterative_fibo_small   1.60 µs          1203  = +0.2 %
        ╰─ recursive_fibo[10]    138.7 µs         104 k  =

        tests/test_json.py
        ├─ dump_big               4.33 ms        3.00 M  ▼ +6.8 %
        ╰─ load_big               2.67 ms        2.00 M  new

        5 benchmarks simulated on machine reference-1: 1 improved,
        1 regressed, 2 unchanged, 1 new
        ");
    }

    #[test]
    fn what_failed_and_what_is_missing_is_said() {
        let mut run = fibo();
        run.measurements.clear();
        run.failed.insert("t.py::test_a".to_string(), "ValueError: \u{1b}[2J".to_string());
        run.incomplete = Some("the command was killed by signal 9".to_string());
        run.warnings.push("pytest-benchmark is installed as well and was switched off".to_string());
        insta::assert_snapshot!(super::run(&run, None, wide()), @r"
        ✗ t.py::test_a
            failed: ValueError: \u{1b}[2J
        ! pytest-benchmark is installed as well and was switched off
        ! incomplete: the command was killed by signal 9
        0 benchmarks simulated on machine reference-1
        ");
    }

    #[test]
    fn colour_is_there_only_if_asked_for() {
        let (_, head, comparison) = compared();
        let plain = super::run(&head, Some(&comparison), wide());
        let colour = super::run(&head, Some(&comparison), View { colour: Colour::Ansi, ..wide() });
        assert!(!plain.contains('\u{1b}'));
        assert!(colour.contains("\u{1b}[38;5;39m▲ −10.0 %"), "{colour:?}");
    }
}
