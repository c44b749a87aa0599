//! What a database consists of: head, blocks, lock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use storage::{Querier, StorageError, merge::merge_queriers};
use tsdb_format::Ulid;
use tsdb_format::meta::{BlockMeta, HINT_OUT_OF_ORDER};

use super::metrics::DbMetrics;
use super::options::{Options, Retention};
use crate::Error;
use crate::block::{Block, BlockQuerier, block_folders, remove_leftovers, repair};
use crate::columns::encode_columns;
use crate::fs::{FileSystem, dir_size};
use crate::head::{Head, HeadOptions, Progress, Replay, Start};

/// Where meta.json says up to where a block of late and other samples has all that came in order.
const IN_ORDER_KEY: &str = "firewatch";

/// Up to where a block has all samples that came in order, exclusive: what is before belongs to
/// blocks, what is not is still in the log.
pub fn in_order_end(meta: &BlockMeta) -> Option<i64> {
    if meta.compaction.from_out_of_order() || meta.compaction.from_stale_series() {
        return None;
    }
    let noted = (meta.extra.get(IN_ORDER_KEY)).and_then(|own| own.get("inOrderMaxTime")?.as_i64());
    Some(noted.unwrap_or(meta.max_time))
}

/// Notes in the meta.json of a block that is made of `parts` up to where it has all samples that
/// came in order. Blocks of late samples begin and end with their span, wherever the head is.
pub fn note_in_order_end(meta: &mut BlockMeta, parts: &[BlockMeta]) {
    match parts.iter().filter_map(in_order_end).max() {
        None => {
            let hint = HINT_OUT_OF_ORDER.to_owned();
            if !meta.compaction.hints.contains(&hint) && !meta.compaction.from_stale_series() {
                meta.compaction.hints.push(hint);
            }
        }
        Some(end) if end < meta.max_time => {
            let own = serde_json::json!({ "inOrderMaxTime": end });
            meta.extra.insert(IN_ORDER_KEY.to_owned(), own);
        }
        Some(_) => {}
    }
}

/// Removes upstream's snapshots of the head's memory (`chunk_snapshot.*`): the log has everything
/// that is in them, and they are out of date as soon as we write.
fn remove_memory_snapshots(fs: &dyn FileSystem, dir: &Path) -> Result<(), Error> {
    for entry in fs.list(dir).map_err(Error::io(dir))? {
        if entry.is_dir && entry.name.starts_with("chunk_snapshot.") {
            let path = dir.join(&entry.name);
            tracing::info!(
                name = entry.name,
                "deleting memory snapshot, the log has it all"
            );
            fs.remove_dir_all(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// The parts of a database; see [`Db`](super::Db).
pub struct Store {
    pub options: Options,
    pub head: Arc<Head>,
    /// Oldest first.
    pub blocks: RwLock<Vec<Arc<Block>>>,
    /// Held by whoever changes blocks.
    pub(super) maintaining: Mutex<()>,
    pub(super) retention: RwLock<Retention>,
    pub(super) metrics: DbMetrics,
    pub(super) closing: AtomicBool,
    closed: Mutex<bool>,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
    /// When the log's size was last looked at.
    pub(super) sized_ms: AtomicI64,
    /// When the folder was last looked through for blocks.
    pub(super) rescanned_ms: AtomicI64,
    /// The share of stale series from which they are cut to blocks early, as bits; 0 for never.
    pub(super) stale_threshold: AtomicU64,
    /// How far the replay has come.
    progress: Arc<Progress>,
    /// Whether there is a log of late samples to be read, which may be of any time.
    late_to_come: bool,
}

impl Store {
    /// Opens a folder so far that batches can be taken; the second answer does the rest.
    ///
    /// # Errors
    /// See [`Db::open`](super::Db::open).
    pub fn open(
        options: Options,
        start: Start,
        progress: Arc<Progress>,
    ) -> Result<(Store, Replay), Error> {
        let dir = options.dir.clone();
        let fs = Arc::clone(&options.fs);
        fs.create_dir_all(&dir).map_err(Error::io(&dir))?;
        let lock = match options.no_lockfile {
            true => None,
            false => Some(fs.lock(&dir.join("lock")).map_err(Error::Locked)?),
        };
        for name in remove_leftovers(&*fs, &dir)? {
            tracing::info!(name, "found and deleted tmp block dir");
        }
        remove_memory_snapshots(&*fs, &dir)?;
        for ulid in repair::repair_index_versions(&*fs, &dir)? {
            tracing::info!(%ulid, "repaired block of an old revision");
        }
        let mut blocks = Vec::new();
        for ulid in block_folders(&*fs, &dir)? {
            let block = Block::open(Arc::clone(&fs), &dir.join(ulid.to_string()))?;
            blocks.push(Arc::new(block));
        }
        blocks.sort_by_key(|block| (block.range(), block.ulid()));
        // Blocks that another one replaced, and that a crash kept from being removed.
        let replaced: Vec<Ulid> = blocks
            .iter()
            .flat_map(|block| block.meta().compaction.parents)
            .map(|parent| parent.ulid)
            .collect();
        let (gone, blocks): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .partition(|block| replaced.contains(&block.ulid()));
        for block in gone {
            crate::block::remove_block(&*fs, &dir, block.ulid())?;
        }
        let in_order = blocks
            .iter()
            .filter_map(|block| in_order_end(&block.meta()));
        let in_order = in_order.max();
        let head_options = HeadOptions {
            dir: dir.clone(),
            fs: Arc::clone(&fs),
            registry: options.registry.clone(),
            block_ms: options.min_block_duration_ms.max(1),
            wal_segment_bytes: options.wal_segment_bytes,
            wal_compression: options.wal_compression,
            out_of_order_window_ms: options.out_of_order_window_ms,
            out_of_order_cap: options.out_of_order_cap,
            samples_per_chunk: options.samples_per_chunk.clamp(4, 4096),
            max_exemplars: options.max_exemplars,
            shortcut_log_bytes: options.shortcut_log_bytes,
        };
        let wbl = Head::wbl_dir(&dir);
        let late = crate::wal::segments(&*fs, &wbl).map_err(Error::io(&wbl))?;
        let in_order = in_order.unwrap_or(i64::MIN);
        let (head, replay) = Head::open(head_options, in_order, start, &progress)?;
        let store = Store {
            metrics: DbMetrics::new(&options.registry),
            retention: RwLock::new(options.retention),
            head: Arc::new(head),
            blocks: RwLock::new(blocks),
            maintaining: Mutex::new(()),
            closing: AtomicBool::new(false),
            closed: Mutex::new(false),
            lock: Mutex::new(lock),
            sized_ms: AtomicI64::new(i64::MIN),
            rescanned_ms: AtomicI64::new((options.clock)()),
            stale_threshold: AtomicU64::new(0),
            progress,
            late_to_come: late.iter().any(|segment| segment.bytes > 0),
            options,
        };
        store.publish();
        Ok((store, replay))
    }

    /// Reads what the start has left.
    ///
    /// # Errors
    /// See [`Db::open`](super::Db::open).
    pub fn replay(&self, replay: Replay) -> Result<(), Error> {
        replay.run(&self.head, &self.progress)?;
        self.publish();
        Ok(())
    }

    /// How far the replay has come, while it is not over.
    pub(super) fn replaying(&self) -> Option<String> {
        self.head.is_replaying().then(|| {
            let number = |n: &AtomicU64| n.load(Ordering::Relaxed);
            format!(
                "the write-ahead log is still being read, segment {} of {} to {}",
                number(&self.progress.current),
                number(&self.progress.min),
                number(&self.progress.max),
            )
        })
    }

    /// # Errors
    /// A database that is closed, or whose log is still being read.
    pub(super) fn check_complete(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.replaying()
            .map_or(Ok(()), |text| Err(Error::Replaying(text)))
    }

    /// A view of a time range over head and blocks.
    ///
    /// # Errors
    /// A closed database, and a range whose samples are in the log that is still being read.
    pub fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(StorageError::Other("the database is closed".to_owned()));
        }
        // The blocks stay the same until the head's reader has its place: what is cut from the
        // head meanwhile is then in one of the two.
        let blocks = self.blocks.read();
        let mut queriers: Vec<Box<dyn Querier>> = blocks
            .iter()
            .filter(|block| block.overlaps(min_ms, max_ms))
            .map(|block| {
                Box::new(BlockQuerier::new(Arc::clone(block), min_ms, max_ms)) as Box<dyn Querier>
            })
            .collect();
        if let Some(text) = self.replaying() {
            if self.late_to_come || max_ms >= self.head.min_valid_ms() {
                return Err(StorageError::NotReady(text));
            }
            drop(blocks);
            return Ok(merge_queriers(queriers, encode_columns));
        }
        let (head_min, head_max) = self.head.all_times();
        if queriers.is_empty() || (head_min <= max_ms && head_max >= min_ms) {
            queriers.push(Box::new(self.head.querier(min_ms, max_ms)));
        }
        drop(blocks);
        Ok(merge_queriers(queriers, encode_columns))
    }

    /// See [`storage::Queryable::series_at_most`].
    pub fn series_at_most(&self, min_ms: i64, matchers: &[model::Matcher]) -> Option<usize> {
        let in_blocks = |blocks: &[Arc<crate::block::Block>]| {
            blocks.iter().any(|block| block.overlaps(min_ms, i64::MAX))
        };
        if self.replaying().is_some() || in_blocks(&self.blocks.read()) {
            return None;
        }
        self.head.series_at_most(matchers)
    }

    /// A name for a new block.
    pub(super) fn new_ulid(&self) -> Ulid {
        crate::block::new_ulid((self.options.clock)())
    }

    /// Opens blocks that were written and takes the place of `replaced` with them, in one step.
    ///
    /// # Errors
    /// A block that does not open; the blocks stay as they are.
    pub(super) fn replace(&self, new: &[Ulid], replaced: &[Ulid]) -> Result<(), Error> {
        self.metrics.reloads.inc();
        let mut opened = Vec::new();
        for ulid in new {
            let dir = self.options.dir.join(ulid.to_string());
            let block = Block::open(Arc::clone(&self.options.fs), &dir)
                .inspect_err(|_| self.metrics.reloads_failed.inc())?;
            opened.push(Arc::new(block));
        }
        let mut blocks = self.blocks.write();
        blocks.retain(|block| !replaced.contains(&block.ulid()));
        blocks.extend(opened);
        blocks.sort_by_key(|block| (block.range(), block.ulid()));
        drop(blocks);
        self.publish();
        for ulid in replaced {
            crate::block::remove_block(&*self.options.fs, &self.options.dir, *ulid)?;
        }
        Ok(())
    }

    /// Takes in blocks that somebody put into the folder (a backfill), and forgets those that somebody took away.
    /// One that cannot be read is left for the next time: it may still be on its way.
    ///
    /// # Errors
    /// A folder that cannot be listed, and a replaced block that cannot be removed.
    pub(super) fn rescan(&self) -> Result<(), Error> {
        let _maintaining = self.maintaining.lock();
        let (fs, dir) = (&self.options.fs, &self.options.dir);
        let there = block_folders(&**fs, dir)?;
        let loaded: Vec<Ulid> = self.blocks.read().iter().map(|b| b.ulid()).collect();
        let gone: Vec<Ulid> = loaded
            .iter()
            .filter(|ulid| !there.contains(ulid))
            .copied()
            .collect();
        let mut opened = Vec::new();
        for ulid in there.iter().filter(|ulid| !loaded.contains(ulid)) {
            let path = dir.join(ulid.to_string());
            // What others write has its meta.json last.
            if !fs.exists(&path.join(tsdb_format::meta::FILE_NAME)) {
                continue;
            }
            match Block::open(Arc::clone(fs), &path) {
                Ok(block) => opened.push(Arc::new(block)),
                Err(error) => {
                    self.metrics.reloads_failed.inc();
                    tracing::warn!(%ulid, %error, "a block in the data folder cannot be read");
                }
            }
        }
        if opened.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.metrics.reloads.inc();
        for block in &opened {
            tracing::info!(ulid = %block.ulid(), "found a block in the data folder");
        }
        for ulid in &gone {
            tracing::info!(%ulid, "a block is no longer in the data folder");
        }
        let parents: Vec<Ulid> = opened
            .iter()
            .flat_map(|block| block.meta().compaction.parents)
            .map(|parent| parent.ulid)
            .filter(|ulid| there.contains(ulid))
            .collect();
        let mut blocks = self.blocks.write();
        blocks.extend(opened);
        blocks.retain(|b| !gone.contains(&b.ulid()) && !parents.contains(&b.ulid()));
        blocks.sort_by_key(|block| (block.range(), block.ulid()));
        drop(blocks);
        self.publish();
        for ulid in parents {
            crate::block::remove_block(&**fs, dir, ulid)?;
        }
        Ok(())
    }

    /// Brings the gauges up to date.
    fn publish(&self) {
        let blocks = self.blocks.read();
        self.metrics.blocks_loaded.set(blocks.len() as f64);
        let bytes: u64 = blocks.iter().map(|block| block.size_bytes()).sum();
        self.metrics.blocks_bytes.set(bytes as f64);
        let retention = self.retention.read();
        self.metrics.limit_bytes.set(retention.max_bytes as f64);
        self.metrics.limit_percentage.set(retention.max_percentage);
        self.metrics
            .limit_seconds
            .set(retention.duration_ms as f64 / 1000.0);
        let oldest = blocks.iter().map(|block| block.range().0).min();
        let oldest = oldest.unwrap_or(i64::MAX).min(self.head.all_times().0);
        let oldest = if oldest == i64::MAX { 0 } else { oldest };
        self.metrics.lowest_ms.set(oldest as f64);
        self.metrics.lowest_seconds.set((oldest / 1000) as f64);
    }

    /// Changes the retention.
    pub fn set_retention(&self, retention: Retention) {
        *self.retention.write() = retention;
        self.publish();
    }

    /// Bytes of everything on disk.
    pub fn disk_bytes(&self) -> u64 {
        let blocks: u64 = self.blocks.read().iter().map(|b| b.size_bytes()).sum();
        blocks + self.head.disk_bytes()
    }

    /// Bytes of the write-ahead log.
    pub(super) fn publish_wal_size(&self) {
        let wal = Head::wal_dir(&self.options.dir);
        let bytes = dir_size(&*self.options.fs, &wal);
        self.metrics.wal_bytes.set(bytes as f64);
    }

    /// Notes what a start need not read of the log, if that is due.
    pub fn note_shortcut(&self) {
        if self.closing.load(Ordering::Acquire) || !self.head.shortcut_is_due() {
            return;
        }
        // Whoever works on blocks comes by here afterwards.
        if let Some(_maintaining) = self.maintaining.try_lock() {
            self.write_shortcut();
        }
    }

    fn write_shortcut(&self) {
        if let Err(error) = self.head.note_shortcut() {
            // Nothing is lost: the next start reads more.
            tracing::warn!(%error, "what a start need not read of the log could not be noted");
        }
    }

    /// Refuses appends and queries from now on, and ends what is at work soon.
    pub fn begin_close(&self) {
        self.closing.store(true, Ordering::Release);
        self.head.close();
    }

    /// Writes out what is buffered and gives the lock back.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn close(&self) -> Result<(), Error> {
        self.begin_close();
        let _maintaining = self.maintaining.lock();
        let mut closed = self.closed.lock();
        if std::mem::replace(&mut *closed, true) {
            return Ok(());
        }
        let result = self.head.flush(true).map_err(Error::io(&self.options.dir));
        // The next start has hardly anything to read then.
        self.write_shortcut();
        if let Some(lock) = self.lock.lock().take() {
            // Gone before it is given up: who finds no file makes one of its own.
            let path = self.options.dir.join("lock");
            if let Err(error) = self.options.fs.remove_file(&path) {
                tracing::warn!(%error, "removing the lock file failed");
            }
            drop(lock);
        }
        result
    }
}
