//! The database's own `prometheus_tsdb_*` metrics; names and helps are upstream's (`tsdb/db.go`,
//! `tsdb/compact.go`).

use telemetry::{Counter, Gauge, Histogram, Registry, exponential_buckets};

/// What the database counts.
pub struct DbMetrics {
    pub blocks_loaded: Gauge,
    pub blocks_bytes: Gauge,
    pub lowest_ms: Gauge,
    pub lowest_seconds: Gauge,
    pub limit_bytes: Gauge,
    pub limit_seconds: Gauge,
    pub limit_percentage: Gauge,
    pub wal_bytes: Gauge,
    pub reloads: Counter,
    pub reloads_failed: Counter,
    pub compactions: Counter,
    pub compactions_triggered: Counter,
    pub compactions_failed: Counter,
    pub vertical_compactions: Counter,
    pub compaction_seconds: Histogram,
    pub time_retentions: Counter,
    pub size_retentions: Counter,
    pub tombstone_cleanup_seconds: Histogram,
    pub populating: Gauge,
    pub chunk_bytes: Histogram,
    pub chunk_samples: Histogram,
    pub chunk_seconds: Histogram,
}

impl DbMetrics {
    /// Registers everything.
    pub fn new(registry: &Registry) -> DbMetrics {
        let r = registry.with_prefix("prometheus_tsdb_");
        // Compaction cannot be switched off.
        r.counter(
            "compactions_skipped_total",
            "Total number of skipped compactions due to disabled auto compaction.",
        );
        // Nothing is kept of blocks' symbols: they are read from the maps.
        r.gauge(
            "symbol_table_size_bytes",
            "Size of symbol table in memory for loaded blocks",
        );
        r.gauge("clean_start", "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean").set(1.0);
        DbMetrics {
            blocks_loaded: r.gauge("blocks_loaded", "Number of currently loaded data blocks"),
            blocks_bytes: r.gauge("storage_blocks_bytes", "The number of bytes that are currently used for local storage by all blocks."),
            lowest_ms: r.gauge("lowest_timestamp", "Lowest timestamp value stored in the database. The unit is decided by the library consumer."),
            lowest_seconds: r.gauge("lowest_timestamp_seconds", "Lowest timestamp value stored in the database."),
            limit_bytes: r.gauge("retention_limit_bytes", "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled"),
            limit_seconds: r.gauge("retention_limit_seconds", "How long to retain samples in storage."),
            limit_percentage: r.gauge("retention_limit_percentage", "Max percentage of the disk to be retained in the tsdb blocks, configured 0 means disabled"),
            wal_bytes: r.gauge("wal_storage_size_bytes", "Size of the write log directory."),
            reloads: r.counter("reloads_total", "Number of times the database reloaded block data from disk."),
            reloads_failed: r.counter("reloads_failures_total", "Number of times the database failed to reloadBlocks block data from disk."),
            compactions: r.counter("compactions_total", "Total number of compactions that were executed for the partition."),
            compactions_triggered: r.counter("compactions_triggered_total", "Total number of triggered compactions for the partition."),
            compactions_failed: r.counter("compactions_failed_total", "Total number of compactions that failed for the partition."),
            vertical_compactions: r.counter("vertical_compactions_total", "Total number of compactions done on overlapping blocks."),
            compaction_seconds: r.histogram("compaction_duration_seconds", "Duration of compaction runs", &exponential_buckets(1.0, 2.0, 14)),
            time_retentions: r.counter("time_retentions_total", "The number of times that blocks were deleted because the maximum time limit was exceeded."),
            size_retentions: r.counter("size_retentions_total", "The number of times that blocks were deleted because the maximum number of bytes was exceeded."),
            tombstone_cleanup_seconds: r.histogram("tombstone_cleanup_seconds", "The time taken to recompact blocks to remove tombstones.", telemetry::DEFAULT_BUCKETS),
            chunk_bytes: r.histogram("compaction_chunk_size_bytes", "Final size of chunks on their first compaction", &exponential_buckets(32.0, 1.5, 12)),
            chunk_samples: r.histogram("compaction_chunk_samples", "Final number of samples on their first compaction", &exponential_buckets(4.0, 1.5, 12)),
            chunk_seconds: r.histogram("compaction_chunk_range_seconds", "Final time range of chunks on their first compaction", &exponential_buckets(100.0, 4.0, 10)),
            populating: r.gauge("compaction_populating_block", "Set to 1 when a block is currently being written to the disk."),
        }
    }
}
