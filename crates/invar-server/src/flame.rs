//! The picture of a flame graph: markup, style sheets and scripts, for pages of the site and for the page that `invar flame`
//! writes into a file. Knows no profile: the numbers are [`invar_core::wire::flame`]'s.

/// Colours and letters.
pub const TOKENS: &str = include_str!("../assets/tokens.css");
/// The look of the picture.
pub const STYLE: &str = include_str!("../assets/flame/picture.css");
/// The look of what is around it, on a page that is a file.
pub const PAGE_STYLE: &str = include_str!("../assets/flame/page.css");
/// The page that is a file, with a mark for each part of it.
pub const PAGE: &str = include_str!("../assets/flame/page.html");

/// The script of a page that has its numbers in itself.
pub const SCRIPT_OF_GIVEN: &str = concat!(
    include_str!("../assets/flame/given.js"),
    include_str!("../assets/flame/model.js"),
    include_str!("../assets/flame/draw.js"),
    include_str!("../assets/flame/beside.js"),
    include_str!("../assets/flame/page.js"),
);
/// The script of a page that asks for its numbers.
pub const SCRIPT_OF_ASKED: &str = concat!(
    include_str!("../assets/flame/asked.js"),
    include_str!("../assets/flame/model.js"),
    include_str!("../assets/flame/draw.js"),
    include_str!("../assets/flame/beside.js"),
    include_str!("../assets/flame/page.js"),
);

const MARKUP: &str = include_str!("../assets/flame/picture.html");

/// The markup. `heads` and `rows` are those of the table of functions, until a script writes it anew.
pub fn markup(heads: &str, rows: &str) -> String {
    filled(MARKUP, &[("@HEADS@", heads), ("@ROWS@", rows)])
}

/// A text with its marks, which stand in this order, replaced.
///
/// # Panics
///
/// If a mark is missing.
pub fn filled(text: &str, marks: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    // From the front: a name that looks like one of these marks is behind us before it could be taken for one.
    for (mark, with) in marks {
        let (before, after) = rest.split_once(mark).expect("the text has every mark, in this order");
        out.push_str(before);
        out.push_str(with);
        rest = after;
    }
    out + rest
}
