//! What was acknowledged is there after kill -9.

use std::time::Duration;

use e2e::{get_json, labels, now_ms, query, write_request};
use proto::prometheus::{Sample, TimeSeries};

use crate::store::Store;

fn request(series: &str, samples: impl Iterator<Item = (i64, f64)>) -> Vec<u8> {
    write_request(vec![TimeSeries {
        labels: labels([("__name__", "acknowledged"), ("series", series)]),
        samples: samples
            .map(|(timestamp, value)| Sample { value, timestamp })
            .collect(),
        ..TimeSeries::default()
    }])
}

#[test]
fn acknowledged_samples_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::start(dir.path());

    let base = now_ms() - 600_000;
    let mut acknowledged = [0i64; 3];
    for round in 0..3 {
        let started = std::time::Instant::now();
        // Write until the process is killed in the middle of it.
        while started.elapsed() < Duration::from_millis(600) {
            for (series, count) in acknowledged.iter_mut().enumerate() {
                let body = request(
                    &series.to_string(),
                    (*count..*count + 5).map(|i| (base + i, i as f64)),
                );
                assert_eq!(store.write(&body), Some(204));
                *count += 5;
            }
        }
        store.kill_and_restart();
        store.ready();
        for (series, count) in acknowledged.iter().enumerate() {
            let found = query(
                &store.url,
                &format!(r#"count_over_time(acknowledged{{series="{series}"}}[20m])"#),
            );
            let found: f64 = found.unwrap()[0]["value"][1]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(found as i64, *count, "round {round}, series {series}");
        }
    }
    let range = get_json(&format!(
        "{}/api/v1/query?query=acknowledged%7Bseries%3D%220%22%7D%5B20m%5D",
        store.url
    ))
    .unwrap();
    let values = range["data"]["result"][0]["values"]
        .as_array()
        .unwrap()
        .clone();
    for (i, value) in values.iter().enumerate() {
        assert_eq!(
            value[1].as_str().unwrap(),
            i.to_string(),
            "sample {i} has its value"
        );
    }
    store.process.stop();
}
