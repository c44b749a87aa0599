//! Query results as JSON (prometheus/prometheus `web/api/v1/json_codec.go`, `util/jsonutil`).

use model::FloatHistogram;
use promql::{MatrixSeries, SampleValue, Value, VectorSample};

use crate::json::{write_float, write_labels, write_string, write_timestamp};

/// Appends the data object of a query's answer: `{"resultType":...,"result":...}`, and `stats`
/// (JSON) where there is one.
pub fn write_value(out: &mut Vec<u8>, value: &Value, stats: Option<&[u8]>) {
    out.extend_from_slice(b"{\"resultType\":");
    write_string(out, value.type_name());
    out.extend_from_slice(b",\"result\":");
    match value {
        // Scalars, unlike samples, never have an exponent.
        Value::Scalar { t_ms, v } => {
            out.push(b'[');
            write_timestamp(out, *t_ms);
            out.extend_from_slice(b",\"");
            golang::strconv::append_float(out, *v, 'f', -1, 64);
            out.extend_from_slice(b"\"]");
        }
        Value::String { t_ms, s } => {
            out.push(b'[');
            write_timestamp(out, *t_ms);
            out.push(b',');
            write_string(out, s);
            out.push(b']');
        }
        Value::Vector(vector) => write_list(out, vector, write_element),
        Value::Matrix(matrix) => write_list(out, matrix, write_series),
    }
    if let Some(stats) = stats {
        out.extend_from_slice(b",\"stats\":");
        out.extend_from_slice(stats);
    }
    out.push(b'}');
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn write_element(out: &mut Vec<u8>, element: &VectorSample) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(out, &element.labels);
    match &element.value {
        SampleValue::Float(v) => {
            out.extend_from_slice(b",\"value\":");
            write_point(out, element.t_ms, *v);
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            write_histogram_point(out, element.t_ms, h);
        }
    }
    out.push(b'}');
}

fn write_series(out: &mut Vec<u8>, series: &MatrixSeries) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(b",\"values\":[");
        for (i, (t_ms, v)) in series.float_ms.iter().zip(&series.floats).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_point(out, *t_ms, *v);
        }
        out.push(b']');
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":[");
        for (i, (t_ms, h)) in series
            .histogram_ms
            .iter()
            .zip(&series.histograms)
            .enumerate()
        {
            if i > 0 {
                out.push(b',');
            }
            write_histogram_point(out, *t_ms, h);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_point(out: &mut Vec<u8>, t_ms: i64, v: f64) {
    out.push(b'[');
    write_timestamp(out, t_ms);
    out.push(b',');
    write_float(out, v);
    out.push(b']');
}

/// A histogram: count, sum, and the populated buckets as `[boundaries, lower, upper, count]`, where
/// `boundaries` says which ends belong to the bucket: 0 the upper, 1 the lower, 2 none, 3 both.
fn write_histogram_point(out: &mut Vec<u8>, t_ms: i64, h: &FloatHistogram) {
    out.push(b'[');
    write_timestamp(out, t_ms);
    out.extend_from_slice(b",{\"count\":");
    write_float(out, h.count);
    out.extend_from_slice(b",\"sum\":");
    write_float(out, h.sum);
    let mut first = true;
    for bucket in h.all_buckets().iter().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(if first { b",\"buckets\":[[" } else { b",[" });
        first = false;
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            write_float(out, v);
        }
        out.push(b']');
    }
    if !first {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}
