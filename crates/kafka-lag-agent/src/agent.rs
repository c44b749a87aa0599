//! Polls on an interval and keeps what the page shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use telemetry::{Counter, CounterVec, Gauge, Registry};

use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::history::History;
use crate::page::{self, View};
use crate::poll::{Nodes, Problems, poll};
use crate::settings::Settings;
use crate::snapshot::{Details, Snapshot};
use crate::{ages, details};

/// A problem that was logged is logged again only when it comes back after so long.
const QUIET_FOR: Duration = Duration::from_secs(10 * 60);

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
    /// When configuration and log sizes were last read.
    details: Option<(Instant, Arc<Details>)>,
    /// When each kind of problem was last met: what was met lately has been logged.
    known_problems: BTreeMap<(&'static str, &'static str), Instant>,
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
        // The agent's own metrics tell several clusters apart as the others do.
        let registry = match &settings.name {
            Some(name) => registry.with_labels(&[("cluster", name)]),
            None => registry.clone(),
        };
        Agent {
            cluster: Cluster::new(&settings.servers, settings.access.clone()),
            state: RwLock::new(State {
                snapshot: None,
                history: History::new(settings.history_points),
                details: None,
                status: Status::Starting,
                known_problems: BTreeMap::new(),
            }),
            metrics: Metrics::register(&registry),
            settings,
        }
    }

    /// How often to poll.
    pub fn interval(&self) -> Duration {
        self.settings.poll_interval
    }

    /// The cluster's name in the configuration file; `None`: the one of the command line.
    pub fn name(&self) -> Option<&str> {
        self.settings.name.as_deref()
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
        let polled = self.look(&problems);
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
            Ok(snapshot) => {
                if state.status != Status::Up {
                    let (brokers, groups) = (snapshot.brokers.len(), snapshot.groups.len());
                    tracing::info!(
                        cluster = self.name(),
                        brokers,
                        groups,
                        "the Kafka cluster answers"
                    );
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
                    tracing::error!(cluster = self.name(), err = %error, "the Kafka cluster does not answer");
                }
                state.status = status;
            }
        }
    }

    /// Everything one poll finds out; what the log and the configuration say comes after the lag.
    async fn look(&self, problems: &Problems) -> Result<Snapshot, ClientError> {
        let (mut snapshot, nodes) = poll(&self.settings, &self.cluster, problems).await?;
        snapshot.at_ms = now_ms();
        let unreached = {
            let mut state = self.state.write();
            state.history.note(&snapshot);
            match self.settings.read_records {
                true => state.history.unreached(&snapshot),
                false => Vec::new(),
            }
        };
        if !unreached.is_empty() {
            let told = ages::read(&self.settings, &nodes, &snapshot, unreached, problems).await;
            self.state.write().history.learn(told, snapshot.at_ms);
        }
        snapshot.details = self.details(&nodes, &snapshot, problems).await;
        Ok(snapshot)
    }

    /// Configuration and log sizes, read again when they are old enough.
    async fn details(
        &self,
        nodes: &Nodes,
        snapshot: &Snapshot,
        problems: &Problems,
    ) -> Arc<Details> {
        let every = self.settings.details_interval;
        if every.is_zero() {
            return Arc::default();
        }
        if let Some((at, details)) = &self.state.read().details
            && at.elapsed() < every
        {
            return Arc::clone(details);
        }
        let details = Arc::new(details::read(nodes, &snapshot.topics, problems).await);
        self.state.write().details = Some((Instant::now(), Arc::clone(&details)));
        details
    }

    /// Counts what failed, and logs what has not failed for a while.
    fn report(&self, problems: Problems) {
        let found = problems.into_found();
        let mut state = self.state.write();
        // Not everything is asked in each poll.
        let quiet = QUIET_FOR.max(self.settings.details_interval * 2);
        state.known_problems.retain(|_, met| met.elapsed() < quiet);
        for ((api, reason), problem) in found {
            self.metrics.errors.with(&[api, reason]).add(problem.count);
            let known = state.known_problems.insert((api, reason), Instant::now());
            if known.is_none() {
                let (cluster, count, err) = (self.name(), problem.count, &problem.first);
                tracing::warn!(cluster, api, reason, count, %err, "a part of the cluster could not be read");
            }
        }
    }
}

impl State {
    /// What is to be shown of a cluster.
    fn view<'a>(&'a self, settings: &'a Settings, now_ms: i64) -> View<'a> {
        let down = match &self.status {
            Status::Up => None,
            Status::Starting => Some("starting"),
            Status::Down { reason, .. } => Some(*reason),
        };
        let age_ms = |snapshot: &Snapshot| now_ms.saturating_sub(snapshot.at_ms).max(0);
        let stale_ms = settings.stale_after.as_millis() as i64;
        let snapshot = self.snapshot.as_ref();
        View {
            down,
            age: snapshot.map(|snapshot| age_ms(snapshot) as f64 / 1000.0),
            snapshot: snapshot.filter(|s| down.is_none() || age_ms(s) <= stale_ms),
            history: &self.history,
            labels: &settings.labels,
            now_ms,
        }
    }
}

/// Puts the families of all clusters on the registry's page.
pub fn register(agents: &[Arc<Agent>], registry: &Registry) {
    let agents: Vec<Arc<Agent>> = agents.to_vec();
    registry.stream(move |writer| {
        let now_ms = now_ms();
        let states: Vec<_> = agents.iter().map(|agent| agent.state.read()).collect();
        let views = states.iter().zip(&agents);
        let views: Vec<View<'_>> = views
            .map(|(state, agent)| state.view(&agent.settings, now_ms))
            .collect();
        page::write(&views, writer);
    });
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
