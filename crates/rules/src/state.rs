//! An alert's life: pending, firing, resolved.

use model::Labels;

/// Where an alert, or the worst alert of a rule, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// The rule has not been evaluated yet.
    Unknown,
    Inactive,
    Pending,
    Firing,
}

impl AlertState {
    /// The word in `ALERTS{alertstate=...}` and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// How long a resolved alert is kept, so that its end reaches receivers that were away.
pub const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// One alert of an alerting rule. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    pub labels: Labels,
    pub annotations: Labels,
    pub state: AlertState,
    /// The value at the last evaluation.
    pub value: f64,
    /// Since when the expression holds.
    pub active_at_ms: i64,
    pub fired_at_ms: Option<i64>,
    pub resolved_at_ms: Option<i64>,
    pub last_sent_at_ms: Option<i64>,
    pub keep_firing_since_ms: Option<i64>,
    /// Until when receivers are to believe it, as of the last sending.
    pub valid_until_ms: i64,
}

impl ActiveAlert {
    /// Whether the alert is to be sent now: at once when it fires or resolves, then every
    /// `resend_delay_ms`.
    pub fn needs_sending(&self, now_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let Some(last_sent_ms) = self.last_sent_at_ms else {
            return true;
        };
        self.resolved_at_ms
            .is_some_and(|resolved| resolved > last_sent_ms)
            || last_sent_ms + resend_delay_ms < now_ms
    }

    /// The alert as receivers get it.
    pub fn to_alert(&self, generator_url: &str) -> model::Alert {
        model::Alert {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at_ms: self.fired_at_ms.unwrap_or(self.active_at_ms),
            ends_at_ms: Some(self.resolved_at_ms.unwrap_or(self.valid_until_ms)),
            generator_url: generator_url.to_owned(),
        }
    }
}
