//! Finding counter resets.

use super::buckets::entries;
use super::resolution::target_index;
use super::{CounterResetHint, FloatHistogram, Span, exponential_bound};

impl FloatHistogram {
    /// Whether a counter was reset between `previous` and this histogram: the hint says so, or any
    /// count fell, or the resolution grew, or the zero bucket shrank. A change of custom bounds is
    /// judged by the bounds in common.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::CounterReset => return true,
            CounterResetHint::NotCounterReset => return false,
            // A gauge is asked only where a query treats it as a counter.
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                return self.reset_with_other_bounds(previous);
            }
        }
        // Compared as numbers: custom buckets are below every exponential schema.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        if previous.uses_custom_buckets() != self.uses_custom_buckets() {
            return true;
        }
        let (previous_zero_count, threshold) =
            previous.zero_count_for_larger_threshold(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < previous_zero_count {
            return true;
        }
        let fell = |spans: &[Span], counts: &[f64], previous_spans, previous_counts| {
            let current = Merged::new(spans, counts, self.schema, self.schema, self);
            let before = Merged::new(
                previous_spans,
                previous_counts,
                previous.schema,
                self.schema,
                self,
            );
            any_fell(current, before)
        };
        fell(
            &self.positive_spans,
            &self.positive_buckets,
            &previous.positive_spans,
            &previous.positive_buckets,
        ) || fell(
            &self.negative_spans,
            &self.negative_buckets,
            &previous.negative_spans,
            &previous.negative_buckets,
        )
    }

    fn reset_with_other_bounds(&self, previous: &FloatHistogram) -> bool {
        let bounds = super::arithmetic::common_bounds(&self.custom_values, &previous.custom_values);
        let sums = |h: &FloatHistogram| {
            let mut sums = vec![0.0; bounds.len() + 1];
            for (target, count) in super::arithmetic::mapped(h, &bounds) {
                sums[target] += count;
            }
            sums
        };
        sums(self)
            .iter()
            .zip(sums(previous))
            .any(|(now, before)| *now < before)
    }
}

/// The buckets of one side as index and count in a coarser schema, without those that the zero
/// bucket covers.
struct Merged<I: Iterator<Item = (i32, f64)>> {
    rest: std::iter::Peekable<I>,
    step: Option<(i32, i32)>,
    skip: Option<(i32, f64)>,
}

impl<'a> Merged<std::iter::Empty<(i32, f64)>> {
    fn new(
        spans: &'a [Span],
        counts: &'a [f64],
        schema: i32,
        target: i32,
        current: &FloatHistogram,
    ) -> Merged<impl Iterator<Item = (i32, f64)> + 'a> {
        Merged {
            rest: entries(spans, counts).peekable(),
            step: (schema != target).then_some((schema, target)),
            skip: (!current.uses_custom_buckets() && current.zero_threshold > 0.0)
                .then_some((target, current.zero_threshold)),
        }
    }
}

impl<I: Iterator<Item = (i32, f64)>> Iterator for Merged<I> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<(i32, f64)> {
        loop {
            let (mut index, mut count) = self.rest.next()?;
            if let Some((from, to)) = self.step {
                index = target_index(index, from, to);
                while let Some((_, more)) = self
                    .rest
                    .next_if(|(other, _)| target_index(*other, from, to) == index)
                {
                    count += more;
                }
            }
            match self.skip {
                Some((schema, threshold)) if exponential_bound(index, schema) <= threshold => {}
                _ => {
                    self.skip = None;
                    return Some((index, count));
                }
            }
        }
    }
}

/// Whether a bucket that was populated before has less now, or is not there.
fn any_fell(
    mut current: impl Iterator<Item = (i32, f64)>,
    before: impl Iterator<Item = (i32, f64)>,
) -> bool {
    let mut now = current.next();
    for (index, count) in before {
        while now.is_some_and(|(other, _)| other < index) {
            now = current.next();
        }
        match now {
            Some((other, now)) if other == index => {
                if now < count {
                    return true;
                }
            }
            _ => {
                if count != 0.0 {
                    return true;
                }
            }
        }
    }
    false
}
