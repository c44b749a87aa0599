//! The conformance set `promql-parse`: parsing, error texts, printing, series descriptions. The JSON
//! trees of the same cases are checked in `http-api`.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use conformance::Case;
use promql::Features;
use promql::ast::Expr;
use promql::parse::{SequenceValue, parse_expr_bytes, parse_series_desc};
use promql::print::{PRETTY_COLUMNS, pretty};
use serde_json::Value;

fn main() -> ExitCode {
    conformance::run("promql-parse", |dir| {
        let mut cases = Vec::new();
        for (file, check) in [
            (
                "parse-ok.json",
                check_ok as fn(&Value) -> Result<(), String>,
            ),
            ("parse-errors.json", check_errors),
            ("feature-gates.json", check_errors),
            ("pretty-10.json", check_pretty),
            ("series-descriptions.json", check_series),
        ] {
            for (i, case) in load(dir, file).into_iter().enumerate() {
                cases.push(Case::new(format!("{file}/{i}"), move || {
                    check(&case).map_err(|e| format!("{}: {e}", case["input"]))
                }));
            }
        }
        cases
    })
}

fn load(dir: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(file)).expect("the set's file is readable");
    let json: Value = serde_json::from_str(&text).expect("the set's file is JSON");
    json["cases"]
        .as_array()
        .expect("the file lists cases")
        .clone()
}

fn input(case: &Value) -> Vec<u8> {
    match case["input_base64"].as_str() {
        Some(text) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("the case's input is base64"),
        None => case["input"]
            .as_str()
            .expect("the case has an input")
            .into(),
    }
}

fn features(case: &Value) -> Features {
    let mut features = Features::default();
    for flag in case["features"].as_array().into_iter().flatten() {
        assert!(features.enable(flag.as_str().unwrap_or_default()), "{flag}");
    }
    features
}

fn equal(what: &str, got: &str, want: &str) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    Err(format!("{what}\n   got: {got}\n  want: {want}"))
}

fn parse(case: &Value) -> Result<Expr, String> {
    parse_expr_bytes(&input(case), features(case)).map_err(|e| e.to_string())
}

fn check_ok(case: &Value) -> Result<(), String> {
    let expr = parse(case)?;
    let canonical = case["canonical"].as_str().unwrap_or_default();
    equal(
        "type",
        expr.value_type().as_str(),
        case["type"].as_str().unwrap_or_default(),
    )?;
    equal("canonical", &expr.to_string(), canonical)?;
    let wanted = case["pretty"].as_str().unwrap_or(canonical);
    equal("pretty", &pretty(&expr, PRETTY_COLUMNS), wanted)?;
    let again = parse_expr_bytes(canonical.as_bytes(), Features::ALL)
        .map_err(|e| format!("canonical: {e}"))?;
    equal("canonical of canonical", &again.to_string(), canonical)
}

fn check_errors(case: &Value) -> Result<(), String> {
    let errors = match parse_expr_bytes(&input(case), features(case)) {
        Ok(expr) => return Err(format!("parsed as {expr}")),
        Err(errors) => errors,
    };
    if let Some(prefix) = case["error_prefix"].as_str() {
        if !errors.to_string().starts_with(prefix) {
            return Err(format!("got {errors}, want {prefix}..."));
        }
    } else {
        equal(
            "error",
            &errors.to_string(),
            case["error"].as_str().unwrap_or_default(),
        )?;
    }
    let wanted = case["errors"].as_array().cloned().unwrap_or_default();
    let total = case["error_count"]
        .as_str()
        .and_then(|n| n.parse().ok())
        .or(case["error_count"].as_u64())
        .unwrap_or(wanted.len() as u64);
    let list = |errors: &[promql::ParseError]| -> Vec<(u64, u64, String)> {
        errors
            .iter()
            .map(|e| (e.pos.start.into(), e.pos.end.into(), e.message.clone()))
            .collect()
    };
    let got = list(&errors.errors);
    if got.len() as u64 != total {
        return Err(format!(
            "{} errors instead of {total}: {:?}",
            got.len(),
            &got[..got.len().min(20)]
        ));
    }
    let wanted: Vec<_> = wanted
        .iter()
        .map(|e| {
            (
                e["start"].as_u64().unwrap_or_default(),
                e["end"].as_u64().unwrap_or_default(),
                e["message"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    if got[..wanted.len()] != wanted[..] {
        return Err(format!("got errors {got:?}, want {wanted:?}"));
    }
    Ok(())
}

fn check_pretty(case: &Value) -> Result<(), String> {
    let columns = case["max_line"].as_u64().unwrap_or_default() as usize;
    equal(
        "pretty",
        &pretty(&parse(case)?, columns),
        case["pretty"].as_str().unwrap_or_default(),
    )
}

fn check_series(case: &Value) -> Result<(), String> {
    let text = case["input"].as_str().unwrap_or_default();
    let (labels, values) = match (parse_series_desc(text), case["ok"] == true) {
        (Ok(series), true) => series,
        (Err(errors), false) => {
            return equal(
                "error",
                &errors.to_string(),
                case["error"].as_str().unwrap_or_default(),
            );
        }
        (Ok(_), false) => return Err("accepted".to_owned()),
        (Err(errors), true) => return Err(errors.to_string()),
    };
    let labels = serde_json::to_value(&labels).map_err(|e| e.to_string())?;
    equal("labels", &labels.to_string(), &case["labels"].to_string())?;
    let wanted = case["values"].as_array().cloned().unwrap_or_default();
    if values.len() != wanted.len() {
        return Err(format!(
            "{} values instead of {}",
            values.len(),
            wanted.len()
        ));
    }
    for (got, want) in values.iter().zip(&wanted) {
        let same = match got {
            SequenceValue::Omitted => want == "_",
            SequenceValue::Float(v) if model::is_stale(*v) => want == "StaleNaN",
            SequenceValue::Float(v) if v.is_nan() => want == "NaN",
            SequenceValue::Float(v) if v.is_infinite() => {
                want == if *v > 0.0 { "+Inf" } else { "-Inf" }
            }
            SequenceValue::Float(v) => want.as_f64() == Some(*v),
            SequenceValue::Histogram { histogram, .. } => {
                equal(
                    "histogram",
                    &histogram.test_expression(),
                    want["text"].as_str().unwrap_or_default(),
                )?;
                true
            }
        };
        if !same {
            return Err(format!("got {got:?}, want {want}"));
        }
    }
    Ok(())
}
