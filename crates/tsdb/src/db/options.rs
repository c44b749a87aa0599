//! What a database is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use tsdb_format::meta::BlockMeta;
use tsdb_format::wal::page::{Compression, SEGMENT_BYTES};

use crate::fs::{FileSystem, RealFs};

/// The clock: milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The span of the smallest block.
pub const DEFAULT_BLOCK_DURATION_MS: i64 = 2 * 3_600_000;
/// Upstream's retention where neither time nor size is limited.
pub const DEFAULT_RETENTION_MS: i64 = 15 * 24 * 3_600_000;

/// When old blocks are dropped; 0 means that this limit is not set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    pub duration_ms: i64,
    pub max_bytes: u64,
    /// Share of the file system's size, 0 to 100.
    pub max_percentage: f64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            duration_ms: DEFAULT_RETENTION_MS,
            max_bytes: 0,
            max_percentage: 0.0,
        }
    }
}

/// What a database is opened with; [`Options::new`] has upstream's defaults.
#[derive(Clone)]
pub struct Options {
    /// The data folder; it is created.
    pub dir: PathBuf,
    pub fs: Arc<dyn FileSystem>,
    pub clock: Clock,
    /// Where `prometheus_tsdb_*` metrics are registered.
    pub registry: telemetry::Registry,
    /// Whether a thread of the database calls [`Db::tick`](crate::Db::tick) on its own.
    pub background: bool,
    pub no_lockfile: bool,
    pub retention: Retention,
    /// Span of the blocks that the head is cut into.
    pub min_block_duration_ms: i64,
    /// Span of the largest compacted block; 0 is a tenth of the retention, at most 31 days.
    pub max_block_duration_ms: i64,
    pub wal_segment_bytes: u64,
    pub wal_compression: Compression,
    /// How far behind the newest sample a late one may be; 0 refuses late samples.
    pub out_of_order_window_ms: i64,
    /// Late samples of a series in memory.
    pub out_of_order_cap: usize,
    /// Samples in a chunk, about.
    pub samples_per_chunk: u16,
    /// Exemplars kept in memory; 0 keeps none.
    pub max_exemplars: usize,
    /// What a start need not read of the write-ahead log is noted when the log has grown by so many bytes
    /// (more where there are many series); with every tick for 0, never for `None`, and a start reads all
    /// of the log then.
    pub shortcut_log_bytes: Option<u64>,
    /// Whether overlapping blocks are merged.
    pub overlapping_compaction: bool,
    /// Largest chunk file of a block.
    pub block_segment_bytes: u64,
    /// How often the data folder is looked through for blocks that others put there or took away; 0 for never.
    pub block_reload_interval_ms: i64,
    /// Says of a block that it may not be compacted yet, and with it all that were made later.
    pub keep_block: Option<KeepBlock>,
}

/// Whether a block is to stay as it is.
pub type KeepBlock = Arc<dyn Fn(&BlockMeta) -> bool + Send + Sync>;

impl Options {
    /// Upstream's defaults for a folder, on the real file system, with the system's clock.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            fs: Arc::new(RealFs),
            clock: Arc::new(system_time_ms),
            registry: telemetry::Registry::new(),
            background: true,
            no_lockfile: false,
            retention: Retention::default(),
            min_block_duration_ms: DEFAULT_BLOCK_DURATION_MS,
            max_block_duration_ms: 0,
            wal_segment_bytes: SEGMENT_BYTES,
            wal_compression: Compression::Snappy,
            out_of_order_window_ms: 0,
            out_of_order_cap: 32,
            samples_per_chunk: 120,
            max_exemplars: 0,
            shortcut_log_bytes: Some(16 << 20),
            overlapping_compaction: true,
            block_segment_bytes: tsdb_format::segment::SEGMENT_BYTES,
            block_reload_interval_ms: 60_000,
            keep_block: None,
        }
    }
}

fn system_time_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
