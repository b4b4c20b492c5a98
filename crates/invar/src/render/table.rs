//! Columns that fit a width.
//!
//! The first column takes what room there is and is cut in its middle; where that is not enough, columns are left
//! out, those with the highest [`Column::optional`] first. Numbers are never cut.

use super::View;

/// Room that the first column is never denied.
const SHORTEST_NAME: usize = 24;
const GAP: &str = "  ";

/// What a cell is painted with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paint {
    /// Nothing.
    #[default]
    None,
    /// The colour of improvements.
    Good,
    /// The colour of regressions.
    Bad,
    /// What matters less.
    Dim,
    /// Headings.
    Bold,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    heading: String,
    align: Align,
    /// 0: always there; others are left out where there is no room, from the highest down.
    optional: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Column {
    /// A column of text.
    pub fn text(heading: &str, optional: u8) -> Column {
        Column { heading: heading.to_string(), align: Align::Left, optional }
    }

    /// A column of numbers.
    pub fn number(heading: &str, optional: u8) -> Column {
        Column { heading: heading.to_string(), align: Align::Right, optional }
    }
}

/// A cell.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A cell of that text.
    pub fn new(text: impl Into<String>, paint: Paint) -> Cell {
        Cell { text: text.into(), paint }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Paint::None)
    }
}

#[derive(Debug, Clone)]
enum Line {
    Cells(Vec<Cell>),
    /// Text across the columns; it does not widen them.
    Across(String, Paint),
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    indent: String,
    columns: Vec<Column>,
    lines: Vec<Line>,
}

impl Table {
    /// An empty table whose lines start with `indent`.
    pub fn new(indent: &str, columns: Vec<Column>) -> Table {
        Table { indent: indent.to_string(), columns, lines: Vec::new() }
    }

    /// Adds a line; it has a cell for every column.
    pub fn push(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a line has a cell for every column");
        self.lines.push(Line::Cells(cells));
    }

    /// Adds a line of text across the columns.
    pub fn push_across(&mut self, text: impl Into<String>, paint: Paint) {
        self.lines.push(Line::Across(text.into(), paint));
    }

    /// Does it fit with every column, and nothing cut?
    pub fn fits(&self, view: View) -> bool {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        width(&self.indent) + self.widths().iter().sum::<usize>() + gaps <= view.width
    }

    /// The table as text, headings first.
    pub fn render(&self, view: View) -> String {
        let mut widths = self.widths();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let rest = |shown: &[usize]| -> usize {
            width(&self.indent)
                + shown.iter().skip(1).map(|&column| widths[column] + GAP.len()).sum::<usize>()
        };
        let shortest = widths[0].min(SHORTEST_NAME);
        while rest(&shown) + shortest > view.width {
            let optional = |&&column: &&usize| self.columns[column].optional;
            let Some(&last) = shown.iter().filter(|column| optional(column) > 0).max_by_key(optional) else {
                break;
            };
            shown.retain(|&column| column != last);
        }
        widths[0] = widths[0].min(view.width.saturating_sub(rest(&shown)).max(shortest));
        let headings: Vec<Cell> =
            self.columns.iter().map(|column| Cell::new(column.heading.clone(), Paint::Bold)).collect();
        let mut out = String::new();
        if self.columns.iter().any(|column| !column.heading.is_empty()) {
            out.push_str(&self.line(&headings, &shown, &widths, view));
        }
        for line in &self.lines {
            match line {
                Line::Cells(cells) => out.push_str(&self.line(cells, &shown, &widths, view)),
                Line::Across(text, paint) => {
                    let text = cut(text, view.width.saturating_sub(width(&self.indent)).max(shortest));
                    out.push_str(format!("{}{}", self.indent, view.paint(&text, *paint)).trim_end());
                    out.push('\n');
                }
            }
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| width(&column.heading)).collect();
        for line in &self.lines {
            let Line::Cells(cells) = line else { continue };
            for (widest, cell) in widths.iter_mut().zip(cells) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        widths
    }

    fn line(&self, cells: &[Cell], shown: &[usize], widths: &[usize], view: View) -> String {
        let mut out = self.indent.clone();
        for (position, &column) in shown.iter().enumerate() {
            let text = if column == 0 { cut(&cells[0].text, widths[0]) } else { cells[column].text.clone() };
            let painted = view.paint(&text, cells[column].paint);
            let blank = " ".repeat(widths[column] - width(&text));
            let gap = if position == 0 { "" } else { GAP };
            match self.columns[column].align {
                Align::Left => out.push_str(&format!("{gap}{painted}{blank}")),
                Align::Right => out.push_str(&format!("{gap}{blank}{painted}")),
            }
        }
        format!("{}\n", out.trim_end())
    }
}

/// Columns that a text takes on a terminal: wide characters take two, combining ones none.
///
/// The common ranges of Unicode's East Asian Width; a rare character may be off by one.
pub fn width(text: &str) -> usize {
    let columns = |character: char| match character as u32 {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

/// Cuts a text in its middle: names differ at their ends.
pub fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_string();
    }
    let keep = room.saturating_sub(1);
    let (mut head, mut tail) = (String::new(), Vec::new());
    for character in text.chars() {
        if width(&head) + width(character.encode_utf8(&mut [0; 4])) > keep.div_ceil(2) {
            break;
        }
        head.push(character);
    }
    let mut left = keep - width(&head);
    for character in text.chars().rev() {
        let columns = width(character.encode_utf8(&mut [0; 4]));
        if columns > left {
            break;
        }
        left -= columns;
        tail.push(character);
    }
    head.push('…');
    head.extend(tail.into_iter().rev());
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Colour;

    #[track_caller]
    fn check(width: usize, expected: &str) {
        let columns = vec![Column::text("name", 0), Column::number("time", 0), Column::number("misses", 1)];
        let mut table = Table::new("", columns);
        table.push(vec!["a_rather_long_name_of_a_benchmark".into(), "1 ns".into(), "7".into()]);
        table.push(vec!["日本".into(), "12 ns".into(), "".into()]);
        assert_eq!(table.render(View { width, colour: Colour::Plain }), expected);
    }

    #[test]
    fn a_table_as_wide_as_it_likes() {
        check(
            80,
            "name                                time  misses\n\
             a_rather_long_name_of_a_benchmark   1 ns       7\n\
             日本                               12 ns\n",
        );
    }

    #[test]
    fn the_name_is_cut_before_a_column_is_left_out() {
        check(
            40,
            "name                        time  misses\n\
             a_rather_lon…_a_benchmark   1 ns       7\n\
             日本                       12 ns\n",
        );
    }

    #[test]
    fn a_column_is_left_out_before_the_name_is_lost() {
        check(
            36,
            "name                            time\n\
             a_rather_long_…of_a_benchmark   1 ns\n\
             日本                           12 ns\n",
        );
    }

    #[test]
    fn a_name_keeps_its_ends() {
        assert_eq!(cut("abcdefghij", 5), "ab…ij");
        assert_eq!(cut("abcdefghij", 10), "abcdefghij");
        assert_eq!(cut("日本語日本語", 6), "日…語");
    }
}
