//! Numbers as people read them: `138.6 µs`, `1.11 ms`, `3.10 M`, `−10.1 %`.
//!
//! The same quantity reads the same in the terminal, in Markdown and on a page. Files for machines hold raw numbers.

use std::time::Duration;

/// A duration with its unit, in three or four digits: `7 ns`, `1.20 µs`, `12.35 ms`, `138.6 µs`, `1.50 s`.
pub fn time(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds < 1000 {
        return format!("{nanoseconds} ns");
    }
    let units = [(1e3, "µs"), (1e6, "ms"), (1e9, "s")];
    for (scale, unit) in units {
        let value = nanoseconds as f64 / scale;
        // 999.96 would read 1000.0: the next unit says it better.
        if value < 999.95 || unit == "s" {
            let decimals = if value < 99.995 { 2 } else { 1 };
            return format!("{value:.decimals$} {unit}");
        }
    }
    unreachable!("the last unit takes every value")
}

/// A count in three or four digits: `812`, `9204`, `12.3 k`, `3.10 M`.
pub fn count(count: u64) -> String {
    if count < 10_000 {
        return count.to_string();
    }
    let units = [(1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];
    for (scale, unit) in units {
        let value = count as f64 / scale;
        if value < 999.5 || unit == "T" {
            let decimals = match value {
                value if value < 9.995 => 2,
                value if value < 99.95 => 1,
                _ => 0,
            };
            return format!("{value:.decimals$} {unit}");
        }
    }
    unreachable!("the last unit takes every value")
}

/// How far a count has moved, with its sign: `+118 k`, `−12`, `±0`.
pub fn moved(by: i128) -> String {
    let sign = match by {
        by if by > 0 => '+',
        by if by < 0 => '−',
        _ => '±',
    };
    format!("{sign}{}", count(u64::try_from(by.unsigned_abs()).unwrap_or(u64::MAX)))
}

/// A ratio as a share, without a sign: `0.912` is `91.2 %`.
pub fn percent(ratio: f64) -> String {
    let value = ratio.abs() * 100.0;
    if !value.is_finite() {
        return "∞ %".to_string();
    }
    let decimals = match value {
        0.0 => 1,
        value if value < 0.095 => 2,
        value if value < 999.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} %")
}

/// A share without decimals: `0.914` is `91 %`, and what is more than nothing is never `0 %`.
pub fn share(ratio: f64) -> String {
    let value = ratio * 100.0;
    if value > 0.0 && value < 0.5 { "<1 %".to_string() } else { format!("{value:.0} %") }
}

/// A ratio as a change, with its sign: `-0.101` is `−10.1 %`, nothing at all is `±0.0 %`.
pub fn change(ratio: f64) -> String {
    let sign = match ratio {
        ratio if ratio > 0.0 => '+',
        ratio if ratio < 0.0 => '−',
        _ => '±',
    };
    format!("{sign}{}", percent(ratio))
}

/// `1 benchmark`, `2 benchmarks`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_or_four_digits_and_a_unit() {
        let read = |nanoseconds| time(Duration::from_nanos(nanoseconds));
        assert_eq!(
            [0, 7, 999, 1200, 99_994, 99_996, 138_600, 999_960, 1_110_000, 11_100_000, 1_500_000_000]
                .map(read),
            [
                "0 ns",
                "7 ns",
                "999 ns",
                "1.20 µs",
                "99.99 µs",
                "100.0 µs",
                "138.6 µs",
                "1.00 ms",
                "1.11 ms",
                "11.10 ms",
                "1.50 s"
            ]
        );
        assert_eq!(time(Duration::from_secs(5000)), "5000.0 s");
    }

    #[test]
    fn counts_have_three_or_four_digits() {
        assert_eq!(
            [0, 812, 9204, 12_345, 123_456, 999_600, 3_100_000, 1_200_000_000, u64::MAX].map(count),
            ["0", "812", "9204", "12.3 k", "123 k", "1.00 M", "3.10 M", "1.20 G", "18446744 T"]
        );
    }

    #[test]
    fn a_count_that_moved_carries_its_sign() {
        assert_eq!([0, 118_000, -12, i128::MIN].map(moved), ["±0", "+118 k", "−12", "−18446744 T"]);
    }

    #[test]
    fn a_change_carries_its_sign() {
        assert_eq!(
            [-0.1012, 0.05, 0.0, 0.000_3, -0.000_000_1, 12.4, f64::INFINITY].map(change),
            ["−10.1 %", "+5.0 %", "±0.0 %", "+0.03 %", "−0.00 %", "+1240 %", "+∞ %"]
        );
    }

    #[test]
    fn a_small_share_is_not_nothing() {
        assert_eq!([0.0, 0.001, 0.02, 0.914, 1.0].map(share), ["0 %", "<1 %", "2 %", "91 %", "100 %"]);
    }
}
