//! `humanizeDuration` (prometheus/common `helpers/templates/time.go`).

use golang::fmt::{Arg, sprintf};
use golang::strconv::parse_float;
use gotemplate::{DurationValue, Value};

/// A number from what templates have: numbers of any kind, their text, durations as seconds.
fn to_float(value: &Value) -> Result<f64, String> {
    if let Some(duration) = value.downcast::<DurationValue>() {
        return Ok(duration.0 as f64 / 1e9);
    }
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::Named("int64" | "uint64", inner) => to_float(inner),
        Value::String(text) => parse_float(text).map_err(|e| e.to_string()),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

/// Seconds as `1d 2h 3m 4s`, or below a second as `12.3ms`.
pub(super) fn humanize_duration(value: &Value) -> Result<String, String> {
    let value = to_float(value)?;
    let four = |value: f64| sprintf("%.4g", &[Arg::from(value)]);
    if !value.is_finite() {
        return Ok(four(value));
    }
    let magnitude = value.abs();
    if value == 0.0 || magnitude < 1.0 {
        let (mut value, mut unit) = (value, "");
        for prefix in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 || value == 0.0 {
                break;
            }
            unit = prefix;
            value *= 1000.0;
        }
        return Ok(format!("{}{unit}s", four(value)));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    // Go's conversion to an integer on the usual machines: what does not fit is the least one.
    let whole = match magnitude {
        v if v >= i64::MAX as f64 => i64::MIN,
        v => v as i64,
    };
    let (seconds, minutes) = (whole % 60, whole / 60 % 60);
    let (hours, days) = (whole / 3600 % 24, whole / 86_400);
    Ok(if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four(magnitude))
    })
}
