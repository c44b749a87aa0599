//! What one broker coordinates: its groups, their members, their commits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerProtocolAssignment,
    DescribeGroupsRequest, DescribeGroupsResponse, DescribeShareGroupOffsetsRequest, GroupId,
    ListGroupsRequest, OffsetFetchRequest, OffsetFetchResponse, ShareGroupDescribeRequest,
    ShareGroupDescribeResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use tokio::sync::Semaphore;

use crate::cluster::Node;
use crate::connection::Call;
use crate::poll::Problems;
use crate::settings::Settings;
use crate::shape;
use crate::snapshot::{Commit, Group, Topics};

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
    pub topics: &'a Topics,
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

    /// Members: each kind of group has a request of its own.
    async fn describe(&self, found: &mut [Found], at: &HashMap<String, usize>) {
        let classic = |groups| DescribeGroupsRequest::default().with_groups(groups);
        self.describe_kind("classic", classic, classic_groups, found, at)
            .await;
        let new = |groups| ConsumerGroupDescribeRequest::default().with_group_ids(groups);
        self.describe_kind("consumer", new, new_groups, found, at)
            .await;
        let share = |groups| ShareGroupDescribeRequest::default().with_group_ids(groups);
        self.describe_kind("share", share, share_groups, found, at)
            .await;
    }

    async fn describe_kind<R: Call>(
        &self,
        kind: &str,
        request: impl Fn(Vec<GroupId>) -> R,
        read: impl Fn(R::Response) -> Vec<Described>,
        found: &mut [Found],
        at: &HashMap<String, usize>,
    ) {
        let names = names(found, |of| of == kind);
        for some in names.chunks(DESCRIBED_A_REQUEST) {
            let Some(answer) = self.call(|_| request(some.to_vec())).await else {
                return;
            };
            for described in read(answer) {
                let Some(found) = at.get(&**described.name).and_then(|at| found.get_mut(*at))
                else {
                    continue;
                };
                if self.problems.note_code::<R>(&found.name, described.code) {
                    continue;
                }
                found.group.state = described.state.to_string();
                found.group.members = Some(described.members.len());
                // Who reads what matters only where partitions nobody reads are left out.
                if !self.settings.show_all {
                    described.members.into_iter().for_each(|member| {
                        merge(&mut found.assigned, member.assigned());
                    });
                }
            }
        }
    }

    /// Commits; where share groups begin to read.
    async fn fetch(&self, found: &mut [Found], at: &HashMap<String, usize>) {
        let committing = names(found, |kind| kind != "share");
        let batch = match self.node.version::<OffsetFetchRequest>().await {
            _ if committing.is_empty() => 1,
            Ok(Some(version)) if version >= MANY_GROUPS => FETCHED_A_REQUEST,
            Ok(_) => 1,
            Err(error) => {
                return self.problems.note(OffsetFetchRequest::NAME, "", &error);
            }
        };
        for some in committing.chunks(batch) {
            let Some(answer) = self.call(|version| offset_fetch(some, version)).await else {
                return;
            };
            for group in fetched(answer, some.first()) {
                let topics = group.topics.into_iter().map(|topic| {
                    let commits = topic.partitions.into_iter();
                    let commits = commits
                        .map(|p| (p.partition_index, p.committed_offset, p.error_code))
                        .collect();
                    (topic.name.0, commits)
                });
                let code = group.error_code;
                self.commits::<OffsetFetchRequest>(found, at, &group.group_id, code, topics);
            }
        }
        let sharing = names(found, |kind| kind == "share");
        let version = self
            .node
            .version::<DescribeShareGroupOffsetsRequest>()
            .await;
        if !matches!(version, Ok(Some(_))) {
            // Kafka 4.0 lists share groups without telling what they have read.
            return;
        }
        for some in sharing.chunks(FETCHED_A_REQUEST) {
            let Some(answer) = self.call(|_| share_offsets(some)).await else {
                return;
            };
            for group in answer.groups {
                let topics = group.topics.into_iter().map(|topic| {
                    let starts = topic.partitions.into_iter();
                    let starts = starts
                        .map(|p| (p.partition_index, p.start_offset, p.error_code))
                        .collect();
                    (topic.topic_name.0, starts)
                });
                let (name, code) = (&group.group_id, group.error_code);
                self.commits::<DescribeShareGroupOffsetsRequest>(found, at, name, code, topics);
            }
        }
    }

    fn commits<R: Call>(
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
        if self.problems.note_code::<R>(name, code) {
            return;
        }
        for (topic, answers) in topics {
            // One name for all groups: with many groups the names would outweigh the numbers.
            let Some((topic, _)) = self.topics.get_key_value(topic.as_str()) else {
                continue;
            };
            let mut commits = Vec::with_capacity(answers.len());
            for (partition, offset, code) in answers {
                if self.problems.note_code::<R>(name, code) {
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

/// A group as the answer to any of the three describing requests has it.
struct Described {
    name: GroupId,
    code: i16,
    state: StrBytes,
    members: Vec<Member>,
}

/// What a member is assigned: in its own bytes, or spelt out.
enum Member {
    Classic(Bytes),
    New(Vec<(TopicName, Vec<i32>)>),
}

impl Member {
    fn assigned(self) -> Assigned {
        match self {
            Member::Classic(bytes) => assignment(bytes),
            Member::New(topics) => topics
                .into_iter()
                .map(|(topic, partitions)| (topic.to_string(), partitions.into_iter().collect()))
                .collect(),
        }
    }
}

fn classic_groups(answer: DescribeGroupsResponse) -> Vec<Described> {
    let groups = answer.groups.into_iter().map(|group| {
        let members = group.members.into_iter();
        Described {
            name: group.group_id,
            code: group.error_code,
            state: group.group_state,
            members: members
                .map(|member| Member::Classic(member.member_assignment))
                .collect(),
        }
    });
    groups.collect()
}

/// The answers about KIP-848 and share groups differ in type only.
macro_rules! groups_with_assignments {
    ($name:ident, $answer:ty) => {
        fn $name(answer: $answer) -> Vec<Described> {
            let groups = answer.groups.into_iter().map(|group| {
                let members = group.members.into_iter().map(|member| {
                    let topics = member.assignment.topic_partitions.into_iter();
                    Member::New(topics.map(|t| (t.topic_name, t.partitions)).collect())
                });
                Described {
                    name: group.group_id,
                    code: group.error_code,
                    state: group.group_state,
                    members: members.collect(),
                }
            });
            groups.collect()
        }
    };
}

groups_with_assignments!(new_groups, ConsumerGroupDescribeResponse);
groups_with_assignments!(share_groups, ShareGroupDescribeResponse);

/// The groups of an answer; before version 8 it is about the one group that was asked for.
fn fetched(answer: OffsetFetchResponse, asked: Option<&GroupId>) -> Vec<OffsetFetchResponseGroup> {
    let Some(asked) = asked.filter(|_| answer.groups.is_empty()) else {
        return answer.groups;
    };
    let topics = answer.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic.name)
            .with_partitions(partitions.collect())
    });
    let group = OffsetFetchResponseGroup::default()
        .with_group_id(asked.clone())
        .with_error_code(answer.error_code)
        .with_topics(topics.collect());
    vec![group]
}

fn share_offsets(groups: &[GroupId]) -> DescribeShareGroupOffsetsRequest {
    let groups = groups.iter().map(|group| {
        DescribeShareGroupOffsetsRequestGroup::default()
            .with_group_id(group.clone())
            .with_topics(None)
    });
    DescribeShareGroupOffsetsRequest::default().with_groups(groups.collect())
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
    topics: &Topics,
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
