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
}

/// A frame with a response header for request 0 and a default answer of the version.
fn empty_answer<R: Call>(version: i16) -> Bytes {
    let mut frame = BytesMut::new();
    ResponseHeader::default()
        .encode(&mut frame, R::Response::header_version(version))
        .expect("a header");
    frame.freeze()
}

/// Each shape agrees with the codec: what the codec writes passes the walk and comes back.
#[test]
fn shapes_are_the_codecs() {
    fn check<R: Call>(answer: &R::Response)
    where
        R::Response: PartialEq + std::fmt::Debug + Clone,
    {
        let mut seen = 0;
        for version in R::USED.min..=R::USED.max {
            let mut frame = BytesMut::from(&empty_answer::<R>(version)[..]);
            // Fields that a version does not have are refused by the codec.
            if answer.encode(&mut frame, version).is_err() {
                continue;
            }
            seen += 1;
            let decoded = decode::<R>(frame.freeze(), version, 0);
            assert!(decoded.is_ok(), "{} {version}: {decoded:?}", R::NAME);
        }
        assert!(seen > 0, "{}", R::NAME);
    }
    let text = support::text;
    check::<ApiVersionsRequest>(
        &ApiVersionsResponse::default()
            .with_api_keys(vec![api_versions_response::ApiVersion::default(); 3]),
    );
    check::<SaslHandshakeRequest>(
        &SaslHandshakeResponse::default().with_mechanisms(vec![text("PLAIN"), text("X")]),
    );
    check::<SaslAuthenticateRequest>(
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
    check::<MetadataRequest>(
        &MetadataResponse::default()
            .with_brokers(vec![
                metadata_response::MetadataResponseBroker::default();
                2
            ])
            .with_topics(vec![topic; 2]),
    );
    check::<ListGroupsRequest>(&ListGroupsResponse::default().with_groups(vec![
            list_groups_response::ListedGroup::default(
            );
            2
        ]));
    let member = describe_groups_response::DescribedGroupMember::default()
        .with_client_id(text("c"))
        .with_member_assignment(Bytes::from_static(b"xyz"));
    let group = describe_groups_response::DescribedGroup::default().with_members(vec![member; 2]);
    check::<DescribeGroupsRequest>(&DescribeGroupsResponse::default().with_groups(vec![group; 2]));
    use consumer_group_describe_response as new;
    let topic = new::TopicPartitions::default().with_partitions(vec![1, 2, 3]);
    let assignment = new::Assignment::default().with_topic_partitions(vec![topic; 2]);
    let member = new::Member::default()
        .with_subscribed_topic_names(vec![text("a").into(), text("b").into()])
        .with_assignment(assignment.clone())
        .with_target_assignment(assignment);
    let group = new::DescribedGroup::default().with_members(vec![member; 2]);
    check::<ConsumerGroupDescribeRequest>(
        &ConsumerGroupDescribeResponse::default().with_groups(vec![group; 2]),
    );
    use offset_fetch_response as commits;
    let topic = commits::OffsetFetchResponseTopic::default()
        .with_partitions(vec![commits::OffsetFetchResponsePartition::default(); 2]);
    check::<OffsetFetchRequest>(&OffsetFetchResponse::default().with_topics(vec![topic; 2]));
    let topic = commits::OffsetFetchResponseTopics::default()
        .with_partitions(vec![commits::OffsetFetchResponsePartitions::default(); 2]);
    let group = commits::OffsetFetchResponseGroup::default().with_topics(vec![topic; 2]);
    check::<OffsetFetchRequest>(&OffsetFetchResponse::default().with_groups(vec![group; 2]));
    use list_offsets_response as ends;
    let topic = ends::ListOffsetsTopicResponse::default()
        .with_partitions(vec![ends::ListOffsetsPartitionResponse::default(); 2]);
    check::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(vec![topic; 2]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

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

    /// Any byte of a good answer changed.
    #[test]
    fn damaged_answers(at in 0_usize..400, value in any::<u8>()) {
        let partition = metadata_response::MetadataResponsePartition::default()
            .with_replica_nodes(vec![1.into(), 2.into()]);
        let topic = metadata_response::MetadataResponseTopic::default()
            .with_name(Some(support::text("orders").into()))
            .with_partitions(vec![partition; 3]);
        let answer = MetadataResponse::default().with_topics(vec![topic; 2]);
        for version in MetadataRequest::USED.min..=MetadataRequest::USED.max {
            let mut frame = BytesMut::from(&empty_answer::<MetadataRequest>(version)[..]);
            answer.encode(&mut frame, version).expect("an answer");
            let at = at % frame.len();
            frame[at] = value;
            let _ = decode::<MetadataRequest>(frame.freeze(), version, 0);
        }
    }
}
