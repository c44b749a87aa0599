//! Counting samples as upstream counts them, for `--query.max-samples` and `peakSamples`.
//!
//! Upstream holds every operator's input and output at once and counts them as it goes. We do not
//! hold them, but give the same numbers: they are sums over steps, and so each operator's peak
//! follows from how many samples its inputs and its output have at each step.

use super::columns::{Column, is_absent};

/// Samples of a result, and the most that were held while it was computed, relative to what was
/// held before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Samples at each step, a histogram counted as one.
    pub counts: Vec<u64>,
    /// What histograms count beyond that, at each step; empty without histograms.
    pub extra: Vec<u64>,
    pub peak: u64,
}

impl Usage {
    /// Nothing, for `len` steps.
    pub(crate) fn empty(len: usize) -> Usage {
        Usage {
            counts: vec![0; len],
            extra: Vec::new(),
            peak: 0,
        }
    }

    /// A scalar: a sample at every step.
    pub(crate) fn scalar(len: usize) -> Usage {
        let mut usage = Usage {
            counts: vec![1; len],
            ..Usage::default()
        };
        usage.peak = usage.total();
        usage
    }

    /// Counts a column's samples; returns what it added in all.
    pub(crate) fn add(&mut self, column: &Column) -> u64 {
        let mut added = 0;
        if column.histograms.is_empty() {
            for (count, v) in self.counts.iter_mut().zip(&column.floats) {
                let here = u64::from(!is_absent(*v));
                *count += here;
                added += here;
            }
            return added;
        }
        if self.extra.is_empty() {
            self.extra.resize(self.counts.len(), 0);
        }
        for step in column.present() {
            self.counts[step] += 1;
            added += 1;
            if let Some(h) = column.histogram(step) {
                let extra = h.size_in_samples() as u64 - 1;
                self.extra[step] += extra;
                added += extra;
            }
        }
        added
    }

    /// Adds the counts of another part of the same result.
    pub(crate) fn merge(&mut self, other: &Usage) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        if !other.extra.is_empty() {
            if self.extra.is_empty() {
                self.extra.resize(self.counts.len(), 0);
            }
            for (extra, more) in self.extra.iter_mut().zip(&other.extra) {
                *extra += more;
            }
        }
    }

    /// The samples of the whole result.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.extra.iter().sum::<u64>()
    }

    fn size_at(&self, step: usize) -> u64 {
        self.counts[step] + self.extra.get(step).copied().unwrap_or(0)
    }

    /// Counts all of `columns`.
    pub(crate) fn of(len: usize, columns: &[Column]) -> Usage {
        let mut usage = Usage::empty(len);
        for column in columns {
            usage.add(column);
        }
        usage
    }

    /// Sets the peak of an operator that goes step by step over inputs, held as a whole, and
    /// appends to its output (upstream's `rangeEval`).
    pub(crate) fn stepwise(mut self, inputs: &[&Usage]) -> Usage {
        let (held, mut peak) = held_and_peak(inputs);
        let mut output = 0;
        for step in 0..self.counts.len() {
            let gathered: u64 = inputs.iter().map(|input| input.counts[step]).sum();
            let here = self.size_at(step);
            peak = peak.max(held + output + gathered + here);
            output += here;
        }
        self.peak = peak.max(self.total());
        self
    }

    /// Sets the peak of an operator that reads its inputs and holds its output only at the end
    /// (upstream's aggregations).
    pub(crate) fn at_once(mut self, inputs: &[&Usage]) -> Usage {
        let (_, peak) = held_and_peak(inputs);
        self.peak = peak.max(self.total());
        self
    }
}

/// What is held once all inputs are there, and the peak until then: they are computed one after the
/// other.
fn held_and_peak(inputs: &[&Usage]) -> (u64, u64) {
    let mut held = 0;
    let mut peak = 0;
    for input in inputs {
        peak = peak.max(held + input.peak);
        held += input.total();
    }
    (held, peak.max(held))
}

/// What one series of a range vector function held and gave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WindowUse {
    /// The largest window.
    pub widest: u64,
    /// The last window; it is given up only with the next series.
    pub last: u64,
}
