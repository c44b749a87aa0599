//! Coarser schemas.

use super::buckets::{SpanBuilder, entries};
use super::compact::to_deltas;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramError, Span};

/// The index in the coarser schema `to` of bucket `index` of schema `from`.
pub(super) fn target_index(index: i32, from: i32, to: i32) -> i32 {
    let shift = (from - to).clamp(0, 63);
    (((i64::from(index) - 1) >> shift) + 1) as i32
}

/// Sums up buckets that fall into one bucket of the coarser schema, in order.
pub(super) fn reduce<T: Copy>(
    spans: &[Span],
    counts: &[T],
    (from, to): (i32, i32),
    add: impl Fn(T, T) -> T,
) -> (Vec<Span>, Vec<T>) {
    let mut new_spans = SpanBuilder::default();
    let mut new_counts: Vec<T> = Vec::with_capacity(counts.len());
    let mut last_index = None;
    for (index, count) in entries(spans, counts) {
        let target = target_index(index, from, to);
        match new_counts.last_mut() {
            Some(last) if last_index == Some(target) => *last = add(*last, count),
            _ => {
                new_spans.push(target);
                new_counts.push(count);
                last_index = Some(target);
            }
        }
    }
    (new_spans.finish(), new_counts)
}

fn check(schema: i32, target: i32) -> Result<(), HistogramError> {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        return Err(HistogramError::ReduceCustomBuckets);
    }
    if target == CUSTOM_BUCKETS_SCHEMA {
        return Err(HistogramError::ReduceToCustomBuckets);
    }
    if target >= schema {
        return Err(HistogramError::ReduceToFiner {
            from: schema,
            to: target,
        });
    }
    Ok(())
}

impl FloatHistogram {
    /// Merges buckets to those of the coarser exponential schema `target`.
    ///
    /// # Errors
    /// Custom buckets on either side, or a schema that is not coarser. The histogram is unchanged
    /// then.
    pub fn reduce_resolution(&mut self, target: i32) -> Result<(), HistogramError> {
        check(self.schema, target)?;
        self.reduce_unchecked(target);
        Ok(())
    }

    /// A copy in the schema `target`, which is the own one or a coarser exponential one; in any
    /// other case the copy keeps its schema.
    pub fn copy_to_schema(&self, target: i32) -> FloatHistogram {
        let mut copy = self.clone();
        if check(self.schema, target).is_ok() {
            copy.reduce_unchecked(target);
        }
        copy
    }

    pub(super) fn reduce_unchecked(&mut self, target: i32) {
        let step = (self.schema, target);
        let add = |a: f64, b: f64| a + b;
        (self.positive_spans, self.positive_buckets) =
            reduce(&self.positive_spans, &self.positive_buckets, step, add);
        (self.negative_spans, self.negative_buckets) =
            reduce(&self.negative_spans, &self.negative_buckets, step, add);
        self.schema = target;
    }
}

impl Histogram {
    /// As [`FloatHistogram::reduce_resolution`].
    ///
    /// # Errors
    /// Custom buckets on either side, or a schema that is not coarser. The histogram is unchanged
    /// then.
    pub fn reduce_resolution(&mut self, target: i32) -> Result<(), HistogramError> {
        check(self.schema, target)?;
        let side = |spans: &[Span], deltas: &[i64]| {
            let mut count = 0i64;
            let absolute: Vec<i64> = deltas
                .iter()
                .map(|delta| {
                    count = count.wrapping_add(*delta);
                    count
                })
                .collect();
            let (spans, counts) = reduce(spans, &absolute, (self.schema, target), |a, b| {
                a.wrapping_add(b)
            });
            (spans, to_deltas(&counts))
        };
        let positive = side(&self.positive_spans, &self.positive_buckets);
        let negative = side(&self.negative_spans, &self.negative_buckets);
        (self.positive_spans, self.positive_buckets) = positive;
        (self.negative_spans, self.negative_buckets) = negative;
        self.schema = target;
        Ok(())
    }
}
