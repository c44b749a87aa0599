//! The data set: what is written remotely, ending at the tour's time, and the page that is scraped.

use std::io::{Read, Write};
use std::net::TcpListener;

use e2e::{labels, write_request};
use proto::prometheus::{BucketSpan, Exemplar, Histogram, Sample, TimeSeries, histogram};

const INTERVAL_MS: i64 = 15_000;
/// Samples of a series.
const COUNT: i64 = 80;
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A series of [`COUNT`] samples, the last one at `end_ms`.
fn floats(pairs: &[(&str, &str)], end_ms: i64, value: impl Fn(i64) -> f64) -> TimeSeries {
    TimeSeries {
        labels: labels(pairs.iter().copied()),
        samples: (0..COUNT)
            .map(|i| Sample {
                value: value(i),
                timestamp: end_ms - (COUNT - 1 - i) * INTERVAL_MS,
            })
            .collect(),
        ..TimeSeries::default()
    }
}

fn histograms(pairs: &[(&str, &str)], end_ms: i64) -> TimeSeries {
    let histogram = |i: i64| Histogram {
        count: Some(histogram::Count::CountInt(4 * (i as u64 + 1) + 1)),
        sum: 2.5 * i as f64,
        schema: 1,
        zero_threshold: 1e-9,
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(1)),
        positive_spans: vec![
            BucketSpan {
                offset: 0,
                length: 1,
            },
            BucketSpan {
                offset: 2,
                length: 1,
            },
        ],
        positive_deltas: vec![i + 1, i + 1],
        negative_spans: vec![BucketSpan {
            offset: 1,
            length: 1,
        }],
        negative_deltas: vec![i + 1],
        timestamp: end_ms - (COUNT - 1 - i) * INTERVAL_MS,
        ..Histogram::default()
    };
    TimeSeries {
        labels: labels(pairs.iter().copied()),
        histograms: (0..COUNT).map(histogram).collect(),
        ..TimeSeries::default()
    }
}

/// The remote write request whose samples end at `end_ms`.
pub fn request(end_ms: i64) -> Vec<u8> {
    let mut timeseries = Vec::new();
    for (instance, code, step) in [
        ("a:80", "200", 7.0),
        ("a:80", "500", 0.25),
        ("b:80", "200", 3.0),
    ] {
        let pairs = [
            ("__name__", "http_requests_total"),
            ("job", "api"),
            ("instance", instance),
            ("code", code),
        ];
        let mut series = floats(&pairs, end_ms, |i| step * (i % 50) as f64);
        if code == "200" {
            series.exemplars = (0..3)
                .map(|i| Exemplar {
                    labels: labels([
                        ("trace_id", format!("{instance}-{i}").as_str()),
                        ("q", "<&>\"é\u{2028}"),
                    ]),
                    value: 0.1 * i as f64,
                    timestamp: end_ms - (3 - i) * 60_001,
                })
                .collect();
        }
        timeseries.push(series);
    }
    for (le, step) in [("0.1", 1.0), ("1", 3.0), ("10", 4.0), ("+Inf", 5.0)] {
        timeseries.push(floats(
            &[
                ("__name__", "latency_seconds_bucket"),
                ("job", "api"),
                ("le", le),
            ],
            end_ms,
            |i| step * i as f64,
        ));
    }
    let odd = [
        ("nan", f64::NAN),
        ("inf", f64::INFINITY),
        ("minus_inf", f64::NEG_INFINITY),
        ("tiny", 1.5e-300),
        ("huge", 1.234_567_890_123e30),
        ("minus_zero", -0.0),
        ("thirds", 1.0 / 3.0),
        ("million", 1e6),
        ("big", 1e21),
    ];
    for (kind, value) in odd {
        timeseries.push(floats(
            &[("__name__", "odd"), ("kind", kind)],
            end_ms,
            |_| value,
        ));
    }
    timeseries.push(floats(
        &[
            ("__name__", "a metric.with \"UTF-8\" é"),
            ("label.x", "v"),
            ("job", "utf8"),
            ("日本", "x\\y\nz"),
        ],
        end_ms,
        |i| i as f64,
    ));
    timeseries.push(floats(
        &[
            ("__name__", "dotted.name"),
            ("job", "utf8"),
            ("a_b", "c__d"),
            ("q", "<&>\u{2028}\u{8}"),
        ],
        end_ms,
        |i| -i as f64,
    ));
    timeseries.push(floats(
        &[("__name__", "gone"), ("job", "old")],
        end_ms,
        |i| {
            if i < COUNT - 4 {
                1.0
            } else {
                f64::from_bits(STALE)
            }
        },
    ));
    for i in 0..12 {
        let name = format!("n{i:02}");
        timeseries.push(floats(
            &[("__name__", "many"), ("name", &name)],
            end_ms,
            |_| f64::from(i),
        ));
    }
    timeseries.push(histograms(
        &[("__name__", "native_seconds"), ("job", "api")],
        end_ms,
    ));
    write_request(timeseries)
}

/// The page of the scraped target.
const PAGE: &str = "# HELP page_requests Requests \\\"so far\\\" <&>.\n\
# TYPE page_requests counter\n\
page_requests_total{path=\"/\"} 5 # {trace_id=\"abc\"} 0.5 1700000000.5\n\
page_requests_total{path=\"/x\"} 7\n\
# TYPE page_temperature_celsius gauge\n\
# UNIT page_temperature_celsius celsius\n\
# HELP page_temperature_celsius How warm.\n\
page_temperature_celsius 21.5\n\
# TYPE page_seconds histogram\n\
page_seconds_bucket{le=\"0.5\"} 1\n\
page_seconds_bucket{le=\"+Inf\"} 2\n\
page_seconds_sum 3\n\
page_seconds_count 2\n\
# TYPE page_state stateset\n\
page_state{page_state=\"on\"} 1\n\
page_state{page_state=\"off\"} 0\n\
# TYPE page_build info\n\
page_build_info{version=\"1\"} 1\n\
# TYPE page_rpc summary\n\
page_rpc{quantile=\"0.5\"} 4\n\
page_rpc_sum 9\n\
page_rpc_count 3\n\
# TYPE page_what unknown\n\
page_what 1\n\
# EOF\n";

/// Serves [`PAGE`] as OpenMetrics on a free port until the test ends; gives the address.
pub fn serve_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}",
                PAGE.len()
            );
            // Who hung up does not want the page.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address.to_string()
}
