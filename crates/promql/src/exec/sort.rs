//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant query's
//! answer.

use std::cmp::Ordering;

use super::columns::{Column, Meta, is_absent};
use super::labels::string_arg;
use super::usage::Usage;
use super::vect::{Held, Vect};
use super::{Query, Scope, eval_vector};
use crate::annotate::Note;
use crate::ast::Call;
use crate::functions::natural;
use crate::query_error::QueryError;

/// Evaluates one of the four.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    if scope.grid.len > 1 || scope.uneven {
        query.notes.add(Note::SortIneffective, call.pos);
    }
    let by_label = call.func.name.starts_with("sort_by_label");
    let descending = call.func.name.ends_with("_desc");
    let mut names = Vec::new();
    for i in 1..call.args.len() {
        names.push(string_arg(call, i)?);
    }
    let Held {
        metas,
        columns,
        usage: input,
        charge: _charge,
    } = eval_vector(query, &call.args[0], scope)?.materialize(query)?;
    let mut series: Vec<(Meta, Column)> = metas.into_iter().zip(columns).collect();
    if !by_label {
        for (_, column) in &mut series {
            column.drop_histograms();
        }
        series.retain(|(_, column)| !column.is_empty());
    }
    // Only a single step has an order.
    if scope.grid.len == 1 {
        if by_label {
            series.sort_by(|(a, _), (b, _)| {
                let order = names
                    .iter()
                    .map(|name| natural::compare(a.labels.get(name), b.labels.get(name)))
                    .find(|order| order.is_ne())
                    .unwrap_or_else(|| a.labels.cmp(&b.labels));
                if descending { order.reverse() } else { order }
            });
        } else {
            series.sort_by(|(_, a), (_, b)| by_value(a.floats[0], b.floats[0], descending));
        }
    }
    let (metas, columns): (Vec<Meta>, Vec<Column>) = series.into_iter().unzip();
    let usage = Usage::of(scope.grid.len, &columns).stepwise(&[&input]);
    Vect::ready(query, metas, columns, usage)
}

/// NaN comes last either way.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    let nan = |v: f64| v.is_nan() && !is_absent(v);
    match (nan(a), nan(b)) {
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
        (a, b) => a.cmp(&b),
    }
}
