//! The example configuration by promtool and amtool: ours and the real ones.

use std::process::Command;

use e2e::part;

use crate::{deploy, run};

#[test]
fn by_the_tools_of_both_sides() {
    let ours = part::build(&["promtool", "amtool"]);
    let tool = |name: &str| [Some(ours.join(name)), part::peer(name)];
    for promtool in tool("promtool").into_iter().flatten() {
        let check = |args: &[&str]| {
            let mut command = Command::new(&promtool);
            run(command.args(args).current_dir(deploy().join("config")))
        };
        check(&["check", "config", "prometheus.yml"]);
        let said = check(&["check", "rules", "rules.yml"]);
        assert!(said.contains("SUCCESS: 30 rules found"), "{said}");
        check(&["test", "rules", "rules_test.yml"]);
    }
    for amtool in tool("amtool").into_iter().flatten() {
        let said = run(Command::new(&amtool)
            .arg("check-config")
            .arg(deploy().join("config/alertmanager.yml")));
        assert!(
            said.contains("SUCCESS") && said.contains("5 receivers"),
            "{said}"
        );
    }
}

/// Each alert of the rules has a case in their tests.
#[test]
fn every_alert_is_tested() {
    let read = |name: &str| std::fs::read_to_string(deploy().join("config").join(name)).unwrap();
    let (rules, tests) = (read("rules.yml"), read("rules_test.yml"));
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        let case = format!("alertname: {alert}\n");
        let cases: Vec<&str> = tests.split(&case).skip(1).collect();
        let fires = |rest: &&str| rest.trim_start().starts_with("exp_alerts:");
        assert!(cases.iter().any(fires), "{alert}");
    }
}
