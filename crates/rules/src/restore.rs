//! The state of `for` from before a restart, out of `ALERTS_FOR_STATE` (prometheus/prometheus
//! `rules/group.go`, RestoreForState).

use model::Labels;
use model::labels::METRIC_NAME;

use crate::alerting::AlertingRule;

/// How far back state is believed, and how long a restored alert waits at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreLimits {
    /// `--rules.alert.for-outage-tolerance`: state older than this is not looked at.
    pub outage_tolerance_ms: i64,
    /// `--rules.alert.for-grace-period`: after an outage an alert fires no sooner than this.
    pub grace_period_ms: i64,
    /// Our addition: an absence no longer than this is a restart, not an outage, and `for` goes on
    /// as if there had been none, whatever its length. Upstream starts a `for` that is shorter than
    /// the grace period from the beginning.
    pub restart_tolerance_ms: i64,
}

impl Default for RestoreLimits {
    fn default() -> RestoreLimits {
        RestoreLimits {
            outage_tolerance_ms: 3_600_000,
            grace_period_ms: 600_000,
            restart_tolerance_ms: 60_000,
        }
    }
}

/// The last sample of a state series.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSample {
    pub labels: Labels,
    /// When it was written.
    pub t_ms: i64,
    /// Since when the alert was active, in seconds.
    pub active_at_s: f64,
}

impl AlertingRule {
    /// Whether restoring could change anything for this rule.
    pub fn wants_restore(&self) -> bool {
        self.spec.hold_ms > 0 && !self.active.is_empty()
    }

    /// Gives active alerts the time they had already waited before the restart, from the last
    /// samples of their state series, and opens the way for the rule's own samples.
    pub fn restore(&mut self, now_ms: i64, limits: &RestoreLimits, states: &[StateSample]) {
        let hold_ms = self.spec.hold_ms;
        for alert in self.active.values_mut() {
            let state = states
                .iter()
                .find(|s| s.labels.without(|n| n == METRIC_NAME) == alert.labels);
            let Some(state) = state.filter(|s| !s.active_at_s.is_nan()) else {
                continue;
            };
            let absent_ms = now_ms - state.t_ms;
            let active_at_ms = (state.active_at_s * 1000.0) as i64;
            if absent_ms <= limits.restart_tolerance_ms {
                alert.active_at_ms = active_at_ms.min(alert.active_at_ms);
                continue;
            }
            if hold_ms < limits.grace_period_ms {
                continue;
            }
            let remaining_ms = hold_ms - (state.t_ms - active_at_ms);
            alert.active_at_ms = if remaining_ms <= 0 {
                active_at_ms
            } else if remaining_ms < limits.grace_period_ms {
                now_ms + limits.grace_period_ms - hold_ms
            } else {
                active_at_ms + absent_ms
            };
        }
        self.restored = true;
    }
}
