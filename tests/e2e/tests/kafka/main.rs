//! kafka-lag-agent at real Kafka brokers in KRaft mode, of two major versions: each value it shows is
//! known from what a real client did. What is needed: `get-kafka.sh`, Java, confluent-kafka.

mod agent;
mod beside;
mod certificates;
mod client;
mod cluster;
mod listeners;
mod three_brokers;

use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::{free_port, wait_for};
use serde_json::json;

use crate::agent::{Agent, PATIENCE};
use crate::client::Client;
use crate::cluster::{Cluster, Wishes};

/// How long ago the records of the topic `old` were written, as far as their producer says.
const OLD_S: f64 = 2.0 * 60.0 * 60.0;

#[test]
fn kafka_3() {
    one_broker("3.9.1");
}

#[test]
fn kafka_4() {
    one_broker("4.2.0");
}

/// Held to read by each test with one broker, to write by the one with three: so many brokers at once
/// would wait for each other on two cores.
static ROOM: RwLock<()> = RwLock::new(());

/// The life of a cluster of one broker.
fn one_broker(version: &'static str) {
    let Some(jars) = cluster::jars() else { return };
    if !Client::is_there() {
        return;
    }
    // Before any broker waits for it.
    agent::programs();
    // A test that failed has made room too.
    let _room = ROOM.read().unwrap_or_else(PoisonError::into_inner);
    let new = version.starts_with('4');
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    certificates::write(dir.path());
    let wishes = Wishes {
        version,
        brokers: 1,
        certificates: Some(dir.path().to_owned()),
        jmx: new.then(free_port),
    };
    let mut cluster = Cluster::start(&jars, dir.path(), &wishes);
    let server = cluster.servers();
    let mut client = Client::start(&server);
    fill(&mut client);
    // Ends with this function.
    let _sharing = new.then(|| {
        let join = |group: &str, protocol: &str| json!({"do": "join", "group": group, "topic": "orders", "protocol": protocol, "partitions": 3});
        client.order(join("modern", "consumer"));
        let class = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
        let args = ["--bootstrap-server", &server, "--group", "sharers", "--topic", "shared"];
        cluster.start_tool("share-consumer", class, &args)
    });
    let flag = format!("--kafka.server={server}");
    // Old consumers are old clusters' business.
    let zookeeper = (!new).then(|| beside::zookeeper(&cluster));
    let old = zookeeper.iter().flat_map(|(_, address)| {
        [
            "--use.consumelag.zookeeper".to_owned(),
            format!("--zookeeper.server={address}"),
        ]
    });
    let flags: Vec<String> = old.chain([flag]).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let agent = Agent::start(&cluster.dir, "agent", &flags);
    topics_and_brokers(&agent, &cluster);
    groups(&agent);
    ages(&agent);
    if !new {
        let lag = r#"kafka_consumergroupzookeeper_lag_zookeeper{consumergroup="ancient",partition="1",topic="orders"}"#;
        agent.shows(&[(lag, Some(17.0))]);
    }
    if new {
        new_groups(&agent, &mut client);
        beside::kafkas_own_tool(&agent, &cluster);
        beside::the_jmx_exporter(&agent, wishes.jmx.unwrap_or_default(), dir.path());
    }
    let everywhere = listeners::Everywhere::start(&cluster, dir.path(), &mut client);
    everywhere.all_say_the_same(&agent);
    lag_moves(&agent, &mut client);
    topics_come_and_go(&agent, &mut client);
    everywhere.sessions_are_renewed();
    drop(everywhere);
    client.order(json!({"do": "leave", "group": "live"}));
    agent.shows(&[
        (
            r#"kafka_consumergroup_info{consumergroup="live",state="Empty",type="classic"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_consumergroup_members{consumergroup="live"}"#,
            Some(0.0),
        ),
        (
            r#"kafka_consumergroup_lag{consumergroup="live",partition="0",topic="orders"}"#,
            Some(60.0),
        ),
    ]);
    drop(client);
    restart_and_expire(&agent, &mut cluster);
    let allowed = [
        "the Kafka cluster does not answer",
        "a part of the cluster could not be read",
    ];
    assert_eq!(agent.process.unannounced(&allowed), Vec::<String>::new());
}

/// `orders`: 100, 50 and 7 records; `old`: 20 of two hours ago; `idle`: none. `billing` has read 90
/// and 50 of `orders`, `oldies` 5 of `old`; `live` has a member and has read 50.
fn fill(client: &mut Client) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.expect("the clock is set").as_millis() as i64;
    let old_ms = now_ms - 1000 * OLD_S as i64;
    for order in [
        json!({"do": "create", "topic": "orders", "partitions": 3, "config": {"retention.ms": "3600000", "min.insync.replicas": "1"}}),
        json!({"do": "create", "topic": "old", "partitions": 1, "config": {"cleanup.policy": "compact", "retention.ms": "-1"}}),
        json!({"do": "create", "topic": "idle", "partitions": 2}),
        json!({"do": "create", "topic": "shared", "partitions": 1}),
        json!({"do": "produce", "topic": "orders", "partition": 0, "count": 100}),
        json!({"do": "produce", "topic": "orders", "partition": 1, "count": 50}),
        json!({"do": "produce", "topic": "orders", "partition": 2, "count": 7}),
        json!({"do": "produce", "topic": "old", "partition": 0, "count": 20, "timestamp": old_ms, "key": true}),
        json!({"do": "commit", "group": "billing", "topic": "orders", "offsets": {"0": 90, "1": 50}}),
        json!({"do": "commit", "group": "oldies", "topic": "old", "offsets": {"0": 5}}),
        json!({"do": "commit", "group": "live", "topic": "orders", "offsets": {"0": 50}}),
        json!({"do": "join", "group": "live", "topic": "orders", "protocol": "classic", "partitions": 3}),
    ] {
        client.order(order);
    }
}

fn topics_and_brokers(agent: &Agent, cluster: &Cluster) {
    let address = cluster.servers();
    agent.shows(&[
        ("kafka_up", Some(1.0)),
        ("kafka_brokers", Some(1.0)),
        (
            &format!(r#"kafka_broker_info{{address="{address}",id="1"}}"#),
            Some(1.0),
        ),
        (r#"kafka_topic_partitions{topic="orders"}"#, Some(3.0)),
        (
            r#"kafka_topic_partitions{topic="__consumer_offsets"}"#,
            Some(3.0),
        ),
        (
            r#"kafka_topic_partition_current_offset{partition="0",topic="orders"}"#,
            Some(100.0),
        ),
        (
            r#"kafka_topic_partition_current_offset{partition="2",topic="orders"}"#,
            Some(7.0),
        ),
        (
            r#"kafka_topic_partition_current_offset{partition="1",topic="idle"}"#,
            Some(0.0),
        ),
        (
            r#"kafka_topic_partition_oldest_offset{partition="0",topic="orders"}"#,
            Some(0.0),
        ),
        (
            r#"kafka_topic_partition_leader{partition="0",topic="orders"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_partition_leader_is_preferred{partition="0",topic="orders"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_partition_replicas{partition="0",topic="orders"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_partition_in_sync_replica{partition="0",topic="orders"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_partition_under_replicated_partition{partition="0",topic="orders"}"#,
            Some(0.0),
        ),
        (
            r#"kafka_topic_partition_under_min_in_sync_replicas{partition="0",topic="orders"}"#,
            Some(0.0),
        ),
        (
            r#"kafka_topic_partition_offline{partition="0",topic="orders"}"#,
            Some(0.0),
        ),
        (
            r#"kafka_topic_info{cleanup_policy="delete",topic="orders"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_info{cleanup_policy="compact",topic="old"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_retention_seconds{topic="orders"}"#,
            Some(3600.0),
        ),
        (
            r#"kafka_topic_retention_seconds{topic="old"}"#,
            Some(f64::INFINITY),
        ),
        (
            r#"kafka_topic_retention_bytes{topic="orders"}"#,
            Some(f64::INFINITY),
        ),
        (
            r#"kafka_topic_min_in_sync_replicas{topic="orders"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_topic_max_message_bytes{topic="orders"}"#,
            Some(1_048_588.0),
        ),
    ]);
    // As large as the files on its disk.
    let data = cluster.dir.join("data-1");
    let file = data.join("orders-0/00000000000000000000.log");
    let size = std::fs::metadata(file).expect("the log is there").len() as f64;
    let log = r#"kafka_topic_partition_log_size_bytes{broker="1",partition="0",topic="orders"}"#;
    let labels = format!(r#"{{broker="1",log_dir="{}"}}"#, data.display());
    let page = agent.shows(&[
        (log, Some(size)),
        (&format!("kafka_broker_log_dir_offline{labels}"), Some(0.0)),
    ]);
    let total = page.value(&format!("kafka_broker_log_dir_total_bytes{labels}"));
    let usable = page.value(&format!("kafka_broker_log_dir_usable_bytes{labels}"));
    assert!(
        usable > Some(0.0) && usable < total,
        "{usable:?} of {total:?}"
    );
}

fn groups(agent: &Agent) {
    let page = agent.shows(&[
        (r#"kafka_consumergroup_current_offset{consumergroup="billing",partition="0",topic="orders"}"#, Some(90.0)),
        (r#"kafka_consumergroup_current_offset{consumergroup="billing",partition="1",topic="orders"}"#, Some(50.0)),
        (r#"kafka_consumergroup_current_offset{consumergroup="billing",partition="2",topic="orders"}"#, Some(-1.0)),
        (r#"kafka_consumergroup_current_offset_sum{consumergroup="billing",topic="orders"}"#, Some(139.0)),
        (r#"kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"}"#, Some(10.0)),
        (r#"kafka_consumergroup_lag{consumergroup="billing",partition="1",topic="orders"}"#, Some(0.0)),
        (r#"kafka_consumergroup_lag{consumergroup="billing",partition="2",topic="orders"}"#, Some(-1.0)),
        (r#"kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"}"#, Some(10.0)),
        (r#"kafka_consumergroup_members{consumergroup="billing"}"#, Some(0.0)),
        (r#"kafka_consumergroup_info{consumergroup="billing",state="Empty",type="classic"}"#, Some(1.0)),
        (r#"kafka_consumergroup_members{consumergroup="live"}"#, Some(1.0)),
        (r#"kafka_consumergroup_info{consumergroup="live",state="Stable",type="classic"}"#, Some(1.0)),
        (r#"kafka_consumergroup_lag{consumergroup="live",partition="0",topic="orders"}"#, Some(50.0)),
    ]);
    assert_eq!(
        page.starting("kafka_lag_agent_request_errors_total").len(),
        0
    );
}

/// The agent has just started: what it knows of the times it has read from the records.
fn ages(agent: &Agent) {
    let seconds = |group: &str, topic: &str, partition: u8| {
        let labels =
            format!(r#"{{consumergroup="{group}",partition="{partition}",topic="{topic}"}}"#);
        agent
            .page()
            .value(&format!("kafka_consumergroup_lag_seconds{labels}"))
    };
    let old = seconds("oldies", "old", 0).expect("an age");
    assert!((OLD_S..OLD_S + 300.0).contains(&old), "{old}");
    let new = seconds("billing", "orders", 0).expect("an age");
    assert!((0.0..300.0).contains(&new), "{new}");
    assert_eq!(seconds("billing", "orders", 1), Some(0.0), "all is read");
    assert_eq!(
        seconds("billing", "orders", 2),
        None,
        "nothing is committed"
    );
}

/// KIP-848 and share groups.
fn new_groups(agent: &Agent, client: &mut Client) {
    agent.shows(&[
        (
            r#"kafka_consumergroup_info{consumergroup="modern",state="Stable",type="consumer"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_consumergroup_members{consumergroup="modern"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_consumergroup_info{consumergroup="sharers",state="Stable",type="share"}"#,
            Some(1.0),
        ),
        (
            r#"kafka_consumergroup_members{consumergroup="sharers"}"#,
            Some(1.0),
        ),
    ]);
    // A share group begins at the end of the log, wherever that is when its member is ready.
    let labels = r#"{consumergroup="sharers",partition="0",topic="shared"}"#;
    wait_for("the share group reads", PATIENCE, || {
        client.order(json!({"do": "produce", "topic": "shared", "partition": 0, "count": 1}));
        let page = agent.page();
        let read = page.value(&format!("kafka_consumergroup_current_offset{labels}"));
        read.filter(|offset| *offset > 0.0).map(|_| ())
    });
    // What the broker has stored trails by the records acknowledged last, so the end is not reached.
    let end = r#"kafka_topic_partition_current_offset{partition="0",topic="shared"}"#;
    agent.becomes("offset and lag make the end", |page| {
        let read = page.value(&format!("kafka_consumergroup_current_offset{labels}"))?;
        let lag = page.value(&format!("kafka_consumergroup_lag{labels}"))?;
        (lag >= 0.0 && Some(read + lag) == page.value(end)).then_some(())
    });
}

fn lag_moves(agent: &Agent, client: &mut Client) {
    let lag = r#"kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"}"#;
    let sum = r#"kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"}"#;
    client.order(json!({"do": "produce", "topic": "orders", "partition": 0, "count": 10}));
    agent.shows(&[(lag, Some(20.0)), (sum, Some(20.0))]);
    client.order(
        json!({"do": "commit", "group": "billing", "topic": "orders", "offsets": {"0": 105}}),
    );
    let page = agent.shows(&[(lag, Some(5.0)), (sum, Some(5.0))]);
    // Between two polls these were written: the history knows that without asking.
    let seconds = page
        .value(&lag.replace("lag{", "lag_seconds{"))
        .expect("an age");
    assert!((0.0..120.0).contains(&seconds), "{seconds}");
}

fn topics_come_and_go(agent: &Agent, client: &mut Client) {
    client.order(json!({"do": "create", "topic": "fresh", "partitions": 2}));
    agent.shows(&[(r#"kafka_topic_partitions{topic="fresh"}"#, Some(2.0))]);
    for topic in ["idle", "old"] {
        client.order(json!({"do": "delete", "topic": topic}));
    }
    agent.shows(&[
        (r#"kafka_topic_partitions{topic="idle"}"#, None),
        (
            r#"kafka_topic_partition_current_offset{partition="0",topic="old"}"#,
            None,
        ),
        (
            r#"kafka_topic_info{cleanup_policy="compact",topic="old"}"#,
            None,
        ),
        (
            r#"kafka_consumergroup_lag{consumergroup="oldies",partition="0",topic="old"}"#,
            None,
        ),
        (r#"kafka_topic_partitions{topic="orders"}"#, Some(3.0)),
    ]);
}

/// While the broker is away the page says so and keeps what it knew; afterwards the commits of groups
/// without members, by then older than a minute, expire.
fn restart_and_expire(agent: &Agent, cluster: &mut Cluster) {
    cluster.brokers[0].process.kill();
    let kept = r#"kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"}"#;
    agent.shows(&[
        ("kafka_up", Some(0.0)),
        (r#"kafka_lag_agent_down{reason="connect"}"#, Some(1.0)),
        (kept, Some(5.0)),
    ]);
    let home = agent.home();
    assert!(
        home.contains("The cluster does not answer: cannot connect to 127.0.0.1:"),
        "{home}"
    );
    cluster.set("offsets.retention.minutes", "1");
    cluster.brokers[0].process.restart();
    cluster.brokers[0].wait();
    agent.shows(&[
        ("kafka_up", Some(1.0)),
        (r#"kafka_lag_agent_down{reason="connect"}"#, None),
        (
            r#"kafka_topic_partition_current_offset{partition="0",topic="orders"}"#,
            Some(110.0),
        ),
    ]);
    wait_for("the group expires", PATIENCE, || {
        let page = agent.page();
        let gone = page.value("kafka_up") == Some(1.0)
            && page.value(kept).is_none()
            && page
                .starting(r#"kafka_consumergroup_info{consumergroup="billing""#)
                .is_empty();
        gone.then_some(())
    });
}
