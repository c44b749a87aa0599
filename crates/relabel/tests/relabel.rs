//! The conformance set `relabel`.

use std::path::Path;
use std::process::ExitCode;

use conformance::Case;
use model::Labels;
use model::names::ValidationScheme;
use relabel::{Config, Rule, compile_all, relabel};
use serde_json::Value as Json;

fn main() -> ExitCode {
    conformance::run("relabel", |dir| {
        let mut cases = cases(dir, "relabel.json", check_apply);
        cases.extend(crate::cases(dir, "validate.json", check_validate));
        cases
    })
}

fn cases(dir: &Path, file: &str, check: fn(&Json) -> Result<(), String>) -> Vec<Case> {
    let text = std::fs::read_to_string(dir.join(file)).expect("the set is readable");
    let document: Json = serde_json::from_str(&text).expect("the set is JSON");
    let named = |(i, case): (usize, &Json)| {
        let case = case.clone();
        Case::new(format!("{file}/{i}"), move || check(&case))
    };
    let cases = document["cases"].as_array().expect("a list of cases");
    cases.iter().enumerate().map(named).collect()
}

fn load(case: &Json) -> Result<Vec<Rule>, String> {
    let scheme = match case["name_validation_scheme"].as_str() {
        Some("legacy") => ValidationScheme::Legacy,
        _ => ValidationScheme::Utf8,
    };
    let text = case["config"].as_str().expect("a configuration");
    let configs: Vec<Config> = yaml_config::from_str(text).map_err(|e| e.message())?;
    compile_all(&configs, scheme).map_err(|e| e.to_string())
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().expect("labels");
    Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v.as_str().expect("a value"))))
}

fn check_apply(case: &Json) -> Result<(), String> {
    let rules = load(case)?;
    let output = relabel(&labels(&case["labels"]), &rules);
    let expected = match case["dropped"].as_bool() {
        Some(true) => None,
        _ => Some(labels(&case["output"])),
    };
    if output == expected {
        return Ok(());
    }
    Err(format!("\n     got {output:?}\nexpected {expected:?}"))
}

fn check_validate(case: &Json) -> Result<(), String> {
    let result = load(case).map(|_| ());
    match (&result, case["error"].as_str()) {
        (Ok(()), None) => Ok(()),
        // The decoder's own wording may differ.
        (Err(_), Some(expected)) if expected.starts_with("yaml:") => Ok(()),
        (Err(error), Some(expected)) if error == expected => Ok(()),
        (_, expected) => Err(format!("\n     got {result:?}\nexpected {expected:?}")),
    }
}
