//! From a flag's text to its value, with the messages of Go's parsers.

use std::time::Duration;

use golang::strconv::quote;

use super::{Kind, Value};

/// Parses one value; the error is Go's text without the flag's name.
pub(super) fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::String => Ok(Value::Text(text.to_owned())),
        Kind::Bool => parse_bool(text)
            .map(Value::Bool)
            .ok_or_else(|| syntax("ParseBool", text)),
        Kind::Int => parse_int(text).map(Value::Int),
        Kind::Float => text
            .parse()
            .map(Value::Float)
            .map_err(|_| syntax("ParseFloat", text)),
        Kind::Duration => model::parse_duration(text)
            .map(Value::Duration)
            .map_err(|error| error.to_string()),
        Kind::GoDuration => parse_go_duration(text).map(Value::Duration),
        Kind::Size => text
            .parse::<yaml_config::Size>()
            .map(|size| Value::Size(size.bytes()))
            .map_err(|error| error.to_string()),
        Kind::Url => text
            .parse::<yaml_config::Url>()
            .map(|_| Value::Text(text.to_owned()))
            .map_err(|error| format!("invalid URL: {error}")),
        Kind::ExistingFile if text.is_empty() => Ok(Value::Text(String::new())),
        Kind::ExistingFile => match std::fs::metadata(text) {
            Err(_) => Err(format!("path '{text}' does not exist")),
            Ok(found) if found.is_dir() => Err(format!("'{text}' is a directory")),
            Ok(_) => Ok(Value::Text(text.to_owned())),
        },
        Kind::Pair if text.contains(['=', ':']) => Ok(Value::Text(text.to_owned())),
        Kind::Pair => Err(format!("expected KEY=VALUE got '{text}'")),
        Kind::Enum(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Enum(words) => Err(format!(
            "enum value must be one of {}, got '{text}'",
            words.join(",")
        )),
    }
}

fn syntax(function: &str, text: &str) -> String {
    format!(
        "strconv.{function}: parsing {}: invalid syntax",
        quote(text)
    )
}

/// strconv.ParseBool.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// strconv.ParseInt with base 0: decimal, `0x`, `0o` or `0`, `0b`, underscores between digits.
fn parse_int(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = if let Some(body) = lower.strip_prefix("0x") {
        (16, body)
    } else if let Some(body) = lower.strip_prefix("0b") {
        (2, body)
    } else if let Some(body) = lower.strip_prefix("0o") {
        (8, body)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &lower[..])
    };
    let body = body.replace('_', "");
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return Err(syntax("ParseInt", text));
    }
    let signed = if negative { format!("-{body}") } else { body };
    i64::from_str_radix(&signed, radix).map_err(|_| {
        format!(
            "strconv.ParseInt: parsing {}: value out of range",
            quote(text)
        )
    })
}

/// time.ParseDuration, for durations that are not negative.
pub(crate) fn parse_go_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    if text.starts_with('-') {
        return Err(format!("negative duration {} is not allowed", quote(text)));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let value: f64 = rest[..number].parse().map_err(|_| invalid())?;
        rest = &rest[number..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let size = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            unknown => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    quote(unknown),
                    quote(text)
                ));
            }
        };
        nanos += value * size;
        rest = &rest[unit..];
    }
    if nanos > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let second = Duration::from_secs(1);
        for (kind, text, expected) in [
            (Kind::Bool, "true", Ok(Value::Bool(true))),
            (Kind::Bool, "F", Ok(Value::Bool(false))),
            (
                Kind::Bool,
                "yes",
                Err("strconv.ParseBool: parsing \"yes\": invalid syntax"),
            ),
            (Kind::Int, "-12", Ok(Value::Int(-12))),
            (Kind::Int, "0x10", Ok(Value::Int(16))),
            (Kind::Int, "1_000", Ok(Value::Int(1000))),
            (
                Kind::Int,
                "x",
                Err("strconv.ParseInt: parsing \"x\": invalid syntax"),
            ),
            (
                Kind::Int,
                "9223372036854775808",
                Err("strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
            ),
            (Kind::Float, "1e3", Ok(Value::Float(1000.0))),
            (Kind::Duration, "1m", Ok(Value::Duration(60 * second))),
            (
                Kind::Duration,
                "1.5m",
                Err("unknown unit \".\" in duration \"1.5m\""),
            ),
            (Kind::GoDuration, "1.5h", Ok(Value::Duration(5400 * second))),
            (
                Kind::GoDuration,
                "1m1ms",
                Ok(Value::Duration(Duration::from_millis(60_001))),
            ),
            (Kind::GoDuration, "0", Ok(Value::Duration(Duration::ZERO))),
            (
                Kind::GoDuration,
                "5d",
                Err("time: unknown unit \"d\" in duration \"5d\""),
            ),
            (
                Kind::GoDuration,
                "5",
                Err("time: missing unit in duration \"5\""),
            ),
            (Kind::GoDuration, "", Err("time: invalid duration \"\"")),
            (Kind::Size, "1KB", Ok(Value::Size(1024))),
            (
                Kind::Enum(&["a", "b"]),
                "a",
                Ok(Value::Text("a".to_owned())),
            ),
            (
                Kind::Enum(&["a", "b"]),
                "c",
                Err("enum value must be one of a,b, got 'c'"),
            ),
        ] {
            assert_eq!(parse(kind, text), expected.map_err(str::to_owned), "{text}");
        }
    }
}
