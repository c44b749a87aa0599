//! Late samples of a series: a small sorted buffer, and the chunks that it was written to.

use std::sync::Arc;

use model::{FloatHistogram, Histogram};
use tsdb_format::chunk::{Appended, Encoding, FloatHistogramChunk, HistogramChunk, XorChunk};

use super::chunk_files::ChunkFiles;

/// A sample's value, owned and cheap to clone.
#[derive(Clone, Debug)]
pub enum OwnedValue {
    Float(f64),
    Histogram(Arc<Histogram>),
    FloatHistogram(Arc<FloatHistogram>),
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
            let range = (chunk.min_ms, chunk.max_ms);
            let reference = files.write(series, range, chunk.encoding as u8, true, &chunk.data);
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
    Histogram(Box<HistogramChunk>),
    FloatHistogram(Box<FloatHistogramChunk>),
}

/// Encodes sorted samples into as few chunks as their kinds allow, of at most 120 floats each.
/// Histograms whose parts contradict each other were refused when they came; should one be here
/// nevertheless, it is left out.
pub fn encode(samples: &[(i64, OwnedValue)]) -> Vec<Encoded> {
    let mut out: Vec<Encoded> = Vec::new();
    let mut open: Option<(Open, i64, i64)> = None;
    for (t, value) in samples {
        let (t, mut done) = (*t, None);
        open = Some(match (open.take(), value) {
            (Some((Open::Float(mut chunk), min, _)), OwnedValue::Float(v))
                if chunk.samples() < 120 =>
            {
                chunk.append(t, *v);
                (Open::Float(chunk), min, t)
            }
            (before, OwnedValue::Float(v)) => {
                done = before;
                let mut chunk = XorChunk::new();
                chunk.append(t, *v);
                (Open::Float(chunk), t, t)
            }
            (Some((Open::Histogram(mut chunk), min, max)), OwnedValue::Histogram(h)) => {
                match chunk.append(None, 0, t, h) {
                    Ok(Appended::Next(next)) => {
                        done = Some((Open::Histogram(chunk), min, max));
                        (Open::Histogram(next), t, t)
                    }
                    Ok(_) => (Open::Histogram(chunk), min, t),
                    Err(_) => (Open::Histogram(chunk), min, max),
                }
            }
            (before, OwnedValue::Histogram(h)) => {
                let mut chunk = Box::new(HistogramChunk::new());
                match chunk.append(None, 0, t, h) {
                    Ok(_) => {
                        done = before;
                        (Open::Histogram(chunk), t, t)
                    }
                    Err(_) => {
                        open = before;
                        continue;
                    }
                }
            }
            (Some((Open::FloatHistogram(mut chunk), min, max)), OwnedValue::FloatHistogram(h)) => {
                match chunk.append(None, 0, t, h) {
                    Ok(Appended::Next(next)) => {
                        done = Some((Open::FloatHistogram(chunk), min, max));
                        (Open::FloatHistogram(next), t, t)
                    }
                    Ok(_) => (Open::FloatHistogram(chunk), min, t),
                    Err(_) => (Open::FloatHistogram(chunk), min, max),
                }
            }
            (before, OwnedValue::FloatHistogram(h)) => {
                let mut chunk = Box::new(FloatHistogramChunk::new());
                match chunk.append(None, 0, t, h) {
                    Ok(_) => {
                        done = before;
                        (Open::FloatHistogram(chunk), t, t)
                    }
                    Err(_) => {
                        open = before;
                        continue;
                    }
                }
            }
        });
        out.extend(done.map(finish));
    }
    out.extend(open.map(finish));
    out
}

fn finish((open, min_ms, max_ms): (Open, i64, i64)) -> Encoded {
    let (encoding, data) = match open {
        Open::Float(chunk) => (Encoding::Xor, chunk.bytes().to_vec()),
        Open::Histogram(chunk) => (Encoding::Histogram, chunk.bytes().to_vec()),
        Open::FloatHistogram(chunk) => (Encoding::FloatHistogram, chunk.bytes().to_vec()),
    };
    Encoded {
        encoding,
        min_ms,
        max_ms,
        data,
    }
}
