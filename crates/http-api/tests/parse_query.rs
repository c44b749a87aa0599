//! The JSON trees of the conformance set `promql-parse`.

use std::process::ExitCode;

use conformance::Case;
use promql::Features;
use serde_json::Value;

fn main() -> ExitCode {
    conformance::run("promql-parse", |dir| {
        let text = std::fs::read_to_string(dir.join("parse-ok.json")).expect("the set is readable");
        let json: Value = serde_json::from_str(&text).expect("the set is JSON");
        let cases = json["cases"].as_array().expect("the set lists cases");
        cases
            .iter()
            .enumerate()
            .map(|(i, case)| {
                let case = case.clone();
                Case::new(format!("parse-ok.json/{i}/ast"), move || check(&case))
            })
            .collect()
    })
}

fn check(case: &Value) -> Result<(), String> {
    let mut features = Features::default();
    for flag in case["features"].as_array().into_iter().flatten() {
        features.enable(flag.as_str().unwrap_or_default());
    }
    let query = case["input"].as_str().ok_or("no input")?;
    let expr = promql::parse_expr(query, features).map_err(|e| e.to_string())?;
    let got = http_api::ast_json::ast_json(&expr);
    if same(&got, &case["ast"]) {
        return Ok(());
    }
    Err(format!("{query}\n   got: {got}\n  want: {}", case["ast"]))
}

/// Equality of JSON in which `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
