//! The agent against a fake cluster: what its page says.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_lag_agent::Settings;
use kafka_lag_agent::agent::{Agent, register};
use kafka_protocol::messages::ApiKey;
use service::Boot;
use support::{Fake, FakeGroup, State, orders, start};
use telemetry::Registry;

struct Rig {
    fake: Fake,
    agent: Arc<Agent>,
    registry: Registry,
}

async fn rig(state: State, flags: &[&str]) -> Rig {
    rig_with(start(state).await, flags)
}

fn rig_with(fake: Fake, flags: &[&str]) -> Rig {
    let server = format!("--kafka.server={}", fake.address);
    let mut all = vec![server.as_str()];
    all.extend(flags);
    let boot = Boot::new(&kafka_lag_agent::PROGRAM, &all).expect("flags");
    let settings = Settings::from_args(&boot.args).expect("settings");
    let registry = Registry::new();
    let agent = Arc::new(Agent::new(settings, &registry));
    register(&[Arc::clone(&agent)], &registry);
    Rig {
        fake,
        agent,
        registry,
    }
}

impl Rig {
    /// The page's lines without comments.
    fn page(&self) -> Vec<String> {
        let body = self.registry.render(None).body;
        let text = String::from_utf8(body).expect("text");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    fn lines(&self, prefix: &str) -> Vec<String> {
        let mut lines = self.page();
        lines.retain(|line| line.starts_with(prefix));
        lines
    }
}

#[tokio::test]
async fn the_page_has_the_values_of_the_cluster() {
    let rig = rig(orders(), &["--kafka.labels=cluster=east"]).await;
    assert_eq!(rig.lines("kafka_up"), [r#"kafka_up{cluster="east"} 0"#]);
    rig.agent.poll().await;
    let page = rig.page();
    let port = rig.fake.address.port();
    for line in [
        r#"kafka_up{cluster="east"} 1"#.to_owned(),
        r#"kafka_brokers{cluster="east"} 1"#.to_owned(),
        format!(r#"kafka_broker_info{{address="127.0.0.1:{port}",cluster="east",id="1"}} 1"#),
        r#"kafka_topic_partitions{cluster="east",topic="orders"} 2"#.to_owned(),
    ] {
        assert!(page.contains(&line), "{line}\n{page:#?}");
    }
    for (name, value) in [
        ("kafka_topic_partition_current_offset", 250),
        ("kafka_topic_partition_oldest_offset", 10),
        ("kafka_topic_partition_leader", 1),
        ("kafka_topic_partition_replicas", 2),
        ("kafka_topic_partition_in_sync_replica", 1),
        ("kafka_topic_partition_leader_is_preferred", 1),
        ("kafka_topic_partition_under_replicated_partition", 1),
        ("kafka_topic_partition_offline", 0),
    ] {
        let line = format!(r#"{name}{{cluster="east",partition="1",topic="orders"}} {value}"#);
        assert!(page.contains(&line), "{line}\n{page:#?}");
    }
    let group = r#"cluster="east",consumergroup="billing""#;
    for (name, labels, value) in [
        ("lag", r#",partition="0",topic="orders""#, "10"),
        // Nobody has committed there: -1, so that one can alert on it.
        ("lag", r#",partition="1",topic="orders""#, "-1"),
        ("current_offset", r#",partition="0",topic="orders""#, "90"),
        ("current_offset", r#",partition="1",topic="orders""#, "-1"),
        ("lag_sum", r#",topic="orders""#, "10"),
        ("current_offset_sum", r#",topic="orders""#, "89"),
        ("members", "", "1"),
        ("info", r#",state="Stable",type="classic""#, "1"),
    ] {
        let line = format!("kafka_consumergroup_{name}{{{group}{labels}}} {value}");
        assert!(page.contains(&line), "{line}\n{page:#?}");
    }
    assert!(rig.lines("kafka_lag_agent_down").is_empty());
}

/// The newest versions Kafka 2.4 has of what we ask (`ApiVersionsRequest` of a 2.4 broker); what came
/// with later releases it does not know at all.
fn kafka_2_4() -> BTreeMap<i16, i16> {
    let known = [
        (1, 11),
        (2, 5),
        (3, 9),
        (9, 6),
        (15, 5),
        (16, 3),
        (17, 1),
        (18, 3),
        (32, 2),
        (35, 1),
        (36, 1),
    ];
    let later = (48..=100).map(|key| (key, -1));
    known.into_iter().chain(later).collect()
}

#[tokio::test]
async fn old_brokers_say_the_same() {
    let mut state = orders();
    state.record_ms = Some(1_000_000_000_000);
    let new = rig(state.clone(), &[]).await;
    state.newest = kafka_2_4();
    let old = rig(state, &[]).await;
    new.agent.poll().await;
    old.agent.poll().await;
    // Without what goes on growing between the two scrapes, and what 2.4 does not tell of volumes.
    let values = |rig: &Rig| {
        let mut lines = rig.page();
        lines.retain(|line| {
            !["lag_seconds", "log_dir", "broker_info", "age", "duration"]
                .iter()
                .any(|word| line.contains(word))
        });
        lines
    };
    assert_eq!(values(&new), values(&old));
    assert!(values(&old).len() > 25);
    let versions = old.fake.requests.lock().clone();
    assert!(versions.contains(&(ApiKey::OffsetFetch, 6)), "{versions:?}");
    for (api, version) in versions {
        let newest = kafka_2_4().get(&(api as i16)).copied();
        assert!(Some(version) <= newest, "{api:?} {version}");
    }
    let versions = new.fake.requests.lock().clone();
    assert!(versions.contains(&(ApiKey::OffsetFetch, 9)), "{versions:?}");
}

#[tokio::test]
async fn commits_are_read_before_ends_and_many_groups_at_once() {
    let mut state = orders();
    let names: Vec<&'static str> = (0..60)
        .map(|i| &*Box::leak(format!("g{i:02}").into_boxed_str()))
        .collect();
    let group = state.groups["billing"].clone();
    state.groups = names.iter().map(|name| (*name, group.clone())).collect();
    let rig = rig(state, &[]).await;
    rig.agent.poll().await;
    let order: Vec<ApiKey> = rig
        .fake
        .requests
        .lock()
        .iter()
        .map(|(api, _)| *api)
        .collect();
    let last_fetch = order.iter().rposition(|api| *api == ApiKey::OffsetFetch);
    let first_end = order.iter().position(|api| *api == ApiKey::ListOffsets);
    assert!(last_fetch.is_some() && last_fetch < first_end, "{order:?}");
    let fetches = order.iter().filter(|api| **api == ApiKey::OffsetFetch);
    assert_eq!(fetches.count(), 2, "50 groups in a request");
    assert_eq!(rig.lines("kafka_consumergroup_lag_sum").len(), 60);
}

#[tokio::test]
async fn filters_and_connected_groups_only() {
    let mut state = orders();
    state.topics.insert("__consumer_offsets", vec![(0, 9)]);
    let other = state.groups["billing"].clone();
    state.groups.insert("console-1", other);
    let idle = FakeGroup {
        kind: "Classic",
        state: "Empty",
        commits: [("orders", vec![(0, 100), (1, 250)])].into(),
        ..FakeGroup::default()
    };
    state.groups.insert("idle", idle);
    let flags = [
        "--topic.exclude=^__",
        "--group.exclude=console",
        "--no-offset.show-all",
    ];
    let rig = rig(state, &flags).await;
    rig.agent.poll().await;
    assert_eq!(
        rig.lines("kafka_topic_partitions"),
        [r#"kafka_topic_partitions{topic="orders"} 2"#]
    );
    // Partition 1 is not assigned; the empty group has no assignment at all, but is still there.
    assert_eq!(
        rig.lines("kafka_consumergroup_lag{"),
        [r#"kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"} 10"#]
    );
    assert_eq!(
        rig.lines("kafka_consumergroup_members"),
        [
            r#"kafka_consumergroup_members{consumergroup="billing"} 1"#,
            r#"kafka_consumergroup_members{consumergroup="idle"} 0"#,
        ]
    );
}

#[tokio::test]
async fn new_consumer_groups_and_share_groups() {
    let mut state = orders();
    let mut new = state.groups["billing"].clone();
    new.kind = "Consumer";
    new.state = "Assigning";
    new.members.push(("orders", vec![1]));
    state.groups.insert("new", new);
    let share = FakeGroup {
        kind: "Share",
        state: "Stable",
        commits: [("orders", vec![(0, 70)])].into(),
        ..FakeGroup::default()
    };
    state.groups.insert("share", share);
    let rig = rig(state, &["--group.exclude=billing", "--no-offset.show-all"]).await;
    rig.agent.poll().await;
    assert_eq!(
        rig.lines("kafka_consumergroup_info"),
        [
            r#"kafka_consumergroup_info{consumergroup="new",state="Assigning",type="consumer"} 1"#,
            r#"kafka_consumergroup_info{consumergroup="share",state="Stable",type="share"} 1"#,
        ]
    );
    assert_eq!(
        rig.lines("kafka_consumergroup_members"),
        [
            r#"kafka_consumergroup_members{consumergroup="new"} 2"#,
            r#"kafka_consumergroup_members{consumergroup="share"} 0"#,
        ]
    );
    assert_eq!(
        rig.lines("kafka_consumergroup_lag{"),
        [
            r#"kafka_consumergroup_lag{consumergroup="new",partition="0",topic="orders"} 10"#,
            r#"kafka_consumergroup_lag{consumergroup="new",partition="1",topic="orders"} -1"#,
        ]
    );

    // Who is assigned what counts only where unread partitions are left out.
    let mut state = rig.fake.state.lock().clone();
    state.newest.insert(90, -1);
    let without = rig_with(start(state.clone()).await, &["--group.filter=share"]);
    without.agent.poll().await;
    assert!(without.lines("kafka_consumergroup_lag{").is_empty());
    assert!(without.lines("kafka_lag_agent_request_errors").is_empty());
    state.newest.clear();
    let with = rig_with(start(state).await, &["--group.filter=share"]);
    with.agent.poll().await;
    assert_eq!(
        with.lines("kafka_consumergroup_lag{"),
        [
            r#"kafka_consumergroup_lag{consumergroup="share",partition="0",topic="orders"} 30"#,
            r#"kafka_consumergroup_lag{consumergroup="share",partition="1",topic="orders"} -1"#,
        ]
    );
}

#[tokio::test]
async fn a_denied_group_is_counted_and_the_rest_goes_on() {
    let mut state = orders();
    let mut denied = state.groups["billing"].clone();
    denied.error_code = 30;
    state.groups.insert("denied", denied);
    let rig = rig(state, &[]).await;
    rig.agent.poll().await;
    let errors =
        r#"kafka_lag_agent_request_errors_total{api="DescribeGroups",reason="authorization"} 1"#;
    assert_eq!(rig.lines("kafka_lag_agent_request_errors"), [errors]);
    let members = r#"kafka_consumergroup_members{consumergroup="billing"} 1"#;
    assert_eq!(rig.lines("kafka_consumergroup_members"), [members]);
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
}

#[tokio::test]
async fn an_unreachable_cluster_is_said_and_its_last_data_kept_for_a_while() {
    let mut rig = rig(orders(), &["--poll.stale-after=1s"]).await;
    rig.agent.poll().await;
    // The old broker goes away; nobody listens at a port that was just given back.
    let address = rig.fake.address;
    rig.fake = start(orders()).await;
    assert_ne!(rig.fake.address, address);
    tokio::task::yield_now().await;
    rig.agent.poll().await;
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 0"]);
    let down = rig.lines("kafka_lag_agent_down");
    assert!(
        down == [r#"kafka_lag_agent_down{reason="connect"} 1"#],
        "{down:?}"
    );
    assert_eq!(rig.lines("kafka_brokers"), ["kafka_brokers 1"]);
    assert_eq!(rig.lines("kafka_lag_agent_data_age_seconds").len(), 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(rig.lines("kafka_brokers").is_empty());
    assert_eq!(
        rig.lines("kafka_lag_agent_polls_failed_total"),
        ["kafka_lag_agent_polls_failed_total 1"]
    );
}

#[tokio::test]
async fn connections_are_kept_between_polls() {
    let rig = rig(orders(), &[]).await;
    for _ in 0..3 {
        rig.agent.poll().await;
    }
    // One to the address given, one to the broker it names.
    assert_eq!(rig.fake.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn sasl_plain() {
    for (password, up, reason) in [
        ("good", "kafka_up 1", None),
        ("bad", "kafka_up 0", Some("authentication")),
    ] {
        let mut state = orders();
        state.login = Some(("user", "good"));
        let password = format!("--sasl.password={password}");
        let flags = ["--sasl.enabled", "--sasl.username=user", &password];
        let rig = rig(state, &flags).await;
        rig.agent.poll().await;
        assert_eq!(rig.lines("kafka_up"), [up]);
        let down = reason.map(|reason| format!(r#"kafka_lag_agent_down{{reason="{reason}"}} 1"#));
        assert_eq!(rig.lines("kafka_lag_agent_down"), Vec::from_iter(down));
    }
}

#[tokio::test]
async fn broken_answers_end_in_an_error() {
    let huge = [&i32::MAX.to_be_bytes()[..], &[0; 16]].concat();
    let negative = [&(-1_i32).to_be_bytes()[..], &[0; 16]].concat();
    // Request 2, then 2^31 - 1 brokers.
    let liar = [
        0, 0, 0, 12, 0, 0, 0, 2, 0, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0, 0,
    ]
    .to_vec();
    for garbage in [huge, negative, liar] {
        let mut state = orders();
        state.garbage = Some(garbage);
        let rig = rig(state, &[]).await;
        rig.agent.poll().await;
        assert_eq!(
            rig.lines("kafka_lag_agent_down"),
            [r#"kafka_lag_agent_down{reason="malformed"} 1"#]
        );
    }
}

#[tokio::test]
async fn lag_in_seconds_from_polls() {
    let rig = rig(orders(), &[]).await;
    rig.agent.poll().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Ten records more: the group has read what was there before, and none of them.
    {
        let mut state = rig.fake.state.lock();
        state.topics.insert("orders", vec![(5, 110), (10, 250)]);
        let billing = state.groups.get_mut("billing").expect("the group");
        billing.commits.insert("orders", vec![(0, 100), (1, 250)]);
    }
    rig.agent.poll().await;
    let lines = rig.lines("kafka_consumergroup_lag_seconds");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!((0.3..5.0).contains(&value(&lines[0])), "{lines:?}");
    assert_eq!(value(&lines[1]), 0.0);
}

#[tokio::test]
async fn sasl_scram() {
    for (password, up) in [("good", "kafka_up 1"), ("bad", "kafka_up 0")] {
        let mut state = orders();
        state.login = Some(("user", "good"));
        state.mechanism = "SCRAM-SHA-256";
        let password = format!("--sasl.password={password}");
        let flags = [
            "--sasl.enabled",
            "--sasl.mechanism=scram-sha256",
            "--sasl.username=user",
            &password,
        ];
        let rig = rig(state, &flags).await;
        rig.agent.poll().await;
        assert_eq!(rig.lines("kafka_up"), [up], "{:?}", rig.agent.status());
    }
}

#[tokio::test]
async fn tls_with_client_certificates() {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let made =
        rcgen::generate_simple_self_signed(["broker.test".to_owned()]).expect("a certificate");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), &cert).expect("written");
    std::fs::write(path("key.pem"), &key).expect("written");
    let der = CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider.clone(),
    )
    .build()
    .expect("a verifier");
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![der],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"),
        )
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let ca = format!("--tls.ca-file={}", path("cert.pem"));
    let cert = format!("--tls.cert-file={}", path("cert.pem"));
    let key = format!("--tls.key-file={}", path("key.pem"));
    let name = "--tls.server-name=broker.test";
    let cases: [(&[&str], bool); 5] = [
        (&["--tls.enabled", &ca, &cert, &key, name], true),
        (
            &[
                "--tls.enabled",
                "--tls.insecure-skip-tls-verify",
                &cert,
                &key,
            ],
            true,
        ),
        // The wrong name, no certificate of ours, no TLS at all.
        (
            &[
                "--tls.enabled",
                &ca,
                &cert,
                &key,
                "--tls.server-name=other.test",
            ],
            false,
        ),
        (&["--tls.enabled", &ca, name], false),
        (&[], false),
    ];
    for (flags, up) in cases {
        let fake = support::start_with(orders(), Some(acceptor.clone())).await;
        let rig = rig_with(fake, flags);
        rig.agent.poll().await;
        let expected = format!("kafka_up {}", u8::from(up));
        assert_eq!(
            rig.lines("kafka_up"),
            [expected],
            "{flags:?} {:?}",
            rig.agent.status()
        );
    }
}

#[tokio::test]
async fn two_thousand_groups_and_partitions() {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let topics: Vec<&'static str> = (0..500).map(|i| leak(format!("topic-{i}"))).collect();
    let mut state = State {
        topics: topics
            .iter()
            .map(|topic| (*topic, vec![(0, 1000); 4]))
            .collect(),
        ..State::default()
    };
    for i in 0..2000 {
        let commits = (0..4).map(|partition| (partition, 900)).collect();
        let group = FakeGroup {
            kind: "Classic",
            state: "Stable",
            commits: [(topics[i % 500], commits)].into(),
            ..FakeGroup::default()
        };
        state.groups.insert(leak(format!("group-{i}")), group);
    }
    let rig = rig(state, &[]).await;
    rig.agent.poll().await;
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
    assert_eq!(rig.lines("kafka_consumergroup_lag{").len(), 8000);
    // Versions twice, metadata, list, 10 describe, 40 commits, 2 ends, 1 configuration, 1 sizes; of
    // records 1,000 in a poll: 50 at once, and as none comes 50 of them alone.
    let others = |requests: &Vec<(ApiKey, i16)>| {
        requests
            .iter()
            .filter(|(api, _)| *api != ApiKey::Fetch)
            .count()
    };
    assert_eq!(others(&rig.fake.requests.lock()), 58);
    assert_eq!(rig.fake.requests.lock().len(), 58 + 20 + 50);
}

#[tokio::test]
async fn two_brokers_each_tell_their_part() {
    let mut second = orders();
    let billing = second.groups.remove("billing").expect("the group");
    second.groups.insert("shipping", billing);
    let second = start(second).await;
    let mut state = orders();
    state.others = vec![(2, second.address)];
    state.leaders = [(1, 2)].into();
    let rig = rig(state, &[]).await;
    rig.agent.poll().await;
    assert_eq!(rig.lines("kafka_brokers"), ["kafka_brokers 2"]);
    let leader = r#"kafka_topic_partition_leader{partition="1",topic="orders"} 2"#;
    assert!(rig.page().contains(&leader.to_owned()));
    assert_eq!(rig.lines("kafka_topic_partition_current_offset").len(), 2);
    assert_eq!(rig.lines("kafka_consumergroup_lag_sum").len(), 2);
    let ends = |fake: &Fake| {
        let requests = fake.requests.lock();
        requests
            .iter()
            .filter(|(api, _)| *api == ApiKey::ListOffsets)
            .count()
    };
    assert_eq!(
        (ends(&rig.fake), ends(&second)),
        (2, 2),
        "each leader is asked for its own"
    );

    // The second goes: what the first knows goes on, and what nobody tells is not on the page.
    drop(second);
    tokio::task::yield_now().await;
    rig.agent.poll().await;
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
    assert_eq!(
        rig.lines("kafka_topic_partition_current_offset"),
        [r#"kafka_topic_partition_current_offset{partition="0",topic="orders"} 100"#]
    );
    assert_eq!(
        rig.lines("kafka_consumergroup_lag_sum"),
        [r#"kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"} 10"#]
    );
    assert_eq!(
        rig.lines("kafka_lag_agent_request_errors_total"),
        [
            r#"kafka_lag_agent_request_errors_total{api="ListGroups",reason="connect"} 1"#,
            r#"kafka_lag_agent_request_errors_total{api="ListOffsets",reason="connect"} 1"#,
        ]
    );

    // Its partitions move to the first, or nobody leads them.
    for (leader, ends, offline) in [(1, 2, 0), (-1, 1, 1)] {
        {
            let mut state = rig.fake.state.lock();
            state.others.clear();
            state.leaders = [(1, leader)].into();
        }
        rig.agent.poll().await;
        assert_eq!(
            rig.lines("kafka_topic_partition_current_offset").len(),
            ends
        );
        let line =
            format!(r#"kafka_topic_partition_offline{{partition="1",topic="orders"}} {offline}"#);
        assert!(rig.page().contains(&line), "{line}");
    }

    // The topic is deleted.
    rig.fake.state.lock().topics.clear();
    rig.agent.poll().await;
    assert!(rig.lines("kafka_topic").is_empty());
    assert!(rig.lines("kafka_consumergroup_lag").is_empty());
}

#[tokio::test]
async fn a_silent_broker_is_given_up() {
    let mut state = orders();
    state.garbage = Some(Vec::new());
    let rig = rig(state, &["--kafka.request-timeout=200ms"]).await;
    rig.agent.poll().await;
    let down = [r#"kafka_lag_agent_down{reason="timeout"} 1"#];
    assert_eq!(rig.lines("kafka_lag_agent_down"), down);
    // It speaks again; an answer to what was asked before would be of another request.
    rig.fake.state.lock().garbage = None;
    rig.agent.poll().await;
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
}

fn seconds_ago(seconds: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = now
        .expect("a clock")
        .saturating_sub(Duration::from_secs(seconds));
    then.as_millis() as i64
}

fn value(line: &str) -> f64 {
    let value = line.rsplit_once(' ').expect("a value").1;
    value.parse().expect("a number")
}

#[tokio::test]
async fn a_records_own_time_where_the_history_does_not_reach() {
    let mut state = orders();
    state.record_ms = Some(seconds_ago(3600));
    let rig = rig(state, &[]).await;
    let fetched = || {
        let requests = rig.fake.requests.lock();
        requests
            .iter()
            .filter(|(api, _)| *api == ApiKey::Fetch)
            .count()
    };
    rig.agent.poll().await;
    let lag = || value(&rig.lines("kafka_consumergroup_lag_seconds")[0]);
    assert!((3600.0..3660.0).contains(&lag()), "{}", lag());
    assert_eq!(fetched(), 1);
    // Known now; a record nobody waits for is not asked for either.
    rig.agent.poll().await;
    assert_eq!(fetched(), 1);
    {
        let mut state = rig.fake.state.lock();
        state.denied.insert(ApiKey::Fetch as i16, 29);
        let billing = state.groups.get_mut("billing").expect("the group");
        billing.commits.insert("orders", vec![(0, 95)]);
    }
    // Denied: counted, not tried again, and the history's age stands in.
    for _ in 0..3 {
        rig.agent.poll().await;
    }
    assert_eq!(fetched(), 2);
    assert!((0.0..60.0).contains(&lag()), "{}", lag());
    let errors = r#"kafka_lag_agent_request_errors_total{api="Fetch",reason="authorization"} 1"#;
    assert_eq!(rig.lines("kafka_lag_agent_request_errors"), [errors]);
}

#[tokio::test]
async fn no_record_is_read_where_that_is_not_wanted() {
    let mut state = orders();
    state.record_ms = Some(0);
    let rig = rig(state, &["--no-lag.read-records", "--refresh.details=0s"]).await;
    rig.agent.poll().await;
    let asked: Vec<ApiKey> = rig
        .fake
        .requests
        .lock()
        .iter()
        .map(|(api, _)| *api)
        .collect();
    for api in [
        ApiKey::Fetch,
        ApiKey::DescribeConfigs,
        ApiKey::DescribeLogDirs,
    ] {
        assert!(!asked.contains(&api), "{asked:?}");
    }
    assert!(value(&rig.lines("kafka_consumergroup_lag_seconds")[0]) < 60.0);
}

#[tokio::test]
async fn configuration_and_log_sizes() {
    let rig = rig(orders(), &[]).await;
    for _ in 0..2 {
        rig.agent.poll().await;
    }
    let page = rig.page();
    for line in [
        r#"kafka_topic_info{cleanup_policy="compact,delete",topic="orders"} 1"#,
        r#"kafka_topic_retention_seconds{topic="orders"} 3600"#,
        r#"kafka_topic_retention_bytes{topic="orders"} +Inf"#,
        r#"kafka_topic_min_in_sync_replicas{topic="orders"} 2"#,
        r#"kafka_topic_max_message_bytes{topic="orders"} 1e+06"#,
        r#"kafka_topic_partition_under_min_in_sync_replicas{partition="0",topic="orders"} 1"#,
        r#"kafka_topic_partition_log_size_bytes{broker="1",partition="1",topic="orders"} 240"#,
        r#"kafka_broker_log_dir_offline{broker="1",log_dir="/data"} 0"#,
        r#"kafka_broker_log_dir_offline{broker="1",log_dir="/broken"} 1"#,
        r#"kafka_broker_log_dir_total_bytes{broker="1",log_dir="/data"} 1000"#,
        r#"kafka_broker_log_dir_usable_bytes{broker="1",log_dir="/data"} 400"#,
    ] {
        assert!(page.iter().any(|have| have == line), "{line}\n{page:#?}");
    }
    let looks = rig.fake.requests.lock();
    let looks = looks
        .iter()
        .filter(|(api, _)| *api == ApiKey::DescribeLogDirs);
    assert_eq!(looks.count(), 1, "not at each poll");
}

#[tokio::test]
async fn leaders_that_moved_are_asked_in_the_same_poll() {
    let second = start(orders()).await;
    let mut state = orders();
    state.others = vec![(2, second.address)];
    // For the ends and for the starts.
    state.moves = 2;
    let rig = rig(state, &[]).await;
    rig.agent.poll().await;
    assert_eq!(
        rig.lines("kafka_topic_partition_current_offset"),
        [
            r#"kafka_topic_partition_current_offset{partition="0",topic="orders"} 100"#,
            r#"kafka_topic_partition_current_offset{partition="1",topic="orders"} 250"#,
        ]
    );
    assert_eq!(rig.lines("kafka_topic_partition_oldest_offset").len(), 2);
    let leader = r#"kafka_topic_partition_leader{partition="0",topic="orders"} 2"#;
    assert!(rig.page().contains(&leader.to_owned()));
    let preferred = "kafka_topic_partition_leader_is_preferred{partition=\"0\",topic=\"orders\"} 0";
    assert!(rig.page().contains(&preferred.to_owned()));
    assert!(rig.lines("kafka_lag_agent_request_errors").is_empty());
}

#[tokio::test]
async fn a_silent_broker_is_waited_for_once_a_poll() {
    let mut second = orders();
    second.hangs = vec![ApiKey::ListGroups as i16];
    let second = start(second).await;
    let mut state = orders();
    state.others = vec![(2, second.address)];
    state.leaders = [(1, 2)].into();
    let rig = rig(state, &["--kafka.request-timeout=300ms"]).await;
    let ends = || {
        let requests = second.requests.lock();
        requests.iter().any(|(api, _)| *api == ApiKey::ListOffsets)
    };
    rig.agent.poll().await;
    assert!(!ends(), "not asked again");
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
    assert_eq!(rig.lines("kafka_consumergroup_lag_sum").len(), 1);
    let errors = rig.lines("kafka_lag_agent_request_errors_total");
    assert!(
        errors.len() > 1 && errors.iter().all(|e| e.contains("timeout")),
        "{errors:?}"
    );
    // It comes to itself: the next poll asks it everything.
    second.state.lock().hangs.clear();
    rig.agent.poll().await;
    assert!(ends());
    assert_eq!(rig.lines("kafka_topic_partition_current_offset").len(), 2);
}

#[tokio::test]
async fn sasl_oauthbearer() {
    let answer = r#"{"access_token": "the-token", "token_type": "bearer", "expires_in": 3600}"#;
    let tokens =
        axum::Router::new().route("/token", axum::routing::post(move || async move { answer }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, tokens).await });
    for (path, login, up, why) in [
        ("/token", "the-token", 1, ""),
        ("/token", "another", 0, "invalid_token"),
        ("/nowhere", "the-token", 0, "cannot fetch token"),
    ] {
        let mut state = orders();
        state.login = Some(("", login));
        state.mechanism = "OAUTHBEARER";
        let url = format!("--sasl.oauthbearer-token-url={url}{path}");
        let flags = [
            "--sasl.enabled",
            "--sasl.mechanism=oauthbearer",
            "--sasl.username=agent",
            "--sasl.password=secret",
            &url,
        ];
        let rig = rig(state, &flags).await;
        rig.agent.poll().await;
        assert_eq!(rig.lines("kafka_up"), [format!("kafka_up {up}")], "{login}");
        let status = format!("{:?}", rig.agent.status());
        assert!(status.contains(why), "{status}");
        let denied = rig.lines(r#"kafka_lag_agent_down{reason="authentication"}"#);
        assert_eq!(denied.len(), 1 - up, "{status}");
    }
}

#[tokio::test]
async fn a_session_is_renewed_before_it_ends() {
    let mut state = orders();
    state.login = Some(("user", "good"));
    // The connection made after this one is good for a long time.
    state.session_lifetime_ms = 100;
    let flags = [
        "--sasl.enabled",
        "--sasl.username=user",
        "--sasl.password=good",
    ];
    let rig = rig(state, &flags).await;
    rig.agent.poll().await;
    let before = rig.fake.connections.load(Ordering::Relaxed);
    rig.fake.state.lock().session_lifetime_ms = 1_000_000;
    tokio::time::sleep(Duration::from_millis(150)).await;
    for _ in 0..3 {
        rig.agent.poll().await;
    }
    assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
    let after = rig.fake.connections.load(Ordering::Relaxed);
    assert_eq!(after - before, 1, "only the broker that is asked");
}

#[tokio::test]
async fn several_clusters_on_one_page() {
    let (east, west) = (start(orders()).await, start(orders()).await);
    west.state.lock().topics.insert("returns", vec![(0, 7)]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("clusters.yml");
    let text = format!(
        "clusters:\n- {{name: east, brokers: ['{}']}}\n- {{name: west, brokers: ['{}'], labels: {{zone: b}}, topic_exclude: orders}}\n- {{name: gone, brokers: ['127.0.0.1:1']}}\n",
        east.address, west.address
    );
    std::fs::write(&file, text).expect("written");
    let flag = format!("--config.file={}", file.display());
    let boot = Boot::new(&kafka_lag_agent::PROGRAM, &[flag]).expect("flags");
    let registry = Registry::new();
    let mut agents = Vec::new();
    for settings in Settings::all(&boot.args).expect("settings") {
        let agent = Arc::new(Agent::new(settings, &registry));
        agent.poll().await;
        agents.push(agent);
    }
    register(&agents, &registry);
    let page = String::from_utf8(registry.render(None).body).expect("text");
    for line in [
        r#"kafka_up{cluster="east"} 1"#,
        r#"kafka_up{cluster="west",zone="b"} 1"#,
        r#"kafka_up{cluster="gone"} 0"#,
        r#"kafka_lag_agent_down{cluster="gone",reason="connect"} 1"#,
        r#"kafka_topic_partitions{cluster="east",topic="orders"} 2"#,
        r#"kafka_topic_partitions{cluster="west",topic="returns",zone="b"} 1"#,
        r#"kafka_lag_agent_polls_failed_total{cluster="gone"} 1"#,
        r#"kafka_lag_agent_polls_failed_total{cluster="east"} 0"#,
    ] {
        assert!(page.lines().any(|have| have == line), "{line}\n{page}");
    }
    assert!(!page.contains(r#"cluster="west",topic="orders""#));
    assert_eq!(page.matches("# TYPE kafka_up gauge").count(), 1);
}

#[test]
fn the_example_configuration_is_one() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join("deploy/config/kafka_clusters.yml");
    let flag = format!("--config.file={}", file.display());
    let boot = Boot::new(&kafka_lag_agent::PROGRAM, &[flag]).expect("flags");
    let clusters = Settings::all(&boot.args).expect("settings");
    let names: Vec<_> = clusters
        .iter()
        .map(|cluster| cluster.name.as_deref())
        .collect();
    assert_eq!(names, [Some("orders"), Some("telemetry")]);
}

#[tokio::test]
async fn commits_in_zookeeper() {
    let zookeeper = support::zookeeper(&[
        ("/consumers/ancient/offsets/orders/0", "60"),
        ("/consumers/ancient/offsets/orders/1", "0"),
        ("/consumers/ancient/offsets/orders/x", "7"),
        ("/consumers/ancient/offsets/gone/0", "7"),
        ("/consumers/ancient/ids", ""),
        ("/consumers/ahead/offsets/orders/0", "1000"),
        ("/consumers/console-1/offsets/orders/0", "1"),
    ])
    .await;
    // Nobody listens at the first.
    let servers = format!("--zookeeper.server=127.0.0.1:1,{zookeeper}");
    let flags = [
        "--use.consumelag.zookeeper",
        "--kafka.labels=cluster=east",
        "--group.exclude=console",
        &servers,
    ];
    let rig = rig(orders(), &flags).await;
    for _ in 0..2 {
        rig.agent.poll().await;
    }
    assert_eq!(
        rig.lines("kafka_consumergroupzookeeper_lag_zookeeper"),
        [
            r#"kafka_consumergroupzookeeper_lag_zookeeper{consumergroup="ahead",partition="0",topic="orders"} 0"#,
            r#"kafka_consumergroupzookeeper_lag_zookeeper{consumergroup="ancient",partition="0",topic="orders"} 40"#,
        ]
    );
    assert!(rig.lines("kafka_lag_agent_request_errors").is_empty());

    let gone = rig_with(
        start(orders()).await,
        &[
            "--use.consumelag.zookeeper",
            "--zookeeper.server=127.0.0.1:1",
        ],
    );
    gone.agent.poll().await;
    assert_eq!(gone.lines("kafka_up"), ["kafka_up 1"]);
    assert_eq!(
        gone.lines("kafka_lag_agent_request_errors"),
        [r#"kafka_lag_agent_request_errors_total{api="ZooKeeper",reason="connect"} 1"#]
    );
}

/// Whatever something that is no ZooKeeper answers, the poll goes on.
#[tokio::test]
async fn what_is_no_zookeeper_is_an_error() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 1, 9, 0xff, 0xff, 0xff, 0xff],
        // A greeting, then 2^31 - 1 children.
        &[
            0, 0, 0, 1, 0, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff,
            0xff, 0xff,
        ],
        // A greeting, then the answer to another request.
        &[
            0, 0, 0, 1, 0, 0, 0, 0, 16, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        &[],
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
                let mut request = [0; 128];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            }
        });
        let server = format!("--zookeeper.server={address}");
        let flags = [
            "--use.consumelag.zookeeper",
            &server,
            "--kafka.request-timeout=2s",
        ];
        let rig = rig(orders(), &flags).await;
        rig.agent.poll().await;
        assert_eq!(rig.lines("kafka_up"), ["kafka_up 1"]);
        let errors = rig.lines(r#"kafka_lag_agent_request_errors_total{api="ZooKeeper""#);
        assert_eq!(errors.len(), 1, "{answer:?}");
    }
}
