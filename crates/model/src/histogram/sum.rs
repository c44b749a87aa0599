//! Sums and means of many histograms, with every count compensated for rounding.

use super::arithmetic::{Skip, common_bounds};
use super::buckets::{SpanBuilder, entries};
use super::resolution::reduce;
use super::{FloatHistogram, HistogramError, Reconciled, Span, kahan_add};

/// A running sum. The compensations lie beside the counts, in the same layout.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    value: FloatHistogram,
    zero_count_c: f64,
    count_c: f64,
    sum_c: f64,
    positive_c: Vec<f64>,
    negative_c: Vec<f64>,
}

impl HistogramSum {
    /// The sum of one histogram.
    pub fn new(first: &FloatHistogram) -> HistogramSum {
        let mut value = first.clone();
        // Malformed histograms: every count needs its index, and its compensation.
        let fit = |spans: &[Span], counts: &mut Vec<f64>| {
            let buckets = entries(spans, counts).count();
            counts.truncate(buckets);
        };
        fit(&value.positive_spans, &mut value.positive_buckets);
        fit(&value.negative_spans, &mut value.negative_buckets);
        HistogramSum {
            zero_count_c: 0.0,
            count_c: 0.0,
            sum_c: 0.0,
            positive_c: vec![0.0; value.positive_buckets.len()],
            negative_c: vec![0.0; value.negative_buckets.len()],
            value,
        }
    }

    /// Adds a histogram, as [`FloatHistogram::add`] does.
    ///
    /// # Errors
    /// [`HistogramError::IncompatibleSchema`] for custom and exponential buckets.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Reconciled, HistogramError> {
        self.value.check_same_kind(other)?;
        let counter_reset_collision = self.value.adjust_counter_reset(other);
        let custom = self.value.uses_custom_buckets();
        if !custom {
            let (zero_count, c) = self.reconcile_zero_buckets(other);
            for count in [zero_count, c] {
                (self.value.zero_count, self.zero_count_c) =
                    kahan_add(count, self.value.zero_count, self.zero_count_c);
            }
        }
        (self.value.count, self.count_c) = kahan_add(other.count, self.value.count, self.count_c);
        (self.value.sum, self.sum_c) = kahan_add(other.sum, self.value.sum, self.sum_c);

        if custom && self.value.custom_values != other.custom_values {
            self.add_mismatched(other);
            return Ok(Reconciled {
                counter_reset_collision,
                custom_bounds: true,
            });
        }
        if !custom && other.schema > self.value.schema {
            // What its buckets lose when they are joined is added as well.
            let mut reduced = HistogramSum::new(other);
            reduced.reduce(self.value.schema);
            self.add_sides(&reduced.value, &reduced.positive_c, &reduced.negative_c);
        } else {
            if !custom && other.schema < self.value.schema {
                self.reduce(other.schema);
            }
            self.add_sides(other, &[], &[]);
        }
        Ok(Reconciled {
            counter_reset_collision,
            custom_bounds: false,
        })
    }

    /// Adds the buckets of a histogram of the same schema; without compensations they are zero.
    fn add_sides(&mut self, other: &FloatHistogram, positive_c: &[f64], negative_c: &[f64]) {
        let skip = Skip::up_to(&self.value);
        add_side(
            (
                &mut self.value.positive_spans,
                &mut self.value.positive_buckets,
                &mut self.positive_c,
            ),
            (&other.positive_spans, &other.positive_buckets),
            positive_c,
            skip,
        );
        if !self.value.uses_custom_buckets() {
            add_side(
                (
                    &mut self.value.negative_spans,
                    &mut self.value.negative_buckets,
                    &mut self.negative_c,
                ),
                (&other.negative_spans, &other.negative_buckets),
                negative_c,
                skip,
            );
        }
    }

    /// Multiplies sum and compensation.
    pub fn mul(&mut self, factor: f64) {
        self.value.mul(factor);
        self.for_each_compensation(|c| *c *= factor);
    }

    /// Divides sum and compensation.
    pub fn div(&mut self, divisor: f64) {
        self.value.div(divisor);
        self.for_each_compensation(|c| *c /= divisor);
    }

    fn for_each_compensation(&mut self, change: impl Fn(&mut f64)) {
        change(&mut self.zero_count_c);
        change(&mut self.count_c);
        change(&mut self.sum_c);
        self.positive_c.iter_mut().for_each(&change);
        self.negative_c.iter_mut().for_each(&change);
    }

    /// The sum, compensated.
    pub fn finish(mut self) -> FloatHistogram {
        self.value.zero_count += self.zero_count_c;
        self.value.count += self.count_c;
        self.value.sum += self.sum_c;
        for (count, c) in self.value.positive_buckets.iter_mut().zip(&self.positive_c) {
            *count += c;
        }
        for (count, c) in self.value.negative_buckets.iter_mut().zip(&self.negative_c) {
            *count += c;
        }
        self.value
    }

    fn reduce(&mut self, target: i32) {
        let step = (self.value.schema, target);
        let side = |spans: &[Span], counts: &[f64], compensations: &[f64]| {
            let pairs: Vec<(f64, f64)> = counts
                .iter()
                .copied()
                .zip(compensations.iter().copied())
                .collect();
            let (spans, pairs) = reduce(spans, &pairs, step, |(sum, c), (inc, inc_c)| {
                let (sum, c) = kahan_add(inc, sum, c);
                kahan_add(inc_c, sum, c)
            });
            let (counts, compensations): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            (spans, counts, compensations)
        };
        let h = &mut self.value;
        (h.positive_spans, h.positive_buckets, self.positive_c) =
            side(&h.positive_spans, &h.positive_buckets, &self.positive_c);
        (h.negative_spans, h.negative_buckets, self.negative_c) =
            side(&h.negative_spans, &h.negative_buckets, &self.negative_c);
        h.schema = target;
    }

    /// See `FloatHistogram::reconcile_zero_buckets`; what moves into the zero bucket takes its
    /// compensation along.
    fn reconcile_zero_buckets(&mut self, other: &FloatHistogram) -> (f64, f64) {
        let mut other_count = other.zero_count;
        let mut other_threshold = other.zero_threshold;
        while other_threshold != self.value.zero_threshold {
            if self.value.zero_threshold > other_threshold {
                (other_count, other_threshold) =
                    other.zero_count_for_larger_threshold(self.value.zero_threshold);
            }
            if other_threshold > self.value.zero_threshold {
                let (_, threshold) = self.value.zero_count_for_larger_threshold(other_threshold);
                self.widen_zero_bucket(threshold);
            } else if other_threshold.is_nan() || self.value.zero_threshold.is_nan() {
                break;
            }
        }
        if other_threshold == other.zero_threshold {
            return (other_count, 0.0);
        }
        let positive = other.positive().take_while(|b| b.lower < other_threshold);
        let negative = other.negative().take_while(|b| b.upper > -other_threshold);
        let (_, c) = positive
            .chain(negative)
            .fold((other.zero_count, 0.0), |(sum, c), bucket| {
                kahan_add(bucket.count, sum, c)
            });
        (other_count, c)
    }

    fn widen_zero_bucket(&mut self, threshold: f64) {
        let h = &mut self.value;
        let positive = h.positive().take_while(|b| b.lower < threshold).count();
        let negative = h.negative().take_while(|b| b.upper > -threshold).count();
        for (counts, compensations, moved) in [
            (&mut h.positive_buckets, &mut self.positive_c, positive),
            (&mut h.negative_buckets, &mut self.negative_c, negative),
        ] {
            for (count, c) in counts.iter_mut().zip(compensations.iter_mut()).take(moved) {
                (h.zero_count, self.zero_count_c) =
                    kahan_add(*count, h.zero_count, self.zero_count_c);
                (h.zero_count, self.zero_count_c) = kahan_add(*c, h.zero_count, self.zero_count_c);
                (*count, *c) = (0.0, 0.0);
            }
        }
        h.zero_threshold = threshold;
        drop_empty(
            &mut h.positive_spans,
            &mut h.positive_buckets,
            &mut self.positive_c,
        );
        drop_empty(
            &mut h.negative_spans,
            &mut h.negative_buckets,
            &mut self.negative_c,
        );
    }

    fn add_mismatched(&mut self, other: &FloatHistogram) {
        let bounds = common_bounds(&self.value.custom_values, &other.custom_values);
        let mut counts = vec![(0.0, 0.0); bounds.len() + 1];
        let own = super::arithmetic::mapped(&self.value, &bounds).zip(&self.positive_c);
        for ((target, count), own_c) in own {
            let (sum, c): (f64, f64) = counts[target];
            let (sum, c) = kahan_add(count, sum, c);
            counts[target] = kahan_add(*own_c, sum, c);
        }
        for (target, count) in super::arithmetic::mapped(other, &bounds) {
            let (sum, c) = counts[target];
            counts[target] = kahan_add(count, sum, c);
        }
        let mut spans = SpanBuilder::default();
        self.value.positive_buckets.clear();
        self.positive_c.clear();
        for (index, (count, c)) in counts.into_iter().enumerate() {
            if count != 0.0 || c != 0.0 {
                spans.push(index as i32);
                self.value.positive_buckets.push(count);
                self.positive_c.push(c);
            }
        }
        self.value.positive_spans = spans.finish();
        self.value.custom_values = bounds;
    }
}

fn drop_empty(spans: &mut Vec<Span>, counts: &mut Vec<f64>, compensations: &mut Vec<f64>) {
    let mut new_spans = SpanBuilder::default();
    let mut kept = Vec::with_capacity(counts.len());
    let mut kept_c = Vec::with_capacity(counts.len());
    for ((index, count), c) in entries(spans, counts).zip(compensations.iter()) {
        if count != 0.0 || *c != 0.0 {
            new_spans.push(index);
            kept.push(count);
            kept_c.push(*c);
        }
    }
    *spans = new_spans.finish();
    *counts = kept;
    *compensations = kept_c;
}

fn add_side(
    (spans, counts, compensations): (&mut Vec<Span>, &mut Vec<f64>, &mut Vec<f64>),
    (other_spans, other_counts): (&[Span], &[f64]),
    other_c: &[f64],
    skip: Skip,
) {
    let first = other_spans.first().map_or(0, |span| span.offset);
    if spans.as_slice() == other_spans
        && other_c.is_empty()
        && counts.len() == other_counts.len()
        && (counts.is_empty() || !skip.skips(first))
    {
        for ((count, c), other) in counts
            .iter_mut()
            .zip(compensations.iter_mut())
            .zip(other_counts)
        {
            (*count, *c) = kahan_add(*other, *count, *c);
        }
        return;
    }
    let compensation = other_c.iter().copied().chain(std::iter::repeat(0.0));
    let mut added = entries(other_spans, other_counts)
        .zip(compensation)
        .skip_while(|((index, _), _)| skip.skips(*index))
        .peekable();
    let mut new_spans = SpanBuilder::default();
    let mut new_counts = Vec::with_capacity(counts.len() + other_counts.len());
    let mut new_c = Vec::with_capacity(counts.len() + other_counts.len());
    for ((index, count), c) in entries(spans, counts).zip(compensations.iter()) {
        while let Some(((before, other), c)) = added.next_if(|((i, _), _)| *i < index) {
            new_spans.push(before);
            new_counts.push(other);
            new_c.push(c);
        }
        let (count, c) = match added.next_if(|((i, _), _)| *i == index) {
            Some(((_, other), other_c)) => {
                let (count, c) = kahan_add(other, count, *c);
                kahan_add(other_c, count, c)
            }
            None => (count, *c),
        };
        new_spans.push(index);
        new_counts.push(count);
        new_c.push(c);
    }
    for ((index, other), c) in added {
        new_spans.push(index);
        new_counts.push(other);
        new_c.push(c);
    }
    *spans = new_spans.finish();
    *counts = new_counts;
    *compensations = new_c;
}

/// A running mean: the sum divided by the count, unless the sum would overflow; from there on a
/// mean that is updated with every histogram.
#[derive(Clone, Debug)]
pub struct HistogramMean {
    sum: HistogramSum,
    count: f64,
    incremental: bool,
}

impl HistogramMean {
    /// The mean of one histogram.
    pub fn new(first: &FloatHistogram) -> HistogramMean {
        HistogramMean {
            sum: HistogramSum::new(first),
            count: 1.0,
            incremental: false,
        }
    }

    /// Takes a further histogram into the mean.
    ///
    /// # Errors
    /// [`HistogramError::IncompatibleSchema`] for custom and exponential buckets.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<Reconciled, HistogramError> {
        self.count += 1.0;
        if !self.incremental {
            if cannot_overflow(&self.sum.value) && cannot_overflow(h) {
                return self.sum.add(h);
            }
            let mut sum = self.sum.clone();
            let reconciled = sum.add(h)?;
            if !sum.value.has_overflow() {
                self.sum = sum;
                return Ok(reconciled);
            }
            self.incremental = true;
            self.sum.div(self.count - 1.0);
        }
        self.sum.mul((self.count - 1.0) / self.count);
        let mut share = h.clone();
        share.div(self.count);
        self.sum.add(&share)
    }

    /// The mean.
    pub fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.sum.div(self.count);
        }
        self.sum.finish()
    }
}

/// Whether adding two such histograms stays finite.
fn cannot_overflow(h: &FloatHistogram) -> bool {
    const FAR_FROM_MAX: f64 = 1e300;
    let small = |c: &f64| c.abs() < FAR_FROM_MAX;
    small(&h.zero_count)
        && small(&h.count)
        && small(&h.sum)
        && h.positive_buckets.iter().all(small)
        && h.negative_buckets.iter().all(small)
}
