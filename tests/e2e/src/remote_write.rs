//! Samples of a test's own making, as remote write 1.0 takes them.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use proto::prometheus::{Label, TimeSeries, WriteRequest};

/// What a sender says of such a body.
pub const WRITE_HEADERS: [(&str, &str); 3] = [
    ("content-encoding", "snappy"),
    ("content-type", "application/x-protobuf"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// The time, in milliseconds.
///
/// # Panics
/// Where the clock is before 1970.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is set").as_millis();
    i64::try_from(now).expect("milliseconds fit for ages")
}

/// The labels of a series, in their order.
pub fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Label> {
    let label = |(name, value): (&str, &str)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut labels: Vec<Label> = pairs.into_iter().map(label).collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    labels
}

/// The body of a request.
///
/// # Panics
/// Where it has 4 GiB.
pub fn write_request(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let request = WriteRequest {
        timeseries,
        ..WriteRequest::default()
    };
    let mut encoder = snap::raw::Encoder::new();
    let body = encoder.compress_vec(&request.encode_to_vec());
    body.expect("a small request can be compressed")
}
