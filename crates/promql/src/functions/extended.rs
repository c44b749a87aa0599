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
    fn between(&self, next: &Self, way: Way, counter: bool) -> Result<Self, HistogramError>;
}

impl Value for f64 {
    fn between(&self, next: &f64, way: Way, counter: bool) -> Result<f64, HistogramError> {
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
    ) -> Result<Arc<FloatHistogram>, HistogramError> {
        let fraction = way.done_ms / way.whole_ms;
        if self.uses_custom_buckets() != next.uses_custom_buckets() {
            return Err(HistogramError::IncompatibleSchema);
        }
        if counter && next.detect_reset(self) {
            let mut value = FloatHistogram::clone(next);
            value.mul(fraction);
            value.counter_reset_hint = CounterResetHint::CounterReset;
            return Ok(Arc::new(value));
        }
        let hint = if self.counter_reset_hint == CounterResetHint::Gauge {
            CounterResetHint::Gauge
        } else {
            CounterResetHint::Unknown
        };
        let mut growth = FloatHistogram::clone(next);
        growth.sub(self)?;
        growth.mul(fraction);
        let mut value = FloatHistogram::clone(self);
        value.add(&growth)?;
        value.counter_reset_hint = hint;
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

/// The values at the bounds of a range, and the samples strictly inside.
struct Bounded<'a, V> {
    left: V,
    right: V,
    inside: std::ops::Range<usize>,
    values: &'a [V],
}

/// `None` if all samples lie before the range, or all after it.
fn bound<'a, V: Value>(
    times: &[i64],
    values: &'a [V],
    (start_ms, end_ms): (i64, i64),
    smoothed: bool,
    counter: bool,
) -> Option<Result<Bounded<'a, V>, HistogramError>> {
    let mut last = times.len().checked_sub(1)?;
    let mut first = times[..last]
        .partition_point(|t| *t <= start_ms)
        .saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end_ms);
    }
    if times[last] <= start_ms || times[first] > end_ms {
        return None;
    }
    let at_bounds = || {
        let left = if smoothed && times[first] < start_ms {
            let part = way(start_ms, times[first], times[first + 1]);
            values[first].between(&values[first + 1], part, counter)?
        } else {
            values[first].clone()
        };
        let right = if smoothed && last > 0 && times[last] > end_ms {
            let part = way(end_ms, times[last - 1], times[last]);
            values[last - 1].between(&values[last], part, counter)?
        } else {
            values[last].clone()
        };
        Ok((left, right))
    };
    let (left, right) = match at_bounds() {
        Ok(found) => found,
        Err(error) => return Some(Err(error)),
    };
    if times[first] <= start_ms {
        first += 1;
    }
    let end = if times[last] >= end_ms {
        last
    } else {
        last + 1
    };
    Some(Ok(Bounded {
        left,
        right,
        inside: first..end.max(first),
        values,
    }))
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
            return Ok(
                match bound(w.float_ms, w.floats, range, self.smoothed, self.is_counter) {
                    Some(Ok(bounded)) => Some(Sample::Float(self.floats(&bounded))),
                    Some(Err(_)) | None => None,
                },
            );
        }
        let bounded = bound(
            w.histogram_ms,
            w.histograms,
            range,
            self.smoothed,
            self.is_counter,
        );
        let result = match bounded {
            None => return Ok(None),
            Some(bounded) => bounded.and_then(|bounded| self.histograms(&bounded, flags)),
        };
        match result {
            Ok(histogram) => Ok(Some(Sample::Histogram(Arc::new(histogram)))),
            Err(_) => {
                *flags = Flags::default();
                flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                Ok(None)
            }
        }
    }
}

impl ExtendedRate {
    fn floats(&self, bounded: &Bounded<'_, f64>) -> f64 {
        let mut result = bounded.right - bounded.left;
        if self.is_counter {
            let mut correction = 0.0;
            let mut previous = bounded.left;
            let inside = &bounded.values[bounded.inside.clone()];
            for v in inside.iter().chain([&bounded.right]) {
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
        result
    }

    fn histograms(
        &self,
        bounded: &Bounded<'_, Arc<FloatHistogram>>,
        flags: &mut Flags,
    ) -> Result<FloatHistogram, HistogramError> {
        let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
        let inside = &bounded.values[bounded.inside.clone()];
        let gauges = is_gauge(&bounded.left) && is_gauge(&bounded.right);
        let any_gauge = is_gauge(&bounded.left)
            || is_gauge(&bounded.right)
            || inside.iter().any(|h| is_gauge(h));
        if self.is_counter && any_gauge {
            flags.set(Flags::NOT_COUNTER);
        }
        if !self.is_counter && !gauges {
            flags.set(Flags::NOT_GAUGE);
        }
        let mut result = FloatHistogram::clone(&bounded.right);
        if result.sub(&bounded.left)?.custom_bounds {
            flags.set(Flags::MISMATCHED_SUB);
        }
        if self.is_counter {
            let mut previous = &bounded.left;
            let last = if inside
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, &bounded.right))
            {
                None
            } else {
                Some(&bounded.right)
            };
            for h in inside.iter().chain(last) {
                // The sample at the bound itself is no step.
                if !Arc::ptr_eq(h, previous)
                    && h.detect_reset(previous)
                    && result.add(previous)?.custom_bounds
                {
                    flags.set(Flags::MISMATCHED_ADD);
                }
                previous = h;
            }
        }
        if self.is_rate {
            result.div(self.range_seconds);
        }
        result.counter_reset_hint = CounterResetHint::Gauge;
        result.compact(0);
        Ok(result)
    }
}

/// What a smoothed instant selector finds.
pub(crate) enum Smoothed {
    Nothing,
    Value(Sample),
    /// Floats and histograms around the time.
    Mixed,
    /// Exponential and custom buckets around the time.
    Incompatible,
}

/// The value at `t_ms`, interpolated between the samples around it; after the last sample, its
/// value.
pub(crate) fn smooth_at(w: &Window<'_>, t_ms: i64) -> Result<Smoothed, QueryError> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        return Ok(Smoothed::Mixed);
    }
    if !w.floats.is_empty() {
        return Ok(match value_at(w.float_ms, w.floats, t_ms) {
            Some(Ok(v)) => Smoothed::Value(Sample::Float(v)),
            Some(Err(_)) | None => Smoothed::Nothing,
        });
    }
    Ok(match value_at(w.histogram_ms, w.histograms, t_ms) {
        Some(Ok(h)) => Smoothed::Value(Sample::Histogram(h)),
        Some(Err(_)) => Smoothed::Incompatible,
        None => Smoothed::Nothing,
    })
}

fn value_at<V: Value>(times: &[i64], values: &[V], t_ms: i64) -> Option<Result<V, HistogramError>> {
    let next = times.partition_point(|t| *t < t_ms);
    if times.get(next) == Some(&t_ms) {
        return Some(Ok(values[next].clone()));
    }
    let before = next.checked_sub(1)?;
    if next == times.len() {
        return Some(Ok(values[before].clone()));
    }
    let part = way(t_ms, times[before], times[next]);
    Some(values[before].between(&values[next], part, false))
}

/// Times and values of a range vector with its bounds, for a selector that stands alone.
pub(crate) struct Extended {
    pub float_ms: Vec<i64>,
    pub floats: Vec<f64>,
    pub histogram_ms: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
}

/// The samples of the range with values at its bounds. Flags say why there are none.
pub(crate) fn extend(
    w: &Window<'_>,
    start_ms: i64,
    end_ms: i64,
    smoothed: bool,
    flags: &mut Flags,
) -> Extended {
    fn points<V: Value>(
        times: &[i64],
        values: &[V],
        range: (i64, i64),
        smoothed: bool,
        flags: &mut Flags,
    ) -> (Vec<i64>, Vec<V>) {
        match bound(times, values, range, smoothed, false) {
            None => (Vec::new(), Vec::new()),
            Some(Err(_)) => {
                flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                (Vec::new(), Vec::new())
            }
            Some(Ok(bounded)) => {
                let mut all_times = vec![range.0];
                let mut all = vec![bounded.left];
                all_times.extend_from_slice(&times[bounded.inside.clone()]);
                all.extend_from_slice(&bounded.values[bounded.inside]);
                all_times.push(range.1);
                all.push(bounded.right);
                (all_times, all)
            }
        }
    }
    let mut out = Extended {
        float_ms: Vec::new(),
        floats: Vec::new(),
        histogram_ms: Vec::new(),
        histograms: Vec::new(),
    };
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        flags.set(Flags::MIXED_FLOATS_HISTOGRAMS);
        return out;
    }
    let range = (start_ms, end_ms);
    (out.float_ms, out.floats) = points(w.float_ms, w.floats, range, smoothed, flags);
    (out.histogram_ms, out.histograms) =
        points(w.histogram_ms, w.histograms, range, smoothed, flags);
    out
}
