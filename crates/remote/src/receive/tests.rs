use std::sync::{Arc, Mutex};

use model::{FloatHistogram, Histogram};
use prost::Message;
use proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};

use super::*;

/// Keeps what is committed; references are positions of label sets plus one.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    series: Vec<Labels>,
    /// References below this are forgotten.
    forgotten: u64,
    samples: Vec<(String, i64, f64)>,
    full: bool,
}

struct Batch(Memory, Vec<(String, i64, f64)>);

impl Appendable for Memory {
    fn appender(&self) -> Box<dyn Appender> {
        Box::new(Batch(self.clone(), Vec::new()))
    }
}

impl Batch {
    fn add(
        &mut self,
        r: SeriesRef,
        labels: &Labels,
        t: i64,
        v: f64,
    ) -> Result<SeriesRef, AppendError> {
        let mut state = self.0.0.lock().unwrap();
        if state.full {
            return Err(AppendError::Unavailable("no space".into()));
        }
        if t < 0 {
            return Err(AppendError::OutOfBounds);
        }
        let reference = if r > state.forgotten {
            r
        } else if labels.is_empty() {
            return Err(AppendError::InvalidLabels("empty labelset".into()));
        } else {
            state.series.push(labels.clone());
            state.series.len() as u64
        };
        self.1
            .push((state.series[reference as usize - 1].to_string(), t, v));
        Ok(reference)
    }
}

impl Appender for Batch {
    fn append(
        &mut self,
        r: SeriesRef,
        l: &Labels,
        _: i64,
        t: i64,
        v: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.add(r, l, t, v)
    }
    fn append_histogram(
        &mut self,
        r: SeriesRef,
        l: &Labels,
        _: i64,
        t: i64,
        h: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        self.add(r, l, t, h.sum)
    }
    fn append_float_histogram(
        &mut self,
        r: SeriesRef,
        l: &Labels,
        _: i64,
        t: i64,
        h: &FloatHistogram,
    ) -> Result<SeriesRef, AppendError> {
        self.add(r, l, t, h.sum)
    }
    fn append_exemplar(
        &mut self,
        r: SeriesRef,
        _: &Labels,
        _: &Exemplar,
    ) -> Result<SeriesRef, AppendError> {
        Ok(r)
    }
    fn update_metadata(
        &mut self,
        r: SeriesRef,
        _: &Labels,
        _: &Metadata,
    ) -> Result<SeriesRef, AppendError> {
        Ok(r)
    }
    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        self.0.0.lock().unwrap().samples.extend(self.1);
        Ok(())
    }
    fn rollback(self: Box<Self>) {}
}

fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let label = |(n, v): &(&str, &str)| Label {
        name: (*n).into(),
        value: (*v).into(),
    };
    let sample = |(t, v): &(i64, f64)| Sample {
        timestamp: *t,
        value: *v,
    };
    TimeSeries {
        labels: pairs.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn request(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    WriteRequest {
        timeseries,
        ..WriteRequest::default()
    }
    .encode_to_vec()
}

#[test]
fn known_series_are_appended_by_reference_and_forgotten_ones_again_by_labels() {
    let (memory, receiver) = (Memory::default(), Receiver::new(1 << 20));
    let up = [("__name__", "up"), ("job", "a")];
    for t in 0..3 {
        if t == 2 {
            memory.0.lock().unwrap().forgotten = 1;
        }
        let written = receiver
            .write_v1(&request(vec![series(&up, &[(t, 1.0)])]), &memory)
            .unwrap();
        assert_eq!(written.samples, 1);
    }
    let state = memory.0.lock().unwrap();
    assert_eq!(
        state.series.len(),
        2,
        "created once, and once more after it was forgotten"
    );
    let expected = r#"{__name__="up", job="a"}"#;
    assert!(
        state.samples.iter().all(|(labels, ..)| labels == expected),
        "{:?}",
        state.samples
    );
    assert_eq!(state.samples.len(), 3);
}

#[test]
fn what_is_refused_does_not_take_the_rest_along() {
    let (memory, receiver) = (Memory::default(), Receiver::new(1 << 20));
    let written = receiver
        .write_v1(
            &request(vec![
                series(&[("__name__", "a")], &[(-1, 1.0), (5, 2.0)]),
                series(&[("job", "nameless")], &[(5, 2.0)]),
                series(&[("__name__", "d"), ("x", "1"), ("x", "2")], &[(5, 2.0)]),
                series(&[("__name__", "b")], &[(6, 3.0)]),
            ]),
            &memory,
        )
        .unwrap();
    assert_eq!((written.samples, written.refused), (2, 3));
    assert_eq!(written.first_refusal.as_deref(), Some("out of bounds"));
}

#[test]
fn a_full_store_is_the_request_failing() {
    let (memory, receiver) = (Memory::default(), Receiver::new(1 << 20));
    memory.0.lock().unwrap().full = true;
    let error = receiver.write_v1(
        &request(vec![series(&[("__name__", "a")], &[(1, 1.0)])]),
        &memory,
    );
    assert!(
        matches!(error, Err(WriteError::Store(AppendError::Unavailable(_)))),
        "{error:?}"
    );
}

#[test]
fn samples_of_a_far_future_are_refused() {
    let memory = Memory::default();
    let receiver = Receiver::new(1 << 20).with_clock(Arc::new(|| 10));
    let up = [("__name__", "up")];
    let late = 10 + MAX_AHEAD_MS;
    let body = request(vec![series(&up, &[(late, 1.0), (late + 1, 2.0)])]);
    let written = receiver.write_v1(&body, &memory).unwrap();
    assert_eq!((written.samples, written.refused), (1, 1));
    assert_eq!(written.without_metadata, 1);
    assert_eq!(written.first_refusal.as_deref(), Some(TOO_FAR_AHEAD));
}

#[test]
fn version_2_symbols() {
    let memory = Memory::default();
    let receiver = Receiver::new(1 << 20)
        .with_clock(Arc::new(|| 10))
        .with_type_and_unit_labels(true);
    let symbols = ["", "__name__", "up", "job", "a", "bytes", "__unit__"]
        .map(str::to_owned)
        .to_vec();
    let series = |labels_refs: Vec<u32>| proto::write_v2::TimeSeries {
        labels_refs,
        samples: vec![proto::write_v2::Sample {
            value: 4.0,
            timestamp: 9,
            start_timestamp: 0,
        }],
        ..Default::default()
    };
    let timeseries = vec![
        series(vec![1, 2, 3, 4]),
        series(vec![1, 99]),
        series(vec![1]),
        proto::write_v2::TimeSeries {
            metadata: Some(proto::write_v2::Metadata {
                r#type: 1,
                unit_ref: 5,
                help_ref: 0,
            }),
            // The metadata know better.
            ..series(vec![1, 2, 6, 4])
        },
        proto::write_v2::TimeSeries {
            samples: vec![proto::write_v2::Sample {
                value: 4.0,
                timestamp: 10 + MAX_AHEAD_MS + 1,
                start_timestamp: 0,
            }],
            ..series(vec![1, 2])
        },
    ];
    let request = proto::write_v2::Request {
        symbols,
        timeseries,
    }
    .encode_to_vec();
    let written = receiver.write_v2(&request, &memory).unwrap();
    assert_eq!((written.samples, written.refused), (2, 3));
    assert_eq!((written.invalid_labels, written.without_metadata), (2, 1));
    let names: Vec<String> = (memory.0.lock().unwrap().samples.iter())
        .map(|sample| sample.0.clone())
        .collect();
    assert_eq!(
        names,
        [
            r#"{__name__="up", job="a"}"#,
            r#"{__name__="up", __type__="counter", __unit__="bytes"}"#
        ]
    );
}

#[test]
fn hostile_bodies() {
    let (memory, receiver) = (Memory::default(), Receiver::new(1 << 10));
    assert!(matches!(receiver.decompress(b"x"), Err(WriteError::Snappy)));
    let large = snap::raw::Encoder::new()
        .compress_vec(&vec![0; 2048])
        .unwrap();
    assert!(matches!(
        receiver.decompress(&large),
        Err(WriteError::TooLarge(2048, 1024))
    ));
    assert!(matches!(
        receiver.write_v1(&[0x0a, 0x7f, 1], &memory),
        Err(WriteError::Decode(_))
    ));
    assert!(matches!(
        receiver.write_v2(&[0x0a, 0x7f, 1], &memory),
        Err(WriteError::Decode(_))
    ));
}
