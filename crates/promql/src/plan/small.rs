//! Tells small queries from others before anything is read.

use storage::Queryable;

use super::QueryTimes;
use crate::ast::{Expr, VectorSelector};

/// What finding a series and writing its answer costs, in samples decoded.
const SERIES_COST: u64 = 30;
/// How often a series has a sample.
const TYPICAL_INTERVAL_MS: i64 = 15_000;
/// Samples up to which a query is small; about a third of a millisecond.
const SMALL: u64 = 20_000;

/// Whether all that `expr` looks at and computes is little, as far as can be told from the sizes of
/// its selectors.
pub(crate) fn is_small(
    queryable: &dyn Queryable,
    expr: &Expr,
    times: QueryTimes,
    lookback_ms: i64,
) -> bool {
    let span_ms = times.end_ms.saturating_sub(times.start_ms).max(0);
    let steps = span_ms.checked_div(times.step_ms.max(1)).unwrap_or(0) as u64 + 1;
    let mut sum = Sum {
        queryable,
        start_ms: times.start_ms,
        span_ms,
        steps,
        lookback_ms,
        samples: steps,
    };
    sum.add(expr).is_some()
}

struct Sum<'a> {
    queryable: &'a dyn Queryable,
    start_ms: i64,
    span_ms: i64,
    steps: u64,
    lookback_ms: i64,
    samples: u64,
}

impl Sum<'_> {
    /// `None` as soon as it is too much, or not known.
    fn add(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Vector(selector) => self.selector(selector, self.lookback_ms),
            Expr::Matrix(matrix) if matrix.range_expr.is_none() => {
                self.selector(&matrix.selector, matrix.range_ms())
            }
            // How much that is depends on its step.
            Expr::Subquery(_) | Expr::Matrix(_) => None,
            // Its second argument selects what no matcher says.
            Expr::Call(call) if call.func.name == "info" => None,
            _ => {
                let mut all = Some(());
                expr.for_each_child(|child| all = all.and_then(|()| self.add(child)));
                all
            }
        }
    }

    fn selector(&mut self, selector: &VectorSelector, reach_ms: i64) -> Option<()> {
        if selector.at.is_some() || selector.offset_expr.is_some() {
            return None;
        }
        let reach_ms = reach_ms.saturating_add(self.lookback_ms);
        let min_ms = self.start_ms.saturating_sub(reach_ms);
        let min_ms = min_ms.saturating_sub(selector.offset_ms().max(0));
        let series = (self.queryable).series_at_most(min_ms, &selector.matchers)? as u64;
        let decoded = self.span_ms.saturating_add(reach_ms) / TYPICAL_INTERVAL_MS;
        let each = SERIES_COST + decoded.max(0) as u64 + 4 * self.steps;
        self.samples = self.samples.saturating_add(series.saturating_mul(each));
        (self.samples <= SMALL).then_some(())
    }
}
