//! A real k6 with its StatsD output, seen through statsd-bridge in scraper-store: every request under
//! its scenario, name, method and status, as native histogram and as classic one; and every query of
//! the k6 dashboard.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod shop;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::Dashboard;
use e2e::{Process, Stack, free_port, get, part, query, wait_for};
use serde_json::Value;
use shop::Shop;

/// The bridge twice: with native histograms, and as a store that does not ask for them sees it.
const PROMETHEUS: &str = "
global: {scrape_interval: 1s}
scrape_configs:
- job_name: native
  scrape_native_histograms: true
  static_configs: [{targets: ['{bridge}']}]
- job_name: classic
  static_configs: [{targets: ['{bridge}']}]
";

struct Chain {
    _processes: [Process; 2],
    bridge: String,
    store: String,
    /// Where k6 has to send; `None`: where it sends by default.
    address: Option<String>,
    dir: tempfile::TempDir,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Chain {
    fn start() -> Chain {
        let programs = part::build(&["statsd-bridge", "scraper-store"]);
        let dir = tempfile::tempdir().unwrap();
        let [bridge, store, grpc] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, PROMETHEUS.replace("{bridge}", &bridge)).unwrap();
        let mapping = root().join("deploy/config/statsd_mapping.yml");
        let mut args = vec![
            format!("--web.listen-address={bridge}"),
            format!("--statsd.mapping-config={}", mapping.display()),
            "--statsd.listen-tcp=".to_owned(),
        ];
        // The defaults of both, if nobody else on this machine has these ports just now.
        let free = |address: &str| UdpSocket::bind(address).is_ok();
        let defaults = free("127.0.0.1:8125") && free("[::]:9125");
        let address = (!defaults).then(|| {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            udp.local_addr().unwrap().to_string()
        });
        args.extend(address.iter().map(|a| format!("--statsd.listen-udp={a}")));
        let start = |name: &str, args: &[String]| {
            Process::start(name, &programs.join(name), args, dir.path())
        };
        let processes = [
            start("statsd-bridge", &args),
            start(
                "scraper-store",
                &[
                    format!("--config.file={}", config.display()),
                    format!("--storage.tsdb.path={}", dir.path().join("data").display()),
                    format!("--web.listen-address={store}"),
                    format!("--grpc-address={grpc}"),
                ],
            ),
        ];
        let [bridge, store] = [bridge, store].map(|address| format!("http://{address}"));
        Stack::wait_ready("statsd-bridge", &bridge);
        Stack::wait_ready("scraper-store", &store);
        Chain {
            _processes: processes,
            bridge,
            store,
            address,
            dir,
        }
    }

    fn k6(&self, k6: &Path, shop: &Shop) {
        let mut command = Command::new(k6);
        command
            .args([
                "run",
                "--out",
                "output-statsd",
                "--no-usage-report",
                "--quiet",
            ])
            .arg(root().join("tests/e2e/k6/script.js"))
            .current_dir(self.dir.path())
            .env("K6_STATSD_ENABLE_TAGS", "true")
            .env("BASE", shop.url());
        if let Some(address) = &self.address {
            command.env("K6_STATSD_ADDR", address);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }

    /// Values of a query, by some of its labels.
    fn values(&self, expr: &str, labels: &[&str]) -> BTreeMap<String, f64> {
        let series = query(&self.store, expr).unwrap_or_else(|| panic!("{expr} is refused"));
        let entry = |series: &Value| {
            let text = |label: &&str| series["metric"][label].as_str().unwrap_or("").to_owned();
            let labels: Vec<String> = labels.iter().map(text).collect();
            let value = series["value"][1].as_str().unwrap();
            (labels.join(" "), value.parse().unwrap())
        };
        series.iter().map(entry).collect()
    }
}

#[test]
fn k6_through_the_bridge() {
    let how = "tests/e2e/k6/build.sh FOLDER builds it; put the folder on the PATH";
    let Some(k6) = part::program("k6-statsd", how) else {
        return;
    };
    let shop = Shop::open();
    let chain = Chain::start();
    chain.k6(&k6, &shop);

    // What the shop itself counted.
    let served = shop.served();
    let by_name: BTreeMap<String, f64> = [
        ("browse front page GET 200", "/front"),
        ("browse slow page GET 404", "/slow"),
        ("order order POST 503", "/order"),
    ]
    .map(|(labels, path)| (labels.to_owned(), served[path] as f64))
    .into();
    assert!(by_name.values().all(|count| *count >= 5.0), "{by_name:?}");

    let labels = ["scenario", "name", "method", "status"];
    let by = "by (scenario, name, method, status)";
    let duration = "k6_http_req_duration_seconds";
    for expr in [
        format!("sum {by} (k6_http_reqs_total{{job=\"native\"}})"),
        format!("sum {by} (histogram_count({duration}{{job=\"native\"}}))"),
        format!("sum {by} ({duration}_count{{job=\"classic\"}})"),
    ] {
        wait_for(&expr, Duration::from_secs(20), || {
            (chain.values(&expr, &labels) == by_name).then_some(())
        });
    }

    // The slow page takes 50 ms; a native bucket here is 9 % wide, the classic one ends at 100 ms.
    for (expr, least, most) in [
        (
            format!("histogram_quantile(0.5, sum by (name) ({duration}{{job=\"native\"}}))"),
            0.045,
            2.0,
        ),
        (
            format!(
                "histogram_quantile(0.5, sum by (name, le) ({duration}_bucket{{job=\"classic\"}}))"
            ),
            0.045,
            2.0,
        ),
    ] {
        let found = chain.values(&expr, &["name"]);
        assert!(
            (least..most).contains(&found["slow page"]),
            "{expr}: {found:?}"
        );
        assert!(
            found["front page"] < found["slow page"],
            "{expr}: {found:?}"
        );
    }

    let checks = chain.values(
        "sum by (check, result) (k6_checks_total{job=\"native\"})",
        &["check", "result"],
    );
    let visits = served["/front"] as f64;
    let expected = [("status is 200 pass", visits), ("v1.2 is out fail", visits)];
    assert_eq!(checks, expected.map(|(k, v)| (k.to_owned(), v)).into());

    // Nothing was refused on the way, nothing is left without a mapping of its own but the gauges.
    let page = get(&format!("{}/metrics", chain.bridge)).unwrap().1;
    assert!(
        !page.contains("statsd_exporter_sample_errors_total{"),
        "{page}"
    );
    assert!(
        !page.contains("statsd_exporter_events_conflict_total{"),
        "{page}"
    );
    assert!(
        page.contains("statsd_exporter_udp_packet_drops_total 0\n"),
        "{page}"
    );

    let board = Dashboard::load("k6");
    for job in ["native", "classic"] {
        let chosen = [("job", job)];
        assert!(board.queries(&chosen).len() > 20);
        let faults = board.faults(&chain.store, &chosen);
        assert!(
            faults.is_empty(),
            "no answer ({job}):\n{}",
            faults.join("\n")
        );
    }
}
