//! Swapping in and out: a real Prometheus opens our folder, after a clean stop and after a kill,
//! and we open its. `PEERS_DIR` says where the binaries are (`../shared/bench/get-peers.sh`);
//! without it the test says that it was skipped.

#![allow(clippy::unwrap_used)]

mod folder;
mod read;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, MetricType, Span};
use serde_json::Value;
use storage::Appendable;
use tsdb::{Db, Options};

/// Of a Prometheus that scrapes itself.
const SCRAPING: &str = "global: {scrape_interval: 200ms, scrape_timeout: 150ms}\n\
        storage: {tsdb: {out_of_order_time_window: 30m}}\n\
        scrape_configs: [{job_name: self, scrape_protocols: [PrometheusProto], static_configs: [{targets: ['127.0.0.1:PORT']}]}]\n";

type Content = BTreeMap<String, BTreeMap<i64, String>>;

fn prometheus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../peers");
    let dir = std::env::var_os("PEERS_DIR").map_or(default, PathBuf::from);
    let path = dir.join("usr/bin/prometheus");
    if !path.exists() {
        eprintln!("SKIPPED: no Prometheus here; PEERS_DIR says where get-peers.sh put it");
        return None;
    }
    Some(path)
}

/// A Prometheus on a data folder, ended by its own number when it is dropped.
struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    fn start(binary: &Path, dir: &Path, config: &str) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let file = dir.with_extension("yml");
        std::fs::write(&file, config.replace("PORT", &port.to_string())).unwrap();
        let child = Command::new(binary)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=10y")
            .arg("--enable-feature=native-histograms,exemplar-storage,metadata-wal-records")
            .stderr(Stdio::from(
                std::fs::File::create(dir.with_extension("log")).unwrap(),
            ))
            .spawn()
            .unwrap();
        let peer = Peer { child, port };
        let start = Instant::now();
        while !peer
            .get("/-/ready")
            .is_some_and(|text| text.contains("Ready"))
        {
            let log = std::fs::read_to_string(dir.with_extension("log")).unwrap();
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "not ready: {log}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        peer
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// All samples of the last days, as text.
    fn content(&self, at_ms: i64, window: &str) -> Content {
        let query = format!("%7B__name__=~%22.%2B%22%7D%5B{window}%5D");
        let at = at_ms as f64 / 1000.0;
        let answer = self
            .get(&format!("/api/v1/query?query={query}&time={at}"))
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).expect(&answer);
        assert_eq!(answer["status"], "success", "{answer}");
        let mut content = Content::new();
        for series in answer["data"]["result"].as_array().unwrap() {
            let labels = series["metric"].as_object().unwrap();
            let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v.as_str().unwrap())));
            let samples = content.entry(labels.to_string()).or_default();
            let time = |pair: &Value| (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            for pair in series["values"].as_array().into_iter().flatten() {
                let v: f64 = pair[1].as_str().unwrap().parse().unwrap();
                samples.insert(time(pair), format!("{v:?}"));
            }
            for pair in series["histograms"].as_array().into_iter().flatten() {
                let number = |name: &str| pair[1][name].as_str().unwrap().parse::<f64>().unwrap();
                let text = format!("{:?} {:?}", number("count"), number("sum"));
                samples.insert(time(pair), text);
            }
        }
        content
    }

    fn stop(mut self, signal: &str) {
        let pid = self.child.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What our database answers, as [`Peer::content`] has it: without stale markers.
fn ours(db: &Db, min_ms: i64, max_ms: i64) -> Content {
    let mut content = Content::new();
    for (labels, columns) in read::all(db, min_ms, max_ms) {
        let mut samples = BTreeMap::new();
        for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
            if !model::is_stale(*v) {
                samples.insert(*t, format!("{v:?}"));
            }
        }
        for (t, h) in columns.histogram_ms.iter().zip(&columns.histograms) {
            if !h.is_stale() {
                samples.insert(*t, format!("{:?} {:?}", h.count, h.sum));
            }
        }
        if !samples.is_empty() {
            content.insert(labels.to_string(), samples);
        }
    }
    content
}

fn differ(a: &Content, b: &Content) -> String {
    let mut out = String::new();
    for labels in a.keys().chain(b.keys()) {
        let none = BTreeMap::new();
        let (a, b) = (
            a.get(labels).unwrap_or(&none),
            b.get(labels).unwrap_or(&none),
        );
        for t in a.keys().chain(b.keys()) {
            if a.get(t) != b.get(t) && out.len() < 1000 {
                out += &format!("{labels} at {t}: {:?} and {:?}\n", a.get(t), b.get(t));
            }
        }
    }
    out
}

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.background = false;
    options.out_of_order_window_ms = 1_800_000;
    options.max_exemplars = 1000;
    options.retention.duration_ms = 0;
    options
}

fn histogram(i: i64) -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: i as u64,
        count: 4 * i as u64,
        sum: i as f64 * 1.5,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_buckets: vec![i, i],
        ..Histogram::default()
    }
}

fn custom(i: i64) -> FloatHistogram {
    FloatHistogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 3.0 * i as f64,
        sum: i as f64,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_buckets: vec![i as f64, 2.0 * i as f64],
        custom_values: vec![0.5, 1.0],
        ..FloatHistogram::default()
    }
}

/// Four hours of floats and histograms, some of them late, with metadata and an exemplar.
fn fill(db: &Db, start_ms: i64) {
    let name = |name: &str, i: i64| {
        Labels::from_pairs([("__name__", name), ("i", &i.to_string()), ("ü", "\"x\"\n")])
    };
    for step in 0..960i64 {
        let t = start_ms + step * 15_000;
        let mut appender = db.appender();
        for i in 0..20 {
            let v = if step == 50 {
                model::STALE_NAN
            } else {
                (step * i) as f64 / 7.0
            };
            appender.append(0, &name("floats", i), 0, t, v).unwrap();
        }
        let labels = name("integers", 0);
        appender
            .append_histogram(0, &labels, 0, t, &histogram(step))
            .unwrap();
        let labels = name("custom", 0);
        appender
            .append_float_histogram(0, &labels, 0, t, &custom(step))
            .unwrap();
        if step > 60 && step % 3 == 0 {
            let late = t - 600_000 + 7;
            appender
                .append(0, &name("floats", 1), 0, late, step as f64)
                .unwrap();
            appender
                .append_histogram(0, &name("integers", 0), 0, late, &histogram(step))
                .unwrap();
        }
        if step == 940 {
            let exemplar = Exemplar {
                labels: Labels::from([("trace_id", "abc")]),
                value: 1.0,
                timestamp_ms: Some(t),
            };
            appender
                .append_exemplar(0, &name("floats", 3), &exemplar)
                .unwrap();
            let metadata = Metadata {
                metric_type: MetricType::Counter,
                unit: String::new(),
                help: "Some floats.".to_owned(),
            };
            appender
                .update_metadata(0, &name("floats", 3), &metadata)
                .unwrap();
        }
        appender.commit().unwrap();
    }
}

const QUIET: &str = "storage: {tsdb: {out_of_order_time_window: 30m}}\n";

/// Adds our own key to every meta.json, and says how many there are.
fn note_in_metas(dir: &Path) -> usize {
    let mut noted = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path().join("meta.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let mut meta: Value = serde_json::from_str(&text).unwrap();
        meta["firewatch"] = serde_json::json!({ "inOrderMaxTime": meta["maxTime"].clone() });
        std::fs::write(&path, meta.to_string()).unwrap();
        noted += 1;
    }
    noted
}

#[test]
fn prometheus_opens_ours() {
    let Some(binary) = prometheus() else { return };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let start_ms = now.as_millis() as i64 / 15_000 * 15_000 - 4 * 3_600_000;
    for (clean, compact) in [(true, false), (false, false), (false, true)] {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("data");
        let db = Db::open(options(&dir)).unwrap();
        fill(&db, start_ms);
        if compact {
            db.compact().unwrap();
            assert!(!db.blocks().is_empty());
        }
        let end_ms = start_ms + 5 * 3_600_000;
        let want = ours(&db, i64::MIN, i64::MAX);
        assert_eq!(want.len(), 22);
        if clean {
            db.close().unwrap();
        }
        drop(db);
        // A key of our own, as blocks of late and other samples have it.
        let noted = note_in_metas(&dir);
        assert_eq!(noted > 0, compact);
        let peer = Peer::start(&binary, &dir, QUIET);
        let log = std::fs::read_to_string(dir.with_extension("log")).unwrap();
        let loud = log
            .lines()
            .filter(|line| line.contains("level=WARN") || line.contains("level=ERROR"))
            // Of a process that was killed.
            .find(|line| clean || !line.contains("A lockfile from a previous execution"));
        assert_eq!(loud, None);
        let got = peer.content(end_ms, "1d");
        assert_eq!(
            differ(&got, &want),
            "",
            "clean {clean}, compacted {compact}"
        );
        let exemplars = peer
            .get(&format!(
                "/api/v1/query_exemplars?query=floats&start={}&end={}",
                start_ms / 1000,
                end_ms / 1000
            ))
            .unwrap();
        assert!(exemplars.contains("abc"), "{exemplars}");
        peer.stop(if clean { "-TERM" } else { "-KILL" });
        // And back.
        let db = Db::open(options(&dir)).unwrap();
        assert_eq!(differ(&ours(&db, i64::MIN, i64::MAX), &want), "");
        db.close().unwrap();
    }
}

#[test]
fn we_open_prometheus() {
    let Some(binary) = prometheus() else { return };
    for signal in ["-TERM", "-KILL"] {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("data");
        let peer = Peer::start(&binary, &dir, SCRAPING);
        std::thread::sleep(Duration::from_secs(8));
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        // What is older than a second does not change any more.
        let end_ms = now.as_millis() as i64 - 1000;
        let want = peer.content(end_ms, "1h");
        assert!(want.len() > 300);
        peer.stop(signal);
        let db = Db::open(options(&dir)).unwrap();
        let mut got = ours(&db, i64::MIN, end_ms);
        // Markers that the stop has written are later.
        got.retain(|_, samples| !samples.is_empty());
        assert_eq!(differ(&want, &got), "", "after {signal}");
        db.close().unwrap();
        // And back.
        let peer = Peer::start(&binary, &dir, QUIET);
        let again = peer.content(end_ms, "1h");
        assert_eq!(differ(&want, &again), "", "back after {signal}");
        peer.stop("-TERM");
    }
}

/// What we noted of the log before Prometheus wrote to it is not held against what it wrote.
#[test]
fn prometheus_writes_in_between() {
    let Some(binary) = prometheus() else { return };
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("data");
    let noting = |dir: &Path, shortcut_log_bytes| Options {
        shortcut_log_bytes,
        ..options(dir)
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let start_ms = now.as_millis() as i64 / 15_000 * 15_000 - 4 * 3_600_000;
    let db = Db::open(noting(&dir, Some(0))).unwrap();
    fill(&db, start_ms);
    db.tick(0).unwrap();
    assert!(dir.join("wal_shortcut").exists());
    let before = ours(&db, i64::MIN, i64::MAX);
    drop(db);
    let mut want = before.clone();
    for round in 0..2 {
        let peer = Peer::start(&binary, &dir, SCRAPING);
        let started = Instant::now();
        let mut written = Content::new();
        while written.len() < want.len().max(300) {
            assert!(started.elapsed() < Duration::from_secs(60), "no samples");
            std::thread::sleep(Duration::from_millis(500));
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            // What is older than a second does not change any more.
            written = peer.content(now.as_millis() as i64 - 1000, "1d");
        }
        want = written;
        peer.stop("-KILL");
        // A start that reads all and one that may not: what both find has what Prometheus had.
        let mut found = Vec::new();
        for shortcut in [None, Some(0)] {
            let copy = tmp
                .path()
                .join(format!("copy-{round}-{}", shortcut.is_some()));
            folder::copy(&dir, &copy);
            let db = Db::open(noting(&copy, shortcut)).unwrap();
            found.push(ours(&db, i64::MIN, i64::MAX));
        }
        assert_eq!(differ(&found[0], &found[1]), "", "round {round}");
        for (labels, samples) in before.iter().chain(&want) {
            let found = &found[1][labels];
            let missing = samples.iter().find(|(t, v)| found.get(*t) != Some(v));
            assert_eq!(missing, None, "round {round}: {labels}");
        }
        // And ours again: what is noted now counts Prometheus' samples in.
        let db = Db::open(noting(&dir, Some(0))).unwrap();
        db.tick(0).unwrap();
        drop(db);
    }
}
