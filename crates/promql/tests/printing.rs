//! Properties of parser and printer: no input makes the parser panic, and what is printed parses
//! to the same tree.

use promql::ast::{DurationExpr, DurationKind, DurationTerm, Expr, PosRange};
use promql::parse::{parse_expr_bytes, parse_metric, parse_metric_selector, parse_series_desc};
use promql::print::pretty;
use promql::{Features, parse_expr};
use proptest::prelude::*;

/// Sets all positions to zero, so that trees of differently written texts compare equal.
fn without_positions(mut expr: Expr) -> Expr {
    clear(&mut expr);
    expr
}

fn clear(expr: &mut Expr) {
    let none = PosRange::default();
    match expr {
        Expr::Number(literal) => literal.pos = none,
        Expr::String(literal) => literal.pos = none,
        Expr::Paren(paren) => paren.pos = none,
        Expr::Unary(unary) => unary.start = 0,
        Expr::Call(call) => call.pos = none,
        Expr::Aggregate(aggregate) => aggregate.pos = none,
        Expr::Vector(selector) => {
            selector.pos = none;
            selector.matchers.sort_by_key(|m| m.to_string());
            clear_durations([&mut selector.offset_expr]);
        }
        Expr::Matrix(matrix) => {
            matrix.end = 0;
            matrix.selector.pos = none;
            matrix.selector.matchers.sort_by_key(|m| m.to_string());
            clear_durations([&mut matrix.range_expr, &mut matrix.selector.offset_expr]);
        }
        Expr::Subquery(subquery) => {
            subquery.end = 0;
            clear_durations([
                &mut subquery.range_expr,
                &mut subquery.step_expr,
                &mut subquery.offset_expr,
            ]);
        }
        Expr::Binary(_) | Expr::StepInvariant(_) => {}
    }
    expr.for_each_child_mut(clear);
}

fn clear_durations<const N: usize>(exprs: [&mut Option<Box<DurationExpr>>; N]) {
    for expr in exprs.into_iter().flatten() {
        clear_duration(expr);
    }
}

fn clear_duration(expr: &mut DurationExpr) {
    expr.pos = PosRange::default();
    match &mut expr.kind {
        DurationKind::Step | DurationKind::Range => {}
        DurationKind::Unary(_, a) => clear_term(a),
        DurationKind::MinOf(a, b) | DurationKind::MaxOf(a, b) | DurationKind::Binary(_, a, b) => {
            clear_term(a);
            clear_term(b);
        }
    }
}

fn clear_term(term: &mut DurationTerm) {
    match term {
        DurationTerm::Literal(literal) => literal.pos = PosRange::default(),
        DurationTerm::Expr(expr) => clear_duration(expr),
    }
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,6}",
        Just("by".to_owned()),
        Just("\"utf8.label\"".to_owned()),
    ]
}

fn labels() -> impl Strategy<Value = String> {
    prop::collection::vec(label(), 0..3).prop_map(|labels| labels.join(", "))
}

fn matchers() -> impl Strategy<Value = String> {
    let matcher = (
        label(),
        prop::sample::select(vec!["=", "!=", "=~", "!~"]),
        "[a-z|.*+\\\\\"'\n☺]{0,5}",
    );
    prop::collection::vec(matcher, 0..3).prop_map(|matchers| {
        matchers
            .into_iter()
            .map(|(name, op, value)| {
                let value = if op.ends_with('~') {
                    value.replace(['*', '+', '\\', '|'], ".")
                } else {
                    value
                };
                format!("{name}{op}{}", golang::strconv::quote(&value))
            })
            .collect::<Vec<_>>()
            .join(",")
    })
}

fn duration() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        (
            1u32..500,
            prop::sample::select(vec!["ms", "s", "m", "h", "d"])
        )
            .prop_map(|(n, unit)| format!("{n}{unit}")),
        (1u32..500).prop_map(|n| n.to_string()),
        Just("1h30m".to_owned()),
        Just("step()".to_owned()),
        Just("range()".to_owned()),
    ];
    literal.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["+", "-", "*", "/", "%", "^"]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("max_of({a}, {b})")),
        ]
    })
}

fn offset() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => (1u32..90).prop_map(|n| format!(" offset {n}m")),
        1 => (1u32..90).prop_map(|n| format!(" offset -{n}s")),
        1 => duration().prop_map(|d| format!(" offset -({d})")),
        1 => Just(" offset step()".to_owned()),
    ]
}

fn at() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => Just(" @ start()".to_owned()),
        1 => Just(" @ end()".to_owned()),
        1 => (-1_000_000i64..1_000_000).prop_map(|ms| format!(" @ {}", ms as f64 / 1000.0)),
    ]
}

fn instant_selector() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "foo", "bar:baz", "sum", "fill", "step", "and", "offset",
    ]);
    (name, matchers(), at(), offset())
        .prop_map(|(name, matchers, at, offset)| format!("{name}{{{matchers}}}{at}{offset}"))
}

fn range_selector() -> impl Strategy<Value = String> {
    (matchers(), duration(), at(), offset(), any::<bool>()).prop_map(
        |(matchers, range, at, offset, anchored)| {
            let anchored = if anchored { " anchored" } else { "" };
            format!("foo{{{matchers}}}[{range}]{anchored}{at}{offset}")
        },
    )
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|v| golang::strconv::format_float(v, 'g', -1, 64)),
        (0u32..100).prop_map(|n| n.to_string()),
        Just("1h30m".to_owned()),
        Just("Inf".to_owned()),
        Just("time()".to_owned()),
        Just("scalar(foo)".to_owned()),
    ]
}

/// Queries that are instant vectors.
fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => instant_selector(),
        1 => range_selector().prop_map(|range| format!("rate({range})")),
        1 => Just("vector(1)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let matching = prop_oneof![
            2 => Just(String::new()),
            1 => labels().prop_map(|l| format!(" on ({l})")),
            1 => labels().prop_map(|l| format!(" ignoring ({l})")),
            1 => Just(" on (aa) group_left (bb)".to_owned()),
            1 => Just(" ignoring (aa) group_right ()".to_owned()),
            1 => Just(" fill (-3)".to_owned()),
            1 => Just(" on () fill_left (1) fill_right (2.5)".to_owned()),
        ];
        let arithmetic =
            prop::sample::select(vec!["+", "-", "*", "/", "%", "^", "atan2", "</", ">/"]);
        let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let set = prop::sample::select(vec!["and", "or", "unless"]);
        prop_oneof![
            (inner.clone(), arithmetic, matching.clone(), inner.clone())
                .prop_map(|(a, op, m, b)| format!("{a} {op}{m} ({b})")),
            (
                inner.clone(),
                comparison,
                any::<bool>(),
                matching,
                inner.clone()
            )
                .prop_map(|(a, op, is_bool, m, b)| {
                    let is_bool = if is_bool { " bool" } else { "" };
                    format!("{a} {op}{is_bool}{m} ({b})")
                }),
            (inner.clone(), set, labels(), inner.clone())
                .prop_map(|(a, op, l, b)| format!("{a} {op} on ({l}) ({b})")),
            (scalar(), inner.clone()).prop_map(|(s, v)| format!("{s} * {v}")),
            (inner.clone(), labels()).prop_map(|(v, l)| format!("sum by ({l}) ({v})")),
            (inner.clone(), labels()).prop_map(|(v, l)| format!("topk without ({l}) (3, {v})")),
            inner
                .clone()
                .prop_map(|v| format!("count_values(\"a b\", {v})")),
            inner.clone().prop_map(|v| format!("-{v}")),
            inner.clone().prop_map(|v| format!("({v})")),
            inner
                .clone()
                .prop_map(|v| format!("label_replace({v}, 'a', \"\\n\", `\\d`, '')")),
            // Upstream's lexer wants a number before the colon.
            (inner, duration(), duration(), at(), offset()).prop_map(
                |(v, range, step, at, offset)| {
                    format!("max_over_time(({v})[1m + {range}:{step}]{at}{offset})")
                }
            ),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_parses_or_fails(text in "\\PC{0,40}") {
        let _ = parse_expr(&text, Features::ALL);
        let _ = parse_metric_selector(&text);
        let _ = parse_metric(&text);
        let _ = parse_series_desc(&text);
    }

    #[test]
    fn any_bytes_parse_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse_expr_bytes(&bytes, Features::ALL);
    }

    #[test]
    fn any_tokens_parse_or_fail(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..16)) {
        let text = tokens.join(" ");
        if let Ok(expr) = parse_expr(&text, Features::ALL) {
            let printed = expr.to_string();
            let again = parse_expr(&printed, Features::ALL);
            prop_assert!(again.is_ok(), "{text} printed as {printed}: {again:?}");
        }
        let _ = parse_metric_selector(&text);
        let _ = parse_series_desc(&tokens.concat());
    }

    #[test]
    fn printed_queries_parse_to_the_same_tree(query in vector()) {
        let expr = parse_expr(&query, Features::ALL)
            .map_err(|errors| TestCaseError::fail(format!("{query}: {errors}")))?;
        let printed = expr.to_string();
        let pretty = pretty(&expr, 20);
        let same = without_positions(expr);
        for text in [&printed, &pretty] {
            let again = parse_expr(text, Features::ALL);
            prop_assert!(again.is_ok(), "{query} printed as {text}: {again:?}");
            prop_assert_eq!(&without_positions(again.expect("checked")), &same, "{} printed as {}", query, text);
        }
    }
}

const TOKENS: &[&str] = &[
    "foo",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "a",
    "=",
    "\"x\"",
    "'y'",
    "`z`",
    ",",
    "1",
    "5m",
    "+",
    "-",
    "*",
    "/",
    "^",
    "==",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "offset",
    "@",
    "start",
    "end",
    "step",
    "range",
    "max_of",
    "rate",
    "topk",
    ":",
    "and",
    "or",
    "unless",
    "atan2",
    "anchored",
    "smoothed",
    "fill",
    "fill_left",
    "=~",
    "!~",
    "!=",
    "</",
    ">/",
    "inf",
    "nan",
    "{{",
    "}}",
    "x",
    "_",
    "stale",
    "schema:",
    "sum:",
    "buckets:",
    "0x",
    "1e",
    ".",
    "#",
    "\\",
];
