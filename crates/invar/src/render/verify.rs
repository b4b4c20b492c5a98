//! How far benchmarks moved, for a terminal. Computes nothing, prints nothing.

use invar_core::event::Event;
use invar_core::noise::Noise;
use invar_core::number::{percent, plural};

use super::table::{Cell, Column, Paint, Table};
use super::{View, one_line, wrap};

/// One run of several begins: `[3/8] another user's HOME`.
pub fn begins(number: usize, of: usize, circumstance: &str, view: View) -> String {
    view.paint(&format!("  [{number}/{of}] {circumstance}\n"), Paint::Dim)
}

/// The benchmarks that moved, each with what moved and when, and a sentence about all.
pub fn noise(noise: &[Noise], circumstances: &[&str], view: View) -> String {
    let runs = circumstances.len();
    let moved: Vec<&Noise> = noise.iter().filter(|noise| !noise.is_zero(runs)).collect();
    let mut out = String::new();
    if !moved.is_empty() {
        let mut table = Table::new(
            "  ",
            vec![
                Column::text("benchmark", 0),
                Column::number("cycles", 0),
                Column::number("instructions", 0),
                Column::text("first with", 2),
                Column::text("what moved", 3),
            ],
        );
        for noise in &moved {
            let first = noise.first_unlike.and_then(|run| circumstances.get(run).copied());
            let first = match noise.results {
                results if results < runs => format!("{results} of {runs} runs have it"),
                _ => first.unwrap_or("").to_string(),
            };
            table.push(vec![
                Cell::new(one_line(&noise.benchmark), Paint::Bad),
                Cell::from(percent(noise.cycles.ratio())),
                Cell::from(percent(noise.instructions.ratio())),
                Cell::from(first),
                Cell::new(events(&noise.moved), Paint::Dim),
            ]);
        }
        out.push_str(&table.render(view));
        for noise in &moved {
            for diagnostic in noise.diagnostics.to_vec() {
                let line = format!("! {}: {}", one_line(&noise.benchmark), diagnostic.sentence());
                out.push_str(&wrap(&line, "  ", view.width));
            }
        }
        out.push('\n');
    }
    let still = noise.len() - moved.len();
    let sentence = format!(
        "{} of {} gave the same counts in all {runs} runs, to the unit.",
        still,
        plural(noise.len(), "benchmark")
    );
    let paint = if moved.is_empty() { Paint::Good } else { Paint::Bold };
    out.push_str(&format!("  {}\n", view.paint(&sentence, paint)));
    if let Some(floor) = moved.iter().map(|noise| noise.floor()).max_by(f64::total_cmp) {
        let sentence = format!(
            "The widest noise floor is {}: smaller changes of that benchmark may be noise.",
            percent(floor)
        );
        out.push_str(&wrap(&sentence, "  ", view.width));
    }
    out
}

fn events(events: &[Event]) -> String {
    match events {
        [] => String::new(),
        // Instructions bring everything else along.
        [Event::Instructions, ..] => "other work is done".to_string(),
        events => events.iter().map(|event| event.name()).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{run, wide};

    const CIRCUMSTANCES: [&str; 3] = ["as usual", "as usual, again", "another user's HOME"];

    #[test]
    fn numbers_that_repeat_are_one_sentence() {
        let runs = [(); 3].map(|()| run("main", &[("a", 1000, 3), ("b", 5, 0)]));
        let text = noise(&invar_core::noise::noise(&runs), &CIRCUMSTANCES, wide());
        assert_eq!(text, "  2 of 2 benchmarks gave the same counts in all 3 runs, to the unit.\n");
    }

    #[test]
    fn a_benchmark_that_moves_is_shown_with_what_moved_it() {
        let runs = [
            run("main", &[("a", 100_000, 3), ("b", 5000, 0), ("c", 9, 0)]),
            run("main", &[("a", 100_000, 3), ("b", 5000, 0), ("c", 9, 0)]),
            run("main", &[("a", 100_500, 3), ("b", 5000, 4)]),
        ];
        let text = noise(&invar_core::noise::noise(&runs), &CIRCUMSTANCES, wide());
        insta::assert_snapshot!(text);
    }
}
