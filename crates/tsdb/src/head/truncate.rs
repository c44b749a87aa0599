//! Letting go of what is in blocks: series, chunks, log segments. And deletions.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::Matcher;
use tsdb_format::wal::record::{self, RefTombstone};

use super::series::{Shard, shard_of};
use super::{Head, Recent, postings, shortcut};
use crate::Error;
use crate::wal::{checkpoint, checkpoints, remove_before, segments};

/// What a collection found to stay.
#[derive(Default)]
struct Kept {
    min_ms: Option<i64>,
    late: Option<(i64, i64)>,
    /// The oldest chunk file that is needed.
    first_file: Option<u32>,
}

impl Kept {
    fn file(&mut self, reference: u64) {
        let number = (reference >> 32) as u32;
        self.first_file = Some(self.first_file.map_or(number, |first| first.min(number)));
    }

    fn late(&mut self, min_ms: i64, max_ms: i64) {
        let (min, max) = self.late.unwrap_or((min_ms, max_ms));
        self.late = Some((min.min(min_ms), max.max(max_ms)));
    }

    fn time(&mut self, min_ms: i64) {
        self.min_ms = Some(self.min_ms.map_or(min_ms, |min| min.min(min_ms)));
    }
}

impl Head {
    /// Refuses samples before `min_ms` from now on, and waits for the batches that still may have
    /// some: no longer than `patience`.
    pub fn close_before(&self, min_ms: i64, patience: Duration) {
        self.min_valid_ms.fetch_max(min_ms, Ordering::AcqRel);
        if self.window_ms.load(Ordering::Acquire) > 0 {
            return; // Late samples may come at any time.
        }
        self.wait(patience, || {
            !self
                .appenders
                .lock()
                .1
                .values()
                .any(|lowest| *lowest < min_ms)
        });
    }

    /// Waits for the readers that began before now and look at times before `min_ms`.
    pub fn wait_for_readers(&self, min_ms: i64, patience: Duration) {
        let epoch = self.isolation.next_epoch();
        self.wait(patience, || !self.isolation.reads_before(min_ms, epoch));
    }

    fn wait(&self, patience: Duration, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() && start.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Drops the in-order samples before `min_ms`, which are in blocks, and the series that have
    /// nothing left.
    ///
    /// # Errors
    /// A chunk file that cannot be removed; memory is freed nevertheless.
    pub fn truncate_memory(&self, min_ms: i64) -> Result<(), Error> {
        self.metrics.truncations.inc();
        self.min_valid_ms.fetch_max(min_ms, Ordering::AcqRel);
        self.collect(min_ms)
    }

    /// Counts a truncation that failed.
    pub fn count_failed_truncation(&self) {
        self.metrics.truncations_failed.inc();
    }

    /// Drops late chunks whose references are below `before`: they are in blocks.
    ///
    /// # Errors
    /// A chunk file that cannot be removed.
    pub fn truncate_late(&self, before: u64) -> Result<(), Error> {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let ids: Vec<u32> = shard
                .iter()
                .filter(|series| series.extra().is_some_and(|e| !e.late.chunks.is_empty()))
                .map(|series| series.id)
                .collect();
            for id in ids {
                if let Some(series) = shard.get_mut(id) {
                    let chunks = &mut series.extra_mut().late.chunks;
                    let all = chunks.len();
                    chunks.retain(|chunk| chunk.reference >= before);
                    let gone = all - chunks.len();
                    self.metrics.chunks.add(-(gone as f64));
                    self.metrics.chunks_removed.add(gone as u64);
                }
            }
        }
        let min_ms = self.min_valid_ms.load(Ordering::Acquire);
        self.collect(min_ms)
    }

    /// Collects series and chunks before `min_ms`.
    fn collect(&self, min_ms: i64) -> Result<(), Error> {
        let start = Instant::now();
        let segment = self.wal_position().0;
        let first_new_file = self.files.current_number();
        let mut kept = Kept::default();
        self.isolation
            .alone(|| *self.recent.lock() = Recent::default());
        for place in 0..self.shards.len() {
            let dead = self.collect_shard(place, min_ms, &mut kept);
            if !dead.is_empty() {
                self.remove_series(place, dead, segment);
            }
        }
        // What came while the shards were looked through counts, too.
        self.isolation.alone(|| {
            let recent = self.recent.lock();
            recent.min_ms.into_iter().for_each(|min| kept.time(min));
            if let Some((min, max)) = recent.late {
                kept.late(min, max);
            }
            let (_, max) = self.times();
            let none = if max == i64::MIN {
                i64::MAX
            } else {
                min_ms.min(max)
            };
            let min = kept.min_ms.unwrap_or(none);
            self.times.min_ms.store(min, Ordering::Release);
            let (late_min, late_max) = kept.late.unwrap_or((i64::MAX, i64::MIN));
            self.late_min_ms.store(late_min, Ordering::Release);
            self.late_max_ms.store(late_max, Ordering::Release);
        });
        self.metrics.gc_seconds.observe_duration(start.elapsed());
        let first = kept
            .first_file
            .unwrap_or(first_new_file)
            .min(first_new_file);
        let dir = self.options.dir.join("chunks_head");
        let before = self.files.first_number();
        let removed = self.files.remove_before(first).map_err(Error::io(&dir));
        if self.files.first_number() != before {
            self.shortcut_is_stale();
        }
        removed
    }

    /// Drops the old chunks of a shard's series; answers the series that have nothing left.
    fn collect_shard(&self, place: usize, min_ms: i64, kept: &mut Kept) -> Vec<u32> {
        let mut guard = self.shards[place].lock();
        let shard = &mut *guard;
        let ids: Vec<u32> = shard.iter().map(|series| series.id).collect();
        let mut dead = Vec::new();
        let mut removed = 0;
        for id in ids {
            removed += self.collect_chunks(shard, id, min_ms);
            forget_deletions(shard, id, min_ms);
            let Some(series) = shard.get(id) else {
                continue;
            };
            let late = series.extra().and_then(|extra| {
                extra
                    .late
                    .chunks
                    .iter()
                    .for_each(|chunk| kept.file(chunk.reference));
                extra.late.range()
            });
            if let Some((min, max)) = late {
                kept.late(min, max);
            }
            if series.has_open() || series.full_count() > 0 {
                if let Some(first) = shard.full_chunks(series).next() {
                    kept.file(first);
                }
                if let Some(first) = shard.first_t_ms(series, &self.files) {
                    kept.time(first.max(min_ms));
                }
            } else if late.is_none() && !series.is_pinned() {
                dead.push(id);
            }
        }
        self.metrics.chunks.add(-(removed as f64));
        self.metrics.chunks_removed.add(removed as u64);
        dead
    }

    fn collect_chunks(&self, shard: &mut Shard, id: u32, min_ms: i64) -> usize {
        let Some(series) = shard.get(id) else {
            return 0;
        };
        let mut removed = 0;
        let open = shard.open_range(series);
        let old = shard
            .full_chunks(series)
            .take_while(|reference| match self.files.read(*reference) {
                Ok(chunk) => chunk.max_ms < min_ms,
                // What cannot be read is of no use.
                Err(_) => true,
            })
            .count();
        if old > 0 {
            let rest: Vec<u64> = shard.full_chunks(series).skip(old).collect();
            shard.set_full(id, &rest);
            removed += old;
        }
        if open.is_some_and(|(_, max)| max < min_ms) {
            shard.drop_open(id);
            removed += 1;
        }
        removed
    }

    /// Removes series that have nothing, unless a batch has found one meanwhile.
    pub(super) fn remove_series(&self, place: usize, candidates: Vec<u32>, segment: u64) {
        let mut dead: Vec<u32> = Vec::with_capacity(candidates.len());
        let mut logged: Vec<u32> = Vec::new();
        {
            let mut index = self.index.write();
            let mut shard = self.shards[place].lock();
            let mut pairs = Vec::new();
            for id in candidates {
                let Some(series) = shard.get(id) else {
                    continue;
                };
                let used = series.has_open()
                    || series.full_count() > 0
                    || series.is_pinned()
                    || series.extra().is_some_and(|extra| !extra.late.is_empty());
                if used {
                    continue;
                }
                pairs.extend(shard.pairs(series));
                dead.push(id);
            }
            for id in &dead {
                logged.extend(
                    shard
                        .get(*id)
                        .filter(|one| one.is_logged())
                        .map(|one| one.id),
                );
                shard.remove(*id);
            }
            dead.sort_unstable();
            pairs.sort_unstable();
            pairs.dedup();
            index.remove(&dead, &pairs);
        }
        for table in &self.by_hash {
            let mut table = table.lock();
            table.retain(|id| dead.binary_search(id).is_err() || self.key_of(*id).is_some());
        }
        {
            // The log may have samples of them up to here: their labels must stay in it as long.
            let mut expiring = self.expiring.lock();
            let mut aliases = self.aliases.write();
            expiring.extend(dead.iter().map(|id| (u64::from(*id), segment)));
            aliases.retain(|reference, id| {
                let gone = dead.binary_search(id).is_ok();
                if gone {
                    expiring.insert(*reference, segment);
                }
                !gone
            });
        }
        self.metrics.series.add(-(dead.len() as f64));
        self.metrics.series_removed.add(dead.len() as u64);
        self.log_evictions(&logged);
    }

    /// Removes log segments that only have samples before `min_ms`: the older two thirds of what is
    /// there, as upstream does, go to a checkpoint.
    ///
    /// # Errors
    /// A checkpoint that cannot be written: nothing is removed then.
    pub fn truncate_wal(&self, min_ms: i64) -> Result<(), Error> {
        let start = Instant::now();
        let options = &self.options;
        let (fs, dir) = (&options.fs, Head::wal_dir(&options.dir));
        let list = segments(&**fs, &dir).map_err(Error::io(&dir))?;
        let (Some(first), Some(last)) = (list.first(), list.last()) else {
            return Ok(());
        };
        // What is removed must not be in use: a new segment, so that what is there is complete.
        if let Some(wal) = &mut *self.wal.lock() {
            wal.cut().map_err(Error::io(&dir))?;
        }
        let last = last.number.saturating_sub(1);
        if last < first.number {
            return Ok(());
        }
        let last = first.number + (last - first.number) * 2 / 3;
        let last = last.min(self.keep_wal_from.load(Ordering::Acquire).saturating_sub(1));
        if last <= first.number {
            return Ok(());
        }
        let keep = |reference: u64| {
            self.resolve(reference).is_some()
                || (self.expiring.lock().get(&reference)).is_some_and(|until| *until > last)
        };
        self.metrics.checkpoints.inc();
        let result = checkpoint(
            fs,
            &dir,
            last,
            &keep,
            min_ms,
            options.wal_segment_bytes,
            options.wal_compression,
        );
        if let Err(error) = result {
            self.metrics.checkpoints_failed.inc();
            if matches!(error, Error::Format { .. }) {
                // Damage, which a start repairs only if it reads the whole log: nothing is noted of these
                // segments any more.
                if let Some(wal) = &mut *self.wal.lock() {
                    wal.forget_before(u64::MAX);
                }
                shortcut::forget(&**fs, &options.dir)?;
            }
            return Err(error);
        }
        self.shortcut_is_stale();
        if let Some(wal) = &mut *self.wal.lock() {
            wal.forget_before(last + 1);
        }
        self.metrics.wal.truncations.inc();
        if let Err(error) = remove_before(&**fs, &dir, last + 1) {
            // The checkpoint stands for them; the next truncation tries again.
            self.metrics.wal.truncations_failed.inc();
            tracing::error!(%error, "truncating segments failed");
        }
        self.expiring.lock().retain(|_, until| *until > last);
        self.metrics.checkpoint_deletions.inc();
        for (number, path) in checkpoints(&**fs, &dir).map_err(Error::io(&dir))? {
            if number < last
                && let Err(error) = fs.remove_dir_all(&path)
            {
                self.metrics.checkpoint_deletions_failed.inc();
                tracing::error!(%error, "delete old checkpoints failed");
            }
        }
        self.metrics
            .wal_truncate_seconds
            .observe_duration(start.elapsed());
        Ok(())
    }

    /// Starts a new segment of the write-behind log and answers it, if there is such a log.
    ///
    /// # Errors
    /// A segment that cannot be created.
    pub fn cut_late_log(&self) -> Result<Option<u64>, Error> {
        let dir = Head::wbl_dir(&self.options.dir);
        match &mut self.late_log.lock().writer {
            Some(writer) => {
                writer.cut().map_err(Error::io(&dir))?;
                Ok(Some(writer.segment()))
            }
            None => {
                let list = segments(&*self.options.fs, &dir).map_err(Error::io(&dir))?;
                Ok(list.last().map(|segment| segment.number + 1))
            }
        }
    }

    /// Removes the segments of the write-behind log before `first`.
    ///
    /// # Errors
    /// A segment that cannot be removed.
    pub fn truncate_late_log(&self, first: u64) -> Result<(), Error> {
        let dir = Head::wbl_dir(&self.options.dir);
        remove_before(&*self.options.fs, &dir, first).map_err(Error::io(&dir))
    }

    /// Writes all late samples in memory to chunks, and answers the reference below which all late
    /// chunks are.
    pub fn write_out_late(&self) -> u64 {
        // The bound first: what is written by others meanwhile is above it only if it is late
        // too, and then it is not looked at; in-order chunks do not matter.
        for shard in &self.shards {
            let applying = self.isolation.apply();
            let mut shard = shard.lock();
            let ids: Vec<u32> = shard
                .iter()
                .filter(|series| series.extra().is_some_and(|e| !e.late.samples.is_empty()))
                .map(|series| series.id)
                .collect();
            for id in ids {
                if applying.newest != 0 {
                    let copy = shard
                        .get(id)
                        .and_then(|s| s.extra())
                        .map(|e| e.late.clone());
                    if let Some(copy) = copy {
                        shard.pins.note_out_of_order(&applying, id, &copy);
                    }
                }
                if let Some(series) = shard.get_mut(id) {
                    let late = &mut series.extra_mut().late;
                    let written = late.write_out(u64::from(id), &self.files).len();
                    self.metrics.chunks.add(written as f64);
                    self.metrics.chunks_created.add(written as u64);
                }
            }
        }
        self.files.next_reference()
    }

    /// Drops the deleted ranges that have nothing to hide any more.
    pub(super) fn forget_deletions(&self, min_ms: i64) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let ids: Vec<u32> = shard
                .iter()
                .filter(|series| series.extra().is_some_and(|e| !e.deleted.is_empty()))
                .map(|series| series.id)
                .collect();
            for id in ids {
                forget_deletions(&mut shard, id, min_ms);
            }
        }
    }

    /// Notes a deleted range of a series.
    pub(super) fn note_deleted(&self, id: u32, min_ms: i64, max_ms: i64) {
        let mut shard = self.shards[shard_of(id)].lock();
        if let Some(series) = shard.get_mut(id) {
            let deleted = &mut series.extra_mut().deleted;
            deleted.push((min_ms, max_ms));
            deleted.sort_unstable();
            // Ranges that touch become one.
            let mut joined: Vec<(i64, i64)> = Vec::with_capacity(deleted.len());
            for (from, to) in deleted.drain(..) {
                match joined.last_mut() {
                    Some((_, end)) if from <= end.saturating_add(1) => *end = (*end).max(to),
                    _ => joined.push((from, to)),
                }
            }
            *deleted = joined;
        }
    }

    /// Marks the samples of the matching series between two times (inclusive) as deleted.
    ///
    /// # Errors
    /// A log that cannot be written; nothing is deleted then.
    pub fn delete(&self, min_ms: i64, max_ms: i64, matchers: &[Matcher]) -> Result<(), Error> {
        let ids = postings::select(&self.index.read(), matchers);
        let mut stones = Vec::new();
        for id in ids {
            let shard = self.shards[shard_of(id)].lock();
            let Some(series) = shard.get(id) else {
                continue;
            };
            let first = shard.first_t_ms(series, &self.files);
            let last = shard.last_t_ms(series, &self.files);
            let late = series.extra().and_then(|extra| extra.late.range());
            let first = first.into_iter().chain(late.map(|(min, _)| min)).min();
            let last = last.into_iter().chain(late.map(|(_, max)| max)).max();
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            // The log may have samples that were late, and are in a block by now: a start could take
            // them for samples in order, if they are older than all others.
            let first = match self.window_ms.load(Ordering::Acquire) {
                0 => first,
                _ => i64::MIN + 1,
            };
            let (from, to) = (min_ms.max(first), max_ms.min(last));
            if from <= to {
                stones.push(RefTombstone {
                    reference: u64::from(id),
                    min_ms: from,
                    max_ms: to,
                });
            }
        }
        if stones.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        record::encode_tombstones(&stones, &mut out);
        let dir = Head::wal_dir(&self.options.dir);
        match &mut *self.wal.lock() {
            Some(wal) => wal.log([&out[..]]).map_err(Error::io(&dir))?,
            None => return Err(Error::Closed),
        }
        for stone in stones {
            self.note_deleted(stone.reference as u32, stone.min_ms, stone.max_ms);
        }
        Ok(())
    }
}

/// Drops the deleted ranges of a series that are before all it may have.
fn forget_deletions(shard: &mut Shard, id: u32, min_ms: i64) {
    if let Some(series) = shard.get_mut(id)
        && series.extra().is_some_and(|e| !e.deleted.is_empty())
    {
        // Late samples may be older than everything in order.
        let extra = series.extra_mut();
        let late = extra.late.range();
        let oldest = late.map_or(min_ms, |(min, _)| min.min(min_ms));
        extra.deleted.retain(|(_, to)| *to >= oldest);
    }
}
