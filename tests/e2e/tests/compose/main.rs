//! What users run: the Compose files of `deploy/`, as they are, on a monitoring node and two application
//! hosts. Each host is a Docker engine of its own with an address of its own; images are built of our
//! programs; Grafana is left out, its image cannot be had here.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod dashboards;
mod gaps;
mod host;
mod lan;
mod upstream;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use e2e::{Receiver, get_json, now_ms, part, post, query, wait_for};
use serde_json::{Value, json};

use gaps::Absences;
use host::{Compose, Host, LONG, client_with_buildkit, root};
use lan::Lan;

/// All services of the monitoring node but Grafana.
const MONITORING: [&str; 6] = [
    "scraper-store",
    "rule-evaluator",
    "alert-router",
    "statsd-bridge",
    "node-agent",
    "container-agent",
];

/// Static programs as `cargo xtask programs` makes them, from the build that the tests have made anyway;
/// `FIREWATCH_PROGRAMS` says where others are.
fn programs() -> PathBuf {
    if let Some(there) = std::env::var_os("FIREWATCH_PROGRAMS") {
        return there.into();
    }
    // One build for all tests, which would otherwise write over each other's programs.
    static ONE: Mutex<()> = Mutex::new(());
    let _guard = ONE.lock();
    let me = std::env::current_exe().unwrap();
    // This test runs from <target>/<profile>/deps.
    let out = me.ancestors().nth(3).unwrap().join("compose-programs");
    let mut command = part::cargo();
    command
        .current_dir(root())
        .args(["run", "--quiet", "--package", "xtask", "--", "programs"])
        .args(["--dev", "--out"])
        .arg(&out);
    assert!(command.status().unwrap().success(), "{command:?}");
    out
}

/// The monitoring node, two application hosts, and whoever is told of alerts.
struct Site {
    monitoring: Host,
    apps: [Host; 2],
    store: String,
    router: String,
    receiver: Receiver,
    absences: Absences,
    // After the hosts that are on it.
    _lan: Lan,
    _dir: tempfile::TempDir,
}

impl Site {
    fn start(programs: &Path) -> Option<Site> {
        let client = client_with_buildkit()?;
        let v2 = Compose::v2()?;
        let v1 = Compose::v1().unwrap_or_else(|| v2.clone());
        let dir = tempfile::tempdir().unwrap();
        let mut lan = Lan::new(dir.path())?;
        let receiver = Receiver::on(&lan.address(1), |_| (200, "", "ok".to_owned()));
        let agent = "docker-compose-agent.yaml";
        let kafka = ["COMPOSE_PROFILES=kafka", "KAFKA_BROKERS=127.0.0.1:1"];
        let first = Host::new(&mut lan, 12, agent, v1, &kafka)?;
        let second = Host::new(&mut lan, 13, agent, v2.clone(), &[])?;
        let own = lan.address(11);
        let bind = format!("WEB_BIND={own}");
        let monitoring = "docker-compose-monitoring.yaml";
        let monitoring = Host::new(&mut lan, 11, monitoring, v2, &[&bind])?;
        monitoring.build(&client, programs, &MONITORING);
        first.build(
            &client,
            programs,
            &["node-agent", "container-agent", "kafka-lag-agent"],
        );
        second.build(&client, programs, &["node-agent", "container-agent"]);

        // What a user would edit: intervals, whom to tell. The waiting times of rules, so that it is over
        // in minutes.
        let edit = |name: &str, changes: &[(&str, &str)]| {
            let mut text = monitoring.read(name);
            for (from, to) in changes {
                assert!(text.contains(from), "{name} has no {from}");
                text = text.replace(from, to);
            }
            monitoring.write(name, &text);
        };
        edit(
            "config/prometheus.yml",
            &[
                ("scrape_interval: 15s", "scrape_interval: 2s"),
                ("evaluation_interval: 15s", "evaluation_interval: 2s"),
            ],
        );
        edit(
            "config/rules.yml",
            &[("for: 1m", "for: 4s"), ("for: 5m", "for: 1h")],
        );
        let hook = format!("http://{}:{}/", lan.address(1), receiver.port());
        edit(
            "config/alertmanager.yml",
            &[
                ("http://localhost:5001/", &hook),
                ("  receiver: show\n", "  receiver: webhook\n"),
                ("group_wait: 10s", "group_wait: 1s"),
                ("group_interval: 1m", "group_interval: 2s"),
            ],
        );
        Some(Site {
            store: format!("http://{own}:9090"),
            router: format!("http://{own}:9093"),
            monitoring,
            apps: [first, second],
            receiver,
            absences: Absences::default(),
            _lan: lan,
            _dir: dir,
        })
    }

    /// Waits until a query has an answer.
    fn until(&self, what: &str, expr: &str) -> Vec<Value> {
        let start = Instant::now();
        loop {
            if let Some(found) = query(&self.store, expr).filter(|found| !found.is_empty()) {
                return found;
            }
            if start.elapsed() > LONG {
                let targets = get_json(&format!("{}/api/v1/targets?state=active", self.store));
                let Some(targets) = targets else {
                    let log = self.monitoring.log("scraper-store");
                    panic!("waited in vain: {what}: {expr}\nthe store does not answer:\n{log}");
                };
                let targets = targets["data"]["activeTargets"].clone();
                let down = targets.as_array().into_iter().flatten().map(|target| {
                    format!(
                        "{} {} {}",
                        target["scrapeUrl"], target["health"], target["lastError"]
                    )
                });
                let down: Vec<String> = down.filter(|text| !text.contains("\"up\"")).collect();
                panic!("waited in vain: {what}: {expr}\n{}", down.join("\n"));
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// Whether the receiver was told that an alert about an instance has a status.
    fn wait_told(&self, status: &str, alert: &str, instance: &str) {
        wait_for(&format!("{alert} {instance} {status}"), LONG, || {
            let requests = self.receiver.requests("/");
            let alerts = requests.iter().flat_map(|request| {
                let body = request.json();
                body["alerts"].as_array().cloned().unwrap_or_default()
            });
            let mut alerts = alerts;
            alerts
                .any(|found| {
                    found["status"] == status
                        && found["labels"]["alertname"] == alert
                        && found["labels"]["instance"] == instance
                })
                .then_some(())
        });
    }

    /// `docker kill`, then `up`: what a person does. Then the process dies by itself: what the restart
    /// policy is for.
    fn kills(&mut self, host: usize, service: &str, series: &'static str) {
        for by_hand in [true, false] {
            let host = match host {
                0 => &self.monitoring,
                app => &self.apps[app - 1],
            };
            let id = host.container(service);
            let start = self.absences.begin();
            if by_hand {
                host.docker.docker(&["kill", &id]);
                host.up(&[service]);
            } else {
                let before = host.docker.inspect(&id, "{{.State.Pid}}");
                let pid: libc::pid_t = before.parse().unwrap();
                // SAFETY: kill(2) with the process of a container that this test started.
                assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
                wait_for(&format!("{service} is started again"), LONG, || {
                    let now = host
                        .docker
                        .inspect(&id, "{{.State.Running}} {{.State.Pid}}");
                    (now.starts_with("true") && !now.ends_with(&format!(" {before}"))).then_some(())
                });
            }
            // A sample from after the death, not the last one before it.
            let since = format!("timestamp({series}) > {:.3} and {series} > 0", start + 1.0);
            self.until(&format!("{service} is back"), &since);
            self.absences.end(service, series, start);
        }
    }
}

#[test]
fn compose_files_for_upstreams_images() {
    let dir = tempfile::tempdir().unwrap();
    upstream::everything_comes_up(dir.path(), &programs());
}

#[test]
fn a_monitoring_node_and_two_hosts() {
    let begun = Instant::now();
    let stage = |what: &str| eprintln!("{:6.1}s {what}", begun.elapsed().as_secs_f64());
    let programs = programs();
    stage("programs");
    let Some(mut site) = Site::start(&programs) else {
        return;
    };
    stage("three engines with images");

    for app in &site.apps {
        app.up(&[]);
    }
    site.monitoring.up(&MONITORING);
    stage("compose up");
    let ready = Instant::now();
    let up = |count: usize| {
        site.until(
            &format!("{count} targets are up, and no other"),
            &format!("count(up == 1) == {count} unless on () (count(up) > {count})"),
        );
    };
    // The services of the node and its own agents.
    up(6);
    stage("the node itself is watched");

    // Adding a host is adding a line.
    let [first, second] = [&site.apps[0].address, &site.apps[1].address];
    let hosts = format!(
        "- targets: [{first}]\n  labels: {{host: app-1}}\n- targets: [{second}]\n  labels: {{host: app-2}}\n"
    );
    site.monitoring.write("config/targets/hosts.yml", &hosts);
    let kafka = format!("- targets: ['{first}:9308']\n");
    site.monitoring.write("config/targets/kafka.yml", &kafka);
    up(11);
    stage("all hosts are watched");
    eprintln!(
        "all targets up {:.1} s after compose up",
        ready.elapsed().as_secs_f64()
    );
    for (host, services) in [
        (&site.monitoring, &MONITORING[..]),
        (
            &site.apps[0],
            &["node-agent", "container-agent", "kafka-lag-agent"],
        ),
        (&site.apps[1], &["node-agent", "container-agent"]),
    ] {
        for service in services {
            host.wait_healthy(service);
            check_confined(host, service);
        }
    }
    stage("all are healthy");

    // A container at work is seen as such, where it runs.
    assert!(site.apps[0].docker.busybox("shop"));
    let burn = "while :; do :; done";
    site.apps[0]
        .docker
        .run("shop-1", &["--cpus=0.2"], "shop", &["sh", "-c", burn]);
    let cpu =
        "rate(container_cpu_usage_seconds_total{name='shop-1', instance='app-1'}[20s]) > 0.05";
    site.until("the container's CPU is seen", cpu);
    let limit = "container_spec_cpu_quota{name='shop-1', instance='app-1'} > 0";
    site.until("the container's limit is seen", limit);
    stage("a stress container is seen");

    // StatsD arrives through the published port.
    let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    let statsd = format!("{}:9125", site.monitoring.address);
    let tagged = "job_runs_total{job_name='backup', outcome='success', job='statsd'} > 0";
    wait_for("StatsD becomes a metric", LONG, || {
        socket.send_to(b"job.backup.success:1|c", &statsd).unwrap();
        query(&site.store, tagged).filter(|found| !found.is_empty())
    });
    stage("StatsD");

    // An alert from the host to whoever is told, and its end.
    let id = site.apps[1].container("node-agent");
    let start = site.absences.begin();
    site.apps[1].docker.docker(&["kill", &id]);
    site.wait_told("firing", "HostDown", "app-2");
    // While something fires, so that there is something to see. One line of StatsD is refused.
    socket.send_to(b"no colon", &statsd).unwrap();
    dashboards::all(&site.store);
    stage("dashboards");
    site.apps[1].up(&["node-agent"]);
    let series = "up{job='node', instance='app-2'}";
    site.until("the host is back", &format!("{series} == 1"));
    site.absences.end("node-agent", series, start);
    site.wait_told("resolved", "HostDown", "app-2");
    stage("an alert, and its end");

    for (host, service, series) in [
        (
            1,
            "container-agent",
            "up{job='containers', instance='app-1'}",
        ),
        (1, "kafka-lag-agent", "up{job='kafka'}"),
        (0, "node-agent", "up{job='node', instance='monitoring'}"),
        (0, "statsd-bridge", "up{job='statsd'}"),
        (0, "alert-router", "up{service='alert-router'}"),
        (0, "rule-evaluator", "up{service='rule-evaluator'}"),
        (0, "scraper-store", "up{service='scraper-store'}"),
    ] {
        site.kills(host, service, series);
        stage(&format!("{service} was killed twice and came back"));
    }
    site.absences.check(&site.store);
    stage("no gaps");

    a_silence(&site.router);
    let before = now_ms();
    site.monitoring.compose(&["down"]);
    // Up again, with the other Compose where there is one.
    if let Some(v1) = Compose::v1() {
        site.monitoring.compose = v1;
    }
    site.monitoring.up(&MONITORING);
    let since = format!(
        "up{{service='scraper-store'}} == 1 and timestamp(up) > {}",
        before / 1000 + 2
    );
    site.until("the store scrapes again", &since);
    let old = format!("count(up @ {}) >= 11", before / 1000 - 5);
    site.until("samples from before are there", &old);
    wait_for("the silence from before is there", LONG, || {
        let silences = get_json(&format!("{}/api/v2/silences", site.router))?;
        let found = silences.as_array()?.iter().any(|s| s["comment"] == "kept");
        found.then_some(())
    });
    stage("down, and up again with the data");
}

/// Nothing a service does not need: no writable root, no capability beyond those said, not root but for
/// the one that asks the engine.
fn check_confined(host: &Host, service: &str) {
    let id = host.container(service);
    let inspected = host.docker.inspect(&id, "{{json .}}");
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let config = &inspected["HostConfig"];
    assert_eq!(config["ReadonlyRootfs"], true, "{service}");
    assert_eq!(config["Privileged"], false, "{service}");
    assert_eq!(config["CapDrop"], json!(["ALL"]), "{service}");
    assert!(config["Memory"].as_i64() > Some(0), "{service}");
    assert_eq!(
        config["RestartPolicy"]["Name"], "unless-stopped",
        "{service}"
    );
    let is_root = service == "container-agent";
    let user = inspected["Config"]["User"].as_str().unwrap_or_default();
    assert_eq!(user, if is_root { "" } else { "65534:65534" }, "{service}");
}

/// Makes a silence that matches nothing.
fn a_silence(router: &str) {
    let time = |hours: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        at.to_string()
    };
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": false, "isEqual": true}],
        "startsAt": time(0), "endsAt": time(2), "createdBy": "test", "comment": "kept",
    });
    let body = silence.to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = wait_for("the router takes a silence", LONG, || {
        post(
            &format!("{router}/api/v2/silences"),
            &headers,
            body.as_bytes(),
        )
    });
    assert_eq!(answer.0, 200, "{}", answer.1);
}
