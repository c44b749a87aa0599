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

/// What stands between the values of two points but for the time of the second: the end of the one, the
/// beginning of the other.
const BETWEEN: (&[u8], &[u8]) = (b"\"],[", b",\"");

/// What stands before the value of a point, by its time: the series of a range query share that.
struct Times {
    ms: Vec<i64>,
    text: Vec<BeforeValue>,
    /// Where the search for the next one begins.
    next: usize,
}

/// [`BETWEEN`] with a time, in room of a fixed size: that is copied fastest.
struct BeforeValue {
    bytes: [u8; 24],
    len: usize,
}

impl BeforeValue {
    /// `None` for a time that takes more room.
    fn new(t_ms: i64) -> Option<BeforeValue> {
        let mut text = Vec::with_capacity(24);
        write_before_value(&mut text, t_ms);
        let mut bytes = [0; 24];
        bytes.get_mut(..text.len())?.copy_from_slice(&text);
        Some(BeforeValue {
            bytes,
            len: text.len(),
        })
    }
}

impl Times {
    fn of(matrix: &[MatrixSeries]) -> Times {
        let longest = matrix.iter().max_by_key(|series| series.float_ms.len());
        let times = longest.map_or(&[][..], |series| &series.float_ms);
        let known = times
            .iter()
            .map_while(|t_ms| Some((*t_ms, BeforeValue::new(*t_ms)?)));
        let (ms, text) = known.unzip();
        Times { ms, text, next: 0 }
    }

    /// Writes what stands before a value; those of a series come in order.
    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, t_ms: i64) {
        while self.ms.get(self.next).is_some_and(|known| *known < t_ms) {
            self.next += 1;
        }
        match (self.ms.get(self.next), self.text.get(self.next)) {
            (Some(known), Some(text)) if *known == t_ms => {
                self.next += 1;
                let end = out.len() + text.len;
                out.extend_from_slice(&text.bytes);
                out.truncate(end);
            }
            _ => write_before_value(out, t_ms),
        }
    }
}

fn write_before_value(out: &mut Vec<u8>, t_ms: i64) {
    out.extend_from_slice(BETWEEN.0);
    write_timestamp(out, t_ms);
    out.extend_from_slice(BETWEEN.1);
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
        out.extend_from_slice(b",\"values\":[[");
        let mut points = series.float_ms.iter().zip(&series.floats);
        if let Some((t_ms, v)) = points.next() {
            write_timestamp(out, *t_ms);
            out.extend_from_slice(BETWEEN.1);
            write_digits(out, *v);
        }
        times.next = 0;
        for (t_ms, v) in points {
            times.write(out, *t_ms);
            write_digits(out, *v);
        }
        out.extend_from_slice(b"\"]]");
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
