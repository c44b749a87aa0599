//! The JSON tree of `/api/v1/parse_query` (prometheus/prometheus `web/api/v1/translate_ast.go`).

use promql::ast::{
    Aggregate, At, Binary, Call, DurationExpr, DurationKind, DurationTerm, Expr, MatrixSelector,
    NumberLiteral, Subquery, ValueType, VectorSelector,
};
use serde_json::{Value, json};

/// The tree of an expression as upstream's user interface reads it. Numbers of literals are strings;
/// durations are milliseconds.
pub fn ast_json(expr: &Expr) -> Value {
    match expr {
        Expr::Number(literal) => json!({"type": "numberLiteral", "val": float(literal.value)}),
        Expr::String(literal) => json!({"type": "stringLiteral", "val": literal.value}),
        Expr::Paren(paren) => json!({"type": "parenExpr", "expr": ast_json(&paren.expr)}),
        Expr::Unary(unary) => json!({
            "type": "unaryExpr",
            "op": unary.op.as_str(),
            "expr": ast_json(&unary.expr),
        }),
        Expr::Binary(_) => chain(expr),
        Expr::Call(call) => call_json(call),
        Expr::Aggregate(aggregate) => aggregate_json(aggregate),
        Expr::Vector(selector) => selector_json("vectorSelector", selector),
        Expr::Matrix(matrix) => matrix_json(matrix),
        Expr::Subquery(subquery) => subquery_json(subquery),
        Expr::StepInvariant(inner) => ast_json(inner),
    }
}

fn float(value: f64) -> String {
    golang::strconv::format_float(value, 'f', -1, 64)
}

/// A binary expression, whose left side may be a long chain.
fn chain(expr: &Expr) -> Value {
    let mut spine = Vec::new();
    let mut leftmost = expr;
    while let Expr::Binary(binary) = leftmost {
        spine.push(binary);
        leftmost = &binary.lhs;
    }
    spine
        .into_iter()
        .rev()
        .fold(ast_json(leftmost), |lhs, binary| binary_json(binary, lhs))
}

fn binary_json(binary: &Binary, lhs: Value) -> Value {
    let matching = binary.matching.as_ref().map(|matching| {
        json!({
            "card": matching.card.as_str(),
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
        })
    });
    json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "lhs": lhs,
        "rhs": ast_json(&binary.rhs),
        "matching": matching,
        "bool": binary.return_bool,
    })
}

fn call_json(call: &Call) -> Value {
    let func = call.func;
    let arg_types: Vec<&str> = func
        .args
        .iter()
        .map(|arg| ValueType::as_str(*arg))
        .collect();
    let args: Vec<Value> = call.args.iter().map(ast_json).collect();
    json!({
        "type": "call",
        "func": {
            "name": func.name,
            "argTypes": arg_types,
            "variadic": func.variadic,
            "returnType": func.return_type.as_str(),
        },
        "args": args,
    })
}

fn aggregate_json(aggregate: &Aggregate) -> Value {
    json!({
        "type": "aggregation",
        "op": aggregate.op.as_str(),
        "expr": ast_json(&aggregate.expr),
        "param": aggregate.param.as_ref().map(|param| ast_json(param)),
        "grouping": aggregate.grouping,
        "without": aggregate.without,
    })
}

fn timestamp(at: Option<At>) -> Value {
    match at {
        Some(At::TimestampMs(ms)) => json!(ms),
        Some(At::Start | At::End) | None => Value::Null,
    }
}

fn start_or_end(at: Option<At>) -> Value {
    match at {
        Some(At::Start) => json!("start"),
        Some(At::End) => json!("end"),
        Some(At::TimestampMs(_)) | None => Value::Null,
    }
}

fn selector_json(kind: &str, selector: &VectorSelector) -> Value {
    let matchers: Vec<Value> = selector
        .matchers
        .iter()
        .map(|m| json!({"name": &*m.name, "value": &*m.value, "type": m.kind.as_str()}))
        .collect();
    json!({
        "type": kind,
        "name": selector.name,
        "offset": selector.offset_ms(),
        "offsetExpr": optional_duration(selector.offset_expr.as_deref()),
        "matchers": matchers,
        "timestamp": timestamp(selector.at),
        "startOrEnd": start_or_end(selector.at),
        "anchored": selector.anchored,
        "smoothed": selector.smoothed,
    })
}

fn matrix_json(matrix: &MatrixSelector) -> Value {
    let mut json = selector_json("matrixSelector", &matrix.selector);
    json["range"] = json!(matrix.range_ms());
    json["rangeExpr"] = optional_duration(matrix.range_expr.as_deref());
    json
}

fn subquery_json(subquery: &Subquery) -> Value {
    json!({
        "type": "subquery",
        "expr": ast_json(&subquery.expr),
        "range": subquery.range_ms(),
        "rangeExpr": optional_duration(subquery.range_expr.as_deref()),
        "offset": subquery.offset_ms(),
        "offsetExpr": optional_duration(subquery.offset_expr.as_deref()),
        "step": subquery.step_ms(),
        "stepExpr": optional_duration(subquery.step_expr.as_deref()),
        "timestamp": timestamp(subquery.at),
        "startOrEnd": start_or_end(subquery.at),
    })
}

fn optional_duration(expr: Option<&DurationExpr>) -> Value {
    expr.map_or(Value::Null, duration)
}

fn duration(expr: &DurationExpr) -> Value {
    let (op, lhs, rhs) = match &expr.kind {
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::MinOf(a, b) => ("min_of", Some(a), Some(b)),
        DurationKind::MaxOf(a, b) => ("max_of", Some(a), Some(b)),
        DurationKind::Unary(op, a) => (op.as_str(), None, Some(a)),
        DurationKind::Binary(op, a, b) => (op.as_str(), Some(a), Some(b)),
    };
    json!({
        "type": "durationExpr",
        "op": op,
        "lhs": lhs.map_or(Value::Null, term),
        "rhs": rhs.map_or(Value::Null, term),
        "wrapped": expr.wrapped,
    })
}

fn term(term: &DurationTerm) -> Value {
    match term {
        DurationTerm::Literal(NumberLiteral {
            value, is_duration, ..
        }) => json!({"type": "numberLiteral", "val": float(*value), "duration": is_duration}),
        DurationTerm::Expr(expr) => duration(expr),
    }
}
