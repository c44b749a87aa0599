//! Alerts to their receivers: one queue and one sender each, so that a slow receiver delays no
//! other.

mod grpc;
mod http;
mod queue;

use std::sync::Arc;

use model::{Alert, Labels};
use parking_lot::RwLock;
use relabel::Rule;
use telemetry::Registry;
use tokio_util::sync::CancellationToken;

pub use grpc::GrpcReceiver;
pub use http::HttpReceiver;
pub use queue::{Queue, QueueMetrics, SendError, Sender};

/// A receiver: the name it has in logs and metrics, and how it is reached.
pub type NamedSender = (String, Arc<dyn Sender>);

/// All receivers of this evaluator.
pub struct Notifier {
    metrics: Arc<QueueMetrics>,
    capacity: usize,
    batch: usize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    external_labels: Labels,
    relabel: Vec<Rule>,
    receivers: Vec<Receiver>,
}

struct Receiver {
    name: String,
    queue: Arc<Queue>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Notifier {
    /// A notifier without receivers.
    pub fn new(registry: &Registry, capacity: usize, batch: usize) -> Notifier {
        Notifier {
            metrics: Arc::new(QueueMetrics::register(registry, capacity)),
            capacity,
            batch: batch.max(1),
            state: RwLock::new(State::default()),
        }
    }

    /// Sets what is done to alerts before they are queued.
    pub fn configure(&self, external_labels: Labels, relabel: Vec<Rule>) {
        let mut state = self.state.write();
        state.external_labels = external_labels;
        state.relabel = relabel;
    }

    /// Makes `wanted` the receivers: those that stay keep their queues, those that are gone give
    /// theirs up.
    pub fn set_receivers(&self, wanted: Vec<NamedSender>) {
        let mut state = self.state.write();
        state.receivers.retain(|receiver| {
            let stays = wanted.iter().any(|(name, _)| *name == receiver.name);
            if !stays {
                receiver.stop.cancel();
                self.metrics.forget(&receiver.name);
            }
            stays
        });
        for (name, sender) in wanted {
            if state.receivers.iter().any(|r| r.name == name) {
                continue;
            }
            self.metrics.started(&name);
            let queue = Arc::new(Queue::new(self.capacity));
            let stop = CancellationToken::new();
            let work = queue::run(
                name.clone(),
                Arc::clone(&queue),
                sender,
                self.batch,
                Arc::clone(&self.metrics),
                stop.clone(),
            );
            state.receivers.push(Receiver {
                name,
                queue,
                stop,
                task: tokio::spawn(work),
            });
        }
        self.metrics.discovered(state.receivers.len());
    }

    /// Queues alerts for every receiver, with external labels added and relabelling applied.
    pub fn send(&self, alerts: Vec<Alert>) {
        let state = self.state.read();
        let alerts: Vec<Alert> = alerts
            .into_iter()
            .filter_map(|a| prepare(&state, a))
            .collect();
        if alerts.is_empty() {
            return;
        }
        for receiver in &state.receivers {
            let dropped = receiver.queue.push(&alerts);
            self.metrics.queued(&receiver.name, receiver.queue.len());
            if dropped > 0 {
                self.metrics.dropped(&receiver.name, dropped);
                tracing::warn!(
                    receiver = receiver.name,
                    dropped,
                    "the queue of alerts is full; the oldest are dropped"
                );
            }
        }
    }

    /// Names of the receivers.
    pub fn receivers(&self) -> Vec<String> {
        self.state
            .read()
            .receivers
            .iter()
            .map(|r| r.name.clone())
            .collect()
    }

    /// Lets senders empty their queues until `deadline`, then stops them.
    pub async fn stop(&self, drain: bool, deadline: std::time::Duration) {
        let receivers = std::mem::take(&mut self.state.write().receivers);
        if drain {
            let empty = async {
                for receiver in &receivers {
                    receiver.queue.drained().await;
                }
            };
            if tokio::time::timeout(deadline, empty).await.is_err() {
                tracing::warn!("stopping with alerts that could not be sent");
            }
        }
        for receiver in receivers {
            receiver.stop.cancel();
            // The task only ends; a panic in it has been logged.
            let _ = receiver.task.await;
        }
    }
}

/// An alert as receivers see it; `None` if relabelling drops it.
fn prepare(state: &State, mut alert: Alert) -> Option<Alert> {
    let mut labels = alert.labels.builder();
    for (name, value) in &state.external_labels {
        if alert.labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    if !relabel::apply(&state.relabel, &mut labels) {
        return None;
    }
    alert.labels = labels.build();
    Some(alert)
}
