//! rule-evaluator with real neighbours: the life of alerts as prometheus/compliance specifies it for
//! alert generators, two replicas, an outage of the store, queries over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use e2e::{
    Process, Receiver, Stack, WRITE_HEADERS, build_services, free_port, get_json, labels, now_ms,
    part, post, query, wait_for, write_request,
};
use proto::prometheus::{Sample, TimeSeries};
use serde_json::Value;

/// Writes `v{case="..."}` twice a second, with the values of the moment.
struct Feeder {
    values: Arc<Mutex<BTreeMap<&'static str, f64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Feeder {
    fn start(store_url: &str, cases: &[&'static str]) -> Feeder {
        let values: BTreeMap<&'static str, f64> = cases.iter().map(|case| (*case, 0.0)).collect();
        let values = Arc::new(Mutex::new(values));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&values), Arc::clone(&stop));
        let url = format!("{store_url}/api/v1/write");
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let body = request(&shared.lock().unwrap());
                // A store that is away for a while is part of a test.
                let _ = post(&url, &WRITE_HEADERS, &body);
                thread::sleep(Duration::from_millis(500));
            }
        });
        Feeder {
            values,
            stop,
            thread: Some(thread),
        }
    }

    fn set(&self, changes: &[(&'static str, f64)]) {
        self.values.lock().unwrap().extend(changes.iter().copied());
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn request(values: &BTreeMap<&'static str, f64>) -> Vec<u8> {
    let series = values.iter().map(|(case, value)| TimeSeries {
        labels: labels([("__name__", "v"), ("case", case)]),
        samples: vec![Sample {
            value: *value,
            timestamp: now_ms(),
        }],
        ..TimeSeries::default()
    });
    write_request(series.collect())
}

/// scraper-store without targets, and a folder for all.
struct Store {
    dir: tempfile::TempDir,
    url: String,
    grpc: String,
    process: Process,
}

impl Store {
    fn start(rules: &str, alerting: &str) -> Store {
        let programs = build_services();
        let dir = tempfile::tempdir().unwrap();
        let [http, grpc] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        std::fs::write(dir.path().join("rules.yml"), rules).unwrap();
        let config =
            format!("global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n{alerting}");
        std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(dir.path().join("store.yml"), "global: {}\n").unwrap();
        let args = [
            format!("--config.file={}", dir.path().join("store.yml").display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={http}"),
            format!("--grpc-address={grpc}"),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        let process = Process::start(
            "scraper-store",
            &programs.join("scraper-store"),
            &args,
            dir.path(),
        );
        let url = format!("http://{http}");
        Stack::wait_ready("scraper-store", &url);
        Store {
            dir,
            url,
            grpc,
            process,
        }
    }

    /// A rule-evaluator on this store, with its URL.
    fn evaluator(&self, name: &str, more: &[String]) -> (Process, String) {
        let source = vec![format!("--query.grpc-address={}", self.grpc)];
        evaluator(self.dir.path(), name, &[&source, more].concat())
    }
}

fn evaluator(dir: &Path, name: &str, more: &[String]) -> (Process, String) {
    let [http, grpc] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let mut args = vec![
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--web.listen-address={http}"),
        format!("--grpc-address={grpc}"),
    ];
    args.extend_from_slice(more);
    let process = Process::start(name, &build_services().join("rule-evaluator"), &args, dir);
    let url = format!("http://{http}");
    Stack::wait_ready(name, &url);
    (process, url)
}

fn alerting(receiver: &Receiver) -> String {
    let address = receiver.url("").replace("http://", "");
    format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}\n")
}

/// An alert as a receiver got it; times in milliseconds.
#[derive(Clone, Debug)]
struct Sent {
    starts_ms: i64,
    ends_ms: i64,
    alert: Value,
}

/// Everything that was sent of an alert, in order.
fn sent(receiver: &Receiver, name: &str) -> Vec<Sent> {
    let requests = receiver.requests("/api/v2/alerts");
    let bodies = requests.iter().map(e2e::Request::json);
    let alerts = bodies.flat_map(|body| body.as_array().cloned().unwrap_or_default());
    alerts
        .filter(|alert| alert["labels"]["alertname"] == name)
        .map(|alert| Sent {
            starts_ms: millis(&alert["startsAt"]),
            ends_ms: millis(&alert["endsAt"]),
            alert,
        })
        .collect()
}

fn millis(time: &Value) -> i64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_millisecond()
}

/// The samples of a series over the last minutes: milliseconds and value.
fn history(store: &str, selector: &str) -> Vec<(i64, f64)> {
    let found = query(store, &format!("{selector}[10m]")).unwrap();
    let series = found
        .first()
        .map(|s| s["values"].clone())
        .unwrap_or_default();
    let values = series.as_array().cloned().unwrap_or_default();
    values
        .iter()
        .map(|point| {
            let t = point[0].as_f64().unwrap();
            (
                (t * 1000.0).round() as i64,
                point[1].as_str().unwrap().parse().unwrap(),
            )
        })
        .collect()
}

const SCENARIOS: &str = "
groups:
- name: PendingAndFiringAndResolved
  rules:
  - {alert: Held, expr: 'v{case=\"held\"} > 10', for: 4s, labels: {severity: page, case: '{{ $labels.case }}!'}, annotations: {value: 'is {{ $value }}'}}
- name: PendingAndResolved_AlwaysInactive
  rules:
  - {alert: Brief, expr: 'v{case=\"brief\"} > 10', for: 30s}
  - {alert: Never, expr: 'v{case=\"never\"} > 10'}
- name: ZeroFor_SmallFor
  rules:
  - {alert: Zero, expr: 'v{case=\"zero\"} > 10'}
  - {alert: Small, expr: 'v{case=\"zero\"} > 10', for: 200ms}
- name: NewAlerts_OrderCheck
  rules:
  - {record: total, expr: 'sum(v{case=\"order\"})'}
  - {alert: First, expr: total > 10}
  - {alert: Second, expr: 'ALERTS{alertname=\"First\"} == 1', labels: {from: rules}}
";

/// Resend delay and interval of the scenarios, in milliseconds; upstream's test has 60 s and 30 s.
const RESEND_MS: i64 = 3_000;
const INTERVAL_MS: i64 = 1_000;

#[test]
fn the_life_of_alerts_is_upstreams() {
    let receiver = Receiver::start();
    let mut store = Store::start(SCENARIOS, &alerting(&receiver));
    let feeder = Feeder::start(&store.url, &["held", "brief", "never", "zero", "order"]);
    let (mut rules, _) = store.evaluator("rules", &["--rules.alert.resend-delay=3s".to_owned()]);
    wait_for("rules are evaluated", Duration::from_secs(30), || {
        query(&store.url, "total").filter(|found| !found.is_empty())
    });
    // Nothing is written of alerts before a group has looked for their history, which it does after
    // its second evaluation.
    thread::sleep(Duration::from_secs(4));
    feeder.set(&[
        ("held", 11.0),
        ("brief", 11.0),
        ("zero", 11.0),
        ("order", 11.0),
    ]);
    wait_for("the brief one is pending", Duration::from_secs(20), || {
        let pending = "ALERTS{alertname=\"Brief\",alertstate=\"pending\"}";
        query(&store.url, pending).filter(|found| !found.is_empty())
    });
    feeder.set(&[("brief", 0.0)]);
    wait_for(
        "all have been sent again and again",
        Duration::from_secs(60),
        || {
            let names = ["Held", "Zero", "Small", "First", "Second"];
            names
                .iter()
                .all(|name| sent(&receiver, name).len() >= 3)
                .then_some(())
        },
    );
    feeder.set(&[("held", 0.0), ("zero", 0.0), ("order", 0.0)]);
    let resolved = |name: &str| -> Vec<Sent> {
        let all = sent(&receiver, name);
        let last = all.last().map_or(0, |last| last.ends_ms);
        all.into_iter().filter(|s| s.ends_ms == last).collect()
    };
    wait_for(
        "their ends have been sent again and again",
        Duration::from_secs(60),
        || {
            let names = ["Held", "Zero", "Small", "First", "Second"];
            names
                .iter()
                .all(|name| resolved(name).len() >= 2)
                .then_some(())
        },
    );
    rules.stop();

    for name in ["Held", "Zero", "Small", "First", "Second"] {
        let all = sent(&receiver, name);
        let end_ms = all.last().unwrap().ends_ms;
        let ended = all.iter().rev().take_while(|s| s.ends_ms == end_ms).count();
        // The end may by chance be that of an earlier validity.
        let firing: Vec<&Sent> = all[..all.len() - ended].iter().collect();
        // While it fires: valid for four rounds from the evaluation that sent it, and one start.
        let validity_ms = 4 * RESEND_MS.max(INTERVAL_MS);
        let evaluated: Vec<i64> = firing.iter().map(|s| s.ends_ms - validity_ms).collect();
        assert!(
            firing.iter().all(|s| s.starts_ms == firing[0].starts_ms),
            "{name}: {all:?}"
        );
        assert_eq!(
            evaluated[0], firing[0].starts_ms,
            "{name} is sent when it begins to fire"
        );
        for pair in evaluated.windows(2) {
            let gap_ms = pair[1] - pair[0];
            assert!(gap_ms > RESEND_MS, "{name} again after {gap_ms} ms");
            assert_eq!(gap_ms % INTERVAL_MS, 0, "{name} at an evaluation");
        }
        // Once resolved: the same end each time, that of the evaluation that saw it.
        assert!(
            all[firing.len()..].iter().all(|s| s.ends_ms == end_ms),
            "{name}: {all:?}"
        );
        assert_eq!((end_ms - firing[0].starts_ms) % INTERVAL_MS, 0);
    }

    // `for`: pending until it is over, then firing, then neither.
    let states = |name: &str, state: &str| {
        history(
            &store.url,
            &format!("ALERTS{{alertname=\"{name}\",alertstate=\"{state}\"}}"),
        )
    };
    let since = |name: &str| {
        let samples = history(
            &store.url,
            &format!("ALERTS_FOR_STATE{{alertname=\"{name}\"}}"),
        );
        (samples.first().unwrap().1 * 1000.0) as i64
    };
    let (pending, firing) = (states("Held", "pending"), states("Held", "firing"));
    assert!(pending.last().unwrap().0 < firing[0].0);
    assert!(
        firing[0].0 - pending[0].0 >= 4_000,
        "{pending:?} {firing:?}"
    );
    let held = &sent(&receiver, "Held")[0];
    assert_eq!(held.starts_ms, firing[0].0);
    assert_eq!(since("Held") / 1000, pending[0].0 / 1000);
    assert_eq!(
        held.alert["labels"],
        serde_json::json!({"alertname": "Held", "case": "held!", "severity": "page"})
    );
    assert_eq!(
        held.alert["annotations"],
        serde_json::json!({"value": "is 11"})
    );
    let link = held.alert["generatorURL"].as_str().unwrap();
    assert!(
        link.ends_with("/graph?g0.expr=v%7Bcase%3D%22held%22%7D+%3E+10&g0.tab=1"),
        "{link}"
    );

    // Pending and then gone, or never there: nobody hears of it.
    assert!(!states("Brief", "pending").is_empty());
    for name in ["Brief", "Never"] {
        assert!(states(name, "firing").is_empty());
        assert!(sent(&receiver, name).is_empty());
    }

    // No `for` fires at once; one below the interval at the second evaluation.
    assert!(states("Zero", "pending").is_empty());
    assert_eq!(states("Small", "pending").len(), 1);
    assert_eq!(
        states("Small", "firing")[0].0 - states("Small", "pending")[0].0,
        INTERVAL_MS
    );

    // Rules see what those before them have just written.
    let total = history(&store.url, "total");
    let above = total.iter().find(|(_, v)| *v > 10.0).unwrap().0;
    assert_eq!(states("First", "firing")[0].0, above);
    assert_eq!(states("Second", "firing")[0].0, above);
    drop(feeder);
    store.process.stop();
}

const ONE_ALERT: &str = "
groups:
- name: g
  rules:
  - {record: doubled, expr: 'v * 2'}
  - {alert: High, expr: 'v > 10', for: 3s}
";

#[test]
fn an_outage_of_the_store_neither_resolves_nor_repeats_alerts() {
    let receiver = Receiver::start();
    let mut store = Store::start(ONE_ALERT, &alerting(&receiver));
    let feeder = Feeder::start(&store.url, &["a"]);
    feeder.set(&[("a", 11.0)]);
    let more = [
        "--rules.alert.resend-delay=2s".to_owned(),
        "--query.timeout=2s".to_owned(),
    ];
    let (mut rules, url) = store.evaluator("rules", &more);
    wait_for("it fires", Duration::from_secs(40), || {
        sent(&receiver, "High").pop()
    });
    store.process.kill();
    let health = |wanted: &str| {
        let page = get_json(&format!("{url}/api/v1/rules"))?;
        let rule = page["data"]["groups"][0]["rules"][1].clone();
        (rule["health"] == wanted).then_some(rule)
    };
    let rule = wait_for("evaluations fail", Duration::from_secs(40), || {
        health("err")
    });
    assert_eq!(rule["state"], "firing");
    thread::sleep(Duration::from_secs(8));
    assert_eq!(health("err").unwrap()["state"], "firing");
    let before = sent(&receiver, "High");
    store.process.restart();
    wait_for("evaluations go on", Duration::from_secs(60), || {
        health("ok")
    });
    wait_for("it is sent again", Duration::from_secs(40), || {
        (sent(&receiver, "High").len() > before.len() + 1).then_some(())
    });
    let all = sent(&receiver, "High");
    assert!(
        all.iter().all(|s| s.starts_ms == all[0].starts_ms),
        "one start: {all:?}"
    );
    let ends: Vec<i64> = all.iter().map(|s| s.ends_ms).collect();
    assert!(
        ends.windows(2).all(|pair| pair[0] < pair[1]),
        "never resolved: {all:?}"
    );
    let missed = e2e::get(&format!("{url}/metrics")).unwrap().1;
    assert!(missed.contains("prometheus_rule_group_iterations_missed_total"));
    assert!(missed.contains("prometheus_notifications_latency_seconds_count{alertmanager="));
    drop(feeder);
    rules.stop();
    store.process.stop();
}

#[test]
fn two_replicas_make_one_alert() {
    let receiver = Receiver::start();
    let mut store = Store::start(ONE_ALERT, "");
    let dir = store.dir.path().to_owned();
    let alertmanager = format!(
        "route: {{receiver: hook, group_wait: 1s, group_interval: 2s, repeat_interval: 1h}}\nreceivers: [{{name: hook, webhook_configs: [{{url: '{}', send_resolved: true}}]}}]\n",
        receiver.url("/hook")
    );
    std::fs::write(dir.join("alertmanager.yml"), alertmanager).unwrap();
    let [http, grpc] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let args = [
        format!("--config.file={}", dir.join("alertmanager.yml").display()),
        format!("--storage.path={}", dir.join("router").display()),
        format!("--web.listen-address={http}"),
        format!("--grpc-address={grpc}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let mut router = Process::start(
        "alert-router",
        &build_services().join("alert-router"),
        &args,
        &dir,
    );
    let router_url = format!("http://{http}");
    Stack::wait_ready("alert-router", &router_url);
    let feeder = Feeder::start(&store.url, &["a"]);
    feeder.set(&[("a", 11.0)]);
    let more = [
        format!("--alert-router.grpc-address={grpc}"),
        "--rules.alert.resend-delay=2s".to_owned(),
        "--web.external-url=http://store".to_owned(),
    ];
    let (mut first, _) = store.evaluator("first", &more);
    let (mut second, second_url) = store.evaluator("second", &more);
    wait_for("the message arrives", Duration::from_secs(60), || {
        receiver.requests("/hook").pop()
    });
    thread::sleep(Duration::from_secs(6));
    let hooks = receiver.requests("/hook");
    assert_eq!(hooks.len(), 1, "one message of both: {hooks:?}");
    let alerts = get_json(&format!("{router_url}/api/v2/alerts")).unwrap();
    assert_eq!(alerts.as_array().unwrap().len(), 1, "{alerts}");
    for series in ["ALERTS", "ALERTS_FOR_STATE", "doubled"] {
        assert_eq!(query(&store.url, series).unwrap().len(), 1, "{series}");
    }
    // Both evaluate at the same moments: what the second writes is there already.
    let times = history(&store.url, "doubled");
    assert!(
        times
            .windows(2)
            .all(|pair| (pair[1].0 - pair[0].0) % INTERVAL_MS == 0),
        "{times:?}"
    );
    let failed = e2e::get(&format!("{second_url}/metrics")).unwrap().1;
    assert!(
        failed.contains("firewatch_rule_write_failures_total 0"),
        "writes of the second are refused"
    );
    // One of them goes: nothing is said of it.
    first.kill();
    thread::sleep(Duration::from_secs(10));
    assert_eq!(receiver.requests("/hook").len(), 1);
    feeder.set(&[("a", 0.0)]);
    let resolved = wait_for("the end is told", Duration::from_secs(60), || {
        let hooks = receiver.requests("/hook");
        (hooks.len() == 2).then(|| hooks[1].json())
    });
    assert_eq!(resolved["status"], "resolved");
    drop(feeder);
    second.stop();
    store.process.stop();
    router.stop();
}

#[test]
fn any_server_with_prometheus_api_will_do() {
    let Some(program) = part::peer("prometheus") else {
        return;
    };
    let receiver = Receiver::start();
    let dir = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let server = write("server.yml", "global: {}\n");
    write("rules.yml", ONE_ALERT);
    write(
        "prometheus.yml",
        &format!(
            "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n{}",
            alerting(&receiver)
        ),
    );
    let args = [
        format!("--config.file={server}"),
        format!("--storage.tsdb.path={}", dir.path().join("data").display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    let mut prometheus = Process::start("prometheus", &program, &args, dir.path());
    let url = format!("http://{address}");
    Stack::wait_ready("prometheus", &url);
    let feeder = Feeder::start(&url, &["a"]);
    feeder.set(&[("a", 11.0)]);
    let (mut rules, _) = evaluator(dir.path(), "rules", &[format!("--query.url={url}")]);
    let alert = wait_for("the alert is sent", Duration::from_secs(60), || {
        sent(&receiver, "High").pop()
    });
    assert_eq!(alert.alert["labels"]["case"], "a");
    // Results were written by remote write, and are read back.
    let doubled = wait_for("results are there", Duration::from_secs(30), || {
        query(&url, "doubled").filter(|found| !found.is_empty())
    });
    assert_eq!(doubled[0]["value"][1], "22");
    assert!(!history(&url, "ALERTS_FOR_STATE{alertname=\"High\"}").is_empty());
    // `for` goes on after a restart, from what was written.
    let since = history(&url, "ALERTS_FOR_STATE{alertname=\"High\"}")[0].1;
    rules.kill();
    rules.restart();
    let told = receiver.requests("/api/v2/alerts").len();
    wait_for(
        "it is sent by the next one",
        Duration::from_secs(60),
        || (receiver.requests("/api/v2/alerts").len() > told).then_some(()),
    );
    let states = history(&url, "ALERTS_FOR_STATE{alertname=\"High\"}");
    assert!(
        states.iter().all(|(_, value)| *value == since),
        "{states:?}"
    );
    drop(feeder);
    rules.stop();
    prometheus.kill();
}

/// A group whose rules go to the store in batches, level by level.
const BATCHES: &str = "
groups:
- name: batches
  rules:
  - {record: first, expr: 'v{case=\"one\"}'}
  - {record: broken, expr: 'v * on () v'}
  - {record: second, expr: 'first * 2'}
  - {record: window, expr: 'v[1m]'}
  - {alert: Third, expr: 'second > 10', annotations: {now: '{{ with query \"second\" }}{{ . | first | value }}{{ end }}'}}
";

#[test]
fn rules_of_a_group_are_evaluated_in_batches_and_fail_alone() {
    let receiver = Receiver::start();
    let store = Store::start(BATCHES, &alerting(&receiver));
    let log = store.dir.path().join("queries.log");
    let config = format!("global: {{query_log_file: {}}}\n", log.display());
    std::fs::write(store.dir.path().join("store.yml"), config).unwrap();
    store.process.signal(1);
    let feeder = Feeder::start(&store.url, &["one", "two"]);
    feeder.set(&[("one", 21.0)]);
    let (_evaluator, url) = store.evaluator("rule-evaluator", &[]);
    let limit = Duration::from_secs(60);
    let alert = wait_for("the alert of the third level", limit, || {
        let told = sent(&receiver, "Third");
        told.into_iter()
            .find(|alert| alert.alert["annotations"]["now"] == "42")
    });
    assert_eq!(alert.alert["labels"]["case"], "one");
    let health = wait_for("two rules fail", limit, || {
        let rules = get_json(&format!("{url}/api/v1/rules"))?;
        let rules = rules["data"]["groups"][0]["rules"].as_array()?.clone();
        let told: Vec<(String, String)> = rules
            .iter()
            .map(|rule| {
                let text = |key: &str| rule[key].as_str().unwrap_or("").to_owned();
                (text("health"), text("lastError"))
            })
            .collect();
        let failing = told.iter().filter(|(health, _)| health == "err").count();
        (failing == 2).then_some(told)
    });
    let good = ("ok".to_owned(), String::new());
    assert_eq!((&health[0], &health[2], &health[4]), (&good, &good, &good));
    assert!(health[1].1.contains("many-to-many"), "{health:?}");
    assert_eq!(health[3].1, "rule result is not a vector or scalar");
    // Each rule is a query of its own to the store.
    wait_for("the query log names every rule's query", limit, || {
        let text = std::fs::read_to_string(&log).ok()?;
        let named = |query: &str| text.contains(&format!("\"query\":\"{query}\""));
        ["first * 2", "v * on () v", "v[1m]"]
            .iter()
            .all(|query| named(query))
            .then_some(())
    });
}
