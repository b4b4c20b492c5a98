//! How far benchmarks moved, for a terminal. Computes nothing, prints nothing.

use invar_core::event::Event;
use invar_core::noise::{Noise, Verification};
use invar_core::number::{percent, plural};

use super::table::{Cell, Column, Paint, Table};
use super::{View, one_line, wrap};

/// One run of several begins: `[3/8] another user's HOME`.
pub fn begins(number: usize, of: usize, circumstance: &str, view: View) -> String {
    view.paint(&format!("  [{number}/{of}] {circumstance}\n"), Paint::Dim)
}

/// The benchmarks that moved, each with how far, when and why, and a sentence about all.
pub fn noise(verification: &Verification, untried: &[String], view: View) -> String {
    let circumstances = &verification.circumstances;
    let (all, runs) = (verification.noise(), circumstances.len());
    let moved: Vec<&Noise> = all.iter().filter(|noise| !noise.is_zero()).collect();
    let mut out = String::new();
    if !moved.is_empty() {
        let mut table = Table::new(
            "  ",
            vec![
                Column::text("benchmark", 0),
                Column::number("cycles", 0),
                Column::number("instructions", 0),
                Column::text("most with", 2),
                Column::text("what moved", 3),
            ],
        );
        for noise in &moved {
            let most = noise.worst.and_then(|run| circumstances.get(run));
            let most = match noise.results {
                results if results < noise.tried => format!("{results} of {} runs have it", noise.tried),
                _ => most.cloned().unwrap_or_default(),
            };
            table.push(vec![
                Cell::new(one_line(&noise.benchmark), Paint::Bad),
                Cell::from(spread(noise.cycles.ratio())),
                Cell::from(spread(noise.instructions.ratio())),
                Cell::from(most),
                Cell::new(events(&noise.moved), Paint::Dim),
            ]);
            if let Some(cause) = &noise.cause {
                table.push_across(format!("  likely: {}", one_line(cause)), Paint::Dim);
            }
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
    for line in untried {
        out.push_str(&not_tried(line, view));
    }
    let still = all.len() - moved.len();
    let sentence = format!(
        "{} of {} gave the same counts in all {}, to the unit.",
        still,
        plural(all.len(), "benchmark"),
        plural(runs, "run")
    );
    let paint = if moved.is_empty() { Paint::Good } else { Paint::Bold };
    out.push_str(&format!("  {}\n", view.paint(&sentence, paint)));
    if let Some(floor) = moved.iter().map(|noise| noise.floor()).max_by(f64::total_cmp) {
        let sentence = format!(
            "The widest noise floor is {}: smaller changes of that benchmark may be noise.",
            spread(floor)
        );
        out.push_str(&wrap(&sentence, "  ", view.width));
    }
    out
}

/// A circumstance that could not be tried, with why.
pub fn not_tried(line: &str, view: View) -> String {
    wrap(&format!("! not tried: {}", one_line(line)), "  ", view.width)
}

/// A width, which may be far less than a percent.
fn spread(ratio: f64) -> String {
    if ratio == 0.0 || ratio >= 0.001 { percent(ratio) } else { format!("{:.4} %", ratio * 100.0) }
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
    use invar_core::run::Run;

    use super::*;
    use crate::render::testing::{run, wide};

    fn verified(runs: &[Run]) -> Verification {
        let [first, ..] = runs else { panic!("at least one") };
        let command = vec!["pytest".to_string()];
        let machine = first.machine.clone();
        let mut verification =
            Verification::begin(&first.id, first.started, command, machine, first.instrument);
        for (run, says) in runs.iter().zip(["as usual", "as usual, again", "another user's HOME"]) {
            verification.add(says, run, None);
        }
        verification
    }

    #[test]
    fn numbers_that_repeat_are_one_sentence() {
        let runs = [(); 3].map(|()| run("main", &[("a", 1000, 3), ("b", 5, 0)]));
        let text = noise(&verified(&runs), &[], wide());
        assert_eq!(text, "  2 of 2 benchmarks gave the same counts in all 3 runs, to the unit.\n");
    }

    #[test]
    fn a_benchmark_that_moves_is_shown_with_what_moved_it() {
        let runs = [
            run("main", &[("a", 100_000, 3), ("b", 5000, 0), ("c", 9, 0)]),
            run("main", &[("a", 100_000, 3), ("b", 5000, 0), ("c", 9, 0)]),
            run("main", &[("a", 100_500, 3), ("b", 5000, 4)]),
        ];
        let mut verification = verified(&runs);
        verification.explain("a", Some("`_int_malloc`: what the allocators hold".to_string()));
        let untried = ["one CPU: it cannot be tried here: no".to_string()];
        insta::assert_snapshot!(noise(&verification, &untried, wide()));
    }
}
