//! What is shown on standard error while a suite runs.
//!
//! On a terminal a line that moves, elsewhere a line for each benchmark.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use invar_core::number::{count, plural};
use invar_runner::{Event, Output};

use crate::render::table::{Paint, cut};
use crate::render::{View, one_line};
use crate::terminal::say;

/// How often the moving line moves.
const TICK: Duration = Duration::from_millis(120);

/// Columns of the moving line that are not for a name; some stay free for the `^C` that a terminal writes.
const BESIDE: usize = 16;

/// Progress of a run.
pub struct Progress {
    view: View,
    way: Way,
    /// How many benchmarks there will be, once that is known.
    expected: Option<usize>,
    /// Benchmarks that are through, by full name.
    through: BTreeSet<String>,
}

enum Way {
    Quiet,
    Lines,
    Moving(ProgressBar),
}

impl Progress {
    /// Progress that says nothing.
    pub fn quiet(view: View) -> Progress {
        Progress { view, way: Way::Quiet, expected: None, through: BTreeSet::new() }
    }

    /// Progress as standard error can show it.
    pub fn new(view: View) -> Progress {
        let way = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("  {spinner} {elapsed:>4} {msg}");
            let bar = ProgressBar::new_spinner().with_message("starting");
            bar.set_style(style.expect("the template is a constant"));
            bar.enable_steady_tick(TICK);
            Way::Moving(bar)
        } else {
            Way::Lines
        };
        Progress { way, ..Progress::quiet(view) }
    }

    /// Shows an event.
    pub fn on(&mut self, event: Event) {
        match event {
            Event::Process { runtime, integration } => {
                self.line(&format!("{} in {}", one_line(&integration), one_line(&runtime)), Paint::Dim);
            }
            Event::Collected { benchmarks } => {
                self.expected = Some(benchmarks);
                self.line(&plural(benchmarks, "benchmark"), Paint::Dim);
            }
            Event::Started { benchmark } => {
                if let Way::Moving(bar) = &self.way {
                    let text = format!("{} {}", self.place(self.through.len() + 1), one_line(&benchmark));
                    bar.set_message(cut(&text, self.view.width.saturating_sub(BESIDE)));
                }
            }
            Event::Measured { benchmark, instructions } => {
                self.through.insert(benchmark.clone());
                if let Way::Lines = self.way {
                    let place = self.place(self.through.len());
                    let instructions = count(instructions);
                    self.line(
                        &format!("{place} {}  {instructions} instructions", one_line(&benchmark)),
                        Paint::None,
                    );
                }
            }
            Event::Failed { benchmark, message } => {
                self.through.insert(benchmark.clone());
                let place = self.place(self.through.len());
                let text = format!("{place} {}  failed: {}", one_line(&benchmark), one_line(&message));
                self.line(&text, Paint::Bad);
            }
            Event::Layout { seed, benchmarks } => {
                (self.through, self.expected) = (BTreeSet::new(), None);
                let benchmarks = plural(benchmarks, "benchmark");
                self.line(&format!("in layout {seed}, {benchmarks} once more"), Paint::Dim);
            }
            Event::Output { line } => self.pass_on(&line),
            // Both are told with the results.
            Event::Finished { .. } | Event::Warning { .. } => {}
        }
    }

    /// Where the command's output has to go, so that it and what is written here do not mix within a line.
    pub fn output(&self) -> Output {
        match self.way {
            Way::Moving(_) | Way::Lines => Output::Told,
            Way::Quiet => Output::ErrorOutput,
        }
    }

    /// Takes the moving line away.
    pub fn end(self) {
        if let Way::Moving(bar) = self.way {
            bar.finish_and_clear();
            // The results stand apart from what the suite wrote.
            say("\n");
        }
    }

    /// `[5/8]`, or `[5]` where nobody has said how many there will be, or too few.
    fn place(&self, number: usize) -> String {
        match self.expected {
            Some(expected) if number <= expected => format!("[{number}/{expected}]"),
            _ => format!("[{number}]"),
        }
    }

    /// A line of the command itself.
    fn pass_on(&self, line: &str) {
        match &self.way {
            Way::Moving(bar) => bar.suspend(|| say(&format!("{line}\n"))),
            Way::Lines | Way::Quiet => say(&format!("{line}\n")),
        }
    }

    fn line(&self, text: &str, paint: Paint) {
        let text = self.view.paint(&format!("  {text}\n"), paint);
        match &self.way {
            Way::Quiet => {}
            Way::Lines => say(&text),
            Way::Moving(bar) => bar.suspend(|| say(&text)),
        }
    }
}
