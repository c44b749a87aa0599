//! The head: what is not yet in blocks. Series with their newest samples, found through an inverted
//! index, made durable by the write-ahead log.
//!
//! Locks, in the order in which they may be taken: `by_hash`, `index`, a shard, the chunk files. A
//! known series' append takes its shard's lock only; queries copy what they decode out of it.

mod append;
mod checked;
pub mod chunk_files;
pub mod exemplars;
mod index;
pub mod isolation;
mod metrics;
mod narrow;
mod open_histogram;
pub mod out_of_order;
mod postings;
mod prefetch;
mod read;
mod replay;
pub mod series;
mod shortcut;
pub mod slab;
mod stale;
mod stats;
mod truncate;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use hashbrown::{HashMap, HashTable};
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::AppendError;
use tsdb_format::wal::page::Compression;

use crate::fs::FileSystem;
use crate::wal::Writer;

use chunk_files::ChunkFiles;
use exemplars::ExemplarRing;
use index::LabelIndex;
use isolation::Isolation;
use metrics::{HeadMetrics, Times};
use series::{SHARDS, Shard, shard_of};

pub use append::HeadAppender;
pub use read::{HeadQuerier, RangeSeries};
pub use replay::{Progress, Replay, Start};

/// Ids beyond this are not given: postings are 32 bits wide.
const MAX_ID: u64 = u32::MAX as u64 - 1;

/// What a head is opened with.
#[derive(Clone)]
pub struct HeadOptions {
    pub dir: PathBuf,
    pub fs: Arc<dyn FileSystem>,
    pub registry: telemetry::Registry,
    /// Span of the blocks that the head is cut into.
    pub block_ms: i64,
    pub wal_segment_bytes: u64,
    pub wal_compression: Compression,
    pub out_of_order_window_ms: i64,
    pub out_of_order_cap: usize,
    pub samples_per_chunk: u16,
    pub max_exemplars: usize,
    /// See [`Options`](crate::Options).
    pub shortcut_log_bytes: Option<u64>,
}

/// The write-behind log of late samples.
struct LateLog {
    /// Opened with the first late sample.
    writer: Option<Writer>,
    /// Records that could not be written yet: nothing late is acknowledged before they are.
    pending: Vec<Vec<u8>>,
}

/// Bounds of samples, in order and late.
#[derive(Default)]
struct Recent {
    min_ms: Option<i64>,
    late: Option<(i64, i64)>,
}

/// Series by the lower halves of their labels' hashes, which the series have.
type HashMapping = HashTable<u32>;

/// The head; see the module.
pub struct Head {
    options: HeadOptions,
    shards: Box<[Mutex<Shard>]>,
    by_hash: Box<[Mutex<HashMapping>]>,
    index: RwLock<LabelIndex>,
    next_id: AtomicU64,
    files: ChunkFiles,
    isolation: Arc<Isolation>,
    /// Missing during the replay.
    wal: Mutex<Option<Writer>>,
    /// Segments from here on are kept, whatever could be dropped; see [`Head::keep_wal_from`].
    keep_wal_from: AtomicU64,
    late_log: Mutex<LateLog>,
    exemplars: Mutex<ExemplarRing>,
    times: Arc<Times>,
    /// Samples before this belong to blocks.
    min_valid_ms: AtomicI64,
    late_min_ms: AtomicI64,
    late_max_ms: AtomicI64,
    /// The bounds of what has been applied since the collection at work began.
    recent: Mutex<Recent>,
    window_ms: AtomicI64,
    /// Series that are gone but whose samples are still in the log: the last segment that may have
    /// some, by reference as the log has it.
    expiring: Mutex<HashMap<u64, u64>>,
    /// References of the log that mean a series of another id.
    aliases: RwLock<HashMap<u64, u32>>,
    /// The lower bounds of the appenders at work.
    appenders: Mutex<(u64, BTreeMap<u64, i64>)>,
    batches: Mutex<Vec<append::Batch>>,
    /// Held shared from before a batch is logged until it is applied.
    committing: RwLock<()>,
    noted: Mutex<shortcut::Noted>,
    metrics: HeadMetrics,
    closed: AtomicBool,
    /// Whether the log is still being read. Held shared by batches that are logged meanwhile.
    replaying: RwLock<bool>,
    /// Whether the note of unsettled segments is still to be removed.
    unsettled: AtomicBool,
}

fn shards<T: Default>() -> Box<[Mutex<T>]> {
    (0..SHARDS).map(|_| Mutex::new(T::default())).collect()
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Head {
    /// Where the log is.
    pub fn wal_dir(dir: &Path) -> PathBuf {
        dir.join("wal")
    }

    /// Where the write-behind log is.
    pub fn wbl_dir(dir: &Path) -> PathBuf {
        dir.join("wbl")
    }

    /// The table and the key of a hash.
    fn hash_place(hash: u64) -> (usize, u32) {
        ((hash >> 60) as usize & (SHARDS - 1), hash as u32)
    }

    /// The id of a label set, if it has a series.
    pub fn find(&self, labels: &Labels) -> Option<u32> {
        let (table, key) = Head::hash_place(labels.hash64());
        let table = self.by_hash[table].lock();
        self.find_in(&table, key, labels)
    }

    fn find_in(&self, table: &HashMapping, key: u32, labels: &Labels) -> Option<u32> {
        table
            .find(spread(key), |id| self.has_labels(*id, key, labels))
            .copied()
    }

    /// The key of a series in its table, if there is such a series.
    fn key_of(&self, id: u32) -> Option<u32> {
        let shard = self.shards[shard_of(id)].lock();
        shard.get(id).map(|series| series.hash)
    }

    fn has_labels(&self, id: u32, key: u32, labels: &Labels) -> bool {
        let index = self.index.read();
        let shard = self.shards[shard_of(id)].lock();
        let Some(series) = shard.get(id).filter(|series| series.hash == key) else {
            return false;
        };
        let mut wanted = labels.iter();
        shard
            .pairs(series)
            .all(|pair| wanted.next() == Some(index.text(pair)))
            && wanted.next().is_none()
    }

    /// The id of a label set's series, which is created if there is none, and whether it was.
    /// `wanted` is the id that it shall get, for replay.
    fn get_or_create(
        &self,
        labels: &Labels,
        wanted: Option<u32>,
    ) -> Result<(u32, bool), AppendError> {
        let (table, key) = Head::hash_place(labels.hash64());
        let mut table = self.by_hash[table].lock();
        if let Some(id) = self.find_in(&table, key, labels) {
            return Ok((id, false));
        }
        let mut pairs = Vec::with_capacity(16);
        let id = {
            let mut index = self.index.write();
            let id = match wanted {
                Some(id) => {
                    self.next_id.fetch_max(u64::from(id) + 1, Ordering::Relaxed);
                    id
                }
                None => {
                    let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                    if id > MAX_ID {
                        return Err(AppendError::Unavailable(
                            "all series references are used up; a restart frees them".to_owned(),
                        ));
                    }
                    id as u32
                }
            };
            index.insert(id, labels, &mut pairs);
            let mut shard = self.shards[shard_of(id)].lock();
            shard.insert(id, key, &pairs);
            if wanted.is_some()
                && let Some(series) = shard.get_mut(id)
            {
                series.set_logged(true);
            }
            id
        };
        // One that is gone may stand anywhere: it is found no more, and about to be taken out.
        table.insert_unique(spread(key), id, |id| {
            spread(self.key_of(*id).unwrap_or_default())
        });
        self.metrics.series.inc();
        self.metrics.series_created.inc();
        Ok((id, true))
    }

    /// The labels of a series.
    pub fn labels(&self, id: u32) -> Option<Labels> {
        let index = self.index.read();
        let shard = self.shards[shard_of(id)].lock();
        let series = shard.get(id)?;
        Some(Labels::from_sorted(
            shard.pairs(series).map(|pair| index.text(pair)),
        ))
    }

    /// First and last time of the in-order samples; `i64::MAX` and `i64::MIN` without samples.
    pub fn times(&self) -> (i64, i64) {
        (
            self.times.min_ms.load(Ordering::Acquire),
            self.times.max_ms.load(Ordering::Acquire),
        )
    }

    /// First and last time of the late samples, likewise.
    pub fn late_times(&self) -> (i64, i64) {
        (
            self.late_min_ms.load(Ordering::Acquire),
            self.late_max_ms.load(Ordering::Acquire),
        )
    }

    /// First and last time of all samples, likewise.
    pub fn all_times(&self) -> (i64, i64) {
        let ((a, b), (c, d)) = (self.times(), self.late_times());
        (a.min(c), b.max(d))
    }

    fn widen(&self, min_ms: i64, max_ms: i64) {
        self.times.min_ms.fetch_min(min_ms, Ordering::AcqRel);
        self.times.max_ms.fetch_max(max_ms, Ordering::AcqRel);
        let recent = &mut self.recent.lock().min_ms;
        *recent = Some(recent.map_or(min_ms, |min| min.min(min_ms)));
    }

    fn widen_late(&self, min_ms: i64, max_ms: i64) {
        self.late_min_ms.fetch_min(min_ms, Ordering::AcqRel);
        self.late_max_ms.fetch_max(max_ms, Ordering::AcqRel);
        let recent = &mut self.recent.lock().late;
        let (min, max) = recent.unwrap_or((min_ms, max_ms));
        *recent = Some((min.min(min_ms), max.max(max_ms)));
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().count()).sum()
    }

    /// The exemplar ring.
    pub fn exemplars(&self) -> &Mutex<ExemplarRing> {
        &self.exemplars
    }

    /// Changes how many exemplars are kept.
    pub fn set_max_exemplars(&self, count: usize) {
        self.exemplars.lock().resize(count);
        self.metrics.exemplars_max.set(count as f64);
    }

    /// Changes the out-of-order window.
    pub fn set_out_of_order_window_ms(&self, window_ms: i64) {
        self.window_ms.store(window_ms.max(0), Ordering::Release);
    }

    /// The lowest time that a sample may have.
    fn appendable_min_ms(&self) -> i64 {
        let (_, max) = self.times();
        let half = self.options.block_ms / 2;
        max.saturating_sub(half)
            .max(self.min_valid_ms.load(Ordering::Acquire))
    }

    /// Samples before this belong to blocks, except late ones.
    pub fn min_valid_ms(&self) -> i64 {
        self.min_valid_ms.load(Ordering::Acquire)
    }

    /// The log's current segment and the position in it.
    pub fn wal_position(&self) -> (u64, u64) {
        let wal = self.wal.lock();
        wal.as_ref()
            .map_or((0, 0), |wal| (wal.segment(), wal.position()))
    }

    /// Keeps the log's segments from `segment` on until another one is named: somebody still reads
    /// them. [`u64::MAX`], as at the start, keeps nothing.
    pub fn keep_wal_from(&self, segment: u64) {
        self.keep_wal_from.store(segment, Ordering::Release);
    }

    /// How many samples, histograms and exemplars have been appended since the start.
    pub fn appended(&self) -> [f64; 3] {
        let metrics = &self.metrics;
        [
            metrics.floats_appended.get(),
            metrics.histograms_appended.get(),
            metrics.exemplars_appended.get(),
        ]
    }

    /// Bytes of the logs and the head's chunks on disk.
    pub fn disk_bytes(&self) -> u64 {
        let dirs = ["wal", "wbl"].map(|name| self.options.dir.join(name));
        dirs.iter()
            .map(|dir| crate::fs::dir_size(&*self.options.fs, dir))
            .sum::<u64>()
            + self.files.bytes()
            + self.shortcut_bytes()
    }

    /// Writes out what is buffered; with `sync`, to the disk.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn flush(&self, sync: bool) -> io::Result<()> {
        self.metrics.chunk_file_bytes.set(self.files.bytes() as f64);
        if !sync {
            return self.files.flush();
        }
        self.files.sync()?;
        if let Some(wal) = &mut *self.wal.lock() {
            wal.sync()?;
        }
        match &mut self.late_log.lock().writer {
            Some(writer) => writer.sync(),
            None => Ok(()),
        }
    }

    /// Refuses appends from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
