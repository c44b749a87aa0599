//! A tour of all endpoints of the real Prometheus and of scraper-store with the same data: status, the headers
//! that matter and every byte of the body are the same, apart from what `differences.txt` lists.
//!
//! `PROMETHEUS` names another reference than the peer, `SCRAPER_STORE` another build of ours, and
//! `API_TOUR_HOLD=600` leaves both running for ten minutes to be asked by hand.

mod data;
mod mask;
mod wire;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{Process, Stack, free_port, part, wait_for};
use mask::{Differences, masked};

const TOUR: &str = include_str!("tour.txt");
const DIFFERENCES: &str = include_str!("differences.txt");

/// Headers that are compared.
const HEADERS: [&str; 10] = [
    "content-type",
    "content-encoding",
    "allow",
    "location",
    "vary",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
];

const RULES: &str = r#"groups:
- name: first
  interval: 1s
  labels: {team: a}
  rules:
  - record: job:requests:sum
    expr: sum by (job) (http_requests_total)
    labels: {kind: rec}
  - alert: Always
    expr: vector(1) > 0
    labels: {severity: page}
    annotations: {summary: 'Value {{ $value }} <&>'}
- name: second
  interval: 1s
  limit: 7
  rules:
  - alert: Waits
    expr: sum by (job) (http_requests_total) >= 0
    for: 1h
    keep_firing_for: 5m
  - alert: Never
    expr: vector(1) > 2
"#;

fn config(page: &str, dead: &str) -> String {
    format!(
        r#"global:
  scrape_interval: 1s
  external_labels: {{zone: eu, "with.dot": x}}
rule_files: [rules.yml]
scrape_configs:
- job_name: page
  static_configs:
  - targets: ['{page}']
    labels: {{env: "te\"st"}}
  relabel_configs:
  - source_labels: [__address__]
    target_label: address
    regex: (.+):\d+
- job_name: dead
  metrics_path: /down
  params: {{a: [b, c]}}
  static_configs: [{{targets: ['{dead}', 'dropped:1']}}]
  relabel_configs:
  - source_labels: [__address__]
    regex: dropped:.*
    action: drop
"#
    )
}

struct Server {
    address: String,
    processes: Vec<Process>,
}

fn start(name: &str, program: &Path, dir: &Path, flags: &[String]) -> Server {
    let address = format!("127.0.0.1:{}", free_port());
    let mut args = vec![
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", dir.join(name).display()),
        format!("--web.listen-address={address}"),
        "--web.external-url=http://prom.example:9090/".to_owned(),
        "--web.enable-remote-write-receiver".to_owned(),
        "--web.enable-admin-api".to_owned(),
        "--web.enable-lifecycle".to_owned(),
        "--query.max-samples=20000".to_owned(),
    ];
    args.extend_from_slice(flags);
    let process = Process::start(name, program, &args, dir);
    Server {
        address,
        processes: vec![process],
    }
}

#[test]
fn all_endpoints_answer_as_prometheus() {
    let reference = match std::env::var_os("PROMETHEUS") {
        Some(path) => PathBuf::from(path),
        None => match part::peer("prometheus") {
            Some(path) => path,
            None => return,
        },
    };
    let built = part::build(&["scraper-store", "rule-evaluator"]);
    let ours = std::env::var_os("SCRAPER_STORE")
        .map_or_else(|| built.join("scraper-store"), PathBuf::from);
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let page = data::serve_page();
    let dead = format!("127.0.0.1:{}", free_port());
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("the folder can be written");
    };
    write("prometheus.yml", &config(&page, &dead));
    write("rules.yml", RULES);

    let features = "--enable-feature=exemplar-storage,promql-experimental-functions";
    let native = format!("{features},native-histograms");
    let theirs = start("prometheus", &reference, dir.path(), &[native]);
    let rules_grpc = format!("127.0.0.1:{}", free_port());
    let store_grpc = format!("127.0.0.1:{}", free_port());
    let flags = [
        features.to_owned(),
        format!("--grpc-address={store_grpc}"),
        format!("--rule-evaluator.grpc-address={rules_grpc}"),
    ];
    let mut ours = start("scraper-store", &ours, dir.path(), &flags);
    let rules_address = format!("127.0.0.1:{}", free_port());
    let evaluator = [
        format!(
            "--config.file={}",
            dir.path().join("prometheus.yml").display()
        ),
        format!("--web.listen-address={rules_address}"),
        format!("--grpc-address={rules_grpc}"),
        format!("--query.grpc-address={store_grpc}"),
        "--web.external-url=http://prom.example:9090/".to_owned(),
    ];
    ours.processes.push(Process::start(
        "rule-evaluator",
        &built.join("rule-evaluator"),
        &evaluator,
        dir.path(),
    ));
    for server in [&theirs, &ours] {
        Stack::wait_ready(&server.address, &format!("http://{}", server.address));
    }

    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs() as i64;
    let request = data::request(now_s * 1000);
    for server in [&theirs, &ours] {
        let headers = [
            ("Content-Encoding".to_owned(), "snappy".to_owned()),
            (
                "Content-Type".to_owned(),
                "application/x-protobuf".to_owned(),
            ),
        ];
        let answer = wire::ask(
            &server.address,
            "POST",
            "/api/v1/write",
            &headers,
            Some(&request),
        );
        let answer = answer.expect("the server answers");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(
            answer.status, 204,
            "{} refuses the data: {body}",
            server.address
        );
    }
    for server in [&theirs, &ours] {
        settle(server);
    }
    let old = wire::ask(
        &theirs.address,
        "GET",
        "/api/v1/status/buildinfo",
        &[],
        None,
    )
    .is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains("\"version\":\"3.5"));
    let differences = Differences::parse(DIFFERENCES, old);
    let (mut asked, mut different) = (0, 0);
    for line in TOUR
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        asked += 1;
        let step = Step::parse(line, now_s);
        if let Some(difference) = step.compare(&theirs, &ours, &differences) {
            different += 1;
            println!("{line}\n{difference}");
        }
    }
    if let Ok(hold) = std::env::var("API_TOUR_HOLD") {
        println!("Prometheus: {}   ours: {}", theirs.address, ours.address);
        std::thread::sleep(Duration::from_secs(
            hold.parse().expect("API_TOUR_HOLD is seconds"),
        ));
    }
    println!("{asked} requests, {different} answers differ");
    assert_eq!(different, 0, "answers differ");
}

/// Waits until targets have been scraped and rules evaluated.
fn settle(server: &Server) {
    let text = |path: &str| {
        let answer = wire::ask(&server.address, "GET", path, &[], None).ok()?;
        String::from_utf8(answer.body).ok()
    };
    wait_for("both targets are scraped", Duration::from_secs(60), || {
        let targets = text("/api/v1/targets")?;
        (targets.contains("\"health\":\"up\"") && targets.contains("\"health\":\"down\""))
            .then_some(())
    });
    wait_for("rules are evaluated", Duration::from_secs(60), || {
        let rules = text("/api/v1/rules")?;
        let settled = rules.contains("\"state\":\"firing\"")
            && rules.contains("\"state\":\"pending\"")
            && !rules.contains("\"health\":\"unknown\"");
        settled.then_some(())
    });
    wait_for(
        "recorded series can be queried",
        Duration::from_secs(60),
        || {
            text("/api/v1/query?query=job:requests:sum")?
                .contains("rec")
                .then_some(())
        },
    );
}

/// A request of the tour: `METHOD target`, then ` ^Name: value` for each header and ` -- body`. `{t}`, `{t-60}`
/// are seconds around the end of the data.
struct Step {
    /// The target as it stands in the tour.
    line: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Step {
    fn parse(line: &str, now_s: i64) -> Step {
        let written = line
            .split_once(' ')
            .map_or("", |(_, target)| target)
            .to_owned();
        let line = with_times(line, now_s);
        let (rest, body) = match line.split_once(" -- ") {
            Some((rest, body)) => (rest, Some(body)),
            None => (line.as_str(), None),
        };
        let mut parts = rest.split(" ^");
        let request = parts.next().unwrap_or_default();
        let (method, target) = request
            .split_once(' ')
            .expect("a step has a method and a target");
        let mut headers: Vec<(String, String)> = parts
            .map(|header| {
                let (name, value) = header.split_once(": ").expect("a header has a value");
                (name.to_owned(), value.to_owned())
            })
            .collect();
        if body.is_some() && !headers.iter().any(|(name, _)| name == "Content-Type") {
            headers.push((
                "Content-Type".to_owned(),
                "application/x-www-form-urlencoded".to_owned(),
            ));
        }
        Step {
            line: written,
            method: method.to_owned(),
            // As browsers and libraries send them.
            target: target
                .replace('"', "%22")
                .replace('<', "%3C")
                .replace('>', "%3E"),
            headers,
            body: body.map(|body| body.replace("\\x00", "\0").into_bytes()),
        }
    }

    fn ask(&self, server: &Server) -> wire::Response {
        let body = self.body.as_deref();
        wire::ask(
            &server.address,
            &self.method,
            &self.target,
            &self.headers,
            body,
        )
        .unwrap_or_else(|e| panic!("{} {}: {e}", self.method, self.target))
    }

    /// What differs, if anything does.
    fn compare(&self, theirs: &Server, ours: &Server, differences: &Differences) -> Option<String> {
        let known: Vec<&str> = differences.of(&self.line).collect();
        if known.contains(&"all") {
            return None;
        }
        let (a, b) = (self.ask(theirs), self.ask(ours));
        let mut out = String::new();
        if a.status != b.status {
            let _ = writeln!(out, "  status: {} ours: {}", a.status, b.status);
        }
        for name in HEADERS
            .iter()
            .filter(|name| !known.contains(&format!("header:{name}").as_str()))
        {
            let (a, b) = (a.headers.get(*name), b.headers.get(*name));
            if a != b {
                let _ = writeln!(out, "  {name}: {a:?} ours: {b:?}");
            }
        }
        if !known.contains(&"body") {
            let more = known.iter().filter_map(|part| part.strip_prefix("more:"));
            let more: Vec<String> = more
                .flat_map(|member| mask::only_in_second(&a.body, &b.body, member))
                .collect();
            let known: Vec<&str> = known
                .iter()
                .copied()
                .chain(more.iter().map(String::as_str))
                .collect();
            let [a, b] = [(&a, theirs), (&b, ours)].map(|(answer, server)| {
                let text = String::from_utf8_lossy(&answer.body);
                // Which of the two it is.
                let text = text.replace(&server.address, "{address}");
                if answer
                    .headers
                    .get("content-type")
                    .is_some_and(|t| t == "application/json")
                {
                    masked(&text, &known)
                } else {
                    text
                }
            });
            if a != b {
                let _ = writeln!(
                    out,
                    "  body: {}\n  ours: {}",
                    excerpt(&a, &b),
                    excerpt(&b, &a)
                );
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

/// The part of `text` around the first byte in which it is not as `other`.
fn excerpt(text: &str, other: &str) -> String {
    let differs = text.bytes().zip(other.bytes()).position(|(a, b)| a != b);
    let at = differs.unwrap_or(text.len().min(other.len()));
    let bytes = text.as_bytes();
    let part = &bytes[at.saturating_sub(150).min(bytes.len())..(at + 350).min(bytes.len())];
    format!("[{at}] {}", String::from_utf8_lossy(part))
}

fn with_times(line: &str, now_s: i64) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{t") {
        out.push_str(before);
        let (offset, after) = after.split_once('}').expect("a time ends with a brace");
        let offset: i64 = if offset.is_empty() {
            0
        } else {
            offset.parse().expect("an offset is a number")
        };
        let _ = write!(out, "{}", now_s + offset);
        rest = after;
    }
    out + rest
}
