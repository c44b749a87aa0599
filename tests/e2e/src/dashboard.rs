//! A Grafana dashboard of `deploy/grafana/dashboards` against a running store: every query of every panel
//! and variable.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{get_json, query};

/// A dashboard.
pub struct Dashboard {
    name: String,
    json: Value,
}

/// The folder of our dashboards.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards")
}

impl Dashboard {
    /// One of ours: `fleet`, `host`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn load(name: &str) -> Dashboard {
        let path = folder().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json = serde_json::from_str(&text);
        Dashboard {
            name: name.to_owned(),
            json: json.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        }
    }

    /// All queries, as panel and expression, with variables filled in as Grafana does it: as `chosen`,
    /// otherwise "All"; half a minute for the interval of rates.
    ///
    /// # Panics
    /// Where a panel has none, or a variable is neither chosen nor has "All".
    pub fn queries(&self, chosen: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for panel in self.list("panels") {
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            assert!(
                !targets.is_empty() || panel["type"] == "row",
                "{}: {panel}",
                self.name
            );
            for target in targets {
                let title = format!("{}: {}", self.name, panel["title"]);
                let expr = target["expr"].as_str().expect("a query is a text");
                found.push((title, self.filled_in(expr, chosen)));
            }
        }
        found
    }

    /// The queries that are refused or answered with nothing, in words.
    pub fn faults(&self, store: &str, chosen: &[(&str, &str)]) -> Vec<String> {
        let mut faults = Vec::new();
        for (title, expr) in self.queries(chosen) {
            if query(store, &expr).is_none_or(|series| series.is_empty()) {
                faults.push(format!("{title}: {expr}"));
            }
        }
        for variable in self.variables() {
            let Some(definition) = variable["definition"].as_str() else {
                continue;
            };
            if label_values(store, &self.filled_in(definition, chosen)).is_none() {
                faults.push(format!("{}: variable {}", self.name, variable["name"]));
            }
        }
        faults
    }

    fn list(&self, name: &str) -> &[Value] {
        self.json[name].as_array().map_or(&[], Vec::as_slice)
    }

    fn variables(&self) -> &[Value] {
        let list = self.json["templating"]["list"].as_array();
        list.map_or(&[], Vec::as_slice)
    }

    fn filled_in(&self, text: &str, chosen: &[(&str, &str)]) -> String {
        let mut text = text
            .replace("$__rate_interval", "30s")
            .replace("$__range", "10m");
        // Longer names first: one may begin with another.
        let mut variables: Vec<(&str, Option<&str>)> = self
            .variables()
            .iter()
            .filter_map(|variable| {
                let name = variable["name"].as_str()?;
                let chosen = chosen.iter().find(|(other, _)| *other == name);
                let value = chosen.map(|(_, value)| *value);
                Some((name, value.or(variable["allValue"].as_str())))
            })
            .collect();
        variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in variables {
            let place = format!("${name}");
            if text.contains(&place) {
                let value = value.unwrap_or_else(|| panic!("{}: ${name} is not chosen", self.name));
                text = text.replace(&place, value);
            }
        }
        assert!(!text.contains('$'), "an unknown variable in {text}");
        text
    }
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
