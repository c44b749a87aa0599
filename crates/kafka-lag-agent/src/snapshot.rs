//! What one poll found out: plain data, made by `poll`, shown by `page`.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Partitions by topic.
pub type Topics = BTreeMap<Arc<str>, Vec<Partition>>;

/// The cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// When the poll ended, milliseconds since 1970.
    pub at_ms: i64,
    pub brokers: Vec<Broker>,
    /// By name, those the filter lets through.
    pub topics: Topics,
    /// By name, those the filter lets through.
    pub groups: BTreeMap<String, Group>,
    /// Commits kept in ZooKeeper, where they are asked for.
    pub zookeeper: Vec<OldCommit>,
    /// What is read less often than at each poll.
    pub details: Arc<Details>,
}

/// How topics are configured and how large logs are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    pub configs: BTreeMap<Arc<str>, TopicConfig>,
    pub log_dirs: Vec<LogDir>,
}

/// What of a topic's configuration a lag is judged by; `None`: the broker did not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicConfig {
    pub cleanup_policy: Option<String>,
    /// Milliseconds; `-1`: for ever.
    pub retention_ms: Option<i64>,
    /// Bytes a partition; `-1`: no limit.
    pub retention_bytes: Option<i64>,
    pub min_in_sync: Option<i64>,
    pub max_message_bytes: Option<i64>,
}

/// A folder of a broker in which logs lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    pub broker: i32,
    pub path: String,
    /// The broker cannot use it any more.
    pub is_offline: bool,
    /// Of the volume it is on, from Kafka 3.3 on.
    pub total_bytes: Option<i64>,
    pub usable_bytes: Option<i64>,
    /// Bytes of each replica's log in it, those the filter lets through.
    pub logs: Vec<(Arc<str>, i32, i64)>,
}

/// A broker as the cluster advertises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    /// `host:port`.
    pub address: String,
}

/// A partition of a topic; the topic's list is ordered by [`Partition::index`].
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    pub index: i32,
    /// The leader's id; `None`: the partition is offline.
    pub leader: Option<i32>,
    /// The first of the replicas, which should lead.
    pub preferred_leader: Option<i32>,
    pub replicas: usize,
    pub in_sync: usize,
    /// The offset after the last record; `None` if the leader did not tell.
    pub end: Option<i64>,
    /// The offset of the first record kept.
    pub start: Option<i64>,
}

/// A consumer group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// The coordinator's word: `Stable`, `Empty`, ...; empty if it did not tell.
    pub state: String,
    /// `classic`, `consumer` (KIP-848) or `share`.
    pub kind: String,
    /// `None`: the coordinator did not tell.
    pub members: Option<usize>,
    /// Commits by topic, ordered by partition.
    pub commits: BTreeMap<Arc<str>, Vec<Commit>>,
}

/// The committed offset of a group in a partition; `-1`: none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    pub partition: i32,
    pub offset: i64,
}

/// A commit of a consumer before Kafka 2, kept in ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldCommit {
    pub group: Arc<str>,
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

impl Snapshot {
    /// A partition by topic and index.
    pub fn partition(&self, topic: &str, index: i32) -> Option<&Partition> {
        let partitions = self.topics.get(topic)?;
        let at = partitions.binary_search_by_key(&index, |partition| partition.index);
        at.ok().map(|at| &partitions[at])
    }
}

impl Partition {
    /// Whether the leader is the one that should be.
    pub fn leader_is_preferred(&self) -> bool {
        self.leader.is_some() && self.leader == self.preferred_leader
    }
}

impl Group {
    /// Completes a topic's commits with `-1` for partitions in `wanted` without one, as
    /// kafka_exporter shows them, so that one can alert on a partition nobody reads. A topic without
    /// any commit stays out: the group does not consume it.
    pub fn complete(&mut self, topic: &Arc<str>, wanted: impl Iterator<Item = i32>) {
        let Some(commits) = self.commits.get_mut(topic) else {
            return;
        };
        commits.sort_by_key(|commit| commit.partition);
        commits.dedup_by_key(|commit| commit.partition);
        let known = commits.len();
        for partition in wanted {
            let present = commits[..known].binary_search_by_key(&partition, |c| c.partition);
            if present.is_err() {
                commits.push(Commit {
                    partition,
                    offset: -1,
                });
            }
        }
        commits.sort_by_key(|commit| commit.partition);
        commits.dedup_by_key(|commit| commit.partition);
    }
}
