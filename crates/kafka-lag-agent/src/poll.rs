//! One look at the cluster: topics, then groups and their commits, then log ends. Commits are read
//! before ends, so a lag is never too small by the records that came in between, and never negative.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::cluster::{Cluster, Node};
use crate::connection::{Call, refused};
use crate::ends;
use crate::error::ClientError;
use crate::groups::{Coordinator, complete};
use crate::settings::Settings;
use crate::snapshot::{Broker, Partition, Snapshot, Topics};
use crate::zookeeper;

/// The brokers of a cluster by id.
pub type Nodes = HashMap<i32, Arc<Node>>;

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

/// Polls the cluster; also gives the connections, for what is read beside.
///
/// # Errors
/// No broker told what the cluster consists of. Everything else is in `problems`.
pub async fn poll(
    settings: &Settings,
    cluster: &Cluster,
    problems: &Problems,
) -> Result<(Snapshot, Nodes), ClientError> {
    cluster.begin_poll();
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
    let old = async {
        let commits = zookeeper::commits(settings, &snapshot.topics).await;
        commits.unwrap_or_else(|error| {
            problems.note(zookeeper::NAME, "", &error);
            Vec::new()
        })
    };
    let (found, old) = tokio::join!(join_all(coordinators), old);
    snapshot.groups = complete(found.into_iter().flatten(), &snapshot.topics, settings);

    snapshot.zookeeper = old;

    ends::read(settings, cluster, &nodes, &mut snapshot.topics, problems).await;
    Ok((snapshot, nodes))
}

/// The brokers of a cluster by id.
pub fn brokers(metadata: &MetadataResponse) -> Vec<Broker> {
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

fn topics(metadata: MetadataResponse, settings: &Settings, problems: &Problems) -> Topics {
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

/// The leader of each partition, as metadata tells it now.
pub fn leaders(metadata: &MetadataResponse) -> HashMap<(&str, i32), i32> {
    let topics = metadata.topics.iter();
    let named = topics.filter_map(|topic| Some((topic.name.as_deref()?, &topic.partitions)));
    named
        .flat_map(|(name, partitions)| {
            let led = partitions.iter().filter(|p| p.leader_id.0 >= 0);
            led.map(move |p| ((name.as_str(), p.partition_index), p.leader_id.0))
        })
        .collect()
}

fn partition(described: &MetadataResponsePartition) -> Partition {
    let leader = described.leader_id;
    Partition {
        index: described.partition_index,
        leader: (leader.0 >= 0).then_some(leader.0),
        preferred_leader: described.replica_nodes.first().map(|first| first.0),
        replicas: described.replica_nodes.len(),
        in_sync: described.isr_nodes.len(),
        end: None,
        start: None,
    }
}
