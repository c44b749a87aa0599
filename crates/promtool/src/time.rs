//! Times on the command line.

use golang::strconv::{parse_float, quote};
use golang::time::{RFC3339_NANO, Time};

/// A moment as RFC 3339 or seconds since the epoch, in milliseconds.
///
/// # Errors
/// Upstream's text.
pub fn parse(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = parse_float(text)
        && seconds.is_finite()
    {
        return Ok((seconds * 1000.0).round() as i64);
    }
    Time::parse(RFC3339_NANO, text)
        .map(|time| time.unix_milli())
        .map_err(|_| format!("cannot parse {} to a valid timestamp", quote(text)))
}

/// Milliseconds since the epoch, now.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Seconds as the API's parameters have them.
pub fn seconds(t_ms: i64) -> String {
    golang::strconv::format_float(t_ms as f64 / 1000.0, 'f', -1, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(parse("1.5"), Ok(1500));
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Ok(1500));
        assert_eq!(
            parse("x").unwrap_err(),
            "cannot parse \"x\" to a valid timestamp"
        );
        assert_eq!(
            parse("NaN").unwrap_err(),
            "cannot parse \"NaN\" to a valid timestamp"
        );
        assert_eq!(seconds(1500), "1.5");
        assert_eq!(seconds(2000), "2");
    }
}
