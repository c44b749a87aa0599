//! A large fake cluster to measure the agent against: topics of four partitions, groups that each
//! consume five of them.
//!
//!     cargo run --release -p kafka-lag-agent --example fake_cluster -- GROUPS PARTITIONS [TOPICS_A_GROUP]
//!
//! Prints its address; ends when its standard input does.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Read;

use support::{FakeGroup, State, start};

const PARTITIONS_A_TOPIC: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|n| n.parse().expect("a number"));
    let (groups, partitions) = (
        numbers.next().unwrap_or(2000),
        numbers.next().unwrap_or(2000),
    );
    let topics_a_group = numbers.next().unwrap_or(5);
    // The fake's names live as long as it does.
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let topics: Vec<&'static str> = (0..partitions / PARTITIONS_A_TOPIC)
        .map(|i| leak(format!("some-service.events-{i:04}")))
        .collect();
    let mut state = State {
        topics: topics
            .iter()
            .map(|topic| (*topic, vec![(0, 1_000_000); PARTITIONS_A_TOPIC]))
            .collect(),
        record_ms: Some(1_700_000_000_000),
        ..State::default()
    };
    for i in 0..groups {
        let consumed = (0..topics_a_group).map(|n| {
            let commits = (0..PARTITIONS_A_TOPIC as i32).map(|p| (p, 999_000 + i as i64 % 1000));
            (topics[(i + n * 97) % topics.len()], commits.collect())
        });
        let group = FakeGroup {
            kind: "Classic",
            state: "Stable",
            members: vec![("a", vec![0]); 3],
            commits: consumed.collect(),
            ..FakeGroup::default()
        };
        state
            .groups
            .insert(leak(format!("some-service.consumer-{i:04}")), group);
    }
    let fake = start(state).await;
    println!("{}", fake.address);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = ended.await;
}
