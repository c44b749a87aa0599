//! Which samples a query can look at at all (prometheus/prometheus `FindMinMaxTime`).

use crate::ast::{At, Expr, VectorSelector};

/// First and last timestamp of interest for evaluations between two times; `(0, 0)` without
/// selectors.
pub(crate) fn time_range(expr: &Expr, start_ms: i64, end_ms: i64, lookback_ms: i64) -> (i64, i64) {
    let mut found = Found {
        min: i64::MAX,
        max: i64::MIN,
        lookback_ms,
    };
    found.visit(expr, start_ms, end_ms);
    if found.max < found.min {
        return (0, 0);
    }
    (found.min, found.max)
}

/// At which times `info` looks up info series for its first argument: those of the first selector in
/// it, with the offsets of the subqueries around that.
pub(crate) fn info_reference(expr: &Expr) -> (Option<At>, i64) {
    fn visit(expr: &Expr, at: Option<At>, offset: i64) -> Option<(Option<At>, i64)> {
        let shifted = |own_at: Option<At>, own_offset: i64| match own_at {
            Some(own) => (Some(own), own_offset),
            None => (at, offset.saturating_add(own_offset)),
        };
        match expr {
            Expr::Vector(selector) => Some(shifted(selector.at, selector.offset_ms())),
            Expr::Matrix(matrix) => Some(shifted(matrix.selector.at, matrix.selector.offset_ms())),
            Expr::Subquery(subquery) => {
                let (at, offset) = shifted(subquery.at, subquery.offset_ms());
                visit(&subquery.expr, at, offset)
            }
            _ => {
                let mut found = None;
                expr.for_each_child(|child| {
                    if found.is_none() {
                        found = visit(child, at, offset);
                    }
                });
                found
            }
        }
    }
    visit(expr, None, 0).unwrap_or((None, 0))
}

struct Found {
    min: i64,
    max: i64,
    lookback_ms: i64,
}

impl Found {
    fn visit(&mut self, expr: &Expr, start: i64, end: i64) {
        match expr {
            Expr::Vector(selector) => self.selector(selector, None, start, end),
            Expr::Matrix(matrix) => {
                self.selector(&matrix.selector, Some(matrix.range_ms()), start, end);
            }
            Expr::Subquery(subquery) => {
                let (start, end) = match subquery.at {
                    Some(At::TimestampMs(t)) => (t, t),
                    _ => (start, end),
                };
                let offset = subquery.offset_ms();
                self.visit(
                    &subquery.expr,
                    start
                        .saturating_sub(offset)
                        .saturating_sub(subquery.range_ms()),
                    end.saturating_sub(offset),
                );
            }
            Expr::Call(call) if call.func.name == "info" => {
                if let Some(arg) = call.args.first() {
                    let (at, offset) = info_reference(arg);
                    let (start, end) = match at {
                        Some(At::TimestampMs(t)) => (t, t),
                        _ => (start, end),
                    };
                    self.extend(
                        start
                            .saturating_sub(offset)
                            .saturating_sub(self.lookback_ms - 1),
                        end.saturating_sub(offset),
                    );
                }
                expr.for_each_child(|child| self.visit(child, start, end));
            }
            _ => expr.for_each_child(|child| self.visit(child, start, end)),
        }
    }

    fn selector(&mut self, selector: &VectorSelector, range: Option<i64>, start: i64, end: i64) {
        let (start, end) = match selector.at {
            Some(At::TimestampMs(t)) => (t, t),
            _ => (start, end),
        };
        let offset = selector.offset_ms();
        let extended = selector.anchored || selector.smoothed;
        let back = match range {
            None => self.lookback_ms,
            Some(range) if extended => range.saturating_add(self.lookback_ms),
            Some(range) => range,
        };
        let ahead = if selector.smoothed {
            self.lookback_ms
        } else {
            0
        };
        self.extend(
            start.saturating_sub(back - 1).saturating_sub(offset),
            end.saturating_add(ahead).saturating_sub(offset),
        );
    }

    fn extend(&mut self, min: i64, max: i64) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }
}
