//! What users are told while something is wrong with the server: a list, and a stream of its changes
//! (`/api/v1/notifications` and `/live`).

use parking_lot::Mutex;
use serde::Serialize;
use telemetry::{Counter, Gauge, Registry};
use tokio::sync::broadcast;

/// Changes that a slow subscriber may be behind before it loses some.
const BACKLOG: usize = 16;

/// Something that is the matter, or no longer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    pub text: String,
    /// RFC 3339.
    pub date: String,
    pub active: bool,
}

/// Upstream's texts.
pub const CONFIG_FAILED: &str = "Configuration reload has failed.";
pub const STARTING: &str = "Prometheus is starting and replaying the write-ahead log (WAL).";
pub const STOPPING: &str = "Prometheus is shutting down and gracefully stopping all operations.";

/// The list and its subscribers.
pub struct Notifications {
    state: Mutex<State>,
    most_subscribers: usize,
    subscribers: Gauge,
    sent: Counter,
    dropped: Counter,
}

struct State {
    active: Vec<Notification>,
    /// `None` once the server stops: streams end then.
    changes: Option<broadcast::Sender<Notification>>,
}

/// A stream of changes; its place is free again when it is dropped.
pub struct Subscription {
    changes: broadcast::Receiver<Notification>,
    dropped: Counter,
    _counted: Box<dyn Send>,
}

impl Subscription {
    /// The next change; `None` at the end.
    pub async fn next(&mut self) -> Option<Notification> {
        loop {
            match self.changes.recv().await {
                Ok(change) => return Some(change),
                Err(broadcast::error::RecvError::Lagged(lost)) => self.dropped.add(lost),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Notifications {
    /// An empty list for at most `most_subscribers` at a time.
    pub fn new(most_subscribers: usize, registry: &Registry) -> Notifications {
        let metrics = registry.with_prefix("prometheus_api_notification_");
        Notifications {
            state: Mutex::new(State {
                active: Vec::new(),
                changes: Some(broadcast::channel(BACKLOG).0),
            }),
            most_subscribers,
            subscribers: metrics.gauge(
                "active_subscribers",
                "The current number of active notification subscribers.",
            ),
            sent: metrics.counter(
                "updates_sent_total",
                "Total number of notification updates sent.",
            ),
            dropped: metrics.counter(
                "updates_dropped_total",
                "Total number of notification updates dropped.",
            ),
        }
    }

    /// What is the matter now.
    pub fn active(&self) -> Vec<Notification> {
        self.state.lock().active.clone()
    }

    /// From `now_ms` on `text` is the matter; told again, it has a new date.
    pub fn add(&self, text: &str, now_ms: i64) {
        let mut state = self.state.lock();
        let news = Notification {
            text: text.to_owned(),
            date: crate::api::status::rfc3339(now_ms),
            active: true,
        };
        match state.active.iter_mut().find(|known| known.text == text) {
            Some(known) => *known = news.clone(),
            None => state.active.push(news.clone()),
        }
        self.tell(&state, news);
    }

    /// `text` is no longer the matter.
    pub fn remove(&self, text: &str) {
        let mut state = self.state.lock();
        let Some(at) = state.active.iter().position(|known| known.text == text) else {
            return;
        };
        let mut news = state.active.remove(at);
        news.active = false;
        self.tell(&state, news);
    }

    fn tell(&self, state: &State, news: Notification) {
        if let Some(changes) = &state.changes {
            self.sent.add(changes.receiver_count() as u64);
            // An error says that nobody listens.
            let _ = changes.send(news);
        }
    }

    /// A stream of changes, which begins with what is the matter now; `None` where there are as many already
    /// as are allowed.
    pub fn subscribe(&self) -> Option<(Vec<Notification>, Subscription)> {
        let state = self.state.lock();
        let changes = state.changes.as_ref()?;
        if changes.receiver_count() >= self.most_subscribers {
            return None;
        }
        let subscription = Subscription {
            changes: changes.subscribe(),
            dropped: self.dropped.clone(),
            _counted: Box::new(self.subscribers.guard()),
        };
        Some((state.active.clone(), subscription))
    }

    /// Ends all streams: the server stops.
    pub fn close(&self) {
        self.state.lock().changes = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_told_until_the_end() {
        let registry = Registry::new();
        let all = Notifications::new(1, &registry);
        all.add(STARTING, 0);
        let (now, mut stream) = all.subscribe().unwrap();
        assert_eq!(now.len(), 1);
        assert!(all.subscribe().is_none(), "one place, and it is taken");
        all.remove(STARTING);
        all.remove(STARTING);
        all.add(CONFIG_FAILED, 1_000);
        all.close();
        let first = stream.next().await.unwrap();
        assert_eq!((first.text.as_str(), first.active), (STARTING, false));
        assert_eq!(stream.next().await.unwrap().date, "1970-01-01T00:00:01Z");
        assert!(stream.next().await.is_none());
        assert_eq!(all.active().len(), 1);
        assert!(all.subscribe().is_none());
    }
}
