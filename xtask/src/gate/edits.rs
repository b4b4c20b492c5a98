//! Edits of a benchmark file that have nothing to do with its benchmarks, as a commit might bring them.
//!
//! Invariant: what a file's benchmarks execute is the same after every edit; only what is around it is not.

use std::fmt::Write;

/// The text after edit `number`; edit 0 changes nothing, and all others are unlike each other.
pub fn edited(text: &str, number: usize) -> String {
    if number == 0 {
        return text.to_string();
    }
    let mut after = String::new();
    // A file may begin with its docstring, and nothing but comments may be before that.
    if number % 2 == 1 {
        after.push_str(&format!("# A remark, number {number}.\n").repeat(1 + number % 5));
    }
    after.push_str(text);
    if !text.ends_with('\n') {
        after.push('\n');
    }
    // What is written into a String is written.
    let _ = match number % 6 {
        0 => write!(
            after,
            "\n\nclass Unused{number}:\n    \"\"\"Nobody's, number {number}.\"\"\"\n\n    kept = {number}.5\n"
        ),
        1 => write!(after, "\n\ndef unused_{number}(one, two={number}):\n    return one + two\n"),
        2 => write!(
            after,
            "\n\nimport fractions, textwrap\nUNUSED_{number} = fractions.Fraction({number}, 7)\n"
        ),
        3 => {
            let rows: String = (0..50 * number).map(|row| format!("    ({row}, \"row {row}\"),\n")).collect();
            write!(after, "\n\nUNUSED_{number} = [\n{rows}]\n")
        }
        4 => write!(after, "\n\nUNUSED_{number} = {{str(key): [key] for key in range({})}}\n", 100 * number),
        _ => {
            let functions = (0..number).map(|function| {
                format!("\n\ndef unused_{number}_{function}(value):\n    return [value, {function}.5]\n")
            });
            write!(after, "{}", functions.collect::<String>())
        }
    };
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_unlike_each_other_and_keep_the_text() {
        let text = "\"\"\"Says what it is.\"\"\"\n\nBODY = 1";
        let all: Vec<String> = (0..24).map(|number| edited(text, number)).collect();
        assert_eq!(all[0], text);
        for (number, one) in all.iter().enumerate() {
            assert!(one.contains(text), "{number}");
            assert!(all[..number].iter().all(|other| other != one), "{number}");
        }
    }
}
