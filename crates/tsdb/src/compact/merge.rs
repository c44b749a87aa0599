//! Blocks become one: series merged by labels, chunks copied as they are where nothing is deleted
//! and nothing overlaps, and written anew where it does.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use model::{CounterResetHint, Labels};
use tsdb_format::FormatError;
use tsdb_format::index::{ChunkMeta, SeriesEntry, SymbolCache};
use tsdb_format::meta::BlockMeta;
use tsdb_format::tombstones::{Interval, Tombstones};

use crate::Error;
use crate::block::encode::{Sample, decode_samples, encode_samples};
use crate::block::{Block, BlockChunk, BlockWriter};
use crate::fs::FileSystem;

/// What became of a compaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Merged {
    /// The new block.
    Block(BlockMeta),
    /// Nothing is left of the blocks: they may be removed.
    Empty,
}

/// Writes the union of `blocks`, which are in order of their start, as the block `meta` (see
/// [`super::compacted_meta`]) into the data folder `dir`, with chunk files of at most
/// `segment_bytes`. Deleted samples are left out. Of two
/// samples of a time in a series that of the earlier block stays. `canceled` is asked now and then.
///
/// # Errors
/// A damaged block, a file that cannot be written, or [`Error::Closed`] when canceled; nothing of
/// the new block stays.
pub fn compact_blocks(
    fs: &dyn FileSystem,
    dir: &Path,
    segment_bytes: u64,
    meta: BlockMeta,
    blocks: &[Arc<Block>],
    canceled: &dyn Fn() -> bool,
) -> Result<Merged, Error> {
    let range = (meta.min_time, meta.max_time - 1);
    let symbols = MergedSymbols::new(blocks)?;
    let mut failed = None;
    let mut writer = {
        let texts = symbols.map_while(|symbol| match symbol {
            Ok(symbol) => Some(symbol),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        BlockWriter::create(fs, dir, meta, texts)?
    };
    if let Some(error) = failed {
        return Err(error);
    }
    writer.limit_segments(segment_bytes);
    let mut sources = Vec::with_capacity(blocks.len());
    let mut heads = BinaryHeap::new();
    for (number, block) in blocks.iter().enumerate() {
        let mut source = Source::new(block)?;
        if let Some(labels) = source.advance()? {
            heads.push(Head { labels, number });
        }
        sources.push(source);
    }
    let mut group: Vec<usize> = Vec::new();
    let mut count = 0u32;
    while let Some(Head { labels, number }) = heads.pop() {
        count = count.wrapping_add(1);
        if count.is_multiple_of(1024) && canceled() {
            return Err(Error::Closed);
        }
        group.clear();
        group.push(number);
        while heads.peek().is_some_and(|head| head.labels == labels) {
            group.extend(heads.pop().map(|head| head.number));
        }
        let chunks = merge_series(&sources, &group, range)?;
        writer.add_series(&labels, &chunks)?;
        for &number in &group {
            if let Some(labels) = sources[number].advance()? {
                heads.push(Head { labels, number });
            }
        }
    }
    Ok(match writer.finish()? {
        Some(meta) => Merged::Block(meta),
        None => Merged::Empty,
    })
}

/// A block that is read series by series.
struct Source<'a> {
    block: &'a Block,
    tombstones: Arc<Tombstones>,
    references: std::vec::IntoIter<u32>,
    reference: u32,
    entry: SeriesEntry,
    symbols: SymbolCache<'a>,
    chunks: Vec<ChunkMeta>,
    /// Times of the block, both inclusive.
    range: (i64, i64),
}

impl<'a> Source<'a> {
    fn new(block: &'a Block) -> Result<Source<'a>, Error> {
        let (min, behind) = block.range();
        Ok(Source {
            block,
            tombstones: block.tombstones(),
            references: block.all_postings()?.into_iter(),
            reference: 0,
            entry: SeriesEntry::default(),
            symbols: SymbolCache::new(),
            chunks: Vec::new(),
            range: (min, behind.saturating_sub(1)),
        })
    }

    /// Moves to the next series and returns its labels.
    fn advance(&mut self) -> Result<Option<Labels>, Error> {
        let Some(reference) = self.references.next() else {
            return Ok(None);
        };
        let series = self
            .block
            .series_cached(reference, &mut self.entry, &mut self.symbols)?;
        self.reference = reference;
        self.chunks = series.chunks;
        Ok(Some(series.labels))
    }

    fn deleted(&self) -> &[Interval] {
        self.tombstones.of(u64::from(self.reference))
    }
}

/// The next series of a source; the heap yields the least labels, and of equal ones the earlier
/// block.
struct Head {
    labels: Labels,
    number: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        (&other.labels, other.number).cmp(&(&self.labels, self.number))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// A chunk of a source and what of it goes into the new block.
struct Piece<'a> {
    source: &'a Source<'a>,
    number: usize,
    chunk: ChunkMeta,
    /// What the chunk's times are cut to.
    range: (i64, i64),
}

impl<'a> Piece<'a> {
    /// Whether the chunk goes in as it is.
    fn is_whole(&self) -> bool {
        let (min, max) = self.range;
        self.chunk.min_ms >= min
            && self.chunk.max_ms <= max
            && !self
                .source
                .deleted()
                .iter()
                .any(|i| i.min_ms <= self.chunk.max_ms && i.max_ms >= self.chunk.min_ms)
    }

    fn copy(&self) -> Result<BlockChunk<'a>, Error> {
        let (encoding, data) = self.source.block.chunk(self.chunk.reference)?;
        Ok(BlockChunk {
            encoding,
            min_ms: self.chunk.min_ms,
            max_ms: self.chunk.max_ms,
            data: data.into(),
        })
    }

    fn decode(&self) -> Result<Vec<Sample>, Error> {
        let (encoding, data) = self.source.block.chunk(self.chunk.reference)?;
        let mut samples = Vec::new();
        decode_samples(
            encoding,
            data,
            self.range,
            self.source.deleted(),
            &mut samples,
        )
        .map_err(|error| self.failed(error))?;
        Ok(samples)
    }

    fn failed(&self, error: FormatError) -> Error {
        Error::format(self.source.block.dir())(error)
    }
}

/// The chunks of one series, which the sources of `group` are at.
fn merge_series<'a>(
    sources: &'a [Source<'a>],
    group: &[usize],
    (min_ms, max_ms): (i64, i64),
) -> Result<Vec<BlockChunk<'a>>, Error> {
    let mut pieces = Vec::new();
    for &number in group {
        let source = &sources[number];
        let range = (source.range.0.max(min_ms), source.range.1.min(max_ms));
        let live = Block::live_chunks_of(&source.chunks, source.deleted(), range);
        pieces.extend(live.map(|chunk| Piece {
            source,
            number,
            chunk,
            range,
        }));
    }
    pieces.sort_by_key(|piece| (piece.chunk.min_ms, piece.number));
    let mut chunks = Vec::with_capacity(pieces.len());
    let mut pieces = pieces.into_iter().peekable();
    while let Some(first) = pieces.next() {
        let run = overlapping_run(first, &mut pieces);
        match &run[..] {
            [one] if one.is_whole() => chunks.push(one.copy()?),
            [one] => {
                let samples = one.decode()?;
                chunks.extend(encode_samples(&samples).map_err(|error| one.failed(error))?);
            }
            [first, ..] => {
                let samples = merge_samples(&run)?;
                chunks.extend(encode_samples(&samples).map_err(|error| first.failed(error))?);
            }
            [] => {}
        }
    }
    Ok(chunks)
}

/// `first` and what overlaps it, directly or through others.
fn overlapping_run<'a>(
    first: Piece<'a>,
    pieces: &mut Peekable<std::vec::IntoIter<Piece<'a>>>,
) -> Vec<Piece<'a>> {
    let mut end = first.chunk.max_ms;
    let mut run = vec![first];
    while let Some(next) = pieces.next_if(|piece| piece.chunk.min_ms <= end) {
        end = end.max(next.chunk.max_ms);
        run.push(next);
    }
    run
}

/// The samples of chunks that overlap, in order of time, each time once.
fn merge_samples(run: &[Piece<'_>]) -> Result<Vec<Sample>, Error> {
    let mut samples: Vec<(usize, Sample)> = Vec::new();
    for piece in run {
        let decoded = piece.decode()?;
        samples.extend(decoded.into_iter().map(|sample| (piece.number, sample)));
    }
    samples.sort_by_key(|(number, sample)| (sample.t_ms, *number));
    samples.dedup_by_key(|(_, sample)| sample.t_ms);
    let mut before = None;
    for (number, sample) in &mut samples {
        // What a chunk knew of a reset concerned its own neighbour.
        if before.replace(*number) != Some(*number)
            && let Some(hint) = sample.value.hint_mut()
            && *hint != CounterResetHint::Gauge
        {
            *hint = CounterResetHint::Unknown;
        }
    }
    Ok(samples.into_iter().map(|(_, sample)| sample).collect())
}

/// The symbols of all blocks, sorted, each once.
struct MergedSymbols<'a> {
    sources: Vec<Peekable<Texts<'a>>>,
}

type Texts<'a> = Box<dyn Iterator<Item = Result<&'a str, Error>> + 'a>;

impl<'a> MergedSymbols<'a> {
    fn new(blocks: &'a [Arc<Block>]) -> Result<MergedSymbols<'a>, Error> {
        let mut sources = Vec::with_capacity(blocks.len());
        for block in blocks {
            let texts = block.symbols()?;
            sources.push(texts.peekable());
        }
        Ok(MergedSymbols { sources })
    }
}

impl<'a> Iterator for MergedSymbols<'a> {
    type Item = Result<&'a str, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<&'a str> = None;
        for source in &mut self.sources {
            match source.peek() {
                Some(Ok(text)) if least.is_none_or(|least| *text < least) => least = Some(text),
                Some(Err(_)) => return source.next(),
                _ => {}
            }
        }
        let least = least?;
        for source in &mut self.sources {
            source.next_if(|next| matches!(next, Ok(text) if *text == least));
        }
        Some(Ok(least))
    }
}
