use model::{FloatHistogram, Histogram, Labels};
use prost::Message;
use proto::prometheus::{
    ChunkedReadResponse, LabelMatcher, Query, ReadRequest, ReadResponse,
    read_request::ResponseType as Wire,
};
use storage::{Appendable, Columns, Queryable};
use tsdb::Db;

use super::ask::{samples, take_chunks};
use super::*;

fn db(dir: &std::path::Path) -> Db {
    let mut options = tsdb::Options::new(dir);
    options.background = false;
    let db = Db::open(options).unwrap();
    let mut appender = db.appender();
    for i in 0..500_i64 {
        for name in ["b", "a"] {
            let labels = Labels::from([("__name__", "m"), ("x", name), ("dc", "own")]);
            let labels = if name == "b" {
                labels.without(|n| n == "dc")
            } else {
                labels
            };
            appender.append(0, &labels, 0, i * 1000, i as f64).unwrap();
        }
        let h = Histogram {
            count: i as u64,
            zero_count: i as u64,
            zero_threshold: 0.5,
            ..Histogram::default()
        };
        let labels = Labels::from([("__name__", "h")]);
        appender
            .append_histogram(0, &labels, 0, i * 1000, &h)
            .unwrap();
        let float: FloatHistogram = h.to_float();
        let labels = Labels::from([("__name__", "f")]);
        appender
            .append_float_histogram(0, &labels, 0, i * 1000, &float)
            .unwrap();
    }
    appender.commit().unwrap();
    db
}

fn body(matchers: &[(i32, &str, &str)], accepted: &[Wire]) -> Vec<u8> {
    let request = ReadRequest {
        queries: vec![Query {
            start_timestamp_ms: 10_000,
            end_timestamp_ms: 400_000,
            matchers: (matchers.iter())
                .map(|(kind, name, value)| LabelMatcher {
                    r#type: *kind,
                    name: (*name).into(),
                    value: (*value).into(),
                })
                .collect(),
            hints: None,
        }],
        accepted_response_types: accepted.iter().map(|a| *a as i32).collect(),
    };
    compress_for_test(&request)
}

fn compress_for_test(request: &ReadRequest) -> Vec<u8> {
    crate::push::compress(&request.encode_to_vec()).into()
}

fn answerer<'a>(db: &'a Db, external: &'a Labels) -> Answerer<'a> {
    Answerer {
        store: db,
        external,
        sample_limit: 0,
        max_frame_bytes: 700,
    }
}

#[test]
fn the_answer_follows_the_first_type_that_is_known() {
    let response = |accepted: &[Wire]| {
        Asked::decode(&body(&[], accepted), 1 << 20)
            .unwrap()
            .response
    };
    assert_eq!(response(&[]), ResponseType::Samples);
    assert_eq!(
        response(&[Wire::StreamedXorChunks, Wire::Samples]),
        ResponseType::Chunks
    );
    assert_eq!(
        response(&[Wire::Samples, Wire::StreamedXorChunks]),
        ResponseType::Samples
    );
    let odd = ReadRequest {
        accepted_response_types: vec![7],
        ..ReadRequest::default()
    };
    let error = Asked::decode(&compress_for_test(&odd), 1 << 20).unwrap_err();
    assert!(matches!(error, ReadError::Bad(_)), "{error}");
    assert!(Asked::decode(b"\xff\xff\xff\xff\xff\xff", 1 << 20).is_err());
    assert!(Asked::decode(&body(&[], &[]), 3).is_err());
}

#[test]
fn samples_in_one_piece() {
    let dir = tempfile::tempdir().unwrap();
    let db = db(dir.path());
    let external = Labels::from([("dc", "ext"), ("replica", "r1")]);
    let matchers = [(0, "replica", "r1"), (2, "__name__", "m|h")];
    let asked = Asked::decode(&body(&matchers, &[]), 1 << 20).unwrap();
    let answer = answerer(&db, &external).samples(&asked).unwrap();
    let bytes = snap::raw::Decoder::new().decompress_vec(&answer).unwrap();
    let response = ReadResponse::decode(&bytes[..]).unwrap();
    let series = &response.results[0].timeseries;
    assert_eq!(series.len(), 3);
    for one in series {
        let labels = proto::convert::labels_from_prometheus(&one.labels);
        assert_eq!(labels.get("replica"), "r1");
        let dc = if labels.get("x") == "a" { "own" } else { "ext" };
        assert_eq!(labels.get("dc"), dc);
        let times: Vec<i64> = (one.samples.iter().map(|s| s.timestamp))
            .chain(one.histograms.iter().map(|h| h.timestamp))
            .collect();
        assert!(
            times.iter().copied().eq((10..=400).map(|s| s * 1000)),
            "{times:?}"
        );
        for h in &one.histograms {
            assert!(matches!(
                h.count,
                Some(proto::prometheus::histogram::Count::CountInt(_))
            ));
        }
    }
    // What comes back is what was there.
    let series = samples(&answer).unwrap();
    assert_eq!(series.len(), 3);
    // Another replica's samples are not here.
    let other = Asked::decode(&body(&[(0, "replica", "r2")], &[]), 1 << 20).unwrap();
    let answer = answerer(&db, &external).samples(&other).unwrap();
    assert!(samples(&answer).unwrap().is_empty());
    let limited = Answerer {
        sample_limit: 391,
        ..answerer(&db, &external)
    };
    let error = limited.samples(&asked).unwrap_err();
    assert_eq!(error.to_string(), "exceeded sample limit (391)");
}

#[test]
fn chunks_in_frames() {
    let dir = tempfile::tempdir().unwrap();
    let db = db(dir.path());
    let external = Labels::from([("replica", "r1")]);
    let accepted = [Wire::StreamedXorChunks];
    let asked = Asked::decode(&body(&[(2, "__name__", ".+")], &accepted), 1 << 20).unwrap();
    let mut stream = Vec::new();
    let mut frames = 0;
    let emit = |frame: Vec<u8>| {
        frames += 1;
        stream.extend(frame);
        true
    };
    answerer(&db, &external).chunks(&asked, emit).unwrap();
    assert!(frames > 4, "{frames}");
    let mut series = Vec::new();
    let mut names = Vec::new();
    let mut rest = &stream[..];
    while let Some((message, length)) = take_frame(rest, 1 << 20).unwrap() {
        let response = ChunkedReadResponse::decode(message).unwrap();
        assert_eq!(response.chunked_series.len(), 1);
        names.push(proto::convert::labels_from_prometheus(
            &response.chunked_series[0].labels,
        ));
        take_chunks(response, &mut series).unwrap();
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    assert!(names.is_sorted());
    assert_eq!(series.len(), 4);
    let querier = db.querier(10_000, 400_000).unwrap();
    let all = [model::Matcher::not_equal("__name__", "")];
    let local = querier
        .select(true, &storage::SelectHints::default(), &all)
        .unwrap();
    for (far, near) in series.iter().zip(&local.series) {
        let far: &dyn storage::Series = far;
        let decode = |one: &dyn storage::Series| {
            let mut columns = Columns::default();
            one.decode(10_000, 400_000, &mut columns).unwrap();
            (
                columns.float_ms,
                columns.floats,
                columns.histogram_ms,
                columns.histograms.len(),
            )
        };
        assert_eq!(decode(far), decode(&**near));
        assert_eq!(far.labels().get("replica"), "r1");
    }
    // Nobody listens any more.
    let gone = answerer(&db, &external).chunks(&asked, |_| false);
    assert!(matches!(gone, Err(ReadError::Gone)));
}

#[test]
fn hostile_frames() {
    let mut good = Vec::new();
    put_frame(&mut good, b"hello");
    assert_eq!(
        take_frame(&good, 5).unwrap(),
        Some((&b"hello"[..], good.len()))
    );
    for cut in 0..good.len() {
        assert_eq!(take_frame(&good[..cut], 5).unwrap(), None, "{cut}");
    }
    assert!(
        take_frame(&good, 4)
            .unwrap_err()
            .contains("exceeded the limit 4")
    );
    good[3] ^= 1;
    assert!(take_frame(&good, 5).unwrap_err().contains("checksum"));
    assert!(take_frame(&[0xff; 12], 5).is_err());
}
