use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::Defaults;
use crate::target::Health;
use crate::test_store::TestStore;

const STALE: f64 = -99.0;

/// What a path answers: head lines behind the status line, and the body. `None` never answers.
type Answer = Option<(String, Vec<u8>)>;

/// An HTTP server whose answers can be changed while it runs.
#[derive(Clone)]
struct Server {
    address: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap().to_string(),
            answers: Arc::default(),
            requests: Arc::default(),
            count: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: tokio::net::TcpStream) {
        let mut buffer = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            }
            let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
            let path = head
                .split(' ')
                .nth(1)
                .unwrap()
                .split('?')
                .next()
                .unwrap()
                .to_owned();
            self.requests.lock().push(head);
            self.count.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers.lock().get(&path).cloned();
            match answer {
                Some(None) => std::future::pending::<()>().await,
                Some(Some((head, body))) => {
                    let text = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = stream.write_all(&body).await;
                }
                None => {
                    let text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(text.as_bytes()).await;
                }
            }
        }
    }

    fn page(&self, path: &str, page: &str) {
        let head = "200 OK\r\nContent-Type: text/plain; version=0.0.4".to_owned();
        let answer = Some((head, page.as_bytes().to_vec()));
        self.answers.lock().insert(path.to_owned(), answer);
    }

    fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().insert(path.to_owned(), answer);
    }
}

struct Bench {
    server: Server,
    store: TestStore,
    manager: Manager,
    metrics: Metrics,
}

impl Bench {
    async fn new() -> Bench {
        let store = TestStore::default();
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let options = Options {
            at_once: true,
            ..Options::default()
        };
        Bench {
            server: Server::start().await,
            manager: Manager::new(
                Arc::new(store.clone()),
                metrics.clone(),
                discovery::Metrics::new(&registry),
                options,
            ),
            store,
            metrics,
        }
    }

    /// A job of one target at a path of the server, with an instance label that is the path.
    fn job(&self, name: &str, path: &str, more: &str) -> ScrapeConfig {
        self.load(&format!(
            "job_name: {name}\nmetrics_path: {path}\nscrape_interval: 100ms\nscrape_timeout: 80ms\nstatic_configs:\n- targets: ['{}']\n  labels: {{instance: '{path}'}}\n{more}",
            self.server.address
        ))
    }

    fn load(&self, yaml: &str) -> ScrapeConfig {
        let mut config: ScrapeConfig = yaml_config::from_str(yaml).unwrap();
        config.validate(&Defaults::default()).unwrap();
        config
    }

    fn target(&self, job: &str) -> Option<crate::TargetSnapshot> {
        let pools = self.manager.targets();
        let pool = pools.into_iter().find(|pool| pool.name == job)?;
        pool.active.into_iter().next()
    }

    fn values(&self, series: &str) -> Vec<f64> {
        self.store.values(series)
    }
}

/// Waits for a condition, for a while at most.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    bounded(what, wait).await;
}

async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"))
}

#[tokio::test]
async fn good_and_bad_targets_beside_each_other() {
    let mut bench = Bench::new().await;
    bench.server.page("/good", "a 1\n");
    bench.server.page("/garbage", "a 1\n<html>\n");
    bench.server.answer("/hanging", None);
    bench.server.page("/huge", &"a 1\n".repeat(100_000));
    let html = "200 OK\r\nContent-Type: text/html".to_owned();
    bench
        .server
        .answer("/html", Some((html, b"a 1\n".to_vec())));
    let jobs = vec![
        bench.job("good", "/good", ""),
        bench.job("garbage", "/garbage", ""),
        bench.job("hanging", "/hanging", ""),
        bench.job("huge", "/huge", "body_size_limit: 1KB\nextra_scrape_metrics: true\n"),
        bench.job("missing", "/missing", ""),
        bench.job("html", "/html", ""),
        bench.load("job_name: refused\nscrape_interval: 100ms\nscrape_timeout: 80ms\nstatic_configs:\n- targets: ['127.0.0.1:1']\n"),
    ];
    bench.manager.apply(jobs).unwrap();
    let up = |job: &str, path: &str| format!("up{{instance=\"{path}\", job=\"{job}\"}}");
    until("the good target", || {
        bench.values(&up("good", "/good")).len() >= 5
    })
    .await;
    assert!(bench.values(&up("good", "/good")).iter().all(|v| *v == 1.0));
    assert_eq!(bench.values("a{instance=\"/good\", job=\"good\"}")[0], 1.0);
    let good = bench.target("good").unwrap();
    assert_eq!(good.health, Health::Up);
    assert_eq!(good.last_error, "");
    assert_eq!(
        good.scrape_url,
        format!("http://{}/good", bench.server.address)
    );
    assert!(good.last_scrape.is_some());
    for (job, path, error) in [
        ("garbage", "/garbage", "expected a valid start token, got \"<\" (\"INVALID\") while parsing: \"<\"".to_owned()),
        ("hanging", "/hanging", format!("Get \"http://{}/hanging\": context deadline exceeded", bench.server.address)),
        ("huge", "/huge", "body size limit exceeded".to_owned()),
        ("missing", "/missing", "server returned HTTP status 404 Not Found".to_owned()),
        ("html", "/html", "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target".to_owned()),
        ("refused", "127.0.0.1:1", "Get \"http://127.0.0.1:1/metrics\": dial tcp 127.0.0.1:1: connect: connection refused".to_owned()),
    ] {
        until(job, || !bench.values(&up(job, path)).is_empty()).await;
        until(job, || bench.target(job).unwrap().health == Health::Down).await;
        assert_eq!(bench.values(&up(job, path))[0], 0.0, "{job}");
        assert_eq!(bench.target(job).unwrap().last_error, error);
    }
    assert!(
        bench
            .values("a{instance=\"/garbage\", job=\"garbage\"}")
            .is_empty()
    );
    assert_eq!(
        bench.values("scrape_samples_scraped{instance=\"/garbage\", job=\"garbage\"}")[0],
        1.0
    );
    assert_eq!(
        bench.values("scrape_body_size_bytes{instance=\"/huge\", job=\"huge\"}")[0],
        -1.0
    );
    assert!(bench.metrics.exceeded_body_size.get() >= 1.0);
    bounded("shutdown", bench.manager.shutdown()).await;
    let commits = bench.store.commits();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(
        bench.store.commits(),
        commits,
        "nothing is written any more"
    );
    assert!(
        !bench.values(&up("good", "/good")).contains(&STALE),
        "no markers at shutdown"
    );
}

#[tokio::test]
async fn requests_look_like_upstreams() {
    let mut bench = Bench::new().await;
    bench.server.page("/m", "a 1\n");
    bench
        .manager
        .apply(vec![bench.job("a", "/m", "params: {x: [y z]}\n")])
        .unwrap();
    until("a request", || !bench.server.requests.lock().is_empty()).await;
    let request = bench.server.requests.lock()[0].to_lowercase();
    for line in [
        "get /m?x=y+z http/1.1\r\n",
        "\r\naccept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
        "\r\naccept-encoding: gzip\r\n",
        "\r\nuser-agent: prometheus/3.14.0\r\n",
        "\r\nx-prometheus-scrape-timeout-seconds: 0.08\r\n",
    ] {
        assert!(request.contains(line), "{line:?} is not in {request:?}");
    }
}

#[tokio::test]
async fn a_target_that_goes_away_ends_its_series() {
    let mut bench = Bench::new().await;
    bench.server.page("/m", "a 1\n");
    bench.manager.apply(vec![bench.job("a", "/m", "")]).unwrap();
    let (a, up) = (
        "a{instance=\"/m\", job=\"a\"}",
        "up{instance=\"/m\", job=\"a\"}",
    );
    until("samples", || bench.values(a).len() >= 2).await;
    bench.manager.apply(Vec::new()).unwrap();
    assert!(bench.manager.targets().is_empty());
    until("stale markers", || bench.values(a).last() == Some(&STALE)).await;
    assert_eq!(bench.values(up).last(), Some(&STALE));
    assert_eq!(bench.values(a).iter().filter(|v| **v == STALE).count(), 1);
}

#[tokio::test]
async fn a_target_that_fails_ends_its_series_but_not_its_reports() {
    let mut bench = Bench::new().await;
    bench.server.page("/m", "a 1\nb 1\n");
    bench.manager.apply(vec![bench.job("a", "/m", "")]).unwrap();
    let (a, up) = (
        "a{instance=\"/m\", job=\"a\"}",
        "up{instance=\"/m\", job=\"a\"}",
    );
    until("samples", || bench.values(a).len() >= 2).await;
    bench.server.answer(
        "/m",
        Some(("500 Internal Server Error".to_owned(), Vec::new())),
    );
    until("a stale marker", || bench.values(a).last() == Some(&STALE)).await;
    until("failures", || {
        bench.values(up).iter().filter(|v| **v == 0.0).count() >= 2
    })
    .await;
    assert_eq!(bench.values(a).iter().filter(|v| **v == STALE).count(), 1);
    bench.server.page("/m", "a 5\n");
    until("it is back", || bench.values(a).last() == Some(&5.0)).await;
}

#[tokio::test]
async fn a_reload_is_a_diff() {
    let mut bench = Bench::new().await;
    bench.server.page("/one", "a 1\n");
    bench.server.page("/two", "a 1\n");
    bench.server.page("/three", "a 1\n");
    let jobs = |bench: &Bench, more: &str| {
        vec![bench.job("one", "/one", ""), bench.job("two", "/two", more)]
    };
    bench.manager.apply(jobs(&bench, "")).unwrap();
    let (one, two) = (
        "a{instance=\"/one\", job=\"one\"}",
        "a{instance=\"/two\", job=\"two\"}",
    );
    until("samples", || {
        bench.values(one).len() >= 2 && bench.values(two).len() >= 2
    })
    .await;
    let lookups = bench.store.lookups();

    // The same again, and settings that say nothing about labels: no series is looked up anew.
    bench.manager.apply(jobs(&bench, "")).unwrap();
    bench
        .manager
        .apply(jobs(&bench, "sample_limit: 0\nenable_compression: false\n"))
        .unwrap();
    let before = bench.values(two).len();
    until("more samples", || bench.values(two).len() >= before + 2).await;
    assert_eq!(bench.store.lookups(), lookups);
    assert!(
        bench
            .server
            .requests
            .lock()
            .last()
            .unwrap()
            .to_lowercase()
            .contains("get /")
    );

    // Other labels: the old series end, the loop goes on.
    let rules = "metric_relabel_configs: [{target_label: new, replacement: label}]\n";
    bench.manager.apply(jobs(&bench, rules)).unwrap();
    let renamed = "a{instance=\"/two\", job=\"two\", new=\"label\"}";
    until("the new series", || bench.values(renamed).len() >= 2).await;
    until("the old one's end", || {
        bench.values(two).last() == Some(&STALE)
    })
    .await;
    assert_eq!(bench.values(one).iter().filter(|v| **v == STALE).count(), 0);

    // Another interval: the same series go on under another loop.
    let slower = format!(
        "{rules}relabel_configs: [{{target_label: __scrape_interval__, replacement: 90ms}}]\n"
    );
    bench.manager.apply(jobs(&bench, &slower)).unwrap();
    until("the new interval", || {
        bench
            .target("two")
            .is_some_and(|t| t.scrape_interval == Duration::from_millis(90))
    })
    .await;
    let before = bench.values(renamed).len();
    until("more samples", || bench.values(renamed).len() >= before + 4).await;
    assert_eq!(
        bench
            .values(renamed)
            .iter()
            .filter(|v| **v == STALE)
            .count(),
        0
    );

    // A job more and one less.
    let config = bench.job("three", "/three", "");
    bench
        .manager
        .apply(vec![bench.job("one", "/one", ""), config])
        .unwrap();
    assert_eq!(bench.manager.pools(), ["one", "three"]);
    until("the third", || {
        bench.values("up{instance=\"/three\", job=\"three\"}").len() >= 2
    })
    .await;
    until("the second's end", || {
        bench.values(renamed).last() == Some(&STALE)
    })
    .await;
    assert_eq!(bench.values(one).iter().filter(|v| **v == STALE).count(), 0);
}

#[tokio::test]
async fn limits_and_dropped_targets() {
    let mut bench = Bench::new().await;
    bench.server.page("/metrics", "a 1\n");
    let yaml = format!(
        "job_name: a\nscrape_interval: 100ms\nscrape_timeout: 80ms\ntarget_limit: 1\nkeep_dropped_targets: 1\nrelabel_configs: [{{source_labels: [__address__], regex: drop.*, action: drop}}]\nstatic_configs: [{{targets: ['{0}']}}, {{targets: ['{0}'], labels: {{x: y}}}}, {{targets: [drop1, drop2]}}]\n",
        bench.server.address
    );
    let config = bench.load(&yaml);
    bench.manager.apply(vec![config]).unwrap();
    until("targets", || bench.manager.targets()[0].active.len() == 2).await;
    let pool = &bench.manager.targets()[0];
    assert_eq!((pool.dropped.len(), pool.dropped_count), (1, 2));
    assert_eq!(pool.dropped[0].discovered_labels.get("job"), "a");
    until("a scrape", || {
        bench.manager.targets()[0].active[0].health == Health::Down
    })
    .await;
    let error = bench.manager.targets()[0].active[0].last_error.clone();
    assert_eq!(
        error,
        "target_limit exceeded (number of targets: 2, limit: 1)"
    );
    assert_eq!(
        bench.server.count.load(Ordering::SeqCst),
        0,
        "nobody is asked"
    );
    let labels = Labels::from([("__address__", "drop3")]);
    let steps = bench.manager.relabel_steps("a", &labels).unwrap();
    assert!(!steps[0].keep);
    assert!(bench.manager.relabel_steps("b", &labels).is_none());
}

#[tokio::test]
async fn targets_from_a_file_come_and_go_without_a_reload() {
    let mut bench = Bench::new().await;
    bench.server.page("/metrics", "a 1\n");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.json");
    std::fs::write(&file, "[]").unwrap();
    let log = dir.path().join("fail.log");
    let yaml = format!(
        "job_name: a\nscrape_interval: 100ms\nscrape_timeout: 80ms\nscrape_failure_log_file: {}\nfile_sd_configs: [{{files: ['{}']}}]\n",
        log.display(),
        file.display()
    );
    let config = bench.load(&yaml);
    bench.manager.apply(vec![config]).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    std::fs::write(
        &file,
        format!(
            "[{{\"targets\": [\"{}\", \"127.0.0.1:1\"]}}]",
            bench.server.address
        ),
    )
    .unwrap();
    let up = format!("up{{instance=\"{}\", job=\"a\"}}", bench.server.address);
    until("the new target", || bench.values(&up).len() >= 2).await;
    until("the log", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains('\n'))
    })
    .await;
    let line = std::fs::read_to_string(&log).unwrap();
    assert!(
        line.contains("\"job_name\":\"a\",\"target\":\"http://127.0.0.1:1/metrics\""),
        "{line}"
    );
    std::fs::write(&file, "[]").unwrap();
    until("its end", || bench.values(&up).last() == Some(&STALE)).await;
}

#[tokio::test]
async fn a_job_that_cannot_be_built_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.server.page("/m", "a 1\n");
    bench.manager.apply(vec![bench.job("a", "/m", "")]).unwrap();
    let bad = bench.job("b", "/m", "tls_config: {ca_file: /nonexistent/ca.pem}\n");
    let error = bench.manager.apply(vec![bad]).unwrap_err();
    assert!(
        error.starts_with("error creating new scrape pool b: "),
        "{error}"
    );
    assert_eq!(bench.manager.pools(), ["a"]);
    let up = "up{instance=\"/m\", job=\"a\"}";
    until("it runs on", || bench.values(up).len() >= 2).await;
}

#[tokio::test]
async fn gzip_and_large_pages() {
    use std::io::Write as _;
    let mut bench = Bench::new().await;
    let mut page = String::new();
    for i in 0..2_500 {
        let long = "x".repeat(100);
        page.push_str(&format!(
            "metric_name{{series=\"{i}\",long=\"{long}\"}} {i}\n"
        ));
    }
    assert!(page.len() > 256 << 10, "large enough for another thread");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(page.as_bytes()).unwrap();
    let head = "200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip".to_owned();
    bench
        .server
        .answer("/m", Some((head, encoder.finish().unwrap())));
    let config = bench.load(&format!(
        "job_name: a\nmetrics_path: /m\nscrape_interval: 10s\nscrape_timeout: 10s\nstatic_configs: [{{targets: ['{}']}}]\n",
        bench.server.address
    ));
    bench.manager.apply(vec![config]).unwrap();
    let scraped = format!(
        "scrape_samples_scraped{{instance=\"{}\", job=\"a\"}}",
        bench.server.address
    );
    until("a scrape", || bench.store.commits() > 0).await;
    assert_eq!(bench.values(&scraped), [2_500.0]);
}
