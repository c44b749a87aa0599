//! The conformance set `container`: cAdvisor's container information, and the pages it makes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use conformance::Case;
use container_agent::groups::Groups;
use container_agent::info::{Container, Machine, Version, parse_time};
use container_agent::labels::LabelPolicy;
use container_agent::metrics;
use exposition::{Format, Writer};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
struct Input {
    containers: BTreeMap<String, Container>,
    machine: Machine,
    version: Version,
}

fn main() -> ExitCode {
    conformance::run("container", |dir| {
        let runs: Json = serde_json::from_str(&text(dir, "runs.json")).expect("runs are JSON");
        let now_ms = parse_time(runs["now"].as_str().expect("a time")).expect("RFC 3339");
        let cases = runs["cases"].as_array().expect("a list of cases").clone();
        let named = cases.into_iter().map(|case| {
            let expected = case["expected"].as_str().expect("a file");
            let name = expected.trim_start_matches("expected/").to_owned();
            let (expected, dir) = (text(dir, expected), dir.to_owned());
            Case::new(name, move || check(&dir, &case, now_ms, &expected))
        });
        named.collect()
    })
}

fn text(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).expect("the set is readable")
}

fn words(json: &Json) -> Vec<String> {
    let list = json.as_array().expect("a list");
    list.iter()
        .map(|word| word.as_str().expect("a word").to_owned())
        .collect()
}

fn check(dir: &Path, case: &Json, now_ms: i64, expected: &str) -> Result<(), String> {
    let input = text(dir, case["input"].as_str().expect("a file"));
    let input: Input = serde_json::from_str(&input).map_err(|e| e.to_string())?;
    let mut writer = Writer::new(Format::default());
    if case["machine_metrics"].as_bool() == Some(true) {
        metrics::write_machine(&input.machine, false, &mut writer);
    } else {
        let containers: Vec<Container> = input.containers.into_values().collect();
        let labels = match case["container_labels"].as_str() {
            Some("default") => LabelPolicy::All,
            Some("none") => LabelPolicy::Only(Default::default()),
            _ => LabelPolicy::Only(words(&case["container_labels"]).into_iter().collect()),
        };
        let page = metrics::Page {
            containers: &containers,
            version: &input.version,
            groups: Groups::parse(&words(&case["metrics"]).join(","))?,
            labels: &labels,
            failed: false,
            now_ms,
        };
        metrics::write(&page, &mut writer);
    }
    let page = writer.finish().map_err(|e| e.to_string())?;
    compare(&String::from_utf8_lossy(&page), expected)
}

/// The families in their order, and the lines of each sorted.
fn families(page: &str) -> Vec<Vec<&str>> {
    let mut families: Vec<Vec<&str>> = Vec::new();
    for line in page.lines() {
        if line.starts_with("# HELP ") || families.is_empty() {
            families.push(Vec::new());
        }
        families.last_mut().expect("one was pushed").push(line);
    }
    families.iter_mut().for_each(|lines| lines.sort_unstable());
    families
}

fn compare(page: &str, expected: &str) -> Result<(), String> {
    let (got, wanted) = (families(page), families(expected));
    for (got, wanted) in got.iter().zip(&wanted) {
        if got != wanted {
            return Err(format!("\n     got {got:#?}\nexpected {wanted:#?}"));
        }
    }
    if got.len() != wanted.len() {
        return Err(format!(
            "{} families instead of {}",
            got.len(),
            wanted.len()
        ));
    }
    Ok(())
}
