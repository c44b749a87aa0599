//! The head's `prometheus_tsdb_*` metrics; names and helps are upstream's (`tsdb/head.go`,
//! `tsdb/exemplar.go`, `tsdb/wlog/wlog.go`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use telemetry::{Counter, CounterVec, Gauge, Histogram, Registry, Summary, SummaryOptions};

use crate::wal::WriterMetrics;

/// Counters and gauges that the head changes; the rest is computed when somebody asks.
pub struct HeadMetrics {
    pub active_appenders: Gauge,
    pub series: Gauge,
    pub stale_series: Gauge,
    pub series_created: Counter,
    pub series_removed: Counter,
    pub series_not_found: Counter,
    pub chunks: Gauge,
    pub chunks_created: Counter,
    pub chunks_removed: Counter,
    pub gc_seconds: Summary,
    pub wal_truncate_seconds: Summary,
    pub wal_corruptions: Counter,
    pub unknown_refs: CounterVec,
    pub late_unknown_refs: CounterVec,
    pub floats_appended: Counter,
    pub histograms_appended: Counter,
    pub late_appended: Counter,
    pub out_of_bounds: Counter,
    pub out_of_order: Counter,
    pub too_old: Counter,
    pub late_delta_seconds: Histogram,
    pub truncations: Counter,
    pub truncations_failed: Counter,
    pub checkpoints: Counter,
    pub checkpoints_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub chunk_corruptions: Counter,
    pub mmapped_chunks: Counter,
    pub replay_seconds: Gauge,
    /// Ours: bytes of the log that the start did not read.
    pub skipped_bytes: Gauge,
    pub exemplars_appended: Counter,
    pub exemplars_in_storage: Gauge,
    pub exemplar_series: Gauge,
    pub exemplar_last_seconds: Gauge,
    pub exemplars_out_of_order: Counter,
    pub exemplars_max: Gauge,
    /// Numbers of batches: the newest, and the oldest that is not through.
    pub newest_batch: Gauge,
    pub oldest_batch: Gauge,
    pub chunk_file_bytes: Gauge,
    pub wal: WriterMetrics,
    pub wbl: WriterMetrics,
}

/// The time range of the head, shared with the callbacks that report it.
#[derive(Debug)]
pub struct Times {
    pub min_ms: AtomicI64,
    pub max_ms: AtomicI64,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            min_ms: AtomicI64::new(i64::MAX),
            max_ms: AtomicI64::new(i64::MIN),
        }
    }
}

fn quantiles() -> SummaryOptions {
    SummaryOptions::quantiles(&[(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)])
}

impl HeadMetrics {
    /// Registers everything.
    pub fn new(registry: &Registry, times: &Arc<Times>) -> HeadMetrics {
        let r = registry.with_prefix("prometheus_tsdb_");
        register_times(&r, times);
        let by_type = |name: &str, help: &str| r.counter_vec(name, help, &["type"]);
        let out_of_order = by_type(
            "out_of_order_samples_total",
            "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
        );
        out_of_order.with(&["histogram"]);
        let appended = by_type(
            "head_samples_appended_total",
            "Total number of appended samples.",
        );
        // Snapshots of the head's memory are not read: the log has it all.
        r.counter(
            "snapshot_replay_error_total",
            "Total number snapshot replays that failed.",
        );
        HeadMetrics {
            active_appenders: r.gauge("head_active_appenders", "Number of currently active appender transactions"),
            series: r.gauge("head_series", "Total number of series in the head block."),
            stale_series: r.gauge("head_stale_series", "Total number of stale series in the head block."),
            series_created: r.counter("head_series_created_total", "Total number of series created in the head"),
            series_removed: r.counter("head_series_removed_total", "Total number of series removed in the head"),
            series_not_found: r.counter("head_series_not_found_total", "Total number of requests for series that were not found."),
            chunks: r.gauge("head_chunks", "Total number of chunks in the head block."),
            chunks_created: r.counter("head_chunks_created_total", "Total number of chunks created in the head"),
            chunks_removed: r.counter("head_chunks_removed_total", "Total number of chunks removed in the head"),
            gc_seconds: r.summary("head_gc_duration_seconds", "Runtime of garbage collection in the head block.", SummaryOptions::default()),
            wal_truncate_seconds: r.summary("wal_truncate_duration_seconds", "Duration of WAL truncation.", SummaryOptions::default()),
            wal_corruptions: r.counter("wal_corruptions_total", "Total number of WAL corruptions."),
            unknown_refs: by_type("wal_replay_unknown_refs_total", "Total number of unknown series references encountered during WAL replay."),
            late_unknown_refs: by_type("wbl_replay_unknown_refs_total", "Total number of unknown series references encountered during WBL replay."),
            floats_appended: appended.with(&["float"]),
            histograms_appended: appended.with(&["histogram"]),
            late_appended: by_type("head_out_of_order_samples_appended_total", "Total number of appended out of order samples.").with(&["float"]),
            out_of_bounds: by_type("out_of_bound_samples_total", "Total number of out of bound samples ingestion failed attempts with out of order support disabled.").with(&["float"]),
            out_of_order: out_of_order.with(&["float"]),
            too_old: by_type("too_old_samples_total", "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.").with(&["float"]),
            late_delta_seconds: r.histogram(
                "sample_ooo_delta",
                "Delta in seconds by which a sample is considered out of order (reported regardless of OOO time window and whether sample is accepted or not).",
                &[60.0 * 10.0, 60.0 * 30.0, 3600.0, 7200.0, 3.0 * 3600.0, 6.0 * 3600.0, 12.0 * 3600.0],
            ),
            truncations: r.counter("head_truncations_total", "Total number of head truncations attempted."),
            truncations_failed: r.counter("head_truncations_failed_total", "Total number of head truncations that failed."),
            checkpoints: r.counter("checkpoint_creations_total", "Total number of checkpoint creations attempted."),
            checkpoints_failed: r.counter("checkpoint_creations_failed_total", "Total number of checkpoint creations that failed."),
            checkpoint_deletions: r.counter("checkpoint_deletions_total", "Total number of checkpoint deletions attempted."),
            checkpoint_deletions_failed: r.counter("checkpoint_deletions_failed_total", "Total number of checkpoint deletions that failed."),
            chunk_corruptions: r.counter("mmap_chunk_corruptions_total", "Total number of memory-mapped chunk corruptions."),
            mmapped_chunks: r.counter("mmap_chunks_total", "Total number of chunks that were memory-mapped."),
            replay_seconds: r.gauge("data_replay_duration_seconds", "Time taken to replay the data on disk."),
            skipped_bytes: registry.gauge(
                "firewatch_wal_replay_skipped_bytes",
                "Bytes of the write-ahead log that the last start did not have to read.",
            ),
            exemplars_appended: r.counter("exemplar_exemplars_appended_total", "Total number of appended exemplars."),
            exemplars_in_storage: r.gauge("exemplar_exemplars_in_storage", "Number of exemplars currently in circular storage."),
            exemplar_series: r.gauge("exemplar_series_with_exemplars_in_storage", "Number of series with exemplars currently in circular storage."),
            exemplar_last_seconds: r.gauge(
                "exemplar_last_exemplars_timestamp_seconds",
                "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what timerange the current exemplar buffer limit allows. This usually means the last timestampfor all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.",
            ),
            exemplars_out_of_order: r.counter("exemplar_out_of_order_exemplars_total", "Total number of out of order exemplar ingestion failed attempts."),
            exemplars_max: r.gauge("exemplar_max_exemplars", "Total number of exemplars the exemplar storage can store, resizeable."),
            newest_batch: r.gauge("isolation_high_watermark", "The highest TSDB append ID that has been given out."),
            oldest_batch: r.gauge("isolation_low_watermark", "The lowest TSDB append ID that is still referenced."),
            chunk_file_bytes: r.gauge("head_chunks_storage_size_bytes", "Size of the chunks_head directory."),
            wal: writer(&r, "wal"),
            wbl: writer(&r, "out_of_order_wbl"),
        }
    }
}

fn writer(r: &Registry, log: &str) -> WriterMetrics {
    let name = |rest: &str| format!("{log}_{rest}");
    WriterMetrics {
        page_flushes: r.counter(&name("page_flushes_total"), "Total number of page flushes."),
        fsync_seconds: r.summary(
            &name("fsync_duration_seconds"),
            "Duration of write log fsync.",
            quantiles(),
        ),
        writes_failed: r.counter(&name("writes_failed_total"), "Total number of write log writes that failed."),
        truncations_failed: r.counter(&name("truncations_failed_total"), "Total number of write log truncations that failed."),
        truncations: r.counter(&name("truncations_total"), "Total number of write log truncations attempted."),
        completed_pages: r.counter(&name("completed_pages_total"), "Total number of completed pages."),
        record_parts: r.counter(
            &name("record_part_writes_total"),
            "Total number of record parts written before flushing.",
        ),
        record_bytes: r.counter(
            &name("record_parts_bytes_written_total"),
            "Total number of record part bytes written before flushing, including CRC and compression headers.",
        ),
        segment: r.gauge(&name("segment_current"), "Write log segment index that TSDB is currently writing to."),
    }
}

fn register_times(r: &Registry, times: &Arc<Times>) {
    let value = |t: i64| match t {
        i64::MAX | i64::MIN => 0.0,
        t => t as f64,
    };
    for (name, help, min, scale) in [
        (
            "head_min_time",
            "Minimum time bound of the head block. The unit is decided by the library consumer.",
            true,
            1.0,
        ),
        (
            "head_max_time",
            "Maximum timestamp of the head block. The unit is decided by the library consumer.",
            false,
            1.0,
        ),
        (
            "head_min_time_seconds",
            "Minimum time bound of the head block.",
            true,
            1000.0,
        ),
        (
            "head_max_time_seconds",
            "Maximum timestamp of the head block.",
            false,
            1000.0,
        ),
    ] {
        let times = Arc::clone(times);
        r.gauge_fn(name, help, move || {
            let time = if min { &times.min_ms } else { &times.max_ms };
            (value(time.load(Ordering::Relaxed)) / scale).floor()
        });
    }
}
