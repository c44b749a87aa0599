//! How values are held while a query runs: one column of steps a series.

use std::sync::Arc;

use model::{FloatHistogram, Labels, STALE_NAN, is_stale};

use crate::query_error::QueryError;

/// What stands in a float column where there is no float. Selectors leave stale markers out and no
/// computation yields one, so that it cannot be taken for a value.
pub(crate) const ABSENT: f64 = STALE_NAN;

/// Whether there is no float.
#[inline(always)]
pub(crate) fn is_absent(v: f64) -> bool {
    is_stale(v)
}

/// The evaluation times of an expression: `start`, `start + step`, ..., `len` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub start: i64,
    /// More than 0.
    pub step: i64,
    pub len: usize,
}

impl Grid {
    /// The time of step `i`.
    #[inline]
    pub(crate) fn at(&self, i: usize) -> i64 {
        self.start + self.step * i as i64
    }

    /// The last step is earlier.
    pub(crate) fn ends_before(&self, t_ms: i64) -> bool {
        self.len > 0 && self.at(self.len - 1) < t_ms
    }

    /// Refuses more steps than samples are allowed, as a scalar has one at every step; but not a
    /// number of steps that any memory holds.
    ///
    /// # Errors
    /// [`QueryError::TooManySamples`].
    pub(crate) fn check(&self, max_samples: u64) -> Result<(), QueryError> {
        const ALWAYS_ALLOWED: u64 = 1 << 20;
        if self.len as u64 > max_samples.max(ALWAYS_ALLOWED) {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }

    /// All times.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.len).map(|i| self.at(i))
    }

    /// Just the first step.
    pub(crate) fn first_only(&self) -> Grid {
        Grid {
            len: self.len.min(1),
            ..*self
        }
    }
}

/// Histograms of a column, by step.
pub(crate) type Histograms = Vec<Option<Arc<FloatHistogram>>>;

/// The values of one series at every step: a float, a histogram, or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// [`ABSENT`] where there is no float.
    pub floats: Vec<f64>,
    /// Empty if there is no histogram at all, else as long as `floats`.
    pub histograms: Histograms,
}

/// One value of a column.
#[derive(Clone, Debug)]
pub(crate) enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Column {
    /// A column of `len` steps without values.
    pub(crate) fn absent(len: usize) -> Column {
        Column {
            floats: vec![ABSENT; len],
            histograms: Vec::new(),
        }
    }

    /// Makes it a column of `len` steps without values.
    pub(crate) fn reset(&mut self, len: usize) {
        self.floats.clear();
        self.floats.resize(len, ABSENT);
        self.histograms.clear();
    }

    /// Whether there is no value at any step.
    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.iter().all(Option::is_none) && self.floats.iter().all(|v| is_absent(*v))
    }

    /// Whether there is a value at this step.
    #[inline]
    pub(crate) fn has(&self, step: usize) -> bool {
        !is_absent(self.floats[step]) || self.histogram(step).is_some()
    }

    /// The histogram at this step, if there is one.
    #[inline]
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.get(step).and_then(Option::as_ref)
    }

    /// The value at this step.
    pub(crate) fn get(&self, step: usize) -> Option<Sample> {
        let v = self.floats[step];
        if !is_absent(v) {
            return Some(Sample::Float(v));
        }
        self.histogram(step)
            .map(|h| Sample::Histogram(Arc::clone(h)))
    }

    /// Sets the histogram at this step, where there is no float.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.floats.len(), None);
        }
        self.histograms[step] = Some(histogram);
    }

    /// Sets the value at this step, where there is none.
    pub(crate) fn set(&mut self, step: usize, value: Sample) {
        match value {
            Sample::Float(v) => self.floats[step] = v,
            Sample::Histogram(h) => self.set_histogram(step, h),
        }
    }

    /// Removes the value at this step.
    pub(crate) fn clear(&mut self, step: usize) {
        self.floats[step] = ABSENT;
        if let Some(h) = self.histograms.get_mut(step) {
            *h = None;
        }
    }

    /// Removes all histograms.
    pub(crate) fn drop_histograms(&mut self) {
        self.histograms.clear();
    }

    /// Replaces every float by a function of it.
    #[inline]
    pub(crate) fn map_floats(&mut self, f: impl Fn(f64) -> f64) {
        for v in &mut self.floats {
            if !is_absent(*v) {
                *v = f(*v);
            }
        }
    }

    /// The steps with a value.
    pub(crate) fn present(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.floats.len()).filter(|step| self.has(*step))
    }

    /// Takes over the values of `other`, which has the same length.
    ///
    /// # Errors
    /// The first step at which both have a value.
    pub(crate) fn merge(&mut self, other: Column) -> Result<(), usize> {
        for step in 0..other.floats.len() {
            let Some(value) = other.get(step) else {
                continue;
            };
            if self.has(step) {
                return Err(step);
            }
            self.set(step, value);
        }
        Ok(())
    }

    /// Roughly what the column takes in memory, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.floats.len() * 8 + self.histograms.len() * 8) as u64
    }
}

/// What identifies a series of an intermediate result.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub labels: Labels,
    /// The metric name is to be removed from the answer (delayed name removal).
    pub drop_name: bool,
}

impl Meta {
    pub(crate) fn new(labels: Labels) -> Meta {
        Meta {
            labels,
            drop_name: false,
        }
    }
}

/// Whether a label describes the metric, not the series: it goes when a function changes what the
/// metric means.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    matches!(name, "__name__" | "__type__" | "__unit__")
}
