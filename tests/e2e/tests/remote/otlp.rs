//! OTLP over HTTP: what a client sends in JSON is there to be asked for. (Debian's Prometheus is built
//! without OTLP: there is none to compare with.)

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{get_json, post, wait_for};
use serde_json::json;

use crate::store::{Kind, LIMIT, Store};

#[test]
fn metrics_of_opentelemetry() {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(5);
    let seconds = seconds.as_secs();
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--web.enable-otlp-receiver"];
    let config = "otlp: {promote_resource_attributes: [host.name]}";
    let store = Store::start(Kind::Ours, dir.path(), config, &flags).unwrap();
    let url = format!("{}/api/v1/otlp/v1/metrics", store.url);
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("service.name", "shop"), attribute("host.name", "h1")]},
        "scopeMetrics": [{"metrics": [
            {"name": "http.requests", "unit": "1", "sum": {
                "aggregationTemporality": 2, "isMonotonic": true,
                "dataPoints": [{"asInt": "7", "timeUnixNano": format!("{seconds}000000000"),
                    "attributes": [attribute("http.method", "GET")]}]}},
            {"name": "dropped", "sum": {"aggregationTemporality": 1,
                "dataPoints": [{"asInt": "1", "timeUnixNano": format!("{seconds}000000000")}]}},
        ]}],
    }]})
    .to_string();
    let send = |kind: &str| post(&url, &[("content-type", kind)], body.as_bytes()).unwrap();
    assert_eq!(send("text/plain").0, 415);
    let (status, answer) = send("application/json");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("rejectedDataPoints"), "{answer}");
    let query = format!("{}/api/v1/query?time={}&query=", store.url, seconds + 1);
    let found = wait_for("the counter", LIMIT, || {
        let answer = get_json(&format!("{query}http_requests_total"))?;
        answer["data"]["result"].get(0).cloned()
    });
    assert_eq!(
        found["metric"],
        json!({"__name__": "http_requests_total", "http_method": "GET", "host_name": "h1", "job": "shop"})
    );
    assert_eq!(found["value"][1], "7");
    let info = get_json(&format!("{query}target_info")).unwrap();
    assert_eq!(info["data"]["result"][0]["metric"]["host_name"], "h1");
}
