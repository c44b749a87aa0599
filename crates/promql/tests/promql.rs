//! The conformance set `promql` and scripts of our own: upstream's test scripts, the runner's own tests, engine cases and
//! the compliance queries.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::Case;
use model::Labels;
use promql::script::{Evaluator, Script, Store};
use promql::{Engine, EngineOptions, Features, QueryOptions, Value as Answer};
use serde_json::Value;
use storage::Appendable;

mod answers;

use answers::{Points, compare, json_points, labels, loaded, points};

fn main() -> ExitCode {
    conformance::run("promql", |dir| {
        let mut cases = scripts(dir);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
        cases.extend(scripts(&own));
        cases.extend(runner_selftest(dir));
        cases.extend(engine_cases(dir));
        cases.extend(compliance(dir));
        cases
    })
}

/// The engine that upstream's test scripts run on.
fn script_options() -> EngineOptions {
    EngineOptions {
        max_samples: 10_000,
        features: Features::ALL,
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..EngineOptions::default()
    }
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).expect("the set's file is readable")
}

fn json_cases(dir: &Path, file: &str) -> (Value, Vec<Value>) {
    let json: Value = serde_json::from_str(&read(dir, file)).expect("the set's file is JSON");
    let cases = json["cases"]
        .as_array()
        .expect("the file lists cases")
        .clone();
    (json, cases)
}

/// Each evaluation of each script is a case.
fn scripts(dir: &Path) -> Vec<Case> {
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .expect("the set's folder is readable")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".test"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let engine = Arc::new(Engine::new(EngineOptions {
            delayed_name_removal: file != "no_delayed_name_removal.test",
            ..script_options()
        }));
        let script = Script::parse(&read(dir, &file)).expect("upstream's scripts parse");
        for (eval, store) in script.evals().expect("upstream's data loads") {
            let (eval, engine) = (eval.clone(), engine.clone());
            let name = format!("{file}:{}", eval.line());
            cases.push(Case::new(name, move || {
                eval.check(&store, &*engine)
                    .map_err(|e| format!("{}\n{e}", eval.query()))
            }));
        }
    }
    cases
}

/// Does the runner accept and reject what the reference runner does?
fn runner_selftest(dir: &Path) -> Vec<Case> {
    let engine = Arc::new(Engine::new(script_options()));
    let (_, cases) = json_cases(dir, "runner-selftest.json");
    let check = |case: Value, engine: Arc<Engine>| {
        let script = case["script"].as_str().unwrap_or_default();
        match (promql::script::run(script, &*engine), case["pass"] == true) {
            (Ok(()), true) | (Err(_), false) => Ok(()),
            (Err(error), true) => Err(error.to_string()),
            (Ok(()), false) => Err(format!("accepted, want {}", case["error"])),
        }
    };
    cases
        .into_iter()
        .map(|case| {
            let engine = engine.clone();
            let name = format!(
                "runner-selftest.json: {}",
                case["name"].as_str().unwrap_or_default()
            );
            Case::new(name, move || check(case, engine))
        })
        .collect()
}

fn engine_cases(dir: &Path) -> Vec<Case> {
    let (json, cases) = json_cases(dir, "engine-cases.json");
    let json = Arc::new(json);
    cases
        .into_iter()
        .enumerate()
        .map(|(i, case)| {
            let json = json.clone();
            let kind = case["kind"].as_str().unwrap_or_default().to_owned();
            Case::new(format!("engine-cases.json/{i} {kind}"), move || {
                engine_case(&json["datasets"], &case)
                    .map_err(|e| format!("{}\n{e}", case["query"].as_str().unwrap_or_default()))
            })
        })
        .collect()
}

fn dataset(datasets: &Value, case: &Value) -> Result<Store, String> {
    let Some(name) = case["dataset"].as_str() else {
        return loaded(case["load"].as_str().unwrap_or_default());
    };
    let dataset = &datasets[name];
    let store = loaded(dataset["load"].as_str().unwrap_or_default())?;
    let mut appender = store.appender();
    for series in dataset["extra_samples"].as_array().into_iter().flatten() {
        for sample in series["samples_ms"].as_array().into_iter().flatten() {
            let (t_ms, value) = (sample[0].as_i64(), sample[1].as_f64());
            appender
                .append(
                    0,
                    &labels(&series["metric"]),
                    0,
                    t_ms.unwrap_or_default(),
                    value.unwrap_or_default(),
                )
                .map_err(|e| e.to_string())?;
        }
    }
    appender.commit().map_err(|e| e.to_string())?;
    Ok(store)
}

fn duration_ms(text: &Value) -> i64 {
    let text = text.as_str().unwrap_or_default();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let parsed = model::parse_duration(text).expect("the case's duration is one");
    sign * parsed.as_millis() as i64
}

fn engine_case(datasets: &Value, case: &Value) -> Result<(), String> {
    let store = dataset(datasets, case)?;
    let query = case["query"].as_str().unwrap_or_default();
    let seconds = |key: &str| case[key].as_f64().map(|s| (s * 1000.0).round() as i64);
    let start_ms = seconds("start_s").unwrap_or_default();
    let range = seconds("end_s").map(|end_ms| {
        let step_ms = seconds("step_s").unwrap_or_else(|| duration_ms(&case["step"]));
        (end_ms, step_ms)
    });
    let run = |options: EngineOptions, query_options: &QueryOptions| {
        let engine = Engine::new(options);
        match range {
            None => engine.instant(&store, query, start_ms, query_options),
            Some((end_ms, step_ms)) => {
                engine.range(&store, query, start_ms, end_ms, step_ms, query_options)
            }
        }
    };
    let plain = QueryOptions::default();
    match case["kind"].as_str().unwrap_or_default() {
        "max_samples" => {
            let peak = case["peak_samples"].as_u64().unwrap_or_default();
            let with_limit = |max_samples| EngineOptions {
                max_samples,
                ..script_options()
            };
            let result =
                run(with_limit(peak), &plain).map_err(|e| format!("with the limit {peak}: {e}"))?;
            if result.stats.samples.peak_samples != peak {
                return Err(format!(
                    "peak of {} samples, want {peak}",
                    result.stats.samples.peak_samples
                ));
            }
            match run(with_limit(peak - 1), &plain) {
                Err(e)
                    if e.to_string()
                        == "query processing would load too many samples into memory in query execution" =>
                {
                    Ok(())
                }
                Err(e) => Err(format!("with the limit {}: {e}", peak - 1)),
                Ok(_) => Err(format!("passes with the limit {}", peak - 1)),
            }
        }
        "extended_range" | "at_modifier" | "subquery" => {
            let options = EngineOptions {
                max_samples: 10_000_000,
                ..script_options()
            };
            let result = run(options, &plain).map_err(|e| e.to_string())?;
            let got = points(&result.value);
            let mut want: Vec<(Labels, Points)> = case["result"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|series| (labels(&series["metric"]), json_points(series, 1.0)))
                .collect();
            want.sort_by(|a, b| a.0.cmp(&b.0));
            compare(&got, &want, 0.0)
        }
        "lookback" => {
            let options = EngineOptions {
                lookback_delta_ms: duration_ms(&case["engine_lookback"]),
                ..script_options()
            };
            let query_options = QueryOptions {
                lookback_delta_ms: Some(duration_ms(&case["query_lookback"])),
                ..QueryOptions::default()
            };
            let result = run(options, &query_options).map_err(|e| e.to_string())?;
            let found = !points(&result.value).is_empty();
            if case["expect_samples"] == found {
                return Ok(());
            }
            Err(format!("samples found: {found}"))
        }
        "rate_annotations" => {
            let options = EngineOptions {
                type_and_unit_labels: case["type_and_unit_labels"] == true,
                ..script_options()
            };
            let annotations = run(options, &plain).map_err(|e| e.to_string())?.annotations;
            let lists = |key: &str| -> Vec<String> {
                let list = case[key].as_array().into_iter().flatten();
                list.filter_map(|text| Some(text.as_str()?.to_owned()))
                    .collect()
            };
            let (warnings, infos): (Vec<_>, Vec<_>) = (
                annotations.warnings().collect(),
                annotations.infos().collect(),
            );
            if warnings == lists("warnings") && infos == lists("infos") {
                return Ok(());
            }
            Err(format!(
                "got {warnings:?} and {infos:?}, want {:?} and {:?}",
                lists("warnings"),
                lists("infos")
            ))
        }
        other => Err(format!("unknown kind {other}")),
    }
}

fn compliance(dir: &Path) -> Vec<Case> {
    let (json, cases) = json_cases(dir, "compliance.json");
    let file = json["data"].as_str().expect("the file names its data");
    let store = Arc::new(loaded(&read(dir, file)).expect("the compliance data loads"));
    let ms = |key: &str| (json[key].as_f64().unwrap_or_default() * 1000.0) as i64;
    let (start_ms, end_ms, step_ms) = (ms("start_s"), ms("end_s"), ms("step_s"));
    let engine = Arc::new(Engine::new(EngineOptions::default()));
    cases
        .into_iter()
        .enumerate()
        .map(|(i, case)| {
            let (store, engine) = (store.clone(), engine.clone());
            Case::new(format!("compliance.json/{i}"), move || {
                let query = case["query"].as_str().unwrap_or_default();
                let result = Evaluator::range(&*engine, &*store, query, start_ms, end_ms, step_ms);
                compliance_case(&case, result.map(|r| r.value).map_err(|e| e.to_string()))
                    .map_err(|e| format!("{query}\n{e}"))
            })
        })
        .collect()
}

fn compliance_case(case: &Value, result: Result<Answer, String>) -> Result<(), String> {
    match (result, case["error"].as_str()) {
        (Err(got), Some(want)) if got == want => Ok(()),
        (Err(got), Some(want)) => Err(format!("failed with {got:?}, want {want:?}")),
        (Err(got), None) => Err(format!("failed: {got}")),
        (Ok(_), Some(want)) => Err(format!("did not fail, want {want:?}")),
        (Ok(answer), None) => {
            if answer.type_name() != case["resultType"].as_str().unwrap_or_default() {
                return Err(format!("gave {}", answer.type_name()));
            }
            let mut want: Vec<(Labels, Points)> = case["result"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|series| (labels(&series["metric"]), json_points(series, 1000.0)))
                .collect();
            want.sort_by(|a, b| a.0.cmp(&b.0));
            compare(&points(&answer), &want, 1e-9)
        }
    }
}
