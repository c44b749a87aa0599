//! The conformance set `dashboards`: queries of widely used dashboards, printed and evaluated.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::Case;
use model::Labels;
use promql::ast::ValueType;
use promql::script::Store;
use promql::{Engine, EngineOptions, Features, QueryOptions, parse_expr};
use serde_json::Value;

mod answers;

use answers::{Points, compare, json_points, labels, loaded, points};

/// When a group's queries run; milliseconds.
#[derive(Clone, Copy)]
struct Times {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

fn main() -> ExitCode {
    conformance::run("dashboards", |dir| {
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .expect("the set's folder is readable")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".json"))
            .collect();
        files.sort();
        files.iter().flat_map(|file| group(dir, file)).collect()
    })
}

fn group(dir: &Path, file: &str) -> Vec<Case> {
    let read =
        |file: &str| std::fs::read_to_string(dir.join(file)).expect("the set's file is readable");
    let json: Value = serde_json::from_str(&read(file)).expect("the set's file is JSON");
    let ms = |key: &str| (json[key].as_f64().unwrap_or_default() * 1000.0) as i64;
    let times = Times {
        start_ms: ms("start_s"),
        end_ms: ms("end_s"),
        step_ms: ms("step_s"),
    };
    let data = json["data"].as_str().expect("the file names its data");
    let store = Arc::new(loaded(&read(data)).expect("the group's data loads"));
    let engine = Arc::new(Engine::new(EngineOptions::default()));
    let mut cases = Vec::new();
    let list = json["cases"].as_array().expect("the file lists cases");
    for (i, case) in list.iter().enumerate() {
        let of_parse = case.clone();
        cases.push(Case::new(format!("{file}/{i} printed"), move || {
            printed(&of_parse)
        }));
        let (case, store, engine) = (case.clone(), store.clone(), engine.clone());
        cases.push(Case::new(format!("{file}/{i} evaluated"), move || {
            evaluated(&case, &store, &engine, times).map_err(|e| format!("{}\n{e}", query(&case)))
        }));
    }
    cases
}

fn query(case: &Value) -> &str {
    case["query"].as_str().unwrap_or_default()
}

fn printed(case: &Value) -> Result<(), String> {
    let expr = parse_expr(query(case), Features::default())
        .map_err(|e| format!("{}: {e}", query(case)))?;
    let want = case["canonical"].as_str().unwrap_or_default();
    if expr.to_string() == want {
        return Ok(());
    }
    Err(format!("got {expr}\nwant {want}"))
}

fn evaluated(case: &Value, store: &Store, engine: &Engine, times: Times) -> Result<(), String> {
    let is_matrix = case["result_type"] == ValueType::Matrix.as_str();
    let options = QueryOptions::default();
    let result = if is_matrix {
        engine.instant(store, query(case), times.end_ms, &options)
    } else {
        let Times {
            start_ms,
            end_ms,
            step_ms,
        } = times;
        engine.range(store, query(case), start_ms, end_ms, step_ms, &options)
    };
    let result = match (result, case["error"].as_str()) {
        (Ok(result), None) => result,
        (Err(error), Some(want)) if error.to_string() == want => return Ok(()),
        (Err(error), want) => return Err(format!("failed with {error}, want {want:?}")),
        (Ok(_), Some(want)) => return Err(format!("did not fail, want {want}")),
    };
    let mut want: Vec<(Labels, Points)> = case["result"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|series| (labels(&series["metric"]), json_points(series, 1000.0)))
        .collect();
    want.sort_by(|a, b| a.0.cmp(&b.0));
    compare(&points(&result.value), &want, 1e-9)?;
    let warnings = case["warnings"].as_array().into_iter().flatten();
    let warnings: Vec<&str> = warnings.filter_map(Value::as_str).collect();
    let got: Vec<&str> = result.annotations.warnings().collect();
    if got.len() == warnings.len() && got.iter().all(|text| warnings.contains(text)) {
        return Ok(());
    }
    Err(format!("got warnings {got:?}, want {warnings:?}"))
}
