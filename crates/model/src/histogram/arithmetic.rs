//! Adding, subtracting and scaling.

use super::buckets::{SpanBuilder, entries};
use super::{CounterResetHint, FloatHistogram, HistogramError, Span, exponential_bound};

/// What had to be settled to combine two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// One said counter reset, the other no counter reset: nothing is known of the result.
    pub counter_reset_collision: bool,
    /// The custom bounds differed and were reduced to those that both have.
    pub custom_bounds: bool,
}

impl FloatHistogram {
    /// Adds `other`. Schemas are brought to the coarser one, zero buckets to the wider one, custom
    /// bounds to those in common. Buckets may be empty afterwards; see
    /// [`compact`](FloatHistogram::compact).
    ///
    /// # Errors
    /// [`HistogramError::IncompatibleSchema`] for custom and exponential buckets; nothing is
    /// changed then.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Reconciled, HistogramError> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`; else as [`FloatHistogram::add`]. The hint is set as for an addition: the
    /// `-` operator has to make the result a gauge.
    ///
    /// # Errors
    /// As for [`FloatHistogram::add`].
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Reconciled, HistogramError> {
        self.combine(other, -1.0)
    }

    /// Multiplies all counts and the sum. A negative factor makes the histogram a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.for_each_count(|c| *c *= factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. Division by zero removes all buckets; a negative divisor
    /// makes the histogram a gauge.
    pub fn div(&mut self, divisor: f64) {
        self.for_each_count(|c| *c /= divisor);
        if divisor == 0.0 {
            self.positive_buckets.clear();
            self.negative_buckets.clear();
            self.positive_spans.clear();
            self.negative_spans.clear();
        } else if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    fn for_each_count(&mut self, change: impl Fn(&mut f64)) {
        change(&mut self.zero_count);
        change(&mut self.count);
        change(&mut self.sum);
        self.positive_buckets.iter_mut().for_each(&change);
        self.negative_buckets.iter_mut().for_each(&change);
    }

    fn combine(&mut self, other: &FloatHistogram, sign: f64) -> Result<Reconciled, HistogramError> {
        self.check_same_kind(other)?;
        let counter_reset_collision = self.adjust_counter_reset(other);
        let custom = self.uses_custom_buckets();
        if !custom {
            let zero_count = self.reconcile_zero_buckets(other);
            self.zero_count += sign * zero_count;
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;

        if custom && self.custom_values != other.custom_values {
            self.add_mismatched(other, sign);
            return Ok(Reconciled {
                counter_reset_collision,
                custom_bounds: true,
            });
        }
        let reduced;
        let mut other = other;
        if !custom && other.schema < self.schema {
            self.reduce_unchecked(other.schema);
        } else if !custom && other.schema > self.schema {
            reduced = other.copy_to_schema(self.schema);
            other = &reduced;
        }
        let skip = Skip::up_to(self);
        add_side(
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&other.positive_spans, &other.positive_buckets),
            sign,
            skip,
        );
        if !custom {
            add_side(
                (&mut self.negative_spans, &mut self.negative_buckets),
                (&other.negative_spans, &other.negative_buckets),
                sign,
                skip,
            );
        }
        Ok(Reconciled {
            counter_reset_collision,
            custom_bounds: false,
        })
    }

    pub(super) fn check_same_kind(&self, other: &FloatHistogram) -> Result<(), HistogramError> {
        if self.uses_custom_buckets() == other.uses_custom_buckets() {
            Ok(())
        } else {
            Err(HistogramError::IncompatibleSchema)
        }
    }

    /// Sets the hint of the combination; returns whether the hints contradict each other.
    pub(super) fn adjust_counter_reset(&mut self, other: &FloatHistogram) -> bool {
        use CounterResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
        let (hint, collision) = match (self.counter_reset_hint, other.counter_reset_hint) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (CounterReset | NotCounterReset, _) => (Unknown, true),
        };
        self.counter_reset_hint = hint;
        collision
    }

    /// Widens the zero bucket until it is as wide as `other`'s could be made without cutting a
    /// populated bucket of either; returns what `other`'s zero count is then.
    fn reconcile_zero_buckets(&mut self, other: &FloatHistogram) -> f64 {
        let mut other_count = other.zero_count;
        let mut other_threshold = other.zero_threshold;
        while other_threshold != self.zero_threshold {
            if self.zero_threshold > other_threshold {
                (other_count, other_threshold) =
                    other.zero_count_for_larger_threshold(self.zero_threshold);
            }
            if other_threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) =
                    self.zero_count_for_larger_threshold(other_threshold);
                self.clear_buckets_in_zero_bucket();
            } else if other_threshold.is_nan() || self.zero_threshold.is_nan() {
                break;
            }
        }
        other_count
    }

    /// The zero count with a wider threshold, and that threshold: it grows to the end of a
    /// populated bucket that it would cut.
    pub(super) fn zero_count_for_larger_threshold(&self, threshold: f64) -> (f64, f64) {
        let mut threshold = threshold;
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        'again: loop {
            let mut count = self.zero_count;
            for bucket in self.positive() {
                if bucket.lower >= threshold {
                    break;
                }
                count += bucket.count;
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for bucket in self.negative() {
                if bucket.upper <= -threshold {
                    break;
                }
                count += bucket.count;
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        threshold = -bucket.lower;
                        // The positive side was walked with a threshold that is too small.
                        continue 'again;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    fn clear_buckets_in_zero_bucket(&mut self) {
        let threshold = self.zero_threshold;
        let positive = self.positive().take_while(|b| b.lower < threshold).count();
        let negative = self.negative().take_while(|b| b.upper > -threshold).count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        self.compact(0);
    }

    fn add_mismatched(&mut self, other: &FloatHistogram, sign: f64) {
        let bounds = common_bounds(&self.custom_values, &other.custom_values);
        let mut counts = vec![0.0; bounds.len() + 1];
        for (h, sign) in [(&*self, 1.0), (other, sign)] {
            for (target, count) in mapped(h, &bounds) {
                counts[target] += sign * count;
            }
        }
        (self.positive_spans, self.positive_buckets) = populated(&counts);
        self.custom_values = bounds;
    }
}

/// Which leading buckets of the added side are in the zero bucket already.
#[derive(Clone, Copy)]
pub(super) struct Skip {
    schema: i32,
    threshold: f64,
}

impl Skip {
    pub(super) fn up_to(h: &FloatHistogram) -> Skip {
        Skip {
            schema: h.schema,
            // Custom buckets have no zero bucket, a threshold of zero is below every bucket.
            threshold: if h.uses_custom_buckets() {
                0.0
            } else {
                h.zero_threshold
            },
        }
    }

    pub(super) fn skips(self, index: i32) -> bool {
        self.threshold > 0.0 && exponential_bound(index, self.schema) <= self.threshold
    }
}

fn add_side(
    (spans, counts): (&mut Vec<Span>, &mut Vec<f64>),
    (other_spans, other_counts): (&[Span], &[f64]),
    sign: f64,
    skip: Skip,
) {
    let first = other_spans.first().map_or(0, |span| span.offset);
    if spans.as_slice() == other_spans
        && counts.len() == other_counts.len()
        && (counts.is_empty() || !skip.skips(first))
    {
        for (count, other) in counts.iter_mut().zip(other_counts) {
            *count += sign * other;
        }
        return;
    }
    let mut added = entries(other_spans, other_counts)
        .skip_while(|(index, _)| skip.skips(*index))
        .peekable();
    if added.peek().is_none() {
        return;
    }
    let mut new_spans = SpanBuilder::default();
    let mut new_counts = Vec::with_capacity(counts.len() + other_counts.len());
    for (index, count) in entries(spans, counts) {
        while let Some((before, other)) = added.next_if(|(i, _)| *i < index) {
            new_spans.push(before);
            new_counts.push(sign * other);
        }
        new_spans.push(index);
        match added.next_if(|(i, _)| *i == index) {
            Some((_, other)) => new_counts.push(count + sign * other),
            None => new_counts.push(count),
        }
    }
    for (index, other) in added {
        new_spans.push(index);
        new_counts.push(sign * other);
    }
    *spans = new_spans.finish();
    *counts = new_counts;
}

/// The bounds that both have, sorted as they are.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut common = Vec::new();
    let mut rest = b.iter().peekable();
    for bound in a {
        while rest.next_if(|other| *other < bound).is_some() {}
        if rest.next_if(|other| *other == bound).is_some() {
            common.push(*bound);
        }
    }
    common
}

/// Each custom bucket's place among the common bounds, and its count.
pub(super) fn mapped<'a>(
    h: &'a FloatHistogram,
    bounds: &'a [f64],
) -> impl Iterator<Item = (usize, f64)> + 'a {
    entries(&h.positive_spans, &h.positive_buckets).map(move |(index, count)| {
        let upper = usize::try_from(index)
            .ok()
            .and_then(|index| h.custom_values.get(index));
        let target = upper.map_or(bounds.len(), |upper| {
            bounds.partition_point(|bound| bound < upper)
        });
        (target, count)
    })
}

/// Spans and counts of the buckets that are not empty.
pub(super) fn populated(counts: &[f64]) -> (Vec<Span>, Vec<f64>) {
    let mut spans = SpanBuilder::default();
    let mut kept = Vec::new();
    for (index, count) in counts.iter().enumerate() {
        if *count != 0.0 {
            spans.push(index as i32);
            kept.push(*count);
        }
    }
    (spans.finish(), kept)
}
