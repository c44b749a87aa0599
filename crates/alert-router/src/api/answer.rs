//! Answers in upstream's forms, and times as its API writes them.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer to a request that is refused.
#[derive(Debug)]
pub struct Refused(Box<Response>);

impl From<Response> for Refused {
    fn from(response: Response) -> Refused {
        Refused(Box::new(response))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// 200 with JSON and a line feed, as Go's encoder ends it.
pub fn json<T: Serialize>(value: &T) -> Response {
    with_status(StatusCode::OK, value)
}

/// A plain string as the answer: what the handlers themselves refuse.
pub fn refusal(status: StatusCode, text: &str) -> Response {
    with_status(status, &text)
}

/// What upstream's generated code refuses: a code of its own and a message.
pub fn problem(status: StatusCode, code: u16, message: &str) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        code: u16,
        message: &'a str,
    }
    // Go's generated code ends these, unlike the handlers' own answers, without a line feed.
    match serde_json::to_vec(&Problem { code, message }) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

fn with_status<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// Reads a JSON body, `what` by name in the complaint.
pub fn body<'a, T: Deserialize<'a>>(
    headers: &HeaderMap,
    bytes: &'a Bytes,
    what: &str,
) -> Result<T, Refused> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream");
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let message =
            format!("unsupported media type {given:?}, only [application/json] are allowed");
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, &message).into());
    }
    serde_json::from_slice(bytes).map_err(|e| {
        let message = format!("parsing {what} body from \"\" failed, because {e}");
        problem(StatusCode::BAD_REQUEST, 400, &message).into()
    })
}

/// `2024-01-01T00:00:00.000Z`.
pub fn time(t: Timestamp) -> String {
    format!("{t:.3}")
}

/// Serialises a time with [`time`].
pub fn serialize_time<S: serde::Serializer>(t: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&time(*t))
}

/// A text that is copied only where it holds escapes.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A time that may be left out, be empty, or be Go's zero time, which all mean the same.
pub fn optional_time<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<Text<'_>>::deserialize(deserializer)?.unwrap_or_default();
    let text = &*text.0;
    if text.is_empty() {
        return Ok(None);
    }
    let time = parse_time(text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "parsing time {text:?} as \"2006-01-02\": cannot parse {text:?} as \"2006\""
        ))
    })?;
    Ok(Some(time).filter(|time| time.as_second() != ZERO_TIME))
}

/// Seconds from the epoch to `0001-01-01T00:00:00Z`, Go's zero time.
const ZERO_TIME: i64 = -62_135_596_800;

/// RFC 3339, also without a zone or without a time of day (then UTC).
fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, printed) in [
            ("2024-01-01T00:00:00Z", Some("2024-01-01T00:00:00.000Z")),
            (
                "2024-01-01T02:00:00.123456789+02:00",
                Some("2024-01-01T00:00:00.123Z"),
            ),
            ("2024-01-01T00:00:00", Some("2024-01-01T00:00:00.000Z")),
            ("2024-01-01", Some("2024-01-01T00:00:00.000Z")),
            ("nope", None),
        ] {
            assert_eq!(parse_time(text).map(time).as_deref(), printed, "{text}");
        }
    }
}
