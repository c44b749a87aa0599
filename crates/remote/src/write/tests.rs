use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap as Headers, StatusCode};
use prost::Message;
use storage::Appendable;
use tsdb::Db;

use super::*;

/// What a receiver got: timestamps and values by series.
type Got = BTreeMap<String, Vec<(i64, f64)>>;

/// A receiver that does as it is told.
struct Receiver {
    url: String,
    state: Arc<Told>,
}

#[derive(Default)]
struct Told {
    /// The status that requests are answered with; 0 for success.
    status: AtomicU64,
    retry_after: AtomicU64,
    got: Mutex<Got>,
    requests: Mutex<Vec<Headers>>,
    metadata: AtomicU64,
}

async fn take(
    State(told): State<Arc<Told>>,
    headers: Headers,
    body: Bytes,
) -> (StatusCode, Headers) {
    told.requests.lock().push(headers.clone());
    let mut answer = Headers::new();
    let status = told.status.load(Ordering::SeqCst);
    if status > 0 {
        let seconds = told.retry_after.load(Ordering::SeqCst);
        if seconds > 0 {
            answer.insert("retry-after", seconds.into());
        }
        return (StatusCode::from_u16(status as u16).unwrap(), answer);
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let mut got = told.got.lock();
    let mut note = |labels: &Labels, t_ms, value| {
        got.entry(labels.to_string())
            .or_default()
            .push((t_ms, value));
    };
    if headers["x-prometheus-remote-write-version"] == "2.0.0" {
        let request = proto::write_v2::Request::decode(&bytes[..]).unwrap();
        let mut samples = 0;
        for series in &request.timeseries {
            let symbol = |r: &u32| &request.symbols[*r as usize];
            let (pairs, _) = series.labels_refs.as_chunks::<2>();
            let labels = Labels::from_pairs(pairs.iter().map(|[n, v]| (symbol(n), symbol(v))));
            samples += series.samples.len();
            series
                .samples
                .iter()
                .for_each(|s| note(&labels, s.timestamp, s.value));
        }
        answer.insert("x-prometheus-remote-write-samples-written", samples.into());
    } else {
        let request = proto::prometheus::WriteRequest::decode(&bytes[..]).unwrap();
        let count = request.metadata.len() as u64;
        told.metadata.fetch_add(count, Ordering::SeqCst);
        for series in &request.timeseries {
            let labels = proto::convert::labels_from_prometheus(&series.labels);
            series
                .samples
                .iter()
                .for_each(|s| note(&labels, s.timestamp, s.value));
        }
    }
    (StatusCode::NO_CONTENT, answer)
}

impl Receiver {
    async fn start() -> Receiver {
        let state = Arc::new(Told::default());
        let router = axum::Router::new()
            .route("/write", axum::routing::post(take))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/write", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { url, state }
    }

    fn answers(&self, status: u64) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    fn requests(&self) -> usize {
        self.state.requests.lock().len()
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: "test".to_owned(),
            url: self.url.clone(),
            shown_url: self.url.clone(),
            http: HttpClientConfig::default(),
            headers: vec![("X-Tenant".to_owned(), "t".to_owned())],
            round_robin_dns: true,
            remote_timeout: Duration::from_secs(30),
            protocol: Protocol::V1,
            write_relabel: Vec::new(),
            name_scheme: ValidationScheme::Utf8,
            send_exemplars: false,
            send_native_histograms: false,
            capacity: 50,
            min_shards: 3,
            max_shards: 5,
            max_samples_per_send: 7,
            batch_send_deadline: Duration::from_millis(50),
            min_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(50),
            retry_on_http_429: true,
            sample_age_limit: Duration::ZERO,
            metadata: None,
        }
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn open(dir: &Path) -> Arc<Db> {
    let mut options = tsdb::Options::new(dir);
    options.background = false;
    options.no_lockfile = true;
    options.wal_segment_bytes = 64 << 10;
    Arc::new(Db::open(options).unwrap())
}

fn storage(db: &Arc<Db>, registry: &telemetry::Registry) -> WriteStorage {
    let options = StorageOptions {
        dir: db.options().dir.join("remote_write"),
        registry: registry.clone(),
        clock: Arc::new(|| 1_000_000),
        metadata: Arc::new(|| vec![("up".to_owned(), Metadata::default())]),
        user_agent: "test/1".to_owned(),
        flush_deadline: Duration::from_secs(30),
        keep: Duration::from_secs(3600),
    };
    WriteStorage::new(options, Arc::clone(db) as Arc<dyn Log>)
}

fn apply(storage: &WriteStorage, endpoints: &[Endpoint]) {
    let external = Labels::from([("dc", "x")]);
    storage.apply(storage.check(endpoints.to_vec(), &external).unwrap());
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Appends one sample to each of the series.
fn scrape(db: &Db, round: i64, series: usize) {
    let mut appender = db.appender();
    for i in 0..series {
        let labels = Labels::from([("__name__", "m"), ("i", &*i.to_string())]);
        appender
            .append(0, &labels, 0, round * 1000, round as f64)
            .unwrap();
    }
    appender.commit().unwrap();
}

/// Whether every series has each of the rounds once and in order.
fn complete(got: &Got, series: usize, rounds: std::ops::Range<i64>) -> bool {
    let expected: Vec<(i64, f64)> = rounds.map(|r| (r * 1000, r as f64)).collect();
    got.len() == series
        && (0..series).all(|i| {
            let labels = format!(r#"{{__name__="m", dc="x", i="{i}"}}"#);
            got.get(&labels).is_some_and(|found| *found == expected)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sample_once_and_in_order_over_outages_and_restarts() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let mut dir = tempfile::tempdir().unwrap();
        let receiver = Receiver::start().await;
        let endpoint = Endpoint {
            protocol,
            ..receiver.endpoint()
        };
        let registry = telemetry::Registry::new();
        let mut round = 1;
        for status in [0, 503, 429, 0] {
            let db = open(dir.path());
            let storage = storage(&db, &registry);
            apply(&storage, std::slice::from_ref(&endpoint));
            // The queue begins at the log's end.
            until("a queue", || dir.path().join("remote_write").is_dir()).await;
            until("a position", || {
                let files = std::fs::read_dir(dir.path().join("remote_write"));
                files
                    .unwrap()
                    .flatten()
                    .any(|f| f.metadata().unwrap().len() > 0)
            })
            .await;
            for _ in 0..20 {
                scrape(&db, round, 40);
                round += 1;
            }
            receiver.answers(status);
            let before = receiver.requests();
            for _ in 0..20 {
                scrape(&db, round, 40);
                round += 1;
            }
            until("requests", || receiver.requests() > before + 10).await;
            // As if killed now: nothing that is done later is in the copy.
            let copy = tempfile::tempdir().unwrap();
            if status > 0 {
                copy_all(dir.path(), copy.path());
            }
            storage.stop().await;
            db.close().unwrap();
            if status > 0 {
                dir = copy;
            }
            receiver.answers(0);
        }
        let db = open(dir.path());
        let storage = storage(&db, &registry);
        apply(&storage, &[endpoint]);
        until("everything", || {
            complete(&receiver.state.got.lock(), 40, 1..round)
        })
        .await;
        storage.stop().await;
        let headers = receiver.state.requests.lock()[0].clone();
        assert_eq!(headers["x-tenant"], "t");
        assert_eq!(headers["user-agent"], "test/1");
        let retried = receiver
            .state
            .requests
            .lock()
            .iter()
            .any(|h| h.contains_key("retry-attempt"));
        assert!(retried);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_for_good_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (refusing, taking) = (Receiver::start().await, Receiver::start().await);
    refusing.answers(400);
    let registry = telemetry::Registry::new();
    let db = open(dir.path());
    let storage = storage(&db, &registry);
    let first = Endpoint {
        name: "refusing".to_owned(),
        metadata: Some((Duration::from_secs(1), 10)),
        ..refusing.endpoint()
    };
    let second = Endpoint {
        name: String::new(),
        metadata: Some((Duration::from_secs(1), 10)),
        ..taking.endpoint()
    };
    apply(&storage, &[first, second]);
    until("two positions", || {
        std::fs::read_dir(dir.path().join("remote_write")).is_ok_and(|files| {
            files
                .flatten()
                .filter(|f| f.metadata().unwrap().len() > 0)
                .count()
                == 2
        })
    })
    .await;
    for round in 1..=10 {
        scrape(&db, round, 10);
    }
    until("everything", || {
        complete(&taking.state.got.lock(), 10, 1..11)
    })
    .await;
    until("metadata", || {
        taking.state.metadata.load(Ordering::SeqCst) > 0
    })
    .await;
    let metric = |name: &str, queue: &str| -> f64 {
        let families = registry.gather();
        let family = families.iter().find(|f| f.name == name).unwrap();
        let of_queue = |m: &&exposition::Metric| m.labels.iter().any(|(_, v)| &**v == queue);
        let metric = family.metrics.iter().find(of_queue).unwrap();
        match metric.value {
            exposition::Value::Counter(v) | exposition::Value::Gauge(v) => v,
            _ => panic!("{name} is no number"),
        }
    };
    let failed = "prometheus_remote_storage_samples_failed_total";
    until("refusals", || metric(failed, "refusing") == 100.0).await;
    assert_eq!(
        metric("prometheus_remote_storage_samples_pending", "refusing"),
        0.0
    );
    assert_eq!(metric("prometheus_remote_storage_shards", "refusing"), 3.0);
    // Gone: its metrics and its position are, too.
    apply(&storage, &[taking.endpoint()]);
    until("one position", || {
        std::fs::read_dir(dir.path().join("remote_write"))
            .unwrap()
            .count()
            == 1
    })
    .await;
    storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_endpoint_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let registry = telemetry::Registry::new();
    let db = open(dir.path());
    let storage = storage(&db, &registry);
    let mut endpoint = receiver.endpoint();
    apply(&storage, &[endpoint.clone()]);
    until("a position", || {
        std::fs::read_dir(dir.path().join("remote_write"))
            .is_ok_and(|files| files.flatten().any(|f| f.metadata().unwrap().len() > 0))
    })
    .await;
    let mut round = 1;
    for (shards, status) in [(5, 503), (2, 0), (2, 503), (1, 0)] {
        receiver.answers(status);
        for _ in 0..15 {
            scrape(&db, round, 30);
            round += 1;
        }
        let before = receiver.requests();
        until("requests", || receiver.requests() > before + 3).await;
        endpoint.min_shards = shards;
        endpoint.max_shards = shards.max(2);
        apply(&storage, &[endpoint.clone()]);
    }
    receiver.answers(0);
    until("everything", || {
        complete(&receiver.state.got.lock(), 30, 1..round)
    })
    .await;
    storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_kept_for_those_who_are_behind() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.answers(503);
    let registry = telemetry::Registry::new();
    let db = open(dir.path());
    let storage = storage(&db, &registry);
    let endpoint = Endpoint {
        // One request at a time, and no room: the reader stays where it is.
        min_shards: 1,
        max_shards: 1,
        ..receiver.endpoint()
    };
    apply(&storage, &[endpoint]);
    until("a position", || {
        std::fs::read_dir(dir.path().join("remote_write"))
            .is_ok_and(|files| files.flatten().any(|f| f.metadata().unwrap().len() > 0))
    })
    .await;
    // Ten hours: several blocks, whose cutting truncates the log.
    let rounds = 600;
    for round in 1..=rounds {
        let mut appender = db.appender();
        for i in 0..40 {
            let labels = Labels::from([("__name__", "m"), ("i", &*i.to_string())]);
            let value = (round * 7919 + i) as f64;
            appender
                .append(0, &labels, 0, round * 60_000, value)
                .unwrap();
        }
        appender.commit().unwrap();
        if round % 100 == 0 {
            db.compact().unwrap();
        }
    }
    assert!(db.blocks().len() > 2);
    receiver.answers(0);
    until("everything", || {
        let got = receiver.state.got.lock();
        got.len() == 40 && got.values().all(|samples| samples.len() == rounds as usize)
    })
    .await;
    // Now it may go.
    for round in rounds + 1..rounds + 300 {
        scrape(&db, round * 60, 40);
    }
    until("the log to be let go", || {
        db.compact().unwrap();
        let segments = tsdb::wal::segments(&tsdb::fs::RealFs, &db.wal_dir()).unwrap();
        segments[0].number > 1
    })
    .await;
    storage.stop().await;
}
