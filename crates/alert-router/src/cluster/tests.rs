use std::collections::BTreeMap;

use jiff::Timestamp;
use telemetry::{Counter, Registry};

use super::*;
use crate::nflog;

/// What a member knows, by the text of what it is about.
#[derive(Default)]
struct Known(Mutex<HashMap<String, Record>>);

fn subject(record: &Record) -> (String, Timestamp) {
    match record {
        Record::Notified(key, entry) => (key.group_key.to_string(), entry.timestamp),
        other => panic!("unexpected {other:?}"),
    }
}

impl State for Known {
    fn merge(&self, records: Vec<Record>) -> usize {
        let mut known = self.0.lock();
        let before = records.len();
        let news = records.into_iter().filter(|record| {
            let (name, at) = subject(record);
            known.get(&name).is_none_or(|old| subject(old).1 < at)
        });
        let news: Vec<Record> = news.collect();
        let count = news.len();
        assert!(count <= before);
        known.extend(news.into_iter().map(|record| (subject(&record).0, record)));
        count
    }

    fn all(&self) -> Vec<u8> {
        let mut framed = Vec::new();
        for record in self.0.lock().values() {
            wal::frame(record, &mut framed);
        }
        framed
    }
}

fn note(name: &str, hashes: usize) -> Record {
    Record::Notified(
        nflog::Key {
            group_key: Arc::from(name),
            receiver: nflog::Receiver {
                group_name: Arc::from("r"),
                integration: Arc::from("webhook"),
                index: 0,
            },
        },
        nflog::Entry {
            timestamp: Timestamp::now(),
            firing: (0..hashes as u64).collect(),
            resolved: Vec::new(),
            data: BTreeMap::new(),
            expires_at: Timestamp::MAX,
        },
    )
}

fn options(name: &str, peers: &[SocketAddr]) -> Options {
    Options {
        listen: "127.0.0.1:0".to_owned(),
        advertise: String::new(),
        peers: peers.iter().map(ToString::to_string).collect(),
        name: name.to_owned(),
        label: "test".to_owned(),
        allow_public: false,
        peer_timeout: Duration::from_secs(15),
        resolve_timeout: Duration::from_secs(1),
        gossip_interval: Duration::from_millis(20),
        push_pull_interval: Duration::from_secs(60),
        tcp_timeout: Duration::from_secs(2),
        probe_timeout: Duration::from_millis(100),
        probe_interval: Duration::from_millis(200),
        settle_timeout: Duration::from_secs(5),
        reconnect_interval: Duration::from_millis(200),
        reconnect_timeout: Duration::from_secs(60),
        tls: None,
    }
}

struct Member {
    cluster: Cluster,
    known: Arc<Known>,
    registry: Registry,
}

impl Member {
    async fn start(options: Options) -> Member {
        let known = Arc::new(Known::default());
        let registry = Registry::new();
        let state: Arc<dyn State> = Arc::clone(&known) as Arc<dyn State>;
        let started = Cluster::start(
            options,
            state,
            Metrics::new(&registry, Counter::new(), Counter::new()),
        )
        .await;
        let (cluster, running) = started.unwrap();
        let runner = cluster.clone();
        tokio::spawn(async move { runner.run(running).await });
        Member {
            cluster,
            known,
            registry,
        }
    }

    fn address(&self) -> SocketAddr {
        self.cluster.0.own.lock().address
    }

    fn names(&self) -> Vec<String> {
        let members = self.cluster.members();
        members.into_iter().map(|id| id.name).collect()
    }

    fn knows(&self, name: &str) -> bool {
        self.known.0.lock().contains_key(name)
    }

    /// As the engine does: kept, then told.
    fn tell(&self, record: Record) {
        self.known.merge(vec![record.clone()]);
        self.cluster.publish(&record);
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "waited too long for {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn members_find_each_other_and_share_what_they_know() {
    let a = Member::start(options("a", &[])).await;
    a.tell(note("from before", 1));
    let b = Member::start(options("b", &[a.address()])).await;
    let c = Member::start(options("c", &[a.address()])).await;
    for member in [&a, &b, &c] {
        until("everybody to know everybody", || {
            member.names() == ["a", "b", "c"]
        })
        .await;
    }
    let positions = [&a, &b, &c].map(|m| m.cluster.position());
    assert_eq!(positions, [0, 1, 2]);
    assert_eq!(c.cluster.wait(), Duration::from_secs(30));
    until("what was known before", || {
        b.knows("from before") && c.knows("from before")
    })
    .await;
    b.tell(note("news", 3));
    until("news to spread", || a.knows("news") && c.knows("news")).await;
    // Too long for gossip.
    c.tell(note("long", 100_000));
    until("the long one", || a.knows("long") && b.knows("long")).await;
    for member in [&a, &b, &c] {
        tokio::time::timeout(Duration::from_secs(5), member.cluster.ready())
            .await
            .unwrap();
    }
    b.cluster.leave().await;
    until("the goodbye", || {
        a.names() == ["a", "c"] && c.names() == ["a", "c"]
    })
    .await;
    assert_eq!(c.cluster.position(), 1);
    assert_eq!(a.cluster.failed(), 1);
    let page = format!("{:?}", a.registry.gather());
    assert!(
        page.contains("alertmanager_cluster_peers_left_total"),
        "{page}"
    );
}

#[tokio::test]
async fn who_is_gone_is_missed_and_who_comes_back_is_told_everything() {
    let a = Member::start(options("a", &[])).await;
    let b = Member::start(options("b", &[a.address()])).await;
    until("the first meeting", || {
        a.names().len() == 2 && b.names().len() == 2
    })
    .await;
    let at = b.address();
    // Gone without a word: nobody answers there any more.
    b.cluster.0.stop.cancel();
    drop(b);
    until("b to be missed", || a.names() == ["a"]).await;
    a.tell(note("meanwhile", 1));
    let again = Options {
        listen: at.to_string(),
        ..options("b", &[])
    };
    // It does not look for anybody: the one that lost it does.
    let b = Member::start(again).await;
    until("b to be found again", || {
        a.names() == ["a", "b"] && b.knows("meanwhile")
    })
    .await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let a = Member::start(options("a", &[])).await;
    let other = Options {
        label: "another".to_owned(),
        ..options("b", &[a.address()])
    };
    let b = Member::start(other).await;
    let namesake = Member::start(options("a", &[a.address()])).await;
    let error = b.cluster.exchange(a.address()).await.unwrap_err();
    assert_eq!(error.to_string(), "its cluster label is another one");
    let error = namesake.cluster.exchange(a.address()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "its name \"a\" is taken by another member"
    );
    // One that hangs up at words it does not know, as memberlist does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stranger = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let error = a.cluster.exchange(stranger).await.unwrap_err().to_string();
    assert!(
        error.contains("mixed with Alertmanager") || error.contains("reset"),
        "{error}"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(a.names(), ["a"]);
}

#[tokio::test]
async fn members_talk_over_tls_and_not_without() {
    let dir = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["router".to_owned()]).unwrap();
    std::fs::write(dir.path().join("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(
        dir.path().join("key.pem"),
        certified.signing_key.serialize_pem(),
    )
    .unwrap();
    let file = dir.path().join("tls.yml");
    std::fs::write(
        &file,
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, client_auth_type: RequireAndVerifyClientCert}\n\
         tls_client_config: {ca_file: cert.pem, cert_file: cert.pem, key_file: key.pem, server_name: router}\n",
    )
    .unwrap();
    let tls = Some(Tls::load(&file).unwrap());
    let with_tls = |name: &str, peers: &[SocketAddr]| Options {
        tls: tls.clone(),
        ..options(name, peers)
    };
    let a = Member::start(with_tls("a", &[])).await;
    let b = Member::start(with_tls("b", &[a.address()])).await;
    until("the meeting", || {
        a.names() == ["a", "b"] && b.names() == ["a", "b"]
    })
    .await;
    a.tell(note("secret", 1));
    until("the news", || b.knows("secret")).await;
    let plain = Member::start(options("c", &[a.address()])).await;
    assert!(plain.cluster.exchange(a.address()).await.is_err());
    assert_eq!(a.names(), ["a", "b"]);
}

#[test]
fn addresses_to_be_reached_at() {
    let bound: SocketAddr = "10.1.2.3:9094".parse().unwrap();
    assert_eq!(advertised(&options("a", &[]), bound), Ok(bound));
    let given = Options {
        advertise: "192.0.2.1:1000".to_owned(),
        ..options("a", &[])
    };
    assert_eq!(
        advertised(&given, bound),
        Ok("192.0.2.1:1000".parse().unwrap())
    );
    let given = Options {
        advertise: "nonsense".to_owned(),
        ..options("a", &[])
    };
    assert!(advertised(&given, bound).is_err());
    let any: SocketAddr = "0.0.0.0:9094".parse().unwrap();
    let found = advertised(&options("a", &[]), any).unwrap();
    assert!(is_private(found.ip()) && found.port() == 9094, "{found}");
}
