//! Alerts as they travel from a rule evaluator to a router.

use crate::Labels;

/// An alert instance, identified by its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What identifies the alert; `alertname` is among them.
    pub labels: Labels,
    /// What tells people about it.
    pub annotations: Labels,
    /// When it began.
    pub starts_at_ms: i64,
    /// When it ended, or will be taken as ended if nobody sends it again.
    pub ends_at_ms: Option<i64>,
    /// The link back to the expression.
    pub generator_url: String,
}

impl Alert {
    /// Whether the alert has ended at `now_ms`.
    pub fn resolved_at(&self, now_ms: i64) -> bool {
        self.ends_at_ms.is_some_and(|end| end <= now_ms)
    }
}
