//! Random queries to the real Prometheus and to scraper-store on the same random data: every answer,
//! warning, info and error the same.
//!
//! A difference is replayed with the two numbers it is printed with:
//!
//!     PROMQL_RANDOM_SEED=7 PROMQL_RANDOM_ONLY=123 cargo test -p e2e --test promql_random -- --nocapture
//!
//! A longer run: `PROMQL_RANDOM_QUERIES=5000 PROMQL_RANDOM_SEEDS=10` asks 5,000 queries each of ten
//! seeds; `SCRAPER_STORE` names another build of the program, such as a release build, `PROMETHEUS`
//! another reference than the peer, and `PROMQL_RANDOM_HOLD=600` leaves both servers running for ten
//! minutes to be asked by hand.

mod answers;
mod data;
mod generate;
mod random;
mod selectors;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use e2e::{Process, Stack, free_port, part};
use generate::{Query, Times};
use serde_json::Value;

/// Differences that are printed; the others are only counted.
const PRINTED: usize = 40;
/// How often Prometheus is asked again for an answer that varies.
const ASKED_AGAIN: usize = 30;
/// With as many different answers there are more than are seen.
const MANY: usize = 3;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

#[test]
fn random_queries_have_prometheus_answers() {
    let prometheus = match std::env::var_os("PROMETHEUS") {
        Some(path) => PathBuf::from(path),
        None => match part::peer("prometheus") {
            Some(path) => path,
            None => return,
        },
    };
    let ours = match std::env::var_os("SCRAPER_STORE") {
        Some(path) => PathBuf::from(path),
        None => part::build(&["scraper-store"]).join("scraper-store"),
    };
    let first = setting("PROMQL_RANDOM_SEED", 1);
    let queries = setting("PROMQL_RANDOM_QUERIES", 1_500);
    let only = std::env::var_os("PROMQL_RANDOM_ONLY").map(|_| setting("PROMQL_RANDOM_ONLY", 0));
    let mut different = 0;
    for seed in first..first + setting("PROMQL_RANDOM_SEEDS", 1) {
        let pair = Pair::start(&prometheus, &ours, seed);
        let numbers = match only {
            Some(n) => n..n + 1,
            None => 0..queries,
        };
        different += pair.compare(seed, numbers, only.is_some());
        if let hold @ 1.. = setting("PROMQL_RANDOM_HOLD", 0) {
            println!("Prometheus: {}   ours: {}", pair.reference, pair.ours);
            std::thread::sleep(Duration::from_secs(hold));
        }
    }
    assert_eq!(different, 0, "answers differ");
}

/// Both servers with the same data.
struct Pair {
    reference: String,
    ours: String,
    /// The reference has all that 3.14 has.
    newer: bool,
    _processes: [Process; 2],
    _dir: tempfile::TempDir,
}

impl Pair {
    fn start(prometheus: &std::path::Path, ours: &std::path::Path, seed: u64) -> Pair {
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").expect("the folder can be written");
        let start = |name: &str, program: &std::path::Path, features: &str, more: &[String]| {
            let address = format!("127.0.0.1:{}", free_port());
            let mut args = vec![
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", dir.path().join(name).display()),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".to_owned(),
                format!("--enable-feature={features}"),
            ];
            args.extend_from_slice(more);
            let process = Process::start(name, program, &args, dir.path());
            (process, format!("http://{address}"))
        };
        let mut newer = "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers,promql-per-step-stats".to_owned();
        if generate::names_drop_late(seed) {
            newer += ",promql-delayed-name-removal";
        }
        let features = format!("{newer},promql-duration-expr,native-histograms");
        let (first, reference) = start("prometheus", prometheus, &features, &[]);
        let grpc = format!("--grpc-address=127.0.0.1:{}", free_port());
        let (second, ours) = start("scraper-store", ours, &newer, &[grpc]);
        Stack::wait_ready("prometheus", &reference);
        let knows_step = e2e::query(&reference, "step()").is_some();
        let pair = Pair {
            newer: knows_step,
            reference,
            ours,
            _processes: [first, second],
            _dir: dir,
        };
        let headers = [
            ("Content-Encoding", "snappy"),
            ("Content-Type", "application/x-protobuf"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ];
        for url in [&pair.reference, &pair.ours] {
            Stack::wait_ready(url, url);
            for request in data::requests(seed) {
                let answer = e2e::post(&format!("{url}/api/v1/write"), &headers, &request);
                let (status, body) = answer.expect("the server answers");
                assert!(status < 300, "{url} refuses the data: {status} {body}");
            }
        }
        pair
    }

    /// Asks both; returns how many answers differ.
    fn compare(&self, seed: u64, numbers: std::ops::Range<u64>, verbose: bool) -> usize {
        let next = AtomicU64::new(numbers.start);
        let different = Mutex::new(0);
        let failed = AtomicU64::new(0);
        let empty = AtomicU64::new(0);
        let varied = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let agent = agent();
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= numbers.end {
                            break;
                        }
                        let query = generate::query(seed, n, self.newer);
                        let a = ask(&agent, &self.reference, &query);
                        let b = ask(&agent, &self.ours, &query);
                        if verbose {
                            println!("{}\nPrometheus: {a}\nours:       {b}", describe(&query));
                        }
                        if a["status"] == "error" {
                            failed.fetch_add(1, Ordering::Relaxed);
                        } else if a["data"]["result"].as_array().is_some_and(Vec::is_empty) {
                            empty.fetch_add(1, Ordering::Relaxed);
                        }
                        // Equal series in an instant query: 3.14.0 tells of them at the end, if names
                        // drop there.
                        let late = generate::names_drop_late(seed)
                            && a["status"] == "success"
                            && b["error"] == "vector cannot contain metrics with the same labelset";
                        if late {
                            continue;
                        }
                        let tree = || self.tree_differs(&agent, n, &query);
                        let difference = answers::difference(&a, &b, &query.text, self.newer);
                        let Some(difference) = difference.or_else(tree) else {
                            continue;
                        };
                        // Where Prometheus goes through a Go map its own answers vary, such as which
                        // of equal values is among the top: ours has to be one of them. Of many
                        // ours may be one that was not seen; it has as many series as another, unless each
                        // answer is another.
                        let mut others = vec![a];
                        let one_of_them = (0..ASKED_AGAIN).any(|_| {
                            let again = ask(&agent, &self.reference, &query);
                            let found = answers::difference(&again, &b, &query.text, self.newer).is_none();
                            let known = |other| answers::difference(other, &again, &query.text, self.newer).is_none();
                            if !others.iter().any(known) {
                                others.push(again);
                            }
                            found
                        });
                        let series = |answer: &Value| answer["data"]["result"].as_array().map(Vec::len);
                        let another = others.len() > ASKED_AGAIN / 2
                            || others.len() >= MANY
                                && others.iter().any(|other| series(other) == series(&b));
                        if one_of_them || another {
                            varied.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        let difference = format!("{difference}\n  ({} answers of Prometheus)", others.len());
                        let mut count = different.lock().expect("no thread panics with the lock");
                        *count += 1;
                        if *count <= PRINTED {
                            println!(
                                "PROMQL_RANDOM_SEED={seed} PROMQL_RANDOM_ONLY={n}\n  {}\n  {difference}",
                                describe(&query)
                            );
                        }
                    }
                });
            }
        });
        let different = different
            .into_inner()
            .expect("no thread panics with the lock");
        println!(
            "seed {seed}: {} queries, {failed:?} are errors, {empty:?} have no result, {varied:?} vary, {different} differ",
            numbers.end - numbers.start,
        );
        different
    }
}

impl Pair {
    /// What differs in how one query of ten is written out and in the tree that it is read into.
    fn tree_differs(&self, agent: &ureq::Agent, n: u64, query: &Query) -> Option<String> {
        if !self.newer || !n.is_multiple_of(10) {
            return None;
        }
        ["format_query", "parse_query"]
            .into_iter()
            .find_map(|path| {
                let form = || vec![("query", query.text.clone())];
                let a = post(agent, &self.reference, path, form());
                let b = post(agent, &self.ours, path, form());
                // JSON has no infinity, which a fill value may be; ours writes it as text.
                let unwritable = a
                    .as_str()
                    .is_some_and(|text| text.contains("unsupported value"));
                let known = unwritable || answers::has_wrapped_literal(&query.text);
                (a != b && !known).then(|| format!("{path}: {a}\n     and {b}"))
            })
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(60)))
        .http_status_as_error(false)
        .build()
        .into()
}

fn seconds(ms: i64) -> String {
    format!("{:.3}", ms as f64 / 1000.0)
}

fn ask(agent: &ureq::Agent, server: &str, query: &Query) -> Value {
    let mut form = vec![("query", query.text.clone())];
    let path = match query.times {
        Times::Instant(t) => {
            form.push(("time", seconds(t)));
            "query"
        }
        Times::Range {
            start_ms,
            end_ms,
            step_ms,
        } => {
            form.push(("start", seconds(start_ms)));
            form.push(("end", seconds(end_ms)));
            form.push(("step", seconds(step_ms)));
            "query_range"
        }
    };
    form.extend(query.more.iter().cloned());
    post(agent, server, path, form)
}

fn post(agent: &ureq::Agent, server: &str, path: &str, form: Vec<(&str, String)>) -> Value {
    let asked = format!("{form:?}");
    let mut response = agent
        .post(format!("{server}/api/v1/{path}"))
        .send_form(form)
        .unwrap_or_else(|e| panic!("{server} does not answer {asked}: {e}"));
    let body = response
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_to_string()
        .expect("the answer is text");
    // Prometheus says in plain text that it cannot write an answer out.
    serde_json::from_str(&body).unwrap_or(Value::String(body))
}

fn describe(query: &Query) -> String {
    let times = match query.times {
        Times::Instant(t) => format!("at {}", seconds(t)),
        Times::Range {
            start_ms,
            end_ms,
            step_ms,
        } => format!(
            "from {} to {} step {}",
            seconds(start_ms),
            seconds(end_ms),
            seconds(step_ms)
        ),
    };
    format!("{}    {times} {:?}", query.text, query.more)
}
