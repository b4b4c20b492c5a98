//! How things read on a page that are no numbers: moments, verdicts, names cut to their length.

use invar_core::compare::{Change, Verdict};
use invar_core::number;
use invar_core::run::Timestamp;
use jiff::tz::TimeZone;

/// A moment for people: `25 Jul 2024, 12:00 UTC`.
pub fn moment(at: Timestamp) -> String {
    format_moment(at, "%-d %b %Y, %H:%M UTC")
}

/// A day for the axis of a chart: `25 Jul`.
pub fn day(at: Timestamp) -> String {
    format_moment(at, "%-d %b")
}

/// A moment for machines (RFC 3339).
pub fn rfc3339(at: Timestamp) -> String {
    format_moment(at, "%Y-%m-%dT%H:%M:%SZ")
}

fn format_moment(at: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_microsecond(at.0) {
        Ok(moment) => moment.to_zoned(TimeZone::UTC).strftime(format).to_string(),
        // Outside of the years that a calendar knows.
        Err(_) => format!("{} µs", at.0),
    }
}

/// The sign of a verdict; never alone, colour and word stand with it.
pub const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regressed => "▼",
        Verdict::Improved => "▲",
        Verdict::New => "+",
        Verdict::Dropped => "−",
        Verdict::Unchanged => "=",
    }
}

/// A change as a cell shows it, with the sign and the class of its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The class for the style sheet: a verdict's name.
    pub class: &'static str,
    /// The sign.
    pub sign: &'static str,
    /// The change, `−10.1 %`; `=` has none.
    pub text: String,
}

/// A change that was judged. Of what did not move at all the sign says it.
pub fn change(change: Option<Change>, verdict: Option<Verdict>) -> Option<Shown> {
    let verdict = verdict?;
    let text = match change {
        None => verdict.name().to_string(),
        Some(change) if change.base == change.head && verdict == Verdict::Unchanged => String::new(),
        Some(change) => number::change(change.ratio()),
    };
    Some(Shown { class: verdict.name(), sign: sign(verdict), text })
}

/// How many times as fast, or as slow: `1.112×`; with fewer digits the further it is from one.
pub fn times(factor: f64) -> String {
    match factor {
        factor if !factor.is_finite() => String::new(),
        factor if factor < 10.0 => format!("{factor:.3}×"),
        factor if factor < 100.0 => format!("{factor:.1}×"),
        factor => format!("{factor:.0}×"),
    }
}

/// A sentence without the backticks that Markdown wants.
pub fn plain(sentence: &str) -> String {
    sentence.replace('`', "")
}

/// The first digits of a commit.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_has_the_digits_that_matter() {
        assert_eq!([1.1124, 31.29, 6676.03, f64::INFINITY].map(times), ["1.112×", "31.3×", "6676×", ""]);
    }

    #[test]
    fn what_did_not_move_has_a_sign_only() {
        let shown = |base, head, verdict| change(Some(Change { base, head }), Some(verdict)).unwrap();
        assert_eq!(
            shown(5, 5, Verdict::Unchanged),
            Shown { class: "unchanged", sign: "=", text: String::new() }
        );
        assert_eq!(shown(100, 101, Verdict::Unchanged).text, "+1.0 %");
        assert_eq!(shown(100, 50, Verdict::Improved).sign, "▲");
        assert_eq!(change(None, Some(Verdict::New)).unwrap().text, "new");
        assert_eq!(change(None, None), None);
    }

    #[test]
    fn a_moment_is_said_in_utc() {
        let at = Timestamp(1_721_908_800_000_000);
        assert_eq!(moment(at), "25 Jul 2024, 12:00 UTC");
        assert_eq!(day(at), "25 Jul");
        assert_eq!(rfc3339(at), "2024-07-25T12:00:00Z");
        assert_eq!(moment(Timestamp(i64::MAX)), "9223372036854775807 µs");
    }
}
