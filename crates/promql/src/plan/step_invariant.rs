//! Marks what has the same value at every step, so that it is evaluated once
//! (prometheus/prometheus `preprocessExprHelper`).

use crate::ast::Expr;

/// Functions whose value depends on the evaluation time although their arguments do not.
const TIME_DEPENDENT: [&str; 11] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Wraps the largest step-invariant subtrees, and takes the parentheses off arguments.
pub(super) fn mark(mut expr: Expr) -> Expr {
    let found = visit(&mut expr);
    if found.wrap { wrapped(expr) } else { expr }
}

/// What is known of a subtree.
#[derive(Clone, Copy)]
struct Found {
    invariant: bool,
    /// It is worth evaluating once: not so for literals, and for range vectors, which functions
    /// look at themselves.
    wrap: bool,
}

const VARIES: Found = Found {
    invariant: false,
    wrap: false,
};
const ONCE: Found = Found {
    invariant: true,
    wrap: true,
};

fn visit(expr: &mut Expr) -> Found {
    match expr {
        Expr::Vector(selector) => {
            if selector.at.is_some() {
                ONCE
            } else {
                VARIES
            }
        }
        Expr::Matrix(matrix) => Found {
            invariant: matrix.selector.at.is_some(),
            wrap: false,
        },
        Expr::Number(_) | Expr::String(_) => Found {
            invariant: true,
            wrap: false,
        },
        Expr::Paren(paren) => visit(&mut paren.expr),
        Expr::Unary(unary) => visit(&mut unary.expr),
        Expr::StepInvariant(_) => ONCE,
        Expr::Aggregate(aggregate) => {
            take_parens_off(&mut aggregate.expr);
            if let Some(param) = &mut aggregate.param {
                take_parens_off(param);
            }
            visit(&mut aggregate.expr)
        }
        Expr::Binary(binary) => {
            let lhs = visit(&mut binary.lhs);
            let rhs = visit(&mut binary.rhs);
            if lhs.invariant && rhs.invariant {
                return ONCE;
            }
            wrap_if(lhs.wrap, &mut binary.lhs);
            wrap_if(rhs.wrap, &mut binary.rhs);
            VARIES
        }
        Expr::Call(call) => {
            let mut invariant = !TIME_DEPENDENT.contains(&call.func.name);
            let mut wrap = Vec::with_capacity(call.args.len());
            for arg in &mut call.args {
                take_parens_off(arg);
                let found = visit(arg);
                invariant &= found.invariant;
                wrap.push(found.wrap);
            }
            // The time of a selector's sample, unlike that of something computed.
            let of_one_sample = call.func.name == "timestamp"
                && matches!(&call.args[..], [Expr::Vector(selector)] if selector.at.is_some());
            if invariant || of_one_sample {
                return ONCE;
            }
            for (arg, wrap) in call.args.iter_mut().zip(wrap) {
                wrap_if(wrap, arg);
            }
            VARIES
        }
        Expr::Subquery(subquery) => {
            if visit(&mut subquery.expr).invariant {
                wrap_if(true, &mut subquery.expr);
            }
            if subquery.at.is_some() { ONCE } else { VARIES }
        }
    }
}

fn wrapped(expr: Expr) -> Expr {
    Expr::StepInvariant(Box::new(expr))
}

fn wrap_if(wrap: bool, expr: &mut Expr) {
    if wrap {
        let inner = std::mem::replace(expr, placeholder());
        *expr = wrapped(inner);
    }
}

fn take_parens_off(expr: &mut Expr) {
    while let Expr::Paren(paren) = expr {
        *expr = std::mem::replace(&mut *paren.expr, placeholder());
    }
}

fn placeholder() -> Expr {
    Expr::Number(crate::ast::NumberLiteral {
        value: 0.0,
        is_duration: false,
        pos: crate::ast::PosRange::default(),
    })
}
