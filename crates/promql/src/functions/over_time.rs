//! Functions that summarize a window: `*_over_time`, `changes`, `resets`, and the regressions.

use std::sync::Arc;

use model::histogram::HistogramError;
use model::histogram::{HistogramMean, HistogramSum, Reconciled};
use model::{CounterResetHint, FloatHistogram};

use super::quantile::{SortedWindow, quantile, quantile_of_sorted};
use super::window::{Flags, FloatSeries, Frame, RangeFunction, Window};
use super::window_sums::each_sum;
use crate::annotate::{Note, Notes};
use crate::ast::PosRange;
use crate::exec::Sample;
use crate::query_error::QueryError;
use model::histogram::kahan_add;

/// Functions whose value is that of some sample, or a count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    First,
    Last,
    Count,
    Present,
    TimestampOfFirst,
    TimestampOfLast,
}

impl RangeFunction for Pick {
    fn eval(&self, frame: &Frame<'_>, _: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let w = &frame.window;
        let seconds = |t: Option<i64>| Sample::Float(t.unwrap_or(0) as f64 / 1000.0);
        Ok(Some(match self {
            Pick::Count => Sample::Float((w.floats.len() + w.histograms.len()) as f64),
            Pick::Present => Sample::Float(1.0),
            Pick::TimestampOfFirst => seconds(
                [w.float_ms.first(), w.histogram_ms.first()]
                    .into_iter()
                    .flatten()
                    .min()
                    .copied(),
            ),
            Pick::TimestampOfLast => seconds(
                [w.float_ms.last(), w.histogram_ms.last()]
                    .into_iter()
                    .flatten()
                    .max()
                    .copied(),
            ),
            Pick::First => match (w.float_ms.first(), w.histogram_ms.first()) {
                (Some(float), Some(histogram)) if histogram <= float => histogram_at(w, 0),
                (Some(_), _) => Sample::Float(w.floats[0]),
                (None, _) => histogram_at(w, 0),
            },
            Pick::Last => match (w.float_ms.last(), w.histogram_ms.last()) {
                (Some(float), Some(histogram)) if histogram >= float => {
                    histogram_at(w, w.histograms.len() - 1)
                }
                (Some(_), _) => Sample::Float(w.floats[w.floats.len() - 1]),
                (None, _) => histogram_at(w, w.histograms.len() - 1),
            },
        }))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        let pick: fn(&FloatSeries<'_>, usize, usize) -> f64 = match self {
            Pick::First => |s, from, _| s.values[from],
            Pick::Last => |s, _, to| s.values[to - 1],
            Pick::Count => |_, from, to| (to - from) as f64,
            Pick::Present => |_, _, _| 1.0,
            Pick::TimestampOfFirst => |s, from, _| s.times[from] as f64 / 1000.0,
            Pick::TimestampOfLast => |s, _, to| s.times[to - 1] as f64 / 1000.0,
        };
        for (out, (from, to)) in out.iter_mut().zip(series.bounds) {
            if from < to {
                *out = pick(series, *from as usize, *to as usize);
            }
        }
        true
    }
}

fn histogram_at(w: &Window<'_>, i: usize) -> Sample {
    Sample::Histogram(Arc::clone(&w.histograms[i]))
}

/// `min_over_time`, `max_over_time` and the times of what they find.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extreme {
    Min,
    Max,
    TimestampOfMin,
    TimestampOfMax,
}

impl Extreme {
    #[inline]
    fn of(self, times: &[i64], values: &[f64]) -> f64 {
        let mut found = values[0];
        match self {
            Extreme::Max => {
                for v in values {
                    if *v > found || found.is_nan() {
                        found = *v;
                    }
                }
                found
            }
            Extreme::Min => {
                for v in values {
                    if *v < found || found.is_nan() {
                        found = *v;
                    }
                }
                found
            }
            Extreme::TimestampOfMax | Extreme::TimestampOfMin => {
                let mut at = times[0];
                for (v, t) in values.iter().zip(times) {
                    let better = match self {
                        Extreme::TimestampOfMax => *v >= found,
                        _ => *v <= found,
                    };
                    if better || found.is_nan() {
                        found = *v;
                        at = *t;
                    }
                }
                at as f64 / 1000.0
            }
        }
    }
}

impl RangeFunction for Extreme {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        float_only(&frame.window, flags, |w| self.of(w.float_ms, w.floats))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        match self {
            Extreme::Max => slide(series, out, |a, b| a > b),
            Extreme::Min => slide(series, out, |a, b| a < b),
            Extreme::TimestampOfMin | Extreme::TimestampOfMax => {
                each_window(series, out, |times, values| self.of(times, values));
            }
        }
        true
    }
}

/// The best value of each window, of equal ones the first, in constant time a sample: candidates are
/// kept in order of time, each better than those after it. NaN is worse than anything.
fn slide(series: &FloatSeries<'_>, out: &mut [f64], better: impl Fn(f64, f64) -> bool) {
    let mut candidates: std::collections::VecDeque<u32> = std::collections::VecDeque::new();
    let mut next = 0;
    for (out, (from, to)) in out.iter_mut().zip(series.bounds) {
        if from >= to {
            continue;
        }
        next = next.max(*from);
        while next < *to {
            let v = series.values[next as usize];
            if !v.is_nan() {
                while candidates
                    .back()
                    .is_some_and(|last| better(v, series.values[*last as usize]))
                {
                    candidates.pop_back();
                }
                candidates.push_back(next);
            }
            next += 1;
        }
        while candidates.front().is_some_and(|first| first < from) {
            candidates.pop_front();
        }
        *out = match candidates.front() {
            Some(first) => series.values[*first as usize],
            // NaN, and nothing else.
            None => series.values[*to as usize - 1],
        };
    }
}

/// For functions that ignore histograms, and say so where they stand beside floats.
fn float_only(
    w: &Window<'_>,
    flags: &mut Flags,
    f: impl FnOnce(&Window<'_>) -> f64,
) -> Result<Option<Sample>, QueryError> {
    if w.floats.is_empty() {
        return Ok(None);
    }
    if !w.histograms.is_empty() {
        flags.set(Flags::IGNORED_HISTOGRAMS);
    }
    Ok(Some(Sample::Float(f(w))))
}

#[inline]
fn each_window(
    series: &FloatSeries<'_>,
    out: &mut [f64],
    mut f: impl FnMut(&[i64], &[f64]) -> f64,
) {
    for (out, (from, to)) in out.iter_mut().zip(series.bounds) {
        if from < to {
            let range = *from as usize..*to as usize;
            *out = f(&series.times[range.clone()], &series.values[range]);
        }
    }
}

/// `sum_over_time`.
pub(crate) struct Sum;

impl RangeFunction for Sum {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let w = &frame.window;
        if is_mixed(w, flags) {
            return Ok(None);
        }
        if w.histograms.is_empty() {
            return Ok(Some(Sample::Float(sum(w.floats))));
        }
        let mut sum = HistogramSum::new(&w.histograms[0]);
        Ok(fold_histograms(w, flags, |h| sum.add(h))
            .map(|()| Sample::Histogram(Arc::new(sum.finish()))))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        each_sum(
            series,
            out,
            |_, sum, c| if sum.is_infinite() { sum } else { sum + c },
        );
        true
    }
}

#[inline]
fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut c) = (0.0, 0.0);
    for v in values {
        (sum, c) = kahan_add(*v, sum, c);
    }
    if sum.is_infinite() { sum } else { sum + c }
}

/// `avg_over_time`.
pub(crate) struct Average;

impl RangeFunction for Average {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let w = &frame.window;
        if is_mixed(w, flags) {
            return Ok(None);
        }
        if w.histograms.is_empty() {
            return Ok(Some(Sample::Float(average(w.floats))));
        }
        let mut mean = HistogramMean::new(&w.histograms[0]);
        Ok(fold_histograms(w, flags, |h| mean.add(h))
            .map(|()| Sample::Histogram(Arc::new(mean.finish()))))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        each_sum(series, out, |values, sum, c| {
            if sum.is_finite() {
                let count = values.len() as f64;
                sum / count + c / count
            } else {
                average(values)
            }
        });
        true
    }
}

/// The sum divided by the count, unless it overflows: from there on a mean that is updated.
fn average(values: &[f64]) -> f64 {
    let (mut sum, mut c) = (values[0], 0.0);
    for (i, v) in values.iter().enumerate().skip(1) {
        let (new_sum, new_c) = kahan_add(*v, sum, c);
        if new_sum.is_infinite() {
            return incremental_average(values, i, sum, c);
        }
        (sum, c) = (new_sum, new_c);
    }
    let count = values.len() as f64;
    sum / count + c / count
}

fn incremental_average(values: &[f64], from: usize, sum: f64, c: f64) -> f64 {
    let (mut mean, mut c) = (sum / from as f64, c / from as f64);
    for (i, v) in values.iter().enumerate().skip(from) {
        let count = (i + 1) as f64;
        let q = (count - 1.0) / count;
        (mean, c) = kahan_add(v / count, q * mean, q * c);
    }
    mean + c
}

fn is_mixed(w: &Window<'_>, flags: &mut Flags) -> bool {
    let mixed = !w.floats.is_empty() && !w.histograms.is_empty();
    if mixed {
        flags.set(Flags::MIXED_FLOATS_HISTOGRAMS);
    }
    mixed
}

/// Adds all histograms but the first. `None` where they do not fit together.
fn fold_histograms(
    w: &Window<'_>,
    flags: &mut Flags,
    mut add: impl FnMut(&FloatHistogram) -> Result<Reconciled, HistogramError>,
) -> Option<()> {
    let mut hints = ResetHints::default();
    let mut reconciled = false;
    hints.see(&w.histograms[0]);
    for h in &w.histograms[1..] {
        hints.see(h);
        match add(h) {
            Ok(outcome) => reconciled |= outcome.custom_bounds,
            Err(_) => {
                flags.set(Flags::MIXED_EXPONENTIAL_CUSTOM);
                return None;
            }
        }
    }
    if reconciled {
        flags.set(Flags::MISMATCHED_AGGREGATION);
    }
    if hints.collide() {
        flags.set(Flags::RESET_COLLISION);
    }
    Some(())
}

/// Which counter reset hints were seen among histograms.
#[derive(Clone, Copy, Default)]
pub(crate) struct ResetHints {
    reset: bool,
    not_reset: bool,
}

impl ResetHints {
    pub(crate) fn see(&mut self, h: &FloatHistogram) {
        match h.counter_reset_hint {
            CounterResetHint::CounterReset => self.reset = true,
            CounterResetHint::NotCounterReset => self.not_reset = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }

    /// Whether they contradict each other.
    pub(crate) fn collide(self) -> bool {
        self.reset && self.not_reset
    }
}

/// `stddev_over_time`, `stdvar_over_time`.
pub(crate) struct Variance {
    pub deviation: bool,
}

impl Variance {
    fn of(&self, values: &[f64]) -> f64 {
        let (mut mean, mut mean_c, mut aux, mut aux_c) = (0.0, 0.0, 0.0, 0.0);
        let mut count = 0.0;
        for v in values {
            count += 1.0;
            let delta = v - (mean + mean_c);
            (mean, mean_c) = kahan_add(delta / count, mean, mean_c);
            (aux, aux_c) = kahan_add(delta * (v - (mean + mean_c)), aux, aux_c);
        }
        let variance: f64 = (aux + aux_c) / count;
        if self.deviation {
            variance.sqrt()
        } else {
            variance
        }
    }
}

impl RangeFunction for Variance {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        float_only(&frame.window, flags, |w| self.of(w.floats))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        each_window(series, out, |_, values| self.of(values));
        true
    }
}

/// `quantile_over_time`, with the quantile of each step.
pub(crate) struct QuantileOverTime<'q> {
    pub quantiles: Vec<f64>,
    /// Where quantiles outside of 0 to 1 are noted, if there is something to take them of.
    pub notes: &'q Notes,
    pub pos: PosRange,
}

impl RangeFunction for QuantileOverTime<'_> {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        float_only(&frame.window, flags, |w| {
            let q = self.quantiles[frame.step];
            if !(0.0..=1.0).contains(&q) {
                self.notes.add(Note::InvalidQuantile(q.into()), self.pos);
            }
            quantile(q, &mut w.floats.to_vec())
        })
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        let mut window = SortedWindow::default();
        for ((out, (from, to)), q) in out.iter_mut().zip(series.bounds).zip(&self.quantiles) {
            if from >= to {
                continue;
            }
            if !(0.0..=1.0).contains(q) {
                self.notes.add(Note::InvalidQuantile((*q).into()), self.pos);
            }
            let values = window.slide(series.values, *from as usize, *to as usize);
            *out = quantile_of_sorted(*q, values);
        }
        true
    }
}

/// `mad_over_time`: the median of the distances to the median.
pub(crate) struct MedianDeviation;

impl RangeFunction for MedianDeviation {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        float_only(&frame.window, flags, |w| {
            if w.floats.iter().any(|v| v.is_nan()) {
                return f64::NAN;
            }
            let median = quantile(0.5, &mut w.floats.to_vec());
            let mut distances: Vec<f64> = w.floats.iter().map(|v| (v - median).abs()).collect();
            quantile(0.5, &mut distances)
        })
    }
}

/// `deriv`, and `predict_linear` with how many seconds ahead at each step.
pub(crate) struct Regression {
    pub ahead: Option<Vec<f64>>,
}

impl RangeFunction for Regression {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let w = &frame.window;
        if !w.histograms.is_empty() && !w.floats.is_empty() {
            flags.set(Flags::IGNORED_HISTOGRAMS);
        }
        if w.floats.len() < 2 {
            return Ok(None);
        }
        Ok(Some(Sample::Float(match &self.ahead {
            // Any time near the samples: large ones lose digits.
            None => linear_regression(w.float_ms, w.floats, w.float_ms[0]).0,
            Some(ahead) => {
                let (slope, intercept) = linear_regression(w.float_ms, w.floats, frame.t_ms);
                slope * ahead[frame.step] + intercept
            }
        })))
    }
}

/// Slope a second, and the value at `intercept_ms`, by least squares.
fn linear_regression(times: &[i64], values: &[f64], intercept_ms: i64) -> (f64, f64) {
    let (mut n, mut sum_x, mut c_x, mut sum_y, mut c_y) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut sum_xy, mut c_xy, mut sum_x2, mut c_x2) = (0.0, 0.0, 0.0, 0.0);
    let first = values[0];
    let mut constant = true;
    for (i, (t, y)) in times.iter().zip(values).enumerate() {
        if constant && i > 0 && *y != first {
            constant = false;
        }
        n += 1.0;
        let x = (t - intercept_ms) as f64 / 1e3;
        (sum_x, c_x) = kahan_add(x, sum_x, c_x);
        (sum_y, c_y) = kahan_add(*y, sum_y, c_y);
        (sum_xy, c_xy) = kahan_add(x * y, sum_xy, c_xy);
        (sum_x2, c_x2) = kahan_add(x * x, sum_x2, c_x2);
    }
    if constant {
        if first.is_infinite() {
            return (f64::NAN, f64::NAN);
        }
        return (0.0, first);
    }
    sum_x += c_x;
    sum_y += c_y;
    sum_xy += c_xy;
    sum_x2 += c_x2;
    let cov_xy = sum_xy - sum_x * sum_y / n;
    let var_x = sum_x2 - sum_x * sum_x / n;
    let slope = cov_xy / var_x;
    (slope, sum_y / n - slope * sum_x / n)
}

/// `double_exponential_smoothing`, with smoothing and trend factor of each step.
pub(crate) struct Smoothing {
    pub smoothing: Vec<f64>,
    pub trend: Vec<f64>,
}

impl RangeFunction for Smoothing {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let (sf, tf) = (self.smoothing[frame.step], self.trend[frame.step]);
        for (name, letters, factor) in [("smoothing", "sf", sf), ("trend", "tf", tf)] {
            if factor <= 0.0 || factor >= 1.0 {
                return Err(QueryError::Execution(format!(
                    "invalid {name} factor. Expected: 0 < {letters} < 1, got: {}",
                    golang::strconv::format_float(factor, 'f', 6, 64)
                )));
            }
        }
        let w = &frame.window;
        if !w.histograms.is_empty() && !w.floats.is_empty() {
            flags.set(Flags::IGNORED_HISTOGRAMS);
        }
        if w.floats.len() < 2 {
            return Ok(None);
        }
        let (mut before, mut level) = (0.0, w.floats[0]);
        let mut trend = w.floats[1] - w.floats[0];
        for (i, v) in w.floats.iter().enumerate().skip(1) {
            let x = sf * v;
            if i > 1 {
                trend = tf * (level - before) + (1.0 - tf) * trend;
            }
            let y = (1.0 - sf) * (level + trend);
            (before, level) = (level, x + y);
        }
        Ok(Some(Sample::Float(level)))
    }
}

/// `changes` and `resets`.
pub(crate) struct Transitions {
    pub resets: bool,
    /// The window reaches back to the last sample before the range.
    pub anchored: bool,
}

impl RangeFunction for Transitions {
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError> {
        let mut w = frame.window;
        if self.anchored {
            match super::extended::from_anchor(&w, frame.start_ms) {
                Some(anchored) => w = anchored,
                None => return Ok(None),
            }
        }
        let mut count = 0u64;
        let (mut f, mut h) = (0, 0);
        // The index of the sample before, of either kind.
        let mut before: Option<Either> = None;
        while f < w.floats.len() || h < w.histograms.len() {
            let take_float = h >= w.histograms.len()
                || (f < w.floats.len() && w.float_ms[f] < w.histogram_ms[h]);
            let now = if take_float {
                f += 1;
                Either::Float(f - 1)
            } else {
                h += 1;
                Either::Histogram(h - 1)
            };
            if let Some(before) = before {
                count += u64::from(self.counts(&w, before, now, flags));
            }
            before = Some(now);
        }
        Ok(Some(Sample::Float(count as f64)))
    }

    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        if self.anchored {
            return false;
        }
        // How many transitions there are up to each sample.
        let mut before: Vec<u32> = Vec::with_capacity(series.values.len());
        let mut count = 0;
        let mut previous = None;
        for v in series.values {
            if let Some(previous) = previous {
                count += u32::from(self.floats_count(previous, *v));
            }
            before.push(count);
            previous = Some(*v);
        }
        for (out, (from, to)) in out.iter_mut().zip(series.bounds) {
            if from < to {
                *out = f64::from(before[*to as usize - 1] - before[*from as usize]);
            }
        }
        true
    }
}

#[derive(Clone, Copy)]
enum Either {
    Float(usize),
    Histogram(usize),
}

impl Transitions {
    #[inline]
    fn floats_count(&self, before: f64, now: f64) -> bool {
        if self.resets {
            now < before
        } else {
            now != before && !(now.is_nan() && before.is_nan())
        }
    }

    fn counts(&self, w: &Window<'_>, before: Either, now: Either, flags: &mut Flags) -> bool {
        match (before, now) {
            (Either::Float(b), Either::Float(n)) => {
                self.floats_count(w.floats[b], w.floats[n])
                    || (self.resets
                        && super::rate::start_time_says(w.float_start_ms, w.float_ms, n, flags))
            }
            (Either::Histogram(b), Either::Histogram(n)) => {
                let (before, now) = (&w.histograms[b], &w.histograms[n]);
                if self.resets {
                    super::rate::start_time_says(w.histogram_start_ms, w.histogram_ms, n, flags)
                        || now.detect_reset(before)
                } else {
                    !now.equals(before)
                }
            }
            _ => true,
        }
    }
}
