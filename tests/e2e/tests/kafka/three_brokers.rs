//! Three brokers, of which one is killed and one is ended in order while records go on coming.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::agent::{self, Agent, Page};
use crate::client::Client;
use crate::cluster::{self, Cluster, Wishes};

#[test]
fn three_brokers() {
    let Some(jars) = cluster::jars() else { return };
    if !Client::is_there() {
        return;
    }
    agent::programs();
    let _room = crate::ROOM.write().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let wishes = Wishes {
        version: "4.2.0",
        brokers: 3,
        ..Wishes::default()
    };
    let mut cluster = Cluster::start(&jars, dir.path(), &wishes);
    let mut client = Client::start(&cluster.servers());
    for order in [
        json!({"do": "create", "topic": "safe", "partitions": 3, "replication": 3, "config": {"min.insync.replicas": "2"}}),
        json!({"do": "create", "topic": "single", "partitions": 3, "replication": 1}),
        json!({"do": "produce", "topic": "safe", "partition": 0, "count": 30}),
        json!({"do": "produce", "topic": "safe", "partition": 1, "count": 20}),
        json!({"do": "produce", "topic": "safe", "partition": 2, "count": 10}),
        json!({"do": "commit", "group": "g", "topic": "safe", "offsets": {"0": 25, "1": 15, "2": 5}}),
    ] {
        client.order(order);
    }
    // From one broker the agent learns of the others; that one stays.
    let server = format!("--kafka.server=127.0.0.1:{}", cluster.brokers[0].plain);
    let agent = Agent::start(
        &cluster.dir,
        "agent",
        &[&server, "--kafka.request-timeout=3s"],
    );
    all_is_well(&agent);
    let page = agent.page();
    for broker in 1..=3_u8 {
        let led = page.starting("kafka_topic_partition_leader{");
        let led = led
            .iter()
            .filter(|(s, id)| s.contains("safe") && *id == f64::from(broker));
        assert_eq!(led.count(), 1, "each broker leads one");
        let sizes = format!(r#"kafka_topic_partition_log_size_bytes{{broker="{broker}","#);
        let sizes = page.starting(&sizes);
        let copies = sizes.iter().filter(|(s, _)| s.contains(r#"topic="safe""#));
        assert_eq!(copies.count(), 3, "each broker has a copy of each");
    }

    let watch = Watch::start(&agent);
    // Killed: its partition without copies is offline, those with copies get other leaders.
    cluster.brokers[1].process.kill();
    let lost = agent.becomes("the dead broker leads nothing", |page| {
        let led = page.starting("kafka_topic_partition_leader{");
        let none = led.iter().all(|(_, id)| *id != 2.0);
        let offline = page.starting("kafka_topic_partition_offline{");
        let offline: Vec<String> = offline
            .iter()
            .filter(|(_, value)| *value == 1.0)
            .map(|(series, _)| series.clone())
            .collect();
        (none && offline.len() == 1).then(|| offline[0].clone())
    });
    assert!(lost.contains(r#"topic="single""#), "{lost}");
    let under = "kafka_topic_partition_under_replicated_partition";
    agent.shows(&[
        ("kafka_up", Some(1.0)),
        ("kafka_brokers", Some(2.0)),
        (
            &format!(r#"{under}{{partition="0",topic="safe"}}"#),
            Some(1.0),
        ),
        (
            r#"kafka_topic_partition_in_sync_replica{partition="0",topic="safe"}"#,
            Some(2.0),
        ),
        (
            r#"kafka_topic_partition_under_min_in_sync_replicas{partition="0",topic="safe"}"#,
            Some(0.0),
        ),
        (&lost.replace("_offline{", "_current_offset{"), None),
        (
            r#"kafka_consumergroup_lag_sum{consumergroup="g",topic="safe"}"#,
            Some(15.0),
        ),
    ]);
    client.order(json!({"do": "produce", "topic": "safe", "partition": 0, "count": 5}));
    client.order(json!({"do": "commit", "group": "g", "topic": "safe", "offsets": {"0": 30}}));
    agent.shows(&[(
        r#"kafka_consumergroup_lag{consumergroup="g",partition="0",topic="safe"}"#,
        Some(5.0),
    )]);
    cluster.brokers[1].process.restart();
    cluster.brokers[1].wait();
    all_is_well(&agent);

    // Another one is killed and comes back while records and commits go on: leaders move twice.
    cluster.brokers[2].process.kill();
    for round in 0..5 {
        client.order(json!({"do": "produce", "topic": "safe", "partition": 1, "count": 1}));
        client.order(
            json!({"do": "commit", "group": "g", "topic": "safe", "offsets": {"1": 15 + round}}),
        );
    }
    cluster.brokers[2].process.restart();
    cluster.brokers[2].wait();
    all_is_well(&agent);
    agent.shows(&[(
        r#"kafka_consumergroup_lag{consumergroup="g",partition="1",topic="safe"}"#,
        Some(6.0),
    )]);
    watch.end();
    client.order(json!({"do": "delete", "topic": "single"}));
    agent.shows(&[(r#"kafka_topic_partitions{topic="single"}"#, None)]);
}

fn all_is_well(agent: &Agent) {
    agent.becomes("all replicas are in sync", |page| {
        let in_sync = page.starting("kafka_topic_partition_in_sync_replica{");
        let safe = in_sync
            .iter()
            .filter(|(s, value)| s.contains("safe") && *value == 3.0);
        let bad = [
            "kafka_topic_partition_offline{",
            "kafka_topic_partition_under_replicated_partition{",
        ];
        let bad = bad.iter().flat_map(|family| page.starting(family));
        let well = page.value("kafka_up") == Some(1.0)
            && page.value("kafka_brokers") == Some(3.0)
            && safe.count() == 3
            && bad.into_iter().all(|(_, value)| *value == 0.0)
            && page.starting("kafka_consumergroup_lag{").len() == 3;
        well.then_some(())
    });
}

/// Reads the page all the time: whatever happens, no lag is negative and the agent is up.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Watch {
    fn start(agent: &Agent) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (ends, address) = (Arc::clone(&stop), agent.address.clone());
        let check = |page: &Page| {
            for (series, value) in page.starting("kafka_consumergroup_lag{") {
                assert!(*value >= 0.0, "{series} {value}");
            }
            assert_eq!(page.value("kafka_up"), Some(1.0));
        };
        let thread = std::thread::spawn(move || {
            let mut pages = 0;
            while !ends.load(Ordering::Relaxed) {
                check(&Page::read(&address));
                pages += 1;
                std::thread::sleep(Duration::from_millis(200));
            }
            pages
        });
        Watch { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let pages = self.thread.join().expect("no page was wrong");
        assert!(pages > 20, "{pages}");
    }
}
