use model::{CounterResetHint, Span};
use tsdb_format::wal::record::{RefMetadata, RefSeries};

use super::*;

fn table() -> SeriesTable {
    let mut table = SeriesTable::new(Labels::from([("dc", "x")]), Vec::new());
    for (reference, name) in [(1, "a"), (2, "b")] {
        let long = "v".repeat(200);
        let labels = Labels::from([("__name__", name), ("long", &*long)]);
        table.put(&RefSeries { reference, labels }, 0);
    }
    table.describe(&RefMetadata {
        reference: 2,
        type_byte: 3,
        unit: String::new(),
        help: "Help.".into(),
    });
    table
}

fn histogram() -> Histogram {
    Histogram {
        counter_reset_hint: CounterResetHint::NotCounterReset,
        schema: 3,
        zero_threshold: 0.5,
        zero_count: 2,
        count: 9,
        sum: -4.5,
        positive_spans: vec![Span {
            offset: -3,
            length: 2,
        }],
        positive_buckets: vec![3, 1],
        ..Histogram::default()
    }
}

fn fill(protocol: Protocol) -> Batch {
    let table = table();
    let mut batch = Batch::new(protocol, true);
    let sample = |value| Value::Sample { start_ms: 7, value };
    let exemplar = Labels::from([("trace_id", "t1"), ("a", "b")]);
    let entries: [(u64, i64, Value<'_>); 5] = [
        (1, 1000, sample(1.5)),
        (2, -5, sample(f64::NAN)),
        (
            2,
            3000,
            Value::Histogram {
                start_ms: 11,
                histogram: &histogram(),
            },
        ),
        (
            1,
            4000,
            Value::FloatHistogram {
                start_ms: 0,
                histogram: &histogram().to_float(),
            },
        ),
        (
            1,
            5000,
            Value::Exemplar {
                labels: &exemplar,
                value: 0.0,
            },
        ),
    ];
    for (reference, t_ms, value) in &entries {
        batch.add(&table, table.get(*reference).unwrap(), *t_ms, value);
    }
    assert_eq!(batch.counts, [2, 2, 1]);
    assert_eq!(batch.newest_ms, 5000);
    batch
}

#[test]
fn version_1_as_prost_reads_it() {
    let bytes = fill(Protocol::V1).encoded();
    let request = proto::prometheus::WriteRequest::decode(&bytes[..]).unwrap();
    assert_eq!(request.timeseries.len(), 5);
    let first = &request.timeseries[0];
    let labels = proto::convert::labels_from_prometheus(&first.labels);
    assert_eq!((labels.get("__name__"), labels.get("dc")), ("a", "x"));
    assert_eq!(labels.get("long").len(), 200);
    assert_eq!(
        (first.samples[0].timestamp, first.samples[0].value),
        (1000, 1.5)
    );
    assert!(request.timeseries[1].samples[0].value.is_nan());
    assert_eq!(request.timeseries[1].samples[0].timestamp, -5);
    let (t, found) =
        proto::convert::histogram_from_prometheus(&request.timeseries[2].histograms[0]);
    assert_eq!(
        (t, found),
        (3000, proto::convert::AnyHistogram::Integer(histogram()))
    );
    let exemplar = &request.timeseries[4].exemplars[0];
    assert_eq!((exemplar.timestamp, exemplar.labels.len()), (5000, 2));
}

#[test]
fn version_2_as_prost_reads_it() {
    let bytes = fill(Protocol::V2).encoded();
    let request = proto::write_v2::Request::decode(&bytes[..]).unwrap();
    let symbols = &request.symbols;
    assert_eq!(symbols[0], "");
    let mut distinct = symbols.clone();
    distinct.sort();
    distinct.dedup();
    let text =
        |refs: &[u32]| -> Vec<&str> { refs.iter().map(|r| &*symbols[*r as usize]).collect() };
    let names: Vec<&str> = (request.timeseries.iter())
        .map(|series| text(&series.labels_refs)[1])
        .collect();
    assert_eq!(names, ["a", "b", "b", "a", "a"]);
    let first = &request.timeseries[0].samples[0];
    assert_eq!(
        (first.timestamp, first.value, first.start_timestamp),
        (1000, 1.5, 7)
    );
    let h = &request.timeseries[2].histograms[0];
    assert_eq!((h.start_timestamp, h.sum, h.timestamp), (11, -4.5, 3000));
    let metadata = request.timeseries[1].metadata.as_ref().unwrap();
    assert_eq!(metadata.r#type, 3);
    assert_eq!(text(&[metadata.help_ref, metadata.unit_ref]), ["Help.", ""]);
    let exemplar = &request.timeseries[4].exemplars[0];
    assert_eq!(text(&exemplar.labels_refs), ["a", "b", "trace_id", "t1"]);
}

#[test]
fn the_receiver_of_ours_takes_both() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = tsdb::Options::new(dir.path());
        options.background = false;
        options.out_of_order_window_ms = 10_000;
        let db = tsdb::Db::open(options).unwrap();
        let receiver = crate::Receiver::new(1 << 20);
        let mut batch = fill(protocol);
        batch.drop_before(0);
        let bytes = batch.encoded();
        let written = match protocol {
            Protocol::V1 => receiver.write_v1(&bytes, &db),
            Protocol::V2 => receiver.write_v2(&bytes, &db),
        };
        let written = written.unwrap();
        assert_eq!((written.samples, written.histograms), (1, 2), "{written:?}");
    }
}

#[test]
fn what_is_too_old_can_be_taken_out() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let mut batch = fill(protocol);
        assert_eq!(batch.drop_before(i64::MIN), [0; 3]);
        assert_eq!(batch.drop_before(3500), [2, 1, 0]);
        assert_eq!(batch.counts, [0, 1, 1]);
        let bytes = batch.encoded();
        let left = match protocol {
            Protocol::V1 => proto::prometheus::WriteRequest::decode(&bytes[..])
                .unwrap()
                .timeseries
                .len(),
            Protocol::V2 => proto::write_v2::Request::decode(&bytes[..])
                .unwrap()
                .timeseries
                .len(),
        };
        assert_eq!(left, 2);
        assert_eq!(batch.drop_before(3500), [0; 3]);
    }
}

#[test]
fn lengths_of_varints() {
    for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        assert_eq!(varint_bytes(value), out.len(), "{value}");
    }
}
