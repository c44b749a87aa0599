//! What functions over range vectors see, and what they are.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{HistogramError, Reconciled};
use storage::Columns;

use crate::annotate::{HistogramOperation, Note};
use crate::exec::Sample;
use crate::query_error::QueryError;

/// The samples of one series in a window, floats and histograms apart.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub float_ms: &'a [i64],
    pub floats: &'a [f64],
    /// Empty without start timestamps.
    pub float_start_ms: &'a [i64],
    pub histogram_ms: &'a [i64],
    pub histograms: &'a [Arc<FloatHistogram>],
    /// Empty without start timestamps.
    pub histogram_start_ms: &'a [i64],
}

impl<'a> Window<'a> {
    /// The floats `f` and histograms `h` of `columns`, as index ranges.
    pub(crate) fn new(columns: &'a Columns, f: (usize, usize), h: (usize, usize)) -> Window<'a> {
        Window {
            float_ms: &columns.float_ms[f.0..f.1],
            floats: &columns.floats[f.0..f.1],
            float_start_ms: columns.float_start_ms.get(f.0..f.1).unwrap_or(&[]),
            histogram_ms: &columns.histogram_ms[h.0..h.1],
            histograms: &columns.histograms[h.0..h.1],
            histogram_start_ms: columns.histogram_start_ms.get(h.0..h.1).unwrap_or(&[]),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// The window without its first `floats` floats and `histograms` histograms.
    pub(crate) fn after(&self, floats: usize, histograms: usize) -> Window<'a> {
        Window {
            float_ms: &self.float_ms[floats..],
            floats: &self.floats[floats..],
            float_start_ms: self.float_start_ms.get(floats..).unwrap_or(&[]),
            histogram_ms: &self.histogram_ms[histograms..],
            histograms: &self.histograms[histograms..],
            histogram_start_ms: self.histogram_start_ms.get(histograms..).unwrap_or(&[]),
        }
    }

    /// How many samples, a histogram by its size, as upstream counts them.
    pub(crate) fn size(&self) -> u64 {
        let histograms: usize = self.histograms.iter().map(|h| h.size_in_samples()).sum();
        (self.floats.len() + histograms) as u64
    }
}

/// The samples of `columns` in `(after_ms, until_ms]`.
pub(crate) fn window_of(columns: &Columns, after_ms: i64, until_ms: i64) -> Window<'_> {
    let range = |times: &[i64]| {
        (
            times.partition_point(|t| *t <= after_ms),
            times.partition_point(|t| *t <= until_ms),
        )
    };
    let ordered = |(from, to): (usize, usize)| (from.min(to), to);
    Window::new(
        columns,
        ordered(range(&columns.float_ms)),
        ordered(range(&columns.histogram_ms)),
    )
}

/// A window at a step.
pub(crate) struct Frame<'a> {
    pub window: Window<'a>,
    pub step: usize,
    /// The evaluation time.
    pub t_ms: i64,
    /// The bounds of the range, `(start, end]`; an extended window reaches beyond.
    pub start_ms: i64,
    pub end_ms: i64,
}

/// Float samples of a series and the windows of all steps over them.
pub(crate) struct FloatSeries<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    /// First and one past the last sample of the window, by step.
    pub bounds: &'a [(u32, u32)],
    /// The time of the first window's end, and from one to the next.
    pub first_end_ms: i64,
    pub end_step_ms: i64,
    pub range_ms: i64,
}

impl FloatSeries<'_> {
    /// The end of the range at `step`.
    #[inline]
    pub(crate) fn end_ms(&self, step: usize) -> i64 {
        self.first_end_ms + self.end_step_ms * step as i64
    }
}

/// A function over range vectors.
pub(crate) trait RangeFunction: Send + Sync {
    /// The value for a window that is not empty, if there is one.
    ///
    /// # Errors
    /// Arguments that the function does not take.
    fn eval(&self, frame: &Frame<'_>, flags: &mut Flags) -> Result<Option<Sample>, QueryError>;

    /// All steps of a series without histograms at once, into `out`, which is absent at every step.
    /// Returns false if the function has no such way.
    fn floats(&self, series: &FloatSeries<'_>, out: &mut [f64]) -> bool {
        let _ = (series, out);
        false
    }
}

/// What a function has to say about a series; each once, however many windows it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const MIXED_FLOATS_HISTOGRAMS: Flags = Flags(1);
    pub(crate) const NOT_COUNTER: Flags = Flags(1 << 1);
    pub(crate) const NOT_GAUGE: Flags = Flags(1 << 2);
    pub(crate) const MIXED_EXPONENTIAL_CUSTOM: Flags = Flags(1 << 3);
    pub(crate) const MISMATCHED_ADD: Flags = Flags(1 << 4);
    pub(crate) const MISMATCHED_SUB: Flags = Flags(1 << 5);
    pub(crate) const MISMATCHED_AGGREGATION: Flags = Flags(1 << 6);
    pub(crate) const RESET_COLLISION: Flags = Flags(1 << 7);
    pub(crate) const IGNORED_HISTOGRAMS: Flags = Flags(1 << 8);
    pub(crate) const START_TIME_OVERLAP: Flags = Flags(1 << 9);

    pub(crate) fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }

    /// Sets `flag` if what was added or subtracted had other custom bounds.
    ///
    /// # Errors
    /// Histograms that do not go together.
    pub(crate) fn reconciled(
        &mut self,
        outcome: Result<Reconciled, HistogramError>,
        flag: Flags,
    ) -> Result<(), HistogramError> {
        if outcome?.custom_bounds {
            self.set(flag);
        }
        Ok(())
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The notes that the flags stand for.
    pub(crate) fn notes(self, metric: &str) -> Vec<Note> {
        let metric = || metric.to_owned();
        let all = [
            (
                Flags::MIXED_FLOATS_HISTOGRAMS,
                Note::MixedFloatsHistograms { metric: metric() },
            ),
            (Flags::NOT_COUNTER, Note::NotCounter { metric: metric() }),
            (Flags::NOT_GAUGE, Note::NotGauge { metric: metric() }),
            (
                Flags::MIXED_EXPONENTIAL_CUSTOM,
                Note::MixedExponentialCustom { metric: metric() },
            ),
            (
                Flags::MISMATCHED_ADD,
                Note::MismatchedCustomBuckets(HistogramOperation::Addition),
            ),
            (
                Flags::MISMATCHED_SUB,
                Note::MismatchedCustomBuckets(HistogramOperation::Subtraction),
            ),
            (
                Flags::MISMATCHED_AGGREGATION,
                Note::MismatchedCustomBuckets(HistogramOperation::Aggregation),
            ),
            (
                Flags::RESET_COLLISION,
                Note::ResetCollision(HistogramOperation::Aggregation),
            ),
            (
                Flags::IGNORED_HISTOGRAMS,
                Note::HistogramIgnoredInMixedRange { metric: metric() },
            ),
            (
                Flags::START_TIME_OVERLAP,
                Note::StartTimeOverlap { metric: metric() },
            ),
        ];
        all.into_iter()
            .filter(|(flag, _)| self.0 & flag.0 != 0)
            .map(|(_, note)| note)
            .collect()
    }
}
