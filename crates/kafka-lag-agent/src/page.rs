//! The page: kafka_exporter's families in its words, then ours.
//!
//! A large cluster has some hundred thousand series, so each is written as it is found; no family is
//! ever built. A family is one entry of [`FAMILIES`].

use std::sync::Arc;

use exposition::Writer;
use model::MetricType;

use crate::history::History;
use crate::snapshot::{Broker, Commit, Group, LogDir, Partition, Snapshot, TopicConfig};

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

/// What is known of one cluster when somebody scrapes.
pub struct View<'a> {
    /// Why the last poll did not succeed, in one word; `None`: it did.
    pub down: Option<&'a str>,
    /// Age of the last good poll in seconds, if there was one.
    pub age: Option<f64>,
    /// What the last good poll found, unless it is too old.
    pub snapshot: Option<&'a Snapshot>,
    pub history: &'a History,
    /// Labels of every sample.
    pub labels: &'a [(String, String)],
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// Writes the families of all clusters, those with at least one sample.
pub fn write(views: &[View<'_>], writer: &mut Writer) {
    for (name, help, samples) in FAMILIES {
        let mut family = Family {
            name,
            help,
            begun: false,
            labels: &[],
            writer,
        };
        for view in views {
            family.labels = view.labels;
            match samples {
                Samples::Cluster(write) => write(view, &mut family),
                Samples::Snapshot(write) => {
                    if let Some(snapshot) = view.snapshot {
                        write(snapshot, &mut family);
                    }
                }
                Samples::Broker(value) => brokers(view, &mut family, value),
                Samples::Topic(value) => topics(view, &mut family, value),
                Samples::Partition(value) => partitions(view, &mut family, value),
                Samples::LogDir(value) => log_dirs(view, &mut family, value),
                Samples::Group(write) => groups(view, &mut family, write),
                Samples::GroupTopic(value) => group_topics(view, &mut family, value),
                Samples::Commit(value) => commits(view, &mut family, value),
            }
        }
    }
}

/// A family that is begun with its first sample.
struct Family<'a> {
    name: &'static str,
    help: &'static str,
    begun: bool,
    labels: &'a [(String, String)],
    writer: &'a mut Writer,
}

impl Family<'_> {
    /// Labels are printed by name, as client_golang does.
    fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        if !self.begun {
            self.begun = true;
            self.writer.family(self.name, self.help, MetricType::Gauge);
        }
        let constant = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut all: Vec<(&str, &str)> = labels.iter().copied().chain(constant).collect();
        all.sort_unstable();
        self.writer.sample(&all, value);
    }
}

/// What a family has a sample for, and its value; no value, no sample.
enum Samples {
    /// Whatever the function writes, with or without a good poll.
    Cluster(fn(&View<'_>, &mut Family<'_>)),
    Snapshot(fn(&Snapshot, &mut Family<'_>)),
    Broker(fn(&Broker) -> f64),
    Topic(fn(&TopicConfig) -> Option<f64>),
    Partition(fn(&Partition, Option<&TopicConfig>) -> Option<f64>),
    LogDir(fn(&LogDir) -> Option<f64>),
    Group(fn(&str, &Group, &mut Family<'_>)),
    GroupTopic(fn(&[Read<'_>]) -> f64),
    Commit(fn(&View<'_>, &Read<'_>) -> Option<f64>),
}

/// A group's commit and the partition it is about.
struct Read<'a> {
    topic: &'a Arc<str>,
    commit: Commit,
    partition: Option<&'a Partition>,
}

impl Read<'_> {
    /// Records not read; `-1` without commit, `None` where the log's end is not known. Ends are read
    /// after commits, so only a topic made anew would have less than 0.
    fn lag(&self) -> Option<i64> {
        let end = self.partition?.end?;
        match self.commit.offset {
            -1 => Some(-1),
            offset => Some(end.saturating_sub(offset).max(0)),
        }
    }
}

/// Name, help, samples.
const FAMILIES: [(&str, &str, Samples); 32] = [
    (
        "kafka_up",
        "1 if the last poll of the cluster succeeded",
        Samples::Cluster(|view, family| family.add(&[], flag(view.down.is_none()))),
    ),
    (
        "kafka_lag_agent_down",
        "Why the last poll of the cluster did not succeed",
        Samples::Cluster(|view, family| {
            if let Some(reason) = view.down {
                family.add(&[("reason", reason)], 1.0);
            }
        }),
    ),
    (
        "kafka_lag_agent_data_age_seconds",
        "How long ago the last successful poll ended",
        Samples::Cluster(|view, family| {
            if let Some(age) = view.age {
                family.add(&[], age);
            }
        }),
    ),
    (
        "kafka_brokers",
        "Number of Brokers in the Kafka Cluster.",
        Samples::Snapshot(|snapshot, family| family.add(&[], snapshot.brokers.len() as f64)),
    ),
    (
        "kafka_broker_info",
        "Information about the Kafka Broker.",
        Samples::Broker(|_| 1.0),
    ),
    (
        "kafka_topic_partitions",
        "Number of partitions for this Topic",
        Samples::Snapshot(|snapshot, family| {
            for (topic, partitions) in &snapshot.topics {
                family.add(&[("topic", topic)], partitions.len() as f64);
            }
        }),
    ),
    (
        "kafka_topic_partition_current_offset",
        "Current Offset of a Broker at Topic/Partition",
        Samples::Partition(|partition, _| partition.end.map(|end| end as f64)),
    ),
    (
        "kafka_topic_partition_oldest_offset",
        "Oldest Offset of a Broker at Topic/Partition",
        Samples::Partition(|partition, _| partition.start.map(|start| start as f64)),
    ),
    (
        "kafka_topic_partition_leader",
        "Leader Broker ID of this Topic/Partition",
        Samples::Partition(|partition, _| partition.leader.map(f64::from)),
    ),
    (
        "kafka_topic_partition_replicas",
        "Number of Replicas for this Topic/Partition",
        Samples::Partition(|partition, _| Some(partition.replicas as f64)),
    ),
    (
        "kafka_topic_partition_in_sync_replica",
        "Number of In-Sync Replicas for this Topic/Partition",
        Samples::Partition(|partition, _| Some(partition.in_sync as f64)),
    ),
    (
        "kafka_topic_partition_leader_is_preferred",
        "1 if Topic/Partition is using the Preferred Broker",
        Samples::Partition(|partition, _| Some(flag(partition.leader_is_preferred()))),
    ),
    (
        "kafka_topic_partition_under_replicated_partition",
        "1 if Topic/Partition is under Replicated",
        Samples::Partition(|partition, _| Some(flag(partition.in_sync < partition.replicas))),
    ),
    (
        "kafka_topic_partition_offline",
        "1 if Topic/Partition has no leader",
        Samples::Partition(|partition, _| Some(flag(partition.leader.is_none()))),
    ),
    (
        "kafka_topic_partition_under_min_in_sync_replicas",
        "1 if Topic/Partition has fewer In-Sync Replicas than min.insync.replicas asks for",
        Samples::Partition(|partition, config| {
            let wanted = config?.min_in_sync?;
            let in_sync = i64::try_from(partition.in_sync).unwrap_or(i64::MAX);
            Some(flag(in_sync < wanted))
        }),
    ),
    (
        "kafka_consumergroup_current_offset",
        "Current Offset of a ConsumerGroup at Topic/Partition",
        Samples::Commit(|_, read| Some(read.commit.offset as f64)),
    ),
    (
        "kafka_consumergroup_current_offset_sum",
        "Current Offset of a ConsumerGroup at Topic for all partitions",
        // Upstream adds the -1 of a partition without commit too: its sums are kept.
        Samples::GroupTopic(|reads| sum(reads.iter().map(|read| read.commit.offset))),
    ),
    (
        "kafka_consumergroup_lag",
        "Current Approximate Lag of a ConsumerGroup at Topic/Partition",
        Samples::Commit(|_, read| read.lag().map(|lag| lag as f64)),
    ),
    (
        "kafka_consumergroup_lag_sum",
        "Current Approximate Lag of a ConsumerGroup at Topic for all partitions",
        Samples::GroupTopic(|reads| sum(reads.iter().filter_map(Read::lag).map(|lag| lag.max(0)))),
    ),
    (
        "kafka_consumergroup_members",
        "Amount of members in a consumer group",
        Samples::Group(|name, group, family| {
            if let Some(members) = group.members {
                family.add(&[("consumergroup", name)], members as f64);
            }
        }),
    ),
    (
        "kafka_consumergroup_lag_seconds",
        "Age of the first record a ConsumerGroup has not read at Topic/Partition",
        Samples::Commit(|view, read| {
            let partition = read.partition?;
            partition.end?;
            let (index, offset) = (read.commit.partition, read.commit.offset);
            let (start, now_ms) = (partition.start, view.now_ms);
            view.history
                .lag_seconds(read.topic, index, offset, start, now_ms)
        }),
    ),
    (
        "kafka_consumergroupzookeeper_lag_zookeeper",
        "Current Approximate Lag(zookeeper) of a ConsumerGroup at Topic/Partition",
        Samples::Snapshot(zookeeper_lags),
    ),
    (
        "kafka_consumergroup_info",
        "State and type of a consumer group, as its coordinator tells them",
        Samples::Group(|name, group, family| {
            let labels = [
                ("consumergroup", name),
                ("state", &group.state),
                ("type", &group.kind),
            ];
            family.add(&labels, 1.0);
        }),
    ),
    (
        "kafka_topic_info",
        "How old records of this Topic are removed",
        Samples::Snapshot(|snapshot, family| {
            for (topic, config) in configs(snapshot) {
                if let Some(policy) = &config.cleanup_policy {
                    family.add(&[("topic", topic), ("cleanup_policy", policy)], 1.0);
                }
            }
        }),
    ),
    (
        "kafka_topic_retention_seconds",
        "retention.ms of this Topic; +Inf: records are kept for ever",
        Samples::Topic(|config| Some(limit(config.retention_ms?) / 1000.0)),
    ),
    (
        "kafka_topic_retention_bytes",
        "retention.bytes of this Topic, for each Partition; +Inf: no limit",
        Samples::Topic(|config| config.retention_bytes.map(limit)),
    ),
    (
        "kafka_topic_min_in_sync_replicas",
        "min.insync.replicas of this Topic",
        Samples::Topic(|config| Some(config.min_in_sync? as f64)),
    ),
    (
        "kafka_topic_max_message_bytes",
        "max.message.bytes of this Topic",
        Samples::Topic(|config| Some(config.max_message_bytes? as f64)),
    ),
    (
        "kafka_topic_partition_log_size_bytes",
        "Size of the log of a Topic/Partition at a Broker",
        Samples::Snapshot(log_sizes),
    ),
    (
        "kafka_broker_log_dir_offline",
        "1 if a Broker cannot use this folder any more",
        Samples::LogDir(|dir| Some(flag(dir.is_offline))),
    ),
    (
        "kafka_broker_log_dir_total_bytes",
        "Size of the volume a folder of a Broker is on",
        Samples::LogDir(|dir| Some(dir.total_bytes? as f64)),
    ),
    (
        "kafka_broker_log_dir_usable_bytes",
        "Space left on the volume a folder of a Broker is on",
        Samples::LogDir(|dir| Some(dir.usable_bytes? as f64)),
    ),
];

fn brokers(view: &View<'_>, family: &mut Family<'_>, value: fn(&Broker) -> f64) {
    for broker in view.snapshot.iter().flat_map(|snapshot| &snapshot.brokers) {
        let id = broker.id.to_string();
        let labels = [("id", id.as_str()), ("address", &broker.address)];
        family.add(&labels, value(broker));
    }
}

fn topics(view: &View<'_>, family: &mut Family<'_>, value: fn(&TopicConfig) -> Option<f64>) {
    for (topic, config) in view.snapshot.into_iter().flat_map(configs) {
        if let Some(value) = value(config) {
            family.add(&[("topic", topic)], value);
        }
    }
}

/// The configurations of topics that are there: between two looks at them a topic may go.
fn configs(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &TopicConfig)> {
    let configs = snapshot.details.configs.iter();
    let there = configs.filter(|(topic, _)| snapshot.topics.contains_key(*topic));
    there.map(|(topic, config)| (&**topic, config))
}

fn partitions(
    view: &View<'_>,
    family: &mut Family<'_>,
    value: fn(&Partition, Option<&TopicConfig>) -> Option<f64>,
) {
    let Some(snapshot) = view.snapshot else {
        return;
    };
    for (topic, partitions) in &snapshot.topics {
        let config = snapshot.details.configs.get(topic);
        for partition in partitions {
            if let Some(value) = value(partition, config) {
                let index = partition.index.to_string();
                family.add(&[("topic", topic), ("partition", &index)], value);
            }
        }
    }
}

fn log_dirs(view: &View<'_>, family: &mut Family<'_>, value: fn(&LogDir) -> Option<f64>) {
    for dir in view.snapshot.iter().flat_map(|s| &s.details.log_dirs) {
        if let Some(value) = value(dir) {
            let broker = dir.broker.to_string();
            family.add(&[("broker", &broker), ("log_dir", &dir.path)], value);
        }
    }
}

fn log_sizes(snapshot: &Snapshot, family: &mut Family<'_>) {
    for dir in &snapshot.details.log_dirs {
        let broker = dir.broker.to_string();
        for (topic, index, bytes) in &dir.logs {
            if snapshot.partition(topic, *index).is_some() {
                let index = index.to_string();
                let labels = [
                    ("broker", broker.as_str()),
                    ("topic", topic),
                    ("partition", &index),
                ];
                family.add(&labels, *bytes as f64);
            }
        }
    }
}

/// Upstream gives these no constant labels, and shows no group that has read nothing.
fn zookeeper_lags(snapshot: &Snapshot, family: &mut Family<'_>) {
    family.labels = &[];
    for commit in snapshot.zookeeper.iter().filter(|commit| commit.offset > 0) {
        let partition = snapshot.partition(&commit.topic, commit.partition);
        let Some(end) = partition.and_then(|partition| partition.end) else {
            continue;
        };
        let index = commit.partition.to_string();
        let labels = [
            ("consumergroup", &*commit.group),
            ("topic", &commit.topic),
            ("partition", &index),
        ];
        let lag = end.saturating_sub(commit.offset).max(0);
        family.add(&labels, lag as f64);
    }
}

fn groups(view: &View<'_>, family: &mut Family<'_>, write: fn(&str, &Group, &mut Family<'_>)) {
    for (name, group) in view.snapshot.iter().flat_map(|snapshot| &snapshot.groups) {
        write(name, group, family);
    }
}

fn group_topics(view: &View<'_>, family: &mut Family<'_>, value: fn(&[Read<'_>]) -> f64) {
    let Some(snapshot) = view.snapshot else {
        return;
    };
    for (name, group) in &snapshot.groups {
        for (topic, commits) in &group.commits {
            let reads: Vec<Read<'_>> = reads(snapshot, topic, commits).collect();
            family.add(&[("consumergroup", name), ("topic", topic)], value(&reads));
        }
    }
}

fn commits(
    view: &View<'_>,
    family: &mut Family<'_>,
    value: fn(&View<'_>, &Read<'_>) -> Option<f64>,
) {
    let Some(snapshot) = view.snapshot else {
        return;
    };
    for (name, group) in &snapshot.groups {
        for (topic, commits) in &group.commits {
            for read in reads(snapshot, topic, commits) {
                if let Some(value) = value(view, &read) {
                    let index = read.commit.partition.to_string();
                    let labels = [
                        ("consumergroup", name.as_str()),
                        ("topic", topic),
                        ("partition", &index),
                    ];
                    family.add(&labels, value);
                }
            }
        }
    }
}

fn reads<'a>(
    snapshot: &'a Snapshot,
    topic: &'a Arc<str>,
    commits: &'a [Commit],
) -> impl Iterator<Item = Read<'a>> {
    commits.iter().map(move |commit| Read {
        topic,
        commit: *commit,
        partition: snapshot.partition(topic, commit.partition),
    })
}

fn sum(values: impl Iterator<Item = i64>) -> f64 {
    values.fold(0_i64, i64::saturating_add) as f64
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// A setting of which less than 0 means no limit.
fn limit(value: i64) -> f64 {
    match value {
        ..0 => f64::INFINITY,
        value => value as f64,
    }
}
