//! A comparison as a table for a terminal.

use invar_core::compare::{Change, Reading, Verdict};
use invar_core::event::{Event, Events};
use invar_core::number::change;
use invar_core::report::{Report, Row, noise_floor};

use super::table::{Cell, Column, Paint, Table};
use super::{View, change_cell, figure, one_line, paint, wrap};

/// Which benchmarks a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Those that are not unchanged.
    Changed,
    /// All.
    All,
}

/// The comparison: its sides, a row for each benchmark, the verdict and the policy it rests on.
pub fn compare(report: &Report, rows: Rows, view: View) -> String {
    let mut out = sides(report, view);
    out.push('\n');
    let shown = match rows {
        Rows::Changed => report.changed(),
        Rows::All => &report.rows[..],
    };
    if !shown.is_empty() {
        out.push_str(&table(report, shown, view));
    }
    let hidden = report.rows.len() - shown.len();
    if hidden > 0 {
        out.push_str(&view.paint(&format!("  {hidden} unchanged; show with --all"), Paint::Dim));
        out.push('\n');
    }
    if hidden > 0 || !shown.is_empty() {
        out.push('\n');
    }
    out.push_str(&super::why::why(report, view));
    out.push_str(&failed(report, view));
    for note in &report.notes {
        out.push_str(&wrap(&one_line(note), "  ", view.width));
    }
    out.push_str(&verdict(report, view));
    out.push_str(&view.paint(&wrap(&format!("Policy: {}.", report.policy), "  ", view.width), Paint::Dim));
    out
}

/// Who is compared with whom, and what differs around them.
pub(super) fn sides(report: &Report, view: View) -> String {
    let mut out = String::new();
    for (word, side) in
        report.base.iter().map(|base| ("baseline ", base)).chain([("candidate", &report.head)])
    {
        let id = invar_core::run::short_id(&side.run);
        let run = if side.title.starts_with("run ") { String::new() } else { format!(" (run {id})") };
        out.push_str(&format!("  {word}  {}{run}\n", one_line(&side.title)));
    }
    let differences: Vec<String> = report
        .environment_that_matters()
        .iter()
        .map(|difference| one_line(&difference.to_string()))
        .collect();
    if !differences.is_empty() {
        let text = format!("⚠ environments differ: {}", differences.join(", "));
        out.push_str(&wrap(&text, "  ", view.width));
    }
    out
}

/// The rows as a table; where it is too wide, each reason stands below its row.
pub(super) fn table(report: &Report, rows: &[Row], view: View) -> String {
    let beside = build(report, rows, Why::Beside);
    let table = if beside.fits(view) { beside } else { build(report, rows, Why::Below) };
    table.render(view)
}

/// Where the reason of a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Beside,
    Below,
}

fn build(report: &Report, rows: &[Row], why: Why) -> Table {
    let mut columns = vec![
        Column::text("benchmark", 0),
        Column::number(&one_line(&report.base_name), 1),
        Column::number(&one_line(&report.head_name), 1),
        Column::text("change", 0),
        Column::number("instructions", 2),
        Column::number("misses", 3),
    ];
    let verified = rows.iter().any(|row| row.judged.noise.is_some());
    if verified {
        columns.push(Column::number("noise floor", 4));
    }
    if why == Why::Beside {
        columns.push(Column::text("why", 0));
    }
    let mut table = Table::new("  ", columns);
    let reading = |reading: Option<Reading>| {
        Cell::new(
            figure(reading, report.instrument),
            if reading.is_none() { Paint::Dim } else { Paint::None },
        )
    };
    let moved =
        |change: Option<Change>| change.map_or_else(Cell::default, |moved| Cell::from(change_of(moved)));
    for row in rows {
        let judged = &row.judged;
        let mut cells = vec![
            Cell::new(one_line(&judged.benchmark.id), paint(judged.verdict)),
            reading(judged.base),
            reading(judged.head),
            change_cell(judged),
            moved(judged.event_change(Event::Instructions)),
            moved(misses(row)),
        ];
        if verified {
            cells.push(judged.noise.map_or_else(Cell::default, |noise| Cell::from(noise_floor(noise))));
        }
        match why {
            Why::Beside => {
                cells.push(Cell::from(one_line(&row.why)));
                table.push(cells);
            }
            Why::Below => {
                table.push(cells);
                if judged.verdict != Verdict::Unchanged && !row.why.is_empty() {
                    table.push_across(format!("  {}", one_line(&row.why)), Paint::Dim);
                }
            }
        }
    }
    table
}

/// First-level misses before and after.
fn misses(row: &Row) -> Option<Change> {
    let (base, head) = (row.judged.base?, row.judged.head?);
    let of = |events: &Events| events.get(Event::L1iMisses).saturating_add(events.l1d_misses());
    Some(Change { base: of(&base.events), head: of(&head.events) })
}

fn change_of(moved: Change) -> String {
    if moved.base == moved.head { "=".to_string() } else { change(moved.ratio()) }
}

/// Benchmarks without a result, each with why.
pub(super) fn failed(report: &Report, view: View) -> String {
    let mut out = String::new();
    for (name, why) in &report.failed {
        out.push_str(&view.paint(&format!("  ✗ {}", one_line(name)), Paint::Bad));
        out.push('\n');
        out.push_str(&wrap(&format!("failed: {}", one_line(why)), "      ", view.width));
    }
    out
}

/// The headline, and whether it blocks.
fn verdict(report: &Report, view: View) -> String {
    let paint = match report.changed().first().map(|row| row.judged.verdict) {
        _ if report.blocks => Paint::Bad,
        Some(Verdict::Improved) => Paint::Good,
        _ => Paint::Bold,
    };
    let blocking = match report.counts.blocking {
        0 => String::new(),
        1 => "; 1 benchmark blocks the merge".to_string(),
        many => format!("; {many} benchmarks block the merge"),
    };
    let text = format!("{}{blocking}.", one_line(&report.headline));
    view.paint(&wrap(&text, "  ", view.width), paint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Colour;
    use crate::render::testing::{compared, fibo, mixed, report, run, wide};

    #[test]
    fn a_comparison_shows_what_changed() {
        insta::assert_snapshot!(compare(&mixed(), Rows::Changed, View { width: 160, ..wide() }), @r"
        baseline   main@8607178 (run 6de001)
        candidate  faster@487a918 (run 6de002)

        benchmark                                  main   faster  change     instructions    misses  why
        tests/test_json.py::dump_big            4.06 ms  4.33 ms  ▼ +6.8 %              =  +500.0 %  layout only: instructions equal, misses moved (not blocking)
        tests/test_fibo.py::iterative_fibo_big  1.62 ms  1.45 ms  ▲ −10.0 %       −10.0 %   −10.0 %  code: instructions −10.0 %
        tests/test_json.py::load_big                  –  2.67 ms  new
        2 unchanged; show with --all

        1 regression does not block, by policy: layout.
        Merging `faster` will improve performance by 11.1 %.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ");
    }

    #[test]
    fn a_comparison_shows_all_if_asked() {
        insta::assert_snapshot!(compare(&mixed(), Rows::All, View { width: 80, ..wide() }), @r"
        baseline   main@8607178 (run 6de001)
        candidate  faster@487a918 (run 6de002)

        benchmark                              main    faster  change     instructions
        tests/test_json.py::dump_big        4.06 ms   4.33 ms  ▼ +6.8 %              =
          layout only: instructions equal, misses moved (not blocking)
        tests/test_fibo.…erative_fibo_big   1.62 ms   1.45 ms  ▲ −10.0 %       −10.0 %
          code: instructions −10.0 %
        tests/test_json.py::load_big              –   2.67 ms  new
        tests/test_fibo.…ative_fibo_small   1.60 µs   1.60 µs  = +0.2 %         +0.2 %
        tests/test_fibo.…cursive_fibo[10]  138.7 µs  138.7 µs  =                     =

        1 regression does not block, by policy: layout.
        Merging `faster` will improve performance by 11.1 %.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what
        blocks: code, environment.
        ");
    }

    #[test]
    fn a_blocking_regression_is_counted() {
        let head = run("slower", &[("tests/test_fibo.py::recursive_fibo[10]", 208_000, 0)]);
        insta::assert_snapshot!(compare(&report(&fibo(), &head), Rows::Changed, wide()), @r"
        baseline   main@8607178 (run 6de001)
        candidate  slower@487a918 (run 6de002)

        benchmark                                     main    slower  change      instructions  misses
        tests/test_fibo.py::recursive_fibo[10]    138.7 µs  277.3 µs  ▼ +100.0 %      +100.0 %       =
          code: instructions +100.0 %
        tests/test_fibo.py::iterative_fibo_big     1.62 ms         –  dropped
        tests/test_fibo.py::iterative_fibo_small   1.60 µs         –  dropped
        tests/test_json.py::dump_big               4.06 ms         –  dropped

        Merging `slower` will degrade performance by 100.0 %; 1 benchmark blocks the merge.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ");
    }

    #[test]
    fn environments_that_differ_are_named() {
        let (base, mut head, _) = compared();
        head.environment.set("runtime", "python", "3.14.0");
        head.failed.insert("tests/test_fibo.py::broken".to_string(), "ValueError: no".to_string());
        insta::assert_snapshot!(compare(&report(&base, &head), Rows::Changed, wide()), @r"
        baseline   main@8607178 (run 6de001)
        candidate  faster@487a918 (run 6de002)
        ⚠ environments differ: python 3.13.2 → 3.14.0

        benchmark                                  main   faster  change     instructions    misses
        tests/test_json.py::dump_big            4.06 ms  4.33 ms  ▼ +6.8 %              =  +500.0 %
          layout only: instructions equal, misses moved (not blocking)
        tests/test_fibo.py::iterative_fibo_big  1.62 ms  1.45 ms  ▲ −10.0 %       −10.0 %   −10.0 %
          environment: python 3.13.2 → 3.14.0
        tests/test_json.py::load_big                  –  2.67 ms  new
        2 unchanged; show with --all

        ✗ tests/test_fibo.py::broken
            failed: ValueError: no
        1 regression does not block, by policy: layout.
        Merging `faster` will improve performance by 11.1 %.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ");
    }

    #[test]
    fn equal_runs_need_three_lines() {
        let mut head = fibo();
        head.id = "0190f3c2-7b1e-7cc3-9a54-3f1a0c6de003".to_string();
        insta::assert_snapshot!(compare(&report(&fibo(), &head), Rows::Changed, wide()), @r"
        baseline   main@8607178 (run 6de001)
        candidate  main@8607178 (run 6de003)

        4 unchanged; show with --all

        `run 6de003` does not change performance.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ");
    }

    #[test]
    fn noise_floors_are_beside_what_was_verified() {
        let mut report = mixed();
        report.rows[0].judged.noise = Some(0.0123);
        report.rows[1].judged.noise = Some(0.0);
        insta::assert_snapshot!(table(&report, report.changed(), View { width: 120, ..wide() }));
    }

    #[test]
    fn an_improvement_is_coloured_as_one() {
        let text = compare(&mixed(), Rows::Changed, View { colour: Colour::Ansi, ..wide() });
        assert!(text.contains("\u{1b}[38;5;39m▲ −10.0 %\u{1b}"), "{text:?}");
    }
}
