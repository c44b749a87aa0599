//! Alerts as senders give them, over HTTP or gRPC, on their way into the state.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::Labels;

use crate::alert::Alert;
use crate::engine::{Commit, Engine};
use crate::moment;
use crate::router::{Refusal, Router};

/// An alert as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Posted<'a> {
    /// Its labels; empty ones do not count.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When it began, if the sender says so.
    pub starts_at: Option<Timestamp>,
    /// When it ends or ended, if the sender says so.
    pub ends_at: Option<Timestamp>,
    /// The link back.
    pub generator_url: Cow<'a, str>,
}

/// What became of a batch.
pub struct Accepted {
    /// Which alerts were refused, by position.
    pub refused: Vec<(usize, Refusal)>,
    /// To wait for before the batch is acknowledged.
    pub commit: Commit,
}

impl Posted<'_> {
    /// With upstream's defaults: it begins now, or when it ends; without an end it counts as
    /// resolved `resolve_timeout` from now.
    fn into_alert(self, router: &mut Router, resolve_timeout: Duration, now: Timestamp) -> Alert {
        Alert {
            starts_at: self.starts_at.or(self.ends_at).unwrap_or(now),
            ends_at: self
                .ends_at
                .unwrap_or_else(|| moment::after(now, resolve_timeout)),
            timeout: self.ends_at.is_none(),
            labels: self.labels,
            annotations: self.annotations,
            generator_url: router.shared_text(&self.generator_url),
            updated_at: now,
        }
    }
}

/// Stores a batch, the valid alerts of it.
pub fn accept(engine: &Engine, batch: Vec<Posted<'_>>) -> Accepted {
    let live = engine.live();
    let resolve_timeout = live.config.global.resolve_timeout.0;
    let metrics = engine.metrics();
    let begin = Instant::now();
    let (refused, commit) = engine.change(|router, now, log| {
        let mut refused = Vec::new();
        for (i, posted) in batch.into_iter().enumerate() {
            let alert = posted.into_alert(router, resolve_timeout, now);
            if alert.resolved_at(now) {
                metrics.received_resolved.inc();
            } else {
                metrics.received_firing.inc();
            }
            if let Err(refusal) = router.put(alert, now, log) {
                match refusal {
                    Refusal::Invalid(_) => metrics.invalid.inc(),
                    Refusal::Limited(_) => metrics.limited.inc(),
                }
                refused.push((i, refusal));
            }
        }
        refused
    });
    metrics.processing.observe_duration(begin.elapsed());
    Accepted { refused, commit }
}
