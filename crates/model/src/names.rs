//! Which metric and label names are valid (prometheus/common `model/metric.go`).

/// How names are checked: the old ASCII alphabet, or any non-empty UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValidationScheme {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, the same without colons for labels.
    Legacy,
    /// Any UTF-8 text that is not empty.
    #[default]
    Utf8,
}

impl ValidationScheme {
    /// Whether `name` is a valid metric name under this scheme.
    pub fn is_metric_name(self, name: &str) -> bool {
        match self {
            ValidationScheme::Legacy => is_legacy_metric_name(name),
            ValidationScheme::Utf8 => !name.is_empty(),
        }
    }

    /// Whether `name` is a valid label name under this scheme.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            ValidationScheme::Legacy => is_legacy_label_name(name),
            ValidationScheme::Utf8 => !name.is_empty(),
        }
    }
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_legacy(name, |b| b == b':')
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy(name, |_| false)
}

fn is_legacy(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(i, b)| {
            b.is_ascii_alphabetic() || b == b'_' || extra(b) || (i > 0 && b.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names() {
        for (name, metric, label) in [
            ("up", true, true),
            ("job:up:sum", true, false),
            ("_x9", true, true),
            ("9x", false, false),
            ("a.b", false, false),
            ("", false, false),
            ("é", false, false),
        ] {
            assert_eq!(is_legacy_metric_name(name), metric, "{name}");
            assert_eq!(is_legacy_label_name(name), label, "{name}");
        }
    }
}
