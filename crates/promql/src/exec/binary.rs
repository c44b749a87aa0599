//! Binary operators: on scalars, on a vector and a scalar, and where to go for two vectors.

use std::sync::Arc;

use model::FloatHistogram;

use super::columns::{ABSENT, Column, Sample, is_absent};
use super::usage::Usage;
use super::vect::{Clash, Vect};
use super::{Out, Query, Scope, eval as eval_expr, failed, join, set_ops};
use crate::annotate::{HistogramOperation, Note, Notes};
use crate::ast::{Binary, BinaryOp, PosRange};
use crate::functions::math::arithmetic;
use crate::query_error::QueryError;

/// Evaluates an operator; `pos` is where the whole expression stands.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    binary: &'q Binary,
    pos: PosRange,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    let op = binary.op;
    // Storage hints end at an operator, and trimming looks at buckets.
    let below = scope.below(match op {
        BinaryOp::TrimUpper | BinaryOp::TrimLower => op.as_str(),
        _ => "",
    });
    let lhs = eval_expr(query, &binary.lhs, &below)?;
    let rhs = match eval_expr(query, &binary.rhs, &below) {
        Ok(rhs) => rhs,
        Err(error) => {
            // As upstream, what is wrong with the left side is told first.
            if let Out::Vector(lhs) = lhs {
                lhs.for_each(query, |_, _| Ok(()))?;
            }
            return Err(error);
        }
    };
    match (lhs, rhs) {
        (
            Out::Scalar {
                mut values,
                usage: left,
            },
            Out::Scalar {
                values: others,
                usage: right,
            },
        ) => {
            if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                let op = golang::strconv::quote(op.as_str());
                return failed(format!("operator {op} not allowed for Scalar operations"));
            }
            for (a, b) in values.iter_mut().zip(others) {
                *a = arithmetic(op, *a, b);
            }
            Ok(Out::Scalar {
                values,
                usage: Usage::scalar(scope.grid.len).stepwise(&[&left, &right]),
            })
        }
        (Out::Vector(vect), Out::Scalar { values, .. }) => {
            with_scalar(query, binary, pos, vect, values, false).map(Out::Vector)
        }
        (Out::Scalar { values, .. }, Out::Vector(vect)) => {
            with_scalar(query, binary, pos, vect, values, true).map(Out::Vector)
        }
        (Out::Vector(lhs), Out::Vector(rhs)) => if op.is_set() {
            set_ops::eval(query, binary, lhs, rhs)
        } else {
            join::eval(query, binary, pos, lhs, rhs)
        }
        .map(Out::Vector),
        (Out::String(_), _) | (_, Out::String(_)) => {
            failed("binary expression must contain only scalar and instant vector types")
        }
    }
}

/// Whether the operator makes something else of the metric.
pub(crate) fn changes_metric(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Div | Mul | Pow | Mod | Atan2)
}

fn with_scalar<'q>(
    query: &'q Query<'q>,
    binary: &'q Binary,
    pos: PosRange,
    vect: Vect<'q>,
    scalar: Vec<f64>,
    swapped: bool,
) -> Result<Vect<'q>, QueryError> {
    let op = binary.op;
    let return_bool = binary.return_bool;
    let notes = &query.notes;
    let vect = vect.map(1, move |column: &mut Column| {
        if column.histograms.is_empty() && !matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
        {
            float_with_scalar(op, &mut column.floats, &scalar, swapped, return_bool);
            return;
        }
        for (step, scalar) in scalar.iter().enumerate() {
            let Some(value) = column.get(step) else {
                continue;
            };
            column.clear(step);
            let scalar = Sample::Float(*scalar);
            let (left, right) = if swapped {
                (&scalar, &value)
            } else {
                (&value, &scalar)
            };
            let Some((mut result, keep)) = combine(op, left, right, notes, pos) else {
                continue;
            };
            // A filter keeps the vector's value, on whichever side it is.
            if op.is_comparison() && swapped {
                result = value;
            }
            if return_bool {
                column.floats[step] = if keep { 1.0 } else { 0.0 };
            } else if keep {
                column.set(step, result);
            }
        }
    });
    if changes_metric(op) || return_bool {
        vect.without_name(query, Clash::Merge)
    } else {
        Ok(vect)
    }
}

/// The loops for columns of floats, an operator each.
fn float_with_scalar(
    op: BinaryOp,
    column: &mut [f64],
    scalar: &[f64],
    swapped: bool,
    return_bool: bool,
) {
    #[inline(always)]
    fn each(column: &mut [f64], scalar: &[f64], f: impl Fn(f64, f64) -> f64) {
        for (v, s) in column.iter_mut().zip(scalar) {
            let result = f(*v, *s);
            *v = if is_absent(*v) { ABSENT } else { result };
        }
    }
    macro_rules! compare {
        ($operator:tt) => {
            match (return_bool, swapped) {
                (true, false) => each(column, scalar, |v, s| f64::from(u8::from(v $operator s))),
                (true, true) => each(column, scalar, |v, s| f64::from(u8::from(s $operator v))),
                (false, false) => each(column, scalar, |v, s| if v $operator s { v } else { ABSENT }),
                (false, true) => each(column, scalar, |v, s| if s $operator v { v } else { ABSENT }),
            }
        };
    }
    match op {
        BinaryOp::Eql => compare!(==),
        BinaryOp::Neq => compare!(!=),
        BinaryOp::Lss => compare!(<),
        BinaryOp::Lte => compare!(<=),
        BinaryOp::Gtr => compare!(>),
        BinaryOp::Gte => compare!(>=),
        BinaryOp::Add => each(column, scalar, |v, s| v + s),
        BinaryOp::Mul => each(column, scalar, |v, s| v * s),
        BinaryOp::Sub if swapped => each(column, scalar, |v, s| s - v),
        BinaryOp::Sub => each(column, scalar, |v, s| v - s),
        BinaryOp::Div if swapped => each(column, scalar, |v, s| s / v),
        BinaryOp::Div => each(column, scalar, |v, s| v / s),
        op if swapped => each(column, scalar, |v, s| arithmetic(op, s, v)),
        op => each(column, scalar, |v, s| arithmetic(op, v, s)),
    }
}

/// The result of an operator on two values, and whether a comparison holds. `None`, with a note,
/// where the operator is not for these types.
pub(crate) fn combine(
    op: BinaryOp,
    lhs: &Sample,
    rhs: &Sample,
    notes: &Notes,
    pos: PosRange,
) -> Option<(Sample, bool)> {
    let unfit = |lhs, rhs| {
        notes.add(
            Note::IncompatibleTypes {
                lhs,
                operator: op.as_str(),
                rhs,
            },
            pos,
        );
        None
    };
    let histogram = |mut h: FloatHistogram| {
        h.compact(0);
        Some((Sample::Histogram(Arc::new(h)), true))
    };
    match (lhs, rhs) {
        (Sample::Float(a), Sample::Float(b)) => match op {
            BinaryOp::TrimLower | BinaryOp::TrimUpper => unfit("float", "float"),
            op if op.is_comparison() => Some((Sample::Float(*a), arithmetic(op, *a, *b) == 1.0)),
            op => Some((Sample::Float(arithmetic(op, *a, *b)), true)),
        },
        (Sample::Float(factor), Sample::Histogram(h)) => match op {
            BinaryOp::Mul => histogram({
                let mut h = FloatHistogram::clone(h);
                h.mul(*factor);
                h
            }),
            _ => unfit("float", "histogram"),
        },
        (Sample::Histogram(h), Sample::Float(b)) => {
            let mut h = FloatHistogram::clone(h);
            match op {
                BinaryOp::Mul => h.mul(*b),
                BinaryOp::Div => h.div(*b),
                BinaryOp::TrimUpper => h.trim_above(*b),
                BinaryOp::TrimLower => h.trim_below(*b),
                _ => return unfit("histogram", "float"),
            }
            histogram(h)
        }
        (Sample::Histogram(a), Sample::Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => add_or_subtract(op, a, b, notes, pos),
            BinaryOp::Eql => Some((lhs.clone(), a.equals(b))),
            BinaryOp::Neq => Some((lhs.clone(), !a.equals(b))),
            _ => unfit("histogram", "histogram"),
        },
    }
}

fn add_or_subtract(
    op: BinaryOp,
    a: &FloatHistogram,
    b: &FloatHistogram,
    notes: &Notes,
    pos: PosRange,
) -> Option<(Sample, bool)> {
    let mut result = a.clone();
    let (outcome, operation) = if op == BinaryOp::Add {
        (result.add(b), HistogramOperation::Addition)
    } else {
        (result.sub(b), HistogramOperation::Subtraction)
    };
    let Ok(reconciled) = outcome else {
        notes.add(
            Note::IncompatibleBucketLayout {
                operator: op.as_str(),
            },
            pos,
        );
        return None;
    };
    if reconciled.counter_reset_collision {
        // Upstream gives no sample then.
        notes.add(Note::ResetCollision(operation), pos);
        return None;
    }
    if reconciled.custom_bounds {
        notes.add(Note::MismatchedCustomBuckets(operation), pos);
    }
    if op == BinaryOp::Sub {
        result.counter_reset_hint = model::CounterResetHint::Gauge;
    }
    result.compact(0);
    Some((Sample::Histogram(Arc::new(result)), true))
}
