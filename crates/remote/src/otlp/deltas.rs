//! `otlp-deltatocumulative`: points that say what came since the last one are summed up to points that say what
//! came since the beginning (the collector's `deltatocumulativeprocessor`, with its defaults).

use std::collections::HashMap;

use parking_lot::Mutex;
use prost::Message;
use proto::otlp::common::KeyValue;
use proto::otlp::metrics::metric::Data;
use proto::otlp::metrics::number_data_point::Value;
use proto::otlp::metrics::{
    AggregationTemporality, ExponentialHistogramDataPoint, ExportMetricsServiceRequest,
    HistogramDataPoint, NumberDataPoint,
};

use super::exponential_sum;
use super::histograms::is_stale;
use super::{Taken, ms};
use crate::series_cache::key;

/// A stream that sent nothing for so long begins anew.
const FORGET_AFTER_MS: i64 = 5 * 60_000;
/// How often streams are looked through for such.
const SWEEP_EVERY_MS: i64 = 60_000;
/// Streams that are remembered; points of more are not taken.
const MAX_STREAMS: usize = 1_000_000;

const DELTA: i32 = AggregationTemporality::Delta as i32;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The sums so far, a stream each. Keys are 128-bit hashes of what makes a stream.
#[derive(Default)]
pub struct Deltas {
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    numbers: HashMap<u128, Stream<NumberDataPoint>>,
    histograms: HashMap<u128, Stream<HistogramDataPoint>>,
    exponential: HashMap<u128, Stream<ExponentialHistogramDataPoint>>,
    swept_ms: i64,
}

struct Stream<P> {
    /// Without attributes and exemplars.
    sum: P,
    /// When its last point came, by our clock.
    seen_ms: i64,
}

impl Deltas {
    /// Makes every delta of a request cumulative, in place. Points that cannot be added are left out, and counted
    /// in `taken`.
    pub(crate) fn accumulate(
        &self,
        request: &mut ExportMetricsServiceRequest,
        now_ms: i64,
        taken: &mut Taken,
    ) {
        // Cumulative ones alone are no matter of ours, and wait for nobody.
        let metrics = (request.resource_metrics.iter())
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics);
        if !metrics.flat_map(|m| &m.data).any(is_delta) {
            return;
        }
        let mut streams = self.streams.lock();
        streams.sweep(now_ms);
        let mut origin = Vec::new();
        for resource in &mut request.resource_metrics {
            for scope in &mut resource.scope_metrics {
                origin.clear();
                if let Some(resource) = &resource.resource {
                    put_attributes(&mut origin, &resource.attributes);
                }
                if let Some(scope) = &scope.scope {
                    put(&mut origin, scope.name.as_bytes());
                    put(&mut origin, scope.version.as_bytes());
                    put_attributes(&mut origin, &scope.attributes);
                }
                let of_origin = origin.len();
                for metric in &mut scope.metrics {
                    let Some(data) = &mut metric.data else {
                        continue;
                    };
                    origin.truncate(of_origin);
                    put(&mut origin, metric.name.as_bytes());
                    put(&mut origin, metric.unit.as_bytes());
                    let mut at = At {
                        key: &mut origin,
                        now_ms,
                        taken,
                    };
                    match data {
                        Data::Sum(sum) if sum.aggregation_temporality == DELTA => {
                            at.key.push(u8::from(sum.is_monotonic));
                            at.sum_up(&mut streams.numbers, &mut sum.data_points);
                            sum.aggregation_temporality = CUMULATIVE;
                        }
                        Data::Histogram(histogram)
                            if histogram.aggregation_temporality == DELTA =>
                        {
                            at.sum_up(&mut streams.histograms, &mut histogram.data_points);
                            histogram.aggregation_temporality = CUMULATIVE;
                        }
                        Data::ExponentialHistogram(histogram)
                            if histogram.aggregation_temporality == DELTA =>
                        {
                            at.sum_up(&mut streams.exponential, &mut histogram.data_points);
                            histogram.aggregation_temporality = CUMULATIVE;
                        }
                        _ => {}
                    }
                }
                // A metric all points of which were left out is none.
                scope.metrics.retain(|metric| !is_empty(&metric.data));
            }
        }
    }
}

fn is_delta(data: &Data) -> bool {
    match data {
        Data::Sum(sum) => sum.aggregation_temporality == DELTA,
        Data::Histogram(histogram) => histogram.aggregation_temporality == DELTA,
        Data::ExponentialHistogram(histogram) => histogram.aggregation_temporality == DELTA,
        Data::Gauge(_) | Data::Summary(_) => false,
    }
}

fn is_empty(data: &Option<Data>) -> bool {
    match data {
        Some(Data::Sum(sum)) => sum.data_points.is_empty(),
        Some(Data::Histogram(histogram)) => histogram.data_points.is_empty(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.is_empty(),
        Some(Data::Gauge(_) | Data::Summary(_)) | None => false,
    }
}

/// Bytes that cannot run into those that follow.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Attributes in an order that senders do not decide.
fn put_attributes(out: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    out.extend_from_slice(&(sorted.len() as u64).to_le_bytes());
    for pair in sorted {
        put(out, &pair.encode_to_vec());
    }
}

impl Streams {
    fn sweep(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_EVERY_MS {
            return;
        }
        self.swept_ms = now_ms;
        let is_fresh = |seen_ms: i64| now_ms.saturating_sub(seen_ms) <= FORGET_AFTER_MS;
        self.numbers.retain(|_, s| is_fresh(s.seen_ms));
        self.histograms.retain(|_, s| is_fresh(s.seen_ms));
        self.exponential.retain(|_, s| is_fresh(s.seen_ms));
    }
}

/// A metric that is summed up.
struct At<'a> {
    /// What the streams of the metric have in common.
    key: &'a mut Vec<u8>,
    now_ms: i64,
    taken: &'a mut Taken,
}

impl At<'_> {
    fn sum_up<P: Point>(&mut self, streams: &mut HashMap<u128, Stream<P>>, points: &mut Vec<P>) {
        let of_metric = self.key.len();
        points.retain_mut(|point| {
            self.key.truncate(of_metric);
            put_attributes(self.key, point.attributes());
            match self.add(streams, point) {
                Ok(()) => true,
                Err(text) => {
                    self.taken.untranslated += 1;
                    self.taken.first_fault.get_or_insert(text);
                    false
                }
            }
        });
        self.key.truncate(of_metric);
    }

    fn add<P: Point>(
        &self,
        streams: &mut HashMap<u128, Stream<P>>,
        point: &mut P,
    ) -> Result<(), String> {
        let key = key(self.key);
        let full = streams.len() >= MAX_STREAMS;
        let Some(stream) = streams.get_mut(&key) else {
            if full {
                return Err(format!("more than {MAX_STREAMS} streams of deltas"));
            }
            let sum = point.bare();
            let seen_ms = self.now_ms;
            streams.insert(key, Stream { sum, seen_ms });
            return Ok(());
        };
        stream.seen_ms = self.now_ms;
        let ((start, last), (of_start, of_end)) = (stream.sum.times(), point.times());
        if of_start < start {
            return Err(format!(
                "dropped sample with start time {} ms, because the series starts only at {} ms; consider checking for multiple processes sending the exact same series",
                ms(of_start),
                ms(start)
            ));
        }
        if of_end <= last {
            return Err(format!(
                "out of order: dropped sample from {} ms, because the series is already at {} ms",
                ms(of_end),
                ms(last)
            ));
        }
        if !is_stale(point.flags()) {
            stream.sum.add(point);
        }
        stream.sum.set_end(of_end);
        point.become_sum(&stream.sum);
        Ok(())
    }
}

/// A data point that can be summed up.
trait Point: Clone {
    fn attributes(&self) -> &[KeyValue];
    /// Start and end, in nanoseconds.
    fn times(&self) -> (u64, u64);
    fn set_end(&mut self, nanos: u64);
    fn flags(&self) -> u32;
    /// Without attributes, exemplars and flags.
    fn bare(&self) -> Self;
    /// Adds what came since.
    fn add(&mut self, delta: &Self);
    /// Takes value and start of a sum; attributes, exemplars and flags stay.
    fn become_sum(&mut self, sum: &Self);
}

/// What the three kinds of points have in common.
macro_rules! point {
    ($($rest:tt)*) => {
        fn attributes(&self) -> &[KeyValue] {
            &self.attributes
        }
        fn times(&self) -> (u64, u64) {
            (self.start_time_unix_nano, self.time_unix_nano)
        }
        fn set_end(&mut self, nanos: u64) {
            self.time_unix_nano = nanos;
        }
        fn flags(&self) -> u32 {
            self.flags
        }
        fn bare(&self) -> Self {
            let mut bare = self.clone();
            bare.attributes = Vec::new();
            bare.exemplars = Vec::new();
            bare.flags = 0;
            bare
        }
        fn become_sum(&mut self, sum: &Self) {
            *self = Self {
                attributes: std::mem::take(&mut self.attributes),
                exemplars: std::mem::take(&mut self.exemplars),
                flags: self.flags,
                ..sum.clone()
            };
        }
        $($rest)*
    };
}

impl Point for NumberDataPoint {
    point! {
        fn add(&mut self, delta: &Self) {
            self.value = match (self.value, delta.value) {
                (sum, None) => sum,
                (None, delta) => delta,
                (Some(Value::AsInt(a)), Some(Value::AsInt(b))) => {
                    Some(Value::AsInt(a.saturating_add(b)))
                }
                (Some(a), Some(b)) => Some(Value::AsDouble(as_double(a) + as_double(b))),
            };
        }
    }
}

fn as_double(value: Value) -> f64 {
    match value {
        Value::AsDouble(value) => value,
        Value::AsInt(value) => value as f64,
    }
}

impl Point for HistogramDataPoint {
    point! {
        fn add(&mut self, delta: &Self) {
            if self.explicit_bounds != delta.explicit_bounds {
                // Other buckets: what was counted in the old ones is lost to them.
                *self = delta.bare();
                return;
            }
            for (sum, more) in self.bucket_counts.iter_mut().zip(&delta.bucket_counts) {
                *sum = sum.saturating_add(*more);
            }
            self.count = self.count.saturating_add(delta.count);
            self.sum = self.sum.zip(delta.sum).map(|(a, b)| a + b);
        }
    }
}

impl Point for ExponentialHistogramDataPoint {
    point! {
        fn add(&mut self, delta: &Self) {
            exponential_sum::add(self, delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::otlp::common::{AnyValue, any_value};
    use proto::otlp::metrics::{Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum};

    use super::*;

    fn pair(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(any_value::Value::StringValue(value.to_owned())),
            }),
        }
    }

    fn request(data: Data) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![Metric {
                        name: "m".to_owned(),
                        data: Some(data),
                        ..Metric::default()
                    }],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        }
    }

    fn number(attributes: &[(&str, &str)], start: u64, end: u64, value: Value) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes.iter().map(|(k, v)| pair(k, v)).collect(),
            start_time_unix_nano: start,
            time_unix_nano: end,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    /// What becomes of a request with one number; `None` where it is left out.
    fn one(deltas: &Deltas, now_ms: i64, point: NumberDataPoint) -> Option<NumberDataPoint> {
        let mut request = request(Data::Sum(Sum {
            data_points: vec![point],
            aggregation_temporality: DELTA,
            is_monotonic: true,
        }));
        deltas.accumulate(&mut request, now_ms, &mut Taken::default());
        let metric = (request
            .resource_metrics
            .remove(0)
            .scope_metrics
            .remove(0)
            .metrics)
            .pop()?;
        let Some(Data::Sum(mut sum)) = metric.data else {
            panic!("it was a sum");
        };
        assert_eq!(sum.aggregation_temporality, CUMULATIVE);
        sum.data_points.pop()
    }

    #[test]
    fn numbers_are_summed_up_by_stream() {
        let deltas = Deltas::default();
        let int = Value::AsInt;
        let ab = [("a", "1"), ("b", "2")];
        let first = one(&deltas, 0, number(&ab, 0, 10, int(3))).unwrap();
        assert_eq!((first.value, first.attributes.len()), (Some(int(3)), 2));
        // Attributes in another order are the same stream, others are another one.
        let ba = [("b", "2"), ("a", "1")];
        let second = one(&deltas, 0, number(&ba, 10, 20, int(4))).unwrap();
        assert_eq!((second.value, second.times()), (Some(int(7)), (0, 20)));
        assert_eq!(second.attributes[0].key, "b");
        let other = one(&deltas, 0, number(&[("a", "1")], 10, 20, int(4))).unwrap();
        assert_eq!((other.value, other.times()), (Some(int(4)), (10, 20)));
        let double = one(&deltas, 0, number(&ab, 20, 30, Value::AsDouble(0.5))).unwrap();
        assert_eq!(double.value, Some(Value::AsDouble(7.5)));
        // Nothing was recorded: the sum stays, and the point says so.
        let mut gap = number(&ab, 30, 40, int(100));
        gap.flags = 1;
        assert_eq!(one(&deltas, 0, gap).unwrap().flags, 1);
        let next = one(&deltas, 0, number(&ab, 40, 50, int(1))).unwrap();
        assert_eq!(next.value, Some(Value::AsDouble(8.5)));
    }

    #[test]
    fn what_came_before_is_left_out() {
        let deltas = Deltas::default();
        let int = Value::AsInt;
        assert!(one(&deltas, 0, number(&[], 10, 20, int(1))).is_some());
        assert!(one(&deltas, 0, number(&[], 10, 20, int(1))).is_none());
        assert!(one(&deltas, 0, number(&[], 5, 30, int(1))).is_none());
        let mut taken = Taken::default();
        let mut again = request(Data::Sum(Sum {
            data_points: vec![number(&[], 10, 20, int(1))],
            aggregation_temporality: DELTA,
            is_monotonic: true,
        }));
        deltas.accumulate(&mut again, 0, &mut taken);
        assert_eq!(taken.untranslated, 1);
        assert!(taken.first_fault.unwrap().starts_with("out of order"));
    }

    #[test]
    fn a_stream_that_rests_is_forgotten() {
        let deltas = Deltas::default();
        let at = |now_ms, end| {
            let point = one(&deltas, now_ms, number(&[], 0, end, Value::AsInt(1)));
            point.unwrap().value
        };
        assert_eq!(at(1, 1), Some(Value::AsInt(1)));
        assert_eq!(at(FORGET_AFTER_MS, 2), Some(Value::AsInt(2)));
        assert_eq!(at(3 * FORGET_AFTER_MS, 3), Some(Value::AsInt(1)));
    }

    #[test]
    fn histograms_are_summed_up() {
        let deltas = Deltas::default();
        let add = |end: u64, bounds: &[f64], counts: &[u64]| {
            let mut request = request(Data::Histogram(Histogram {
                data_points: vec![HistogramDataPoint {
                    time_unix_nano: end,
                    count: counts.iter().sum(),
                    sum: Some(1.0),
                    bucket_counts: counts.to_vec(),
                    explicit_bounds: bounds.to_vec(),
                    ..HistogramDataPoint::default()
                }],
                aggregation_temporality: DELTA,
            }));
            deltas.accumulate(&mut request, 0, &mut Taken::default());
            let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
            let Some(Data::Histogram(histogram)) = &metric.data else {
                panic!("it was a histogram");
            };
            let point = &histogram.data_points[0];
            (point.count, point.sum, point.bucket_counts.clone())
        };
        add(1, &[1.0], &[1, 2]);
        assert_eq!(add(2, &[1.0], &[3, 4]), (10, Some(2.0), vec![4, 6]));
        assert_eq!(add(3, &[2.0], &[1, 1]), (2, Some(1.0), vec![1, 1]));
    }
}
