//! What changes seldom or costs brokers more: topic configuration and sizes of logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeLogDirsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::Node;
use crate::connection::Call;
use crate::poll::{Nodes, Problems};
use crate::snapshot::{Details, LogDir, TopicConfig, Topics};

/// Topics in one request: bounds the answer to some 200 KB.
const TOPICS_A_REQUEST: usize = 500;

/// The resource type of a topic (`ConfigResource.Type` of Kafka's clients).
const TOPIC: i8 = 2;

/// The settings we ask for.
const KEYS: [&str; 5] = [
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "min.insync.replicas",
    "max.message.bytes",
];

/// Reads both. What fails is noted and left out.
pub async fn read(nodes: &Nodes, topics: &Topics, problems: &Problems) -> Details {
    let mut sorted: Vec<(&i32, &Arc<Node>)> = nodes.iter().collect();
    sorted.sort_by_key(|(id, _)| **id);
    let dirs = sorted
        .iter()
        .map(|(id, node)| log_dirs(**id, node, topics, problems));
    let (configs, log_dirs) = tokio::join!(configs(&sorted, topics, problems), join_all(dirs));
    Details {
        configs,
        log_dirs: log_dirs.into_iter().flatten().collect(),
    }
}

/// Any broker knows the configuration of all topics: the next is asked where one does not answer.
async fn configs(
    nodes: &[(&i32, &Arc<Node>)],
    topics: &Topics,
    problems: &Problems,
) -> BTreeMap<Arc<str>, TopicConfig> {
    let names: Vec<&Arc<str>> = topics.keys().collect();
    let mut configs = BTreeMap::new();
    let mut nodes = nodes.iter();
    let Some(mut node) = nodes.next().map(|(_, node)| *node) else {
        return configs;
    };
    for some in names.chunks(TOPICS_A_REQUEST) {
        let answer = loop {
            match node.call(|_| request(some)).await {
                Ok((_, answer)) => break answer,
                Err(error) => {
                    problems.note(DescribeConfigsRequest::NAME, "", &error);
                    match nodes.next() {
                        Some((_, next)) => node = *next,
                        None => return configs,
                    }
                }
            }
        };
        for result in answer.results {
            let name = &*result.resource_name;
            if problems.note_code::<DescribeConfigsRequest>(name, result.error_code) {
                continue;
            }
            if let Some((topic, _)) = topics.get_key_value(name) {
                configs.insert(Arc::clone(topic), config(&result));
            }
        }
    }
    configs
}

fn request(topics: &[&Arc<str>]) -> DescribeConfigsRequest {
    let resources = topics.iter().map(|topic| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(topic.to_string()))
            .with_configuration_keys(Some(KEYS.map(StrBytes::from_static_str).into()))
    });
    DescribeConfigsRequest::default().with_resources(resources.collect())
}

fn config(result: &DescribeConfigsResult) -> TopicConfig {
    let text = |key: &str| {
        let entry = result.configs.iter().find(|entry| &*entry.name == key)?;
        entry.value.as_ref().map(ToString::to_string)
    };
    let number = |key: &str| text(key)?.parse().ok();
    let [policy, retention_ms, retention_bytes, in_sync, max_message] = KEYS;
    TopicConfig {
        cleanup_policy: text(policy),
        retention_ms: number(retention_ms),
        retention_bytes: number(retention_bytes),
        min_in_sync: number(in_sync),
        max_message_bytes: number(max_message),
    }
}

async fn log_dirs(broker: i32, node: &Node, topics: &Topics, problems: &Problems) -> Vec<LogDir> {
    let request = |_| DescribeLogDirsRequest::default().with_topics(None);
    let answer = match node.call(request).await {
        Ok((_, answer)) => answer,
        Err(error) => {
            problems.note(DescribeLogDirsRequest::NAME, "", &error);
            return Vec::new();
        }
    };
    if problems.note_code::<DescribeLogDirsRequest>(&node.address, answer.error_code) {
        return Vec::new();
    }
    let mut dirs = Vec::new();
    for result in answer.results {
        let path = result.log_dir.to_string();
        let error = ResponseError::try_from_code(result.error_code);
        let is_offline = error == Some(ResponseError::KafkaStorageError);
        if !is_offline && problems.note_code::<DescribeLogDirsRequest>(&path, result.error_code) {
            continue;
        }
        let mut logs = Vec::new();
        for topic in result.topics {
            let Some((name, _)) = topics.get_key_value(topic.name.as_str()) else {
                continue;
            };
            // A future log is a copy on its way to another folder of the same broker.
            let current = topic.partitions.iter().filter(|log| !log.is_future_key);
            logs.extend(current.map(|l| (Arc::clone(name), l.partition_index, l.partition_size)));
        }
        let known = |bytes: i64| (bytes >= 0).then_some(bytes);
        dirs.push(LogDir {
            broker,
            path,
            is_offline,
            total_bytes: known(result.total_bytes),
            usable_bytes: known(result.usable_bytes),
            logs,
        });
    }
    dirs
}
