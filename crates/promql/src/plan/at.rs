//! `@ start()` and `@ end()` become times.

use super::QueryTimes;
use crate::ast::{At, Expr};

pub(super) fn resolve(expr: &mut Expr, times: QueryTimes) {
    let at = match expr {
        Expr::Vector(selector) => &mut selector.at,
        Expr::Matrix(matrix) => &mut matrix.selector.at,
        Expr::Subquery(subquery) => &mut subquery.at,
        _ => &mut None,
    };
    match at {
        Some(At::Start) => *at = Some(At::TimestampMs(times.start_ms)),
        Some(At::End) => *at = Some(At::TimestampMs(times.end_ms)),
        Some(At::TimestampMs(t)) => *t = super::within_reach(*t),
        None => {}
    }
    expr.for_each_child_mut(|child| resolve(child, times));
}
