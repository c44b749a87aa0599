//! Expected content of a database, and how it is compared with what was read.

use std::collections::BTreeMap;
use std::path::Path;

use model::{FloatHistogram, Labels, Span};
use serde_json::Value;
use storage::{Columns, Querier, SelectHints};

/// A sample as text, so that bits are compared and differences can be read.
pub type Samples = Vec<String>;

/// The series of an expectation.
pub fn load(path: &Path) -> (BTreeMap<Labels, Samples>, Value) {
    let text = std::fs::read_to_string(path).expect("the set is readable");
    let json: Value = serde_json::from_str(&text).expect("the set is JSON");
    let series = json["series"]
        .as_array()
        .expect("series")
        .iter()
        .map(|series| {
            let labels: Labels = serde_json::from_value(series["labels"].clone()).expect("labels");
            let samples = series["samples"].as_array().expect("samples");
            (labels, samples.iter().map(sample).collect())
        })
        .collect();
    (series, json)
}

/// A number, which JSON has no word for in some cases.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::Number(n) => n.as_f64().expect("a float"),
        Value::String(s) => match s.as_str() {
            "StaleNaN" => model::STALE_NAN,
            "NaN" => model::NORMAL_NAN,
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            other => panic!("no number: {other}"),
        },
        other => panic!("no number: {other}"),
    }
}

fn sample(value: &Value) -> String {
    match value {
        Value::Array(pair) => float(pair[0].as_i64().expect("a time"), number(&pair[1])),
        value => {
            let t = value["t"].as_i64().expect("a time");
            match value.get("histogram") {
                Some(h) => histogram(t, &expected_histogram(h)),
                None => float(t, float_value(value)),
            }
        }
    }
}

fn float_value(value: &Value) -> f64 {
    match value.get("bits").and_then(Value::as_str) {
        Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).expect("hex")),
        None => number(&value["v"]),
    }
}

fn float(t: i64, v: f64) -> String {
    format!("{t} {v:?} {:x}", v.to_bits())
}

fn expected_histogram(h: &Value) -> FloatHistogram {
    let floats = |key: &str| -> Vec<f64> {
        let list = h[key].as_array().cloned().unwrap_or_default();
        list.iter().map(number).collect()
    };
    let spans = |key: &str| -> Vec<Span> {
        let list = h[key].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|pair| Span {
                offset: pair[0].as_i64().expect("an offset") as i32,
                length: pair[1].as_u64().expect("a length") as u32,
            })
            .collect()
    };
    let absolute = |deltas: Vec<f64>| -> Vec<f64> {
        let mut count = 0.0;
        let add = |delta| {
            count += delta;
            count
        };
        deltas.into_iter().map(add).collect()
    };
    let integer = h["kind"] == "integer";
    let buckets = |side: &str| match integer {
        true => absolute(floats(&format!("{side}_deltas"))),
        false => floats(&format!("{side}_counts")),
    };
    FloatHistogram {
        schema: h["schema"].as_i64().expect("a schema") as i32,
        zero_threshold: number(&h["zero_threshold"]),
        zero_count: number(&h["zero_count"]),
        count: number(&h["count"]),
        sum: match h.get("sum_bits").and_then(Value::as_str) {
            Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).expect("hex")),
            None => number(&h["sum"]),
        },
        positive_spans: spans("positive_spans"),
        negative_spans: spans("negative_spans"),
        positive_buckets: buckets("positive"),
        negative_buckets: buckets("negative"),
        custom_values: floats("custom_values"),
        counter_reset_hint: match h["hint"].as_str() {
            Some("gauge") => model::CounterResetHint::Gauge,
            _ => model::CounterResetHint::Unknown,
        },
    }
}

/// Empty buckets do not count, nor do hints other than gauge; of a stale marker only the sum does.
fn histogram(t: i64, h: &FloatHistogram) -> String {
    if h.is_stale() {
        return format!("{t} stale histogram");
    }
    let buckets = |spans: &[Span], counts: &[f64]| {
        let mut next = 0;
        let indexes = spans.iter().flat_map(|span| {
            let first = next + i64::from(span.offset);
            next = first + i64::from(span.length);
            first..next
        });
        let used: Vec<_> = indexes
            .zip(counts.to_vec())
            .filter(|b| b.1 != 0.0)
            .collect();
        used
    };
    format!(
        "{t} {:?} {:?} {:?} {:?}",
        (h.schema, h.zero_threshold, h.zero_count, h.count, h.sum),
        buckets(&h.positive_spans, &h.positive_buckets),
        buckets(&h.negative_spans, &h.negative_buckets),
        (
            &h.custom_values,
            h.counter_reset_hint == model::CounterResetHint::Gauge
        ),
    )
}

/// Every series of a querier with all its samples; a series that is not sorted behind its
/// predecessor, or has no sample, is left for the comparison to find.
pub fn read_all(querier: &dyn Querier) -> Result<BTreeMap<Labels, Samples>, String> {
    let set = querier
        .select(true, &SelectHints::default(), &[])
        .map_err(|e| e.to_string())?;
    let mut all = BTreeMap::new();
    let mut last: Option<Labels> = None;
    for series in &set.series {
        let labels = series.labels().clone();
        if last.as_ref().is_some_and(|last| *last >= labels) {
            return Err(format!("{labels} is not in order"));
        }
        last = Some(labels.clone());
        let mut columns = Columns::default();
        series
            .decode(i64::MIN, i64::MAX, &mut columns)
            .map_err(|e| e.to_string())?;
        let mut samples: Vec<(i64, String)> = Vec::new();
        for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
            samples.push((*t, float(*t, *v)));
        }
        for (t, h) in columns.histogram_ms.iter().zip(&columns.histograms) {
            samples.push((*t, histogram(*t, h)));
        }
        samples.sort_by_key(|sample| sample.0);
        all.insert(labels, samples.into_iter().map(|sample| sample.1).collect());
    }
    Ok(all)
}

/// Says what differs first.
pub fn compare(
    got: &BTreeMap<Labels, Samples>,
    want: &BTreeMap<Labels, Samples>,
) -> Result<(), String> {
    for (labels, want) in want {
        let Some(got) = got.get(labels) else {
            return Err(format!("{labels} is missing"));
        };
        if let Some(i) = (0..want.len().max(got.len())).find(|i| got.get(*i) != want.get(*i)) {
            let (got, want) = (got.get(i), want.get(i));
            return Err(format!("{labels} sample {i}:\n got {got:?}\nwant {want:?}"));
        }
    }
    match got.keys().find(|labels| !want.contains_key(*labels)) {
        Some(labels) => Err(format!("{labels} is too much")),
        None => Ok(()),
    }
}
