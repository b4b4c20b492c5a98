//! Values as text for people: terminal, Markdown, CSV. Computes nothing, prints nothing.
//!
//! Every function here takes a value of `invar-core` and returns a `String` that ends with a line feed. What is said
//! in colour is said in words or signs as well. JSON is `invar_core::wire`'s.

pub mod compare;
pub mod doctor;
pub mod failure;
pub mod flame;
pub mod list;
pub mod markdown;
pub mod profile;
pub mod report;
pub mod run;
pub mod show;
pub mod table;
pub mod verify;
pub mod why;

use invar_core::compare::{Judged, Reading, Verdict};
use invar_core::event::Event;
use invar_core::instrument::Instrument;
use invar_core::number;
use owo_colors::{OwoColorize, Style, XtermColors};

use table::{Cell, Paint};

/// How the reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Columns of the terminal. Tables give up columns and cut names to fit, never numbers.
    pub width: usize,
    /// Whether to colour.
    pub colour: Colour,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Text only.
    Plain,
    /// ANSI sequences.
    Ansi,
}

impl View {
    /// Puts paint on a text; a line feed at its end stays outside.
    pub fn paint(&self, text: &str, paint: Paint) -> String {
        if let Some(line) = text.strip_suffix('\n') {
            return format!("{}\n", self.paint(line, paint));
        }
        // Blue and orange of Okabe and Ito's palette, as near as 256 colours come.
        let style = match paint {
            _ if self.colour == Colour::Plain => return text.to_string(),
            Paint::None => return text.to_string(),
            Paint::Good => Style::new().color(XtermColors::from(39)),
            Paint::Bad => Style::new().color(XtermColors::from(208)),
            Paint::Dim => Style::new().dimmed(),
            Paint::Bold => Style::new().bold(),
        };
        text.style(style).to_string()
    }
}

/// The sign of a verdict: never colour alone.
pub const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Improved => "▲",
        Verdict::Regressed => "▼",
        Verdict::Unchanged => "=",
        Verdict::New => "+",
        Verdict::Dropped => "−",
    }
}

/// The paint of a verdict.
pub const fn paint(verdict: Verdict) -> Paint {
    match verdict {
        Verdict::Improved => Paint::Good,
        Verdict::Regressed => Paint::Bad,
        Verdict::Unchanged | Verdict::New | Verdict::Dropped => Paint::None,
    }
}

/// A side's figure: simulated time, or the instructions where no caches were simulated.
fn figure(reading: Option<Reading>, instrument: Instrument) -> String {
    match (reading, instrument) {
        (None, _) => "–".to_string(),
        (Some(reading), Instrument::Counts) => number::count(reading.events.get(Event::Instructions)),
        (Some(reading), _) => number::time(reading.time),
    }
}

/// What a benchmark's cost did: `▲ −10.1 %`, `=` where not one cycle changed, `new`.
fn change_cell(judged: &Judged) -> Cell {
    let text = match judged.change() {
        None => judged.verdict.name().to_string(),
        Some(change) if change.base == change.head && judged.verdict == Verdict::Unchanged => "=".to_string(),
        Some(change) => format!("{} {}", sign(judged.verdict), number::change(change.ratio())),
    };
    let dim = judged.verdict == Verdict::Unchanged;
    Cell::new(text, if dim { Paint::Dim } else { paint(judged.verdict) })
}

/// Text from outside for a line of a terminal: control characters are written out, so that no name can move the
/// cursor or end the line.
pub fn one_line(text: &str) -> String {
    let escaped = |character: char| match character {
        character if character.is_control() => character.escape_default().to_string(),
        other => other.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Breaks a sentence at spaces into lines of at most `width` columns, each after `indent`.
fn wrap(text: &str, indent: &str, width: usize) -> String {
    let room = width.saturating_sub(table::width(indent)).max(20);
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && table::width(&line) + 1 + table::width(word) > room {
            out.push_str(&format!("{indent}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    format!("{out}{indent}{line}\n")
}

#[cfg(test)]
mod testing;
