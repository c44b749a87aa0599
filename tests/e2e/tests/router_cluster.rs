//! One router and three, killed again and again: every alert that was acknowledged is notified.
//! And what holds for several: one message a group, partitions that heal, strangers refused.
//!
//! `KILL_ROUNDS` (10) is how often a process is killed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Receiver, Router, free_port, get_json, part, post, wait_for};
use serde_json::{Value, json};

fn program() -> PathBuf {
    part::build(&["alert-router"]).join("alert-router")
}

fn rounds() -> usize {
    let given = std::env::var("KILL_ROUNDS").ok();
    given.and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}

fn config(sink: &Receiver) -> String {
    format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: r, webhook_configs: [{{url: '{}', send_resolved: false}}]}}]\n",
        sink.url("/hook")
    )
}

/// Sends one alert; whether it was acknowledged.
fn send(router: &Router, name: &str) -> bool {
    let body = json!([{"labels": {"alertname": name}}]).to_string();
    let json = [("Content-Type", "application/json")];
    let answer = post(
        &format!("{}/api/v2/alerts", router.url),
        &json,
        body.as_bytes(),
    );
    answer.is_some_and(|(status, _)| status == 200)
}

/// How often each alert was notified of.
fn told(sink: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for request in sink.requests("/hook") {
        let body = request.json();
        for alert in body["alerts"].as_array().into_iter().flatten() {
            let name = alert["labels"]["alertname"].as_str().unwrap_or_default();
            *told.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    told
}

/// Waits until all are told of; answers how many messages there were beyond one an alert.
fn all_told(sink: &Receiver, acknowledged: &[String], limit: Duration) -> usize {
    let begin = Instant::now();
    loop {
        let told = told(sink);
        let missing: Vec<&String> = acknowledged
            .iter()
            .filter(|n| !told.contains_key(*n))
            .collect();
        if missing.is_empty() {
            break;
        }
        assert!(
            begin.elapsed() < limit,
            "acknowledged, but nobody was told: {missing:?}"
        );
        thread::sleep(Duration::from_millis(200));
    }
    // Time enough to say something twice.
    thread::sleep(Duration::from_secs(2));
    told(sink).values().map(|count| count - 1).sum()
}

/// A number that looks random, different in each round and the same in each run.
fn dice(round: usize, sides: u64) -> u64 {
    let mut x = (round as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x >> 33) % sides
}

#[test]
fn one_router_killed_at_any_time_tells_of_everything() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let sink = Receiver::start();
    let mut router = Router::start(&program(), "one", &config(&sink), &[], dir.path());
    let mut acknowledged = Vec::new();
    let (mut cut_short, mut kills) = (0, Vec::new());
    for round in 0..rounds() {
        for i in 0..3 {
            let name = format!("alert-{round}-{i}");
            if send(&router, &name) {
                acknowledged.push(name);
            }
        }
        // Before, in or after the notification.
        thread::sleep(Duration::from_millis(dice(round, 400)));
        let known = told(&sink).len();
        router.process.kill();
        kills.push(Instant::now());
        router.process.restart();
        router.wait_ready();
        cut_short += usize::from(known < acknowledged.len());
    }
    let twice = all_told(&sink, &acknowledged, Duration::from_secs(60));
    eprintln!(
        "one router: {} kills, {} alerts acknowledged and told of, {twice} told of twice",
        rounds(),
        acknowledged.len()
    );
    assert!(acknowledged.len() >= rounds() * 3, "{}", acknowledged.len());
    assert!(cut_short > 0, "no kill came before a message");
    // A message that the receiver has and the router could not note any more comes again: each that
    // came twice was in the air when the router was killed.
    assert!(twice <= rounds(), "{twice} told of twice");
    for (name, _) in told(&sink).into_iter().filter(|(_, count)| *count > 1) {
        let first = sink
            .requests("/hook")
            .into_iter()
            .find(|r| r.body.contains(&name));
        let first = first.expect("it was told of").at;
        let explained = kills.iter().any(|kill: &Instant| {
            let after = kill.checked_duration_since(first);
            after.is_some_and(|after| after < Duration::from_secs(1))
        });
        assert!(explained, "{name} came twice, and nobody was killed");
    }
}

/// Three routers that know each other, and where they listen for each other.
struct Three {
    routers: Vec<Router>,
}

impl Three {
    fn start(sink: &Receiver, dir: &Path) -> Three {
        let ports: [u16; 3] = [(); 3].map(|()| free_port());
        let routers = (0..3).map(|i| {
            let others = ports.iter().filter(|port| **port != ports[i]);
            let mut args = vec![
                format!("--cluster.listen-address=127.0.0.1:{}", ports[i]),
                format!("--cluster.peer-name=member-{i}"),
            ];
            args.extend(others.map(|port| format!("--cluster.peer=127.0.0.1:{port}")));
            args.extend(fast());
            Router::start(
                &program(),
                &format!("member-{i}"),
                &config(sink),
                &args,
                dir,
            )
        });
        let three = Three {
            routers: routers.collect(),
        };
        three.routers.iter().for_each(|router| whole(router, 3));
        three
    }
}

/// Short times, so that a test need not wait for minutes.
fn fast() -> Vec<String> {
    [
        "--cluster.peer-timeout=2s",
        "--cluster.gossip-interval=50ms",
        "--cluster.probe-interval=500ms",
        "--cluster.probe-timeout=200ms",
        "--cluster.reconnect-interval=1s",
        "--cluster.settle-timeout=3s",
        "--cluster.pushpull-interval=5s",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn members(router: &Router) -> Option<Vec<String>> {
    let status = get_json(&format!("{}/api/v2/status", router.url))?;
    let peers = status["cluster"]["peers"].as_array()?.clone();
    if status["cluster"]["status"] != "ready" {
        return None;
    }
    Some(peers.iter().map(|peer| peer["name"].to_string()).collect())
}

/// Waits until a router has settled and sees `count` members.
fn whole(router: &Router, count: usize) {
    wait_for(&format!("{count} members"), Duration::from_secs(60), || {
        members(router).filter(|members| members.len() == count)
    });
}

#[test]
fn three_routers_send_once_and_go_on_when_one_is_killed() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let sink = Receiver::start();
    let mut three = Three::start(&sink, dir.path());
    // All well: everybody is sent everything, each group is told of once.
    let mut acknowledged = Vec::new();
    for i in 0..5 {
        let name = format!("calm-{i}");
        assert!(three.routers.iter().all(|router| send(router, &name)));
        acknowledged.push(name);
    }
    assert_eq!(
        all_told(&sink, &acknowledged, Duration::from_secs(30)),
        0,
        "told of twice in peace"
    );
    thread::sleep(Duration::from_secs(5));
    assert_eq!(
        told(&sink).values().sum::<usize>(),
        5,
        "told of twice by a later member"
    );
    // A silence of one is a silence of all.
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "hushed", "isRegex": false}],
        "startsAt": "2024-01-01T00:00:00Z", "endsAt": "2124-01-01T00:00:00Z",
        "createdBy": "me", "comment": "c",
    });
    let json_type = [("Content-Type", "application/json")];
    let url = format!("{}/api/v2/silences", three.routers[2].url);
    let answer = post(&url, &json_type, silence.to_string().as_bytes());
    assert!(answer.is_some_and(|(status, _)| status == 200));
    wait_for("the silence everywhere", Duration::from_secs(10), || {
        let known = three.routers.iter().all(|router| {
            let all = get_json(&format!("{}/api/v2/silences", router.url));
            all.and_then(|all| all.as_array().map(Vec::len)) == Some(1)
        });
        known.then_some(())
    });
    assert!(three.routers.iter().all(|router| send(router, "hushed")));
    // One after the other is killed; the others go on.
    for round in 0..rounds() {
        for i in 0..2 {
            let name = format!("alert-{round}-{i}");
            let taken = three
                .routers
                .iter()
                .filter(|router| send(router, &name))
                .count();
            if taken > 0 {
                acknowledged.push(name);
            }
        }
        thread::sleep(Duration::from_millis(dice(round, 400)));
        let victim = usize::try_from(dice(round + 1000, 3)).expect("below three");
        three.routers[victim].process.kill();
        thread::sleep(Duration::from_millis(dice(round + 2000, 600)));
        three.routers[victim].process.restart();
        three.routers[victim].wait_ready();
    }
    let twice = all_told(&sink, &acknowledged, Duration::from_secs(90));
    eprintln!(
        "three routers: {} kills, {} alerts acknowledged and told of, {twice} told of twice",
        rounds(),
        acknowledged.len()
    );
    assert!(!told(&sink).contains_key("hushed"));
    assert_eq!(acknowledged.len(), 5 + rounds() * 2);
    // At least once: who is killed after sending and before gossiping leaves it to the next one.
    assert!(twice <= acknowledged.len(), "{twice} told of twice");
}

/// A line between two routers that can be cut: everything said to `to` goes through `port`.
struct Line {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Line {
    fn to(to: u16) -> Line {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let cut = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cut);
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                if flag.load(Ordering::Relaxed) {
                    continue;
                }
                if let Ok(called) = TcpStream::connect(("127.0.0.1", to)) {
                    let pairs = [(&caller, &called), (&called, &caller)];
                    for (from, to) in pairs {
                        if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                            let flag = Arc::clone(&flag);
                            thread::spawn(move || carry(from, to, &flag));
                        }
                    }
                }
            }
        });
        Line { port, cut }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let _ = from.set_read_timeout(Some(Duration::from_millis(100)));
    let mut buffer = [0; 16 << 10];
    while !cut.load(Ordering::Relaxed) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_partition_fails_open_and_heals() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let sink = Receiver::start();
    let ports: [u16; 2] = [(); 2].map(|()| free_port());
    let lines = ports.map(Line::to);
    let routers: Vec<Router> = (0..2)
        .map(|i| {
            let mut args = vec![
                format!("--cluster.listen-address=127.0.0.1:{}", ports[i]),
                format!("--cluster.advertise-address=127.0.0.1:{}", lines[i].port),
                format!("--cluster.peer=127.0.0.1:{}", lines[1 - i].port),
                format!("--cluster.peer-name=side-{i}"),
            ];
            args.extend(fast());
            Router::start(
                &program(),
                &format!("side-{i}"),
                &config(&sink),
                &args,
                dir.path(),
            )
        })
        .collect();
    routers.iter().for_each(|router| whole(router, 2));
    assert!(routers.iter().all(|router| send(router, "together")));
    assert_eq!(
        all_told(&sink, &["together".to_owned()], Duration::from_secs(20)),
        0
    );
    lines
        .iter()
        .for_each(|line| line.cut.store(true, Ordering::Relaxed));
    routers.iter().for_each(|router| whole(router, 1));
    assert!(routers.iter().all(|router| send(router, "apart")));
    // Neither can know that the other has told.
    wait_for("both to tell", Duration::from_secs(20), || {
        (told(&sink).get("apart") == Some(&2)).then_some(())
    });
    lines
        .iter()
        .for_each(|line| line.cut.store(false, Ordering::Relaxed));
    routers.iter().for_each(|router| whole(router, 2));
    assert!(routers.iter().all(|router| send(router, "again")));
    let all = ["together", "apart", "again"].map(str::to_owned);
    assert_eq!(
        all_told(&sink, &all, Duration::from_secs(20)),
        1,
        "only the one that was told apart"
    );
}

#[test]
fn a_cluster_mixed_with_alertmanager_is_refused() {
    let Some(alertmanager) = part::peer("prometheus-alertmanager") else {
        return;
    };
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let sink = Receiver::start();
    let ports: [u16; 2] = [(); 2].map(|()| free_port());
    let start = |name: &str, program: &Path, at: usize| {
        let args = [
            format!("--cluster.listen-address=127.0.0.1:{}", ports[at]),
            format!("--cluster.peer=127.0.0.1:{}", ports[1 - at]),
        ];
        Router::start(program, name, &config(&sink), &args, dir.path())
    };
    let theirs = start("theirs", &alertmanager, 0);
    let ours = start("ours", &program(), 1);
    wait_for("the refusal", Duration::from_secs(40), || {
        let log = ours.process.log_text();
        log.contains("mixed with Alertmanager is not possible")
            .then_some(())
    });
    let alone = |router: &Router| -> Option<usize> {
        let status: Value = get_json(&format!("{}/api/v2/status", router.url))?;
        status["cluster"]["peers"].as_array().map(Vec::len)
    };
    assert_eq!((alone(&ours), alone(&theirs)), (Some(1), Some(1)));
}
