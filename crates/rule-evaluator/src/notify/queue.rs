//! A receiver's queue: in order, bounded, and kept until the receiver has acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::Alert;
use parking_lot::Mutex;
use telemetry::{CounterVec, Gauge, GaugeVec, Registry, SummaryOptions, SummaryVec};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why a batch was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// Sending it again may help.
    #[error("{0}")]
    Temporary(String),
    /// Sending it again does not help.
    #[error("{0}")]
    Permanent(String),
}

/// Sends batches to one receiver.
pub trait Sender: Send + Sync {
    /// Returns once the receiver has taken the alerts.
    fn send<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), SendError>>;
}

/// Alerts that wait for a receiver.
pub struct Queue {
    waiting: Mutex<Waiting>,
    capacity: usize,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    alerts: VecDeque<Alert>,
    /// A batch is with the sender.
    in_flight: bool,
}

impl Queue {
    /// A queue of at most `capacity` alerts.
    pub fn new(capacity: usize) -> Queue {
        Queue {
            waiting: Mutex::new(Waiting::default()),
            capacity,
            changed: Notify::new(),
        }
    }

    /// Adds alerts at the end; says how many of the oldest had to give way.
    pub fn push(&self, alerts: &[Alert]) -> usize {
        let mut waiting = self.waiting.lock();
        waiting.alerts.extend(alerts.iter().cloned());
        let over = waiting.alerts.len().saturating_sub(self.capacity);
        waiting.alerts.drain(..over);
        drop(waiting);
        self.changed.notify_waiters();
        over
    }

    /// How many alerts wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().alerts.len()
    }

    fn take(&self, most: usize) -> Vec<Alert> {
        let mut waiting = self.waiting.lock();
        let count = waiting.alerts.len().min(most);
        waiting.in_flight = count > 0;
        waiting.alerts.drain(..count).collect()
    }

    fn done(&self) {
        self.waiting.lock().in_flight = false;
        self.changed.notify_waiters();
    }

    /// Waits until nothing waits and nothing is on its way.
    pub async fn drained(&self) {
        self.wait_until(|waiting| waiting.alerts.is_empty() && !waiting.in_flight)
            .await;
    }

    async fn filled(&self) {
        self.wait_until(|waiting| !waiting.alerts.is_empty()).await;
    }

    async fn wait_until(&self, condition: impl Fn(&Waiting) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change between the two is missed.
            changed.as_mut().enable();
            if condition(&self.waiting.lock()) {
                return;
            }
            changed.await;
        }
    }
}

/// `prometheus_notifications_*`.
pub struct QueueMetrics {
    sent: CounterVec,
    errors: CounterVec,
    dropped: CounterVec,
    length: GaugeVec,
    latency: SummaryVec,
    discovered: Gauge,
}

impl QueueMetrics {
    pub(super) fn register(registry: &Registry, capacity: usize) -> QueueMetrics {
        let name = |suffix: &str| format!("prometheus_notifications_{suffix}");
        let capacity_gauge = registry.gauge(
            &name("queue_capacity"),
            "The capacity of the alert notifications queue.",
        );
        capacity_gauge.set(capacity as f64);
        QueueMetrics {
            sent: registry.counter_vec(
                &name("sent_total"),
                "Total number of alerts sent.",
                &["alertmanager"],
            ),
            errors: registry.counter_vec(
                &name("errors_total"),
                "Total number of sent alerts affected by errors.",
                &["alertmanager"],
            ),
            dropped: registry.counter_vec(
                &name("dropped_total"),
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
                &["alertmanager"],
            ),
            length: registry.gauge_vec(
                &name("queue_length"),
                "The number of alert notifications in the queue.",
                &["alertmanager"],
            ),
            latency: registry.summary_vec(
                &name("latency_seconds"),
                "Latency quantiles for sending alert notifications.",
                &["alertmanager"],
                SummaryOptions::quantiles(&[(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)]),
            ),
            discovered: registry.gauge(
                &name("alertmanagers_discovered"),
                "The number of alertmanagers discovered and active.",
            ),
        }
    }

    pub(super) fn dropped(&self, receiver: &str, count: usize) {
        self.dropped.with(&[receiver]).add(count as u64);
    }

    pub(super) fn discovered(&self, count: usize) {
        self.discovered.set(count as f64);
    }

    pub(super) fn queued(&self, receiver: &str, count: usize) {
        self.length.with(&[receiver]).set(count as f64);
    }

    /// Shows a receiver from its beginning on.
    pub(super) fn started(&self, receiver: &str) {
        for counter in [&self.sent, &self.errors, &self.dropped] {
            counter.with(&[receiver]).add(0);
        }
        self.queued(receiver, 0);
    }

    /// Forgets a receiver that is gone.
    pub(super) fn forget(&self, receiver: &str) {
        let name = &[receiver];
        for counter in [&self.sent, &self.errors, &self.dropped] {
            counter.remove(name);
        }
        self.length.remove(name);
        self.latency.remove(name);
    }
}

/// First and longest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Takes batches off the queue and sends each until it is taken or refused for good.
pub(super) async fn run(
    name: String,
    queue: Arc<Queue>,
    sender: Arc<dyn Sender>,
    batch: usize,
    metrics: Arc<QueueMetrics>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = queue.filled() => {}
            () = stop.cancelled() => return,
        }
        let alerts = queue.take(batch);
        metrics.queued(&name, queue.len());
        if alerts.is_empty() {
            continue;
        }
        let mut pause = FIRST_PAUSE;
        let mut failing = false;
        loop {
            let clock = std::time::Instant::now();
            let sent = tokio::select! {
                sent = sender.send(&alerts) => sent,
                () = stop.cancelled() => return,
            };
            metrics
                .latency
                .with(&[&name])
                .observe_duration(clock.elapsed());
            match sent {
                Ok(()) => {
                    metrics.sent.with(&[&name]).add(alerts.len() as u64);
                    if failing {
                        tracing::info!(receiver = name, "alerts are being taken again");
                    }
                    break;
                }
                Err(SendError::Permanent(error)) => {
                    metrics.errors.with(&[&name]).add(alerts.len() as u64);
                    metrics.dropped(&name, alerts.len());
                    tracing::error!(
                        receiver = name,
                        alerts = alerts.len(),
                        err = error,
                        "alerts were refused"
                    );
                    break;
                }
                Err(SendError::Temporary(error)) => {
                    metrics.errors.with(&[&name]).add(alerts.len() as u64);
                    if !failing {
                        tracing::warn!(
                            receiver = name,
                            err = error,
                            "sending alerts failed; trying again until it works"
                        );
                    }
                    failing = true;
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        queue.done();
    }
}

#[cfg(test)]
mod tests;
