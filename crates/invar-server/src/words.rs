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

/// A change that was judged.
pub fn change(change: Option<Change>, verdict: Option<Verdict>) -> Option<Shown> {
    let verdict = verdict?;
    let text = match change {
        None => verdict.name().to_string(),
        Some(change) => number::change(change.ratio()),
    };
    Some(Shown { class: verdict.name(), sign: sign(verdict), text })
}

/// The first digits of a commit.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_said_in_utc() {
        let at = Timestamp(1_721_908_800_000_000);
        assert_eq!(moment(at), "25 Jul 2024, 12:00 UTC");
        assert_eq!(day(at), "25 Jul");
        assert_eq!(rfc3339(at), "2024-07-25T12:00:00Z");
        assert_eq!(moment(Timestamp(i64::MAX)), "9223372036854775807 µs");
    }
}
