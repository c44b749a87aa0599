//! Answering: all samples in one message, or the chunks as they are stored, in frames.

use model::{Labels, MatchKind, Matcher};
use prost::Message;
use proto::prometheus::{
    Chunk, ChunkedReadResponse, ChunkedSeries, Label, Query, QueryResult, ReadRequest,
    ReadResponse, Sample, TimeSeries, read_request,
};
use storage::{ChunkEncoding, Columns, EncodedChunk, Queryable, SelectHints, Series, StorageError};
use tsdb_format::chunk::histogram::{FloatCodec, IntCodec, Iter};
use tsdb_format::chunk::{xor, xor2};

use super::{format_encoding, matchers_from, put_frame, with_labels};
use crate::push::compress;

/// Why a request is not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Sending it again does not help.
    #[error("{0}")]
    Bad(String),
    /// More samples than are allowed.
    #[error("exceeded sample limit ({0})")]
    TooMany(u64),
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The client went away.
    #[error("context canceled")]
    Gone,
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> ReadError {
        ReadError::Store(error.to_string())
    }
}

/// How a request wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseType {
    Samples,
    Chunks,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    queries: Vec<Query>,
    pub response: ResponseType,
}

impl Asked {
    /// Decodes a body; it may hold up to `max_bytes` once decompressed.
    ///
    /// # Errors
    /// [`ReadError::Bad`].
    pub fn decode(body: &[u8], max_bytes: usize) -> Result<Asked, ReadError> {
        let bad = |text: &str| ReadError::Bad(text.to_owned());
        let corrupt = "snappy: corrupt input";
        let length = snap::raw::decompress_len(body).map_err(|_| bad(corrupt))?;
        if length > max_bytes {
            return Err(ReadError::Bad(format!(
                "the request is {length} bytes decompressed, more than the {max_bytes} that are allowed"
            )));
        }
        let bytes = snap::raw::Decoder::new().decompress_vec(body);
        let request = ReadRequest::decode(&*bytes.map_err(|_| bad(corrupt))?)
            .map_err(|e| ReadError::Bad(e.to_string()))?;
        let accepted = &request.accepted_response_types;
        let known = accepted.iter().find_map(|kind| {
            match read_request::ResponseType::try_from(*kind).ok()? {
                read_request::ResponseType::Samples => Some(ResponseType::Samples),
                read_request::ResponseType::StreamedXorChunks => Some(ResponseType::Chunks),
            }
        });
        let response = match known {
            Some(known) => known,
            None if accepted.is_empty() => ResponseType::Samples,
            None => {
                return Err(ReadError::Bad(format!(
                    "server does not support any of the requested response types: {accepted:?}; supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]"
                )));
            }
        };
        Ok(Asked {
            queries: request.queries,
            response,
        })
    }
}

/// Answers requests from a store.
pub struct Answerer<'a> {
    pub store: &'a dyn Queryable,
    /// Added to all series; matchers that ask for just these are met.
    pub external: &'a Labels,
    /// Most samples of an answer in one piece, 0 for no limit.
    pub sample_limit: u64,
    /// Bytes from which on a series goes on in another frame.
    pub max_frame_bytes: usize,
}

impl Answerer<'_> {
    /// The body of an answer in one piece, compressed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn samples(&self, asked: &Asked) -> Result<Vec<u8>, ReadError> {
        let mut results = Vec::with_capacity(asked.queries.len());
        let mut count = 0;
        for query in &asked.queries {
            let mut timeseries = Vec::new();
            self.select(query, false, |series| {
                let mut out = TimeSeries {
                    labels: self.labels(series),
                    ..TimeSeries::default()
                };
                let range = (query.start_timestamp_ms, query.end_timestamp_ms);
                for chunk in series.chunks(range.0, range.1)? {
                    decode_chunk(&chunk, range, &mut out)?;
                }
                count += (out.samples.len() + out.histograms.len()) as u64;
                if self.sample_limit > 0 && count > self.sample_limit {
                    return Err(ReadError::TooMany(self.sample_limit));
                }
                if !out.samples.is_empty() || !out.histograms.is_empty() {
                    timeseries.push(out);
                }
                Ok(())
            })?;
            results.push(QueryResult { timeseries });
        }
        Ok(compress(&ReadResponse { results }.encode_to_vec()).into())
    }

    /// Hands the frames of a streamed answer to `emit`, until it says that nobody listens.
    ///
    /// # Errors
    /// [`ReadError`]; frames before it may have been sent.
    pub fn chunks(
        &self,
        asked: &Asked,
        mut emit: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<(), ReadError> {
        for (index, query) in asked.queries.iter().enumerate() {
            self.select(query, true, |series| {
                let labels = self.labels(series);
                let label_bytes: usize = labels.iter().map(Message::encoded_len).sum();
                let room = self.max_frame_bytes.saturating_sub(label_bytes);
                let mut bytes = 0;
                let mut chunks = Vec::new();
                let range = (query.start_timestamp_ms, query.end_timestamp_ms);
                let all = wire_chunks(series.chunks(range.0, range.1)?)?;
                let last = all.len().saturating_sub(1);
                for (i, chunk) in all.into_iter().enumerate() {
                    bytes += chunk.encoded_len();
                    chunks.push(chunk);
                    if i < last && bytes < room {
                        continue;
                    }
                    bytes = 0;
                    let response = ChunkedReadResponse {
                        chunked_series: vec![ChunkedSeries {
                            labels: labels.clone(),
                            chunks: std::mem::take(&mut chunks),
                        }],
                        query_index: index as i64,
                    };
                    let mut frame = Vec::new();
                    put_frame(&mut frame, &response.encode_to_vec());
                    if !emit(frame) {
                        return Err(ReadError::Gone);
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn select(
        &self,
        query: &Query,
        sorted: bool,
        mut each: impl FnMut(&dyn Series) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let matchers = matchers_from(&query.matchers).map_err(ReadError::Bad)?;
        let asks_for_external = |m: &Matcher| {
            m.kind == MatchKind::Equal && self.external.find(&m.name) == Some(&*m.value)
        };
        let matchers: Vec<Matcher> = matchers
            .into_iter()
            .filter(|m| !asks_for_external(m))
            .collect();
        let (start_ms, end_ms) = (query.start_timestamp_ms, query.end_timestamp_ms);
        let mut hints = SelectHints {
            start_ms,
            end_ms,
            ..SelectHints::default()
        };
        if let Some(given) = &query.hints {
            hints.start_ms = given.start_ms;
            hints.end_ms = given.end_ms;
            hints.step_ms = given.step_ms;
            hints.range_ms = given.range_ms;
            hints.func = given.func.clone();
        }
        let querier = self.store.querier(start_ms, end_ms)?;
        for series in querier.select(sorted, &hints, &matchers)?.series {
            each(&*series)?;
        }
        Ok(())
    }

    fn labels(&self, series: &dyn Series) -> Vec<Label> {
        proto::convert::labels_to_prometheus(&with_labels(series.labels(), self.external))
    }
}

fn corrupt(error: tsdb_format::FormatError) -> ReadError {
    ReadError::Store(error.to_string())
}

/// The samples of a chunk within a range, histograms as they were stored.
fn decode_chunk(
    chunk: &EncodedChunk,
    (min_ms, max_ms): (i64, i64),
    out: &mut TimeSeries,
) -> Result<(), ReadError> {
    let data = &chunk.data[..];
    match chunk.encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
            let (mut times, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
            match chunk.encoding {
                ChunkEncoding::Xor => xor::decode(data, min_ms, max_ms, &mut times, &mut values),
                _ => xor2::decode(data, min_ms, max_ms, &mut times, &mut values, &mut starts),
            }
            .map_err(corrupt)?;
            let samples = times.into_iter().zip(values);
            out.samples
                .extend(samples.map(|(timestamp, value)| Sample { value, timestamp }));
        }
        ChunkEncoding::Histogram => {
            let mut iter = Iter::<IntCodec>::new(data, false).map_err(corrupt)?;
            while iter.advance().map_err(corrupt)? {
                if (min_ms..=max_ms).contains(&iter.t_ms()) {
                    let h = proto::convert::histogram_to_prometheus(iter.t_ms(), &iter.sample());
                    out.histograms.push(h);
                }
            }
        }
        ChunkEncoding::FloatHistogram => {
            let mut iter = Iter::<FloatCodec>::new(data, false).map_err(corrupt)?;
            while iter.advance().map_err(corrupt)? {
                if (min_ms..=max_ms).contains(&iter.t_ms()) {
                    let sample = iter.sample();
                    let h = proto::convert::float_histogram_to_prometheus(iter.t_ms(), &sample);
                    out.histograms.push(h);
                }
            }
        }
    }
    Ok(())
}

/// Chunks for clients that know three encodings.
fn wire_chunks(chunks: Vec<EncodedChunk>) -> Result<Vec<Chunk>, ReadError> {
    let mut out = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if chunk.encoding != ChunkEncoding::Xor2 {
            out.push(wire_chunk(chunk));
            continue;
        }
        let mut columns = Columns::default();
        let encoding = format_encoding(chunk.encoding);
        tsdb::columns::decode_chunk(encoding, &chunk.data, i64::MIN, i64::MAX, &mut columns)
            .map_err(corrupt)?;
        columns.float_start_ms.clear();
        let again = tsdb::columns::encode_columns(&columns)?;
        out.extend(again.into_iter().map(wire_chunk));
    }
    Ok(out)
}

fn wire_chunk(chunk: EncodedChunk) -> Chunk {
    Chunk {
        min_time_ms: chunk.min_ms,
        max_time_ms: chunk.max_ms,
        // The numbers are those of the chunk files.
        r#type: chunk.encoding as i32,
        data: chunk.data,
    }
}
