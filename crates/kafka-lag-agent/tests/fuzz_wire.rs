//! Nothing a broker sends panics the decoder or makes it reserve memory the answer does not cover.

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_lag_agent::connection::{Call, decode};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use proptest::prelude::*;

/// Decodes a frame as the answer to each request in each version; the result does not matter.
fn decode_as_anything(frame: &Bytes) {
    fn all<R: Call>(frame: &Bytes) {
        for version in R::USED.min..=R::USED.max {
            let _ = decode::<R>(frame.clone(), version, 0);
        }
    }
    all::<ApiVersionsRequest>(frame);
    all::<SaslHandshakeRequest>(frame);
    all::<SaslAuthenticateRequest>(frame);
    all::<MetadataRequest>(frame);
    all::<ListGroupsRequest>(frame);
    all::<DescribeGroupsRequest>(frame);
    all::<ConsumerGroupDescribeRequest>(frame);
    all::<OffsetFetchRequest>(frame);
    all::<ListOffsetsRequest>(frame);
    all::<ShareGroupDescribeRequest>(frame);
    all::<DescribeShareGroupOffsetsRequest>(frame);
    all::<FetchRequest>(frame);
    all::<DescribeConfigsRequest>(frame);
    all::<DescribeLogDirsRequest>(frame);
}

/// A frame with a response header for request 0 and a default answer of the version.
fn empty_answer<R: Call>(version: i16) -> Bytes {
    let mut frame = BytesMut::new();
    ResponseHeader::default()
        .encode(&mut frame, R::Response::header_version(version))
        .expect("a header");
    frame.freeze()
}

/// A good answer in one version, and its decoder.
struct Sample {
    name: &'static str,
    version: i16,
    frame: Bytes,
    decode: fn(Bytes, i16) -> Result<(), String>,
}

/// An answer in each version that has all its fields.
fn versions<R: Call>(samples: &mut Vec<Sample>, answer: &R::Response) {
    for version in R::USED.min..=R::USED.max {
        let mut frame = BytesMut::from(&empty_answer::<R>(version)[..]);
        // Fields that a version does not have are refused by the codec.
        if answer.encode(&mut frame, version).is_err() {
            continue;
        }
        samples.push(Sample {
            name: R::NAME,
            version,
            frame: frame.freeze(),
            decode: |frame, version| {
                let decoded = decode::<R>(frame, version, 0);
                decoded.map(drop).map_err(|error| error.to_string())
            },
        });
    }
}

/// Each shape agrees with the codec: what the codec writes passes the walk and comes back.
#[test]
fn shapes_are_the_codecs() {
    let samples = samples();
    for sample in &samples {
        let decoded = (sample.decode)(sample.frame.clone(), sample.version);
        assert_eq!(decoded, Ok(()), "{} {}", sample.name, sample.version);
    }
    let names: std::collections::BTreeSet<&str> = samples.iter().map(|s| s.name).collect();
    assert_eq!(
        names.len(),
        14,
        "every request has an answer here: {names:?}"
    );
}

/// An answer to each request, with something in each of its lists.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let text = support::text;
    versions::<ApiVersionsRequest>(
        &mut samples,
        &ApiVersionsResponse::default()
            .with_api_keys(vec![api_versions_response::ApiVersion::default(); 3]),
    );
    versions::<SaslHandshakeRequest>(
        &mut samples,
        &SaslHandshakeResponse::default().with_mechanisms(vec![text("PLAIN"), text("X")]),
    );
    versions::<SaslAuthenticateRequest>(
        &mut samples,
        &SaslAuthenticateResponse::default()
            .with_auth_bytes(Bytes::from_static(b"abc"))
            .with_error_message(Some(text("no"))),
    );
    let partition = metadata_response::MetadataResponsePartition::default()
        .with_replica_nodes(vec![1.into(), 2.into()])
        .with_isr_nodes(vec![1.into()]);
    let topic = metadata_response::MetadataResponseTopic::default()
        .with_name(Some(text("t").into()))
        .with_partitions(vec![partition; 3]);
    versions::<MetadataRequest>(
        &mut samples,
        &MetadataResponse::default()
            .with_brokers(vec![
                metadata_response::MetadataResponseBroker::default();
                2
            ])
            .with_topics(vec![topic; 2]),
    );
    versions::<ListGroupsRequest>(
        &mut samples,
        &ListGroupsResponse::default().with_groups(vec![
            list_groups_response::ListedGroup::default(
            );
            2
        ]),
    );
    let member = describe_groups_response::DescribedGroupMember::default()
        .with_client_id(text("c"))
        .with_member_assignment(Bytes::from_static(b"xyz"));
    let group = describe_groups_response::DescribedGroup::default().with_members(vec![member; 2]);
    versions::<DescribeGroupsRequest>(
        &mut samples,
        &DescribeGroupsResponse::default().with_groups(vec![group; 2]),
    );
    use consumer_group_describe_response as new;
    let topic = new::TopicPartitions::default().with_partitions(vec![1, 2, 3]);
    let assignment = new::Assignment::default().with_topic_partitions(vec![topic; 2]);
    let member = new::Member::default()
        .with_subscribed_topic_names(vec![text("a").into(), text("b").into()])
        .with_assignment(assignment.clone())
        .with_target_assignment(assignment);
    let group = new::DescribedGroup::default().with_members(vec![member; 2]);
    versions::<ConsumerGroupDescribeRequest>(
        &mut samples,
        &ConsumerGroupDescribeResponse::default().with_groups(vec![group; 2]),
    );
    use offset_fetch_response as commits;
    let topic = commits::OffsetFetchResponseTopic::default()
        .with_partitions(vec![commits::OffsetFetchResponsePartition::default(); 2]);
    versions::<OffsetFetchRequest>(
        &mut samples,
        &OffsetFetchResponse::default().with_topics(vec![topic; 2]),
    );
    let topic = commits::OffsetFetchResponseTopics::default()
        .with_partitions(vec![commits::OffsetFetchResponsePartitions::default(); 2]);
    let group = commits::OffsetFetchResponseGroup::default().with_topics(vec![topic; 2]);
    versions::<OffsetFetchRequest>(
        &mut samples,
        &OffsetFetchResponse::default().with_groups(vec![group; 2]),
    );
    use list_offsets_response as ends;
    let topic = ends::ListOffsetsTopicResponse::default()
        .with_partitions(vec![ends::ListOffsetsPartitionResponse::default(); 2]);
    versions::<ListOffsetsRequest>(
        &mut samples,
        &ListOffsetsResponse::default().with_topics(vec![topic; 2]),
    );
    use share_group_describe_response as share;
    let topic = share::TopicPartitions::default().with_partitions(vec![1, 2, 3]);
    let assignment = share::Assignment::default().with_topic_partitions(vec![topic; 2]);
    let member = share::Member::default()
        .with_subscribed_topic_names(vec![text("a").into()])
        .with_assignment(assignment);
    let group = share::DescribedGroup::default().with_members(vec![member; 2]);
    versions::<ShareGroupDescribeRequest>(
        &mut samples,
        &ShareGroupDescribeResponse::default().with_groups(vec![group; 2]),
    );
    use describe_share_group_offsets_response as starts;
    let topic = starts::DescribeShareGroupOffsetsResponseTopic::default()
        .with_partitions(vec![starts::DescribeShareGroupOffsetsResponsePartition::default(); 2]);
    let group =
        starts::DescribeShareGroupOffsetsResponseGroup::default().with_topics(vec![topic; 2]);
    versions::<DescribeShareGroupOffsetsRequest>(
        &mut samples,
        &DescribeShareGroupOffsetsResponse::default().with_groups(vec![group; 2]),
    );
    let aborted = vec![fetch_response::AbortedTransaction::default(); 2];
    let partition = fetch_response::PartitionData::default()
        .with_aborted_transactions(Some(aborted))
        .with_records(Some(Bytes::from_static(b"records")));
    let topic = fetch_response::FetchableTopicResponse::default()
        .with_topic(text("t").into())
        .with_partitions(vec![partition; 2]);
    versions::<FetchRequest>(
        &mut samples,
        &FetchResponse::default().with_responses(vec![topic; 2]),
    );
    use describe_configs_response as configs;
    let entry = configs::DescribeConfigsResourceResult::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")))
        .with_synonyms(vec![configs::DescribeConfigsSynonym::default(); 2]);
    let result = configs::DescribeConfigsResult::default().with_configs(vec![entry; 2]);
    versions::<DescribeConfigsRequest>(
        &mut samples,
        &DescribeConfigsResponse::default().with_results(vec![result; 2]),
    );
    use describe_log_dirs_response as dirs;
    let topic = dirs::DescribeLogDirsTopic::default()
        .with_partitions(vec![dirs::DescribeLogDirsPartition::default(); 2]);
    let result = dirs::DescribeLogDirsResult::default().with_topics(vec![topic; 2]);
    versions::<DescribeLogDirsRequest>(
        &mut samples,
        &DescribeLogDirsResponse::default().with_results(vec![result; 2]),
    );
    samples
}

static SAMPLES: std::sync::OnceLock<Vec<Sample>> = std::sync::OnceLock::new();

/// Cases a property: `FUZZ_CASES` says more for a long run.
fn cases() -> u32 {
    let wished = std::env::var("FUZZ_CASES").ok();
    wished.and_then(|text| text.parse().ok()).unwrap_or(256)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn random_frames(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_as_anything(&bytes.into());
    }

    /// The right header, then lengths that are mostly small or absurd.
    #[test]
    fn random_bodies(
        words in proptest::collection::vec(
            prop_oneof![
                Just(0_u32), Just(1), Just(2), Just(u32::MAX), Just(0x7fff_ffff),
                Just(0xffff_ff0f), Just(0x0101_0101), any::<u32>(),
            ],
            0..40,
        ),
        skip in 0_usize..4,
    ) {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        frame.put_bytes(0, skip);
        words.iter().for_each(|word| frame.put_u32(*word));
        decode_as_anything(&frame.freeze());
    }

    /// Any bytes of any good answer changed, or its end cut off.
    #[test]
    fn damaged_answers(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let samples = SAMPLES.get_or_init(samples);
        let sample = which.get(samples);
        let mut frame = sample.frame.to_vec();
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if cut {
            frame.truncate(keep.index(frame.len()));
        }
        let _ = (sample.decode)(frame.into(), sample.version);
    }
}
