//! What well-named metrics look like (prometheus/client_golang `prometheus/testutil/promlint`).

use exposition::Family;
use model::MetricType;

/// What is not as it should be: metric and remark, sorted.
pub fn problems(families: &[Family]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for family in families {
        let mut remarks = Vec::new();
        for rule in RULES {
            rule(family, &mut remarks);
        }
        problems.extend(remarks.into_iter().map(|text| (family.name.clone(), text)));
    }
    problems.sort();
    problems
}

type Rule = fn(&Family, &mut Vec<String>);

const RULES: [Rule; 9] = [
    help,
    units,
    counter,
    reserved_suffixes,
    type_in_name,
    reserved_characters,
    camel_case,
    abbreviated_units,
    distinct,
];

fn help(family: &Family, remarks: &mut Vec<String>) {
    if family.help.as_ref().is_none_or(String::is_empty) {
        remarks.push("no help text".to_owned());
    }
}

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

/// Units and their base units.
const UNITS: [(&str, &str); 25] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("moles", "moles"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

/// The unit in a name, and its base unit.
fn unit_of(name: &str) -> Option<(&str, &'static str)> {
    let base = |word: &str| {
        UNITS
            .iter()
            .find(|(unit, _)| *unit == word)
            .map(|(_, base)| *base)
    };
    name.split('_').find_map(|part| {
        base(part)
            .or_else(|| {
                PREFIXES
                    .iter()
                    .find_map(|prefix| base(part.strip_prefix(prefix)?))
            })
            .map(|base| (part, base))
    })
}

fn units(family: &Family, remarks: &mut Vec<String>) {
    if let Some((unit, base)) = unit_of(&family.name)
        && unit != base
    {
        remarks.push(format!("use base unit \"{base}\" instead of \"{unit}\""));
    }
}

fn counter(family: &Family, remarks: &mut Vec<String>) {
    let total = family.name.ends_with("_total");
    match family.kind {
        MetricType::Counter if !total => {
            remarks.push("counter metrics should have \"_total\" suffix".to_owned());
        }
        MetricType::Counter | MetricType::Unknown => {}
        _ if total => {
            remarks.push("non-counter metrics should not have \"_total\" suffix".to_owned());
        }
        _ => {}
    }
}

fn reserved_suffixes(family: &Family, remarks: &mut Vec<String>) {
    if family.kind == MetricType::Unknown {
        return;
    }
    let histogram = family.kind == MetricType::Histogram;
    let summary = family.kind == MetricType::Summary;
    let mut unless = |allowed: bool, suffix: &str, what: &str| {
        if !allowed && family.name.ends_with(suffix) {
            remarks.push(format!(
                "{what} metrics should not have \"{suffix}\" suffix"
            ));
        }
    };
    unless(histogram, "_bucket", "non-histogram");
    unless(
        histogram || summary,
        "_count",
        "non-histogram and non-summary",
    );
    unless(
        histogram || summary,
        "_sum",
        "non-histogram and non-summary",
    );
    for (name, _) in family.metrics.iter().flat_map(|metric| &metric.labels) {
        if !histogram && name == "le" {
            remarks.push("non-histogram metrics should not have \"le\" label".to_owned());
        }
        if !summary && name == "quantile" {
            remarks.push("non-summary metrics should not have \"quantile\" label".to_owned());
        }
    }
}

fn type_in_name(family: &Family, remarks: &mut Vec<String>) {
    let name = family.name.to_lowercase();
    for kind in [
        "counter",
        "gauge",
        "summary",
        "histogram",
        "gauge_histogram",
    ] {
        if name.contains(&format!("_{kind}_")) || name.ends_with(&format!("_{kind}")) {
            remarks.push(format!("metric name should not include type '{kind}'"));
        }
    }
}

fn reserved_characters(family: &Family, remarks: &mut Vec<String>) {
    if family.name.contains(':') {
        remarks.push("metric names should not contain ':'".to_owned());
    }
}

fn camel_case(family: &Family, remarks: &mut Vec<String>) {
    let camel = |text: &str| {
        text.as_bytes()
            .windows(2)
            .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
    };
    if camel(&family.name) {
        remarks.push("metric names should be written in 'snake_case' not 'camelCase'".to_owned());
    }
    for (name, _) in family.metrics.iter().flat_map(|metric| &metric.labels) {
        if camel(name) {
            remarks
                .push("label names should be written in 'snake_case' not 'camelCase'".to_owned());
        }
    }
}

const ABBREVIATIONS: [&str; 14] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];

fn abbreviated_units(family: &Family, remarks: &mut Vec<String>) {
    let name = family.name.to_lowercase();
    let abbreviated =
        |unit: &&str| name.contains(&format!("_{unit}_")) || name.ends_with(&format!("_{unit}"));
    if ABBREVIATIONS.iter().any(abbreviated) {
        remarks.push("metric names should not contain abbreviated units".to_owned());
    }
}

fn distinct(family: &Family, remarks: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    for metric in &family.metrics {
        let mut labels = metric.labels.clone();
        labels.sort();
        if !seen.insert(labels) {
            remarks.push("metric not unique".to_owned());
        }
    }
}
