//! Numbers for people (prometheus/common `helpers/templates`, prometheus/prometheus
//! `template/template.go`).

use golang::fmt::{Arg, sprintf};
use golang::strconv::{format_float, parse_float};
use golang::time::Time;
use gotemplate::{DurationValue, Value};

/// A number from what templates have: numbers of any kind, their text, durations as seconds.
///
/// # Errors
/// Upstream's message.
pub(super) fn to_float(value: &Value) -> Result<f64, String> {
    if let Some(duration) = value.downcast::<DurationValue>() {
        return Ok(duration.0 as f64 / 1e9);
    }
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::Named("int64" | "uint64" | "int32" | "uint32", inner) => to_float(inner),
        Value::String(text) => parse_float(text).map_err(|e| e.to_string()),
        Value::Nil => Err("can't convert <nil> to float".to_owned()),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn four(value: f64) -> String {
    sprintf("%.4g", &[Arg::from(value)])
}

/// `1.235M`, `12.3m`.
pub(super) fn humanize(mut value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four(value);
    }
    let mut unit = "";
    if value.abs() >= 1.0 {
        for prefix in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            unit = prefix;
            value /= 1000.0;
        }
    } else {
        (value, unit) = small(value);
    }
    four(value) + unit
}

/// Multiplied up to at least one, and the prefix for that.
fn small(mut value: f64) -> (f64, &'static str) {
    let mut unit = "";
    for prefix in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        unit = prefix;
        value *= 1000.0;
    }
    (value, unit)
}

/// `1.5Ki`, in powers of 1024.
pub(super) fn humanize_1024(mut value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four(value);
    }
    let mut unit = "";
    for prefix in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1024.0 {
            break;
        }
        unit = prefix;
        value /= 1024.0;
    }
    four(value) + unit
}

/// Seconds as `1d 2h 3m 4s`, or below a second as `12.3ms`.
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four(value);
    }
    if value == 0.0 {
        return four(value) + "s";
    }
    if value.abs() < 1.0 {
        let (value, unit) = small(value);
        return format!("{}{unit}s", four(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    let whole = truncated(value);
    let (seconds, minutes) = (whole % 60, whole / 60 % 60);
    let (hours, days) = (whole / 3600 % 24, whole / 86_400);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four(value))
    }
}

/// Go's conversion to an integer on the usual machines: what does not fit is the least one.
fn truncated(value: f64) -> i64 {
    if value >= i64::MAX as f64 {
        i64::MIN
    } else {
        value as i64
    }
}

/// `12.35%`.
pub(super) fn humanize_percentage(value: f64) -> String {
    four(value * 100.0) + "%"
}

/// Seconds since 1970 as a time of milliseconds; `None` for what is no number.
///
/// # Errors
/// When nanoseconds since 1970 do not fit.
pub(super) fn time_of(value: f64) -> Result<Option<Time>, String> {
    if !value.is_finite() {
        return Ok(None);
    }
    let nanoseconds = value * 1e9;
    if nanoseconds > i64::MAX as f64 || nanoseconds < i64::MIN as f64 {
        let shown = format_float(value, 'g', -1, 64);
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    let nanoseconds = nanoseconds as i64;
    Ok(Some(Time::from_unix_milli(nanoseconds / 1_000_000)))
}

/// `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn humanize_timestamp(value: f64) -> Result<String, String> {
    Ok(match time_of(value)? {
        Some(time) => time.to_string(),
        None => four(value),
    })
}
