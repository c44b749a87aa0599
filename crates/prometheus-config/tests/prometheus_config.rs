//! The set `prometheus-config`: files that load, and files that are refused with upstream's words.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::Case;
use prometheus_config::{Config, LoadOptions};
use serde_json::Value;

fn main() -> ExitCode {
    conformance::run("prometheus-config", |dir| {
        // Relative paths in messages are those of the reference, which ran in this folder.
        std::env::set_current_dir(dir.join("files")).expect("the set has its files");
        let text = std::fs::read_to_string(dir.join("index.json")).expect("the set has an index");
        let index: Value = serde_json::from_str(&text).expect("the index is JSON");
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let cases = index["cases"]
            .as_array()
            .expect("the index lists cases")
            .clone();
        cases
            .into_iter()
            .map(|case| {
                let file = case["file"].as_str().expect("a case names its file");
                let agent = if case["agent"] == true {
                    " (agent)"
                } else {
                    ""
                };
                let dir = dir.clone();
                Case::new(format!("{file}{agent}"), move || check(&dir, &case))
            })
            .collect()
    })
}

fn check(dir: &Path, case: &Value) -> Result<(), String> {
    let file = PathBuf::from(case["file"].as_str().expect("a case names its file"));
    let env: HashMap<String, String> =
        serde_json::from_value(case["env"].clone()).unwrap_or_default();
    let options = LoadOptions {
        agent: case["agent"] == true,
        env: &|name| env.get(name).cloned(),
    };
    let loaded = Config::load(&file, &options);
    match (loaded, case["valid"] == true) {
        (Ok(_), false) => Err(format!("accepted; expected {case}")),
        (Err(error), true) => Err(format!("refused: {error}")),
        (Err(error), false) => same_error(&error.to_string(), case),
        (Ok(config), true) => {
            let scrape = config.all_scrape_configs();
            same_yaml(dir, case, "resolved", &config)?;
            same_yaml(dir, case, "scrape_configs", &scrape)
        }
    }
}

fn same_error(error: &str, case: &Value) -> Result<(), String> {
    if let Some(part) = case["error_contains"].as_str() {
        // The reference's own tests ran one folder above the files.
        let part = part.replace("testdata/", "");
        let found = error.contains(&part);
        return if found {
            Ok(())
        } else {
            Err(format!("got {error:?}, expected ...{part:?}..."))
        };
    }
    let whole = case["error"].as_str().unwrap_or("");
    let expected = whole.split_once(": ").map_or(whole, |(_, rest)| rest);
    if expected.starts_with("yaml: ") || error.contains(expected) {
        return Ok(());
    }
    Err(format!("got {error:?}, expected {expected:?}"))
}

fn same_yaml(
    dir: &Path,
    case: &Value,
    key: &str,
    got: &impl serde::Serialize,
) -> Result<(), String> {
    let Some(path) = case[key].as_str() else {
        return Ok(());
    };
    let expected = std::fs::read_to_string(dir.join(path)).expect("the set has what it names");
    let got = yaml_config::to_string(got).map_err(|e| e.to_string())?;
    let value = |text: &str| yaml_config::from_str::<Value>(text).map_err(|e| e.to_string());
    if value(&expected)? == value(&got)? {
        return Ok(());
    }
    Err(format!("{key}: got\n{got}\nexpected\n{expected}"))
}
