//! What one broker coordinates: its groups, their members, their commits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DescribeGroupsRequest, GroupId,
    ListGroupsRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use tokio::sync::Semaphore;

use crate::cluster::Node;
use crate::connection::Call;
use crate::poll::Problems;
use crate::settings::Settings;
use crate::shape;
use crate::snapshot::{Commit, Group, Partition};

/// Groups described in one request.
const DESCRIBED_A_REQUEST: usize = 200;

/// Groups whose commits are fetched in one request, where the broker can (Kafka 3.0 and newer):
/// with 2,000 partitions each an answer stays near 5 MB.
const FETCHED_A_REQUEST: usize = 50;

/// The first OffsetFetch version that answers many groups at once (KIP-709).
const MANY_GROUPS: i16 = 8;

/// Partitions by topic.
type Assigned = BTreeMap<String, BTreeSet<i32>>;

/// A group as its coordinator told of it, with what its members are assigned (only where asked for).
#[derive(Debug, Default)]
pub struct Found {
    name: String,
    group: Group,
    assigned: Assigned,
}

/// A broker, asked about the groups it coordinates.
pub struct Coordinator<'a> {
    pub node: &'a Node,
    pub settings: &'a Settings,
    pub permits: &'a Semaphore,
    pub problems: &'a Problems,
    pub topics: &'a BTreeMap<Arc<str>, Vec<Partition>>,
}

impl Coordinator<'_> {
    /// The groups that the filter lets through. What fails is noted and left out.
    pub async fn groups(&self) -> Vec<Found> {
        let Some(mut found) = self.list().await else {
            return Vec::new();
        };
        let at: HashMap<String, usize> = found
            .iter()
            .enumerate()
            .map(|(at, found)| (found.name.clone(), at))
            .collect();
        self.describe(&mut found, &at).await;
        self.describe_new(&mut found, &at).await;
        self.fetch(&mut found, &at).await;
        found
    }

    async fn call<R: Call>(&self, make: impl Fn(i16) -> R) -> Option<R::Response> {
        let _permit = self.permits.acquire().await.ok()?;
        match self.node.call(make).await {
            Ok((_, answer)) => Some(answer),
            Err(error) => {
                self.problems.note(R::NAME, "", &error);
                None
            }
        }
    }

    async fn list(&self) -> Option<Vec<Found>> {
        let answer = self.call(|_| ListGroupsRequest::default()).await?;
        let code = answer.error_code;
        if self
            .problems
            .note_code::<ListGroupsRequest>(&self.node.address, code)
        {
            return None;
        }
        let wanted = answer
            .groups
            .into_iter()
            .filter(|group| self.settings.groups.wants(&group.group_id));
        let found = wanted.map(|group| Found {
            name: group.group_id.to_string(),
            group: Group {
                state: group.group_state.to_string(),
                // Brokers before 3.8 know one kind only and do not name it.
                kind: match group.group_type.as_str() {
                    "" => "classic".to_owned(),
                    kind => kind.to_lowercase(),
                },
                ..Group::default()
            },
            assigned: Assigned::new(),
        });
        Some(found.collect())
    }

    /// Members of classic groups.
    async fn describe(&self, found: &mut [Found], at: &HashMap<String, usize>) {
        let names = names(found, |kind| kind == "classic");
        for some in names.chunks(DESCRIBED_A_REQUEST) {
            let request = |_| DescribeGroupsRequest::default().with_groups(some.to_vec());
            let Some(answer) = self.call(request).await else {
                return;
            };
            for described in answer.groups {
                let Some(found) = at
                    .get(&**described.group_id)
                    .and_then(|at| found.get_mut(*at))
                else {
                    continue;
                };
                let code = described.error_code;
                if self
                    .problems
                    .note_code::<DescribeGroupsRequest>(&found.name, code)
                {
                    continue;
                }
                found.group.state = described.group_state.to_string();
                found.group.members = Some(described.members.len());
                if self.settings.show_all {
                    continue;
                }
                for member in described.members {
                    merge(&mut found.assigned, assignment(member.member_assignment));
                }
            }
        }
    }

    /// Members of groups of the new protocol (KIP-848), which DescribeGroups does not know.
    async fn describe_new(&self, found: &mut [Found], at: &HashMap<String, usize>) {
        let names = names(found, |kind| kind == "consumer");
        for some in names.chunks(DESCRIBED_A_REQUEST) {
            let request = |_| ConsumerGroupDescribeRequest::default().with_group_ids(some.to_vec());
            let Some(answer) = self.call(request).await else {
                return;
            };
            for described in answer.groups {
                let Some(found) = at
                    .get(&**described.group_id)
                    .and_then(|at| found.get_mut(*at))
                else {
                    continue;
                };
                let code = described.error_code;
                if self
                    .problems
                    .note_code::<ConsumerGroupDescribeRequest>(&found.name, code)
                {
                    continue;
                }
                found.group.state = described.group_state.to_string();
                found.group.members = Some(described.members.len());
                for topic in described
                    .members
                    .iter()
                    .flat_map(|m| &m.assignment.topic_partitions)
                {
                    let partitions = topic.partitions.iter().copied();
                    let assigned = found.assigned.entry(topic.topic_name.to_string());
                    assigned.or_default().extend(partitions);
                }
            }
        }
    }

    /// Commits. Share groups have none: their state is kept elsewhere.
    async fn fetch(&self, found: &mut [Found], at: &HashMap<String, usize>) {
        let names = names(found, |kind| kind != "share");
        if names.is_empty() {
            return;
        }
        let batch = match self.node.version::<OffsetFetchRequest>().await {
            Ok(Some(version)) if version >= MANY_GROUPS => FETCHED_A_REQUEST,
            Ok(_) => 1,
            Err(error) => {
                return self.problems.note(OffsetFetchRequest::NAME, "", &error);
            }
        };
        for some in names.chunks(batch) {
            let Some(answer) = self.call(|version| offset_fetch(some, version)).await else {
                return;
            };
            let only = some.first().filter(|_| answer.groups.is_empty());
            if let Some(only) = only {
                let topics = answer.topics.into_iter().map(|topic| {
                    let commits = topic
                        .partitions
                        .into_iter()
                        .map(|p| (p.partition_index, p.committed_offset, p.error_code));
                    (topic.name.0, commits.collect())
                });
                self.commits(found, at, only, answer.error_code, topics);
            }
            for group in answer.groups {
                let topics = group.topics.into_iter().map(|topic| {
                    let commits = topic
                        .partitions
                        .into_iter()
                        .map(|p| (p.partition_index, p.committed_offset, p.error_code));
                    (topic.name.0, commits.collect())
                });
                self.commits(found, at, &group.group_id, group.error_code, topics);
            }
        }
    }

    fn commits(
        &self,
        found: &mut [Found],
        at: &HashMap<String, usize>,
        name: &str,
        code: i16,
        topics: impl Iterator<Item = (StrBytes, Vec<(i32, i64, i16)>)>,
    ) {
        let Some(found) = at.get(name).and_then(|at| found.get_mut(*at)) else {
            return;
        };
        if self.problems.note_code::<OffsetFetchRequest>(name, code) {
            return;
        }
        for (topic, answers) in topics {
            // One name for all groups: with many groups the names would outweigh the numbers.
            let Some((topic, _)) = self.topics.get_key_value(topic.as_str()) else {
                continue;
            };
            let mut commits = Vec::with_capacity(answers.len());
            for (partition, offset, code) in answers {
                if self.problems.note_code::<OffsetFetchRequest>(name, code) {
                    continue;
                }
                commits.push(Commit {
                    partition,
                    offset: offset.max(-1),
                });
            }
            found.group.commits.insert(Arc::clone(topic), commits);
        }
    }
}

fn names(found: &[Found], kind: impl Fn(&str) -> bool) -> Vec<GroupId> {
    let wanted = found.iter().filter(|found| kind(&found.group.kind));
    wanted
        .map(|found| GroupId(StrBytes::from_string(found.name.clone())))
        .collect()
}

fn offset_fetch(groups: &[GroupId], version: i16) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default();
    if version >= MANY_GROUPS {
        let groups = groups.iter().map(|group| {
            OffsetFetchRequestGroup::default()
                .with_group_id(group.clone())
                .with_member_id(None)
                .with_member_epoch(-1)
                .with_topics(None)
        });
        return request.with_groups(groups.collect());
    }
    request
        .with_group_id(groups.first().cloned().unwrap_or_default())
        .with_topics(None)
}

fn merge(into: &mut Assigned, from: Assigned) {
    for (topic, partitions) in from {
        into.entry(topic).or_default().extend(partitions);
    }
}

/// What a member is assigned; nothing if it is no consumer or writes its own format (Connect,
/// Streams before version 4).
fn assignment(mut bytes: Bytes) -> Assigned {
    if bytes.len() < 2 {
        return Assigned::new();
    }
    // Later versions only add behind what we read.
    let version = bytes.get_i16().clamp(0, 3);
    match shape::ASSIGNMENT.check(&bytes, version) {
        Ok(()) | Err(shape::ShapeError::Trailing(_)) => {}
        Err(_) => return Assigned::new(),
    }
    let Ok(decoded) = ConsumerProtocolAssignment::decode(&mut bytes, version) else {
        return Assigned::new();
    };
    let topics = decoded.assigned_partitions.into_iter();
    topics
        .map(|topic| {
            (
                topic.topic.to_string(),
                topic.partitions.into_iter().collect(),
            )
        })
        .collect()
}

/// The groups of all coordinators, with the partitions that lack a commit: all of a topic, or those
/// assigned to members where only connected groups are wanted.
pub fn complete(
    found: impl Iterator<Item = Found>,
    topics: &BTreeMap<Arc<str>, Vec<Partition>>,
    settings: &Settings,
) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for Found {
        name,
        mut group,
        assigned,
    } in found
    {
        group.commits.retain(|topic, commits| {
            if !settings.show_all {
                let assigned = assigned.get(&**topic);
                commits.retain(|c| assigned.is_some_and(|a| a.contains(&c.partition)));
            }
            commits.iter().any(|commit| commit.offset >= 0)
        });
        let consumed: Vec<Arc<str>> = group.commits.keys().cloned().collect();
        for topic in consumed {
            let all = topics.get(&topic).into_iter().flatten();
            let all = all.map(|partition| partition.index);
            match (settings.show_all, assigned.get(&*topic)) {
                (true, _) => group.complete(&topic, all),
                (false, Some(assigned)) => group.complete(&topic, assigned.iter().copied()),
                (false, None) => {}
            }
        }
        groups.insert(name, group);
    }
    groups
}
