//! Subqueries: an expression evaluated on a grid of its own, as samples of a range vector.

use std::sync::Arc;

use model::CounterResetHint;

use super::columns::{Column, Grid, Meta};
use super::selector::References;
use super::usage::Usage;
use super::{Looked, Out, Query, Scope, eval};
use crate::ast::Subquery;
use crate::budget::Charge;
use crate::query_error::QueryError;

/// A computed range vector.
pub(crate) struct Computed<'q> {
    pub metas: Vec<Meta>,
    pub columns: Vec<Column>,
    pub grid: Grid,
    pub usage: Usage,
    pub charge: Option<Charge<'q>>,
}

/// Evaluates a subquery at all the times that windows of the outer grid look at.
pub(crate) fn compute<'q>(
    query: &'q Query<'q>,
    subquery: &'q Subquery,
    scope: &Scope<'q>,
    looked: &'q Looked,
) -> Result<Computed<'q>, QueryError> {
    let references = References::new(scope.grid, subquery.at, subquery.offset_ms());
    let grid = inner_grid(query, subquery, references);
    grid.check(query.options.max_samples)?;
    let mut path = scope.path.clone();
    path.push(None);
    let inner = Scope {
        grid,
        path,
        looked,
        uneven: grid.ends_before(references.last()),
        only_labels: None,
    };
    let mut charge = None;
    let (mut metas, mut columns, mut usage) = if grid.len == 0 {
        (Vec::new(), Vec::new(), Usage::empty(0))
    } else {
        match eval(query, &subquery.expr, &inner)? {
            Out::Vector(vect) => {
                let held = vect.materialize(query)?;
                charge = held.charge;
                (held.metas, held.columns, held.usage)
            }
            Out::Scalar { values, usage } => {
                let column = Column {
                    floats: values,
                    histograms: Vec::new(),
                };
                (vec![Meta::new(model::Labels::empty())], vec![column], usage)
            }
            Out::String(_) => return super::failed("subquery over a string"),
        }
    };
    drop_empty(&mut metas, &mut columns);
    forget_resets(&mut columns);
    usage.peak = usage.peak.max(usage.total());
    Ok(Computed {
        metas,
        columns,
        grid,
        usage,
        charge,
    })
}

/// The multiples of the step after the first window's start, up to the last window's end.
fn inner_grid(query: &Query<'_>, subquery: &Subquery, references: References) -> Grid {
    let step = match subquery.step_ms() {
        0 => (query.options.default_subquery_step)(subquery.range_ms()).max(1),
        step => step.max(1),
    };
    let after = references.first.saturating_sub(subquery.range_ms());
    let mut start = step.saturating_mul(after / step);
    if start <= after {
        start = start.saturating_add(step);
    }
    let end = references.last();
    let len = if end < start || references.len == 0 {
        0
    } else {
        ((end - start) / step + 1) as usize
    };
    Grid { start, step, len }
}

fn drop_empty(metas: &mut Vec<Meta>, columns: &mut Vec<Column>) {
    let keep: Vec<bool> = columns.iter().map(|column| !column.is_empty()).collect();
    let mut flags = keep.iter();
    metas.retain(|_| flags.next().copied().unwrap_or(true));
    let mut flags = keep.iter();
    columns.retain(|_| flags.next().copied().unwrap_or(true));
}

/// Between the samples of a subquery there may be others, or a sample may come twice: what the
/// stored hints say of resets does not hold.
fn forget_resets(columns: &mut [Column]) {
    for h in columns
        .iter_mut()
        .flat_map(|c| c.histograms.iter_mut())
        .flatten()
    {
        if matches!(
            h.counter_reset_hint,
            CounterResetHint::CounterReset | CounterResetHint::NotCounterReset
        ) {
            Arc::make_mut(h).counter_reset_hint = CounterResetHint::Unknown;
        }
    }
}
