//! Answers as upstream's client prints them (prometheus/common `model`).

use std::fmt;

use golang::strconv::{format_float, quote};
use http_api::answer::{AnswerHistogram, AnswerSeries, AnswerValue};
use model::Labels;
use model::names::{is_legacy_label_name, is_legacy_metric_name};
use serde_json::{Value as Json, json};

use crate::time::seconds;

/// Labels as `model.LabelSet` prints them.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub struct LabelSet(pub Labels);

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<LabelSet> for Json {
    fn from(set: LabelSet) -> Json {
        labels_json(&set.0)
    }
}

fn labels_json(labels: &Labels) -> Json {
    labels
        .iter()
        .map(|(n, v)| (n.to_owned(), v.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A series' name as `model.Metric` prints it: `up{job="node"}`.
pub fn metric(labels: &Labels) -> String {
    let name = labels.metric_name();
    let quoted = |text: &str, plain: bool| match plain {
        true => text.to_owned(),
        false => quote(text),
    };
    let mut inside: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != model::labels::METRIC_NAME)
        .map(|(label, value)| {
            format!(
                "{}={}",
                quoted(label, is_legacy_label_name(label)),
                quote(value)
            )
        })
        .collect();
    if name.is_empty() {
        return format!("{{{}}}", inside.join(", "));
    }
    if !is_legacy_metric_name(name) {
        inside.insert(0, quote(name));
        return format!("{{{}}}", inside.join(", "));
    }
    if inside.is_empty() {
        return name.to_owned();
    }
    format!("{name}{{{}}}", inside.join(", "))
}

fn number(v: f64) -> String {
    format_float(v, 'f', -1, 64)
}

fn histogram(h: &AnswerHistogram) -> String {
    let general = |v: f64| format_float(v, 'g', -1, 64);
    let buckets: Vec<String> = h
        .buckets
        .iter()
        .map(|b| {
            let open = if matches!(b.boundaries, 1 | 3) {
                '['
            } else {
                '('
            };
            let close = if matches!(b.boundaries, 0 | 3) {
                ']'
            } else {
                ')'
            };
            format!(
                "{open}{},{}{close}:{}",
                general(b.lower),
                general(b.upper),
                number(b.count)
            )
        })
        .collect();
    let fixed = |v: f64| format_float(v, 'f', 6, 64);
    format!(
        "Count: {}, Sum: {}, Buckets: [{}]",
        fixed(h.count),
        fixed(h.sum),
        buckets.join(" ")
    )
}

/// `value @[time]`, one each.
fn points(series: &AnswerSeries) -> Vec<String> {
    let floats = series
        .floats
        .iter()
        .map(|(t, v)| format!("{} @[{}]", number(*v), seconds(*t)));
    let histograms = series.histograms.iter();
    let histograms = histograms.map(|(t, h)| format!("{} @[{}]", histogram(h), seconds(*t)));
    floats.chain(histograms).collect()
}

/// A value as text.
pub fn value(value: &AnswerValue) -> String {
    match value {
        AnswerValue::Scalar { t_ms, v } => format!("scalar: {} @[{}]", number(*v), seconds(*t_ms)),
        AnswerValue::String { s, .. } => s.clone(),
        AnswerValue::Vector(series) => {
            let lines: Vec<String> = series
                .iter()
                .map(|s| format!("{} => {}", metric(&s.labels), points(s).concat()))
                .collect();
            lines.join("\n")
        }
        AnswerValue::Matrix(series) => {
            let mut sorted: Vec<&AnswerSeries> = series.iter().collect();
            sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
            let lines: Vec<String> = sorted
                .iter()
                .map(|s| format!("{} =>\n{}", metric(&s.labels), points(s).join("\n")))
                .collect();
            lines.join("\n")
        }
    }
}

fn pair(t_ms: i64, value: Json) -> Json {
    // Milliseconds where there are any, as `model.Time` has it.
    let t = match t_ms % 1000 {
        0 => json!(t_ms / 1000),
        _ => json!(t_ms as f64 / 1000.0),
    };
    json!([t, value])
}

fn float_json(v: f64) -> Json {
    Json::String(number(v))
}

fn histogram_json(h: &AnswerHistogram) -> Json {
    let buckets: Vec<Json> = h
        .buckets
        .iter()
        .map(|b| {
            json!([
                b.boundaries,
                float_json(b.lower),
                float_json(b.upper),
                float_json(b.count)
            ])
        })
        .collect();
    json!({ "count": float_json(h.count), "sum": float_json(h.sum), "buckets": buckets })
}

/// A value as JSON, on one line.
pub fn value_json(value: &AnswerValue) -> String {
    let json = match value {
        AnswerValue::Scalar { t_ms, v } => pair(*t_ms, float_json(*v)),
        AnswerValue::String { t_ms, s } => pair(*t_ms, s.as_str().into()),
        AnswerValue::Vector(series) => series
            .iter()
            .map(|s| {
                let labels = labels_json(&s.labels);
                match (s.floats.first(), s.histograms.first()) {
                    (Some((t, v)), _) => {
                        json!({ "metric": labels, "value": pair(*t, float_json(*v)) })
                    }
                    (None, Some((t, h))) => {
                        json!({ "metric": labels, "histogram": pair(*t, histogram_json(h)) })
                    }
                    (None, None) => json!({ "metric": labels }),
                }
            })
            .collect(),
        AnswerValue::Matrix(series) => series
            .iter()
            .map(|s| {
                let mut object = serde_json::Map::new();
                object.insert("metric".to_owned(), labels_json(&s.labels));
                if !s.floats.is_empty() {
                    let values = s
                        .floats
                        .iter()
                        .map(|(t, v)| pair(*t, float_json(*v)))
                        .collect();
                    object.insert("values".to_owned(), values);
                }
                if !s.histograms.is_empty() {
                    let values = s
                        .histograms
                        .iter()
                        .map(|(t, h)| pair(*t, histogram_json(h)))
                        .collect();
                    object.insert("histograms".to_owned(), values);
                }
                Json::Object(object)
            })
            .collect(),
    };
    json.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_upstreams_client_does() {
        let series = AnswerSeries {
            labels: Labels::from([("__name__", "up"), ("job", "a\"b")]),
            floats: vec![(1500, 1.0), (2000, f64::NAN)],
            histograms: Vec::new(),
        };
        let matrix = AnswerValue::Matrix(vec![series.clone()]);
        assert_eq!(value(&matrix), "up{job=\"a\\\"b\"} =>\n1 @[1.5]\nNaN @[2]");
        assert_eq!(
            value_json(&matrix),
            r#"[{"metric":{"__name__":"up","job":"a\"b"},"values":[[1.5,"1"],[2,"NaN"]]}]"#
        );
        assert_eq!(
            value(&AnswerValue::Scalar { t_ms: 1000, v: 2.5 }),
            "scalar: 2.5 @[1]"
        );
        assert_eq!(
            metric(&Labels::from([("__name__", "a.b"), ("c", "d")])),
            "{\"a.b\", c=\"d\"}"
        );
        assert_eq!(metric(&Labels::empty()), "{}");
    }

    #[test]
    fn histograms() {
        let bucket = http_api::answer::AnswerBucket {
            boundaries: 0,
            lower: 0.5,
            upper: 1.0,
            count: 2.0,
        };
        let h = AnswerHistogram {
            count: 2.0,
            sum: 1.5,
            buckets: vec![bucket, bucket],
        };
        assert_eq!(
            histogram(&h),
            "Count: 2.000000, Sum: 1.500000, Buckets: [(0.5,1]:2 (0.5,1]:2]"
        );
    }
}
