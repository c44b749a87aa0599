//! `rate`, `increase`, `delta`, `irate`, `idelta`.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::window::{Flags, FloatSeries, Frame, RangeFunction, Window};
use crate::exec::Sample;
use crate::query_error::QueryError;

/// `rate`, `increase`, `delta`: the difference over the range, extrapolated to its bounds where
/// samples come close to them.
pub(crate) struct Rate {
    pub is_counter: bool,
    pub is_rate: bool,
    pub range_seconds: f64,
}

impl RangeFunction for Rate {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let w = &frame.window;
        if !w.floats.is_empty() && !w.histograms.is_empty() {
            flags.set(Flags::MIXED_FLOATS_HISTOGRAMS);
            return Ok(None);
        }
        if w.histograms.len() > 1 {
            let zero = self.zero_point(frame, w.histogram_start_ms, w.histogram_ms);
            let Some(mut result) = histogram_rate(w, self.is_counter, zero.is_some(), flags) else {
                return Ok(None);
            };
            let mut growth = Growth::between(w.histogram_ms, w.histograms[0].count, result.count);
            growth.start_at(zero);
            result.mul(self.factor(frame.start_ms, frame.end_ms, growth));
            return Ok(Some(Sample::Histogram(Arc::new(result))));
        }
        if w.floats.len() < 2 {
            return Ok(None);
        }
        let (first, last) = (w.floats[0], w.floats[w.floats.len() - 1]);
        let mut result = last - first;
        if self.is_counter {
            for i in 1..w.floats.len() {
                if w.floats[i] < w.floats[i - 1]
                    || start_time_says(w.float_start_ms, w.float_ms, i, flags)
                {
                    result += w.floats[i - 1];
                }
            }
        }
        let zero = self.zero_point(frame, w.float_start_ms, w.float_ms);
        if zero.is_some() {
            result += first;
        }
        let mut growth = Growth::between(w.float_ms, first, result);
        growth.start_at(zero);
        Ok(Some(Sample::Float(
            result * self.factor(frame.start_ms, frame.end_ms, growth),
        )))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        // Where the counter falls: the same additions in the same order as walking each window, but
        // most windows have none.
        let mut falls: Vec<u32> = Vec::new();
        if self.is_counter {
            for (i, pair) in series.values.windows(2).enumerate() {
                if pair[1] < pair[0] {
                    falls.push(i as u32);
                }
            }
        }
        let mut next_fall = 0;
        let mut known: Option<Extrapolation> = None;
        for (step, out) in out.iter_mut().enumerate() {
            let (from, to) = series.bounds[step];
            if to < from + 2 {
                continue;
            }
            let first = series.values[from as usize];
            let mut result = series.values[to as usize - 1] - first;
            while next_fall < falls.len() && falls[next_fall] < from {
                next_fall += 1;
            }
            for fall in falls[next_fall..].iter().take_while(|fall| **fall + 1 < to) {
                result += series.values[*fall as usize];
            }
            let end_ms = series.end_ms(step);
            let times = &series.times[from as usize..to as usize];
            let growth = Growth::between(times, first, result);
            let layout = Layout::of(end_ms - series.range_ms, end_ms, &growth);
            let like_before = known.take().filter(|known| known.layout == layout);
            let extrapolation = like_before.unwrap_or_else(|| Extrapolation::new(layout, self));
            *out = result * extrapolation.factor(&growth, self);
            known = Some(extrapolation);
        }
        true
    }
}

/// How a counter grew in the window.
struct Growth {
    /// Its value at the beginning.
    first: f64,
    total: f64,
    first_ms: i64,
    last_ms: i64,
    /// How many steps from sample to sample that took.
    intervals: usize,
}

impl Growth {
    #[inline]
    fn between(times: &[i64], first: f64, total: f64) -> Growth {
        Growth {
            first,
            total,
            first_ms: times[0],
            last_ms: times[times.len() - 1],
            intervals: times.len() - 1,
        }
    }

    /// The growth began at zero, at a known time before the first sample.
    fn start_at(&mut self, zero_ms: Option<i64>) {
        if let Some(zero_ms) = zero_ms {
            self.first = 0.0;
            self.first_ms = zero_ms;
            self.intervals += 1;
        }
    }
}

impl Rate {
    /// When the counter began, if the start timestamp of the first sample tells and that was within
    /// the range.
    fn zero_point(&self, frame: &Frame<'_>, start_ms: &[i64], t_ms: &[i64]) -> Option<i64> {
        let start = *start_ms.first()?;
        let usable = self.is_counter && start != 0 && start > frame.start_ms && start < t_ms[0];
        usable.then_some(start)
    }

    /// By how much the sampled difference is extrapolated over a range.
    fn factor(&self, start_ms: i64, end_ms: i64, growth: Growth) -> f64 {
        let layout = Layout::of(start_ms, end_ms, &growth);
        Extrapolation::new(layout, self).factor(&growth, self)
    }
}

/// Where a window's samples lie in its range: on a regular grid they lie alike in all windows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// From the start of the range to the first sample.
    before_ms: i64,
    /// From the first sample to the last.
    sampled_ms: i64,
    /// From the last sample to the end of the range.
    after_ms: i64,
    intervals: usize,
}

impl Layout {
    #[inline]
    fn of(start_ms: i64, end_ms: i64, growth: &Growth) -> Layout {
        Layout {
            before_ms: growth.first_ms - start_ms,
            sampled_ms: growth.last_ms - growth.first_ms,
            after_ms: end_ms - growth.last_ms,
            intervals: growth.intervals,
        }
    }
}

/// By how much a sampled difference is extrapolated: to a bound of the range if the distance is at most
/// 10 % more than the average between samples, else by half that average.
struct Extrapolation {
    layout: Layout,
    /// In seconds.
    sampled: f64,
    to_start: f64,
    to_end: f64,
    factor: f64,
}

impl Extrapolation {
    fn new(layout: Layout, rate: &Rate) -> Extrapolation {
        let mut to_start = layout.before_ms as f64 / 1000.0;
        let mut to_end = layout.after_ms as f64 / 1000.0;
        let sampled = layout.sampled_ms as f64 / 1000.0;
        let average = sampled / layout.intervals as f64;
        let threshold = average * 1.1;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let mut extrapolation = Extrapolation {
            layout,
            sampled,
            to_start,
            to_end,
            factor: 0.0,
        };
        extrapolation.factor = extrapolation.from(to_start, rate);
        extrapolation
    }

    /// The factor for a beginning so many seconds before the first sample.
    fn from(&self, to_start: f64, rate: &Rate) -> f64 {
        let factor = (self.sampled + to_start + self.to_end) / self.sampled;
        if rate.is_rate {
            factor / rate.range_seconds
        } else {
            factor
        }
    }

    /// The factor for this growth: a counter was not below zero.
    #[inline]
    fn factor(&self, growth: &Growth, rate: &Rate) -> f64 {
        let near_zero = rate.is_counter && growth.total > 0.0 && growth.first >= 0.0;
        // A counter that grew by less than it had was zero before the first sample by more than the time
        // sampled: no need to divide.
        if near_zero && !(growth.first >= growth.total && self.sampled >= self.to_start) {
            let to_zero = self.sampled * (growth.first / growth.total);
            if to_zero < self.to_start {
                return self.from(to_zero, rate);
            }
        }
        self.factor
    }
}

/// Whether the start timestamps of a sample and the one before it tell of a reset between them.
/// Notes an overlap: the sample began before the one before it, and not together with it.
pub(crate) fn start_time_says(start_ms: &[i64], t_ms: &[i64], i: usize, flags: &mut Flags) -> bool {
    let (Some(&before), Some(&start)) = (start_ms.get(i - 1), start_ms.get(i)) else {
        return false;
    };
    let previous_ms = t_ms[i - 1];
    // Unknown, or not before the sample.
    if start == 0 || start >= t_ms[i] {
        return false;
    }
    if start < previous_ms {
        if start != before {
            flags.set(Flags::START_TIME_OVERLAP);
        }
        return false;
    }
    if start > previous_ms {
        return true;
    }
    // It began with the sample before: a delta, unless the start of that one is unknown, too.
    before != 0
}

/// The difference of the last and first histogram with everything before resets added, and the first
/// one if it began `from_zero`. `None`, with a flag, where the histograms do not fit together.
fn histogram_rate(
    w: &Window<'_>,
    is_counter: bool,
    from_zero: bool,
    flags: &mut Flags,
) -> Option<FloatHistogram> {
    let histograms = w.histograms;
    let last = &histograms[histograms.len() - 1];
    let nothing;
    let mut first: &FloatHistogram = &histograms[0];
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        flags.set(Flags::NOT_COUNTER);
    }
    // After a reset the first histogram's buckets do not matter, nor whether they fit.
    if is_counter {
        let second = &histograms[1];
        let reset = start_time_says(w.histogram_start_ms, w.histogram_ms, 1, flags)
            || second.detect_reset(first);
        if reset {
            nothing = FloatHistogram {
                schema: second.schema,
                custom_values: second.custom_values.clone(),
                ..FloatHistogram::default()
            };
            first = &nothing;
        }
    }
    let custom = first.uses_custom_buckets();
    if last.uses_custom_buckets() != custom {
        flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
        return None;
    }
    let mut schema = last.schema.min(first.schema);
    if is_counter {
        for h in &histograms[1..histograms.len() - 1] {
            if is_gauge(h) {
                flags.set(Flags::NOT_COUNTER);
            }
            schema = schema.min(h.schema);
            if h.uses_custom_buckets() != custom {
                *flags = Flags::default();
                flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                return None;
            }
        }
    }
    let mut result = last.copy_to_schema(schema);
    let mut settle = |outcome, flag| match flags.reconciled(outcome, flag) {
        Ok(()) => Some(()),
        Err(_) => {
            flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
            None
        }
    };
    settle(result.sub(first), Flags::MISMATCHED_SUB)?;
    if from_zero {
        settle(result.add(&histograms[0]), Flags::MISMATCHED_ADD)?;
    }
    if is_counter {
        let mut overlaps = Flags::default();
        let mut previous = first;
        for (i, h) in histograms.iter().enumerate().skip(1) {
            if start_time_says(w.histogram_start_ms, w.histogram_ms, i, &mut overlaps)
                || h.detect_reset(previous)
            {
                settle(result.add(previous), Flags::MISMATCHED_ADD)?;
            }
            previous = h;
        }
        flags.set(overlaps);
    } else if !is_gauge(&histograms[0]) || !is_gauge(last) {
        flags.set(Flags::NOT_GAUGE);
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// `irate`, `idelta`: the difference of the last two samples.
pub(crate) struct Instant {
    pub is_rate: bool,
}

/// A sample of either kind, its time and its start time.
struct Point<'a> {
    t_ms: i64,
    start_ms: i64,
    value: PointValue<'a>,
}

enum PointValue<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl RangeFunction for Instant {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let Some([before, last]) = last_two(&frame.window) else {
            return Ok(None);
        };
        let interval_ms = last.t_ms - before.t_ms;
        if interval_ms == 0 {
            return Ok(None);
        }
        let seconds = interval_ms as f64 / 1000.0;
        let reset_by_start_time = |flags: &mut Flags| {
            start_time_says(
                &[before.start_ms, last.start_ms],
                &[before.t_ms, last.t_ms],
                1,
                flags,
            )
        };
        match (&before.value, &last.value) {
            (PointValue::Float(before_v), PointValue::Float(last_v)) => {
                let mut result = *last_v;
                if !self.is_rate || !(last_v < before_v || reset_by_start_time(flags)) {
                    result = last_v - before_v;
                }
                if self.is_rate {
                    result /= seconds;
                }
                Ok(Some(Sample::Float(result)))
            }
            (PointValue::Histogram(before_h), PointValue::Histogram(last_h)) => {
                let gauges =
                    [before_h, last_h].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
                if self.is_rate && gauges.contains(&true) {
                    flags.set(Flags::NOT_COUNTER);
                }
                if !self.is_rate && gauges.contains(&false) {
                    flags.set(Flags::NOT_GAUGE);
                }
                let mut result = FloatHistogram::clone(last_h);
                if !self.is_rate || (!reset_by_start_time(flags) && !last_h.detect_reset(before_h))
                {
                    let subtracted = result.sub(before_h);
                    if flags.reconciled(subtracted, Flags::MISMATCHED_SUB).is_err() {
                        flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                        return Ok(None);
                    }
                }
                result.counter_reset_hint = CounterResetHint::Gauge;
                result.compact(0);
                if self.is_rate {
                    result.div(seconds);
                }
                Ok(Some(Sample::Histogram(Arc::new(result))))
            }
            _ => {
                flags.set(Flags::MIXED_FLOATS_HISTOGRAMS);
                Ok(None)
            }
        }
    }
    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        for (out, (from, to)) in out.iter_mut().zip(series.bounds) {
            if *to < from + 2 {
                continue;
            }
            let last = *to as usize - 1;
            let (before_v, last_v) = (series.values[last - 1], series.values[last]);
            let mut result = last_v;
            if !self.is_rate || last_v >= before_v || last_v.is_nan() || before_v.is_nan() {
                result = last_v - before_v;
            }
            if self.is_rate {
                let interval_ms = series.times[last] - series.times[last - 1];
                result /= interval_ms as f64 / 1000.0;
            }
            *out = result;
        }
        true
    }
}

/// The last two samples of the window, whatever their kind, in order of time.
fn last_two<'a>(w: &Window<'a>) -> Option<[Point<'a>; 2]> {
    let float = |back: usize| {
        let i = w.floats.len().checked_sub(back)?;
        Some(Point {
            t_ms: w.float_ms[i],
            start_ms: w.float_start_ms.get(i).copied().unwrap_or(0),
            value: PointValue::Float(w.floats[i]),
        })
    };
    let histogram = |back: usize| {
        let i = w.histograms.len().checked_sub(back)?;
        Some(Point {
            t_ms: w.histogram_ms[i],
            start_ms: w.histogram_start_ms.get(i).copied().unwrap_or(0),
            value: PointValue::Histogram(&w.histograms[i]),
        })
    };
    let mut last: Vec<Point<'a>> = [float(2), float(1), histogram(2), histogram(1)]
        .into_iter()
        .flatten()
        .collect();
    last.sort_by_key(|point| point.t_ms);
    let before = last.len().checked_sub(2)?;
    let mut last = last.into_iter().skip(before);
    Some([last.next()?, last.next()?])
}
