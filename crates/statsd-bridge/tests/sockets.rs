//! The bridge over real sockets: packets in, a page out.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use service::Boot;
use statsd_bridge::{Mapper, PROGRAM, Running, start};

struct Bridge {
    boot: Boot,
    running: Running,
}

async fn bridge(args: &[&str]) -> Bridge {
    let mut all = vec![
        "--web.listen-address=127.0.0.1:0",
        "--statsd.listen-udp=127.0.0.1:0",
        "--statsd.listen-tcp=127.0.0.1:0",
        "--web.enable-lifecycle",
    ];
    all.extend(args);
    let boot = Boot::new(&PROGRAM, &all).unwrap();
    let running = start(&boot).await.unwrap();
    Bridge { boot, running }
}

impl Bridge {
    fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.running.udp[0]).unwrap();
        socket
    }

    /// Scrapes until every line is on the page.
    fn wait_for(&self, lines: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let page = request(self.running.http[0], "GET", "/metrics");
            let missing: Vec<_> = lines
                .iter()
                .filter(|line| !page.lines().any(|l| l == **line))
                .collect();
            if missing.is_empty() {
                return page;
            }
            assert!(Instant::now() < deadline, "missing {missing:?} in\n{page}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    async fn stop(self) {
        self.boot.shutdown.request("the test ends");
        self.running.join().await;
        self.boot.finish().await.unwrap();
    }
}

fn request(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_tcp_and_unix_datagrams() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("statsd.sock");
    let unixgram = format!("--statsd.listen-unixgram={}", path.display());
    let bridge = bridge(&[
        &unixgram,
        "--statsd.unixsocket-mode=777",
        "--statsd.udp-sockets=2",
    ])
    .await;

    bridge
        .udp()
        .send(b"u.hits:2|c|#who:udp\nu.temp:20|g")
        .unwrap();
    bridge
        .udp()
        .send(b"users:ann|s\nusers:bob|s\nusers:ann|s")
        .unwrap();
    bridge
        .udp()
        .send(b"\xff\xfe:1|c\nbroken\n_e{1,1}:a|b")
        .unwrap();
    UnixDatagram::unbound()
        .unwrap()
        .send_to(b"x.hits:3|c", &path)
        .unwrap();
    let mut tcp = TcpStream::connect(bridge.running.tcp.unwrap()).unwrap();
    tcp.write_all(b"t.hits:1|c\r\nt.hits:1|c\nt.wait:250|ms\nt.la")
        .unwrap();
    tcp.write_all(b"st:1|c").unwrap();
    drop(tcp);
    let mut long = TcpStream::connect(bridge.running.tcp.unwrap()).unwrap();
    long.write_all(b"t.before:1|c\n").unwrap();
    long.write_all(&vec![b'a'; 5000]).unwrap();

    let page = bridge.wait_for(&[
        "u_hits{who=\"udp\"} 2",
        "u_temp 20",
        "users 2",
        "x_hits 3",
        "t_hits 2",
        "t_wait{quantile=\"0.5\"} 0.25",
        "t_wait_count 1",
        "t_last 1",
        "t_before 1",
        "statsd_exporter_udp_packets_total 3",
        "statsd_exporter_unixgram_packets_total 1",
        "statsd_exporter_tcp_connections_total 2",
        "statsd_exporter_tcp_too_long_lines_total 1",
        "statsd_exporter_sample_errors_total{reason=\"malformed_line\"} 2",
        "statsd_exporter_dogstatsd_events_total 1",
        "statsd_exporter_udp_packet_drops_total 0",
        "statsd_exporter_events_total{type=\"set\"} 3",
    ]);
    assert!(page.starts_with("HTTP/1.1 200"));
    let http = bridge.running.http[0];
    assert!(request(http, "GET", "/").contains("href=\"/metrics\""));
    assert!(request(http, "GET", "/-/healthy").ends_with("Statsd Exporter is Healthy.\n"));
    bridge.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mapping.yml");
    std::fs::write(
        &path,
        "mappings: [{match: a.*, name: one, labels: {who: $1}}]",
    )
    .unwrap();
    let mapping = format!("--statsd.mapping-config={}", path.display());
    let bridge = bridge(&[&mapping, "--statsd.max-series-per-metric=3"]).await;
    let http = bridge.running.http[0];

    let udp = bridge.udp();
    for i in 0..100 {
        udp.send(format!("a.{i}:1|c").as_bytes()).unwrap();
    }
    bridge.wait_for(&[
        "one{who=\"0\"} 1",
        "statsd_exporter_series 3",
        "statsd_exporter_events_limited_total{metric_name=\"one\"} 97",
    ]);

    std::fs::write(&path, "mappings: [{match: a, name: b, foo: c}]").unwrap();
    let refused = request(http, "POST", "/-/reload");
    assert!(refused.starts_with("HTTP/1.1 500"), "{refused}");
    assert!(
        refused.contains("field foo not found in type mapper.MetricMapping"),
        "{refused}"
    );
    std::fs::write(&path, "mappings: [{match: a.*, name: two}]").unwrap();
    assert!(request(http, "POST", "/-/reload").starts_with("HTTP/1.1 200"));
    // A thread that waits for packets takes the new mapping over within its wake-up time.
    std::thread::sleep(Duration::from_millis(500));
    udp.send(b"a.0:5|c").unwrap();
    bridge.wait_for(&[
        "two 5",
        "statsd_exporter_config_reloads_total{outcome=\"success\"} 1",
        "statsd_exporter_config_reloads_total{outcome=\"failure\"} 1",
    ]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_packets_is_counted_to_the_last() {
    let bridge = bridge(&[]).await;
    let udp = bridge.udp();
    let packet = "flood:1|c|#k:v\n".repeat(20);
    let packet = packet.trim_end();
    for _ in 0..2_000 {
        udp.send(packet.as_bytes()).unwrap();
        // The kernel's buffer is small where it may not be raised; the thread has to get a turn.
        std::thread::sleep(Duration::from_micros(20));
    }
    bridge.wait_for(&[
        "flood{k=\"v\"} 40000",
        "statsd_exporter_udp_packets_total 2000",
    ]);
    bridge.stop().await;
}

/// Without `--statsd.listen-udp` clients that are told nothing are heard too; that somebody else has
/// their port is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn the_usual_port_is_taken_if_it_is_free() {
    let args = ["--web.listen-address=127.0.0.1:0", "--statsd.listen-tcp="];
    let boot = Boot::new(&PROGRAM, &args).unwrap();
    let holder = UdpSocket::bind("127.0.0.1:8125");
    let running = match start(&boot).await {
        Ok(running) => running,
        // Another statsd_exporter on this machine: nothing to be seen.
        Err(error) => return assert!(error.to_string().contains("UDP listener"), "{error}"),
    };
    let ports = running.udp.iter().map(SocketAddr::to_string);
    assert!(!ports.clone().any(|a| a == "127.0.0.1:8125"), "{ports:?}");
    assert_eq!(running.udp[0].port(), 9125);
    drop(holder);
    let bridge = Bridge { boot, running };
    if let Some(usual) = bridge.running.udp.get(1) {
        assert_eq!(usual.to_string(), "[::1]:8125");
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        socket.send_to(b"usual:1|c", usual).unwrap();
        bridge.wait_for(&["usual 1"]);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said() {
    let refusal = |args: &[&str]| {
        let mut all = vec!["--web.listen-address=127.0.0.1:0", "--statsd.listen-tcp="];
        all.extend(args);
        Boot::new(&PROGRAM, &all).unwrap()
    };
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = format!("--statsd.listen-udp={}", other.local_addr().unwrap());
    for (args, expected) in [
        (
            vec!["--statsd.listen-udp="],
            "At least one of UDP/TCP/Unixgram",
        ),
        (
            vec!["--statsd.listen-udp=nowhere"],
            "invalid address \"nowhere\"",
        ),
        (
            vec!["--statsd.mapping-config=/does/not/exist"],
            "open /does/not/exist",
        ),
        (vec![taken.as_str()], "failed to start UDP listener: "),
    ] {
        match start(&refusal(&args)).await {
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            Ok(_) => panic!("{args:?} is no mistake"),
        }
    }
}

/// What is no StatsD is counted by what is wrong with it, and what stands beside it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_oversized_and_binary_packets_by_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("statsd.sock");
    let bridge = bridge(&[&format!("--statsd.listen-unixgram={}", path.display())]).await;
    let udp = bridge.udp();
    let binary: Vec<u8> = (0..=255).collect();
    for packet in [
        // The largest there is: one line of it.
        &[b'a'; 65_507][..],
        // A line feed is the 10th byte, so these are two lines.
        &binary,
        b"fine:1|c\nbroken\nfine:1|c",
        b"a:1",
        b"a:x|c",
        b"a:1|c|@often",
        b"a:1|c|c:",
        b"a:1|c||",
        b"a:1|x",
        b"a,b=c:1|c|#d:e",
        b"a:1:2|c|#d:e",
        b"a:1|c:2|c:3",
    ] {
        udp.send(packet).unwrap();
    }
    let mut oversized = b"fine:1|c\nfine:1|c\nbig:1|c|#k:".to_vec();
    oversized.resize(100_000, b'v');
    let unix = UnixDatagram::unbound().unwrap();
    unix.send_to(&oversized, &path).unwrap();

    let reason = |reason: &str, count: u64| {
        format!("statsd_exporter_sample_errors_total{{reason=\"{reason}\"}} {count}")
    };
    let expected = [
        "fine 4".to_owned(),
        "statsd_exporter_udp_packets_total 12".to_owned(),
        "statsd_exporter_unixgram_packets_total 1".to_owned(),
        reason("malformed_line", 4),
        reason("not_enough_parts_after_colon", 1),
        reason("malformed_value", 1),
        reason("invalid_sample_factor", 1),
        reason("malformed_container_id", 1),
        reason("malformed_component", 3),
        reason("illegal_event", 1),
        reason("mixed_tagging_styles", 1),
        reason("invalid_extended_aggregate_type", 1),
        reason("oversized_packet", 1),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let page = bridge.wait_for(&expected);
    assert!(!page.contains("big"), "{page}");
    bridge.stop().await;
}

/// Memory is what the limits allow, however many tags and names come in.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_tags_and_names_is_bounded_and_visible() {
    let limits = [
        "--statsd.max-series-per-metric=10",
        "--statsd.max-series=50",
    ];
    let bridge = bridge(&limits).await;
    let udp = bridge.udp();
    for i in 0..300 {
        let packet = format!("one:1|c|#id:{i}\nname{i}:1|c\none:1|c|#id:0");
        udp.send(packet.as_bytes()).unwrap();
    }
    let page = bridge.wait_for(&[
        "one{id=\"0\"} 301",
        "statsd_exporter_series 50",
        "statsd_exporter_events_limited_total{metric_name=\"one\"} 290",
        "statsd_exporter_events_limited_total{metric_name=\"name299\"} 1",
    ]);
    assert_eq!(page.lines().filter(|l| l.starts_with("one{")).count(), 10);
    assert_eq!(page.lines().filter(|l| l.starts_with("name")).count(), 40);
    bridge.stop().await;
}

/// Native buckets travel in protobuf only; the text page has the classic ones.
#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mapping.yml");
    std::fs::write(&path, "defaults: {observer_type: histogram}").unwrap();
    let mapping = format!("--statsd.mapping-config={}", path.display());
    let bridge = bridge(&[&mapping]).await;
    bridge.udp().send(b"wait:100:200|ms|@0.5").unwrap();
    bridge.wait_for(&["wait_bucket{le=\"0.1\"} 2", "wait_count 4"]);

    let mut stream = TcpStream::connect(bridge.running.http[0]).unwrap();
    stream
        .write_all(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: application/vnd.google.protobuf;\
              proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n\r\n",
        )
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let has = |needle: &[u8]| answer.windows(needle.len()).any(|w| w == needle);
    assert!(has(b"application/vnd.google.protobuf"));
    assert!(has(b"\x0a\x04wait\x12"));
    // Field 5 of Histogram, the schema, as zigzag: 3, whose buckets grow by 9 %.
    assert!(has(b"\x28\x06\x31"), "no native buckets");
    bridge.stop().await;
}

#[test]
fn the_mapping_shipped_knows_k6() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/statsd_mapping.yml");
    let mapper = Mapper::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let find = |name: &str, event_type| {
        let found = mapper.find(name, event_type).unwrap();
        (found.name.clone(), found.labels)
    };
    use statsd_bridge::EventType::{Counter, Observer};
    assert_eq!(
        find("k6.http_req_duration", Observer).0,
        "k6_http_req_duration_seconds"
    );
    assert_eq!(find("k6.http_reqs", Counter).0, "k6_http_reqs_total");
    let (name, labels) = find("k6.check.status is 200.pass", Counter);
    assert_eq!(name, "k6_checks_total");
    assert!(
        labels.contains(&("result".to_owned(), "pass".to_owned())),
        "{labels:?}"
    );
    assert_eq!(
        find("web.api.GET.200", Observer).0,
        "http_request_duration_seconds"
    );
}
