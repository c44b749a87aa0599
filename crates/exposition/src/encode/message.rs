//! The walk over a family as `io.prometheus.client.MetricFamily`
//! (prometheus/client_model `io/prometheus/client/metrics.proto`), for all forms of protobuf.

use model::{MetricType, Span};

use crate::{Bucket, Count, Exemplar, Family, Histogram, Metric, Native, Summary, Value};

/// What fields are written to.
pub(super) trait Sink {
    fn string(&mut self, tag: u32, name: &str, value: &str);
    fn double(&mut self, tag: u32, name: &str, value: f64);
    fn unsigned(&mut self, tag: u32, name: &str, value: u64);
    fn signed(&mut self, tag: u32, name: &str, value: i64);
    /// A `sint32` or `sint64` field.
    fn zigzag(&mut self, tag: u32, name: &str, value: i64);
    fn symbol(&mut self, tag: u32, name: &str, number: u64, symbol: &str);
    fn message(&mut self, tag: u32, name: &str, fields: &mut dyn FnMut(&mut Self));
}

pub(super) fn family<S: Sink>(sink: &mut S, family: &Family) {
    sink.string(1, "name", &family.name);
    if let Some(help) = &family.help {
        sink.string(2, "help", help);
    }
    let (number, symbol) = match family.kind {
        MetricType::Counter => (0, "COUNTER"),
        // The message knows no info and stateset: they are gauges there.
        MetricType::Gauge | MetricType::Info | MetricType::Stateset => (1, "GAUGE"),
        MetricType::Summary => (2, "SUMMARY"),
        MetricType::Unknown => (3, "UNTYPED"),
        MetricType::Histogram => (4, "HISTOGRAM"),
        MetricType::GaugeHistogram => (5, "GAUGE_HISTOGRAM"),
    };
    sink.symbol(3, "type", number, symbol);
    for m in &family.metrics {
        sink.message(4, "metric", &mut |sink| metric(sink, m));
    }
    if !family.unit.is_empty() {
        sink.string(5, "unit", &family.unit);
    }
}

pub(super) fn metric<S: Sink>(sink: &mut S, metric: &Metric) {
    labels(sink, &metric.labels);
    match &metric.value {
        Value::Gauge(f) => sink.message(2, "gauge", &mut |s| s.double(1, "value", *f)),
        Value::Counter(f) => sink.message(3, "counter", &mut |s| {
            s.double(1, "value", *f);
            if let Some(e) = metric.exemplars.first() {
                s.message(2, "exemplar", &mut |s| exemplar(s, e));
            }
            timestamp(s, 3, "start_timestamp", metric.created_ms);
        }),
        Value::Summary(value) => {
            sink.message(4, "summary", &mut |s| summary(s, value, metric.created_ms));
        }
        Value::Untyped(f) => sink.message(5, "untyped", &mut |s| s.double(1, "value", *f)),
        Value::Histogram(value) => {
            sink.message(7, "histogram", &mut |s| histogram(s, value, metric))
        }
    }
    if let Some(timestamp_ms) = metric.timestamp_ms {
        sink.signed(6, "timestamp_ms", timestamp_ms);
    }
}

fn labels<S: Sink>(sink: &mut S, labels: &[(String, String)]) {
    for (name, value) in labels {
        sink.message(1, "label", &mut |s| {
            s.string(1, "name", name);
            s.string(2, "value", value);
        });
    }
}

fn exemplar<S: Sink>(sink: &mut S, exemplar: &Exemplar) {
    labels(sink, &exemplar.labels);
    sink.double(2, "value", exemplar.value);
    timestamp(sink, 3, "timestamp", exemplar.timestamp_ms);
}

fn timestamp<S: Sink>(sink: &mut S, tag: u32, name: &str, timestamp_ms: Option<i64>) {
    if let Some(ms) = timestamp_ms {
        sink.message(tag, name, &mut |s| {
            s.signed(1, "seconds", ms.div_euclid(1000));
            s.signed(2, "nanos", ms.rem_euclid(1000) * 1_000_000);
        });
    }
}

fn summary<S: Sink>(sink: &mut S, summary: &Summary, created_ms: Option<i64>) {
    sink.unsigned(1, "sample_count", summary.count);
    sink.double(2, "sample_sum", summary.sum);
    for q in &summary.quantiles {
        sink.message(3, "quantile", &mut |s| {
            s.double(1, "quantile", q.quantile);
            s.double(2, "value", q.value);
        });
    }
    timestamp(sink, 4, "start_timestamp", created_ms);
}

fn count<S: Sink>(sink: &mut S, tags: (u32, u32), names: (&str, &str), count: Count) {
    match count {
        Count::Integer(n) => sink.unsigned(tags.0, names.0, n),
        Count::Float(f) => sink.double(tags.1, names.1, f),
    }
}

fn histogram<S: Sink>(sink: &mut S, histogram: &Histogram, metric: &Metric) {
    let names = ("sample_count", "sample_count_float");
    count(sink, (1, 4), names, histogram.count);
    sink.double(2, "sample_sum", histogram.sum);
    for b in &histogram.buckets {
        sink.message(3, "bucket", &mut |s| bucket(s, b));
    }
    match &histogram.native {
        None => {}
        Some(Native::Integer(h)) => {
            native_head(
                sink,
                h.schema,
                h.zero_threshold,
                Count::Integer(h.zero_count),
            );
            spans(sink, 9, "negative_span", &h.negative_spans);
            for delta in &h.negative_buckets {
                sink.zigzag(10, "negative_delta", *delta);
            }
            spans(sink, 12, "positive_span", &h.positive_spans);
            for delta in &h.positive_buckets {
                sink.zigzag(13, "positive_delta", *delta);
            }
        }
        Some(Native::Float(h)) => {
            native_head(sink, h.schema, h.zero_threshold, Count::Float(h.zero_count));
            spans(sink, 9, "negative_span", &h.negative_spans);
            for bucket in &h.negative_buckets {
                sink.double(11, "negative_count", *bucket);
            }
            spans(sink, 12, "positive_span", &h.positive_spans);
            for bucket in &h.positive_buckets {
                sink.double(14, "positive_count", *bucket);
            }
        }
    }
    timestamp(sink, 15, "start_timestamp", metric.created_ms);
    for e in &metric.exemplars {
        sink.message(16, "exemplars", &mut |s| exemplar(s, e));
    }
}

fn bucket<S: Sink>(sink: &mut S, bucket: &Bucket) {
    let names = ("cumulative_count", "cumulative_count_float");
    count(sink, (1, 4), names, bucket.cumulative_count);
    sink.double(2, "upper_bound", bucket.upper_bound);
    if let Some(e) = &bucket.exemplar {
        sink.message(3, "exemplar", &mut |s| exemplar(s, e));
    }
}

fn native_head<S: Sink>(sink: &mut S, schema: i32, zero_threshold: f64, zero_count: Count) {
    sink.zigzag(5, "schema", i64::from(schema));
    sink.double(6, "zero_threshold", zero_threshold);
    count(sink, (7, 8), ("zero_count", "zero_count_float"), zero_count);
}

fn spans<S: Sink>(sink: &mut S, tag: u32, name: &str, spans: &[Span]) {
    for span in spans {
        sink.message(tag, name, &mut |s| {
            s.zigzag(1, "offset", i64::from(span.offset));
            s.unsigned(2, "length", u64::from(span.length));
        });
    }
}
