//! From a busy host to a Slack message, and back to quiet; with every service on the way killed once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Files, Receiver, Request, Smtp, Stack, get_json, query, wait_for};

const PROMETHEUS: &str = r#"
global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {cluster: e2e}
rule_files: [rules.yml]
scrape_configs:
- job_name: node
  static_configs:
  - targets: ["{node}"]
    labels: {team: infra}
"#;

const RULES: &str = r#"
groups:
- name: hosts
  rules:
  - record: instance:cpu_used:percent
    expr: (1 - avg(rate(node_cpu_seconds_total{mode="idle"}[10s])) by (instance)) * 100
  - alert: HostCpuHigh
    expr: instance:cpu_used:percent > 70
    for: 5s
    labels: {severity: warning}
    annotations:
      summary: 'Instance {{ $labels.instance }}'
      description: 'labels={{ $labels }} Current Used={{ $value | printf "%.2f" }}%'
  - alert: InstanceDown
    expr: up == 0
    for: 3s
    labels: {severity: critical}
    annotations:
      summary: 'Instance {{ $labels.instance }}'
"#;

const ALERTMANAGER: &str = r#"
global:
  slack_api_url: '{receiver}/slack'
  smtp_smarthost: '127.0.0.1:{smtp}'
  smtp_from: 'alerts@example.com'
  smtp_require_tls: false
templates: [slack.tmpl]
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
receivers:
- name: team
  slack_configs:
  - channel: '#alerts'
    send_resolved: true
    title: '{{ template "slack.title" . }}'
    text: '{{ template "slack.text" . }}'
    color: '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}'
  email_configs:
  - to: 'oncall@example.com'
    send_resolved: true
  webhook_configs:
  - url: '{receiver}/webhook'
    send_resolved: true
"#;

const TEMPLATE: &str = r#"
{{ define "slack.title" }}{{ if eq .Status "firing" }}FIRING {{ .Alerts.Firing | len }}{{ else if eq .Status "resolved" }}RESOLVED{{ end }} {{ .CommonLabels.alertname }}{{ end }}
{{ define "slack.text" }}{{ range .Alerts }}{{ if eq .Labels.severity "critical" }}CRITICAL {{ else if eq .Labels.severity "warning" }}WARNING {{ end }}{{ .Annotations.summary }} {{ .Annotations.description }}
{{ end }}{{ end }}
"#;

/// A /proc in which one CPU is idle or busy, as the test says.
struct FakeHost {
    busy: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    writer: Option<thread::JoinHandle<()>>,
}

impl FakeHost {
    fn start(procfs: &Path) -> FakeHost {
        std::fs::create_dir_all(procfs.join("net")).unwrap();
        let busy = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let (is_busy, stopped) = (Arc::clone(&busy), Arc::clone(&stop));
        let (path, next) = (procfs.join("stat"), procfs.join("stat.next"));
        std::fs::write(procfs.join("loadavg"), "0.10 0.20 0.30 1/100 4242\n").unwrap();
        std::fs::write(
            procfs.join("meminfo"),
            "MemTotal: 1024 kB\nMemFree: 512 kB\n",
        )
        .unwrap();
        let writer = thread::spawn(move || {
            let (mut user, mut idle) = (0.0_f64, 0.0_f64);
            let mut last = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let passed = last.elapsed().as_secs_f64() * 100.0;
                last = Instant::now();
                let share = if is_busy.load(Ordering::Relaxed) {
                    0.95
                } else {
                    0.05
                };
                user += passed * share;
                idle += passed * (1.0 - share);
                let line = format!("{} 0 0 {} 0 0 0 0 0 0", user as u64, idle as u64);
                let text = format!(
                    "cpu  {line}\ncpu0 {line}\nintr 1\nctxt 2\nbtime 1700000000\nprocesses 3\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
                );
                std::fs::write(&next, text).unwrap();
                std::fs::rename(&next, &path).unwrap();
                thread::sleep(Duration::from_millis(100));
            }
        });
        wait_for(
            "the first /proc/stat is there",
            Duration::from_secs(5),
            || procfs.join("stat").exists().then_some(()),
        );
        FakeHost {
            busy,
            stop,
            writer: Some(writer),
        }
    }

    fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
    }
}

fn attachment(request: &Request, field: &str) -> String {
    request.json()["attachments"][0][field]
        .as_str()
        .unwrap_or("")
        .to_owned()
}

/// Slack messages whose title contains `text`.
fn slack(receiver: &Receiver, text: &str) -> Vec<Request> {
    let requests = receiver.requests("/slack").into_iter();
    requests
        .filter(|r| attachment(r, "title").contains(text))
        .collect()
}

fn alert_state(stack: &Stack, name: &str) -> Option<String> {
    let answer = get_json(&format!("{}/api/v1/alerts", stack.store_url))?;
    let alerts = answer["data"]["alerts"].as_array()?.clone();
    let alert = alerts.iter().find(|a| a["labels"]["alertname"] == name)?;
    Some(alert["state"].as_str()?.to_owned())
}

const SOON: Duration = Duration::from_secs(40);

#[test]
fn real_metrics_become_a_slack_message() {
    let host_dir = tempfile::tempdir().unwrap();
    let host = FakeHost::start(host_dir.path());
    let receiver = Receiver::start();
    let smtp = Smtp::start(host_dir.path());
    let smtp_port = smtp.as_ref().map_or(1, |s| s.port).to_string();
    let files = Files {
        prometheus: PROMETHEUS,
        rules: RULES,
        alertmanager: ALERTMANAGER,
        template: TEMPLATE,
    };
    let replace = [("{receiver}", receiver.url("")), ("{smtp}", smtp_port)];
    let replace: Vec<(&str, &str)> = replace.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut stack = Stack::start(&files, host_dir.path(), &replace);

    wait_for("the host is scraped", SOON, || {
        query(&stack.store_url, r#"up{job="node",team="infra"} == 1"#).filter(|r| r.len() == 1)
    });
    wait_for("the recording rule writes", SOON, || {
        query(&stack.store_url, "instance:cpu_used:percent < 50").filter(|r| r.len() == 1)
    });

    // Load: pending, then firing, then a message.
    host.set_busy(true);
    wait_for("the alert is pending", SOON, || {
        alert_state(&stack, "HostCpuHigh").filter(|state| state == "pending")
    });
    wait_for("the alert fires", SOON, || {
        alert_state(&stack, "HostCpuHigh").filter(|state| state == "firing")
    });
    let message = wait_for("Slack is told", SOON, || {
        slack(&receiver, "FIRING 1 HostCpuHigh").pop()
    });
    assert_eq!(message.json()["channel"], "#alerts");
    assert_eq!(attachment(&message, "color"), "danger");
    let text = attachment(&message, "text");
    let node = stack.node_url.trim_start_matches("http://");
    assert!(
        text.contains(&format!("WARNING Instance {node} labels=map[")),
        "{text}"
    );
    assert!(text.contains("Current Used=9"), "{text}");
    if let Some(smtp) = &smtp {
        let mails = wait_for("the mail arrives", SOON, || {
            Some(smtp.mails()).filter(|m| m.contains("HostCpuHigh"))
        });
        assert!(
            mails.contains("<alerts@example.com> to <oncall@example.com>"),
            "{mails}"
        );
    }
    let webhook = wait_for("the webhook is called", SOON, || {
        receiver.requests("/webhook").pop()
    });
    assert_eq!(webhook.json()["version"], "4");
    assert_eq!(webhook.json()["commonLabels"]["cluster"], "e2e");

    // kill -9 of one service after the other while the alert fires: nobody is told anything again.
    stack.store.kill();
    stack.store.restart();
    Stack::wait_ready("scraper-store", &stack.store_url);
    stack.rules.kill();
    stack.rules.restart();
    Stack::wait_ready("rule-evaluator", &stack.rules_url);
    stack.router.kill();
    stack.router.restart();
    Stack::wait_ready("alert-router", &stack.router_url);
    wait_for("the alert fires again after the restarts", SOON, || {
        alert_state(&stack, "HostCpuHigh").filter(|state| state == "firing")
    });
    thread::sleep(Duration::from_secs(8));
    assert_eq!(
        slack(&receiver, "FIRING 1 HostCpuHigh").len(),
        1,
        "told once, restarts or not"
    );
    assert!(
        slack(&receiver, "RESOLVED").is_empty(),
        "a restart resolves nothing"
    );
    let history = query(&stack.store_url, r#"count_over_time(up{job="node"}[10m])"#).unwrap();
    let count: f64 = history[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!(
        count > 10.0,
        "samples from before the restart are there: {count}"
    );

    // Quiet again: the resolved message.
    host.set_busy(false);
    let message = wait_for("Slack is told that it is over", SOON, || {
        slack(&receiver, "RESOLVED HostCpuHigh").pop()
    });
    assert_eq!(attachment(&message, "color"), "good");

    // The host goes away.
    stack.node.kill();
    let message = wait_for("Slack is told that the host is down", SOON, || {
        slack(&receiver, "FIRING 1 InstanceDown").pop()
    });
    let text = attachment(&message, "text");
    assert!(
        text.contains(&format!("CRITICAL Instance {node}")),
        "{text}"
    );
    stack.node.restart();
    wait_for("Slack is told that the host is back", SOON, || {
        slack(&receiver, "RESOLVED InstanceDown").pop()
    });
    stack.stop();
}
