//! Stored runs, one a line.

use invar_core::run::{Summary, Timestamp, short_id};

use super::table::{Cell, Column, Paint, Table};
use super::{View, one_line};

/// The list, in the order given.
pub fn list(runs: &[Summary], view: View) -> String {
    if runs.is_empty() {
        return "  No runs are stored yet. Make one: invar run -- pytest\n".to_string();
    }
    let mut table = Table::new(
        "  ",
        vec![
            Column::text("source", 0),
            Column::text("run", 0),
            Column::text("started", 1),
            Column::number("benchmarks", 2),
            Column::text("machine", 4),
            Column::text("message", 3),
        ],
    );
    for run in runs {
        let mut benchmarks = run.measured.to_string();
        if run.failed > 0 {
            benchmarks.push_str(&format!(" ({} failed)", run.failed));
        }
        if run.incomplete.is_some() {
            benchmarks.push_str(" incomplete");
        }
        let paint = if run.failed > 0 || run.incomplete.is_some() { Paint::Bad } else { Paint::None };
        let message = super::table::cut(&one_line(run.message.as_deref().unwrap_or("")), 40);
        table.push(vec![
            Cell::from(one_line(&run.title)),
            Cell::new(short_id(&run.id), Paint::Bold),
            Cell::from(moment(run.started)),
            Cell::new(benchmarks, paint),
            Cell::from(one_line(&run.machine)),
            Cell::new(message, Paint::Dim),
        ]);
    }
    table.render(view)
}

/// `2024-07-25 12:00 UTC`.
pub fn moment(time: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(time.0) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "at an impossible time".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{fibo, wide};

    fn summary(title: &str, failed: usize, incomplete: Option<&str>) -> Summary {
        let incomplete = incomplete.map(str::to_string);
        Summary { title: title.to_string(), measured: 8, failed, incomplete, ..Summary::of(&fibo()) }
    }

    #[test]
    fn a_list_has_a_line_for_each_run() {
        let runs = [
            summary("improve-iterative-fibo-speed@487a918+dirty", 0, None),
            summary("main@8607178", 2, Some("it was killed")),
        ];
        insta::assert_snapshot!(list(&runs, View { width: 140, ..wide() }), @r"
        source                                      run     started                            benchmarks  machine      message
        improve-iterative-fibo-speed@487a918+dirty  6de001  2024-07-25 12:00 UTC                        8  reference-1  Improve iterative fibo
        main@8607178                                6de001  2024-07-25 12:00 UTC  8 (2 failed) incomplete  reference-1  Improve iterative fibo
        ");
    }

    #[test]
    fn an_empty_list_says_how_to_fill_it() {
        assert_eq!(list(&[], wide()), "  No runs are stored yet. Make one: invar run -- pytest\n");
    }
}
