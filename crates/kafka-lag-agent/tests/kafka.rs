//! The conformance set `kafka`: families and flags of kafka_exporter.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use conformance::Case;
use exposition::Family;
use kafka_lag_agent::Settings;
use kafka_lag_agent::agent::{Agent, register};
use serde_json::Value as Json;
use service::{Args, Boot};
use telemetry::Registry;

fn main() -> ExitCode {
    conformance::run("kafka", |dir| {
        let mut cases = metrics(dir);
        cases.extend(flags(dir));
        cases
    })
}

fn read(dir: &Path, file: &str) -> Vec<Json> {
    let text = std::fs::read_to_string(dir.join(file)).expect("the set is readable");
    let document: Json = serde_json::from_str(&text).expect("the set is JSON");
    document["cases"].as_array().expect("cases").clone()
}

fn text(case: &Json, field: &str) -> String {
    case[field].as_str().expect("text").to_owned()
}

/// The families of a cluster with a topic and a group, with a constant label.
fn families() -> Vec<Family> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let fake = support::start(support::orders()).await;
        let server = format!("--kafka.server={}", fake.address);
        let old = support::zookeeper(&[("/consumers/ancient/offsets/orders/0", "60")]).await;
        let zookeeper = format!("--zookeeper.server={old}");
        let args = [
            server.as_str(),
            "--kafka.labels=cluster=east",
            "--use.consumelag.zookeeper",
            &zookeeper,
        ];
        let boot = Boot::new(&kafka_lag_agent::PROGRAM, &args).expect("flags");
        let settings = Settings::from_args(&boot.args).expect("settings");
        let registry = Registry::new();
        let agent = Arc::new(Agent::new(settings, &registry));
        agent.poll().await;
        register(&[agent], &registry);
        let page = registry.render(None).body;
        exposition::parse_families(&page, model::names::ValidationScheme::Legacy).expect("a page")
    })
}

fn metrics(dir: &Path) -> Vec<Case> {
    let families: Arc<BTreeMap<String, Family>> = Arc::new(
        families()
            .into_iter()
            .map(|family| (family.name.clone(), family))
            .collect(),
    );
    let check = |case: Json| {
        let families = Arc::clone(&families);
        let name = text(&case, "name");
        Case::new(format!("metrics.json/{name}"), move || {
            let family = families.get(&name).ok_or("not on the page")?;
            let mut expected: BTreeSet<&str> = case["labels"]
                .as_array()
                .expect("labels")
                .iter()
                .map(|label| label.as_str().expect("text"))
                .collect();
            // As the set's README says.
            if !name.starts_with("kafka_consumergroupzookeeper") {
                expected.insert("cluster");
            }
            let same = |what: &str, found: String, expected: String| match found == expected {
                true => Ok(()),
                false => Err(format!("{what}: got {found}, expected {expected}")),
            };
            same("type", family.kind.to_string(), text(&case, "type"))?;
            let help = family.help.clone().unwrap_or_default();
            same("help", help, text(&case, "help"))?;
            if family.metrics.is_empty() {
                return Err("no metric".to_owned());
            }
            for metric in &family.metrics {
                let names: BTreeSet<&str> = metric.labels.iter().map(|(n, _)| n.as_str()).collect();
                same("labels", format!("{names:?}"), format!("{expected:?}"))?;
            }
            Ok(())
        })
    };
    read(dir, "metrics.json").into_iter().map(check).collect()
}

fn parse(args: &[&str]) -> Result<Arc<Args>, String> {
    let boot = Boot::new(&kafka_lag_agent::PROGRAM, args).map_err(|error| error.to_string())?;
    Ok(boot.args)
}

fn flags(dir: &Path) -> Vec<Case> {
    let check = |case: Json| {
        let flag = text(&case, "flag");
        Case::new(format!("flags.json/{flag}"), move || {
            let name = flag.trim_start_matches('-');
            let default = match text(&case, "default") {
                variable if variable.starts_with('$') => {
                    std::env::var(&variable[1..]).unwrap_or_default()
                }
                default => default,
            };
            let args = parse(&[])?;
            if !args.has(name) {
                return Err("no such flag".to_owned());
            }
            let repeated = text(&case, "type").starts_with("repeated");
            let found = match repeated {
                true => args.list(name).join(","),
                false => args.get(name).unwrap_or_default().to_owned(),
            };
            if found != default {
                return Err(format!("default {found:?}, expected {default:?}"));
            }
            let known = kafka_lag_agent::PROGRAM
                .flags
                .iter()
                .find(|f| f.name == name);
            let help = known.map_or("", |flag| flag.help);
            if help != text(&case, "help") {
                return Err(format!("help {help:?}"));
            }
            // Given with its own default it is accepted; repeated where it may be.
            let given = format!("{flag}={default}");
            parse(&[&given])?;
            if repeated {
                let twice = parse(&[&given, &given])?;
                if twice.list(name).len() != 2 {
                    return Err("not repeatable".to_owned());
                }
            }
            if text(&case, "type") == "bool" {
                let off = format!("--no-{name}");
                if parse(&[&off])?.bool(name) {
                    return Err(format!("{off} does not switch it off"));
                }
            }
            Ok(())
        })
    };
    read(dir, "flags.json").into_iter().map(check).collect()
}
