//! Samples out of chunks and into chunks: what queries decode, what compaction writes anew.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Histogram};
use storage::Columns;
use tsdb_format::FormatError;
use tsdb_format::chunk::histogram::{self, Appended, Chunk, Counts};
use tsdb_format::chunk::xor2::Xor2Chunk;
use tsdb_format::chunk::{self, Encoding, FloatHistogramChunk, HistogramChunk, XorChunk};
use tsdb_format::tombstones::{Interval, is_deleted};

use super::writer::BlockChunk;

/// Samples in a chunk that is written here, as upstream's re-encoding has it.
pub const SAMPLES_PER_CHUNK: u16 = 120;

/// A sample as chunks hold it.
#[derive(Clone, Debug)]
pub struct Sample {
    pub t_ms: i64,
    /// 0 for none.
    pub start_ms: i64,
    pub value: Value,
}

/// The value of a sample.
#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Histogram(Box<Histogram>),
    FloatHistogram(Box<FloatHistogram>),
}

impl Value {
    /// What is said about a counter reset before a histogram.
    pub fn hint_mut(&mut self) -> Option<&mut CounterResetHint> {
        match self {
            Value::Float(_) => None,
            Value::Histogram(h) => Some(&mut h.counter_reset_hint),
            Value::FloatHistogram(h) => Some(&mut h.counter_reset_hint),
        }
    }
}

const fn has_starts(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt)
}

/// Appends the samples of a chunk with `min_ms <= t <= max_ms`, without the deleted ones, to
/// columns.
///
/// # Errors
/// Bytes that do not decode.
pub fn decode_columns(
    encoding: Encoding,
    data: &[u8],
    (min_ms, max_ms): (i64, i64),
    deleted: &[Interval],
    out: &mut Columns,
) -> Result<(), FormatError> {
    if encoding.is_float() {
        let before = out.float_ms.len();
        chunk::decode_floats(
            encoding,
            data,
            min_ms,
            max_ms,
            &mut out.float_ms,
            &mut out.floats,
            &mut out.float_start_ms,
        )?;
        if !deleted.is_empty() {
            drop_deleted(out, before, deleted);
        }
        return Ok(());
    }
    let float = matches!(
        encoding,
        Encoding::FloatHistogram | Encoding::FloatHistogramSt
    );
    histogram::decode_float(
        data,
        float,
        has_starts(encoding),
        min_ms,
        max_ms,
        |t_ms, start_ms, histogram| {
            if is_deleted(deleted, t_ms) {
                return;
            }
            if start_ms != 0 || !out.histogram_start_ms.is_empty() {
                out.histogram_start_ms.resize(out.histogram_ms.len(), 0);
                out.histogram_start_ms.push(start_ms);
            }
            out.histogram_ms.push(t_ms);
            out.histograms.push(Arc::new(histogram));
        },
    )
}

fn drop_deleted(out: &mut Columns, before: usize, deleted: &[Interval]) {
    let mut kept = before;
    for i in before..out.float_ms.len() {
        if is_deleted(deleted, out.float_ms[i]) {
            continue;
        }
        out.float_ms[kept] = out.float_ms[i];
        out.floats[kept] = out.floats[i];
        if let Some(start) = out.float_start_ms.get(i).copied() {
            out.float_start_ms[kept] = start;
        }
        kept += 1;
    }
    out.float_ms.truncate(kept);
    out.floats.truncate(kept);
    out.float_start_ms.truncate(kept);
}

/// Appends the samples of a chunk with `min_ms <= t <= max_ms`, without the deleted ones.
///
/// # Errors
/// Bytes that do not decode.
pub fn decode_samples(
    encoding: Encoding,
    data: &[u8],
    (min_ms, max_ms): (i64, i64),
    deleted: &[Interval],
    out: &mut Vec<Sample>,
) -> Result<(), FormatError> {
    let starts = has_starts(encoding);
    let mut push = |t_ms, start_ms, value| {
        if !is_deleted(deleted, t_ms) {
            out.push(Sample {
                t_ms,
                start_ms,
                value,
            });
        }
    };
    match encoding {
        Encoding::Xor | Encoding::Xor2 => {
            let (mut times, mut values, mut start_ms) = (Vec::new(), Vec::new(), Vec::new());
            chunk::decode_floats(
                encoding,
                data,
                min_ms,
                max_ms,
                &mut times,
                &mut values,
                &mut start_ms,
            )?;
            for (i, (t, v)) in times.into_iter().zip(values).enumerate() {
                push(t, start_ms.get(i).copied().unwrap_or(0), Value::Float(v));
            }
            Ok(())
        }
        Encoding::Histogram | Encoding::HistogramSt => {
            histogram::decode_integer(data, starts, min_ms, max_ms, |t, start, h| {
                push(t, start, Value::Histogram(Box::new(h)));
            })
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            histogram::decode_float(data, true, starts, min_ms, max_ms, |t, start, h| {
                push(t, start, Value::FloatHistogram(Box::new(h)));
            })
        }
    }
}

/// Encodes samples, in order of time, to chunks. Samples with start timestamps make chunks that
/// keep them, others those that every version reads.
///
/// # Errors
/// A histogram whose spans and buckets do not fit each other.
pub fn encode_samples(samples: &[Sample]) -> Result<Vec<BlockChunk<'static>>, FormatError> {
    let starts = samples.iter().any(|sample| sample.start_ms != 0);
    let mut chunks = Vec::new();
    let mut open: Option<Open> = None;
    for sample in samples {
        match &mut open {
            Some(current) => current.add(sample, starts, &mut chunks)?,
            None => open = Some(Open::start(sample, starts, None)?),
        }
    }
    chunks.extend(open.map(Open::finish));
    Ok(chunks)
}

/// A chunk that is being filled.
struct Open {
    min_ms: i64,
    max_ms: i64,
    body: Body,
}

enum Body {
    Xor(XorChunk),
    Xor2(Xor2Chunk),
    Histogram(HistogramChunk, bool),
    FloatHistogram(FloatHistogramChunk, bool),
}

impl Open {
    /// A chunk of one sample; `previous` is the full one before.
    fn start(sample: &Sample, starts: bool, previous: Option<&Body>) -> Result<Open, FormatError> {
        let body = match &sample.value {
            Value::Float(v) if starts => {
                let mut chunk = Xor2Chunk::new();
                chunk.append(sample.start_ms, sample.t_ms, *v);
                Body::Xor2(chunk)
            }
            Value::Float(v) => {
                let mut chunk = XorChunk::new();
                chunk.append(sample.t_ms, *v);
                Body::Xor(chunk)
            }
            Value::Histogram(h) => {
                let previous = match previous {
                    Some(Body::Histogram(chunk, _)) => Some(chunk),
                    _ => None,
                };
                Body::Histogram(first(previous, sample, starts, h)?, starts)
            }
            Value::FloatHistogram(h) => {
                let previous = match previous {
                    Some(Body::FloatHistogram(chunk, _)) => Some(chunk),
                    _ => None,
                };
                Body::FloatHistogram(first(previous, sample, starts, h)?, starts)
            }
        };
        Ok(Open {
            min_ms: sample.t_ms,
            max_ms: sample.t_ms,
            body,
        })
    }

    /// Adds a sample here, or to a new chunk that takes this one's place, this one going to `done`.
    fn add(
        &mut self,
        sample: &Sample,
        starts: bool,
        done: &mut Vec<BlockChunk<'static>>,
    ) -> Result<(), FormatError> {
        let full = self.samples() >= SAMPLES_PER_CHUNK;
        let appended = match (&mut self.body, &sample.value) {
            _ if full => None,
            (Body::Xor(chunk), Value::Float(v)) => {
                chunk.append(sample.t_ms, *v);
                Some(None)
            }
            (Body::Xor2(chunk), Value::Float(v)) => {
                chunk.append(sample.start_ms, sample.t_ms, *v);
                Some(None)
            }
            (Body::Histogram(chunk, _), Value::Histogram(h)) => {
                let next = add_histogram(chunk, sample, h)?;
                Some(next.map(|next| Body::Histogram(*next, starts)))
            }
            (Body::FloatHistogram(chunk, _), Value::FloatHistogram(h)) => {
                let next = add_histogram(chunk, sample, h)?;
                Some(next.map(|next| Body::FloatHistogram(*next, starts)))
            }
            _ => None,
        };
        let next = match appended {
            Some(None) => {
                self.max_ms = sample.t_ms;
                return Ok(());
            }
            Some(Some(body)) => Open {
                min_ms: sample.t_ms,
                max_ms: sample.t_ms,
                body,
            },
            None => Open::start(sample, starts, full.then_some(&self.body))?,
        };
        done.push(std::mem::replace(self, next).finish());
        Ok(())
    }

    fn samples(&self) -> u16 {
        match &self.body {
            Body::Xor(chunk) => chunk.samples(),
            Body::Xor2(chunk) => chunk.samples(),
            Body::Histogram(chunk, _) => chunk.samples(),
            Body::FloatHistogram(chunk, _) => chunk.samples(),
        }
    }

    fn finish(self) -> BlockChunk<'static> {
        let (encoding, data) = match self.body {
            Body::Xor(mut chunk) => (Encoding::Xor, chunk.take()),
            Body::Xor2(chunk) => (Encoding::Xor2, chunk.bytes().to_vec()),
            Body::Histogram(chunk, starts) => {
                let encoding = match starts {
                    true => Encoding::HistogramSt,
                    false => Encoding::Histogram,
                };
                (encoding, chunk.bytes().to_vec())
            }
            Body::FloatHistogram(chunk, starts) => {
                let encoding = match starts {
                    true => Encoding::FloatHistogramSt,
                    false => Encoding::FloatHistogram,
                };
                (encoding, chunk.bytes().to_vec())
            }
        };
        BlockChunk {
            encoding,
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            data: data.into(),
        }
    }
}

/// Appends to a chunk; what does not fit is in the chunk that is returned.
fn add_histogram<C: Counts>(
    chunk: &mut Chunk<C>,
    sample: &Sample,
    histogram: &C::Sample,
) -> Result<Option<Box<Chunk<C>>>, FormatError> {
    match chunk.append(None, sample.start_ms, sample.t_ms, histogram)? {
        Appended::InPlace | Appended::Recoded => Ok(None),
        Appended::Next(next) => Ok(Some(next)),
    }
}

fn first<C: Counts>(
    previous: Option<&Chunk<C>>,
    sample: &Sample,
    starts: bool,
    histogram: &C::Sample,
) -> Result<Chunk<C>, FormatError> {
    let mut chunk = match starts {
        true => Chunk::with_starts(),
        false => Chunk::new(),
    };
    chunk.append(previous, sample.start_ms, sample.t_ms, histogram)?;
    Ok(chunk)
}
