//! `anchored` and `smoothed`: ranges whose bounds have values of their own
//! (prometheus/prometheus `extendedRate`).
//!
//! Anchored, the last sample before the range stands at its start. Smoothed, the values at both
//! bounds are interpolated between the samples around them. Windows reach beyond the range by the
//! lookback delta for that.

use std::sync::Arc;

use model::histogram::HistogramError;
use model::{CounterResetHint, FloatHistogram};

use super::window::{Flags, Frame, RangeFunction, Window};
use crate::exec::Sample;
use crate::query_error::QueryError;

/// Functions that take an anchored range, in the order of upstream's message.
pub(crate) const ANCHORED_SAFE: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// Functions that take a smoothed range.
pub(crate) const SMOOTHED_SAFE: [&str; 3] = ["delta", "increase", "rate"];

/// The window without what lies before the last sample at or before `start_ms`. `None` if no sample
/// lies after it.
pub(crate) fn from_anchor<'a>(w: &Window<'a>, start_ms: i64) -> Option<Window<'a>> {
    let floats = w.float_ms.partition_point(|t| *t <= start_ms);
    let histograms = w.histogram_ms.partition_point(|t| *t <= start_ms);
    if floats == w.floats.len() && histograms == w.histograms.len() {
        return None;
    }
    let float_anchor = floats.checked_sub(1).map(|i| w.float_ms[i]);
    let histogram_anchor = histograms.checked_sub(1).map(|i| w.histogram_ms[i]);
    let (mut skip_floats, mut skip_histograms) = (floats, histograms);
    if float_anchor.is_some() && float_anchor >= histogram_anchor {
        skip_floats -= 1;
    } else if histogram_anchor.is_some() {
        skip_histograms -= 1;
    }
    Some(w.after(skip_floats, skip_histograms))
}

/// A value that can stand at a bound.
trait Value: Clone {
    /// The value on the way from `self` to `next`. A counter that was reset between them starts at
    /// zero.
    fn between(
        &self,
        next: &Self,
        way: Way,
        counter: bool,
        flags: &mut Flags,
    ) -> Result<Self, HistogramError>;
}

impl Value for f64 {
    fn between(
        &self,
        next: &f64,
        way: Way,
        counter: bool,
        _flags: &mut Flags,
    ) -> Result<f64, HistogramError> {
        let from = if counter && next < self { 0.0 } else { *self };
        Ok(from + (next - from) * way.done_ms / way.whole_ms)
    }
}

impl Value for Arc<FloatHistogram> {
    fn between(
        &self,
        next: &Arc<FloatHistogram>,
        way: Way,
        counter: bool,
        flags: &mut Flags,
    ) -> Result<Arc<FloatHistogram>, HistogramError> {
        if way.done_ms == 0.0 {
            return Ok(Arc::clone(self));
        }
        if way.done_ms == way.whole_ms {
            return Ok(Arc::clone(next));
        }
        let fraction = way.done_ms / way.whole_ms;
        let mut value = FloatHistogram::clone(next);
        if counter && next.detect_reset(self) {
            value.mul(fraction);
            return Ok(Arc::new(value));
        }
        flags.reconciled(value.sub(self), Flags::MISMATCHED_SUB)?;
        value.mul(fraction);
        flags.reconciled(value.add(self), Flags::MISMATCHED_ADD)?;
        Ok(Arc::new(value))
    }
}

/// How far a time is on the way between two others.
#[derive(Clone, Copy)]
struct Way {
    done_ms: f64,
    whole_ms: f64,
}

fn way(t_ms: i64, from_ms: i64, to_ms: i64) -> Way {
    Way {
        done_ms: (t_ms - from_ms) as f64,
        whole_ms: (to_ms - from_ms) as f64,
    }
}

/// A range with a value at each bound: first and last are the samples that these come from, or
/// between which and their neighbours they lie.
struct Bounded<'a, V> {
    times: &'a [i64],
    values: &'a [V],
    start_ms: i64,
    end_ms: i64,
    smoothed: bool,
    first: usize,
    last: usize,
}

impl<'a, V: Value> Bounded<'a, V> {
    /// `None` if all samples lie before the range.
    fn new(
        times: &'a [i64],
        values: &'a [V],
        (start_ms, end_ms): (i64, i64),
        smoothed: bool,
    ) -> Option<Bounded<'a, V>> {
        let mut last = times.len().checked_sub(1)?;
        let first = times[..last]
            .partition_point(|t| *t <= start_ms)
            .saturating_sub(1);
        if smoothed {
            last = times[..last].partition_point(|t| *t < end_ms);
        }
        if times[last] <= start_ms {
            return None;
        }
        Some(Bounded {
            times,
            values,
            start_ms,
            end_ms,
            smoothed,
            first,
            last,
        })
    }

    /// All samples lie after the range.
    fn is_after(&self) -> bool {
        self.smoothed && self.times[self.first] > self.end_ms
    }

    /// The first sample lies before the range: the value at the left bound is interpolated.
    fn left_is_between(&self) -> bool {
        self.smoothed && self.times[self.first] < self.start_ms
    }

    fn left(&self, counter: bool, flags: &mut Flags) -> Result<V, HistogramError> {
        let i = self.first;
        if !self.left_is_between() {
            return Ok(self.values[i].clone());
        }
        let part = way(self.start_ms, self.times[i], self.times[i + 1]);
        self.values[i].between(&self.values[i + 1], part, counter, flags)
    }

    fn right(&self, counter: bool, flags: &mut Flags) -> Result<V, HistogramError> {
        let i = self.last;
        if !self.smoothed || i == 0 || self.times[i] <= self.end_ms {
            return Ok(self.values[i].clone());
        }
        let part = way(self.end_ms, self.times[i - 1], self.times[i]);
        self.values[i - 1].between(&self.values[i], part, counter, flags)
    }

    /// The samples strictly inside of the range.
    fn inside(&self) -> std::ops::Range<usize> {
        let from = self.first + usize::from(self.times[self.first] <= self.start_ms);
        let to = self.last + usize::from(self.times[self.last] < self.end_ms);
        from..to.max(from)
    }
}

/// `rate`, `increase` and `delta` over extended ranges.
pub(crate) struct ExtendedRate {
    pub is_counter: bool,
    pub is_rate: bool,
    pub smoothed: bool,
    pub range_seconds: f64,
}

impl RangeFunction for ExtendedRate {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let w = &frame.window;
        if !w.floats.is_empty() && !w.histograms.is_empty() {
            flags.set(Flags::MIXED_FLOATS_HISTOGRAMS);
            return Ok(None);
        }
        let range = (frame.start_ms, frame.end_ms);
        if !w.floats.is_empty() {
            let bounded = Bounded::new(w.float_ms, w.floats, range, self.smoothed);
            let value = bounded
                .filter(|bounded| !bounded.is_after())
                .and_then(|bounded| self.floats(&bounded, flags).ok());
            return Ok(value.map(Sample::Float));
        }
        let bounded = Bounded::new(w.histogram_ms, w.histograms, range, self.smoothed);
        let Some(bounded) = bounded.filter(|bounded| !bounded.is_after()) else {
            return Ok(None);
        };
        match self.histograms(&bounded, flags) {
            Ok(histogram) => Ok(Some(Sample::Histogram(Arc::new(histogram)))),
            Err(_) => {
                flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                Ok(None)
            }
        }
    }
}

impl ExtendedRate {
    fn floats(&self, bounded: &Bounded<'_, f64>, flags: &mut Flags) -> Result<f64, HistogramError> {
        let left = bounded.left(self.is_counter, flags)?;
        let right = bounded.right(self.is_counter, flags)?;
        let mut result = right - left;
        if self.is_counter {
            let mut correction = 0.0;
            let mut previous = left;
            let inside = &bounded.values[bounded.inside()];
            for v in inside.iter().chain([&right]) {
                if *v < previous {
                    correction += previous;
                }
                previous = *v;
            }
            result += correction;
        }
        if self.is_rate {
            result /= self.range_seconds;
        }
        Ok(result)
    }

    fn histograms(
        &self,
        bounded: &Bounded<'_, Arc<FloatHistogram>>,
        flags: &mut Flags,
    ) -> Result<FloatHistogram, HistogramError> {
        let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
        let all = &bounded.values[bounded.first..=bounded.last];
        for h in all {
            if h.uses_custom_buckets() != all[0].uses_custom_buckets() {
                return Err(HistogramError::IncompatibleSchema);
            }
            if self.is_counter && is_gauge(h) {
                flags.set(Flags::NOT_COUNTER);
            }
        }
        let left = bounded.left(self.is_counter, flags)?;
        let right = bounded.right(self.is_counter, flags)?;
        let gauges = is_gauge(&left) && is_gauge(&right);
        if !self.is_counter && !gauges {
            flags.set(Flags::NOT_GAUGE);
        }
        let mut result = FloatHistogram::clone(&right);
        flags.reconciled(result.sub(&left), Flags::MISMATCHED_SUB)?;
        if self.is_counter
            && let Some(correction) = before_resets(bounded, &left, &right, flags)?
        {
            flags.reconciled(result.add(&correction), Flags::MISMATCHED_ADD)?;
        }
        if self.is_rate {
            result.div(self.range_seconds);
        }
        result.counter_reset_hint = CounterResetHint::Gauge;
        result.compact(0);
        Ok(result)
    }
}

/// What a counter had reached before each of its resets, in sum; `None` without resets.
fn before_resets(
    bounded: &Bounded<'_, Arc<FloatHistogram>>,
    left: &FloatHistogram,
    right: &FloatHistogram,
    flags: &mut Flags,
) -> Result<Option<FloatHistogram>, HistogramError> {
    let all = &bounded.values[bounded.first..=bounded.last];
    let (mut next, mut previous) = (1, left);
    if bounded.left_is_between()
        && let [before, after, ..] = all
        && after.detect_reset(before)
    {
        // The value at the left bound knows of that reset.
        (next, previous) = (2, after);
    }
    // The last sample stands at the right bound, or the value there was made from it: both have its
    // hint, and it is asked once.
    let Some(inside) = all.get(next..all.len() - 1) else {
        return Ok(None);
    };
    let mut sum: Option<FloatHistogram> = None;
    for h in inside.iter().map(|h| &**h).chain([right]) {
        if h.detect_reset(previous) {
            match &mut sum {
                None => sum = Some(previous.clone()),
                Some(sum) => flags.reconciled(sum.add(previous), Flags::MISMATCHED_ADD)?,
            }
        }
        previous = h;
    }
    Ok(sum)
}

/// The value at `t_ms`, interpolated between the samples around it; after the last sample, its
/// value. Flags say why there is none.
pub(crate) fn smooth_at(w: &Window<'_>, t_ms: i64, flags: &mut Flags) -> Option<Sample> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        flags.set(Flags::MIXED_FLOATS_HISTOGRAMS);
        return None;
    }
    if !w.floats.is_empty() {
        let value = match around(w.float_ms, t_ms)? {
            Around::At(i) | Around::After(i) => w.floats[i],
            Around::Between(i, part) => {
                let between = w.floats[i].between(&w.floats[i + 1], part, false, flags);
                between.ok()?
            }
        };
        return Some(Sample::Float(value));
    }
    let histogram = match around(w.histogram_ms, t_ms)? {
        Around::At(i) => Arc::clone(&w.histograms[i]),
        Around::After(i) => {
            let mut last = FloatHistogram::clone(&w.histograms[i]);
            // It says what is between two samples.
            last.counter_reset_hint = CounterResetHint::Unknown;
            Arc::new(last)
        }
        Around::Between(i, part) => {
            let (before, after) = (&w.histograms[i], &w.histograms[i + 1]);
            let custom = [before, after].map(|h| h.uses_custom_buckets());
            let gauges = [before, after].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
            if custom[0] != custom[1] {
                flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                return None;
            }
            match before.between(after, part, gauges != [true, true], flags) {
                Ok(histogram) => histogram,
                Err(_) => {
                    flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                    return None;
                }
            }
        }
    };
    Some(Sample::Histogram(histogram))
}

/// Where a time lies among those of samples.
enum Around {
    At(usize),
    /// After that sample and before the next.
    Between(usize, Way),
    /// After all.
    After(usize),
}

/// `None` before all samples.
fn around(times: &[i64], t_ms: i64) -> Option<Around> {
    let next = times.partition_point(|t| *t < t_ms);
    if times.get(next) == Some(&t_ms) {
        return Some(Around::At(next));
    }
    let before = next.checked_sub(1)?;
    if next == times.len() {
        return Some(Around::After(before));
    }
    Some(Around::Between(
        before,
        way(t_ms, times[before], times[next]),
    ))
}

/// Times and values of a range vector that stands alone, with values at its bounds. Empty if no
/// sample lies after its start. `w` has no histograms.
pub(crate) fn extend(
    w: &Window<'_>,
    (start_ms, end_ms): (i64, i64),
    smoothed: bool,
) -> (Vec<i64>, Vec<f64>) {
    let flags = &mut Flags::default();
    let bounded = Bounded::new(w.float_ms, w.floats, (start_ms, end_ms), smoothed);
    let at_bounds = bounded.and_then(|bounded| {
        let left = bounded.left(false, flags).ok()?;
        let right = bounded.right(false, flags).ok()?;
        Some((left, bounded.inside(), right))
    });
    let Some((left, inside, right)) = at_bounds else {
        return (Vec::new(), Vec::new());
    };
    let times = [&[start_ms], &w.float_ms[inside.clone()], &[end_ms]].concat();
    let values = [&[left], &w.floats[inside], &[right]].concat();
    (times, values)
}
