//! The page of a flame graph: our own style sheet and scripts, and the numbers, in one file.

use invar_server::flame::{self, PAGE, PAGE_STYLE, SCRIPT_OF_GIVEN, STYLE, TOKENS};

/// The page; `data` is what [`invar_core::wire::flame`] writes, which may stand in a script.
pub fn page(benchmark: &str, data: &str) -> String {
    let title = format!("{} · Invar", escaped(benchmark));
    let style = [TOKENS, STYLE, PAGE_STYLE].concat();
    let picture = flame::markup("", "");
    let marks = [
        ("@TITLE@", &*title),
        ("@STYLE@", &style),
        ("@PICTURE@", &picture),
        ("@DATA@", data),
        ("@SCRIPT@", SCRIPT_OF_GIVEN),
    ];
    flame::filled(PAGE, &marks)
}

/// A benchmark's name as a part of a file's: `test_fibo_5`.
pub fn file_stem(benchmark: &str) -> String {
    const LONGEST: usize = 80;
    let name = benchmark.rsplit("::").next().unwrap_or(benchmark);
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' }
    };
    let name: String = name.chars().take(LONGEST).map(plain).collect();
    name.trim_matches('_').to_string()
}

fn escaped(text: &str) -> String {
    super::one_line(text).replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_text() {
        let page = page("a</title><script>@DATA@", "{\"@SCRIPT@\": 1}");
        assert!(page.contains("<title>a&lt;/title>&lt;script>@DATA@ · Invar</title>"));
        assert!(page.contains("id=\"data\">{\"@SCRIPT@\": 1}</script>"));
        assert_eq!(page.matches("new Picture(").count(), 1);
    }

    #[test]
    fn the_page_asks_nobody_for_anything() {
        let page = page("a", "{}");
        assert!(page.contains("content=\"default-src 'none'; "));
        for outside in [
            "http://",
            "https://",
            "@import",
            " src=",
            "url(",
            "fetch(",
            "XMLHttpRequest",
            "innerHTML",
            "eval(",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn a_file_is_called_after_its_benchmark() {
        assert_eq!(file_stem("tests/t.py::test_fibo[5]"), "test_fibo_5");
        assert_eq!(file_stem("../../etc/passwd"), ".._.._etc_passwd");
    }
}
