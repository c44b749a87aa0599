//! Names as Prometheus allows them (statsd_exporter `pkg/mapper/escape.go`).

use std::borrow::Cow;

/// Replaces every character that no metric name may have by `_`, a run of dashes by a single one, and
/// puts `_` before a leading digit. A name that is fine is handed back as it is.
pub fn escape_metric_name(name: &str) -> Cow<'_, str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let leading_digit = name.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if !leading_digit && name.bytes().all(allowed) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 1);
    if leading_digit {
        out.push('_');
    }
    let mut previous = '\0';
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
        } else if c != '-' || previous != '-' {
            out.push('_');
        }
        previous = c;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (name, expected) in [
            ("", ""),
            ("fine_Name9", "fine_Name9"),
            ("9lives", "_9lives"),
            ("a--b", "a_b"),
            ("a-.-b", "a___b"),
            ("ä", "_"),
            ("a:b", "a_b"),
        ] {
            assert_eq!(escape_metric_name(name), expected, "{name}");
        }
        assert!(matches!(escape_metric_name("ok"), Cow::Borrowed(_)));
    }
}
