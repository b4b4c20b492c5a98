//! What is found out about this machine, and what is pinned in a measured process, for a terminal.

use invar_runner::doctor::{Check, State};
use invar_runner::environment::Pinned;

use super::table::{Paint, width};
use super::{View, one_line, wrap};

/// The checks, a line each, and beneath those that are not well what to do.
pub fn checks(checks: &[Check], view: View) -> String {
    let widest = checks.iter().map(|check| width(check.name)).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let (sign, paint) = match check.state {
            State::Ok => ("✓", Paint::Good),
            State::Note => ("!", Paint::Bold),
            State::Problem => ("✗", Paint::Bad),
        };
        let blank = " ".repeat(widest - width(check.name));
        let indent = " ".repeat(widest + 6);
        let found = wrap(&one_line(&check.found), &indent, view.width);
        out.push_str(&format!("  {} {}{blank}  {}\n", view.paint(sign, paint), check.name, found.trim()));
        if let Some(advice) = &check.advice {
            out.push_str(&wrap(&format!("→ {}", one_line(advice)), &indent, view.width));
        }
    }
    let problems = checks.iter().filter(|check| matches!(check.state, State::Problem)).count();
    let (text, paint) = match problems {
        0 => ("This machine can measure.".to_string(), Paint::Good),
        1 => ("1 problem stands in the way of measuring here.".to_string(), Paint::Bad),
        many => (format!("{many} problems stand in the way of measuring here."), Paint::Bad),
    };
    format!("{out}\n  {}\n", view.paint(&text, paint))
}

/// The variables of a measured process and what else is fixed, each with why.
pub fn environment(pinned: &[Pinned], other: &[&str], passed: &[String], view: View) -> String {
    let mut out = format!("  {}\n", view.paint("variables of the measured process", Paint::Bold));
    for variable in pinned {
        let value = one_line(&variable.value);
        // Blanks at an end are part of it.
        let value = if value.trim() == value { value } else { format!("\"{value}\"") };
        out.push_str(&format!("  {}={value}\n", variable.name));
        out.push_str(&view.paint(&wrap(variable.why, "      ", view.width), Paint::Dim));
    }
    for name in passed {
        out.push_str(&format!("  {}\n", one_line(name)));
        let why = "keeps its value: pass_env of invar.toml names it";
        out.push_str(&view.paint(&wrap(why, "      ", view.width), Paint::Dim));
    }
    out.push_str(&format!("\n  {}\n", view.paint("and besides", Paint::Bold)));
    for sentence in other {
        out.push_str(&wrap(sentence, "  ", view.width));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::wide;

    fn check(name: &'static str, state: State, advice: Option<&str>) -> Check {
        Check { name, state, found: "what is there".to_string(), advice: advice.map(str::to_string) }
    }

    #[test]
    fn a_check_that_is_not_well_says_what_to_do() {
        let all = [
            check("processor", State::Ok, None),
            check("git", State::Note, Some("install it")),
            check("python", State::Problem, Some("pip install ./integrations/python")),
        ];
        insta::assert_snapshot!(checks(&all, wide()));
        assert!(checks(&all[..2], wide()).ends_with("\n  This machine can measure.\n"));
    }

    #[test]
    fn every_variable_has_a_reason() {
        let variable = Pinned {
            name: "TZ".to_string(),
            value: "UTC".to_string(),
            why: "times are printed alike everywhere",
        };
        let text =
            environment(&[variable], &["Address-space randomisation is off."], &["DB".to_string()], wide());
        insta::assert_snapshot!(text);
    }
}
