//! Alerts as the router keeps them: identity, life span, merging, order
//! (prometheus/alertmanager `types`, `alert`).

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use model::Labels;

use crate::matcher::Mode;

/// An alert instance. Its labels identify it; [`Alert::fingerprint`] is their hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What identifies the alert.
    pub labels: Labels,
    /// What tells people about it.
    pub annotations: Labels,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ended, or will be taken as ended unless it is sent again.
    pub ends_at: Timestamp,
    /// The link back to the expression; may be empty.
    pub generator_url: Arc<str>,
    /// When the router last heard of it.
    pub updated_at: Timestamp,
    /// Whether `ends_at` was made up by the router from `resolve_timeout`.
    pub timeout: bool,
}

/// Why an alert is refused, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAlert {
    /// It would end before it starts.
    #[error("start time must be before end time")]
    EndBeforeStart,
    /// A label name that the mode does not allow.
    #[error("invalid label set: invalid name {}", golang::strconv::quote(.0))]
    LabelName(String),
    /// Nothing that could identify it.
    #[error("at least one label pair required")]
    NoLabels,
    /// An annotation name that the mode does not allow.
    #[error("invalid annotations: invalid name {}", golang::strconv::quote(.0))]
    AnnotationName(String),
}

impl Alert {
    /// The hash of the labels that upstream shows as 16 hex digits.
    pub fn fingerprint(&self) -> u64 {
        self.labels.fingerprint()
    }

    /// The label `alertname`, or the empty string.
    pub fn name(&self) -> &str {
        self.labels.get(model::labels::ALERT_NAME)
    }

    /// Whether the alert has ended at `now`.
    pub fn resolved_at(&self, now: Timestamp) -> bool {
        self.ends_at <= now
    }

    /// Checks what upstream checks before it stores an alert.
    ///
    /// # Errors
    /// [`InvalidAlert`].
    pub fn validate(&self, mode: Mode) -> Result<(), InvalidAlert> {
        let bad_name = |labels: &Labels| {
            labels
                .iter()
                .map(|(name, _)| name)
                .find(|name| !mode.is_label_name(name))
                .map(str::to_owned)
        };
        if self.ends_at < self.starts_at {
            return Err(InvalidAlert::EndBeforeStart);
        }
        if let Some(name) = bad_name(&self.labels) {
            return Err(InvalidAlert::LabelName(name));
        }
        if self.labels.is_empty() {
            return Err(InvalidAlert::NoLabels);
        }
        match bad_name(&self.annotations) {
            Some(name) => Err(InvalidAlert::AnnotationName(name)),
            None => Ok(()),
        }
    }

    /// What becomes of `self`, the newer one, where an alert with the same labels is known: if
    /// their spans overlap they become one, otherwise the newer replaces the older.
    pub fn merged_over(mut self, old: &Alert, now: Timestamp) -> Alert {
        let inside = |t: Timestamp| t > old.starts_at && t < old.ends_at;
        if !inside(self.ends_at) && !inside(self.starts_at) {
            return self;
        }
        if old.updated_at > self.updated_at {
            return old.clone().merged_over(&self, now);
        }
        self.starts_at = self.starts_at.min(old.starts_at);
        // A resolved alert stays resolved unless the other one says a later end; an end that was
        // made up never outlives one that was sent.
        let old_end_counts = if self.resolved_at(now) {
            old.resolved_at(now)
        } else {
            !old.timeout
        };
        if old_end_counts && old.ends_at > self.ends_at {
            self.ends_at = old.ends_at;
        }
        self
    }
}

/// The order of alerts within a notification: by `job`, then `instance` (those with such a label
/// first), then by number of labels, names and values.
pub fn notification_order(a: &Labels, b: &Labels) -> Ordering {
    for name in [model::labels::JOB_NAME, model::labels::INSTANCE_NAME] {
        let by_label = match (a.find(name), b.find(name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        };
        if by_label.is_ne() {
            return by_label;
        }
    }
    label_set_order(a, b)
}

/// `LabelSet.Before` of prometheus/common: fewer labels first, then name by name; the set that has
/// a name that the other one lacks comes later.
pub fn label_set_order(a: &Labels, b: &Labels) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| {
        a.iter()
            .zip(b)
            .find_map(|((a_name, a_value), (b_name, b_value))| {
                // The smaller name is the one missing from the other set.
                let order = b_name.cmp(a_name).then_with(|| a_value.cmp(b_value));
                order.is_ne().then_some(order)
            })
            .unwrap_or(Ordering::Equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn alert(start: i64, end: i64, updated: i64, timeout: bool) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "a")]),
            annotations: Labels::empty(),
            starts_at: at(start),
            ends_at: at(end),
            generator_url: Arc::from(""),
            updated_at: at(updated),
            timeout,
        }
    }

    #[test]
    fn merging() {
        let now = at(100);
        for (name, old, new, start, end) in [
            ("apart", (10, 20, 20, false), (30, 200, 90, false), 30, 200),
            (
                "keeps the start",
                (10, 150, 50, true),
                (60, 200, 90, true),
                10,
                200,
            ),
            (
                "resolved now",
                (10, 150, 50, true),
                (60, 90, 95, false),
                10,
                90,
            ),
            (
                "a sent end outlives a shorter one",
                (10, 300, 50, false),
                (60, 200, 90, true),
                10,
                300,
            ),
            (
                "a made up end does not",
                (10, 300, 50, true),
                (60, 200, 90, true),
                10,
                200,
            ),
            (
                "both ended: the later",
                (10, 95, 50, false),
                (60, 90, 90, false),
                10,
                95,
            ),
        ] {
            let old = alert(old.0, old.1, old.2, old.3);
            let new = alert(new.0, new.1, new.2, new.3).merged_over(&old, now);
            assert_eq!((new.starts_at, new.ends_at), (at(start), at(end)), "{name}");
        }
    }

    #[test]
    fn order_in_a_notification() {
        let sets = [
            vec![("job", "a"), ("instance", "1")],
            vec![("job", "a"), ("instance", "2")],
            vec![("job", "b")],
            vec![("instance", "0")],
            vec![("b", "1")],
            vec![("a", "1")],
            vec![("a", "2")],
            vec![("a", "1"), ("b", "1")],
        ];
        let labels: Vec<Labels> = sets.into_iter().map(Labels::from_pairs).collect();
        for pair in labels.windows(2) {
            assert_eq!(
                notification_order(&pair[0], &pair[1]),
                Ordering::Less,
                "{pair:?}"
            );
            assert_eq!(
                notification_order(&pair[1], &pair[0]),
                Ordering::Greater,
                "{pair:?}"
            );
        }
    }
}
