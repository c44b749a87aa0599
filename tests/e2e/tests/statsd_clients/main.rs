//! Real StatsD clients of PyPI and npm against statsd-bridge: what they send arrives, all of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Process, Stack, free_port, get, part};

struct Bridge {
    process: Process,
    http: String,
    udp: u16,
    tcp: u16,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Bridge {
    fn start() -> Bridge {
        let programs = part::build(&["statsd-bridge"]);
        let dir = tempfile::tempdir().unwrap();
        let free_udp_port = || UdpSocket::bind("127.0.0.1:0")?.local_addr();
        let (udp, tcp) = (free_udp_port().unwrap().port(), free_port());
        let http = format!("127.0.0.1:{}", free_port());
        let socket = dir.path().join("statsd.sock");
        let args = [
            format!("--web.listen-address={http}"),
            format!("--statsd.listen-udp=127.0.0.1:{udp}"),
            format!("--statsd.listen-tcp=127.0.0.1:{tcp}"),
            format!("--statsd.listen-unixgram={}", socket.display()),
        ];
        let program = programs.join("statsd-bridge");
        let process = Process::start("statsd-bridge", &program, &args, dir.path());
        let http = format!("http://{http}");
        Stack::wait_ready("statsd-bridge", &http);
        Bridge {
            process,
            http,
            udp,
            tcp,
            socket,
            _dir: dir,
        }
    }

    /// Waits until the page has all lines.
    fn wait_for(&self, lines: &[&str]) -> String {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + Duration::from_secs(15);
        loop {
            if let Some((200, page)) = get(&format!("{}/metrics", self.http)) {
                last = page;
            }
            let has = |line: &&&str| last.lines().any(|l| l == **line);
            let missing: Vec<_> = lines.iter().filter(|line| !has(line)).collect();
            if missing.is_empty() {
                return last;
            }
            let own = |l: &&str| !l.starts_with('#') && !l.starts_with("process_");
            let page: Vec<_> = last.lines().filter(own).collect();
            assert!(
                std::time::Instant::now() < deadline,
                "missing {missing:#?} in\n{}",
                page.join("\n")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/statsd_clients")
        .join(name)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
}

/// Whether the command can be run with success; `missing` has been called otherwise.
fn available(command: &mut Command, what: &str, how: &str) -> bool {
    let there = command.output().is_ok_and(|output| output.status.success());
    if !there {
        part::missing(what, how);
    }
    there
}

#[test]
fn python_clients() {
    let mut try_import = Command::new("python3");
    try_import.args(["-c", "import statsd, datadog"]);
    if !available(
        &mut try_import,
        "PyPI's statsd and datadog",
        "pip install statsd datadog",
    ) {
        return;
    }
    let mut bridge = Bridge::start();
    run(Command::new("python3")
        .arg(source("clients.py"))
        .args([bridge.udp.to_string(), bridge.tcp.to_string()])
        .arg(&bridge.socket));
    let dog = "container_id=\"c0ffee\",env=\"test\"";
    let page = bridge.wait_for(&[
        "py_hits 5",
        "statsd_exporter_events_error_total{reason=\"illegal_negative_counter\"} 1",
        "py_temperature 22",
        "py_depth -7",
        "py_wait_sum 0.32",
        "py_wait_count 1",
        "py_users 2",
        "py_piped 3",
        "py_over_tcp 3",
        "py_over_tcp_wait_sum 0.1",
        &format!("dd_pages{{{dog},page=\"home\"}} 2"),
        &format!("dd_load{{{dog}}} 0.75"),
        "dd_query_sum{container_id=\"c0ffee\",db=\"main\",env=\"test\"} 0.25",
        &format!("dd_visitors{{{dog}}} 1"),
        &format!("dd_stamped{{{dog}}} 5"),
        &format!("dd_low{{{dog}}} 1"),
        "statsd_exporter_dogstatsd_events_total 1",
        "statsd_exporter_dogstatsd_service_checks_total 1",
        "ext_size_sum{kind=\"box\"} 6",
        "ext_size_count{kind=\"box\"} 3",
        "ext_summed 5",
        "uds_hits{over=\"unixgram\"} 6",
        "statsd_exporter_udp_packet_drops_total 0",
    ]);
    // About half of 200, each counted double.
    let sampled = page.lines().find_map(|l| l.strip_prefix("py_sampled "));
    let sampled: f64 = sampled.unwrap().parse().unwrap();
    assert!(
        (100.0..300.0).contains(&sampled) && sampled % 2.0 == 0.0,
        "{sampled}"
    );
    assert!(
        !page.contains("statsd_exporter_sample_errors_total{"),
        "{page}"
    );
    bridge.process.stop();
}

#[test]
fn node_clients() {
    let mut try_require = Command::new("node");
    try_require.args(["-e", "require('hot-shots'); require('statsd-client')"]);
    if !available(
        &mut try_require,
        "npm's hot-shots and statsd-client",
        "npm install hot-shots statsd-client, and set NODE_PATH to node_modules",
    ) {
        return;
    }
    let mut bridge = Bridge::start();
    run(Command::new("node")
        .arg(source("clients.js"))
        .args([bridge.udp.to_string(), bridge.tcp.to_string()]));
    let page = bridge.wait_for(&[
        "hot_hits{env=\"test\"} 1",
        "hot_hits{env=\"test\",page=\"home\"} 4",
        "hot_load{env=\"test\"} 1.25",
        "hot_wait_sum{env=\"test\"} 0.32",
        "hot_size_sum{env=\"test\"} 3",
        "hot_spread_sum{env=\"test\"} 4",
        "hot_users{env=\"test\"} 2",
        "hot_over_tcp 3",
        "telegraf_hits{env=\"test\"} 2",
        "node_hits{env=\"test\"} 2",
        "node_load{env=\"test\"} 3",
        "node_wait_sum{env=\"test\"} 0.32",
        "node_users{env=\"test\"} 1",
        "statsd_exporter_dogstatsd_events_total 1",
        "statsd_exporter_dogstatsd_service_checks_total 1",
    ]);
    assert!(
        !page.contains("statsd_exporter_sample_errors_total{"),
        "{page}"
    );
    bridge.process.stop();
}
