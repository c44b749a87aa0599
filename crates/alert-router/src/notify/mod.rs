//! Receivers: one file each, with its configuration and how it sends.

pub mod discord;
pub mod email;
pub mod http;
pub mod mattermost;
pub mod msteamsv2;
pub mod opsgenie;
pub mod pace;
pub mod pagerduty;
pub mod pushover;
pub mod refused;
pub mod render;
pub mod slack;
pub mod telegram;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use model::Labels;

use self::pace::Pace;
use crate::group::Flushed;
use crate::nflog::{Reason, Value};

/// One way to tell people; built from one entry of a receiver's lists.
pub trait Notifier: Send + Sync {
    /// Sends one notification, once. Answers what is to be remembered of it.
    fn notify<'a>(
        &'a self,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<Memory, Failure>>;
}

/// What an integration remembers about a group from one notification to the next.
pub type Memory = BTreeMap<String, Value>;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The name of the receiver.
    pub receiver: Arc<str>,
    /// The key of the group.
    pub group_key: Arc<str>,
    /// The labels of the group.
    pub group_labels: Labels,
    /// The labels of the route; the values may be templates.
    pub route_labels: BTreeMap<String, String>,
    /// The alerts, in order; without resolved ones if they are not wanted.
    pub alerts: Vec<Flushed>,
    /// Why it is sent.
    pub reason: Reason,
    /// What the last notification of this group left; empty for a first notification.
    pub memory: Memory,
    /// When.
    pub now: Timestamp,
}

impl Notification {
    /// Whether every alert in it is resolved.
    pub fn resolved(&self) -> bool {
        self.alerts.iter().all(|flushed| flushed.resolved)
    }

    /// SHA-256 of the group key, in hex: how receivers know a group.
    pub fn key_hash(&self) -> String {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(self.group_key.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a notification was not delivered. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Whether it may succeed later.
    pub retry: bool,
    /// For the metric.
    pub reason: FailureReason,
    /// For the log.
    pub message: String,
}

/// Upstream's reasons of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// None of the others.
    Other,
    /// The receiver does not like the request.
    ClientError,
    /// The receiver has a problem.
    ServerError,
    /// The router stops or has a new configuration.
    ContextCanceled,
    /// It took too long.
    ContextDeadlineExceeded,
    /// The receiver does not know us.
    AuthError,
    /// Too much was sent.
    RateLimited,
    /// A template fails.
    TemplateError,
}

impl FailureReason {
    /// As the metric has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureReason::Other => "other",
            FailureReason::ClientError => "clientError",
            FailureReason::ServerError => "serverError",
            FailureReason::ContextCanceled => "contextCanceled",
            FailureReason::ContextDeadlineExceeded => "contextDeadlineExceeded",
            FailureReason::AuthError => "authError",
            FailureReason::RateLimited => "rateLimited",
            FailureReason::TemplateError => "templateError",
        }
    }

    /// What an HTTP status means.
    pub const fn of_status(status: u16) -> FailureReason {
        match status {
            401 | 403 => FailureReason::AuthError,
            429 => FailureReason::RateLimited,
            400..=499 => FailureReason::ClientError,
            500..=599 => FailureReason::ServerError,
            _ => FailureReason::Other,
        }
    }
}

impl Failure {
    /// A failure that may pass.
    pub fn passing(message: impl Into<String>) -> Failure {
        Failure {
            retry: true,
            reason: FailureReason::Other,
            message: message.into(),
        }
    }

    /// A failure that stays.
    pub fn lasting(message: impl Into<String>) -> Failure {
        Failure {
            retry: false,
            reason: FailureReason::Other,
            message: message.into(),
        }
    }

    /// The same failure with another reason.
    #[must_use]
    pub fn because(self, reason: FailureReason) -> Failure {
        Failure { reason, ..self }
    }
}

/// An entry of a receiver's lists, ready to send.
pub struct Integration {
    /// `slack`, `email`, ...
    pub name: &'static str,
    /// Its position among those of its kind.
    pub index: u32,
    /// Whether resolved alerts are sent.
    pub send_resolved: bool,
    /// How it sends.
    pub notifier: Box<dyn Notifier>,
    /// How much it sends at once.
    pub pace: Pace,
}

/// Waits between attempts: half a second, half as much again each time, at most a minute, each with
/// a random factor from 0.5 to 1.5 (cenkalti/backoff's defaults, as upstream has them).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    jitter: bool,
}

impl Backoff {
    /// `jitter`: whether the random factor applies; simulations go without.
    pub fn new(jitter: bool) -> Backoff {
        Backoff {
            next: Duration::from_millis(500),
            jitter,
        }
    }

    /// How long to wait before the next attempt.
    pub fn wait(&mut self) -> Duration {
        let factor = if self.jitter {
            rand::random_range(0.5..=1.5)
        } else {
            1.0
        };
        let wait = self.next.mul_f64(factor);
        self.next = self.next.mul_f64(1.5).min(Duration::from_secs(60));
        wait
    }
}
