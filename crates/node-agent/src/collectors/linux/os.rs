//! os: /etc/os-release, or /usr/lib/os-release, of the root file system.

use std::collections::HashMap;

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// `NAME=value` lines; values may be quoted as in a shell.
fn parse(text: &str) -> HashMap<&str, String> {
    let mut values = HashMap::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = line.split_once('=') {
            values.insert(name.trim(), unquote(value.trim()));
        }
    }
    values
}

fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let inner = match value.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
        None => value,
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// The number a version begins with: `20.04.2` is 20.04.
fn version(text: &str) -> Option<f64> {
    let digits = |t: &str| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
    let whole = digits(text);
    if whole == 0 {
        return None;
    }
    let end = match text[whole..].strip_prefix('.') {
        Some(rest) => whole + 1 + digits(rest),
        None => whole,
    };
    text[..end].parse().ok()
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let root = files.paths.root.clone();
    let mut text = None;
    for name in ["etc/os-release", "usr/lib/os-release"] {
        match files.read(&root.join(name)) {
            Ok(read) => {
                text = Some(read.to_owned());
                break;
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    let text = text.ok_or(CollectError::NoData)?;
    let values = parse(&text);
    let get = |name: &str| values.get(name).map_or("", String::as_str);
    out.gauge(
        "node_os_info",
        "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.",
        &[
            ("build_id", get("BUILD_ID")),
            ("id", get("ID")),
            ("id_like", get("ID_LIKE")),
            ("image_id", get("IMAGE_ID")),
            ("image_version", get("IMAGE_VERSION")),
            ("name", get("NAME")),
            ("pretty_name", get("PRETTY_NAME")),
            ("variant", get("VARIANT")),
            ("variant_id", get("VARIANT_ID")),
            ("version", get("VERSION")),
            ("version_codename", get("VERSION_CODENAME")),
            ("version_id", get("VERSION_ID")),
        ],
        1.0,
    );
    if let Some(version) = version(get("VERSION_ID")).filter(|v| *v > 0.0) {
        out.gauge(
            "node_os_version",
            "Metric containing the major.minor part of the OS version.",
            &[
                ("id", get("ID")),
                ("id_like", get("ID_LIKE")),
                ("name", get("NAME")),
            ],
            version,
        );
    }
    let end = get("SUPPORT_END");
    if !end.is_empty() {
        let seconds = midnight(end).ok_or_else(|| CollectError::invalid("SUPPORT_END", end))?;
        out.gauge(
            "node_os_support_end_timestamp_seconds",
            "Metric containing the end-of-life date timestamp of the OS.",
            &[],
            seconds,
        );
    }
    Ok(())
}

/// Unix time of `YYYY-MM-DD`, midnight UTC.
fn midnight(date: &str) -> Option<f64> {
    let mut parts = date.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since the epoch of the proleptic Gregorian calendar, years beginning in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(((days - 719_468) * 86_400) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted() {
        let values = parse("# c\nNAME=\"Ubuntu \\\"x\\\"\"\nID=ubuntu\nV='a b'\nbroken\n");
        assert_eq!(values["NAME"], "Ubuntu \"x\"");
        assert_eq!(values["ID"], "ubuntu");
        assert_eq!(values["V"], "a b");
        assert_eq!(values.len(), 3);
    }

    #[test]
    fn versions_and_dates() {
        assert_eq!(version("20.04.2"), Some(20.04));
        assert_eq!(version("13"), Some(13.0));
        assert_eq!(version("sid"), None);
        assert_eq!(midnight("2030-06-30"), Some(1_909_008_000.0));
        assert_eq!(midnight("1970-01-01"), Some(0.0));
        assert_eq!(midnight("2030-13-01"), None);
    }
}
