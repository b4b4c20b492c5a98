//! The page of a flame graph: our own style sheet and scripts, and the numbers, in one file.

const PAGE: &str = include_str!("../../assets/flame/page.html");
const STYLE: &str = include_str!("../../assets/flame/page.css");
const SCRIPTS: [&str; 4] = [
    include_str!("../../assets/flame/model.js"),
    include_str!("../../assets/flame/draw.js"),
    include_str!("../../assets/flame/beside.js"),
    include_str!("../../assets/flame/page.js"),
];

/// The page; `data` is what [`invar_core::wire::flame`] writes, which may stand in a script.
pub fn page(benchmark: &str, data: &str) -> String {
    let title = format!("{} · Invar", escaped(benchmark));
    let script = SCRIPTS.concat();
    let mut out = String::new();
    let mut rest = PAGE;
    // From the front: a name that looks like one of these marks is behind us before it could be taken for one.
    for (mark, text) in [("@TITLE@", &*title), ("@STYLE@", STYLE), ("@DATA@", data), ("@SCRIPT@", &*script)] {
        let (before, after) = rest.split_once(mark).expect("the page has every mark, in this order");
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    out + rest
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
