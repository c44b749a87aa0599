//! Query results as JSON (prometheus/prometheus `web/api/v1/json_codec.go`, `util/jsonutil`).

use model::FloatHistogram;
use promql::{MatrixSeries, SampleValue, Value, VectorSample};

use crate::json::{
    write_digits, write_float, write_labels, write_number, write_string, write_timestamp,
};

/// Appends the data object of a query's answer: `{"resultType":...,"result":...}`, and `stats`
/// (JSON) where there is one.
pub fn write_value(out: &mut Vec<u8>, value: &Value, stats: Option<&[u8]>) {
    out.extend_from_slice(b"{\"resultType\":");
    write_string(out, value.type_name());
    out.extend_from_slice(b",\"result\":");
    match value {
        // Scalars, unlike samples, never have an exponent, and their times are plain numbers.
        Value::Scalar { t_ms, v } => {
            out.push(b'[');
            write_number(out, *t_ms as f64 / 1000.0);
            out.extend_from_slice(b",\"");
            golang::strconv::append_float(out, *v, 'f', -1, 64);
            out.extend_from_slice(b"\"]");
        }
        Value::String { t_ms, s } => {
            out.push(b'[');
            write_number(out, *t_ms as f64 / 1000.0);
            out.push(b',');
            write_string(out, s);
            out.push(b']');
        }
        Value::Vector(vector) => {
            let mut time = Vec::new();
            let t_ms = vector.first().map_or(0, |element| element.t_ms);
            write_timestamp(&mut time, t_ms);
            out.reserve(vector.len() * 64);
            write_list(out, vector, |out, element| {
                let time = (element.t_ms == t_ms).then_some(&time[..]);
                write_element(out, element, time);
            });
        }
        Value::Matrix(matrix) => {
            let mut times = Times::of(matrix);
            let points: usize = matrix.iter().map(|series| series.floats.len()).sum();
            out.reserve(points * BYTES_A_POINT + matrix.len() * 64);
            write_list(out, matrix, |out, series| {
                write_series(out, series, &mut times)
            });
        }
    }
    if let Some(stats) = stats {
        out.extend_from_slice(b",\"stats\":");
        out.extend_from_slice(stats);
    }
    out.push(b'}');
}

/// What a point takes, usually.
const BYTES_A_POINT: usize = 32;

/// How points begin, by their time, up to the value: the series of a range query share them.
struct Times {
    ms: Vec<i64>,
    /// `,[`, the time, `,"`.
    text: Vec<u8>,
    /// Where the text of each time ends.
    ends: Vec<usize>,
    /// Where the search for the next one begins.
    next: usize,
}

impl Times {
    fn of(matrix: &[MatrixSeries]) -> Times {
        let longest = matrix.iter().max_by_key(|series| series.float_ms.len());
        let ms = longest.map_or_else(Vec::new, |series| series.float_ms.clone());
        let mut text = Vec::with_capacity(ms.len() * 18);
        let ends = ms
            .iter()
            .map(|t_ms| {
                begin_point(&mut text, *t_ms);
                text.len()
            })
            .collect();
        Times {
            ms,
            text,
            ends,
            next: 0,
        }
    }

    /// Begins a point; those of a series come in order.
    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>, t_ms: i64) {
        while self.ms.get(self.next).is_some_and(|known| *known < t_ms) {
            self.next += 1;
        }
        if self.ms.get(self.next) != Some(&t_ms) {
            return begin_point(out, t_ms);
        }
        let start = self
            .next
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.text[start..self.ends[self.next]]);
        self.next += 1;
    }
}

fn begin_point(out: &mut Vec<u8>, t_ms: i64) {
    out.extend_from_slice(b",[");
    write_timestamp(out, t_ms);
    out.extend_from_slice(b",\"");
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// An element of a vector; `time` is the text of its time, if that is known.
fn write_element(out: &mut Vec<u8>, element: &VectorSample, time: Option<&[u8]>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(out, &element.labels);
    match &element.value {
        SampleValue::Float(v) => {
            out.extend_from_slice(b",\"value\":[");
            match time {
                Some(time) => out.extend_from_slice(time),
                None => write_timestamp(out, element.t_ms),
            }
            out.push(b',');
            write_float(out, *v);
            out.push(b']');
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            write_histogram_point(out, element.t_ms, h);
        }
    }
    out.push(b'}');
}

fn write_series(out: &mut Vec<u8>, series: &MatrixSeries, times: &mut Times) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(b",\"values\":");
        times.next = 0;
        let from = out.len();
        for (t_ms, v) in series.float_ms.iter().zip(&series.floats) {
            times.begin(out, *t_ms);
            write_digits(out, *v);
            out.extend_from_slice(b"\"]");
        }
        // The first point's comma.
        out[from] = b'[';
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
