//! OTLP: the same request to the real Prometheus and to ours makes the same series.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{get_json, post, wait_for};
use serde_json::{Value, json};

use crate::store::{Kind, LIMIT, Store};

fn attribute(key: &str, value: Value) -> Value {
    json!({"key": key, "value": value})
}

/// A request of every kind of metric at a time in seconds.
fn request(seconds: u64) -> Value {
    let nanos = format!("{seconds}000000000");
    let start = format!("{}000000000", seconds - 60);
    let point = |more: Value| {
        let mut point = json!({
            "startTimeUnixNano": start,
            "timeUnixNano": nanos,
            "attributes": [
                attribute("http.method", json!({"stringValue": "GET"})),
                attribute("http.code", json!({"intValue": "200"})),
                attribute("_under", json!({"boolValue": true})),
                attribute("list.of", json!({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 2}]}})),
                attribute("half", json!({"doubleValue": 0.5})),
            ],
        });
        let more = more.as_object().unwrap().clone();
        point.as_object_mut().unwrap().extend(more);
        point
    };
    let sum = |name: &str, unit: &str, monotonic: bool| {
        json!({"name": name, "unit": unit, "sum": {
            "aggregationTemporality": 2, "isMonotonic": monotonic,
            "dataPoints": [point(json!({"asInt": "7"}))]}})
    };
    let gauge = |name: &str, unit: &str| json!({"name": name, "unit": unit, "gauge": {"dataPoints": [point(json!({"asDouble": 1.5}))]}});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            attribute("service.name", json!({"stringValue": "shop"})),
            attribute("service.namespace", json!({"stringValue": "eu"})),
            attribute("service.instance.id", json!({"stringValue": "i1"})),
            attribute("host.name", json!({"stringValue": "h1"})),
            attribute("os.type", json!({"stringValue": "linux"})),
        ]},
        "scopeMetrics": [{
            "scope": {"name": "lib", "version": "1"},
            "metrics": [
                sum("http.server.requests", "1", true),
                sum("bytes.sent.total", "By", true),
                sum("active-things", "{thing}", false),
                gauge("queue.size", "KiBy"),
                gauge("cpu.utilization", "1"),
                gauge("speed", "m/s"),
                gauge("9lives", ""),
                {"name": "latency", "unit": "ms", "histogram": {"aggregationTemporality": 2,
                    "dataPoints": [point(json!({"count": "6", "sum": 3.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.005, 1]}))]}},
                {"name": "size", "unit": "By", "exponentialHistogram": {"aggregationTemporality": 2,
                    "dataPoints": [point(json!({"count": "12", "sum": 10, "scale": 2, "zeroCount": "1",
                        "positive": {"offset": 1, "bucketCounts": ["3", "0", "0", "0", "1", "2"]},
                        "negative": {"offset": -4, "bucketCounts": ["5"]}}))]}},
                {"name": "rpc", "unit": "s", "summary": {
                    "dataPoints": [point(json!({"count": "4", "sum": 8, "quantileValues": [{"quantile": 0.5, "value": 2}, {"quantile": 0.99, "value": 9}]}))]}},
                {"name": "dropped.delta", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
                    "dataPoints": [point(json!({"asInt": "1"}))]}},
            ],
        }],
    }]})
}

/// What a store has of it, sorted.
fn page(store: &Store, seconds: u64) -> Vec<String> {
    let query = "%7B__name__%21~%22up%7Cscrape_.%2A%22%2Cjob%3D%22eu%2Fshop%22%7D";
    let url = format!("{}/api/v1/query?query={query}&time={seconds}", store.url);
    let mut lines: Vec<String> = wait_for("series", LIMIT, || {
        let answer = get_json(&url)?;
        let result = answer["data"]["result"].as_array()?.clone();
        (!result.is_empty()).then_some(result)
    })
    .iter()
    .map(Value::to_string)
    .collect();
    lines.sort();
    lines
}

#[test]
fn the_same_series_as_prometheus() {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(5);
    let seconds = seconds.as_secs();
    for config in [
        "",
        "otlp: {promote_resource_attributes: [host.name], keep_identifying_resource_attributes: true}",
        "otlp: {translation_strategy: NoTranslation}",
        "otlp: {translation_strategy: NoUTF8EscapingWithSuffixes, convert_histograms_to_nhcb: true}",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let flags = ["--web.enable-otlp-receiver"];
        let Some(peer) = Store::start(Kind::Prometheus, dir.path(), config, &flags) else {
            return;
        };
        let ours = Store::start(Kind::Ours, dir.path(), config, &flags).unwrap();
        let body = request(seconds).to_string();
        let pages = [&peer, &ours].map(|store| {
            let url = format!("{}/api/v1/otlp/v1/metrics", store.url);
            let headers = [("content-type", "application/json")];
            let (status, text) = post(&url, &headers, body.as_bytes()).unwrap();
            assert_eq!(status, 200, "{text}");
            page(store, seconds + 1)
        });
        assert!(pages[0].len() > 10, "{:#?}", pages[0]);
        let lines = |page: &Vec<String>, other: &Vec<String>| {
            let only: Vec<String> = page
                .iter()
                .filter(|l| !other.contains(l))
                .cloned()
                .collect();
            only.join("\n")
        };
        assert!(
            pages[0] == pages[1],
            "{config}\nonly Prometheus:\n{}\nonly ours:\n{}",
            lines(&pages[0], &pages[1]),
            lines(&pages[1], &pages[0])
        );
    }
}
