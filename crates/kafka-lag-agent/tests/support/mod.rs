//! A Kafka cluster of one broker, on the codec: what it is asked it answers from a [`State`].

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::consumer_group_describe_response as new_group;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer,
};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A group: kind, members, commits by topic and partition.
#[derive(Debug, Clone, Default)]
pub struct FakeGroup {
    pub kind: &'static str,
    pub state: &'static str,
    /// Each with what it is assigned.
    pub members: Vec<(&'static str, Vec<i32>)>,
    pub commits: BTreeMap<&'static str, Vec<(i32, i64)>>,
    pub error_code: i16,
}

/// What the cluster consists of.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Start and end of each partition's log.
    pub topics: BTreeMap<&'static str, Vec<(i64, i64)>>,
    pub groups: BTreeMap<&'static str, FakeGroup>,
    /// Highest version offered, by request; absent: the newest the codec knows.
    pub newest: BTreeMap<i16, i16>,
    /// User and password of SASL/PLAIN.
    pub login: Option<(&'static str, &'static str)>,
    /// The mechanism that is offered; empty: PLAIN.
    pub mechanism: &'static str,
    /// Brokers beside this one, which is 1.
    pub others: Vec<(i32, SocketAddr)>,
    /// Which broker leads the partitions of this index; absent: 1. `-1`: none does.
    pub leaders: BTreeMap<i32, i32>,
    /// Bytes sent instead of every answer but ApiVersions.
    pub garbage: Option<Vec<u8>>,
    /// When all records were written; `None`: Fetch answers nothing.
    pub record_ms: Option<i64>,
    /// Error code of requests answered with nothing else.
    pub denied: BTreeMap<i16, i16>,
    /// Requests that are never answered.
    pub hangs: Vec<i16>,
    /// `NotLeaderOrFollower` for so many requests for log ends.
    pub moves: usize,
    /// How long a session is good after the login.
    pub session_lifetime_ms: i64,
}

/// A running fake.
pub struct Fake {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<Mutex<Vec<(ApiKey, i16)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A ZooKeeper that holds these nodes and their contents, for one connection after the other.
pub async fn zookeeper(nodes: &[(&str, &str)]) -> SocketAddr {
    let nodes: BTreeMap<String, String> = nodes
        .iter()
        .map(|(path, data)| ((*path).to_owned(), (*data).to_owned()))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeted = false;
            while let Ok(size) = stream.read_i32().await {
                let mut request = vec![0; size as usize];
                stream.read_exact(&mut request).await.expect("a request");
                let mut answer = Vec::new();
                if greeted {
                    znode(&nodes, &request[..], &mut answer);
                } else {
                    answer.put_bytes(0, 37);
                }
                greeted = true;
                stream.write_i32(answer.len() as i32).await.expect("open");
                stream.write_all(&answer).await.expect("open");
            }
        }
    });
    address
}

fn znode(nodes: &BTreeMap<String, String>, mut request: &[u8], answer: &mut Vec<u8>) {
    use bytes::Buf;
    answer.put_i32(request.get_i32());
    answer.put_i64(1);
    let kind = request.get_i32();
    if kind == -11 {
        return answer.put_i32(0);
    }
    let length = request.get_i32() as usize;
    let path = std::str::from_utf8(&request[..length]).expect("a path");
    let below = format!("{path}/");
    let mut children: Vec<&str> = nodes
        .keys()
        .filter_map(|node| node.strip_prefix(&below)?.split('/').next())
        .collect();
    children.dedup();
    let put = |out: &mut Vec<u8>, text: &str| {
        out.put_i32(text.len() as i32);
        out.put_slice(text.as_bytes());
    };
    match (kind, nodes.get(path)) {
        (8, _) if !children.is_empty() => {
            answer.put_i32(0);
            answer.put_i32(children.len() as i32);
            children.iter().for_each(|child| put(answer, child));
        }
        (4, Some(data)) => {
            answer.put_i32(0);
            put(answer, data);
            answer.put_bytes(0, 68);
        }
        _ => answer.put_i32(-101),
    }
}

/// One topic of two partitions, one group with known lag.
pub fn orders() -> State {
    let billing = FakeGroup {
        kind: "Classic",
        state: "Stable",
        members: vec![("orders", vec![0])],
        commits: [("orders", vec![(0, 90)])].into(),
        error_code: 0,
    };
    State {
        topics: [("orders", vec![(5, 100), (10, 250)])].into(),
        groups: [("billing", billing)].into(),
        ..State::default()
    }
}

/// The broker's side of SCRAM-SHA-256, with one iteration: no state is needed but the nonce, which
/// both messages carry.
fn scram(message: &[u8], user: &str, password: &str) -> SaslAuthenticateResponse {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let message = std::str::from_utf8(message).expect("text");
    let challenge = |nonce: &str| format!("r={nonce}+s,s={},i=1", STANDARD.encode("salt"));
    if let Some(nonce) = message.strip_prefix(&format!("n,,n={user},r=")) {
        let challenge = challenge(nonce).into_bytes();
        return SaslAuthenticateResponse::default().with_auth_bytes(challenge.into());
    }
    let (without_proof, proof) = message.split_once(",p=").expect("a proof");
    let nonce = without_proof
        .strip_prefix("c=biws,r=")
        .and_then(|nonce| nonce.strip_suffix("+s"))
        .expect("the nonce");
    let signed = format!("n={user},r={nonce},{},{without_proof}", challenge(nonce));
    let salted = hmac(password.as_bytes(), b"salt\0\0\0\x01");
    let client_key = hmac(&salted, b"Client Key");
    let stored = <sha2::Sha256 as sha2::Digest>::digest(&client_key);
    let signature = hmac(&stored, signed.as_bytes());
    let expected: Vec<u8> = client_key
        .iter()
        .zip(&signature)
        .map(|(a, b)| a ^ b)
        .collect();
    if proof != STANDARD.encode(expected) {
        return SaslAuthenticateResponse::default().with_error_code(58);
    }
    let proof = hmac(&hmac(&salted, b"Server Key"), signed.as_bytes());
    let last = format!("v={}", STANDARD.encode(proof));
    SaslAuthenticateResponse::default().with_auth_bytes(last.into_bytes().into())
}

/// HMAC-SHA-256 of a key of at most a block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], text].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner[..]].concat()).to_vec()
}

/// Starts a fake on a free port.
pub async fn start(state: State) -> Fake {
    start_with(state, None).await
}

/// [`start`], behind TLS.
pub async fn start_with(state: State, tls: Option<tokio_rustls::TlsAcceptor>) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let state = Arc::new(Mutex::new(state));
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (shared, counted, noted) = (state.clone(), connections.clone(), requests.clone());
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let (shared, noted, tls) = (shared.clone(), noted.clone(), tls.clone());
            open.spawn(async move {
                match tls {
                    None => serve(stream, address, shared, noted).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, address, shared, noted).await;
                        }
                    }
                }
            });
        }
    });
    Fake {
        address,
        state,
        connections,
        requests,
        task,
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    requests: Arc<Mutex<Vec<(ApiKey, i16)>>>,
) {
    while let Ok(size) = stream.read_i32().await {
        let mut frame = vec![0; size as usize];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        let mut frame = Bytes::from(frame);
        let header = decode_request_header_from_buffer(&mut frame).expect("a request header");
        let api = ApiKey::try_from(header.request_api_key).expect("a known request");
        let version = header.request_api_version;
        requests.lock().push((api, version));
        if state.lock().hangs.contains(&(api as i16)) {
            std::future::pending::<()>().await;
        }
        let reply = {
            let mut current = state.lock();
            if api == ApiKey::ListOffsets && current.moves > 0 {
                current.moves -= 1;
                // Another broker leads now, as the metadata tells from here on.
                if let Some((other, _)) = current.others.first().copied() {
                    current.leaders = (0..9).map(|index| (index, other)).collect();
                }
                current.denied.insert(api as i16, 6);
            } else if api == ApiKey::ListOffsets && current.denied.get(&2) == Some(&6) {
                current.denied.remove(&2);
            }
            if let Some(garbage) = current
                .garbage
                .as_ref()
                .filter(|_| api != ApiKey::ApiVersions)
            {
                garbage.clone()
            } else {
                let mut out = BytesMut::zeroed(4);
                ResponseHeader::default()
                    .with_correlation_id(header.correlation_id)
                    .encode(&mut out, api.response_header_version(version))
                    .expect("a header");
                answer(&current, address, api, version, &mut frame, &mut out);
                let size = out.len() as i32 - 4;
                out[..4].copy_from_slice(&size.to_be_bytes());
                out.to_vec()
            }
        };
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

fn put<T: Encodable + HeaderVersion>(answer: T, version: i16, out: &mut BytesMut) {
    answer.encode(out, version).expect("an answer");
}

fn answer(
    state: &State,
    address: SocketAddr,
    api: ApiKey,
    version: i16,
    request: &mut Bytes,
    out: &mut BytesMut,
) {
    match api {
        ApiKey::ApiVersions => put(versions(state), version, out),
        ApiKey::SaslHandshake => {
            let request = SaslHandshakeRequest::decode(request, version).expect("a request");
            let offered = match state.mechanism {
                "" => "PLAIN",
                mechanism => mechanism,
            };
            let known = &*request.mechanism == offered;
            let answer = SaslHandshakeResponse::default()
                .with_error_code(if known { 0 } else { 33 })
                .with_mechanisms(vec![text(offered)]);
            put(answer, version, out);
        }
        ApiKey::SaslAuthenticate => {
            let request = SaslAuthenticateRequest::decode(request, version).expect("a request");
            let (user, password) = state.login.expect("a login");
            if state.mechanism == "OAUTHBEARER" {
                // RFC 7628: a refusal is a challenge, not an error.
                let good = request.auth_bytes == format!("n,,\x01auth=Bearer {password}\x01\x01");
                let refusal = if good {
                    ""
                } else {
                    r#"{"status":"invalid_token"}"#
                };
                let answer = SaslAuthenticateResponse::default()
                    .with_auth_bytes(Bytes::from_static(refusal.as_bytes()));
                return put(answer, version, out);
            }
            if !state.mechanism.is_empty() {
                let answer = scram(&request.auth_bytes, user, password);
                return put(answer, version, out);
            }
            let good = request.auth_bytes == format!("\0{user}\0{password}");
            let answer = SaslAuthenticateResponse::default()
                .with_error_code(if good { 0 } else { 58 })
                .with_error_message((!good).then(|| text("invalid credentials")));
            let answer = match version {
                0 => answer,
                _ => answer.with_session_lifetime_ms(state.session_lifetime_ms),
            };
            put(answer, version, out);
        }
        ApiKey::Metadata => put(metadata(state, address, version), version, out),
        ApiKey::ListGroups => {
            let groups = state.groups.iter().map(|(name, group)| {
                let mut listed = ListedGroup::default()
                    .with_group_id(text(name).into())
                    .with_protocol_type(text("consumer"));
                if version >= 4 {
                    listed.group_state = text(group.state);
                }
                if version >= 5 {
                    listed.group_type = text(group.kind);
                }
                listed
            });
            let answer = ListGroupsResponse::default().with_groups(groups.collect());
            put(answer, version, out);
        }
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest::decode(request, version).expect("a request");
            let groups = request.groups.iter().map(|name| describe(state, name));
            let answer = DescribeGroupsResponse::default().with_groups(groups.collect());
            put(answer, version, out);
        }
        ApiKey::ConsumerGroupDescribe => {
            let request =
                ConsumerGroupDescribeRequest::decode(request, version).expect("a request");
            let groups = request
                .group_ids
                .iter()
                .map(|name| describe_new(state, name));
            let answer = ConsumerGroupDescribeResponse::default().with_groups(groups.collect());
            put(answer, version, out);
        }
        ApiKey::OffsetFetch => {
            let request = OffsetFetchRequest::decode(request, version).expect("a request");
            put(offset_fetch(state, &request, version), version, out);
        }
        ApiKey::ListOffsets => {
            let request = ListOffsetsRequest::decode(request, version).expect("a request");
            put(list_offsets(state, &request), version, out);
        }
        ApiKey::ShareGroupDescribe => {
            let request = ShareGroupDescribeRequest::decode(request, version).expect("a request");
            let groups = request.group_ids.iter().map(|name| {
                let new = describe_new(state, name);
                let members = new.members.iter().map(|_| Default::default());
                share_group_describe_response::DescribedGroup::default()
                    .with_group_id(name.clone())
                    .with_group_state(new.group_state)
                    .with_members(members.collect())
            });
            let answer = ShareGroupDescribeResponse::default().with_groups(groups.collect());
            put(answer, version, out);
        }
        ApiKey::DescribeShareGroupOffsets => {
            let request =
                DescribeShareGroupOffsetsRequest::decode(request, version).expect("a request");
            put(share_offsets(state, &request), version, out);
        }
        ApiKey::Fetch => {
            let request = FetchRequest::decode(request, version).expect("a request");
            put(fetch(state, &request), version, out);
        }
        ApiKey::DescribeConfigs => {
            let request = DescribeConfigsRequest::decode(request, version).expect("a request");
            put(configs(state, &request), version, out);
        }
        ApiKey::DescribeLogDirs => put(log_dirs(state, version), version, out),
        other => panic!("the agent sends {other:?}"),
    }
}

fn versions(state: &State) -> ApiVersionsResponse {
    let keys = ApiKey::iter().filter(|key| state.newest.get(&(*key as i16)) != Some(&-1));
    let keys = keys.map(|key| {
        let range = key.valid_versions();
        let newest = state.newest.get(&(key as i16)).copied();
        ApiVersion::default()
            .with_api_key(key as i16)
            .with_min_version(range.min)
            .with_max_version(newest.unwrap_or(range.max))
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

fn metadata(state: &State, address: SocketAddr, version: i16) -> MetadataResponse {
    let brokers = [(1, address)]
        .into_iter()
        .chain(state.others.iter().copied());
    let brokers = brokers.map(|(id, address)| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(text(&address.ip().to_string()))
            .with_port(address.port().into())
    });
    let topics = state.topics.iter().map(|(name, partitions)| {
        let partitions = (0..partitions.len() as i32).map(|index| {
            let mut partition = MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(state.leaders.get(&index).copied().unwrap_or(1).into())
                .with_replica_nodes(vec![1.into(), 2.into()])
                .with_isr_nodes(vec![1.into()]);
            if version >= 7 {
                partition.leader_epoch = 3;
            }
            partition
        });
        MetadataResponseTopic::default()
            .with_name(Some(text(name).into()))
            .with_partitions(partitions.collect())
    });
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_controller_id(1.into())
        .with_topics(topics.collect())
}

fn describe(state: &State, name: &GroupId) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(name.clone());
    let Some(group) = state.groups.get(&***name) else {
        return described.with_group_state(text("Dead"));
    };
    let members = group.members.iter().map(|(topic, partitions)| {
        let topic = consumer_protocol_assignment::TopicPartition::default()
            .with_topic(text(topic).into())
            .with_partitions(partitions.clone());
        let assignment =
            ConsumerProtocolAssignment::default().with_assigned_partitions(vec![topic]);
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&[0, 1]);
        assignment.encode(&mut bytes, 1).expect("an assignment");
        DescribedGroupMember::default().with_member_assignment(bytes.freeze())
    });
    described
        .with_error_code(group.error_code)
        .with_group_state(text(group.state))
        .with_members(members.collect())
}

fn describe_new(state: &State, name: &GroupId) -> new_group::DescribedGroup {
    let described = new_group::DescribedGroup::default().with_group_id(name.clone());
    let Some(group) = state.groups.get(&***name) else {
        return described.with_error_code(69);
    };
    let members = group.members.iter().map(|(topic, partitions)| {
        let topic = new_group::TopicPartitions::default()
            .with_topic_name(text(topic).into())
            .with_partitions(partitions.clone());
        let assignment = new_group::Assignment::default().with_topic_partitions(vec![topic]);
        new_group::Member::default()
            .with_subscribed_topic_names(vec![text("orders").into()])
            .with_assignment(assignment)
    });
    described
        .with_group_state(text(group.state))
        .with_members(members.collect())
}

fn offset_fetch(state: &State, request: &OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let commits = |name: &GroupId| {
        let group = state.groups.get(&***name).cloned().unwrap_or_default();
        group.commits
    };
    if version >= 8 {
        let groups = request.groups.iter().map(|group| {
            assert!(group.topics.is_none(), "all topics");
            let topics = commits(&group.group_id)
                .into_iter()
                .map(|(topic, commits)| {
                    let commits = commits.iter().map(|(index, offset)| {
                        OffsetFetchResponsePartitions::default()
                            .with_partition_index(*index)
                            .with_committed_offset(*offset)
                    });
                    OffsetFetchResponseTopics::default()
                        .with_name(text(topic).into())
                        .with_partitions(commits.collect())
                });
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id.clone())
                .with_topics(topics.collect())
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    assert!(request.topics.is_none(), "all topics");
    let topics = commits(&request.group_id)
        .into_iter()
        .map(|(topic, commits)| {
            let commits = commits.iter().map(|(index, offset)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(*index)
                    .with_committed_offset(*offset)
            });
            OffsetFetchResponseTopic::default()
                .with_name(text(topic).into())
                .with_partitions(commits.collect())
        });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn list_offsets(state: &State, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let known = state.topics.get(&**topic.name).cloned().unwrap_or_default();
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index);
            if let Some(code) = state.denied.get(&(ApiKey::ListOffsets as i16)) {
                return answer.with_error_code(*code).with_offset(-1);
            }
            match (known.get(wanted.partition_index as usize), wanted.timestamp) {
                (Some((_, end)), -1) => answer.with_offset(*end),
                (Some((start, _)), -2) => answer.with_offset(*start),
                _ => answer.with_error_code(3).with_offset(-1),
            }
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn share_offsets(
    state: &State,
    request: &DescribeShareGroupOffsetsRequest,
) -> DescribeShareGroupOffsetsResponse {
    use describe_share_group_offsets_response as share;
    let groups = request.groups.iter().map(|group| {
        assert!(group.topics.is_none(), "all topics");
        let known = state.groups.get(&**group.group_id).cloned();
        let topics = known.unwrap_or_default().commits;
        let topics = topics.into_iter().map(|(topic, starts)| {
            let partitions = starts.iter().map(|(index, offset)| {
                share::DescribeShareGroupOffsetsResponsePartition::default()
                    .with_partition_index(*index)
                    .with_start_offset(*offset)
            });
            share::DescribeShareGroupOffsetsResponseTopic::default()
                .with_topic_name(text(topic).into())
                .with_partitions(partitions.collect())
        });
        share::DescribeShareGroupOffsetsResponseGroup::default()
            .with_group_id(group.group_id.clone())
            .with_topics(topics.collect())
    });
    DescribeShareGroupOffsetsResponse::default().with_groups(groups.collect())
}

/// A batch of one record at the offset that is asked for.
fn fetch(state: &State, request: &FetchRequest) -> FetchResponse {
    use fetch_response as records;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = records::PartitionData::default().with_partition_index(wanted.partition);
            if let Some(code) = state.denied.get(&(ApiKey::Fetch as i16)) {
                return answer.with_error_code(*code);
            }
            let batch = state.record_ms.map(|ms| {
                let mut batch = BytesMut::new();
                batch.put_i64(wanted.fetch_offset);
                batch.put_i32(49);
                batch.put_i32(0);
                batch.put_u8(2);
                batch.put_bytes(0, 10);
                batch.put_i64(ms);
                batch.put_i64(ms);
                batch.put_bytes(0, 18);
                batch.freeze()
            });
            answer.with_records(batch)
        });
        records::FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions.collect())
    });
    FetchResponse::default().with_responses(topics.collect())
}

/// Kept for an hour, at most a million bytes.
fn configs(state: &State, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    use describe_configs_response as configs;
    let results = request.resources.iter().map(|resource| {
        let entry = |(name, value): (&str, &str)| {
            configs::DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        };
        let entries = [
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "3600000"),
            ("retention.bytes", "-1"),
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "1000000"),
        ]
        .map(entry);
        let result = configs::DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match state.denied.get(&(ApiKey::DescribeConfigs as i16)) {
            Some(code) => result.with_error_code(*code),
            None => result.with_configs(entries.into()),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// A byte a record, in one folder; another folder is broken.
fn log_dirs(state: &State, version: i16) -> DescribeLogDirsResponse {
    use describe_log_dirs_response as dirs;
    if let Some(code) = state.denied.get(&(ApiKey::DescribeLogDirs as i16)) {
        return DescribeLogDirsResponse::default().with_error_code(*code);
    }
    let topics = state.topics.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().enumerate().map(|(index, (start, end))| {
            dirs::DescribeLogDirsPartition::default()
                .with_partition_index(index as i32)
                .with_partition_size(end - start)
        });
        dirs::DescribeLogDirsTopic::default()
            .with_name(text(topic).into())
            .with_partitions(partitions.collect())
    });
    let mut good = dirs::DescribeLogDirsResult::default()
        .with_log_dir(text("/data"))
        .with_topics(topics.collect());
    if version >= 4 {
        good = good.with_total_bytes(1000).with_usable_bytes(400);
    }
    let broken = dirs::DescribeLogDirsResult::default()
        .with_error_code(56)
        .with_log_dir(text("/broken"));
    DescribeLogDirsResponse::default().with_results(vec![good, broken])
}
