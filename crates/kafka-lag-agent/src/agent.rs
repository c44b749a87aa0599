//! Polls on an interval and keeps what the page shows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exposition::{Family, Metric, Value};
use model::MetricType;
use parking_lot::RwLock;
use telemetry::{Counter, CounterVec, Gauge, Registry};

use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::history::History;
use crate::page;
use crate::poll::{Problems, poll};
use crate::settings::Settings;
use crate::snapshot::Snapshot;

/// The agent's state: written by each poll, read by each scrape.
pub struct Agent {
    settings: Settings,
    cluster: Cluster,
    state: RwLock<State>,
    metrics: Metrics,
}

struct State {
    snapshot: Option<Snapshot>,
    history: History,
    status: Status,
    /// Logged already; logged again only after they have gone.
    known_problems: BTreeSet<(&'static str, &'static str)>,
}

/// How the last poll went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// There was none yet.
    Starting,
    /// The cluster answered.
    Up,
    /// It did not: a word for metrics, and the error.
    Down { reason: &'static str, error: String },
}

struct Metrics {
    polls: Counter,
    failed: Counter,
    duration: Gauge,
    errors: CounterVec,
}

impl Metrics {
    fn register(registry: &Registry) -> Metrics {
        Metrics {
            polls: registry.counter("kafka_lag_agent_polls_total", "Polls of the cluster."),
            failed: registry.counter(
                "kafka_lag_agent_polls_failed_total",
                "Polls in which no broker told what the cluster consists of.",
            ),
            duration: registry.gauge(
                "kafka_lag_agent_poll_duration_seconds",
                "How long the last poll took.",
            ),
            errors: registry.counter_vec(
                "kafka_lag_agent_request_errors_total",
                "Requests, and single answers inside of them, that failed, by request and reason.",
                &["api", "reason"],
            ),
        }
    }
}

impl Agent {
    /// An agent that has not polled yet.
    pub fn new(settings: Settings, registry: &Registry) -> Agent {
        Agent {
            cluster: Cluster::new(&settings.servers, settings.access.clone()),
            state: RwLock::new(State {
                snapshot: None,
                history: History::new(settings.history_points),
                status: Status::Starting,
                known_problems: BTreeSet::new(),
            }),
            metrics: Metrics::register(registry),
            settings,
        }
    }

    /// How often to poll.
    pub fn interval(&self) -> Duration {
        self.settings.poll_interval
    }

    /// How the last poll went.
    pub fn status(&self) -> Status {
        self.state.read().status.clone()
    }

    /// Polls once and keeps the result. After a failure the data of the last good poll stays until
    /// it is too old; its age is shown.
    pub async fn poll(&self) {
        let started = Instant::now();
        let problems = Problems::default();
        let bound = self.settings.poll_timeout;
        let polled = poll(&self.settings, &self.cluster, &problems);
        let result = match tokio::time::timeout(bound, polled).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout {
                address: self.settings.servers.join(","),
                api: "poll",
                after: bound,
            }),
        };
        self.metrics.polls.inc();
        self.metrics.duration.set(started.elapsed().as_secs_f64());
        self.report(problems);
        let mut state = self.state.write();
        match result {
            Ok(mut snapshot) => {
                snapshot.at_ms = now_ms();
                state.history.note(&snapshot);
                if state.status != Status::Up {
                    let (brokers, groups) = (snapshot.brokers.len(), snapshot.groups.len());
                    tracing::info!(brokers, groups, "the Kafka cluster answers");
                }
                state.snapshot = Some(snapshot);
                state.status = Status::Up;
            }
            Err(error) => {
                self.metrics.failed.inc();
                let status = Status::Down {
                    reason: error.reason(),
                    error: error.to_string(),
                };
                if state.status != status {
                    tracing::error!(err = %error, "the Kafka cluster does not answer");
                }
                state.status = status;
            }
        }
    }

    /// Counts what failed, and logs what did not fail in the poll before.
    fn report(&self, problems: Problems) {
        let found = problems.into_found();
        let mut state = self.state.write();
        for ((api, reason), problem) in &found {
            self.metrics.errors.with(&[api, reason]).add(problem.count);
            if !state.known_problems.contains(&(*api, *reason)) {
                let (count, err) = (problem.count, &problem.first);
                tracing::warn!(api, reason, count, %err, "a part of the cluster could not be read");
            }
        }
        state.known_problems = found.into_keys().collect();
    }

    /// The families about the cluster, and how fresh they are.
    pub fn families(&self) -> Vec<Family> {
        let now_ms = now_ms();
        let state = self.state.read();
        let mut families = self.health(&state, now_ms);
        let stale_ms = self.settings.stale_after.as_millis() as i64;
        let snapshot = state.snapshot.as_ref().filter(|snapshot| {
            state.status == Status::Up || now_ms.saturating_sub(snapshot.at_ms) <= stale_ms
        });
        if let Some(snapshot) = snapshot {
            let labels = &self.settings.labels;
            families.extend(page::families(snapshot, &state.history, labels, now_ms));
        }
        families
    }

    fn health(&self, state: &State, now_ms: i64) -> Vec<Family> {
        let labels = &self.settings.labels;
        let gauge = |name: &str, help: &str, labels: Vec<(String, String)>, value: f64| {
            let mut family = Family::new(name, help, MetricType::Gauge);
            family.push(Metric::new(labels, Value::Gauge(value)));
            family
        };
        let up = f64::from(u8::from(state.status == Status::Up));
        let mut families = vec![gauge(
            "kafka_up",
            "1 if the last poll of the cluster succeeded",
            labels.clone(),
            up,
        )];
        let why = match &state.status {
            Status::Up => None,
            Status::Starting => Some("starting"),
            Status::Down { reason, .. } => Some(*reason),
        };
        if let Some(why) = why {
            let mut labels = labels.clone();
            labels.push(("reason".to_owned(), why.to_owned()));
            families.push(gauge(
                "kafka_lag_agent_down",
                "Why the last poll of the cluster did not succeed",
                labels,
                1.0,
            ));
        }
        if let Some(snapshot) = &state.snapshot {
            let age = now_ms.saturating_sub(snapshot.at_ms).max(0) as f64 / 1000.0;
            families.push(gauge(
                "kafka_lag_agent_data_age_seconds",
                "How long ago the last successful poll ended",
                labels.clone(),
                age,
            ));
        }
        families
    }
}

/// Registers the agent's families; the registry asks for them at each scrape.
pub fn register(agent: &Arc<Agent>, registry: &Registry) {
    let agent = Arc::clone(agent);
    registry.collector(move || agent.families());
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
