//! One look at the cluster: topics, then groups and their commits, then log ends. Commits are read
//! before ends, so a lag is never too small by the records that came in between, and never negative.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{ListOffsetsRequest, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::cluster::{Cluster, Node};
use crate::connection::{Call, refused};
use crate::error::ClientError;
use crate::groups::{Coordinator, complete};
use crate::settings::Settings;
use crate::snapshot::{Broker, Partition, Snapshot};

/// Partitions in one ListOffsets request: bounds the answer to about 200 KB.
const PARTITIONS_A_REQUEST: usize = 4000;

/// ListOffsets' timestamps that mean the end and the start of the log.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// What went wrong while the rest went on: how often, and the first of its kind in words.
#[derive(Debug, Default)]
pub struct Problems {
    found: Mutex<BTreeMap<(&'static str, &'static str), Problem>>,
}

/// See [`Problems`].
#[derive(Debug, Clone)]
pub struct Problem {
    pub count: u64,
    pub first: String,
}

impl Problems {
    /// Notes a failed request.
    pub fn note(&self, api: &'static str, about: &str, error: &ClientError) {
        let mut found = self.found.lock();
        let problem = found
            .entry((api, error.reason()))
            .or_insert_with(|| Problem {
                count: 0,
                first: match about {
                    "" => error.to_string(),
                    about => format!("{about}: {error}"),
                },
            });
        problem.count += 1;
    }

    /// Notes an error code inside an answer; whether it was one.
    pub fn note_code<R: Call>(&self, about: &str, code: i16) -> bool {
        match refused::<R>(code) {
            Ok(()) => false,
            Err(error) => {
                self.note(R::NAME, about, &error);
                true
            }
        }
    }

    /// By request and reason.
    pub fn into_found(self) -> BTreeMap<(&'static str, &'static str), Problem> {
        self.found.into_inner()
    }
}

/// Polls the cluster.
///
/// # Errors
/// No broker told what the cluster consists of. Everything else is in `problems`.
pub async fn poll(
    settings: &Settings,
    cluster: &Cluster,
    problems: &Problems,
) -> Result<Snapshot, ClientError> {
    let metadata = cluster.metadata(settings.allow_auto_topic_creation).await?;
    let mut snapshot = Snapshot {
        brokers: brokers(&metadata),
        topics: topics(metadata, settings, problems),
        ..Snapshot::default()
    };
    let nodes = cluster.nodes(&snapshot.brokers);

    let permits = Semaphore::new(settings.group_workers);
    let coordinators = nodes.values().map(|node| {
        let coordinator = Coordinator {
            node,
            settings,
            permits: &permits,
            problems,
            topics: &snapshot.topics,
        };
        async move { coordinator.groups().await }
    });
    let found = join_all(coordinators).await;
    snapshot.groups = complete(found.into_iter().flatten(), &snapshot.topics, settings);

    let permits = Semaphore::new(settings.topic_workers);
    let leaders = by_leader(&snapshot.topics);
    let ends = leaders.iter().filter_map(|(leader, partitions)| {
        let node = nodes.get(leader)?;
        Some(log_offsets(node, partitions, &permits, problems))
    });
    for (topic, index, timestamp, offset) in join_all(ends).await.into_iter().flatten() {
        let Some(partitions) = snapshot.topics.get_mut(topic.as_str()) else {
            continue;
        };
        let Ok(at) = partitions.binary_search_by_key(&index, |partition| partition.index) else {
            continue;
        };
        match timestamp {
            LATEST => partitions[at].end = Some(offset),
            _ => partitions[at].start = Some(offset),
        }
    }
    Ok(snapshot)
}

fn brokers(metadata: &MetadataResponse) -> Vec<Broker> {
    let mut brokers: Vec<Broker> = metadata
        .brokers
        .iter()
        .map(|broker| Broker {
            id: broker.node_id.0,
            address: match broker.host.contains(':') {
                true => format!("[{}]:{}", &*broker.host, broker.port),
                false => format!("{}:{}", &*broker.host, broker.port),
            },
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    brokers.dedup_by_key(|broker| broker.id);
    brokers
}

fn topics(
    metadata: MetadataResponse,
    settings: &Settings,
    problems: &Problems,
) -> BTreeMap<Arc<str>, Vec<Partition>> {
    let mut topics = BTreeMap::new();
    for MetadataResponseTopic {
        name,
        error_code,
        partitions,
        ..
    } in metadata.topics
    {
        let Some(name) = name.filter(|name| settings.topics.wants(name)) else {
            continue;
        };
        // A topic without a leader somewhere is still described.
        let leaderless = ResponseError::LeaderNotAvailable.code();
        if error_code != leaderless && problems.note_code::<MetadataRequest>(&name, error_code) {
            continue;
        }
        let mut partitions: Vec<Partition> = partitions.iter().map(partition).collect();
        partitions.sort_by_key(|partition| partition.index);
        partitions.dedup_by_key(|partition| partition.index);
        topics.insert(Arc::from(&**name), partitions);
    }
    topics
}

fn partition(described: &MetadataResponsePartition) -> Partition {
    let leader = described.leader_id;
    Partition {
        index: described.partition_index,
        leader: (leader.0 >= 0).then_some(leader.0),
        leader_is_preferred: described.replica_nodes.first() == Some(&leader),
        replicas: described.replica_nodes.len(),
        in_sync: described.isr_nodes.len(),
        end: None,
        start: None,
    }
}

/// The partitions of each leader.
fn by_leader(topics: &BTreeMap<Arc<str>, Vec<Partition>>) -> HashMap<i32, Vec<(Arc<str>, i32)>> {
    let mut leaders: HashMap<i32, Vec<(Arc<str>, i32)>> = HashMap::new();
    for (topic, partitions) in topics {
        for partition in partitions {
            if let Some(leader) = partition.leader {
                let led = leaders.entry(leader).or_default();
                led.push((Arc::clone(topic), partition.index));
            }
        }
    }
    leaders
}

/// Ends and starts of the logs one broker leads: topic, partition, which of both, offset.
async fn log_offsets(
    node: &Node,
    partitions: &[(Arc<str>, i32)],
    permits: &Semaphore,
    problems: &Problems,
) -> Vec<(StrBytes, i32, i64, i64)> {
    let mut offsets = Vec::with_capacity(2 * partitions.len());
    for timestamp in [LATEST, EARLIEST] {
        for some in partitions.chunks(PARTITIONS_A_REQUEST) {
            let Ok(_permit) = permits.acquire().await else {
                return offsets;
            };
            let answer = match node.call(|_| list_offsets(some, timestamp)).await {
                Ok((_, answer)) => answer,
                Err(error) => {
                    problems.note(ListOffsetsRequest::NAME, "", &error);
                    return offsets;
                }
            };
            for topic in answer.topics {
                for partition in topic.partitions {
                    let code = partition.error_code;
                    if problems.note_code::<ListOffsetsRequest>(&topic.name, code) {
                        continue;
                    }
                    if partition.offset >= 0 {
                        let name = topic.name.0.clone();
                        offsets.push((
                            name,
                            partition.partition_index,
                            timestamp,
                            partition.offset,
                        ));
                    }
                }
            }
        }
    }
    offsets
}

fn list_offsets(partitions: &[(Arc<str>, i32)], timestamp: i64) -> ListOffsetsRequest {
    let topics = partitions.chunk_by(|a, b| a.0 == b.0).map(|topic| {
        let wanted = topic.iter().map(|(_, index)| {
            ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp)
        });
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic[0].0.to_string())))
            .with_partitions(wanted.collect())
    });
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(topics.collect())
}
