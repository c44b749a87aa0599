//! Whatever comes from the network: no panic, and nothing that grows without bound. `FUZZ_CASES` says
//! how many inputs each test tries (2000).
//!
//! Inputs are requests of every kind with bytes changed, cut and put together anew, and any bytes at
//! all.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use model::{Labels, Metadata};
use proptest::prelude::*;
use prost::Message;
use proto::otlp::common::{AnyValue, KeyValue, any_value};
use proto::otlp::metrics as m;
use proto::{prometheus as v1, write_v2 as v2};
use remote::otlp::{Format, Otlp, OtlpSettings};
use remote::read::{Answerer, Asked};
use storage::{AppendError, Appendable, Appender, SeriesRef};

fn cases() -> ProptestConfig {
    let cases = std::env::var("FUZZ_CASES").ok();
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases.and_then(|n| n.parse().ok()).unwrap_or(2000))
    }
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Appendable for Nowhere {
    fn appender(&self) -> Box<dyn Appender> {
        Box::new(Nowhere)
    }
}

type Taken = Result<SeriesRef, AppendError>;

impl Appender for Nowhere {
    fn append(&mut self, _: SeriesRef, _: &Labels, _: i64, _: i64, _: f64) -> Taken {
        Ok(1)
    }

    fn append_histogram(
        &mut self,
        _: SeriesRef,
        _: &Labels,
        _: i64,
        _: i64,
        histogram: &model::Histogram,
    ) -> Taken {
        match histogram.validate() {
            Ok(()) => Ok(1),
            Err(error) => Err(AppendError::InvalidHistogram(error.to_string())),
        }
    }

    fn append_float_histogram(
        &mut self,
        _: SeriesRef,
        _: &Labels,
        _: i64,
        _: i64,
        histogram: &model::FloatHistogram,
    ) -> Taken {
        match histogram.validate() {
            Ok(()) => Ok(1),
            Err(error) => Err(AppendError::InvalidHistogram(error.to_string())),
        }
    }

    fn append_exemplar(&mut self, _: SeriesRef, _: &Labels, _: &model::Exemplar) -> Taken {
        Ok(1)
    }

    fn update_metadata(&mut self, _: SeriesRef, _: &Labels, _: &Metadata) -> Taken {
        Ok(1)
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        Ok(())
    }

    fn rollback(self: Box<Self>) {}
}

fn histogram() -> v1::Histogram {
    v1::Histogram {
        count: Some(v1::histogram::Count::CountInt(5)),
        zero_count: Some(v1::histogram::ZeroCount::ZeroCountInt(1)),
        schema: 3,
        sum: 2.5,
        zero_threshold: 0.1,
        positive_spans: vec![v1::BucketSpan {
            offset: -1,
            length: 2,
        }],
        positive_deltas: vec![1, 2],
        timestamp: 1000,
        ..v1::Histogram::default()
    }
}

fn write_v1() -> Vec<u8> {
    let label = |name: &str, value: &str| v1::Label {
        name: name.into(),
        value: value.into(),
    };
    v1::WriteRequest {
        timeseries: vec![v1::TimeSeries {
            labels: vec![label("__name__", "up"), label("job", "x")],
            samples: vec![v1::Sample {
                value: 1.5,
                timestamp: 1000,
            }],
            exemplars: vec![v1::Exemplar {
                labels: vec![label("trace_id", "t")],
                value: 1.0,
                timestamp: 900,
            }],
            histograms: vec![histogram()],
        }],
        metadata: vec![v1::MetricMetadata::default()],
    }
    .encode_to_vec()
}

fn write_v2() -> Vec<u8> {
    let symbols = ["", "__name__", "up", "job", "x", "trace_id", "t", "help"];
    v2::Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2, 3, 4],
            samples: vec![v2::Sample {
                value: 1.0,
                timestamp: 1000,
                start_timestamp: 1,
            }],
            histograms: vec![v2::Histogram::decode(&histogram().encode_to_vec()[..]).unwrap()],
            exemplars: vec![v2::Exemplar {
                labels_refs: vec![5, 6],
                value: 1.0,
                timestamp: 1,
            }],
            metadata: Some(v2::Metadata {
                r#type: 1,
                help_ref: 7,
                unit_ref: 0,
            }),
            created_timestamp: 1,
        }],
    }
    .encode_to_vec()
}

fn read() -> Vec<u8> {
    let matcher = |kind, value: &str| v1::LabelMatcher {
        r#type: kind,
        name: "__name__".into(),
        value: value.into(),
    };
    v1::ReadRequest {
        queries: vec![v1::Query {
            start_timestamp_ms: 0,
            end_timestamp_ms: 100_000,
            matchers: vec![matcher(0, "up"), matcher(2, "u.*|x")],
            hints: Some(v1::ReadHints {
                func: "rate".into(),
                ..v1::ReadHints::default()
            }),
        }],
        accepted_response_types: vec![1, 0],
    }
    .encode_to_vec()
}

fn otlp() -> m::ExportMetricsServiceRequest {
    let attribute = |key: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue("v".into())),
        }),
    };
    let metric = |data| m::Metric {
        name: "a.b".into(),
        unit: "By/s".into(),
        description: "d".into(),
        data: Some(data),
    };
    let number = m::NumberDataPoint {
        attributes: vec![attribute("a"), attribute("a.b"), attribute("a_b")],
        time_unix_nano: 1_000_000_000,
        value: Some(m::number_data_point::Value::AsInt(-1)),
        ..m::NumberDataPoint::default()
    };
    let buckets = m::exponential_histogram_data_point::Buckets {
        offset: -2,
        bucket_counts: vec![1, 0, 2, 0, 0, 0, 3],
    };
    let exponential = m::ExponentialHistogramDataPoint {
        count: 7,
        zero_count: 1,
        scale: 9,
        sum: Some(1.0),
        positive: Some(buckets),
        time_unix_nano: 90_000_000_000_000,
        ..m::ExponentialHistogramDataPoint::default()
    };
    let histogram = m::HistogramDataPoint {
        count: 3,
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..m::HistogramDataPoint::default()
    };
    m::ExportMetricsServiceRequest {
        resource_metrics: vec![m::ResourceMetrics {
            resource: Some(proto::otlp::common::Resource {
                attributes: vec![attribute("service.name"), attribute("host")],
            }),
            scope_metrics: vec![m::ScopeMetrics {
                metrics: vec![
                    metric(m::metric::Data::Sum(m::Sum {
                        data_points: vec![number.clone()],
                        aggregation_temporality: 2,
                        is_monotonic: true,
                    })),
                    metric(m::metric::Data::Gauge(m::Gauge {
                        data_points: vec![number],
                    })),
                    metric(m::metric::Data::Histogram(m::Histogram {
                        data_points: vec![histogram],
                        aggregation_temporality: 2,
                    })),
                    metric(m::metric::Data::ExponentialHistogram(
                        m::ExponentialHistogram {
                            data_points: vec![exponential],
                            aggregation_temporality: 2,
                        },
                    )),
                    metric(m::metric::Data::Summary(m::Summary {
                        data_points: vec![m::SummaryDataPoint::default()],
                    })),
                ],
                ..m::ScopeMetrics::default()
            }],
            ..m::ResourceMetrics::default()
        }],
    }
}

const JSON: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}}]},"scopeMetrics":[{"metrics":[{"name":"a","unit":"1","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"7","timeUnixNano":"1000000000","attributes":[{"key":"k","value":{"arrayValue":{"values":[{"intValue":"3"}]}}}],"exemplars":[{"traceId":"0af7","asDouble":1e3}]}]}},{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":"5","scale":2,"zeroCount":"1","positive":{"offset":1,"bucketCounts":["3",1]}}]}}]}]}]}"#;

/// A good input with some of its bytes changed, or any bytes.
fn mutated(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let cut = any::<prop::sample::Index>();
    let good = (prop::sample::select(corpus), changes, cut, any::<bool>());
    let good = good.prop_map(|(mut bytes, changes, cut, whole)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    });
    prop_oneof![4 => good, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn fuzz_write(bytes in mutated(vec![write_v1(), write_v2()])) {
        let receiver = remote::Receiver::new(1 << 20);
        let _ = receiver.write_v1(&bytes, &Nowhere);
        let _ = receiver.write_v2(&bytes, &Nowhere);
        let _ = receiver.decompress(&bytes);
    }

    #[test]
    fn fuzz_read(bytes in mutated(vec![read()])) {
        let body = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let _ = Asked::decode(&bytes, 1 << 20);
        if let Ok(asked) = Asked::decode(&body, 1 << 20) {
            let external = Labels::from([("__name__", "up")]);
            let store = storage::Merged::new(Vec::new(), |_| Ok(Vec::new()));
            let answerer = Answerer {
                store: &store,
                external: &external,
                sample_limit: 10,
                max_frame_bytes: 100,
            };
            let _ = answerer.samples(&asked);
            let _ = answerer.chunks(&asked, |_| true);
        }
    }

    #[test]
    fn fuzz_otlp(bytes in mutated(vec![otlp().encode_to_vec()]), nhcb in any::<bool>()) {
        let otlp = Otlp {
            settings: OtlpSettings {
                convert_histograms_to_nhcb: nhcb,
                promote_scope_metadata: true,
                ..OtlpSettings::default()
            },
            max_bytes: 1 << 20,
            deltas: Some(Arc::default()),
            now_ms: i64::MAX,
        };
        let to: Arc<dyn Appendable> = Arc::new(Nowhere);
        let _ = otlp.take(&bytes, "", Format::Protobuf, &*to);
        let _ = otlp.take(&bytes, "gzip", Format::Protobuf, &*to);
    }

    #[test]
    fn fuzz_otlp_json(bytes in mutated(vec![JSON.as_bytes().to_vec()])) {
        let otlp = Otlp {
            settings: OtlpSettings { native_deltas: true, ..OtlpSettings::default() },
            max_bytes: 1 << 20,
            deltas: None,
            now_ms: 0,
        };
        let _ = otlp.take(&bytes, "", Format::Json, &Nowhere);
    }
}

/// The inputs that are changed above are good ones.
#[test]
fn the_corpus_is_good() {
    let receiver = remote::Receiver::new(1 << 20);
    let written = receiver.write_v1(&write_v1(), &Nowhere).unwrap();
    assert_eq!(
        (written.samples, written.histograms, written.refused),
        (1, 1, 0)
    );
    let written = receiver.write_v2(&write_v2(), &Nowhere).unwrap();
    assert_eq!(
        (written.samples, written.histograms, written.refused),
        (1, 1, 0)
    );
    let settings = OtlpSettings::default();
    let max_bytes = 1 << 20;
    let taker = Otlp {
        settings,
        max_bytes,
        deltas: None,
        now_ms: i64::MAX,
    };
    for (bytes, format) in [
        (otlp().encode_to_vec(), Format::Protobuf),
        (JSON.as_bytes().to_vec(), Format::Json),
    ] {
        let taken = taker.take(&bytes, "", format, &Nowhere).unwrap();
        assert_eq!((taken.untranslated, taken.refused), (0, 0), "{taken:?}");
        assert!(taken.samples > 1);
    }
}
