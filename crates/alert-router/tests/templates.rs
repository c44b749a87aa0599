//! Conformance set `templates`: Alertmanager's part. Prometheus' is run by rules.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use alert_router::template::{AlertInput, Data, Kv, Templates};
use conformance::Case;
use golang::time::{RFC3339, Time};
use gotemplate::Value;
use model::Labels;
use serde_json::Value as Json;

fn main() -> ExitCode {
    conformance::run("templates", |dir| {
        let mut cases = expand_cases(dir);
        cases.extend(data_cases(dir));
        cases.extend(shared_data_cases(dir, "alertmanager-language.json"));
        cases.extend(shared_data_cases(dir, "alertmanager-default.json"));
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

fn data(json: &Json) -> Result<Data, String> {
    serde_json::from_value(json.clone()).map_err(|e| format!("the case's data: {e}"))
}

fn now() -> Time {
    Time::from_unix(1_709_300_000, 0)
}

fn time(json: &Json) -> Result<Time, String> {
    Time::parse(RFC3339, json.as_str().unwrap_or_default()).map_err(|e| e.to_string())
}

fn judge(case: &Json, got: Result<String, String>) -> Result<(), String> {
    match (case["output"].as_str(), case["error"].as_str(), got) {
        (Some(want), _, Ok(got)) if got == want => Ok(()),
        (None, Some(want), Err(got)) if got == want => Ok(()),
        // These two name a line of upstream's own file and show Go's private fields.
        (None, Some(want), Err(got))
            if want.contains("range can't iterate over {")
                && got.contains("range can't iterate over ") =>
        {
            Ok(())
        }
        (want, error, got) => Err(format!("want {want:?} or error {error:?}\n got {got:?}")),
    }
}

/// A value of the case's Go type.
fn value(case: &Json) -> Result<Value, String> {
    let json = &case["data"];
    let items = |item: fn(&Json) -> Value| list(json).iter().map(item).collect::<Vec<_>>();
    Ok(match case["data_type"].as_str() {
        None => Value::Nil,
        Some("Data") => data(json)?.to_value(),
        Some("time.Time") => time(json)?.into(),
        Some("[]string") => {
            let items = items(|j| j.as_str().unwrap_or_default().into());
            Value::typed_list("[]string", items)
        }
        Some("[]float64") => Value::list(items(|j| j.as_f64().unwrap_or_default().into())),
        Some("[]int") => Value::list(items(|j| j.as_i64().unwrap_or_default().into())),
        Some("[]uint") => Value::list(items(|j| Value::Uint(j.as_u64().unwrap_or_default()))),
        Some(other) => return Err(format!("no such type in the runner: {other}")),
    })
}

fn expand_cases(dir: &Path) -> Vec<Case> {
    let file = read(dir, "alertmanager-expand.json");
    let case = |(at, case): (usize, &Json)| {
        let case = case.clone();
        Case::new(format!("alertmanager-expand.json/{at}"), move || {
            let templates = Templates::new().map_err(|e| e.to_string())?;
            let text = case["text"].as_str().unwrap_or_default();
            let html = case["html"] == true;
            let got = match case["data_type"].as_str() {
                Some("Data") if html => templates.execute_html(text, &data(&case["data"])?, &now()),
                Some("Data") => templates.execute_text(text, &data(&case["data"])?, &now()),
                _ => templates.execute_value(text, &value(&case)?, &now(), html),
            };
            judge(&case, got.map_err(|e| e.to_string()))
        })
    };
    list(&file["cases"]).iter().enumerate().map(case).collect()
}

fn shared_data_cases(dir: &Path, name: &'static str) -> Vec<Case> {
    let file = Arc::new(read(dir, name));
    let count = list(&file["cases"]).len();
    let case = |at: usize| {
        let file = Arc::clone(&file);
        Case::new(format!("{name}/{at}"), move || {
            let case = &file["cases"][at];
            let key = case["data"].as_str().unwrap_or_default();
            let data = data(&file["datas"][key])?;
            let text = match case["template"].as_str() {
                Some(template) => format!("{{{{ template {template:?} . }}}}"),
                None => case["text"].as_str().unwrap_or_default().to_owned(),
            };
            let templates = Templates::new().map_err(|e| e.to_string())?;
            let got = if case["html"] == true {
                templates.execute_html(&text, &data, &now())
            } else {
                templates.execute_text(&text, &data, &now())
            };
            judge(case, got.map_err(|e| e.to_string()))
        })
    };
    (0..count).map(case).collect()
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())))
}

fn data_cases(dir: &Path) -> Vec<Case> {
    let file = read(dir, "alertmanager-data.json");
    let case = |(at, case): (usize, &Json)| {
        let case = case.clone();
        Case::new(format!("alertmanager-data.json/{at}"), move || {
            let alerts: Vec<(Labels, Labels, Json)> = list(&case["alerts"])
                .iter()
                .map(|a| (labels(&a["labels"]), labels(&a["annotations"]), a.clone()))
                .collect();
            let mut inputs = Vec::new();
            for (labels, annotations, json) in &alerts {
                inputs.push(AlertInput {
                    labels,
                    annotations,
                    starts_at: time(&json["startsAt"])?,
                    ends_at: time(&json["endsAt"])?,
                    generator_url: json["generatorURL"].as_str().unwrap_or_default(),
                });
            }
            let route_labels: Kv =
                serde_json::from_value(case["route_labels"].clone()).map_err(|e| e.to_string())?;
            let got = Data::new(
                case["receiver"].as_str().unwrap_or_default(),
                &labels(&case["group_labels"]),
                route_labels,
                case["notification_reason"].as_str().unwrap_or_default(),
                case["external_url"].as_str().unwrap_or_default(),
                inputs,
                &now(),
            );
            let want = data(&case["data"])?;
            if got != want {
                return Err(format!("want {want:?}\n got {got:?}"));
            }
            let json: Json = serde_json::from_str(&got.to_json()?).map_err(|e| e.to_string())?;
            if json != case["data"] {
                return Err(format!("want {}\n got {json}", case["data"]));
            }
            Ok(())
        })
    };
    list(&file["cases"]).iter().enumerate().map(case).collect()
}
