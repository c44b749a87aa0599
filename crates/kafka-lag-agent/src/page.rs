//! A snapshot as metric families: kafka_exporter's names and words, then ours.

use exposition::{Family, Metric, Value};
use model::MetricType;

use crate::history::History;
use crate::snapshot::Snapshot;

/// The families of a snapshot, those with at least one metric.
pub fn families(
    snapshot: &Snapshot,
    history: &History,
    labels: &[(String, String)],
    now_ms: i64,
) -> Vec<Family> {
    let mut page = Page::new(labels);
    cluster(&mut page, snapshot);
    topics(&mut page, snapshot);
    groups(&mut page, snapshot, history, now_ms);
    configs(&mut page, snapshot);
    log_dirs(&mut page, snapshot);
    page.families.retain(|family| !family.metrics.is_empty());
    page.families
}

struct Page<'a> {
    families: Vec<Family>,
    labels: &'a [(String, String)],
}

/// A family by its place in [`FAMILIES`].
#[derive(Clone, Copy)]
enum Name {
    Brokers,
    BrokerInfo,
    TopicPartitions,
    CurrentOffset,
    OldestOffset,
    Leader,
    Replicas,
    InSync,
    Preferred,
    UnderReplicated,
    Offline,
    GroupOffset,
    GroupOffsetSum,
    GroupLag,
    GroupLagSum,
    GroupMembers,
    GroupLagSeconds,
    GroupInfo,
    UnderMinInSync,
    TopicInfo,
    RetentionSeconds,
    RetentionBytes,
    MinInSync,
    MaxMessageBytes,
    LogSize,
    LogDirOffline,
    LogDirTotal,
    LogDirUsable,
}

/// The names of the labels our metrics have themselves.
pub const LABELS: [&str; 11] = [
    "id",
    "address",
    "topic",
    "partition",
    "consumergroup",
    "state",
    "type",
    "cleanup_policy",
    "broker",
    "log_dir",
    "reason",
];

/// In the order of [`Name`]: name, help.
const FAMILIES: [(&str, &str); 28] = [
    ("kafka_brokers", "Number of Brokers in the Kafka Cluster."),
    ("kafka_broker_info", "Information about the Kafka Broker."),
    (
        "kafka_topic_partitions",
        "Number of partitions for this Topic",
    ),
    (
        "kafka_topic_partition_current_offset",
        "Current Offset of a Broker at Topic/Partition",
    ),
    (
        "kafka_topic_partition_oldest_offset",
        "Oldest Offset of a Broker at Topic/Partition",
    ),
    (
        "kafka_topic_partition_leader",
        "Leader Broker ID of this Topic/Partition",
    ),
    (
        "kafka_topic_partition_replicas",
        "Number of Replicas for this Topic/Partition",
    ),
    (
        "kafka_topic_partition_in_sync_replica",
        "Number of In-Sync Replicas for this Topic/Partition",
    ),
    (
        "kafka_topic_partition_leader_is_preferred",
        "1 if Topic/Partition is using the Preferred Broker",
    ),
    (
        "kafka_topic_partition_under_replicated_partition",
        "1 if Topic/Partition is under Replicated",
    ),
    (
        "kafka_topic_partition_offline",
        "1 if Topic/Partition has no leader",
    ),
    (
        "kafka_consumergroup_current_offset",
        "Current Offset of a ConsumerGroup at Topic/Partition",
    ),
    (
        "kafka_consumergroup_current_offset_sum",
        "Current Offset of a ConsumerGroup at Topic for all partitions",
    ),
    (
        "kafka_consumergroup_lag",
        "Current Approximate Lag of a ConsumerGroup at Topic/Partition",
    ),
    (
        "kafka_consumergroup_lag_sum",
        "Current Approximate Lag of a ConsumerGroup at Topic for all partitions",
    ),
    (
        "kafka_consumergroup_members",
        "Amount of members in a consumer group",
    ),
    (
        "kafka_consumergroup_lag_seconds",
        "Age of the first record a ConsumerGroup has not read at Topic/Partition, as far back as the agent remembers",
    ),
    (
        "kafka_consumergroup_info",
        "State and type of a consumer group, as its coordinator tells them",
    ),
    (
        "kafka_topic_partition_under_min_in_sync_replicas",
        "1 if Topic/Partition has fewer In-Sync Replicas than min.insync.replicas asks for",
    ),
    (
        "kafka_topic_info",
        "How old records of this Topic are removed",
    ),
    (
        "kafka_topic_retention_seconds",
        "retention.ms of this Topic; +Inf: records are kept for ever",
    ),
    (
        "kafka_topic_retention_bytes",
        "retention.bytes of this Topic, for each Partition; +Inf: no limit",
    ),
    (
        "kafka_topic_min_in_sync_replicas",
        "min.insync.replicas of this Topic",
    ),
    (
        "kafka_topic_max_message_bytes",
        "max.message.bytes of this Topic",
    ),
    (
        "kafka_topic_partition_log_size_bytes",
        "Size of the log of a Topic/Partition at a Broker",
    ),
    (
        "kafka_broker_log_dir_offline",
        "1 if a Broker cannot use this folder any more",
    ),
    (
        "kafka_broker_log_dir_total_bytes",
        "Size of the volume a folder of a Broker is on",
    ),
    (
        "kafka_broker_log_dir_usable_bytes",
        "Space left on the volume a folder of a Broker is on",
    ),
];

impl Page<'_> {
    fn new(labels: &[(String, String)]) -> Page<'_> {
        let family = |(name, help): (&str, &str)| Family::new(name, help, MetricType::Gauge);
        Page {
            families: FAMILIES.map(family).into(),
            labels,
        }
    }

    /// Labels are printed by name, as client_golang does.
    fn add(&mut self, name: Name, labels: &[(&str, &str)], value: f64) {
        let own = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut labels: Vec<(String, String)> = own.chain(self.labels.iter().cloned()).collect();
        labels.sort_unstable();
        self.families[name as usize].push(Metric::new(labels, Value::Gauge(value)));
    }
}

fn cluster(page: &mut Page<'_>, snapshot: &Snapshot) {
    page.add(Name::Brokers, &[], snapshot.brokers.len() as f64);
    for broker in &snapshot.brokers {
        let id = broker.id.to_string();
        let labels = [("id", id.as_str()), ("address", &broker.address)];
        page.add(Name::BrokerInfo, &labels, 1.0);
    }
}

fn topics(page: &mut Page<'_>, snapshot: &Snapshot) {
    for (topic, partitions) in &snapshot.topics {
        page.add(
            Name::TopicPartitions,
            &[("topic", topic)],
            partitions.len() as f64,
        );
        for partition in partitions {
            let index = partition.index.to_string();
            let labels = [("topic", &**topic), ("partition", index.as_str())];
            let mut add = |name, value: f64| page.add(name, &labels, value);
            if let Some(leader) = partition.leader {
                add(Name::Leader, f64::from(leader));
            }
            if let Some(end) = partition.end {
                add(Name::CurrentOffset, end as f64);
            }
            if let Some(start) = partition.start {
                add(Name::OldestOffset, start as f64);
            }
            add(Name::Replicas, partition.replicas as f64);
            add(Name::InSync, partition.in_sync as f64);
            add(Name::Preferred, flag(partition.leader_is_preferred()));
            let missing = partition.in_sync < partition.replicas;
            add(Name::UnderReplicated, flag(missing));
            add(Name::Offline, flag(partition.leader.is_none()));
            let config = snapshot.details.configs.get(topic);
            if let Some(wanted) = config.and_then(|config| config.min_in_sync) {
                let in_sync = i64::try_from(partition.in_sync).unwrap_or(i64::MAX);
                add(Name::UnderMinInSync, flag(in_sync < wanted));
            }
        }
    }
}

fn groups(page: &mut Page<'_>, snapshot: &Snapshot, history: &History, now_ms: i64) {
    for (name, group) in &snapshot.groups {
        let labels = [
            ("consumergroup", name.as_str()),
            ("state", &group.state),
            ("type", &group.kind),
        ];
        page.add(Name::GroupInfo, &labels, 1.0);
        if let Some(members) = group.members {
            page.add(Name::GroupMembers, &labels[..1], members as f64);
        }
        for (topic, commits) in &group.commits {
            let mut offset_sum = 0_i64;
            let mut lag_sum = 0_i64;
            for commit in commits {
                let index = commit.partition.to_string();
                let labels = [
                    ("consumergroup", name.as_str()),
                    ("topic", topic),
                    ("partition", &index),
                ];
                // Upstream adds the -1 of a partition without commit too: its sums are kept.
                offset_sum = offset_sum.saturating_add(commit.offset);
                page.add(Name::GroupOffset, &labels, commit.offset as f64);
                let partition = snapshot.partition(topic, commit.partition);
                let Some((partition, end)) = partition.and_then(|p| Some((p, p.end?))) else {
                    continue;
                };
                let lag = match commit.offset {
                    -1 => -1,
                    // Ends are read after commits, so only a topic made anew has less than 0.
                    offset => end.saturating_sub(offset).max(0),
                };
                lag_sum = lag_sum.saturating_add(lag.max(0));
                page.add(Name::GroupLag, &labels, lag as f64);
                let seconds = history.lag_seconds(
                    topic,
                    commit.partition,
                    commit.offset,
                    partition.start,
                    now_ms,
                );
                if let Some(seconds) = seconds {
                    page.add(Name::GroupLagSeconds, &labels, seconds);
                }
            }
            let labels = [("consumergroup", name.as_str()), ("topic", topic)];
            page.add(Name::GroupOffsetSum, &labels, offset_sum as f64);
            page.add(Name::GroupLagSum, &labels, lag_sum as f64);
        }
    }
}

fn configs(page: &mut Page<'_>, snapshot: &Snapshot) {
    for (topic, config) in &snapshot.details.configs {
        // Between two looks at the configuration a topic may go.
        if !snapshot.topics.contains_key(topic) {
            continue;
        }
        let labels = [("topic", &**topic)];
        let limit = |value: i64| match value {
            ..0 => f64::INFINITY,
            value => value as f64,
        };
        let retention = config.retention_ms.map(|ms| limit(ms) / 1000.0);
        for (name, value) in [
            (Name::RetentionSeconds, retention),
            (Name::RetentionBytes, config.retention_bytes.map(limit)),
            (Name::MinInSync, config.min_in_sync.map(|n| n as f64)),
            (
                Name::MaxMessageBytes,
                config.max_message_bytes.map(|n| n as f64),
            ),
        ] {
            if let Some(value) = value {
                page.add(name, &labels, value);
            }
        }
        if let Some(policy) = &config.cleanup_policy {
            let labels = [labels[0], ("cleanup_policy", policy)];
            page.add(Name::TopicInfo, &labels, 1.0);
        }
    }
}

fn log_dirs(page: &mut Page<'_>, snapshot: &Snapshot) {
    for dir in &snapshot.details.log_dirs {
        let broker = dir.broker.to_string();
        let labels = [("broker", broker.as_str()), ("log_dir", &dir.path)];
        page.add(Name::LogDirOffline, &labels, flag(dir.is_offline));
        if let Some(total) = dir.total_bytes {
            page.add(Name::LogDirTotal, &labels, total as f64);
        }
        if let Some(usable) = dir.usable_bytes {
            page.add(Name::LogDirUsable, &labels, usable as f64);
        }
        for (topic, index, bytes) in &dir.logs {
            if snapshot.partition(topic, *index).is_none() {
                continue;
            }
            let index = index.to_string();
            let labels = [
                ("broker", broker.as_str()),
                ("topic", topic),
                ("partition", &index),
            ];
            page.add(Name::LogSize, &labels, *bytes as f64);
        }
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}
