//! The database: head and blocks behind one door.

mod options;

use std::path::Path;

use model::{Exemplar, Labels, Matcher, Metadata};
use storage::{Appendable, Appender, Querier, Queryable, StorageError};

pub use options::{Clock, DEFAULT_BLOCK_DURATION_MS, DEFAULT_RETENTION_MS, Options, Retention};

use crate::Error;

/// How far the start has come: `status/walreplay` and `/-/ready`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayStatus {
    /// First and last segment of the log, and the one being read.
    pub min: u64,
    pub max: u64,
    pub current: u64,
    pub done: bool,
}

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
    options: Options,
}

impl Db {
    /// Opens the folder: takes its lock, loads its blocks, replays its logs.
    ///
    /// # Errors
    /// A folder that is locked, or cannot be read or written; damage is repaired and logged.
    pub fn open(options: Options) -> Result<Db, Error> {
        Err(Error::Invalid(format!(
            "{}: not assembled",
            options.dir.display()
        )))
    }

    /// Stops the thread, writes out what is buffered and gives the lock back. Appends and queries
    /// fail from then on. Closing twice does nothing.
    ///
    /// # Errors
    /// The first thing that could not be written; nothing acknowledged is lost by it.
    pub fn close(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Does what is due at `now_ms`: cuts blocks, compacts, applies the retention, flushes.
    ///
    /// # Errors
    /// The first step that failed; the next call tries again.
    pub fn tick(&self, _now_ms: i64) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Statistics with at most `limit` entries a list.
    pub fn head_stats(&self, _limit: usize) -> HeadStats {
        HeadStats::default()
    }

    /// The blocks on disk, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        Vec::new()
    }

    /// How far the replay has come.
    pub fn replay_status(&self) -> ReplayStatus {
        ReplayStatus::default()
    }

    /// The oldest timestamp there is, [`i64::MAX`] without samples.
    pub fn start_time_ms(&self) -> i64 {
        i64::MAX
    }

    /// Changes the out-of-order window (configuration reload).
    pub fn set_out_of_order_window_ms(&self, _window_ms: i64) {}

    /// Changes how many exemplars are kept (configuration reload).
    pub fn set_max_exemplars(&self, _count: usize) {}

    /// Changes the retention (configuration reload).
    pub fn set_retention(&self, _retention: Retention) {}

    /// The exemplars between two timestamps (inclusive) of the series that satisfy one of the
    /// matcher lists, by series, oldest first.
    pub fn exemplars(
        &self,
        _min_ms: i64,
        _max_ms: i64,
        _matchers: &[Vec<Matcher>],
    ) -> Vec<SeriesExemplars> {
        Vec::new()
    }

    /// The metadata that was last noted for a series of the head.
    pub fn metadata(&self, _labels: &Labels) -> Option<Metadata> {
        None
    }

    /// Marks the samples between two timestamps (inclusive) of the matching series as deleted.
    ///
    /// # Errors
    /// A log or tombstone file that cannot be written.
    pub fn delete_series(
        &self,
        _min_ms: i64,
        _max_ms: i64,
        _matchers: &[Matcher],
    ) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Rewrites the blocks that have tombstones without what they cover.
    ///
    /// # Errors
    /// A block that cannot be rewritten.
    pub fn clean_tombstones(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Links all blocks into `dir`, which must not exist, and with `with_head` writes the head there
    /// as a block.
    ///
    /// # Errors
    /// A file that cannot be linked or written.
    pub fn snapshot(&self, _dir: &Path, _with_head: bool) -> Result<(), Error> {
        Err(Error::Closed)
    }

    /// Compacts what can be compacted, now.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn compact(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }
}

impl Queryable for Db {
    fn querier(&self, _min_ms: i64, _max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        Err(StorageError::Other("not assembled".to_owned()))
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender> {
        Box::new(crate::db::closed::Closed)
    }
}

mod closed {
    use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};
    use storage::{AppendError, Appender, SeriesRef};

    /// The appender of a closed database.
    pub struct Closed;

    fn closed() -> AppendError {
        AppendError::Unavailable("the database is closed".to_owned())
    }

    impl Appender for Closed {
        fn append(
            &mut self,
            _: SeriesRef,
            _: &Labels,
            _: i64,
            _: i64,
            _: f64,
        ) -> Result<SeriesRef, AppendError> {
            Err(closed())
        }
        fn append_histogram(
            &mut self,
            _: SeriesRef,
            _: &Labels,
            _: i64,
            _: i64,
            _: &Histogram,
        ) -> Result<SeriesRef, AppendError> {
            Err(closed())
        }
        fn append_float_histogram(
            &mut self,
            _: SeriesRef,
            _: &Labels,
            _: i64,
            _: i64,
            _: &FloatHistogram,
        ) -> Result<SeriesRef, AppendError> {
            Err(closed())
        }
        fn append_exemplar(
            &mut self,
            _: SeriesRef,
            _: &Labels,
            _: &Exemplar,
        ) -> Result<SeriesRef, AppendError> {
            Err(closed())
        }
        fn update_metadata(
            &mut self,
            _: SeriesRef,
            _: &Labels,
            _: &Metadata,
        ) -> Result<SeriesRef, AppendError> {
            Err(closed())
        }
        fn commit(self: Box<Self>) -> Result<(), AppendError> {
            Err(closed())
        }
        fn rollback(self: Box<Self>) {}
    }
}
