//! A store of the test's own, and what it says of its targets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use e2e::{Process, Stack, free_port, part, wait_for};
use serde_json::Value;

/// Long enough for a busy machine.
pub const LIMIT: Duration = Duration::from_secs(150);

pub struct Store {
    pub process: Process,
    pub url: String,
    pub dir: tempfile::TempDir,
}

/// An active target: its labels before and after relabelling, and its last scrape.
#[derive(Debug)]
pub struct Target {
    pub discovered: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub last_scrape: String,
}

impl Store {
    pub fn start(config: &str, flags: &[&str]) -> Store {
        Store::start_under(&[], config, flags)
    }

    /// Starts it with a program and its arguments in front.
    pub fn start_under(before: &[String], config: &str, flags: &[&str]) -> Store {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| part::build(&["scraper-store"]).join("scraper-store"));
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let path = dir.path().join("prometheus.yml");
        std::fs::write(&path, config).expect("the folder can be written");
        let address = format!("127.0.0.1:{}", free_port());
        let mut args = before.to_vec();
        args.push(program.display().to_string());
        args.extend([
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={address}"),
            format!("--grpc-address=127.0.0.1:{}", free_port()),
            "--web.enable-lifecycle".to_owned(),
        ]);
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let first = args.remove(0);
        let process = Process::start("scraper-store", Path::new(&first), &args, dir.path());
        let url = format!("http://{address}");
        Stack::wait_ready("scraper-store", &url);
        Store { process, url, dir }
    }

    /// Replaces a file beside the configuration, in one step.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        let parent = path.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(parent).expect("the folder can be written");
        let new = self.dir.path().join(".new");
        std::fs::write(&new, text).expect("the folder can be written");
        std::fs::rename(new, path).expect("the folder can be written");
    }

    /// Status and body of a reload.
    pub fn reload(&self) -> (u16, String) {
        e2e::post(&format!("{}/-/reload", self.url), &[], b"").expect("the store answers")
    }

    /// The active targets of all jobs.
    pub fn targets(&self) -> Vec<Target> {
        let answer = self.patient_get("/api/v1/targets?state=active");
        let answer: Value = answer
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let targets = answer["data"]["activeTargets"].as_array();
        let labels = |value: &Value| -> BTreeMap<String, String> {
            serde_json::from_value(value.clone()).unwrap_or_default()
        };
        let target = |target: &Value| Target {
            discovered: labels(&target["discoveredLabels"]),
            labels: labels(&target["labels"]),
            last_scrape: target["lastScrape"].as_str().unwrap_or_default().to_owned(),
        };
        targets.into_iter().flatten().map(target).collect()
    }

    /// The body of a GET that may be long: many targets, a busy machine, programs without optimization.
    fn patient_get(&self, path: &str) -> Option<String> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .build();
        let agent: ureq::Agent = config.into();
        let mut response = agent.get(format!("{}{path}", self.url)).call().ok()?;
        let body = response.body_mut().with_config().limit(256 << 20);
        body.read_to_string().ok()
    }

    /// Waits until the targets are as they should be.
    pub fn until(&self, what: &str, accept: impl Fn(&[Target]) -> bool) -> Vec<Target> {
        wait_for(
            &format!("{what}\n{}", self.process.log_text()),
            LIMIT,
            || {
                let targets = self.targets();
                accept(&targets).then_some(targets)
            },
        )
    }

    /// Waits until the addresses (`__address__` as discovered) are these, in order.
    pub fn until_addresses(&self, expected: &[&str]) -> Vec<Target> {
        self.until(&format!("{expected:?}"), |targets| {
            addresses(targets) == expected
        })
    }

    /// What discovery complains about at the moment.
    pub fn problems(&self) -> Vec<Value> {
        let answer = e2e::get_json(&format!("{}/api/v1/firewatch/discovery", self.url));
        let answer = answer.unwrap_or_default();
        answer["data"]["problems"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Waits for a complaint that holds a text.
    pub fn until_problem(&self, text: &str) {
        wait_for(&format!("a problem with {text}"), LIMIT, || {
            let problems = self.problems();
            problems
                .iter()
                .any(|problem| problem.to_string().contains(text))
                .then_some(())
        });
    }

    /// The sum of a metric of the store's own over all its label sets.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, page) = e2e::get(&format!("{}/metrics", self.url)).unwrap_or_default();
        let lines = page.lines().filter_map(|line| line.strip_prefix(name));
        let values = lines.filter(|rest| rest.starts_with([' ', '{']));
        values
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// The addresses that were discovered, sorted.
pub fn addresses(targets: &[Target]) -> Vec<&str> {
    let found = targets
        .iter()
        .filter_map(|target| target.discovered.get("__address__"));
    let mut found: Vec<&str> = found.map(String::as_str).collect();
    found.sort_unstable();
    found
}

/// Something that answers every GET with the same page, which can be changed.
pub struct Page {
    pub address: String,
    body: Arc<Mutex<(u16, String)>>,
}

impl Page {
    pub fn start(content_type: &'static str, body: &str) -> Page {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let body = Arc::new(Mutex::new((200, body.to_owned())));
        let serving = Arc::clone(&body);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || answer(stream, content_type, &serving));
            }
        });
        Page { address, body }
    }

    pub fn set(&self, status: u16, body: &str) {
        *self.body.lock().expect("nobody panics with it") = (status, body.to_owned());
    }
}

fn answer(mut stream: std::net::TcpStream, content_type: &str, body: &Mutex<(u16, String)>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..n]);
        while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            seen.drain(..end + 4);
            let (status, text) = body.lock().expect("nobody panics with it").clone();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            if stream
                .write_all(format!("{head}{text}").as_bytes())
                .is_err()
            {
                return;
            }
        }
    }
}
