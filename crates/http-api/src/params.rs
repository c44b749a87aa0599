//! Parameters of requests: from the query string and from form bodies.

use model::Matcher;

use crate::ApiError;

/// The parameters of a request in order; of a name given several times [`Params::get`] is the first.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Parses an `application/x-www-form-urlencoded` text, adding to what is there. Pairs that do
    /// not decode are passed over, as Go's `ParseForm` does.
    pub fn add_encoded(&mut self, text: &str) {
        for pair in text
            .split('&')
            .filter(|p| !p.is_empty() && !p.contains(';'))
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
                self.0.push((name, value));
            }
        }
    }

    /// The first value of `name`, or the empty string.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, v)| v)
    }

    /// Whether `name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// Undoes percent encoding (and `+` for a blank in query strings); `None` where it is malformed or
/// not UTF-8.
pub fn unescape(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' if plus_is_blank => b' ',
            b'%' => {
                let high = (bytes.next()? as char).to_digit(16)?;
                let low = (bytes.next()? as char).to_digit(16)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// The earliest and latest times that clients may name (upstream's `MinTime` and `MaxTime`).
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", i64::MIN);
const MAX_TIME: (&str, i64) = ("292277025-08-18T07:12:54.999999999Z", i64::MAX);

/// Parses a time: seconds since the epoch with a fraction, or RFC 3339. Returns milliseconds.
///
/// # Errors
/// Upstream's text.
pub fn parse_time_ms(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = golang::strconv::parse_float(text)
        && seconds.is_finite()
    {
        let whole = seconds.trunc();
        let fraction_ms = ((seconds - whole) * 1000.0).round();
        return Ok((whole as i64)
            .saturating_mul(1000)
            .saturating_add(fraction_ms as i64));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    for (special, ms) in [MIN_TIME, MAX_TIME] {
        if text == special {
            return Ok(ms);
        }
    }
    Err(format!(
        "cannot parse {} to a valid timestamp",
        golang::strconv::quote(text)
    ))
}

/// The time parameter `name`, or `default` where it was not given.
///
/// # Errors
/// `invalid parameter ...` with upstream's text.
pub fn parse_time_or(params: &Params, name: &str, default_ms: i64) -> Result<i64, ApiError> {
    match params.get(name) {
        "" => Ok(default_ms),
        text => parse_time_ms(text).map_err(|e| {
            ApiError::parameter(name, format_args!("invalid time value for '{name}': {e}"))
        }),
    }
}

/// Parses a duration: seconds with a fraction, or Prometheus' notation. Returns milliseconds.
///
/// # Errors
/// Upstream's text.
pub fn parse_duration_ms(text: &str) -> Result<i64, String> {
    let quoted = golang::strconv::quote(text);
    if let Ok(seconds) = golang::strconv::parse_float(text) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!(
                "cannot parse {quoted} to a valid duration. It overflows int64"
            ));
        }
        return Ok(nanos as i64 / 1_000_000);
    }
    match model::parse_duration(text) {
        Ok(duration) => Ok(duration.as_millis() as i64),
        Err(_) => Err(format!("cannot parse {quoted} to a valid duration")),
    }
}

/// The `limit` parameter; 0 means no limit.
///
/// # Errors
/// `invalid parameter "limit"` with upstream's text.
pub fn parse_limit(params: &Params) -> Result<usize, ApiError> {
    match params.get("limit") {
        "" => Ok(0),
        text => match text.parse::<i64>() {
            Ok(limit) if limit >= 0 => Ok(limit as usize),
            Ok(_) => Err(ApiError::parameter("limit", "limit must be non-negative")),
            Err(_) => Err(ApiError::parameter(
                "limit",
                format_args!(
                    "strconv.Atoi: parsing {}: invalid syntax",
                    golang::strconv::quote(text)
                ),
            )),
        },
    }
}

/// The `match[]` parameters as matcher sets; each must have a matcher that the empty string does
/// not satisfy.
///
/// # Errors
/// `bad_data` with upstream's text.
pub fn parse_match_params<'a>(
    selectors: impl Iterator<Item = &'a str>,
) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let sets = parse_selectors(selectors)?;
    if sets
        .iter()
        .any(|set| set.iter().all(Matcher::matches_empty))
    {
        return Err(ApiError::bad_data(
            "match[] must contain at least one non-empty matcher",
        ));
    }
    Ok(sets)
}

/// The `match[]` parameters as matcher sets, where one without matchers is allowed; it selects nothing.
///
/// # Errors
/// `bad_data` with upstream's text.
pub fn parse_selectors<'a>(
    selectors: impl Iterator<Item = &'a str>,
) -> Result<Vec<Vec<Matcher>>, ApiError> {
    selectors
        .map(|selector| {
            promql::parse::parse_metric_selector(selector)
                .map_err(|e| ApiError::bad_data(e.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_from_query_and_body() {
        let mut params = Params::default();
        params.add_encoded("query=sum%28up%29+1&match%5B%5D=a&match[]=b&bad=%zz&empty");
        assert_eq!(params.get("query"), "sum(up) 1");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert!(params.has("empty") && !params.has("bad"));
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("0", Some(0)),
            ("123.123", Some(123_123)),
            ("-1.5", Some(-1_500)),
            ("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555)),
            ("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555)),
            ("-292273086-05-16T16:47:06Z", Some(i64::MIN)),
            ("abc", None),
            ("", None),
            ("30s", None),
        ] {
            assert_eq!(parse_time_ms(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("123.456", Ok(123_456)),
            ("5m", Ok(300_000)),
            ("NaN", Ok(0)),
            ("abc", Err(r#"cannot parse "abc" to a valid duration"#)),
            (
                "1e30",
                Err(r#"cannot parse "1e30" to a valid duration. It overflows int64"#),
            ),
        ] {
            assert_eq!(
                parse_duration_ms(text),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
    }
}
