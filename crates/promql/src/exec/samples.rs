//! The samples that range vector functions look at: from storage, or from a subquery.

use std::cell::RefCell;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, is_stale};
use storage::{Columns, SeriesSet};

use super::columns::{Column, Grid, is_absent};
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
    pub set: Arc<SeriesSet>,
    pub min_ms: i64,
    pub max_ms: i64,
    /// Histograms are reduced to count and sum.
    pub skip_buckets: bool,
    /// Start timestamps are kept.
    pub start_times: bool,
}

/// How often a series has a sample, for estimates.
const TYPICAL_INTERVAL_MS: i64 = 15_000;
/// What finding a series' chunks costs, in samples decoded.
const SERIES_COST: u64 = 50;

impl Stored {
    /// Roughly what a series costs to decode, in samples.
    pub(crate) fn samples_a_series(&self) -> u64 {
        let samples = self.max_ms.saturating_sub(self.min_ms).max(0) / TYPICAL_INTERVAL_MS;
        samples as u64 + SERIES_COST
    }

    /// All samples of series `i`, stale markers included.
    pub(crate) fn decode(&self, i: usize, out: &mut Columns) -> Result<u64, QueryError> {
        self.set.series[i].decode(self.min_ms, self.max_ms, out)?;
        if !self.start_times {
            out.float_start_ms.clear();
            out.histogram_start_ms.clear();
        }
        if self.skip_buckets {
            reduce_to_stats(&mut out.histograms);
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

/// Leaves count and sum of each histogram, and notes a counter reset that only the buckets tell
/// (prometheus/prometheus `promql/histogram_stats_iterator.go`).
fn reduce_to_stats(histograms: &mut [Arc<FloatHistogram>]) {
    let mut previous: Option<Arc<FloatHistogram>> = None;
    for slot in histograms {
        let full = Arc::clone(slot);
        if full.is_stale() {
            *slot = Arc::new(FloatHistogram {
                sum: full.sum,
                ..FloatHistogram::default()
            });
            continue;
        }
        let counter_reset_hint = match (full.counter_reset_hint, &previous) {
            (CounterResetHint::Unknown, Some(previous)) => {
                if full.detect_reset(previous) {
                    CounterResetHint::CounterReset
                } else {
                    CounterResetHint::NotCounterReset
                }
            }
            (hint, _) => hint,
        };
        *slot = Arc::new(FloatHistogram {
            counter_reset_hint,
            // To tell custom from exponential buckets.
            schema: full.schema,
            count: full.count,
            sum: full.sum,
            ..FloatHistogram::default()
        });
        previous = Some(full);
    }
}

/// Removes stale markers; usually there are none.
fn drop_stale(columns: &mut Columns) {
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
