//! `/api/v1/status/self_metrics`: the server's own metrics in JSON, as protobuf's `MetricFamily` is written in it
//! (64-bit integers and what is no number are strings).

use exposition::{Count, Family, Histogram, LabelPairs, Value};
use http_api::{ApiError, Envelope};
use model::MetricType;
use serde_json::{Map, Value as Json, json};

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let wanted = match call.params.get("metric_name_pattern") {
        "" => None,
        pattern => Some(
            golang::regexp::Regexp::anchored(pattern)
                .map_err(|e| ApiError::bad_data(format!("invalid metric_name_pattern: {e}")))?,
        ),
    };
    let families = api.metrics.gather().into_iter();
    let families = families.filter(|family| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.is_match(&family.name))
    });
    let data: Vec<Json> = families.map(|family| json_of(&family)).collect();
    Ok(Envelope::data(&data))
}

fn json_of(family: &Family) -> Json {
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(family.name));
    object.insert(
        "help".to_owned(),
        json!(family.help.as_deref().unwrap_or("")),
    );
    object.insert("type".to_owned(), json!(type_of(family.kind)));
    let metrics = family.metrics.iter().map(|metric| {
        let mut object = Map::new();
        if !metric.labels.is_empty() {
            object.insert("label".to_owned(), labels(&metric.labels));
        }
        let (kind, value) = match &metric.value {
            Value::Counter(value) => ("counter", json!({ "value": number(*value) })),
            Value::Gauge(value) => ("gauge", json!({ "value": number(*value) })),
            Value::Untyped(value) => ("untyped", json!({ "value": number(*value) })),
            Value::Summary(summary) => {
                let quantiles = summary
                    .quantiles
                    .iter()
                    .map(|q| json!({ "quantile": number(q.quantile), "value": number(q.value) }));
                let quantile: Vec<Json> = quantiles.collect();
                let value = json!({
                    "sampleCount": summary.count.to_string(),
                    "sampleSum": number(summary.sum),
                    "quantile": quantile,
                });
                ("summary", value)
            }
            Value::Histogram(histogram) => ("histogram", histogram_json(histogram)),
        };
        object.insert(kind.to_owned(), value);
        Json::Object(object)
    });
    object.insert("metric".to_owned(), metrics.collect());
    if !family.unit.is_empty() {
        object.insert("unit".to_owned(), json!(family.unit));
    }
    Json::Object(object)
}

const fn type_of(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "COUNTER",
        MetricType::Gauge => "GAUGE",
        MetricType::Summary => "SUMMARY",
        MetricType::Histogram => "HISTOGRAM",
        MetricType::GaugeHistogram => "GAUGE_HISTOGRAM",
        MetricType::Unknown | MetricType::Info | MetricType::Stateset => "UNTYPED",
    }
}

fn labels(pairs: &LabelPairs) -> Json {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

/// Classic buckets; native ones are none of ours.
fn histogram_json(histogram: &Histogram) -> Json {
    let buckets = histogram.buckets.iter().map(|bucket| {
        let (name, count) = count(bucket.cumulative_count, "cumulativeCount");
        json!({ name: count, "upperBound": number(bucket.upper_bound) })
    });
    let bucket: Vec<Json> = buckets.collect();
    let (name, count) = count(histogram.count, "sampleCount");
    json!({ name: count, "sampleSum": number(histogram.sum), "bucket": bucket })
}

fn count(count: Count, name: &str) -> (String, Json) {
    match count {
        Count::Integer(count) => (name.to_owned(), json!(count.to_string())),
        Count::Float(count) => (format!("{name}Float"), number(count)),
    }
}

fn number(value: f64) -> Json {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else if value == value.trunc() && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_as_protobuf_has_them_in_json() {
        let registry = telemetry::Registry::new();
        registry.counter("a_total", "Counts a.").add(3);
        registry
            .gauge_vec("g", "Is g.", &["x"])
            .with(&["y"])
            .set(f64::NAN);
        let histogram = registry.histogram("h", "Spreads h.", &[0.5, 1.0]);
        histogram.observe(0.7);
        let families = registry.gather();
        let of = |name: &str| json_of(families.iter().find(|f| f.name == name).unwrap());
        assert_eq!(
            of("a_total"),
            json!({"name": "a_total", "help": "Counts a.", "type": "COUNTER", "metric": [{"counter": {"value": 3}}]})
        );
        assert_eq!(
            of("g")["metric"],
            json!([{"label": [{"name": "x", "value": "y"}], "gauge": {"value": "NaN"}}])
        );
        let h = &of("h")["metric"][0]["histogram"];
        assert_eq!(
            (&h["sampleCount"], &h["sampleSum"]),
            (&json!("1"), &json!(0.7))
        );
        assert_eq!(
            h["bucket"].as_array().unwrap()[..2],
            [
                json!({"cumulativeCount": "0", "upperBound": 0.5}),
                json!({"cumulativeCount": "1", "upperBound": 1})
            ]
        );
    }
}
