//! Late samples of a series: a small sorted buffer, and the chunks that it was written to.

use std::sync::Arc;

use model::{FloatHistogram, Histogram};
use tsdb_format::chunk::{Encoding, XorChunk};
use tsdb_format::head_chunks::HeadChunk;

use super::chunk_files::ChunkFiles;
use super::open_histogram::OpenHistogram;
use super::series::Value;

/// A sample's value, owned and cheap to clone.
#[derive(Clone, Debug)]
pub enum OwnedValue {
    Float(f64),
    Histogram(Arc<Histogram>),
    FloatHistogram(Arc<FloatHistogram>),
}

impl OwnedValue {
    /// The value, borrowed.
    pub fn borrow(&self) -> Value<'_> {
        match self {
            OwnedValue::Float(v) => Value::Float(*v),
            OwnedValue::Histogram(h) => Value::Histogram(h),
            OwnedValue::FloatHistogram(h) => Value::FloatHistogram(h),
        }
    }
}

/// A chunk of late samples in `chunks_head/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateChunk {
    pub reference: u64,
    pub min_ms: i64,
    pub max_ms: i64,
}

/// The late samples of a series.
#[derive(Clone, Debug, Default)]
pub struct OutOfOrder {
    /// Sorted by time, each time once.
    pub samples: Vec<(i64, OwnedValue)>,
    /// In order of their writing; they may overlap.
    pub chunks: Vec<LateChunk>,
}

impl OutOfOrder {
    /// Inserts a sample unless there is one at its time in the buffer.
    pub fn insert(&mut self, t_ms: i64, value: OwnedValue) -> bool {
        let at = self.samples.partition_point(|(t, _)| *t < t_ms);
        if self.samples.get(at).is_some_and(|(t, _)| *t == t_ms) {
            return false;
        }
        self.samples.insert(at, (t_ms, value));
        true
    }

    /// Writes the buffer to chunks and says where they are.
    pub fn write_out(&mut self, series: u64, files: &ChunkFiles) -> Vec<u64> {
        let mut written = Vec::new();
        for chunk in encode(&self.samples) {
            let reference = files.write(&HeadChunk {
                series,
                min_ms: chunk.min_ms,
                max_ms: chunk.max_ms,
                encoding: chunk.encoding,
                out_of_order: true,
                data: &chunk.data,
            });
            self.chunks.push(LateChunk {
                reference,
                min_ms: chunk.min_ms,
                max_ms: chunk.max_ms,
            });
            written.push(reference);
        }
        self.samples.clear();
        written
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.chunks.is_empty()
    }

    /// First and last time of all samples.
    pub fn range(&self) -> Option<(i64, i64)> {
        let firsts = self.samples.first().map(|(t, _)| *t).into_iter();
        let lasts = self.samples.last().map(|(t, _)| *t).into_iter();
        let min = firsts.chain(self.chunks.iter().map(|c| c.min_ms)).min()?;
        let max = lasts.chain(self.chunks.iter().map(|c| c.max_ms)).max()?;
        Some((min, max))
    }
}

/// Encoded samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    pub encoding: Encoding,
    pub min_ms: i64,
    pub max_ms: i64,
    pub data: Vec<u8>,
}

enum Open {
    Float(XorChunk),
    Histogram(OpenHistogram),
}

/// Encodes sorted samples into as few chunks as their kinds allow, of at most 120 floats each.
/// Histograms whose parts contradict each other were refused when they came; should one be here
/// nevertheless, it is left out.
pub fn encode(samples: &[(i64, OwnedValue)]) -> Vec<Encoded> {
    let mut out: Vec<Encoded> = Vec::new();
    let mut open: Option<(Open, i64, i64)> = None;
    for (t, value) in samples {
        let (t, value) = (*t, value.borrow());
        let done = match (open.take(), value) {
            (Some((Open::Float(mut chunk), min, _)), Value::Float(v)) if chunk.samples() < 120 => {
                chunk.append(t, v);
                open = Some((Open::Float(chunk), min, t));
                None
            }
            (before, Value::Float(v)) => {
                let mut chunk = XorChunk::new();
                chunk.append(t, v);
                open = Some((Open::Float(chunk), t, t));
                before
            }
            (Some((Open::Histogram(mut chunk), min, max)), value) if chunk.takes(value) => {
                let result = chunk.append(None, t, value);
                let last = if result.is_ok() { t } else { max };
                match result {
                    Ok(Some(next)) => {
                        open = Some((Open::Histogram(next), t, t));
                        Some((Open::Histogram(chunk), min, max))
                    }
                    Ok(None) | Err(_) => {
                        open = Some((Open::Histogram(chunk), min, last));
                        None
                    }
                }
            }
            (before, value) => {
                let chunk = OpenHistogram::for_value(value)
                    .and_then(|mut chunk| chunk.append(None, t, value).ok().map(|_| chunk));
                match chunk {
                    Some(chunk) => {
                        open = Some((Open::Histogram(chunk), t, t));
                        before
                    }
                    None => {
                        open = before;
                        None
                    }
                }
            }
        };
        out.extend(done.map(finish));
    }
    out.extend(open.map(finish));
    out
}

fn finish((open, min_ms, max_ms): (Open, i64, i64)) -> Encoded {
    let (encoding, data) = match open {
        Open::Float(chunk) => (Encoding::Xor, chunk.bytes().to_vec()),
        Open::Histogram(chunk) => (chunk.encoding(), chunk.bytes().to_vec()),
    };
    Encoded {
        encoding,
        min_ms,
        max_ms,
        data,
    }
}
