//! From the tree of a query to the tree that is evaluated: durations are computed, `@ start()` and
//! `@ end()` become times, and what is the same at every step is marked
//! (prometheus/prometheus `PreprocessExpr`).

mod at;
mod durations;
mod histogram_stats;
mod repeated;
mod small;
mod step_invariant;
mod time_range;

pub(crate) use histogram_stats::skips_buckets;
pub(crate) use repeated::Repeated;
pub(crate) use small::is_small;
pub(crate) use time_range::{info_reference, time_range};

use crate::ast::Expr;
use crate::query_error::QueryError;

/// The times of a query; an instant query has a step of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryTimes {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

/// Times are kept this far from the ends of their type, so that offsets and ranges can be added to
/// them. It is 73 million years.
const FARTHEST_MS: i64 = 1 << 61;

/// A time that offsets and ranges can be added to.
pub(crate) fn within_reach(t_ms: i64) -> i64 {
    t_ms.clamp(-FARTHEST_MS, FARTHEST_MS)
}

/// Prepares a copy of `expr` for evaluation.
///
/// # Errors
/// Durations that cannot be computed, or that come out as nothing a range can be.
pub(crate) fn prepare(expr: &Expr, times: QueryTimes) -> Result<Expr, QueryError> {
    let mut expr = expr.clone();
    durations::resolve(&mut expr, times)?;
    at::resolve(&mut expr, times);
    Ok(step_invariant::mark(expr))
}
