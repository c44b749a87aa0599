//! Where the logs end and start, a leader at a time.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;

use crate::cluster::{Cluster, Node};
use crate::connection::{Call, refused};
use crate::error::ClientError;
use crate::poll::{Nodes, Problems, brokers, leaders};
use crate::settings::Settings;
use crate::snapshot::{Partition, Topics};

/// Partitions in one request: bounds the answer to about 200 KB.
const PARTITIONS_A_REQUEST: usize = 4000;

/// The timestamps that mean the end and the start of the log.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A partition by topic and index.
pub type At = (Arc<str>, i32);

/// Fills in ends and starts. Leaders that moved since the metadata was read are looked up once more
/// and asked: a rolling restart makes no gap in the lag of what has a leader.
pub async fn read(
    settings: &Settings,
    cluster: &Cluster,
    nodes: &Nodes,
    topics: &mut Topics,
    problems: &Problems,
) {
    let permits = Semaphore::new(settings.topic_workers);
    let moved = ask(nodes, topics, &by_leader(topics), &permits, problems).await;
    if moved.is_empty() {
        return;
    }
    let metadata = match cluster.metadata(false).await {
        Ok(metadata) => metadata,
        Err(error) => {
            return problems.note(ListOffsetsRequest::NAME, "leaders have moved", &error);
        }
    };
    let leaders = leaders(&metadata);
    let mut now_led: HashMap<i32, Vec<At>> = HashMap::new();
    for ((topic, index), error) in moved {
        let found = leaders.get(&(&*topic, index)).copied();
        let known = partition(topics, &topic, index);
        match (found, known) {
            (Some(leader), Some(known)) if known.leader != Some(leader) => {
                known.leader = Some(leader);
                now_led.entry(leader).or_default().push((topic, index));
            }
            // Nobody else leads it yet: what the broker said stands.
            _ => problems.note(ListOffsetsRequest::NAME, &topic, &error),
        }
    }
    let nodes = cluster.nodes(&brokers(&metadata));
    for ((topic, _), error) in ask(&nodes, topics, &now_led, &permits, problems).await {
        problems.note(ListOffsetsRequest::NAME, &topic, &error);
    }
}

fn partition<'a>(topics: &'a mut Topics, topic: &str, index: i32) -> Option<&'a mut Partition> {
    let partitions = topics.get_mut(topic)?;
    let at = partitions.binary_search_by_key(&index, |partition| partition.index);
    at.ok().map(|at| &mut partitions[at])
}

/// The partitions of each leader.
fn by_leader(topics: &Topics) -> HashMap<i32, Vec<At>> {
    let mut leaders: HashMap<i32, Vec<At>> = HashMap::new();
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

/// Asks each leader for its partitions; gives back those whose leader says that it is none.
async fn ask(
    nodes: &Nodes,
    topics: &mut Topics,
    led: &HashMap<i32, Vec<At>>,
    permits: &Semaphore,
    problems: &Problems,
) -> Vec<(At, ClientError)> {
    let asked = led.iter().filter_map(|(leader, partitions)| {
        let node = nodes.get(leader)?;
        Some(log_offsets(node, partitions, permits, problems))
    });
    let mut moved = Vec::new();
    for answer in join_all(asked).await.into_iter().flatten() {
        let Some((name, _)) = topics.get_key_value(answer.topic.as_str()) else {
            continue;
        };
        let name = Arc::clone(name);
        match refused::<ListOffsetsRequest>(answer.code) {
            Ok(()) if answer.offset < 0 => {}
            Ok(()) => {
                let Some(partition) = partition(topics, &name, answer.index) else {
                    continue;
                };
                match answer.timestamp {
                    LATEST => partition.end = Some(answer.offset),
                    _ => partition.start = Some(answer.offset),
                }
            }
            // Told for the end and for the start; looked up once.
            Err(error) if error.reason() == "leader_moved" => {
                if answer.timestamp == LATEST {
                    moved.push(((name, answer.index), error));
                }
            }
            Err(error) => problems.note(ListOffsetsRequest::NAME, &name, &error),
        }
    }
    moved
}

/// What a leader said about the end (or start, by `timestamp`) of one log.
struct Told {
    topic: StrBytes,
    index: i32,
    timestamp: i64,
    code: i16,
    offset: i64,
}

/// Ends and starts of the logs one broker leads.
async fn log_offsets(
    node: &Node,
    partitions: &[At],
    permits: &Semaphore,
    problems: &Problems,
) -> Vec<Told> {
    let mut told = Vec::with_capacity(2 * partitions.len());
    for timestamp in [LATEST, EARLIEST] {
        for some in partitions.chunks(PARTITIONS_A_REQUEST) {
            let Ok(_permit) = permits.acquire().await else {
                return told;
            };
            let answer = match node.call(|_| request(some, timestamp)).await {
                Ok((_, answer)) => answer,
                Err(error) => {
                    problems.note(ListOffsetsRequest::NAME, "", &error);
                    return told;
                }
            };
            for topic in answer.topics {
                told.extend(topic.partitions.into_iter().map(|partition| Told {
                    topic: topic.name.0.clone(),
                    index: partition.partition_index,
                    timestamp,
                    code: partition.error_code,
                    offset: partition.offset,
                }));
            }
        }
    }
    told
}

fn request(partitions: &[At], timestamp: i64) -> ListOffsetsRequest {
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
