//! A Grafana dashboard against a running store: every query of every panel and variable.

use std::path::Path;

use e2e::{get_json, query};
use serde_json::Value;

/// Fails with all queries that are refused or answered with nothing, for any of the jobs.
pub(crate) fn every_query_is_answered(file: &Path, store: &str, jobs: &[&str]) {
    let text = std::fs::read_to_string(file).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let (mut asked, mut faults) = (0, Vec::new());
    for job in jobs {
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            assert!(!targets.is_empty() || panel["type"] == "row", "{panel}");
            for target in targets {
                let expr = filled_in(target["expr"].as_str().unwrap(), job);
                asked += 1;
                if query(store, &expr).is_none_or(|series| series.is_empty()) {
                    faults.push(format!("{} ({job}): {expr}", panel["title"]));
                }
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(definition) = variable["definition"].as_str() else {
                continue;
            };
            asked += 1;
            if label_values(store, &filled_in(definition, job)).is_none() {
                faults.push(format!("variable {} ({job})", variable["name"]));
            }
        }
    }
    assert!(asked > 50, "only {asked} queries");
    assert!(faults.is_empty(), "no answer to:\n{}", faults.join("\n"));
}

/// As Grafana fills variables in, with "All" chosen; half a minute for the interval of rates.
fn filled_in(text: &str, job: &str) -> String {
    let mut text = text.replace("$__rate_interval", "30s").replace("$job", job);
    for variable in ["$scenario", "$name", "$method"] {
        text = text.replace(variable, ".*");
    }
    assert!(!text.contains('$'), "an unknown variable in {text}");
    text
}

/// `label_values(selector, label)`; `None` where there are none.
fn label_values(store: &str, definition: &str) -> Option<()> {
    let inner = definition
        .strip_prefix("label_values(")?
        .strip_suffix(')')?;
    let (selector, label) = inner.rsplit_once(", ")?;
    let mut url = format!("{store}/api/v1/label/{label}/values?match[]=");
    for byte in selector.bytes() {
        url.push_str(&format!("%{byte:02X}"));
    }
    let values = get_json(&url)?;
    let found = values["data"]
        .as_array()?
        .iter()
        .any(|v| v.as_str() != Some(""));
    found.then_some(())
}
