//! Names of metrics and labels as Prometheus has them (prometheus/otlptranslator).

/// What becomes of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Whether what is no letter, digit or underscore becomes one.
    pub escape: bool,
    /// Whether units and types are added.
    pub suffixes: bool,
}

impl Strategy {
    /// The strategy of a name in the configuration; the default where it is none.
    pub fn of_name(name: &str) -> Strategy {
        let (escape, suffixes) = match name {
            "NoTranslation" => (false, false),
            "NoUTF8EscapingWithSuffixes" => (false, true),
            "UnderscoreEscapingWithoutSuffixes" => (true, false),
            _ => (true, true),
        };
        Strategy { escape, suffixes }
    }
}

/// What a metric is, as far as its name goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Counter,
    Gauge,
    Other,
}

const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn word<'a>(table: &[(&str, &'static str)], unit: &'a str) -> &'a str {
    let found = table.iter().find(|(short, _)| *short == unit);
    found.map_or(unit, |(_, long)| long)
}

/// The words of a unit, and of what it is counted per; empty where there is none.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    // Annotations in braces are no units.
    let plain = |text: &str| !text.is_empty() && !text.contains(['{', '}']);
    let main = Some(main.trim()).filter(|t| plain(t)).unwrap_or("");
    let per = Some(per.trim()).filter(|t| plain(t)).unwrap_or("");
    let main = word(&UNITS, main).to_owned();
    let per = match word(&PER_UNITS, per) {
        "" => String::new(),
        per => format!("per_{per}"),
    };
    (main, per)
}

/// A unit as metadata has it.
pub(crate) fn unit_name(unit: &str) -> String {
    match unit_words(unit) {
        (main, per) if per.is_empty() => main,
        (main, per) if main.is_empty() => per,
        (main, per) => format!("{main}_{per}"),
    }
}

fn tokens(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .filter(|token| !token.is_empty())
        .collect()
}

/// A metric's name.
pub(crate) fn metric_name(name: &str, unit: &str, shape: Shape, strategy: Strategy) -> String {
    let mut out = match (strategy.escape, strategy.suffixes) {
        (true, true) => escaped_with_suffixes(name, unit, shape),
        (true, false) => {
            let valid = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
            let parts = name.split(|c| !valid(c)).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("_")
        }
        (false, true) => with_suffixes(name, unit, shape),
        (false, false) => name.to_owned(),
    };
    if strategy.escape && out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

fn escaped_with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let mut words = tokens(name);
    let (main, per) = unit_words(unit);
    let (main, per) = (tokens(&main).join("_"), tokens(&per).join("_"));
    if !main.is_empty() && !words.contains(&&*main) {
        words.push(&main);
    }
    let per_word = per.strip_prefix("per_").unwrap_or("");
    if !per_word.is_empty() && !words.contains(&per_word) {
        words.push(&per);
    }
    if shape == Shape::Counter {
        words.retain(|word| *word != "total");
        words.push("total");
    }
    if shape == Shape::Gauge && unit == "1" {
        words.retain(|word| *word != "ratio");
        words.push("ratio");
    }
    words.join("_")
}

fn with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let mut out = name.to_owned();
    let trim = |out: &mut String, suffix: &str| {
        if let Some(rest) = out
            .strip_suffix(suffix)
            .and_then(|r| r.strip_suffix(['_', '.']))
        {
            out.truncate(rest.len());
        }
    };
    let last = match shape {
        Shape::Counter => "total",
        Shape::Gauge if unit == "1" => "ratio",
        Shape::Gauge | Shape::Other => "",
    };
    if !last.is_empty() {
        trim(&mut out, last);
    }
    let (main, per) = unit_words(unit);
    if !per.is_empty() {
        trim(&mut out, &per);
    }
    for suffix in [&*main, &per, last] {
        if !suffix.is_empty() && !out.ends_with(suffix) {
            out = format!("{out}_{suffix}");
        }
    }
    out
}

/// How labels are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelNaming {
    pub escape: bool,
    /// Whether names that begin with an underscore get `key` before it.
    pub underscore_sanitization: bool,
    pub preserve_multiple_underscores: bool,
}

/// A label's name.
pub(crate) fn label_name(name: &str, naming: LabelNaming) -> String {
    if !naming.escape || name.is_empty() {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        match c.is_ascii_alphanumeric() {
            true => out.push(c),
            false if naming.preserve_multiple_underscores || !out.ends_with('_') => out.push('_'),
            false => {}
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    } else if naming.underscore_sanitization && out.starts_with('_') && !out.starts_with("__") {
        out.insert_str(0, "key");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics() {
        let both = Strategy::of_name("");
        for (name, unit, shape, expected) in [
            (
                "system.filesystem.usage",
                "By",
                Shape::Gauge,
                "system_filesystem_usage_bytes",
            ),
            (
                "system.io",
                "foo/bar",
                Shape::Gauge,
                "system_io_foo_per_bar",
            ),
            (
                "hw.gpu.memory.utilization",
                "1",
                Shape::Gauge,
                "hw_gpu_memory_utilization_ratio",
            ),
            ("requests", "1", Shape::Counter, "requests_total"),
            (
                "http.server.duration",
                "ms",
                Shape::Other,
                "http_server_duration_milliseconds",
            ),
            ("a.total.b", "s", Shape::Counter, "a_b_seconds_total"),
            ("fsync.seconds", "s", Shape::Other, "fsync_seconds"),
            ("packets", "{packet}/s", Shape::Gauge, "packets_per_second"),
            ("packets", "{packet}", Shape::Counter, "packets_total"),
            ("3d.x", "%", Shape::Gauge, "_3d_x_percent"),
            ("a__b..c", "", Shape::Gauge, "a_b_c"),
        ] {
            assert_eq!(
                metric_name(name, unit, shape, both),
                expected,
                "{name} {unit}"
            );
        }
        let check = |strategy, expected: &str| {
            let strategy = Strategy::of_name(strategy);
            assert_eq!(
                metric_name("a.b_x", "By", Shape::Counter, strategy),
                expected
            );
        };
        check("NoTranslation", "a.b_x");
        check("NoUTF8EscapingWithSuffixes", "a.b_x_bytes_total");
        check("UnderscoreEscapingWithoutSuffixes", "a_b_x");
        check("UnderscoreEscapingWithSuffixes", "a_b_x_bytes_total");
    }

    #[test]
    fn labels() {
        let naming = LabelNaming {
            escape: true,
            underscore_sanitization: true,
            preserve_multiple_underscores: true,
        };
        for (name, expected) in [
            ("service.name", "service_name"),
            ("a..b", "a__b"),
            ("0a", "key_0a"),
            ("_a", "key_a"),
            ("__a", "__a"),
            ("ä", "key_"),
        ] {
            assert_eq!(label_name(name, naming), expected, "{name}");
        }
        let collapsing = LabelNaming {
            preserve_multiple_underscores: false,
            ..naming
        };
        assert_eq!(label_name("a..b", collapsing), "a_b");
        let none = LabelNaming {
            escape: false,
            ..naming
        };
        assert_eq!(label_name("a.b", none), "a.b");
    }
}
