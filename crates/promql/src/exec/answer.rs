//! From columns to the answer of a query.

use std::sync::Arc;

use storage::Columns;

use super::columns::{Column, Meta, Sample, is_absent, is_metadata_label};
use super::usage::Usage;
use super::vect::{Clash, Held, Vect, merge_same};
use super::window::{Ranges, ranges};
use super::{Grid, Out, PHASE, Query, Scope, eval, same_labelset, subquery};
use crate::ast::{Expr, ValueType};
use crate::functions::extended::extend;
use crate::functions::window::window_of;
use crate::query_error::QueryError;
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};

/// Evaluates at one time.
pub(crate) fn instant<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<(Value, Usage), QueryError> {
    let t_ms = scope.grid.start;
    if expr.value_type() == ValueType::Matrix {
        return match expr.unwrapped() {
            Expr::Subquery(sub) => {
                let computed = subquery::compute(query, sub, scope, scope.looked)?;
                scope.looked.gather();
                let series = cleaned(query, computed.metas, computed.columns)?;
                Ok((matrix(series, computed.grid), computed.usage))
            }
            _ => range_vector(query, ranges(query, expr, scope)?, scope),
        };
    }
    match eval(query, expr, scope)? {
        Out::Scalar { values, usage } => {
            let v = values.first().copied().unwrap_or(f64::NAN);
            Ok((Value::Scalar { t_ms, v }, usage))
        }
        Out::String(s) => Ok((Value::String { t_ms, s }, Usage::empty(1))),
        Out::Vector(vect) => {
            let (series, usage) = finished(query, vect)?;
            let samples = series
                .into_iter()
                .filter_map(|(meta, column)| {
                    let value = match column.get(0)? {
                        Sample::Float(v) => SampleValue::Float(v),
                        Sample::Histogram(h) => SampleValue::Histogram(h),
                    };
                    Some(VectorSample {
                        labels: meta.labels,
                        t_ms,
                        value,
                    })
                })
                .collect();
            Ok((Value::Vector(samples), usage))
        }
    }
}

/// Evaluates at all steps.
pub(crate) fn range<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<(Value, Usage), QueryError> {
    let (series, usage) = match eval(query, expr, scope)? {
        Out::Scalar { values, usage } => {
            let column = Column {
                floats: values,
                histograms: Vec::new(),
            };
            (vec![(Meta::new(model::Labels::empty()), column)], usage)
        }
        Out::Vector(vect) => finished(query, vect)?,
        Out::String(_) => {
            return super::failed("cannot evaluate a string over a range");
        }
    };
    Ok((matrix(series, scope.grid), usage))
}

type Series = Vec<(Meta, Column)>;

fn finished<'q>(query: &'q Query<'q>, vect: Vect<'q>) -> Result<(Series, Usage), QueryError> {
    let Held {
        metas,
        columns,
        usage,
        charge: _charge,
    } = vect.materialize(query)?;
    Ok((cleaned(query, metas, columns)?, usage))
}

/// Carries out delayed name removal.
fn cleaned(
    query: &Query<'_>,
    mut metas: Vec<Meta>,
    columns: Vec<Column>,
) -> Result<Series, QueryError> {
    if !query.options.delayed_name_removal {
        return Ok(metas.into_iter().zip(columns).collect());
    }
    for meta in metas.iter_mut().filter(|meta| meta.drop_name) {
        meta.labels = meta.labels.without(is_metadata_label);
    }
    if super::vect::all_distinct(&metas) {
        return Ok(metas.into_iter().zip(columns).collect());
    }
    let (metas, columns) = merge_same(metas, columns, Clash::Merge)?;
    Ok(metas.into_iter().zip(columns).collect())
}

/// Series that are not empty, sorted by labels.
fn matrix(series: Series, grid: Grid) -> Value {
    let mut out: Vec<MatrixSeries> = Vec::with_capacity(series.len());
    let times: Vec<i64> = grid.times().collect();
    for (meta, column) in series {
        let mut one = MatrixSeries {
            labels: meta.labels,
            ..MatrixSeries::default()
        };
        if column.histograms.is_empty() {
            let present = column.floats.iter().filter(|v| !is_absent(**v)).count();
            if present == 0 {
                continue;
            }
            one.float_ms.reserve_exact(present);
            if present == column.floats.len() {
                one.float_ms.extend_from_slice(&times);
                one.floats = column.floats;
            } else {
                one.floats.reserve_exact(present);
                for (v, t) in column.floats.iter().zip(&times) {
                    if !is_absent(*v) {
                        one.float_ms.push(*t);
                        one.floats.push(*v);
                    }
                }
            }
        } else {
            for (step, t) in times.iter().copied().enumerate() {
                match column.get(step) {
                    Some(Sample::Float(v)) => {
                        one.float_ms.push(t);
                        one.floats.push(v);
                    }
                    Some(Sample::Histogram(h)) => {
                        one.histogram_ms.push(t);
                        one.histograms.push(h);
                    }
                    None => {}
                }
            }
            if one.is_empty() {
                continue;
            }
        }
        out.push(one);
    }
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    Value::Matrix(out)
}

/// A range vector that stands alone: its samples as they are stored.
fn range_vector<'q>(
    query: &'q Query<'q>,
    ranges: Ranges<'q>,
    scope: &Scope<'q>,
) -> Result<(Value, Usage), QueryError> {
    let end_ms = ranges.references.first;
    let start_ms = end_ms - ranges.range_ms;
    let mut out: Vec<MatrixSeries> = Vec::new();
    // What is looked at, and what of it is in the answer: extended ranges look further.
    let (mut size, mut result) = (0u64, 0u64);
    let mut held = Vec::new();
    let extended = match (ranges.anchored, ranges.smoothed) {
        (true, _) => Some("anchored"),
        (false, true) => Some("smoothed"),
        (false, false) => None,
    };
    for (i, meta) in ranges.metas.iter().enumerate() {
        query.cancel.check(PHASE)?;
        let mut samples = Columns::default();
        let read = ranges.source.load(i, &mut samples)?;
        query
            .samples_read
            .fetch_add(read, std::sync::atomic::Ordering::Relaxed);
        let window = window_of(
            &samples,
            start_ms - ranges.reach.before_ms,
            end_ms + ranges.reach.after_ms,
        );
        if window.is_empty() {
            continue;
        }
        size += window.size();
        if size > query.options.max_samples {
            return Err(QueryError::TooManySamples);
        }
        held.push(query.bytes.take(window.size() * 16, || ranges.name())?);
        let mut one = MatrixSeries {
            labels: meta.labels.clone(),
            ..MatrixSeries::default()
        };
        if let Some(extended) = extended {
            if !window.histograms.is_empty() {
                return super::failed(format!(
                    "{extended} modifier is not supported with histograms"
                ));
            }
            let bounds = (start_ms, end_ms);
            (one.float_ms, one.floats) = extend(&window, bounds, ranges.smoothed);
            result += one.floats.len() as u64;
        } else {
            one.float_ms = window.float_ms.to_vec();
            one.floats = window.floats.to_vec();
            one.histogram_ms = window.histogram_ms.to_vec();
            one.histograms = window.histograms.iter().map(Arc::clone).collect();
            result += window.size();
        }
        if !one.is_empty() {
            out.push(one);
        }
    }
    scope.looked.add(query.stats, &[result]);
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    if out.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
        return same_labelset();
    }
    let mut usage = Usage::empty(1);
    usage.counts[0] = result;
    usage.peak = size;
    Ok((Value::Matrix(out), usage))
}
