//! Stores of three kinds behind one door.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{
    Process, WRITE_HEADERS, free_port, get, get_json, labels, now_ms, part, post, wait_for,
    write_request,
};
use proto::prometheus::{
    Histogram, Sample, TimeSeries,
    histogram::{Count, ZeroCount},
};

pub const LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    /// Ours as an agent: answers no query.
    Agent,
    Prometheus,
    Victoria,
    /// Takes and forwards, and answers no query.
    VmAgent,
}

impl Kind {
    fn program(self) -> Option<PathBuf> {
        match self {
            Kind::Ours | Kind::Agent => Some(part::build(&["scraper-store"]).join("scraper-store")),
            Kind::Prometheus => part::peer("prometheus"),
            Kind::Victoria => part::peer("victoria-metrics"),
            Kind::VmAgent => part::peer("vmagent"),
        }
    }
}

/// A store that runs.
pub struct Store {
    pub kind: Kind,
    pub url: String,
    pub process: Process,
}

impl Store {
    /// Starts one in `dir` with `config` as the rest of its configuration file (for VmAgent: where it
    /// sends to) and waits until it is ready; `None` where there is no such program.
    pub fn start(kind: Kind, dir: &Path, config: &str, flags: &[&str]) -> Option<Store> {
        let program = kind.program()?;
        let name = format!("{kind:?}").to_lowercase();
        let address = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{address}");
        let data = dir.join(&name).display().to_string();
        let file = dir.join(format!("{name}.yml"));
        let text = format!("global: {{external_labels: {{from: {name}}}}}\n{config}\n");
        std::fs::write(&file, text).unwrap();
        let mut args = match kind {
            Kind::Agent => vec![
                "--agent".to_owned(),
                format!("--config.file={}", file.display()),
                format!("--storage.agent.path={data}"),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".to_owned(),
            ],
            Kind::Ours | Kind::Prometheus => vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".to_owned(),
                "--web.enable-lifecycle".to_owned(),
                "--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest".to_owned(),
                "--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request".to_owned(),
            ],
            Kind::Victoria => vec![
                format!("-httpListenAddr={address}"),
                format!("-storageDataPath={data}"),
                "-search.latencyOffset=0s".to_owned(),
            ],
            Kind::VmAgent => vec![
                format!("-httpListenAddr={address}"),
                format!("-remoteWrite.tmpDataPath={data}"),
                format!("-remoteWrite.url={config}"),
            ],
        };
        if kind == Kind::Prometheus {
            args.push("--enable-feature=native-histograms".to_owned());
        }
        if kind == Kind::Ours {
            args.push(format!("--grpc-address=127.0.0.1:{}", free_port()));
        }
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let process = Process::start(&name, &program, &args, dir);
        let store = Store { kind, url, process };
        store.ready();
        Some(store)
    }

    pub fn ready(&self) {
        let path = match self.kind {
            Kind::Ours | Kind::Agent | Kind::Prometheus => "-/ready",
            Kind::Victoria | Kind::VmAgent => "health",
        };
        wait_for(&format!("{:?} gets ready", self.kind), LIMIT, || {
            get(&format!("{}/{path}", self.url)).filter(|(status, _)| *status == 200)
        });
    }

    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process.restart();
        self.ready();
    }

    /// The value of one of its own metrics, summed over labels.
    pub fn metric(&self, name: &str) -> f64 {
        let page = get(&format!("{}/metrics", self.url)).map(|(_, page)| page);
        let page = page.unwrap_or_default();
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let labelled = rest.starts_with(['{', ' ']);
            rest.rsplit(' ')
                .next()
                .filter(|_| labelled)?
                .parse::<f64>()
                .ok()
        });
        values.sum()
    }

    /// A query's only value, at a time.
    pub fn value(&self, query: &str, at_ms: i64) -> Option<f64> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let time = at_ms as f64 / 1000.0;
        let url = format!(
            "{}/api/v1/query?nocache=1&query={query}&time={time}",
            self.url
        );
        let answer = get_json(&url)?;
        let text = answer["data"]["result"][0]["value"][1].as_str()?;
        text.parse().ok()
    }
}

/// Samples of `w{i="..."}` and of the native histogram `h`, written to a store round by round.
pub struct Feed {
    pub first_ms: i64,
    pub series: usize,
    pub rounds: i64,
    /// Whether `h` is written, too.
    histograms: bool,
    sum: f64,
}

impl Feed {
    pub fn new(series: usize, histograms: bool) -> Feed {
        Feed {
            // Prometheus sends what is younger than its start only.
            first_ms: now_ms() + 1000,
            series,
            rounds: 0,
            histograms,
            sum: 0.0,
        }
    }

    pub fn last_ms(&self) -> i64 {
        self.first_ms + self.rounds * 20
    }

    /// Writes rounds to `store`, one request each.
    pub fn write(&mut self, store: &Store, rounds: i64) {
        for _ in 0..rounds {
            self.rounds += 1;
            let timestamp = self.last_ms();
            let mut timeseries: Vec<TimeSeries> = (0..self.series)
                .map(|i| {
                    let value = (self.rounds * 31 + i as i64 * 7) as f64;
                    self.sum += value;
                    TimeSeries {
                        labels: labels([("__name__", "w"), ("i", &i.to_string())]),
                        samples: vec![Sample { value, timestamp }],
                        ..TimeSeries::default()
                    }
                })
                .collect();
            let histogram = TimeSeries {
                labels: labels([("__name__", "h")]),
                histograms: vec![Histogram {
                    count: Some(Count::CountInt(self.rounds as u64)),
                    zero_count: Some(ZeroCount::ZeroCountInt(self.rounds as u64)),
                    zero_threshold: 0.001,
                    timestamp,
                    ..Histogram::default()
                }],
                ..TimeSeries::default()
            };
            timeseries.extend(self.histograms.then_some(histogram));
            let body = write_request(timeseries);
            let answer = post(
                &format!("{}/api/v1/write", store.url),
                &WRITE_HEADERS,
                &body,
            );
            let status = answer.as_ref().map(|(status, _)| *status);
            assert!(matches!(status, Some(200 | 204)), "{answer:?}");
        }
    }

    /// Waits until `store` has every sample once.
    pub fn wait_complete(&self, store: &Store) {
        let at_ms = self.last_ms() + 1000;
        let expected = [(self.series as i64 * self.rounds) as f64, self.sum];
        let mut last = Vec::new();
        let found = |last: &mut Vec<Option<f64>>| {
            *last = ["count_over_time", "sum_over_time"]
                .map(|function| store.value(&format!("sum({function}(w[1h]))"), at_ms))
                .to_vec();
            (*last == expected.map(Some)).then_some(())
        };
        let start = std::time::Instant::now();
        while found(&mut last).is_none() {
            assert!(
                start.elapsed() < LIMIT,
                "{:?} has {last:?} of {expected:?}:\n{}",
                store.kind,
                store.process.log_text()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until `store` has every histogram once.
    pub fn wait_histograms(&self, store: &Store) {
        let at_ms = self.last_ms() + 1000;
        let expected = self.rounds as f64;
        wait_for("every histogram", LIMIT, || {
            let count = store.value("sum(count_over_time(h[1h]))", at_ms);
            let newest = store.value("sum(histogram_count(h))", at_ms);
            (count == Some(expected) && newest == Some(expected)).then_some(())
        });
    }
}
