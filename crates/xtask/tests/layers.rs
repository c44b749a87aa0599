//! Holds the picture of docs/architecture.md true: a crate depends on crates of lower rows, or along
//! an arrow that is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The rows from the bottom up.
const ROWS: [(&str, &[&str]); 5] = [
    ("vocabulary", &["golang", "model", "yaml-config", "proto"]),
    (
        "pure cores",
        &[
            "exposition",
            "relabel",
            "storage",
            "promql",
            "rules",
            "gotemplate",
            "tsdb-format",
            "telemetry",
        ],
    ),
    (
        "IO libraries",
        &[
            "tsdb",
            "http-client",
            "discovery",
            "scrape",
            "remote",
            "http-api",
        ],
    ),
    ("service kit", &["service", "web-ui", "prometheus-config"]),
    (
        "services",
        &[
            "node-agent",
            "container-agent",
            "statsd-bridge",
            "kafka-lag-agent",
            "scraper-store",
            "rule-evaluator",
            "alert-router",
        ],
    ),
];

/// Tools at the top: nobody depends on them.
const TOOLS: [&str; 5] = ["xtask", "conformance", "e2e", "promtool", "amtool"];

/// Arrows within a row, as drawn.
const ARROWS: [(&str, &str); 14] = [
    ("yaml-config", "model"),
    ("yaml-config", "golang"),
    ("model", "golang"),
    ("proto", "model"),
    ("rules", "promql"),
    ("rules", "gotemplate"),
    ("rules", "storage"),
    ("promql", "storage"),
    ("telemetry", "exposition"),
    ("scrape", "discovery"),
    ("scrape", "http-client"),
    ("discovery", "http-client"),
    ("remote", "tsdb"),
    ("remote", "http-client"),
];

/// What the two lowest rows do without: runtimes and sockets.
const NOT_PURE: [&str; 8] = [
    "tokio",
    "tokio-util",
    "hyper",
    "hyper-util",
    "axum",
    "reqwest",
    "mio",
    "tonic",
];

fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// A crate's dependencies that are not for tests only, with whether each is optional.
fn dependencies(package: &serde_json::Value) -> BTreeMap<String, bool> {
    let list = package["dependencies"].as_array().expect("a list");
    list.iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| {
            let name = dependency["name"].as_str().expect("a name").to_owned();
            (name, dependency["optional"] == true)
        })
        .collect()
}

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|(_, crates)| crates.contains(&name))
}

/// Why a crate may not depend on another one; `None` if it may.
fn objection(from: &str, to: &str) -> Option<String> {
    if TOOLS.contains(&from) {
        return None;
    }
    if TOOLS.contains(&to) {
        return Some(format!("{from} depends on {to}, which is a tool"));
    }
    let (Some(lower), Some(upper)) = (row(to), row(from)) else {
        return Some(format!(
            "{from} -> {to}: one of them is in no row of docs/architecture.md"
        ));
    };
    if lower < upper || ARROWS.contains(&(from, to)) {
        return None;
    }
    Some(format!(
        "{from} ({}) depends on {to} ({}): neither a lower row nor an arrow of docs/architecture.md",
        ROWS[upper].0, ROWS[lower].0
    ))
}

#[test]
fn dependencies_point_down() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list");
    let names: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut objections = Vec::new();
    for package in packages {
        let from = package["name"].as_str().expect("a name");
        if row(from).is_none() && !TOOLS.contains(&from) {
            objections.push(format!("{from} is in no row of docs/architecture.md"));
        }
        for (to, optional) in dependencies(package) {
            if names.contains(to.as_str()) {
                objections.extend(objection(from, &to));
            }
            // gRPC stubs of `proto` are behind a feature, and so may be optional.
            if row(from).is_some_and(|row| row < 2) && !optional && NOT_PURE.contains(&to.as_str())
            {
                objections.push(format!("{from} is pure and depends on {to}"));
            }
        }
    }
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
}

#[test]
fn the_rules_themselves() {
    assert_eq!(objection("scrape", "http-client"), None);
    assert_eq!(objection("scraper-store", "model"), None);
    assert_eq!(objection("xtask", "model"), None);
    for (from, to) in [
        ("model", "yaml-config"),
        ("http-client", "scrape"),
        ("promql", "tsdb"),
        ("alert-router", "rule-evaluator"),
        ("tsdb", "e2e"),
        ("tsdb", "unheard-of"),
    ] {
        assert!(objection(from, to).is_some(), "{from} -> {to}");
    }
}
