//! A thousand scrapes at a time: as many as `--web.max-requests` allows, and no growth.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Duration;

use e2e::wait_for;

use crate::{Exporter, agent, strings};

/// Status of a scrape.
fn status(address: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

fn resident(exporter: &Exporter) -> f64 {
    let page = exporter.scrape();
    page.value("process_resident_memory_bytes").unwrap()
}

#[test]
fn a_thousand_scrapes_are_bounded() {
    const CLIENTS: usize = 1000;
    let dir = tempfile::tempdir().unwrap();
    let flags = strings(&["--web.max-requests=10", "--collector.interrupts"]);
    let mut agent = Exporter::start(&agent(), &flags, dir.path());
    let address = agent.url.trim_start_matches("http://").to_owned();
    let mut after = Vec::new();
    for _ in 0..3 {
        let start = Barrier::new(CLIENTS);
        let answers: Vec<Option<u16>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let client = std::thread::Builder::new().stack_size(128 << 10);
                    client
                        .spawn_scoped(scope, || {
                            start.wait();
                            status(&address)
                        })
                        .unwrap()
                })
                .collect();
            clients.into_iter().map(|c| c.join().unwrap()).collect()
        });
        let count = |wanted: u16| answers.iter().filter(|a| **a == Some(wanted)).count();
        assert_eq!(count(200) + count(503), CLIENTS, "{answers:?}");
        assert!(count(200) > 0 && count(503) > 0, "{} served", count(200));
        assert!(agent.process.is_running());
        wait_for("no request is in flight", Duration::from_secs(30), || {
            let page = agent.scrape();
            let one = page.value("promhttp_metric_handler_requests_in_flight");
            one.filter(|n| *n <= 1.0)
        });
        after.push(resident(&agent));
    }
    // The first round brings buffers and threads; the next ones bring nothing more.
    assert!(
        after[2] < after[0] * 1.2 + 1e6,
        "resident bytes after each round: {after:?}"
    );
    assert_eq!(agent.process.unannounced(&[]), [""; 0]);
}
