//! Whether two answers are the same, and which differences have a reason.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is in the last digit the C library's here and Go's there: floats may differ by [`TOLERANCE`] of
/// the larger one. All others are the same to the last bit.
const INEXACT: [&str; 16] = [
    "exp(",
    "ln(",
    "log2(",
    "log10(",
    "sin(",
    "cos(",
    "tan(",
    "sinh(",
    "cosh(",
    "tanh(",
    "^",
    "atan2",
    // Logarithms within exponential buckets.
    "histogram_quantile",
    "histogram_fraction",
    "</",
    ">/",
];
const TOLERANCE: f64 = 1e-12;

/// What operators between vectors say of values that they do not take.
const OF_OPERATORS: [&str; 4] = [
    "incompatible sample types encountered for binary operator",
    "incompatible bucket layout encountered for binary operator",
    "mismatched custom buckets were reconciled during",
    "conflicting counter resets during histogram",
];

/// Warnings and infos that versions after the peer's have brought.
const NEWER: [&str; 3] = [
    // 3.6
    "sort is ineffective for range queries",
    // 3.6
    "conflicting counter resets during histogram aggregation",
    // Of histogram_quantile, when there is no histogram: 3.8
    "quantile value should be between 0 and 1",
];

/// What differs, or `None`. `reference` is Prometheus' answer, of version 3.14 if `newer`.
pub fn difference(reference: &Value, ours: &Value, query: &str, newer: bool) -> Option<String> {
    any_difference(reference, ours, query, newer)
        .filter(|_| !has_a_reason(query, reference) && (newer || !changed_since_3_5(query)))
}

fn any_difference(reference: &Value, ours: &Value, query: &str, newer: bool) -> Option<String> {
    // Where labels make one series of a float and a histogram at the same time, upstream keeps both.
    if query.contains("label_")
        && error(ours).contains("with the same labelset")
        && error(reference) != error(ours)
    {
        return None;
    }
    // 3.5 looks for several matches among what a comparison keeps, newer ones among all.
    if !newer && error(ours).contains("multiple matches for labels") {
        return None;
    }
    // 3.14.0 forgets parentheses around a duration that is a literal, and so knows it too early.
    if has_wrapped_literal(query)
        && [reference, ours]
            .iter()
            .all(|a| error(a).contains("duration "))
    {
        return None;
    }
    for field in ["status", "errorType"] {
        if reference[field] != ours[field] {
            return Some(format!("{field}: {} and {}", reference[field], ours[field]));
        }
    }
    let (a, b) = (error(reference), error(ours));
    if a != b {
        return Some(format!("error: {a:?} and {b:?}"));
    }
    // Sums of native histograms of several schemas or bounds lose their last bit elsewhere.
    let sums = (query.contains("native") || query.contains("__name__!="))
        && (query.contains("sum") || query.contains("avg"));
    let tolerance = if !newer || sums || INEXACT.iter().any(|part| query.contains(part)) {
        TOLERANCE
    } else {
        0.0
    };
    if let Some(difference) = data(&reference["data"], &ours["data"], query, tolerance) {
        return Some(difference);
    }
    let in_parentheses = query.contains("((");
    // Of what the operators between vectors say upstream tells the last of each step; we tell all. The
    // place of the operator is the same.
    let told: Vec<String> = ["warnings", "infos"]
        .iter()
        .flat_map(|kind| notes(&reference[kind], newer, in_parentheses))
        .filter(|note| is_of_operators(note))
        .collect();
    for kind in ["warnings", "infos"] {
        let a = notes(&reference[kind], newer, in_parentheses);
        let mut b = notes(&ours[kind], newer, in_parentheses);
        b.retain(|note| {
            let instead = |other: &String| is_of_operators(note) && place(other) == place(note);
            a.contains(note) || !told.iter().any(instead)
        });
        b.retain(|note| newer || a.contains(note) || !NEWER.iter().any(|text| note.contains(text)));
        // Of each upstream shows ten, whichever its map gives first.
        let cut = |set: &BTreeSet<String>| set.iter().any(|s| s.contains("annotations omitted"));
        if cut(&a) && cut(&b) {
            continue;
        }
        if a != b {
            return Some(format!("{kind}: {a:?} and {b:?}"));
        }
    }
    None
}

fn is_of_operators(note: &str) -> bool {
    OF_OPERATORS.iter().any(|text| note.contains(text))
}

/// Line and column that a note ends with.
fn place(note: &str) -> &str {
    note.rsplit_once(" (").map_or("", |(_, place)| place)
}

/// Differences that are wanted, or explained by what Prometheus does not mean to do.
fn has_a_reason(query: &str, reference: &Value) -> bool {
    // Releases up to 3.14.0 look up info series at the time of the evaluation; later ones, and we, at
    // that of the first selector's samples, with its `@` and `offset`.
    if info_elsewhere(query) && error(reference).is_empty() {
        return true;
    }
    // 3.14.0 panics where a range that is anchored or smoothed stands alone and a series has no sample.
    if error(reference).starts_with("unexpected error: runtime error: index out of range [") {
        return true;
    }
    // Quantiles of histograms with observations that are no numbers: 3.14.0 interpolates in the last
    // bucket instead of the one that it found.
    let with_nan = [
        "native_nan",
        "=~\"native.*\"",
        "__name__!=\"\"",
        "{job=\"api\",instance",
    ];
    if query.contains("histogram_quantile")
        && with_nan.iter().any(|selector| query.contains(selector))
        && error(reference).is_empty()
    {
        return true;
    }
    // The second of several quantiles: 3.14.0 reads buckets that the first one has joined once more.
    if query.contains("histogram_quantiles(") && query.contains("twice_bucket") {
        return true;
    }
    // 3.14 gives nothing for functions of a subquery with `@` that another argument makes vary (3.5 does).
    [
        "predict_linear(",
        "double_exponential_smoothing(",
        "quantile_over_time(",
    ]
    .iter()
    .flat_map(|call| arguments(query, call))
    .any(|argument| {
        argument.split('[').skip(1).any(|rest| {
            let (range, after) = rest.split_once(']').unwrap_or((rest, ""));
            range.contains(':') && after.contains('@')
        })
    })
}

/// A number or duration in parentheses of its own.
pub fn has_wrapped_literal(query: &str) -> bool {
    query.split('(').skip(1).any(|rest| {
        let inner = rest.split(')').next().unwrap_or("");
        let inner = inner.trim_start_matches(['-', '+']);
        inner.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && inner
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
    })
}

/// An `info` of something that is looked up at another time.
fn info_elsewhere(query: &str) -> bool {
    arguments(query, "info(").any(|argument| argument.contains('@') || argument.contains("offset"))
}

/// What stands in the parentheses of each call of a function.
fn arguments<'q>(query: &'q str, call: &'q str) -> impl Iterator<Item = &'q str> {
    query.match_indices(call).map(move |(at, _)| {
        let rest = &query[at + call.len()..];
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// What means something else now than it did in 3.5, the peer of CI.
fn changed_since_3_5(query: &str) -> bool {
    // Info series of several metrics (3.6), fractions of classic histograms (3.7).
    if query.contains("info(") || query.contains("histogram_fraction(") {
        return true;
    }
    // Rates of native histograms are not extrapolated beyond zero (3.8); what is read of those of which
    // only count and sum are looked at counts less.
    let native = query.contains("native") || query.contains("mixed");
    let looked_at = [
        "rate(",
        "increase(",
        "histogram_count(",
        "histogram_sum(",
        "histogram_avg(",
    ];
    native && looked_at.iter().any(|function| query.contains(function))
}

fn error(answer: &Value) -> String {
    let text = answer["error"].as_str().unwrap_or("");
    // Which two series are named, and of which group, depends on the order of the storage.
    let parts = text
        .split_once("found duplicate series for the match group ")
        .and_then(|(before, rest)| {
            Some((before, rest.split_once(" on the ")?.1.split_once(": [")?))
        })
        .and_then(|(before, (side, rest))| Some((before, side, rest.split_once("];")?.1)));
    match parts {
        Some((before, side, after)) => {
            format!("{before}found duplicate series on the {side}{after}")
        }
        None => text.to_owned(),
    }
}

fn notes(list: &Value, newer: bool, in_parentheses: bool) -> BTreeSet<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|note| note.as_str())
        // Upstream counts a note anew whenever it hands it on: how many samples it is about doubles with
        // every step that follows.
        .map(
            |note| match (note.find(", over "), note.find(" samples from ")) {
                (Some(from), Some(to)) => format!("{}{}", &note[..from], &note[to..]),
                _ => note.to_owned(),
            },
        )
        // Of what stands in several parentheses 3.5 names the inner ones.
        .map(|note| match newer || !in_parentheses {
            true => note,
            false => note.trim_end_matches(place(&note)).to_owned(),
        })
        // Without the metric's name since 3.6.
        .map(|note| match note.split_once(" for metric name ") {
            Some((text, rest)) if !newer && text.contains("bucket label") => {
                format!("{text} ({}", place(rest))
            }
            _ => note,
        })
        // 3.14.0 says this at the quantile, of the histogram.
        .map(|note| match note.contains("has NaN observations") {
            true => note.trim_end_matches(place(&note)).to_owned(),
            false => note,
        })
        .collect()
}

fn data(a: &Value, b: &Value, query: &str, tolerance: f64) -> Option<String> {
    let has_all_labels = |list: &[&Value], query: &str| {
        let names = query.rsplit('"').skip(1).step_by(2).take(2);
        let names: Vec<&str> = names.collect();
        (list.iter()).all(|series| names.iter().all(|name| !series["metric"][*name].is_null()))
    };
    if a["resultType"] != b["resultType"] {
        return Some(format!("type: {} and {}", a["resultType"], b["resultType"]));
    }
    let (Some(list), Some(other)) = (a["result"].as_array(), b["result"].as_array()) else {
        return (a["result"] != b["result"])
            .then(|| format!("{} and {}", a["result"], b["result"]));
    };
    let labelled = matches!(a["resultType"].as_str(), Some("vector" | "matrix"));
    let (mut list, mut other): (Vec<&Value>, Vec<&Value>) =
        (list.iter().collect(), other.iter().collect());
    if list.len() != other.len() {
        return Some(format!("{} and {} series", list.len(), other.len()));
    }
    // A vector's order means something only where it was asked for. sort_by_label does not say where
    // series without the label go: upstream leaves them where the storage has them. And sort does not
    // say which of equal values comes first.
    let by_label = query.starts_with("sort_by_label") && has_all_labels(&list, query);
    if query.starts_with("sort(") || query.starts_with("sort_desc(") {
        let values = |list: &[&Value]| -> Vec<Value> {
            list.iter().map(|series| series["value"].clone()).collect()
        };
        if !same(
            &Value::Array(values(&list)),
            &Value::Array(values(&other)),
            tolerance,
        ) {
            return Some(format!("order: {list:?} and {other:?}"));
        }
    }
    if labelled && !by_label && a["resultType"] != "matrix" {
        for list in [&mut list, &mut other] {
            list.sort_by_cached_key(|series| series["metric"].to_string());
        }
    }
    for (x, y) in list.iter().zip(&other) {
        if !same(x, y, tolerance) {
            return Some(format!("{x}\n     and {y}"));
        }
    }
    if let (Some(x), Some(y)) = (a.get("stats"), b.get("stats")) {
        let (x, y) = (&x["samples"], &y["samples"]);
        let total = |samples: &Value| samples["totalQueryableSamples"].as_f64().unwrap_or(-1.0);
        // How many spans a computed histogram has, and so its size, depends on how it was computed.
        if of_computed_histograms(query) && (total(x) - total(y)).abs() <= 0.01 * total(x) {
            return None;
        }
        for field in ["totalQueryableSamples", "totalQueryableSamplesPerStep"] {
            if x[field] != y[field] {
                return Some(format!("{field}: {} and {}", x[field], y[field]));
            }
        }
    }
    None
}

/// A subquery over native histograms.
fn of_computed_histograms(query: &str) -> bool {
    let ranges = query.split('[').skip(1).map(|rest| rest.split(']').next());
    let subquery = ranges.flatten().any(|range| range.contains(':'));
    subquery && (query.contains("native") || query.contains("mixed"))
}

fn same(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a == b || close(a, b, tolerance),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| {
                    b.get(key).is_some_and(|b| {
                        if key == "metric" {
                            a == b
                        } else {
                            same(a, b, tolerance)
                        }
                    })
                })
        }
        _ => a == b,
    }
}

fn close(a: &str, b: &str, tolerance: f64) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else {
        return false;
    };
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs())
}
