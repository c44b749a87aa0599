//! The samples that range vector functions look at: from storage, or from a subquery.

use std::cell::RefCell;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, is_stale};
use storage::Columns;

use super::columns::{Column, Grid, is_absent};
use super::select::Selected;
use super::selector::References;
use crate::query_error::QueryError;

/// Samples of many series.
pub(crate) trait Source: Send + Sync {
    /// Appends all samples of series `i` that matter, without stale markers; returns how many were
    /// read from storage.
    fn load(&self, i: usize, out: &mut Columns) -> Result<u64, QueryError>;

    /// Roughly how many samples a series has.
    fn samples_a_series(&self) -> u64;
}

thread_local! {
    static SCRATCH: RefCell<Columns> = RefCell::new(Columns::default());
}

/// Calls `f` with empty columns that keep their memory between calls.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut Columns) -> T) -> T {
    /// More samples than this are not worth keeping memory for.
    const KEEP: usize = 1 << 18;
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut columns) => {
            columns.clear();
            let result = f(&mut columns);
            // Histograms are shared with storage, which may want to let go of them.
            columns.histograms.clear();
            if columns.floats.capacity() > KEEP || columns.histograms.capacity() > KEEP {
                *columns = Columns::default();
            }
            result
        }
        // A column that needs another one while it is computed.
        Err(_) => f(&mut Columns::default()),
    })
}

/// Series as stored, between two times (both inclusive).
pub(crate) struct Stored {
    pub selected: Arc<Selected>,
    pub min_ms: i64,
    pub max_ms: i64,
    /// Histograms are reduced to count and sum, as they are read.
    pub only_stats: Option<Reads>,
    /// Start timestamps are kept.
    pub start_times: bool,
}

/// How often a series has a sample, for estimates.
const TYPICAL_INTERVAL_MS: i64 = 15_000;

/// Roughly how many samples a series has between two times.
pub(crate) fn typical_samples(min_ms: i64, max_ms: i64) -> u64 {
    (max_ms.saturating_sub(min_ms).max(0) / TYPICAL_INTERVAL_MS) as u64
}

/// What finding a series' chunks costs, in samples decoded.
const SERIES_COST: u64 = 50;

impl Stored {
    /// Roughly what a series costs to decode, in samples.
    pub(crate) fn samples_a_series(&self) -> u64 {
        typical_samples(self.min_ms, self.max_ms) + SERIES_COST
    }

    /// All samples of series `i`, stale markers included.
    pub(crate) fn decode(&self, i: usize, out: &mut Columns) -> Result<u64, QueryError> {
        self.selected.decode(i, out)?;
        if !self.start_times {
            out.float_start_ms.clear();
            out.histogram_start_ms.clear();
        }
        if let Some(reads) = self.only_stats {
            reduce_to_stats(out, reads);
        }
        Ok((out.floats.len() + out.histograms.len()) as u64)
    }
}

impl Source for Stored {
    fn load(&self, i: usize, out: &mut Columns) -> Result<u64, QueryError> {
        let read = self.decode(i, out)?;
        drop_stale(out);
        Ok(read)
    }

    fn samples_a_series(&self) -> u64 {
        Stored::samples_a_series(self)
    }
}

/// The windows in which upstream reads a series, one a step: their ends, and how far they reach back.
///
/// Its iterator jumps over what lies between two windows. What it has not read it does not compare
/// with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    pub references: References,
    /// The end of a window behind its reference.
    pub after_ms: i64,
    /// From the end of a window to its beginning.
    pub width_ms: i64,
}

/// Leaves count and sum of each histogram, and notes a counter reset that only the buckets tell
/// (prometheus/prometheus `promql/histogram_stats_iterator.go`).
fn reduce_to_stats(columns: &mut Columns, reads: Reads) {
    if columns.histograms.is_empty() {
        return;
    }
    let hints = hints_as_read(columns, reads);
    for (slot, counter_reset_hint) in columns.histograms.iter_mut().zip(hints) {
        *slot = Arc::new(FloatHistogram {
            counter_reset_hint,
            // To tell custom from exponential buckets.
            schema: slot.schema,
            count: slot.count,
            sum: slot.sum,
            ..FloatHistogram::default()
        });
    }
}

/// The counter reset hints that reading window by window gives.
fn hints_as_read(columns: &Columns, reads: Reads) -> Vec<CounterResetHint> {
    let mut hints: Vec<CounterResetHint> = (columns.histograms.iter())
        .map(|h| h.counter_reset_hint)
        .collect();
    // Floats and histograms in order of time; a histogram with its place.
    let floats = columns.float_ms.iter().map(|t| (*t, None));
    let histograms = columns.histogram_ms.iter().enumerate();
    let mut samples: Vec<(i64, Option<usize>)> = floats
        .chain(histograms.map(|(i, t)| (*t, Some(i))))
        .collect();
    samples.sort_unstable_by_key(|(t, _)| *t);

    let mut previous: Option<usize> = None;
    let mut read = |i: usize, previous: Option<usize>| {
        let current = &columns.histograms[i];
        if current.is_stale() {
            return previous;
        }
        if let (CounterResetHint::Unknown, Some(previous)) = (hints[i], previous) {
            hints[i] = if current.detect_reset(&columns.histograms[previous]) {
                CounterResetHint::CounterReset
            } else {
                CounterResetHint::NotCounterReset
            };
        }
        Some(i)
    };
    let (mut at, mut was_read) = (0, 0);
    for step in 0..reads.references.len {
        let end_ms = reads.references.at(step) + reads.after_ms;
        let begin_ms = end_ms - reads.width_ms;
        let jump = samples[at..].iter().take_while(|(t, _)| *t < begin_ms);
        let jump = jump.count();
        if jump > 0 {
            previous = None;
            at += jump;
            was_read = was_read.max(at);
        }
        while let Some((t, place)) = samples.get(at).copied()
            && t <= end_ms
        {
            if at == was_read {
                if let Some(i) = place {
                    previous = read(i, previous);
                }
                was_read += 1;
            }
            if t == end_ms {
                // The iterator stays on it.
                break;
            }
            at += 1;
        }
    }
    hints
}

/// Removes stale markers; usually there are none.
pub(crate) fn drop_stale(columns: &mut Columns) {
    if columns.floats.iter().any(|v| is_stale(*v)) {
        let keep: Vec<bool> = columns.floats.iter().map(|v| !is_stale(*v)).collect();
        retain(&mut columns.float_ms, &keep);
        retain(&mut columns.floats, &keep);
        retain(&mut columns.float_start_ms, &keep);
    }
    if columns.histograms.iter().any(|h| h.is_stale()) {
        let keep: Vec<bool> = columns.histograms.iter().map(|h| !h.is_stale()).collect();
        retain(&mut columns.histogram_ms, &keep);
        retain(&mut columns.histograms, &keep);
        retain(&mut columns.histogram_start_ms, &keep);
    }
}

fn retain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    values.retain(|_| keep.next().copied().unwrap_or(true));
}

/// The result of a subquery.
pub(crate) struct Computed {
    pub columns: Vec<Column>,
    pub grid: Grid,
}

impl Source for Computed {
    fn load(&self, i: usize, out: &mut Columns) -> Result<u64, QueryError> {
        let column = &self.columns[i];
        for (step, t) in self.grid.times().enumerate() {
            let v = column.floats[step];
            if !is_absent(v) {
                out.float_ms.push(t);
                out.floats.push(v);
            } else if let Some(h) = column.histogram(step) {
                out.histogram_ms.push(t);
                out.histograms.push(Arc::clone(h));
            }
        }
        Ok(0)
    }

    fn samples_a_series(&self) -> u64 {
        self.grid.len as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::STALE_NAN;

    /// Histograms a second apart, each with its count, -1 for a stale marker.
    fn columns(counts: &[i64]) -> Columns {
        let mut columns = Columns::default();
        for (i, count) in counts.iter().enumerate() {
            let count = *count as f64;
            columns.histogram_ms.push(i as i64 * 1000);
            columns.histograms.push(Arc::new(FloatHistogram {
                count,
                sum: if count < 0.0 { STALE_NAN } else { count },
                ..FloatHistogram::default()
            }));
        }
        columns
    }

    #[test]
    fn hints_compare_with_what_was_read() {
        use CounterResetHint::{CounterReset, NotCounterReset, Unknown};
        let reads = |first, step, len, width_ms| Reads {
            references: References { first, step, len },
            after_ms: 0,
            width_ms,
        };
        let all = columns(&[1, 2, -1, 1, 5]);
        // One window over all of it.
        let hints = hints_as_read(&all, reads(4000, 1000, 1, 10_000));
        assert_eq!(hints[..2], [Unknown, NotCounterReset]);
        assert_eq!(hints[3..], [CounterReset, NotCounterReset]);
        // The window begins behind the marker: nothing before was read.
        let hints = hints_as_read(&all, reads(4000, 1000, 1, 1500));
        assert_eq!(hints[3..], [Unknown, NotCounterReset]);
        // Windows with something between them, then windows without.
        let hints = hints_as_read(&all, reads(1000, 3000, 2, 1000));
        assert_eq!(hints[..2], [Unknown, NotCounterReset]);
        assert_eq!(hints[3..], [Unknown, NotCounterReset]);
        let hints = hints_as_read(&all, reads(1000, 1000, 4, 1000));
        assert_eq!(hints[3..], [CounterReset, NotCounterReset]);
    }
}
