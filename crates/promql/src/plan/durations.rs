//! Computes duration expressions (prometheus/prometheus `promql/durations.go`).

use super::QueryTimes;
use crate::ast::{
    BinaryOp, DurationExpr, DurationKind, DurationTerm, Expr, NANOS_PER_MS, PosRange, UnaryOp,
};
use crate::functions::math::{go_max, go_min};
use crate::query_error::QueryError;

/// Puts the value of every duration expression into the literal's place.
pub(super) fn resolve(expr: &mut Expr, times: QueryTimes) -> Result<(), QueryError> {
    match expr {
        Expr::Vector(selector) => {
            if let Some(offset) = &selector.offset_expr {
                selector.offset_ns = nanos(offset, times, true)?;
            }
        }
        Expr::Matrix(matrix) => {
            if let Some(range) = &matrix.range_expr {
                matrix.range_ns = nanos(range, times, false)?;
            }
            if let Some(offset) = &matrix.selector.offset_expr {
                matrix.selector.offset_ns = nanos(offset, times, true)?;
            }
        }
        Expr::Subquery(subquery) => {
            if let Some(offset) = &subquery.offset_expr {
                subquery.offset_ns = nanos(offset, times, true)?;
            }
            if let Some(step) = &subquery.step_expr {
                subquery.step_ns = nanos(step, times, false)?;
            }
            if let Some(range) = &subquery.range_expr {
                subquery.range_ns = nanos(range, times, false)?;
            }
        }
        _ => {}
    }
    let mut result = Ok(());
    expr.for_each_child_mut(|child| {
        if result.is_ok() {
            result = resolve(child, times);
        }
    });
    result
}

fn nanos(expr: &DurationExpr, times: QueryTimes, may_be_negative: bool) -> Result<i64, QueryError> {
    let seconds = evaluate(expr, times)?;
    if !seconds.is_finite() {
        return failed(expr, "duration is NaN or infinite");
    }
    if seconds <= 0.0 && !may_be_negative {
        return failed(expr, "duration must be greater than 0");
    }
    // What a count of nanoseconds holds.
    let ms = (seconds * 1000.0).trunc();
    if ms.abs() > (i64::MAX / NANOS_PER_MS) as f64 {
        return failed(expr, "duration is out of range");
    }
    Ok(ms as i64 * NANOS_PER_MS)
}

/// The query is refused; upstream names the bytes of the expression and no line.
fn failed<T>(expr: &DurationExpr, what: &str) -> Result<T, QueryError> {
    let PosRange { start, end } = expr.pos;
    Err(QueryError::Parse(format!("{start}:{end}: {what}")))
}

fn evaluate(expr: &DurationExpr, times: QueryTimes) -> Result<f64, QueryError> {
    let term = |term: &DurationTerm| match term {
        DurationTerm::Literal(literal) => Ok(literal.value),
        DurationTerm::Expr(expr) => evaluate(expr, times),
    };
    Ok(match &expr.kind {
        DurationKind::Step => times.step_ms as f64 / 1000.0,
        DurationKind::Range => (times.end_ms - times.start_ms) as f64 / 1000.0,
        DurationKind::MinOf(a, b) => go_min(term(a)?, term(b)?),
        DurationKind::MaxOf(a, b) => go_max(term(a)?, term(b)?),
        DurationKind::Unary(UnaryOp::Minus, a) => -term(a)?,
        DurationKind::Unary(UnaryOp::Plus, a) => term(a)?,
        DurationKind::Binary(op, a, b) => {
            let (a, b) = (term(a)?, term(b)?);
            match op {
                BinaryOp::Div if b == 0.0 => return failed(expr, "division by zero"),
                BinaryOp::Mod if b == 0.0 => return failed(expr, "modulo by zero"),
                op => crate::functions::math::arithmetic(*op, a, b),
            }
        }
    })
}
