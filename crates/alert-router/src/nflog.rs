//! The notification log: what was sent to whom, so that nothing is sent twice
//! (prometheus/alertmanager `nflog`, `notify/dedup_stage.go`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::moment;

/// One integration of a receiver: who was notified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receiver {
    /// The receiver's name.
    pub group_name: Arc<str>,
    /// The kind of integration: `slack`, `email`, ...
    pub integration: Arc<str>,
    /// Its position among those of the same kind.
    pub index: u32,
}

/// What identifies an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The key of the alert group.
    pub group_key: Arc<str>,
    /// Who was notified.
    pub receiver: Receiver,
}

/// The last notification of a group to an integration.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was sent.
    pub timestamp: Timestamp,
    /// Hashes of the alerts that were firing, sorted.
    pub firing: Vec<u64>,
    /// Hashes of the alerts that were resolved, sorted.
    pub resolved: Vec<u64>,
    /// What the integration wants to remember, such as the identity of a message.
    pub data: BTreeMap<String, Value>,
    /// When the entry may be forgotten.
    pub expires_at: Timestamp,
}

/// A value that an integration remembers.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
}

/// Why a group is sent, in the words that templates see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nobody was told of this group yet, or it was all resolved.
    FirstNotification,
    /// Alerts have joined.
    NewAlertsInGroup,
    /// Some alerts are resolved.
    NewResolvedAlerts,
    /// All alerts are resolved.
    AllAlertsResolved,
    /// Nothing changed, but the repeat interval has passed.
    RepeatIntervalElapsed,
}

impl Reason {
    /// As upstream writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::FirstNotification => "first notification",
            Reason::NewAlertsInGroup => "new alerts in group",
            Reason::NewResolvedAlerts => "new resolved alerts",
            Reason::AllAlertsResolved => "all alerts resolved",
            Reason::RepeatIntervalElapsed => "repeat interval elapsed",
        }
    }
}

/// All entries.
#[derive(Debug, Default)]
pub struct Log {
    entries: HashMap<Key, Entry>,
}

impl Log {
    /// The last notification, if it is known.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether an entry of another router says more than is known here.
    pub fn is_news(&self, key: &Key, entry: &Entry, now: Timestamp) -> bool {
        let known = self.entries.get(key);
        entry.expires_at >= now && known.is_none_or(|known| known.timestamp < entry.timestamp)
    }

    /// Puts an entry in, unless a later one is there.
    pub fn set(&mut self, key: Key, entry: Entry) {
        match self.entries.get(&key) {
            Some(known) if known.timestamp > entry.timestamp => {}
            _ => {
                self.entries.insert(key, entry);
            }
        }
    }

    /// Forgets what has expired; answers how many entries that were.
    pub fn remove_expired(&mut self, now: Timestamp) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.expires_at > now);
        before - self.entries.len()
    }
}

/// Until when an entry is kept: twice the repeat interval, but no longer than the retention.
pub fn expiry(now: Timestamp, repeat: Duration, retention: Duration) -> Timestamp {
    let wanted = repeat.saturating_mul(2);
    moment::after(
        now,
        if wanted.is_zero() {
            retention
        } else {
            wanted.min(retention)
        },
    )
}

/// Decides whether a group is sent, and why. `firing` and `resolved` are sorted.
pub fn decide(
    entry: Option<&Entry>,
    firing: &[u64],
    resolved: &[u64],
    send_resolved: bool,
    repeat: Duration,
    now: Timestamp,
) -> Option<Reason> {
    let Some(entry) = entry else {
        return (!firing.is_empty()).then_some(Reason::FirstNotification);
    };
    let subset = |part: &[u64], whole: &[u64]| part.iter().all(|x| whole.binary_search(x).is_ok());
    if !subset(firing, &entry.firing) {
        return Some(if entry.firing.is_empty() {
            Reason::FirstNotification
        } else {
            Reason::NewAlertsInGroup
        });
    }
    if firing.is_empty() {
        // Independent of send_resolved, so that the log forgets what was firing. If nothing was,
        // then alerts came and went without anyone being told.
        return (!entry.firing.is_empty()).then_some(Reason::AllAlertsResolved);
    }
    if send_resolved && !subset(resolved, &entry.resolved) {
        return Some(Reason::NewResolvedAlerts);
    }
    (entry.timestamp < moment::before(now, repeat)).then_some(Reason::RepeatIntervalElapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions() {
        let now: Timestamp = "2024-01-01T10:00:00Z".parse().unwrap();
        let repeat = Duration::from_secs(3600);
        let entry = |firing: &[u64], resolved: &[u64], age: u64| Entry {
            timestamp: moment::before(now, Duration::from_secs(age)),
            firing: firing.to_vec(),
            resolved: resolved.to_vec(),
            data: BTreeMap::new(),
            expires_at: Timestamp::MAX,
        };
        for (name, known, firing, resolved, send_resolved, expected) in [
            (
                "new",
                None,
                &[1][..],
                &[][..],
                true,
                Some(Reason::FirstNotification),
            ),
            ("only resolved", None, &[], &[1], true, None),
            (
                "more",
                Some(entry(&[1], &[], 1)),
                &[1, 2],
                &[],
                true,
                Some(Reason::NewAlertsInGroup),
            ),
            (
                "again",
                Some(entry(&[], &[1], 1)),
                &[1],
                &[],
                true,
                Some(Reason::FirstNotification),
            ),
            (
                "all gone",
                Some(entry(&[1], &[], 1)),
                &[],
                &[1],
                false,
                Some(Reason::AllAlertsResolved),
            ),
            (
                "nobody knew",
                Some(entry(&[], &[2], 1)),
                &[],
                &[1],
                true,
                None,
            ),
            (
                "one gone",
                Some(entry(&[1, 2], &[], 1)),
                &[1],
                &[2],
                true,
                Some(Reason::NewResolvedAlerts),
            ),
            (
                "one gone, unwanted",
                Some(entry(&[1, 2], &[], 1)),
                &[1],
                &[2],
                false,
                None,
            ),
            ("same", Some(entry(&[1], &[], 3600)), &[1], &[], true, None),
            (
                "repeat",
                Some(entry(&[1], &[], 3601)),
                &[1],
                &[],
                true,
                Some(Reason::RepeatIntervalElapsed),
            ),
        ] {
            let got = decide(known.as_ref(), firing, resolved, send_resolved, repeat, now);
            assert_eq!(got, expected, "{name}");
        }
    }
}
