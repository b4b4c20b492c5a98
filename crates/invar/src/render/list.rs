//! Stored runs, one a line.

use invar_core::run::{Timestamp, short_id};

use super::table::{Cell, Column, Paint, Table};
use super::{View, one_line};

/// A run, as far as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// When it started.
    pub started: Timestamp,
    /// See [`invar_core::run::Run::title`].
    pub title: String,
    /// The first line of the commit's message.
    pub message: Option<String>,
    /// How many benchmarks have a result.
    pub measured: usize,
    /// How many have none.
    pub failed: usize,
    /// The Machine, by name.
    pub machine: String,
    /// Is it complete?
    pub state: State,
}

/// Whether everything that was to be measured was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was.
    Complete,
    /// It was not.
    Incomplete,
}

/// The list, in the order given.
pub fn list(entries: &[Entry], view: View) -> String {
    if entries.is_empty() {
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
    for entry in entries {
        let mut benchmarks = entry.measured.to_string();
        if entry.failed > 0 {
            benchmarks.push_str(&format!(" ({} failed)", entry.failed));
        }
        if entry.state == State::Incomplete {
            benchmarks.push_str(" incomplete");
        }
        let paint =
            if entry.failed > 0 || entry.state == State::Incomplete { Paint::Bad } else { Paint::None };
        let message = super::table::cut(&one_line(entry.message.as_deref().unwrap_or("")), 40);
        table.push(vec![
            Cell::from(one_line(&entry.title)),
            Cell::new(short_id(&entry.id), Paint::Bold),
            Cell::from(moment(entry.started)),
            Cell::new(benchmarks, paint),
            Cell::from(one_line(&entry.machine)),
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
    use crate::render::testing::wide;

    fn entry(title: &str, failed: usize, state: State) -> Entry {
        Entry {
            id: "0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001".to_string(),
            started: Timestamp(1_721_908_800_000_000),
            title: title.to_string(),
            message: Some("Improve iterative fibo".to_string()),
            measured: 8,
            failed,
            machine: "reference-1".to_string(),
            state,
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_run() {
        let entries = [
            entry("improve-iterative-fibo-speed@487a918+dirty", 0, State::Complete),
            entry("main@8607178", 2, State::Incomplete),
        ];
        insta::assert_snapshot!(list(&entries, View { width: 140, ..wide() }), @r"
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
