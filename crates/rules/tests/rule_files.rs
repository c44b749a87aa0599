//! The set `rules`, as far as files go: `files.json` and `real-world/`.

use std::path::Path;
use std::process::ExitCode;

use conformance::Case;
use model::names::ValidationScheme;
use rules::{CheckOptions, GroupSpec, RuleFile, RuleSpec};
use serde_json::{Map, Value, json};

fn main() -> ExitCode {
    conformance::run("rules", |dir| {
        let mut cases = Vec::new();
        let list = read_json(&dir.join("files.json"));
        for case in list["cases"].as_array().expect("the set lists its cases") {
            let file = case["file"]
                .as_str()
                .expect("a case names its file")
                .to_owned();
            let text = read_text(&dir.join("files").join(&file));
            let case = case.clone();
            let lenient = case["ignore_unknown_fields"] == true;
            let suffix = if lenient {
                " ignoring unknown fields"
            } else {
                ""
            };
            cases.push(Case::new(format!("files/{file}{suffix}"), move || {
                check(&text, &case)
            }));
        }
        let expected = std::fs::read_dir(dir.join("real-world/expected")).expect("the set has it");
        for entry in expected {
            let path = entry.expect("the folder can be read").path();
            let name = path
                .file_stem()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            let (folder, file) = name.split_once("__").expect("names are <folder>__<file>");
            let text = read_text(&dir.join("real-world").join(folder).join(file));
            let case = read_json(&path);
            cases.push(Case::new(format!("real-world/{name}"), move || {
                check(&text, &case)
            }));
        }
        cases
    })
}

fn read_text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8(bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&read_text(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn check(text: &str, case: &Value) -> Result<(), String> {
    let names = match case["name_validation_scheme"].as_str() {
        Some("legacy") => ValidationScheme::Legacy,
        _ => ValidationScheme::Utf8,
    };
    let options = CheckOptions {
        names,
        ..CheckOptions::default()
    };
    let parsed = if case["ignore_unknown_fields"] == true {
        RuleFile::parse_ignoring_unknown(text, &options)
    } else {
        RuleFile::parse(text, &options)
    };
    let valid = case["valid"]
        .as_bool()
        .expect("a case says whether it is valid");
    match parsed {
        Ok(_) if !valid => Err(format!("accepted; expected {}", case["errors"])),
        Ok(file) => {
            let got = groups(&file);
            if got == case["groups"] {
                Ok(())
            } else {
                Err(format!("got {got}\nexpected {}", case["groups"]))
            }
        }
        Err(errors) if valid => Err(format!("refused: {errors:?}")),
        Err(errors) => same_errors(&errors, &case["errors"]),
    }
}

/// Errors agree, but for the wording of the YAML decoder's (and how often it says them).
fn same_errors(errors: &[String], expected: &Value) -> Result<(), String> {
    let expected: Vec<&str> = expected
        .as_array()
        .map(|e| e.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    // Said by the decoder: where it stands and how often it is said is its own.
    let said = |e: &str| errors.iter().any(|got| got.starts_with(e));
    let decoder = |e: &str| e.starts_with("yaml: ") || (e.starts_with("unknown unit") && said(e));
    if expected.iter().all(|e| decoder(e)) && !errors.is_empty() {
        return Ok(());
    }
    if errors == expected {
        Ok(())
    } else {
        Err(format!("got {errors:#?}\nexpected {expected:#?}"))
    }
}

fn groups(file: &RuleFile) -> Value {
    file.groups.iter().map(group).collect()
}

fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    let empty = match &value {
        Value::String(s) => s.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Number(n) => n.as_u64() == Some(0),
        _ => false,
    };
    if !empty {
        map.insert(key.to_owned(), value);
    }
}

fn group(group: &GroupSpec) -> Value {
    let mut map = Map::new();
    put(&mut map, "name", json!(group.name));
    if let Some(interval) = group.interval.filter(|d| d.as_ms() != 0) {
        put(&mut map, "interval", json!(interval.to_string()));
    }
    if let Some(offset) = group.query_offset {
        put(&mut map, "query_offset", json!(offset.to_string()));
    }
    put(&mut map, "limit", json!(group.limit));
    put(&mut map, "labels", json!(group.labels));
    map.insert("rules".to_owned(), group.rules.iter().map(rule).collect());
    Value::Object(map)
}

fn rule(rule: &RuleSpec) -> Value {
    let mut map = Map::new();
    put(&mut map, "record", json!(rule.record.value));
    put(&mut map, "alert", json!(rule.alert.value));
    let expr = promql::parse_expr(&rule.expr, promql::Features::default());
    put(
        &mut map,
        "expr",
        json!(expr.map(|e| e.to_string()).unwrap_or_default()),
    );
    for (key, duration) in [
        ("for", rule.hold),
        ("keep_firing_for", rule.keep_firing_for),
    ] {
        if duration.as_ms() != 0 {
            put(&mut map, key, json!(duration.to_string()));
        }
    }
    put(&mut map, "labels", json!(rule.labels));
    put(&mut map, "annotations", json!(rule.annotations));
    Value::Object(map)
}
