//! The database: head and blocks behind one door.

mod cut;
mod maintain;
mod metrics;
mod options;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use model::{Exemplar, Labels, Matcher, Metadata};
use parking_lot::Mutex;
use storage::{Appendable, Appender, Querier, Queryable, StorageError};

pub use options::{
    Clock, DEFAULT_BLOCK_DURATION_MS, DEFAULT_RETENTION_MS, KeepBlock, Options, Retention,
};

use crate::Error;
pub use crate::head::Progress;
use crate::head::{Head, HeadAppender, Start};
use crate::wal::Place;
use store::Store;

/// A name and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub name: String,
    pub value: u64,
}

/// Statistics of the head for `status/tsdb`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadStats {
    pub series: u64,
    pub label_pairs: u64,
    pub chunks: u64,
    /// Milliseconds; [`i64::MAX`] and [`i64::MIN`] while there is no sample.
    pub min_ms: i64,
    pub max_ms: i64,
    /// Series a metric name.
    pub series_by_metric_name: Vec<Count>,
    /// Distinct values a label name.
    pub values_by_label_name: Vec<Count>,
    /// Bytes of the values a label name.
    pub memory_by_label_name: Vec<Count>,
    /// Series a `name=value` pair.
    pub series_by_label_pair: Vec<Count>,
}

/// A block on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    pub ulid: String,
    /// First timestamp, inclusive, and last, exclusive.
    pub min_ms: i64,
    pub max_ms: i64,
    pub dir: std::path::PathBuf,
    pub bytes: u64,
}

/// Exemplars of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    pub series: Labels,
    pub exemplars: Vec<Exemplar>,
}

/// A database: one folder in Prometheus' format. All methods may be called from any thread.
pub struct Db {
    store: Arc<Store>,
    /// The thread that calls [`Db::tick`], and what stops it.
    thread: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
    /// The thread that reads the log, if batches are taken meanwhile.
    replay: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

/// How often the database looks after itself.
const TICK: Duration = Duration::from_secs(15);
/// How often it looks whether there is much new in the log.
const LOOK: Duration = Duration::from_secs(1);

impl Db {
    /// Opens the folder: takes its lock, loads its blocks, replays its logs.
    ///
    /// # Errors
    /// A folder that is locked, or cannot be read or written; damaged logs are repaired and
    /// reported, a damaged block is an error.
    pub fn open(options: Options) -> Result<Db, Error> {
        let (store, replay) = Store::open(options, Start::Quiet, Arc::default())?;
        store.replay(replay)?;
        Db::new(store)
    }

    /// [`Db::open`] that returns as soon as samples can be appended: the log is read on a thread of
    /// its own. Until that is over ([`Db::replayed`]), appended samples are logged and not seen;
    /// queries for what the log may have, deletions and snapshots fail with an error that says so.
    ///
    /// # Errors
    /// As [`Db::open`], except that damage in the middle of the log shows later.
    pub fn open_early(options: Options, progress: Arc<Progress>) -> Result<Db, Error> {
        let (store, replay) = Store::open(options, Start::Early, progress)?;
        let db = Db::new(store)?;
        let store = Arc::clone(&db.store);
        let handle = std::thread::Builder::new()
            .name("tsdb-replay".to_owned())
            .spawn(move || store.replay(replay))
            .map_err(Error::io(&db.store.options.dir))?;
        *db.replay.lock() = Some(handle);
        Ok(db)
    }

    /// Waits until the log has been read.
    ///
    /// # Errors
    /// Why it cannot be read, [`Error::Closed`] where the database was closed before.
    pub fn replayed(&self) -> Result<(), Error> {
        let mut replay = self.replay.lock();
        let result = match replay.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            // A panic there was reported there.
            Some(Err(_)) => Err(Error::Invalid("reading the log panicked".to_owned())),
            None => Ok(()),
        };
        result.and_then(|()| self.store.check_complete())
    }

    fn new(store: Store) -> Result<Db, Error> {
        let background = store.options.background;
        let store = Arc::new(store);
        let db = Db {
            store: Arc::clone(&store),
            thread: Mutex::new(None),
            replay: Mutex::new(None),
        };
        if background {
            let (stop, stopped) = bounded(1);
            let handle = std::thread::Builder::new()
                .name("tsdb".to_owned())
                .spawn(move || {
                    let mut last = Instant::now();
                    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                        if last.elapsed() < TICK {
                            store.note_shortcut();
                            continue;
                        }
                        last = Instant::now();
                        match store.tick((store.options.clock)()) {
                            Ok(()) | Err(Error::Closed) => {}
                            Err(error) => tracing::error!(%error, "compaction failed"),
                        }
                    }
                })
                .map_err(Error::io(&db.store.options.dir))?;
            *db.thread.lock() = Some((stop, handle));
        }
        Ok(db)
    }

    /// Ends the threads.
    fn stop(&self) {
        self.store.begin_close();
        if let Some((stop, handle)) = self.thread.lock().take() {
            drop(stop);
            // A panic there was reported there.
            let _ = handle.join();
        }
        if let Some(handle) = self.replay.lock().take() {
            // It ends early; the next start reads the log again.
            let _ = handle.join();
        }
    }

    /// Stops the thread, writes out what is buffered and gives the lock back. Appends and queries
    /// fail from then on. Closing twice does nothing.
    ///
    /// # Errors
    /// The first thing that could not be written; nothing acknowledged is lost by it.
    pub fn close(&self) -> Result<(), Error> {
        self.stop();
        self.store.close()
    }

    /// Does what is due at `now_ms`: writes out chunks, cuts blocks, compacts, drops old blocks.
    ///
    /// # Errors
    /// The first step that failed; the next call tries again.
    pub fn tick(&self, now_ms: i64) -> Result<(), Error> {
        self.store.tick(now_ms)
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.store.options
    }

    /// The folder of the write-ahead log, for [`LiveReader`](crate::wal::LiveReader).
    pub fn wal_dir(&self) -> PathBuf {
        Head::wal_dir(&self.store.options.dir)
    }

    /// Where the next record of the write-ahead log goes.
    pub fn wal_end(&self) -> Place {
        let (segment, offset) = self.store.head.wal_position();
        Place { segment, offset }
    }

    /// Keeps the log's segments from `segment` on, until another one is named: somebody still reads
    /// them. [`u64::MAX`], as at the start, lets all go that the database itself does not need.
    pub fn keep_wal_from(&self, segment: u64) {
        self.store.head.keep_wal_from(segment);
    }

    /// How many samples, histograms and exemplars have been appended since the start.
    pub fn appended(&self) -> [f64; 3] {
        self.store.head.appended()
    }

    /// Statistics with at most `limit` entries a list.
    pub fn head_stats(&self, limit: usize) -> HeadStats {
        self.store.head.stats(limit)
    }

    /// Where the head's memory goes: bytes by what they are for.
    pub fn head_memory(&self) -> Vec<(&'static str, usize)> {
        self.store.head.memory()
    }

    /// The blocks on disk, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let blocks = self.store.blocks.read();
        blocks
            .iter()
            .map(|block| {
                let (min_ms, max_ms) = block.range();
                BlockInfo {
                    ulid: block.ulid().to_string(),
                    min_ms,
                    max_ms,
                    dir: block.dir().to_owned(),
                    bytes: block.size_bytes(),
                }
            })
            .collect()
    }

    /// The oldest timestamp there is, [`i64::MAX`] without samples.
    pub fn start_time_ms(&self) -> i64 {
        let blocks = self.store.blocks.read();
        let oldest = blocks.iter().map(|block| block.range().0).min();
        let head = self.store.head.all_times().0;
        oldest.map_or(head, |oldest| oldest.min(head))
    }

    /// First and last time of the head's samples; [`i64::MAX`] and [`i64::MIN`] without samples.
    pub fn head_times_ms(&self) -> (i64, i64) {
        self.store.head.all_times()
    }

    /// Bytes of everything on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.store.disk_bytes()
    }

    /// Changes the out-of-order window (configuration reload).
    pub fn set_out_of_order_window_ms(&self, window_ms: i64) {
        self.store.head.set_out_of_order_window_ms(window_ms);
    }

    /// Changes how many exemplars are kept (configuration reload).
    pub fn set_max_exemplars(&self, count: usize) {
        self.store.head.set_max_exemplars(count);
    }

    /// Changes the share of stale series, 0 to 1, from which on they are cut to blocks of their own
    /// and leave the head; 0 keeps them until their time (configuration reload).
    pub fn set_stale_series_threshold(&self, share: f64) {
        let bits = share.clamp(0.0, 1.0).to_bits();
        self.store
            .stale_threshold
            .store(bits, std::sync::atomic::Ordering::Relaxed);
    }

    /// Changes the retention (configuration reload).
    pub fn set_retention(&self, retention: Retention) {
        self.store.set_retention(retention);
    }

    /// The exemplars between two timestamps (inclusive) of the series that satisfy one of the
    /// matcher lists, by series, oldest first.
    pub fn exemplars(
        &self,
        min_ms: i64,
        max_ms: i64,
        matchers: &[Vec<Matcher>],
    ) -> Vec<SeriesExemplars> {
        let ring = self.store.head.exemplars().lock();
        ring.select(min_ms, max_ms, matchers)
    }

    /// The metadata that was last noted for a series of the head.
    pub fn metadata(&self, labels: &Labels) -> Option<Metadata> {
        self.store.head.metadata(labels)
    }

    /// Marks the samples between two timestamps (inclusive) of the matching series as deleted.
    ///
    /// # Errors
    /// A log or tombstone file that cannot be written.
    pub fn delete_series(
        &self,
        min_ms: i64,
        max_ms: i64,
        matchers: &[Matcher],
    ) -> Result<(), Error> {
        self.store.delete(min_ms, max_ms, matchers)
    }

    /// Rewrites the blocks that have tombstones without what they cover.
    ///
    /// # Errors
    /// A block that cannot be rewritten.
    pub fn clean_tombstones(&self) -> Result<(), Error> {
        self.store.clean_tombstones()
    }

    /// Links all blocks into `dir`, which is created, and with `with_head` writes the head there as
    /// a block.
    ///
    /// # Errors
    /// A file that cannot be linked or written.
    pub fn snapshot(&self, dir: &Path, with_head: bool) -> Result<(), Error> {
        self.store.snapshot(dir, with_head)
    }

    /// Cuts blocks and compacts what can be compacted, now.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn compact(&self) -> Result<(), Error> {
        self.store.compact()
    }

    /// A new batch, of its own type.
    pub fn head_appender(&self) -> HeadAppender {
        self.store.head.appender()
    }
}

impl Drop for Db {
    /// As if the process had died, except that the thread stops: nothing is written out.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Queryable for Db {
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        self.store.querier(min_ms, max_ms)
    }

    fn series_at_most(&self, min_ms: i64, matchers: &[Matcher]) -> Option<usize> {
        self.store.series_at_most(min_ms, matchers)
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender> {
        Box::new(self.store.head.appender())
    }

    fn series_count(&self) -> Option<usize> {
        Some(self.store.head.series_count())
    }
}
