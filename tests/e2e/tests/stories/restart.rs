//! A start with a long log: samples are taken at once, and nobody is told that all is there before it
//! is.

use std::time::{Duration, Instant};

use e2e::{get, get_json, labels, now_ms, query, wait_for, write_request};
use proto::prometheus::{Sample, TimeSeries};

use crate::store::Store;

/// One sample each of `count` series.
fn request(count: usize, t_ms: i64) -> Vec<u8> {
    let series = (0..count).map(|i| TimeSeries {
        labels: labels([("__name__", "long_log"), ("i", &format!("{i:06}"))]),
        samples: vec![Sample {
            value: i as f64,
            timestamp: t_ms,
        }],
        ..TimeSeries::default()
    });
    write_request(series.collect())
}

#[test]
fn samples_are_taken_while_the_log_is_read() {
    const SERIES: usize = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::start(dir.path());
    let start_ms = now_ms() - 1_000_000;
    let rounds = 100;
    for round in 0..rounds {
        assert_eq!(
            store.write(&request(SERIES, start_ms + round * 1000)),
            Some(204)
        );
    }
    store.kill_and_restart();
    let url = store.url.clone();
    // As soon as it takes samples; whether that is before it is ready shows below.
    let mut t_ms = start_ms + rounds * 1000;
    wait_for("a write is taken", Duration::from_secs(60), || {
        store
            .write(&request(SERIES, t_ms))
            .filter(|status| *status == 204)
    });
    let begun = Instant::now();
    let mut taken = 1;
    let mut early = 0;
    loop {
        let (before, _) = get(&format!("{url}/-/ready")).unwrap();
        let replay = get_json(&format!("{url}/api/v1/status/walreplay")).unwrap();
        // Upstream's answer has no state; ours has one until the end.
        let state = replay["data"]["state"]
            .as_str()
            .unwrap_or("done")
            .to_owned();
        let (answer, _) = get(&format!("{url}/api/v1/query?query=up")).unwrap();
        let (after, _) = get(&format!("{url}/-/ready")).unwrap();
        match (before, after) {
            // Ready: everything is there.
            (200, _) => {
                assert_eq!((state.as_str(), answer), ("done", 200));
                break;
            }
            // Not ready from the first to the last look: the query said so. (Between the replay's
            // end and the word that it is over both answers are true.)
            (503, 503) if state == "in progress" && answer != 200 => {
                assert_eq!(answer, 503);
                t_ms += 1000;
                assert_eq!(
                    store.write(&request(SERIES, t_ms)),
                    Some(204),
                    "samples are taken meanwhile"
                );
                taken += 1;
                early += 1;
            }
            _ => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    eprintln!("{early} writes while the log was being read");
    let sum = query(&url, "sum(count_over_time(long_log[30m]))").unwrap();
    let want = (rounds + taken) * SERIES as i64;
    assert_eq!(sum[0]["value"][1].as_str(), Some(want.to_string().as_str()));
    store.kill_and_restart();
    store.ready();
    let sum = query(&url, "sum(count_over_time(long_log[30m]))").unwrap();
    assert_eq!(sum[0]["value"][1].as_str(), Some(want.to_string().as_str()));
    store.process.stop();
}
