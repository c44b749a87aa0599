//! Remote write, the sending side: a queue for each endpoint, fed from the write-ahead log.
//!
//! Start with [`WriteStorage`]. A queue (`queue`) follows the log on a thread and encodes what it
//! finds into batches (`batch`) of the shard that the series belongs to; shards (`shard`) send, one
//! request at a time and in order. What was acknowledged is noted in a file beside the log
//! (`position`), so that a restart, a kill or a reload goes on where it was; segments that a queue has
//! not read are kept, within [`StorageOptions::keep`].
//!
//! Not here: signatures of clouds, and DNS names whose addresses are taken in turn.

mod batch;
mod metadata;
mod metrics;
mod position;
mod queue;
mod reshard;
mod series;
mod shard;
mod strings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http_client::{Client, ClientOptions, HttpClientConfig};
use model::names::ValidationScheme;
use model::{Labels, Metadata};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tsdb::wal::Place;
use xxhash_rust::xxh3::xxh3_64;

use crate::push::{Protocol, Push};
use metrics::Metrics;
use position::{Position, PositionFile};
use queue::Queue;
use series::SeriesTable;
use shard::Shared;

/// Milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Answers the metadata of all targets' metrics, each metric once.
pub type MetadataSource = Arc<dyn Fn() -> Vec<(String, Metadata)> + Send + Sync>;

/// A write-ahead log that queues send from.
pub trait Log: Send + Sync {
    /// The folder of its segments.
    fn dir(&self) -> PathBuf;
    /// Where the next record goes.
    fn end(&self) -> Place;
    /// Segments from this one on are still to be read; [`u64::MAX`] for none.
    fn keep_from(&self, segment: u64);
    /// The newest timestamp that was appended, [`i64::MIN`] without samples.
    fn highest_ms(&self) -> i64;
    /// How many samples, histograms and exemplars have been appended.
    fn appended(&self) -> [f64; 3];
}

impl Log for tsdb::Db {
    fn dir(&self) -> PathBuf {
        self.wal_dir()
    }

    fn end(&self) -> Place {
        self.wal_end()
    }

    fn keep_from(&self, segment: u64) {
        self.keep_wal_from(segment);
    }

    fn highest_ms(&self) -> i64 {
        self.head_times_ms().1
    }

    fn appended(&self) -> [f64; 3] {
        tsdb::Db::appended(self)
    }
}

/// An endpoint, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Empty for one that is known by its URL.
    pub name: String,
    pub url: String,
    /// The URL without its password.
    pub shown_url: String,
    pub http: HttpClientConfig,
    pub headers: Vec<(String, String)>,
    /// Connections go to all addresses of the host in turn.
    pub round_robin_dns: bool,
    pub remote_timeout: Duration,
    pub protocol: Protocol,
    pub write_relabel: Vec<relabel::Config>,
    pub name_scheme: ValidationScheme,
    pub send_exemplars: bool,
    pub send_native_histograms: bool,
    /// Samples a shard holds, beyond those it is sending.
    pub capacity: i64,
    pub min_shards: i64,
    pub max_shards: i64,
    pub max_samples_per_send: i64,
    pub batch_send_deadline: Duration,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    pub retry_on_http_429: bool,
    /// Zero for none.
    pub sample_age_limit: Duration,
    /// How often metadata is sent (version 1.0), and how much at once; `None` for never.
    pub metadata: Option<(Duration, usize)>,
}

/// What a queue goes by.
pub(crate) struct Settings {
    pub name: String,
    pub shown_url: String,
    pub protocol: Protocol,
    pub send_exemplars: bool,
    pub send_native_histograms: bool,
    pub capacity: u64,
    pub batches_per_shard: usize,
    pub min_shards: usize,
    pub max_shards: usize,
    pub max_samples_per_send: u64,
    pub batch_send_deadline: Duration,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    pub retry_on_http_429: bool,
    pub sample_age_limit: Duration,
}

/// What all queues go by.
#[derive(Clone)]
pub struct StorageOptions {
    /// The folder of the positions, beside the log's.
    pub dir: PathBuf,
    pub registry: telemetry::Registry,
    pub clock: Clock,
    pub metadata: MetadataSource,
    /// Who we are to receivers.
    pub user_agent: String,
    /// How long a stop may take to send what is there.
    pub flush_deadline: Duration,
    /// Segments that were written to last longer ago than this are not kept for queues that are
    /// behind.
    pub keep: Duration,
}

/// The queues.
pub struct WriteStorage {
    manager: mpsc::UnboundedSender<Command>,
    options: StorageOptions,
}

enum Command {
    Apply(Vec<Wanted>),
    Stop(oneshot::Sender<()>),
}

/// An endpoint that passed its checks.
struct Wanted {
    endpoint: Endpoint,
    external: Labels,
    push: Push,
    rules: Vec<relabel::Rule>,
    /// By which its position is known: stays when anything but name and URL changes.
    key: String,
    /// As metrics show it.
    name: String,
}

struct Running {
    wanted: Wanted,
    queue: Queue,
}

/// How often it is looked up which segments are still needed.
const PIN: Duration = Duration::from_secs(1);

impl WriteStorage {
    /// No queues yet. Runs on the current tokio runtime.
    pub fn new(options: StorageOptions, log: Arc<dyn Log>) -> WriteStorage {
        register_totals(&options.registry, &log);
        let metrics = Metrics::new(&options.registry);
        let (manager, commands) = mpsc::unbounded_channel();
        let state = Manager {
            options: options.clone(),
            log,
            metrics,
            running: Vec::new(),
        };
        tokio::spawn(state.run(commands));
        WriteStorage { manager, options }
    }

    /// Checks endpoints; what it answers can be put in force.
    ///
    /// # Errors
    /// What is wrong with which endpoint.
    pub fn check(&self, endpoints: Vec<Endpoint>, external: &Labels) -> Result<Checked, String> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for endpoint in endpoints {
            let url = endpoint.shown_url.clone();
            let fail = |error: String| format!("remote write {url}: {error}");
            let mut key = match endpoint.name.as_str() {
                "" => format!("url {}", endpoint.url),
                name => format!("name {name}"),
            };
            // Several of the same address are told apart by their order.
            while wanted.iter().any(|other| other.key == key) {
                key.push('+');
            }
            let name = match endpoint.name.as_str() {
                "" => format!("{:06x}", xxh3_64(key.as_bytes()) & 0xff_ffff),
                name => name.to_owned(),
            };
            let options = ClientOptions {
                user_agent: self.options.user_agent.parse().ok(),
                addresses_in_turn: endpoint.round_robin_dns,
                ..ClientOptions::default()
            };
            let client = Client::new(&endpoint.http, options).map_err(|e| fail(e.to_string()))?;
            let headers = header_map(&endpoint.headers).map_err(&fail)?;
            let push = Push::new(
                client,
                endpoint.url.clone(),
                headers,
                endpoint.remote_timeout,
            );
            let rules = relabel::compile_all(&endpoint.write_relabel, endpoint.name_scheme);
            wanted.push(Wanted {
                push: push.with_protocol(endpoint.protocol),
                rules: rules.map_err(|e| fail(e.to_string()))?,
                external: external.clone(),
                endpoint,
                key,
                name,
            });
        }
        Ok(Checked(wanted))
    }

    /// Puts endpoints in force: those that stay as they are go on undisturbed, those that changed go
    /// on where they were, those that are gone send what they have and end.
    pub fn apply(&self, checked: Checked) {
        // The manager lives as long as this value.
        let _ = self.manager.send(Command::Apply(checked.0));
    }

    /// Ends all queues. What they could not send is sent after the next start.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.manager.send(Command::Stop(done)).is_ok() {
            // An error says that it has ended before.
            let _ = stopped.await;
        }
    }
}

/// Endpoints that passed [`WriteStorage::check`].
pub struct Checked(Vec<Wanted>);

/// Headers as configured, as a request has them.
pub(crate) fn header_map(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let header: http::HeaderName = name.parse().map_err(|e| format!("header {name}: {e}"))?;
        let value = value.parse().map_err(|e| format!("header {name}: {e}"))?;
        headers.insert(header, value);
    }
    Ok(headers)
}

fn register_totals(registry: &telemetry::Registry, log: &Arc<dyn Log>) {
    let remote = registry.with_prefix("prometheus_remote_storage_");
    for (kind, name, help) in [
        (
            0,
            "samples_in_total",
            "Samples in to remote storage, compare to samples out for queue managers.",
        ),
        (
            1,
            "histograms_in_total",
            "HistogramSamples in to remote storage, compare to histograms out for queue managers.",
        ),
        (
            2,
            "exemplars_in_total",
            "Exemplars in to remote storage, compare to exemplars out for queue managers.",
        ),
    ] {
        let log = Arc::clone(log);
        remote.counter_fn(name, help, move || log.appended()[kind]);
    }
    let log = Arc::clone(log);
    remote.gauge_fn(
        "highest_timestamp_in_seconds",
        "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet.",
        move || match log.highest_ms() {
            i64::MIN => 0.0,
            highest_ms => (highest_ms / 1000) as f64,
        },
    );
}

/// Changes queues one after the other, and knows which segments they need.
struct Manager {
    options: StorageOptions,
    log: Arc<dyn Log>,
    metrics: Metrics,
    running: Vec<Running>,
}

impl Manager {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut ticks = tokio::time::interval(PIN);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = ticks.tick() => {
                    self.pin();
                    continue;
                }
            };
            match command {
                Some(Command::Apply(wanted)) => self.apply(wanted).await,
                Some(Command::Stop(done)) => {
                    self.stop_all().await;
                    // Nobody waits any more: nothing to tell.
                    let _ = done.send(());
                    return;
                }
                None => return self.stop_all().await,
            }
        }
    }

    async fn stop_all(&mut self) {
        let deadline = self.options.flush_deadline;
        let all = self
            .running
            .drain(..)
            .map(|one| one.queue.stop(deadline, true));
        futures::future::join_all(all).await;
    }

    async fn apply(&mut self, wanted: Vec<Wanted>) {
        let mut old = std::mem::take(&mut self.running);
        for new in wanted {
            let place = old.iter().position(|one| one.wanted.key == new.key);
            let same = place.map(|place| old.swap_remove(place));
            let changed = match same {
                Some(one)
                    if one.wanted.endpoint == new.endpoint
                        && one.wanted.external == new.external =>
                {
                    self.running.push(one);
                    continue;
                }
                other => other,
            };
            if let Some(one) = changed {
                one.queue.stop(self.options.flush_deadline, false).await;
                if one.wanted.name != new.name
                    || one.wanted.endpoint.shown_url != new.endpoint.shown_url
                {
                    self.metrics
                        .forget(&one.wanted.name, &one.wanted.endpoint.shown_url);
                }
            }
            let name = new.name.clone();
            match self.start(new) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    tracing::error!(remote_name = name, error, "remote write does not start")
                }
            }
        }
        for gone in old {
            gone.queue.stop(self.options.flush_deadline, true).await;
            self.metrics
                .forget(&gone.wanted.name, &gone.wanted.endpoint.shown_url);
        }
        if let Err(error) = self.remove_positions() {
            tracing::warn!(%error, "removing positions of remote write that is not configured failed");
        }
        self.pin();
    }

    fn path(&self, key: &str) -> PathBuf {
        let name = format!("{:016x}.position", xxh3_64(key.as_bytes()));
        self.options.dir.join(name)
    }

    /// An endpoint that comes back later begins anew.
    fn remove_positions(&self) -> std::io::Result<()> {
        let used: Vec<PathBuf> = self
            .running
            .iter()
            .map(|r| self.path(&r.wanted.key))
            .collect();
        let Ok(entries) = std::fs::read_dir(&self.options.dir) else {
            return Ok(()); // There never was a queue.
        };
        for entry in entries {
            let path = entry?.path();
            let is_position = path.extension().is_some_and(|e| e == "position");
            if is_position && !used.contains(&path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn start(&self, wanted: Wanted) -> Result<Running, String> {
        let path = self.path(&wanted.key);
        let file = PositionFile::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let settings = settings(&wanted);
        let metrics = self.metrics.queue(&settings.name, &settings.shown_url);
        let now_ms = (self.options.clock)();
        let shared = Arc::new(Shared {
            settings,
            push: wanted.push.clone(),
            metrics,
            clock: Arc::clone(&self.options.clock),
            reader: Mutex::new(Position::default()),
            shards: RwLock::default(),
            file: Mutex::new(file),
            stopping: CancellationToken::new(),
            flush: AtomicBool::new(true),
            hard: CancellationToken::new(),
            taken: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sending_ns: AtomicU64::new(0),
            last_sent_ms: AtomicI64::new(now_ms),
            newest_sent_ms: AtomicI64::new(i64::MIN),
            saving_failed: AtomicBool::new(false),
        });
        if let (Protocol::V1, Some((interval, per_send))) =
            (wanted.endpoint.protocol, wanted.endpoint.metadata)
        {
            let source = Arc::clone(&self.options.metadata);
            tokio::spawn(metadata::run(
                Arc::clone(&shared),
                source,
                interval,
                per_send,
            ));
        }
        let table = SeriesTable::new(wanted.external.clone(), wanted.rules.clone());
        let queue = Queue::start(shared, Arc::clone(&self.log), table)?;
        Ok(Running { wanted, queue })
    }

    /// Tells the log what is still needed of it.
    fn pin(&self) {
        let needed = self.running.iter().map(|one| one.queue.first_segment());
        let Some(needed) = needed.min() else {
            return self.log.keep_from(u64::MAX);
        };
        let oldest = SystemTime::now().checked_sub(self.options.keep);
        let bound = oldest.and_then(|oldest| first_since(&self.log.dir(), needed, oldest));
        self.log.keep_from(bound.unwrap_or(needed));
    }
}

/// The first segment from `from` on that was written to since `oldest`, if not `from` itself was.
fn first_since(dir: &Path, from: u64, oldest: SystemTime) -> Option<u64> {
    let segments = tsdb::wal::segments(&tsdb::fs::RealFs, dir).ok()?;
    let found = segments
        .iter()
        .filter(|s| s.number >= from)
        .find(|segment| {
            let modified = std::fs::metadata(&segment.path).and_then(|m| m.modified());
            modified.map_or(true, |modified| modified >= oldest)
        });
    found.map(|segment| segment.number)
}

fn settings(wanted: &Wanted) -> Settings {
    let endpoint = &wanted.endpoint;
    let per_send = u64::try_from(endpoint.max_samples_per_send)
        .unwrap_or(1)
        .max(1);
    let capacity = u64::try_from(endpoint.capacity).unwrap_or(0);
    let max_shards = queue::clamp_shards(endpoint.max_shards);
    Settings {
        name: wanted.name.clone(),
        shown_url: endpoint.shown_url.clone(),
        protocol: endpoint.protocol,
        send_exemplars: endpoint.send_exemplars,
        send_native_histograms: endpoint.send_native_histograms,
        capacity,
        batches_per_shard: usize::try_from(capacity / per_send).unwrap_or(1).max(1),
        min_shards: queue::clamp_shards(endpoint.min_shards).min(max_shards),
        max_shards,
        max_samples_per_send: per_send,
        batch_send_deadline: endpoint.batch_send_deadline,
        min_backoff: endpoint.min_backoff,
        max_backoff: endpoint.max_backoff,
        retry_on_http_429: endpoint.retry_on_http_429,
        sample_age_limit: endpoint.sample_age_limit,
    }
}

#[cfg(test)]
mod tests;
