//! Who pays in a benchmark, as tables for a terminal.

use std::collections::BTreeMap;

use invar_core::machine::Machine;
use invar_core::number::{count, share};
use invar_core::profile::{Frames, Function, Kind, Lines, Measure, Order, Profile, Recursion, SourceLine};

use super::table::{Cell, Column, Paint, Table, cut, width};
use super::{View, one_line};

/// Functions of a table; more are counted.
const MOST_FUNCTIONS: usize = 12;
/// Call paths; there are always more.
const MOST_PATHS: usize = 5;
/// Frames of a path at either end; those between are counted.
const ENDS: usize = 3;

/// The functions and call paths that cost the most.
pub fn profile(profile: &Profile, machine: &Machine, view: View) -> String {
    let has_python = profile.functions.iter().any(|function| function.kind == Kind::Python);
    let seen = |frames, recursion| {
        profile.viewed(invar_core::profile::View { frames, recursion, lines: Lines::Folded })
    };
    let mut out = String::new();
    if has_python {
        let python = seen(Frames::Python, Recursion::Kept);
        out.push_str(&functions("Python functions", &python, machine, view));
        out.push_str(
            &view.paint("  own: with what is done natively until the next Python function\n", Paint::Dim),
        );
        out.push('\n');
        let native = seen(Frames::Native, Recursion::Kept);
        out.push_str(&functions("native functions", &native, machine, view));
    } else {
        out.push_str(&functions("functions", profile, machine, view));
    }
    out.push('\n');
    let frames = if has_python { Frames::Folded } else { Frames::Mixed };
    out.push_str(&paths(&seen(frames, Recursion::Folded), machine, view));
    out
}

fn functions(title: &str, profile: &Profile, machine: &Machine, view: View) -> String {
    let measure = Measure::Cycles(machine);
    let whole = profile.inclusive_costs(measure)[0];
    let columns = vec![
        Column::text(title, 0),
        Column::number("own cycles", 0),
        Column::number("share", 0),
        Column::number("with callees", 2),
        Column::number("share", 2),
        Column::number("calls", 1),
        Column::text("where", 3),
    ];
    let mut table = Table::new("  ", columns);
    let costs = profile.by_function(measure, Order::Own);
    let costs: Vec<_> = costs.iter().filter(|cost| cost.inclusive_cost > 0).collect();
    for cost in costs.iter().take(MOST_FUNCTIONS) {
        let function = &profile.functions[cost.function as usize];
        table.push(vec![
            Cell::from(one_line(&function.name)),
            Cell::from(count(cost.own_cost)),
            Cell::from(part(cost.own_cost, whole)),
            Cell::from(count(cost.inclusive_cost)),
            Cell::from(part(cost.inclusive_cost, whole)),
            Cell::from(count(cost.calls)),
            Cell::new(one_line(&function.place()), Paint::Dim),
        ]);
    }
    let mut out = table.render(view);
    if costs.len() > MOST_FUNCTIONS {
        let more = costs.len() - MOST_FUNCTIONS;
        out.push_str(&view.paint(&format!("  {more} more; all of them: invar flame\n"), Paint::Dim));
    }
    out
}

fn paths(profile: &Profile, machine: &Machine, view: View) -> String {
    let measure = Measure::Cycles(machine);
    let whole = profile.inclusive_costs(measure)[0];
    let mut out = view.paint("  call paths by what their last function costs itself\n", Paint::Bold);
    for path in profile.hottest_paths(measure, MOST_PATHS) {
        let head = format!("  {:>5}  ", part(path.cost, whole));
        let names: Vec<String> =
            profile.path(path.node).iter().map(|function| one_line(&function.name)).collect();
        out.push_str(&format!("{head}{}\n", chain(&names, view.width.saturating_sub(width(&head)))));
    }
    out
}

/// `a → b → … 3 more … → y → z`, cut to fit; the end, which is who pays, is there in any case.
pub fn chain(names: &[String], room: usize) -> String {
    let whole = names.join(" → ");
    if width(&whole) <= room && names.len() <= 2 * ENDS + 1 {
        return whole;
    }
    let text = if names.len() > 2 * ENDS {
        let between = names.len() - 2 * ENDS;
        let (first, last) = (names[..ENDS].join(" → "), names[names.len() - ENDS..].join(" → "));
        format!("{first} → … {between} more … → {last}")
    } else {
        whole
    };
    cut(&text, room.max(40))
}

/// The source of a function with what it did itself at each line; `text` are the lines from a first one on, if they are known.
pub fn source(
    profile: &Profile,
    function: u32,
    machine: &Machine,
    text: (u32, &[String]),
    view: View,
) -> String {
    let measure = Measure::Cycles(machine);
    let costs: BTreeMap<u32, u64> = profile
        .lines
        .iter()
        .filter(|line| line.function == function)
        .map(|line| (line.line, measure.of(&line.own)))
        .collect();
    let whole = costs.values().fold(0_u64, |sum, cost| sum.saturating_add(*cost));
    let cells = |line: u32| {
        let cost = costs.get(&line).filter(|cost| **cost > 0)?;
        Some(format!("{:>5}  {:>7}", part(*cost, whole), count(*cost)))
    };
    let numbers = costs.keys().copied().collect();
    annotated(&profile.functions[function as usize], "", cells, numbers, text, view)
}

/// The source of a Python function that has cost `whole` with what each line cost: with what it called, itself, and how often it was
/// come to.
pub fn python_source(
    function: &Function,
    whole: u64,
    lines: &[SourceLine],
    text: (u32, &[String]),
    view: View,
) -> String {
    let by_line: BTreeMap<u32, &SourceLine> = lines.iter().map(|line| (line.line, line)).collect();
    let some = |number: u64| if number > 0 { count(number) } else { String::new() };
    let cells = |line: u32| {
        let line = by_line.get(&line)?;
        let (share, cost) = (part(line.inclusive_cost, whole), count(line.inclusive_cost));
        Some(format!("{share:>5}  {cost:>7}  {:>7}  {:>7}", some(line.own_cost), some(line.entered)))
    };
    let heads = format!("{:>5}  {:>7}  {:>7}  {:>7}", "share", "cycles", "own", "entered");
    let numbers = by_line.keys().copied().collect();
    let mut out = annotated(function, &heads, cells, numbers, text, view);
    let said = "\n  cycles: with what was called there; own: what the interpreter did itself; entered: from another line\n";
    out.push_str(&view.paint(said, Paint::Dim));
    out
}

/// Lines of source behind their `cells`, below their `heads`; `numbers` are those that have any.
fn annotated(
    function: &Function,
    heads: &str,
    cells: impl Fn(u32) -> Option<String>,
    mut numbers: Vec<u32>,
    (first, text): (u32, &[String]),
    view: View,
) -> String {
    let mut out = format!("  {}", view.paint(&one_line(&function.name), Paint::Bold));
    out.push_str(&format!("  {}\n\n", view.paint(&one_line(&function.place()), Paint::Dim)));
    numbers.extend((first..).zip(text).map(|(number, _)| number));
    numbers.sort_unstable();
    numbers.dedup();
    if !heads.is_empty() {
        out.push_str(&view.paint(&format!("  {heads}\n"), Paint::Dim));
    }
    let room = heads.len().max("share   cycles".len());
    let digits = numbers.last().copied().unwrap_or_default().to_string().len();
    for number in numbers {
        let known = cells(number);
        let line = text.get(number.wrapping_sub(first) as usize).map_or("", String::as_str);
        let shown = if number == 0 { "?".to_string() } else { number.to_string() };
        let head = format!("  {:>room$}  {shown:>digits$}  ", known.as_deref().unwrap_or_default());
        let line =
            cut(&one_line(&line.replace('\t', "    ")), view.width.saturating_sub(width(&head)).max(20));
        let paint = if known.is_none() { Paint::Dim } else { Paint::None };
        out.push_str(&view.paint(format!("{head}{line}").trim_end(), paint));
        out.push('\n');
    }
    if text.is_empty() {
        out.push_str(
            &view.paint("\n  The source is not here: only numbers of lines are known.\n", Paint::Dim),
        );
    }
    out
}

fn part(cost: u64, whole: u64) -> String {
    if whole == 0 { "–".to_string() } else { share(cost as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{profile as fibo, wide};

    #[test]
    fn a_benchmark_shows_who_pays() {
        insta::assert_snapshot!(profile(&fibo(100_000), &Machine::reference_1(), wide()), @r"
        Python functions                        own cycles  share  with callees  share  calls  where
        add                                          428 k   80 %         428 k   80 %   1000  src/fibo.py:20
        fibo                                         107 k   20 %         536 k  100 %      1  src/fibo.py:12
        tests/test_fibo.py::iterative_fibo_big           0    0 %         536 k  100 %      1
        own: with what is done natively until the next Python function

        native functions                     own cycles  share  with callees  share  calls  where
        _PyEval_EvalFrameDefault                  268 k   50 %         536 k  100 %      0  Python/ceval.c:900
        long_add                                  268 k   50 %         268 k   50 %   1000  Objects/longobject.c:100
        tests/test_fibo.p…terative_fibo_big           0    0 %         536 k  100 %      1

        call paths by what their last function costs itself
         50 %  tests/test_fibo.py::iterative_fibo_big → fibo → add → long_add
         30 %  tests/test_fibo.py::iterative_fibo_big → fibo → add
         20 %  tests/test_fibo.py::iterative_fibo_big → fibo
        ");
    }

    #[test]
    fn a_function_shows_the_cost_of_its_lines() {
        let profile = fibo(100_000);
        let machine = Machine::reference_1();
        let function = profile.functions.iter().position(|function| function.name == "long_add").unwrap();
        let text: Vec<String> =
            ["static PyObject *", "long_add(PyLongObject *a, PyLongObject *b)", "{", "\tint carry;", "}"]
                .map(str::to_string)
                .to_vec();
        insta::assert_snapshot!(source(&profile, function as u32, &machine, (99, &text), wide()), @r"
        long_add  Objects/longobject.c:100

         25 %   67.0 k    ?
                         99  static PyObject *
         25 %   66.9 k  100  long_add(PyLongObject *a, PyLongObject *b)
                        101  {
         50 %    134 k  102      int carry;
                        103  }
        ");
        insta::assert_snapshot!(source(&profile, function as u32, &machine, (0, &[]), wide()), @r"
        long_add  Objects/longobject.c:100

         25 %   67.0 k    ?
         25 %   66.9 k  100
         50 %    134 k  102

        The source is not here: only numbers of lines are known.
        ");
    }

    #[test]
    fn a_python_function_shows_what_its_lines_call() {
        let line = |line, entered, own_cost, inclusive_cost| SourceLine {
            line,
            entered,
            own_cost,
            inclusive_cost,
            ..SourceLine::default()
        };
        let profile = fibo(100_000);
        let fibo = profile.functions.iter().find(|function| function.name == "fibo").unwrap();
        let lines = [
            line(12, 0, 300, 300),
            line(13, 1, 0, 0),
            line(14, 1001, 107_000, 107_000),
            line(15, 1000, 20_000, 428_000),
        ];
        let text: Vec<String> = [
            "def fibo(n):",
            "    a, b = 0, 1",
            "    for _ in range(n):",
            "        a, b = b, add(a, b)",
            "    return a",
        ]
        .map(str::to_string)
        .to_vec();
        insta::assert_snapshot!(python_source(fibo, 535_300, &lines, (12, &text), wide()), @r"
        fibo  src/fibo.py:12

        share   cycles      own  entered
         <1 %      300      300           12  def fibo(n):
          0 %        0                 1  13      a, b = 0, 1
         20 %    107 k    107 k     1001  14      for _ in range(n):
         80 %    428 k   20.0 k     1000  15          a, b = b, add(a, b)
                                          16      return a

        cycles: with what was called there; own: what the interpreter did itself; entered: from another line
        ");
    }

    #[test]
    fn a_long_path_keeps_its_ends() {
        let names: Vec<String> = ["a", "b", "c", "d", "e", "f", "g", "h"].map(str::to_string).to_vec();
        assert_eq!(chain(&names, 80), "a → b → c → … 2 more … → f → g → h");
        assert_eq!(chain(&names[..3], 80), "a → b → c");
    }
}
