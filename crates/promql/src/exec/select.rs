//! Finding series: each selection once a query, and decoded once where several operators take its samples.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::{MatchKind, Matcher};
use storage::{Columns, SelectHints, SeriesSet, StorageError, Turn};

use super::columns::Meta;
use super::samples::typical_samples;
use super::{Query, Scope};
use crate::ast::VectorSelector;
use crate::query_error::QueryError;

/// What makes two selections the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    matchers: Vec<Matcher>,
    start_ms: i64,
    end_ms: i64,
    only_labels: Option<Vec<String>>,
}

/// The times of samples that an expression looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Both inclusive.
    pub min_ms: i64,
    pub max_ms: i64,
    /// The window of a range selector, 0 without one.
    pub range_ms: i64,
}

/// The series of a selector. `storage` annotations become notes.
pub(crate) fn select(
    query: &Query<'_>,
    matchers: &[Matcher],
    span: Span,
    scope: &Scope<'_>,
) -> Result<Arc<Selected>, QueryError> {
    let key = Key {
        matchers: matchers.to_vec(),
        start_ms: span.min_ms,
        end_ms: span.max_ms,
        only_labels: scope.only_labels.clone(),
    };
    let cached = || {
        query
            .selections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some(selected) = cached().get(&key) {
        selected.share(query);
        return Ok(Arc::clone(selected));
    }
    let hints = SelectHints {
        start_ms: span.min_ms,
        end_ms: span.max_ms,
        step_ms: if query.times.step_ms == 0 && scope.path.iter().all(Option::is_some) {
            0
        } else {
            scope.grid.step
        },
        range_ms: span.range_ms,
        func: scope
            .path
            .last()
            .copied()
            .flatten()
            .unwrap_or_default()
            .to_owned(),
        limit: 0,
        series_only: false,
        only_labels: scope.only_labels.clone(),
    };
    let set = query.querier.select(false, &hints, matchers)?;
    query.notes.add_storage(&set.annotations);
    let selected = Arc::new(Selected {
        set,
        min_ms: span.min_ms,
        max_ms: span.max_ms,
        users: AtomicU32::new(1),
        begun: AtomicBool::new(false),
        kept: OnceLock::new(),
    });
    cached().insert(key, Arc::clone(&selected));
    Ok(selected)
}

/// The series of a selector between two times, and their samples from the first time that they are decoded to
/// the last.
pub(crate) struct Selected {
    pub set: SeriesSet,
    min_ms: i64,
    max_ms: i64,
    /// How many operators take the samples.
    users: AtomicU32,
    /// The first of them has decoded some.
    begun: AtomicBool,
    /// There are several.
    kept: OnceLock<Kept>,
}

/// Samples that are decoded again where they would take more than this, in bytes.
const MOST_KEPT: u64 = 16 << 20;

/// Decoded samples by series.
struct Kept {
    /// With them how many users are still to come.
    series: Vec<Mutex<Option<(Columns, u32)>>>,
    /// How many bytes more may be kept.
    room: AtomicI64,
}

impl Selected {
    /// One more operator takes the samples.
    fn share(&self, query: &Query<'_>) {
        // The first one is through, most likely: it will not leave anything.
        if self.begun.load(Ordering::Relaxed) {
            return;
        }
        self.users.fetch_add(1, Ordering::Relaxed);
        self.kept.get_or_init(|| {
            let samples = typical_samples(self.min_ms, self.max_ms) + 1;
            let wanted = samples.saturating_mul(16 * self.set.series.len() as u64);
            let wanted = wanted.min(MOST_KEPT);
            let charge = query.bytes.take(wanted, String::new);
            let room = if charge.is_ok() { wanted as i64 } else { 0 };
            // Taken until the query ends.
            std::mem::forget(charge);
            Kept {
                series: self.set.series.iter().map(|_| Mutex::default()).collect(),
                room: AtomicI64::new(room),
            }
        });
    }

    /// Series are decoded in their order, mostly.
    fn prefetch_after(&self, i: usize) {
        for (later, turn) in [(i + 2, Turn::AfterNext), (i + 1, Turn::Next)] {
            if let Some(series) = self.set.series.get(later) {
                series.prefetch(turn);
            }
        }
    }

    /// Appends all samples of series `i` to `out`, stale markers included.
    pub(crate) fn decode(&self, i: usize, out: &mut Columns) -> Result<(), StorageError> {
        let decode = |out: &mut Columns| self.set.series[i].decode(self.min_ms, self.max_ms, out);
        let Some(kept) = self.kept.get() else {
            self.begun.store(true, Ordering::Relaxed);
            self.prefetch_after(i);
            return decode(out);
        };
        let mut slot = kept.series[i]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((columns, left)) = &mut *slot {
            out.float_ms.extend_from_slice(&columns.float_ms);
            out.floats.extend_from_slice(&columns.floats);
            *left -= 1;
            if *left == 0 {
                let bytes = bytes(columns);
                kept.room.fetch_add(bytes, Ordering::Relaxed);
                *slot = None;
            }
            return Ok(());
        }
        let was_empty = out.float_ms.is_empty() && out.histogram_ms.is_empty();
        self.prefetch_after(i);
        decode(out)?;
        // Histograms take more than can be told at once, start timestamps are rare.
        if !was_empty || !out.histogram_ms.is_empty() || !out.float_start_ms.is_empty() {
            return Ok(());
        }
        if kept.room.fetch_sub(bytes(out), Ordering::Relaxed) < bytes(out) {
            kept.room.fetch_add(bytes(out), Ordering::Relaxed);
            return Ok(());
        }
        let columns = Columns {
            float_ms: out.float_ms.clone(),
            floats: out.floats.clone(),
            ..Columns::default()
        };
        *slot = Some((columns, self.users.load(Ordering::Relaxed) - 1));
        Ok(())
    }
}

/// How many bytes the samples of `columns` take.
fn bytes(columns: &Columns) -> i64 {
    columns.floats.len() as i64 * 16
}

/// The labels of a set's series.
pub(crate) fn metas(set: &SeriesSet) -> Vec<Meta> {
    set.series
        .iter()
        .map(|series| Meta::new(series.labels().clone()))
        .collect()
}

/// Whether the selected series all have the same metric name, so that they differ without it.
pub(crate) fn has_one_name(selector: &VectorSelector) -> bool {
    selector.matchers.iter().any(|matcher| {
        &*matcher.name == model::labels::METRIC_NAME
            && matcher.kind == MatchKind::Equal
            && !matcher.value.is_empty()
    })
}
