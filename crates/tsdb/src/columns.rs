//! Between encoded chunks and columns.

use std::sync::Arc;

use storage::{ChunkEncoding, Columns, EncodedChunk, StorageError};
use tsdb_format::FormatError;
use tsdb_format::chunk::{Encoding, histogram, xor, xor2};

use crate::head::out_of_order::{Encoded, OwnedValue, encode};

/// Appends the samples of a chunk with `min_ms <= t <= max_ms` to the columns.
///
/// # Errors
/// Bytes that are no such chunk.
pub fn decode_chunk(
    encoding: Encoding,
    data: &[u8],
    min_ms: i64,
    max_ms: i64,
    out: &mut Columns,
) -> Result<(), FormatError> {
    match encoding {
        Encoding::Xor => {
            xor::decode(data, min_ms, max_ms, &mut out.float_ms, &mut out.floats)?;
            if !out.float_start_ms.is_empty() {
                out.float_start_ms.resize(out.float_ms.len(), 0);
            }
        }
        Encoding::Xor2 => {
            xor2::decode(
                data,
                min_ms,
                max_ms,
                &mut out.float_ms,
                &mut out.floats,
                &mut out.float_start_ms,
            )?;
        }
        _ => {
            let float = matches!(
                encoding,
                Encoding::FloatHistogram | Encoding::FloatHistogramSt
            );
            let starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
            histogram::decode_float(data, float, starts, min_ms, max_ms, |t, start, sample| {
                if start != 0 && out.histogram_start_ms.is_empty() {
                    out.histogram_start_ms.resize(out.histogram_ms.len(), 0);
                }
                out.histogram_ms.push(t);
                out.histograms.push(Arc::new(sample));
                if start != 0 || !out.histogram_start_ms.is_empty() {
                    out.histogram_start_ms.push(start);
                }
            })?;
        }
    }
    Ok(())
}

/// The samples of a chunk with `min_ms <= t <= max_ms`, histograms of integers as such.
///
/// # Errors
/// As [`decode_chunk`].
pub fn chunk_samples(
    encoding: Encoding,
    data: &[u8],
    min_ms: i64,
    max_ms: i64,
) -> Result<Vec<(i64, OwnedValue)>, FormatError> {
    if matches!(encoding, Encoding::Histogram | Encoding::HistogramSt) {
        let starts = encoding == Encoding::HistogramSt;
        let mut samples = Vec::new();
        histogram::decode_integer(data, starts, min_ms, max_ms, |t, _, sample| {
            samples.push((t, OwnedValue::Histogram(Arc::new(sample))));
        })?;
        return Ok(samples);
    }
    let mut columns = Columns::default();
    decode_chunk(encoding, data, min_ms, max_ms, &mut columns)?;
    Ok(samples(&columns))
}

/// The samples of the columns in order of time.
pub fn samples(columns: &Columns) -> Vec<(i64, OwnedValue)> {
    let floats = columns.float_ms.iter().zip(&columns.floats);
    let histograms = columns.histogram_ms.iter().zip(&columns.histograms);
    let mut all: Vec<(i64, OwnedValue)> = floats
        .map(|(t, v)| (*t, OwnedValue::Float(*v)))
        .chain(histograms.map(|(t, h)| (*t, OwnedValue::FloatHistogram(Arc::clone(h)))))
        .collect();
    all.sort_by_key(|(t, _)| *t);
    all
}

/// Adds late samples to columns; a time that is there already stays as it is.
pub fn push_samples(samples: &[(i64, OwnedValue)], min_ms: i64, max_ms: i64, out: &mut Columns) {
    for (t, value) in samples {
        if !(min_ms..=max_ms).contains(t) {
            continue;
        }
        match value {
            OwnedValue::Float(v) => {
                out.float_ms.push(*t);
                out.floats.push(*v);
            }
            OwnedValue::Histogram(h) => {
                out.histogram_ms.push(*t);
                out.histograms.push(Arc::new(h.to_float()));
            }
            OwnedValue::FloatHistogram(h) => {
                out.histogram_ms.push(*t);
                out.histograms.push(Arc::clone(h));
            }
        }
    }
}

/// How `storage` names an encoding; histograms with start timestamps have no name there.
pub fn chunk_encoding(encoding: Encoding) -> Option<ChunkEncoding> {
    Some(match encoding {
        Encoding::Xor => ChunkEncoding::Xor,
        Encoding::Histogram => ChunkEncoding::Histogram,
        Encoding::FloatHistogram => ChunkEncoding::FloatHistogram,
        Encoding::Xor2 => ChunkEncoding::Xor2,
        Encoding::HistogramSt | Encoding::FloatHistogramSt => return None,
    })
}

/// Encodes columns as chunks that do not overlap. Integer histograms come as float histograms.
///
/// # Errors
/// None: the signature is [`storage::ChunkEncoder`]'s.
pub fn encode_columns(columns: &Columns) -> Result<Vec<EncodedChunk>, StorageError> {
    Ok(encoded_chunks(encode(&samples(columns))))
}

/// Encoded samples as `storage` hands them on.
pub fn encoded_chunks(chunks: Vec<Encoded>) -> Vec<EncodedChunk> {
    chunks
        .into_iter()
        .filter_map(|chunk| {
            Some(EncodedChunk {
                encoding: chunk_encoding(chunk.encoding)?,
                min_ms: chunk.min_ms,
                max_ms: chunk.max_ms,
                data: chunk.data,
            })
        })
        .collect()
}
