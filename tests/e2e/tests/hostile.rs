//! Hostile targets and hostile clients: limits hold, memory stays bounded, errors say what it was, and the others
//! do not notice.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use e2e::{Process, Stack, free_port, get_json, part, query, wait_for};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
/// More than a small store takes, less than what it is sent.
const MEMORY_BYTES: u64 = 600 << 20;

struct Store {
    process: Process,
    address: String,
    _dir: tempfile::TempDir,
}

impl Store {
    fn start(config: &str, flags: &[&str]) -> Store {
        let program = part::build(&["scraper-store"]).join("scraper-store");
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let path = dir.path().join("prometheus.yml");
        std::fs::write(&path, config).expect("the folder can be written");
        let address = format!("127.0.0.1:{}", free_port());
        let mut args = vec![
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={address}"),
            format!("--grpc-address=127.0.0.1:{}", free_port()),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let process = Process::start("scraper-store", &program, &args, dir.path());
        Stack::wait_ready("scraper-store", &format!("http://{address}"));
        Store {
            process,
            address,
            _dir: dir,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The most memory that it ever had.
    fn peak_bytes(&self) -> u64 {
        let id = self.process.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().split(' ').next()?.parse::<u64>().ok());
        kib.expect("Linux tells") * 1024
    }

    fn assert_bounded(&self) {
        let peak = self.peak_bytes();
        assert!(peak < MEMORY_BYTES, "it had {} MiB", peak >> 20);
    }

    /// Sends bytes and gives what comes back, up to the end or the first silence.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("sockets have timeouts");
        // The server may have answered and closed before all was sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Serves every connection with `answer` on a thread of its own; gives the address.
fn target(answer: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address.to_string()
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
}

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n";

fn good(mut stream: TcpStream) {
    read_head(&mut stream);
    let _ = stream.write_all(HEAD);
    let _ = stream.write_all(b"good_total 1\n");
}

fn hangs(mut stream: TcpStream) {
    read_head(&mut stream);
    // Until the scraper gives up.
    let _ = stream.read(&mut [0]);
}

fn hangs_midway(mut stream: TcpStream) {
    read_head(&mut stream);
    let _ = stream.write_all(HEAD);
    let _ = stream.write_all(b"a 1\nb ");
    let _ = stream.read(&mut [0]);
}

fn garbage(mut stream: TcpStream) {
    read_head(&mut stream);
    let mut bytes = Vec::new();
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let _ = stream.write_all(HEAD);
    let _ = stream.write_all(&bytes);
}

fn no_http(mut stream: TcpStream) {
    read_head(&mut stream);
    let _ = stream.write_all(b"\x16\x03\x01 this is no HTTP at all\n");
}

/// A GiB of one comment line after the other.
fn a_gibibyte(mut stream: TcpStream) {
    read_head(&mut stream);
    let _ = stream.write_all(HEAD);
    let line = [b"# ", [b'x'; 65_533].as_slice(), b"\n"].concat();
    for _ in 0..(1 << 30) / line.len() {
        if stream.write_all(&line).is_err() {
            return;
        }
    }
}

fn series(mut stream: TcpStream, thousands: u32) {
    read_head(&mut stream);
    let _ = stream.write_all(HEAD);
    for block in 0..thousands {
        let mut text = String::new();
        for i in 0..1_000 {
            text.push_str(&format!("m{{a=\"{block}\",b=\"{i}\"}} 1\n"));
        }
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Ten million series: more than can be read before the scrape's time is over.
fn ten_million(stream: TcpStream) {
    series(stream, 10_000);
}

/// As many as can be.
fn ten_thousand(stream: TcpStream) {
    series(stream, 10);
}

/// A job: its name, what its target answers, its limits, and what the error of its scrapes has to say.
type Hostile = (&'static str, fn(TcpStream), &'static str, &'static str);

#[test]
fn hostile_targets_do_not_disturb_the_others() {
    let mut config =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    let jobs: [Hostile; 8] = [
        ("good", good, "", ""),
        ("hangs", hangs, "", "context deadline exceeded"),
        (
            "hangs_midway",
            hangs_midway,
            "",
            "context deadline exceeded",
        ),
        ("garbage", garbage, "", "expected"),
        ("no_http", no_http, "", "invalid HTTP"),
        (
            "gibibyte",
            a_gibibyte,
            "body_size_limit: 1MB",
            "body size limit exceeded",
        ),
        (
            "many",
            ten_thousand,
            "sample_limit: 1000",
            "sample limit exceeded",
        ),
        (
            "both",
            ten_million,
            "body_size_limit: 1MB, sample_limit: 1000000",
            "body size limit exceeded",
        ),
    ];
    for (name, answer, limits, _) in jobs {
        let address = target(answer);
        let comma = if limits.is_empty() { "" } else { ", " };
        config.push_str(&format!(
            "- {{job_name: {name}{comma}{limits}, static_configs: [{{targets: ['{address}']}}]}}\n"
        ));
    }
    let store = Store::start(&config, &[]);
    let url = store.url();
    wait_for("thirty scrapes of the good one", LIMIT, || {
        let found = query(&url, "count_over_time(up{job=\"good\"}[5m])")?;
        let count: u32 = found.first()?["value"][1].as_str()?.parse().ok()?;
        (count >= 30).then_some(())
    });
    let one = |expr: &str| -> Value {
        let found = query(&url, expr).expect("the server answers");
        found
            .first()
            .map_or(Value::Null, |series| series["value"][1].clone())
    };
    assert_eq!(one("min_over_time(up{job=\"good\"}[5m])"), "1");
    assert_eq!(one("sum(up)"), "1");
    assert_eq!(
        one("count({__name__=~\"a|b|m\"})"),
        Value::Null,
        "nothing of them is kept"
    );
    for (name, _, _, error) in jobs.into_iter().skip(1) {
        wait_for(&format!("{name}: {error}"), LIMIT, || {
            let path = format!("{url}/api/v1/targets?state=active&scrapePool={name}");
            let targets = get_json(&path)?;
            let told = targets["data"]["activeTargets"][0]["lastError"]
                .as_str()?
                .to_owned();
            told.contains(error).then_some(())
        });
    }
    store.assert_bounded();
}

#[test]
fn hostile_requests_are_refused() {
    let store = Store::start("global: {}\n", &["--web.enable-remote-write-receiver"]);
    let get = |path: &str| e2e::get(&format!("{}{path}", store.url())).expect("the server answers");

    // Regular expressions that nest, or grow.
    let deep = format!("{}a{}", "(".repeat(2_000), ")".repeat(2_000));
    for regex in [
        deep.as_str(),
        "((a{1000}){1000}){1000}",
        "(((((a*)*)*)*)*)*(",
        "a{100000}",
    ] {
        let (status, body) = get(&format!(
            "/api/v1/query?query=x{{a=~%22{}%22}}",
            encoded(regex)
        ));
        assert_eq!(status, 400, "{body}");
        assert!(body.contains("\"errorType\":\"bad_data\""), "{body}");
    }
    // Queries that nest.
    for query in [
        format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{}1", "-".repeat(5_000)),
        format!("{}x{}", "sum(".repeat(3_000), ")".repeat(3_000)),
    ] {
        let (status, body) = get(&format!("/api/v1/query?query={}", encoded(&query)));
        assert_eq!(status, 400, "{body}");
    }
    // A form that does not end where it may, and one that says it is a GiB.
    let head = "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let mut form = format!("{head}Content-Length: {}\r\n\r\nquery=", 64 << 20).into_bytes();
    form.resize(form.len() + (64 << 20), b'1');
    let answer = store.raw(&form);
    // The answer may be lost with the connection: more was sent than was read.
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    // A few bytes that say they are 4 GiB.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let headers = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf"),
    ];
    let answer = e2e::post(&format!("{}/api/v1/write", store.url()), &headers, &bomb);
    let (status, body) = answer.expect("the server answers");
    assert!((400..500).contains(&status), "{status} {body}");
    // A head without end.
    let mut endless = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n".to_vec();
    for i in 0..100_000 {
        endless.extend_from_slice(format!("X-{i}: {i}\r\n").as_bytes());
    }
    let answer = store.raw(&endless);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );

    assert_eq!(get("/-/healthy").0, 200);
    store.assert_bounded();
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// As many descriptors as are allowed, at most what `wanted` connections need at both ends of the test.
fn raise_descriptors(wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls take a pointer to a value of our own.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max.min(wanted + 1_000);
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    limit.rlim_cur
}

#[test]
fn slow_and_many_clients() {
    // The store inherits the limit.
    let connections = raise_descriptors(10_000).saturating_sub(500).min(10_000) as usize;
    let store = Store::start(
        "global: {}\n",
        &["--web.max-connections=20000", "--web.read-timeout=5s"],
    );
    let mut slow: Vec<TcpStream> = Vec::with_capacity(connections);
    for i in 0..connections {
        let mut stream = TcpStream::connect(&store.address).expect("the server listens");
        if i % 2 == 0 {
            // Slowloris: a head that never ends. The others say nothing at all.
            let _ = stream.write_all(b"GET /api/v1/labels HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        }
        slow.push(stream);
    }
    println!("{connections} connections");
    let (status, _) = e2e::get(&format!("{}/api/v1/query?query=1", store.url()))
        .expect("others are answered meanwhile");
    assert_eq!(status, 200);
    // The time for reading a request is over for each of them.
    let mut first = slow.swap_remove(0);
    first
        .set_read_timeout(Some(LIMIT))
        .expect("sockets have timeouts");
    let mut rest = Vec::new();
    let ended = first.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
    store.assert_bounded();
}
