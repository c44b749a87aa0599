//! Dashboards: all of them against Grafana's schema, and those of JVMs and Redis against real exporters.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use e2e::{Dashboard, Process, Receiver, Request, Stack, free_port, get, part};

use crate::{LONG, deploy, text};

const HOW: &str = "npm install --prefix DIR @grafana/schema@12.0.2 typescript@5.8, \
                   and NODE_PATH=DIR/node_modules";

fn all_dashboards() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(e2e::dashboard::folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 9, "{files:?}");
    files
}

/// The checker on some files; `None`, said loudly, where its packages are missing.
fn check(files: &[PathBuf]) -> Option<(bool, String)> {
    let node = part::program("node", "install Node.js")?;
    let paths = std::env::var_os("NODE_PATH").unwrap_or_default();
    let there = |path: &Path| path.join("@grafana/schema/package.json").is_file();
    if !std::env::split_paths(&paths).any(|path| there(&path)) {
        part::missing("Grafana's schema", HOW);
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/check.mjs");
    let output = Command::new(node)
        .arg(program)
        .args(files)
        .output()
        .unwrap();
    Some((output.status.success(), text(&output)))
}

#[test]
fn grafanas_schema() {
    let files = all_dashboards();
    let Some((is_right, said)) = check(&files) else {
        return;
    };
    assert!(is_right, "{said}");
    assert!(said.contains("9 dashboards checked"), "{said}");
    // The check sees what is wrong.
    let good = std::fs::read_to_string(deploy().join("grafana/dashboards/fleet.json")).unwrap();
    for (from, to) in [
        ("\"drawStyle\": \"line\"", "\"drawStyle\": \"zigzag\""),
        ("\"graphMode\"", "\"grahpMode\""),
        ("\"multi\": true", "\"multi\": \"yes\""),
    ] {
        assert!(good.contains(from), "{from}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bad.json");
        std::fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let (is_right, said) = check(&[file]).unwrap();
        assert!(!is_right && said.contains("bad.ts"), "{to}: {said}");
    }
}

/// Ids differ, each dashboard has its variables for job and instance, each panel a unit and a place.
#[test]
fn at_a_glance() {
    let mut uids = std::collections::BTreeSet::new();
    for file in all_dashboards() {
        let text = std::fs::read_to_string(&file).unwrap();
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        let name = file.display();
        assert!(
            uids.insert(board["uid"].as_str().unwrap().to_owned()),
            "{name}"
        );
        let variables = board["templating"]["list"].as_array().unwrap();
        let has = |wanted: &str| variables.iter().any(|v| v["name"] == wanted);
        assert!(
            has("datasource") && (has("job") || has("instance")),
            "{name}"
        );
        let mut places = std::collections::BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let place = &panel["gridPos"];
            let (x, w) = (place["x"].as_u64().unwrap(), place["w"].as_u64().unwrap());
            assert!(x + w <= 24, "{name}: {panel}");
            assert!(places.insert((place["y"].as_u64(), x)), "{name}: {panel}");
            if ["stat", "timeseries", "bargauge"]
                .iter()
                .any(|t| panel["type"] == *t)
            {
                let unit = &panel["fieldConfig"]["defaults"]["unit"];
                assert!(unit.is_string(), "{name}: {}", panel["title"]);
            }
        }
    }
}

/// A store that scrapes some targets every second.
fn store(dir: &Path, jobs: &str) -> (Process, String) {
    let programs = part::build(&["scraper-store"]);
    let port = free_port();
    let config = dir.join("prometheus.yml");
    std::fs::write(
        &config,
        format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}"),
    )
    .unwrap();
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--grpc-address=".to_owned(),
    ];
    let process = Process::start("scraper-store", &programs.join("scraper-store"), &args, dir);
    let url = format!("http://127.0.0.1:{port}");
    Stack::wait_ready("scraper-store", &url);
    (process, url)
}

/// Waits until every query has an answer, keeping what is watched `busy`.
fn wait_answered(board: &str, store: &str, busy: impl Fn()) {
    let board = Dashboard::load(board);
    let start = std::time::Instant::now();
    loop {
        busy();
        let faults = board.faults(store, &[]);
        if faults.is_empty() {
            return;
        }
        assert!(
            start.elapsed() < LONG,
            "not answered:\n{}",
            faults.join("\n")
        );
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

/// A Redis server and the exporter, asked about it as `config/prometheus.yml` does.
#[test]
fn redis() {
    let (Some(server), Some(exporter)) = (
        part::program("redis-server", "apt-get install redis-server"),
        part::peer("prometheus-redis-exporter"),
    ) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (port, page) = (free_port(), free_port());
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let args = format!("--port {port} --bind 127.0.0.1 --maxmemory 50mb --save");
    let mut args = words(&args);
    args.push(String::new());
    let _server = Process::start("redis", &server, &args, dir.path());
    let args = words(&format!("-web.listen-address=127.0.0.1:{page}"));
    let _exporter = Process::start("redis_exporter", &exporter, &args, dir.path());
    let jobs = format!(
        "- job_name: redis\n  metrics_path: /scrape\n  static_configs: [{{targets: ['redis://127.0.0.1:{port}']}}]\n  \
         relabel_configs:\n  - {{source_labels: [__address__], target_label: __param_target}}\n  \
         - {{source_labels: [__address__], regex: '(?:rediss?://)?(.+)', target_label: instance}}\n  \
         - {{target_label: __address__, replacement: '127.0.0.1:{page}'}}\n"
    );
    let (_store, url) = store(dir.path(), &jobs);
    // Something is read and written, found and not found.
    let client = |command: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut answer = [0; 16];
        assert!(stream.read(&mut answer).unwrap() > 0, "{command}");
    };
    wait_answered("redis", &url, || {
        for command in ["SET a 1", "GET a", "GET b"] {
            client(command);
        }
    });
}

/// Micrometer's page, as Spring Boot's Actuator shows it: its names and labels, with counters that rise.
fn micrometer(_request: &Request) -> (u16, &'static str, String) {
    static ASKED: AtomicU64 = AtomicU64::new(1);
    let n = ASKED.fetch_add(1, Ordering::Relaxed);
    let page = format!(
        "jvm_memory_used_bytes{{area=\"heap\",id=\"G1 Eden Space\"}} 4.194304E7\n\
         jvm_memory_used_bytes{{area=\"heap\",id=\"G1 Old Gen\"}} 2.097152E7\n\
         jvm_memory_used_bytes{{area=\"nonheap\",id=\"Metaspace\"}} 5.0E7\n\
         jvm_memory_max_bytes{{area=\"heap\",id=\"G1 Eden Space\"}} -1.0\n\
         jvm_memory_max_bytes{{area=\"heap\",id=\"G1 Old Gen\"}} 2.68435456E8\n\
         jvm_gc_pause_seconds_count{{action=\"end of minor GC\",cause=\"G1 Evacuation Pause\"}} {n}\n\
         jvm_gc_pause_seconds_sum{{action=\"end of minor GC\",cause=\"G1 Evacuation Pause\"}} {n}e-3\n\
         jvm_threads_live_threads 24.0\njvm_classes_loaded_classes 9123.0\nprocess_cpu_usage 0.02\n\
         process_start_time_seconds 1.7E9\n\
         http_server_requests_seconds_count{{method=\"GET\",status=\"200\",uri=\"/orders\"}} {n}\n\
         http_server_requests_seconds_sum{{method=\"GET\",status=\"200\",uri=\"/orders\"}} {n}e-2\n\
         http_server_requests_seconds_count{{method=\"GET\",status=\"500\",uri=\"/orders\"}} {n}\n\
         http_server_requests_seconds_sum{{method=\"GET\",status=\"500\",uri=\"/orders\"}} {n}e-2\n"
    );
    (200, "text/plain; version=0.0.4", page)
}

/// A JVM with the JMX exporter, and the page of a Spring Boot application.
#[test]
fn jvm() {
    let Some(java) = part::program("java", "apt-get install default-jre-headless") else {
        return;
    };
    let jars = std::env::var_os("KAFKA_JARS").map_or_else(PathBuf::new, PathBuf::from);
    let agent = std::fs::read_dir(jars.join("jmx")).ok().and_then(|files| {
        let mut paths = files.flatten().map(|file| file.path());
        paths.find(|path| path.extension().is_some_and(|kind| kind == "jar"))
    });
    let Some(agent) = agent else {
        part::missing(
            "the JMX exporter",
            "tests/e2e/get-kafka.sh DIR, KAFKA_JARS=DIR",
        );
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("jmx.yml");
    std::fs::write(&rules, "rules: []\n").unwrap();
    let port = free_port();
    // A program that runs until it is ended.
    let args = [
        format!(
            "-javaagent:{}=127.0.0.1:{port}:{}",
            agent.display(),
            rules.display()
        ),
        "-Xmx64m".to_owned(),
        "-Dzookeeper.admin.enableServer=false".to_owned(),
        "-cp".to_owned(),
        jars.join("3.9.1/*").display().to_string(),
        "org.apache.zookeeper.server.ZooKeeperServerMain".to_owned(),
        free_port().to_string(),
        dir.path().join("zookeeper").display().to_string(),
    ];
    let jvm = Process::start("java", &java, &args, dir.path());
    let start = std::time::Instant::now();
    while get(&format!("http://127.0.0.1:{port}/metrics")).is_none_or(|(status, _)| status != 200) {
        assert!(start.elapsed() < LONG, "{}", jvm.log_text());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let spring = Receiver::answering(micrometer).port();
    let jobs = format!(
        "- job_name: jmx\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
         - job_name: spring\n  metrics_path: /actuator/prometheus\n  \
         static_configs: [{{targets: ['127.0.0.1:{spring}']}}]\n"
    );
    let (_store, url) = store(dir.path(), &jobs);
    wait_answered("jvm", &url, || ());
}
