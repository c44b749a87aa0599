//! The agent against a fake cluster: what its page says.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

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
    register(&agent, &registry);
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

#[tokio::test]
async fn old_brokers_say_the_same() {
    let new = rig(orders(), &[]).await;
    let mut state = orders();
    // As Kafka 2.4 answers: no lists of groups, no group states and types.
    state.newest = [(9, 6), (16, 2), (15, 4), (2, 5), (3, 8), (69, -1)].into();
    let old = rig(state, &[]).await;
    new.agent.poll().await;
    old.agent.poll().await;
    // Without what goes on growing between the two scrapes.
    let values = |rig: &Rig| {
        let mut lines = rig.lines("kafka_consumergroup");
        lines.retain(|line| !line.starts_with("kafka_consumergroup_lag_seconds"));
        lines
    };
    assert_eq!(values(&new), values(&old));
    let versions = old.fake.requests.lock().clone();
    assert!(versions.contains(&(ApiKey::OffsetFetch, 6)), "{versions:?}");
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
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
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
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // Ten records more: the group has read what was there before, and none of them.
    {
        let mut state = rig.fake.state.lock();
        state.topics.insert("orders", vec![(5, 110), (10, 250)]);
        let billing = state.groups.get_mut("billing").expect("the group");
        billing.commits.insert("orders", vec![(0, 100), (1, 250)]);
    }
    rig.agent.poll().await;
    let lines = rig.lines("kafka_consumergroup_lag_seconds");
    let value = |line: &String| -> f64 {
        line.rsplit_once(' ')
            .expect("a value")
            .1
            .parse()
            .expect("a number")
    };
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
