//! The report of a change, for a terminal.

use invar_core::compare::Verdict;
use invar_core::report::{Outcome, Report};

use super::table::Paint;
use super::{View, compare, one_line, paint, sign, wrap};

/// The report: headline, one line for each verdict, the changed benchmarks, and what blocks.
pub fn report(report: &Report, view: View) -> String {
    let headline = wrap(&one_line(&report.headline), "  ", view.width);
    let mut out = format!("{}\n", view.paint(headline.trim_end(), Paint::Bold));
    out.push('\n');
    if report.base.is_some() {
        for verdict in Verdict::ALL {
            let count = report.counts.of(verdict);
            let line = format!("  {} {count} {}", sign(verdict), verdict.name());
            out.push_str(&view.paint(&line, if count == 0 { Paint::Dim } else { paint(verdict) }));
            out.push('\n');
        }
        if report.counts.failed > 0 {
            out.push_str(&view.paint(&format!("  ✗ {} failed\n", report.counts.failed), Paint::Bad));
        }
        out.push('\n');
    }
    if !report.changed().is_empty() {
        out.push_str(&compare::table(report, report.changed(), view));
        out.push('\n');
        out.push_str(&super::why::why(report, view));
    }
    out.push_str(&compare::failed(report, view));
    out.push_str(&compare::sides(report, view));
    for note in &report.notes {
        out.push_str(&wrap(&one_line(note), "  ", view.width));
    }
    out.push_str(&view.paint(&wrap(&format!("Policy: {}.", report.policy), "  ", view.width), Paint::Dim));
    if let Some(link) = &report.links.report {
        out.push_str(&format!("  Full report: {}\n", one_line(link)));
    }
    if report.blocks {
        let count = report.counts.blocking;
        let text =
            if count == 1 { "1 benchmark blocks".to_string() } else { format!("{count} benchmarks block") };
        out.push_str(&view.paint(&format!("  ✗ {text} the merge.\n"), Paint::Bad));
    } else if report.outcome == Outcome::NothingMeasured {
        out.push_str(&view.paint("  ✗ Nothing was measured, so nothing can be said.\n", Paint::Bad));
    } else if report.base.is_some() {
        out.push_str(&view.paint("  ✓ Nothing blocks the merge.\n", Paint::Good));
    }
    out
}

#[cfg(test)]
mod tests {
    use invar_core::config::Policy;
    use invar_core::report::{Report, ReportOptions};

    use super::*;
    use crate::render::testing::{fibo, mixed, report as report_of, run, wide};

    #[test]
    fn a_report_has_a_line_for_each_verdict() {
        insta::assert_snapshot!(report(&mixed(), View { width: 140, ..wide() }), @r"
        Merging `faster` will improve performance by 11.1 %

        ▼ 1 regressed
        ▲ 1 improved
        + 1 new
        − 0 dropped
        = 2 unchanged

        benchmark                                  main   faster  change     instructions    misses
        tests/test_json.py::dump_big            4.06 ms  4.33 ms  ▼ +6.8 %              =  +500.0 %
          layout only: instructions equal, misses moved (not blocking)
        tests/test_fibo.py::iterative_fibo_big  1.62 ms  1.45 ms  ▲ −10.0 %       −10.0 %   −10.0 %
          code: instructions −10.0 %
        tests/test_json.py::load_big                  –  2.67 ms  new

        baseline   main@8607178 (run 6de001)
        candidate  faster@487a918 (run 6de002)
        1 regression does not block, by policy: layout.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ✓ Nothing blocks the merge.
        ");
    }

    #[test]
    fn a_report_says_what_blocks() {
        let head = run("slower", &[("tests/test_fibo.py::recursive_fibo[10]", 208_000, 0)]);
        insta::assert_snapshot!(report(&report_of(&fibo(), &head), wide()), @r"
        Merging `slower` will degrade performance by 100.0 %

        ▼ 1 regressed
        ▲ 0 improved
        + 0 new
        − 3 dropped
        = 0 unchanged

        benchmark                                     main    slower  change      instructions  misses
        tests/test_fibo.py::recursive_fibo[10]    138.7 µs  277.3 µs  ▼ +100.0 %      +100.0 %       =
          code: instructions +100.0 %
        tests/test_fibo.py::iterative_fibo_big     1.62 ms         –  dropped
        tests/test_fibo.py::iterative_fibo_small   1.60 µs         –  dropped
        tests/test_json.py::dump_big               4.06 ms         –  dropped

        baseline   main@8607178 (run 6de001)
        candidate  slower@487a918 (run 6de002)
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ✗ 1 benchmark blocks the merge.
        ");
    }

    #[test]
    fn a_candidate_without_results_is_not_waved_through() {
        let text = report(&report_of(&fibo(), &run("broken", &[])), wide());
        assert!(text.ends_with("✗ Nothing was measured, so nothing can be said.\n"), "{text}");
    }

    #[test]
    fn a_report_without_a_baseline_says_why() {
        let no_baseline = Some("No run of the merge base 8607178 is stored.".to_string());
        let options = ReportOptions { no_baseline, ..ReportOptions::default() };
        let first = Report::without_baseline(&fibo(), &Policy::default(), options);
        insta::assert_snapshot!(report(&first, wide()), @r"
        No baseline for `main` yet: 4 benchmarks recorded

        candidate  main@8607178 (run 6de001)
        No run of the merge base 8607178 is stored.
        Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.
        ");
    }
}
