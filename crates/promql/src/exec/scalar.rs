//! Scalars, and the functions that make them and are made of them.

use super::columns::{Column, Grid, Meta, Sample};
use super::usage::Usage;
use super::vect::Vect;
use super::{Out, Query, Scope, eval_scalar, eval_vector};
use crate::ast::Call;
use crate::functions::math::{go_max, go_min};
use crate::query_error::QueryError;

/// The same value at every step.
pub(crate) fn constant<'q>(value: f64, len: usize) -> Out<'q> {
    Out::Scalar {
        values: vec![value; len],
        usage: Usage::scalar(len),
    }
}

/// Functions without vector arguments that give a scalar. `None` for other functions.
pub(crate) fn nullary<'q>(query: &Query<'_>, name: &str, grid: Grid) -> Option<Out<'q>> {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let times = query.times;
    let value = match name {
        "pi" => std::f64::consts::PI,
        "start" => seconds(times.start_ms),
        "end" => seconds(times.end_ms),
        "range" => seconds(times.end_ms - times.start_ms),
        // As upstream: a single moment has no step, even where the query names one.
        "step" if times.start_ms == times.end_ms => 0.0,
        "step" => seconds(times.step_ms),
        "time" => {
            return Some(Out::Scalar {
                values: grid.times().map(seconds).collect(),
                usage: Usage::scalar(grid.len),
            });
        }
        _ => return None,
    };
    Some(constant(value, grid.len))
}

/// `max_of`, `min_of`.
pub(crate) fn extreme<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    let f = if call.func.name == "max_of" {
        go_max
    } else {
        go_min
    };
    let (mut a, a_usage) = eval_scalar(query, &call.args[0], scope)?;
    let (b, b_usage) = eval_scalar(query, &call.args[1], scope)?;
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
    Ok(Out::Scalar {
        values: a,
        usage: Usage::scalar(scope.grid.len).stepwise(&[&a_usage, &b_usage]),
    })
}

/// `scalar`: the one float of a vector, else NaN.
pub(crate) fn scalar<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    let vect = eval_vector(query, &call.args[0], &scope.below("scalar"))?;
    let len = scope.grid.len;
    let mut values = vec![f64::NAN; len];
    let mut floats = vec![0u32; len];
    let input = vect.for_each(query, |_, column| {
        for step in 0..len {
            if let Some(Sample::Float(v)) = column.get(step) {
                floats[step] += 1;
                values[step] = if floats[step] == 1 { v } else { f64::NAN };
            }
        }
        Ok(())
    })?;
    Ok(Out::Scalar {
        values,
        usage: Usage::scalar(len).stepwise(&[&input]),
    })
}

/// `vector`.
pub(crate) fn vector<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let (values, usage) = eval_scalar(query, &call.args[0], scope)?;
    let column = Column {
        floats: values,
        histograms: Vec::new(),
    };
    let columns = vec![column];
    let usage = Usage::of(scope.grid.len, &columns).stepwise(&[&usage]);
    Vect::ready(
        query,
        vec![Meta::new(model::Labels::empty())],
        columns,
        usage,
    )
}
