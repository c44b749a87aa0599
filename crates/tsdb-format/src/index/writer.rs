//! Writing an index of version 2.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::Labels;

use super::series::{self, ChunkMeta};
use super::toc::Toc;
use super::{MAGIC, SERIES_ALIGN};
use crate::bytes::{crc32, put_be32, put_str, put_uvarint};

/// Why an index cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("symbol {0:?} out-of-order")]
    SymbolOrder(String),
    #[error("symbol entry for {0:?} does not exist")]
    UnknownSymbol(String),
    #[error("out-of-order series added with label set {0}, last label set {1}")]
    SeriesOrder(String, String),
    #[error("unsorted chunk reference: {0}, previous: {1}")]
    ChunkOrder(u64, u64),
    #[error("chunk minT {0} is not higher than previous chunk maxT {1}")]
    ChunkOverlap(i64, i64),
    #[error("chunk maxT {0} is less than minT {1}")]
    ChunkTimes(i64, i64),
    #[error("exceeding max size of 64GiB")]
    TooLarge,
    #[error("length size exceeds 4 bytes")]
    SectionTooLarge,
}

/// Writes an index into byte vectors that the caller drains: symbols first, series in order, then
/// [`IndexWriter::finish`].
pub struct IndexWriter {
    position: u64,
    toc: Toc,
    symbols: SymbolTable,
    last_series: Option<Labels>,
    last_chunk: u64,
    /// Number of each label pair (name symbol, value symbol), in order of appearance.
    pairs: HashMap<(u32, u32), u32, RandomState>,
    pair_counts: Vec<u32>,
    /// The pairs of all series one after the other, and where each series' end.
    series_pairs: Vec<u32>,
    series: Vec<(u32, usize)>,
    scratch: Vec<u8>,
    entry: Vec<(u32, u32)>,
}

impl IndexWriter {
    /// Starts an index: appends header and symbol table to `out`.
    ///
    /// # Errors
    /// Symbols that are not sorted and distinct, or more than 4 GiB of them.
    pub fn new<S: AsRef<str>>(
        symbols: impl IntoIterator<Item = S>,
        out: &mut Vec<u8>,
    ) -> Result<IndexWriter, WriteError> {
        let start = out.len();
        put_be32(out, MAGIC);
        out.push(2);
        let section = out.len();
        out.extend_from_slice(&[0; 8]);
        let mut texts = SymbolTable::default();
        for symbol in symbols {
            let symbol = symbol.as_ref();
            if texts.last().is_some_and(|last| last >= symbol) {
                return Err(WriteError::SymbolOrder(symbol.to_owned()));
            }
            put_str(out, symbol);
            texts.push(symbol)?;
        }
        let len = length(out.len() - section - 4)?;
        out[section..section + 4].copy_from_slice(&len.to_be_bytes());
        out[section + 4..section + 8].copy_from_slice(&length(texts.len())?.to_be_bytes());
        let crc = crc32(&out[section + 4..]);
        put_be32(out, crc);
        let position = (out.len() - start) as u64;
        Ok(IndexWriter {
            position,
            toc: Toc {
                symbols: (section - start) as u64,
                series: position,
                ..Toc::default()
            },
            symbols: texts,
            last_series: None,
            last_chunk: 0,
            pairs: HashMap::default(),
            pair_counts: Vec::new(),
            series_pairs: Vec::new(),
            series: Vec::new(),
            scratch: Vec::new(),
            entry: Vec::new(),
        })
    }

    /// How many series were added.
    pub fn series_count(&self) -> u64 {
        self.series.len() as u64
    }

    fn symbol(&self, text: &str) -> Result<u32, WriteError> {
        self.symbols
            .find(text)
            .ok_or_else(|| WriteError::UnknownSymbol(text.to_owned()))
    }

    /// Appends a series to `out`. Series come in order of their labels, chunks in order of time and
    /// of reference, over all series.
    ///
    /// # Errors
    /// Anything out of order, or an index of more than 64 GiB.
    pub fn add_series(
        &mut self,
        labels: &Labels,
        chunks: &[ChunkMeta],
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        if let Some(last) = self.last_series.as_ref().filter(|last| labels <= *last) {
            let (labels, last) = (labels.to_string(), last.to_string());
            return Err(WriteError::SeriesOrder(labels, last));
        }
        self.check_chunks(chunks)?;
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        for (name, value) in labels {
            entry.push((self.symbol(name)?, self.symbol(value)?));
        }
        let before = out.len();
        let misaligned = self.position % SERIES_ALIGN;
        if misaligned > 0 {
            out.resize(out.len() + (SERIES_ALIGN - misaligned) as usize, 0);
        }
        let at = self.position + (out.len() - before) as u64;
        let reference = u32::try_from(at / SERIES_ALIGN).map_err(|_| WriteError::TooLarge)?;
        series::encode(&entry, chunks, &mut self.scratch, out);
        self.position += (out.len() - before) as u64;
        for pair in &entry {
            let next = self.pair_counts.len() as u32;
            let pair = *self.pairs.entry(*pair).or_insert(next);
            if pair == next {
                self.pair_counts.push(0);
            }
            self.pair_counts[pair as usize] += 1;
            self.series_pairs.push(pair);
        }
        self.series.push((reference, self.series_pairs.len()));
        self.entry = entry;
        self.last_series = Some(labels.clone());
        Ok(())
    }

    fn check_chunks(&mut self, chunks: &[ChunkMeta]) -> Result<(), WriteError> {
        let mut last_max: Option<i64> = None;
        for chunk in chunks {
            if chunk.reference < self.last_chunk {
                return Err(WriteError::ChunkOrder(chunk.reference, self.last_chunk));
            }
            self.last_chunk = chunk.reference;
            if let Some(last) = last_max.filter(|last| chunk.min_ms <= *last) {
                return Err(WriteError::ChunkOverlap(chunk.min_ms, last));
            }
            if chunk.max_ms < chunk.min_ms {
                return Err(WriteError::ChunkTimes(chunk.max_ms, chunk.min_ms));
            }
            last_max = Some(chunk.max_ms);
        }
        Ok(())
    }

    /// Appends postings, their offset table and the table of contents to `out`; calls `drain` now
    /// and then, which may write `out` away and clear it.
    ///
    /// # Errors
    /// A table of more than 4 GiB, or what `drain` returns.
    pub fn finish<E: From<WriteError>>(
        mut self,
        out: &mut Vec<u8>,
        mut drain: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        // As upstream: where the padding before the postings starts.
        self.toc.label_indices = self.position;
        self.toc.postings = self.position;
        let misaligned = (self.position % 4) as usize;
        if misaligned > 0 {
            out.resize(out.len() + 4 - misaligned, 0);
            self.position += 4 - misaligned as u64;
        }
        let mut table = vec![0; 8];
        let all: Vec<u32> = self.series.iter().map(|series| series.0).collect();
        self.put_postings("", "", &all, &mut table, out)?;
        drop(all);
        let lists = self.sort_by_pair();
        let texts = std::mem::take(&mut self.symbols);
        // Symbols are numbered in order of their texts.
        let mut order: Vec<((u32, u32), u32)> = self.pairs.drain().collect();
        order.sort_unstable();
        for ((name, value), pair) in &order {
            let end = lists.ends[*pair as usize];
            let begin = end - self.pair_counts[*pair as usize] as usize;
            let (name, value) = (texts.text(*name), texts.text(*value));
            let references = &lists.references[begin..end];
            self.put_postings(name, value, references, &mut table, out)?;
            if out.len() > 1 << 20 {
                drain(out)?;
            }
        }
        drain(out)?;
        self.toc.label_indices_table = self.position;
        self.toc.postings_table = self.position;
        let len = length(table.len() - 4)?;
        table[..4].copy_from_slice(&len.to_be_bytes());
        table[4..8].copy_from_slice(&length(order.len() + 1)?.to_be_bytes());
        let crc = crc32(&table[4..]);
        put_be32(&mut table, crc);
        out.extend_from_slice(&table);
        self.toc.encode(out);
        drain(out)
    }

    /// A counting sort: series stay in order within each pair.
    fn sort_by_pair(&mut self) -> Lists {
        let mut ends: Vec<usize> = Vec::with_capacity(self.pair_counts.len());
        let mut end = 0;
        for count in &self.pair_counts {
            ends.push(end);
            end += *count as usize;
        }
        let mut references = vec![0; end];
        let mut begin = 0;
        for (reference, end) in &self.series {
            for pair in &self.series_pairs[begin..*end] {
                let next = &mut ends[*pair as usize];
                references[*next] = *reference;
                *next += 1;
            }
            begin = *end;
        }
        self.series_pairs = Vec::new();
        Lists { references, ends }
    }

    fn put_postings(
        &mut self,
        name: &str,
        value: &str,
        references: &[u32],
        table: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        table.push(2);
        put_str(table, name);
        put_str(table, value);
        put_uvarint(table, self.position);
        let start = out.len();
        put_be32(out, length(references.len().saturating_mul(4) + 4)?);
        put_be32(out, references.len() as u32);
        out.reserve(references.len() * 4 + 4);
        for reference in references {
            put_be32(out, *reference);
        }
        let crc = crc32(&out[start + 4..]);
        put_be32(out, crc);
        self.position += (out.len() - start) as u64;
        Ok(())
    }
}

/// Sorted texts one after the other, found by hash.
#[derive(Default)]
struct SymbolTable {
    texts: String,
    /// Where each text ends.
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl SymbolTable {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn text(&self, symbol: u32) -> &str {
        text(&self.texts, &self.ends, symbol)
    }

    fn last(&self) -> Option<&str> {
        let last = self.ends.len().checked_sub(1)?;
        Some(self.text(last as u32))
    }

    fn push(&mut self, symbol: &str) -> Result<(), WriteError> {
        let number = length(self.ends.len())?;
        self.texts.push_str(symbol);
        self.ends.push(length(self.texts.len())?);
        let (texts, ends, hasher) = (&self.texts, &self.ends, &self.hasher);
        self.table
            .insert_unique(hasher.hash_one(symbol), number, |other| {
                hasher.hash_one(text(texts, ends, *other))
            });
        Ok(())
    }

    fn find(&self, symbol: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(symbol);
        self.table
            .find(hash, |other| self.text(*other) == symbol)
            .copied()
    }
}

fn text<'a>(texts: &'a str, ends: &[u32], symbol: u32) -> &'a str {
    let i = symbol as usize;
    let start = if i == 0 { 0 } else { ends[i - 1] };
    &texts[start as usize..ends[i] as usize]
}

/// The series of all pairs in one array.
struct Lists {
    references: Vec<u32>,
    /// Where each pair's list ends.
    ends: Vec<usize>,
}

fn length(n: usize) -> Result<u32, WriteError> {
    u32::try_from(n).map_err(|_| WriteError::SectionTooLarge)
}
