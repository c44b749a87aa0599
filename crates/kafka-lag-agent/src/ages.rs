//! When the first record a group has not read was written, asked of the log itself: for commits that
//! lie further back than the history.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;

use crate::cluster::Node;
use crate::connection::Call;
use crate::poll::{Nodes, Problems};
use crate::records;
use crate::settings::Settings;
use crate::snapshot::Snapshot;

/// Partitions in one request, and how much of each log: an answer stays below 4 MB.
const PARTITIONS_A_REQUEST: usize = 50;
const BYTES_A_PARTITION: i32 = 64 * 1024;

/// Partitions of a broker that are asked alone in one poll; the others follow in the next.
const ALONE_A_POLL: usize = 50;

/// A record by its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unread {
    pub topic: Arc<str>,
    pub index: i32,
    pub offset: i64,
}

/// What the log says about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Written then, in milliseconds since 1970.
    At(i64),
    /// It is not there any more, or has no time.
    Nothing,
    /// We may not read the topic.
    Denied,
}

/// Asks the leaders for the times of `wanted`; what they did not answer is not in the result.
pub async fn read(
    settings: &Settings,
    nodes: &Nodes,
    snapshot: &Snapshot,
    wanted: Vec<Unread>,
    problems: &Problems,
) -> Vec<(Unread, Told)> {
    let mut by_leader: BTreeMap<i32, Vec<Unread>> = BTreeMap::new();
    for record in wanted {
        let partition = snapshot.partition(&record.topic, record.index);
        if let Some(leader) = partition.and_then(|partition| partition.leader) {
            by_leader.entry(leader).or_default().push(record);
        }
    }
    let permits = Semaphore::new(settings.topic_workers);
    let asked = by_leader.into_iter().filter_map(|(leader, records)| {
        let node = nodes.get(&leader)?;
        Some(ask(node, records, &permits, problems))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn ask(
    node: &Node,
    mut records: Vec<Unread>,
    permits: &Semaphore,
    problems: &Problems,
) -> Vec<(Unread, Told)> {
    let mut told = Vec::new();
    let mut alone = Vec::new();
    while !records.is_empty() {
        // A request names a partition once; groups stand at different offsets of it.
        let mut named = HashSet::new();
        let (now, later) = records.into_iter().partition(|record| {
            named.len() < PARTITIONS_A_REQUEST
                && named.insert((Arc::clone(&record.topic), record.index))
        });
        records = later;
        let Some(answers) = fetch(node, now, BYTES_A_PARTITION, permits, problems).await else {
            return told;
        };
        for (record, answer) in answers {
            match answer {
                Some(answer) => told.push((record, answer)),
                None => alone.push(record),
            }
        }
    }
    // A batch larger than what was asked for comes only as the first of an answer.
    alone.truncate(ALONE_A_POLL);
    for record in alone {
        let Some(answers) = fetch(node, vec![record], 1, permits, problems).await else {
            return told;
        };
        let answers = answers.into_iter();
        told.extend(answers.map(|(record, answer)| (record, answer.unwrap_or(Told::Nothing))));
    }
    told
}

/// One request; `None` inside for a partition of which nothing came.
async fn fetch(
    node: &Node,
    records: Vec<Unread>,
    bytes: i32,
    permits: &Semaphore,
    problems: &Problems,
) -> Option<Vec<(Unread, Option<Told>)>> {
    let _permit = permits.acquire().await.ok()?;
    let answer = match node.call(|_| request(&records, bytes)).await {
        Ok((_, answer)) => answer,
        Err(error) => {
            problems.note(FetchRequest::NAME, "", &error);
            return None;
        }
    };
    if problems.note_code::<FetchRequest>(&node.address, answer.error_code) {
        return None;
    }
    let mut told = Vec::with_capacity(records.len());
    for topic in answer.responses {
        for partition in topic.partitions {
            let Some(record) = records
                .iter()
                .find(|r| *r.topic == **topic.topic && r.index == partition.partition_index)
            else {
                continue;
            };
            let answer = match ResponseError::try_from_code(partition.error_code) {
                None => {
                    let log = partition.records.unwrap_or_default();
                    let time = records::written_ms(&log, record.offset);
                    match (log.is_empty(), time) {
                        (true, _) => None,
                        (false, Some(time)) => Some(Told::At(time)),
                        (false, None) => Some(Told::Nothing),
                    }
                }
                // Deleted since we asked where the log starts.
                Some(ResponseError::OffsetOutOfRange) => Some(Told::Nothing),
                Some(error) => {
                    problems.note_code::<FetchRequest>(&record.topic, partition.error_code);
                    match error {
                        ResponseError::TopicAuthorizationFailed => Some(Told::Denied),
                        _ => continue,
                    }
                }
            };
            told.push((record.clone(), answer));
        }
    }
    Some(told)
}

fn request(records: &[Unread], bytes: i32) -> FetchRequest {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for record in records {
        let partition = FetchPartition::default()
            .with_partition(record.index)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(record.offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(bytes);
        topics.entry(&record.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions)
    });
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_bytes(bytes.saturating_mul(PARTITIONS_A_REQUEST as i32))
        // No fetch session: each request stands for itself.
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}
