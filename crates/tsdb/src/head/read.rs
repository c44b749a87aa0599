//! Reading: the head as a querier.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Annotations, Labels, Matcher};
use storage::{
    Columns, EncodedChunk, LabelHints, Last, Querier, SelectHints, Series, SeriesSet, StorageError,
    Turn, merge::merge_columns,
};
use tsdb_format::chunk::Encoding;

use super::Head;
use super::chunk_files::{ChunkFiles, StoredChunk};
use super::isolation::Reader;
use super::narrow::Narrow;
use super::out_of_order::{Encoded, OutOfOrder, encode};
use super::postings;
use super::series::{OpenChunk, shard_of};
use crate::columns::{chunk_encoding, chunk_samples, decode_chunk, encode_columns, push_samples};

impl Head {
    /// A view of a time range, both ends inclusive.
    pub fn querier(self: &Arc<Self>, min_ms: i64, max_ms: i64) -> HeadQuerier {
        HeadQuerier(Arc::new(View {
            reader: self.isolation.read(min_ms, max_ms),
            head: Arc::clone(self),
            min_ms,
            max_ms,
            usual: Usual::default(),
        }))
    }

    /// How many series satisfy matchers that ask for one value each; `None` with others. Of many the
    /// length of the shortest list will do.
    pub fn series_at_most(&self, matchers: &[Matcher]) -> Option<usize> {
        /// Lists up to this length are quickly intersected.
        const SHORT: usize = 4096;
        let index = self.index.read();
        let mut lists: Vec<&[u32]> = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            if matcher.kind != model::MatchKind::Equal || matcher.value.is_empty() {
                return None;
            }
            let pair = index
                .name_id(&matcher.name)
                .and_then(|name| index.pair_id(name, &matcher.value));
            match pair {
                Some(pair) => lists.push(index.pair(pair).series.as_slice()),
                None => return Some(0),
            }
        }
        lists.sort_by_key(|list| list.len());
        let (shortest, rest) = lists.split_first()?;
        if shortest.len() > SHORT || rest.is_empty() {
            return Some(shortest.len());
        }
        let found = rest.iter().fold(shortest.to_vec(), |found, list| {
            postings::intersect(&found, list)
        });
        Some(found.len())
    }
}

/// A view of the head.
pub struct HeadQuerier(Arc<View>);

/// What a querier and its series share.
struct View {
    head: Arc<Head>,
    reader: Reader,
    min_ms: i64,
    max_ms: i64,
    usual: Usual,
}

/// What was read of the series before: of the next one most likely as much.
#[derive(Default)]
struct Usual {
    full_chunks: AtomicUsize,
    chunk_bytes: AtomicUsize,
}

impl Usual {
    fn note(&self, full: &[StoredChunk]) {
        let bytes = full.iter().map(StoredChunk::bytes).max().unwrap_or(0);
        for (known, now) in [(&self.full_chunks, full.len()), (&self.chunk_bytes, bytes)] {
            // Threads that write the same would wait for each other.
            if known.load(Ordering::Relaxed) != now {
                known.store(now, Ordering::Relaxed);
            }
        }
    }
}

impl View {
    fn is_empty(&self) -> bool {
        let (min, max) = self.head.all_times();
        min > self.max_ms || max < self.min_ms
    }

    fn found(&self, matchers: &[Matcher]) -> Vec<u32> {
        postings::select(&self.head.index.read(), matchers)
    }

    /// Whether the reader may see a sample of the series in the range, as far as the bounds tell.
    fn overlaps(&self, shard: &super::series::Shard, series: &super::series::Series) -> bool {
        let visible = shard.pins.visible(series.id, self.reader.epoch);
        let files = &self.head.files;
        let max = self.max_ms.min(visible.before_ms.saturating_sub(1));
        if let Some(last) = shard.last_t_ms(series, files)
            && last >= self.min_ms
        {
            // Where the last sample may be seen there is no need to look for the first.
            let begins = last <= max
                || match shard.open_range(series) {
                    Some((open, _)) if open <= max => true,
                    _ => shard
                        .first_t_ms(series, files)
                        .is_some_and(|first| first <= max),
                };
            if begins && visible.before_ms > self.min_ms {
                return true;
            }
        }
        let late = match (visible.out_of_order, series.extra()) {
            (Some(late), _) => late.range(),
            (None, Some(extra)) => extra.late.range(),
            (None, None) => None,
        };
        late.is_some_and(|(min, max)| min <= self.max_ms && max >= self.min_ms)
    }
}

impl HeadQuerier {
    /// The matching series that have samples in the range, as handles of their own type; with
    /// `only_labels` they have no other labels than those, unless they are sorted.
    pub fn series(
        &self,
        sorted: bool,
        limit: usize,
        matchers: &[Matcher],
        only_labels: Option<&[String]>,
    ) -> Vec<Arc<RangeSeries>> {
        let view = &self.0;
        if view.is_empty() {
            return Vec::new();
        }
        let index = view.head.index.read();
        let ids = postings::select(&index, matchers);
        let mut narrow = only_labels
            .filter(|_| !sorted)
            .map(|names| Narrow::new(&index, names, matchers));
        let mut found = Vec::with_capacity(ids.len());
        let mut rest = &ids[..];
        while let Some(first) = rest.first() {
            let place = shard_of(*first);
            let run = rest
                .iter()
                .position(|id| shard_of(*id) != place)
                .unwrap_or(rest.len());
            let shard = view.head.shards[place].lock();
            for id in shard.warmed(&rest[..run]) {
                let Some(series) = shard.get(*id) else {
                    continue;
                };
                if !view.overlaps(&shard, series) {
                    continue;
                }
                let pairs = shard.pairs(series);
                let labels = match &mut narrow {
                    Some(narrow) => narrow.labels(pairs),
                    None => Labels::from_sorted(pairs.map(|pair| index.text(pair))),
                };
                found.push(Arc::new(RangeSeries {
                    view: Arc::clone(view),
                    id: *id,
                    labels,
                }));
            }
            rest = &rest[run..];
        }
        drop(index);
        if sorted {
            found.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        if limit > 0 {
            found.truncate(limit);
        }
        found
    }
}

impl Querier for HeadQuerier {
    fn select(
        &self,
        sorted: bool,
        hints: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        let only_labels = hints.only_labels.as_deref();
        let series = self.series(sorted, hints.limit, matchers, only_labels);
        Ok(SeriesSet {
            series: series
                .into_iter()
                .map(|series| series as Arc<dyn Series>)
                .collect(),
            annotations: Annotations::default(),
        })
    }

    fn label_values(
        &self,
        name: &str,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        let mut values = Vec::new();
        if self.0.is_empty() {
            return Ok((values, Annotations::default()));
        }
        let index = self.0.head.index.read();
        let limit = match hints.limit {
            0 => usize::MAX,
            limit => limit,
        };
        if let Some(id) = index.name_id(name) {
            let found = (!matchers.is_empty()).then(|| postings::select(&index, matchers));
            for pair in index.sorted(index.name(id)).iter() {
                if values.len() >= limit {
                    break;
                }
                let pair = index.pair(*pair);
                let wanted = match &found {
                    None => true,
                    Some(found) => postings::intersects(found, pair.series.as_slice()),
                };
                if wanted {
                    values.push(pair.value.to_string());
                }
            }
        }
        Ok((values, Annotations::default()))
    }

    fn label_names(
        &self,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        if self.0.is_empty() {
            return Ok(Default::default());
        }
        let mut names: Vec<String> = Vec::new();
        if matchers.is_empty() {
            let index = self.0.head.index.read();
            let used = index.names().iter().filter(|name| !name.pairs.is_empty());
            names.extend(used.map(|name| name.text.to_string()));
        } else {
            let found = self.0.found(matchers);
            let index = self.0.head.index.read();
            let mut seen = vec![false; index.names().len()];
            for id in found {
                let shard = self.0.head.shards[shard_of(id)].lock();
                let Some(series) = shard.get(id) else {
                    continue;
                };
                for pair in shard.pairs(series) {
                    seen[index.pair(pair).name as usize] = true;
                }
            }
            let seen = seen.iter().zip(index.names()).filter(|(seen, _)| **seen);
            names.extend(seen.map(|(_, name)| name.text.to_string()));
        }
        names.sort_unstable();
        if hints.limit > 0 {
            names.truncate(hints.limit);
        }
        Ok((names, Annotations::default()))
    }
}

/// A series of the head as one reader sees it.
pub struct RangeSeries {
    view: Arc<View>,
    pub id: u32,
    pub labels: Labels,
}

/// What of a series overlaps a range, copied out of its shard.
struct Parts {
    /// In order of time, the open chunk last.
    full: Vec<StoredChunk>,
    open: Option<OpenChunk>,
    /// In-order samples are visible up to here, inclusive.
    visible_to_ms: i64,
    late: OutOfOrder,
    deleted: Vec<(i64, i64)>,
}

impl RangeSeries {
    fn corrupt(&self, error: &tsdb_format::FormatError) -> StorageError {
        StorageError::Corrupt(format!("head series {}: {error}", self.labels))
    }

    fn parts(&self, min_ms: i64, max_ms: i64) -> Result<Parts, StorageError> {
        let mut parts = Parts {
            full: Vec::new(),
            open: None,
            visible_to_ms: i64::MAX,
            late: OutOfOrder::default(),
            deleted: Vec::new(),
        };
        let shard = self.view.head.shards[shard_of(self.id)].lock();
        let Some(series) = shard.get(self.id) else {
            return Ok(parts);
        };
        let visible = shard.pins.visible(self.id, self.view.reader.epoch);
        parts.visible_to_ms = visible.before_ms.saturating_sub(1);
        if let Some(extra) = series.extra() {
            let late = visible.out_of_order.unwrap_or(&extra.late);
            if late
                .range()
                .is_some_and(|(min, max)| min <= max_ms && max >= min_ms)
            {
                parts.late = late.clone();
            }
            let overlap = |(from, to): &&(i64, i64)| *from <= max_ms && *to >= min_ms;
            parts.deleted = extra.deleted.iter().filter(overlap).copied().collect();
        }
        let open = shard.open_range(series);
        if open.is_some_and(|(min, max)| min <= max_ms && max >= min_ms) {
            parts.open = shard.open_chunk(series);
        }
        if open.is_none_or(|(min, _)| min > min_ms) {
            // From the newest back to the first that is too old.
            let references: Vec<u64> = shard.full_chunks(series).collect();
            drop(shard);
            let files = &self.view.head.files;
            parts.full.reserve(references.len().min(4));
            for (older, reference) in references.iter().enumerate().rev() {
                let chunk = files.read(*reference)?;
                if chunk.max_ms < min_ms {
                    break;
                }
                if older + 1 == references.len() {
                    // As many more as the range has, if all are like this one.
                    let each_ms = chunk.max_ms.saturating_sub(chunk.min_ms).max(1);
                    let more = chunk.min_ms.saturating_sub(min_ms).max(0) / each_ms;
                    let first = older.saturating_sub(more as usize).saturating_sub(1);
                    if first + 1 < older {
                        files.prefetch(references[first..older].iter().rev().copied(), 1);
                    }
                }
                if chunk.min_ms <= max_ms {
                    chunk.prefetch();
                    parts.full.push(chunk);
                }
            }
            parts.full.reverse();
        }
        self.view.usual.note(&parts.full);
        Ok(parts)
    }

    fn decode_in_order(
        &self,
        parts: &Parts,
        min_ms: i64,
        max_ms: i64,
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        let max_ms = max_ms.min(parts.visible_to_ms);
        let chunks = (parts.full.iter())
            .map(|chunk| (chunk.encoding, chunk.data()))
            .chain(
                parts
                    .open
                    .iter()
                    .map(|open| (open.encoding, &open.data[..])),
            );
        for (encoding, data) in chunks {
            decode_chunk(encoding, data, min_ms, max_ms, out).map_err(|e| self.corrupt(&e))?;
        }
        Ok(())
    }

    fn decode_late(
        &self,
        late: &OutOfOrder,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<Columns, StorageError> {
        let mut all = Columns::default();
        push_samples(&late.samples, min_ms, max_ms, &mut all);
        for chunk in late.chunks.iter().rev() {
            if chunk.min_ms > max_ms || chunk.max_ms < min_ms {
                continue;
            }
            let stored = self.view.head.files.read(chunk.reference)?;
            let mut more = Columns::default();
            decode_chunk(stored.encoding, stored.data(), min_ms, max_ms, &mut more)
                .map_err(|e| self.corrupt(&e))?;
            merge_columns(&mut all, more);
        }
        Ok(all)
    }

    /// The late samples between two times.
    ///
    /// # Errors
    /// A chunk that cannot be read.
    pub fn late(&self, min_ms: i64, max_ms: i64) -> Result<Columns, StorageError> {
        let (min_ms, max_ms) = (min_ms.max(self.view.min_ms), max_ms.min(self.view.max_ms));
        let parts = self.parts(min_ms, max_ms)?;
        let mut late = self.decode_late(&parts.late, min_ms, max_ms)?;
        drop_deleted(&mut late, &parts.deleted);
        Ok(late)
    }

    /// The in-order samples between two times as chunks in order of time: stored ones as they are
    /// where the range and the deletions leave them whole.
    ///
    /// # Errors
    /// A chunk that cannot be read.
    pub fn in_order_chunks(&self, min_ms: i64, max_ms: i64) -> Result<Vec<Encoded>, StorageError> {
        let parts = self.parts(min_ms.max(self.view.min_ms), max_ms.min(self.view.max_ms))?;
        self.encoded(
            &parts,
            min_ms.max(self.view.min_ms),
            max_ms.min(self.view.max_ms),
        )
    }

    fn encoded(
        &self,
        parts: &Parts,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<Vec<Encoded>, StorageError> {
        let max_ms = max_ms.min(parts.visible_to_ms);
        let full = (parts.full.iter())
            .map(|chunk| (chunk.encoding, chunk.min_ms, chunk.max_ms, chunk.data()));
        let open = parts
            .open
            .iter()
            .map(|open| (open.encoding, open.min_ms, open.max_ms, &open.data[..]));
        let mut out = Vec::new();
        for (encoding, from, to, data) in full.chain(open) {
            if from > max_ms || to < min_ms {
                continue;
            }
            let cut = parts.deleted.iter().any(|(a, b)| *a <= to && *b >= from);
            if !cut && from >= min_ms && to <= max_ms {
                out.push(Encoded {
                    encoding,
                    min_ms: from,
                    max_ms: to,
                    data: data.to_vec(),
                });
                continue;
            }
            out.extend(self.reencode(encoding, data, (min_ms, max_ms), &parts.deleted)?);
        }
        Ok(out)
    }

    /// A chunk without what is outside the range or deleted.
    fn reencode(
        &self,
        encoding: Encoding,
        data: &[u8],
        (min_ms, max_ms): (i64, i64),
        deleted: &[(i64, i64)],
    ) -> Result<Vec<Encoded>, StorageError> {
        let kept = |t: i64| !deleted.iter().any(|(from, to)| (*from..=*to).contains(&t));
        let mut samples =
            chunk_samples(encoding, data, min_ms, max_ms).map_err(|e| self.corrupt(&e))?;
        samples.retain(|(t, _)| kept(*t));
        Ok(encode(&samples))
    }
}

/// Takes deleted samples out of columns.
pub fn drop_deleted(columns: &mut Columns, deleted: &[(i64, i64)]) {
    if deleted.is_empty() {
        return;
    }
    let kept = |t: &i64| !deleted.iter().any(|(from, to)| (*from..=*to).contains(t));
    if columns
        .float_ms
        .iter()
        .chain(&columns.histogram_ms)
        .all(kept)
    {
        return;
    }
    let floats: Vec<bool> = columns.float_ms.iter().map(kept).collect();
    let histograms: Vec<bool> = columns.histogram_ms.iter().map(kept).collect();
    retain(&mut columns.float_ms, &floats);
    retain(&mut columns.floats, &floats);
    retain(&mut columns.float_start_ms, &floats);
    retain(&mut columns.histogram_ms, &histograms);
    retain(&mut columns.histograms, &histograms);
    retain(&mut columns.histogram_start_ms, &histograms);
}

/// Keeps the elements whose flag is set; an empty list stays empty.
fn retain<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut flags = kept.iter();
    list.retain(|_| flags.next().copied().unwrap_or(true));
}

impl Series for RangeSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        let (min_ms, max_ms) = (min_ms.max(self.view.min_ms), max_ms.min(self.view.max_ms));
        let parts = self.parts(min_ms, max_ms)?;
        if parts.late.is_empty() && parts.deleted.is_empty() {
            return self.decode_in_order(&parts, min_ms, max_ms, out);
        }
        let mut own = Columns::default();
        self.decode_in_order(&parts, min_ms, max_ms, &mut own)?;
        merge_columns(&mut own, self.decode_late(&parts.late, min_ms, max_ms)?);
        drop_deleted(&mut own, &parts.deleted);
        merge_columns(out, own);
        Ok(())
    }

    fn prefetch(&self, turn: Turn) {
        let shard = self.view.head.shards[shard_of(self.id)].lock();
        let Some(series) = shard.get(self.id) else {
            return;
        };
        if turn == Turn::AfterNext {
            return shard.prefetch(series);
        }
        let usual = &self.view.usual;
        let wanted = usual.full_chunks.load(Ordering::Relaxed);
        if wanted == 0 {
            return;
        }
        let full = shard.full_chunks(series);
        let mut references = [0; ChunkFiles::MOST_AHEAD];
        let wanted = wanted.min(full.len()).min(references.len());
        for (slot, reference) in references.iter_mut().zip(full.rev()).take(wanted) {
            *slot = reference;
        }
        drop(shard);
        let bytes = usual.chunk_bytes.load(Ordering::Relaxed);
        let files = &self.view.head.files;
        files.prefetch(references[..wanted].iter().copied(), bytes);
    }

    fn last_float(&self, min_ms: i64, max_ms: i64) -> Last {
        let (min_ms, max_ms) = (min_ms.max(self.view.min_ms), max_ms.min(self.view.max_ms));
        let shard = self.view.head.shards[shard_of(self.id)].lock();
        let Some(series) = shard.get(self.id) else {
            return Last::Nothing;
        };
        let visible = shard.pins.visible(self.id, self.view.reader.epoch);
        // Late samples, deletions and histograms are behind `extra`.
        if series.extra().is_some() || visible.out_of_order.is_some() {
            return Last::Unknown;
        }
        match series.last_open_float() {
            Some((t, _)) if t > max_ms || t >= visible.before_ms => Last::Unknown,
            Some((t, _)) if t < min_ms => Last::Nothing,
            Some((t, v)) => Last::Float(t, v),
            None => Last::Unknown,
        }
    }

    fn chunks(&self, min_ms: i64, max_ms: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        let (min_ms, max_ms) = (min_ms.max(self.view.min_ms), max_ms.min(self.view.max_ms));
        let parts = self.parts(min_ms, max_ms)?;
        if !parts.late.is_empty() {
            let mut all = Columns::default();
            self.decode(min_ms, max_ms, &mut all)?;
            return encode_columns(&all);
        }
        // Stored chunks go out whole where they can: those who ask for chunks cut them themselves.
        let chunks = self.encoded(&parts, i64::MIN, i64::MAX)?;
        Ok(chunks
            .into_iter()
            .filter_map(|chunk| {
                Some(EncodedChunk {
                    encoding: chunk_encoding(chunk.encoding)?,
                    min_ms: chunk.min_ms,
                    max_ms: chunk.max_ms,
                    data: chunk.data,
                })
            })
            .filter(|chunk| chunk.min_ms <= max_ms && chunk.max_ms >= min_ms)
            .collect())
    }
}
