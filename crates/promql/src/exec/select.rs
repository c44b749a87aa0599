//! Finding series: each selection once a query.

use std::sync::{Arc, PoisonError};

use model::{MatchKind, Matcher};
use storage::{SelectHints, SeriesSet};

use super::columns::Meta;
use super::{Query, Scope};
use crate::ast::VectorSelector;
use crate::query_error::QueryError;

/// What makes two selections the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    matchers: Vec<Matcher>,
    start_ms: i64,
    end_ms: i64,
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
) -> Result<Arc<SeriesSet>, QueryError> {
    let key = Key {
        matchers: matchers.to_vec(),
        start_ms: span.min_ms,
        end_ms: span.max_ms,
    };
    let cached = || {
        query
            .selections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some(set) = cached().get(&key) {
        return Ok(Arc::clone(set));
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
    };
    let set = query.querier.select(false, &hints, matchers)?;
    query.notes.add_storage(&set.annotations);
    let set = Arc::new(set);
    cached().insert(key, Arc::clone(&set));
    Ok(set)
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
