//! Histograms: classic and native buckets (client_golang `prometheus/histogram.go`).

use std::collections::BTreeMap;

use exposition::{Bucket, Count, Native};
use model::histogram::{Span, exponential_bound};

use crate::mapper::HistogramOptions;

/// Up to here a value falls into the zero bucket: 2^-128.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// A histogram.
#[derive(Debug)]
pub(super) struct Histogram {
    count: u64,
    sum: f64,
    /// Not cumulative; of the bounds in the options.
    buckets: Box<[u64]>,
    native: Option<NativeBuckets>,
}

#[derive(Debug)]
struct NativeBuckets {
    schema: i32,
    zero: u64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl Histogram {
    pub(super) fn new(options: &HistogramOptions) -> Histogram {
        Histogram {
            count: 0,
            sum: 0.0,
            buckets: vec![0; options.buckets.len()].into(),
            native: (options.native_factor > 1.0).then(|| NativeBuckets {
                schema: schema(options.native_factor),
                zero: 0,
                positive: BTreeMap::new(),
                negative: BTreeMap::new(),
            }),
        }
    }

    pub(super) fn observe(&mut self, options: &HistogramOptions, value: f64, times: u64) {
        self.count += times;
        self.sum += value * times as f64;
        // NaN is in no bucket but the one of all.
        let at = options.buckets.partition_point(|bound| *bound < value);
        if !value.is_nan()
            && let Some(bucket) = self.buckets.get_mut(at)
        {
            *bucket += times;
        }
        if let Some(native) = &mut self.native {
            native.observe(value, times);
            native.limit(options.native_max_buckets as usize);
        }
    }

    pub(super) fn value(&self, options: &HistogramOptions) -> exposition::Histogram {
        let mut below = 0;
        let buckets = options.buckets.iter().zip(&self.buckets);
        exposition::Histogram {
            count: Count::Integer(self.count),
            sum: self.sum,
            buckets: buckets
                .map(|(bound, count)| {
                    below += count;
                    Bucket {
                        upper_bound: *bound,
                        cumulative_count: Count::Integer(below),
                        exemplar: None,
                    }
                })
                .collect(),
            native: self
                .native
                .as_ref()
                .map(|native| Native::Integer(native.value(self.count, self.sum))),
        }
    }
}

/// The coarsest schema whose buckets grow by no more than `factor`.
fn schema(factor: f64) -> i32 {
    let schema = -factor.log2().log2().floor();
    schema.clamp(-4.0, 8.0) as i32
}

/// The bucket of a positive value: the first whose upper bound is not below it.
fn key(value: f64, schema: i32) -> i32 {
    if value.is_infinite() {
        return key(f64::MAX, schema) + 1;
    }
    let mut key = (value.log2() * f64::from(schema).exp2()).ceil() as i32;
    // The logarithm is rounded, the bounds decide.
    while exponential_bound(key, schema) < value {
        key += 1;
    }
    while exponential_bound(key - 1, schema) >= value {
        key -= 1;
    }
    key
}

impl NativeBuckets {
    fn observe(&mut self, value: f64, times: u64) {
        if value > ZERO_THRESHOLD {
            *self.positive.entry(key(value, self.schema)).or_default() += times;
        } else if value < -ZERO_THRESHOLD {
            *self.negative.entry(key(-value, self.schema)).or_default() += times;
        } else if !value.is_nan() {
            self.zero += times;
        }
    }

    /// Halves the resolution until there are no more than `most` buckets.
    fn limit(&mut self, most: usize) {
        while most > 0 && self.positive.len() + self.negative.len() > most && self.schema > -4 {
            self.schema -= 1;
            for side in [&mut self.positive, &mut self.negative] {
                for (key, count) in std::mem::take(side) {
                    // Half of it, rounded up.
                    *side.entry((key + 1) >> 1).or_default() += count;
                }
            }
        }
    }

    fn value(&self, count: u64, sum: f64) -> model::Histogram {
        let (positive_spans, positive_buckets) = spans(&self.positive);
        let (negative_spans, negative_buckets) = spans(&self.negative);
        model::Histogram {
            schema: self.schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: self.zero,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            ..model::Histogram::default()
        }
    }
}

/// Spans and differences; gaps of one or two buckets are cheaper filled than skipped.
fn spans(buckets: &BTreeMap<i32, u64>) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<Span>::new(), Vec::new());
    let (mut next, mut previous) = (0, 0);
    for (key, count) in buckets {
        let gap = key - next;
        match spans.last_mut() {
            Some(span) if gap <= 2 => {
                for _ in 0..gap {
                    deltas.push(-previous);
                    previous = 0;
                }
                span.length += gap as u32 + 1;
            }
            _ => spans.push(Span {
                offset: gap,
                length: 1,
            }),
        }
        let count = *count as i64;
        deltas.push(count - previous);
        previous = count;
        next = key + 1;
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(factor: f64, most: u32) -> HistogramOptions {
        HistogramOptions {
            buckets: vec![1.0, 2.0],
            native_factor: factor,
            native_max_buckets: most,
        }
    }

    #[test]
    fn classic_buckets_are_cumulative() {
        let options = options(0.0, 0);
        let mut histogram = Histogram::new(&options);
        for value in [0.5, 1.0, 1.5, 9.0, f64::NAN] {
            histogram.observe(&options, value, 2);
        }
        let value = histogram.value(&options);
        let counts: Vec<f64> = value
            .buckets
            .iter()
            .map(|b| b.cumulative_count.as_f64())
            .collect();
        assert_eq!(counts, [4.0, 6.0]);
        assert_eq!(value.count, Count::Integer(10));
        assert!(value.native.is_none());
    }

    #[test]
    fn native_buckets() {
        assert_eq!(
            (schema(1.1), schema(2.0), schema(1e9), schema(1.000_01)),
            (3, 0, -4, 8)
        );
        for schema in -4..=8 {
            for value in [
                f64::MIN_POSITIVE,
                1e-9,
                0.1,
                1.0,
                2.0,
                3.7,
                1024.0,
                1e300,
                f64::MAX,
            ] {
                let key = key(value, schema);
                assert!(exponential_bound(key, schema) >= value, "{value} {schema}");
                assert!(
                    exponential_bound(key - 1, schema) < value,
                    "{value} {schema}"
                );
            }
        }
        let options = options(2.0, 0);
        let mut histogram = Histogram::new(&options);
        for value in [0.0, 1.0, 2.0, 16.0, 1e6, -3.0, f64::INFINITY] {
            histogram.observe(&options, value, 1);
        }
        let Some(Native::Integer(native)) = histogram.value(&options).native else {
            panic!("native buckets were asked for");
        };
        assert_eq!(native.zero_count, 1);
        let span = |offset, length| Span { offset, length };
        assert_eq!(
            native.positive_spans,
            [span(0, 5), span(15, 1), span(1004, 1)]
        );
        assert_eq!(native.positive_buckets, [1, 0, -1, 0, 1, 0, 0]);
        assert_eq!(native.negative_spans, [span(2, 1)]);
    }

    #[test]
    fn too_many_buckets_get_wider() {
        let options = options(1.1, 8);
        let mut histogram = Histogram::new(&options);
        for i in 1..1000 {
            histogram.observe(&options, f64::from(i), 1);
        }
        let Some(Native::Integer(native)) = histogram.value(&options).native else {
            panic!("native buckets were asked for");
        };
        assert!(native.schema < 1, "{}", native.schema);
        let mut total = 0;
        let mut current = 0;
        for delta in &native.positive_buckets {
            current += delta;
            total += current;
        }
        assert_eq!(total, 999);
        native.validate().expect("spans and buckets agree");
    }
}
