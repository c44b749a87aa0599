//! Durations in Prometheus' notation: `1h30m`, `5d`, `100ms` (prometheus/common `model/time.go`).

use std::time::Duration;

/// Why a text is no duration. The messages are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing at all.
    #[error("empty duration string")]
    Empty,
    /// Not a sequence of numbers with units from large to small.
    #[error("not a valid duration string: {}", golang::strconv::quote(.0))]
    Invalid(String),
    /// A number with something behind it that is no unit.
    #[error(
        "unknown unit {} in duration {}",
        golang::strconv::quote(unit),
        golang::strconv::quote(text)
    )]
    UnknownUnit {
        /// All that stands between two numbers.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than fits a signed 64-bit count of nanoseconds.
    #[error("duration out of range")]
    OutOfRange,
}

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses a duration such as `1h30m`: each unit at most once, from large to small; `0` alone needs
/// no unit.
///
/// # Errors
/// [`DurationError`], with upstream's text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut total_ms = 0u64;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let (unit, next) = after.split_at(
            after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len()),
        );
        if unit.is_empty() {
            return Err(invalid());
        }
        let index = UNITS.iter().position(|(name, _)| *name == unit);
        let index = index.ok_or_else(|| DurationError::UnknownUnit {
            unit: unit.to_owned(),
            text: text.to_owned(),
        })?;
        if index < next_unit {
            return Err(invalid());
        }
        total_ms = number
            .checked_mul(UNITS[index].1)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|ms| *ms <= i64::MAX as u64 / 1_000_000)
            .ok_or(DurationError::OutOfRange)?;
        next_unit = index + 1;
        rest = next;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Prints a duration as upstream does: weeks, days and years only where they leave no rest.
pub fn format_duration(duration: Duration) -> String {
    format_duration_ms(duration.as_millis() as u64)
}

/// [`format_duration`] for a count of milliseconds.
pub fn format_duration_ms(mut ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, size) in UNITS {
        let exact_only = matches!(unit, "y" | "w" | "d");
        if ms == 0 || (exact_only && unit != "d" && !ms.is_multiple_of(size)) {
            continue;
        }
        let count = ms / size;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            ms -= count * size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("0w", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3_000, "3s"),
            ("5m", 300_000, "5m"),
            ("1h", 3_600_000, "1h"),
            ("4d", 345_600_000, "4d"),
            ("4d1h", 349_200_000, "4d1h"),
            ("14d", 1_209_600_000, "2w"),
            ("3w", 1_814_400_000, "3w"),
            ("3w2d1h", 1_990_800_000, "23d1h"),
            ("8d", 691_200_000, "8d"),
            ("10y", 315_360_000_000, "10y"),
        ] {
            let parsed = parse_duration(text).unwrap();
            assert_eq!(parsed.as_millis() as u64, ms, "{text}");
            assert_eq!(format_duration(parsed), printed, "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, error) in [
            ("", "empty duration string"),
            ("1", r#"not a valid duration string: "1""#),
            ("1y1m1d", r#"not a valid duration string: "1y1m1d""#),
            ("-1w", r#"not a valid duration string: "-1w""#),
            ("1.5d", r#"unknown unit "." in duration "1.5d""#),
            (
                "1 minute",
                r#"unknown unit " minute" in duration "1 minute""#,
            ),
            ("1hä", r#"unknown unit "hä" in duration "1hä""#),
            (
                "99999999999999999999s",
                r#"not a valid duration string: "99999999999999999999s""#,
            ),
            ("1m1m", r#"not a valid duration string: "1m1m""#),
            ("d", r#"not a valid duration string: "d""#),
            ("294y", "duration out of range"),
            ("200y10400w", "duration out of range"),
        ] {
            assert_eq!(
                parse_duration(text).unwrap_err().to_string(),
                error,
                "{text}"
            );
        }
    }
}
