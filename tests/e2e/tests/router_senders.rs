//! Prometheus, vmalert and rule-evaluator send to one alert-router at once: what is the same alert is
//! one, what is not stays apart, and the end of each is told.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{Process, Receiver, Router, Stack, build_services, free_port, get_json, part, wait_for};
use serde_json::Value;

const SENDERS: [&str; 3] = ["prometheus", "rule-evaluator", "vmalert"];

/// `Same` is the same alert from each sender, `Own` bears its name; both end at `end` (Unix seconds).
fn rules(dir: &Path, sender: &str, end: u64) -> PathBuf {
    let file = dir.join(format!("{sender}-rules.yml"));
    let text = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  \
         - {{alert: Same, expr: 'vector(time()) < {end}', labels: {{severity: page}}}}\n  \
         - {{alert: Own, expr: 'vector(time()) < {end}', labels: {{sender: {sender}}}}}\n"
    );
    std::fs::write(&file, text).expect("the folder can be written");
    file
}

/// A configuration of Prometheus' form that sends the rules' alerts to `router`.
fn prometheus_yml(dir: &Path, sender: &str, rules: &Path, router: &Router) -> PathBuf {
    let file = dir.join(format!("{sender}.yml"));
    let address = router.url.trim_start_matches("http://");
    let text = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: ['{}']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}\n",
        rules.display()
    );
    std::fs::write(&file, text).expect("the folder can be written");
    file
}

/// The names of the senders (or severities) in the last message of a group, with their states.
fn last(sink: &Receiver, alertname: &str, label: &str) -> Vec<(String, String)> {
    let of_group = |body: &Value| body["groupLabels"]["alertname"] == alertname;
    let requests = sink.requests("/hook");
    let mut bodies = requests.iter().map(e2e::Request::json);
    let Some(body) = bodies.rfind(of_group) else {
        return Vec::new();
    };
    let mut found: Vec<(String, String)> = body["alerts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|alert| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&alert["labels"][label]), text(&alert["status"]))
        })
        .collect();
    found.sort();
    found
}

fn all(names: &[&str], state: &str) -> Vec<(String, String)> {
    let pair = |name: &&str| ((*name).to_owned(), state.to_owned());
    names.iter().map(pair).collect()
}

#[test]
fn three_kinds_of_senders_at_once() {
    let (Some(prometheus), Some(vmalert)) = (part::peer("prometheus"), part::peer("vmalert"))
    else {
        return;
    };
    let programs = build_services();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let dir = folder.path();
    let sink = Receiver::start();
    let router = Router::start(
        &programs.join("alert-router"),
        "router",
        &format!(
            "route: {{receiver: r, group_by: [alertname], group_wait: 1s, group_interval: 1s}}\n\
             receivers: [{{name: r, webhook_configs: [{{url: '{}'}}]}}]\n",
            sink.url("/hook")
        ),
        &[],
        dir,
    );

    // A store for those that need one; what they ask needs no samples.
    let [store, grpc, rules_http, rules_grpc, prom, vm] =
        [(); 6].map(|()| format!("127.0.0.1:{}", free_port()));
    std::fs::write(dir.join("store.yml"), "global: {}\n").expect("the folder can be written");
    let _store = Process::start(
        "scraper-store",
        &programs.join("scraper-store"),
        &[
            format!("--config.file={}", dir.join("store.yml").display()),
            format!("--storage.tsdb.path={}", dir.join("store").display()),
            format!("--web.listen-address={store}"),
            format!("--grpc-address={grpc}"),
        ],
        dir,
    );
    Stack::wait_ready("scraper-store", &format!("http://{store}"));

    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let end = now.expect("the clock is set").as_secs() + 25;
    let config = |sender: &str| prometheus_yml(dir, sender, &rules(dir, sender, end), &router);
    let _rules = Process::start(
        "rule-evaluator",
        &programs.join("rule-evaluator"),
        &[
            format!("--config.file={}", config("rule-evaluator").display()),
            format!("--query.grpc-address={grpc}"),
            format!("--web.listen-address={rules_http}"),
            format!("--grpc-address={rules_grpc}"),
            "--rules.alert.resend-delay=3s".to_owned(),
        ],
        dir,
    );
    let _prometheus = Process::start(
        "prometheus",
        &prometheus,
        &[
            format!("--config.file={}", config("prometheus").display()),
            format!("--storage.tsdb.path={}", dir.join("prom").display()),
            format!("--web.listen-address={prom}"),
            "--rules.alert.resend-delay=3s".to_owned(),
        ],
        dir,
    );
    let _vmalert = Process::start(
        "vmalert",
        &vmalert,
        &[
            format!("-rule={}", rules(dir, "vmalert", end).display()),
            format!("-datasource.url=http://{store}"),
            format!("-notifier.url={}", router.url),
            format!("-httpListenAddr={vm}"),
            "-evaluationInterval=1s".to_owned(),
            "-disableAlertgroupLabel".to_owned(),
            "-rule.evalDelay=0s".to_owned(),
        ],
        dir,
    );

    let limit = Duration::from_secs(90);
    wait_for("each sender's own alert is told of", limit, || {
        // One that came late is in a later message, with what fires already.
        (last(&sink, "Own", "sender") == all(&SENDERS, "firing")).then_some(())
    });
    let url = format!("{}/api/v2/alerts", router.url);
    let held = get_json(&url).expect("the router answers with JSON");
    let count = |name: &str| {
        let alerts = held.as_array().into_iter().flatten();
        alerts.filter(|a| a["labels"]["alertname"] == name).count()
    };
    assert_eq!((count("Same"), count("Own")), (1, 3), "{held:#}");

    wait_for("their ends are told", limit, || {
        let own = last(&sink, "Own", "sender");
        // Those that ended in an earlier round are in its message only.
        let ended = !own.is_empty() && own.iter().all(|(_, state)| state == "resolved");
        let same = last(&sink, "Same", "severity") == all(&["page"], "resolved");
        (ended && same).then_some(())
    });
    let ended: std::collections::BTreeSet<String> = sink
        .requests("/hook")
        .iter()
        .flat_map(|r| r.json()["alerts"].as_array().cloned().unwrap_or_default())
        .filter(|a| a["status"] == "resolved" && a["labels"]["alertname"] == "Own")
        .filter_map(|a| a["labels"]["sender"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(ended.into_iter().collect::<Vec<_>>(), SENDERS);
    let failed = router.process.unannounced(&[]);
    assert!(failed.is_empty(), "{failed:?}");
}
