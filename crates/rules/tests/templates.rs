//! Conformance set `templates`: Prometheus' part. Alertmanager's is run by alert-router.

use std::path::Path;
use std::process::ExitCode;

use conformance::Case;
use gotemplate::{MissingKey, Value};
use model::{FloatHistogram, Labels};
use rules::template::{AlertData, Expander, Sample, SampleValue, expand_alert};
use serde_json::Value as Json;

fn main() -> ExitCode {
    conformance::run("templates", |dir| {
        let mut cases = expand_cases(dir);
        cases.extend(alert_cases(dir));
        cases
    })
}

fn read(dir: &Path, file: &str) -> Json {
    let text = std::fs::read_to_string(dir.join(file)).expect("the set is readable");
    serde_json::from_str(&text).expect("the set is JSON")
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())))
}

fn samples(json: &Json) -> Vec<Sample> {
    let sample = |json: &Json| Sample {
        labels: labels(&json["metric"]),
        value: SampleValue::from(json["value"].as_f64().unwrap_or(f64::NAN)),
    };
    list(json).iter().map(sample).collect()
}

fn judge(case: &Json, got: Result<String, String>) -> Result<(), String> {
    match (case["output"].as_str(), case["error"].as_str(), got) {
        (Some(want), _, Ok(got)) if got == want => Ok(()),
        (None, Some(want), Err(got)) if got == want => Ok(()),
        (want, error, got) => Err(format!("want {want:?} or error {error:?}\n got {got:?}")),
    }
}

/// A value of a Go type.
fn input(json: &Json) -> Value {
    fn scalar(json: &Json, kind: &str) -> Value {
        let float = || match json {
            Json::String(text) => golang::strconv::parse_float(text).unwrap_or(f64::NAN),
            other => other.as_f64().unwrap_or(f64::NAN),
        };
        match kind {
            "float64" => Value::Float(float()),
            "int" => Value::Int(json.as_i64().unwrap_or_default()),
            "int64" => Value::Named("int64", Box::new(scalar(json, "int"))),
            "uint" => Value::Uint(json.as_u64().unwrap_or_default()),
            "uint64" => Value::Named("uint64", Box::new(scalar(json, "uint"))),
            "string" => json.as_str().unwrap_or_default().into(),
            other => panic!("no such type in the runner: {other}"),
        }
    }
    let Some(kind) = json["go_type"].as_str() else {
        return Value::Nil;
    };
    let value = &json["value"];
    match kind {
        "nil" => Value::Nil,
        "[]float64" | "[]int64" | "[]uint64" | "[]string" | "[]int" | "[]uint" => {
            let items = list(value).iter().map(|item| scalar(item, &kind[2..]));
            Value::typed_list("[]T", items)
        }
        "*template.sample" => {
            let histogram = FloatHistogram {
                count: value["Value"]["Count"].as_f64().unwrap_or_default(),
                sum: value["Value"]["Sum"].as_f64().unwrap_or_default(),
                ..FloatHistogram::default()
            };
            Value::object(Sample {
                labels: Labels::empty(),
                value: SampleValue::Histogram(histogram),
            })
        }
        kind => scalar(value, kind),
    }
}

fn expand_cases(dir: &Path) -> Vec<Case> {
    let file = read(dir, "prometheus-expand.json");
    let external_url = file["external_url"].as_str().unwrap_or_default().to_owned();
    let name = file["template_name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let now_ms = file["now_ms"].as_i64().unwrap_or_default();
    let case = |(at, case): (usize, &Json)| {
        let (case, external_url, name) = (case.clone(), external_url.clone(), name.clone());
        Case::new(format!("prometheus-expand.json/{at}"), move || {
            let query = |_: &str, _| Ok(samples(&case["query_result"]));
            let text = case["text"].as_str().unwrap_or_default();
            let data = input(&case["input"]);
            let mut expander = Expander::new(&name, text, data, now_ms, &query, &external_url);
            for option in list(&case["options"]) {
                expander.missing_key = match option.as_str() {
                    Some("missingkey=error") => MissingKey::Error,
                    Some("missingkey=zero") => MissingKey::Zero,
                    Some("missingkey=default" | "missingkey=invalid") => MissingKey::Invalid,
                    other => return Err(format!("no such option: {other:?}")),
                };
            }
            let got = if case["html"] == true {
                expander.expand_html()
            } else {
                expander.expand()
            };
            judge(&case, got.map_err(|e| e.to_string()))
        })
    };
    list(&file["cases"]).iter().enumerate().map(case).collect()
}

fn alert_cases(dir: &Path) -> Vec<Case> {
    let file = std::sync::Arc::new(read(dir, "prometheus-alert.json"));
    let count = list(&file["cases"]).len();
    let case = |at: usize| {
        let file = std::sync::Arc::clone(&file);
        Case::new(format!("prometheus-alert.json/{at}"), move || {
            let case = &file["cases"][at];
            let (labels, external_labels) =
                (labels(&file["labels"]), labels(&file["external_labels"]));
            let data = AlertData {
                labels: &labels,
                external_labels: &external_labels,
                external_url: file["external_url"].as_str().unwrap_or_default(),
                value: SampleValue::from(case["value"].as_f64().unwrap_or(f64::NAN)),
            };
            let query = |expression: &str, _| match file["queries"].get(expression) {
                Some(result) => Ok(samples(result)),
                None => Err(format!("unknown query {expression:?}")),
            };
            let alert = file["alert_name"].as_str().unwrap_or_default();
            let text = case["text"].as_str().unwrap_or_default();
            let now_ms = file["now_ms"].as_i64().unwrap_or_default();
            let got = expand_alert(alert, text, &data, now_ms, &query);
            judge(case, got.map_err(|e| e.to_string()))
        })
    };
    (0..count).map(case).collect()
}
