//! Answers from one block.

use std::sync::Arc;

use model::{Annotations, Labels, Matcher};
use storage::{
    ChunkEncoding, Columns, EncodedChunk, LabelHints, Querier, SelectHints, Series, SeriesSet,
    StorageError,
};
use tsdb_format::chunk::Encoding;
use tsdb_format::index::{ChunkMeta, SeriesEntry, SymbolCache};
use tsdb_format::tombstones::Interval;

use super::encode::{decode_columns, decode_samples, encode_samples};
use super::reader::Block;
use super::{matching, writer::BlockChunk};
use crate::Error;

/// A view of a block between two timestamps, both inclusive.
pub struct BlockQuerier {
    block: Arc<Block>,
    min_ms: i64,
    max_ms: i64,
}

impl BlockQuerier {
    /// A view of `block`; it keeps the block open.
    pub fn new(block: Arc<Block>, min_ms: i64, max_ms: i64) -> BlockQuerier {
        // The end in meta.json is exclusive: later samples belong to the next block.
        let (first, behind) = block.range();
        BlockQuerier {
            min_ms: min_ms.max(first),
            max_ms: max_ms.min(behind.saturating_sub(1)),
            block,
        }
    }
}

fn corrupt(block: &Block) -> impl Fn(tsdb_format::FormatError) -> StorageError {
    let dir = block.dir().display().to_string();
    move |error| StorageError::Corrupt(format!("{dir}/index: {error}"))
}

fn failed(error: Error) -> StorageError {
    match error {
        Error::Query(error) => error,
        Error::Format { .. } | Error::Invalid(_) => StorageError::Corrupt(error.to_string()),
        Error::Io { .. } => StorageError::Io(error.to_string()),
        other => StorageError::Other(other.to_string()),
    }
}

impl Querier for BlockQuerier {
    fn select(
        &self,
        _sorted: bool,
        hints: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        let (mut min_ms, mut max_ms) = (self.min_ms, self.max_ms);
        if (hints.start_ms, hints.end_ms) != (0, 0) {
            min_ms = min_ms.max(hints.start_ms);
            max_ms = max_ms.min(hints.end_ms);
        }
        let block = &self.block;
        let tombstones = block.tombstones();
        let most = if hints.limit == 0 {
            usize::MAX
        } else {
            hints.limit
        };
        let mut set = SeriesSet::default();
        let mut entry = SeriesEntry::default();
        let mut symbols = SymbolCache::new();
        // References are in order of labels: the answer is sorted as it comes.
        for reference in block.postings(matchers).map_err(failed)? {
            if set.series.len() == most {
                break;
            }
            let index = &block.index;
            index
                .series(reference, &mut entry)
                .map_err(corrupt(block))?;
            let deleted = tombstones.of(u64::from(reference));
            let chunks: Box<[ChunkMeta]> =
                Block::live_chunks(&entry.chunks, deleted, min_ms, max_ms).collect();
            if chunks.is_empty() {
                continue;
            }
            set.series.push(Arc::new(BlockSeries {
                labels: index
                    .labels_cached(&entry, &mut symbols)
                    .map_err(corrupt(block))?,
                chunks,
                deleted: deleted.into(),
                min_ms: self.min_ms,
                max_ms: self.max_ms,
                block: Arc::clone(block),
            }));
        }
        Ok(set)
    }

    fn label_values(
        &self,
        name: &str,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        let values = matching::label_values(&self.block.index, name, matchers, hints.limit);
        Ok((
            values.map_err(corrupt(&self.block))?,
            Annotations::default(),
        ))
    }

    fn label_names(
        &self,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        let names = matching::label_names(&self.block.index, matchers, hints.limit);
        Ok((names.map_err(corrupt(&self.block))?, Annotations::default()))
    }
}

/// A series of an answer; its chunks are read when asked for.
struct BlockSeries {
    block: Arc<Block>,
    labels: Labels,
    chunks: Box<[ChunkMeta]>,
    deleted: Box<[Interval]>,
    min_ms: i64,
    max_ms: i64,
}

impl BlockSeries {
    /// The chunks with times in the range, which is cut to that of the querier.
    fn range(&self, min_ms: i64, max_ms: i64) -> (&[ChunkMeta], (i64, i64)) {
        let (min_ms, max_ms) = (min_ms.max(self.min_ms), max_ms.min(self.max_ms));
        let first = self.chunks.partition_point(|chunk| chunk.max_ms < min_ms);
        let behind = self.chunks.partition_point(|chunk| chunk.min_ms <= max_ms);
        let chunks = self.chunks.get(first..behind).unwrap_or_default();
        (chunks, (min_ms, max_ms))
    }

    fn deleted_in(&self, chunk: &ChunkMeta) -> &[Interval] {
        let deleted = &self.deleted;
        let first = deleted.partition_point(|i| i.max_ms < chunk.min_ms);
        let behind = deleted.partition_point(|i| i.min_ms <= chunk.max_ms);
        deleted.get(first..behind).unwrap_or_default()
    }
}

impl Series for BlockSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        let (chunks, range) = self.range(min_ms, max_ms);
        for chunk in chunks {
            let (encoding, data) = self.block.chunk(chunk.reference).map_err(failed)?;
            decode_columns(encoding, data, range, self.deleted_in(chunk), out)
                .map_err(|error| failed(self.block.in_chunk(chunk, error)))?;
        }
        Ok(())
    }

    fn chunks(&self, min_ms: i64, max_ms: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        let (chunks, _) = self.range(min_ms, max_ms);
        let mut out = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (encoding, data) = self.block.chunk(chunk.reference).map_err(failed)?;
            let deleted = self.deleted_in(chunk);
            let known = chunk_encoding(encoding);
            if let Some(encoding) = known.filter(|_| deleted.is_empty()) {
                out.push(EncodedChunk {
                    encoding,
                    min_ms: chunk.min_ms,
                    max_ms: chunk.max_ms,
                    data: data.to_vec(),
                });
                continue;
            }
            let in_chunk = |error| failed(self.block.in_chunk(chunk, error));
            let mut samples = Vec::new();
            let all = (i64::MIN, i64::MAX);
            decode_samples(encoding, data, all, deleted, &mut samples).map_err(in_chunk)?;
            if known.is_none() {
                // Readers of these chunks have no name for start timestamps of histograms.
                samples.iter_mut().for_each(|sample| sample.start_ms = 0);
            }
            let chunks = encode_samples(&samples).map_err(in_chunk)?;
            out.extend(chunks.into_iter().filter_map(encoded));
        }
        Ok(out)
    }
}

fn encoded(chunk: BlockChunk<'_>) -> Option<EncodedChunk> {
    Some(EncodedChunk {
        encoding: chunk_encoding(chunk.encoding)?,
        min_ms: chunk.min_ms,
        max_ms: chunk.max_ms,
        data: chunk.data.into_owned(),
    })
}

/// The encoding as the storage interface names it; it has no names for histograms with start
/// timestamps.
fn chunk_encoding(encoding: Encoding) -> Option<ChunkEncoding> {
    match encoding {
        Encoding::Xor => Some(ChunkEncoding::Xor),
        Encoding::Histogram => Some(ChunkEncoding::Histogram),
        Encoding::FloatHistogram => Some(ChunkEncoding::FloatHistogram),
        Encoding::Xor2 => Some(ChunkEncoding::Xor2),
        Encoding::HistogramSt | Encoding::FloatHistogramSt => None,
    }
}
