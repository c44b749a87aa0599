//! What bounds a query of scraper-store: time, samples, places, and the patience of its client; and the
//! log that tells of each.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e2e::{Process, Stack, free_port, part, wait_for};
use serde_json::Value;

/// Takes a minute if nobody stops it (each window is gone through twice), and few samples.
const LONG: &str =
    "stddev_over_time(vector(time())[100h:10s])%2Bstdvar_over_time(vector(time())[100h:10s])";
const LONG_RANGE: &str = "start=1700000000&end=1700010999&step=1";

struct Store {
    process: Process,
    address: String,
    dir: tempfile::TempDir,
}

impl Store {
    fn start() -> Store {
        let program = part::build(&["scraper-store"]).join("scraper-store");
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let config = dir.path().join("prometheus.yml");
        let text = "global:\n  evaluation_interval: 20s\n  query_log_file: queries.log\n";
        std::fs::write(&config, text).expect("the folder can be written");
        let address = format!("127.0.0.1:{}", free_port());
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={address}"),
            format!("--grpc-address=127.0.0.1:{}", free_port()),
            "--query.max-concurrency=1".to_owned(),
            "--query.max-samples=200000".to_owned(),
            "--enable-feature=promql-per-step-stats".to_owned(),
        ];
        let process = Process::start("scraper-store", &program, &args, dir.path());
        Stack::wait_ready("scraper-store", &format!("http://{address}"));
        Store {
            process,
            address,
            dir,
        }
    }

    fn get(&self, path: &str) -> (u16, String) {
        e2e::get(&format!("http://{}{path}", self.address)).expect("the server answers")
    }

    fn query(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(&format!("/api/v1/{path}"));
        let answer = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        (status, answer)
    }

    /// How many queries run or wait.
    fn queries(&self) -> f64 {
        let (_, page) = self.get("/metrics");
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("prometheus_engine_queries "));
        line.and_then(|n| n.parse().ok())
            .expect("the page has the metric")
    }

    fn logged(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("queries.log")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}

#[test]
fn a_query_ends_where_it_has_to() {
    let mut store = Store::start();

    // Time: the client's, as the server's is longer.
    let began = Instant::now();
    let (status, answer) = store.query(&format!(
        "query_range?query={LONG}&{LONG_RANGE}&timeout=300ms"
    ));
    assert_eq!(
        (status, &answer["errorType"]),
        (503, &"timeout".into()),
        "{answer}"
    );
    assert_eq!(answer["error"], "query timed out in expression evaluation");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "it went on for {:?}",
        began.elapsed()
    );

    // Samples.
    let (status, answer) = store.query("query?query=sum_over_time(vector(1)[100h:1s])");
    assert_eq!(
        (status, &answer["errorType"]),
        (422, &"execution".into()),
        "{answer}"
    );
    let text = "query processing would load too many samples into memory in query execution";
    assert_eq!(answer["error"], text);

    // A client that hangs up: its query ends, long before its time.
    let mut client = TcpStream::connect(&store.address).expect("the server listens");
    let request =
        format!("GET /api/v1/query_range?query={LONG}&{LONG_RANGE} HTTP/1.1\r\nHost: x\r\n\r\n");
    client
        .write_all(request.as_bytes())
        .expect("the server reads");
    wait_for("the query runs", Duration::from_secs(10), || {
        (store.queries() == 1.0).then_some(())
    });
    drop(client);
    wait_for("the query ends", Duration::from_secs(10), || {
        (store.queries() == 0.0).then_some(())
    });

    // Places: there is one, and the second query waits for it.
    std::thread::scope(|scope| {
        let first = scope
            .spawn(|| store.query(&format!("query_range?query={LONG}&{LONG_RANGE}&timeout=2s")));
        wait_for("the first runs", Duration::from_secs(10), || {
            (store.queries() >= 1.0).then_some(())
        });
        let (status, answer) = store.query("query?query=1&stats=all");
        assert_eq!(status, 200, "{answer}");
        let waited = answer["data"]["stats"]["timings"]["execQueueTime"].as_f64();
        assert!(waited > Some(0.2), "it waited {waited:?} s");
        assert_eq!(first.join().expect("no panic").0, 503);
    });

    // Statistics, by step where the server has that on; a subquery takes the configured interval.
    let (_, answer) =
        store.query("query?query=count_over_time(vector(1)[1m:])&time=1700000000&stats=all");
    assert_eq!(answer["data"]["result"][0]["value"][1], "3", "{answer}");
    let samples = &answer["data"]["stats"]["samples"];
    assert_eq!(samples["totalQueryableSamples"], 3);
    assert!(samples["peakSamples"].as_u64() >= Some(3), "{samples}");
    assert_eq!(
        samples["totalQueryableSamplesPerStep"],
        serde_json::json!([[1_700_000_000, 3]])
    );

    // The log: a line for each, with its outcome and who asked.
    let logged = store.logged();
    let errors: Vec<&str> = logged
        .iter()
        .map(|line| line["error"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        errors,
        [
            "query timed out in expression evaluation",
            text,
            "query was canceled in expression evaluation",
            "query timed out in expression evaluation",
            "",
            "",
        ]
    );
    let last = &logged[5];
    assert_eq!(last["params"]["query"], "count_over_time(vector(1)[1m:])");
    assert_eq!(last["params"]["start"], "2023-11-14T22:13:20.000Z");
    assert_eq!(last["httpRequest"]["clientIP"], "127.0.0.1");
    assert_eq!(last["httpRequest"]["path"], "/api/v1/query");
    assert_eq!(last["stats"]["samples"]["totalQueryableSamples"], 3);
    store.process.stop();
}
