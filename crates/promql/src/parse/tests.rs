use super::*;

fn canonical(query: &str) -> String {
    match parse_expr(query, Features::ALL) {
        Ok(expr) => expr.to_string(),
        Err(errors) => format!("{errors}"),
    }
}

fn check(query: &str, expected: &str) {
    assert_eq!(canonical(query), expected, "{query}");
}

#[test]
fn operators_bind_as_upstream() {
    check("-1^2", "-1 ^ 2");
    check("2 ^ 3 ^ 2", "2 ^ 3 ^ 2");
    check("a + b * c - d", "a + b * c - d");
    check("foo offset -2^2", "foo offset -2s ^ 2");
    check("foo offset (5m) + 3m", "foo offset (5m) + 3m");
    check("foo offset 5m + 3", "foo offset 5m + 3");
    check("or or or", "or or or");
}

#[test]
fn deep_input_is_an_error() {
    let parens = "(".repeat(100_000);
    assert!(
        canonical(&parens).contains("nested deeper than"),
        "parentheses"
    );
    let calls = "abs(".repeat(100_000);
    assert!(canonical(&calls).contains("nested deeper than"), "calls");
    let aggregations = "sum by (a) (".repeat(100_000);
    assert!(
        canonical(&aggregations).contains("nested deeper than"),
        "aggregations"
    );
    let fine = format!("{}a{}", "sum(".repeat(190), ")".repeat(190));
    assert_eq!(canonical(&fine), fine);
    let signs = format!("{}foo", "-".repeat(100_000));
    assert!(canonical(&signs).contains("nested deeper than"), "signs");
    let powers = format!("1{}", "^1".repeat(100_000));
    assert!(canonical(&powers).contains("nested deeper than"), "powers");
    let chain = format!("a{}", "+a".repeat(100_000));
    assert!(canonical(&chain).contains("nested deeper than"), "chain");
    let subqueries = format!("a{}", "[1m:]".repeat(100_000));
    assert!(
        canonical(&subqueries).contains("only allowed on instant vector"),
        "subqueries"
    );
    let durations = format!("a[{}1m]", "(".repeat(100_000));
    assert!(
        canonical(&durations).contains("nested deeper than"),
        "durations"
    );
    let sums = format!("a[1m{}]", "+1m".repeat(100_000));
    assert!(
        canonical(&sums).contains("nested deeper than"),
        "sums of durations"
    );
    let fine = format!("{}a{}", "(".repeat(150), ")".repeat(150));
    assert_eq!(canonical(&fine), fine);
    let chain = format!("a{}", " + a".repeat(900));
    assert_eq!(canonical(&chain), chain);
}

#[test]
fn selectors_and_metrics() {
    let matchers = parse_metric_selector(r#"up{job=~"a|b",x!="y"}"#).unwrap();
    assert_eq!(matchers.len(), 3);
    assert_eq!(
        parse_metric_selector("up + 1").unwrap_err().to_string(),
        "1:4: parse error: unexpected <op:+>"
    );
    let labels = parse_metric(r#"{"a.b", c="d"}"#).unwrap();
    assert_eq!(labels.metric_name(), "a.b");
}
