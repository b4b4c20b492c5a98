//! What went wrong, for a terminal.

use super::table::Paint;
use super::{View, one_line};

/// What is said about a failure.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What went wrong.
    pub error: &'a str,
    /// Why, the nearest cause first.
    pub causes: &'a [String],
    /// What to do.
    pub help: &'a [String],
}

/// The failure. Lines are not broken, so that a command in a help can be copied.
pub fn failure(said: &Said<'_>, view: View) -> String {
    let mut out = line("error", said.error, Paint::Bad, view);
    for cause in said.causes {
        out.push_str(&line("cause", cause, Paint::Dim, view));
    }
    for help in said.help {
        out.push_str(&line(" help", help, Paint::Bold, view));
    }
    out
}

fn line(word: &str, text: &str, paint: Paint, view: View) -> String {
    format!("{} {}\n", view.paint(&format!("{word}:"), paint), one_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::wide;

    #[test]
    fn a_failure_is_an_error_its_causes_and_what_to_do() {
        let causes = ["No space left\non device (os error 28)".to_string()];
        let help = ["df .invar".to_string()];
        let said = Said { error: "cannot write .invar/x", causes: &causes, help: &help };
        assert_eq!(
            failure(&said, wide()),
            "error: cannot write .invar/x\ncause: No space left\\non device (os error 28)\n help: df .invar\n"
        );
    }
}
