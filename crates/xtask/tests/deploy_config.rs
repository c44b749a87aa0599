//! Every file of deploy/config is one that the services take, and the messages come out as meant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alert_router::config::Config as RouterConfig;
use alert_router::matcher::Mode;
use alert_router::template::{Data, Templates};
use prometheus_config::{Config, LoadOptions};
use rules::{CheckOptions, RuleFile};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files, relative, without those that `cargo xtask up` writes.
fn files() -> BTreeSet<String> {
    let (root, mut found) = (directory(), BTreeSet::new());
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path
                    .strip_prefix(&root)
                    .expect("below the root")
                    .display()
                    .to_string();
                found.insert(name);
            }
        }
    }
    found.remove("targets/local.yml");
    found.remove("targets/.gitignore");
    found
}

#[test]
fn the_examples_of_discovery_are_configurations() {
    let config = Config::load(&directory().join("discovery.yml"), &LoadOptions::default());
    let config = config.expect("it is right");
    assert_eq!(config.unavailable(), Vec::<String>::new());
    for job in config.all_scrape_configs() {
        assert!(!job.discovery.is_empty(), "{}", job.job_name());
    }
}

#[test]
fn each_file_is_checked_below() {
    let known: BTreeSet<String> = [
        "alertmanager.yml",
        "discovery.yml",
        // By kafka-lag-agent's own tests.
        "kafka_clusters.yml",
        "prometheus.yml",
        "rules.yml",
        // By promtool: tests/e2e/tests/compose.
        "rules_test.yml",
        "statsd_mapping.yml",
        "targets/hosts.yml",
        "targets/jmx.yml",
        "targets/kafka.yml",
        "targets/redis.yml",
        "targets/spring.yml",
        "targets/stack/services.yml",
        "targets/stack/statsd.yml",
        "targets/stack/this-host.yml",
        "targets/windows.yml",
        "templates/slack.tmpl",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(files(), known);
}

#[test]
fn prometheus_yml() {
    let path = directory().join("prometheus.yml");
    let config = Config::load(&path, &LoadOptions::default()).expect("it loads");
    assert_eq!(config.rule_files.len(), 1);
    assert!(
        Path::new(&config.rule_files[0]).is_file(),
        "{:?}",
        config.rule_files
    );
    // Each file of targets is read by a job. Those of the stack name somebody, the others wait for lines,
    // which become targets when their comment mark is taken off.
    for file in files() {
        if !file.starts_with("targets/") {
            continue;
        }
        assert!(read(&path).contains(&file), "{file} is used");
        let text = read(&directory().join(&file));
        let targets = |text: &str| {
            let groups = discovery::parse_groups_yaml(text);
            let groups = groups.unwrap_or_else(|error| panic!("{file}: {error}\n{text}"));
            groups
                .iter()
                .map(|group| group.targets.len())
                .sum::<usize>()
        };
        let is_stack = file.starts_with("targets/stack/");
        assert_eq!(targets(&text) > 0, is_stack, "{file}");
        assert!(targets(&text.replace("# - ", "- ")) > 0, "{file}");
        if is_stack {
            let name = Path::new(&file).file_name().expect("it is a file");
            let other = directory().join("../docker/targets").join(name);
            assert!(targets(&read(&other)) > 0, "{}", other.display());
        }
    }
}

#[test]
fn rules_yml() {
    let file = RuleFile::parse(
        &read(&directory().join("rules.yml")),
        &CheckOptions::default(),
    );
    let file = file.unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(
        file.groups
            .iter()
            .map(|group| group.rules.len())
            .sum::<usize>()
            >= 5
    );
}

#[test]
fn alertmanager_yml() {
    let text = read(&directory().join("alertmanager.yml"));
    let config = RouterConfig::parse(&text, Mode::default(), &directory())
        .unwrap_or_else(|error| panic!("{error}"));
    // Whoever has not put in addresses yet is not to be told of failures for ever.
    assert_eq!(config.route.receiver, "show");
    let secrets = directory().join("../secrets.example");
    assert!(read(&secrets.join("slack_api_url")).contains("NOT-A-REAL-SECRET"));
    // What stands there to be switched on can be switched on.
    let on = text.replace("    # - {", "    - {");
    assert_ne!(on, text);
    RouterConfig::parse(&on, Mode::default(), &directory())
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn statsd_mapping_yml() {
    let text = read(&directory().join("statsd_mapping.yml"));
    let file: serde_json::Value =
        yaml_config::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mappings = file["mappings"].as_array().expect("a list of mappings");
    assert!(
        mappings
            .iter()
            .all(|mapping| mapping["match"].is_string() && mapping["name"].is_string())
    );
}

#[test]
fn slack_messages() {
    let mut templates = Templates::new().expect("the built-in templates");
    templates
        .add(
            "slack.tmpl",
            &read(&directory().join("templates/slack.tmpl")),
        )
        .unwrap_or_else(|error| panic!("{error}"));
    let data = |status: &str, severity: &str| -> Data {
        serde_json::from_value(serde_json::json!({
            "status": status,
            "alerts": [{
                "status": status,
                "labels": {"alertname": "HighCpuUsage", "severity": severity},
                "annotations": {"summary": "Instance a:1", "description": "Current Used=71.00%"},
            }],
            "commonLabels": {"alertname": "HighCpuUsage", "severity": severity},
        }))
        .expect("it is that shape")
    };
    let now = golang::time::Time::default();
    let shown = |name: &str, data: &Data| {
        templates
            .execute_text(&format!("{{{{ template \"{name}\" . }}}}"), data, &now)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let firing = data("firing", "warning");
    assert_eq!(shown("slack.title", &firing), "[FIRING:1] HighCpuUsage");
    assert_eq!(shown("slack.color", &firing), "warning");
    assert_eq!(
        shown("slack.text", &firing),
        "\n*Instance a:1*\nCurrent Used=71.00%"
    );
    assert_eq!(shown("slack.color", &data("firing", "critical")), "danger");
    let resolved = data("resolved", "critical");
    assert_eq!(shown("slack.title", &resolved), "[RESOLVED] HighCpuUsage");
    assert_eq!(shown("slack.color", &resolved), "good");
}
