//! Subtrees that occur more than once in a query are evaluated once and their columns kept.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::columns::{Column, Grid, Meta};
use super::usage::Usage;
use super::vect::{Held, Vect};
use super::{Out, Query, Scope};
use crate::query_error::QueryError;

/// Columns larger than this are computed again instead of kept, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// What makes two evaluations the same: alike subtrees, the same times, samples read alike and counted
/// in the same place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    number: u32,
    times: (i64, i64, usize),
    only_stats: bool,
    in_subquery: bool,
}

/// A kept result, and what has to be counted once more when it is used.
pub(crate) struct Kept {
    metas: Vec<Meta>,
    columns: Vec<Column>,
    usage: Usage,
    looked: Vec<u64>,
    read: u64,
}

impl Key {
    fn new(number: u32, scope: &Scope<'_>) -> Key {
        let Grid { start, step, len } = scope.grid;
        Key {
            number,
            times: (start, step, len),
            only_stats: crate::plan::skips_buckets(&scope.path),
            in_subquery: scope.path.contains(&None),
        }
    }
}

/// The result of an earlier subtree like this, or `evaluate`'s, which is kept if it can be used again:
/// where it says nothing about places in the query.
pub(crate) fn shared<'q>(
    query: &'q Query<'q>,
    number: u32,
    scope: &Scope<'q>,
    evaluate: impl FnOnce() -> Result<Out<'q>, QueryError>,
) -> Result<Out<'q>, QueryError> {
    let key = Key::new(number, scope);
    let kept = || query.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = kept().get(&key) {
        scope.looked.add(query.stats, &kept.looked);
        query.samples_read.fetch_add(kept.read, Ordering::Relaxed);
        let (metas, columns) = (kept.metas.clone(), kept.columns.clone());
        return Vect::ready(query, metas, columns, kept.usage.clone()).map(Out::Vector);
    }
    let notes = query.notes.times();
    let looked = scope.looked.seen(query.stats);
    let read = query.samples_read.load(Ordering::Relaxed);
    let vect = match evaluate()? {
        Out::Vector(vect) if vect.metas.len() * vect.len() * 8 <= MOST_BYTES => vect,
        other => return Ok(other),
    };
    let Held {
        metas,
        columns,
        usage,
        charge,
    } = vect.materialize(query)?;
    if query.notes.times() == notes && columns.iter().all(|c| c.histograms.is_empty()) {
        // Taken until the query ends.
        std::mem::forget(charge);
        let result = Kept {
            metas: metas.clone(),
            columns: columns.clone(),
            usage: usage.clone(),
            looked: scope.looked.since(query.stats, &looked),
            read: query.samples_read.load(Ordering::Relaxed) - read,
        };
        kept().insert(key, result);
    }
    Vect::ready(query, metas, columns, usage).map(Out::Vector)
}
