use std::io::Write;

use prost::Message;
use serde_json::{Value, json};
use storage::{Columns, Queryable, SelectHints};
use tsdb::Db;

use super::*;

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A request of every kind of metric.
fn request() -> Value {
    let times = json!({"startTimeUnixNano": "1000000000", "timeUnixNano": "60000000000"});
    let point = |more: Value| {
        let mut point = times.clone();
        point
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        point
    };
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            attribute("service.name", "shop"),
            attribute("service.namespace", "eu"),
            attribute("service.instance.id", "i1"),
            attribute("host.name", "h1"),
        ]},
        "scopeMetrics": [{
            "scope": {"name": "lib", "version": "1"},
            "metrics": [
                {"name": "http.requests", "unit": "1", "description": "All.", "sum": {
                    "aggregationTemporality": 2, "isMonotonic": true,
                    "dataPoints": [point(json!({"asInt": "7", "attributes": [attribute("http.method", "GET")],
                        "exemplars": [{"timeUnixNano": "60000000000", "asInt": "1", "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}]}))]}},
                {"name": "delta", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA",
                    "isMonotonic": true, "dataPoints": [point(json!({"asDouble": 1}))]}},
                {"name": "queue.size", "unit": "By", "gauge": {"dataPoints": [point(json!({"asDouble": 1.5}))]}},
                {"name": "gone", "gauge": {"dataPoints": [point(json!({"flags": 1}))]}},
                {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": 2,
                    "dataPoints": [point(json!({"count": "6", "sum": 3.5, "bucketCounts": ["1", "2", 3], "explicitBounds": [0.5, 1]}))]}},
                {"name": "size", "exponentialHistogram": {"aggregationTemporality": 2,
                    "dataPoints": [point(json!({"count": 5, "sum": 10, "scale": 2, "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["3", "1"]}}))]}},
                {"name": "rpc", "summary": {
                    "dataPoints": [point(json!({"count": 4, "sum": 8, "quantileValues": [{"quantile": 0.5, "value": 2}]}))]}},
            ],
        }],
    }]})
}

fn open(dir: &std::path::Path) -> Db {
    let mut options = tsdb::Options::new(dir);
    options.background = false;
    options.max_exemplars = 10;
    Db::open(options).unwrap()
}

/// All samples as text, sorted.
fn all(db: &Db) -> Vec<String> {
    let querier = db.querier(0, 100_000).unwrap();
    let matcher = model::Matcher::not_equal("__name__", "");
    let set = querier
        .select(true, &SelectHints::default(), &[matcher])
        .unwrap();
    let mut lines = Vec::new();
    for series in set.series {
        let mut columns = Columns::default();
        series.decode(0, 100_000, &mut columns).unwrap();
        for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
            let v = if model::is_stale(*v) {
                "stale".to_owned()
            } else {
                v.to_string()
            };
            lines.push(format!("{} {v}@{t}", series.labels()));
        }
        for (t, h) in columns.histogram_ms.iter().zip(&columns.histograms) {
            lines.push(format!(
                "{} count {} schema {}@{t}",
                series.labels(),
                h.count,
                h.schema
            ));
        }
    }
    lines
}

fn take(otlp: &Otlp, db: &Db) -> Taken {
    let body = request().to_string();
    otlp.take(body.as_bytes(), "", Format::Json, db).unwrap()
}

fn otlp(settings: OtlpSettings) -> Otlp {
    Otlp {
        settings,
        max_bytes: 1 << 20,
        deltas: None,
        now_ms: 100_000,
    }
}

#[test]
fn every_kind_of_metric() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let taken = take(&otlp(OtlpSettings::default()), &db);
    assert_eq!((taken.refused, taken.untranslated), (0, 1));
    assert_eq!(
        taken.first_fault.as_deref(),
        Some("invalid temporality and type combination for metric \"delta\"")
    );
    let identity = r#"instance="i1", job="eu/shop""#;
    let expected = [
        format!(r#"{{__name__="gone", {identity}}} stale@60000"#),
        format!(r#"{{__name__="http_requests_total", http_method="GET", {identity}}} 7@60000"#),
        format!(r#"{{__name__="latency_seconds_bucket", {identity}, le="+Inf"}} 6@60000"#),
        format!(r#"{{__name__="latency_seconds_bucket", {identity}, le="0.5"}} 1@60000"#),
        format!(r#"{{__name__="latency_seconds_bucket", {identity}, le="1"}} 3@60000"#),
        format!(r#"{{__name__="latency_seconds_count", {identity}}} 6@60000"#),
        format!(r#"{{__name__="latency_seconds_sum", {identity}}} 3.5@60000"#),
        format!(r#"{{__name__="queue_size_bytes", {identity}}} 1.5@60000"#),
        format!(r#"{{__name__="rpc", {identity}, quantile="0.5"}} 2@60000"#),
        format!(r#"{{__name__="rpc_count", {identity}}} 4@60000"#),
        format!(r#"{{__name__="rpc_sum", {identity}}} 8@60000"#),
        format!(r#"{{__name__="size", {identity}}} count 5 schema 2@60000"#),
        format!(r#"{{__name__="target_info", host_name="h1", {identity}}} 1@60000"#),
    ];
    assert_eq!(all(&db), expected);
    let counter = model::Matcher::equal("__name__", "http_requests_total");
    let exemplars = db.exemplars(0, i64::MAX, &[vec![counter]]);
    assert_eq!(
        exemplars[0].exemplars[0].labels.get("span_id"),
        "b7ad6b7169203331"
    );
    let metadata = db.metadata(&exemplars[0].series).unwrap();
    assert_eq!(metadata.help, "All.");
    let answer: Value = serde_json::from_slice(&Format::Json.answer(&taken)).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "1");
}

#[test]
fn settings() {
    let check = |settings: OtlpSettings, line: &str| {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        take(&otlp(settings), &db);
        let lines = all(&db);
        assert!(
            lines.iter().any(|l| l == line),
            "{line} is not in {lines:#?}"
        );
    };
    let default = OtlpSettings::default;
    check(
        OtlpSettings {
            promote: Promote::These(vec!["host.name".to_owned()]),
            ..default()
        },
        r#"{__name__="queue_size_bytes", host_name="h1", instance="i1", job="eu/shop"} 1.5@60000"#,
    );
    check(
        OtlpSettings {
            promote: Promote::AllBut(vec!["host.name".to_owned(), "service.namespace".to_owned()]),
            ..default()
        },
        r#"{__name__="queue_size_bytes", instance="i1", job="eu/shop", service_instance_id="i1", service_name="shop"} 1.5@60000"#,
    );
    check(
        OtlpSettings {
            strategy: Strategy::of_name("NoTranslation"),
            label_naming: LabelNaming {
                escape: false,
                ..default().label_naming
            },
            ..default()
        },
        r#"{__name__="http.requests", "http.method"="GET", instance="i1", job="eu/shop"} 7@60000"#,
    );
    check(
        OtlpSettings {
            convert_histograms_to_nhcb: true,
            ..default()
        },
        r#"{__name__="latency_seconds", instance="i1", job="eu/shop"} count 6 schema -53@60000"#,
    );
    check(
        OtlpSettings {
            promote_scope_metadata: true,
            ..default()
        },
        r#"{__name__="queue_size_bytes", instance="i1", job="eu/shop", otel_scope_name="lib", otel_scope_version="1"} 1.5@60000"#,
    );
    check(
        OtlpSettings {
            keep_identifying_resource_attributes: true,
            ..default()
        },
        r#"{__name__="target_info", host_name="h1", instance="i1", job="eu/shop", service_instance_id="i1", service_name="shop", service_namespace="eu"} 1@60000"#,
    );
}

/// A request with a delta of each kind, over the second that ends at `t_s`.
fn deltas(t_s: u64) -> Vec<u8> {
    let times = json!({"startTimeUnixNano": ((t_s - 1) * 1_000_000_000).to_string(), "timeUnixNano": (t_s * 1_000_000_000).to_string()});
    let point = |more: Value| {
        let mut point = times.clone();
        let object = point.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        point
    };
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "jobs", "unit": "1", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
            "dataPoints": [point(json!({"asInt": "3"}))]}},
        {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": 1,
            "dataPoints": [point(json!({"count": "3", "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}))]}},
        {"name": "size", "exponentialHistogram": {"aggregationTemporality": 1,
            "dataPoints": [point(json!({"count": 4, "scale": 2, "positive": {"offset": 1, "bucketCounts": ["3", "1"]}}))]}},
    ]}]}]})
    .to_string()
    .into_bytes()
}

#[test]
fn deltas_are_summed_up_or_kept_as_they_are() {
    let check = |otlp: Otlp, expected: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        for t_s in [10, 11] {
            let taken = otlp.take(&deltas(t_s), "", Format::Json, &db).unwrap();
            assert_eq!((taken.refused, taken.untranslated), (0, 0));
        }
        // The last ones.
        let lines = all(&db).into_iter().filter(|line| line.ends_with("@11000"));
        assert_eq!(lines.collect::<Vec<_>>(), expected);
        let of = |name: &str| db.metadata(&model::Labels::from([("__name__", name)]));
        of("jobs_total").unwrap().metric_type
    };
    let kind = check(
        Otlp {
            deltas: Some(Arc::default()),
            ..otlp(OtlpSettings::default())
        },
        &[
            r#"{__name__="jobs_total"} 6@11000"#,
            r#"{__name__="latency_seconds_bucket", le="+Inf"} 6@11000"#,
            r#"{__name__="latency_seconds_bucket", le="0.5"} 2@11000"#,
            r#"{__name__="latency_seconds_count"} 6@11000"#,
            r#"{__name__="size"} count 8 schema 2@11000"#,
        ],
    );
    assert_eq!(kind, model::MetricType::Counter);
    let kind = check(
        otlp(OtlpSettings {
            native_deltas: true,
            convert_histograms_to_nhcb: true,
            ..OtlpSettings::default()
        }),
        &[
            r#"{__name__="jobs_total"} 3@11000"#,
            r#"{__name__="latency_seconds"} count 3 schema -53@11000"#,
            r#"{__name__="size"} count 4 schema 2@11000"#,
        ],
    );
    assert_eq!(kind, model::MetricType::Unknown);
}

#[test]
fn types_and_units_are_labels_if_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let settings = OtlpSettings {
        type_and_unit_labels: true,
        ..OtlpSettings::default()
    };
    take(&otlp(settings), &db);
    let lines = all(&db);
    for line in [
        r#"{__name__="latency_seconds_bucket", __type__="histogram", __unit__="seconds", instance="i1", job="eu/shop", le="1"} 3@60000"#,
        r#"{__name__="target_info", host_name="h1", instance="i1", job="eu/shop"} 1@60000"#,
    ] {
        assert!(
            lines.iter().any(|l| l == line),
            "{line} is not in {lines:#?}"
        );
    }
}

#[test]
fn samples_of_a_far_future_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let early = Otlp {
        now_ms: 60_000 - crate::MAX_AHEAD_MS - 1,
        ..otlp(OtlpSettings::default())
    };
    let taken = take(&early, &db);
    assert_eq!((taken.samples, taken.refused), (0, 13));
    let reason = taken.first_refusal.unwrap();
    assert_eq!(reason, "out of bounds: timestamp is too far in the future");
    assert_eq!(all(&db), [""; 0]);
}

#[test]
fn protobuf_and_gzip_are_the_same() {
    let decoded = json::request(request().to_string().as_bytes()).unwrap();
    let bytes = decoded.encode_to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let zipped = gzip.finish().unwrap();
    let mut pages = Vec::new();
    for (body, encoding) in [(&bytes, ""), (&zipped, "gzip")] {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        let otlp = otlp(OtlpSettings::default());
        otlp.take(body, encoding, Format::Protobuf, &db).unwrap();
        pages.push(all(&db));
    }
    assert_eq!(pages[0].len(), 13);
    assert_eq!(pages[0], pages[1]);
}

#[test]
fn hostile_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let otlp = Otlp {
        max_bytes: 1000,
        ..otlp(OtlpSettings::default())
    };
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&[0; 100_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    for (body, encoding, format) in [
        (&b"\xff\xff"[..], "", Format::Protobuf),
        (b"{", "", Format::Json),
        (br#"{"resourceMetrics": 1}"#, "", Format::Json),
        (
            br#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 1}]}]}]}"#,
            "",
            Format::Json,
        ),
        (b"no gzip", "gzip", Format::Protobuf),
        (&bomb, "gzip", Format::Protobuf),
        (b"", "br", Format::Protobuf),
    ] {
        assert!(otlp.take(body, encoding, format, &db).is_err(), "{body:?}");
    }
    assert!(Format::of_content_type("text/plain").is_err());
    assert_eq!(
        Format::of_content_type("application/json; charset=utf-8").unwrap(),
        Format::Json
    );
}
