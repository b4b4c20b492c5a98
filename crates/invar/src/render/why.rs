//! Who pays for a change, in a terminal.

use invar_core::profile::{Payer, Why};
use invar_core::report::{Paid, Report};

use super::profile::chain;
use super::table::{Paint, width};
use super::{View, one_line, wrap};

/// For each changed benchmark the functions that pay; nothing where nobody asked.
pub fn why(report: &Report, view: View) -> String {
    let mut out = String::new();
    for row in report.changed() {
        let text = match &row.paid {
            Paid::Unasked => continue,
            Paid::Unknown(reason) => view
                .paint(&wrap(&format!("Not known: {}.", one_line(reason)), "    ", view.width), Paint::Dim),
            Paid::By(why) => paid(why, view),
        };
        let name = one_line(&row.judged.benchmark.id);
        out.push_str(&view.paint(&format!("  who pays in {name}\n"), Paint::Bold));
        out.push_str(&text);
        out.push('\n');
    }
    out
}

fn paid(why: &Why, view: View) -> String {
    let mut out = String::new();
    if let Some(sentence) = why.layout_sentence() {
        out.push_str(&wrap(&format!("{sentence}."), "    ", view.width));
    }
    // With Python functions there are two answers, each of which explains the whole.
    let both = !why.python.is_empty() && !why.native.is_empty();
    for (title, payers) in [("in Python", &why.python), ("natively", &why.native)] {
        if both {
            out.push_str(&view.paint(&format!("    {title}\n"), Paint::Dim));
        }
        payers.iter().for_each(|payer| out.push_str(&one(payer, view)));
    }
    if why.python.is_empty() && why.native.is_empty() {
        out.push_str("    Nobody: no function costs more or less than before.\n");
    }
    out
}

/// A function, and the path that pays the most.
fn one(payer: &Payer, view: View) -> String {
    let by = payer.cycles().moved();
    let (sign, paint) = if by > 0 { ("▼", Paint::Bad) } else { ("▲", Paint::Good) };
    let sentence = wrap(&one_line(&payer.sentence()), "      ", view.width);
    let mut out = format!("    {} {}", view.paint(sign, paint), &sentence[6..]);
    if let Some(path) = payer.paths.first().filter(|path| path.functions.len() > 2) {
        let names: Vec<String> = path.functions.iter().map(|function| one_line(&function.name)).collect();
        let head = "        along ";
        let text = format!("{head}{}\n", chain(&names, view.width.saturating_sub(width(head))));
        out.push_str(&view.paint(&text, Paint::Dim));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{explained, wide};

    #[test]
    fn each_changed_benchmark_names_who_pays() {
        insta::assert_snapshot!(why(&explained(), wide()), @r"
        who pays in tests/test_json.py::dump_big
          Not known: the baseline has no profile.

        who pays in tests/test_fibo.py::iterative_fibo_big
          in Python
          ▲ `add` (src/fibo.py:20): −321 k cycles, instructions −240 k, L1 −79.9 k, called as often, cheaper
              along tests/test_fibo.py::iterative_fibo_big → fibo → add
          natively
          ▲ `long_add` (Objects/longobject.c:100): −321 k cycles, instructions −240 k, L1 −79.9 k, called as often,
            cheaper
              along tests/test_fibo.py::iterative_fibo_big → _PyEval_EvalFrameDefault → long_add
        ");
    }
}
